//! The CPU itself: restart, and the jump from a bootloader to an application.

use core::ops::Range;

const RAM: Range<u32> = 0x2000_0000..0x2000_4000;

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

/// Whether the vector table at `image` could belong to a program in `within`: initial stack in RAM and aligned,
/// entry in Thumb state and inside. Says nothing about the program.
pub fn is_bootable(image: u32, within: &Range<u32>) -> bool {
    let (stack, entry) = vectors(image);
    stack > RAM.start
        && stack <= RAM.end
        && stack.is_multiple_of(8)
        && entry % 2 == 1
        && within.contains(&(entry - 1))
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

/// Initial stack pointer and entry point.
fn vectors(image: u32) -> (u32, u32) {
    let image = image as *const u32;
    // SAFETY: two words of flash or RAM; an address that is not mapped faults, which restarts the board.
    unsafe { (image.read_volatile(), image.add(1).read_volatile()) }
}
