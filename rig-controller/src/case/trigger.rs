//! Where power goes: the planned cuts, each waiting for the event it names.
//!
//! All cuts that have not happened yet wait at the same time; the device's events decide which is next. What is
//! planned twice happens twice: one event fires one cut.
use std::time::Duration;

use nor_flash_model::{Geometry, TornShape};
use powercut_oracle::{FlashOp, FlashOpKind};
use powercut_upgrade::journal::{Phase as JournalPhase, State};
use powercut_upgrade::manifest::{FragmentIndex, Manifest};
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::lean::{
    MAX_REQUEST_BYTES, MAX_STATUS_BYTES, MIN_REQUEST_BYTES, MIN_STATUS_BYTES, REQUEST, STATUS,
};
use powercut_upgrade::wire::pcp;

use crate::plan::{Cut, CutAt, FragmentPhase, Phase, Torn};
use powercut_bench::feed::Order;
use powercut_oracle::seen::What;
use powercut_oracle::view::Moment;

/// A cut that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiredCut {
    /// What was planned.
    pub planned: Cut,
    /// The last operation that took effect, at least in part; `None` where operations cannot be seen.
    pub operation: Option<u64>,
    /// In which phase; `None` where that cannot be seen.
    pub phase: Option<Phase>,
    /// The fragment under way, in the download.
    pub fragment: Option<u16>,
}

/// What the trigger has to know about an operation that is about to happen.
#[derive(Debug, Clone, Copy)]
pub struct OperationContext<'a> {
    /// The operation.
    pub op: &'a FlashOp,
    /// Its phase.
    pub phase: Phase,
    /// Its number in that phase over the whole case, from 1.
    pub number_in_phase: u64,
    /// What the journal says before.
    pub before: &'a State,
    /// The journal's state once the operation has taken full effect.
    pub after: &'a State,
}

/// Watches for the planned cuts.
#[derive(Debug)]
pub struct Trigger {
    geometry: Geometry,
    layout: Layout,
    manifest: Manifest,
    waiting: Vec<Cut>,
    fired: Vec<FiredCut>,
    /// The next operation of any kind is torn, on behalf of this cut.
    tear_next: Option<(Cut, TornShape)>,
    /// Status messages the modem began to take.
    statuses: u16,
    /// Requests the modem began to take.
    requests: u16,
    /// The fragment whose data was programmed last, and not recorded since.
    unrecorded: Option<FragmentIndex>,
    /// Times the board got power.
    power_ons: u16,
    /// The cut that waits for a moment of this boot, and that moment.
    due: Option<(Cut, Duration)>,
}

impl Trigger {
    /// Waits for `cuts` in the installation of the image `manifest` describes, on flash of this geometry.
    pub fn new(geometry: Geometry, layout: &Layout, manifest: &Manifest, cuts: &[Cut]) -> Self {
        Self {
            geometry,
            layout: *layout,
            manifest: *manifest,
            waiting: cuts.to_vec(),
            fired: Vec::new(),
            tear_next: None,
            statuses: 0,
            requests: 0,
            unrecorded: None,
            power_ons: 0,
            due: None,
        }
    }

    /// The moment on the case's clock at which power is to go, if that of this boot has not come yet.
    pub fn due(&self) -> Option<Duration> {
        self.due.map(|(_, at)| at)
    }

    /// The first moment of the boot that begins at `now`.
    fn next_due(&self, now: Duration) -> Option<(Cut, Duration)> {
        let of_this_boot = self.waiting.iter().filter_map(|cut| match cut.at {
            CutAt::Boot { number, after_us } if number == self.power_ons => {
                Some((*cut, now + Duration::from_micros(after_us.into())))
            }
            _ => None,
        });
        of_this_boot.min_by_key(|(_, at)| *at)
    }

    /// The moment has come.
    fn on_due(&mut self, moment: &Moment<'_>) -> Order {
        let Some((planned, _)) = self.due.take() else {
            return Order::GoOn;
        };
        if let Some(position) = self.waiting.iter().position(|cut| *cut == planned) {
            self.waiting.remove(position);
        }
        self.fire_here(planned, moment)
    }

    /// Cuts that happened, in order.
    pub fn fired(&self) -> &[FiredCut] {
        &self.fired
    }

    /// Cuts that have not happened.
    pub fn waiting(&self) -> impl Iterator<Item = &Cut> {
        self.waiting
            .iter()
            .chain(self.tear_next.iter().map(|(cut, _)| cut))
    }

    /// Takes one event and says whether power goes.
    pub fn read(&mut self, moment: &Moment<'_>) -> Order {
        let empty = State::EMPTY;
        match &moment.seen.what {
            What::Operation(op) => {
                let Some(phase) = moment.phase else {
                    return Order::GoOn;
                };
                self.before_operation(&OperationContext {
                    op,
                    phase,
                    number_in_phase: moment.number_in_phase,
                    before: moment.journal.as_ref().unwrap_or(&empty),
                    after: moment.after.as_ref().unwrap_or(&empty),
                })
            }
            What::Sending { so_far, length } => self.on_payload(so_far, *length, moment),
            What::Sent(datagram) => self.on_payload(datagram, datagram.len(), moment),
            What::Reset(_) => {
                self.power_restored();
                Order::GoOn
            }
            What::PowerOn => {
                self.power_restored();
                self.power_ons += 1;
                self.due = self.next_due(moment.seen.at);
                Order::GoOn
            }
            What::PowerOff { .. } => {
                self.due = None;
                Order::GoOn
            }
            What::Due => self.on_due(moment),
            _ => Order::GoOn,
        }
    }

    /// Power is back: what was under way is not.
    pub fn power_restored(&mut self) {
        self.unrecorded = None;
    }

    /// A flash operation is about to happen.
    pub fn before_operation(&mut self, context: &OperationContext<'_>) -> Order {
        if let Some((cut, shape)) = self.tear_next.take() {
            if self.fits(cut.torn, context.op) {
                return self.fire(cut, context, Some(shape));
            }
            self.waiting.push(cut);
        }
        let fragment = self.fragment_of(context);
        let matched = self.waiting.iter().position(|cut| {
            self.matches(cut, context, fragment) && self.fits(cut.torn, context.op)
        });
        if let Some(fragment) = fragment {
            self.unrecorded = Some(fragment);
        } else if !matches!(self.area(context.op), Area::Staging) {
            self.unrecorded = None;
        }
        let Some(position) = matched else {
            return Order::GoOn;
        };
        let cut = self.waiting.remove(position);
        match (cut.at, cut.torn) {
            (
                CutAt::Fragment {
                    phase: FragmentPhase::AfterRecord,
                    ..
                },
                torn,
            ) => match torn {
                Torn::Shape(shape) => {
                    self.tear_next = Some((cut, shape));
                    Order::GoOn
                }
                Torn::Whole | Torn::Before => self.fire_after(cut, context),
            },
            (CutAt::Operation(_) | CutAt::PhaseOperation { .. }, Torn::Whole) => {
                self.fire_after(cut, context)
            }
            (_, Torn::Shape(shape)) => self.fire(cut, context, Some(shape)),
            (_, Torn::Whole | Torn::Before) => self.fire(cut, context, None),
        }
    }

    /// The modem took one more byte of a payload of `length` bytes.
    fn on_payload(&mut self, payload: &[u8], length: usize, moment: &Moment<'_>) -> Order {
        let Some(here) = self.place_in_payload(payload, length) else {
            return Order::GoOn;
        };
        let Some(position) = self.waiting.iter().position(|cut| cut.at == here) else {
            return Order::GoOn;
        };
        let planned = self.waiting.remove(position);
        self.fire_here(planned, moment)
    }

    /// Power goes between flash operations.
    fn fire_here(&mut self, planned: Cut, moment: &Moment<'_>) -> Order {
        self.fired.push(FiredCut {
            planned,
            operation: moment.operations,
            phase: moment.phase,
            fragment: moment
                .journal
                .as_ref()
                .filter(|_| moment.phase.is_some())
                .and_then(|journal| self.under_way(journal)),
        });
        Order::Cut { torn: None }
    }

    /// What a cut right after the last byte of `payload` would be called.
    fn place_in_payload(&mut self, payload: &[u8], length: usize) -> Option<CutAt> {
        let byte = payload.len().checked_sub(1)? as u16;
        match (payload.first()?, length) {
            (&STATUS, MIN_STATUS_BYTES..=MAX_STATUS_BYTES) => {
                self.statuses += u16::from(byte == 0);
                Some(CutAt::StatusPayload {
                    number: self.statuses,
                    byte,
                })
            }
            (&REQUEST, MIN_REQUEST_BYTES..=MAX_REQUEST_BYTES) | (0xFF, pcp::REQUEST_BYTES) => {
                self.requests += u16::from(byte == 0);
                Some(CutAt::RequestPayload {
                    number: self.requests,
                    byte,
                })
            }
            _ => None,
        }
    }

    fn matches(
        &self,
        cut: &Cut,
        context: &OperationContext<'_>,
        fragment: Option<FragmentIndex>,
    ) -> bool {
        match cut.at {
            CutAt::Operation(number) => number == context.op.number,
            CutAt::PhaseOperation { phase, number } => {
                phase == context.phase && number == context.number_in_phase
            }
            CutAt::RequestPayload { .. } | CutAt::StatusPayload { .. } | CutAt::Boot { .. } => {
                false
            }
            CutAt::Fragment { index, phase } => match phase {
                FragmentPhase::BeforeData => {
                    fragment == Some(FragmentIndex(index))
                        && self.unrecorded != Some(FragmentIndex(index))
                }
                FragmentPhase::AfterData => {
                    self.unrecorded == Some(FragmentIndex(index))
                        && matches!(self.area(context.op), Area::Identification)
                }
                FragmentPhase::AfterRecord => {
                    let end = self.fragment_end(FragmentIndex(index));
                    matches!((context.before.phase, context.after.phase),
                        (JournalPhase::Downloading { committed: before, .. },
                         JournalPhase::Downloading { committed: after, .. })
                            if before < end && after >= end)
                }
            },
        }
    }

    fn fragment_end(&self, index: FragmentIndex) -> u32 {
        self.manifest.fragment_offset(index) + self.manifest.fragment_len(index) as u32
    }

    /// The fragment this operation programs data of.
    fn fragment_of(&self, context: &OperationContext<'_>) -> Option<FragmentIndex> {
        let FlashOpKind::Program { address, .. } = context.op.kind else {
            return None;
        };
        let offset = address.checked_sub(self.layout.staging.start)?;
        (context.phase == Phase::Download && offset < self.manifest.size_bytes)
            .then(|| FragmentIndex((offset / u32::from(self.manifest.fragment_bytes)) as u16))
    }

    /// The fragment the device is waiting for or writing, going by its journal.
    fn under_way(&self, journal: &State) -> Option<u16> {
        let JournalPhase::Downloading { committed, .. } = journal.phase else {
            return None;
        };
        (committed < self.manifest.size_bytes)
            .then(|| (committed / u32::from(self.manifest.fragment_bytes)) as u16)
    }

    fn area(&self, op: &FlashOp) -> Area {
        let address = op.kind.address();
        if address >= self.layout.staging.start {
            Area::Staging
        } else if address >= self.layout.active.start {
            Area::Other
        } else if address >= self.layout.identification.start {
            Area::Identification
        } else {
            Area::Other
        }
    }

    /// Whether the operation can be torn like this: a unit of 4 bytes has no byte 99. A cut that does not fit goes on waiting
    /// and is reported as one that never happened.
    fn fits(&self, torn: Torn, op: &FlashOp) -> bool {
        let bytes = match op.kind {
            FlashOpKind::Program { .. } => self.geometry.unit_bytes(),
            FlashOpKind::Erase { .. } => self.geometry.page_bytes(),
        };
        match torn {
            Torn::Shape(TornShape::Prefix(prefix)) => u32::from(prefix) < bytes,
            Torn::Shape(TornShape::AllBut(byte)) => u32::from(byte) < bytes,
            Torn::Whole | Torn::Before | Torn::Shape(_) => true,
        }
    }

    fn fire(
        &mut self,
        planned: Cut,
        context: &OperationContext<'_>,
        torn: Option<TornShape>,
    ) -> Order {
        let operation = context.op.number - u64::from(torn.is_none());
        self.fired.push(FiredCut {
            planned,
            operation: Some(operation),
            phase: Some(context.phase),
            fragment: self.under_way(context.before),
        });
        Order::Cut { torn }
    }

    fn fire_after(&mut self, planned: Cut, context: &OperationContext<'_>) -> Order {
        self.fired.push(FiredCut {
            planned,
            operation: Some(context.op.number),
            phase: Some(context.phase),
            fragment: self.under_way(context.before),
        });
        Order::CutAfter
    }
}

enum Area {
    Identification,
    Staging,
    Other,
}

#[cfg(test)]
#[path = "trigger_tests.rs"]
mod tests;
