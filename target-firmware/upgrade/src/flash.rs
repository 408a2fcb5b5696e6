//! What the core asks of a flash driver beyond `embedded_storage`, and the few ways in which it reads and writes.
//!
//! A unit that cannot be read (an ECC error after a torn program) counts as torn, never as fatal: callers see it
//! as bytes that match nothing.
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

use crate::seeded::{Bug, is_planted};

/// Largest program unit the core supports, in bytes.
pub const MAX_UNIT_BYTES: usize = 16;

/// NOR flash as the upgrade needs it.
///
/// One *operation* is the program of one write unit or the erase of one page. `write` programs its units one by
/// one in address order, so that power can go between any two.
pub trait UpgradeFlash: NorFlash {
    /// How often a unit may be programmed between two erases of its page: 1 on write-once parts, 2 where the driver
    /// is also a `MultiwriteNorFlash` that allows one repetition (nRF).
    const PROGRAMS_PER_UNIT: u8;
}

/// A flash driver refused an operation or failed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashError(pub NorFlashErrorKind);

/// Turns a driver's error into the core's.
#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
pub(crate) fn failed<E: embedded_storage::nor_flash::NorFlashError>(error: E) -> FlashError {
    FlashError(error.kind())
}

/// Reads `bytes.len()` bytes; what cannot be read is reported as `false` and leaves `bytes` all zero, which is
/// neither erased flash nor anything with a valid check.
pub(crate) fn read<F: NorFlash>(flash: &mut F, address: u32, bytes: &mut [u8]) -> bool {
    if flash.read(address, bytes).is_ok() {
        return true;
    }
    // One bad unit must not hide its neighbours: read them one by one.
    let unit = F::WRITE_SIZE.max(F::READ_SIZE);
    let mut whole = true;
    for (index, chunk) in bytes.chunks_mut(unit).enumerate() {
        if flash.read(address + (index * unit) as u32, chunk).is_err() {
            chunk.fill(0);
            whole = false;
        }
    }
    whole
}

/// Erases the page that starts at `address`, whatever it looks like: a page that reads blank may hold bits that do
/// not stay.
pub(crate) fn erase_page<F: NorFlash>(flash: &mut F, address: u32) -> Result<(), FlashError> {
    if is_planted(Bug::EraseSkippedIfBlank) && reads_blank(flash, address) {
        return Ok(());
    }
    flash
        .erase(address, address + F::ERASE_SIZE as u32)
        .map_err(failed)
}

fn reads_blank<F: NorFlash>(flash: &mut F, page: u32) -> bool {
    (0..F::ERASE_SIZE as u32)
        .step_by(64)
        .all(|offset| holds(flash, page + offset, &[0xFF; 64]))
}

/// Programs `bytes` from `address` on; the last unit is filled up with ones. Units that would be all ones are left
/// alone: they read the same, and a write-once unit stays programmable.
pub(crate) fn program<F: NorFlash>(
    flash: &mut F,
    address: u32,
    bytes: &[u8],
) -> Result<(), FlashError> {
    let unit_bytes = F::WRITE_SIZE;
    for (index, chunk) in bytes.chunks(unit_bytes).enumerate() {
        if chunk.iter().all(|byte| *byte == 0xFF) {
            continue;
        }
        let at = address + (index * unit_bytes) as u32;
        if chunk.len() == unit_bytes {
            flash.write(at, chunk).map_err(failed)?;
        } else {
            program_tail(flash, at, chunk)?;
        }
    }
    Ok(())
}

/// Programs the last unit of what is written, which it does not fill.
fn program_tail<F: NorFlash>(flash: &mut F, address: u32, tail: &[u8]) -> Result<(), FlashError> {
    let mut padded = [0xFF_u8; MAX_UNIT_BYTES];
    padded[..tail.len()].copy_from_slice(tail);
    let unit = &padded[..F::WRITE_SIZE];
    flash.write(address, unit).map_err(failed)?;
    if is_planted(Bug::TailProgrammedTwice) {
        flash.write(address, unit).map_err(failed)?;
    }
    Ok(())
}

/// Whether flash holds exactly `bytes` from `address` on.
pub(crate) fn holds<F: NorFlash>(flash: &mut F, address: u32, bytes: &[u8]) -> bool {
    let mut found = [0_u8; 64];
    for (index, chunk) in bytes.chunks(64).enumerate() {
        let padded = chunk.len().next_multiple_of(F::READ_SIZE);
        let at = address + (index * 64) as u32;
        if !read(flash, at, &mut found[..padded]) || found[..chunk.len()] != *chunk {
            return false;
        }
    }
    true
}

/// Reads back what was written: whether flash holds it. `unread` is the bug of not looking.
pub(crate) fn took<F: NorFlash>(flash: &mut F, address: u32, bytes: &[u8], unread: Bug) -> bool {
    is_planted(unread) || holds(flash, address, bytes)
}

/// A driver that may program a unit twice between erases, with the bits of the first program kept (nRF parts).
#[derive(Debug, Clone)]
pub struct TwiceProgrammable<F>(pub F);

/// A driver whose units may be programmed once between erases, or of which nothing better is known.
#[derive(Debug, Clone)]
pub struct WriteOnce<F>(pub F);

macro_rules! delegate_flash {
    ($wrapper:ident, $bound:path, $programs:expr) => {
        impl<F: $bound> ErrorType for $wrapper<F> {
            type Error = F::Error;
        }

        impl<F: $bound> ReadNorFlash for $wrapper<F> {
            const READ_SIZE: usize = F::READ_SIZE;

            fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
                self.0.read(offset, bytes)
            }

            fn capacity(&self) -> usize {
                self.0.capacity()
            }
        }

        impl<F: $bound> NorFlash for $wrapper<F> {
            const WRITE_SIZE: usize = F::WRITE_SIZE;
            const ERASE_SIZE: usize = F::ERASE_SIZE;

            fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
                self.0.erase(from, to)
            }

            fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
                self.0.write(offset, bytes)
            }
        }

        impl<F: $bound> UpgradeFlash for $wrapper<F> {
            const PROGRAMS_PER_UNIT: u8 = $programs;
        }
    };
}

delegate_flash!(TwiceProgrammable, MultiwriteNorFlash, 2);
delegate_flash!(WriteOnce, NorFlash, 1);
