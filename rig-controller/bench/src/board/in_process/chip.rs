//! The chip of a board in this process: machine, power and what is told of it.
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use powercut_emulator::{
    self as emulator, Cycles, Machine, PAGE_BYTES, Stop, Timing, cycles_in, time_of,
};
use powercut_oracle::outage::Ram;
use powercut_oracle::seen::VirtualTime;

use super::world::{Cut, Told, World};
use crate::board::stack::deepest_stack;
use crate::board::{AtCut, BoardError, CutObserver, Stopped, nrf51};
use crate::feed::Feed;
use crate::link::FarEnd;

/// See the module's text.
pub(super) struct Chip {
    machine: Machine,
    time: VirtualTime,
    heard: Arc<Mutex<VecDeque<u8>>>,
    feed: Option<Feed>,
    far_end: Option<Arc<Mutex<dyn FarEnd>>>,
    observer: Option<Arc<dyn CutObserver>>,
    state: State,
    /// Flash operations since provisioning.
    operations: u64,
    seed: u64,
    boots: u64,
    /// RAM as it was at power-on, if it was garbage.
    garbage: Option<Vec<u8>>,
    /// Core and peripherals hold their state.
    is_fed: bool,
    /// So much of its content RAM keeps up to the next power-on.
    kept: Ram,
    told: Told,
}

/// Whether the chip runs, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Off,
    /// Cut, and nobody has been told of it by the board yet.
    Cut,
    Held,
    Running,
    LockedUp,
}

impl Chip {
    /// A chip without power, its flash erased.
    pub(super) fn new(timing: Timing, time: VirtualTime, heard: Arc<Mutex<VecDeque<u8>>>) -> Self {
        Self {
            machine: Machine::new(timing),
            time,
            heard,
            feed: None,
            far_end: None,
            observer: None,
            state: State::Off,
            operations: 0,
            seed: 0,
            boots: 0,
            garbage: None,
            is_fed: false,
            kept: Ram::Lost,
            told: Told::default(),
        }
    }

    pub(super) fn watch(&mut self, feed: Feed) {
        self.feed = Some(feed);
    }

    pub(super) fn connect(&mut self, far_end: Option<Arc<Mutex<dyn FarEnd>>>) {
        self.far_end = far_end;
    }

    pub(super) fn observe_cuts(&mut self, observer: Arc<dyn CutObserver>) {
        self.observer = Some(observer);
    }

    pub(super) fn flash(&self) -> &[u8] {
        self.machine.flash()
    }

    pub(super) fn has_power(&self) -> bool {
        !matches!(self.state, State::Off | State::Cut)
    }

    /// Whether core and peripherals have held their state since the last power-on.
    pub(super) fn is_fed(&self) -> bool {
        self.is_fed
    }

    /// So much of its content RAM keeps up to the next power-on, if power is off.
    pub(super) fn keep_ram(&mut self, kept: Ram) {
        if !self.is_fed {
            self.kept = kept;
        }
    }

    /// Why it does not run, if it has no power.
    pub(super) fn stopped(&self) -> Option<Stopped> {
        match self.state {
            State::Off => Some(Stopped::PoweredOff),
            State::Cut => Some(Stopped::Cut),
            State::Held | State::Running | State::LockedUp => None,
        }
    }

    /// Replaces the flash of a chip without power.
    pub(super) fn provision(
        &mut self,
        board: &str,
        flash: &[u8],
        seed: u64,
    ) -> Result<(), BoardError> {
        nrf51::check_provision(board, self.has_power(), flash)?;
        self.machine.load_flash(flash);
        self.state = State::Off;
        self.operations = 0;
        self.boots = 0;
        self.kept = Ram::Lost;
        self.told = Told::default();
        self.seed = seed;
        Ok(())
    }

    /// Gives power; nothing happens if it is there. The core is held before its first instruction.
    pub(super) fn power_on(&mut self, board: &str) -> Result<(), BoardError> {
        if self.has_power() {
            return Ok(());
        }
        if self.feed.is_none() {
            return Err(nrf51::unwatched(board));
        }
        self.boots += 1;
        let now = cycles_in(self.time.now());
        let kept = std::mem::take(&mut self.kept);
        boot(&mut self.machine, self.seed, self.boots, now, kept);
        self.garbage = (kept == Ram::Lost).then(|| self.machine.ram().to_vec());
        self.is_fed = true;
        self.told.overrun = false;
        self.heard().clear();
        self.state = State::Held;
        Ok(())
    }

    /// Lets a core that is held run.
    pub(super) fn release(&mut self, board: &str) -> Result<(), BoardError> {
        match self.state {
            State::Held => self.state = State::Running,
            // It may have been cut meanwhile.
            State::Running | State::LockedUp | State::Cut => {}
            State::Off => return Err(nrf51::off(board)),
        }
        Ok(())
    }

    /// Takes power; nothing happens if it is gone.
    pub(super) fn power_off(&mut self) {
        if self.has_power() {
            self.state = State::Off;
        }
        self.garbage = None;
        self.is_fed = false;
        self.heard().clear();
    }

    /// Runs the device until `until`, or until something ends it.
    pub(super) fn run(
        &mut self,
        board: &str,
        until: Cycles,
        woken: &AtomicBool,
    ) -> Result<(), BoardError> {
        let Some(feed) = self.feed.clone().filter(|_| self.state == State::Running) else {
            self.pass(until);
            return Ok(());
        };
        let mut world = World {
            feed: &feed,
            time: &self.time,
            far_end: self.far_end.as_ref(),
            woken,
            heard: &self.heard,
            operations: self.operations,
            cut: None,
            told: &mut self.told,
        };
        let stop = self.machine.run(&mut world, until);
        self.operations = world.operations;
        let cut = world.cut.take();
        self.time.advance_to(time_of(self.machine.now()));
        match (stop, cut) {
            (_, Some(cut)) => self.cut(board, &cut),
            (Stop::Asleep, None) => self.pass(until),
            // The chip resets itself.
            (Stop::LockUp { .. }, None) if self.machine.watchdog_runs() => {
                self.machine.reset(&mut world, emulator::ResetCause::LockUp);
            }
            (Stop::LockUp { .. }, None) => {
                self.state = State::LockedUp;
                let board = board.to_owned();
                return Err(BoardError::LockedUp { board });
            }
            (Stop::Budget | Stop::World | Stop::Breakpoint { .. } | Stop::Trapped { .. }, None) => {
            }
        }
        Ok(())
    }

    /// Power is gone, here.
    fn cut(&mut self, board: &str, cut: &Cut) {
        let before = self.observer.is_some().then(|| self.machine.clone());
        if let Some((operation, shape)) = cut.torn {
            let mut flash = self.machine.flash().to_vec();
            operation.tear(&mut flash, shape, PAGE_BYTES as u32);
            self.machine.load_flash(&flash);
        }
        if let (Some(observer), Some(before)) = (&self.observer, before) {
            let mut after = self.machine.clone();
            boot(
                &mut after,
                self.seed,
                self.boots + 1,
                before.now(),
                Ram::Lost,
            );
            let board = board.to_owned();
            observer.at_cut(AtCut {
                board,
                before,
                after,
            });
        }
        self.power_off();
        self.state = State::Cut;
    }

    /// Lets time pass up to `until` for a core that does nothing meanwhile, and for those who live beside the board.
    pub(super) fn pass(&mut self, until: Cycles) {
        let end = time_of(until);
        if let Some(far_end) = &self.far_end {
            let mut far_end = far_end.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(at) = far_end.next_at().filter(|at| *at <= end) {
                self.time.advance_to(at);
                far_end.turn(at);
                // A device that does not listen loses them.
                while far_end.next_byte(at).is_some() {}
            }
        }
        if self.has_power() {
            self.machine.pass(until);
        }
        self.time.advance_to(end);
    }

    /// Bytes of stack that were in use at most since power-on, if it is on and RAM began as garbage: in RAM that was kept the
    /// stack of the boot before looks like one of this boot.
    pub(super) fn stack_bytes(&self) -> Option<u32> {
        let garbage = self.garbage.as_ref().filter(|_| self.has_power())?;
        Some(deepest_stack(self.machine.ram(), garbage))
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives power to a machine at `now`, in its boot number `boots` from 1, whose RAM has kept so much.
fn boot(machine: &mut Machine, seed: u64, boots: u64, now: Cycles, kept: Ram) {
    nrf51::randomise_but(machine, seed, boots, kept);
    machine.power_on(now);
}
