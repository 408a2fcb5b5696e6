//! The devices that can be simulated: a flash geometry with its times, and what else of a part takes time.
use std::fmt;
use std::time::Duration;

use powercut_upgrade::wire::MAX_DOWNLINK_BYTES;

use powercut_explore::FlashPart;

/// The longest datagram, with what the modem says around it.
const LONGEST_ANSWER_BYTES: usize = MAX_DOWNLINK_BYTES + 64;

/// A kind of device. While its flash works its CPU stands still, and what its UART receives meanwhile is kept as far as
/// it has room, and lost beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedPart {
    /// Its name in plans.
    pub name: &'static str,
    /// Pages, units, and whether units may be programmed twice.
    pub geometry: FlashPart,
    /// One page erase.
    pub erase: Duration,
    /// One program of a unit.
    pub program: Duration,
    /// Bytes its UART keeps while the CPU stands still: the FIFO, or a buffer that DMA fills.
    pub uart_bytes: usize,
    /// RAM for fragments that come before their turn, as firmware for it would have it.
    pub held_bytes: usize,
    /// From power or reset to the bootloader's first instruction.
    pub boot: Duration,
    /// Reading and hashing one byte of flash.
    pub hash_a_byte: Duration,
    /// Checking one signature.
    pub signature: Duration,
}

impl SimulatedPart {
    /// All.
    ///
    /// Flash times are the parts' data sheets': nRF51822 PS v3.4 (erase 22.3 ms, word 46.3 us), nRF52840 PS v1.7 (85 ms,
    /// 41 us), STM32L476 DS (page 22.1 ms, double word 81.7 us, typical),
    /// STM32U575 DS (page 1.5 ms, quad word 118 us, typical). Of the nRF51 the signature is what was counted
    /// (15.4 million instructions at 16 MHz); the other CPU times, and all boot times, are assumptions.
    pub const ALL: [Self; 4] = [
        Self {
            name: "nrf51",
            geometry: FlashPart::Nrf51,
            erase: Duration::from_micros(22_300),
            program: Duration::from_nanos(46_300),
            uart_bytes: 6,
            held_bytes: 1_600,
            boot: Duration::from_millis(5),
            hash_a_byte: Duration::from_micros(4),
            signature: Duration::from_secs(1),
        },
        Self {
            name: "nrf52840",
            geometry: FlashPart::Nrf52,
            erase: Duration::from_millis(85),
            program: Duration::from_micros(41),
            uart_bytes: 2_048,
            held_bytes: 8_192,
            boot: Duration::from_millis(5),
            hash_a_byte: Duration::from_nanos(500),
            signature: Duration::from_millis(60),
        },
        Self {
            name: "stm32l4",
            geometry: FlashPart::Stm32l4,
            erase: Duration::from_micros(22_100),
            program: Duration::from_nanos(81_700),
            uart_bytes: 2_048,
            held_bytes: 8_192,
            boot: Duration::from_millis(5),
            hash_a_byte: Duration::from_nanos(400),
            signature: Duration::from_millis(50),
        },
        Self {
            name: "stm32u5",
            geometry: FlashPart::Stm32u5,
            erase: Duration::from_micros(1_500),
            program: Duration::from_micros(118),
            uart_bytes: 2_048,
            held_bytes: 8_192,
            boot: Duration::from_millis(5),
            hash_a_byte: Duration::from_nanos(200),
            signature: Duration::from_millis(20),
        },
    ];

    /// Whether what the modem says while flash works is kept, however long that is: then the next datagram is read from it
    /// meanwhile.
    pub(super) const fn reads_ahead(&self) -> bool {
        self.uart_bytes >= LONGEST_ANSWER_BYTES
    }

    /// Bytes that are programmed at once; fragments are whole units.
    pub const fn unit_bytes(&self) -> u16 {
        self.geometry.facts().unit_bytes() as u16
    }

    /// Pages of flash that hold an image of this size with room for its manifest's slot; at least two.
    pub(super) fn image_pages(&self, image_bytes: u32) -> u16 {
        image_bytes
            .div_ceil(self.geometry.facts().page_bytes())
            .max(2) as u16
    }
}

impl fmt::Display for SimulatedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}
