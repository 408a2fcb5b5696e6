use powercut_upgrade::factory::{DeviceId, DeviceKey};
use powercut_upgrade::manifest::{ImageId, SecurityCounter, Version};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{
    Activity, Challenge, Handle, LeanKey, Status, Uplink, WIRE_VERSION, Wanted,
};
use powercut_upgrade::wire::{Dialect, MAX_UPLINK_BYTES};

use std::time::Duration;

use super::*;
use nor_flash_model::Unit;
use powercut_oracle::fixture::{self, GEOMETRY, LAYOUT, NEW_BYTES};
use powercut_oracle::outage::Outage;
use powercut_oracle::seen::{Seen, Source};

const GO_ON: Order = Order::GoOn;
const CLEAN: Order = Order::Cut { torn: None };
const HALF: Order = Order::Cut {
    torn: Some(TornShape::Half),
};
const RECORD: u32 = Layout::MICROBIT.identification.start + 80;

/// Plays the operations of a download to a trigger.
struct Device {
    trigger: Trigger,
    operations: u64,
    committed: u32,
}

impl Device {
    fn planned(cuts: &[&str]) -> Self {
        Self::planned_on(GEOMETRY, cuts)
    }

    fn planned_on(geometry: Geometry, cuts: &[&str]) -> Self {
        let cuts: Vec<Cut> = cuts.iter().map(|cut| cut.parse().unwrap()).collect();
        Self {
            trigger: Trigger::new(geometry, &LAYOUT, fixture::images().new.manifest(), &cuts),
            operations: 0,
            committed: 0,
        }
    }

    fn operation(&mut self, phase: Phase, kind: FlashOpKind, committed: u32) -> Order {
        self.operations += 1;
        let op = FlashOp {
            number: self.operations,
            kind,
        };
        let decision = self.trigger.before_operation(&OperationContext {
            op: &op,
            phase,
            number_in_phase: self.operations,
            before: &downloading(self.committed),
            after: &downloading(committed),
        });
        if matches!(decision, Order::GoOn | Order::CutAfter) {
            self.committed = committed;
        }
        if decision != Order::GoOn {
            self.trigger.power_restored();
        }
        decision
    }

    fn word(&mut self, address: u32) -> Order {
        let committed = self.committed;
        self.operation(Phase::Download, word(address), committed)
    }

    /// One word of the image's data.
    fn data(&mut self, offset: u32) -> Order {
        self.word(LAYOUT.staging.start + offset)
    }

    /// The second word of a record: the one that makes it count.
    fn record(&mut self, committed: u32) -> Order {
        self.operation(Phase::Download, word(RECORD + 4), committed)
    }

    fn missing(&self) -> Vec<String> {
        self.trigger.waiting().map(Cut::to_string).collect()
    }

    fn fired(&self) -> Vec<(String, u64)> {
        self.trigger
            .fired()
            .iter()
            .map(|cut| (cut.planned.to_string(), cut.operation.unwrap()))
            .collect()
    }

    /// Sends a payload byte by byte; the position of the byte at which power goes.
    fn send(&mut self, payload: &[u8]) -> Option<usize> {
        let journal = downloading(self.committed);
        (0..payload.len()).find(|&index| {
            let so_far = &payload[..=index];
            let what = if index + 1 == payload.len() {
                What::Sent(so_far)
            } else {
                What::Sending {
                    so_far,
                    length: payload.len(),
                }
            };
            let seen = Seen {
                at: Duration::ZERO,
                by: Source::Link,
                what,
            };
            let order = self.trigger.read(&Moment {
                seen: &seen,
                flash: None,
                phase: Some(Phase::Download),
                journal: Some(journal),
                after: Some(journal),
                operations: Some(self.operations),
                number_in_phase: 0,
                starts_application: false,
                turn: None,
            });
            order != Order::GoOn
        })
    }
}

fn word(address: u32) -> FlashOpKind {
    FlashOpKind::Program {
        address,
        before: Unit::from(u32::MAX),
        value: Unit::from(0),
    }
}

fn downloading(committed: u32) -> State {
    fixture::state(JournalPhase::Downloading {
        committed,
        programs: 1,
    })
}

fn bytes(message: &Uplink) -> Vec<u8> {
    let mut out = [0; MAX_UPLINK_BYTES];
    let key = LeanKey::of(&DeviceKey([1; 32]));
    let length = message.encode(&key, &mut out);
    out[..length].to_vec()
}

fn status() -> Vec<u8> {
    bytes(&Uplink::Status(Status {
        dialect: Dialect::Lean,
        wire_version: WIRE_VERSION,
        window: 1,
        device: DeviceId(*b"device01"),
        hardware: 0x51,
        version: Version {
            major: 1,
            minor: 0,
            patch: 0,
        },
        running: ImageId::NONE,
        security_counter: SecurityCounter(2),
        activity: Activity::Idle,
        result: ResultCode::Ok,
        result_image: ImageId::NONE,
        challenge: Challenge::default(),
    }))
}

fn request(index: u16) -> Vec<u8> {
    bytes(&Uplink::Request {
        handle: Handle([1; 2]),
        wanted: Wanted::one(FragmentIndex(index)),
    })
}

#[test]
fn a_shape_fits_the_units_and_pages_of_the_flash_it_is_given() {
    let erase = FlashOpKind::Erase {
        address: LAYOUT.staging.start,
    };
    let write_once = Geometry::new(8, 2048, 1, 128).unwrap();
    for (geometry, cut, kind, fits) in [
        (write_once, "op1/prefix:7", word(0), true),
        (write_once, "op1/prefix:8", word(0), false),
        (write_once, "op1/all-but:7", word(0), true),
        (write_once, "op1/prefix:2047", erase, true),
        (write_once, "op1/all-but:2048", erase, false),
        (GEOMETRY, "op1/prefix:1023", erase, true),
        (GEOMETRY, "op1/prefix:1024", erase, false),
    ] {
        let mut device = Device::planned_on(geometry, &[cut]);
        let decision = device.operation(Phase::Download, kind, 0);
        assert_eq!(decision != GO_ON, fits, "{cut} on {geometry}");
    }
}

#[test]
fn an_operation_cut_comes_after_the_operation_it_names_and_no_other() {
    let mut device = Device::planned(&["op2"]);
    assert_eq!(device.data(0), GO_ON);
    assert_eq!(device.data(4), Order::CutAfter);
    assert_eq!(device.data(8), GO_ON);
    assert_eq!(device.fired(), [("op2".to_owned(), 2)]);
}

#[test]
fn an_operation_cut_before_its_operation_leaves_nothing_of_it_and_one_in_it_leaves_a_part() {
    let mut device = Device::planned(&["op2/before", "op4/half"]);
    let decisions = [0, 4, 8, 12, 16].map(|offset| device.data(offset));
    assert_eq!(decisions, [GO_ON, CLEAN, GO_ON, HALF, GO_ON]);
    let fired = [("op2/before".to_owned(), 1), ("op4/half".to_owned(), 4)];
    assert_eq!(device.fired(), fired);
}

#[test]
fn a_shape_that_no_unit_has_is_a_cut_that_never_happens() {
    let mut device = Device::planned(&["op1/prefix:4", "op2/prefix:3", "op3/all-but:4"]);
    let decisions = [0, 4, 8].map(|offset| device.data(offset));
    assert_eq!(decisions[0], GO_ON);
    assert_ne!(decisions[1], GO_ON);
    assert_eq!(decisions[2], GO_ON);
    assert_eq!(device.fired(), [("op2/prefix:3".to_owned(), 2)]);
    assert_eq!(device.missing().len(), 2);
}

#[test]
fn a_phase_cut_hits_its_number_in_its_phase_only() {
    let mut device = Device::planned(&["swap+2", "swap+3/before", "trial+5/half"]);
    let at = word(LAYOUT.active.start);
    assert_eq!(device.operation(Phase::Swap, at, 0), GO_ON);
    assert_eq!(device.operation(Phase::Swap, at, 0), Order::CutAfter);
    assert_eq!(device.operation(Phase::Swap, at, 0), CLEAN);
    assert_eq!(device.operation(Phase::Trial, at, 0), GO_ON);
    assert_eq!(device.operation(Phase::Trial, at, 0), HALF);
    assert_eq!(device.missing(), [""; 0]);
}

#[test]
fn before_data_is_before_the_first_word_of_the_fragment_even_if_its_page_was_erased_first() {
    let mut device = Device::planned(&["f1/before-data"]);
    assert_eq!(device.data(156), GO_ON, "the end of fragment 0");
    assert_eq!(device.record(160), GO_ON);
    let erase = FlashOpKind::Erase {
        address: LAYOUT.staging.start,
    };
    assert_eq!(device.operation(Phase::Download, erase, 160), GO_ON);
    assert_eq!(device.data(160), CLEAN);
    assert_eq!(device.data(160), GO_ON, "once is enough");
}

#[test]
fn after_data_is_before_the_first_word_of_the_record() {
    let mut device = Device::planned(&["f0/after-data", "f1/after-data/half"]);
    assert_eq!(device.data(0), GO_ON);
    assert_eq!(device.data(156), GO_ON);
    assert_eq!(device.word(RECORD), CLEAN);
    assert_eq!(device.word(RECORD), GO_ON, "nothing was written since");
    assert_eq!(device.data(160), GO_ON);
    assert_eq!(device.word(RECORD), HALF, "torn is what comes next");
}

#[test]
fn after_record_waits_for_the_word_that_makes_the_record_count() {
    let mut device = Device::planned(&["f0/after-record"]);
    assert_eq!(device.data(156), GO_ON);
    assert_eq!(device.word(RECORD), GO_ON, "half a record is none");
    assert_eq!(device.record(160), Order::CutAfter);
    assert_eq!(device.trigger.fired()[0].fragment, Some(0));
}

#[test]
fn after_record_torn_tears_the_operation_that_comes_next() {
    let mut device = Device::planned(&["f0/after-record/half"]);
    assert_eq!(device.data(156), GO_ON);
    assert_eq!(device.record(160), GO_ON, "the record stays whole");
    assert_eq!(
        device.missing(),
        ["f0/after-record/half"],
        "it has not happened yet"
    );
    assert_eq!(device.data(160), HALF);
    assert_eq!(device.missing(), [""; 0]);
    assert_eq!(device.data(160), GO_ON);
}

#[test]
fn the_last_fragment_is_recorded_at_the_end_of_the_image() {
    let last = NEW_BYTES as u32 / 160;
    let mut device = Device::planned(&[&format!("f{last}/after-record")]);
    device.committed = last * 160;
    assert_eq!(device.record(NEW_BYTES as u32), Order::CutAfter);
}

#[test]
fn what_is_planned_twice_happens_twice_one_after_the_other() {
    let mut device = Device::planned(&["f0/after-data", "f0/after-data"]);
    for _ in 0..2 {
        assert_eq!(device.data(0), GO_ON);
        assert_eq!(device.word(RECORD), CLEAN);
    }
    assert_eq!(device.data(0), GO_ON);
    assert_eq!(device.word(RECORD), GO_ON);
    assert_eq!(device.fired().len(), 2);
}

#[test]
fn an_event_that_two_cuts_wait_for_fires_one_of_them() {
    let mut device = Device::planned(&["op1", "f0/before-data"]);
    assert_eq!(device.data(0), Order::CutAfter);
    assert_eq!(device.missing(), ["f0/before-data"]);
}

#[test]
fn cuts_that_did_not_come_about_are_listed_and_fired_ones_are_not() {
    let mut device = Device::planned(&["op1", "op900", "request3/0", "f19/after-data"]);
    device.data(0);
    assert_eq!(device.missing(), ["op900", "request3/0", "f19/after-data"]);
}

#[test]
fn a_request_is_cut_by_its_number_after_its_first_its_middle_and_its_last_byte() {
    for byte in [0, 5, MIN_REQUEST_BYTES - 1] {
        let mut device = Device::planned(&[&format!("request2/{byte}")]);
        device.committed = 320;
        assert_eq!(device.send(&request(7)), None, "the first one");
        assert_eq!(device.send(&status()), None, "no request at all");
        assert_eq!(device.send(&request(7)), Some(byte));
        assert_eq!(device.send(&request(7)), None, "the third one");
        assert_eq!(
            device.trigger.fired()[0].fragment,
            Some(2),
            "by the journal"
        );
    }
}

#[test]
fn a_request_in_pcp_counts_like_any_other() {
    let mut device = Device::planned(&["request2/9"]);
    let mut frame = [0; MAX_UPLINK_BYTES];
    let length = pcp::Uplink::Fragment {
        version: pcp::VersionText::default(),
        index: FragmentIndex(4),
    }
    .encode(&mut frame);
    assert_eq!(device.send(&frame[..length]), None);
    assert_eq!(device.send(&frame[..length]), Some(9));
}

#[test]
fn a_status_message_is_cut_by_its_number_after_its_first_its_middle_and_its_last_byte() {
    for byte in [0, 30, MIN_STATUS_BYTES - 1] {
        let mut device = Device::planned(&[&format!("status2/{byte}")]);
        assert_eq!(device.send(&status()), None, "the first one");
        assert_eq!(device.send(&request(0)), None, "no status at all");
        assert_eq!(device.send(&status()), Some(byte));
        assert_eq!(device.send(&status()), None, "the third one");
    }
}

#[test]
fn a_moment_of_a_boot_comes_in_that_boot_alone_and_once() {
    let mut trigger = Device::planned(&["boot2/5000us", "boot2/70us"]).trigger;
    let mut tell = |at_ms: u64, what: What<'_>| {
        let (at, by) = (Duration::from_millis(at_ms), Source::Rig);
        let seen = Seen { at, by, what };
        let order = trigger.read(&Moment {
            seen: &seen,
            flash: None,
            phase: Some(Phase::Download),
            journal: None,
            after: None,
            operations: Some(3),
            number_in_phase: 0,
            starts_application: false,
            turn: None,
        });
        (order, trigger.due())
    };
    assert_eq!(tell(1, What::PowerOn), (GO_ON, None));
    let outage = Outage::default();
    tell(2, What::PowerOff { cut: None, outage });
    let first = Duration::from_micros(10_070);
    assert_eq!(tell(10, What::PowerOn), (GO_ON, Some(first)));
    assert_eq!(tell(11, What::Due), (CLEAN, None));
    // The other one was of the same boot, which has no second end.
    assert_eq!(tell(12, What::Due), (GO_ON, None));
    assert_eq!(trigger.fired().len(), 1);
    assert_eq!(trigger.fired()[0].operation, Some(3));
    assert_eq!(trigger.waiting().count(), 1);
}
