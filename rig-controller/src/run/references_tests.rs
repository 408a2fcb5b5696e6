use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::plan::Plan;
use powercut_bench::inventory::Bench;
use powercut_oracle::oracle::Violation;

const UPGRADE: &str = "upgrade: { from: 1.0.0, to: 1.1.0 }\n";

fn cases(axes: &str) -> Vec<Case> {
    let text = format!("plan: p\n{axes}");
    Plan::parse(Path::new("p.yaml"), &text).unwrap().cases()
}

fn boards(text: &str) -> Vec<BoardEntry> {
    let text = format!("bench: b\nboards:\n{text}");
    Bench::parse(Path::new("b.yaml"), &text).unwrap().boards
}

fn one_board() -> BoardEntry {
    boards("  - { name: a, virtual: microbit }\n").swap_remove(0)
}

/// The seeds of the reference runs it takes to run `cases` on `boards` in turn.
fn runs(cases: &[Case], boards: &[BoardEntry]) -> Vec<u64> {
    let references = References::default();
    let mut seeds = Vec::new();
    for (case, board) in cases.iter().zip(boards.iter().cycle()) {
        references.get(case, board, case.modem_power, |uncut| {
            assert!(uncut.cuts.is_empty());
            assert_eq!(uncut.link, "ideal");
            seeds.push(uncut.seed);
            CaseReport::not_run(Verdict::Pass)
        });
    }
    seeds
}

#[test]
fn repetitions_and_links_share_a_reference_run_and_images_and_sizes_do_not() {
    let alike =
        "upgrade: { from: 1.0.0, to: 1.1.0 }\nrepeat: 3\nmatrix: { link: [ideal, lossy] }\n";
    assert_eq!(runs(&cases(alike), &[one_board()]).len(), 1);
    let unlike = "upgrade: { from: 1.0.0 }\nmatrix: { fragment_bytes: [160, 500], to: [1.1.0, 1.1.0-short], modem_power: [stays, with_board] }\n";
    let mut seeds = runs(&cases(unlike), &[one_board()]);
    assert_eq!(seeds.len(), 8);
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 8);
}

#[test]
fn a_board_with_a_broken_modem_does_not_speak_for_the_others() {
    let boards = boards(
        "  - { name: a, virtual: microbit }\n  - { name: b, virtual: microbit, modem: { fault: never-registers } }\n",
    );
    assert_eq!(
        runs(&cases(&format!("{UPGRADE}repeat: 4\n")), &boards).len(),
        2
    );
}

#[test]
fn the_seed_of_a_reference_run_does_not_tell_which_case_asked_first() {
    let mut cases = cases(&format!("{UPGRADE}repeat: 2\n"));
    let forwards = runs(&cases, &[one_board()]);
    cases.reverse();
    assert_eq!(runs(&cases, &[one_board()]), forwards);
}

#[test]
fn workers_that_need_the_same_reference_run_at_once_wait_for_one_of_them() {
    let (case, board) = (cases(UPGRADE).swap_remove(0), one_board());
    let references = References::default();
    let (begun, together) = (AtomicUsize::new(0), Barrier::new(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                together.wait();
                let report = references.get(&case, &board, ModemPower::Stays, |_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    CaseReport::not_run(Verdict::Pass)
                });
                assert!(report.is_some());
            });
        }
    });
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

fn failed(violated: &[Invariant]) -> CaseReport {
    let violations: Vec<Violation> = violated
        .iter()
        .map(|invariant| Violation {
            invariant: *invariant,
            reason: format!("broken {invariant}"),
        })
        .collect();
    let verdict = Verdict::FirmwareFailure {
        invariant: violated[0],
        reason: violations[0].reason.clone(),
    };
    CaseReport {
        violations,
        ..CaseReport::not_run(verdict)
    }
}

#[test]
fn an_uncut_run_need_not_end_as_the_plan_expects_of_the_cut_one_but_must_be_sound() {
    assert_eq!(objection(&failed(&[Invariant::Expectation])), None);
    let objection = objection(&failed(&[Invariant::Expectation, Invariant::S2])).unwrap();
    assert_eq!(objection.invariant(), Some(Invariant::S2));
    assert_eq!(
        objection.reason(),
        Some("the uncut reference run ended badly: broken S2")
    );
}
