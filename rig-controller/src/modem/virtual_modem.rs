//! The virtual modem: the AT engine between a board's UART and real UDP sockets on 127.0.0.1.
//!
//! Owns the host sockets, one reader thread for each that is open, and the link's impairment: a datagram meets its
//! fate after the device's modem let it go, or before the modem on the device's side gets it. Everything sent to
//! the device goes out under one lock, so an answer is never split. A reader blocks in `recv` and is woken by
//! shutting its socket down; nothing here waits for time to pass.
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::at_command::{SOCKETS, SocketId};
use super::at_engine::{AtEngine, Network, Wish};
use super::{Modem, ModemError, ModemEvent, ModemFault, ModemPower};
use crate::board::UartToDevice;
use crate::link::{Direction, Impairment};

/// How a virtual modem behaves.
#[derive(Debug, Clone)]
pub struct VirtualModemConfig {
    /// Whether it keeps power in a cut.
    pub power: ModemPower,
    /// How often `AT+CEREG?` is answered with "searching" after the modem's own power-on.
    pub searching_answers: u32,
    /// What it does wrong, if anything.
    pub fault: Option<ModemFault>,
    /// What becomes of datagrams.
    pub impairment: Impairment,
    /// The modem's network brings what devices send to the first address to the second: so firmware can have one
    /// address built in while the platform takes any free port of this host.
    pub route: Option<(SocketAddrV4, SocketAddrV4)>,
}

/// A modem made of software. See the module's text for what it promises.
pub struct VirtualModem {
    power: ModemPower,
    network: Network,
    impairment: Impairment,
    route: Option<(SocketAddrV4, SocketAddrV4)>,
    board_side: Arc<Mutex<BoardSide>>,
    sockets: [Option<HostSocket>; SOCKETS],
    sockets_opened: u64,
    /// Readers of sockets that have been closed; they end by themselves and are joined at the end.
    retired: Vec<JoinHandle<()>>,
    failure: Option<ModemError>,
}

/// What answers and arriving datagrams share.
struct BoardSide {
    engine: AtEngine,
    uart: Arc<dyn UartToDevice>,
    board_has_power: bool,
    /// Which opening of each modem socket is the present one: a reader of an earlier one has nothing to say.
    present: [Option<u64>; SOCKETS],
}

struct HostSocket {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

impl BoardSide {
    fn to_device(&self, bytes: &[u8]) {
        if self.board_has_power && !bytes.is_empty() {
            self.uart.send(bytes);
        }
    }
}

fn locked(side: &Mutex<BoardSide>) -> MutexGuard<'_, BoardSide> {
    side.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VirtualModem {
    /// A modem that answers on `uart`. With [`ModemPower::WithBoard`] it gets power now, with
    /// [`ModemPower::Stays`] it has had it for long and its banner is not repeated.
    pub fn new(config: VirtualModemConfig, uart: Arc<dyn UartToDevice>) -> Self {
        let network = match config.fault {
            Some(ModemFault::NeverRegisters) => Network::NeverRegisters,
            None => Network::RegistersAfter(config.searching_answers),
        };
        let engine = AtEngine::new(network);
        let engine = match config.power {
            ModemPower::Stays => engine.already_up(),
            ModemPower::WithBoard => engine,
        };
        Self {
            power: config.power,
            network,
            impairment: config.impairment,
            route: config.route,
            board_side: Arc::new(Mutex::new(BoardSide {
                engine,
                uart,
                board_has_power: true,
                present: [None; SOCKETS],
            })),
            sockets: std::array::from_fn(|_| None),
            sockets_opened: 0,
            retired: Vec::new(),
            failure: None,
        }
    }

    fn fulfil(&mut self, wish: Wish) {
        match wish {
            Wish::Open { socket, remote } => self.open(socket, remote),
            Wish::Close(socket) => self.close(socket),
            Wish::Send { socket, datagram } => {
                let Some(host) = &self.sockets[socket.index()] else {
                    return;
                };
                let fate = self.impairment.decide(Direction::ToPlatform, &datagram);
                for _ in 0..fate.copies() {
                    // A network loses datagrams without telling; so does a host socket nobody listens to.
                    if let Err(error) = host.socket.send(&datagram) {
                        tracing::debug!(%error, "a datagram of the virtual modem was lost on this host");
                    }
                }
            }
        }
    }

    fn open(&mut self, id: SocketId, addressed: SocketAddrV4) {
        let remote = match self.route {
            Some((advertised, actual)) if advertised == addressed => actual,
            _ => addressed,
        };
        self.close(id);
        self.sockets_opened += 1;
        let opening = self.sockets_opened;
        // Held until the device has its result: no datagram can be announced before it.
        let mut side = locked(&self.board_side);
        side.present[id.index()] = Some(opening);
        let started = start(
            id,
            opening,
            remote,
            self.impairment.clone(),
            Arc::clone(&self.board_side),
        );
        let opened = match started {
            Ok(host) => {
                self.sockets[id.index()] = Some(host);
                true
            }
            Err(source) => {
                side.present[id.index()] = None;
                self.failure
                    .get_or_insert(ModemError::Socket { remote, source });
                false
            }
        };
        let output = side.engine.socket_opened(id, opened);
        side.to_device(&output);
    }

    fn close(&mut self, id: SocketId) {
        let Some(host) = self.sockets[id.index()].take() else {
            return;
        };
        locked(&self.board_side).present[id.index()] = None;
        // Wakes the reader. An error means that the socket is down already.
        let _ = socket2::SockRef::from(host.socket.as_ref()).shutdown(Shutdown::Both);
        self.retired.push(host.reader);
    }

    fn close_all(&mut self) {
        for id in SocketId::all() {
            self.close(id);
        }
        for reader in self.retired.drain(..) {
            if reader.join().is_err() {
                tracing::error!("a reader thread of the virtual modem panicked");
            }
        }
    }
}

/// Open a host socket that hears only `remote`, and its reader.
fn start(
    id: SocketId,
    opening: u64,
    remote: SocketAddrV4,
    impairment: Impairment,
    side: Arc<Mutex<BoardSide>>,
) -> std::io::Result<HostSocket> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    socket.connect(remote)?;
    let reading = Arc::clone(&socket);
    let reader = std::thread::Builder::new()
        .name(format!("modem socket {id}"))
        .spawn(move || read(id, opening, &reading, &impairment, &side))?;
    Ok(HostSocket { socket, reader })
}

/// Hand datagrams to the engine until this opening of the socket is over.
fn read(
    id: SocketId,
    opening: u64,
    socket: &UdpSocket,
    impairment: &Impairment,
    side: &Mutex<BoardSide>,
) {
    let mut buffer = [0; 2048];
    loop {
        let received = socket.recv(&mut buffer);
        let mut side = locked(side);
        if side.present[id.index()] != Some(opening) {
            return;
        }
        match received {
            Ok(length) => {
                let datagram = &buffer[..length];
                for _ in 0..impairment.decide(Direction::ToDevice, datagram).copies() {
                    let output = side.engine.network_datagram(id, datagram);
                    side.to_device(&output);
                }
            }
            // The host's way to say that nobody listens at the other end (yet): on a network that is silence.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "socket {id} of the virtual modem went deaf");
                return;
            }
        }
    }
}

impl Modem for VirtualModem {
    fn from_device(&mut self, byte: u8) -> Option<ModemEvent> {
        let step = {
            let mut side = locked(&self.board_side);
            if !side.board_has_power {
                return None;
            }
            let step = side.engine.device_byte(byte);
            side.to_device(&step.output);
            step
        };
        if let Some(wish) = step.wish {
            self.fulfil(wish);
        }
        step.event
    }

    fn board_power_lost(&mut self) {
        locked(&self.board_side).board_has_power = false;
        if self.power == ModemPower::WithBoard {
            self.close_all();
            locked(&self.board_side).engine = AtEngine::new(self.network);
        }
    }

    fn board_power_restored(&mut self) {
        locked(&self.board_side).board_has_power = true;
    }

    fn registered(&self) -> bool {
        locked(&self.board_side).engine.registered()
    }

    fn take_failure(&mut self) -> Option<ModemError> {
        self.failure.take()
    }

    fn shut_down(&mut self) {
        locked(&self.board_side).board_has_power = false;
        self.close_all();
    }
}

impl Drop for VirtualModem {
    fn drop(&mut self) {
        self.shut_down();
    }
}

#[cfg(test)]
mod tests;
