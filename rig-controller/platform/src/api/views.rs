//! What the API answers with, and what it takes.
use std::collections::BTreeMap;

use powercut_upgrade::factory::{DeviceId, DeviceKey};
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::lean::MAX_WINDOW;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::fleet::{Part, Policy, Standing, Summary};
use crate::refusal::PackageId;
use crate::store::{DeviceRecord, Enrolment, HistoryEntry, NewTask, PackageRecord, TaskRecord};
use powercut_package::suites::suite_name;

/// A package.
#[derive(Debug, Serialize)]
pub struct PackageView {
    /// Names it.
    pub id: i64,
    /// Version of its image.
    pub version: String,
    /// What hardware it is for.
    pub hardware: u16,
    /// Bytes of the image.
    pub size_bytes: u32,
    /// Bytes of a fragment.
    pub fragment_bytes: u16,
    /// Fragments.
    pub fragments: u16,
    /// Anti-rollback counter.
    pub security_counter: u32,
    /// Boots the image gets to confirm itself.
    pub trial_attempts: u8,
    /// Which signing key signed it.
    pub key_id: u8,
    /// Cipher suite of the download.
    pub suite: &'static str,
    /// SHA-256 of the image.
    pub image_sha256: String,
    /// When it was uploaded.
    pub uploaded_at: String,
}

impl From<&PackageRecord> for PackageView {
    fn from(record: &PackageRecord) -> Self {
        let manifest = record.signed.manifest();
        let suite: Suite = manifest.suite;
        Self {
            id: record.id.0,
            version: manifest.version.to_string(),
            hardware: manifest.hardware,
            size_bytes: manifest.size_bytes,
            fragment_bytes: manifest.fragment_bytes,
            fragments: manifest.fragments(),
            security_counter: manifest.security_counter.0,
            trial_attempts: manifest.trial_attempts,
            key_id: manifest.key_id.0,
            suite: suite_name(suite),
            image_sha256: hex::encode(manifest.image_digest),
            uploaded_at: time(record.uploaded_ms),
        }
    }
}

/// A device.
#[derive(Debug, Serialize)]
pub struct DeviceView {
    /// Names it, 16 hexadecimal digits.
    pub id: String,
    /// What hardware it is.
    pub hardware: u16,
    /// When it was enrolled.
    pub enrolled_at: String,
    /// When it was last heard.
    pub seen_at: Option<String>,
    /// The version it last said it runs.
    pub running: Option<String>,
    /// Its unfinished task.
    pub task: Option<u64>,
    /// How far it has come there.
    pub stage: Option<&'static str>,
}

impl DeviceView {
    pub(crate) fn new(record: &DeviceRecord, standing: Option<Standing>) -> Self {
        let standing = standing.unwrap_or(Standing {
            seen_ms: None,
            running: None,
            part: None,
        });
        Self {
            id: hex::encode(record.enrolment.id.0),
            hardware: record.enrolment.hardware,
            enrolled_at: time(record.enrolled_ms),
            seen_at: standing.seen_ms.or(record.seen_ms).map(time),
            running: standing.running.or_else(|| record.running.clone()),
            task: standing.part.map(|(task, _)| task.0),
            stage: standing.part.map(|(_, part)| part.stage.name()),
        }
    }
}

/// A task.
#[derive(Debug, Clone, Serialize)]
pub struct TaskView {
    /// Names it.
    pub id: u64,
    /// What is installed.
    pub package: i64,
    /// Its version.
    pub version: String,
    /// `created`, `running`, `done` or `cancelled`.
    pub state: &'static str,
    /// When it was created.
    pub created_at: String,
    /// When it came to its end.
    pub finished_at: Option<String>,
    /// Attempts each device gets.
    pub attempts: u8,
    /// Most fragments a device may have outstanding.
    pub window: u8,
    /// The clocks.
    pub timeouts: TimeoutsView,
    /// Devices.
    pub devices: u64,
    /// How many are at which stage.
    pub stages: BTreeMap<&'static str, u64>,
    /// Fragments they have together.
    pub fragments: u64,
    /// Fragments they need together.
    pub fragments_total: u64,
}

impl TaskView {
    pub(crate) fn new(record: &TaskRecord, summary: Summary) -> Self {
        let untouched = summary.stages.get("waiting") == Some(&summary.devices);
        Self {
            id: record.id.0,
            package: record.package.0,
            version: record.version.clone(),
            state: match (record.cancelled_ms, record.finished_ms) {
                (Some(_), _) => "cancelled",
                (None, Some(_)) => "done",
                (None, None) if untouched => "created",
                (None, None) => "running",
            },
            created_at: time(record.created_ms),
            finished_at: record.finished_ms.map(time),
            attempts: record.policy.attempts,
            window: record.policy.window,
            timeouts: TimeoutsView::from(&record.policy),
            devices: summary.devices,
            stages: summary.stages,
            fragments: summary.fragments,
            fragments_total: summary.fragments_total,
        }
    }
}

/// How long the platform waits for a device, seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_field_names,
    reason = "the unit is part of the API's names"
)]
pub struct TimeoutsView {
    /// From the offer to the first sign of a download.
    pub query_s: u32,
    /// From the first fragment to the last.
    pub download_s: u32,
    /// From the last fragment to the result.
    pub result_s: u32,
}

impl From<&Policy> for TimeoutsView {
    fn from(policy: &Policy) -> Self {
        Self {
            query_s: policy.query_s,
            download_s: policy.download_s,
            result_s: policy.result_s,
        }
    }
}

impl Default for TimeoutsView {
    fn default() -> Self {
        Self::from(&Policy::default())
    }
}

/// A device's part in a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartView {
    /// Which device.
    pub device: String,
    /// How far it has come.
    pub stage: &'static str,
    /// Why it failed, if it did: a result code of the telecom platform.
    pub result: Option<u8>,
    /// Which attempt this is.
    pub attempt: u8,
    /// Fragments it has.
    pub fragments: u16,
    /// Fragments it needs.
    pub fragments_total: u16,
    /// When the clock of this stage was started.
    pub since: String,
}

impl PartView {
    pub(crate) fn new(device: DeviceId, part: &Part, fragments_total: u16) -> Self {
        Self {
            device: hex::encode(device.0),
            stage: part.stage.name(),
            result: part.stage.result().map(|result| result as u8),
            attempt: part.attempt,
            fragments: part.fragments,
            fragments_total,
            since: time(part.since_ms),
        }
    }
}

/// Something that happened.
#[derive(Debug, Serialize)]
pub struct HistoryView {
    /// Position; a later one is higher.
    pub id: i64,
    /// When.
    pub at: String,
    /// What.
    pub kind: String,
    /// To which device.
    pub device: Option<String>,
    /// In which task.
    pub task: Option<u64>,
    /// With which package.
    pub package: Option<i64>,
    /// In words.
    pub detail: String,
}

impl From<&HistoryEntry> for HistoryView {
    fn from(entry: &HistoryEntry) -> Self {
        Self {
            id: entry.id,
            at: time(entry.at_ms),
            kind: entry.kind.clone(),
            device: entry.device.map(|device| hex::encode(device.0)),
            task: entry.task.map(|task| task.0),
            package: entry.package.map(|package| package.0),
            detail: entry.detail.clone(),
        }
    }
}

/// Devices to enrol.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    devices: Vec<EnrolmentRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolmentRequest {
    id: String,
    key: String,
    hardware: u16,
}

impl EnrolRequest {
    pub(super) fn enrolments(&self) -> Result<Vec<Enrolment>, ApiError> {
        let one = |device: &EnrolmentRequest| {
            let mut key = [0; 32];
            hex::decode_to_slice(&device.key, &mut key).map_err(|_| {
                // What is there is not shown: it may be part of a secret.
                ApiError::bad_request(format!(
                    "the key of device {} is not 64 hexadecimal digits",
                    device.id
                ))
            })?;
            Ok(Enrolment {
                id: device_id(&device.id)?,
                key: DeviceKey(key),
                hardware: device.hardware,
            })
        };
        if self.devices.is_empty() {
            return Err(ApiError::bad_request("there is no device to enrol"));
        }
        self.devices.iter().map(one).collect()
    }
}

/// A task to create.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    package: i64,
    devices: Vec<String>,
    attempts: Option<u8>,
    window: Option<u8>,
    #[serde(default)]
    timeouts: TimeoutsView,
}

impl TaskRequest {
    pub(super) fn new_task(&self) -> Result<NewTask, ApiError> {
        let attempts = self.attempts.unwrap_or(Policy::default().attempts);
        let TimeoutsView {
            query_s,
            download_s,
            result_s,
        } = self.timeouts;
        if self.devices.is_empty() {
            return Err(ApiError::bad_request("the task has no device"));
        }
        let window = self.window.unwrap_or(Policy::default().window);
        if !(1..=MAX_WINDOW).contains(&window) {
            return Err(ApiError::bad_request(format!(
                "window must be from 1 to {MAX_WINDOW}"
            )));
        }
        if attempts == 0 || [query_s, download_s, result_s].contains(&0) {
            return Err(ApiError::bad_request(
                "attempts and timeouts must be at least 1",
            ));
        }
        Ok(NewTask {
            package: PackageId(self.package),
            devices: self
                .devices
                .iter()
                .map(|id| device_id(id))
                .collect::<Result<_, _>>()?,
            policy: Policy {
                attempts,
                query_s,
                download_s,
                result_s,
                window,
            },
        })
    }
}

/// The device of this text, 16 hexadecimal digits.
pub(crate) fn device_id(text: &str) -> Result<DeviceId, ApiError> {
    let mut id = [0; 8];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| ApiError::bad_request("a device's id has 16 hexadecimal digits"))?;
    Ok(DeviceId(id))
}

/// As in RFC 3339, UTC.
pub(crate) fn time(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| unix_ms.to_string(), |time| format!("{time:.3}"))
}
