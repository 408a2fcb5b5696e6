//! The path between device and platform: what a link profile says about it, and what becomes of each datagram.
//!
//! A [`LinkProfile`] is read from YAML and checked once. An [`Impairment`] is that profile with a seed and decides which
//! datagrams are lost or doubled; [`Air`] adds when they arrive, in whatever time its owner lives in. Neither looks at a
//! clock, so a case meets the same losses every time. The bench plays a link in real time, the simulation in virtual time. [`fit`] makes a profile from what was measured.
mod agenda;
mod air;
pub mod capture;
pub mod fit;
mod impairment;
mod profile;
mod serial_line;

pub use agenda::{Agenda, TimeScale};
pub use air::{Air, Transit};
pub use impairment::{Direction, Fate, Impairment, LinkCounters, WayCounters};
#[cfg(feature = "fuzzing")]
pub use profile::fuzz_profile;
pub use profile::{LinkError, LinkProfile, ModemProfile, PayloadFormat, RoundTrip, WayProfile};
pub use serial_line::{SerialLine, byte_time};
