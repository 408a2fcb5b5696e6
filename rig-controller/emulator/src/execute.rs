//! One instruction after the other: the loop in which all the time goes.
//!
//! Nothing here is generic over the world, so that it is compiled once, in this crate. `bus` does the transfers that go
//! neither to RAM nor read flash, `system` the rare instructions.
#![expect(
    clippy::inline_always,
    reason = "the loop is 1.6 times as fast as one body"
)]

use crate::cpu::{LR, PC, SP};
use crate::decode::{Instruction, Kind};
use crate::machine::Machine;
use crate::world::World;

/// Why an instruction was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abort {
    /// It cannot be: the core goes on in the handler of faults.
    Fault,
    /// The chip was reset: the core has begun anew.
    Reset,
    /// The world wants the machine to stop before it.
    Stopped,
}

impl Machine {
    /// Executes instructions until the deadline.
    #[inline(never)]
    pub(crate) fn execute_until_deadline(&mut self, world: &mut dyn World) {
        while self.now < self.deadline {
            self.execute_next(world);
        }
    }

    /// Executes the next instruction, for those who execute few.
    #[inline(never)]
    pub(crate) fn execute_one(&mut self, world: &mut dyn World) {
        self.execute_next(world);
    }

    /// Executes the next instruction.
    #[inline(always)]
    pub(crate) fn execute_next(&mut self, world: &mut dyn World) {
        let pc = self.cpu.r[PC];
        let Some(instruction) = self.memory.instruction(pc) else {
            self.begin(pc, 1);
            return self.fault(pc);
        };
        self.begin(pc, u64::from(instruction.cycles));
        if let Err(abort) = self.execute(world, instruction) {
            self.aborted(abort, pc, u64::from(instruction.cycles));
        }
    }

    /// The next instruction is the one behind `pc`, unless the instruction at `pc` says otherwise.
    #[inline(always)]
    fn begin(&mut self, pc: u32, cycles: u64) {
        self.now += cycles;
        self.instructions += 1;
        self.cpu.r[PC] = pc.wrapping_add(2);
    }

    #[cold]
    #[inline(never)]
    fn aborted(&mut self, abort: Abort, pc: u32, cycles: u64) {
        match abort {
            Abort::Fault => self.fault(pc),
            Abort::Reset => {}
            Abort::Stopped => {
                if self.moment.is_none() {
                    self.now -= cycles;
                }
                self.instructions -= 1;
                self.cpu.r[PC] = pc;
            }
        }
    }

    #[inline(always)]
    fn execute(&mut self, world: &mut dyn World, i: Instruction) -> Result<(), Abort> {
        #[allow(
            clippy::enum_glob_use,
            reason = "a table of instructions is read by its kinds"
        )]
        use Kind::*;
        let cpu = &mut self.cpu;
        match i.kind {
            MovRegister => cpu.set_and_flag(i.a, cpu.get(i.b)),
            LslImmediate => {
                let result = cpu.shift_left(cpu.get(i.b), i.value);
                cpu.set_and_flag(i.a, result);
            }
            LsrImmediate => {
                let result = cpu.shift_right(cpu.get(i.b), i.value);
                cpu.set_and_flag(i.a, result);
            }
            AsrImmediate => {
                let result = cpu.shift_right_signed(cpu.get(i.b), i.value);
                cpu.set_and_flag(i.a, result);
            }
            AddRegister => {
                let sum = cpu.add(cpu.get(i.b), cpu.get(i.c()), 0);
                cpu.set(i.a, sum);
            }
            SubRegister => {
                let difference = cpu.add(cpu.get(i.b), !cpu.get(i.c()), 1);
                cpu.set(i.a, difference);
            }
            AddImmediate => {
                let sum = cpu.add(cpu.get(i.b), i.value, 0);
                cpu.set(i.a, sum);
            }
            SubImmediate => {
                let difference = cpu.add(cpu.get(i.b), !i.value, 1);
                cpu.set(i.a, difference);
            }
            MovImmediate => cpu.set_and_flag(i.a, i.value),
            CmpImmediate => {
                cpu.add(cpu.get(i.b), !i.value, 1);
            }
            And => cpu.set_and_flag(i.a, cpu.get(i.a) & cpu.get(i.b)),
            Eor => cpu.set_and_flag(i.a, cpu.get(i.a) ^ cpu.get(i.b)),
            Lsl => {
                let result = cpu.shift_left(cpu.get(i.a), cpu.get(i.b) & 255);
                cpu.set_and_flag(i.a, result);
            }
            Lsr => {
                let result = cpu.shift_right(cpu.get(i.a), cpu.get(i.b) & 255);
                cpu.set_and_flag(i.a, result);
            }
            Asr => {
                let result = cpu.shift_right_signed(cpu.get(i.a), cpu.get(i.b) & 255);
                cpu.set_and_flag(i.a, result);
            }
            Adc => {
                let sum = cpu.add(cpu.get(i.a), cpu.get(i.b), cpu.carry);
                cpu.set(i.a, sum);
            }
            Sbc => {
                let difference = cpu.add(cpu.get(i.a), !cpu.get(i.b), cpu.carry);
                cpu.set(i.a, difference);
            }
            Ror => {
                let result = cpu.rotate_right(cpu.get(i.a), cpu.get(i.b) & 255);
                cpu.set_and_flag(i.a, result);
            }
            Tst => cpu.flag(cpu.get(i.a) & cpu.get(i.b)),
            Rsb => {
                let negated = cpu.add(!cpu.get(i.b), 0, 1);
                cpu.set(i.a, negated);
            }
            CmpRegister => {
                cpu.add(cpu.get(i.a), !cpu.get(i.b), 1);
            }
            Cmn => {
                cpu.add(cpu.get(i.a), cpu.get(i.b), 0);
            }
            Orr => cpu.set_and_flag(i.a, cpu.get(i.a) | cpu.get(i.b)),
            Mul => cpu.set_and_flag(i.a, cpu.get(i.a).wrapping_mul(cpu.get(i.b))),
            Bic => cpu.set_and_flag(i.a, cpu.get(i.a) & !cpu.get(i.b)),
            Mvn => cpu.set_and_flag(i.a, !cpu.get(i.b)),
            AddHigh => cpu.set(i.a, cpu.get(i.a).wrapping_add(cpu.get(i.b))),
            AddToSp => cpu.r[SP] = cpu.r[SP].wrapping_add(cpu.get(i.b)) & !3,
            AddConstant | AddPlain => cpu.set(i.a, cpu.get(i.b).wrapping_add(i.value)),
            MovHigh => cpu.set(i.a, cpu.get(i.b)),
            MovToSp => cpu.r[SP] = cpu.get(i.b) & !3,
            Constant => cpu.set(i.a, i.value),
            Sxth => cpu.set(i.a, sign_extend_16(cpu.get(i.b))),
            Sxtb => cpu.set(i.a, sign_extend_8(cpu.get(i.b))),
            Uxth => cpu.set(i.a, cpu.get(i.b) & 0xFFFF),
            Uxtb => cpu.set(i.a, cpu.get(i.b) & 0xFF),
            Rev => cpu.set(i.a, cpu.get(i.b).swap_bytes()),
            Rev16 => cpu.set(i.a, cpu.get(i.b).swap_bytes().rotate_right(16)),
            Revsh => cpu.set(i.a, sign_extend_16(cpu.get(i.b).swap_bytes() >> 16)),
            LdrLiteral => {
                let word = self.load::<4>(world, i.value)?;
                self.cpu.set(i.a, word);
            }
            LdrRegister => {
                let word = self.load::<4>(world, self.sum(i))?;
                self.cpu.set(i.a, word);
            }
            LdrhRegister => {
                let halfword = self.load::<2>(world, self.sum(i))?;
                self.cpu.set(i.a, halfword);
            }
            LdrbRegister => {
                let byte = self.load::<1>(world, self.sum(i))?;
                self.cpu.set(i.a, byte);
            }
            LdrshRegister => {
                let halfword = self.load::<2>(world, self.sum(i))?;
                self.cpu.set(i.a, sign_extend_16(halfword));
            }
            LdrsbRegister => {
                let byte = self.load::<1>(world, self.sum(i))?;
                self.cpu.set(i.a, sign_extend_8(byte));
            }
            StrRegister => self.store::<4>(world, self.sum(i), i.a)?,
            StrhRegister => self.store::<2>(world, self.sum(i), i.a)?,
            StrbRegister => self.store::<1>(world, self.sum(i), i.a)?,
            LdrImmediate => {
                let word = self.load::<4>(world, self.offset(i))?;
                self.cpu.set(i.a, word);
            }
            LdrhImmediate => {
                let halfword = self.load::<2>(world, self.offset(i))?;
                self.cpu.set(i.a, halfword);
            }
            LdrbImmediate => {
                let byte = self.load::<1>(world, self.offset(i))?;
                self.cpu.set(i.a, byte);
            }
            StrImmediate => self.store::<4>(world, self.offset(i), i.a)?,
            StrhImmediate => self.store::<2>(world, self.offset(i), i.a)?,
            StrbImmediate => self.store::<1>(world, self.offset(i), i.a)?,
            Push => {
                let start = cpu.r[SP].wrapping_sub(4 * i.value.count_ones());
                self.store_list(world, start, i.value)?;
                self.cpu.r[SP] = start;
            }
            Pop => {
                let end = self.load_list(world, self.cpu.r[SP], i.value)?;
                self.cpu.r[SP] = end;
            }
            PopPc => {
                let last = self.load_list(world, self.cpu.r[SP], i.value)?;
                let target = self.load::<4>(world, last)?;
                self.cpu.r[SP] = last.wrapping_add(4);
                self.jump_or_return(target);
            }
            Stm => {
                let end = self.store_list(world, self.cpu.get(i.b), i.value)?;
                self.cpu.set(i.b, end);
            }
            Ldm => {
                let base = cpu.get(i.b);
                let end = self.load_list(world, base, i.value).inspect_err(|_| {
                    // A transfer that fails leaves the register it started from.
                    self.cpu.set(i.b, base);
                })?;
                if i.value >> i.b & 1 == 0 {
                    self.cpu.set(i.b, end);
                }
            }
            Beq => self.branch(self.cpu.zero == 0, i),
            Bne => self.branch(self.cpu.zero != 0, i),
            Bcs => self.branch(self.cpu.carry != 0, i),
            Bcc => self.branch(self.cpu.carry == 0, i),
            Bmi => self.branch(self.cpu.is_negative(), i),
            Bpl => self.branch(!self.cpu.is_negative(), i),
            Bvs => self.branch(self.cpu.has_overflowed(), i),
            Bvc => self.branch(!self.cpu.has_overflowed(), i),
            Bhi => self.branch(self.cpu.is_higher(), i),
            Bls => self.branch(!self.cpu.is_higher(), i),
            Bge => self.branch(!self.cpu.is_less(), i),
            Blt => self.branch(self.cpu.is_less(), i),
            Bgt => self.branch(self.cpu.zero != 0 && !self.cpu.is_less(), i),
            Ble => self.branch(self.cpu.zero == 0 || self.cpu.is_less(), i),
            B => cpu.r[PC] = i.value,
            Bl => {
                cpu.r[LR] = cpu.r[PC].wrapping_add(2) | 1;
                cpu.r[PC] = i.value;
                self.called(world);
            }
            BlLeftAlone => {
                cpu.r[LR] = cpu.r[PC].wrapping_add(2) | 1;
                cpu.r[PC] = i.value;
            }
            JumpRegister => cpu.r[PC] = cpu.get(i.b).wrapping_add(i.value) & !1,
            JumpConstant => cpu.r[PC] = i.value & !1,
            Bx => self.jump_or_return(self.cpu.get(i.b)),
            BlxRegister => {
                let target = cpu.get(i.b);
                cpu.r[LR] = cpu.r[PC] | 1;
                self.jump(target);
            }
            Nop => {}
            Barrier => cpu.r[PC] = cpu.r[PC].wrapping_add(2),
            _ => return self.execute_rare(i),
        }
        Ok(())
    }

    /// The address of a transfer that adds two registers.
    #[inline(always)]
    fn sum(&self, i: Instruction) -> u32 {
        self.cpu.get(i.b).wrapping_add(self.cpu.get(i.c()))
    }

    /// The address of a transfer that adds a constant to a register.
    #[inline(always)]
    fn offset(&self, i: Instruction) -> u32 {
        self.cpu.get(i.b).wrapping_add(i.value)
    }

    #[inline(always)]
    fn load<const N: usize>(&mut self, world: &mut dyn World, address: u32) -> Result<u32, Abort> {
        if address as usize & (N - 1) != 0 {
            return Err(Abort::Fault);
        }
        match self.memory.load::<N>(address) {
            Some(value) => Ok(value),
            None => self.load_beyond(world, address, N as u32),
        }
    }

    #[inline(always)]
    fn store<const N: usize>(
        &mut self,
        world: &mut dyn World,
        address: u32,
        from: u8,
    ) -> Result<(), Abort> {
        if address as usize & (N - 1) != 0 {
            return Err(Abort::Fault);
        }
        let value = self.cpu.get(from);
        if self.memory.store::<N>(address, value) {
            return Ok(());
        }
        self.store_beyond(world, address, value, N as u32)
    }

    /// Loads the registers of a list from `address` on; returns the address behind.
    #[inline(always)]
    fn load_list(
        &mut self,
        world: &mut dyn World,
        mut address: u32,
        mut list: u32,
    ) -> Result<u32, Abort> {
        while list != 0 {
            let register = list.trailing_zeros() as u8;
            list &= list - 1;
            let word = self.load::<4>(world, address)?;
            self.cpu.set(register, word);
            address = address.wrapping_add(4);
        }
        Ok(address)
    }

    /// Stores the registers of a list from `address` on; returns the address behind.
    #[inline(always)]
    fn store_list(
        &mut self,
        world: &mut dyn World,
        mut address: u32,
        mut list: u32,
    ) -> Result<u32, Abort> {
        while list != 0 {
            let register = list.trailing_zeros() as u8;
            list &= list - 1;
            self.store::<4>(world, address, register)?;
            address = address.wrapping_add(4);
        }
        Ok(address)
    }

    #[inline(always)]
    fn branch(&mut self, taken: bool, i: Instruction) {
        if taken {
            self.cpu.r[PC] = i.value;
            self.now += 2;
        }
    }

    /// To an address from a register, whose lowest bit is the Thumb bit.
    #[inline(always)]
    pub(crate) fn jump(&mut self, target: u32) {
        self.cpu.r[PC] = target & !1;
        self.cpu.thumb = target & 1 == 1;
        if !self.cpu.thumb {
            self.attend_next();
        }
    }

    /// To an address, or back from an exception.
    #[inline(always)]
    fn jump_or_return(&mut self, target: u32) {
        if target >= 0xF000_0000 && self.cpu.exception != 0 {
            self.return_from_exception(target);
        } else {
            self.jump(target);
        }
    }

    /// Ends the loop behind this instruction: something other than the next instruction may be due.
    #[inline(always)]
    pub(crate) fn attend_next(&mut self) {
        self.deadline = 0;
    }
}

#[inline(always)]
fn sign_extend_8(value: u32) -> u32 {
    i32::from((value as u8).cast_signed()).cast_unsigned()
}

#[inline(always)]
fn sign_extend_16(value: u32) -> u32 {
    i32::from((value as u16).cast_signed()).cast_unsigned()
}
