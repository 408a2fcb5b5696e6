//! The counts of a case: power cycles, flash operations, fragments, bytes, stack.
use serde::{Deserialize, Serialize};

/// Everything that is counted in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Times the board was given power.
    pub boots: u64,
    /// Resets without loss of power.
    pub resets: u64,
    /// Flash operations; nothing where they cannot be seen, as in the next two.
    pub flash_operations: Option<u64>,
    /// Page erases among them.
    pub erases: Option<u64>,
    /// Fragments of the package.
    pub fragments: u64,
    /// Fragments the device had fully received and asked for once more.
    pub fetched_again: Option<u64>,
    /// Requests the device repeated because no answer had come.
    pub retransmissions: u64,
    /// Datagrams the link delivered twice.
    pub duplicates: u64,
    /// Bytes from device to platform, as datagram payload.
    pub bytes_up: u64,
    /// Bytes from platform to device, as datagram payload.
    pub bytes_down: u64,
    /// Bytes of the new image.
    pub image_bytes: u64,
    /// Most bytes of stack in use in any boot that was not cut, if the board can tell.
    pub stack_bytes: Option<u64>,
}
