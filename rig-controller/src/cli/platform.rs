//! `rig platform`: the upgrade server on its own, its backup, and load on it.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use powercut_upgrade::manifest::KeyId;
use powercut_upgrade::wire::lean::MAX_WINDOW;

use super::signals::Signals;
use super::{CliError, exit, say};
use powercut_bench::board::Waker;
use powercut_bench::cancel::Cancel;
use powercut_platform::load::{LoadError, LoadOptions, LoadReport, load};
use powercut_platform::{
    PlatformServer, ServeError, ServeOptions, StoreError, TOKENS, TokenError, back_up,
};

/// The platform cannot be served, backed up or put under load.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It cannot serve.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Its database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Load on it.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl ServiceError {
    /// Whether an input was bad; else something around the platform failed.
    pub(super) fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::Serve(
                ServeError::Key(_)
                    | ServeError::TwoKeys { .. }
                    | ServeError::Tokens(TokenError::Readable { .. } | TokenError::Line { .. }),
            )
        )
    }
}

/// Options of `rig platform`.
#[derive(Debug, Args)]
pub(super) struct PlatformArgs {
    #[command(subcommand)]
    verb: PlatformVerb,
}

#[derive(Debug, Subcommand)]
enum PlatformVerb {
    /// Serve upgrades: devices over UDP and TCP, people and programs over HTTP. SIGINT and SIGTERM stop it; exit code 0.
    Serve(ServeArgs),
    /// Copy the database of a platform, also one that serves, into a new file.
    Backup(BackupArgs),
    /// Have many simulated devices upgrade from a server in another process on this host. Exit code 1 if a task was lost.
    Load(LoadArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Folder with the database and the tokens; made if it is missing.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where devices send datagrams; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:5700")]
    udp: SocketAddr,
    /// Where devices connect with streams (PCP over 4G).
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:5701")]
    tcp: SocketAddr,
    /// Where API and pages are. There is no TLS here: beyond this host, put a proxy that has it in front.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Signs uploaded images: a file with the line `ed25519 signing key`, then 64 hexadecimal digits. Without it only signed
    /// packages are taken.
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Which of the devices' trusted keys the signing key is.
    #[arg(long, value_name = "N", default_value_t = 1)]
    key_id: u8,
    /// Take packages signed with this key, too: its id, and a file with the line `ed25519 public key`, then 64 hexadecimal
    /// digits; may be given several times. Without any key all packages are taken, and
    /// devices have to judge.
    #[arg(long, value_name = "N:FILE", value_parser = trusted_key)]
    trusted_key: Vec<(KeyId, PathBuf)>,
    /// Serves packages of the suite m-sequence: a file with its polynomial, seed and stream, such as
    /// fixtures/m-sequence/device.yaml.
    #[arg(long, value_name = "FILE")]
    m_sequence: Option<PathBuf>,
    /// Largest upload, MiB.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    max_upload_mib: u16,
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// The platform's data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The copy; must not exist.
    file: PathBuf,
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Devices.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    devices: u32,
    /// Size of the image, KiB.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=106))]
    image_kib: u32,
    /// Bytes of plaintext in a fragment.
    #[arg(long, value_name = "N", default_value_t = 160, value_parser = super::pack::fragment_bytes)]
    fragment_bytes: u16,
    /// Most fragments a device may have outstanding.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_WINDOW)))]
    window: u8,
    /// Devices that have a request under way at a time; the others wait for their turn.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
    /// The server's data folder, new; without it, one that is removed afterwards.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Give up after so many minutes.
    #[arg(long, value_name = "N", default_value_t = 30)]
    minutes: u64,
}

fn trusted_key(text: &str) -> Result<(KeyId, PathBuf), String> {
    text.split_once(':')
        .and_then(|(id, path)| Some((KeyId(id.parse().ok()?), PathBuf::from(path))))
        .ok_or_else(|| "a trusted key looks like 1:FILE: its id, and its file".to_owned())
}

/// Runs the verb.
pub(super) fn platform(args: &PlatformArgs) -> Result<ExitCode, CliError> {
    match &args.verb {
        PlatformVerb::Serve(args) => serve(args),
        PlatformVerb::Backup(args) => {
            back_up(&args.data, &args.file).map_err(ServiceError::from)?;
            say::line(&format!("{}: the database, whole", args.file.display()));
            Ok(ExitCode::SUCCESS)
        }
        PlatformVerb::Load(args) => run_load(args),
    }
}

fn serve(args: &ServeArgs) -> Result<ExitCode, CliError> {
    let cancel = Cancel::default();
    let _signals = Signals::watch_and_say(
        cancel.clone(),
        [
            "stopping: requests first, then the database",
            "already stopping",
        ],
    )?;
    let server = PlatformServer::start(&ServeOptions {
        data: args.data.clone(),
        udp: args.udp,
        http: args.http,
        tcp: args.tcp,
        signing_key: args
            .signing_key
            .clone()
            .map(|path| (KeyId(args.key_id), path)),
        trusted_keys: args.trusted_key.clone(),
        m_sequence: args.m_sequence.clone(),
        max_upload_bytes: usize::from(args.max_upload_mib) << 20,
    })
    .map_err(ServiceError::from)?;
    let addresses = server.addresses();
    say::line(&format!("udp: {}", addresses.udp));
    say::line(&format!("tcp: {}", addresses.tcp));
    say::line(&format!("http: http://{}", addresses.http));
    // Last: whoever started this program knows now that it serves.
    say::line(&format!(
        "data: {} (tokens: {})",
        args.data.display(),
        args.data.join(TOKENS).display()
    ));
    let (sender, stopped) = channel();
    cancel.also_wake(Waker(Arc::new(move || {
        // Nobody waits for a second signal.
        let _ = sender.send(());
    })));
    // The sender lives as long as `cancel`.
    let _ = stopped.recv();
    drop(server);
    Ok(ExitCode::SUCCESS)
}

fn run_load(args: &LoadArgs) -> Result<ExitCode, CliError> {
    let folder = match &args.data {
        Some(data) => Folder::Kept(data.clone()),
        None => Folder::Removed(
            std::env::temp_dir().join(format!("powercut-load-{}", std::process::id())),
        ),
    };
    let options = LoadOptions {
        devices: args.devices,
        image_kib: args.image_kib,
        fragment_bytes: args.fragment_bytes,
        window: args.window,
        in_flight: args.in_flight as usize,
        data: folder.path().to_owned(),
        patience: Duration::from_secs(args.minutes * 60),
    };
    let mut told = Instant::now();
    let report = load(&options, |done, fragments| {
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            say::line(&format!("{done} devices done, {fragments} fragments"));
        }
    })
    .map_err(ServiceError::from)?;
    print(&options, &report);
    let bad = report.lost() > 0 || !report.stopped_well;
    Ok(if bad { exit::FIRMWARE } else { exit::PASS }.into())
}

fn print(options: &LoadOptions, report: &LoadReport) {
    let seconds = report.elapsed.as_secs_f64();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    for line in [
        format!(
            "{} devices, {} KiB each in fragments of {} bytes, a window of {}, {} devices asking at a time",
            report.devices,
            options.image_kib,
            options.fragment_bytes,
            options.window,
            options.in_flight
        ),
        format!(
            "{seconds:.1} s, {} fragments, {:.0} fragments/s, {:.0} datagrams/s",
            report.fragments,
            report.fragments as f64 / seconds,
            report.datagrams as f64 / seconds
        ),
        format!(
            "request to answer: p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms; {} requests sent again",
            ms(report.p50),
            ms(report.p99),
            ms(report.worst),
            report.repeated
        ),
        format!(
            "server: {:.1} MiB at most, {:.1} s of processor time; devices: {:.1} s",
            report.server_memory_kib as f64 / 1024.0,
            report.server_cpu.as_secs_f64(),
            report.devices_cpu.as_secs_f64()
        ),
        format!(
            "tasks as the platform has them: {}; lost: {}",
            report.stages,
            report.lost()
        ),
    ] {
        say::line(&line);
    }
    if let (broken @ 1.., Some(first)) = &report.broken {
        say::complain(&format!(
            "{broken} devices could not go on; the first: {first}"
        ));
    }
    if !report.stopped_well {
        say::complain("the server did not stop well");
    }
}

/// A data folder, and what becomes of it.
enum Folder {
    Kept(PathBuf),
    Removed(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Removed(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Removed(path) = self
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            tracing::warn!(%error, path = %path.display(), "a folder is left behind");
        }
    }
}
