//! Thumb instructions as halfwords.

pub const AND: u16 = 0;
pub const EOR: u16 = 1;
pub const LSL: u16 = 2;
pub const LSR: u16 = 3;
pub const ASR: u16 = 4;
pub const ADC: u16 = 5;
pub const SBC: u16 = 6;
pub const ROR: u16 = 7;
pub const TST: u16 = 8;
pub const RSB: u16 = 9;
pub const CMP: u16 = 10;
pub const CMN: u16 = 11;
pub const ORR: u16 = 12;
pub const MUL: u16 = 13;
pub const BIC: u16 = 14;
pub const MVN: u16 = 15;

pub const NOP: u16 = 0xBF00;
pub const WFE: u16 = 0xBF20;
pub const WFI: u16 = 0xBF30;
pub const SEV: u16 = 0xBF40;
/// Lets interrupts through.
pub const CPSIE: u16 = 0xB662;
/// Masks interrupts.
pub const CPSID: u16 = 0xB672;
pub const BX_LR: u16 = 0x4770;
pub const UNDEFINED: u16 = 0xDE00;
/// Branches to itself.
pub const FOREVER: u16 = 0xE7FE;

pub const fn movs(rd: u16, imm8: u16) -> u16 {
    0x2000 | rd << 8 | imm8
}

pub const fn adds(rd: u16, imm8: u16) -> u16 {
    0x3000 | rd << 8 | imm8
}

pub const fn subs(rd: u16, imm8: u16) -> u16 {
    0x3800 | rd << 8 | imm8
}

pub const fn cmp(rn: u16, imm8: u16) -> u16 {
    0x2800 | rn << 8 | imm8
}

pub const fn add3(rd: u16, rn: u16, rm: u16) -> u16 {
    0x1800 | rm << 6 | rn << 3 | rd
}

pub const fn sub3(rd: u16, rn: u16, rm: u16) -> u16 {
    0x1A00 | rm << 6 | rn << 3 | rd
}

/// `operation` is one of the sixteen between two low registers.
pub const fn data(operation: u16, rd: u16, rm: u16) -> u16 {
    0x4000 | operation << 6 | rm << 3 | rd
}

pub const fn lsls(rd: u16, rm: u16, imm5: u16) -> u16 {
    imm5 << 6 | rm << 3 | rd
}

pub const fn lsrs(rd: u16, rm: u16, imm5: u16) -> u16 {
    0x0800 | (imm5 & 31) << 6 | rm << 3 | rd
}

pub const fn asrs(rd: u16, rm: u16, imm5: u16) -> u16 {
    0x1000 | (imm5 & 31) << 6 | rm << 3 | rd
}

/// Any registers.
pub const fn mov(rd: u16, rm: u16) -> u16 {
    0x4600 | (rd & 8) << 4 | rm << 3 | rd & 7
}

/// Any registers.
pub const fn add(rd: u16, rm: u16) -> u16 {
    0x4400 | (rd & 8) << 4 | rm << 3 | rd & 7
}

pub const fn bx(rm: u16) -> u16 {
    0x4700 | rm << 3
}

pub const fn blx(rm: u16) -> u16 {
    0x4780 | rm << 3
}

/// The offset in bytes.
pub const fn ldr(rt: u16, rn: u16, offset: u16) -> u16 {
    0x6800 | (offset / 4) << 6 | rn << 3 | rt
}

/// The offset in bytes.
pub const fn str(rt: u16, rn: u16, offset: u16) -> u16 {
    0x6000 | (offset / 4) << 6 | rn << 3 | rt
}

/// The offset in bytes.
pub const fn ldrh(rt: u16, rn: u16, offset: u16) -> u16 {
    0x8800 | (offset / 2) << 6 | rn << 3 | rt
}

/// The offset in bytes.
pub const fn strh(rt: u16, rn: u16, offset: u16) -> u16 {
    0x8000 | (offset / 2) << 6 | rn << 3 | rt
}

pub const fn ldrb(rt: u16, rn: u16, offset: u16) -> u16 {
    0x7800 | offset << 6 | rn << 3 | rt
}

pub const fn strb(rt: u16, rn: u16, offset: u16) -> u16 {
    0x7000 | offset << 6 | rn << 3 | rt
}

/// Relative to the stack pointer; the offset in bytes.
pub const fn ldr_sp(rt: u16, offset: u16) -> u16 {
    0x9800 | rt << 8 | (offset / 4)
}

pub const fn str_sp(rt: u16, offset: u16) -> u16 {
    0x9000 | rt << 8 | (offset / 4)
}

pub const fn push(list: u16) -> u16 {
    0xB400 | list
}

pub const fn pop(list: u16) -> u16 {
    0xBC00 | list
}

/// In the list of a push or pop: LR or PC.
pub const LINK: u16 = 0x100;

pub const fn stm(rn: u16, list: u16) -> u16 {
    0xC000 | rn << 8 | list
}

pub const fn ldm(rn: u16, list: u16) -> u16 {
    0xC800 | rn << 8 | list
}

pub const fn bkpt(number: u16) -> u16 {
    0xBE00 | number
}

pub const fn svc(number: u16) -> u16 {
    0xDF00 | number
}

/// Conditional branch over so many halfwords behind it.
pub const fn skip_if(condition: u16, halfwords: u16) -> u16 {
    0xD000 | condition << 8 | (halfwords - 1) & 0xFF
}

/// Branches by so many halfwords, from the instruction itself.
pub const fn branch(halfwords: i16) -> u16 {
    0xE000 | (halfwords - 2).cast_unsigned() & 0x7FF
}

pub const fn mrs(rd: u16, special: u16) -> [u16; 2] {
    [0xF3EF, 0x8000 | rd << 8 | special]
}

pub const fn msr(special: u16, rn: u16) -> [u16; 2] {
    [0xF380 | rn, 0x8800 | special]
}

/// Special registers.
pub const XPSR: u16 = 3;
pub const IPSR: u16 = 5;
pub const MSP: u16 = 8;
pub const PSP: u16 = 9;
pub const PRIMASK: u16 = 16;
pub const CONTROL: u16 = 20;

/// Seven halfwords that put `value` into a low register; they change the flags.
pub fn constant(rd: u16, value: u32) -> Vec<u16> {
    let [b0, b1, b2, b3] = value.to_le_bytes().map(u16::from);
    let mut code = vec![movs(rd, b3)];
    for byte in [b2, b1, b0] {
        code.extend([lsls(rd, rd, 8), adds(rd, byte)]);
    }
    code
}

/// Fifteen halfwords that store `value` at `address`; they use R6 and R7.
pub fn poke(address: u32, value: u32) -> Vec<u16> {
    [constant(7, address), constant(6, value), vec![str(6, 7, 0)]].concat()
}

/// Eight halfwords that load the word at `address`; they use R7.
pub fn peek(rd: u16, address: u32) -> Vec<u16> {
    [constant(7, address), vec![ldr(rd, 7, 0)]].concat()
}
