//! Cycles of the core as time, and back.
use std::time::Duration;

use crate::{CLOCK_HZ, Cycles};

/// How long `cycles` take.
pub fn time_of(cycles: Cycles) -> Duration {
    let rest = cycles % CLOCK_HZ * 1_000_000_000 / CLOCK_HZ;
    Duration::from_secs(cycles / CLOCK_HZ) + Duration::from_nanos(rest)
}

/// The least number of cycles that take `time` or longer.
pub fn cycles_in(time: Duration) -> Cycles {
    let rest = u64::from(time.subsec_nanos()) * CLOCK_HZ;
    time.as_secs()
        .saturating_mul(CLOCK_HZ)
        .saturating_add(rest.div_ceil(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_takes_62_nanoseconds_and_a_part_of_one_counts_whole() {
        assert_eq!(time_of(CLOCK_HZ + 1), Duration::new(1, 62));
        assert_eq!(cycles_in(Duration::new(1, 62)), CLOCK_HZ + 1);
        assert_eq!(cycles_in(Duration::new(1, 63)), CLOCK_HZ + 2);
        assert_eq!(cycles_in(Duration::MAX), Cycles::MAX);
        for cycles in [0, 1, 15, 16, 17, 741, 356_800, 123_456_789] {
            assert!(cycles_in(time_of(cycles)) <= cycles);
        }
    }
}
