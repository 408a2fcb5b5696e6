//! Random programs, each of which follows from its seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::common::asm::*;
use super::common::{HANDLER, Image, START};

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn below(&mut self, bound: u16) -> u16 {
        (self.0.next_u32() % u32::from(bound)) as u16
    }

    /// A low register.
    fn low(&mut self) -> u16 {
        self.below(8)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.next_u32() as usize % of.len()]
    }

    fn word(&mut self) -> u32 {
        self.0.next_u32()
    }
}

/// A handler of faults that loads its frame into registers, and goes on behind the instruction, in Thumb state.
fn skip_fault() -> Vec<u16> {
    [
        (0..8).map(|word| ldr_sp(word, 4 * word)).collect(),
        vec![adds(6, 2), lsrs(6, 6, 1), lsls(6, 6, 1), str_sp(6, 24)],
        vec![movs(6, 1), lsls(6, 6, 24), data(ORR, 7, 6), str_sp(7, 28)],
        mrs(6, XPSR).to_vec(),
        vec![BX_LR],
    ]
    .concat()
}

/// Transfers, arithmetic, branches and special registers, without end in sight: 16,000 halfwords.
pub fn instructions(seed: u64) -> Image {
    const HALFWORDS: usize = 16_000;
    let random = &mut Random::new(seed);
    let mut code = Vec::new();
    for register in 0..8 {
        code.extend(constant(register, random.word()));
    }
    while code.len() < HALFWORDS {
        match random.below(20) {
            0..=4 => code.push(data(random.below(16), random.low(), random.low())),
            5..=6 => {
                // Three kinds of shifts, by 0 to 31.
                let shift = random.below(3) << 11 | random.below(32) << 6;
                code.push(shift | random.low() << 3 | random.low());
            }
            7 => {
                let kind = 0x1800 | random.below(4) << 9 | random.low() << 6;
                code.push(kind | random.low() << 3 | random.low());
            }
            8 => code.push(0x2000 | random.below(4) << 11 | random.low() << 8 | random.below(256)),
            9..=10 => code.push(0x4800 | random.low() << 8 | random.below(256)),
            11 => {
                let kind = random.one(&[0xB200, 0xB240, 0xB280, 0xB2C0, 0xBA00, 0xBA40, 0xBAC0]);
                code.push(kind | random.low() << 3 | random.low());
            }
            12 => code.push(high_registers(random)),
            13 => {
                // As many are pushed as are popped.
                let list = 1 + random.below(255);
                code.push(push(list));
                code.push(pop(u16::from((list as u8).rotate_left(3))));
            }
            14..=15 => transfer(random, &mut code),
            16 => {
                code.extend([skip_if(random.below(14), 1 + random.below(2)), NOP, NOP]);
            }
            17 => calls(random, &mut code),
            18 => code.push(random.one(&[0xA000, 0xA800]) | random.low() << 8 | random.below(256)),
            _ => special(random, &mut code),
        }
    }
    code.push(FOREVER);
    Image::new(&code).code(HANDLER, &skip_fault())
}

/// MOV, ADD and CMP of any register but SP and PC, and MOV and ADD from those.
fn high_registers(random: &mut Random) -> u16 {
    let to = random.below(13);
    let from = random.one(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    match random.below(3) {
        0 => mov(to, from),
        1 => add(to, from),
        // CMP of R8 to R14.
        _ if from < 15 => 0x4580 | from << 3 | random.below(7),
        _ => mov(to, 14),
    }
}

/// A load or store in RAM, through a base and an offset that are set just before.
fn transfer(random: &mut Random, code: &mut Vec<u16>) {
    let (base, offset) = (6, 7);
    code.extend(constant(
        base,
        0x2000_1000 + u32::from(random.below(512)) * 4,
    ));
    match random.below(3) {
        0 => {
            code.push(movs(offset, random.below(64) * 4));
            code.push(0x5000 | random.below(8) << 9 | offset << 6 | base << 3 | random.below(6));
        }
        1 => {
            let kind = random.one(&[0x6000, 0x6800, 0x7000, 0x7800, 0x8000, 0x8800]);
            code.push(kind | random.below(32) << 6 | base << 3 | random.low());
        }
        _ => {
            let kind = random.one(&[0xC000, 0xC800]);
            code.push(kind | base << 8 | (1 + random.below(255)));
        }
    }
}

/// BL, BX and BLX to the instruction behind, or one farther.
fn calls(random: &mut Random, code: &mut Vec<u16>) {
    match random.below(3) {
        0 => code.extend([0xF000, 0xF800 | random.below(2), NOP]),
        1 => code.extend([branch(2 + random.below(2).cast_signed()), NOP, NOP]),
        _ => {
            // PC, in a register, with the Thumb bit: behind the branch, or one farther.
            let register = random.below(6);
            let odd = START as usize / 2 + code.len();
            if odd % 2 == 1 {
                code.push(NOP);
            }
            // ADR gives the address of the instruction after next, a word.
            code.extend([
                0xA000 | register << 8,
                adds(register, 5),
                random.one(&[bx(register), blx(register)]),
                NOP,
            ]);
        }
    }
}

fn special(random: &mut Random, code: &mut Vec<u16>) {
    let register = random.below(13);
    match random.below(4) {
        0 => code.extend(mrs(
            register,
            random.one(&[0, 1, 2, 3, 5, 6, 7, 8, 9, 16, 20]),
        )),
        1 => {
            // Without Q, which a Cortex-M0 does not have.
            code.extend(constant(register & 7, random.word() & !(1 << 27)));
            code.extend(msr(random.below(4), register & 7));
        }
        2 => code.extend(msr(PSP, register)),
        _ => code.extend([0xF3BF, random.one(&[0x8F4F, 0x8F5F, 0x8F6F])]),
    }
}

/// Faults of all kinds with random operands, one after the other.
pub fn faults(seed: u64) -> Image {
    const CASES: usize = 150;
    let random = &mut Random::new(seed);
    let mut code = Vec::new();
    for _ in 0..CASES {
        fault(random, &mut code);
        code.extend([NOP, NOP]);
    }
    code.push(FOREVER);
    let call = [ldr_sp(6, 24), ldr_sp(7, 28), adds(0, 1), BX_LR];
    Image::new(&code)
        .code(HANDLER, &skip_fault())
        .handler(11, &call)
}

fn fault(random: &mut Random, code: &mut Vec<u16>) {
    let ram = 0x2000_1000 + u32::from(random.below(256)) * 4;
    let unmapped = random.one(&[
        0x0004_0000,
        0x1FFF_FFFC,
        0x2000_4000,
        0x6000_0000,
        0x9000_0000,
        0xA000_0000,
    ]);
    let transfer = random.one(&[
        ldr(1, 0, 0),
        ldrh(1, 0, 0),
        str(1, 0, 0),
        strh(1, 0, 0),
        ldm(0, 0b110),
        stm(0, 0b110),
    ]);
    match random.below(12) {
        0..=2 => {
            code.extend(constant(0, ram + 1 + u32::from(random.below(3))));
            code.push(transfer);
        }
        3..=4 => {
            code.extend(constant(0, unmapped));
            code.push(random.one(&[transfer, ldrb(1, 0, 0), strb(1, 0, 0)]));
        }
        5 => code.push(UNDEFINED | random.below(256)),
        6 => code.extend(random.one(&[
            [0xF240, 0x1034],
            [0xFB90, 0xF0F1],
            [0xE850, 0x0F00],
            [0xF7F0, 0xA000],
        ])),
        7 => {
            // Behind the branch, without the Thumb bit.
            let behind = START + 2 * (code.len() as u32 + 8);
            code.extend(constant(0, behind));
            code.push(random.one(&[bx(0), blx(0)]));
        }
        8 => code.extend([CPSID, svc(random.below(256)), CPSIE]),
        9 => code.push(svc(random.below(256))),
        10 => {
            // A word, programmed twice, with narrow stores between.
            let target = 0x3_0000 + u32::from(random.below(1024)) * 4;
            code.extend(poke(0x4001_E504, 1));
            code.extend(poke(target, random.word()));
            code.extend([strb(6, 7, 0), NOP, NOP]);
            code.extend(poke(target, random.word()));
            code.extend([strh(6, 7, 0), NOP, NOP]);
            code.extend(peek(5, target));
            code.extend(poke(0x4001_E504, 0));
        }
        _ => {
            let target = 0x3_0000 + u32::from(random.below(1024)) * 4;
            code.extend(poke(0x4001_E504, 2));
            code.extend(poke(0x4001_E508, target & !0x3FF));
            code.extend(peek(5, target));
            code.extend(poke(0x4001_E504, 0));
            code.extend(peek(5, 0xE000_ED00));
        }
    }
}

const SET_ENABLE: u32 = 0xE000_E100;
const CLEAR_ENABLE: u32 = 0xE000_E180;
const SET_PENDING: u32 = 0xE000_E200;
const CLEAR_PENDING: u32 = 0xE000_E280;
const PRIORITIES: u32 = 0xE000_E400;
const INTERRUPT_CONTROL: u32 = 0xE000_ED04;
const SYSTEM_PRIORITY_2: u32 = 0xE000_ED1C;
const SYSTEM_PRIORITY_3: u32 = 0xE000_ED20;
/// Interrupts that the programs pend.
const INTERRUPTS: u16 = 12;

/// Interrupts and calls of the supervisor with priorities that change, pended by the program and by handlers.
pub fn interrupts(seed: u64) -> Image {
    const STEPS: usize = 200;
    let random = &mut Random::new(seed);
    let mut code = Vec::new();
    for _ in 0..STEPS {
        let (register, value) = controller_write(random);
        code.extend(poke(register, value));
        match random.below(8) {
            0 => code.push(CPSID),
            1 | 2 => code.push(CPSIE),
            3 => code.extend([CPSIE, svc(1)]),
            4 => code.extend(peek(0, random.one(&[SET_PENDING, SET_ENABLE]))),
            _ => code.push(NOP),
        }
    }
    code.extend([CPSIE, NOP, FOREVER]);
    let mut image = Image::new(&code).code(HANDLER, &skip_fault());
    let numbers = (0..INTERRUPTS).map(|number| 16 + u32::from(number));
    for number in numbers.chain([2, 11, 14]) {
        image = image.handler(number, &handler(random));
    }
    image
}

/// A register of the interrupt controller and what is written to it.
fn controller_write(random: &mut Random) -> (u32, u32) {
    let few = 1 << random.below(INTERRUPTS) | 1 << random.below(INTERRUPTS);
    match random.below(10) {
        0 | 1 => (SET_ENABLE, few),
        2 => (CLEAR_ENABLE, few),
        3..=5 => (SET_PENDING, few),
        6 => (CLEAR_PENDING, few),
        7 => (
            PRIORITIES + 4 * u32::from(random.below(INTERRUPTS / 4)),
            random.word(),
        ),
        8 => random.one(&[
            (SYSTEM_PRIORITY_2, 0x8000_0000),
            (SYSTEM_PRIORITY_3, 0x0040_0000),
            (SYSTEM_PRIORITY_2, 0x4000_0000),
        ]),
        _ => (INTERRUPT_CONTROL, random.one(&[1 << 28, 1 << 27, 1 << 31])),
    }
}

/// Looks who it is, may pend another, counts in R8 so that pending ends, and returns.
fn handler(random: &mut Random) -> Vec<u16> {
    let pended = 1 << random.below(INTERRUPTS);
    let pends = poke(SET_PENDING, pended);
    // In every fourth entry of any handler.
    let count = [
        mov(3, 8),
        adds(3, 1),
        mov(8, 3),
        lsls(3, 3, 30),
        skip_if(1, pends.len() as u16),
    ];
    [
        vec![push(LINK | 0xF0)],
        mrs(0, IPSR).to_vec(),
        count.to_vec(),
        pends,
        mrs(1, PRIMASK).to_vec(),
        mrs(2, XPSR).to_vec(),
        vec![pop(LINK | 0xF0)],
    ]
    .concat()
}
