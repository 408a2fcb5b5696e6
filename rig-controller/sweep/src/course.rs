//! A course of events: the device's world from its first power-on to where it stands, with the oracle that watches it.
use std::ops::Range;
use std::time::{Duration, Instant};

use nor_flash_model::{CutEffect, Flicker, fold};
use powercut_bench::board::randomise;
use powercut_bench::modem::ModemEvent;
use powercut_emulator::{
    Cycles, Go, Machine, Operation, ResetCause, View, World, cycles_in, time_of,
};
use powercut_oracle::seen::{self, What};
use powercut_platform::PlatformError;

use crate::cut::noise;
use crate::outside::Outside;
use crate::pages::{PageSet, Versions};
use crate::upgrade::Upgrade;
use crate::watch::{Watch, page_of};

/// The history of an outside whose device has lost power and has got it again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parted(u64);

/// See the module's text.
pub(crate) struct Course<'u> {
    pub(crate) upgrade: &'u Upgrade,
    pub(crate) outside: Outside,
    pub(crate) watch: Watch,
    power_ons: u64,
    /// When the device got power.
    powered_at: Duration,
    /// The machine stops before each operation from this number on.
    pub(crate) stops_from: u64,
    /// The operation that the machine has stopped before.
    pub(crate) pending: Option<Operation>,
    /// That operation happens.
    allowed: bool,
    /// Pages that have changed.
    pub(crate) changed: PageSet,
    /// Pages as they were at the marks of the machine's footprint, if it keeps one.
    pub(crate) versions: Option<Box<Versions>>,
    /// Marks of the footprint.
    pub(crate) marks: usize,
    /// How the weak bits read that the last cut left, and power-ons since.
    flicker: Option<(Flicker, u32)>,
    /// When the application first showed itself, on the host's clock.
    pub(crate) booted_at: Option<Instant>,
}

impl<'u> Course<'u> {
    /// The course of a device fresh from the factory, without power.
    pub(crate) fn new(upgrade: &'u Upgrade) -> Result<Self, PlatformError> {
        Ok(Self {
            upgrade,
            outside: Outside::new(upgrade)?,
            watch: Watch::new(upgrade),
            power_ons: 0,
            powered_at: Duration::ZERO,
            stops_from: u64::MAX,
            pending: None,
            allowed: false,
            changed: PageSet::default(),
            versions: None,
            marks: 0,
            flicker: None,
            booted_at: None,
        })
    }

    /// The course that parts from this one by a loss of power, which `watch` has seen, at `now`.
    pub(crate) fn part(&self, watch: Watch, now: Cycles, effect: CutEffect) -> Self {
        let mut course = Self {
            upgrade: self.upgrade,
            outside: self.outside.fork(),
            watch,
            pending: None,
            allowed: false,
            changed: PageSet::default(),
            versions: None,
            marks: 0,
            booted_at: None,
            ..*self
        };
        course.without_power(now);
        course.weakened(effect);
        course
    }

    /// Power is lost, which `watch` has seen, at `now`.
    pub(crate) fn lose_power(&mut self, watch: Watch, now: Cycles, effect: CutEffect) {
        self.watch = watch;
        self.without_power(now);
        self.weakened(effect);
    }

    /// The last cut had this effect.
    pub(crate) fn weakened(&mut self, effect: CutEffect) {
        self.flicker = effect
            .flicker()
            .map(|flicker| (flicker, 0))
            .or(self.flicker);
    }

    /// Equal for courses that have come to the same: but for flash, RAM, core and programs of units.
    pub(crate) fn memory(&self, cuts_to_come: bool) -> u64 {
        fold(
            fold(self.outside.history(), self.watch.memory(cuts_to_come)),
            self.power_ons,
        )
    }

    /// The same for a course that parts from this one by a loss of power, which `watch` has seen and after which the outside is
    /// `outside`.
    pub(crate) fn memory_once_parted(
        &self,
        watch: &Watch,
        outside: Parted,
        cuts_to_come: bool,
    ) -> u64 {
        fold(
            fold(outside.0, watch.memory(cuts_to_come)),
            self.power_ons + 1,
        )
    }

    /// The outside of a course that parts from this one by a loss of power at `now`.
    pub(crate) fn outside_once_parted(&self, now: Cycles) -> Parted {
        let mut outside = self.outside.fork();
        let back = outside.without_power(self.upgrade, self.time_at(now));
        outside.power_restored(back);
        Parted(outside.history())
    }

    /// The operation that the machine has stopped before happens when it goes on.
    pub(crate) fn allow(&mut self) {
        self.allowed = true;
    }

    fn time_at(&self, cycles: Cycles) -> Duration {
        self.powered_at + time_of(cycles)
    }

    /// The first cycle that is not before `time`.
    fn cycle_at(&self, time: Duration) -> Cycles {
        cycles_in(time.saturating_sub(self.powered_at))
    }

    /// The device gets power: its flash stays, its RAM holds garbage that follows from the seed. The oracle looks at it.
    pub(crate) fn power_on(&mut self, machine: &mut Machine) {
        self.watch.boot(What::PowerOn, machine.flash());
        self.watch.note_reads(machine);
        self.begin_boot(machine);
    }

    /// The same for an oracle that has looked.
    pub(crate) fn begin_boot(&mut self, machine: &mut Machine) {
        self.power_ons += 1;
        randomise(machine, self.upgrade.seed, self.power_ons);
        if let Some((flicker, boot)) = &mut self.flicker
            && let Some(mut unsettled) = machine.unsettled().cloned()
        {
            unsettled.set_noise(noise(*flicker, *boot), false);
            *boot += 1;
            machine.set_unsettled(Some(unsettled));
        }
        machine.power_on(0);
        self.outside.power_restored(self.powered_at);
    }

    /// The device loses power.
    pub(crate) fn power_off(&mut self, machine: &Machine, cut: bool) {
        self.watch.power_off(cut);
        self.without_power(machine.now());
    }

    fn without_power(&mut self, now: Cycles) {
        let now = self.time_at(now);
        self.powered_at = self.outside.without_power(self.upgrade, now);
    }

    /// The device rests.
    pub(crate) fn at_rest(&mut self, machine: &mut Machine) {
        let report = self.outside.device_state().last_report;
        let result = report.map(|status| status.result);
        self.watch.at_rest(self.upgrade, machine.flash(), result);
        self.watch.note_reads(machine);
    }

    /// A sign that the application runs, if it is one.
    fn sign(&mut self, what: What<'_>, is_sign: bool, view: &View<'_>) {
        if is_sign && self.booted_at.is_none() {
            self.booted_at = Some(Instant::now());
        }
        self.watch.sign(what, is_sign, view.flash);
    }

    fn go(&self) -> Go {
        if self.watch.violation().is_some() {
            Go::StopAfter
        } else {
            Go::On
        }
    }
}

impl World for Course<'_> {
    fn operation(&mut self, operation: Operation, view: &View<'_>) -> Go {
        let is_stop = self.watch.operations + 1 >= self.stops_from;
        let is_allowed = std::mem::take(&mut self.allowed);
        if is_stop && !is_allowed {
            self.pending = Some(operation);
            return Go::StopBefore;
        }
        let page = page_of(operation);
        self.changed.add(page);
        if let Some(versions) = &mut self.versions {
            versions.keep(page, view.flash, self.marks);
        }
        self.watch.operate(operation, CutEffect::After, view.flash);
        self.go()
    }

    fn byte_sent(&mut self, byte: u8, view: &View<'_>) -> Go {
        self.sign(What::Byte(byte), true, view);
        let now = self.time_at(view.now);
        match self.outside.device_byte(byte, now) {
            Some(ModemEvent::DatagramSent(datagram)) => {
                self.watch.read(What::Sent(&datagram), Some(view.flash));
            }
            Some(ModemEvent::DatagramRead(datagram)) => {
                self.watch
                    .read(What::Delivered(&datagram), Some(view.flash));
            }
            _ => {}
        }
        self.go()
    }

    fn pins(&mut self, written: u32, outputs: u32, view: &View<'_>) -> Go {
        let is_sign = outputs & self.upgrade.board.marker_pin.mask() != 0;
        self.sign(What::Pins(written), is_sign, view);
        self.go()
    }

    fn reset(&mut self, cause: ResetCause, view: &View<'_>) {
        let cause = match cause {
            ResetCause::Software => seen::ResetCause::Software,
            ResetCause::Watchdog => seen::ResetCause::Watchdog,
            ResetCause::LockUp => seen::ResetCause::LockUp,
        };
        self.watch.boot(What::Reset(cause), view.flash);
    }

    fn looked_at(&mut self, note: &mut dyn FnMut(Range<u32>)) {
        self.watch.tell_reads(note);
    }

    fn not_on_silicon(&mut self, what: &'static str) {
        self.watch.read(What::NotOnSilicon(what), None);
    }

    fn next_at(&self) -> Option<Cycles> {
        self.outside.next_at().map(|at| self.cycle_at(at))
    }

    fn turn(&mut self, now: Cycles) {
        let now = self.time_at(now);
        self.outside.turn(self.upgrade, now);
    }

    fn next_byte(&mut self, now: Cycles) -> Option<u8> {
        self.outside.next_byte(self.time_at(now))
    }
}
