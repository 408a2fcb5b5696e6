//! How a board reaches the platform, in real time: the link of a profile played between sockets of this host.
mod schedule;
mod udp_relay;

pub use schedule::LinkClock;
pub(crate) use schedule::{Appointments, Schedule};
pub use udp_relay::{UdpRelay, UdpRelayCounters, UdpRelayError, UdpRelayWay};
