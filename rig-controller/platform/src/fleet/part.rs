//! A device's part in a task, as a state machine: what passes between platform and device, and time, go in; the stage
//! comes out. It knows no database and no clock.
//!
//! ```text
//! waiting -> offered -> downloading -> verifying -> installing -> succeeded
//!    ^          |            |             |            |
//!    +----------+------------+-------------+------------+--> failed | timed-out    (the last attempt)
//!        (another attempt)                                   cancelled             (at any time)
//! ```
//! An attempt ends without success when the device reports a failure of the task's image after it was offered, or when
//! one of the clocks of the telecom platform runs out: 3 minutes to react to an offer, 60 minutes to download, 30 minutes
//! from the last fragment to the result. Another attempt costs the device nothing it has already: it resumes. Failures that
//! say that the image itself is no good for the device are final. How it ended counts only from a status that answers the
//! platform's latest challenge.
use powercut_upgrade::manifest::ImageId;
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, MAX_WINDOW, Status};

use crate::PlatformEventKind;

/// How far a device has come in a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It was not heard since the task, or the attempt, began.
    Waiting,
    /// It was told of the package.
    Offered,
    /// It fetches fragments.
    Downloading,
    /// It has all of them and checks the image.
    Verifying,
    /// It installs the image, or tries it out.
    Installing,
    /// It runs the image for good.
    Succeeded,
    /// It said that it cannot.
    Failed(ResultCode),
    /// It was silent for too long.
    TimedOut,
    /// The task was cancelled first.
    Cancelled,
}

impl Stage {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Verifying => "verifying",
            Self::Installing => "installing",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }

    /// The stage of this name; a failure needs its result.
    pub fn from_name(name: &str, result: Option<ResultCode>) -> Option<Self> {
        Some(match name {
            "waiting" => Self::Waiting,
            "offered" => Self::Offered,
            "downloading" => Self::Downloading,
            "verifying" => Self::Verifying,
            "installing" => Self::Installing,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed(result?),
            "timed_out" => Self::TimedOut,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }

    /// The failure, if it is one.
    pub fn result(self) -> Option<ResultCode> {
        match self {
            Self::Failed(result) => Some(result),
            _ => None,
        }
    }

    /// Whether nothing changes it any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed(_) | Self::TimedOut | Self::Cancelled
        )
    }
}

/// How long to wait for a device, and how often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts a device gets.
    pub attempts: u8,
    /// From the offer to the first sign of a download, seconds.
    pub query_s: u32,
    /// From the first fragment to the last, seconds.
    pub download_s: u32,
    /// From the last fragment to the result, seconds.
    pub result_s: u32,
    /// Most fragments a device may have outstanding, at least 1.
    pub window: u8,
}

impl Default for Policy {
    /// The telecom platform's times: 3, 60 and 30 minutes; the widest window there is, as devices know best what theirs can be.
    fn default() -> Self {
        Self {
            attempts: 3,
            query_s: 3 * 60,
            download_s: 60 * 60,
            result_s: 30 * 60,
            window: MAX_WINDOW,
        }
    }
}

/// A device's part in a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How far it has come.
    pub stage: Stage,
    /// Which attempt this is, from 1.
    pub attempt: u8,
    /// Fragments served up to the highest.
    pub fragments: u16,
    /// When the clock of this stage was started, Unix milliseconds.
    pub since_ms: i64,
}

/// What an event did to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It has more fragments.
    Progress,
    /// It is at another stage.
    Stage,
    /// The attempt came to nothing for this reason; there is another.
    Retry(Stage),
    /// It is over.
    Final,
}

impl Part {
    /// The part of a device in a new task.
    pub fn new(now_ms: i64) -> Self {
        Self {
            stage: Stage::Waiting,
            attempt: 1,
            fragments: 0,
            since_ms: now_ms,
        }
    }

    /// Whether the device was offered the package in this attempt.
    pub fn is_offered(&self) -> bool {
        self.stage != Stage::Waiting
    }

    /// Something passed between platform and device.
    pub fn on_event(
        &mut self,
        event: &PlatformEventKind,
        image: ImageId,
        policy: &Policy,
        now_ms: i64,
    ) -> Change {
        if self.stage.is_final() {
            return Change::None;
        }
        match event {
            PlatformEventKind::Hello { status, is_recent } => {
                self.on_status(status, *is_recent, image, policy, now_ms)
            }
            // In PCP a device says by itself what it will not do, or could not.
            PlatformEventKind::Told(result) if *result != ResultCode::Ok && self.is_offered() => {
                self.attempt_ended(Stage::Failed(*result), policy, now_ms)
            }
            PlatformEventKind::OfferSent(_) if self.stage == Stage::Waiting => {
                self.enter(Stage::Offered, now_ms)
            }
            PlatformEventKind::FragmentServed { index, .. } => {
                let served = index.0.saturating_add(1);
                if self.stage == Stage::Downloading {
                    let more = served > self.fragments;
                    self.fragments = self.fragments.max(served);
                    return if more { Change::Progress } else { Change::None };
                }
                // Also from later stages: an image whose digest is wrong is fetched anew.
                self.fragments = served;
                self.enter(Stage::Downloading, now_ms)
            }
            _ => Change::None,
        }
    }

    /// Time passed.
    pub fn on_time(&mut self, policy: &Policy, now_ms: i64) -> Change {
        let limit_s = match self.stage {
            Stage::Offered => policy.query_s,
            Stage::Downloading => policy.download_s,
            Stage::Verifying | Stage::Installing => policy.result_s,
            _ => return Change::None,
        };
        if now_ms.saturating_sub(self.since_ms) < i64::from(limit_s) * 1_000 {
            return Change::None;
        }
        self.attempt_ended(Stage::TimedOut, policy, now_ms)
    }

    /// The operator does not want it any more.
    pub fn cancel(&mut self, now_ms: i64) {
        self.enter(Stage::Cancelled, now_ms);
    }

    fn on_status(
        &mut self,
        status: &Status,
        is_recent: bool,
        image: ImageId,
        policy: &Policy,
        now_ms: i64,
    ) -> Change {
        if status.running == image {
            return match status.activity {
                Activity::Trial => self.enter(Stage::Installing, now_ms),
                // Perhaps somebody recorded it: the device will say so again, and repeat the challenge.
                _ if !is_recent => Change::None,
                _ => self.enter(Stage::Succeeded, now_ms),
            };
        }
        if !self.is_offered() {
            // What it does and reports is of an earlier task or attempt.
            return Change::None;
        }
        if status.result_image == image && status.result != ResultCode::Ok {
            if !is_recent {
                return Change::None;
            }
            return self.attempt_ended(Stage::Failed(status.result), policy, now_ms);
        }
        match status.activity {
            Activity::Verifying => self.enter(Stage::Verifying, now_ms),
            Activity::Ready => self.enter(Stage::Installing, now_ms),
            Activity::Idle | Activity::Downloading | Activity::Trial => Change::None,
        }
    }

    fn attempt_ended(&mut self, how: Stage, policy: &Policy, now_ms: i64) -> Change {
        let worth_another = match how {
            Stage::Failed(result) => may_pass(result),
            _ => true,
        };
        if !worth_another || self.attempt >= policy.attempts {
            return self.enter(how, now_ms);
        }
        self.attempt += 1;
        self.stage = Stage::Waiting;
        self.since_ms = now_ms;
        Change::Retry(how)
    }

    fn enter(&mut self, stage: Stage, now_ms: i64) -> Change {
        if self.stage == stage {
            return Change::None;
        }
        // One clock runs from the last fragment to the result.
        let same_clock = self.stage == Stage::Verifying && stage == Stage::Installing;
        if !same_clock {
            self.since_ms = now_ms;
        }
        self.stage = stage;
        if stage.is_final() {
            Change::Final
        } else {
            Change::Stage
        }
    }
}

/// Whether a device that failed like this may succeed later with the same image.
fn may_pass(result: ResultCode) -> bool {
    matches!(
        result,
        ResultCode::InUse
            | ResultCode::WeakSignal
            | ResultCode::LowBattery
            | ResultCode::Timeout
            | ResultCode::NoMemory
    )
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;
