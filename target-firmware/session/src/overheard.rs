//! Bytes that the modem says while something is sent to it.

use heapless::Deque;

/// Room for an echo and a result code.
const OVERHEARD_BYTES: usize = 64;

/// Keeps the bytes that come from the modem while the owner transmits: a small FIFO would not hold them.
#[derive(Debug, Default)]
pub struct Overheard(Deque<u8, OVERHEARD_BYTES>);

impl Overheard {
    pub(crate) const fn new() -> Self {
        Self(Deque::new())
    }

    /// Keeps a byte; `false` if there is no room. It is lost then, like in a full FIFO, and the AT client's timeouts
    /// notice.
    pub fn push(&mut self, byte: u8) -> bool {
        self.0.push_back(byte).is_ok()
    }

    pub(crate) fn pop(&mut self) -> Option<u8> {
        self.0.pop_front()
    }
}
