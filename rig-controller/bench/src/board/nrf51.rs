//! The nRF51822 of the micro:bit as each of its emulations has it: its flash, the refusals of a board that is used in the wrong
//! order, and everything random at power-on, which is the same in all of them.
use nor_flash_model::Geometry;
use powercut_emulator::{Machine, Operation};
use powercut_oracle::FlashOpKind;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::BoardError;

/// Flash: 256 pages of 1 KB; a word may be written twice between erases.
pub(super) const FLASH: Geometry = match Geometry::new(4, 1024, 2, 256) {
    Ok(geometry) => geometry,
    Err(_) => panic!("the nRF51's flash is one of those that the rig knows"),
};

/// Draws everything random at power-on number `boot`, from 1, of a board that was provisioned with `seed`: 64 bits for the
/// chip's random number generator, then the garbage that `ram`, whole, begins with.
pub(super) fn draw(seed: u64, boot: u64, ram: &mut [u8]) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(boot);
    let of_generator = random.next_u64();
    random.fill_bytes(ram);
    of_generator
}

/// Puts what is random at power-on number `boot`, from 1, of a board that was provisioned with `seed` into `machine`, which is
/// about to get power.
pub fn randomise(machine: &mut Machine, seed: u64, boot: u64) {
    let of_generator = draw(seed, boot, machine.ram_mut());
    machine.set_seed(of_generator);
}

/// A flash operation of the emulated chip, as the oracle has it.
pub fn kind_of(operation: Operation) -> FlashOpKind {
    match operation {
        Operation::Program {
            address,
            before,
            value,
        } => FlashOpKind::Program {
            address,
            before: before.into(),
            value: value.into(),
        },
        Operation::Erase { address } => FlashOpKind::Erase { address },
    }
}

/// Checks that `flash` can be put on board `board`.
///
/// # Errors
/// The board has power, or `flash` is not the whole of it.
pub(super) fn check_provision(
    board: &str,
    has_power: bool,
    flash: &[u8],
) -> Result<(), BoardError> {
    let refused = |reason| {
        let doing = "writing the board's flash";
        Err(BoardError::channel(board, doing, reason))
    };
    if has_power {
        return refused("the board is powered; switch it off first".to_owned());
    }
    let (found, wanted) = (flash.len(), FLASH.size_bytes());
    if found != wanted as usize {
        return refused(format!(
            "the image has {found} bytes, the board's flash {wanted}; pad it with 0xFF"
        ));
    }
    Ok(())
}

/// Board `board` is to get power, and nobody would hear of what it does.
pub(super) fn unwatched(board: &str) -> BoardError {
    let reason = "nobody watches the board yet; give it a feed first";
    BoardError::channel(board, "switching power on", reason)
}

/// Board `board` is to let its core run, and is off.
pub(super) fn off(board: &str) -> BoardError {
    let reason = "the board is off; switch it on first";
    BoardError::channel(board, "letting the core run", reason)
}
