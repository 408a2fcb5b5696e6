//! Load on a platform: a great many devices upgrade at the same time, from a server in another process on this host.
//!
//! The devices are real: the boot code and the agent of the firmware, over light flash, in one loop. They download, verify,
//! install, try out and confirm. What counts as a lost task is what the platform says in the end.
mod device;
mod flash;
mod server;
mod socket;
mod swarm;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use powercut_upgrade::factory::{DeviceId, DeviceKey};
use powercut_upgrade::manifest::{KeyId, SecurityCounter, Suite, Version};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use device::DeviceError;
use device::{HARDWARE, LAYOUT, SimulatedDevice, provisioned};
use powercut_package::Package;
use powercut_package::{FirmwareError, PackageFacts, pack, put_vectors, signing_key_text};
use server::ServerProcess;
use socket::{MOST_DEVICES, ManyDevices, on_this_host};
use swarm::{Swarm, SwarmOutcome};

/// Devices enrolled with one request.
const ENROLLED_AT_ONCE: usize = 10_000;

/// What to load a platform with.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Devices.
    pub devices: u32,
    /// Size of the image, KiB.
    pub image_kib: u32,
    /// Bytes of a fragment.
    pub fragment_bytes: u16,
    /// Most fragments a device may have outstanding.
    pub window: u8,
    /// Devices that have a request under way at a time.
    pub in_flight: usize,
    /// The server's data folder; must be empty or missing.
    pub data: PathBuf,
    /// Give up after so long.
    pub patience: Duration,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server cannot be started.
    #[error("cannot start the server's process: {0}; check the limit on processes")]
    Start(#[source] std::io::Error),
    /// The server does not serve.
    #[error("the server did not say where it listens; its complaint is above")]
    NotServing,
    /// The API refused.
    #[error("the server's API refused {path}: {reason}")]
    Api {
        /// What was asked.
        path: String,
        /// What came back.
        reason: String,
    },
    /// The signing key cannot be kept.
    #[error("cannot write {}: {source}; check the folder's permissions and space", .path.display())]
    Key {
        /// Where.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The image makes no package.
    #[error(transparent)]
    Package(#[from] FirmwareError),
    /// More devices than there are addresses.
    #[error("there are addresses for {MOST_DEVICES} devices on this host, not for {0}")]
    TooMany(u32),
    /// A device is defective before it begins.
    #[error("a simulated device does not start: {0}")]
    Device(#[from] DeviceError),
    /// The socket of the devices.
    #[error("the socket of the devices failed: {0}; check the limits of the host's network")]
    Socket(#[source] std::io::Error),
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Devices that had to upgrade.
    pub devices: u32,
    /// Devices that the platform knows to have succeeded.
    pub succeeded: u64,
    /// How many devices are at which stage, as the platform says.
    pub stages: Value,
    /// Devices that broke on their own, and why the first did.
    pub broken: (u32, Option<DeviceError>),
    /// From the first datagram to the last device's end.
    pub elapsed: Duration,
    /// Fragments that devices got.
    pub fragments: u64,
    /// Datagrams both ways.
    pub datagrams: u64,
    /// Requests sent again because no answer came in time.
    pub repeated: u64,
    /// Half of the requests were answered within this time.
    pub p50: Duration,
    /// 99 of 100 were.
    pub p99: Duration,
    /// All were.
    pub worst: Duration,
    /// Most memory the server had at a time, KiB.
    pub server_memory_kib: u64,
    /// Processor time of the server, all of it.
    pub server_cpu: Duration,
    /// Processor time of the devices, while they upgraded.
    pub devices_cpu: Duration,
    /// Whether the server stopped well when told to.
    pub stopped_well: bool,
}

impl LoadReport {
    /// Devices whose task did not come to success.
    pub fn lost(&self) -> u64 {
        u64::from(self.devices) - self.succeeded.min(self.devices.into())
    }
}

/// Load a platform; `progress` is told of devices done and fragments sent now and then.
///
/// # Errors
/// When there is no result; lost tasks are one.
pub fn load(
    options: &LoadOptions,
    mut progress: impl FnMut(u32, u64),
) -> Result<LoadReport, LoadError> {
    if options.devices > MOST_DEVICES {
        return Err(LoadError::TooMany(options.devices));
    }
    let signer = SigningKey::from_bytes(&Sha256::digest(b"a key for load tests only").into());
    let image = image(options.image_kib as usize * 1024);
    let old = packed(image[..2_000].to_vec(), 0, options.fragment_bytes, &signer)?;
    let key_path = options.data.join("load-signing.key");
    keep_key(&key_path, &signer)?;
    let server = ServerProcess::start(&options.data, &key_path)?;
    let package = server.post(
        &format!(
            "/v1/packages?format=bin&version=1.1.0&hardware={HARDWARE}&security_counter=2&fragment_bytes={}",
            options.fragment_bytes
        ),
        &image,
    )?;
    let devices: Vec<(DeviceId, DeviceKey)> = (0..options.devices).map(identity).collect();
    for some in devices.chunks(ENROLLED_AT_ONCE) {
        let some: Vec<Value> = some
            .iter()
            .map(|(id, key)| json!({ "id": hex::encode(id.0), "key": hex::encode(key.0), "hardware": HARDWARE }))
            .collect();
        server.post(
            "/v1/devices",
            json!({ "devices": some }).to_string().as_bytes(),
        )?;
    }
    let ids: Vec<String> = devices.iter().map(|(id, _)| hex::encode(id.0)).collect();
    let task =
        json!({ "package": package["id"], "devices": ids, "window": options.window }).to_string();
    let task = server.post("/v1/tasks", task.as_bytes())?;

    let blank = provisioned(&old, flash::pages_of(&image))?;
    let held_bytes = usize::from(options.window) * usize::from(options.fragment_bytes);
    let devices = devices
        .into_iter()
        .map(|(id, key)| SimulatedDevice::new(blank.clone(), id, key, &signer, held_bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let platform = on_this_host(server.udp).ok_or(LoadError::NotServing)?;
    let mut socket = ManyDevices::new(platform).map_err(LoadError::Socket)?;
    let cpu_before = cpu(UsageWho::RUSAGE_SELF);
    let start = Instant::now();
    let outcome = Swarm::new(devices, &mut socket, options.in_flight)
        .run(|outcome| {
            progress(outcome.done, outcome.fragments);
            start.elapsed() < options.patience
        })
        .map_err(LoadError::Socket)?;
    let elapsed = start.elapsed();
    let devices_cpu = cpu(UsageWho::RUSAGE_SELF).saturating_sub(cpu_before);
    report(options, server, &task["id"], outcome, elapsed, devices_cpu)
}

fn report(
    options: &LoadOptions,
    server: ServerProcess,
    task: &Value,
    mut outcome: SwarmOutcome,
    elapsed: Duration,
    devices_cpu: Duration,
) -> Result<LoadReport, LoadError> {
    if outcome.done == options.devices {
        server.wait_until_finished(task);
    }
    let task = server.get(&format!("/v1/tasks/{task}"))?;
    let status = server.get("/v1/status")?;
    let children_before = cpu(UsageWho::RUSAGE_CHILDREN);
    let stopped_well = server.stop();
    outcome.latencies_us.sort_unstable();
    let at = |percent: usize| {
        let index = outcome.latencies_us.len().saturating_sub(1) * percent / 100;
        let us = outcome.latencies_us.get(index).copied().unwrap_or(0);
        Duration::from_micros(us.into())
    };
    Ok(LoadReport {
        devices: options.devices,
        succeeded: task["stages"]["succeeded"].as_u64().unwrap_or(0),
        stages: task["stages"].clone(),
        broken: (outcome.broken, outcome.first_broken.clone()),
        elapsed,
        fragments: outcome.fragments,
        datagrams: outcome.sent + outcome.received,
        repeated: outcome.repeated,
        p50: at(50),
        p99: at(99),
        worst: at(100),
        server_memory_kib: status["memory_peak_kib"].as_u64().unwrap_or(0),
        server_cpu: cpu(UsageWho::RUSAGE_CHILDREN).saturating_sub(children_before),
        devices_cpu,
        stopped_well,
    })
}

/// An image that has no two pages alike, behind vectors that a bootloader takes.
fn image(bytes: usize) -> Vec<u8> {
    let blocks = (0_u32..).flat_map(|block| <[u8; 32]>::from(Sha256::digest(block.to_le_bytes())));
    let mut image: Vec<u8> = blocks.take(bytes).collect();
    put_vectors(&mut image, &LAYOUT, 0);
    image
}

fn packed(
    image: Vec<u8>,
    minor: u8,
    fragment_bytes: u16,
    signer: &SigningKey,
) -> Result<Package, FirmwareError> {
    let facts = PackageFacts {
        version: Version {
            major: 1,
            minor,
            patch: 0,
        },
        suite: Suite::ChaCha20Poly1305,
        fragment_bytes,
        key_id: KeyId(1),
        trial_attempts: 3,
        hardware: HARDWARE,
        security_counter: SecurityCounter(1),
    };
    pack(image, facts, signer)
}

fn identity(number: u32) -> (DeviceId, DeviceKey) {
    let mut id = *b"load\0\0\0\0";
    id[4..].copy_from_slice(&number.to_be_bytes());
    let key = Sha256::new()
        .chain_update(b"a key of a simulated device")
        .chain_update(id)
        .finalize();
    (DeviceId(id), DeviceKey(key.into()))
}

fn keep_key(path: &std::path::Path, signer: &SigningKey) -> Result<(), LoadError> {
    let kept = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, signing_key_text(signer)));
    kept.map_err(|source| LoadError::Key {
        path: path.to_owned(),
        source,
    })
}

fn cpu(who: UsageWho) -> Duration {
    getrusage(who).map_or(Duration::ZERO, |usage| {
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(us.try_into().unwrap_or(0))
    })
}
