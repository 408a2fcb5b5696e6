//! Peripheral registers as values: the one place where they are read and written.

/// A 32-bit register of a peripheral.
#[derive(Clone, Copy)]
pub(crate) struct Register(u32);

impl Register {
    /// The register at `base + offset`, which must be one of this chip's: every call is a constant of this crate,
    /// copied from the reference manual.
    pub(crate) const fn at(base: u32, offset: u32) -> Self {
        assert!(
            base >= 0x4000_0000 && (base + offset).is_multiple_of(4),
            "peripherals start at 0x4000_0000 and their registers are whole words"
        );
        Self(base + offset)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: `at` is only given addresses of readable registers, aligned and always mapped; a volatile
        // read of one has no effect on memory.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as above; no register this crate writes makes the chip write memory by itself (there is no DMA
        // in use), and flash is written in `flash` only.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }

    /// Whether the event or status in this register is set.
    pub(crate) fn is_set(self) -> bool {
        self.read() != 0
    }

    /// Starts the task in this register.
    pub(crate) fn trigger(self) {
        self.write(1);
    }
}
