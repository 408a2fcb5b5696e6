//! Firmware for the tests, assembled here: it stores a table of values to a table of addresses, then hangs,
//! echoes or dies. A marker word in flash decides whether it runs its first or its second table, so that what it
//! does after a reset or a power cycle can differ.
use super::memory_map::{FLASH_BYTES, NVMC_CONFIG, NVMC_ERASEPAGE, UART_ENABLE, UART_STARTTX};

/// Programming this word makes the next boot run the second table.
pub(super) const MARKER: u32 = 0x3_FC00;
/// A page the firmware does not use itself.
pub(super) const DATA: u32 = 0x3_0000;

const CODE: usize = 0x40;
const LITERALS: usize = 0x100;
const FIRST_TABLE: u32 = 0x400;
const SECOND_TABLE: u32 = 0x2400;

/// What it does after its table.
pub(super) enum Then {
    /// Branches to itself.
    Hang,
    /// Sends back each byte it receives; its table must have started the UART.
    Echo,
}

/// A store the firmware does.
pub(super) type Store = (u32, u32);

/// The whole flash with the firmware in it.
pub(super) fn firmware(first: &[Store], second: &[Store], then: &Then) -> Vec<u8> {
    let mut image = vec![0xFF; FLASH_BYTES];
    let handlers = (2..16).map(|_| CODE as u32 | 1);
    words(
        &mut image,
        0,
        [0x2000_4000, CODE as u32 | 1].into_iter().chain(handlers),
    );
    let start = [
        load(0, 0, 0), //       ldr   r0, =MARKER
        0x6801,        //       ldr   r1, [r0]
        load(2, 0, 1), //       ldr   r0, =FIRST_TABLE
        0x1C49,        //       adds  r1, r1, #1
        0xD000,        //       beq   next
        load(5, 0, 2), //       ldr   r0, =SECOND_TABLE
        0xC806,        // next: ldmia r0!, {r1, r2}
        0x2900,        //       cmp   r1, #0
        0xD001,        //       beq   then
        0x600A,        //       str   r2, [r1]
        0xE7FA,        //       b     next
    ];
    let echo = [
        load(11, 4, 3), // then: ldr   r4, =0x40002100
        load(12, 5, 4), //       ldr   r5, =0x40002500
        0x68A1,         // wait: ldr   r1, [r4, #8]     ; RXDRDY
        0x2900,         //       cmp   r1, #0
        0xD0FC,         //       beq   wait
        0x2100,         //       movs  r1, #0
        0x60A1,         //       str   r1, [r4, #8]
        0x69A9,         //       ldr   r1, [r5, #0x18]  ; RXD
        0x61E9,         //       str   r1, [r5, #0x1c]  ; TXD
        0xE7F7,         //       b     wait
    ];
    let hang = [0xE7FE]; // then: b     then
    let then: &[u16] = match then {
        Then::Hang => &hang,
        Then::Echo => &echo,
    };
    for (at, halfword) in start.iter().chain(then).enumerate() {
        image[CODE + 2 * at..][..2].copy_from_slice(&halfword.to_le_bytes());
    }
    let literals = [MARKER, FIRST_TABLE, SECOND_TABLE, 0x4000_2100, 0x4000_2500];
    words(&mut image, LITERALS, literals);
    for (at, table) in [(FIRST_TABLE, first), (SECOND_TABLE, second)] {
        let stores = table.iter().flat_map(|&(address, value)| [address, value]);
        words(&mut image, at as usize, stores.chain([0, 0]));
    }
    image
}

/// `ldr r<register>, [pc, ...]` as halfword `at` of the code, loading literal number `literal`.
fn load(at: usize, register: u16, literal: usize) -> u16 {
    let pc = (CODE + 2 * at + 4) & !3;
    0x4800 | register << 8 | ((LITERALS + 4 * literal - pc) / 4) as u16
}

fn words(image: &mut [u8], at: usize, words: impl IntoIterator<Item = u32>) {
    for (place, word) in image[at..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// Erase the page at `address`, leaving programming enabled.
pub(super) fn erase(address: u32) -> [Store; 3] {
    [
        (NVMC_CONFIG, 2),
        (NVMC_ERASEPAGE, address),
        (NVMC_CONFIG, 1),
    ]
}

/// Switch the UART on, transmitter running.
pub(super) fn transmitter() -> [Store; 2] {
    [(UART_ENABLE, 4), (UART_STARTTX, 1)]
}
