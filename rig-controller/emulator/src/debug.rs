//! The machine as a debugger sees it: registers, and the bus past the core.

use crate::cpu::{PC, SP, Sleep};
use crate::execute::Abort;
use crate::machine::Machine;
use crate::world::World;

/// How wide a transfer on the bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Halfword,
    /// 32 bits.
    Word,
}

impl Width {
    /// Bytes of a transfer.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Byte => 1,
            Self::Halfword => 2,
            Self::Word => 4,
        }
    }
}

/// A transfer on the bus has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The address is not a multiple of the width.
    #[error("{address:#010x} is not a multiple of the {} bytes of the transfer", .width.bytes())]
    NotAligned {
        /// The address of the transfer.
        address: u32,
        /// Its width.
        width: Width,
    },
    /// Neither memory nor register answers, or not to a transfer of this width.
    #[error("nothing answers a transfer of {} bytes at {address:#010x}", .width.bytes())]
    NoAnswer {
        /// The address of the transfer.
        address: u32,
        /// Its width.
        width: Width,
    },
    /// The world has stopped the machine before the flash operation that the transfer begins.
    #[error("the flash operation at {address:#010x} was stopped before it took effect")]
    Stopped {
        /// The address of the transfer.
        address: u32,
    },
}

impl Machine {
    /// With a debugger attached, a BKPT instruction stops the machine; without one it faults, as on a board in the field.
    pub fn attach_debugger(&mut self, attached: bool) {
        self.debugger = attached;
    }

    /// R0 to R12, SP, LR and the address of the next instruction.
    pub fn registers(&self) -> &[u32; 16] {
        &self.cpu.r
    }

    /// Sets R0 to R12, SP (13), LR (14) or the address of the next instruction (15); the last ends a sleep.
    ///
    /// # Panics
    /// When there is no such register.
    pub fn set_register(&mut self, register: usize, value: u32) {
        self.cpu.r[register] = match register {
            SP => value & !3,
            PC => value & !1,
            _ => value,
        };
        if register == PC {
            self.cpu.sleep = Sleep::Awake;
        }
    }

    /// Flags, Thumb bit and exception number, as xPSR shows them.
    pub fn xpsr(&self) -> u32 {
        self.cpu.xpsr()
    }

    /// Sets flags and Thumb bit.
    pub fn set_xpsr(&mut self, value: u32) {
        self.cpu.set_apsr(value);
        self.cpu.thumb = value >> 24 & 1 == 1;
    }

    /// The main stack pointer, whether it is in use or not.
    pub fn main_sp(&self) -> u32 {
        self.cpu.main_sp()
    }

    /// The process stack pointer, whether it is in use or not.
    pub fn process_sp(&self) -> u32 {
        self.cpu.process_sp()
    }

    /// Whether interrupts are masked.
    pub fn primask(&self) -> bool {
        self.cpu.primask
    }

    /// Masks interrupts, or lets them through.
    pub fn set_primask(&mut self, masked: bool) {
        self.cpu.primask = masked;
    }

    /// CONTROL: bit 1 says that the process stack is in use.
    pub fn control(&self) -> u32 {
        u32::from(self.cpu.process_stack) << 1
    }

    /// Reads memory or a register, with the effects that a load of the core has.
    pub fn bus_read(
        &mut self,
        world: &mut dyn World,
        address: u32,
        width: Width,
    ) -> Result<u32, BusError> {
        if !address.is_multiple_of(width.bytes()) {
            return Err(BusError::NotAligned { address, width });
        }
        let found = match width {
            Width::Byte => self.memory.load::<1>(address),
            Width::Halfword => self.memory.load::<2>(address),
            Width::Word => self.memory.load::<4>(address),
        };
        match found {
            Some(value) => Ok(value),
            None => self
                .read(world, address, width.bytes())
                .map_err(|_| BusError::NoAnswer { address, width }),
        }
    }

    /// Writes memory or a register, with the effects that a store of the core has: flash is programmed only while its
    /// controller lets words through.
    pub fn bus_write(
        &mut self,
        world: &mut dyn World,
        address: u32,
        value: u32,
        width: Width,
    ) -> Result<(), BusError> {
        if !address.is_multiple_of(width.bytes()) {
            return Err(BusError::NotAligned { address, width });
        }
        let stored = match width {
            Width::Byte => self.memory.store::<1>(address, value),
            Width::Halfword => self.memory.store::<2>(address, value),
            Width::Word => self.memory.store::<4>(address, value),
        };
        if stored {
            return Ok(());
        }
        match self.write(world, address, value, width.bytes()) {
            Ok(()) | Err(Abort::Reset) => Ok(()),
            Err(Abort::Fault) => Err(BusError::NoAnswer { address, width }),
            Err(Abort::Stopped) => Err(BusError::Stopped { address }),
        }
    }
}
