//! The core's own state: registers, flags, what is masked, and whether it sleeps.

/// Whether the core sleeps, and the event that would wake it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// The core is awake.
    Awake,
    /// WFI: an interrupt that would be taken if interrupts were not masked.
    ForInterrupt,
    /// WFE: an event, or an interrupt that is taken.
    ForEvent,
    /// Nothing but a reset: the whole chip is off.
    Off,
}

/// The registers of a Cortex-M0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// R0 to R12, the current SP, LR, and the address of the next instruction (not the value an instruction reads as PC).
    pub(crate) r: [u32; 16],
    /// Bit 31 is N.
    pub(crate) negative: u32,
    /// Zero if Z is set.
    pub(crate) zero: u32,
    /// 0 or 1.
    pub(crate) carry: u32,
    /// Bit 31 is V.
    pub(crate) overflow: u32,
    pub(crate) thumb: bool,
    pub(crate) primask: bool,
    /// CONTROL.SPSEL: the process stack is in use, in thread mode only.
    pub(crate) process_stack: bool,
    /// IPSR: the number of the exception whose handler runs, 0 in thread mode.
    pub(crate) exception: u8,
    /// The stack pointer that is not in R13.
    pub(crate) other_sp: u32,
    /// The event register, which WFE looks at.
    pub(crate) event: bool,
    pub(crate) sleep: Sleep,
}

pub(crate) const SP: usize = 13;
pub(crate) const LR: usize = 14;
pub(crate) const PC: usize = 15;

impl Cpu {
    /// The core after a reset with this stack pointer and this reset vector.
    pub(crate) fn after_reset(stack: u32, vector: u32) -> Self {
        let mut r = [0; 16];
        r[SP] = stack & !3;
        r[LR] = u32::MAX;
        r[PC] = vector & !1;
        Self {
            r,
            negative: 0,
            zero: 0,
            carry: 0,
            overflow: 0,
            thumb: vector & 1 == 1,
            primask: false,
            process_stack: false,
            exception: 0,
            other_sp: 0,
            event: false,
            sleep: Sleep::Awake,
        }
    }

    /// The flags, in bits 31 to 28.
    pub(crate) fn apsr(&self) -> u32 {
        self.negative & 1 << 31
            | u32::from(self.zero == 0) << 30
            | self.carry << 29
            | (self.overflow >> 31) << 28
    }

    /// Flags, Thumb bit and exception number together.
    pub(crate) fn xpsr(&self) -> u32 {
        self.apsr() | u32::from(self.thumb) << 24 | u32::from(self.exception)
    }

    pub(crate) fn set_apsr(&mut self, value: u32) {
        self.negative = value;
        self.zero = u32::from(value >> 30 & 1 == 0);
        self.carry = value >> 29 & 1;
        self.overflow = value << 3;
    }

    pub(crate) fn main_sp(&self) -> u32 {
        if self.process_stack {
            self.other_sp
        } else {
            self.r[SP]
        }
    }

    pub(crate) fn process_sp(&self) -> u32 {
        if self.process_stack {
            self.r[SP]
        } else {
            self.other_sp
        }
    }

    pub(crate) fn set_main_sp(&mut self, value: u32) {
        if self.process_stack {
            self.other_sp = value & !3;
        } else {
            self.r[SP] = value & !3;
        }
    }

    pub(crate) fn set_process_sp(&mut self, value: u32) {
        if self.process_stack {
            self.r[SP] = value & !3;
        } else {
            self.other_sp = value & !3;
        }
    }

    /// Brings the other stack pointer into R13 if need be.
    pub(crate) fn use_process_stack(&mut self, process: bool) {
        if self.process_stack != process {
            std::mem::swap(&mut self.r[SP], &mut self.other_sp);
            self.process_stack = process;
        }
    }

    #[inline]
    pub(crate) fn get(&self, register: u8) -> u32 {
        self.r[usize::from(register & 15)]
    }

    #[inline]
    pub(crate) fn set(&mut self, register: u8, value: u32) {
        self.r[usize::from(register & 15)] = value;
    }

    #[inline]
    pub(crate) fn is_negative(&self) -> bool {
        self.negative.cast_signed() < 0
    }

    #[inline]
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflow.cast_signed() < 0
    }

    /// Of two numbers without sign that were compared, the first was the higher.
    #[inline]
    pub(crate) fn is_higher(&self) -> bool {
        self.carry != 0 && self.zero != 0
    }

    /// Of two numbers with signs that were compared, the first was less.
    #[inline]
    pub(crate) fn is_less(&self) -> bool {
        (self.negative ^ self.overflow).cast_signed() < 0
    }

    /// Sets N and Z by a result.
    #[inline]
    pub(crate) fn flag(&mut self, result: u32) {
        self.negative = result;
        self.zero = result;
    }

    /// A result that goes to a register and to N and Z.
    #[inline]
    pub(crate) fn set_and_flag(&mut self, register: u8, result: u32) {
        self.set(register, result);
        self.flag(result);
    }

    /// `x + y + carry`, all flags set.
    #[inline]
    pub(crate) fn add(&mut self, x: u32, y: u32, carry: u32) -> u32 {
        let wide = u64::from(x) + u64::from(y) + u64::from(carry);
        let result = wide as u32;
        self.carry = (wide >> 32) as u32;
        self.overflow = (x ^ result) & (y ^ result);
        self.flag(result);
        result
    }

    /// `value` shifted left; a shift by 0 leaves the carry.
    #[inline]
    pub(crate) fn shift_left(&mut self, value: u32, by: u32) -> u32 {
        if by == 0 {
            return value;
        }
        let wide = if by > 32 { 0 } else { u64::from(value) << by };
        self.carry = (wide >> 32) as u32 & 1;
        wide as u32
    }

    /// `value` shifted right, zeros coming in; a shift by 0 leaves the carry.
    #[inline]
    pub(crate) fn shift_right(&mut self, value: u32, by: u32) -> u32 {
        if by == 0 {
            return value;
        }
        let doubled = if by > 32 {
            0
        } else {
            (u64::from(value) << 1) >> by
        };
        self.carry = doubled as u32 & 1;
        (doubled >> 1) as u32
    }

    /// `value` shifted right, the sign coming in; a shift by 0 leaves the carry.
    #[inline]
    pub(crate) fn shift_right_signed(&mut self, value: u32, by: u32) -> u32 {
        if by == 0 {
            return value;
        }
        let doubled = (i64::from(value.cast_signed()) << 1) >> by.min(33);
        self.carry = doubled.cast_unsigned() as u32 & 1;
        (doubled >> 1).cast_unsigned() as u32
    }

    /// `value` turned right; by 0 it leaves the carry.
    #[inline]
    pub(crate) fn rotate_right(&mut self, value: u32, by: u32) -> u32 {
        let result = value.rotate_right(by & 31);
        if by != 0 {
            self.carry = result >> 31;
        }
        result
    }
}
