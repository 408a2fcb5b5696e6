//! What makes this image different from others: set by the build, see `build.rs`.

use core::net::{Ipv4Addr, SocketAddrV4};

/// How an image behaves while on probation; all but one are bad on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each image is built with one of them")]
pub(crate) enum Behaviour {
    /// Tests itself and confirms.
    Good,
    /// Panics at once.
    Panics,
    /// Stops doing anything; the watchdog has to notice.
    Hangs,
    /// Works, but never finds itself good enough.
    NeverConfirms,
}

include!(concat!(env!("OUT_DIR"), "/image.rs"));
