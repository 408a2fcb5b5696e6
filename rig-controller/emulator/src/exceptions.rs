//! Entry to and return from exceptions, faults and lock-up.

use crate::chip::nvic::{HARD_FAULT, NMI};
use crate::cpu::{LR, PC, SP, Sleep};
use crate::machine::Machine;
use crate::world::{Stop, Trap};

/// Cycles from the request of an exception to the first instruction of its handler.
const ENTRY_CYCLES: u64 = 16;
/// Cycles a return takes beyond those of the instruction that returns.
const RETURN_CYCLES: u64 = 12;

const RETURN_TO_HANDLER: u32 = 0xFFFF_FFF1;
const RETURN_TO_THREAD: u32 = 0xFFFF_FFF9;
const RETURN_TO_THREAD_ON_PROCESS_STACK: u32 = 0xFFFF_FFFD;

/// Bit 9 of a stacked xPSR: the frame was aligned to 8 bytes by leaving out a word.
const STACK_WAS_UNALIGNED: u32 = 1 << 9;
const SLEEP_ON_EXIT: u32 = 1 << 1;

impl Machine {
    /// The instruction at `pc` cannot be completed.
    #[cold]
    #[inline(never)]
    pub(crate) fn fault(&mut self, pc: u32) {
        self.enter(HARD_FAULT, pc);
    }

    /// Stacks the registers and goes to the handler of `exception`, from which `return_to` is returned to.
    pub(crate) fn enter(&mut self, exception: u8, return_to: u32) {
        self.attend_next();
        if exception == HARD_FAULT && self.chip.nvic.in_fault_or_nmi() {
            return self.lock_up(return_to);
        }
        let from_handler = self.cpu.exception != 0;
        let on_process_stack = self.cpu.process_stack;
        let stacked = self.stack(return_to);
        let exception = match (stacked, exception) {
            (true, _) => exception,
            (false, HARD_FAULT | NMI) => return self.lock_up(return_to),
            // The fault of the entry comes first; the exception waits, and the frame is lost.
            (false, _) => {
                self.chip.nvic.pend(exception);
                HARD_FAULT
            }
        };
        let vector = self.memory.flash_word(u32::from(exception) * 4);
        self.chip.nvic.activate(exception);
        let cpu = &mut self.cpu;
        cpu.use_process_stack(false);
        cpu.r[LR] = match (from_handler, on_process_stack) {
            (true, _) => RETURN_TO_HANDLER,
            (false, false) => RETURN_TO_THREAD,
            (false, true) => RETURN_TO_THREAD_ON_PROCESS_STACK,
        };
        cpu.r[PC] = vector & !1;
        cpu.thumb = vector & 1 == 1;
        cpu.exception = exception;
        cpu.event = true;
        cpu.sleep = Sleep::Awake;
        self.now += ENTRY_CYCLES;
        if exception == HARD_FAULT && self.traps.hard_fault {
            self.stop(Stop::Trapped {
                pc: self.cpu.r[PC],
                by: Trap::HardFault,
            });
        }
    }

    /// Puts a frame on the current stack; `false` when there is no memory for it.
    fn stack(&mut self, return_to: u32) -> bool {
        let cpu = &mut self.cpu;
        let sp = cpu.r[SP];
        let frame = sp.wrapping_sub(32) & !7;
        let psr = if sp & 4 == 0 { 0 } else { STACK_WAS_UNALIGNED } | cpu.xpsr();
        let [r0, r1, r2, r3, .., r12, _, lr, _] = cpu.r;
        cpu.r[SP] = frame;
        (0..)
            .zip([r0, r1, r2, r3, r12, lr, return_to, psr])
            .all(|(index, word)| self.memory.store::<4>(frame.wrapping_add(4 * index), word))
    }

    /// Ends the handler that runs, as `target` says.
    pub(crate) fn return_from_exception(&mut self, target: u32) {
        self.attend_next();
        let pc = self.cpu.r[PC].wrapping_sub(2);
        let to_thread = target != RETURN_TO_HANDLER;
        let to_process_stack = target == RETURN_TO_THREAD_ON_PROCESS_STACK;
        if to_thread && !to_process_stack && target != RETURN_TO_THREAD {
            return self.fault(pc);
        }
        let sp = if to_process_stack {
            self.cpu.process_sp()
        } else {
            self.cpu.main_sp()
        };
        let mut frame = [0; 8];
        for (index, word) in (0..).zip(&mut frame) {
            match self.memory.load::<4>(sp.wrapping_add(4 * index)) {
                Some(found) => *word = found,
                None => return self.fault(pc),
            }
        }
        let [r0, r1, r2, r3, r12, lr, return_to, psr] = frame;
        let exception = psr as u8 & 63;
        if to_thread != (exception == 0) || to_thread != self.chip.nvic.only_one_is_active() {
            return self.fault(pc);
        }
        self.chip.nvic.deactivate(self.cpu.exception);
        let cpu = &mut self.cpu;
        cpu.use_process_stack(to_process_stack);
        [cpu.r[0], cpu.r[1], cpu.r[2], cpu.r[3]] = [r0, r1, r2, r3];
        [cpu.r[12], cpu.r[LR], cpu.r[PC]] = [r12, lr, return_to & !1];
        cpu.r[SP] = sp.wrapping_add(32) | if psr & STACK_WAS_UNALIGNED == 0 { 0 } else { 4 };
        cpu.set_apsr(psr);
        cpu.thumb = psr >> 24 & 1 == 1;
        cpu.exception = exception;
        cpu.event = true;
        if to_thread && self.chip.nvic.system_control & SLEEP_ON_EXIT != 0 {
            cpu.sleep = Sleep::ForInterrupt;
        }
        self.now += RETURN_CYCLES;
    }

    fn lock_up(&mut self, pc: u32) {
        self.locked_up = Some(pc);
        self.stop(Stop::LockUp { pc });
    }
}
