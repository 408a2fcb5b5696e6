//! When power goes in a simulation: drawn from what an uncut run of the same upgrade goes through.
use std::time::Duration;

use nor_flash_model::{CutEffect, TornShape};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::clock::{SimulatedStage, Span};

/// When power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CutMoment {
    /// In the flash operation with this number, from 1, of the run.
    Operation(u64),
    /// When the device has had power for so long.
    Powered(Duration),
}

/// A loss of power to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlannedCut {
    pub(super) moment: CutMoment,
    /// What is left of an operation that it hits.
    pub(super) effect: CutEffect,
}

/// What moments are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutBy {
    /// Every flash operation is as likely as any other.
    Operation,
    /// Every moment with power is as likely as any other.
    Time,
}

/// Draws `count` different moments in the stages of `during`, in order.
pub(super) fn draw(
    count: u32,
    by: CutBy,
    during: &[SimulatedStage],
    spans: &[Span],
    end: (u64, Duration),
    seed: u64,
) -> Vec<PlannedCut> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let ends = spans
        .iter()
        .skip(1)
        .map(|span| (span.operations, span.powered))
        .chain([end]);
    // Stretches that may be cut: where they begin and how long they are, in operations or nanoseconds.
    let stretches: Vec<(u64, u64)> = spans
        .iter()
        .zip(ends)
        .filter(|(span, _)| during.contains(&span.stage))
        .map(|(span, (operations, powered))| match by {
            CutBy::Operation => (span.operations, operations - span.operations),
            CutBy::Time => (
                span.powered.as_nanos() as u64,
                powered.saturating_sub(span.powered).as_nanos() as u64,
            ),
        })
        .filter(|(_, length)| *length > 0)
        .collect();
    let total: u64 = stretches.iter().map(|(_, length)| length).sum();
    let mut moments = std::collections::BTreeSet::new();
    while (moments.len() as u64) < u64::from(count).min(total) {
        let mut place = random.next_u64() % total;
        for (begin, length) in &stretches {
            if place < *length {
                moments.insert(begin + place);
                break;
            }
            place -= length;
        }
    }
    moments
        .into_iter()
        .map(|place| PlannedCut {
            moment: match by {
                // Operations count from 1.
                CutBy::Operation => CutMoment::Operation(place + 1),
                CutBy::Time => CutMoment::Powered(Duration::from_nanos(place.max(1))),
            },
            effect: CutEffect::Torn(TornShape::ByteBits(random.next_u64())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(stage: SimulatedStage, operations: u64, s: u64) -> Span {
        Span {
            stage,
            operations,
            powered: Duration::from_secs(s),
        }
    }

    #[test]
    fn moments_lie_in_the_stages_asked_for_and_are_the_same_for_the_same_seed() {
        let spans = [
            span(SimulatedStage::Offer, 0, 0),
            span(SimulatedStage::Download, 10, 5),
            span(SimulatedStage::Swap, 30, 9),
            span(SimulatedStage::Download, 100, 20),
        ];
        let end = (110, Duration::from_secs(30));
        let draw = |by, seed| draw(5, by, &[SimulatedStage::Download], &spans, end, seed);
        for cut in draw(CutBy::Operation, 1) {
            let CutMoment::Operation(number) = cut.moment else {
                panic!("{cut:?}")
            };
            assert!((11..=30).contains(&number) || (101..=110).contains(&number));
        }
        for cut in draw(CutBy::Time, 1) {
            let CutMoment::Powered(at) = cut.moment else {
                panic!("{cut:?}")
            };
            assert!((5..9).contains(&at.as_secs()) || (20..30).contains(&at.as_secs()));
        }
        assert_eq!(draw(CutBy::Time, 1), draw(CutBy::Time, 1));
        assert_ne!(draw(CutBy::Time, 1), draw(CutBy::Time, 2));
    }

    #[test]
    fn no_more_are_drawn_than_there_are() {
        let spans = [span(SimulatedStage::Swap, 3, 0)];
        let end = (5, Duration::ZERO);
        let cuts = draw(
            10,
            CutBy::Operation,
            &[SimulatedStage::Swap],
            &spans,
            end,
            1,
        );
        assert_eq!(cuts.len(), 2);
        assert_eq!(
            draw(
                1,
                CutBy::Operation,
                &[SimulatedStage::Trial],
                &spans,
                end,
                1
            ),
            []
        );
    }
}
