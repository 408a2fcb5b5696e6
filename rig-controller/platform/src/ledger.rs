//! What was encrypted under which key and nonce, so that invariant S5 can be judged over all cases of a run: no key
//! and nonce serve two plaintexts.
//!
//! A download's key is a function of device key and salt (the manifest's digest), so these two stand for it. Keys
//! and plaintexts are kept as hashes only.
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use powercut_upgrade::factory::DeviceKey;
use sha2::{Digest, Sha256};

/// Stands for a device key without telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceKeyId(pub [u8; 8]);

impl DeviceKeyId {
    /// The id of this key.
    pub fn of(key: &DeviceKey) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"powercut device key id");
        hash.update(key.0);
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(id)
    }
}

/// One key and nonce that served two plaintexts: both can be read by whoever heard both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NonceReuse {
    /// Whose key.
    pub key: DeviceKeyId,
    /// Salt of the download's key.
    pub salt: [u8; 32],
    /// The nonce.
    pub nonce: [u8; 12],
}

/// The ledger; clones are the same ledger.
#[derive(Debug, Clone, Default)]
pub struct EncryptionLedger(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    plaintexts: HashMap<NonceReuse, [u8; 32]>,
    violations: Vec<NonceReuse>,
}

impl EncryptionLedger {
    /// Note that `plaintext` is encrypted under this key, salt and nonce.
    pub fn record(&self, key: DeviceKeyId, salt: [u8; 32], nonce: [u8; 12], plaintext: &[u8]) {
        let hash: [u8; 32] = Sha256::digest(plaintext).into();
        let used = NonceReuse { key, salt, nonce };
        let mut entries = self.entries();
        if *entries.plaintexts.entry(used).or_insert(hash) != hash {
            entries.violations.push(used);
        }
    }

    /// Every encryption so far that used a key and nonce of another plaintext.
    pub fn violations(&self) -> Vec<NonceReuse> {
        self.entries().violations.clone()
    }

    /// How many pairs of key and nonce have been used.
    pub fn pairs(&self) -> usize {
        self.entries().plaintexts.len()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for NonceReuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NonceReuse { key, salt, nonce } = self;
        write!(
            f,
            "key {} with salt {} and nonce {} served two plaintexts",
            hex::encode(key.0),
            hex::encode(salt),
            hex::encode(nonce)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_plaintext_may_be_encrypted_again_and_another_one_may_not() {
        let ledger = EncryptionLedger::default();
        let key = DeviceKeyId::of(&DeviceKey([1; 32]));
        for _ in 0..2 {
            ledger.record(key, [2; 32], [3; 12], b"a fragment");
        }
        assert_eq!((ledger.pairs(), ledger.violations()), (1, vec![]));
        ledger.record(key, [2; 32], [3; 12], b"another fragment");
        assert_eq!(
            ledger.violations(),
            [NonceReuse {
                key,
                salt: [2; 32],
                nonce: [3; 12]
            }]
        );
    }

    #[test]
    fn another_key_salt_or_nonce_is_another_keystream() {
        let ledger = EncryptionLedger::default();
        let [one, other] = [[1; 32], [2; 32]].map(|key| DeviceKeyId::of(&DeviceKey(key)));
        ledger.record(one, [0; 32], [0; 12], b"a");
        ledger.record(other, [0; 32], [0; 12], b"b");
        ledger.record(one, [1; 32], [0; 12], b"c");
        ledger.record(one, [0; 32], [1; 12], b"d");
        assert_eq!((ledger.pairs(), ledger.violations()), (4, vec![]));
    }
}
