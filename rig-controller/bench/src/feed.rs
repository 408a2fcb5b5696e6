//! The way events take: every source tells one [`Feed`], the feed stamps them with the case's clock and hands them to one
//! [`Sink`], which answers with an [`Order`].
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nor_flash_model::TornShape;
use powercut_oracle::seen::{Clock, Seen, Source, What};

/// The answer of a sink to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    GoOn,
    /// Cut power here: nothing the device did after this event happened. If the event is a flash operation
    /// (told *before* it takes effect), `torn` says what is left of it; `None` leaves nothing of it.
    Cut {
        /// Partial effect of the operation that was about to happen.
        torn: Option<TornShape>,
    },
    /// Let this flash operation take full effect, then cut.
    CutAfter,
}

/// Takes every event of a case, each source's in the order in which they happened. Called on the sources' threads; must not
/// block, and must not call the source.
pub trait Sink: Send {
    /// Takes one event. `flash` is the whole flash as it is at the event (before an operation), where the source can
    /// tell.
    fn seen(&mut self, seen: &Seen<'_>, flash: Option<&[u8]>) -> Order;
}

/// Tells one sink what is seen, all of it: the sink knows which of it a board is to show.
#[derive(Clone)]
pub struct Feed {
    sink: Arc<Mutex<dyn Sink>>,
    clock: Clock,
}

impl Feed {
    /// A feed into `sink` on this clock.
    pub fn new(sink: Arc<Mutex<dyn Sink>>, clock: Clock) -> Self {
        Self { sink, clock }
    }

    /// For several events in a row: the sink is locked until the result is dropped.
    pub fn open(&self) -> OpenFeed<'_> {
        OpenFeed {
            sink: self.sink.lock().unwrap_or_else(PoisonError::into_inner),
            clock: &self.clock,
        }
    }

    /// Tells of one event that happens now.
    pub fn tell(&self, by: Source, what: What<'_>, flash: Option<&[u8]>) -> Order {
        self.open().tell(by, what, flash)
    }

    /// Tells of one event that happened at this time of the case.
    pub fn tell_at(&self, at: Duration, by: Source, what: What<'_>) -> Order {
        self.open().tell_at(at, by, what, None)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// A feed whose sink is locked.
pub struct OpenFeed<'a> {
    sink: MutexGuard<'a, dyn Sink + 'static>,
    clock: &'a Clock,
}

impl OpenFeed<'_> {
    /// Tells of one event that happens now.
    pub fn tell(&mut self, by: Source, what: What<'_>, flash: Option<&[u8]>) -> Order {
        self.tell_at(self.clock.now(), by, what, flash)
    }

    fn tell_at(&mut self, at: Duration, by: Source, what: What<'_>, flash: Option<&[u8]>) -> Order {
        self.sink.seen(&Seen { at, by, what }, flash)
    }
}
