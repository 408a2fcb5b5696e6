//! A sans-IO client for cellular modems that speak Quectel's UDP socket commands.
//!
//! It owns the conversation with the modem and nothing else: no UART, no clock, no heap. Bytes from
//! the modem go in through [`AtClient::feed`], time comes in as milliseconds with every call, and
//! [`AtClient::poll`] says what to do next: transmit bytes, take a datagram, or sleep until a
//! deadline. It never needs to be called in a loop while nothing happens.
//!
//! It promises to come back. Whatever the modem says, sent by a damaged line, a modem that
//! restarted, or one that stayed powered while this board did not and still waits for half a
//! datagram, the client finds its way to an open socket as soon as the modem behaves.
//!
//! Rules it follows, because UARTs drop bytes while flash is being written:
//! - an unsolicited result code is a hint, never a fact: every state it could announce is also
//!   reached by asking;
//! - a modem that is slow is not a modem that is lost: every command is given the longest its maker allows
//!   (`patience`), and asking again never undoes what is under way;
//! - data is taken by its announced length and handed over only after the modem closed the answer
//!   with `OK`;
//! - after [`Event::Received`] no command is outstanding until the next [`AtClient::poll`], so the
//!   caller may stop listening, for a flash erase say, and lose hints only. Who can listen all the same may
//!   [read ahead](AtClient::read_ahead).
//!
//! It delivers datagrams as a network does: perhaps not at all. Retransmission belongs to the
//! protocol above.

#![no_std]
#![forbid(unsafe_code)]

mod answer;
mod client;
mod patience;
mod receiver;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod simulated_modem;
#[cfg(test)]
mod slow_modem_tests;
mod state;

pub use client::{AtClient, Event, MAX_SEND_BYTES, SendError};
