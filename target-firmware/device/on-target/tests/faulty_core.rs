//! A suite whose second test fails. It logs by defmt through semihosting.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt as _;
use defmt_semihosting as _;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    semihosting::process::abort()
}

#[defmt_test::tests]
mod tests {
    #[test]
    fn passes() {
        defmt::info!("all is well");
    }

    #[test]
    #[ignore]
    fn is_ignored() {}

    #[test]
    fn fails() {
        defmt::info!("all was well");
        assert!(core::hint::black_box(1) == 2, "one is not two");
    }

    #[test]
    fn is_never_come_to() {}
}
