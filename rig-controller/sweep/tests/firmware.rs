//! Slices of the upgrade from 1.0.0 to 1.1.0 on the firmware of this checkout, and on one with a bug planted on purpose.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nor_flash_model::Cut;
use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_explore::{CaseName, Failure, Tearing};
use powercut_link::LinkProfile;
use powercut_oracle::oracle::Images;
use powercut_oracle::verdict::{Invariant, Outcome};
use powercut_package::{BuildOptions, DeviceIdentity, FirmwareSet, build};
use powercut_sweep::{Explorer, Search, Tally, Upgrade, campaign, replay, shrink};
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

/// A firmware set, which is built if need be.
fn set(name: &str, seeded_bug: Option<&str>) -> FirmwareSet {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    build(&BuildOptions {
        source: repository.join("target-firmware/device"),
        keys: repository.join("fixtures/keys"),
        m_sequence: repository.join("fixtures/m-sequence/device.yaml"),
        out: out.clone(),
        only: vec!["1.0.0".to_owned(), "1.1.0".to_owned()],
        seeded_bug: seeded_bug.map(str::to_owned),
    })
    .unwrap();
    FirmwareSet::load(&out).unwrap()
}

/// The upgrade with the images of a set.
fn upgrade(set: &FirmwareSet) -> Upgrade {
    let package = |name: &str| {
        set.package(&name.parse().unwrap(), Suite::ChaCha20Poly1305, 160)
            .unwrap()
    };
    let images = Images {
        old: package("1.0.0"),
        new: package("1.1.0"),
    };
    let device = DeviceIdentity::for_tests(DeviceId(*b"mb-1\0\0\0\0"), Dialect::Lean);
    Upgrade {
        name: CaseName {
            plan: "smoke".to_owned(),
            index: 1,
            board: "mb-1".to_owned(),
            seed: 1,
        },
        board: *set.board_facts(),
        flash: set.provisioned_flash(&images.old, &device).unwrap(),
        package: Arc::new(images.new.clone()),
        images,
        device,
        link: LinkProfile::ideal(),
        habits: ModemHabits::default(),
        modem_power: ModemPower::Stays,
        window: 1,
        seed: 1,
        off_time: Duration::from_millis(100),
        refetch_fragments_per_cut: 1,
        outcome: Outcome::Confirmed,
    }
}

/// The firmware that ships.
fn shipped() -> &'static Upgrade {
    static SHIPPED: OnceLock<Upgrade> = OnceLock::new();
    SHIPPED.get_or_init(|| upgrade(&set("default", None)))
}

/// Operations of the upgrade without a cut, and the flash that it leaves.
fn uncut() -> &'static (u64, Vec<u8>) {
    static UNCUT: OnceLock<(u64, Vec<u8>)> = OnceLock::new();
    UNCUT.get_or_init(|| {
        let uncut = replay(shipped(), &[]).unwrap();
        assert_eq!(uncut.judged, Ok(()));
        (uncut.operations, uncut.flashes.at_rest.unwrap())
    })
}

fn explore(upgrade: &Upgrade, search: Search) -> (Tally, Vec<Failure>) {
    let mut explorer = Explorer::new(upgrade, search, &|| false, &|_, _| ());
    explorer.explore().unwrap();
    (explorer.tally, explorer.failures)
}

/// Explores the cuts of these operations, of states whose future is known one in `check_one_in` to its end.
fn slice(first: u64, last: u64, check_one_in: u64) -> Tally {
    let search = Search {
        operations: first..=last,
        check_one_in,
        ..Search::default()
    };
    let (tally, failures) = explore(shipped(), search);
    assert_eq!(failures, []);
    tally
}

#[test]
fn every_cut_around_a_fragment_and_its_record_is_survived() {
    // The last data of a fragment, the two words of its record, the first data of the next.
    let tally = slice(1_022, 1_026, 40).download;
    assert_eq!(tally.states, 5 * 17);
    assert_eq!(tally.merged + tally.distinct, tally.states);
    assert!(tally.met > 0 && tally.checked > 0, "{tally:?}");
}

#[test]
fn every_cut_around_a_record_of_the_swap_is_survived() {
    let tally = slice(30_175, 30_179, 40).swap;
    assert_eq!(tally.states, 5 * 17);
    assert!(tally.merged > tally.distinct, "{tally:?}");
}

#[test]
fn every_cut_around_the_confirmation_is_survived() {
    let last = uncut().0;
    let tally = slice(last - 4, last, 1).swap;
    assert_eq!(tally.states, 5 * 17);
}

#[test]
fn merging_changes_what_is_followed_and_not_what_comes_of_it() {
    let last = uncut().0;
    let search = Search {
        operations: last - 24..=last - 22,
        tearing: Tearing::Torn,
        ..Search::default()
    };
    let merged = explore(shipped(), search.clone());
    let followed = explore(
        shipped(),
        Search {
            merging: false,
            ..search
        },
    );
    assert_eq!(merged.1, followed.1);
    assert_eq!(merged.0.states(), followed.0.states());
    assert_eq!(followed.0.swap.distinct, followed.0.swap.states);
}

#[test]
fn recoveries_are_cut_again_and_random_schedules_come_to_rest() {
    let last = uncut().0;
    let random = Search {
        depth: powercut_explore::Depth::Random {
            samples: 3,
            cuts: 8,
            seed: 7,
        },
        operations: last - 30..=last - 30,
        ..Search::default()
    };
    let (tally, failures) = explore(shipped(), random);
    assert_eq!(failures, []);
    assert_eq!(tally.states(), 3);
    let twice = Search {
        depth: powercut_explore::Depth::Exhaustive { cuts: 2 },
        tearing: Tearing::Whole,
        operations: last..=last,
        ..Search::default()
    };
    let (tally, failures) = explore(shipped(), twice);
    assert_eq!(failures, []);
    assert!(tally.states() > 10, "{tally:?}");
}

#[test]
fn a_schedule_leaves_the_same_flash_each_time_it_is_replayed() {
    let cuts: Vec<Cut> = ["op1010/bits5eed", "op1040/weak-looks170"]
        .map(|cut| cut.parse().unwrap())
        .to_vec();
    let first = replay(shipped(), &cuts).unwrap();
    assert_eq!(first.judged, Ok(()));
    assert_eq!(first.flashes.after_cuts.len(), 2);
    assert_eq!(replay(shipped(), &cuts).unwrap(), first);
}

#[test]
fn a_cut_that_never_happens_is_no_pass() {
    let beyond = Cut {
        operation: uncut().0 + 1,
        .."op1/before".parse().unwrap()
    };
    let judged = replay(shipped(), &[beyond]).unwrap().judged;
    assert_eq!(judged.unwrap_err().invariant, Invariant::T1);
}

#[test]
fn a_bug_planted_in_the_firmware_is_found_replayed_and_shrunk() {
    let broken = upgrade(&set("record-before-data", Some("record-before-data")));
    let search = Search {
        operations: 1_000..=1_012,
        stride: 4,
        tearing: Tearing::Whole,
        ..Search::default()
    };
    let (tally, failures) = explore(&broken, search);
    assert!(tally.failed() > 0);
    let first = &failures[0];
    assert_eq!(first.breach.invariant, Invariant::S2);
    let again = replay(&broken, &first.cuts).unwrap();
    assert_eq!(again.judged.as_ref(), Err(&first.breach));
    // A few steps are enough to leave a cut out that has no part in it.
    let later = "op9000/before".parse().unwrap();
    let cuts = [first.cuts[0], later];
    let shrunk = shrink(&broken, &cuts, |tried| tried < 5).unwrap().unwrap();
    assert_eq!(shrunk.breach.invariant, Invariant::S2);
    assert_eq!(shrunk.schedule.len(), 1);
    let small = replay(&broken, &shrunk.schedule).unwrap();
    assert_eq!(small.judged, Err(shrunk.breach));
}

#[test]
fn an_upgrade_is_described_by_all_that_its_runs_depend_on() {
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Upgrade));
    let same = shipped().clone();
    assert_eq!(same.described(), shipped().described());
    let slower = LinkProfile {
        first_contact: Duration::from_secs(1),
        ..LinkProfile::ideal()
    };
    let slow_habits = ModemHabits {
        needs_activation: true,
        ..ModemHabits::default()
    };
    let changes: [Change<'_>; 13] = [
        ("flash", &|it| *it.flash.last_mut().unwrap() ^= 1),
        ("old image", &|it| it.images.old = it.images.new.clone()),
        ("new image", &|it| it.images.new = it.images.old.clone()),
        ("package", &|it| {
            it.package = Arc::new(it.images.old.clone());
        }),
        ("device", &|it| it.device.id.0[7] ^= 1),
        ("key", &|it| it.device.key.0[31] ^= 1),
        ("link", &|it| it.link = slower.clone()),
        ("habits", &|it| it.habits = slow_habits.clone()),
        ("modem power", &|it| it.modem_power = ModemPower::WithBoard),
        ("window", &|it| it.window = 2),
        ("off time", &|it| it.off_time += Duration::from_millis(1)),
        ("refetched", &|it| it.refetch_fragments_per_cut += 1),
        ("outcome", &|it| it.outcome = Outcome::Reverted),
    ];
    for (what, change) in changes {
        let mut other = shipped().clone();
        change(&mut other);
        assert_ne!(other.described(), shipped().described(), "{what}");
        assert_ne!(other.without_seed(), shipped().without_seed(), "{what}");
    }
    let mut repeated = shipped().clone();
    repeated.seed += 1;
    assert_ne!(repeated.described(), shipped().described());
    assert_eq!(repeated.without_seed(), shipped().without_seed());
}

#[test]
fn operations_beyond_the_upgrade_are_refused_with_how_many_there_are() {
    let operations = uncut().0;
    let upgrade = Arc::new(shipped().clone());
    let from = |first: u64| Search {
        operations: first..=first + 9,
        ..Search::default()
    };
    let error = campaign::slices(&upgrade, operations, &from(operations + 1)).unwrap_err();
    let said = format!("of at most {operations}");
    assert!(error.to_string().contains(&said), "{error}");
    let slices = campaign::slices(&upgrade, operations, &from(operations)).unwrap();
    assert_eq!(slices.len(), 1);
}

#[test]
fn a_socket_to_another_platform_than_the_sets_is_no_pass_and_no_fault_of_the_firmware() {
    let mut elsewhere = shipped().clone();
    elsewhere.board.platform.set_port(1);
    let breach = replay(&elsewhere, &[]).unwrap().judged.unwrap_err();
    assert_eq!(breach.invariant, Invariant::T1);
    assert!(breach.reason.contains("correct `platform`"), "{breach}");
}

#[test]
fn an_upgrade_that_cannot_be_served_ends_the_work_on_all_others() {
    let mut unserved = shipped().clone();
    let package = set("default", None)
        .package(&"1.1.0".parse().unwrap(), Suite::MSequence, 160)
        .unwrap();
    unserved.package = Arc::new(package.with_m_sequence(None));
    let slices = |upgrade: Upgrade| {
        campaign::slices(&Arc::new(upgrade), uncut().0, &Search::default()).unwrap()
    };
    let slices = [slices(unserved), slices(shipped().clone())].concat();
    let served = slices.len() / 2;
    let slices = &slices[served - 1..];
    let done = AtomicUsize::new(0);
    let tell = |record: Option<campaign::SliceRecord>, _| {
        done.fetch_add(usize::from(record.is_some()), Ordering::Relaxed);
    };
    let ended = campaign::run(slices, &BTreeSet::new(), 2, &|| false, &tell);
    assert!(ended.is_err());
    assert_eq!(done.into_inner(), 0);
}

#[test]
fn a_request_answered_before_the_cut_leads_to_the_same_future_as_one_not_made() {
    // Between the two operations the device asks for the next fragment and gets it.
    let tally = slice(1_024, 1_025, 3).download;
    assert_eq!(tally.states, 2 * 17);
    assert_eq!(tally.distinct - tally.met, 2, "runs to the end: {tally:?}");
    assert_eq!(tally.checked, 5, "{tally:?}");
}
