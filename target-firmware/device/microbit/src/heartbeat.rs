//! Signs of life and of distress: LEDs of the matrix's first column, on row pins P0.13 and P0.14.

use crate::register::Register;

const ROW_PIN: u32 = 13;
const DISTRESS_ROW_PIN: u32 = 14;
const COLUMN_PIN: u32 = 4;

const GPIO: u32 = 0x5000_0000;
const OUT_SET: Register = Register::at(GPIO, 0x508);
const OUT_CLEAR: Register = Register::at(GPIO, 0x50C);
const ROW_CONFIG: Register = Register::at(GPIO, 0x700 + 4 * ROW_PIN);
const DISTRESS_ROW_CONFIG: Register = Register::at(GPIO, 0x700 + 4 * DISTRESS_ROW_PIN);
const COLUMN_CONFIG: Register = Register::at(GPIO, 0x700 + 4 * COLUMN_PIN);
const OUTPUT: u32 = 1 | 1 << 1;

/// The pin that toggles while the application is alive.
pub struct Heartbeat {
    lit: bool,
}

impl Heartbeat {
    pub(crate) fn start() -> Self {
        OUT_CLEAR.write(1 << ROW_PIN | 1 << COLUMN_PIN);
        ROW_CONFIG.write(OUTPUT);
        COLUMN_CONFIG.write(OUTPUT);
        Self { lit: false }
    }

    /// Changes the pin's level.
    pub fn toggle(&mut self) {
        self.lit = !self.lit;
        if self.lit { OUT_SET } else { OUT_CLEAR }.write(1 << ROW_PIN);
    }
}

/// Lights the LED that says: nothing runs here, and somebody has to come.
pub fn signal_distress() {
    OUT_CLEAR.write(1 << COLUMN_PIN);
    OUT_SET.write(1 << DISTRESS_ROW_PIN);
    COLUMN_CONFIG.write(OUTPUT);
    DISTRESS_ROW_CONFIG.write(OUTPUT);
}
