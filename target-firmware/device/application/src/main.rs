//! The application: keeps a line to the platform through an AT modem, downloads upgrades of itself, and proves each
//! new version on probation before it confirms it.
//!
//! One loop, no interrupts: bytes from the modem into the session's AT client, datagrams into its upgrade agent, its
//! answers back, and sleep until the UART or the earliest deadline wakes it.
#![no_std]
#![no_main]

mod app;
mod image;
mod platform_address;
mod trial;

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use defmt_rtt as _;
use microbit::Board;

#[entry]
fn main() -> ! {
    let Some(board) = Board::take() else {
        microbit::restart()
    };
    app::run(board)
}

/// Restarting is the one thing that always helps: the bootloader verifies what it starts, and counts the attempts of
/// an image on probation.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    if let Some(place) = info.location() {
        defmt::error!("panic at {=str}:{=u32}", place.file(), place.line());
    }
    microbit::restart()
}
