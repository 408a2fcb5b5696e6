//! The bytes of one journal page.
//!
//! ```text
//! HEADER, 72 bytes, filled up to a whole write unit
//!   0 magic "PCJ1"               24 confirmed image 16     60 attempt u8, programs u8, 0, 0
//!   4 generation u32             40 session's image 16     64 chain length u16, 0, 0
//!   8 session id 8               56 phase u8 | value u24   68 CRC-32 of bytes 0..68
//!  16 security counter u32
//!  20 image's security counter u32
//! SEAL, one record; then records until the page is full
//! record, 8 bytes, filled up to a whole write unit: kind u8 | value u24 | CRC-32 of (session id, slot u16, kind and value)
//! ```
//! The SEAL's value is the generation's low 24 bits and its slot `FFFF`. No two records share a write unit.
use super::Generation;
use super::state::{Phase, Record, SessionId, State};
use crate::flash::MAX_UNIT_BYTES;
use crate::manifest::{ImageId, SecurityCounter};
use crate::seeded::{self, Bug, is_planted};
use crate::slots::ChainLength;
use crate::wire::CRC;

/// Bytes of the HEADER that mean something.
pub(super) const HEADER_BYTES: usize = 72;
const RECORD_BYTES: usize = 8;
const MAGIC: [u8; 4] = *b"PCJ1";
const SEAL: u8 = 0x5E;
const SEAL_SLOT: u16 = 0xFFFF;

/// Where things are in a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageFormat {
    /// Bytes of a HEADER with its filling.
    header: u32,
    /// Bytes of a record with its filling, as a power of two.
    record_log2: u32,
    /// Bytes of the page.
    page: u32,
}

impl PageFormat {
    pub(super) const fn new(page_bytes: u32, unit_bytes: usize) -> Self {
        assert!(unit_bytes <= MAX_UNIT_BYTES && unit_bytes.is_power_of_two());
        const { assert!(RECORD_BYTES.is_power_of_two()) }
        Self {
            header: HEADER_BYTES.next_multiple_of(unit_bytes) as u32,
            record_log2: RECORD_BYTES.next_multiple_of(unit_bytes).ilog2(),
            page: page_bytes,
        }
    }

    /// Records lie one behind the other, whatever the write unit.
    pub(super) const fn packed(self) -> Self {
        Self {
            record_log2: RECORD_BYTES.ilog2(),
            ..self
        }
    }

    pub(super) const fn seal(self) -> u32 {
        self.header
    }

    pub(super) const fn slot(self, slot: u16) -> u32 {
        self.header + ((slot as u32 + 1) << self.record_log2)
    }

    /// The slots that begin before this offset.
    pub(super) const fn slots_before(self, offset: u32) -> u16 {
        let slots = offset
            .saturating_sub(self.slot(0))
            .div_ceil(1 << self.record_log2);
        if slots < self.capacity() as u32 {
            slots as u16
        } else {
            self.capacity()
        }
    }

    /// Records a page takes.
    pub(super) const fn capacity(self) -> u16 {
        (((self.page - self.header) >> self.record_log2) - 1) as u16
    }
}

pub(super) fn encode_header(generation: Generation, state: &State) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let (phase, value, programs) = match state.phase {
        Phase::Idle => (0, 0, 0),
        Phase::Accepted => (1, 0, 0),
        Phase::Downloading {
            committed,
            programs,
        } => (2, committed, programs),
        Phase::Ready => (3, 0, 0),
        Phase::Swapping { copies } => (4, u32::from(copies), 0),
        Phase::Trial { attempts } => (5, u32::from(attempts), 0),
        Phase::Confirmed => (6, 0, 0),
        Phase::Reverting { copies } => (7, u32::from(copies), 0),
        Phase::Reverted => (8, 0, 0),
        Phase::Rejected => (9, 0, 0),
    };
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&generation.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&state.session().0);
    bytes[16..20].copy_from_slice(&state.security_counter.0.to_le_bytes());
    bytes[20..24].copy_from_slice(&state.image_counter.0.to_le_bytes());
    bytes[24..40].copy_from_slice(&state.confirmed.0);
    bytes[40..56].copy_from_slice(&state.image.0);
    bytes[56..60].copy_from_slice(&(value << 8 | phase).to_le_bytes());
    bytes[60] = state.attempt;
    bytes[61] = programs;
    bytes[64..66].copy_from_slice(&state.chain.0.to_le_bytes());
    let check = CRC.checksum(&bytes[..68]);
    bytes[68..].copy_from_slice(&check.to_le_bytes());
    bytes
}

pub(super) fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Option<(Generation, State)> {
    let u32_at =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let image_at = |at: usize| {
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[at..at + 16]);
        ImageId(id)
    };
    if bytes[..4] != MAGIC || CRC.checksum(&bytes[..68]) != u32_at(68) {
        return None;
    }
    let value = u32_at(56) >> 8;
    let small = || u16::try_from(value).ok();
    let phase = match bytes[56] {
        0 => Phase::Idle,
        1 => Phase::Accepted,
        2 => Phase::Downloading {
            committed: value,
            programs: bytes[61],
        },
        3 => Phase::Ready,
        4 => Phase::Swapping { copies: small()? },
        5 => Phase::Trial {
            attempts: u8::try_from(value).ok()?,
        },
        6 => Phase::Confirmed,
        7 => Phase::Reverting { copies: small()? },
        8 => Phase::Reverted,
        9 => Phase::Rejected,
        _ => return None,
    };
    let state = State {
        confirmed: image_at(24),
        security_counter: SecurityCounter(u32_at(16)),
        image: image_at(40),
        image_counter: SecurityCounter(u32_at(20)),
        attempt: bytes[60],
        phase,
        chain: ChainLength(u16::from_le_bytes([bytes[64], bytes[65]])),
    };
    (state.session().0 == bytes[8..16]).then_some((Generation(u32_at(4)), state))
}

pub(super) fn encode_record(session: SessionId, slot: u16, record: Record) -> [u8; RECORD_BYTES] {
    let (kind, value) = record.to_parts();
    encode_parts(session, slot, kind, value)
}

pub(super) fn decode_record(
    session: SessionId,
    slot: u16,
    bytes: [u8; RECORD_BYTES],
) -> Option<Record> {
    let [kind, a, b, c, ..] = bytes;
    let value = u32::from_le_bytes([a, b, c, 0]);
    (encode_parts(session, slot, kind, value) == bytes || is_planted(Bug::RecordWithoutCrc))
        .then(|| Record::from_parts(kind, value))
        .flatten()
}

pub(super) fn encode_seal(session: SessionId, generation: Generation) -> [u8; RECORD_BYTES] {
    encode_parts(session, SEAL_SLOT, SEAL, generation.0 & 0x00FF_FFFF)
}

fn encode_parts(session: SessionId, slot: u16, kind: u8, value: u32) -> [u8; RECORD_BYTES] {
    let head = (value << 8 | u32::from(kind)).to_le_bytes();
    let mut digest = CRC.digest();
    digest.update(seeded::covered_session(&session.0));
    digest.update(&slot.to_le_bytes());
    digest.update(seeded::covered_head(&head));
    let check = digest.finalize().to_le_bytes();
    let mut bytes = [0; RECORD_BYTES];
    bytes[..4].copy_from_slice(&head);
    bytes[4..].copy_from_slice(&check);
    bytes
}
