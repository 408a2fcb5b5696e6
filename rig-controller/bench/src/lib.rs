//! The bench: the inventory a bench file holds, and the drivers of every part of a board.
//!
//! A driver knows nothing of plans: it tells a [`feed::Feed`] what it sees and does what the answer orders. Interfaces are traits in a folder's `mod.rs`; each kind is one file beside it.
pub mod board;
pub mod cancel;
#[cfg(feature = "gdb")]
pub mod debugger;
pub mod entry;
pub mod feed;
pub mod inventory;
pub mod link;
pub mod modem;
pub mod relay;
mod timetable;
pub mod uart;
pub mod witness;
