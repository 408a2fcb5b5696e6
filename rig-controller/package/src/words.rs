//! What device and journal say, in the words of a reader of reports: verdicts and timelines hold these, never the
//! names that the source has for them.
use std::fmt;

use powercut_upgrade::agent::StartError;
use powercut_upgrade::boot::StayReason;
use powercut_upgrade::journal::Phase;
use powercut_upgrade::manifest::ImageId;
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, Status};
use powercut_upgrade::wire::pcp;

/// Something of the core's, with its words.
pub struct Words<T>(pub T);

impl fmt::Display for Words<Phase> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Phase::Idle => "idle",
            Phase::Accepted => "offer accepted",
            Phase::Downloading {
                committed,
                programs,
            } => {
                return write!(
                    f,
                    "downloading, {committed} bytes recorded, boot {programs}"
                );
            }
            Phase::Ready => "ready",
            Phase::Swapping { copies } => return write!(f, "swapping, {copies} pages copied"),
            Phase::Trial { attempts } => return write!(f, "trial {attempts}"),
            Phase::Confirmed => "confirmed",
            Phase::Reverting { copies } => {
                return write!(f, "reverting, {copies} pages copied");
            }
            Phase::Reverted => "reverted",
            Phase::Rejected => "rejected",
        })
    }
}

impl fmt::Display for Words<ResultCode> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ResultCode::Ok => "ok",
            ResultCode::InUse => "in use",
            ResultCode::WeakSignal => "weak signal",
            ResultCode::LatestAlready => "latest already",
            ResultCode::LowBattery => "low battery",
            ResultCode::NoSpace => "no space",
            ResultCode::Timeout => "timeout",
            ResultCode::VerifyFailed => "verify failed",
            ResultCode::TypeUnsupported => "type unsupported",
            ResultCode::NoMemory => "no memory",
            ResultCode::InstallFailed => "install failed",
            ResultCode::Internal => "internal",
            ResultCode::NoSuchTask => "no such task",
            ResultCode::NoSuchFragment => "no such fragment",
        })
    }
}

impl fmt::Display for Words<Activity> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Activity::Idle => "idle",
            Activity::Downloading => "downloading",
            Activity::Verifying => "verifying",
            Activity::Ready => "ready",
            Activity::Trial => "on trial",
        })
    }
}

impl fmt::Display for Words<ImageId> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == ImageId::NONE {
            return f.write_str("no image");
        }
        let (start, _) = self.0.0.split_at(4);
        write!(f, "image {}", hex::encode(start))
    }
}

impl fmt::Display for Words<&Status> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        write!(
            f,
            "status: runs {} ({}), {}; last upgrade: {} ({})",
            status.version,
            Words(status.running),
            Words(status.activity),
            Words(status.result),
            Words(status.result_image)
        )
    }
}

impl fmt::Display for Words<pcp::Uplink> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            pcp::Uplink::Version { result, version } => {
                write!(f, "version {version}, {}", Words(result))
            }
            pcp::Uplink::NewVersionTaken { result } => {
                write!(f, "new version: {}", Words(result))
            }
            pcp::Uplink::Fragment { version, index } => {
                write!(f, "request {} of {version}", index.0)
            }
            pcp::Uplink::DownloadState { state } => write!(f, "download: {}", Words(state)),
            pcp::Uplink::Executes { result } => write!(f, "executes: {}", Words(result)),
            pcp::Uplink::UpgradeResult { result, version } => {
                write!(f, "upgrade: {}, runs {version}", Words(result))
            }
        }
    }
}

impl fmt::Display for Words<&pcp::Downlink<'_>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            pcp::Downlink::QueryVersion => f.write_str("query version"),
            pcp::Downlink::NewVersion(facts) => write!(
                f,
                "new version {}, {} fragments of {} bytes",
                facts.version, facts.count, facts.fragment_bytes
            ),
            pcp::Downlink::Fragment { result, index, .. } => {
                write!(f, "fragment {}: {}", index.0, Words(*result))
            }
            pcp::Downlink::DownloadStateTaken { result } => {
                write!(f, "download heard: {}", Words(*result))
            }
            pcp::Downlink::Execute => f.write_str("execute"),
            pcp::Downlink::UpgradeResultTaken { result } => {
                write!(f, "upgrade heard: {}", Words(*result))
            }
        }
    }
}

impl fmt::Display for Words<StayReason> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            StayReason::NotProvisioned => "its factory page is missing or damaged",
            StayReason::NoImage => "neither slot holds an image that may run",
            StayReason::Flash(_) => "flash does not take what is written",
        })
    }
}

impl fmt::Display for Words<StartError> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            StartError::NotProvisioned => "its factory page is missing or damaged",
            StartError::NoManifest => "the running image has no manifest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_core_says_is_put_into_words() {
        for (said, words) in [
            (Words(Phase::Trial { attempts: 2 }).to_string(), "trial 2"),
            (Words(Phase::Reverted).to_string(), "reverted"),
            (
                Words(ResultCode::InstallFailed).to_string(),
                "install failed",
            ),
            (Words(ImageId::NONE).to_string(), "no image"),
            (Words(ImageId([0xAB; 16])).to_string(), "image abababab"),
        ] {
            assert_eq!(said, words);
        }
    }
}
