//! What is on the table: the inventory a bench file holds, and the drivers of every part of a board.
//!
//! A driver knows nothing of plans. Interfaces are traits in a folder's `mod.rs`; each kind is one file beside it.
pub mod board;
pub mod cancel;
pub mod inventory;
pub mod link;
pub mod modem;
pub mod relay;
