//! The oracle's rules, each with what keeps it and what breaks it, on flash made by hand. Here: what all of them build on,
//! and L2.
mod fetching_tests;
mod image_tests;
mod status_tests;
mod wear_tests;

use super::*;
use crate::FlashOpKind;
use crate::fixture::{self, CHAIN, GEOMETRY, LAYOUT, PAGE, state};
use nor_flash_model::Unit;
use powercut_upgrade::slots::{Placement, Slot};

const SHIFTED: Placement = Placement::Shifted(CHAIN);

fn oracle() -> Oracle {
    Oracle::new(
        GEOMETRY,
        &LAYOUT,
        fixture::images(),
        1,
        Sight::EVERYTHING,
        &fixture::provisioned(),
    )
}

/// What the oracle complains of, in order.
fn broken(oracle: &Oracle) -> Vec<Invariant> {
    oracle.violations().iter().map(|v| v.invariant).collect()
}

fn reasons(oracle: &Oracle) -> String {
    format!("{:?}", oracle.violations())
}

fn trial() -> State {
    state(JournalPhase::Trial { attempts: 1 })
}

/// Flash with the new image on trial, the old one kept in STAGING.
fn on_trial() -> Vec<u8> {
    let Images { old, new } = fixture::images();
    let mut flash = fixture::provisioned();
    fixture::put(&mut flash, Slot::Active, Placement::Plain, &new);
    fixture::put(&mut flash, Slot::Staging, SHIFTED, &old);
    fixture::write_journal(&mut flash, trial());
    flash
}

fn downloading(committed: u32) -> State {
    state(JournalPhase::Downloading {
        committed,
        programs: 1,
    })
}

/// Flash in which the journal and STAGING have this much of the new image.
fn downloaded(committed: usize) -> Vec<u8> {
    let mut flash = fixture::provisioned();
    let staging = LAYOUT.staging.start as usize;
    flash[staging..staging + committed]
        .copy_from_slice(&fixture::images().new.image()[..committed]);
    fixture::write_journal(&mut flash, downloading(committed as u32));
    flash
}

fn word(address: u32) -> FlashOp {
    FlashOp {
        number: 7,
        kind: FlashOpKind::Program {
            address,
            before: Unit::from(u32::MAX),
            value: Unit::from(0),
        },
    }
}

fn erase(address: u32) -> FlashOp {
    FlashOp {
        number: 7,
        kind: FlashOpKind::Erase { address },
    }
}

/// The journal goes from one state to the next by an operation in it.
fn record(oracle: &mut Oracle, flash: &[u8], before: &State, after: &State) {
    let op = erase(LAYOUT.identification_page(5));
    oracle.on_operation(&op, Some(before), Some(after), flash);
}

/// An operation that says nothing in the journal.
fn operate(oracle: &mut Oracle, op: FlashOp) {
    let same = downloading(0);
    oracle.on_operation(&op, Some(&same), Some(&same), &[]);
}

#[test]
fn l2_boots_are_counted_from_the_last_cut() {
    let mut oracle = oracle();
    for _ in 0..7 {
        oracle.on_boot();
    }
    oracle.after_cut(&fixture::provisioned());
    for _ in 0..7 {
        oracle.on_boot();
    }
    assert_eq!(broken(&oracle), []);
    oracle.on_boot();
    oracle.on_boot();
    assert_eq!(broken(&oracle), [Invariant::L2]);
    assert_eq!(oracle.boots(), 16);
}

#[test]
fn l2_an_image_runs_on_trial_as_often_as_its_manifest_allows_whatever_the_journal_counts() {
    let mut oracle = oracle();
    for _ in 0..3 {
        oracle.on_application(&on_trial(), Some(&trial()));
    }
    assert_eq!(broken(&oracle), []);
    oracle.on_application(&on_trial(), Some(&trial()));
    assert_eq!(broken(&oracle), [Invariant::L2]);
}

#[test]
fn the_same_complaint_is_made_five_times_at_most() {
    let mut oracle = oracle();
    for _ in 0..9 {
        oracle.report(Invariant::L1, "again".to_owned());
    }
    assert_eq!(oracle.violations().len(), 5);
}
