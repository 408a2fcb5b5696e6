//! Where devices reach a serving platform over streams. Datagrams are [`super::UdpServer`]'s.
mod pcp_frames;
mod tcp;

pub use tcp::{TcpLimits, TcpServer};
