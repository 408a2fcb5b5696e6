//! Sees everything the device does, in its order, and decides at each step whether power goes: board events go to the
//! trigger, the oracle, the modem and the timeline.
use powercut_oracle::FlashOp;
use std::collections::BTreeMap;

use powercut_upgrade::journal::{Phase as JournalPhase, State};
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::wire::lean::{Downlink, MAX_WINDOW, Uplink, complete_index};
use powercut_upgrade::wire::pcp;

use super::progress::phase_of;
use super::timeline::{Happening, Timeline};
use super::trigger::{OperationContext, Trigger};
use crate::plan::{Cut, Phase};
use powercut_bench::board::{BoardObserver, Decision, ResetCause, Waker};
use powercut_bench::modem::{Modem, ModemEvent};
use powercut_oracle::flash_view;
use powercut_oracle::oracle::{Images, Oracle};
use powercut_oracle::verdict::Invariant;
use powercut_package::BoardFacts;
use powercut_package::words::Words;

/// What one case saw; shared between the board's reader thread and the case runner.
pub struct Monitor {
    facts: BoardFacts,
    image_bytes: u32,
    fragment_bytes: u16,
    image: ImageId,
    /// How the image travels over PCP, if it does.
    stream: Option<pcp::Stream>,
    /// Planned cuts.
    pub trigger: Trigger,
    /// Invariants.
    pub oracle: Oracle,
    /// Everything in order.
    pub timeline: Timeline,
    /// Flash operations so far.
    pub operations: u64,
    /// Operations in each phase so far.
    pub operations_in: BTreeMap<Phase, u64>,
    /// Resets the device made itself.
    pub resets: u32,
    /// Flash as it was when the last cut was decided.
    pub flash_before_cut: Option<Vec<u8>>,
    /// When flash last changed or the device last sent: the board is alive.
    pub last_sign_of_life: std::time::Instant,
    modem: Box<dyn Modem>,
    journal: Option<State>,
    application: bool,
    waker: Waker,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("operations", &self.operations)
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

impl Monitor {
    /// Watches a board that was just provisioned with `flash`.
    pub fn new(
        facts: &BoardFacts,
        images: &Images,
        cuts: &[Cut],
        oracle: Oracle,
        modem: Box<dyn Modem>,
        waker: Waker,
        flash: &[u8],
    ) -> Self {
        let new = images.new.manifest();
        Self {
            facts: *facts,
            image_bytes: new.size_bytes,
            fragment_bytes: new.fragment_bytes,
            image: images.new.signed().image_id(),
            stream: pcp::Stream::of(new),
            trigger: Trigger::new(facts.geometry, &facts.layout, new, cuts),
            oracle,
            timeline: Timeline::default(),
            operations: 0,
            operations_in: BTreeMap::new(),
            resets: 0,
            flash_before_cut: None,
            last_sign_of_life: std::time::Instant::now(),
            modem,
            journal: flash_view::journal_state(flash, facts.geometry, &facts.layout),
            application: false,
            waker,
        }
    }

    /// Where the upgrade stands.
    pub fn phase(&self) -> Phase {
        phase_of(
            self.journal.as_ref().unwrap_or(&State::EMPTY),
            self.image_bytes,
            self.application,
        )
    }

    /// What the journal says.
    pub fn journal(&self) -> Option<&State> {
        self.journal.as_ref()
    }

    /// Whether the modem has found a network.
    pub fn modem_registered(&self) -> bool {
        self.modem.registered()
    }

    /// The modem's own trouble, if it had any.
    pub fn modem_failure(&mut self) -> Option<powercut_bench::modem::ModemError> {
        self.modem.take_failure()
    }

    /// End the modem's traffic.
    pub fn shut_down_modem(&mut self) {
        self.modem.shut_down();
    }

    /// The relay gave power.
    pub fn power_restored(&mut self, flash: &[u8]) {
        self.application = false;
        self.journal = flash_view::journal_state(flash, self.facts.geometry, &self.facts.layout);
        self.trigger.power_restored();
        self.oracle.on_boot();
        self.last_sign_of_life = std::time::Instant::now();
        self.note(Happening::Relay { on: true });
        self.modem.board_power_restored();
    }

    /// The relay took power; `cut` if that was a planned cut. `flash` is what is left.
    pub fn power_lost(&mut self, cut: bool, flash: &[u8]) {
        self.modem.board_power_lost();
        if cut {
            let text = self
                .trigger
                .fired()
                .last()
                .map(|fired| fired.planned.to_string());
            self.note(Happening::Cut(text.unwrap_or_default()));
            self.oracle.after_cut(flash);
        }
        self.note(Happening::Relay { on: false });
    }

    /// Adds to the timeline.
    pub fn note(&mut self, what: Happening) {
        let phase = self.phase();
        self.timeline.add(phase, what);
    }

    fn is_journal(&self, op: &FlashOp) -> bool {
        (self.facts.layout.identification.start..self.facts.layout.active.start)
            .contains(&op.kind.address())
    }

    /// The first sign of the application in a boot.
    fn sign_of_application(&mut self, flash: &[u8]) {
        if !std::mem::replace(&mut self.application, true) {
            self.note(Happening::Application);
            self.oracle.on_application(flash, self.journal.as_ref());
        }
    }

    /// The fragment of the new image whose turn it is, going by the journal.
    fn turn(&self) -> Option<FragmentIndex> {
        let journal = self.journal.as_ref()?;
        let JournalPhase::Downloading { committed, .. } = journal.phase else {
            return None;
        };
        (journal.image == self.image)
            .then(|| FragmentIndex((committed / u32::from(self.fragment_bytes)) as u16))
    }

    fn on_modem(&mut self, event: &ModemEvent, flash: &[u8]) {
        let text = match event {
            ModemEvent::PayloadByte { .. } => return,
            ModemEvent::DatagramSent(datagram) => self.sent(datagram, flash),
            ModemEvent::DatagramRead(datagram) => self.read(datagram),
            ModemEvent::RegistrationAsked { registered } => format!("registered: {registered}"),
        };
        self.note(Happening::Modem(text));
    }

    /// The device sent this.
    fn sent(&mut self, datagram: &[u8], flash: &[u8]) -> String {
        if let Ok(frame) = pcp::Uplink::decode(datagram) {
            if let (pcp::Uplink::Fragment { index, .. }, Some(turn)) = (frame, self.turn())
                && let Some(index) = self.stream_index(index)
            {
                self.oracle.on_request(&[index], turn);
            }
            return format!("> {}", Words(frame));
        }
        match Uplink::decode(datagram) {
            Ok(Uplink::Status(status)) => {
                self.oracle.on_status(&status, flash, self.journal.as_ref());
                format!("> {}", Words(&status))
            }
            Ok(Uplink::Request { wanted, .. }) => {
                let indices: Vec<FragmentIndex> = wanted.indices().collect();
                if let Some(turn) = self.turn() {
                    self.oracle.on_request(&indices, turn);
                }
                let numbers: Vec<String> =
                    indices.iter().map(|index| index.0.to_string()).collect();
                format!("> request {}", numbers.join(" "))
            }
            Err(_) => format!("> {} bytes that are no message", datagram.len()),
        }
    }

    /// The device read this.
    fn read(&mut self, datagram: &[u8]) -> String {
        let mut bytes = datagram.to_vec();
        if let Ok(frame) = pcp::Downlink::decode(&mut bytes) {
            let pcp::Downlink::Fragment { index, .. } = frame else {
                return format!("< {}", Words(&frame));
            };
            if let (Some(turn), Some(arrived)) = (self.turn(), self.stream_index(index)) {
                self.oracle.on_delivered(arrived, turn);
            }
            return format!("< {}", Words(&frame));
        }
        match Downlink::decode(&mut bytes) {
            Ok(Downlink::Fragment { index, .. }) => {
                let Some(turn) = self.turn() else {
                    return "< fragment".to_owned();
                };
                let index = complete_index(turn, index);
                // Further ahead there is none: it is one of long ago.
                if index.0.wrapping_sub(turn.0) < u16::from(MAX_WINDOW) {
                    self.oracle.on_delivered(index, turn);
                }
                format!("< fragment {}", index.0)
            }
            Ok(Downlink::Offer { window, .. }) => format!("< offer, window {window}"),
            Ok(Downlink::Nothing { .. }) => "< nothing".to_owned(),
            Ok(Downlink::Refusal { result, .. }) => format!("< refusal: {}", Words(result)),
            Err(_) => format!("< {} bytes that are no message", datagram.len()),
        }
    }

    /// The fragment of the image that travels over PCP under this index.
    fn stream_index(&self, index: FragmentIndex) -> Option<FragmentIndex> {
        self.stream?.image_fragment(index)
    }
}

impl BoardObserver for Monitor {
    fn flash_op(&mut self, op: &FlashOp, flash: &[u8]) -> Decision {
        self.operations = op.number;
        self.last_sign_of_life = std::time::Instant::now();
        let phase = self.phase();
        let number = self.operations_in.entry(phase).or_default();
        *number += 1;
        let number_in_phase = *number;
        self.timeline.add(phase, Happening::Operation(*op));
        let before = self.journal;
        let after = if self.is_journal(op) {
            flash_view::journal_state_after(flash, self.facts.geometry, &self.facts.layout, op)
        } else {
            before
        };
        let empty = State::EMPTY;
        let decision = self.trigger.before_operation(&OperationContext {
            op,
            phase,
            number_in_phase,
            before: before.as_ref().unwrap_or(&empty),
            after: after.as_ref().unwrap_or(&empty),
        });
        match decision {
            Decision::Continue | Decision::CutAfter => {
                self.oracle
                    .on_operation(op, before.as_ref(), after.as_ref(), flash);
                if before != after {
                    if let Some(after) = &after {
                        self.note(Happening::Journal(Words(after.phase).to_string()));
                    }
                    self.journal = after;
                }
            }
            // A torn operation wears the unit like a whole one; the journal is read again when power is back.
            Decision::Cut { torn: Some(_) } => {
                self.oracle
                    .on_operation(op, before.as_ref(), before.as_ref(), flash);
            }
            Decision::Cut { torn: None } => {}
        }
        if decision != Decision::Continue {
            self.flash_before_cut = Some(flash.to_vec());
        }
        decision
    }

    fn flash_op_done(&mut self, _: &FlashOp, _: &[u8]) {}

    fn uart_byte(&mut self, byte: u8, flash: &[u8]) -> Decision {
        self.last_sign_of_life = std::time::Instant::now();
        self.sign_of_application(flash);
        let Some(event) = self.modem.from_device(byte) else {
            return Decision::Continue;
        };
        let phase = self.phase();
        let decision = self
            .trigger
            .on_modem(&event, self.operations, phase, self.journal.as_ref());
        self.on_modem(&event, flash);
        if decision != Decision::Continue {
            self.flash_before_cut = Some(flash.to_vec());
        }
        decision
    }

    fn pin_write(&mut self, _: u32, value: u32, flash: &[u8]) -> Decision {
        if value & self.facts.marker_pin.mask() != 0 {
            self.sign_of_application(flash);
        }
        Decision::Continue
    }

    fn device_reset(&mut self, cause: ResetCause, flash: &[u8]) {
        self.resets += 1;
        self.application = false;
        self.journal = flash_view::journal_state(flash, self.facts.geometry, &self.facts.layout);
        self.trigger.power_restored();
        self.note(Happening::Reset(cause));
        self.oracle.on_boot();
        // The runner may have given up on this boot already.
        self.waker.wake();
    }

    fn not_on_silicon(&mut self, what: &str) {
        let reason = format!("the firmware uses {what}, which this board's silicon does not have");
        self.oracle.report(Invariant::Expectation, reason);
    }
}
