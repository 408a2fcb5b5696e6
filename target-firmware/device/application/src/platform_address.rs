//! Where the platform is: written beside the device's identity at the factory, else built in.
//!
//! ```text
//! FACTORY page + 512:  magic "PCPA" | IPv4 address (4 bytes) | port u16 | 0 u16 | CRC-32 (ISO-HDLC) of these 12 bytes
//! ```
//! All numbers little-endian, the address in the order it is written.

use core::net::{Ipv4Addr, SocketAddrV4};

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage::nor_flash::ReadNorFlash;
use powercut_upgrade::slots::Layout;

use crate::image::DEFAULT_PLATFORM;

const OFFSET: u32 = 512;
const MAGIC: [u8; 4] = *b"PCPA";
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// The platform's address for this board.
pub(crate) fn load(flash: &mut impl ReadNorFlash, layout: &Layout) -> SocketAddrV4 {
    let mut bytes = [0; 16];
    match flash.read(layout.factory.start + OFFSET, &mut bytes) {
        Ok(()) => decode(&bytes).unwrap_or(DEFAULT_PLATFORM),
        Err(_) => DEFAULT_PLATFORM,
    }
}

fn decode(bytes: &[u8; 16]) -> Option<SocketAddrV4> {
    let (record, check) = bytes.split_last_chunk::<4>()?;
    if record[..4] != MAGIC || CRC.checksum(record) != u32::from_le_bytes(*check) {
        return None;
    }
    let ip = Ipv4Addr::new(record[4], record[5], record[6], record[7]);
    Some(SocketAddrV4::new(
        ip,
        u16::from_le_bytes([record[8], record[9]]),
    ))
}
