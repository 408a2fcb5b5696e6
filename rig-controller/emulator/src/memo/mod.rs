//! Calls of functions that are not carried out again: a function that was called with the same input before has the same
//! effect, and its effect is taken from memory. Exact, the residue on the stack, cycles and instructions included.
//!
//! Input is everything that the call looks at before it has made it itself: registers, RAM, flash, its own code. Only *pure*
//! calls are remembered: those that touch RAM, read flash and feed the watchdog, and do nothing else. Nobody says which
//! functions are worth it: the first call of each is looked at, and what turns out short or impure is left alone from then on.
//! Looking at a call takes several times as long as carrying it out, so later calls are looked at once the same input has come
//! several times.
mod entry;
mod footprint;

use std::collections::HashMap;

use self::entry::{Entry, Shape};
use self::footprint::{Feeds, Footprint};
use crate::Cycles;
use crate::chip::watchdog::Watchdog;
use crate::cpu::{LR, PC, SP, Sleep};
use crate::machine::Machine;
use crate::memory::Memory;
use crate::world::World;

/// Instructions that a call has at least if it is worth to be remembered.
const SHORT: u64 = 600;
/// So many short calls, and none that is longer, and the function is left alone.
const PATIENCE: u32 = 3;
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

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoFigures {
    /// Calls that were not carried out.
    pub recalled: u64,
    /// Instructions that were not executed so.
    pub skipped: u64,
    /// Calls that are remembered.
    pub remembered: u64,
    /// Instructions that were looked at one by one.
    pub looked_at: u64,
    /// Bytes that this takes, about.
    pub bytes: usize,
}

/// Everything that is remembered.
pub(crate) struct Memo {
    options: MemoOptions,
    functions: HashMap<(u32, u64), Function>,
    footprint: Footprint,
    scratch: Vec<u64>,
    figures: MemoFigures,
}

/// One function.
#[derive(Default)]
struct Function {
    shapes: Vec<Known>,
    short: u32,
    impure: u32,
    interrupted: u32,
    is_left_alone: bool,
}

/// Calls of one shape.
struct Known {
    shape: Shape,
    calls: HashMap<u64, Entry>,
    sighted: HashMap<u64, u32>,
}

/// How looking at a call ended.
enum Looked {
    Whole,
    Impure,
    Interrupted,
}

/// What to do about a call.
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
            footprint: Footprint::new(),
            scratch: Vec::new(),
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
        self.memory.forget_calls();
    }

    /// What has come of it so far.
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
        self.call(&mut memo, world);
        self.memo.0 = Some(memo);
    }

    fn call(&mut self, memo: &mut Memo, world: &mut dyn World) {
        let target = self.cpu.r[PC];
        let Some(code) = self.memory.code_at(target) else {
            return;
        };
        let function = memo.functions.entry((target, code)).or_default();
        if function.is_left_alone {
            self.memory.leave_call_alone(self.cpu.r[LR].wrapping_sub(5));
            return;
        }
        if self.limit == 0 {
            return;
        }
        let sights = memo.options.sights;
        match function.find(&self.cpu.r, &mut self.memory, &mut memo.scratch, sights) {
            Found::Nothing => {}
            Found::Call(hash, shape) => {
                if let Some(entry) = function.shapes[shape].calls.get(&hash)
                    && !function.shapes[shape].shape.is_unsettled(&self.memory)
                    && self.has_time_for(entry, world)
                {
                    memo.figures.recalled += 1;
                    memo.figures.skipped += entry.instructions;
                    if let Some(run) = &mut self.memory.footprint {
                        function.shapes[shape].shape.note(run);
                        entry.note(run);
                    }
                    self.recall(entry);
                    // The shapes that come are looked for first.
                    function.shapes.swap(0, shape);
                }
            }
            Found::Look if memo.figures.bytes >= memo.options.bytes => {}
            Found::Look => {
                self.take_time_back();
                let begun = (self.now, self.instructions);
                let looked = self.look(&mut memo.footprint, world);
                let took = (self.now - begun.0, self.instructions - begun.1);
                memo.figures.looked_at += took.1;
                let bytes = function.learn(&looked, took, &mut memo.footprint, self);
                memo.figures.remembered += u64::from(bytes != 0);
                memo.figures.bytes += bytes;
            }
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

    fn recall(&mut self, entry: &Entry) {
        entry.apply(&mut self.cpu, &mut self.memory);
        if let Some(feeds) = entry.feeds {
            self.chip.watchdog.feed(self.now + feeds.first);
            self.chip.watchdog.feed(self.now + feeds.last);
        }
        self.now += entry.cycles;
        self.instructions += entry.instructions;
        self.attend_next();
    }

    /// Carries out the call whose first instruction is next, and looks at each instruction of it.
    fn look(&mut self, footprint: &mut Footprint, world: &mut dyn World) -> Looked {
        let (sp, back) = (self.cpu.r[SP], self.cpu.r[LR] & !1);
        let exception = self.cpu.exception;
        let other = self.next_event_but_watchdog(world).unwrap_or(Cycles::MAX);
        let until = match self.moment {
            Some(_) => Cycles::MAX,
            None => other.min(self.limit),
        };
        footprint.begin(&self.cpu, self.now);
        let looked = loop {
            let pc = self.cpu.r[PC];
            if pc == back && self.cpu.r[SP] == sp {
                break Looked::Whole;
            }
            let bites = self.chip.watchdog.bites_at();
            if self.now >= until || bites.is_some_and(|at| self.now >= at) {
                break Looked::Interrupted;
            }
            let Some(instruction) = self.memory.instruction(pc) else {
                break Looked::Impure;
            };
            footprint.note(&self.cpu, &self.memory, pc, instruction, self.now);
            if footprint.is_impure {
                break Looked::Impure;
            }
            self.execute_one(world);
            let has_left = self.cpu.exception != exception
                || self.cpu.sleep != Sleep::Awake
                || !self.cpu.thumb
                || self.is_stopped();
            if has_left {
                break Looked::Impure;
            }
        };
        self.attend_next();
        looked
    }
}

impl Function {
    /// What was looked at is remembered, if it can be and is worth it; bytes that this takes.
    fn learn(
        &mut self,
        looked: &Looked,
        took: (Cycles, u64),
        footprint: &mut Footprint,
        machine: &mut Machine,
    ) -> usize {
        let has_calls = !self.shapes.is_empty();
        match looked {
            Looked::Impure => self.impure += 1,
            Looked::Interrupted => self.interrupted += 1,
            Looked::Whole if took.1 < SHORT => self.short += 1,
            Looked::Whole => {
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
                return bytes;
            }
        }
        let failures = [self.short, self.impure, self.interrupted];
        self.is_left_alone = !has_calls && failures.iter().any(|count| *count >= PATIENCE);
        0
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
