//! The CPU itself: restart, and the jump from a bootloader to an application.

/// Restarts the board as if by its reset pin, except for the watchdog, which goes on.
pub fn restart() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// Sleeps for ever, unless a watchdog that runs already restarts the board.
pub fn halt() -> ! {
    cortex_m::interrupt::disable();
    loop {
        cortex_m::asm::wfi();
    }
}

/// Starts the program whose vector table is at `image`.
///
/// Its exceptions still go to the caller's handlers, as the chip cannot move the vector table; so those must need
/// no RAM of the caller's.
pub fn boot_image_at(image: u32) -> ! {
    cortex_m::interrupt::disable();
    // SAFETY: this is a bootloader's last act: the stack it sits on is given up, interrupts are masked, and
    // whether the image may run was the caller's decision. The image brings its own stack and initialises its RAM.
    unsafe { cortex_m::asm::bootload(image as *const u32) }
}
