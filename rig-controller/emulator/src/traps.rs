//! Traps that a debugger sets: addresses, exceptions and resets at which the core stops, and interrupts that it keeps away.

use crate::chip::nvic::SV_CALL;
use crate::machine::Machine;
use crate::memo::MemoSlot;

/// Where the core stops for a debugger, other than at addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traps {
    /// At the first instruction of the handler of faults, once the registers are stacked.
    pub hard_fault: bool,
    /// At the first instruction after a reset.
    pub reset: bool,
    /// `PendSV` and interrupts wait: a step goes to the next instruction and not into a handler.
    pub masks_interrupts: bool,
}

impl Traps {
    /// Whether an exception that is due is taken.
    pub(crate) fn let_through(self, exception: u8) -> bool {
        !self.masks_interrupts || exception <= SV_CALL
    }
}

impl Machine {
    /// From now on the core stops before it executes the instruction at one of `addresses`, as often as it comes there. With
    /// breakpoints every call is carried out: the machine forgets the calls that it has remembered.
    pub fn set_breakpoints(&mut self, addresses: &[u32]) {
        if !addresses.is_empty() {
            self.memo = MemoSlot::default();
        }
        self.memory.set_breakpoints(addresses);
    }

    /// Replaces the traps.
    pub fn set_traps(&mut self, traps: Traps) {
        self.traps = traps;
        self.attend_next();
    }

    /// The instruction at which the core has locked up, if it has.
    pub fn locked_up(&self) -> Option<u32> {
        self.locked_up
    }

    /// Whether the core waits in a WFE, WFI or in System OFF.
    pub fn is_asleep(&self) -> bool {
        self.cpu.sleep != crate::cpu::Sleep::Awake
    }

    /// Resets since the machine was made, but for power-on.
    pub fn resets(&self) -> u64 {
        self.resets
    }
}
