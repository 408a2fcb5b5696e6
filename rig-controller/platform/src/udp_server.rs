//! A UDP server: one socket, one thread that hands datagrams to the [`Service`] in the order they arrived and sends its
//! answers.
//!
//! Datagrams from the server's own control socket are not for the service: an empty one ends the thread, any other
//! is passed back as it is. As the host's loopback keeps order, a mark that has come back proves that everything
//! which arrived before it has been handled; that is what [`UdpServer::settle`] waits for.
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::PlatformError;
use super::book::Peer;
use super::service::Service;

/// How long one mark may take. Loopback takes microseconds; a mark is lost only when the socket's buffer is full.
const MARK_PATIENCE: Duration = Duration::from_secs(1);
/// Marks sent before the server counts as out of order.
const MARK_TRIES: u32 = 5;

/// Room for datagrams that have arrived: thousands of devices may speak at the same time.
const BUFFER_BYTES: usize = 8 << 20;

/// The server. Dropping it ends its thread.
pub struct UdpServer {
    address: SocketAddr,
    control: Mutex<Control>,
    thread: Option<JoinHandle<()>>,
}

struct Control {
    socket: UdpSocket,
    marks: u64,
}

impl UdpServer {
    /// Listen on `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the port is in use, or the host gives no socket or thread.
    pub fn bind(address: SocketAddr, service: Arc<Mutex<Service>>) -> Result<Self, PlatformError> {
        let listen = |source: std::io::Error| match source.kind() {
            ErrorKind::AddrInUse => PlatformError::PortInUse { address },
            _ => PlatformError::Listen { address, source },
        };
        let socket = Arc::new(UdpSocket::bind(address).map_err(listen)?);
        // More than the host's limit takes privileges; without them, the limit has to do.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES);
        }
        let bound = socket.local_addr().map_err(listen)?;
        let loopback: IpAddr = match bound {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let control = UdpSocket::bind((loopback, 0)).map_err(listen)?;
        control
            .set_read_timeout(Some(MARK_PATIENCE))
            .map_err(listen)?;
        control.connect(bound).map_err(listen)?;
        let control_address = control.local_addr().map_err(listen)?;
        let thread = std::thread::Builder::new()
            .name("platform".to_owned())
            .spawn(move || serve(&socket, control_address, &service))
            .map_err(PlatformError::Thread)?;
        Ok(Self {
            address: bound,
            control: Mutex::new(Control {
                socket: control,
                marks: 0,
            }),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Return once every datagram that has arrived by now is handled.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn settle(&self) -> Result<(), PlatformError> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reason = String::new();
        for _ in 0..MARK_TRIES {
            control.marks += 1;
            let mark = control.marks.to_be_bytes();
            match control.pass(mark) {
                Ok(()) => return Ok(()),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(PlatformError::Deaf {
            address: self.address,
            reason,
        })
    }
}

fn serve(socket: &Arc<UdpSocket>, control: SocketAddr, service: &Mutex<Service>) {
    // Longer than any message, so that a datagram that is too long shows as such.
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::ConnectionRefused
                ) =>
            {
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "the platform's socket went deaf");
                return;
            }
        };
        let datagram = &buffer[..length];
        if from == control {
            if datagram.is_empty() {
                return;
            }
            reply(socket, datagram, from);
            continue;
        }
        let handled = service
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .handle(datagram, Peer::Udp(from));
        if !handled.answers.is_empty() {
            let socket = Arc::clone(socket);
            handled.settled.then(move || {
                for answer in &handled.answers {
                    reply(&socket, answer, from);
                }
            });
        }
    }
}

fn reply(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    // A sender that is gone does not get its answer; on a network nobody would know either.
    if let Err(error) = socket.send_to(datagram, to) {
        tracing::debug!(%error, %to, "an answer of the platform was lost on this host");
    }
}

impl Control {
    /// Send a mark and wait for it; marks of earlier tries may come first.
    fn pass(&self, mark: [u8; 8]) -> std::io::Result<()> {
        self.socket.send(&mark)?;
        let mut back = [0; 8];
        loop {
            let length = self.socket.recv(&mut back)?;
            if back[..length] == mark {
                return Ok(());
            }
        }
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        // A lost end mark would leave the thread waiting; a mark that comes back shows that there is room for it.
        let _ = self.settle();
        let sent = self
            .control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .socket
            .send(&[]);
        if sent.is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the platform's thread panicked");
        }
    }
}
