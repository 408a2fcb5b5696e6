//! Every cut of the firmware that ships: the bootloader and the images of a firmware set run in process on an emulated chip,
//! power is lost at each of their flash operations in every way, and each recovery is followed to its end with the oracle
//! attached.
//!
//! Owns a run of the firmware from power-on to rest ([`Upgrade`] says of what), the walk over its cuts, and how a schedule is
//! run again. Promises: the same schedule gives the same flash and the same verdict, everywhere. Time stands still but for
//! the device's sleeps, and everything random follows from the case's seed. It starts nothing, opens no port and reads no
//! file.
pub mod campaign;
mod course;
mod cut;
mod explorer;
mod futures;
mod life;
mod line;
mod outside;
mod pages;
mod random;
mod replay;
mod search;
mod shrink;
mod tally;
mod upgrade;
mod watch;

pub use explorer::{Explorer, OnProgress};
pub use line::ElfLine;
pub use replay::{Replayed, replay};
pub use search::Search;
pub use shrink::shrink;
pub use tally::{Stage, StageCounts, StageTimes, Tally};
pub use upgrade::Upgrade;
