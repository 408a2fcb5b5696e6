//! The nRF51822 of the micro:bit as each of its emulations has it: its flash, the refusals of a board that is used in the wrong
//! order, and everything random at power-on, which is the same in all of them.
use nor_flash_model::Geometry;
use powercut_emulator::{Machine, Operation, RAM_BYTES};
use powercut_oracle::FlashOpKind;
use powercut_oracle::outage::Ram;
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
    randomise_but(machine, seed, boot, Ram::Lost);
}

/// The same for a machine whose RAM keeps this much of its content.
///
/// After a brown-out RESETREAS shows no reason, as after power-on (Nordic's nrfx, `nrf_power_resetreas_get`). How much RAM keeps
/// is a model, for no manual promises it: "the RAM is never reset, but depending on reset source, RAM content may be corrupted"
/// (nRF52832 Product Specification, reset behaviour), and a dip to 0.8 V for 12.3 ms was seen to leave it whole (nRF52840,
/// Nordic support forum, thread 99256). Without any voltage SRAM keeps its content for milliseconds to minutes, by part and temperature
/// (Skorobogatov, "Low temperature data remanence in static RAM", 2002).
pub fn randomise_but(machine: &mut Machine, seed: u64, boot: u64, kept: Ram) {
    let ram = machine.ram_mut();
    let of_generator = match kept {
        Ram::Lost => draw(seed, boot, ram),
        Ram::Kept => draw(seed, boot, &mut []),
        Ram::Decayed { percent } => {
            let mut garbage = [0; RAM_BYTES];
            let of_generator = draw(seed, boot, &mut garbage);
            decay(ram, &garbage, percent, seed, boot);
            of_generator
        }
    };
    machine.set_seed(of_generator);
}

/// Of 100 bits of `ram`, `percent` become what they are in `garbage`.
fn decay(ram: &mut [u8; RAM_BYTES], garbage: &[u8; RAM_BYTES], percent: u8, seed: u64, boot: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // The garbage of all boots comes from the streams below.
    random.set_stream(!boot);
    let limit = (u64::from(percent) << 32) / 100;
    for (byte, garbage) in ram.iter_mut().zip(garbage) {
        let lost = (0..8).fold(0, |lost, bit| {
            lost | u8::from(u64::from(random.next_u32()) < limit) << bit
        });
        *byte = *byte & !lost | garbage & lost;
    }
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

#[cfg(test)]
mod tests {
    use powercut_emulator::Timing;

    use super::*;

    /// RAM that held 0xA5 throughout, at power-on number `boot` of a board with `seed`.
    fn ram_after(seed: u64, boot: u64, kept: Ram) -> Vec<u8> {
        let mut machine = Machine::new(Timing::Instant);
        machine.ram_mut().fill(0xA5);
        randomise_but(&mut machine, seed, boot, kept);
        machine.ram().to_vec()
    }

    fn bits_that_differ(ram: &[u8]) -> u32 {
        ram.iter().map(|byte| (byte ^ 0xA5).count_ones()).sum()
    }

    #[test]
    fn of_ram_that_decays_so_many_bits_come_up_at_random_and_the_others_stay() {
        let bits = RAM_BYTES as u32 * 8;
        let garbage = ram_after(7, 2, Ram::Lost);
        assert!((45..=55).contains(&(bits_that_differ(&garbage) * 100 / bits)));
        assert_eq!(bits_that_differ(&ram_after(7, 2, Ram::Kept)), 0);
        for percent in [1, 10, 60, 99] {
            let decayed = ram_after(7, 2, Ram::Decayed { percent });
            // Half of the bits that come up at random come up as they were.
            let share = f64::from(bits_that_differ(&decayed)) * 200.0 / f64::from(bits);
            assert!(
                (share - f64::from(percent)).abs() < 1.0,
                "{percent}: {share}"
            );
            let comes_from = |((now, garbage), bit): ((&u8, &u8), u8)| {
                let of = |byte: u8| byte >> bit & 1;
                of(*now) == of(0xA5) || of(*now) == of(*garbage)
            };
            let pairs = decayed.iter().zip(&garbage);
            assert!(
                pairs
                    .flat_map(|pair| (0..8).map(move |bit| (pair, bit)))
                    .all(comes_from)
            );
        }
    }

    #[test]
    fn the_bits_that_decay_follow_from_seed_and_boot() {
        let kept = Ram::Decayed { percent: 10 };
        let ram = ram_after(7, 2, kept);
        assert_eq!(ram_after(7, 2, kept), ram);
        assert_ne!(ram_after(7, 3, kept), ram);
        assert_ne!(ram_after(8, 2, kept), ram);
    }
}
