//! A course of events: the device's world from its first power-on to where it stands, with the oracle that watches it.
use std::time::Duration;

use nor_flash_model::CutEffect;
use powercut_bench::modem::ModemEvent;
use powercut_emulator::{
    CLOCK_HZ, Cycles, Go, Machine, Operation, RAM_BYTES, ResetCause, View as Seen, World,
};
use powercut_oracle::oracle::{Oracle, Violation};
use powercut_oracle::seen::{self, Source, What};
use powercut_oracle::sight::Sight;
use powercut_oracle::verdict::Invariant;
use powercut_oracle::view::{Effect, View};
use powercut_oracle::{FlashOp, FlashOpKind};
use powercut_platform::PlatformError;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::outside::Outside;
use crate::upgrade::Upgrade;

/// See the module's text.
pub(crate) struct Course<'u> {
    pub(crate) upgrade: &'u Upgrade,
    pub(crate) outside: Outside,
    pub(crate) oracle: Oracle,
    view: View,
    /// Flash operations since provisioning.
    pub(crate) operations: u64,
    /// Cuts so far.
    pub(crate) cuts: u32,
    power_ons: u64,
    /// When the device got power.
    powered_at: Duration,
    /// The application has shown itself in this boot.
    application: bool,
    /// The machine stops before each operation.
    pub(crate) asks: bool,
    /// The operation that the machine has stopped before.
    pub(crate) pending: Option<Operation>,
    /// That operation happens.
    allowed: bool,
}

impl<'u> Course<'u> {
    /// The course of a device fresh from the factory, without power.
    pub(crate) fn new(upgrade: &'u Upgrade) -> Result<Self, PlatformError> {
        let (geometry, layout) = (upgrade.board.geometry, &upgrade.board.layout);
        Ok(Self {
            upgrade,
            outside: Outside::new(upgrade)?,
            oracle: Oracle::new(
                geometry,
                layout,
                upgrade.images.clone(),
                upgrade.refetch_fragments_per_cut,
                Sight::EVERYTHING,
                &upgrade.flash,
            ),
            view: View::new(
                geometry,
                layout,
                &upgrade.images,
                Sight::EVERYTHING,
                upgrade.board.marker_pin.mask(),
                &upgrade.flash,
            ),
            operations: 0,
            cuts: 0,
            power_ons: 0,
            powered_at: Duration::ZERO,
            application: false,
            asks: false,
            pending: None,
            allowed: false,
        })
    }

    /// The same course, to part from this one here.
    pub(crate) fn fork(&self) -> Self {
        Self {
            upgrade: self.upgrade,
            outside: self.outside.fork(),
            oracle: self.oracle.clone(),
            view: self.view.clone(),
            pending: None,
            allowed: false,
            ..*self
        }
    }

    /// The operation that the machine has stopped before happens when it goes on.
    pub(crate) fn allow(&mut self) {
        self.allowed = true;
    }

    fn time_at(&self, cycles: Cycles) -> Duration {
        let rest = cycles % CLOCK_HZ * 1_000_000_000 / CLOCK_HZ;
        self.powered_at + Duration::from_secs(cycles / CLOCK_HZ) + Duration::from_nanos(rest)
    }

    /// The first cycle that is not before `time`.
    fn cycle_at(&self, time: Duration) -> Cycles {
        let since = time.saturating_sub(self.powered_at);
        let rest = u64::from(since.subsec_nanos()) * CLOCK_HZ;
        since.as_secs() * CLOCK_HZ + rest.div_ceil(1_000_000_000)
    }

    /// The device gets power: its flash stays, its RAM holds garbage that follows from the seed.
    pub(crate) fn power_on(&mut self, machine: &mut Machine) {
        self.power_ons += 1;
        let mut random = ChaCha8Rng::seed_from_u64(self.upgrade.seed);
        random.set_stream(self.power_ons);
        machine.set_seed(random.next_u64());
        let mut garbage = [0; RAM_BYTES];
        random.fill_bytes(&mut garbage);
        *machine.ram_mut() = garbage;
        machine.power_on(0);
        self.oracle_hears_of_power(machine);
    }

    fn oracle_hears_of_power(&mut self, machine: &Machine) {
        self.application = false;
        self.read(What::PowerOn, Some(machine.flash()), Effect::Full);
        self.outside.power_restored(self.powered_at);
    }

    /// The device loses power, by a cut or because it rests.
    pub(crate) fn power_off(&mut self, machine: &Machine, cut: bool) {
        let now = self.time_at(machine.now());
        self.cuts += u32::from(cut);
        let cut = cut.then_some("");
        self.read(What::PowerOff { cut }, None, Effect::Full);
        self.outside.power_lost(now);
        self.powered_at = now + self.upgrade.off_time;
        self.outside.turn(self.upgrade, self.powered_at);
        while self.outside.next_byte(self.powered_at).is_some() {}
    }

    /// Something else than the oracle has found a fault.
    pub(crate) fn report(&mut self, invariant: Invariant, reason: String) {
        self.oracle.report(invariant, reason);
    }

    /// The first thing that did not hold.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.oracle.violations().first()
    }

    fn read(&mut self, what: What<'_>, flash: Option<&[u8]>, effect: Effect) {
        let (at, by) = (self.powered_at, Source::Board);
        let seen = seen::Seen { at, by, what };
        let moment = self.view.look(&seen, flash);
        self.oracle.read(&moment, effect);
        self.view.settle(&moment, effect);
    }

    /// An operation has this effect on `flash`, which it has not changed yet.
    pub(crate) fn operate(&mut self, operation: Operation, effect: CutEffect, flash: &[u8]) {
        self.operations += 1;
        let effect = match effect {
            CutEffect::Before => Effect::Nothing,
            CutEffect::After => Effect::Full,
            _ => Effect::Torn,
        };
        let (number, kind) = (self.operations, kind_of(operation));
        let what = What::Operation(FlashOp { number, kind });
        self.read(what, Some(flash), effect);
    }

    /// A sign that the application runs.
    fn sign(&mut self, what: What<'_>, view: &Seen<'_>) {
        if !self.application {
            self.read(what, Some(view.flash), Effect::Full);
        }
    }

    fn go(&self) -> Go {
        if self.violation().is_some() {
            Go::StopAfter
        } else {
            Go::On
        }
    }
}

/// As the oracle has it.
pub(crate) fn kind_of(operation: Operation) -> FlashOpKind {
    match operation {
        Operation::Program {
            address,
            before,
            value,
        } => FlashOpKind::Program {
            address,
            before: before.into(),
            value: value.into(),
        },
        Operation::Erase { address } => FlashOpKind::Erase { address },
    }
}

impl World for Course<'_> {
    fn operation(&mut self, operation: Operation, view: &Seen<'_>) -> Go {
        if self.asks && !std::mem::take(&mut self.allowed) {
            self.pending = Some(operation);
            return Go::StopBefore;
        }
        self.operate(operation, CutEffect::After, view.flash);
        self.go()
    }

    fn byte_sent(&mut self, byte: u8, view: &Seen<'_>) -> Go {
        self.sign(What::Byte(byte), view);
        self.application = true;
        match self.outside.device_byte(byte, self.time_at(view.now)) {
            Some(ModemEvent::DatagramSent(datagram)) => {
                self.read(What::Sent(&datagram), Some(view.flash), Effect::Full);
            }
            Some(ModemEvent::DatagramRead(datagram)) => {
                self.read(What::Delivered(&datagram), Some(view.flash), Effect::Full);
            }
            _ => {}
        }
        self.go()
    }

    fn pins(&mut self, outputs: u32, view: &Seen<'_>) -> Go {
        self.sign(What::Pins(outputs), view);
        self.application |= outputs & self.upgrade.board.marker_pin.mask() != 0;
        self.go()
    }

    fn reset(&mut self, cause: ResetCause, view: &Seen<'_>) {
        let cause = match cause {
            ResetCause::Software => seen::ResetCause::Software,
            ResetCause::Watchdog => seen::ResetCause::Watchdog,
            ResetCause::LockUp => seen::ResetCause::LockUp,
        };
        self.application = false;
        self.read(What::Reset(cause), Some(view.flash), Effect::Full);
    }

    fn not_on_silicon(&mut self, what: &'static str) {
        self.read(What::NotOnSilicon(what), None, Effect::Full);
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
