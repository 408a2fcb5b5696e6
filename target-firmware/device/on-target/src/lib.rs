//! Nothing of its own: this package exists for the suites under `tests/`.
#![no_std]
