//! What a device is: its identity and keys, written once at the factory into the FACTORY page and never by the
//! device itself.
//!
//! ```text
//! 0  magic "PCF1"            16 device key (32 bytes)       88 CRC-32 (ISO-HDLC) of bytes 0..88
//! 4  hardware id u16         48 key id u8, 0 u8 x3          92 end
//! 6  dialect u8, 0 u8        52 Ed25519 public key 32
//! 8  device id (8 bytes)     84 minimum security counter u32
//! ```
//! A second trusted key follows at 92 in the same shape (key id, zeros, key, CRC-32 of bytes 92..128), or the bytes
//! there are erased.
use crate::flash;
use crate::manifest::{KeyId, SecurityCounter, TrustedKeys};
use crate::slots::Layout;
use crate::wire::{CRC, Dialect};
use embedded_storage::nor_flash::NorFlash;

/// Bytes of the factory page in use.
pub const FACTORY_BYTES: usize = 132;

const MAGIC: [u8; 4] = *b"PCF1";

/// Names a device towards the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub [u8; 8]);

/// A device's secret, shared with the platform; erased from memory when dropped.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct DeviceKey(pub [u8; 32]);

impl core::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DeviceKey(..)")
    }
}

/// The factory page's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factory {
    /// What hardware this is.
    pub hardware: u16,
    /// What it speaks to the platform.
    pub dialect: Dialect,
    /// Which device this is.
    pub device_id: DeviceId,
    /// Its secret.
    pub device_key: DeviceKey,
    /// Whose images it runs; the first is always present.
    pub trusted_keys: TrustedKeys,
    /// No image below this ever runs, whatever the journal says.
    pub minimum_security_counter: SecurityCounter,
}

/// The FACTORY page is missing or damaged: the device was not provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotProvisioned;

impl Factory {
    /// The bytes to write; erased bytes stand where a second key could be.
    pub fn encode(&self) -> [u8; FACTORY_BYTES] {
        let mut bytes = [0xFF; FACTORY_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.hardware.to_le_bytes());
        bytes[6] = self.dialect as u8;
        bytes[7] = 0;
        bytes[8..16].copy_from_slice(&self.device_id.0);
        bytes[16..48].copy_from_slice(&self.device_key.0);
        let [first, second] = &self.trusted_keys.0;
        if let Some(first) = first {
            encode_key(&mut bytes[48..84], first);
        }
        bytes[84..88].copy_from_slice(&self.minimum_security_counter.0.to_le_bytes());
        let check = CRC.checksum(&bytes[..88]);
        bytes[88..92].copy_from_slice(&check.to_le_bytes());
        if let Some(second) = second {
            encode_key(&mut bytes[92..128], second);
            let check = CRC.checksum(&bytes[92..128]);
            bytes[128..132].copy_from_slice(&check.to_le_bytes());
        }
        bytes
    }

    /// Reads the page's bytes.
    pub fn decode(bytes: &[u8; FACTORY_BYTES]) -> Result<Self, NotProvisioned> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[..4] != MAGIC || CRC.checksum(&bytes[..88]) != u32_at(88) {
            return Err(NotProvisioned);
        }
        let dialect = Dialect::from_byte(bytes[6]).ok_or(NotProvisioned)?;
        let second =
            (CRC.checksum(&bytes[92..128]) == u32_at(128)).then(|| decode_key(&bytes[92..128]));
        let mut device_id = [0; 8];
        device_id.copy_from_slice(&bytes[8..16]);
        let mut device_key = [0; 32];
        device_key.copy_from_slice(&bytes[16..48]);
        Ok(Self {
            hardware: u16::from_le_bytes([bytes[4], bytes[5]]),
            dialect,
            device_id: DeviceId(device_id),
            device_key: DeviceKey(device_key),
            trusted_keys: TrustedKeys([Some(decode_key(&bytes[48..84])), second]),
            minimum_security_counter: SecurityCounter(u32_at(84)),
        })
    }

    /// Reads the FACTORY page.
    pub fn load<F: NorFlash>(flash: &mut F, layout: &Layout) -> Result<Self, NotProvisioned> {
        let mut bytes = [0; FACTORY_BYTES];
        if !flash::read(flash, layout.factory.start, &mut bytes) {
            return Err(NotProvisioned);
        }
        Self::decode(&bytes)
    }
}

fn encode_key(bytes: &mut [u8], (id, key): &(KeyId, [u8; 32])) {
    bytes[0] = id.0;
    bytes[1..4].fill(0);
    bytes[4..36].copy_from_slice(key);
}

fn decode_key(bytes: &[u8]) -> (KeyId, [u8; 32]) {
    let mut key = [0; 32];
    key.copy_from_slice(&bytes[4..36]);
    (KeyId(bytes[0]), key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_factory_page_or_one_that_encodes_to_the_same_facts(mut bytes in prop::collection::vec(any::<u8>(), FACTORY_BYTES), fix: bool) {
            if fix {
                bytes[..4].copy_from_slice(&MAGIC);
                bytes[6] %= 2;
                let check = CRC.checksum(&bytes[..88]);
                bytes[88..92].copy_from_slice(&check.to_le_bytes());
            }
            let bytes: [u8; FACTORY_BYTES] = bytes.try_into().unwrap();
            let decoded = Factory::decode(&bytes);
            prop_assert_eq!(decoded.is_ok(), fix);
            if let Ok(factory) = decoded {
                prop_assert_eq!(Factory::decode(&factory.encode()), Ok(factory));
            }
        }
    }

    #[test]
    fn a_factory_page_survives_encoding_and_any_changed_bit_is_noticed_or_harmless() {
        let factory = Factory {
            hardware: 0x51,
            dialect: Dialect::Pcp,
            device_id: DeviceId(*b"device01"),
            device_key: DeviceKey([9; 32]),
            trusted_keys: TrustedKeys([Some((KeyId(1), [1; 32])), Some((KeyId(2), [2; 32]))]),
            minimum_security_counter: SecurityCounter(1),
        };
        let bytes = factory.encode();
        assert_eq!(Factory::decode(&bytes).as_ref(), Ok(&factory));
        for bit in 0..92 * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Factory::decode(&damaged), Err(NotProvisioned), "bit {bit}");
        }
        assert_eq!(Factory::decode(&[0xFF; FACTORY_BYTES]), Err(NotProvisioned));
    }
}
