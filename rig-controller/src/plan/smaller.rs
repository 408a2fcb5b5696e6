//! Cuts of a case that are one step smaller than others: fewer of them, then earlier ones, then simpler ones.
use nor_flash_model::TornShape;

use super::cut::{Cut, CutAt, Torn};
use powercut_oracle::outage::Outage;

/// How many places back an earlier one is looked for: a case takes seconds.
const EARLIER: u64 = 6;

/// Cuts that are one step smaller than these. Some may never happen, which is for the run to find out.
pub fn smaller_cuts(cuts: &[Cut]) -> Vec<Vec<Cut>> {
    let fewer = (0..cuts.len()).map(|gone| {
        let mut cuts = cuts.to_vec();
        cuts.remove(gone);
        cuts
    });
    let earlier = (0..cuts.len()).flat_map(|at| {
        let (first, now) = place(cuts[at].at);
        let halfway = first + (now - first) / 2;
        let near = now.saturating_sub(EARLIER).max(first)..now;
        let halfway = (halfway < near.start).then_some(halfway);
        halfway
            .into_iter()
            .chain(near)
            .map(move |to| moved(cuts, at, now - to))
    });
    let simpler = (0..cuts.len()).flat_map(|at| {
        simpler_remains(cuts[at]).map(move |cut| {
            let mut cuts = cuts.to_vec();
            cuts[at] = cut;
            cuts
        })
    });
    let usual = (0..cuts.len()).filter_map(|at| {
        let outage = Outage::default();
        let mut cuts = cuts.to_vec();
        (cuts[at].outage != outage).then(|| {
            cuts[at].outage = outage;
            cuts
        })
    });
    fewer.chain(earlier).chain(simpler).chain(usual).collect()
}

/// The first place of its kind, and the place of this event.
fn place(at: CutAt) -> (u64, u64) {
    match at {
        CutAt::Fragment { index, .. } => (0, index.into()),
        CutAt::Operation(number) | CutAt::PhaseOperation { number, .. } => (1, number),
        CutAt::RequestPayload { number, .. }
        | CutAt::StatusPayload { number, .. }
        | CutAt::Boot { number, .. } => (1, number.into()),
    }
}

/// The same event, so many places earlier in its kind; `None` if there is no such place.
fn earlier(at: CutAt, by: u64) -> Option<CutAt> {
    let less = |number: u16| {
        let number = u64::from(number).checked_sub(by)?;
        u16::try_from(number).ok()
    };
    let above = |number: u16| less(number).filter(|number| *number > 0);
    Some(match at {
        CutAt::Fragment { index, phase } => CutAt::Fragment {
            index: less(index)?,
            phase,
        },
        CutAt::Operation(number) => CutAt::Operation(number.checked_sub(by).filter(|n| *n > 0)?),
        CutAt::PhaseOperation { phase, number } => CutAt::PhaseOperation {
            phase,
            number: number.checked_sub(by).filter(|number| *number > 0)?,
        },
        CutAt::RequestPayload { number, byte } => CutAt::RequestPayload {
            number: above(number)?,
            byte,
        },
        CutAt::StatusPayload { number, byte } => CutAt::StatusPayload {
            number: above(number)?,
            byte,
        },
        CutAt::Boot { number, after_us } => CutAt::Boot {
            number: above(number)?,
            after_us,
        },
    })
}

/// The cut at `at` so many places earlier, and with it all later ones that are counted alike: what matters is how far they
/// are apart.
fn moved(cuts: &[Cut], at: usize, by: u64) -> Vec<Cut> {
    let mut moved = cuts.to_vec();
    for cut in &mut moved[at..] {
        if is_counted_alike(cut.at, cuts[at].at)
            && let Some(at) = earlier(cut.at, by)
        {
            cut.at = at;
        }
    }
    moved
}

fn is_counted_alike(one: CutAt, two: CutAt) -> bool {
    match (one, two) {
        (CutAt::PhaseOperation { phase: one, .. }, CutAt::PhaseOperation { phase: two, .. }) => {
            one == two
        }
        _ => std::mem::discriminant(&one) == std::mem::discriminant(&two),
    }
}

/// The same cut with remains that are simpler, simplest first.
fn simpler_remains(cut: Cut) -> impl Iterator<Item = Cut> {
    [
        Torn::Before,
        Torn::Whole,
        Torn::Shape(TornShape::Half),
        Torn::Shape(TornShape::OtherHalf),
        Torn::Shape(TornShape::Prefix(1)),
        Torn::Shape(TornShape::ByteBits(1)),
        Torn::Shape(TornShape::AllBut(1)),
    ]
    .into_iter()
    .take_while(move |simpler| *simpler != cut.torn)
    .filter_map(move |torn| Cut { torn, ..cut }.checked().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cut::tests::any_cut;
    use super::*;

    fn smaller(cuts: &str) -> Vec<String> {
        let cuts: Vec<Cut> = cuts.split(',').map(|cut| cut.parse().unwrap()).collect();
        let texts = smaller_cuts(&cuts).into_iter().map(|cuts| {
            let texts: Vec<String> = cuts.iter().map(Cut::to_string).collect();
            texts.join(",")
        });
        texts.collect()
    }

    #[test]
    fn the_usual_outage_is_simpler_than_any_other() {
        for cut in [
            "f0/after-record/ram-decayed:10",
            "f0/after-record/brown-out",
        ] {
            assert_eq!(smaller(cut), ["", "f0/after-record"]);
        }
    }

    #[test]
    fn fewer_cuts_are_tried_first_then_earlier_then_simpler_ones() {
        assert_eq!(
            smaller("op20/half"),
            [
                "",
                "op10/half",
                "op14/half",
                "op15/half",
                "op16/half",
                "op17/half",
                "op18/half",
                "op19/half",
                "op20/before",
                "op20",
            ]
        );
    }

    #[test]
    fn cuts_that_are_counted_alike_move_together() {
        let cuts = smaller("swap+2,f17/after-data,swap+9/before");
        assert_eq!(cuts[3], "swap+1,f17/after-data,swap+8/before");
        assert!(cuts.contains(&"swap+2,f8/after-data,swap+9/before".to_owned()));
    }

    #[test]
    fn a_fragment_is_never_cut_before_an_operation_of_its_own() {
        assert_eq!(
            smaller("f0/after-data/other-half"),
            ["", "f0/after-data", "f0/after-data/half"]
        );
    }

    proptest! {
        #[test]
        fn steps_end(cuts in prop::collection::vec(any_cut(), 1..4)) {
            // Each step makes the schedule smaller in this measure, so no schedule comes again.
            let measure = |cuts: &[Cut]| {
                let places: u128 = cuts.iter().map(|cut| u128::from(place(cut.at).1)).sum();
                let remains: usize = cuts.iter().map(|cut| simpler_remains(*cut).count()).sum();
                let unusual = cuts.iter().filter(|cut| cut.outage != Outage::default()).count();
                (cuts.len(), places, remains, unusual)
            };
            for smaller in smaller_cuts(&cuts) {
                prop_assert!(measure(&smaller) < measure(&cuts), "{:?}", smaller);
            }
        }
    }
}
