//! When to ask again: a retransmission timeout that follows the measured round trip (RFC 6298), in milliseconds, with
//! Karn's rule (an answer to a repeated question measures nothing) and exponential back-off.

/// First timeout, before anything was measured.
const INITIAL_MS: u32 = 1_000;
const MIN_MS: u32 = 500;
const MAX_MS: u32 = 60_000;

/// One question at a time, its answer, and how long to wait for it.
#[derive(Debug, Clone)]
pub(crate) struct RetransmissionTimer {
    /// Smoothed round trip and its variation, once measured.
    measured: Option<(u32, u32)>,
    timeout_ms: u32,
    /// When the question whose answer is measured was asked.
    asked_at_ms: Option<u64>,
    /// Since when there has been no answer to what was asked.
    waiting_since_ms: Option<u64>,
    repeated: bool,
}

impl RetransmissionTimer {
    pub(crate) const fn new() -> Self {
        Self {
            measured: None,
            timeout_ms: INITIAL_MS,
            asked_at_ms: None,
            waiting_since_ms: None,
            repeated: false,
        }
    }

    /// A question was sent whose answer is measured.
    pub(crate) fn asked(&mut self, now_ms: u64) {
        self.asked_at_ms = Some(now_ms);
        self.waits(now_ms);
    }

    /// An answer is waited for from now on.
    pub(crate) fn waits(&mut self, now_ms: u64) {
        self.waiting_since_ms = Some(now_ms);
    }

    /// When to ask again; `None` if no answer is waited for.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.waiting_since_ms
            .map(|since| since + u64::from(self.timeout_ms))
    }

    /// No answer came in time: wait longer for the next.
    pub(crate) fn expired(&mut self) {
        self.stop();
        self.repeated = true;
        self.timeout_ms = self.timeout_ms.saturating_mul(2).min(MAX_MS);
    }

    /// The measured answer came, and no other is waited for.
    pub(crate) fn answered(&mut self, now_ms: u64) {
        self.waiting_since_ms = None;
        let Some(asked_at_ms) = self.asked_at_ms.take() else {
            return;
        };
        if core::mem::take(&mut self.repeated) {
            return;
        }
        let round_trip = u32::try_from(now_ms.saturating_sub(asked_at_ms))
            .unwrap_or(MAX_MS)
            .min(MAX_MS);
        let (smoothed, variation) = match self.measured {
            None => (round_trip, round_trip / 2),
            Some((smoothed, variation)) => (
                (smoothed * 7 + round_trip) / 8,
                (variation * 3 + smoothed.abs_diff(round_trip)) / 4,
            ),
        };
        self.measured = Some((smoothed, variation));
        self.timeout_ms = (smoothed + 4 * variation).clamp(MIN_MS, MAX_MS);
    }

    /// Nothing is asked any more.
    pub(crate) fn stop(&mut self) {
        self.asked_at_ms = None;
        self.waiting_since_ms = None;
        self.repeated = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_round_trip_doubles_on_silence_and_ignores_repeated_questions() {
        let mut timer = RetransmissionTimer::new();
        timer.asked(0);
        assert_eq!(timer.deadline_ms(), Some(1_000));
        timer.answered(400);
        timer.asked(1_000);
        assert_eq!(timer.deadline_ms(), Some(1_000 + 400 + 4 * 200));
        timer.expired();
        timer.asked(3_000);
        assert_eq!(timer.deadline_ms(), Some(3_000 + 2 * 1_200));
        timer.answered(3_001);
        timer.asked(4_000);
        assert_eq!(
            timer.deadline_ms(),
            Some(4_000 + 2 * 1_200),
            "Karn: not measured"
        );
        timer.answered(4_400);
        timer.asked(5_000);
        assert_eq!(timer.deadline_ms(), Some(5_000 + 400 + 4 * 150));
    }
}
