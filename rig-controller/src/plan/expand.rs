//! From a checked plan to its cases: the product of the axes, each with a seed of its own.
use powercut_package::suites::suite_name;
use sha2::{Digest, Sha256};

use super::{Case, Group, Plan};
use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;
use powercut_upgrade::wire::lean::MAX_WINDOW;

/// The product of all axes of all groups. Later axes vary faster, repetitions fastest.
pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let mut cases = Vec::new();
    for group in &plan.groups {
        add_group(plan, group, &mut cases);
    }
    cases
}

/// How many cases a group gives.
pub(super) fn count(group: &Group) -> u64 {
    [
        group.from.len(),
        group.to.len(),
        group.link.len(),
        group.suite.len(),
        group.fragment_bytes.len(),
        group.modem.len(),
        group.modem_power.len(),
        group.dialect.len(),
        group.window.len(),
    ]
    .into_iter()
    .fold(u64::from(group.repeat), |product, axis| {
        product.saturating_mul(axis as u64)
    })
}

fn add_group(plan: &Plan, group: &Group, cases: &mut Vec<Case>) {
    let base = Case {
        plan: plan.name.clone(),
        plan_seed: plan.seed,
        index: 0,
        group: group.name.clone(),
        from: group.from[0].clone(),
        to: group.to[0].clone(),
        link: String::new(),
        suite: Suite::ChaCha20Poly1305,
        fragment_bytes: 0,
        dialect: Dialect::Lean,
        window: 0,
        repetition: 0,
        seed: 0,
        cuts: group.cuts.clone(),
        cut_places: group.cut_places.clone(),
        modem: ModemHabits::default(),
        modem_power: ModemPower::Stays,
        off_time: group.off_time,
        timeout: group.timeout,
        expect: group.expect,
    };
    let mut product = vec![base];
    vary(&mut product, &group.from, |case, from| case.from = from);
    vary(&mut product, &group.to, |case, to| case.to = to);
    vary(&mut product, &group.link, |case, link| case.link = link);
    vary(&mut product, &group.suite, |case, suite| case.suite = suite);
    vary(&mut product, &group.fragment_bytes, |case, bytes| {
        case.fragment_bytes = bytes;
    });
    vary(&mut product, &group.dialect, |case, dialect| {
        case.dialect = dialect;
    });
    vary(&mut product, &group.window, |case, window| {
        case.window = window;
    });
    vary(&mut product, &group.modem, |case, habits| {
        case.modem = habits;
    });
    vary(&mut product, &group.modem_power, |case, power| {
        case.modem_power = power;
    });
    let repetitions: Vec<u32> = (1..=group.repeat).collect();
    vary(&mut product, &repetitions, |case, repetition| {
        case.repetition = repetition;
    });
    for mut case in product {
        case.index = cases.len() + 1;
        case.seed = seed_of(&case);
        cases.push(case);
    }
}

/// Each case once for each value of an axis.
fn vary<T: Clone>(product: &mut Vec<Case>, values: &[T], set: impl Fn(&mut Case, T)) {
    let varied = product.iter().flat_map(|case| {
        values.iter().map(|value| {
            let mut case = case.clone();
            set(&mut case, value.clone());
            case
        })
    });
    *product = varied.collect();
}

/// The case's seed: the start of a hash over the plan's seed and every parameter. The index is not among
/// them, so a case keeps its seed when others are added before it.
fn seed_of(case: &Case) -> u64 {
    let Case {
        plan_seed,
        group,
        from,
        to,
        link,
        fragment_bytes,
        repetition,
        ..
    } = case;
    let suite = suite_name(case.suite);
    let modem = match case.modem_power {
        ModemPower::Stays => "stays",
        ModemPower::WithBoard => "with_board",
    };
    // Left out where it is what a plan gets that does not ask for anything: its cases are those of plans that cannot.
    let dialect = match (case.dialect, case.window) {
        (Dialect::Lean, MAX_WINDOW) => String::new(),
        (Dialect::Lean, window) => format!("window {window}\n"),
        (Dialect::Pcp, _) => "pcp\n".to_owned(),
    };
    let habits = match case.modem.to_string() {
        none if none.is_empty() => none,
        habits => format!("modem {habits}\n"),
    };
    // No name may hold a line break, so no two sets of parameters give one text.
    let text = format!(
        "powercut case 1\n{plan_seed}\n{group}\n{from}\n{to}\n{link}\n{suite}\n{fragment_bytes}\n{modem}\n{repetition}\n{dialect}{habits}"
    );
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let (start, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*start)
}
