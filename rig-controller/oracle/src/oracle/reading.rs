//! The oracle as a reader of events.
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::wire::lean::{Downlink, MAX_WINDOW, Uplink, complete_index};
use powercut_upgrade::wire::pcp;

use super::{Invariant, Oracle};
use crate::seen::What;
use crate::view::{Effect, Moment};

impl Oracle {
    /// Takes one event, which had this effect.
    pub fn read(&mut self, moment: &Moment<'_>, effect: Effect) {
        match &moment.seen.what {
            What::Operation(op) => {
                let after = match effect {
                    Effect::Full => moment.after.as_ref(),
                    // A torn operation wears the unit like a whole one.
                    Effect::Torn => moment.journal.as_ref(),
                    Effect::Nothing => return,
                };
                match moment.flash {
                    Some(flash) => self.on_operation(op, moment.journal.as_ref(), after, flash),
                    None => self.wear(op),
                }
            }
            What::Byte(_) | What::Pins(_) if moment.starts_application => {
                if let Some(flash) = moment.flash {
                    self.on_application(flash, moment.journal.as_ref());
                }
            }
            What::Sent(datagram) => self.sent(datagram, moment),
            What::Delivered(datagram) => self.delivered(datagram, moment),
            What::NotOnSilicon(what) => self.report(
                Invariant::Expectation,
                format!("the firmware uses {what}, which this board's silicon does not have"),
            ),
            What::Reset(_) => self.on_boot(),
            What::PowerOff { cut, .. } => self.was_cut |= cut.is_some(),
            What::PowerOn => {
                if std::mem::take(&mut self.was_cut) {
                    match moment.flash {
                        Some(flash) => self.after_cut(flash),
                        None => self.after_cut_unseen(),
                    }
                }
                self.on_boot();
            }
            _ => {}
        }
    }

    /// The device sent this.
    fn sent(&mut self, datagram: &[u8], moment: &Moment<'_>) {
        let wanted: Vec<FragmentIndex> = if let Ok(frame) = pcp::Uplink::decode(datagram) {
            match frame {
                pcp::Uplink::Fragment { index, .. } => {
                    self.stream_index(index).into_iter().collect()
                }
                _ => return,
            }
        } else {
            match Uplink::decode(datagram) {
                Ok(Uplink::Status(status)) => {
                    if let Some(flash) = moment.flash {
                        self.on_status(&status, flash, moment.journal.as_ref());
                    }
                    return;
                }
                Ok(Uplink::Request { wanted, .. }) => wanted.indices().collect(),
                Err(_) => return,
            }
        };
        if let Some(turn) = moment.turn
            && !wanted.is_empty()
        {
            self.on_request(&wanted, turn);
        }
    }

    /// The device was handed this.
    fn delivered(&mut self, datagram: &[u8], moment: &Moment<'_>) {
        let Some(turn) = moment.turn else {
            return;
        };
        let mut bytes = datagram.to_vec();
        if let Ok(frame) = pcp::Downlink::decode(&mut bytes) {
            if let pcp::Downlink::Fragment { index, .. } = frame
                && let Some(arrived) = self.stream_index(index)
            {
                self.on_delivered(arrived, turn);
            }
        } else if let Ok(Downlink::Fragment { index, .. }) = Downlink::decode(&mut bytes) {
            let index = complete_index(turn, index);
            // Further ahead there is none: it is one of long ago.
            if index.0.wrapping_sub(turn.0) < u16::from(MAX_WINDOW) {
                self.on_delivered(index, turn);
            }
        }
    }

    /// The fragment of the image that travels over PCP under this index.
    fn stream_index(&self, index: FragmentIndex) -> Option<FragmentIndex> {
        pcp::Stream::of(self.images.new.manifest())?.image_fragment(index)
    }
}
