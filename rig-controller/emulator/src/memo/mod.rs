//! Calls of functions that are not carried out again: a function that was called with the same input before has the same
//! effect, and its effect is taken from memory. Exact, the residue on the stack, cycles and instructions included.
//!
//! Input is everything that the call looks at before it has made it itself: registers, RAM, flash, its own code. Only *pure*
//! calls are remembered: those that touch RAM, read flash and feed the watchdog, and do nothing else. The machine finds out by
//! itself which functions are worth it: it tries each out a few times, and leaves those alone that are short or impure. To look
//! at a call takes several times as long as to carry it out, so a call is looked at once the same input has come several times,
//! and no function is looked at any more whose looks have not paid.
mod entry;
mod footprint;
mod origin;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::entry::{Entry, Shape};
use self::footprint::{CallFootprint, Feeds};
pub(crate) use self::footprint::{NVMC_READY, WATCHDOG_RELOAD};
use crate::Cycles;
use crate::chip::watchdog::Watchdog;
use crate::cpu::{LR, PC, SP, Sleep};
use crate::decode::Instruction;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::world::World;

/// Instructions that a call has at least if it is worth to be remembered.
const SHORT: u64 = 600;
/// Calls of a function that are carried out to find out what it is like.
const TRIALS: u32 = 3;
/// Calls that are carried out for it in vain, since something else came between.
const MOST_DISTURBED: u32 = 12;
/// To look at an instruction takes as long as to carry out so many, about.
const COST: u64 = 5;
/// Instructions of a function that are looked at before as many must have been saved as that has cost.
const ADVANCE: u64 = 20_000_000;
/// Shapes of one function that are looked at.
const SHAPES: usize = 24;
/// Inputs of one shape that are counted.
const SIGHTED: usize = 1 << 16;

/// How much of calls is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoOptions {
    /// A call is looked at when its input comes for this time, counted from 1.
    pub sights: u32,
    /// Bytes of this host that may be used, about; then nothing more is remembered.
    pub bytes: usize,
}

impl Default for MemoOptions {
    fn default() -> Self {
        Self {
            sights: 3,
            bytes: 128 << 20,
        }
    }
}

/// The gain of remembering calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoFigures {
    /// Calls that were not carried out.
    pub recalled: u64,
    /// Instructions that were not executed so.
    pub skipped: u64,
    /// Calls that are remembered.
    pub remembered: u64,
    /// Instructions of the calls that were looked at.
    pub looked_at: u64,
    /// Bytes that this takes, about.
    pub bytes: usize,
}

/// Everything that is remembered.
pub(crate) struct Memo {
    options: MemoOptions,
    functions: HashMap<FunctionId, Function>,
    footprint: CallFootprint,
    scratch: Vec<u64>,
    copies: Vec<u8>,
    figures: MemoFigures,
}

/// Address and first bytes of code.
type FunctionId = (u32, Option<u64>);

/// One function.
#[derive(Default)]
struct Function {
    shapes: Vec<Known>,
    trials: u32,
    /// Trials in which it was pure, and not short.
    worthy: u32,
    /// Trials that something else came between.
    disturbed: u32,
    /// Instructions that were looked at.
    looked_at: u64,
    /// Instructions that were not carried out.
    skipped: u64,
}

/// Calls of one shape.
struct Known {
    shape: Shape,
    calls: HashMap<u64, Entry>,
    sighted: HashMap<u64, u32>,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It returned.
    Returned,
    /// It did something that no memory of it could do again.
    Impure,
    /// Something happened meanwhile.
    Disturbed,
}

/// The way to deal with a call.
enum Found {
    Call(u64, usize),
    Look,
    Nothing,
}

impl Memo {
    fn new(options: MemoOptions) -> Self {
        Self {
            options,
            functions: HashMap::new(),
            footprint: CallFootprint::new(),
            scratch: Vec::new(),
            copies: Vec::new(),
            figures: MemoFigures::default(),
        }
    }
}

impl Function {
    /// The remembered call with the present input, or whether to look at it.
    fn find(
        &mut self,
        registers: &[u32; 16],
        memory: &mut Memory,
        scratch: &mut Vec<u64>,
        sights: u32,
    ) -> Found {
        if self.shapes.is_empty() {
            return Found::Look;
        }
        let mut look = false;
        for (at, known) in self.shapes.iter_mut().enumerate() {
            let ram = |memory: &Memory, word: u16| memory.ram_word(usize::from(word));
            known.shape.input(registers, ram, memory, scratch);
            let hash = hash(scratch);
            if let Some(entry) = known.calls.get(&hash) {
                if *entry.input == **scratch {
                    return Found::Call(hash, at);
                }
                continue;
            }
            if known.sighted.len() >= SIGHTED {
                known.sighted.clear();
            }
            let times = known.sighted.entry(hash).or_insert(0);
            *times += 1;
            // Looked at, it may turn out to be of another shape: then not every time.
            look |= *times == sights || *times > sights && times.is_power_of_two();
        }
        if look { Found::Look } else { Found::Nothing }
    }
}

impl Machine {
    /// From now on pure calls are remembered, and not carried out when they come again. Nothing that can be seen of the machine
    /// changes by it but the speed; [`Machine::step`] carries out every instruction.
    pub fn remember_calls(&mut self, options: MemoOptions) {
        self.memo = MemoSlot(Some(Box::new(Memo::new(options))));
        self.memory.look_at_calls();
    }

    /// The gain of it so far.
    pub fn memo_figures(&self) -> MemoFigures {
        let memo = self.memo.0.as_ref();
        memo.map(|memo| memo.figures).unwrap_or_default()
    }

    /// A function was called: its first instruction is next.
    #[inline(never)]
    pub(crate) fn called(&mut self, world: &mut dyn World) {
        // While one call is looked at, those that it makes are a part of it.
        let Some(mut memo) = self.memo.0.take() else {
            return;
        };
        let on_trial = self.call(&mut memo, world);
        // The calls that a call on trial makes are tried out meanwhile.
        self.memo.0 = Some(memo);
        if let Some(function) = on_trial {
            self.try_out(function, world);
        }
    }

    /// Recalls the call, looks at it, or does nothing; the function, if it is to be tried out.
    fn call(&mut self, memo: &mut Memo, world: &mut dyn World) -> Option<FunctionId> {
        let function = (self.cpu.r[PC], self.memory.code_at(self.cpu.r[PC]));
        let known = memo.functions.entry(function).or_default();
        if known.is_left_alone() {
            self.memory.leave_call_alone(self.cpu.r[LR].wrapping_sub(5));
            return None;
        }
        if self.limit == 0 {
            return None;
        }
        if known.trials < TRIALS && known.worthy == 0 {
            known.trials += 1;
            return Some(function);
        }
        let sights = memo.options.sights;
        match known.find(&self.cpu.r, &mut self.memory, &mut memo.scratch, sights) {
            Found::Call(hash, shape) => {
                if let Some(entry) = known.shapes[shape].calls.get(&hash)
                    && !known.shapes[shape].shape.is_unsettled(&self.memory)
                    && self.has_time_for(entry, world)
                {
                    memo.figures.recalled += 1;
                    memo.figures.skipped += entry.instructions;
                    if let Some(run) = &mut self.memory.footprint {
                        known.shapes[shape].shape.note(run);
                        entry.note(run);
                    }
                    self.recall(entry, &mut memo.copies);
                    known.skipped += entry.instructions;
                    // The shapes that come are looked for first.
                    known.shapes.swap(0, shape);
                }
            }
            Found::Look if memo.figures.bytes < memo.options.bytes && known.is_worth_a_look() => {
                self.take_time_back();
                let begun = (self.now, self.instructions);
                let ended = self.look(&mut memo.footprint, world);
                let took = (self.now - begun.0, self.instructions - begun.1);
                memo.figures.looked_at += took.1;
                known.looked_at += took.1;
                if ended == Ended::Returned {
                    let bytes = known.learn(took, &mut memo.footprint, self);
                    memo.figures.remembered += u64::from(bytes != 0);
                    memo.figures.bytes += bytes;
                }
            }
            Found::Look | Found::Nothing => {}
        }
        None
    }

    /// Carries out a call to find out whether it is pure, and not short; so with the calls that it makes.
    fn try_out(&mut self, function: FunctionId, world: &mut dyn World) {
        let (effects, begun) = (self.effects, self.instructions);
        let ended = self.carry_out(world, |machine, _, _| machine.effects == effects);
        if ended == Ended::Disturbed
            && let Some(memo) = &mut self.memo.0
            && let Some(known) = memo.functions.get_mut(&function)
            && known.disturbed < MOST_DISTURBED
        {
            known.disturbed += 1;
            known.trials -= 1;
        }
        let is_pure = ended == Ended::Returned && self.effects == effects;
        if is_pure
            && self.instructions - begun >= SHORT
            && let Some(memo) = &mut self.memo.0
            && let Some(known) = memo.functions.get_mut(&function)
        {
            known.worthy += 1;
        }
    }

    /// Whether nothing happens while the call lasts.
    fn has_time_for(&self, entry: &Entry, world: &dyn World) -> bool {
        if self.moment.is_some() {
            return true;
        }
        let end = self.now + entry.cycles;
        if end < self.deadline {
            return true;
        }
        let other = self.next_event_but_watchdog(world);
        if end >= self.limit || other.is_some_and(|at| end >= at) {
            return false;
        }
        // So it is the watchdog's time that the call may not outlast.
        match entry.feeds {
            None => self.chip.watchdog.bites_at().is_none_or(|at| end < at),
            Some(feeds) => self.chip.watchdog.is_satisfied_by(self.now, end, feeds),
        }
    }

    fn recall(&mut self, entry: &Entry, copies: &mut Vec<u8>) {
        entry.apply(&mut self.cpu, &mut self.memory, copies);
        if let Some(feeds) = entry.feeds {
            self.chip.watchdog.feed(self.now + feeds.first);
            self.chip.watchdog.feed(self.now + feeds.last);
        }
        self.now += entry.cycles;
        self.instructions += entry.instructions;
        self.attend_next();
    }

    /// Carries out the call whose first instruction is next, and looks at each instruction of it.
    fn look(&mut self, footprint: &mut CallFootprint, world: &mut dyn World) -> Ended {
        footprint.begin(&self.cpu, self.now);
        self.carry_out(world, |machine, pc, instruction| {
            footprint.note(&machine.cpu, &machine.memory, pc, instruction, machine.now);
            !footprint.is_impure
        })
    }

    /// Carries out the call whose first instruction is next, as long as `may_go_on` says so of each instruction before.
    fn carry_out(
        &mut self,
        world: &mut dyn World,
        mut may_go_on: impl FnMut(&Self, u32, Instruction) -> bool,
    ) -> Ended {
        let (sp, back) = (self.cpu.r[SP], self.cpu.r[LR] & !1);
        let exception = self.cpu.exception;
        let other = self.next_event_but_watchdog(world).unwrap_or(Cycles::MAX);
        let until = match self.moment {
            Some(_) => Cycles::MAX,
            None => other.min(self.limit),
        };
        let ended = loop {
            let pc = self.cpu.r[PC];
            if pc == back && self.cpu.r[SP] == sp {
                break Ended::Returned;
            }
            // A BL that is a far jump does not come back: its function takes more from the stack than was there.
            let has_left = self.cpu.r[SP] > sp
                || self.cpu.exception != exception
                || self.cpu.sleep != Sleep::Awake
                || !self.cpu.thumb
                || self.is_stopped();
            if self.now >= self.deadline {
                let bites = self.chip.watchdog.bites_at().unwrap_or(Cycles::MAX);
                self.deadline = until.min(bites);
            }
            if has_left {
                break Ended::Impure;
            }
            if self.now >= self.deadline {
                break Ended::Disturbed;
            }
            let Some(instruction) = self.memory.instruction(pc) else {
                break Ended::Impure;
            };
            if !may_go_on(self, pc, instruction) {
                break Ended::Impure;
            }
            self.execute_one(world);
        };
        self.attend_next();
        ended
    }
}

impl Function {
    /// Whether there is no use in remembering its calls: they are short or impure.
    fn is_left_alone(&self) -> bool {
        self.trials >= TRIALS && self.worthy == 0
    }

    /// Whether what was looked at has paid.
    fn is_worth_a_look(&self) -> bool {
        self.looked_at <= self.skipped / COST + ADVANCE
    }

    /// Remembers the call that was looked at, which has just returned; bytes that this takes.
    fn learn(
        &mut self,
        took: (Cycles, u64),
        footprint: &mut CallFootprint,
        machine: &mut Machine,
    ) -> usize {
        let shape = Shape::of(footprint);
        if shape.is_unsettled(&machine.memory) {
            // The next time it may read something else.
            return 0;
        }
        let entry = Entry::of(footprint, &shape, &machine.cpu, &mut machine.memory, took);
        let bytes = entry.size_bytes();
        let hash = hash(&entry.input);
        if let Some(known) = self.shapes.iter_mut().find(|known| known.shape == shape) {
            known.sighted.remove(&hash);
            known.calls.insert(hash, entry);
        } else if self.shapes.len() < SHAPES {
            self.shapes.push(Known {
                shape,
                calls: HashMap::from([(hash, entry)]),
                sighted: HashMap::new(),
            });
        } else {
            return 0;
        }
        bytes
    }
}

impl Watchdog {
    /// Whether it does not bite during a call from `now` to `end` that feeds it so.
    fn is_satisfied_by(&self, now: Cycles, end: Cycles, feeds: Feeds) -> bool {
        let Some(bites) = self.bites_at() else {
            return true;
        };
        let patience = bites.saturating_sub(self.fed());
        now + feeds.first < bites && feeds.gap < patience && end - (now + feeds.last) < patience
    }
}

/// Memory of calls belongs to one machine: a copy of the machine begins without.
#[derive(Default)]
pub(crate) struct MemoSlot(Option<Box<Memo>>);

impl Clone for MemoSlot {
    fn clone(&self) -> Self {
        Self(None)
    }
}

fn hash(words: &[u64]) -> u64 {
    words.iter().fold(0x9E37_79B9_7F4A_7C15, |hash: u64, word| {
        (hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95)
    })
}
