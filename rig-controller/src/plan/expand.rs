//! From a checked plan to its cases: the product of the axes, each with a seed of its own.
use sha2::{Digest, Sha256};

use super::{Case, Group, Plan, suite_name};
use crate::modem::ModemPower;

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
        group.modem_power.len(),
    ]
    .into_iter()
    .fold(u64::from(group.repeat), |product, axis| {
        product.saturating_mul(axis as u64)
    })
}

fn add_group(plan: &Plan, group: &Group, cases: &mut Vec<Case>) {
    for from in &group.from {
        for to in &group.to {
            for link in &group.link {
                for &suite in &group.suite {
                    for &fragment_bytes in &group.fragment_bytes {
                        for &modem_power in &group.modem_power {
                            for repetition in 1..=group.repeat {
                                let mut case = Case {
                                    plan: plan.name.clone(),
                                    plan_seed: plan.seed,
                                    index: cases.len() + 1,
                                    group: group.name.clone(),
                                    from: from.clone(),
                                    to: to.clone(),
                                    link: link.clone(),
                                    suite,
                                    fragment_bytes,
                                    repetition,
                                    seed: 0,
                                    cuts: group.cuts.clone(),
                                    cut_places: group.cut_places.clone(),
                                    modem_power,
                                    off_time: group.off_time,
                                    timeout: group.timeout,
                                    expect: group.expect,
                                };
                                case.seed = seed_of(&case);
                                cases.push(case);
                            }
                        }
                    }
                }
            }
        }
    }
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
    // No name may hold a line break, so no two sets of parameters give one text.
    let text = format!(
        "powercut case 1\n{plan_seed}\n{group}\n{from}\n{to}\n{link}\n{suite}\n{fragment_bytes}\n{modem}\n{repetition}\n"
    );
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let (start, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*start)
}
