//! How long the client waits, and for what: the one place for its times.
//!
//! A modem that takes the longest its maker allows is a good modem, so no command is given up before
//! [`LONGEST_ANSWER_MS`], which is the largest of these:
//!
//! | command | answers within | says |
//! | --- | --- | --- |
//! | `AT`, `ATE0`, `AT+QICFG`, `AT+CEREG?` | 300 ms | Quectel BG96 and EC25&EC21 AT Commands Manuals, "Maximum Response Time" |
//! | `AT+QIACT` | 150 s, deaf meanwhile | Quectel BG96, BG95&BG77&BG600L and LTE Standard TCP/IP Application Notes |
//! | `AT+QIDEACT` | 40 s, deaf meanwhile | the same |
//! | `AT+QIOPEN` | 150 s to `OK`; 150 s more to `+QIOPEN`, then `AT+QICLOSE` | the same, 2.3.4 in the BG95's |
//! | `AT+QICLOSE` | 10 s for the other end, deaf meanwhile; 120 s in all | BG96 TCP/IP Application Note 2.2.5 |
//! | `AT+QISEND` | 120 s | BG95&BG77&BG600L TCP/IP Application Note 2.3.7 |
//! | `AT+QIRD` | 120 s | the same, 2.3.8 |
//!
//! An answer can also be lost, on a line that drops bytes, and two minutes are long for that. So after
//! [`before_probing`] the client asks `AT` beside the command it still waits for: a modem that is at work leaves that
//! alone or answers it after the command's own answer, a modem that is done answers it at once.

use crate::state::State;

/// No answer takes longer: the largest figure above, and time for it to come over the line.
pub(crate) const LONGEST_ANSWER_MS: u64 = 155_000;
/// A modem that is spoken to for the first time is asked again at this pace: `AT` costs nothing.
pub(crate) const SYNC_RETRY_MS: u64 = 250;
/// After a resynchronisation, late answers to earlier questions must have passed by.
pub(crate) const SETTLE_SILENCE_MS: u64 = 20;
/// A modem that chatters on is not waited for any longer.
pub(crate) const SETTLE_AT_MOST_MS: u64 = 300;
/// Within counted data bytes follow each other at line speed.
pub(crate) const DATA_SILENCE_MS: u64 = 500;
pub(crate) const REGISTRATION_RETRY_MS: u64 = 250;
/// After this the socket is asked, at the pace of slowing reads, besides being waited for.
pub(crate) const OPEN_HINT_MS: u64 = 500;
pub(crate) const OPEN_RETRY_MS: u64 = 500;
/// Reading starts at this pace after traffic, and slows down to the other while none comes.
pub(crate) const READ_FAST_MS: u64 = 100;
pub(crate) const READ_SLOW_MS: u64 = 1_600;
/// Answers that may be late but hardly ever are; also the pace of further probes.
pub(crate) const PROBE_MS: u64 = 5_000;
/// A modem may be deaf for 10 s.
const CLOSE_PROBE_MS: u64 = 15_000;
/// A modem that keeps what it is sent meanwhile would take the probe for the datagram.
const PROMPT_PROBE_MS: u64 = 30_000;

/// How long to wait for the answer to the command of this state before asking whether there was one.
pub(crate) fn before_probing(state: State) -> u64 {
    match state {
        // Nothing is known to be harmless while the network is at it; there is no answer to probe for before that.
        State::Activating | State::Deactivating => LONGEST_ANSWER_MS,
        State::Closing => CLOSE_PROBE_MS,
        State::SendPrompt => PROMPT_PROBE_MS,
        _ => PROBE_MS,
    }
}
