//! A yardstick by somebody else: libcoap's own server and client transfer a resource by CoAP Block2 (RFC 7959) through a
//! [`UdpRelay`], in real time.
//!
//! Owns the two processes and the files they work on, and ends both whatever happens. The client's retransmission timers
//! (RFC 7252: 2 to 3 s, doubled each time) are real ones and know nothing of a time scale.
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use powercut_bench::link::{UdpRelay, UdpRelayCounters, UdpRelayError};
use powercut_link::{LinkProfile, TimeScale};

/// How long the server may take to come up.
const SERVER_PATIENCE: Duration = Duration::from_secs(5);
/// A ping that is not answered by then is sent again.
const PING_PATIENCE: Duration = Duration::from_millis(100);
/// How long a transfer may take, as the wall clock counts it.
const TRANSFER_PATIENCE_S: u32 = 3_600;
/// A client that neither sends nor hears anything for so long has given up without saying so: RFC 7252, 4.8.2, has it wait
/// 93 s at most for an answer.
const SILENCE: Duration = Duration::from_secs(100);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A CoAP ping: an empty confirmable message. RFC 7252, 4.3: it is rejected by a reset with the same message id.
const PING: [u8; 4] = [0x40, 0, 0x12, 0x34];
const RESET: [u8; 4] = [0x70, 0, 0x12, 0x34];
/// How the programs may be called: with or without the TLS library they were built with.
const SERVER_NAMES: [&str; 2] = ["coap-server-notls", "coap-server"];
const CLIENT_NAMES: [&str; 2] = ["coap-client-notls", "coap-client"];

/// What a transfer took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoapTransfer {
    /// From the client's first datagram to the last arrival, on the link's clock.
    pub time: Duration,
    /// What went over the link.
    pub counters: UdpRelayCounters,
}

/// The yardstick cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CoapError {
    /// A program is missing.
    #[error("{0} is not there; install it: apt-get install libcoap3-bin")]
    Missing(&'static str),
    /// A program does not run, or a file cannot be written.
    #[error(
        "cannot {what}: {source}; check the programs of libcoap3-bin and the folder for temporary files"
    )]
    Host {
        /// What was tried.
        what: &'static str,
        /// What the host said.
        source: std::io::Error,
    },
    /// The server does not answer.
    #[error("libcoap's server does not answer on {0}; run coap-server-notls by hand to see why")]
    Deaf(SocketAddr),
    /// The transfer failed.
    #[error(
        "libcoap's client did not bring the resource over the link: {0}; a link that loses this much may need another try with another seed"
    )]
    Failed(String),
    /// The client hangs.
    #[error(
        "libcoap's client hangs: nothing came from it or to it for {} s after {bytes} bytes; try again, or with another seed",
        silence.as_secs()
    )]
    Hangs {
        /// How long it was silent.
        silence: Duration,
        /// UDP payload that had come to it.
        bytes: u64,
    },
    /// The relay.
    #[error(transparent)]
    UdpRelay(#[from] UdpRelayError),
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("powercut-coap-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a temporary folder stays behind");
        }
    }
}

/// Has libcoap's client fetch `resource` from libcoap's server over the link of `profile`, in blocks of `block_bytes`.
///
/// # Errors
/// When a program is missing or fails, or what comes is not what was sent.
pub fn transfer(
    profile: LinkProfile,
    resource: &[u8],
    block_bytes: u16,
    seed: u64,
    scale: TimeScale,
) -> Result<CoapTransfer, CoapError> {
    let server = find(SERVER_NAMES).ok_or(CoapError::Missing(SERVER_NAMES[0]))?;
    let client = find(CLIENT_NAMES).ok_or(CoapError::Missing(CLIENT_NAMES[0]))?;
    let host = |what| move |source| CoapError::Host { what, source };
    let folder = Folder::new().map_err(host("make a temporary folder"))?;
    let (sent, come) = (folder.0.join("sent"), folder.0.join("come"));
    std::fs::write(&sent, resource).map_err(host("write the resource"))?;
    let address = free_address().map_err(host("find a free port"))?;
    let _server = Process(
        Command::new(server)
            .args(["-A", "127.0.0.1", "-d", "1", "-p"])
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(host("start libcoap's server"))?,
    );
    wait_for_server(address)?;
    // Straight to the server: only the way back is measured.
    run(
        &client,
        &[
            "-m".into(),
            "put".into(),
            "-b".into(),
            "1024".into(),
            "-f".into(),
            sent.into(),
            format!("coap://{address}/image").into(),
        ],
        None,
    )?;
    let relay = UdpRelay::start(
        (Ipv4Addr::LOCALHOST, 0).into(),
        address,
        profile,
        seed,
        scale,
    )?;
    let ended = run(
        &client,
        &[
            "-m".into(),
            "get".into(),
            "-b".into(),
            block_bytes.to_string().into(),
            "-B".into(),
            TRANSFER_PATIENCE_S.to_string().into(),
            "-o".into(),
            come.clone().into(),
            format!("coap://{}/image", relay.local_addr()).into(),
        ],
        Some((&relay, SILENCE)),
    );
    let arrived = std::fs::read(&come).unwrap_or_default();
    match ended {
        // It has all there is, and waits for more.
        Err(CoapError::Hangs { .. }) if arrived == resource => {}
        ended => ended?,
    }
    if arrived != resource {
        return Err(CoapError::Failed(format!(
            "{} bytes came of {}",
            arrived.len(),
            resource.len()
        )));
    }
    let counters = relay.counters();
    let time = counters
        .span
        .map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first));
    Ok(CoapTransfer { time, counters })
}

/// The first of these programs that is in the path.
fn find(names: [&str; 2]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.into_iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
    })
}

/// An address nobody listens on at the moment.
fn free_address() -> std::io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Returns once the server answers a ping.
fn wait_for_server(address: SocketAddr) -> Result<(), CoapError> {
    let host = |source| CoapError::Host {
        what: "ask libcoap's server",
        source,
    };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(host)?;
    socket.connect(address).map_err(host)?;
    socket.set_read_timeout(Some(PING_PATIENCE)).map_err(host)?;
    let start = Instant::now();
    while start.elapsed() < SERVER_PATIENCE {
        let mut answer = [0; 64];
        let answered = socket.send(&PING).and_then(|_| socket.recv(&mut answer));
        match answered {
            Ok(length) if answer[..length] == RESET => return Ok(()),
            Ok(_) => {}
            // Nobody listens yet; the refusal comes at once, so the wait for an answer has to be had elsewhere.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                let _ = socket.recv(&mut answer);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(source) => return Err(host(source)),
        }
    }
    Err(CoapError::Deaf(address))
}

/// Runs the client to its end; one that talks through a relay is ended when nothing has passed there for so long.
fn run(
    client: &Path,
    arguments: &[OsString],
    relay: Option<(&UdpRelay, Duration)>,
) -> Result<(), CoapError> {
    let host = |source| CoapError::Host {
        what: "run libcoap's client",
        source,
    };
    let mut client = Process(
        Command::new(client)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(host)?,
    );
    let (sender, ended) = channel();
    if let Some(mut complaints) = client.0.stderr.take() {
        // What it complains of ends when it does.
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = complaints.read_to_end(&mut text);
            let _ = sender.send(read.map(|_| String::from_utf8_lossy(&text).trim().to_owned()));
        });
    }
    let mut passed = (Instant::now(), UdpRelayCounters::default());
    let complaint = loop {
        match ended.recv_timeout(LOOK) {
            Ok(complaint) => break complaint.map_err(host)?,
            Err(RecvTimeoutError::Disconnected) => break String::new(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some((relay, silence)) = relay else {
            continue;
        };
        let counters = relay.counters();
        if counters != passed.1 {
            passed = (Instant::now(), counters);
        } else if passed.0.elapsed() > silence {
            let bytes = counters.to_client.bytes;
            return Err(CoapError::Hangs { silence, bytes });
        }
    };
    if client.0.wait().map_err(host)?.success() {
        return Ok(());
    }
    Err(CoapError::Failed(complaint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_comes_whole_over_a_slow_and_lossless_link() {
        if find(SERVER_NAMES).is_none() || find(CLIENT_NAMES).is_none() {
            // Said, for a test that shows nothing must not look like one that does.
            eprintln!("not tested: libcoap's programs are missing (apt-get install libcoap3-bin)");
            return;
        }
        let links = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/links");
        let mut profile = LinkProfile::load(&links, "nb-iot-ce0").unwrap();
        profile.to_platform.drop_percent = 0.0;
        profile.to_device.drop_percent = 0.0;
        let resource: Vec<u8> = (0..4_000_u32).map(|n| (n * n) as u8).collect();
        let scale = TimeScale::new(100.0).unwrap();
        let transfer = transfer(profile, &resource, 256, 1, scale).unwrap();
        assert!(transfer.counters.to_client.bytes > 4_000);
        assert!(transfer.counters.to_client.datagrams >= 16);
        // First contact, and 16 blocks of a third of a second or so.
        assert!(transfer.time > Duration::from_secs(2 + 4), "{transfer:?}");
    }

    #[test]
    fn a_client_that_hangs_is_ended() {
        let relay = UdpRelay::start(
            (Ipv4Addr::LOCALHOST, 0).into(),
            free_address().unwrap(),
            LinkProfile::ideal(),
            1,
            TimeScale::REAL,
        )
        .unwrap();
        let start = Instant::now();
        let silence = Duration::from_millis(100);
        let ended = run(
            Path::new("sleep"),
            &["1000".into()],
            Some((&relay, silence)),
        );
        assert!(
            matches!(ended, Err(CoapError::Hangs { bytes: 0, .. })),
            "{ended:?}"
        );
        assert!(start.elapsed() < Duration::from_mins(1));
    }
}
