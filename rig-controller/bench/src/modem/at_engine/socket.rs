//! A socket of the modem, with the datagrams that wait in it until the device reads them.
use std::collections::VecDeque;

#[derive(Debug, Clone, Default, Hash)]
pub(super) enum Socket {
    #[default]
    Closed,
    /// The answer to `AT+QIOPEN` is out, its result is not.
    Opening,
    Open {
        queue: VecDeque<Queued>,
    },
}

#[derive(Debug, Clone, Hash)]
pub(super) struct Queued {
    pub(super) datagram: Vec<u8>,
    /// Bytes the device has read already.
    pub(super) read: usize,
}
