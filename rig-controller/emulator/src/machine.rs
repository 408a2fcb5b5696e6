//! The machine as a whole: core, memory and peripherals under one clock.

use crate::chip::Chip;
use crate::chip::rng::mixed;
use crate::chip::uart::Received;
use crate::cpu::{Cpu, PC, Sleep};
use crate::footprint::Footprint;
use crate::memo::MemoSlot;
use crate::memory::Memory;
use crate::still::Moment;
use crate::traps::Traps;
use crate::unsettled::Unsettled;
use crate::world::{ResetCause, Stop, Timing, Trap, View, World};
use crate::{Cycles, FLASH_BYTES, PAGE_BYTES, RAM_BYTES};

/// The state of a machine beside flash and RAM: registers, peripherals, time. To be compared with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    cpu: Cpu,
    chip: Chip,
    now: Cycles,
    locked_up: Option<u32>,
}

/// A micro:bit's chip: core, flash, RAM and peripherals.
#[derive(Clone)]
pub struct Machine {
    pub(crate) cpu: Cpu,
    pub(crate) memory: Memory,
    pub(crate) chip: Chip,
    pub(crate) timing: Timing,
    pub(crate) now: Cycles,
    pub(crate) instructions: u64,
    /// Up to when nothing but instructions can happen.
    pub(crate) deadline: Cycles,
    /// Where time stands, if it does.
    pub(crate) moment: Option<Moment>,
    /// Up to when the machine is to run; 0 while it executes single instructions.
    pub(crate) limit: Cycles,
    pub(crate) memo: MemoSlot,
    /// Counts what is more than to touch RAM, to read flash and to feed the watchdog.
    pub(crate) effects: u64,
    pub(crate) debugger: bool,
    pub(crate) traps: Traps,
    /// Resets since the machine was made, but for power-on.
    pub(crate) resets: u64,
    /// The instruction at which the core has locked up.
    pub(crate) locked_up: Option<u32>,
    stopped: Option<Stop>,
}

impl Machine {
    /// A machine that has just been powered on, at cycle 0, with erased flash and zeros in RAM. It runs nothing sensible
    /// before [`load_flash`](Self::load_flash) and [`power_on`](Self::power_on).
    pub fn new(timing: Timing) -> Self {
        let memory = Memory::new();
        Self {
            cpu: Cpu::after_reset(memory.flash_word(0), memory.flash_word(4)),
            memory,
            chip: Chip::new(timing),
            timing,
            now: 0,
            instructions: 0,
            deadline: 0,
            moment: None,
            limit: 0,
            memo: MemoSlot::default(),
            effects: 0,
            debugger: false,
            traps: Traps::default(),
            resets: 0,
            locked_up: None,
            stopped: None,
        }
    }

    /// Replaces all of flash. Instructions that were decoded stay so where a page does not differ.
    ///
    /// # Panics
    /// When `flash` is not [`FLASH_BYTES`] long.
    pub fn load_flash(&mut self, flash: &[u8]) {
        assert_eq!(flash.len(), FLASH_BYTES, "the whole of flash, not a part");
        let (pages, _) = flash.as_chunks::<PAGE_BYTES>();
        for (address, page) in (0..).step_by(PAGE_BYTES).zip(pages) {
            if self.memory.flash()[address..address + PAGE_BYTES] != *page {
                self.memory.set_page(address as u32, page);
            }
        }
    }

    /// Flash, from address 0 on.
    pub fn flash(&self) -> &[u8; FLASH_BYTES] {
        self.memory.flash()
    }

    /// Puts a word into flash at `address`, whatever was there, as a tester does while the chip is off.
    ///
    /// # Panics
    /// When `address` is not a multiple of 4 inside flash.
    pub fn set_word(&mut self, address: u32, word: u32) {
        assert!(address.is_multiple_of(4) && (address as usize) < FLASH_BYTES);
        self.memory.set_word(address, word);
    }

    /// Puts a page into flash at `address`, whatever was there, as a tester does while the chip is off.
    ///
    /// # Panics
    /// When `address` is not that of a page.
    pub fn set_page(&mut self, address: u32, page: &[u8; PAGE_BYTES]) {
        assert!(address.is_multiple_of(PAGE_BYTES as u32) && (address as usize) < FLASH_BYTES);
        self.memory.set_page(address, page);
    }

    /// RAM, from [`RAM_START`](crate::RAM_START) on.
    pub fn ram(&self) -> &[u8; RAM_BYTES] {
        &self.memory.ram
    }

    /// RAM, to be changed by a tester.
    pub fn ram_mut(&mut self) -> &mut [u8; RAM_BYTES] {
        if let Some(footprint) = &mut self.memory.footprint {
            footprint.fill_ram();
        }
        &mut self.memory.ram
    }

    /// Power comes back at `now`: everything is as after a power-on reset but flash, UICR and RAM. RAM is as it
    /// was, as after a brown-out, until the caller fills it.
    pub fn power_on(&mut self, now: Cycles) {
        self.now = now;
        self.time_has_passed();
        self.stopped = None;
        self.chip.power_on(self.timing);
        self.start();
    }

    /// The chip resets, for a reason that lies outside the machine. On the board a lock-up is one, unless a debugger is
    /// attached.
    pub fn reset(&mut self, world: &mut dyn World, cause: ResetCause) {
        self.reset_by(world, cause);
    }

    pub(crate) fn reset_by(&mut self, world: &mut dyn World, cause: ResetCause) {
        world.reset(cause, &self.view());
        self.note_looks(world);
        self.chip.reset(self.timing, cause);
        self.start();
        self.resets += 1;
        if self.traps.reset {
            self.stop(Stop::Trapped {
                pc: self.cpu.r[PC],
                by: Trap::Reset,
            });
        }
    }

    /// The core begins at the reset vector.
    fn start(&mut self) {
        let (stack, vector) = (
            self.memory.read_flash_word(0),
            self.memory.read_flash_word(4),
        );
        self.cpu = Cpu::after_reset(stack, vector);
        self.locked_up = None;
        self.deadline = 0;
    }

    /// From now on the bytes of the random number generator, and the chip's device id, follow from `seed`.
    pub fn set_seed(&mut self, seed: u64) {
        self.chip.rng.set_seed(seed);
        self.chip.information.set_device_id(mixed(seed ^ 0x1D));
    }

    /// From now on the pins of `driven` (a bit each) are held at the level of their bit in `levels`, the others are open.
    pub fn drive_pins(&mut self, driven: u32, levels: u32) {
        self.chip.gpio.drive(driven, levels);
    }

    /// How long the UART takes for a byte at the rate that the firmware has set, in either timing.
    pub fn uart_byte_cycles(&self) -> Cycles {
        self.chip.uart.byte_cycles()
    }

    /// Whether the watchdog runs.
    pub fn watchdog_runs(&self) -> bool {
        self.chip.watchdog.is_running()
    }

    /// The output levels that the firmware has set, a bit a pin.
    pub fn outputs(&self) -> u32 {
        self.chip.gpio.outputs()
    }

    /// From here on the machine keeps a footprint of its run, of which nothing is known yet; or it keeps none.
    pub fn keep_footprint(&mut self, kept: bool) {
        self.memory.fetching = u32::MAX;
        match (&mut self.memory.footprint, kept) {
            (Some(footprint), true) => footprint.clear(),
            (None, true) => self.memory.footprint = Some(Box::new(Footprint::new())),
            (footprint, false) => *footprint = None,
        }
    }

    /// Words of flash that are unsettled, if any are.
    pub fn unsettled(&self) -> Option<&Unsettled> {
        self.memory.unsettled.as_deref()
    }

    /// These words of flash are unsettled now, and no others.
    pub fn set_unsettled(&mut self, unsettled: Option<Unsettled>) {
        self.memory.unsettled = unsettled
            .filter(|unsettled| !unsettled.is_empty())
            .map(Box::new);
    }

    /// The footprint, if one is kept.
    pub fn footprint(&self) -> Option<&Footprint> {
        self.memory.footprint.as_deref()
    }

    /// The footprint, to set marks in it and to tell it of what others read.
    pub fn footprint_mut(&mut self) -> Option<&mut Footprint> {
        self.memory.fetching = u32::MAX;
        self.memory.footprint.as_deref_mut()
    }

    /// The state of the machine beside flash and RAM.
    pub fn core(&self) -> Core {
        Core {
            cpu: self.cpu.clone(),
            chip: self.chip.clone(),
            now: self.now,
            locked_up: self.locked_up,
        }
    }

    /// The world may have looked at flash.
    pub(crate) fn note_looks(&mut self, world: &mut dyn World) {
        if let Some(footprint) = &mut self.memory.footprint {
            world.looked_at(&mut |bytes| footprint.read_flash(bytes));
        }
    }

    /// The time.
    pub fn now(&self) -> Cycles {
        self.now
    }

    /// Instructions executed since the machine was made.
    pub fn instructions(&self) -> u64 {
        self.instructions
    }

    /// The machine as the world sees it.
    pub fn view(&self) -> View<'_> {
        View {
            flash: self.memory.flash(),
            ram: &self.memory.ram,
            now: self.now,
            pc: self.cpu.r[PC],
            registers: &self.cpu.r,
            instructions: self.instructions,
        }
    }

    /// The machine is to stop behind this instruction. The first reason counts.
    pub(crate) fn stop(&mut self, stop: Stop) {
        self.stopped = self.stopped.or(Some(stop));
        self.deadline = 0;
    }

    /// Runs until something stops the machine, or to the first instruction that ends at or behind `until`. A sleeping core
    /// jumps to what wakes it.
    pub fn run(&mut self, world: &mut dyn World, until: Cycles) -> Stop {
        self.limit = until;
        loop {
            self.attend(world);
            if let Some(stop) = self.ended() {
                return stop;
            }
            if self.now >= until {
                return Stop::Budget;
            }
            let next = self.next_event(world);
            if self.cpu.sleep == Sleep::Awake {
                self.deadline = next.unwrap_or(until).min(until);
                self.execute_until_deadline(world);
                self.take_time_back();
                // A stop behind an instruction leaves what has become due in the meantime to the next run.
                if let Some(stop) = self.ended() {
                    return stop;
                }
            } else {
                match next {
                    None => return Stop::Asleep,
                    Some(next) => self.sleep_until(next.min(until)),
                }
            }
        }
    }

    /// Lets everything happen that is due before the next instruction, and executes none: bytes arrive, an exception is
    /// entered, a sleep ends.
    pub fn settle(&mut self, world: &mut dyn World) {
        self.attend(world);
    }

    /// Executes one instruction, with what is due before it: a byte arrives, an exception is taken, a sleep ends.
    pub fn step(&mut self, world: &mut dyn World) -> Option<Stop> {
        self.limit = 0;
        loop {
            self.attend(world);
            if let Some(stop) = self.ended() {
                return Some(stop);
            }
            if self.cpu.sleep == Sleep::Awake {
                self.deadline = Cycles::MAX;
                self.execute_one(world);
                self.take_time_back();
                return self.ended();
            }
            match self.next_event(world) {
                None => return Some(Stop::Asleep),
                Some(next) => self.sleep_until(next),
            }
        }
    }

    /// Time passes up to `now` for a core for which nothing happens meanwhile: it sleeps for good, or has locked up.
    pub fn pass(&mut self, now: Cycles) {
        self.now = self.now.max(now);
        self.time_has_passed();
    }

    fn ended(&mut self) -> Option<Stop> {
        let locked_up = self.locked_up.map(|pc| Stop::LockUp { pc });
        self.stopped.take().or(locked_up)
    }

    fn sleep_until(&mut self, at: Cycles) {
        self.chip.watchdog.slept(at - self.now);
        self.now = at;
        self.time_has_passed();
    }

    /// When something other than an instruction happens next.
    fn next_event(&self, world: &dyn World) -> Option<Cycles> {
        let now = self.now;
        let outside = world.next_at().filter(|at| *at > now);
        if self.cpu.sleep == Sleep::Off {
            return None;
        }
        let asleep = self.cpu.sleep != Sleep::Awake;
        let inside = self.chip.next_event(asleep).filter(|at| *at > now);
        [outside, inside].into_iter().flatten().min()
    }

    /// When something happens next that neither an instruction nor the watchdog does.
    pub(crate) fn next_event_but_watchdog(&self, world: &dyn World) -> Option<Cycles> {
        let outside = world.next_at();
        let inside = self.chip.next_event_but_watchdog();
        let times = outside.into_iter().chain(inside);
        times.filter(|at| *at > self.now).min()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_some() || self.locked_up.is_some()
    }

    /// Lets everything happen that is due now: outside, in the peripherals, in the core.
    #[inline(never)]
    fn attend(&mut self, world: &mut dyn World) {
        if self.locked_up.is_some() || self.stopped.is_some() {
            return;
        }
        self.meet_world(world);
        if self
            .chip
            .watchdog
            .bites_at()
            .is_some_and(|at| at <= self.now)
        {
            self.reset_by(world, ResetCause::Watchdog);
        }
        self.chip.advance(self.now);
        self.cpu.event |= self.chip.nvic.take_event();
        if self.stopped.is_some() {
            return;
        }
        self.wake();
        if self.cpu.sleep != Sleep::Awake {
            return;
        }
        if let Some(exception) = self.chip.nvic.taken(self.cpu.primask)
            && self.traps.let_through(exception)
        {
            self.enter(exception, self.cpu.r[PC]);
        }
        if !self.cpu.thumb && self.locked_up.is_none() {
            // A Cortex-M0 has no other state: the next instruction cannot be executed.
            self.now += 1;
            self.instructions += 1;
            self.fault(self.cpu.r[PC]);
        }
    }

    /// Ends a sleep if there is reason to.
    fn wake(&mut self) {
        let awake = match self.cpu.sleep {
            Sleep::Awake | Sleep::Off => return,
            Sleep::ForInterrupt => self.chip.nvic.taken(false).is_some(),
            Sleep::ForEvent => {
                std::mem::take(&mut self.cpu.event)
                    || self.chip.nvic.taken(self.cpu.primask).is_some()
            }
        };
        if awake {
            self.cpu.sleep = Sleep::Awake;
        }
    }

    /// Brings the outside up to now, in the order of time: bytes that have left go out, and bytes that have arrived come in.
    /// A time that the world still names after its turn is one at which the device had no room.
    pub(crate) fn meet_world(&mut self, world: &mut dyn World) {
        let now = self.now;
        let mut turned = None;
        loop {
            let sent = self.chip.uart.sent_at().filter(|at| *at <= now);
            let outside = world
                .next_at()
                .filter(|at| *at <= now && turned.is_none_or(|turned| *at > turned));
            match (sent, outside) {
                (Some(sent), outside) if outside.is_none_or(|at| sent <= at) => {
                    self.byte_leaves(world, sent);
                    turned = None;
                }
                (_, Some(at)) => {
                    world.turn(at);
                    turned = Some(at);
                    self.receive(world, at);
                }
                _ => break,
            }
        }
        self.receive(world, now);
    }

    fn byte_leaves(&mut self, world: &mut dyn World, at: Cycles) {
        if let Some(byte) = self.chip.uart.sent() {
            let view = View {
                now: at,
                ..self.view()
            };
            let go = world.byte_sent(byte, &view);
            self.note_looks(world);
            self.obey(go);
        }
    }

    fn receive(&mut self, world: &mut dyn World, now: Cycles) {
        while self.chip.uart.takes_byte()
            && let Some(byte) = world.next_byte(now)
        {
            if self.chip.uart.receive(byte) == Received::Overrun {
                world.overrun(now);
            }
        }
    }
}
