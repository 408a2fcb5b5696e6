//! The verbs of `rig`, one file each.
pub mod firmware;
