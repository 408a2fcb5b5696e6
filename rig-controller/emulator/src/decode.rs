//! ARMv6-M instructions, decoded once for each address.
//!
//! Encodings that the architecture leaves undefined decode to [`Kind::Undefined`], and so do those it leaves
//! unpredictable: firmware that relies on one is to be found.
#![allow(
    clippy::enum_glob_use,
    reason = "tables of instructions are read by their kinds"
)]

/// The work of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nothing is known yet of this address.
    NotDecoded,
    /// MOVS of a low register; its encoding is that of LSL by 0.
    MovRegister,
    LslImmediate,
    LsrImmediate,
    AsrImmediate,
    AddRegister,
    SubRegister,
    AddImmediate,
    SubImmediate,
    MovImmediate,
    CmpImmediate,
    And,
    Eor,
    Lsl,
    Lsr,
    Asr,
    Adc,
    Sbc,
    Ror,
    Tst,
    Rsb,
    CmpRegister,
    Cmn,
    Orr,
    Mul,
    Bic,
    Mvn,
    /// ADD of any register; no flags.
    AddHigh,
    AddToSp,
    /// ADD of a register to the constant `value`, into a register.
    AddConstant,
    MovHigh,
    MovToSp,
    /// A constant into a register; no flags.
    Constant,
    /// A register and the constant `value` together into PC.
    JumpRegister,
    JumpConstant,
    Bx,
    BxPc,
    BlxRegister,
    LdrLiteral,
    StrRegister,
    StrhRegister,
    StrbRegister,
    LdrsbRegister,
    LdrRegister,
    LdrhRegister,
    LdrbRegister,
    LdrshRegister,
    StrImmediate,
    LdrImmediate,
    StrbImmediate,
    LdrbImmediate,
    StrhImmediate,
    LdrhImmediate,
    /// `b` plus a constant, into a register; no flags.
    AddPlain,
    Sxth,
    Sxtb,
    Uxth,
    Uxtb,
    Rev,
    Rev16,
    Revsh,
    Push,
    Pop,
    PopPc,
    Stm,
    Ldm,
    Beq,
    Bne,
    Bcs,
    Bcc,
    Bmi,
    Bpl,
    Bvs,
    Bvc,
    Bhi,
    Bls,
    Bge,
    Blt,
    Bgt,
    Ble,
    B,
    Bl,
    /// BL of a function whose calls are not remembered.
    BlLeftAlone,
    Nop,
    Barrier,
    Wfi,
    Wfe,
    Sev,
    Cps,
    Bkpt,
    /// A debugger wants the core to stop before this address.
    Trap,
    Svc,
    Undefined,
    Mrs,
    Msr,
}

/// An instruction, ready to be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) kind: Kind,
    /// The register of the result, or the one that is stored.
    pub(crate) a: u8,
    /// The register of the first operand or of the address.
    pub(crate) b: u8,
    /// Cycles without wait states; for a conditional branch those of one not taken.
    pub(crate) cycles: u8,
    /// A constant, an absolute address, a list of registers, or the number of a third register.
    pub(crate) value: u32,
}

impl Instruction {
    pub(crate) const NOT_DECODED: Self = Self {
        kind: Kind::NotDecoded,
        a: 0,
        b: 0,
        cycles: 0,
        value: 0,
    };

    pub(crate) const TRAP: Self = Self {
        kind: Kind::Trap,
        cycles: 1,
        ..Self::NOT_DECODED
    };

    /// The third register.
    #[inline]
    pub(crate) fn c(self) -> u8 {
        self.value as u8
    }
}

const fn instruction(kind: Kind, a: u32, b: u32, value: u32, cycles: u8) -> Instruction {
    Instruction {
        kind,
        a: a as u8,
        b: b as u8,
        cycles,
        value,
    }
}

const UNDEFINED: Instruction = instruction(Kind::Undefined, 0, 0, 0, 1);

/// The instruction at `pc`, whose first halfword is `first`; `second` is the halfword behind it, `None` where there is no
/// memory.
pub(crate) fn decode(pc: u32, first: u16, second: Option<u16>) -> Instruction {
    use Kind::*;
    let h = u32::from(first);
    let (rd, rn, rm) = (h & 7, h >> 3 & 7, h >> 6 & 7);
    let imm5 = h >> 6 & 31;
    let (r8, imm8) = (h >> 8 & 7, h & 255);
    let here = pc.wrapping_add(4);
    let literal = (here & !3).wrapping_add(imm8 * 4);
    match h >> 11 {
        0b00000 if imm5 == 0 => instruction(MovRegister, rd, rn, 0, 1),
        0b00000 => instruction(LslImmediate, rd, rn, imm5, 1),
        0b00001 => instruction(LsrImmediate, rd, rn, by_constant(imm5), 1),
        0b00010 => instruction(AsrImmediate, rd, rn, by_constant(imm5), 1),
        0b00011 => {
            let kind =
                [AddRegister, SubRegister, AddImmediate, SubImmediate][(h >> 9 & 3) as usize];
            instruction(kind, rd, rn, rm, 1)
        }
        0b00100 => instruction(MovImmediate, r8, 0, imm8, 1),
        0b00101 => instruction(CmpImmediate, r8, r8, imm8, 1),
        0b00110 => instruction(AddImmediate, r8, r8, imm8, 1),
        0b00111 => instruction(SubImmediate, r8, r8, imm8, 1),
        0b01000 if h >> 10 & 1 == 0 => {
            const KINDS: [Kind; 16] = [
                And,
                Eor,
                Lsl,
                Lsr,
                Asr,
                Adc,
                Sbc,
                Ror,
                Tst,
                Rsb,
                CmpRegister,
                Cmn,
                Orr,
                Mul,
                Bic,
                Mvn,
            ];
            instruction(KINDS[(h >> 6 & 15) as usize], rd, rn, 0, 1)
        }
        0b01000 => high_registers(pc, h),
        0b01001 => instruction(LdrLiteral, r8, 0, literal, 2),
        0b01010 | 0b01011 => {
            const KINDS: [Kind; 8] = [
                StrRegister,
                StrhRegister,
                StrbRegister,
                LdrsbRegister,
                LdrRegister,
                LdrhRegister,
                LdrbRegister,
                LdrshRegister,
            ];
            instruction(KINDS[(h >> 9 & 7) as usize], rd, rn, rm, 2)
        }
        0b01100 => instruction(StrImmediate, rd, rn, imm5 * 4, 2),
        0b01101 => instruction(LdrImmediate, rd, rn, imm5 * 4, 2),
        0b01110 => instruction(StrbImmediate, rd, rn, imm5, 2),
        0b01111 => instruction(LdrbImmediate, rd, rn, imm5, 2),
        0b10000 => instruction(StrhImmediate, rd, rn, imm5 * 2, 2),
        0b10001 => instruction(LdrhImmediate, rd, rn, imm5 * 2, 2),
        0b10010 => instruction(StrImmediate, r8, 13, imm8 * 4, 2),
        0b10011 => instruction(LdrImmediate, r8, 13, imm8 * 4, 2),
        0b10100 => instruction(Constant, r8, 0, literal, 1),
        0b10101 => instruction(AddPlain, r8, 13, imm8 * 4, 1),
        0b10110 | 0b10111 => miscellaneous(h),
        0b11000 => list(Stm, r8, imm8, 1),
        0b11001 => list(Ldm, r8, imm8, 1),
        0b11010 | 0b11011 => {
            const KINDS: [Kind; 14] = [
                Beq, Bne, Bcs, Bcc, Bmi, Bpl, Bvs, Bvc, Bhi, Bls, Bge, Blt, Bgt, Ble,
            ];
            let offset = i32::from((imm8 as u8).cast_signed()) << 1;
            match KINDS.get((h >> 8 & 15) as usize) {
                Some(kind) => instruction(*kind, 0, 0, here.wrapping_add_signed(offset), 1),
                None if h >> 8 & 15 == 15 => instruction(Svc, 0, 0, imm8, 1),
                None => UNDEFINED,
            }
        }
        0b11100 => {
            let offset = (h << 21).cast_signed() >> 20;
            instruction(B, 0, 0, here.wrapping_add_signed(offset), 3)
        }
        0b11110 => second.map_or(UNDEFINED, |second| wide(here, h, u32::from(second))),
        _ => UNDEFINED,
    }
}

/// Right shifts by 0 are written for those by 32.
fn by_constant(imm5: u32) -> u32 {
    if imm5 == 0 { 32 } else { imm5 }
}

/// A transfer of a list of registers, which must not be empty.
fn list(kind: Kind, base: u32, registers: u32, cycles: u8) -> Instruction {
    if registers == 0 {
        return UNDEFINED;
    }
    let cycles = cycles + registers.count_ones() as u8;
    instruction(kind, 0, base, registers, cycles)
}

fn high_registers(pc: u32, h: u32) -> Instruction {
    use Kind::*;
    let rd = h & 7 | h >> 4 & 8;
    let rm = h >> 3 & 15;
    let here = pc.wrapping_add(4);
    match h >> 8 & 3 {
        0 => match (rd, rm) {
            (13 | 15, 15) => UNDEFINED,
            (15, _) => instruction(JumpRegister, 0, rm, here, 3),
            (_, 15) => instruction(AddConstant, rd, rd, here, 1),
            (13, _) => instruction(AddToSp, 13, rm, 0, 1),
            _ => instruction(AddHigh, rd, rm, 0, 1),
        },
        1 if rd == 15 || rm == 15 || rd < 8 && rm < 8 => UNDEFINED,
        1 => instruction(CmpRegister, rd, rm, 0, 1),
        2 => match (rd, rm) {
            (15, 15) => instruction(JumpConstant, 0, 0, here, 3),
            (15, _) => instruction(JumpRegister, 0, rm, 0, 3),
            (13, 15) => UNDEFINED,
            (_, 15) => instruction(Constant, rd, 0, here, 1),
            (13, _) => instruction(MovToSp, 13, rm, 0, 1),
            _ => instruction(MovHigh, rd, rm, 0, 1),
        },
        _ if h & 7 != 0 => UNDEFINED,
        _ => match (h >> 7 & 1, rm) {
            (1, 15) => UNDEFINED,
            (1, _) => instruction(BlxRegister, 0, rm, 0, 3),
            (_, 15) => instruction(BxPc, 0, 0, here, 3),
            _ => instruction(Bx, 0, rm, 0, 3),
        },
    }
}

fn miscellaneous(h: u32) -> Instruction {
    use Kind::*;
    let (rd, rm) = (h & 7, h >> 3 & 7);
    let imm7 = (h & 127) * 4;
    match h >> 5 & 0x7F {
        0b000_0000..=0b000_0011 => instruction(AddPlain, 13, 13, imm7, 1),
        0b000_0100..=0b000_0111 => instruction(AddPlain, 13, 13, imm7.wrapping_neg(), 1),
        0b001_0000 | 0b001_0001 => instruction(Sxth, rd, rm, 0, 1),
        0b001_0010 | 0b001_0011 => instruction(Sxtb, rd, rm, 0, 1),
        0b001_0100 | 0b001_0101 => instruction(Uxth, rd, rm, 0, 1),
        0b001_0110 | 0b001_0111 => instruction(Uxtb, rd, rm, 0, 1),
        0b010_0000..=0b010_1111 => list(Push, 13, h & 255 | (h >> 8 & 1) << 14, 1),
        0b011_0011 if h & !0x10 == 0xB662 => instruction(Cps, h >> 4 & 1, 0, 0, 1),
        0b101_0000 | 0b101_0001 => instruction(Rev, rd, rm, 0, 1),
        0b101_0010 | 0b101_0011 => instruction(Rev16, rd, rm, 0, 1),
        0b101_0110 | 0b101_0111 => instruction(Revsh, rd, rm, 0, 1),
        0b110_0000..=0b110_0111 => list(Pop, 13, h & 255, 1),
        0b110_1000..=0b110_1111 => {
            instruction(PopPc, 0, 13, h & 255, 4 + (h & 255).count_ones() as u8)
        }
        0b111_0000..=0b111_0111 => instruction(Bkpt, 0, 0, h & 255, 1),
        // A low half that is not zero would be IT, which a Cortex-M0 does not have.
        0b111_1000..=0b111_1111 if h.trailing_zeros() >= 4 => match h >> 4 & 15 {
            2 => instruction(Wfe, 0, 0, 0, 2),
            3 => instruction(Wfi, 0, 0, 0, 2),
            4 => instruction(Sev, 0, 0, 0, 1),
            _ => instruction(Nop, 0, 0, 0, 1),
        },
        _ => UNDEFINED,
    }
}

/// The 32-bit instructions that ARMv6-M has: BL, MSR, MRS and the barriers. `here` is PC as an instruction reads it.
fn wide(here: u32, h: u32, n: u32) -> Instruction {
    use Kind::*;
    if n >> 14 == 0b11 && n >> 12 & 1 == 1 {
        let sign = h >> 10 & 1;
        let (i1, i2) = (!(n >> 13 ^ sign) & 1, !(n >> 11 ^ sign) & 1);
        let offset = sign << 24 | i1 << 23 | i2 << 22 | (h & 0x3FF) << 12 | (n & 0x7FF) << 1;
        let offset = (offset << 7).cast_signed() >> 7;
        return instruction(Bl, 0, 0, here.wrapping_add_signed(offset), 4);
    }
    // Neither SP nor PC.
    let general = |register: u32| !matches!(register, 13 | 15);
    if h & 0xFFF0 == 0xF380 && n & 0xFF00 == 0x8800 && general(h & 15) && is_special(n & 255) {
        return instruction(Msr, 0, h & 15, n & 255, 4);
    }
    let rd = n >> 8 & 15;
    if h == 0xF3EF && n & 0xF000 == 0x8000 && general(rd) && is_special(n & 255) {
        return instruction(Mrs, rd, 0, n & 255, 4);
    }
    // DSB, DMB, ISB.
    if h == 0xF3BF && n & 0xFF00 == 0x8F00 && matches!(n >> 4 & 15, 4..=6) {
        return instruction(Barrier, 0, 0, 0, 4);
    }
    UNDEFINED
}

/// Whether there is a special register of this number.
fn is_special(number: u32) -> bool {
    matches!(number, 0..=3 | 5..=9 | 16 | 20)
}
