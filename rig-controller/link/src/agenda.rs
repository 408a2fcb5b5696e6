//! Things that are due at a time of the link, and how fast that time runs. Nothing here looks at a clock.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// How many seconds pass on the link in one second of the wall clock: finite and above zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeScale(f64);

// No scale is NaN.
impl Eq for TimeScale {}

impl TimeScale {
    /// As on a real link.
    pub const REAL: Self = Self(1.0);

    /// So many times faster than real; `None` if that is no sensible number (0.01 to 10,000 are).
    pub fn new(times: f64) -> Option<Self> {
        (0.01..=10_000.0).contains(&times).then_some(Self(times))
    }

    /// How many times faster than real.
    pub fn times(self) -> f64 {
        self.0
    }
}

impl Default for TimeScale {
    fn default() -> Self {
        Self::REAL
    }
}

#[derive(Clone)]
struct Due<T> {
    at: Duration,
    /// Things due at one time are done in the order in which they were put in.
    number: u64,
    what: T,
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What is to come, earliest first.
#[derive(Clone)]
pub struct Agenda<T> {
    due: BinaryHeap<Reverse<Due<T>>>,
    numbers: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            due: BinaryHeap::new(),
            numbers: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Put something in.
    pub fn put(&mut self, at: Duration, what: T) {
        self.numbers += 1;
        let number = self.numbers;
        self.due.push(Reverse(Due { at, number, what }));
    }

    /// When the earliest is due.
    pub fn next_at(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    /// Take the earliest if it is due at `now`, and when it was due.
    pub fn take(&mut self, now: Duration) -> Option<(Duration, T)> {
        if self.next_at()? > now {
            return None;
        }
        self.due.pop().map(|Reverse(due)| (due.at, due.what))
    }

    /// Forget what `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.due.retain(|Reverse(due)| keep(&due.what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_scales_are_refused() {
        for times in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(TimeScale::new(times), None);
        }
    }
}
