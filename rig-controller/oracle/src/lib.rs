//! The oracle: what must hold of a device whatever happens to its power, and what was ruled of it.
//!
//! It judges flash as it is and what passed on the link; it drives nothing, reads no file and never asks the device.
pub mod ending;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixture;
pub mod flash_view;
pub mod operation;
pub mod oracle;
pub mod outage;
pub mod phase;
pub mod rulings;
pub mod seen;
pub mod sight;
pub mod verdict;
pub mod view;

pub use operation::{FlashOp, FlashOpKind};
