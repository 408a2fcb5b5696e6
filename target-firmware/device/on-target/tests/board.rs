//! The board support, on the chip. Each test starts from a reset.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt as _;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    semihosting::println!("{info}");
    semihosting::process::abort()
}

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
    use microbit::{Board, FlashError, PAGE_BYTES, Woken};

    /// In the upper half of flash, which this program leaves free.
    const PAGE: u32 = 0x2_0000;

    #[init]
    fn init() -> Board {
        Board::take().unwrap()
    }

    fn word(board: &mut Board, address: u32) -> u32 {
        let mut bytes = [0; 4];
        board.flash.read(address, &mut bytes).unwrap();
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn a_board_can_be_taken_once_only(_board: Board) {
        assert!(Board::take().is_none());
    }

    #[test]
    fn an_erased_page_reads_all_ones_and_its_neighbours_stay(mut board: Board) {
        board.flash.erase(PAGE, PAGE + 3 * PAGE_BYTES).unwrap();
        for page in 0..3 {
            board
                .flash
                .write(PAGE + page * PAGE_BYTES, &[0; 4])
                .unwrap();
        }
        let middle = PAGE + PAGE_BYTES;
        board.flash.erase(middle, middle + PAGE_BYTES).unwrap();
        assert_eq!(word(&mut board, PAGE), 0);
        for address in (middle..middle + PAGE_BYTES).step_by(4) {
            assert_eq!(word(&mut board, address), u32::MAX);
        }
        assert_eq!(word(&mut board, middle + PAGE_BYTES), 0);
    }

    #[test]
    fn a_second_program_of_a_word_only_clears_bits(mut board: Board) {
        board.flash.erase(PAGE, PAGE + PAGE_BYTES).unwrap();
        board
            .flash
            .write(PAGE, &0xFFFF_00F0_u32.to_le_bytes())
            .unwrap();
        board
            .flash
            .write(PAGE, &0x0F0F_0FFF_u32.to_le_bytes())
            .unwrap();
        assert_eq!(word(&mut board, PAGE), 0x0F0F_00F0);
    }

    #[test]
    fn several_words_are_programmed_in_place_and_read_back_at_any_offset(mut board: Board) {
        board.flash.erase(PAGE, PAGE + PAGE_BYTES).unwrap();
        board.flash.write(PAGE + 8, b"eight by").unwrap();
        let mut found = [0; 10];
        board.flash.read(PAGE + 7, &mut found).unwrap();
        assert_eq!(&found, b"\xFFeight by\xFF");
    }

    #[test]
    fn what_is_misaligned_or_outside_is_refused_and_changes_nothing(mut board: Board) {
        let flash = &mut board.flash;
        flash.erase(PAGE, PAGE + PAGE_BYTES).unwrap();
        assert_eq!(flash.write(PAGE + 2, &[0; 4]), Err(FlashError::NotAligned));
        assert_eq!(flash.write(PAGE, &[0; 3]), Err(FlashError::NotAligned));
        assert_eq!(flash.erase(PAGE, PAGE + 4), Err(FlashError::NotAligned));
        assert_eq!(flash.write(0x4_0000, &[0; 4]), Err(FlashError::OutOfBounds));
        assert_eq!(flash.erase(PAGE_BYTES, 0), Err(FlashError::OutOfBounds));
        assert_eq!(
            flash.read(u32::MAX, &mut [0; 4]),
            Err(FlashError::OutOfBounds)
        );
        assert_eq!(word(&mut board, PAGE), u32::MAX);
    }

    #[test]
    fn the_reset_vector_can_be_read_at_address_zero(mut board: Board) {
        // The initial stack pointer, at the end of RAM or below.
        assert_eq!(word(&mut board, 0) >> 16, 0x2000);
    }

    #[test]
    fn a_sleep_ends_when_its_time_has_come_and_not_before(board: Board) {
        let mut board = board.peripherals.start();
        let start = board.clock.now_ms();
        let woken = board.sleep.until(&mut board.clock, start + 20);
        let slept = board.clock.now_ms() - start;
        assert_eq!(woken, Woken::ByClock);
        assert!((20..2_000).contains(&slept));
    }

    #[test]
    fn a_sleep_until_the_past_ends_at_once(board: Board) {
        let mut board = board.peripherals.start();
        assert_eq!(board.sleep.until(&mut board.clock, 0), Woken::ByClock);
    }

    #[test]
    fn every_byte_transmitted_leaves(board: Board) {
        let mut board = board.peripherals.start();
        for byte in b"hello, modem" {
            board.uart.transmit(*byte, |_| ());
        }
        assert_eq!(board.uart.receive(), None);
    }

    #[test]
    #[should_panic]
    fn a_failing_test_is_seen_to_fail(_board: Board) {
        panic!("as it should");
    }
}
