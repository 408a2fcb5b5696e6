//! Loads and stores that go neither to RAM nor read flash: writes to flash, peripherals, the core's own registers.

use crate::chip::Peripheral;
use crate::chip::gpio::Gpio;
use crate::chip::information::{FICR, UICR};
use crate::chip::nvic::{APPLICATION_INTERRUPT, requests_reset};
use crate::chip::nvmc::{ERASE_CYCLES, Erase, Nvmc, PROGRAM_CYCLES};
use crate::chip::uart::{Uart, Written};
use crate::cpu::{PC, Sleep};
use crate::execute::Abort;
use crate::machine::Machine;
use crate::memo::{NVMC_READY, WATCHDOG_RELOAD};
use crate::world::{Go, Operation, ResetCause, Stop, Timing, World};
use crate::{FLASH_BYTES, PAGE_BYTES};

const SYSTICK: std::ops::Range<u32> = 0xE000_E010..0xE000_E020;
const VECTOR_TABLE_OFFSET: u32 = 0xE000_ED08;

/// The part of the chip that answers at an address beyond RAM and flash.
enum Place {
    Ficr(u32),
    Uicr(u32),
    /// An identifier and an offset.
    Peripheral(u32, u32),
    Gpio(u32),
    /// The private peripheral bus, by address.
    Private,
}

fn place(address: u32) -> Option<Place> {
    Some(match address {
        FICR..0x1000_1000 => Place::Ficr(address - FICR),
        UICR..0x1000_2000 => Place::Uicr(address - UICR),
        0x4000_0000..0x4002_0000 => Place::Peripheral(address >> 12 & 0x1F, address & 0xFFF),
        0x5000_0000..0x5000_1000 => Place::Gpio(address & 0xFFF),
        0xE000_0000..0xE010_0000 | 0xF000_0000..0xF000_1000 => Place::Private,
        _ => return None,
    })
}

impl Machine {
    /// A load of the core that the fast path has not served.
    #[cold]
    #[inline(never)]
    pub(crate) fn load_beyond(
        &mut self,
        world: &mut dyn World,
        address: u32,
        bytes: u32,
    ) -> Result<u32, Abort> {
        self.take_time_back();
        self.effects += u64::from(address != NVMC_READY);
        self.read(world, address, bytes)
    }

    /// Reads `bytes` (1, 2 or 4) at `address`, a multiple of them, beyond RAM and flash.
    pub(crate) fn read(
        &mut self,
        world: &mut dyn World,
        address: u32,
        bytes: u32,
    ) -> Result<u32, Abort> {
        let place = place(address & !3).ok_or(Abort::Fault)?;
        // The core's registers are words, and a narrower access is unpredictable.
        if bytes != 4 && matches!(place, Place::Private) {
            return Err(Abort::Fault);
        }
        let word = self.read_place(world, &place, address & !3);
        let shifted = word >> (8 * (address & 3));
        Ok(match bytes {
            1 => shifted & 0xFF,
            2 => shifted & 0xFFFF,
            _ => shifted,
        })
    }

    fn read_place(&mut self, world: &mut dyn World, place: &Place, address: u32) -> u32 {
        let now = self.now;
        let chip = &mut self.chip;
        let read = match *place {
            Place::Ficr(offset) => Some(chip.information.ficr(offset)),
            Place::Uicr(offset) => Some(chip.information.uicr(offset)),
            Place::Gpio(offset) => chip.gpio.read(offset),
            Place::Private if SYSTICK.contains(&address) => {
                world.not_on_silicon("SysTick");
                Some(0)
            }
            Place::Private if address == VECTOR_TABLE_OFFSET => {
                world.not_on_silicon("VTOR");
                Some(0)
            }
            Place::Private => chip.nvic.read(address, self.cpu.exception),
            Place::Peripheral(identifier, offset) => match Peripheral::of(identifier) {
                Some(Peripheral::PowerAndClock) => chip.power.read(offset, now),
                Some(Peripheral::Uart) => {
                    // Taking a byte makes room for another. No other read brings about anything.
                    if Uart::is_rxd(offset) {
                        self.deadline = 0;
                    }
                    chip.uart.read(offset)
                }
                Some(Peripheral::Timer(index)) => chip.timers[index].read(offset, now),
                Some(Peripheral::Rng) => chip.rng.read(offset, now),
                Some(Peripheral::Watchdog) => chip.watchdog.read(offset),
                Some(Peripheral::Nvmc) => chip.nvmc.read(offset),
                None => None,
            },
        };
        read.unwrap_or_else(|| {
            world.not_emulated(address);
            0
        })
    }

    /// A store of the core that the fast path has not served.
    #[cold]
    #[inline(never)]
    pub(crate) fn store_beyond(
        &mut self,
        world: &mut dyn World,
        address: u32,
        value: u32,
        bytes: u32,
    ) -> Result<(), Abort> {
        self.attend_next();
        self.take_time_back();
        self.effects += u64::from(address != WATCHDOG_RELOAD);
        // While the world looks, the core is at the instruction that stores: all of those have 16 bits.
        let next = self.cpu.r[PC];
        self.cpu.r[PC] = next.wrapping_sub(2);
        self.write(world, address, value, bytes)?;
        self.cpu.r[PC] = next;
        Ok(())
    }

    /// Writes `bytes` (1, 2 or 4) at `address`, a multiple of them, beyond RAM.
    pub(crate) fn write(
        &mut self,
        world: &mut dyn World,
        address: u32,
        value: u32,
        bytes: u32,
    ) -> Result<(), Abort> {
        if (address as usize) < FLASH_BYTES {
            return self.write_flash(world, address, value, bytes);
        }
        let place = place(address & !3).ok_or(Abort::Fault)?;
        // A narrow store puts its value on all lanes of the bus, and peripherals take the whole word.
        let word = match bytes {
            1 => (value & 0xFF) * 0x0101_0101,
            2 => (value & 0xFFFF) * 0x0001_0001,
            _ => value,
        };
        let address = address & !3;
        match place {
            // Written in the factory.
            Place::Ficr(_) => Ok(()),
            Place::Uicr(offset) => self.write_uicr(world, offset, value, bytes),
            Place::Gpio(offset) => {
                if !self.chip.gpio.write(offset, word) {
                    world.not_emulated(address);
                } else if Gpio::writes_outputs(offset) {
                    let outputs = self.chip.gpio.outputs();
                    let go = world.pins(word, outputs, &self.view());
                    self.note_looks(world);
                    self.obey(go);
                }
                Ok(())
            }
            Place::Private if bytes != 4 => Err(Abort::Fault),
            Place::Private => self.write_private(world, address, word),
            Place::Peripheral(identifier, offset) => {
                self.write_peripheral(world, Peripheral::of(identifier), offset, address, word)
            }
        }
    }

    fn write_peripheral(
        &mut self,
        world: &mut dyn World,
        peripheral: Option<Peripheral>,
        offset: u32,
        address: u32,
        value: u32,
    ) -> Result<(), Abort> {
        let now = self.now;
        let chip = &mut self.chip;
        let known = match peripheral {
            Some(Peripheral::Uart) if Uart::is_txd(offset) => {
                if chip.uart.transmit(value as u8, now) == Written::Sent {
                    let go = world.byte_sent(value as u8, &self.view());
                    self.note_looks(world);
                    self.obey(go);
                }
                true
            }
            Some(Peripheral::Uart) => chip.uart.write(offset, value),
            Some(Peripheral::Nvmc) => match chip.nvmc.erase(offset, value) {
                Some(erase) => return self.erase(world, erase),
                None if Nvmc::is_erase(offset) => {
                    world.not_written(address, &self.view());
                    true
                }
                None => chip.nvmc.write(offset, value),
            },
            Some(Peripheral::PowerAndClock) => {
                let known = chip.power.write(offset, value, now);
                if chip.power.is_off() {
                    self.cpu.sleep = Sleep::Off;
                }
                known
            }
            Some(Peripheral::Timer(index)) => chip.timers[index].write(offset, value, now),
            Some(Peripheral::Rng) => chip.rng.write(offset, value, now),
            Some(Peripheral::Watchdog) => chip.watchdog.write(offset, value, now),
            None => false,
        };
        if !known {
            world.not_emulated(address);
        }
        Ok(())
    }

    fn write_private(
        &mut self,
        world: &mut dyn World,
        address: u32,
        value: u32,
    ) -> Result<(), Abort> {
        if SYSTICK.contains(&address) {
            world.not_on_silicon("SysTick");
        } else if address == VECTOR_TABLE_OFFSET {
            world.not_on_silicon("VTOR");
        } else if address == APPLICATION_INTERRUPT && requests_reset(value) {
            self.reset_by(world, ResetCause::Software);
            return Err(Abort::Reset);
        } else if !self.chip.nvic.write(address, value) {
            world.not_emulated(address);
        }
        Ok(())
    }

    /// Whether the controller lets a store to flash or UICR through. The bus takes words only.
    fn lets_through(&self, world: &mut dyn World, address: u32, bytes: u32) -> Result<bool, Abort> {
        if bytes != 4 {
            return Err(Abort::Fault);
        }
        let enabled = self.chip.nvmc.write_enabled();
        if !enabled {
            world.not_written(address, &self.view());
        }
        Ok(enabled)
    }

    fn write_flash(
        &mut self,
        world: &mut dyn World,
        address: u32,
        value: u32,
        bytes: u32,
    ) -> Result<(), Abort> {
        if !self.lets_through(world, address, bytes)? {
            return Ok(());
        }
        let before = self.memory.flash_word(address);
        self.operate(
            world,
            Operation::Program {
                address,
                before,
                value,
            },
            PROGRAM_CYCLES,
        )
    }

    fn write_uicr(
        &mut self,
        world: &mut dyn World,
        offset: u32,
        value: u32,
        bytes: u32,
    ) -> Result<(), Abort> {
        if self.lets_through(world, UICR + offset, bytes)? {
            self.chip.information.program_uicr(offset, value);
            self.stand_still(PROGRAM_CYCLES);
        }
        Ok(())
    }

    fn erase(&mut self, world: &mut dyn World, erase: Erase) -> Result<(), Abort> {
        match erase {
            Erase::Page(address) => self.operate(world, Operation::Erase { address }, ERASE_CYCLES),
            Erase::Uicr => {
                self.chip.information.erase_uicr();
                self.stand_still(ERASE_CYCLES);
                Ok(())
            }
            Erase::All => {
                for address in (0..FLASH_BYTES as u32).step_by(PAGE_BYTES) {
                    self.operate(world, Operation::Erase { address }, 0)?;
                }
                self.chip.information.erase_uicr();
                self.stand_still(ERASE_CYCLES);
                Ok(())
            }
        }
    }

    /// Changes flash, if the world agrees.
    fn operate(
        &mut self,
        world: &mut dyn World,
        operation: Operation,
        takes: u64,
    ) -> Result<(), Abort> {
        let go = world.operation(operation, &self.view());
        self.note_looks(world);
        if go == Go::StopBefore {
            self.stop(Stop::World);
            return Err(Abort::Stopped);
        }
        match operation {
            Operation::Program { address, value, .. } => self.memory.program(address, value),
            Operation::Erase { address } => self.memory.erase(address),
        }
        self.stand_still(takes);
        self.meet_world(world);
        world.operation_done(operation, &self.view());
        self.obey(go);
        Ok(())
    }

    /// The CPU stands still for the time of a flash operation.
    fn stand_still(&mut self, cycles: u64) {
        if self.timing == Timing::Silicon {
            self.now += cycles;
        }
    }

    /// Stops the machine if the world says so of an event that has happened.
    pub(crate) fn obey(&mut self, go: Go) {
        if go != Go::On {
            self.stop(Stop::World);
        }
    }
}
