//! Probation: what a new image has to show before it is confirmed.

/// What an image on probation does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probation {
    /// An image that has not shown what it has to in this time restarts, which costs it one of its attempts.
    pub limit_ms: u64,
    /// Whether the image ever finds itself good enough; one that is bad on purpose does not.
    pub confirms: bool,
}

impl Probation {
    /// The image has all the time there is.
    pub const UNLIMITED: Self = Self {
        limit_ms: u64::MAX,
        confirms: true,
    };
}

/// One attempt of an image on probation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    give_up_ms: u64,
    confirms: bool,
}

/// What becomes of the attempt now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Passed the self-test.
    Confirm,
    /// Not yet; look again at this time at the latest.
    Undecided { until_ms: u64 },
    /// Failed.
    GiveUp,
}

impl Trial {
    pub(crate) fn begin(now_ms: u64, probation: Probation) -> Self {
        Self {
            give_up_ms: now_ms.saturating_add(probation.limit_ms),
            confirms: probation.confirms,
        }
    }

    /// Judges the attempt. An image that reaches the platform can be replaced again, so that is what it must show;
    /// that flash is readable has shown in starting the agent.
    pub(crate) fn judge(&self, now_ms: u64, heard_platform: bool) -> Verdict {
        if heard_platform && self.confirms {
            Verdict::Confirm
        } else if now_ms >= self.give_up_ms {
            Verdict::GiveUp
        } else {
            Verdict::Undecided {
                until_ms: self.give_up_ms,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED: Probation = Probation {
        limit_ms: 300,
        confirms: true,
    };

    #[test]
    fn an_image_confirms_as_soon_as_it_has_heard_the_platform_and_else_gives_up_at_its_limit() {
        let trial = Trial::begin(1_000, LIMITED);
        let undecided = Verdict::Undecided { until_ms: 1_300 };
        assert_eq!(trial.judge(1_000, false), undecided);
        assert_eq!(trial.judge(1_000, true), Verdict::Confirm);
        assert_eq!(trial.judge(1_299, false), undecided);
        assert_eq!(trial.judge(1_300, false), Verdict::GiveUp);
        assert_eq!(
            trial.judge(1_300, true),
            Verdict::Confirm,
            "late is not never"
        );
    }

    #[test]
    fn an_image_that_never_confirms_gives_up_though_it_has_heard_the_platform() {
        let trial = Trial::begin(
            0,
            Probation {
                confirms: false,
                ..LIMITED
            },
        );
        assert_eq!(trial.judge(299, true), Verdict::Undecided { until_ms: 300 });
        assert_eq!(trial.judge(300, true), Verdict::GiveUp);
    }

    #[test]
    fn without_a_limit_an_image_waits_for_the_platform_as_long_as_time_is_counted() {
        let trial = Trial::begin(5, Probation::UNLIMITED);
        let undecided = Verdict::Undecided { until_ms: u64::MAX };
        assert_eq!(trial.judge(u64::MAX - 1, false), undecided);
    }
}
