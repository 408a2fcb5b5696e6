//! The world of a chip in this process: tells a feed what the device does, cuts where it is ordered to, and has those who live
//! beside the board live as far as the device has lived.
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nor_flash_model::TornShape;
use powercut_emulator::{self as emulator, Cycles, Go, Operation, View, cycles_in, time_of};
use powercut_oracle::seen::{ResetCause, Source, VirtualTime, What};
use powercut_oracle::{FlashOp, FlashOpKind};

use crate::board::kind_of;
use crate::feed::{Feed, Order};
use crate::link::FarEnd;

/// Power is gone.
#[derive(Debug)]
pub(super) struct Cut {
    /// The operation that had begun, and how it is torn.
    pub(super) torn: Option<(FlashOpKind, TornShape)>,
}

/// See the module's text.
pub(super) struct World<'a> {
    pub(super) feed: &'a Feed,
    pub(super) time: &'a VirtualTime,
    pub(super) far_end: Option<&'a Arc<Mutex<dyn FarEnd>>>,
    pub(super) woken: &'a AtomicBool,
    /// Bytes that came by no far end: they are there at once.
    pub(super) heard: &'a Mutex<VecDeque<u8>>,
    /// Flash operations so far.
    pub(super) operations: u64,
    /// The cut that was ordered.
    pub(super) cut: Option<Cut>,
    /// Shortcomings that have been told.
    pub(super) told: &'a mut Told,
}

/// Shortcomings of emulator and firmware that the feed has heard of, and need not hear of again.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Registers that the emulator does not have, in this case.
    pub(super) registers: BTreeSet<u32>,
    /// Bytes were lost in this boot, the receiver being full.
    pub(super) overrun: bool,
}

impl World<'_> {
    fn tell(&mut self, what: What<'_>, view: &View<'_>) -> Order {
        self.time.advance_to(time_of(view.now));
        self.feed.tell(Source::Board, what, Some(view.flash))
    }

    /// Tells of something that has happened.
    fn happened(&mut self, what: What<'_>, view: &View<'_>) -> Go {
        match self.tell(what, view) {
            Order::GoOn => self.go_on(),
            Order::Cut { .. } | Order::CutAfter => {
                self.cut = Some(Cut { torn: None });
                Go::StopAfter
            }
        }
    }

    /// Goes on, unless somebody wants a look.
    fn go_on(&self) -> Go {
        if self.woken.load(Ordering::SeqCst) {
            Go::StopAfter
        } else {
            Go::On
        }
    }

    fn heard(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_far_end<T>(&self, ask: impl FnOnce(&mut dyn FarEnd) -> T) -> Option<T> {
        let far_end = self.far_end?;
        let mut far_end = far_end.lock().unwrap_or_else(PoisonError::into_inner);
        Some(ask(&mut *far_end))
    }
}

impl emulator::World for World<'_> {
    fn operation(&mut self, operation: Operation, view: &View<'_>) -> Go {
        let kind = kind_of(operation);
        self.operations += 1;
        let number = self.operations;
        match self.tell(What::Operation(FlashOp { number, kind }), view) {
            Order::GoOn => Go::On,
            Order::CutAfter => {
                self.cut = Some(Cut { torn: None });
                Go::StopAfter
            }
            Order::Cut { torn } => {
                let torn = torn.map(|shape| (kind, shape));
                self.cut = Some(Cut { torn });
                Go::StopBefore
            }
        }
    }

    fn byte_sent(&mut self, byte: u8, view: &View<'_>) -> Go {
        self.happened(What::Byte(byte), view)
    }

    fn pins(&mut self, written: u32, _: u32, view: &View<'_>) -> Go {
        self.happened(What::Pins(written), view)
    }

    fn reset(&mut self, cause: emulator::ResetCause, view: &View<'_>) {
        let cause = match cause {
            emulator::ResetCause::Software => ResetCause::Software,
            emulator::ResetCause::Watchdog => ResetCause::Watchdog,
            emulator::ResetCause::LockUp => ResetCause::LockUp,
        };
        self.tell(What::Reset(cause), view);
    }

    fn not_on_silicon(&mut self, what: &'static str) {
        self.feed
            .tell(Source::Board, What::NotOnSilicon(what), None);
    }

    fn not_emulated(&mut self, address: u32) {
        if self.told.registers.insert(address) {
            self.feed
                .tell(Source::Board, What::NotEmulated(address), None);
        }
    }

    fn overrun(&mut self, now: Cycles) {
        if !std::mem::replace(&mut self.told.overrun, true) {
            self.time.advance_to(time_of(now));
            self.feed.tell(Source::Board, What::Overrun, None);
        }
    }

    fn next_at(&self) -> Option<Cycles> {
        if !self.heard().is_empty() {
            return Some(0);
        }
        self.with_far_end(|far_end| far_end.next_at())?
            .map(cycles_in)
    }

    fn turn(&mut self, now: Cycles) {
        let now = time_of(now);
        self.time.advance_to(now);
        self.with_far_end(|far_end| far_end.turn(now));
    }

    fn next_byte(&mut self, now: Cycles) -> Option<u8> {
        let heard = self.heard().pop_front();
        heard.or_else(|| self.with_far_end(|far_end| far_end.next_byte(time_of(now)))?)
    }
}
