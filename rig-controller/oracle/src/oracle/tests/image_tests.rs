//! S1, S2 and S4: which image may run, what the journal may say of STAGING, and that neither a rollback nor the loss of the
//! way back passes.
use powercut_upgrade::manifest::ImageId;

use super::*;

#[test]
fn s1_the_old_image_and_the_new_one_may_run_whole() {
    let mut oracle = oracle();
    let old = fixture::provisioned();
    oracle.on_application(
        &old,
        flash_view::journal_state(&old, GEOMETRY, &LAYOUT).as_ref(),
    );
    oracle.on_application(&on_trial(), Some(&trial()));
    assert_eq!(broken(&oracle), [], "{}", reasons(&oracle));
}

#[test]
fn s1_a_mixture_of_two_images_must_not_run() {
    let mut flash = on_trial();
    let page = LAYOUT.active.start as usize + PAGE;
    flash[page..page + PAGE].copy_from_slice(&fixture::images().old.image()[PAGE..2 * PAGE]);
    let mut oracle = oracle();
    oracle.on_application(&flash, Some(&trial()));
    assert_eq!(broken(&oracle), [Invariant::S1]);
}

#[test]
fn s1_a_whole_image_with_a_damaged_manifest_or_that_of_the_other_must_not_run() {
    let at = LAYOUT.manifest(Slot::Active, Placement::Plain) as usize;
    let mut damaged = on_trial();
    damaged[at + 60] ^= 1;
    let mut exchanged = on_trial();
    let other = fixture::images().old.signed().encode();
    exchanged[at..at + other.len()].copy_from_slice(&other);
    for flash in [damaged, exchanged] {
        let mut oracle = oracle();
        oracle.on_application(&flash, Some(&trial()));
        assert_eq!(broken(&oracle), [Invariant::S1]);
    }
}

#[test]
fn s1_a_device_must_not_write_to_its_bootloader_or_its_identity() {
    for op in [word(0x100), word(LAYOUT.factory.start), erase(0x7C00)] {
        let mut oracle = oracle();
        operate(&mut oracle, op);
        assert!(broken(&oracle).contains(&Invariant::S1), "{op:?}");
    }
}

#[test]
fn s2_ready_is_fine_when_staging_holds_the_image_and_a_lie_when_a_byte_differs() {
    let size = fixture::NEW_BYTES;
    let mut flash = downloaded(size);
    let ready = state(JournalPhase::Ready);
    let mut sound = oracle();
    record(&mut sound, &flash, &downloading(size as u32), &ready);
    assert_eq!(broken(&sound), []);

    flash[LAYOUT.staging.start as usize + size - 1] ^= 1;
    let mut wrong = oracle();
    record(&mut wrong, &flash, &downloading(size as u32), &ready);
    assert_eq!(broken(&wrong), [Invariant::S2]);
    assert!(reasons(&wrong).contains(&format!("byte {}", size - 1)));
}

#[test]
fn s2_an_image_nobody_offered_is_not_ready() {
    let mut oracle = oracle();
    let ready = State {
        image: ImageId([3; 16]),
        ..state(JournalPhase::Ready)
    };
    record(&mut oracle, &downloaded(0), &downloading(0), &ready);
    assert_eq!(broken(&oracle), [Invariant::S2]);
}

#[test]
fn s2_after_a_cut_all_recorded_data_is_there_and_what_follows_it_does_not_matter() {
    let mut flash = downloaded(1_120);
    let staging = LAYOUT.staging.start as usize;
    flash[staging + 1_120] = 0;
    let mut sound = oracle();
    sound.after_cut(&flash);
    assert_eq!(broken(&sound), []);

    flash[staging + 1_119] ^= 1;
    let mut wrong = oracle();
    wrong.after_cut(&flash);
    assert_eq!(broken(&wrong), [Invariant::S2]);
}

#[test]
fn s2_ready_is_checked_again_after_a_cut() {
    let mut flash = downloaded(fixture::NEW_BYTES);
    fixture::write_journal(&mut flash, state(JournalPhase::Ready));
    let mut sound = oracle();
    sound.after_cut(&flash);
    assert_eq!(broken(&sound), []);
    flash[LAYOUT.staging.start as usize] ^= 1;
    let mut wrong = oracle();
    wrong.after_cut(&flash);
    assert_eq!(broken(&wrong), [Invariant::S2]);
}

#[test]
fn s4_the_old_image_must_not_run_once_the_new_counter_is_in_force() {
    let mut oracle = oracle();
    oracle.on_application(&fixture::provisioned(), Some(&fixture::confirmed()));
    assert_eq!(broken(&oracle), [Invariant::S4]);
}

#[test]
fn s4_a_journal_that_forgets_the_counter_in_force_does_not_make_the_old_image_run() {
    let mut oracle = oracle();
    oracle.on_application(&on_trial(), Some(&trial()));
    record(&mut oracle, &on_trial(), &trial(), &fixture::confirmed());
    assert_eq!(broken(&oracle), []);
    let old = fixture::provisioned();
    oracle.on_application(
        &old,
        flash_view::journal_state(&old, GEOMETRY, &LAYOUT).as_ref(),
    );
    assert_eq!(broken(&oracle), [Invariant::S4]);
}

#[test]
fn s4_while_the_new_image_is_on_trial_the_old_one_is_kept_whole_with_its_manifest() {
    let image = LAYOUT.image_byte(Slot::Staging, SHIFTED, 1_500) as usize;
    let manifest = LAYOUT.manifest(Slot::Staging, SHIFTED) as usize + 70;
    for (at, expected) in [(image, "damaged at byte 1500"), (manifest, "manifest")] {
        let mut flash = on_trial();
        flash[at] ^= 1;
        let mut starting = oracle();
        starting.on_application(&flash, Some(&trial()));
        assert_eq!(broken(&starting), [Invariant::S4]);
        assert!(reasons(&starting).contains(expected));

        let mut confirming = oracle();
        confirming.on_application(&on_trial(), Some(&trial()));
        record(&mut confirming, &flash, &trial(), &fixture::confirmed());
        assert_eq!(broken(&confirming), [Invariant::S4]);
    }
}

#[test]
fn s4_the_new_image_must_not_run_before_the_journal_has_it_on_trial() {
    let flash = on_trial();
    for journal in [
        None,
        Some(state(JournalPhase::Swapping { copies: 10 })),
        Some(downloading(0)),
    ] {
        let mut oracle = oracle();
        oracle.on_application(&flash, journal.as_ref());
        assert_eq!(broken(&oracle), [Invariant::S4], "{journal:?}");
    }
}

#[test]
fn s4_an_image_that_never_ran_must_not_be_confirmed() {
    let mut oracle = oracle();
    record(&mut oracle, &on_trial(), &trial(), &fixture::confirmed());
    assert_eq!(broken(&oracle), [Invariant::S4]);
}

#[test]
fn s4_a_journal_must_not_vanish_in_an_operation_or_in_a_cut() {
    let mut operation = oracle();
    operation.on_operation(
        &erase(LAYOUT.identification.start),
        Some(&trial()),
        None,
        &[],
    );
    assert_eq!(broken(&operation), [Invariant::S4]);

    let mut flash = on_trial();
    let start = LAYOUT.identification.start as usize;
    flash[start..LAYOUT.active.start as usize].fill(0xFF);
    let mut cut = oracle();
    cut.after_cut(&flash);
    assert_eq!(broken(&cut), [Invariant::S4]);
}
