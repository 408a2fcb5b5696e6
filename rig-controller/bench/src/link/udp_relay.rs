//! A UDP relay that plays a link in real time: clients talk to it as if it were the server, and what they send and get
//! goes through the [`Air`] of a profile, each client through one of its own.
//!
//! It owns one socket towards the clients, one towards the server for each client, and the thread that keeps datagrams
//! until they are due. Nothing in it looks at what datagrams say.
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use powercut_link::{Air, Direction, Impairment, LinkProfile, TimeScale};

use crate::timetable::{Appointments, LinkClock, Timetable};

/// Clients at a time: each takes a socket and a thread.
const MOST_CLIENTS: usize = 256;
/// The longest UDP payload.
const LONGEST_DATAGRAM: usize = 65_507;

/// Datagrams of one way, as they were handed to the link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UdpRelayWay {
    /// How many there were.
    pub datagrams: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// How many of them were lost.
    pub lost: u64,
    /// How many of them arrived twice.
    pub doubled: u64,
}

/// What a relay has carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UdpRelayCounters {
    /// From clients.
    pub to_server: UdpRelayWay,
    /// To clients.
    pub to_client: UdpRelayWay,
    /// First datagram of a client and last arrival, on the link's clock.
    pub span: Option<(Duration, Duration)>,
}

/// The relay cannot do its part.
#[derive(Debug, thiserror::Error)]
pub enum UdpRelayError {
    /// No socket.
    #[error(
        "the relay cannot listen on {address}: {source}; take another port, or 0 for any free one"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the host said.
        source: std::io::Error,
    },
    /// No thread.
    #[error("the relay cannot start a thread: {0}; check the limit on threads")]
    Thread(#[source] std::io::Error),
}

/// A relay at work. Dropping it ends its threads.
pub struct UdpRelay {
    address: SocketAddr,
    shared: Arc<Shared>,
    control: UdpSocket,
    server_side: Option<JoinHandle<()>>,
    timetable: Option<Timetable<Due>>,
}

struct Shared {
    listening: UdpSocket,
    server: SocketAddr,
    profile: LinkProfile,
    seed: u64,
    clock: LinkClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: HashMap<SocketAddr, Client>,
    readers: Vec<JoinHandle<()>>,
    counters: UdpRelayCounters,
}

struct Client {
    air: Air,
    upstream: Arc<UdpSocket>,
}

enum Due {
    ToServer {
        upstream: Arc<UdpSocket>,
        datagram: Vec<u8>,
    },
    ToClient {
        client: SocketAddr,
        datagram: Vec<u8>,
    },
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UdpRelay {
    /// Listen on `listen` and pass on to `server` what comes, as the link of `profile` does.
    ///
    /// # Errors
    /// When the host gives no socket or thread.
    pub fn start(
        listen: SocketAddr,
        server: SocketAddr,
        profile: LinkProfile,
        seed: u64,
        scale: TimeScale,
    ) -> Result<Self, UdpRelayError> {
        let failed = |source| UdpRelayError::Listen {
            address: listen,
            source,
        };
        let listening = UdpSocket::bind(listen).map_err(failed)?;
        let mut address = listening.local_addr().map_err(failed)?;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        let control = UdpSocket::bind((address.ip(), 0)).map_err(failed)?;
        let control_address = control.local_addr().map_err(failed)?;
        let clock = LinkClock::start(scale);
        let shared = Arc::new(Shared {
            listening,
            server,
            profile,
            seed,
            clock,
            state: Mutex::default(),
        });
        let performing = Arc::downgrade(&shared);
        let timetable = Timetable::start(clock, move |due| {
            if let Some(shared) = performing.upgrade() {
                perform(&shared, &due);
            }
        })
        .map_err(UdpRelayError::Thread)?;
        let appointments = timetable.appointments();
        let relaying = Arc::clone(&shared);
        let server_side = std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || take_from_clients(&relaying, control_address, &appointments))
            .map_err(UdpRelayError::Thread)?;
        Ok(Self {
            address,
            shared,
            control,
            server_side: Some(server_side),
            timetable: Some(timetable),
        })
    }

    /// Where clients reach it.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it has carried so far.
    pub fn counters(&self) -> UdpRelayCounters {
        self.shared.state().counters
    }
}

fn perform(shared: &Shared, due: &Due) {
    let sent = match due {
        Due::ToServer { upstream, datagram } => upstream.send(datagram),
        Due::ToClient { client, datagram } => shared.listening.send_to(datagram, client),
    };
    // A peer that is gone does not get its datagram; on a network nobody would know either.
    if let Err(error) = sent {
        tracing::debug!(%error, "a datagram of the relay was lost on this host");
    }
    let now = shared.clock.now();
    if let Some((_, last)) = &mut shared.state().counters.span {
        *last = now;
    }
}

/// Serves the socket towards the clients until the control socket sends an empty datagram.
fn take_from_clients(shared: &Arc<Shared>, control: SocketAddr, appointments: &Appointments<Due>) {
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        match shared.listening.recv_from(&mut buffer) {
            Ok((_, from)) if from == control => return,
            Ok((length, from)) => {
                if let Err(error) = from_client(shared, from, &buffer[..length], appointments) {
                    tracing::warn!(%error, %from, "the relay cannot take up a client");
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                tracing::error!(%error, "the relay's socket went deaf");
                return;
            }
        }
    }
}

/// Nobody listens at the other end (yet): on a network that is silence.
fn is_passing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::Interrupted
    )
}

fn from_client(
    shared: &Arc<Shared>,
    from: SocketAddr,
    datagram: &[u8],
    appointments: &Appointments<Due>,
) -> std::io::Result<()> {
    let mut state = shared.state();
    if !state.clients.contains_key(&from) {
        if state.clients.len() >= MOST_CLIENTS {
            return Err(std::io::Error::other(format!(
                "it has {MOST_CLIENTS} already"
            )));
        }
        let (client, reader) = take_up(shared, from, state.clients.len() as u64, appointments)?;
        state.clients.insert(from, client);
        state.readers.push(reader);
    }
    let now = shared.clock.now();
    let State {
        clients, counters, ..
    } = &mut *state;
    let Some(client) = clients.get_mut(&from) else {
        return Ok(());
    };
    counters.span.get_or_insert((now, now));
    let transit = client.air.carry(Direction::ToPlatform, datagram, now);
    counters.to_server.count(datagram, transit.copies);
    for _ in 0..transit.copies {
        appointments.put(
            transit.arrives,
            Due::ToServer {
                upstream: Arc::clone(&client.upstream),
                datagram: datagram.to_vec(),
            },
        );
    }
    Ok(())
}

impl UdpRelayWay {
    fn count(&mut self, datagram: &[u8], copies: usize) {
        self.datagrams += 1;
        self.bytes += datagram.len() as u64;
        self.lost += u64::from(copies == 0);
        self.doubled += u64::from(copies == 2);
    }
}

fn take_up(
    shared: &Arc<Shared>,
    from: SocketAddr,
    number: u64,
    appointments: &Appointments<Due>,
) -> std::io::Result<(Client, JoinHandle<()>)> {
    let any: IpAddr = match shared.server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let upstream = Arc::new(UdpSocket::bind((any, 0))?);
    upstream.connect(shared.server)?;
    // Clients that say the same must not meet the same losses.
    let impairment = Impairment::new(&shared.profile, shared.seed.wrapping_add(number));
    let client = Client {
        air: Air::new(&shared.profile, impairment),
        upstream: Arc::clone(&upstream),
    };
    let (shared, appointments) = (Arc::clone(shared), appointments.clone());
    let reader = std::thread::Builder::new()
        .name("relay client".to_owned())
        .spawn(move || take_from_server(&shared, from, &upstream, &appointments))?;
    Ok((client, reader))
}

/// Serves a client's socket towards the server until it is shut down.
fn take_from_server(
    shared: &Shared,
    to: SocketAddr,
    upstream: &UdpSocket,
    appointments: &Appointments<Due>,
) {
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        let received = upstream.recv(&mut buffer);
        let mut state = shared.state();
        let State {
            clients, counters, ..
        } = &mut *state;
        // Gone: the relay ends.
        let Some(client) = clients.get_mut(&to) else {
            return;
        };
        match received {
            Ok(length) => {
                let datagram = &buffer[..length];
                let now = shared.clock.now();
                let transit = client.air.carry(Direction::ToDevice, datagram, now);
                counters.to_client.count(datagram, transit.copies);
                for _ in 0..transit.copies {
                    appointments.put(
                        transit.arrives,
                        Due::ToClient {
                            client: to,
                            datagram: datagram.to_vec(),
                        },
                    );
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a socket of the relay towards the server went deaf");
                return;
            }
        }
    }
}

impl Drop for UdpRelay {
    fn drop(&mut self) {
        if self.control.send_to(&[], self.address).is_ok()
            && let Some(thread) = self.server_side.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread of the relay panicked");
        }
        let (clients, readers) = {
            let mut state = self.shared.state();
            (
                std::mem::take(&mut state.clients),
                std::mem::take(&mut state.readers),
            )
        };
        for client in clients.into_values() {
            // Wakes the reader. An error means that the socket is down already.
            let _ = socket2::SockRef::from(client.upstream.as_ref()).shutdown(Shutdown::Both);
        }
        for reader in readers {
            if reader.join().is_err() {
                tracing::error!("a reader of the relay panicked");
            }
        }
        self.timetable.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use powercut_link::{RoundTrip, WayProfile};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn relay(server: &UdpSocket, profile: LinkProfile) -> UdpRelay {
        UdpRelay::start(
            SocketAddr::from(([127, 0, 0, 1], 0)),
            server.local_addr().unwrap(),
            profile,
            1,
            TimeScale::new(100.0).unwrap(),
        )
        .unwrap()
    }

    fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }

    #[test]
    fn questions_and_answers_pass_and_take_the_link_s_time() {
        let server = socket();
        let profile = LinkProfile {
            round_trip: Some(RoundTrip {
                median: Duration::from_secs(8),
                sigma: 0.0,
            }),
            ..LinkProfile::ideal()
        };
        let relay = relay(&server, profile);
        let clients = [socket(), socket()];
        for (client, text) in clients.iter().zip([b"one", b"two"]) {
            client.send_to(text, relay.local_addr()).unwrap();
        }
        for _ in 0..2 {
            let (question, from) = receive(&server);
            server
                .send_to(&[&question[..], b"!"].concat(), from)
                .unwrap();
        }
        for (client, text) in clients.iter().zip([b"one!", b"two!"]) {
            assert_eq!(receive(client).0, text, "each hears its own answer");
        }
        let counters = relay.counters();
        let (first, last) = counters.span.unwrap();
        assert!(last >= first + Duration::from_secs(8));
        assert_eq!(counters.to_server.bytes, 6);
        assert_eq!(counters.to_client.datagrams, 2);
    }

    #[test]
    fn losses_and_doubles_of_the_profile_are_met_and_counted() {
        let server = socket();
        let way = |drop_percent, duplicate_percent| WayProfile {
            drop_percent,
            duplicate_percent,
            rate_bps: None,
        };
        let profile = LinkProfile {
            to_platform: way(0.0, 100.0),
            to_device: way(100.0, 0.0),
            ..LinkProfile::ideal()
        };
        let relay = relay(&server, profile);
        let client = socket();
        client.send_to(b"twice", relay.local_addr()).unwrap();
        let (_, from) = receive(&server);
        assert_eq!(receive(&server).0, b"twice");
        server.send_to(b"never", from).unwrap();
        while relay.counters().to_client.lost == 0 {
            std::thread::yield_now();
        }
        assert_eq!(relay.counters().to_server.doubled, 1);
    }
}
