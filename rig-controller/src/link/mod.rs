//! The path between device and platform: what a link profile says about it, and what becomes of each datagram.
//!
//! A [`LinkProfile`] is read from YAML and checked once; an [`Impairment`] is that profile with a seed and decides
//! the fate of single datagrams. The decision never looks at a clock, so a case meets the same losses every time.
mod impairment;
mod profile;

pub use impairment::{Direction, Fate, Impairment, LinkCounters, WayCounters};
pub use profile::{LinkError, LinkProfile, WayProfile};
