//! Flash operations, as whoever watches a board reports them.

/// One flash operation, numbered from 1 over all boots since the board was provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashOp {
    /// Position in the case: the first operation after provisioning is 1.
    pub number: u64,
    /// What it does.
    pub kind: FlashOpKind,
}

/// The two things NOR flash does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlashOpKind {
    /// One unit is programmed: `before & value` is what it holds afterwards.
    Program {
        /// Byte address, unit aligned.
        address: u32,
        /// What the unit held.
        before: u32,
        /// What is written (bits that are 1 stay as they are).
        value: u32,
    },
    /// One page goes to all ones.
    Erase {
        /// Byte address of the page's start.
        address: u32,
    },
}
