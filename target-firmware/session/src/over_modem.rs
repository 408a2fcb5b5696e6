//! A session over a modem: the loop of a device with a serial line.

use core::net::SocketAddrV4;

use powercut_at_client::{AtClient, Event};
use powercut_upgrade::flash::FlashError;
use powercut_upgrade::watched::WatchedFlash;
use powercut_upgrade::wire::{MAX_DOWNLINK_BYTES, MAX_UPLINK_BYTES};

use crate::overheard::Overheard;
use crate::session::{Reason, Session, Step};

const _: () = assert!(
    MAX_UPLINK_BYTES <= powercut_at_client::MAX_SEND_BYTES,
    "the AT client takes every datagram the agent sends"
);

/// Bytes for the modem.
#[derive(Debug)]
#[must_use = "the modem waits for them"]
pub struct Transmission<'a> {
    /// All of these go out.
    pub bytes: &'a [u8],
    /// Takes what the modem says meanwhile.
    pub overheard: &'a mut Overheard,
}

/// Work that the line to the modem has for its owner.
#[derive(Debug)]
#[must_use = "the line does not go on without it"]
pub enum Line<'a, const PAGE: usize, HELD> {
    /// Transmit this, then begin another round.
    Transmit(Transmission<'a>),
    /// A datagram, to be taken before [`OverModem::poll`] is called, with the time read anew.
    Received(Received<'a, PAGE, HELD>),
    /// The line to the platform is open, or open again. Begin another round.
    Up,
    /// The line has nothing to do before this time, unless bytes arrive; what else there is, [`OverModem::poll`] does.
    Idle {
        /// In the owner's milliseconds.
        until_ms: u64,
    },
}

/// A datagram that has just come. Until the next round no command to the modem is outstanding: flash may be written.
#[derive(Debug)]
#[must_use = "the session has to take it"]
pub struct Received<'a, const PAGE: usize, HELD> {
    session: &'a mut Session<PAGE, HELD>,
    datagram: &'a mut [u8],
}

impl<const PAGE: usize, HELD: AsRef<[u8]> + AsMut<[u8]>> Received<'_, PAGE, HELD> {
    /// The datagram that came.
    pub fn bytes(&self) -> &[u8] {
        self.datagram
    }

    /// Gives the datagram to the session.
    pub fn take<F: WatchedFlash>(self, flash: &mut F, now_ms: u64) -> Result<(), FlashError> {
        self.session.on_datagram(flash, now_ms, self.datagram)
    }
}

/// The next act of the owner of an [`OverModem`] after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another round at once.
    Continue,
    /// The image has just confirmed itself. Another round at once.
    Confirmed,
    /// Restart the device.
    Restart(Reason),
    /// Nothing to do before this time, unless bytes arrive.
    Wait {
        /// In the owner's milliseconds.
        until_ms: u64,
    },
}

/// A [`Session`] and the AT client below it. With `HEX` the modem is given payloads as hexadecimal text.
///
/// The owner turns rounds. In each it first asks [`OverModem::line`], and does what that says; unless there was something
/// to transmit or the line has just opened, it then asks [`OverModem::poll`]:
///
/// ```
/// # use powercut_session::{Line, Next, OverModem};
/// # use powercut_upgrade::flash::{FlashError, UpgradeFlash};
/// # trait Board { fn now_ms(&self) -> u64; fn receive(&mut self) -> Option<u8>; fn transmit(&mut self, byte: u8); }
/// fn round<F: UpgradeFlash>(
///     app: &mut OverModem<0, [u8; 1600]>,
///     flash: &mut F,
///     board: &mut impl Board,
/// ) -> Result<Next, FlashError> {
///     let mut now_ms = board.now_ms();
///     let line_until_ms = match app.line(now_ms, || board.receive()) {
///         Line::Transmit(out) => {
///             for byte in out.bytes {
///                 board.transmit(*byte);
///                 while let Some(byte) = board.receive() {
///                     out.overheard.push(byte);
///                 }
///             }
///             return Ok(Next::Continue);
///         }
///         Line::Received(datagram) => {
///             datagram.take(flash, now_ms)?;
///             now_ms = board.now_ms();
///             now_ms
///         }
///         Line::Up => return Ok(Next::Continue),
///         Line::Idle { until_ms } => until_ms,
///     };
///     app.poll(flash, now_ms, line_until_ms)
/// }
/// ```
pub struct OverModem<const PAGE: usize, HELD, const HEX: bool = false> {
    session: Session<PAGE, HELD>,
    client: AtClient<MAX_DOWNLINK_BYTES, HEX>,
    overheard: Overheard,
}

impl<const PAGE: usize, HELD, const HEX: bool> OverModem<PAGE, HELD, HEX>
where
    HELD: AsRef<[u8]> + AsMut<[u8]>,
{
    /// A session with this platform, over a modem in whatever state it is.
    pub fn new(session: Session<PAGE, HELD>, platform: SocketAddrV4) -> Self {
        Self {
            session,
            client: AtClient::new(platform),
            overheard: Overheard::new(),
        }
    }

    /// The session, to look at.
    pub fn session(&self) -> &Session<PAGE, HELD> {
        &self.session
    }

    /// Whether the line to the platform is open, as far as is known.
    pub fn is_up(&self) -> bool {
        self.client.is_up()
    }

    /// The first half of a round: takes what was overheard, then what `heard` gives until it is empty, and does one step
    /// on the line.
    pub fn line(
        &mut self,
        now_ms: u64,
        mut heard: impl FnMut() -> Option<u8>,
    ) -> Line<'_, PAGE, HELD> {
        while let Some(byte) = self.overheard.pop().or_else(&mut heard) {
            self.client.feed(byte, now_ms);
        }
        match self.client.poll(now_ms) {
            Event::Transmit(bytes) => Line::Transmit(Transmission {
                bytes,
                overheard: &mut self.overheard,
            }),
            Event::Received(datagram) => Line::Received(Received {
                session: &mut self.session,
                datagram,
            }),
            Event::Up => Line::Up,
            Event::Idle { until_ms } => Line::Idle { until_ms },
        }
    }

    /// For an owner whose UART goes on listening while flash is written, and which has made a copy of the datagram that
    /// has just come: begins to read the next one, so that line and flash work at the same time. What is due to be sent
    /// goes before reading on, or a full modem would keep it waiting. `None` while there is something else to do.
    pub fn read_ahead(&mut self, now_ms: u64) -> Option<Transmission<'_>> {
        let mut request = [0; MAX_UPLINK_BYTES];
        if self.client.can_send()
            && let Some(length) = self.session.agent.ask_for_more(now_ms, &mut request)
        {
            self.send(&request[..length]);
        }
        let bytes = self.client.read_ahead(now_ms)?;
        Some(Transmission {
            bytes,
            overheard: &mut self.overheard,
        })
    }

    /// Gives the session the copy of a datagram, in place of [`Received::take`].
    pub fn on_datagram<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        datagram: &mut [u8],
    ) -> Result<(), FlashError> {
        self.session.on_datagram(flash, now_ms, datagram)
    }

    /// The second half of a round: does what is due for the session, in flash too, and says what comes next. After a
    /// datagram `line_until_ms` is now: what the agent asks next goes before reading on, or a full modem would keep it
    /// waiting.
    pub fn poll<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        line_until_ms: u64,
    ) -> Result<Next, FlashError> {
        // What the agent wants to send must be sendable, for its retransmission timer starts now.
        if !self.client.can_send() {
            return Ok(no_later(self.session.judge(flash, now_ms)?, line_until_ms));
        }
        let mut datagram = [0; MAX_UPLINK_BYTES];
        let next = match self.session.poll(flash, now_ms, &mut datagram)? {
            Step::Send(length) => {
                self.send(&datagram[..length]);
                Next::Continue
            }
            Step::Continue => Next::Continue,
            Step::Confirmed => Next::Confirmed,
            Step::Restart(reason) => Next::Restart(reason),
            Step::Wait { until_ms } => Next::Wait { until_ms },
        };
        Ok(no_later(next, line_until_ms))
    }

    fn send(&mut self, datagram: &[u8]) {
        // Every datagram of the agent's fits, and the client has just said that it takes one; were it lost, the agent
        // would ask again.
        let _ = self.client.send(datagram);
    }
}

/// The same, but waiting ends at this time at the latest.
fn no_later(next: Next, limit_ms: u64) -> Next {
    match next {
        Next::Wait { until_ms } => Next::Wait {
            until_ms: until_ms.min(limit_ms),
        },
        next => next,
    }
}
