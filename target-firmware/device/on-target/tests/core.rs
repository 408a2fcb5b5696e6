//! The upgrade core on the chip's own flash.
#![no_std]
#![no_main]

use cortex_m_rt as _;
use defmt_semihosting as _;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    semihosting::process::abort()
}

#[defmt_test::tests]
mod tests {
    use microbit::Board;

    #[init]
    fn init() -> Board {
        Board::take().unwrap()
    }

    #[test]
    fn placeholder(_board: &mut Board) {
        assert_eq!(_board.clock.now_us() >> 32, 0);
    }
}
