//! The sink of a case: takes every event in the order of its source, and lets the readers read it: the trigger, which may order
//! a cut, then the oracle, the timeline and what is kept as evidence. The readers get what the board's [`Sight`] holds; its link
//! lives on every byte.
//!
//! Bytes of the device go on to its link at once, so what the link sees of them stands in the same order.
use std::time::Duration;

use super::timeline::Timeline;
use super::trigger::Trigger;
use crate::plan::Cut;
use powercut_bench::board::Waker;
use powercut_bench::feed::{Order, Sink};
use powercut_bench::link::Link;
use powercut_bench::modem::{ModemError, ModemEvent};
use powercut_oracle::oracle::{Images, Oracle};
use powercut_oracle::seen::{Seen, Source, What};
use powercut_oracle::sight::Sight;
use powercut_oracle::view::{Effect, View};
use powercut_package::BoardFacts;

/// What one case saw; shared between the threads of its sources and the case runner.
pub struct Monitor {
    /// Where the device stands.
    pub view: View,
    /// Planned cuts.
    pub trigger: Trigger,
    /// Invariants.
    pub oracle: Oracle,
    /// Everything in order.
    pub timeline: Timeline,
    /// Flash as it was when the last cut was decided.
    pub flash_before_cut: Option<Vec<u8>>,
    /// When flash last changed, or the device last sent or got power, on the case's clock: the board is alive.
    pub last_sign_of_life: Duration,
    link: Box<dyn Link>,
    waker: Waker,
    sight: Sight,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// The case that a monitor is made for.
#[derive(Debug)]
pub struct Watched<'a> {
    /// The firmware set's facts about the board: flash, layout, marker pin.
    pub board: &'a BoardFacts,
    /// Old and new image.
    pub images: &'a Images,
    /// The board's sight.
    pub sight: Sight,
    /// The flash that the board is provisioned with.
    pub flash: &'a [u8],
    /// Planned cuts.
    pub cuts: &'a [Cut],
}

impl Monitor {
    /// Watches a board that was just provisioned.
    pub fn new(watched: &Watched<'_>, oracle: Oracle, link: Box<dyn Link>, waker: Waker) -> Self {
        let Watched {
            board,
            images,
            sight,
            flash,
            cuts,
        } = *watched;
        Self {
            view: View::new(
                board.geometry,
                &board.layout,
                images,
                sight,
                board.marker_pin.mask(),
                flash,
            ),
            trigger: Trigger::new(board.geometry, &board.layout, images.new.manifest(), cuts),
            oracle,
            timeline: Timeline::default(),
            flash_before_cut: None,
            last_sign_of_life: Duration::ZERO,
            link,
            waker,
            sight,
        }
    }

    /// Whether the modem has found a network.
    pub fn modem_registered(&self) -> bool {
        self.link.registered()
    }

    /// The link's own trouble, if it had any.
    pub fn link_failure(&mut self) -> Option<ModemError> {
        self.link.take_failure()
    }

    /// The longest time for which the link can keep a healthy device silent.
    pub fn link_silence(&self) -> Duration {
        self.link.silence()
    }

    /// End the link's traffic.
    pub fn shut_down_link(&mut self) {
        self.link.shut_down();
    }

    /// Has every reader read one event, if the board is to show it; the order is the trigger's.
    fn read(&mut self, seen: &Seen<'_>, flash: Option<&[u8]>) -> Order {
        if !self.sight.shows(&seen.what) {
            return Order::GoOn;
        }
        let flash = flash.filter(|_| self.sight.shows_flash_at(&seen.what));
        let moment = self.view.look(seen, flash);
        let order = self.trigger.read(&moment);
        let effect = match order {
            Order::GoOn | Order::CutAfter => Effect::Full,
            Order::Cut { torn: Some(_) } => Effect::Torn,
            Order::Cut { torn: None } => match seen.what {
                What::Operation(_) => Effect::Nothing,
                _ => Effect::Full,
            },
        };
        self.timeline.read(&moment, effect);
        self.oracle.read(&moment, effect);
        if order != Order::GoOn {
            self.flash_before_cut = flash.map(<[u8]>::to_vec);
        }
        self.view.settle(&moment, effect);
        order
    }

    /// The link has something to tell.
    fn read_link(&mut self, event: &ModemEvent, at: Duration, flash: Option<&[u8]>) -> Order {
        let what = match event {
            ModemEvent::PayloadByte { length, so_far, .. } => What::Sending {
                so_far,
                length: *length,
            },
            ModemEvent::DatagramSent(datagram) => What::Sent(datagram),
            ModemEvent::DatagramRead(datagram) => What::Delivered(datagram),
            ModemEvent::RegistrationAsked { registered } => What::RegistrationAsked {
                registered: *registered,
            },
        };
        let by = Source::Link;
        self.read(&Seen { at, by, what }, flash)
    }
}

impl Sink for Monitor {
    fn seen(&mut self, seen: &Seen<'_>, flash: Option<&[u8]>) -> Order {
        match &seen.what {
            // Whoever may look at it: the rig hears it, as the link does.
            What::Byte(_) => self.last_sign_of_life = seen.at,
            What::Operation(_) | What::PowerOn | What::Log(_) if self.sight.shows(&seen.what) => {
                self.last_sign_of_life = seen.at;
            }
            What::PowerOff { .. } => self.link.board_power_lost(),
            _ => {}
        }
        let order = self.read(seen, flash);
        match &seen.what {
            What::PowerOn => self.link.board_power_restored(),
            // The runner may have given up on this boot already.
            What::Reset(_) => self.waker.wake(),
            What::Byte(byte) if order == Order::GoOn => {
                if let Some(event) = self.link.from_device(*byte) {
                    return self.read_link(&event, seen.at, flash);
                }
            }
            _ => {}
        }
        order
    }
}
