//! One UDP socket for a great many devices, each with an address of its own: all of 127.0.0.0/8 is this host, and a datagram
//! may say from which of its addresses it leaves. The platform sees so many different senders.
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};

/// Address of the first device.
const FIRST: u32 = u32::from_be_bytes([127, 16, 0, 1]);
/// Most devices that have an address.
pub(super) const MOST_DEVICES: u32 = 1 << 20;
/// Room for datagrams that have arrived, bytes.
const BUFFER_BYTES: usize = 32 << 20;

/// The socket.
pub(super) struct ManyDevices {
    socket: UdpSocket,
    platform: SockaddrIn,
    cmsg: Vec<u8>,
}

impl ManyDevices {
    /// A socket towards a platform on this host.
    pub(super) fn new(platform: SocketAddrV4) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        // More than the host's limit takes privileges; without them, the limit has to do.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
        }
        Ok(Self {
            socket,
            platform: SockaddrIn::from(platform),
            cmsg: cmsg_space!(libc::in_pktinfo),
        })
    }

    /// Send a device's datagram; `false` if the host has no room for it now.
    pub(super) fn send(&self, device: u32, datagram: &[u8]) -> std::io::Result<bool> {
        let from = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr {
                s_addr: (FIRST + device).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(datagram)],
            &[ControlMessage::Ipv4PacketInfo(&from)],
            MsgFlags::empty(),
            Some(&self.platform),
        );
        match sent {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A datagram that has arrived, and for which device; `None` if there is none.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> std::io::Result<Option<(u32, usize)>> {
        loop {
            let mut slices = [IoSliceMut::new(buffer)];
            let received = recvmsg::<SockaddrIn>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut self.cmsg),
                MsgFlags::empty(),
            );
            let message = match received {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(None),
                // What was sent while nobody listened.
                Err(Errno::EINTR | Errno::ECONNREFUSED) => continue,
                Err(error) => return Err(error.into()),
            };
            let to = message.cmsgs()?.find_map(|cmsg| match cmsg {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    u32::from_be(info.ipi_addr.s_addr).checked_sub(FIRST)
                }
                _ => None,
            });
            if let Some(device) = to {
                return Ok(Some((device, message.bytes)));
            }
        }
    }

    /// Wait until something has arrived, at most so long.
    pub(super) fn wait(&self, at_most: Duration) -> std::io::Result<()> {
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let at_most = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut sockets, at_most) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The address as devices need it: on this host, IPv4.
pub(super) fn on_this_host(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}
