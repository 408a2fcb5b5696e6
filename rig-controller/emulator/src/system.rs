//! Instructions that are executed seldom: special registers, masks, sleep, breakpoints, calls of the supervisor.

use crate::chip::nvic::{HARD_FAULT, SV_CALL};
use crate::cpu::{PC, Sleep};
use crate::decode::{Instruction, Kind};
use crate::execute::Abort;
use crate::machine::Machine;
use crate::world::{Stop, Trap};

const PRIMASK: u32 = 16;
const CONTROL: u32 = 20;

impl Machine {
    #[cold]
    #[inline(never)]
    pub(crate) fn execute_rare(&mut self, i: Instruction) -> Result<(), Abort> {
        self.effects += 1;
        match i.kind {
            Kind::Sev => self.cpu.event = true,
            Kind::Wfe => {
                // An event that has come already ends the sleep before it begins.
                if !std::mem::take(&mut self.cpu.event) {
                    self.fall_asleep(Sleep::ForEvent);
                }
            }
            Kind::Wfi => self.fall_asleep(Sleep::ForInterrupt),
            Kind::Cps => {
                self.cpu.primask = i.a == 1;
                self.attend_next();
            }
            Kind::Bkpt => return self.breakpoint(i.value as u8),
            Kind::Trap => {
                let pc = self.cpu.r[PC].wrapping_sub(2);
                self.stop(Stop::Trapped {
                    pc,
                    by: Trap::Breakpoint,
                });
                return Err(Abort::Stopped);
            }
            Kind::Svc => self.call_supervisor(),
            Kind::Mrs => {
                let value = self.special_register(i.value);
                self.cpu.set(i.a, value);
                self.cpu.r[PC] = self.cpu.r[PC].wrapping_add(2);
            }
            Kind::Msr => {
                self.set_special_register(i.value, self.cpu.get(i.b));
                self.cpu.r[PC] = self.cpu.r[PC].wrapping_add(2);
            }
            // To a multiple of 4, so without the Thumb bit.
            Kind::BxPc => self.jump(i.value & !3),
            _ => return Err(Abort::Fault),
        }
        Ok(())
    }

    pub(crate) fn fall_asleep(&mut self, sleep: Sleep) {
        self.cpu.sleep = sleep;
        self.attend_next();
    }

    fn breakpoint(&mut self, number: u8) -> Result<(), Abort> {
        if !self.debugger {
            return Err(Abort::Fault);
        }
        let pc = self.cpu.r[PC].wrapping_sub(2);
        self.stop(Stop::Breakpoint { pc, number });
        Err(Abort::Stopped)
    }

    fn call_supervisor(&mut self) {
        let next = self.cpu.r[PC];
        let nvic = &self.chip.nvic;
        let exception = if nvic.priority(SV_CALL) < nvic.execution_priority(self.cpu.primask) {
            SV_CALL
        } else {
            HARD_FAULT
        };
        self.enter(exception, next);
    }

    fn special_register(&self, number: u32) -> u32 {
        let cpu = &self.cpu;
        match number {
            // Combinations of APSR, IPSR and EPSR, of which the last reads as zero.
            0..=7 => {
                let flags = if number & 4 == 0 { cpu.apsr() } else { 0 };
                let exception = if number & 1 == 1 { cpu.exception } else { 0 };
                flags | u32::from(exception)
            }
            8 => cpu.main_sp(),
            9 => cpu.process_sp(),
            PRIMASK => cpu.primask.into(),
            CONTROL => u32::from(cpu.process_stack) << 1,
            _ => 0,
        }
    }

    fn set_special_register(&mut self, number: u32, value: u32) {
        let cpu = &mut self.cpu;
        match number {
            0..=3 => cpu.set_apsr(value),
            8 => cpu.set_main_sp(value),
            9 => cpu.set_process_sp(value),
            PRIMASK => {
                cpu.primask = value & 1 == 1;
                self.attend_next();
            }
            // Handlers always use the main stack. A Cortex-M0 has no unprivileged mode, so bit 0 is not there.
            CONTROL if cpu.exception == 0 => cpu.use_process_stack(value & 2 != 0),
            _ => {}
        }
    }
}
