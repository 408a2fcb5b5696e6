use proptest::prelude::*;

use super::*;
use crate::plan::{Outage, Ram, Supply};

fn profile() -> ReferenceProfile {
    ReferenceProfile {
        operations: BTreeMap::from([
            (Phase::Download, 2634),
            (Phase::Verify, 3),
            (Phase::Swap, 900),
            (Phase::Trial, 4),
            (Phase::Confirm, 2),
        ]),
        trial_attempts: 3,
        fragments: 64,
    }
}

fn random(count: u32, during: &[Phase]) -> CutSpec {
    CutSpec::Random {
        count,
        during: during.to_vec(),
        seed: None,
        outage: Outage::default(),
    }
}

fn at(text: &str) -> CutSpec {
    CutSpec::At(text.parse().unwrap())
}

fn texts(specs: &[CutSpec], seed: u64) -> String {
    let cuts = resolve(specs, &profile(), seed).unwrap();
    let texts: Vec<String> = cuts.iter().map(Cut::to_string).collect();
    texts.join(" ")
}

fn complaint(specs: &[CutSpec]) -> String {
    resolve(specs, &profile(), 1).unwrap_err().to_string()
}

#[test]
fn a_seed_means_the_same_cuts_in_every_version() {
    assert_eq!(
        texts(&[random(6, &Phase::ALL)], 20_261_122),
        "download+936 download+2514/before verify+3/half swap+169 trial+4/before confirm+1/half"
    );
}

#[test]
fn how_power_goes_changes_neither_where_nor_what_is_left() {
    let plain = resolve(&[random(6, &Phase::ALL)], &profile(), 7).unwrap();
    let outage = Outage {
        supply: Supply::BrownOut,
        ram: Ram::Decayed { percent: 3 },
    };
    let mut spec = random(6, &Phase::ALL);
    if let CutSpec::Random {
        outage: of_spec, ..
    } = &mut spec
    {
        *of_spec = outage;
    }
    let brown_outs = resolve(&[spec], &profile(), 7).unwrap();
    let expected: Vec<Cut> = plain.iter().map(|cut| Cut { outage, ..*cut }).collect();
    assert_eq!(brown_outs, expected);
}

#[test]
fn a_seed_of_its_own_makes_random_cuts_the_same_in_every_case() {
    let spec = |seed| CutSpec::Random {
        count: 3,
        during: vec![Phase::Download],
        seed,
        outage: Outage::default(),
    };
    assert_eq!(texts(&[spec(Some(7))], 1), texts(&[spec(Some(7))], 2));
    assert_ne!(texts(&[spec(None)], 1), texts(&[spec(None)], 2));
}

#[test]
fn cuts_come_in_the_order_in_which_a_run_meets_them() {
    let specs = [
        at("confirm+1"),
        at("f17/after-record"),
        at("op2640"),
        at("f17/after-data"),
        at("request17/3"),
        at("f2/before-data"),
        at("download+2630"),
        at("verify+3"),
    ];
    assert_eq!(
        texts(&specs, 1),
        "request17/3 f2/before-data f17/after-data f17/after-record download+2630 verify+3 op2640 confirm+1"
    );
}

#[test]
fn random_cuts_leave_the_device_one_attempt_to_confirm_in() {
    for seed in 0..50 {
        let cuts = resolve(
            &[random(4, &[Phase::Verify, Phase::Trial, Phase::Confirm])],
            &profile(),
            seed,
        )
        .unwrap();
        let spent = cuts
            .iter()
            .filter(
                |cut| matches!(cut.at, CutAt::PhaseOperation { phase, .. } if spends_trial(phase)),
            )
            .count();
        assert!(spent <= 2, "{cuts:?}");
    }
    let text = complaint(&[random(3, &[Phase::Trial, Phase::Confirm])]);
    assert!(
        text.contains("at most 2 cuts fit into trial and confirm"),
        "{text}"
    );
    let text = complaint(&[at("trial+1"), random(2, &[Phase::Trial])]);
    assert!(text.contains("no operation is left"), "{text}");
}

#[test]
fn a_phase_that_did_not_happen_is_not_drawn_and_said_when_nothing_else_is_left() {
    assert!(
        !texts(
            &[random(20, &[Phase::Verify, Phase::Swap, Phase::Revert])],
            3
        )
        .contains("revert")
    );
    let text = complaint(&[random(1, &[Phase::Revert])]);
    assert!(
        text.contains("in revert; phases with operations: download, verify, swap, trial, confirm"),
        "{text}"
    );
}

#[test]
fn a_fixed_cut_out_of_reach_is_refused_with_the_bound() {
    for (cut, expected) in [
        (
            "f64/after-data",
            "the package has 64 fragments; the last one is 63",
        ),
        ("request65/0", "the package has 64 fragments"),
        (
            "op3544",
            "the upgrade has 3543 flash operations; choose one from 1 to 3543",
        ),
        (
            "swap+901",
            "swap has 900 flash operations; choose one from 1 to 900",
        ),
        (
            "revert+1",
            "no operation in revert; phases with operations: download",
        ),
    ] {
        let text = complaint(&[at(cut)]);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn two_fixed_cuts_may_hit_one_fragment_but_not_one_operation() {
    assert_eq!(
        texts(&[at("f3/after-data"), at("f3/after-data")], 1),
        "f3/after-data f3/after-data"
    );
    let text = complaint(&[at("op2635"), at("verify+1/half")]);
    assert!(
        text.contains("`verify+1/half` meets an operation that another cut meets"),
        "{text}"
    );
}

#[test]
fn all_operations_of_a_small_phase_can_be_drawn_and_no_more() {
    let mut cuts: Vec<String> = resolve(&[random(3, &[Phase::Verify])], &profile(), 5)
        .unwrap()
        .iter()
        .map(|cut| {
            cut.to_string()
                .split('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    cuts.sort();
    assert_eq!(cuts, ["verify+1", "verify+2", "verify+3"]);
    assert!(resolve(&[random(4, &[Phase::Verify])], &profile(), 5).is_err());
}

proptest! {
    #[test]
    fn every_drawn_cut_is_reachable_distinct_and_in_order(
        seed: u64,
        count in 0u32..12,
        operations in prop::collection::btree_map(prop::sample::select(&Phase::ALL), 0u64..40, 0..6),
        trial_attempts: u8,
        fragments: u16,
    ) {
        let profile = ReferenceProfile { operations, trial_attempts, fragments };
        if let Ok(cuts) = resolve(&[random(count, &Phase::ALL)], &profile, seed) {
            prop_assert_eq!(cuts.len(), count as usize);
            let places: Vec<(Phase, u64)> = cuts.iter().filter_map(|cut| reach(cut, &profile).unwrap()).collect();
            prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", places);
        }
    }

    #[test]
    fn resolved_cuts_resolve_to_themselves(seed: u64) {
        let cuts = resolve(&[random(5, &Phase::ALL), at("f17/after-data/half")], &profile(), seed).unwrap();
        let fixed: Vec<CutSpec> = cuts.iter().copied().map(CutSpec::At).collect();
        prop_assert_eq!(resolve(&fixed, &profile(), seed).unwrap(), cuts);
    }
}
