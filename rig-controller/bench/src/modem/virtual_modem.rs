//! The virtual modem: the AT engine between a board's UART and real UDP sockets on 127.0.0.1.
//!
//! Owns the host sockets, one reader thread for each that is open, and the air: a datagram meets its fate after the
//! device's modem let it go, or before the modem on the device's side gets it. Everything sent to the device goes out
//! under one lock, so an answer is never split. A reader blocks in `recv` and is woken by shutting its socket down.
//!
//! On a link that takes no time, and with a modem that takes none, nothing waits for time to pass: datagrams and answers go
//! on at once. Otherwise datagrams, answers and the bytes of the serial line are kept by a [`Timetable`] until they are due, in real time or so many
//! times faster ([`TimeScale`]). The device's bytes are taken as they come and answered when they would have been through.
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::at_command::{SOCKETS, SocketId};
use super::at_engine::{Network, Wish};
use super::paced_engine::PacedEngine;
use super::{ModemError, ModemEvent, ModemFault, ModemHabits, ModemPower};
use crate::timetable::{Appointments, LinkClock, Timetable};
use crate::uart::UartToDevice;
use powercut_link::{Air, Direction, Impairment, LinkProfile, SerialLine, TimeScale};

/// How a virtual modem behaves.
#[derive(Debug, Clone)]
pub struct VirtualModemConfig {
    /// Whether it keeps power in a cut.
    pub power: ModemPower,
    /// How often `AT+CEREG?` is answered with "searching" after the modem's own power-on.
    pub searching_answers: u32,
    /// What it does wrong, if anything.
    pub fault: Option<ModemFault>,
    /// How it answers, and what it needs.
    pub habits: ModemHabits,
    /// What the link is like.
    pub link: LinkProfile,
    /// The fate of each datagram; made from the same profile.
    pub impairment: Impairment,
    /// How much faster than real the link is. The device's own timers know nothing of it.
    pub time_scale: TimeScale,
    /// The modem's network brings what devices send to the first address to the second: so firmware can have one
    /// address built in while the platform takes any free port of this host.
    pub route: Option<(SocketAddrV4, SocketAddrV4)>,
}

/// A modem made of software. See the module's text for what it promises.
pub struct VirtualModem {
    power: ModemPower,
    network: Network,
    habits: ModemHabits,
    link: LinkProfile,
    route: Option<(SocketAddrV4, SocketAddrV4)>,
    board_side: Arc<Mutex<BoardSide>>,
    /// `None` where nothing takes time.
    timetable: Option<Timetable<Due>>,
    sockets: [Option<HostSocket>; SOCKETS],
    sockets_opened: u64,
    /// Readers of sockets that have been closed; they end by themselves and are joined at the end.
    retired: Vec<JoinHandle<()>>,
    failure: Option<ModemError>,
}

/// What answers and arriving datagrams share.
struct BoardSide {
    engine: PacedEngine,
    uart: Arc<dyn UartToDevice>,
    board_has_power: bool,
    /// Which opening of each modem socket is the present one: a reader of an earlier one has nothing to say.
    present: [Option<u64>; SOCKETS],
    air: Air,
    timing: Option<Timing>,
}

/// What a link or a modem that takes time needs.
struct Timing {
    clock: LinkClock,
    appointments: Appointments<Due>,
    from_device: SerialLine,
    to_device: SerialLine,
    /// Times the board lost power: what was on the line before that never arrives.
    power_cuts: u64,
}

/// What is due later.
enum Due {
    ToDevice {
        bytes: Vec<u8>,
        power_cuts: u64,
    },
    ToPlatform {
        socket: Arc<UdpSocket>,
        datagram: Vec<u8>,
    },
    FromPlatform {
        id: SocketId,
        opening: u64,
        datagram: Vec<u8>,
    },
    /// The engine has something to say.
    Answer,
}

struct HostSocket {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

impl BoardSide {
    fn now(&self) -> Duration {
        self.timing
            .as_ref()
            .map_or(Duration::ZERO, |timing| timing.clock.now())
    }

    /// Comes back when the engine has something to say by itself.
    fn look_again(&self) {
        if let (Some(timing), Some(at)) = (&self.timing, self.engine.next_at()) {
            timing.appointments.put(at, Due::Answer);
        }
    }

    /// The engine says what is due.
    fn answer(&mut self) {
        let output = self.engine.due(self.now());
        self.say(&output);
        self.look_again();
    }

    fn say(&mut self, bytes: &[u8]) {
        if !self.board_has_power || bytes.is_empty() {
            return;
        }
        let Some(timing) = &mut self.timing else {
            self.uart.send(bytes);
            return;
        };
        // The answer to a byte that is still on the line cannot begin before that byte is through.
        let now = timing.clock.now().max(timing.from_device.busy_until());
        let at = timing.to_device.pass(now, bytes.len());
        timing.appointments.put(
            at,
            Due::ToDevice {
                bytes: bytes.to_vec(),
                power_cuts: timing.power_cuts,
            },
        );
    }

    /// Send a datagram over the air.
    fn transmit(&mut self, socket: &Arc<UdpSocket>, datagram: &[u8]) {
        let Some(timing) = &self.timing else {
            let copies = self
                .air
                .carry(Direction::ToPlatform, datagram, Duration::ZERO)
                .copies;
            for _ in 0..copies {
                send(socket, datagram);
            }
            return;
        };
        let now = timing.clock.now().max(timing.from_device.busy_until());
        let transit = self.air.carry(Direction::ToPlatform, datagram, now);
        for _ in 0..transit.copies {
            timing.appointments.put(
                transit.arrives,
                Due::ToPlatform {
                    socket: Arc::clone(socket),
                    datagram: datagram.to_vec(),
                },
            );
        }
    }

    /// A datagram for this opening of the socket has come to the platform's end of the air.
    fn receive(&mut self, id: SocketId, opening: u64, datagram: &[u8]) {
        let now = self.now();
        let transit = self.air.carry(Direction::ToDevice, datagram, now);
        for _ in 0..transit.copies {
            if let Some(timing) = &self.timing {
                timing.appointments.put(
                    transit.arrives,
                    Due::FromPlatform {
                        id,
                        opening,
                        datagram: datagram.to_vec(),
                    },
                );
            } else {
                self.deliver(id, opening, datagram);
            }
        }
    }

    fn deliver(&mut self, id: SocketId, opening: u64, datagram: &[u8]) {
        if self.present[id.index()] == Some(opening) {
            let output = self.engine.network_datagram(id, datagram);
            self.say(&output);
        }
    }
}

/// Does what is due, on the timetable's thread.
fn perform(side: &Mutex<BoardSide>, due: Due) {
    match due {
        Due::ToDevice { bytes, power_cuts } => {
            let side = locked(side);
            let is_of_now = side
                .timing
                .as_ref()
                .is_some_and(|timing| timing.power_cuts == power_cuts);
            if side.board_has_power && is_of_now {
                side.uart.send(&bytes);
            }
        }
        Due::ToPlatform { socket, datagram } => send(&socket, &datagram),
        Due::FromPlatform {
            id,
            opening,
            datagram,
        } => locked(side).deliver(id, opening, &datagram),
        Due::Answer => locked(side).answer(),
    }
}

fn send(socket: &UdpSocket, datagram: &[u8]) {
    // A network loses datagrams without telling; so does a host socket nobody listens to.
    if let Err(error) = socket.send(datagram) {
        tracing::debug!(%error, "a datagram of the virtual modem was lost on this host");
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
        let engine = PacedEngine::new(network, &config.link.modem, &config.habits);
        let engine = match config.power {
            ModemPower::Stays => engine.already_up(),
            ModemPower::WithBoard => engine,
        };
        let board_side = Arc::new(Mutex::new(BoardSide {
            engine,
            uart,
            board_has_power: true,
            present: [None; SOCKETS],
            air: Air::new(&config.link, config.impairment),
            timing: None,
        }));
        let mut modem = Self {
            power: config.power,
            network,
            habits: config.habits,
            link: config.link,
            route: config.route,
            board_side,
            timetable: None,
            sockets: std::array::from_fn(|_| None),
            sockets_opened: 0,
            retired: Vec::new(),
            failure: None,
        };
        if modem.link.takes_time() || modem.habits.answers.take_time() {
            modem.take_time(LinkClock::start(config.time_scale));
        }
        modem
    }

    fn take_time(&mut self, clock: LinkClock) {
        let side = Arc::downgrade(&self.board_side);
        let started = Timetable::start(clock, move |due| {
            if let Some(side) = side.upgrade() {
                perform(&side, due);
            }
        });
        match started {
            Ok(timetable) => {
                let baud = self.link.modem.baud;
                locked(&self.board_side).timing = Some(Timing {
                    clock,
                    appointments: timetable.appointments(),
                    from_device: SerialLine::new(baud),
                    to_device: SerialLine::new(baud),
                    power_cuts: 0,
                });
                self.timetable = Some(timetable);
            }
            Err(source) => self.failure = Some(ModemError::Thread(source)),
        }
    }

    fn fulfil(&mut self, wish: Wish) {
        match wish {
            Wish::Open { socket, remote } => self.open(socket, remote),
            Wish::Close(socket) => self.close(socket),
            Wish::Send { socket, datagram } => {
                if let Some(host) = &self.sockets[socket.index()] {
                    locked(&self.board_side).transmit(&host.socket, &datagram);
                }
            }
        }
    }

    fn open(&mut self, id: SocketId, addressed: SocketAddrV4) {
        let remote = match self.route {
            Some((advertised, actual)) if advertised == addressed => actual,
            Some((advertised, _)) => {
                self.failure = Some(ModemError::Elsewhere {
                    addressed,
                    advertised,
                });
                addressed
            }
            None => addressed,
        };
        self.close(id);
        self.sockets_opened += 1;
        let opening = self.sockets_opened;
        // Held until the device has its result: no datagram can be announced before it.
        let mut side = locked(&self.board_side);
        side.present[id.index()] = Some(opening);
        let started = start(id, opening, remote, Arc::clone(&self.board_side));
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
        let now = side.now();
        let output = side.engine.socket_opened(id, opened, now);
        side.say(&output);
        side.look_again();
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
    side: Arc<Mutex<BoardSide>>,
) -> std::io::Result<HostSocket> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    socket.connect(remote)?;
    let reading = Arc::clone(&socket);
    let reader = std::thread::Builder::new()
        .name(format!("modem socket {id}"))
        .spawn(move || read(id, opening, &reading, &side))?;
    Ok(HostSocket { socket, reader })
}

/// Hand datagrams to the engine until this opening of the socket is over.
fn read(id: SocketId, opening: u64, socket: &UdpSocket, side: &Mutex<BoardSide>) {
    let mut buffer = [0; 2048];
    loop {
        let received = socket.recv(&mut buffer);
        let mut side = locked(side);
        if side.present[id.index()] != Some(opening) {
            return;
        }
        match received {
            Ok(length) => side.receive(id, opening, &buffer[..length]),
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

impl VirtualModem {
    /// Takes one byte from the device, in the exact order in which it sent; answers go out through the board's UART handle.
    pub fn from_device(&mut self, byte: u8) -> Option<ModemEvent> {
        let step = {
            let mut side = locked(&self.board_side);
            if !side.board_has_power {
                return None;
            }
            if let Some(timing) = &mut side.timing {
                let now = timing.clock.now();
                timing.from_device.pass(now, 1);
            }
            let now = side.now();
            let step = side.engine.device_byte(byte, now);
            side.say(&step.output);
            side.look_again();
            step
        };
        if let Some(wish) = step.wish {
            self.fulfil(wish);
        }
        step.event
    }

    /// The board lost power; [`ModemPower`] says whether the modem did. Bytes still on their way to the device are lost either way.
    pub fn board_power_lost(&mut self) {
        {
            let mut side = locked(&self.board_side);
            side.board_has_power = false;
            side.engine.board_power_lost();
            if let Some(timing) = &mut side.timing {
                timing.power_cuts += 1;
                timing.from_device.clear();
                timing.to_device.clear();
            }
        }
        if self.power == ModemPower::WithBoard {
            self.close_all();
            let mut side = locked(&self.board_side);
            side.engine = PacedEngine::new(self.network, &self.link.modem, &self.habits);
            side.air.lose_contact();
        }
    }

    /// The board is about to get power; call it before the board can send. A modem starts as if the board had power.
    pub fn board_power_restored(&mut self) {
        locked(&self.board_side).board_has_power = true;
    }

    /// Whether the modem has registered with the network.
    pub fn registered(&self) -> bool {
        locked(&self.board_side).engine.registered()
    }

    /// The failure of the modem since this was last asked, if there was one.
    pub fn take_failure(&mut self) -> Option<ModemError> {
        self.failure.take()
    }

    /// Ends all traffic; nothing is sent to the board after this returns.
    pub fn shut_down(&mut self) {
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
