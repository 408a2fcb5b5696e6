//! Entry to and return from exceptions, faults and lock-up.

use crate::chip::nvic::{HARD_FAULT, NMI};
use crate::cpu::{LR, PC, SP, Sleep};
use crate::machine::Machine;
use crate::world::{Stop, Trap};

/// Cycles from the request of an exception to the first instruction of its handler.
const ENTRY_CYCLES: u64 = 16;
/// Cycles a return takes beyond those of the instruction that returns, of which the manual says nothing: those of a
/// Cortex-M3.
const RETURN_CYCLES: u64 = 12;
/// Cycles from the end of one handler to the first instruction of the next, of which the manual says nothing either.
const TAIL_CHAIN_CYCLES: u64 = 6;

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
        self.cpu.use_process_stack(false);
        self.cpu.r[LR] = match (from_handler, on_process_stack) {
            (true, _) => RETURN_TO_HANDLER,
            (false, false) => RETURN_TO_THREAD,
            (false, true) => RETURN_TO_THREAD_ON_PROCESS_STACK,
        };
        self.begin_handler(exception);
        self.now += ENTRY_CYCLES;
    }

    /// Goes to the handler of `exception`. The frame is on its stack, and LR says how to return.
    fn begin_handler(&mut self, exception: u8) {
        let vector = self.memory.read_flash_word(u32::from(exception) * 4);
        self.chip.nvic.activate(exception);
        let cpu = &mut self.cpu;
        cpu.r[PC] = vector & !1;
        cpu.thumb = vector & 1 == 1;
        cpu.exception = exception;
        cpu.event = true;
        cpu.sleep = Sleep::Awake;
        if exception == HARD_FAULT && self.traps.hard_fault {
            self.stop(Stop::Trapped {
                pc: vector & !1,
                by: Trap::HardFault,
            });
        }
    }

    /// From one handler to another: the frame stays where it is, for the return from the second.
    fn tail_chain(&mut self, exception: u8, target: u32) {
        if exception == HARD_FAULT && self.chip.nvic.in_fault_or_nmi() {
            return self.lock_up(self.cpu.r[PC].wrapping_sub(2));
        }
        self.cpu.r[LR] = target;
        self.begin_handler(exception);
        self.now += TAIL_CHAIN_CYCLES;
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

    /// Ends the handler that runs, as `target` says: back to where it was entered from, or on to the next handler.
    pub(crate) fn return_from_exception(&mut self, target: u32) {
        self.attend_next();
        let nvic = &mut self.chip.nvic;
        let to_thread = target != RETURN_TO_HANDLER;
        let to_process_stack = target == RETURN_TO_THREAD_ON_PROCESS_STACK;
        let is_return = !to_thread || to_process_stack || target == RETURN_TO_THREAD;
        let nested = !nvic.only_one_is_active();
        nvic.deactivate(self.cpu.exception);
        if !is_return || to_thread == nested {
            return self.tail_chain(HARD_FAULT, target);
        }
        if let Some(exception) = nvic.taken(self.cpu.primask) {
            return self.tail_chain(exception, target);
        }
        let sp = if to_process_stack {
            self.cpu.process_sp()
        } else {
            self.cpu.main_sp()
        };
        match self.frame(sp) {
            // The last word, too, says whether it returns to a handler.
            Some(frame) if to_thread == (stacked_exception(&frame) == 0) => {
                self.cpu.use_process_stack(to_process_stack);
                self.unstack(sp, frame);
                if to_thread && self.chip.nvic.system_control & SLEEP_ON_EXIT != 0 {
                    self.cpu.sleep = Sleep::ForInterrupt;
                }
                self.now += RETURN_CYCLES;
            }
            _ => self.tail_chain(HARD_FAULT, target),
        }
    }

    /// The frame at `sp`, if there is memory.
    fn frame(&mut self, sp: u32) -> Option<[u32; 8]> {
        let mut frame = [0; 8];
        for (index, word) in (0..).zip(&mut frame) {
            *word = self.memory.load::<4>(sp.wrapping_add(4 * index))?;
        }
        Some(frame)
    }

    /// Puts the registers of a frame back, which lies at `sp`.
    fn unstack(&mut self, sp: u32, frame: [u32; 8]) {
        let [r0, r1, r2, r3, r12, lr, return_to, psr] = frame;
        let cpu = &mut self.cpu;
        [cpu.r[0], cpu.r[1], cpu.r[2], cpu.r[3]] = [r0, r1, r2, r3];
        [cpu.r[12], cpu.r[LR], cpu.r[PC]] = [r12, lr, return_to & !1];
        let left_out = if psr & STACK_WAS_UNALIGNED == 0 { 0 } else { 4 };
        cpu.r[SP] = sp.wrapping_add(32) | left_out;
        cpu.set_apsr(psr);
        cpu.thumb = psr >> 24 & 1 == 1;
        cpu.exception = stacked_exception(&frame);
        cpu.event = true;
    }

    fn lock_up(&mut self, pc: u32) {
        self.locked_up = Some(pc);
        self.stop(Stop::LockUp { pc });
    }
}

/// The number of the exception whose handler a frame returns to, 0 for none.
fn stacked_exception(frame: &[u32; 8]) -> u8 {
    frame[7] as u8 & 63
}
