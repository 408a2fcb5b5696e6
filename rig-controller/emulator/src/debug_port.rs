//! The debug port of the chip: the registers by which a debugger halts, steps and looks into the core, and its way past the
//! core to memory.
//!
//! Registers are those of a Cortex-M0 with halting debug, four breakpoint comparators and vector catch (ARMv6-M Architecture
//! Reference Manual, part C1), and the ROM tables that lead to them. A debugger that leaves the port disabled changes nothing
//! in how the core runs. While the core is halted, time stands still.

use crate::Cycles;
use crate::cpu::Sleep;
use crate::debug::{BusError, Width};
use crate::machine::Machine;
use crate::traps::Traps;
use crate::world::{Stop, Trap, World};

mod identification;

/// Where the first of the tables is that say what is on the bus.
pub const ROM_TABLE: u32 = identification::CHIP;

/// Addresses of registers.
const BREAKPOINT_CONTROL: u32 = 0xE000_2000;
const COMPARATORS: std::ops::Range<u32> = 0xE000_2008..0xE000_2018;
const DEBUG_FAULT_STATUS: u32 = 0xE000_ED30;
const HALTING_CONTROL: u32 = 0xE000_EDF0;
const REGISTER_SELECTOR: u32 = 0xE000_EDF4;
const REGISTER_DATA: u32 = 0xE000_EDF8;
const EXCEPTION_CONTROL: u32 = 0xE000_EDFC;

/// In the halting control and status register, as it is written.
const DEBUG_KEY: u32 = 0xA05F_0000;
const DEBUG_ENABLE: u32 = 1;
const HALT: u32 = 1 << 1;
const STEP: u32 = 1 << 2;
const MASK_INTERRUPTS: u32 = 1 << 3;
/// And as it is read.
const REGISTER_READY: u32 = 1 << 16;
const HALTED: u32 = 1 << 17;
const ASLEEP: u32 = 1 << 18;
const LOCKED_UP: u32 = 1 << 19;
const RETIRED: u32 = 1 << 24;
const WAS_RESET: u32 = 1 << 25;

/// In the debug fault status register.
const BY_REQUEST: u32 = 1;
const BY_BREAKPOINT: u32 = 1 << 1;
const BY_CATCH: u32 = 1 << 3;

/// In the exception control register.
const CATCH_RESET: u32 = 1;
const CATCH_HARD_FAULT: u32 = 1 << 10;
const TRACE_ENABLE: u32 = 1 << 24;

/// In the selector of a register: it is written.
const WRITE: u32 = 1 << 16;

/// In the control register of the comparators.
const UNIT_ENABLE: u32 = 1;
const UNIT_KEY: u32 = 1 << 1;
const FOUR_COMPARATORS: u32 = 4 << 4;

/// The state of the port; the core is a [`Machine`] that every call names.
#[derive(Clone, Debug, Default)]
pub struct DebugPort {
    enabled: bool,
    halted: bool,
    masks_interrupts: bool,
    data: u32,
    exception_control: u32,
    fault_status: u32,
    unit_enabled: bool,
    comparators: [u32; 4],
    /// Instructions and resets of the machine when a debugger looked last.
    instructions_seen: u64,
    resets_seen: u64,
}

impl DebugPort {
    /// A port that no debugger has enabled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the core stands still for the debugger.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Lets the core run up to `until`, or until it halts or the world stops it; nothing happens while it is halted. A core
    /// that sleeps for good or has locked up lets the time pass.
    pub fn run(&mut self, machine: &mut Machine, world: &mut dyn World, until: Cycles) {
        while !self.halted && machine.now() < until {
            let stop = machine.run(world, until);
            self.stopped(machine, stop, until);
            if stop == Stop::World {
                return;
            }
        }
    }

    /// Reads memory, or a register of chip or port.
    pub fn read(
        &mut self,
        machine: &mut Machine,
        world: &mut dyn World,
        address: u32,
        width: Width,
    ) -> Result<u32, BusError> {
        if width == Width::Word
            && let Some(value) = self.read_register(machine, address)
        {
            return Ok(value);
        }
        machine.bus_read(world, address, width)
    }

    /// Writes memory, or a register of chip or port.
    pub fn write(
        &mut self,
        machine: &mut Machine,
        world: &mut dyn World,
        address: u32,
        value: u32,
        width: Width,
    ) -> Result<(), BusError> {
        if width == Width::Word && self.write_register(machine, world, address, value) {
            return Ok(());
        }
        let resets = machine.resets();
        machine.bus_write(world, address, value, width)?;
        if machine.resets() != resets {
            self.after_reset(machine, world);
        }
        Ok(())
    }

    /// The debugger has reset the chip: the core runs, unless the reset is to be caught.
    fn after_reset(&mut self, machine: &mut Machine, world: &mut dyn World) {
        self.halted = false;
        let now = machine.now();
        let stop = machine.run(world, now);
        self.stopped(machine, stop, now);
    }

    fn read_register(&mut self, machine: &Machine, address: u32) -> Option<u32> {
        Some(match address {
            HALTING_CONTROL => self.status(machine),
            // The selector cannot be read.
            REGISTER_SELECTOR => 0,
            REGISTER_DATA => self.data,
            EXCEPTION_CONTROL => self.exception_control,
            DEBUG_FAULT_STATUS => self.fault_status,
            BREAKPOINT_CONTROL => FOUR_COMPARATORS | u32::from(self.unit_enabled),
            address if COMPARATORS.contains(&address) => self.comparators[comparator(address)],
            address => return identification::word(address),
        })
    }

    fn status(&mut self, machine: &Machine) -> u32 {
        let retired = machine.instructions() != self.instructions_seen;
        let was_reset = machine.resets() != self.resets_seen;
        self.instructions_seen = machine.instructions();
        self.resets_seen = machine.resets();
        let runs = !self.halted;
        [
            (self.enabled, DEBUG_ENABLE),
            (self.halted, HALT | HALTED),
            (self.masks_interrupts, MASK_INTERRUPTS),
            (true, REGISTER_READY),
            (runs && machine.is_asleep(), ASLEEP),
            (runs && machine.locked_up().is_some(), LOCKED_UP),
            (retired, RETIRED),
            (was_reset, WAS_RESET),
        ]
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .fold(0, |status, (_, bits)| status | bits)
    }

    /// Whether there is such a register of the port.
    fn write_register(
        &mut self,
        machine: &mut Machine,
        world: &mut dyn World,
        address: u32,
        value: u32,
    ) -> bool {
        match address {
            HALTING_CONTROL if value & 0xFFFF_0000 == DEBUG_KEY => {
                self.control(machine, world, value);
            }
            REGISTER_SELECTOR if self.halted => self.transfer(machine, value),
            REGISTER_DATA => self.data = value,
            EXCEPTION_CONTROL => {
                self.exception_control = value & (CATCH_RESET | CATCH_HARD_FAULT | TRACE_ENABLE);
            }
            // Bits are cleared by ones.
            DEBUG_FAULT_STATUS => self.fault_status &= !value,
            BREAKPOINT_CONTROL if value & UNIT_KEY != 0 => {
                self.unit_enabled = value & UNIT_ENABLE != 0;
            }
            // Without its key, or while the core runs.
            HALTING_CONTROL | REGISTER_SELECTOR | BREAKPOINT_CONTROL => {}
            address if COMPARATORS.contains(&address) => {
                self.comparators[comparator(address)] = value;
            }
            _ => return false,
        }
        self.set_traps(machine);
        true
    }

    /// The machine stops where the registers say.
    fn set_traps(&self, machine: &mut Machine) {
        machine.attach_debugger(self.enabled);
        let catches = |bit| self.enabled && self.exception_control & bit != 0;
        machine.set_traps(Traps {
            hard_fault: catches(CATCH_HARD_FAULT),
            reset: catches(CATCH_RESET),
            masks_interrupts: self.enabled && self.masks_interrupts,
        });
        let addresses: Vec<u32> = if self.enabled && self.unit_enabled {
            self.comparators.into_iter().flat_map(matches).collect()
        } else {
            Vec::new()
        };
        machine.set_breakpoints(&addresses);
    }

    fn control(&mut self, machine: &mut Machine, world: &mut dyn World, value: u32) {
        self.enabled = value & DEBUG_ENABLE != 0;
        self.masks_interrupts = value & MASK_INTERRUPTS != 0;
        self.set_traps(machine);
        match (self.enabled && value & HALT != 0, self.halted) {
            (true, false) => self.halt(machine, BY_REQUEST),
            (false, true) => {
                self.halted = false;
                if self.enabled && value & STEP != 0 {
                    self.step(machine, world);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, machine: &mut Machine, world: &mut dyn World) {
        match machine.step(world) {
            // A core that sleeps is not halted by a step that does not end.
            Some(stop @ (Stop::Asleep | Stop::LockUp { .. })) => {
                self.stopped(machine, stop, machine.now());
            }
            None | Some(Stop::World | Stop::Budget) => self.halt(machine, BY_REQUEST),
            Some(stop) => self.stopped(machine, stop, machine.now()),
        }
    }

    fn stopped(&mut self, machine: &mut Machine, stop: Stop, until: Cycles) {
        match stop {
            Stop::Breakpoint { .. }
            | Stop::Trapped {
                by: Trap::Breakpoint,
                ..
            } => self.halt(machine, BY_BREAKPOINT),
            Stop::Trapped { .. } => self.halt(machine, BY_CATCH),
            Stop::Asleep | Stop::LockUp { .. } => machine.pass(until),
            Stop::Budget | Stop::World => {}
        }
    }

    fn halt(&mut self, machine: &mut Machine, why: u32) {
        self.halted = true;
        self.fault_status |= why;
        // Halting ends a sleep.
        if machine.cpu.sleep != Sleep::Off {
            machine.cpu.sleep = Sleep::Awake;
        }
    }

    /// A register of the core goes to the data register, or comes from there.
    fn transfer(&mut self, machine: &mut Machine, selector: u32) {
        let register = selector & 0x1F;
        if selector & WRITE == 0 {
            self.data = machine.core_register(register);
        } else {
            machine.set_core_register(register, self.data);
        }
    }
}

fn comparator(address: u32) -> usize {
    ((address - COMPARATORS.start) / 4) as usize & 3
}

/// The addresses of instructions that a comparator matches.
fn matches(comparator: u32) -> impl Iterator<Item = u32> {
    let word = comparator & 0x1FFF_FFFC;
    let enabled = comparator & 1 == 1;
    [(30, word), (31, word | 2)]
        .into_iter()
        .filter(move |(bit, _)| enabled && comparator >> bit & 1 == 1)
        .map(|(_, address)| address)
}

impl Machine {
    /// The register of the core with this number at the debug port: 0 to 15 as in instructions, then xPSR, the main and the
    /// process stack pointer; 20 is CONTROL in the highest byte and PRIMASK in the lowest. Others read as zero.
    pub fn core_register(&self, number: u32) -> u32 {
        match number {
            0..=15 => self.registers()[number as usize],
            16 => self.xpsr(),
            17 => self.main_sp(),
            18 => self.process_sp(),
            20 => self.control() << 24 | u32::from(self.primask()),
            _ => 0,
        }
    }

    /// Sets the register of the core with this number at the debug port; see [`core_register`](Self::core_register).
    pub fn set_core_register(&mut self, number: u32, value: u32) {
        match number {
            0..=15 => self.set_register(number as usize, value),
            16 => self.set_xpsr(value),
            17 => self.cpu.set_main_sp(value),
            18 => self.cpu.set_process_sp(value),
            20 => {
                self.set_primask(value & 1 == 1);
                // Handlers always use the main stack.
                if self.cpu.exception == 0 {
                    self.cpu.use_process_stack(value >> 25 & 1 == 1);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
