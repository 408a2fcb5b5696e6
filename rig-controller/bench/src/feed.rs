//! The way events take: every source tells one [`Feed`], the feed stamps them with the case's clock and hands them to one
//! [`Sink`], which answers with an [`Order`].
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nor_flash_model::TornShape;
use powercut_oracle::seen::{Clock, Seen, Source, What};
use powercut_oracle::sight::{FlashSight, Sight};

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
    /// Takes one event. `flash` is the whole flash as it is at the event (before an operation), where that is shown.
    fn seen(&mut self, seen: &Seen<'_>, flash: Option<&[u8]>) -> Order;
}

/// Tells one sink what is seen. Hides what the board's [`Sight`] does not hold, whatever its driver could tell.
#[derive(Clone)]
pub struct Feed {
    sink: Arc<Mutex<dyn Sink>>,
    clock: Clock,
    sight: Sight,
}

impl Feed {
    /// A feed into `sink` that shows what `sight` holds.
    pub fn new(sink: Arc<Mutex<dyn Sink>>, clock: Clock, sight: Sight) -> Self {
        Self { sink, clock, sight }
    }

    /// For several events in a row: the sink is locked until the result is dropped.
    pub fn open(&self) -> OpenFeed<'_> {
        OpenFeed {
            sink: self.sink.lock().unwrap_or_else(PoisonError::into_inner),
            clock: self.clock,
            sight: self.sight,
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
            .field("sight", &self.sight)
            .finish_non_exhaustive()
    }
}

/// A feed whose sink is locked.
pub struct OpenFeed<'a> {
    sink: MutexGuard<'a, dyn Sink + 'static>,
    clock: Clock,
    sight: Sight,
}

impl OpenFeed<'_> {
    /// Tells of one event that happens now.
    pub fn tell(&mut self, by: Source, what: What<'_>, flash: Option<&[u8]>) -> Order {
        self.tell_at(self.clock.now(), by, what, flash)
    }

    fn tell_at(&mut self, at: Duration, by: Source, what: What<'_>, flash: Option<&[u8]>) -> Order {
        if !shows(self.sight, &what) {
            return Order::GoOn;
        }
        let is_held = matches!(what, What::PowerOn);
        let flash = flash.filter(|_| match self.sight.flash {
            FlashSight::Always => true,
            FlashSight::Held => is_held,
            FlashSight::Never => false,
        });
        self.sink.seen(&Seen { at, by, what }, flash)
    }
}

/// Whether a board that shows `sight` shows this event.
fn shows(sight: Sight, what: &What<'_>) -> bool {
    match what {
        What::Operation(_) => sight.operations,
        What::Sending { .. }
        | What::Sent(_)
        | What::Delivered(_)
        | What::RegistrationAsked { .. } => sight.datagrams,
        What::Pins(_) => sight.marker,
        What::Log(_) => sight.log,
        // The link lives on bytes, whoever else may look at them: the sink hides them from its readers.
        What::Byte(_)
        | What::Reset(_)
        | What::NotOnSilicon(_)
        | What::Platform(_)
        | What::PowerOn
        | What::PowerOff { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Vec<(bool, bool)>);

    impl Sink for Heard {
        fn seen(&mut self, seen: &Seen<'_>, flash: Option<&[u8]>) -> Order {
            let is_power = matches!(seen.what, What::PowerOn);
            self.0.push((is_power, flash.is_some()));
            Order::GoOn
        }
    }

    #[test]
    fn what_a_board_does_not_show_reaches_no_sink_and_flash_only_when_it_is_held() {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let sight = Sight {
            marker: false,
            flash: FlashSight::Held,
            ..Sight::EVERYTHING
        };
        let feed = Feed::new(heard.clone(), Clock::start(), sight);
        for what in [What::Pins(1), What::Byte(65), What::PowerOn] {
            assert_eq!(feed.tell(Source::Board, what, Some(&[0xFF])), Order::GoOn);
        }
        assert_eq!(heard.lock().unwrap().0, [(false, false), (true, true)]);
    }
}
