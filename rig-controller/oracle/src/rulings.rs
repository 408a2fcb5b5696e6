//! Rulings: what the oracle says of each invariant once a case is over. Only the code that made a check can say that it was made.
use std::collections::BTreeMap;

use crate::verdict::Invariant;

/// The ruling on one invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It was checked, and held whenever it was.
    Held,
    /// It did not hold; what was found first.
    Broken(String),
    /// It was not checked; why.
    NotObserved(String),
}

/// The rulings of a case: one for each invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rulings(BTreeMap<Invariant, Ruling>);

impl Rulings {
    /// Asks `rule` for each invariant.
    pub(crate) fn of(rule: impl Fn(Invariant) -> Ruling) -> Self {
        let rulings = Invariant::ALL.into_iter();
        Self(
            rulings
                .map(|invariant| (invariant, rule(invariant)))
                .collect(),
        )
    }

    /// Of a case in which nothing was checked.
    pub fn none(why: &str) -> Self {
        Self::of(|_| Ruling::NotObserved(why.to_owned()))
    }

    /// The invariants that were checked, whether they held or not.
    pub fn checked(&self) -> Vec<Invariant> {
        let checked = self
            .0
            .iter()
            .filter(|(_, ruling)| !matches!(ruling, Ruling::NotObserved(_)));
        checked.map(|(invariant, _)| *invariant).collect()
    }

    /// The invariants that were not checked, each with the reason.
    pub fn not_observed(&self) -> impl Iterator<Item = (Invariant, &str)> {
        self.0
            .iter()
            .filter_map(|(invariant, ruling)| match ruling {
                Ruling::NotObserved(why) => Some((*invariant, why.as_str())),
                Ruling::Held | Ruling::Broken(_) => None,
            })
    }

    /// The ruling on `invariant`.
    pub fn get(&self, invariant: Invariant) -> Option<&Ruling> {
        self.0.get(&invariant)
    }
}
