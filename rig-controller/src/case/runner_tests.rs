//! Whole cases without an emulator, on a board in this process, against the real virtual modem and a real platform.
#[path = "runner/power_tests.rs"]
mod power_tests;

use std::net::{Ipv4Addr, SocketAddr};

use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

use super::super::fake_board::{BOARD, Firmware, board};
use super::*;
use crate::plan::{Expect, FinalImage};
use powercut_bench::link::Play;
use powercut_bench::modem::{ModemFault, ModemHabits, ModemPower};
use powercut_bench::relay::Power;
use powercut_oracle::fixture::{self, DEVICE, DEVICE_KEY, LAYOUT};
use powercut_oracle::rulings::Ruling;
use powercut_oracle::sight::{FlashSight, Sight};
use powercut_oracle::verdict::Outcome;
use powercut_platform::UdpPlatform;

/// A case about the small images of the fixture.
struct Table {
    cuts: Vec<Cut>,
    flash: Vec<u8>,
    modem_power: ModemPower,
    modem_fault: Option<ModemFault>,
    timeout: Duration,
    expect: Expect,
    cancel: Cancel,
    sight: Sight,
}

impl Table {
    /// A case that has time enough to end by itself.
    fn with_cuts(cuts: &[&str]) -> Self {
        Self {
            cuts: cuts.iter().map(|cut| cut.parse().unwrap()).collect(),
            flash: fixture::provisioned(),
            modem_power: ModemPower::Stays,
            modem_fault: None,
            timeout: Duration::from_mins(1),
            expect: Expect {
                final_image: FinalImage::To,
                outcome: Outcome::Confirmed,
                refetch_fragments_per_cut: 1,
            },
            cancel: Cancel::default(),
            sight: Sight::EVERYTHING,
        }
    }

    /// A case that ends because its time is up.
    fn short() -> Self {
        Self {
            timeout: Duration::from_millis(200),
            ..Self::with_cuts(&[])
        }
    }

    fn run_and_tell(&self, firmware: Firmware, on_cut: &dyn Fn(&FiredCut)) -> CaseReport {
        let link = Play {
            power: Some(self.modem_power),
            fault: self.modem_fault,
        };
        let mut on = board(firmware, self.sight, link);
        self.cancel.also_wake(on.board.waker());
        let case = Case {
            plan: "test".to_owned(),
            plan_seed: 1,
            index: 1,
            group: "all".to_owned(),
            from: "1.0.0".parse().unwrap(),
            to: "1.1.0".parse().unwrap(),
            link: "ideal".to_owned(),
            suite: Suite::ChaCha20Poly1305,
            fragment_bytes: 160,
            dialect: Dialect::Lean,
            window: 32,
            repetition: 1,
            seed: 1,
            cuts: Vec::new(),
            cut_places: Vec::new(),
            modem: ModemHabits::default(),
            modem_power: self.modem_power,
            off_time: Duration::ZERO,
            timeout: self.timeout,
            expect: self.expect,
        };
        let platform = UdpPlatform::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let setup = CaseSetup {
            case: &case,
            cuts: &self.cuts,
            flash: &self.flash,
            images: fixture::images(),
            device: (DEVICE, DEVICE_KEY),
            link: &LinkProfile::ideal(),
            time_scale: TimeScale::REAL,
            board: BOARD,
            platform: &platform,
            cancel: &self.cancel,
            on_cut,
        };
        let report = run(&setup, &mut on);
        if firmware != Firmware::RelaySticks {
            assert_eq!(
                on.relay.power(),
                Power::Off,
                "the board is on after the case"
            );
        }
        report
    }
}

fn ran(table: &Table, firmware: Firmware) -> CaseReport {
    table.run_and_tell(firmware, &|_| {})
}

/// Class and text of the verdict.
fn verdict(report: &CaseReport) -> String {
    report.verdict.as_ref().unwrap().to_string()
}

#[test]
fn sound_firmware_passes_uncut() {
    let report = ran(&Table::with_cuts(&[]), Firmware::Sound);
    assert_eq!(
        report.verdict,
        Some(Verdict::Pass),
        "{}\n{:?}",
        report.timeline,
        report.violations
    );
    assert_eq!(report.counts.fetched_again, Some(0));
    assert_eq!(report.counts.fragments, 20);
    assert_eq!(
        report.snapshots.len(),
        1,
        "flash at the end, and nothing else"
    );
}

#[test]
fn sound_firmware_passes_cut_in_each_way_and_each_cut_is_told_of_with_flash_before_and_after() {
    for modem_power in [ModemPower::Stays, ModemPower::WithBoard] {
        let cuts = [
            "status1/20",
            "f3/after-data/half",
            "request3/5",
            "f3/after-data/half",
            "f12/after-record",
            "verify+1/other-half",
            "swap+100/half",
            "trial+1/before",
            "confirm+1/bits:7",
        ];
        let table = Table {
            modem_power,
            ..Table::with_cuts(&cuts)
        };
        let told = std::cell::RefCell::new(Vec::new());
        let report = table.run_and_tell(Firmware::Sound, &|cut| {
            told.borrow_mut().push(cut.clone());
        });
        assert_eq!(
            report.verdict,
            Some(Verdict::Pass),
            "{}\n{:?}",
            report.timeline,
            report.violations
        );
        let fired: Vec<String> = report
            .fired
            .iter()
            .map(|cut| cut.planned.to_string())
            .collect();
        assert_eq!(fired, cuts);
        assert_eq!(told.take(), report.fired);
        let with_before = report
            .snapshots
            .iter()
            .filter(|snapshot| matches!(snapshot.taken, Taken::AfterCut(Some(_))));
        assert_eq!(with_before.count(), cuts.len());
        assert_eq!(report.snapshots.len(), cuts.len() + 1);
    }
}

#[test]
fn firmware_that_never_confirms_is_reverted_and_the_plan_decides_whether_that_is_right() {
    let mut table = Table::with_cuts(&[]);
    let report = ran(&table, Firmware::NeverConfirms);
    assert!(
        verdict(&report)
            .starts_with("firmware failure (Expectation): the plan expects the upgrade confirmed and the new image running; it ended reverted, with the old image (journal: reverted)"),
        "{}",
        verdict(&report)
    );
    table.expect.final_image = FinalImage::From;
    table.expect.outcome = Outcome::Reverted;
    let report = ran(&table, Firmware::NeverConfirms);
    assert_eq!(
        report.verdict,
        Some(Verdict::Pass),
        "{:?}",
        report.violations
    );
}

#[test]
fn a_cut_that_is_never_reached_makes_a_case_inconclusive_and_not_a_pass() {
    let report = ran(&Table::with_cuts(&["op1", "op999999"]), Firmware::Sound);
    assert_eq!(report.fired.len(), 1);
    assert_eq!(
        verdict(&report),
        "inconclusive: T1: planned cuts never came about: op999999; the run did not reach them"
    );
}

#[test]
fn a_silence_is_the_benchs_failure_if_the_bench_does_not_answer_either() {
    let report = ran(&Table::short(), Firmware::StopsAnswering);
    let text = verdict(&report);
    assert!(
        text.starts_with("bench error: ") && text.contains("answering failed"),
        "{text}"
    );
}

#[test]
fn a_board_that_stays_silent_with_power_and_a_network_is_the_firmwares_failure() {
    let report = ran(&Table::short(), Firmware::Silent);
    assert_eq!(
        report.verdict.unwrap().invariant(),
        Some(Invariant::L2),
        "{}",
        report.timeline
    );
}

#[test]
fn a_modem_that_never_registers_is_an_error_of_the_bench() {
    let table = Table {
        modem_fault: Some(ModemFault::NeverRegisters),
        ..Table::short()
    };
    for firmware in [Firmware::Silent, Firmware::Sound] {
        let report = ran(&table, firmware);
        assert!(
            verdict(&report).starts_with("bench error: the modem never registered"),
            "{}",
            verdict(&report)
        );
    }
}

#[test]
fn a_board_still_at_work_when_time_is_up_proves_nothing() {
    let report = ran(&Table::short(), Firmware::Chatters);
    assert!(
        verdict(&report).starts_with("inconclusive: the device was still working"),
        "{}",
        verdict(&report)
    );
}

#[test]
fn an_application_that_runs_on_a_damaged_image_is_the_firmwares_failure_whatever_else_the_bench_lacks()
 {
    let mut table = Table {
        modem_fault: Some(ModemFault::NeverRegisters),
        ..Table::short()
    };
    table.flash[LAYOUT.active.start as usize + 500] ^= 1;
    let report = ran(&table, Firmware::JumpsBlindly);
    assert_eq!(report.verdict.unwrap().invariant(), Some(Invariant::S1));
}

#[test]
fn a_core_that_locks_up_is_the_firmwares_failure() {
    let report = ran(&Table::short(), Firmware::LocksUp);
    assert_eq!(report.verdict.unwrap().invariant(), Some(Invariant::S1));
}

#[test]
fn whatever_the_board_cannot_do_is_an_error_of_the_bench_and_says_what() {
    for (firmware, doing) in [
        (Firmware::NoProvisioning, "provisioning failed: on purpose"),
        (Firmware::NoStart, "starting failed: on purpose"),
        (Firmware::NoWait, "waiting failed: on purpose"),
        (Firmware::WrongRecord, "this is a fault of the bench"),
    ] {
        let report = ran(&Table::with_cuts(&[]), firmware);
        let text = verdict(&report);
        assert!(
            text.starts_with("bench error: ") && text.contains(doing),
            "{text}"
        );
    }
}

#[test]
fn each_invariant_that_was_checked_held_and_only_those_are_said_to_be() {
    let report = ran(&Table::with_cuts(&["f5/after-data"]), Firmware::Sound);
    assert_eq!(report.rulings.checked(), Invariant::ALL);
    let report = ran(&Table::with_cuts(&[]), Firmware::Sound);
    let not: Vec<_> = report.rulings.not_observed().collect();
    assert_eq!(not, [(Invariant::T1, "no cut was planned")]);
}

#[test]
fn silicon_that_shows_flash_only_when_held_is_cut_by_what_it_sends_and_judged_by_what_is_found() {
    let silicon = Sight {
        operations: false,
        flash: FlashSight::Held,
        marker: false,
        ..Sight::EVERYTHING
    };
    let table = Table {
        sight: silicon,
        ..Table::with_cuts(&["request3/5", "status2/20"])
    };
    let report = ran(&table, Firmware::Sound);
    assert_eq!(report.verdict, Some(Verdict::Pass), "{}", report.timeline);
    assert_eq!(report.fired.len(), 2);
    assert_eq!(report.fired[0].phase, None, "the phase cannot be seen");
    assert_eq!(report.counts.flash_operations, None);
    assert_eq!(report.snapshots.len(), 3);
    for invariant in [Invariant::S3, Invariant::L1, Invariant::L3, Invariant::L4] {
        let ruling = report.rulings.get(invariant).unwrap();
        assert!(
            matches!(ruling, Ruling::NotObserved(why) if why.starts_with("this board cannot show")),
            "{invariant}: {ruling:?}"
        );
    }
    for invariant in [
        Invariant::S1,
        Invariant::S2,
        Invariant::T1,
        Invariant::Expectation,
    ] {
        assert_eq!(
            report.rulings.get(invariant),
            Some(&Ruling::Held),
            "{invariant}"
        );
    }
}

#[test]
fn hiding_operations_or_datagrams_takes_rulings_away_and_fails_nothing() {
    for (sight, cuts, hidden) in [
        (
            Sight {
                operations: false,
                ..Sight::EVERYTHING
            },
            &["request3/5"],
            &[Invariant::S3, Invariant::L1, Invariant::L3][..],
        ),
        (
            // The device of these tests has no marker pin.
            Sight {
                datagrams: false,
                marker: false,
                ..Sight::EVERYTHING
            },
            &["f5/after-data"],
            &[Invariant::S4, Invariant::L1, Invariant::L4],
        ),
    ] {
        let table = Table {
            sight,
            ..Table::with_cuts(cuts)
        };
        let report = ran(&table, Firmware::Sound);
        assert_eq!(
            report.verdict,
            Some(Verdict::Pass),
            "{:?}",
            report.violations
        );
        let not: Vec<Invariant> = report.rulings.not_observed().map(|(it, _)| it).collect();
        assert_eq!(not, hidden);
    }
}

#[test]
fn a_pause_that_the_bench_knows_of_is_not_held_against_the_firmware() {
    let report = ran(&Table::short(), Firmware::Pauses);
    assert!(
        verdict(&report).starts_with("inconclusive: the device was still working"),
        "{}",
        verdict(&report)
    );
}

#[test]
fn without_a_witness_no_cut_is_proved() {
    let table = Table {
        sight: Sight {
            off_proved: false,
            ..Sight::EVERYTHING
        },
        ..Table::with_cuts(&["f5/after-data"])
    };
    let report = ran(&table, Firmware::Sound);
    assert_eq!(report.verdict, Some(Verdict::Pass));
    let ruling = report.rulings.get(Invariant::T1).unwrap();
    assert!(matches!(ruling, Ruling::NotObserved(_)), "{ruling:?}");
}

#[test]
fn a_cancelled_case_has_no_verdict() {
    let before = Table::with_cuts(&[]);
    before.cancel.cancel();
    assert_eq!(ran(&before, Firmware::Silent).verdict, None);

    let during = Table::with_cuts(&["f5/after-data"]);
    let report = during.run_and_tell(Firmware::Sound, &|_| {
        during.cancel.cancel();
    });
    assert_eq!(report.verdict, None);
    assert_eq!(report.fired.len(), 1, "what happened is still told");
}
