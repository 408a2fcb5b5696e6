//! placeholder
#![no_std]
#![no_main]
use cortex_m_rt::entry;
#[entry]
fn main() -> ! {
    microbit::boot_image_at(0x9c00)
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    microbit::restart()
}
