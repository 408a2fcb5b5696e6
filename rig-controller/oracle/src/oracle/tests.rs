use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::ImageId;
use powercut_upgrade::wire::Dialect;
use powercut_upgrade::wire::lean::{Challenge, WIRE_VERSION};

use super::*;
use crate::FlashOpKind;
use crate::fixture::{self, CHAIN, GEOMETRY, LAYOUT, PAGE, state};
use nor_flash_model::Unit;
use powercut_upgrade::slots::{Placement, Slot};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, Status};

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

// S1

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

// S2

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

// S3

#[test]
fn s3_counts_in_the_units_and_pages_of_the_flash_it_is_given() {
    let geometry = Geometry::new(8, 2048, 1, 128).unwrap();
    let layout = Layout {
        page_bytes: 2048,
        ..LAYOUT
    };
    let mut provisioned = vec![0xFF; geometry.size_bytes() as usize];
    let staging = 0x2_5000;
    provisioned[staging as usize + 16] = 0;
    let mut oracle = Oracle::new(
        geometry,
        &layout,
        fixture::images(),
        1,
        Sight::EVERYTHING,
        &provisioned,
    );
    let program = |address: u32| FlashOp {
        number: 7,
        kind: FlashOpKind::program(&provisioned, address, &[0; 8]).unwrap(),
    };
    for unit in [0, 8, 2040, 2048] {
        operate(&mut oracle, program(staging + unit));
    }
    assert_eq!(broken(&oracle), []);
    operate(&mut oracle, program(staging + 8));
    assert_eq!(broken(&oracle), [Invariant::S3]);
    assert!(
        reasons(&oracle).contains("for the 2th time"),
        "{}",
        reasons(&oracle)
    );
    // Provisioning had programmed it.
    operate(&mut oracle, program(staging + 16));
    assert_eq!(broken(&oracle), [Invariant::S3; 2]);
    // An erase begins anew in all its page and in no other.
    operate(&mut oracle, erase(staging));
    operate(&mut oracle, program(staging + 2040));
    assert_eq!(broken(&oracle), [Invariant::S3; 2]);
    operate(&mut oracle, program(staging + 2048));
    assert_eq!(broken(&oracle), [Invariant::S3; 3]);
}

// S4

#[test]
fn s3_two_programs_of_a_unit_are_fine_the_third_is_not_and_an_erase_begins_anew() {
    let at = LAYOUT.staging.start + 8;
    let mut oracle = oracle();
    for _ in 0..2 {
        operate(&mut oracle, word(at));
        operate(&mut oracle, word(at + 4));
    }
    operate(&mut oracle, erase(LAYOUT.staging.start));
    operate(&mut oracle, word(at));
    operate(&mut oracle, word(at));
    assert_eq!(broken(&oracle), []);
    operate(&mut oracle, word(at));
    assert_eq!(broken(&oracle), [Invariant::S3]);
}

#[test]
fn s3_what_provisioning_programmed_counts() {
    let mut oracle = oracle();
    operate(&mut oracle, word(LAYOUT.active.start));
    assert_eq!(broken(&oracle), []);
    operate(&mut oracle, word(LAYOUT.active.start));
    assert_eq!(broken(&oracle), [Invariant::S3]);
}

#[test]
fn an_operation_beyond_flash_is_no_reason_to_panic() {
    let mut oracle = oracle();
    operate(&mut oracle, word(0x8_0000));
    operate(&mut oracle, erase(0x8_0000));
    assert_eq!(oracle.erases(), 0);
}

// S4

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

// L1

/// The device asks for the fragment it has to store next.
fn request(oracle: &mut Oracle, index: u16) {
    oracle.on_request(&[FragmentIndex(index)], FragmentIndex(index));
}

/// It gets it.
fn deliver(oracle: &mut Oracle, index: u16) {
    oracle.on_delivered(FragmentIndex(index), FragmentIndex(index));
}

/// An oracle of a device that has received fragments up to `last`, and asked for each once.
fn receiving(last: u16) -> Oracle {
    let mut oracle = oracle();
    oracle.on_boot();
    for index in 0..=last {
        request(&mut oracle, index);
        deliver(&mut oracle, index);
    }
    assert_eq!(broken(&oracle), []);
    oracle
}

fn cut(oracle: &mut Oracle, committed: usize) {
    oracle.after_cut(&downloaded(committed));
    oracle.on_boot();
}

#[test]
fn l1_one_fragment_may_be_fetched_again_after_a_cut_and_two_may_not() {
    let mut sound = receiving(5);
    cut(&mut sound, 5 * 160);
    request(&mut sound, 5);
    assert_eq!((broken(&sound), sound.fetched_again()), (vec![], 1));

    let mut wasteful = receiving(5);
    cut(&mut wasteful, 5 * 160);
    request(&mut wasteful, 4);
    assert_eq!(broken(&wasteful), [Invariant::L1]);
    assert_eq!(wasteful.fetched_again(), 2);
}

#[test]
fn l1_a_page_may_be_fetched_again_after_a_second_cut_without_progress_but_no_more() {
    for (from, expected) in [(6, vec![]), (4, vec![Invariant::L1])] {
        let mut oracle = receiving(12);
        cut(&mut oracle, 12 * 160);
        request(&mut oracle, 12);
        deliver(&mut oracle, 12);
        cut(&mut oracle, 12 * 160);
        request(&mut oracle, from);
        assert_eq!(broken(&oracle), expected, "from {from}");
    }
}

#[test]
fn l1_a_cut_allows_one_return_and_no_second_one_in_the_same_boot() {
    let mut oracle = receiving(12);
    cut(&mut oracle, 12 * 160);
    cut(&mut oracle, 12 * 160);
    request(&mut oracle, 12);
    deliver(&mut oracle, 12);
    assert_eq!(broken(&oracle), []);
    request(&mut oracle, 10);
    assert_eq!(broken(&oracle), [Invariant::L1]);
}

#[test]
fn l1_a_request_repeated_in_its_boot_is_counted_apart() {
    let mut oracle = receiving(5);
    request(&mut oracle, 5);
    assert_eq!(broken(&oracle), []);
    assert_eq!((oracle.repeated_requests(), oracle.fetched_again()), (1, 0));
}

#[test]
fn l1_what_waits_in_ram_behind_a_lost_fragment_may_be_asked_for_again_after_a_cut() {
    let mut oracle = receiving(5);
    oracle.on_request(&[6, 7, 8].map(FragmentIndex), FragmentIndex(6));
    for early in [7, 8] {
        oracle.on_delivered(FragmentIndex(early), FragmentIndex(6));
    }
    cut(&mut oracle, 6 * 160);
    oracle.on_request(&[6, 7, 8].map(FragmentIndex), FragmentIndex(6));
    assert_eq!((broken(&oracle), oracle.fetched_again()), (vec![], 0));
}

#[test]
fn l1_what_was_stored_from_ram_counts_as_received() {
    let mut oracle = receiving(5);
    oracle.on_request(&[6, 7, 8].map(FragmentIndex), FragmentIndex(6));
    for early in [7, 8] {
        oracle.on_delivered(FragmentIndex(early), FragmentIndex(6));
    }
    deliver(&mut oracle, 6);
    oracle.on_request(&[9].map(FragmentIndex), FragmentIndex(9));
    cut(&mut oracle, 9 * 160);
    request(&mut oracle, 7);
    assert_eq!(broken(&oracle), [Invariant::L1]);
}

#[test]
fn l1_a_device_that_fetches_everything_twice_is_caught_without_any_cut() {
    let mut oracle = oracle();
    oracle.on_boot();
    for index in 0..20 {
        for _ in 0..2 {
            request(&mut oracle, index);
            deliver(&mut oracle, index);
        }
    }
    assert_eq!(broken(&oracle), [Invariant::L1]);
}

#[test]
fn l1_a_request_that_goes_back_without_a_cut_is_a_violation() {
    let mut same_boot = receiving(5);
    request(&mut same_boot, 3);
    assert_eq!(broken(&same_boot), [Invariant::L1]);

    let mut after_reset = receiving(5);
    after_reset.on_boot();
    request(&mut after_reset, 5);
    assert_eq!(broken(&after_reset), [Invariant::L1]);
}

// L2

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

// L3

#[test]
fn l3_an_uncut_installation_may_erase_each_page_as_often_as_download_and_swap_need() {
    let mut oracle = oracle();
    oracle.on_boot();
    for page in (0..4).chain([107]) {
        operate(&mut oracle, erase(LAYOUT.active.start + page * 1024));
        operate(&mut oracle, erase(LAYOUT.staging.start + page * 1024));
        operate(&mut oracle, erase(LAYOUT.staging.start + page * 1024));
    }
    operate(&mut oracle, erase(LAYOUT.identification_page(1)));
    oracle.at_end(true);
    assert_eq!(broken(&oracle), [], "{}", reasons(&oracle));
}

#[test]
fn l3_one_erase_of_a_page_too_many_is_a_violation_and_a_cut_pays_for_it() {
    for (region, times) in [(LAYOUT.active, 2), (LAYOUT.staging, 3)] {
        for cuts in 0..2 {
            let mut oracle = oracle();
            oracle.on_boot();
            for _ in 0..cuts {
                oracle.after_cut(&fixture::provisioned());
            }
            for _ in 0..times {
                operate(&mut oracle, erase(region.start));
            }
            oracle.at_end(true);
            assert_eq!(broken(&oracle).is_empty(), cuts == 1);
        }
    }
}

#[test]
fn l3_a_journal_page_for_each_record_is_too_much() {
    let mut oracle = oracle();
    oracle.on_boot();
    for n in 1..=10 {
        record(
            &mut oracle,
            &[],
            &downloading(n * 160),
            &downloading((n + 1) * 160),
        );
    }
    oracle.at_end(true);
    assert_eq!(broken(&oracle), [Invariant::L3]);
    assert!(reasons(&oracle).contains("the journal was erased 10 times; 3 would do"));
}

#[test]
fn l3_a_device_that_refuses_an_image_erases_neither_slot() {
    let mut oracle = oracle();
    operate(&mut oracle, erase(LAYOUT.active.start));
    oracle.at_end(false);
    assert_eq!(broken(&oracle), [Invariant::L3]);
}

// L4

fn truth(active: &powercut_package::Package, activity: Activity) -> Status {
    Status {
        dialect: Dialect::Lean,
        wire_version: WIRE_VERSION,
        window: 1,
        device: DeviceId(*b"device01"),
        hardware: 0x51,
        version: active.manifest().version,
        running: active.signed().image_id(),
        security_counter: SecurityCounter(2),
        activity,
        result: ResultCode::Ok,
        result_image: ImageId::NONE,
        challenge: Challenge::default(),
    }
}

#[test]
fn l4_the_truth_may_be_told_at_every_stage() {
    let Images { old, new } = fixture::images();
    let id = new.signed().image_id();
    let mut oracle = oracle();
    let mut flash = downloaded(320);
    let old_status = |activity| truth(&old, activity);
    oracle.on_status(&old_status(Activity::Idle), &flash, Some(&downloading(0)));
    oracle.on_status(
        &old_status(Activity::Downloading),
        &flash,
        Some(&downloading(320)),
    );
    let ready = state(JournalPhase::Ready);
    oracle.on_status(&old_status(Activity::Ready), &flash, Some(&ready));
    let reverted = Status {
        result: ResultCode::InstallFailed,
        result_image: id,
        ..old_status(Activity::Idle)
    };
    oracle.on_status(&reverted, &flash, Some(&state(JournalPhase::Reverted)));
    flash = on_trial();
    oracle.on_status(&truth(&new, Activity::Trial), &flash, Some(&trial()));
    let done = Status {
        security_counter: SecurityCounter(3),
        result_image: id,
        ..truth(&new, Activity::Idle)
    };
    oracle.on_status(&done, &flash, Some(&fixture::confirmed()));
    assert_eq!(broken(&oracle), [], "{}", reasons(&oracle));
}

#[test]
fn l4_each_lie_is_a_violation() {
    let Images { old, new } = fixture::images();
    let id = new.signed().image_id();
    let (before, during) = (downloaded(320), on_trial());
    let says = |status: Status, result, result_image| Status {
        result,
        result_image,
        ..status
    };
    let idle = truth(&old, Activity::Idle);
    let on_probation = truth(&new, Activity::Trial);
    let lies = [
        (
            "another version",
            truth(&new, Activity::Idle),
            &before,
            downloading(320),
        ),
        (
            "another image of the same version",
            Status {
                running: ImageId([1; 16]),
                ..idle
            },
            &before,
            downloading(320),
        ),
        (
            "a lower counter",
            truth(&new, Activity::Idle),
            &during,
            fixture::confirmed(),
        ),
        (
            "ready before it is",
            truth(&old, Activity::Ready),
            &before,
            downloading(320),
        ),
        (
            "nothing to do while on trial",
            truth(&new, Activity::Idle),
            &during,
            trial(),
        ),
        (
            "success before it is confirmed",
            says(on_probation, ResultCode::Ok, id),
            &during,
            trial(),
        ),
        (
            "success with the old image in ACTIVE",
            says(
                Status {
                    security_counter: SecurityCounter(3),
                    ..idle
                },
                ResultCode::Ok,
                id,
            ),
            &before,
            fixture::confirmed(),
        ),
        (
            "failure with the new image in ACTIVE",
            says(on_probation, ResultCode::InstallFailed, id),
            &during,
            trial(),
        ),
    ];
    for (lie, status, flash, journal) in lies {
        let mut oracle = oracle();
        oracle.on_status(&status, flash, Some(&journal));
        assert_eq!(broken(&oracle), [Invariant::L4], "{lie}");
    }
}

#[test]
fn the_same_complaint_is_made_five_times_at_most() {
    let mut oracle = oracle();
    for _ in 0..9 {
        oracle.report(Invariant::L1, "again".to_owned());
    }
    assert_eq!(oracle.violations().len(), 5);
}
