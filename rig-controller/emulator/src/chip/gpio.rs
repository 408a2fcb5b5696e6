//! The 32 pins: levels that the firmware drives, and levels that it reads.

const OUT: u32 = 0x504;
const OUT_SET: u32 = 0x508;
const OUT_CLEAR: u32 = 0x50C;
const IN: u32 = 0x510;
const DIRECTION: u32 = 0x514;
const DIRECTION_SET: u32 = 0x518;
const DIRECTION_CLEAR: u32 = 0x51C;
const PIN_CONFIG: std::ops::Range<u32> = 0x700..0x780;

/// Bits of a pin's configuration.
const OUTPUT: u32 = 1;
const INPUT_DISCONNECTED: u32 = 1 << 1;
const PULL_SHIFT: u32 = 2;
const PULLED_UP: u32 = 3;
/// Bits of a pin's configuration that there are.
const CONFIG_BITS: u32 = 0x0003_070F;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gpio {
    out: u32,
    /// Without direction, which is in `direction`.
    config: [u32; 32],
    direction: u32,
    /// Pins that something outside drives, and to which level.
    driven: u32,
    levels: u32,
}

impl Gpio {
    pub(crate) fn new() -> Self {
        Self {
            out: 0,
            config: [INPUT_DISCONNECTED; 32],
            direction: 0,
            driven: 0,
            levels: 0,
        }
    }

    /// Takes over what is outside the chip.
    pub(crate) fn keep(&mut self, before: &Self) {
        self.driven = before.driven;
        self.levels = before.levels;
    }

    /// From now on the pins of `driven` are at the level of their bit in `levels`, the others open.
    pub(crate) fn drive(&mut self, driven: u32, levels: u32) {
        self.driven = driven;
        self.levels = levels;
    }

    /// The register of output levels.
    pub(crate) fn outputs(&self) -> u32 {
        self.out
    }

    /// The levels that the firmware reads.
    fn inputs(&self) -> u32 {
        (0..32).fold(0, |inputs, pin| {
            inputs | u32::from(self.reads_high(pin)) << pin
        })
    }

    fn reads_high(&self, pin: usize) -> bool {
        let config = self.config[pin];
        let bit = |word: u32| word >> pin & 1 == 1;
        if config & INPUT_DISCONNECTED != 0 {
            false
        } else if bit(self.direction) {
            bit(self.out)
        } else if bit(self.driven) {
            bit(self.levels)
        } else {
            config >> PULL_SHIFT & 3 == PULLED_UP
        }
    }

    pub(crate) fn read(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            OUT | OUT_SET | OUT_CLEAR => self.out,
            IN => self.inputs(),
            DIRECTION | DIRECTION_SET | DIRECTION_CLEAR => self.direction,
            offset if PIN_CONFIG.contains(&offset) => {
                let pin = (offset - PIN_CONFIG.start) / 4;
                self.config[pin as usize] | self.direction >> pin & 1
            }
            _ => return None,
        })
    }

    /// Whether a write to this register writes output levels.
    pub(crate) fn writes_outputs(offset: u32) -> bool {
        matches!(offset, OUT | OUT_SET | OUT_CLEAR)
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) -> bool {
        match offset {
            OUT => self.out = value,
            OUT_SET => self.out |= value,
            OUT_CLEAR => self.out &= !value,
            IN => {}
            DIRECTION => self.direction = value,
            DIRECTION_SET => self.direction |= value,
            DIRECTION_CLEAR => self.direction &= !value,
            offset if PIN_CONFIG.contains(&offset) => {
                let pin = (offset - PIN_CONFIG.start) / 4;
                self.config[pin as usize] = value & CONFIG_BITS & !OUTPUT;
                self.direction = self.direction & !(1 << pin) | (value & OUTPUT) << pin;
            }
            _ => return false,
        }
        true
    }
}
