//! Which runs need not go on. Between two resets the device is a deterministic program whose only inputs are the
//! flash it reads and the answers of a platform that is deterministic itself. So two runs that have read the same
//! since their reset, with equal flash, equal oracle memory and equally many cuts to come, have the same future.
//! Runs ask at each reset and after each erase: there an interrupted page is whole again, whichever of its hundreds of
//! operations was cut.
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use nor_flash_model::fold;

/// Takes keys as they are: they are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The states runs have been in.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<u64, BuildHasherDefault<AsItIs>>);

impl Seen {
    /// Whether this state is new.
    pub(super) fn is_new(&mut self, key: u64) -> bool {
        self.0.insert(key)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Everything that was read, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observations(pub(super) u64);

impl Observations {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = fold(self.0, bytes.len() as u64);
        for word in words {
            hash = fold(hash, u64::from_le_bytes(*word));
        }
        for byte in rest {
            hash = fold(hash, u64::from(*byte));
        }
        self.0 = hash;
    }
}
