use powercut_oracle::verdict::Outcome;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use crate::plan::{CutSpec, FinalImage, Outage, Phase, Plan, PlanError};
use powercut_bench::modem::ModemPower;

const FULL: &str = "\
plan: smoke
seed: 20261122
upgrade: { from: 1.0.0, to: 1.1.0 }
link: ideal
suite: chacha20-poly1305
modem_power: with_board
off_ms: 20
timeout_s: 30
matrix: { fragment_bytes: [160, 500] }
repeat: 2
cuts:
  - random: { count: 3, during: [swap, download, swap], seed: 7 }
  - at: { fragment: 17, phase: after-data, torn: half }
  - at: { operation: 3121, torn: other-half }
  - at: { request: 17, byte: 3 }
  - at: { phase: swap, number: 45, torn: { bits: 12345 } }
  - at: { phase: trial, number: 1, torn: before }
  - at: { operation: 4000, torn: { prefix: 3 } }
  - at: { operation: 4001, torn: { all_but: 1 } }
  - at: { operation: 4002, torn: { byte_bits: 77 } }
expect: { final: to, outcome: confirmed, refetch_fragments_per_cut: 2 }
";

fn parse(text: &str) -> Result<Plan, PlanError> {
    Plan::parse(Path::new("p.yaml"), text)
}

fn complaint(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// A plan that is fine, with more lines.
fn with(lines: &str) -> String {
    format!("plan: p\nupgrade: {{ from: 1.0.0, to: 1.1.0 }}\n{lines}")
}

#[test]
fn every_key_arrives_in_every_case() {
    let cases = parse(FULL).unwrap().cases();
    assert_eq!(cases.len(), 4);
    let case = &cases[3];
    assert_eq!(
        (case.index, case.repetition, case.fragment_bytes),
        (4, 2, 500)
    );
    assert_eq!((case.group.as_str(), case.link.as_str()), ("all", "ideal"));
    assert_eq!(case.modem_power, ModemPower::WithBoard);
    assert_eq!(
        (case.off_time, case.timeout),
        (Duration::from_millis(20), Duration::from_secs(30))
    );
    assert_eq!(case.expect.outcome, Outcome::Confirmed);
    assert_eq!(case.expect.refetch_fragments_per_cut, 2);
    assert_eq!(
        case.cuts[0],
        CutSpec::Random {
            count: 3,
            during: vec![Phase::Download, Phase::Swap],
            seed: Some(7),
            outage: Outage::default()
        }
    );
    let fixed: Vec<String> = case
        .cuts
        .iter()
        .filter_map(|spec| match spec {
            CutSpec::At(cut) => Some(cut.to_string()),
            CutSpec::Random { .. } => None,
        })
        .collect();
    assert_eq!(
        fixed,
        [
            "f17/after-data/half",
            "op3121/other-half",
            "request17/3",
            "swap+45/bits:12345",
            "trial+1/before",
            "op4000/prefix:3",
            "op4001/all-but:1",
            "op4002/byte-bits:77"
        ]
    );
}

#[test]
fn a_cut_says_how_power_goes_and_how_much_ram_keeps() {
    let text = |cut: &str| {
        let plan = with(&format!("cuts: [{{ {cut} }}]\n"));
        parse(&plan).unwrap().cases()[0].cuts[0].to_string()
    };
    for (cut, expected) in [
        ("at: { operation: 7, supply: brown-out }", "op7/brown-out"),
        (
            "at: { operation: 7, torn: half, supply: brown-out, ram: { decayed: 3 } }",
            "op7/half/brown-out/ram-decayed:3",
        ),
        ("at: { operation: 7, supply: off }", "op7"),
        ("at: { operation: 7, supply: off, ram: lost }", "op7"),
        (
            "at: { boot: 2, after_us: 70, ram: kept }",
            "boot2/70us/ram-kept",
        ),
        (
            "at: { request: 2, byte: 3, ram: { decayed: 99 } }",
            "request2/3/ram-decayed:99",
        ),
        (
            "at: { status: 2, byte: 3, ram: kept }",
            "status2/3/ram-kept",
        ),
        (
            "at: { fragment: 2, phase: after-data, ram: kept }",
            "f2/after-data/ram-kept",
        ),
        (
            "at: { phase: swap, number: 3, ram: kept }",
            "swap+3/ram-kept",
        ),
        (
            "random: { count: 3, during: [swap], supply: brown-out }",
            "3 random in swap/brown-out",
        ),
    ] {
        assert_eq!(text(cut), expected);
    }
    for (cut, expected) in [
        ("at: { operation: 7, supply: brownout }", "brown-out"),
        (
            "at: { operation: 7, supply: brown-out, ram: lost }",
            "over before RAM forgets; leave `ram` out",
        ),
        ("at: { operation: 7, ram: { decayed: 0 } }", "from 1 to 99"),
        (
            "at: { operation: 7, ram: { decayed: 100 } }",
            "from 1 to 99",
        ),
        ("at: { operation: 7, ram: { decays: 10 } }", "decayed"),
    ] {
        let said = complaint(&with(&format!("cuts: [{{ {cut} }}]\n")));
        assert!(said.contains(expected), "{cut}: {said}");
    }
}

#[test]
fn what_is_left_out_has_a_default() {
    let case = &parse(&with("")).unwrap().cases()[0];
    assert_eq!(
        (
            case.fragment_bytes,
            case.link.as_str(),
            powercut_package::suites::suite_name(case.suite)
        ),
        (160, "ideal", "chacha20-poly1305")
    );
    assert_eq!(
        (case.modem_power, case.timeout),
        (ModemPower::Stays, Duration::from_mins(1))
    );
    assert_eq!(case.expect.final_image, FinalImage::To);
    assert!(case.cuts.is_empty());
}

#[test]
fn a_group_replaces_setting_by_setting_and_axis_by_axis() {
    let plan = with(
        "link: lossy\nmatrix: { fragment_bytes: [160, 500] }\ngroups:\n  - name: good\n  - { name: bad, fragment_bytes: 64, upgrade: { to: 1.1.0-panics }, expect: { final: from } }\n",
    );
    let cases = parse(&plan).unwrap().cases();
    let seen: Vec<(&str, String, u16)> = cases
        .iter()
        .map(|case| {
            (
                case.group.as_str(),
                case.to.to_string(),
                case.fragment_bytes,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("good", "1.1.0".to_owned(), 160),
            ("good", "1.1.0".to_owned(), 500),
            ("bad", "1.1.0-panics".to_owned(), 64)
        ]
    );
    assert!(
        cases
            .iter()
            .all(|case| case.link == "lossy" && case.from.to_string() == "1.0.0")
    );
    assert_eq!(cases[2].expect.outcome, Outcome::Reverted);
}

#[test]
fn every_case_has_its_own_seed_and_the_plan_seed_changes_them_all() {
    let plan = parse(FULL).unwrap();
    let mut seeds: Vec<u64> = plan.cases().iter().map(|case| case.seed).collect();
    seeds.extend(
        plan.clone()
            .with_seed(1)
            .cases()
            .iter()
            .map(|case| case.seed),
    );
    let count = seeds.len();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), count);
}

#[test]
fn the_seed_of_a_case_never_changes_between_versions() {
    assert_eq!(
        parse(FULL).unwrap().cases()[0].seed,
        16_415_855_684_101_025_485
    );
}

#[test]
fn a_case_replays_from_its_line_alone() {
    let plan = parse(FULL).unwrap();
    let case = plan.cases().swap_remove(2);
    let cuts = ["op5".parse().unwrap()];
    let line = case.line("mb-1", &crate::plan::LineCuts::Given(cuts.to_vec()));
    let again = plan.clone().with_seed(99).replay(&line).unwrap();
    assert_eq!(
        (again.seed, again.index, again.fragment_bytes),
        (case.seed, 3, 500)
    );
    assert_eq!(again.cuts, [CutSpec::At(cuts[0])]);
    let far: crate::plan::CaseLine = "smoke:5:mb-1:seed=1:cuts=none".parse().unwrap();
    assert!(
        plan.replay(&far)
            .unwrap_err()
            .to_string()
            .contains("no case 5, the plan has 4")
    );
    let other: crate::plan::CaseLine = "soak:1:mb-1:seed=1:cuts=none".parse().unwrap();
    assert!(
        plan.replay(&other)
            .unwrap_err()
            .to_string()
            .contains("of plan `soak`")
    );
}

#[test]
fn slips_are_refused_with_their_place_and_the_nearest_key() {
    for (lines, expected) in [
        (
            "fragment_byte: 160",
            "p.yaml:3:1: `fragment_byte` is not a key of a plan; did you mean `fragment_bytes`?",
        ),
        (
            "cuts:\n  - rnadom: {}",
            "p.yaml:4:5: `rnadom` is not a key of a cut; did you mean `random`?",
        ),
        (
            "cuts:\n  - at: { fragment: 1, phase: afterdata }",
            "p.yaml:4:31: a fragment's phase cannot be `afterdata`; did you mean `after-data`?",
        ),
        (
            "cuts:\n  - at: { fragment: 1 }",
            "p.yaml:4:9: a cut at a fragment needs `phase`",
        ),
        (
            "cuts:\n  - at: { operation: 1, phase: swap }",
            "p.yaml:4:25: `phase` is not a key of a cut at an operation",
        ),
        (
            "cuts:\n  - at: { torn: half }",
            "p.yaml:4:9: a cut at a place does not say where",
        ),
        (
            "cuts:\n  - at: { fragment: 1, phase: after-data, torn: before }",
            "p.yaml:4:49: `before` belongs to operations",
        ),
        (
            "cuts:\n  - at: { operation: 1, torn: { bits: 1, prefix: 2 } }",
            "`torn` names more than one shape",
        ),
        (
            "cuts:\n  - random: { count: 0, during: [swap] }",
            "p.yaml:4:22: `count` cannot be 0; write a whole number from 1",
        ),
        (
            "cuts:\n  - random: { count: 1, during: [] }",
            "`during` is empty",
        ),
        (
            "matrix: { fragment_bytes: [160, 161] }",
            "p.yaml:3:33: `fragment_bytes` cannot be 161; flash is programmed in words",
        ),
        ("matrix: { link: [] }", "leaves no case"),
        (
            "link: ideal\nmatrix: { link: [lossy] }",
            "p.yaml:4:17: `link` is given both by itself and in the matrix",
        ),
        (
            "link: ../secret",
            "p.yaml:3:7: the link profile `../secret` is not a name",
        ),
        (
            "suite: chacha20",
            "p.yaml:3:8: the suite cannot be `chacha20`",
        ),
        (
            "repeat: many",
            "p.yaml:3:9: `repeat` is a whole number, not text",
        ),
        (
            "timeout_s: 1.5",
            "p.yaml:3:12: `timeout_s` is a whole number, not a fraction",
        ),
        (
            "expect: { final: to, outcome: refused }",
            "p.yaml:3:31: `outcome` and `final` contradict",
        ),
        ("groups: []", "p.yaml:3:9: `groups` is empty"),
        (
            "groups: [{ name: a }, { name: a }]",
            "p.yaml:3:31: there are two groups `a`",
        ),
        (
            "groups: [{ name: a, seed: 1 }]",
            "p.yaml:3:21: `seed` is not a key of a group",
        ),
        (
            "repeat: 10000\nmatrix: { fragment_bytes: [32,32,32,32,32,32,32,32,32,32,32] }",
            "the plan has 110000 cases",
        ),
    ] {
        let text = complaint(&with(lines));
        assert!(text.contains(expected), "{lines}\n  {text}\n  {expected}");
    }
    let text = complaint("plan: p\nupgrade: { from: 1.0, to: 1.1.0 }");
    assert!(
        text.starts_with(
            "p.yaml:2:18: the image is text, and `1.0` without quotes is a number; put it in quotes"
        ),
        "{text}"
    );
    let text = complaint("plan: p\nupgrade: { from: one, to: 1.1.0 }");
    assert!(
        text.starts_with("p.yaml:2:18: `one` names no image; an image is named by"),
        "{text}"
    );
    let text = complaint("plan: p\n");
    assert!(text.contains("no image to upgrade `from`"), "{text}");
    let text = complaint("seed: 1\n");
    assert!(
        text.starts_with("p.yaml:1:1: a plan needs `plan`"),
        "{text}"
    );
    let text = complaint("- plan\n");
    assert!(text.contains("a plan is a mapping, not a list"), "{text}");
    assert!(complaint("").contains("nothing stands here, where a plan belongs"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(at in 0..FULL.len(), len in 0usize..12, new in "[ -~\\n\u{e9}]{0,6}") {
        let mut text = FULL.to_owned();
        text.replace_range(at..(at + len).min(FULL.len()), &new);
        if let Ok(plan) = parse(&text) {
            prop_assert_eq!(plan.cases().len() as u64, plan.groups.iter().map(crate::plan::expand::count).sum::<u64>());
        }
    }
}

#[test]
fn a_modem_s_habits_arrive_in_every_case_and_can_vary() {
    let text = with(
        "matrix:\n  modem:\n    - {}\n    - { answers_ms: { open: 3000 }, context: needs-activation }\ngroups:\n  - name: all\n  - { name: one, matrix: { modem: [{ registration: long }] } }\n",
    );
    let cases = parse(&text).unwrap().cases();
    let habits: Vec<String> = cases.iter().map(|case| case.modem.to_string()).collect();
    assert_eq!(
        habits,
        ["", "open 3000 ms, needs activation", "registration long"]
    );
    assert!(
        cases[1]
            .title()
            .ends_with(", modem: open 3000 ms, needs activation")
    );
    assert_ne!(cases[0].seed, cases[1].seed);
    // A plan that asks for nothing has the cases it had before anything could be asked for.
    assert_eq!(cases[0].seed, parse(&with("")).unwrap().cases()[0].seed);
    assert!(
        complaint(&with("modem: { answers_ms: { opne: 3000 } }\n"))
            .starts_with("p.yaml:3:24: `opne` is not a key of `answers_ms`; did you mean `open`?")
    );
    assert!(
        complaint(&with("modem: { contxt: active }\n"))
            .starts_with("p.yaml:3:10: `contxt` is not a key of `modem`; did you mean `context`?")
    );
}

#[test]
fn an_upgrade_to_what_runs_already_is_a_plan_error() {
    for upgrade in [
        "upgrade: { from: 1.0.0, to: 1.0.0 }\n",
        "upgrade: { from: 1.0.0 }\nmatrix: { to: [1.1.0, 1.0.0] }\n",
    ] {
        let said = complaint(&format!("plan: p\n{upgrade}"));
        assert!(
            said.contains("an upgrade from 1.0.0 to 1.0.0 is none"),
            "{said}"
        );
    }
}
