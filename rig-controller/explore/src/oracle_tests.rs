//! Each invariant over the flash model: what keeps it, what breaks it, and what excuses a device.
use embedded_storage::nor_flash::NorFlash;
use nor_flash_model::{Cut, CutEffect, Flicker};

use super::*;
use crate::explored_flash::ExploredFlash;
use crate::flash_part::FlashPart;

type Flash = NorFlashModel<4, 256, 2>;

fn provisioned() -> (Scene, Flash) {
    let scene = Scene::new(FlashPart::Tiny, Scenario::Longer, 5, None, 1);
    let mut explored = ExploredFlash::<4, 256, 2, 0>::new(
        &scene,
        Flash::new(scene.pages),
        Memory::default(),
        None,
    );
    scene.provision(&mut explored).unwrap();
    let flash = explored.flash;
    (scene, flash)
}

#[test]
fn an_image_with_one_wrong_or_weak_bit_is_neither_image() {
    let (scene, flash) = provisioned();
    assert!(!running(&flash, &scene).unwrap().1);
    let active = scene.layout.active.start;

    let mut rotten = flash.clone();
    rotten.rot(active + 300, 1);
    assert_eq!(
        running(&rotten, &scene).unwrap_err().invariant,
        Invariant::S1
    );

    let mut weak = flash;
    weak.cut_at(Cut {
        operation: weak.operations() + 1,
        effect: CutEffect::Weak(Flicker::Boots(0)),
    });
    let _ = weak.write(active + 300, &[0; 4]);
    assert_eq!(running(&weak, &scene).unwrap_err().invariant, Invariant::S1);
}

#[test]
fn ready_without_the_image_in_staging_is_a_lie() {
    let (scene, flash) = provisioned();
    let mut memory = Memory::default();
    assert_eq!(
        ready_means_whole(&flash, &scene, &memory, Phase::Idle),
        Ok(())
    );
    assert_eq!(
        ready_means_whole(&flash, &scene, &memory, Phase::Ready)
            .unwrap_err()
            .invariant,
        Invariant::S2
    );
    memory.rotted_late = true;
    assert_eq!(
        ready_means_whole(&flash, &scene, &memory, Phase::Ready),
        Ok(()),
        "found at the jump"
    );
}

#[test]
fn a_counter_that_rose_before_the_confirmation_is_found() {
    let (scene, flash) = provisioned();
    let old = scene.old.signed;
    let state = State::confirmed(old.image_id(), old.manifest().security_counter);
    let judge = |state: &State| {
        let memory = Memory::default();
        rollback_is_prevented_and_revert_possible(&flash, &scene, &memory, state, false, false)
    };
    assert_eq!(judge(&state), Ok(()));
    let risen = State {
        security_counter: scene.new.signed.manifest().security_counter,
        ..state
    };
    assert_eq!(judge(&risen).unwrap_err().invariant, Invariant::S4);
}

#[test]
fn what_the_journal_counts_has_to_be_in_flash_for_good_as_it_was_sent() {
    let (scene, mut flash) = provisioned();
    let staging = scene.layout.staging.start;
    flash.write(staging, &scene.new.sent[..600]).unwrap();
    let judge = |flash: &Flash, memory: &Memory, package: &ScriptedPackage, committed| {
        let image = package.signed.image_id();
        what_counts_as_received_is_there(flash, &scene, memory, image, committed)
            .map_err(|breach| breach.invariant)
    };
    let sound = Memory::default();
    let counts = |flash: &Flash, committed| judge(flash, &sound, &scene.new, committed);
    assert_eq!(counts(&flash, 0), Ok(()));
    assert_eq!(counts(&flash, 600), Ok(()));
    assert_eq!(counts(&flash, 604), Err(Invariant::S2), "not there");
    assert_eq!(counts(&flash, 1 << 23), Err(Invariant::S2), "too many");
    let of_another = judge(&flash, &sound, &scene.old, 600);
    assert_eq!(of_another, Err(Invariant::S2), "never offered");

    let mut weak = flash.clone();
    weak.cut_at(Cut {
        operation: weak.operations() + 1,
        effect: CutEffect::Weak(Flicker::Boots(0)),
    });
    let next = &scene.new.sent[600..604];
    let _ = weak.write(staging + 600, next);
    assert_eq!(counts(&weak, 600), Ok(()), "what comes next is torn");
    assert_eq!(counts(&weak, 604), Err(Invariant::S2), "weak");
    weak.power_on();
    weak.write(staging + 600, next).unwrap();
    assert_eq!(counts(&weak, 604), Ok(()), "programmed once more");

    flash.rot(staging + 300, 1);
    assert_eq!(counts(&flash, 600), Err(Invariant::S2));
    assert_eq!(counts(&flash, 300), Ok(()), "behind what counts");
    let rotten = Memory {
        is_rotten: true,
        ..sound
    };
    assert_eq!(judge(&flash, &rotten, &scene.new, 600), Ok(()));
}

#[test]
fn a_corrupt_image_is_in_flash_as_it_was_sent_not_as_it_was_signed() {
    let scene = Scene::new(FlashPart::Tiny, Scenario::Corrupt, 5, None, 1);
    let judge = |content: &[u8]| {
        let mut flash = Flash::new(scene.pages);
        let content = content.as_chunks::<4>().0.as_flattened();
        flash.write(scene.layout.staging.start, content).unwrap();
        let image = scene.new.signed.image_id();
        let committed = content.len() as u32;
        what_counts_as_received_is_there(&flash, &scene, &Memory::default(), image, committed)
    };
    assert_eq!(judge(&scene.new.sent), Ok(()));
    assert_eq!(
        judge(&scene.new.image).unwrap_err().invariant,
        Invariant::S2
    );
}

#[test]
fn only_a_second_plaintext_under_one_nonce_breaks_s5() {
    let (scene, _) = provisioned();
    let task = &scene.new;
    let index = FragmentIndex(3);
    assert_eq!(no_nonce_serves_twice(task, index, &task.sealed[3]), Ok(()));
    let breach = no_nonce_serves_twice(task, index, &task.swapped[3]).unwrap_err();
    assert_eq!(breach.invariant, Invariant::S5);
    assert_eq!(
        no_nonce_serves_twice(task, index, &task.sealed[0]),
        Ok(()),
        "of another nonce: the device cannot open it"
    );
}

/// Sends fragments `range`, one after the other.
fn fetch(scene: &Scene, memory: &mut Memory, range: std::ops::Range<u16>) {
    for index in range {
        little_is_fetched_again(scene, memory, index).unwrap();
        memory.sent(index, 99);
        memory.dealt_with();
    }
}

#[test]
fn a_restart_counts_once_the_device_has_dealt_with_its_first_fragment() {
    let scene = Scene::new(FlashPart::TinyOnce, Scenario::Corrupt, 5, None, 1);
    let count = scene.fragments.count;
    let fetch = |memory: &mut Memory, range: std::ops::Range<u16>| {
        range.into_iter().try_for_each(|index| {
            little_is_fetched_again(&scene, memory, index)?;
            memory.sent(index, count);
            memory.dealt_with();
            Ok::<(), Breach>(())
        })
    };
    let mut memory = Memory::default();
    fetch(&mut memory, 0..count).unwrap();
    // The second time is asked for, and lost with a torn SEAL; the device is where it was, and begins once more.
    little_is_fetched_again(&scene, &mut memory, 0).unwrap();
    memory.sent(0, count);
    memory.cut(&scene.fragments);
    fetch(&mut memory, count - 1..count).unwrap();
    fetch(&mut memory, 0..count).unwrap();
    fetch(&mut memory, 0..count).unwrap();
    assert_eq!(
        fetch(&mut memory, 0..1).unwrap_err().invariant,
        Invariant::L1,
        "a fourth time"
    );
}

#[test]
fn a_cut_costs_the_fragment_in_flight_and_nothing_that_was_dealt_with() {
    let (scene, _) = provisioned();
    let may = |memory: &Memory, index| {
        little_is_fetched_again(&scene, &mut memory.clone(), index).is_ok()
    };
    let mut memory = Memory::default();
    fetch(&scene, &mut memory, 0..6);
    assert!(may(&memory, 6) && !may(&memory, 5), "without a cut");
    memory.cut(&scene.fragments);
    assert!(!may(&memory, 5), "nothing was in flight");
    memory.sent(6, 99);
    memory.cut(&scene.fragments);
    assert!(may(&memory, 6) && !may(&memory, 5), "the first in it");
    memory.sent(6, 99);
    memory.cut(&scene.fragments);
    let first = scene.fragments.first_of_page(6);
    assert!(
        may(&memory, first) && !may(&memory, first - 1),
        "the second in it costs its page"
    );
}

#[test]
fn a_page_collected_in_ram_may_be_fetched_again_and_no_more() {
    let scene = Scene::new(FlashPart::TinyOnce, Scenario::Longer, 5, None, 1);
    let mut memory = Memory::default();
    fetch(&scene, &mut memory, 0..6);
    memory.cut(&scene.fragments);
    let first = scene.fragments.first_of_page(6);
    assert!(little_is_fetched_again(&scene, &mut memory.clone(), first).is_ok());
    assert!(little_is_fetched_again(&scene, &mut memory, first - 1).is_err());
}

#[test]
fn only_rot_excuses_a_bootloader_that_stays() {
    let mut memory = Memory::default();
    assert!(staying_is_right(&memory, StayReason::NoImage).is_err());
    memory.is_rotten = true;
    assert!(staying_is_right(&memory, StayReason::NoImage).is_ok());
    assert!(staying_is_right(&memory, StayReason::NotProvisioned).is_err());
}
