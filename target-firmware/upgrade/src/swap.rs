//! The exchange of ACTIVE and STAGING by single page copies, shifted by one page so that the page being overwritten is
//! never the only copy of anything.
//!
//! A chain of `m` pages takes `2 m` copies. Installing goes from the end: the old page goes one position up into
//! STAGING (at first the spare), then the new page takes its place in ACTIVE. Reverting goes from the start, the other
//! way round. Each copy's source stays untouched until the next copy begins, so a copy that was interrupted is simply
//! done again. Every copy erases its destination first: ACTIVE and STAGING are erased once per page and direction.
use crate::flash::{self, FlashError};
use crate::seeded::{Bug, is_planted};
use crate::slots::{ChainLength, Layout, Slot};
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind};

/// Which way the slots are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Install,
    Revert,
}

/// A page may fail to take its content; so often it is tried.
const TRIES: u8 = 3;
const CHUNK_BYTES: usize = 64;

/// Does copy number `copy` of an exchange (from 0) and checks it.
pub(crate) fn copy<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    direction: Direction,
    chain: ChainLength,
    copy: u16,
) -> Result<(), FlashError> {
    let (from, to) = pages(layout, direction, chain, copy);
    for _ in 0..TRIES {
        if copy_page::<F>(flash, from, to)? {
            return Ok(());
        }
    }
    Err(FlashError(NorFlashErrorKind::Other))
}

fn pages(layout: &Layout, direction: Direction, chain: ChainLength, copy: u16) -> (u32, u32) {
    let pair = copy / 2;
    let saves_active = copy.is_multiple_of(2) != is_planted(Bug::SwapOverwritesFirst);
    let (position, saved_at, taken_from) = match direction {
        Direction::Install => {
            let position = chain.0 - 1 - pair;
            (position, position + 1, position)
        }
        Direction::Revert => (pair, pair, pair + 1),
    };
    let active = layout.chain_page(Slot::Active, chain, position);
    if saves_active {
        (active, layout.chain_page(Slot::Staging, chain, saved_at))
    } else {
        (layout.chain_page(Slot::Staging, chain, taken_from), active)
    }
}

fn copy_page<F: NorFlash>(flash: &mut F, from: u32, to: u32) -> Result<bool, FlashError> {
    let mut chunk = [0; CHUNK_BYTES];
    flash::erase_page(flash, to)?;
    for offset in (0..F::ERASE_SIZE as u32).step_by(CHUNK_BYTES) {
        // What cannot be read belongs to no image (its digest was checked); it is copied as zeros.
        flash::read(flash, from + offset, &mut chunk);
        flash::program(flash, to + offset, &chunk)?;
        if !flash::took(flash, to + offset, &chunk, Bug::CopyNotReadBack) {
            return Ok(false);
        }
    }
    Ok(true)
}
