//! The upgrade under test: how a device fetches, checks, installs, tries and confirms a new firmware image so
//! that losing power anywhere never costs it a working one.
//!
//! `no_std`, no alloc, no unsafe, sans-IO: flash comes in through `embedded_storage::nor_flash`, datagrams and
//! time as arguments; what to send and when to come back goes out. The same code runs in the simulator, in QEMU
//! and on silicon.
//!
//! - [`manifest`]: what an image is, signed; [`factory`]: what a device is
//! - [`cipher`]: how fragments are protected on their way; [`m_sequence`]: how they hardly are
//! - [`wire`]: what devices and the platform say to each other
//! - [`bootable`]: what the first words of an image have to be
//! - [`slots`]: where things are in flash; the only place with address arithmetic
//! - [`journal`]: the upgrade identification area: progress that survives
//! - [`store`]: fragments into the STAGING slot
//! - [`agent`]: the application's side: offer, download, verify, confirm
//! - [`boot`]: the bootloader's side: verify, swap, trial, revert
//! - [`flash`]: what a driver implements; [`watched`]: what a simulator implements instead, to watch the core
#![no_std]
#![forbid(unsafe_code)]

pub mod agent;
pub mod boot;
pub mod bootable;
pub mod cipher;
pub mod factory;
pub mod flash;
pub mod image;
pub mod journal;
pub mod m_sequence;
pub mod manifest;
pub mod seeded;
pub mod slots;
pub mod store;
mod swap;
mod timer;
pub mod watched;
pub mod wire;
