//! Firmware files.
