//! Explorations of small upgrades: complete, the same every time, and the same whether runs that met are followed or not.
use super::*;

fn survey(geometry: FlashPart, scenario: Scenario, depth: Depth) -> Survey {
    Survey {
        geometry,
        scenario,
        image_pages: 5,
        depth,
        ..Survey::default()
    }
}

const SINGLE: Depth = Depth::Exhaustive { cuts: 1 };

#[test]
fn every_single_cut_of_a_small_upgrade_is_survived() {
    for (geometry, scenario) in [
        (FlashPart::Tiny, Scenario::NeverConfirms),
        (FlashPart::TinyOnce, Scenario::Longer),
    ] {
        let survey = survey(geometry, scenario, SINGLE);
        let (counts, failures) = survey.run(Partition { index: 0, of: 3 }, &|_, _| true);
        assert_eq!(failures, []);
        assert!(counts.schedules > 1_000, "{counts:?}");
    }
}

#[test]
fn an_upgrade_without_a_cut_is_sound_in_every_geometry() {
    for geometry in FlashPart::ALL {
        let survey = Survey {
            geometry,
            ..Survey::default()
        };
        let operations = survey.operations().unwrap();
        assert!(operations.count() > 500, "{geometry}");
    }
}

#[test]
fn parts_cover_every_operation_once() {
    let survey = survey(FlashPart::TinyOnce, Scenario::Shorter, SINGLE);
    let operations = survey.operations().unwrap();
    let cut = std::sync::Mutex::new(Vec::new());
    for index in 0..3 {
        survey.run(Partition { index, of: 3 }, &|operation, _| {
            cut.lock().unwrap().push(operation);
            true
        });
    }
    let mut cut = cut.into_inner().unwrap();
    cut.sort_unstable();
    assert!(cut.into_iter().eq(operations));
}

#[test]
fn random_schedules_over_a_lossy_link_are_survived_and_are_the_same_every_time() {
    let random = Depth::Random {
        samples: 1,
        cuts: 6,
        seed: 7,
    };
    let survey = Survey {
        loss_permille: 100,
        ..survey(FlashPart::Tiny, Scenario::Longer, random)
    };
    let partition = Partition { index: 1, of: 8 };
    let (counts, failures) = survey.run(partition, &|_, _| true);
    assert_eq!(failures, []);
    assert_eq!(survey.run(partition, &|_, _| true).0, counts);
}

/// Explores the same partition with and without following runs that met.
fn both_ways(survey: &Survey, partition: Partition) {
    let run = |merging| {
        let survey = Survey {
            merging,
            remembering: merging,
            ..survey.clone()
        };
        survey.run(partition, &|_, _| true)
    };
    let ((merged, failures), (whole, all_failures)) = (run(true), run(false));
    assert_eq!(
        (merged.schedules, merged.failed),
        (whole.schedules, whole.failed),
        "{survey}"
    );
    assert_eq!(failures, all_failures, "{survey}");
    assert_eq!((whole.schedules, whole.merged), (whole.runs, 0));
    assert!(merged.merged * 2 >= merged.runs, "{merged:?}");
}

#[test]
fn runs_that_met_need_not_be_followed_twice() {
    for (geometry, scenario) in [
        (FlashPart::Tiny, Scenario::NeverConfirms),
        (FlashPart::TinyOnce, Scenario::Withdrawn),
    ] {
        let one = survey(geometry, scenario, SINGLE);
        both_ways(&one, Partition { index: 1, of: 9 });
        let lossy = Survey {
            loss_permille: 100,
            ..one.clone()
        };
        both_ways(&lossy, Partition { index: 5, of: 9 });
        let pairs = Survey {
            image_pages: 4,
            tearing: Tearing::Whole,
            depth: Depth::Exhaustive { cuts: 2 },
            ..one
        };
        both_ways(&pairs, Partition { index: 99, of: 199 });
    }
}

#[test]
#[ignore = "minutes, even when optimised"]
fn runs_that_met_in_two_cuts_of_any_kind_need_not_be_followed_twice() {
    for (geometry, scenario) in [
        (FlashPart::Tiny, Scenario::Longer),
        (FlashPart::TinyOnce, Scenario::Shorter),
        (FlashPart::Tiny, Scenario::NeverConfirms),
    ] {
        let pairs = Survey {
            image_pages: 4,
            ..survey(geometry, scenario, Depth::Exhaustive { cuts: 2 })
        };
        for index in [3, 120, 244, 371] {
            println!("{pairs} {index}");
            both_ways(&pairs, Partition { index, of: 400 });
        }
    }
}

#[test]
fn a_cut_that_never_happens_is_no_pass() {
    let line = "core:tiny:longer:seed=1:cuts=op99999/before";
    let breach = replay(&line.parse().unwrap()).unwrap_err();
    assert_eq!(breach.invariant, Invariant::T1);
}
