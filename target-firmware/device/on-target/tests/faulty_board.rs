//! A suite whose tests end in every way there is, each from a reset. It logs by defmt over RTT.
#![no_std]
#![no_main]

use cortex_m_rt as _;
use defmt_rtt as _;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    semihosting::process::abort()
}

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    /// Nothing answers there.
    const NOWHERE: *const u32 = 0x6000_0000 as *const u32;

    #[test]
    fn logs_and_passes() {
        defmt::info!("supply at {} mV", 3300);
        semihosting::println!("and a word by semihosting");
    }

    #[test]
    fn fails_an_assertion() {
        defmt::warn!("about to compare");
        assert_eq!(core::hint::black_box(1) + 1, 3, "arithmetic is off");
    }

    #[test]
    fn returns_an_error() -> Result<(), &'static str> {
        Err("no modem")
    }

    #[test]
    #[timeout(1)]
    fn turns_in_circles() {
        defmt::info!("round and round");
        loop {
            cortex_m::asm::nop();
        }
    }

    #[test]
    #[timeout(2)]
    fn sleeps_for_good() {
        loop {
            cortex_m::asm::wfi();
        }
    }

    #[test]
    fn reads_where_nothing_is() {
        // SAFETY: the read has no effect but the fault that the test is about.
        let word = unsafe { NOWHERE.read_volatile() };
        defmt::info!("found {}", word);
    }

    /// SYS_WRITE: its block holds a file, the address of bytes, and their number.
    const WRITE: u32 = 0x05;

    #[test]
    fn asks_with_a_block_that_is_nowhere() {
        // SAFETY: the debugger reads where nothing answers; it writes nothing.
        unsafe { cortex_m::asm::semihosting_syscall(WRITE, NOWHERE as u32) };
    }

    #[test]
    fn writes_a_text_that_is_nowhere() {
        let block = [1, NOWHERE as u32, 4];
        // SAFETY: the block is as it should be; the debugger reads where nothing answers, and writes nothing.
        unsafe { cortex_m::asm::semihosting_syscall(WRITE, block.as_ptr() as u32) };
    }

    #[test]
    #[should_panic]
    fn panics_as_it_should() {
        panic!("as it should");
    }

    #[test]
    #[should_panic]
    fn does_not_panic_as_it_should() {}

    #[test]
    #[ignore]
    fn is_ignored() {}
}
