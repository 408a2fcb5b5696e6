//! A platform that serves: the data folder, the database, the sockets, and how all of it begins and ends.
//!
//! The data folder belongs to one process at a time. Everything in it is its owner's only: it has the devices' keys.
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use powercut_upgrade::manifest::KeyId;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::api::tokens::{TokenError, Tokens};
use super::api::{self, App, Signer};
use super::fleet::{Fleet, FleetBook};
use super::listen::{TcpLimits, TcpServer};
use super::page::{self, Logins};
use super::service::Service;
use super::store::{DATABASE, Store, StoreError};
use super::udp_server::UdpServer;
use super::{PlatformError, now_ms};
use powercut_package::m_sequence::Parameters;
use powercut_package::{FirmwareError, read_signing_key, read_verifying_key};

/// Name of the file of tokens in the data folder.
pub const TOKENS: &str = "tokens";
/// How often whoever watches progress is told of it.
const PUBLISH: Duration = Duration::from_millis(250);
/// Of so many such times, one writes progress down and looks at clocks.
const PUBLISHED_PER_FLUSH: u32 = 4;
/// How long requests that are being answered may take when the platform stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What a platform is started with.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The data folder; made if it is missing.
    pub data: PathBuf,
    /// Where devices send datagrams.
    pub udp: SocketAddr,
    /// Where API and pages are.
    pub http: SocketAddr,
    /// Where devices connect with streams.
    pub tcp: SocketAddr,
    /// Signs images that are uploaded: which of the devices' trusted keys, and its file.
    pub signing_key: Option<(KeyId, PathBuf)>,
    /// Whose packages are taken besides: key ids and files of public keys.
    pub trusted_keys: Vec<(KeyId, PathBuf)>,
    /// What packages of the suite `m-sequence` are encrypted with: a file with polynomial, seed and stream.
    pub m_sequence: Option<PathBuf>,
    /// Largest upload, bytes.
    pub max_upload_bytes: usize,
}

/// Why a platform does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}: {source}; check its permissions and space", .path.display())]
    Data {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A package signed with either key would be stored, and no device takes both.
    #[error(
        "two different keys have the id {id}; give each key an id of its own (`--trusted-key N:FILE`, `--key-id N`)"
    )]
    TwoKeys {
        /// The id.
        id: u8,
    },
    /// Another platform has the data folder.
    #[error("another platform serves from {}; stop it, or use another folder", .path.display())]
    DataInUse {
        /// The folder.
        path: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// A key.
    #[error(transparent)]
    Key(#[from] FirmwareError),
    /// The UDP socket.
    #[error(transparent)]
    Udp(#[from] PlatformError),
    /// A TCP socket.
    #[error(
        "cannot listen on {address} for {what}: {source}; check that nothing else listens there (`ss -ltnp`) and that the address is one of this host"
    )]
    Listen {
        /// Address and port asked for.
        address: SocketAddr,
        /// For whom.
        what: &'static str,
        /// What the host said.
        source: std::io::Error,
    },
    /// The host gives no threads.
    #[error("cannot start the platform's threads: {0}; check the limits on threads and open files")]
    Runtime(#[source] std::io::Error),
}

/// Where a platform can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Datagrams of devices.
    pub udp: SocketAddr,
    /// API and pages.
    pub http: SocketAddr,
    /// Streams of devices.
    pub tcp: SocketAddr,
}

/// A platform that serves, until it is dropped: then it answers what it is being asked, writes down what it knows, and
/// closes everything.
pub struct PlatformServer {
    addresses: Addresses,
    fleet: Arc<Fleet>,
    stop: watch::Sender<bool>,
    // Dropped in this order: nothing comes in any more, then nothing runs any more, then others may use the folder.
    udp: Option<UdpServer>,
    runtime: Option<Runtime>,
    _lock: File,
}

impl PlatformServer {
    /// Go on where the data folder stands, and serve.
    ///
    /// # Errors
    /// When folder, keys or sockets cannot be had.
    pub fn start(options: &ServeOptions) -> Result<Self, ServeError> {
        let lock = lock(&options.data)?;
        let tokens = Tokens::load_or_make(&options.data.join(TOKENS))?;
        let signer = options
            .signing_key
            .as_ref()
            .map(|(id, path)| read_signing_key(path).map(|key| Signer { id: *id, key }))
            .transpose()?;
        let mut trusted = Vec::new();
        for (id, path) in &options.trusted_keys {
            trusted.push((*id, read_verifying_key(path)?.to_bytes()));
        }
        if let Some(signer) = &signer {
            trusted.push((signer.id, signer.key.verifying_key().to_bytes()));
        }
        for (at, (id, key)) in trusted.iter().enumerate() {
            if trusted[..at]
                .iter()
                .any(|(other, known)| other == id && known != key)
            {
                return Err(ServeError::TwoKeys { id: id.0 });
            }
        }
        let register = options
            .m_sequence
            .as_deref()
            .map(Parameters::load)
            .transpose()?
            .map(Parameters::configuration);
        let fleet = Fleet::open(Store::open(&options.data)?, register)?;
        let service = Service::new(Arc::new(FleetBook(Arc::clone(&fleet))), None);
        let service = Arc::new(Mutex::new(service));
        tell_of_assignments(&fleet, &service);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("platform-http")
            .enable_all()
            .build()
            .map_err(ServeError::Runtime)?;
        let listen = |address, what| {
            move |source| ServeError::Listen {
                address,
                what,
                source,
            }
        };
        let http = runtime
            .block_on(TcpListener::bind(options.http))
            .map_err(listen(options.http, "HTTP"))?;
        let tcp = runtime
            .block_on(TcpServer::bind(options.tcp, TcpLimits::default()))
            .map_err(listen(options.tcp, "devices"))?;
        let udp = UdpServer::bind(options.udp, Arc::clone(&service))?;
        let addresses = Addresses {
            udp: udp.local_addr(),
            http: http.local_addr().map_err(listen(options.http, "HTTP"))?,
            tcp: tcp.local_addr().map_err(listen(options.tcp, "devices"))?,
        };
        let (stop, stopped) = watch::channel(false);
        let app = Arc::new(App {
            fleet: Arc::clone(&fleet),
            tokens,
            logins: Logins::default(),
            signer,
            trusted,
            max_upload_bytes: options.max_upload_bytes,
            started: Instant::now(),
            stop: stopped.clone(),
        });
        runtime.spawn(serve_http(http, app));
        runtime.spawn(tcp.serve(service, stopped.clone()));
        runtime.spawn(tick(Arc::clone(&fleet), stopped));
        Ok(Self {
            addresses,
            fleet,
            stop,
            udp: Some(udp),
            runtime: Some(runtime),
            _lock: lock,
        })
    }

    /// Where it can be reached.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }
}

impl Drop for PlatformServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.udp = None;
        let (sender, flushed) = std::sync::mpsc::channel();
        self.fleet.flush(move |result| {
            let _ = sender.send(result);
        });
        match flushed.recv() {
            Ok(Err(error)) => {
                tracing::error!(%error, "the last progress could not be written down");
            }
            Ok(Ok(())) => {}
            Err(_) => tracing::error!("the database's thread is gone"),
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_PATIENCE);
        }
    }
}

fn lock(folder: &Path) -> Result<File, ServeError> {
    let data = |path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::Data { path, source }
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(data(folder))?;
    let own = |name: &str| {
        let path = folder.join(name);
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(data(&path))
    };
    // SQLite gives its other files the permissions of this one.
    own(DATABASE)?;
    let lock = own("lock")?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(ServeError::DataInUse {
            path: folder.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(data(folder)(source)),
    }
}

fn tell_of_assignments(fleet: &Arc<Fleet>, service: &Arc<Mutex<Service>>) {
    let service: Weak<Mutex<Service>> = Arc::downgrade(service);
    fleet.watch_assignments(Box::new(move |devices| {
        if let Some(service) = service.upgrade() {
            let mut service = service.lock().unwrap_or_else(PoisonError::into_inner);
            for device in devices {
                service.assignment_changed(*device);
            }
        }
    }));
}

async fn serve_http(listener: TcpListener, app: Arc<App>) {
    let mut stop = app.stop.clone();
    let router = api::router(app.max_upload_bytes)
        .merge(page::router())
        .with_state(app);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // The sender is gone: that is a stop, too.
            let _ = stop.changed().await;
        })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP listener failed");
    }
}

async fn tick(fleet: Arc<Fleet>, mut stop: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(PUBLISH);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0_u32;
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = interval.tick() => {}
        }
        fleet.publish();
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(PUBLISHED_PER_FLUSH) {
            fleet.on_time(now_ms());
            let (sender, flushed) = tokio::sync::oneshot::channel();
            fleet.flush(move |result| {
                let _ = sender.send(result);
            });
            // The next flush waits for this one: a slow disk gets fewer of them, not a queue.
            if let Ok(Err(error)) = flushed.await {
                tracing::warn!(%error, "progress could not be written down; it will be tried again");
            }
        }
    }
}
