//! Slices of the upgrade from 1.0.0 to 1.1.0 on the firmware of this checkout, and on one with a bug planted on purpose.
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nor_flash_model::Cut;
use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_explore::{CaseName, Tearing};
use powercut_link::LinkProfile;
use powercut_oracle::oracle::Images;
use powercut_oracle::verdict::{Invariant, Outcome};
use powercut_package::{BuildOptions, DeviceIdentity, FirmwareSet, build};
use powercut_sweep::{Explorer, Failure, Search, Tally, Upgrade, replay, shrink};
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

/// The upgrade on a firmware set, which is built if need be.
fn upgrade(set: &str, seeded_bug: Option<&str>) -> Upgrade {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(set);
    build(&BuildOptions {
        source: repository.join("target-firmware/device"),
        keys: repository.join("fixtures/keys"),
        m_sequence: repository.join("fixtures/m-sequence/device.yaml"),
        out: out.clone(),
        only: vec!["1.0.0".to_owned(), "1.1.0".to_owned()],
        seeded_bug: seeded_bug.map(str::to_owned),
    })
    .unwrap();
    let set = FirmwareSet::load(&out).unwrap();
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
    SHIPPED.get_or_init(|| upgrade("default", None))
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
        stride_from: first,
        check_one_in,
        ..Search::default()
    };
    let (tally, failures) = explore(shipped(), search);
    assert_eq!(failures, []);
    tally
}

#[test]
fn every_cut_around_a_fragment_and_its_record_is_survived() {
    // Fragment 20: 40 words of data, 2 of its record.
    let tally = slice(1_000, 1_030, 100).download;
    assert_eq!(tally.states, 31 * 17);
    assert_eq!(tally.merged + tally.distinct, tally.states);
    assert!(tally.met > 0 && tally.checked > 0, "{tally:?}");
}

#[test]
fn every_cut_around_a_record_of_the_swap_is_survived() {
    let tally = slice(30_170, 30_182, 100).swap;
    assert_eq!(tally.states, 13 * 17);
    assert!(tally.merged > tally.distinct, "{tally:?}");
}

#[test]
fn every_cut_around_the_confirmation_is_survived() {
    let last = uncut().0;
    let tally = slice(last - 4, last, 20).swap;
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
        stride_from: last - 30,
        ..Search::default()
    };
    let (tally, failures) = explore(shipped(), random);
    assert_eq!(failures, []);
    assert_eq!(tally.states(), 3);
    let twice = Search {
        depth: powercut_explore::Depth::Exhaustive { cuts: 2 },
        tearing: Tearing::Whole,
        operations: last..=last,
        stride_from: last,
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
    let broken = upgrade("record-before-data", Some("record-before-data"));
    let search = Search {
        operations: 1_000..=1_012,
        stride_from: 1_000,
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
    let shrunk = shrink(&broken, &first.cuts).unwrap().unwrap();
    assert_eq!(shrunk.breach.invariant, Invariant::S2);
    assert_eq!(shrunk.cuts.len(), 1);
}
