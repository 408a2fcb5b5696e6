//! How a board reaches the platform. [`Link`] is the contract of a way that is open; [`LinkKind`] opens one for a case.
//!
//! [`KINDS`] lists the kinds there are: so far one, [`Play`], where the rig is the modem on the device's UART. [`UdpRelay`] plays a link between any two
//! programs of this host.
mod play;
mod timed_play;
mod udp_relay;

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use powercut_link::{Impairment, LinkProfile, TimeScale};
use powercut_oracle::seen::VirtualTime;

use crate::entry::BoardEntry;
use crate::modem::{ModemError, ModemEvent, ModemHabits, ModemPower};
use crate::uart::UartToDevice;

pub use play::Play;
pub use udp_relay::{UdpRelay, UdpRelayCounters, UdpRelayError, UdpRelayWay};

/// A kind of link, as bench files name it.
pub struct Kind {
    /// Its name in bench files, after `link:`.
    pub name: &'static str,
    /// Makes the one that a bench file's entry describes.
    pub make: fn(&BoardEntry) -> Box<dyn LinkKind>,
}

/// The kinds of links there are.
pub const KINDS: &[Kind] = &[play::KIND];

/// The wishes of a case for its link.
pub struct LinkSetup<'a> {
    /// The profile of the way.
    pub profile: &'a LinkProfile,
    /// The fate of each datagram; made from the same profile.
    pub impairment: Impairment,
    /// How the modem answers, and what it needs.
    pub habits: &'a ModemHabits,
    /// Whether the modem keeps power in a cut, where the bench does not say.
    pub modem_power: ModemPower,
    /// How much faster than real the way is, for boards that live in the time of this host.
    pub time_scale: TimeScale,
    /// The board's own time, if it lives in one.
    pub time: Option<VirtualTime>,
    /// Bits a second on the board's line, where bytes take time and the profile does not say how much.
    pub baud: Option<u32>,
    /// The platform, for ways that need no socket.
    pub server: Server,
    /// Where the platform listens.
    pub platform: SocketAddr,
    /// The address of the platform that images have built in.
    pub advertised: SocketAddrV4,
}

/// Takes a datagram from an address; the answers go back there, in order, at once.
pub type Server = Arc<dyn Fn(&[u8], SocketAddr) -> Vec<Vec<u8>> + Send + Sync>;

/// The far end of a board's UART in the board's own time: the modem, and all that is behind it.
pub trait FarEnd: Send {
    /// When it next does something by itself, as sending a byte; `None` if it waits for the device.
    fn next_at(&self) -> Option<Duration>;
    /// Lets happen all that is due by `now`.
    fn turn(&mut self, now: Duration);
    /// The next byte that has come to the device by `now`.
    fn next_byte(&mut self, now: Duration) -> Option<u8>;
}

/// A kind of link: opens the way of one board, case after case.
pub trait LinkKind: Send {
    /// Opens the way; what comes from the platform goes out on `uart`.
    fn open(&self, setup: &LinkSetup<'_>, uart: Arc<dyn UartToDevice>) -> Box<dyn Link>;
}

/// An open way between one board and the platform. [`Link::from_device`] is called in the exact order in which the device sent.
pub trait Link: Send {
    /// Takes one byte from the device.
    #[expect(
        clippy::wrong_self_convention,
        reason = "it is where the byte comes from, not a conversion"
    )]
    fn from_device(&mut self, byte: u8) -> Option<ModemEvent>;
    /// The board lost power. Bytes still on their way to the device are lost.
    fn board_power_lost(&mut self);
    /// The board is about to get power; call it before the board can send.
    fn board_power_restored(&mut self);
    /// Whether the modem has registered with the network. One that is still not when a case times out is a *bench error*.
    fn registered(&self) -> bool;
    /// The failure of the link since this was last asked, if there was one.
    fn take_failure(&mut self) -> Option<ModemError>;
    /// The longest time for which this link can keep a healthy device waiting, and so silent.
    fn silence(&self) -> Duration;
    /// The far end of the UART's line, where the way is in the board's own time.
    fn far_end(&self) -> Option<Arc<Mutex<dyn FarEnd>>> {
        None
    }
    /// Ends all traffic; nothing is sent to the board after this returns.
    fn shut_down(&mut self);
}
