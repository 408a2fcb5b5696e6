//! One upgrade, simulated: its parameters, and what a run of it came to.
use std::sync::Arc;
use std::time::Duration;

use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};
use nor_flash_model::{NorFlashModel, OnGeometry, on_geometry};
use powercut_upgrade::factory::Factory;
use powercut_upgrade::journal::Journal;
use powercut_upgrade::m_sequence::{Configuration, FACTORY_OFFSET, Polynomial, Register, Stream};
use powercut_upgrade::manifest::SignedManifest;
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::watched::WatchedFlash;
use powercut_upgrade::wire::Dialect;

use super::clock::SimulatedStage;
use super::device::{Device, Setting};
use super::flash::TimedFlash;
use super::fragments::{FragmentCounts, TimeLost};
use super::limit::Limit;
use super::power::{self, CutBy, PlannedCut};
use super::simulated_part::SimulatedPart;
use super::variant::Variant;
use powercut_bench::modem::{ModemPower, TimedModem};
use powercut_explore::scripted_package::{Recipe, factory, signed_image};
use powercut_link::LinkProfile;
use powercut_package::Package;
use powercut_platform::InProcessPlatform;

/// The serial line of a link that says nothing of it.
const USUAL_BAUD: u32 = 115_200;

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Upgrade {
    /// On which device.
    pub part: SimulatedPart,
    /// Over which link. If it says nothing of the serial line, that has 115200 baud: a UART always takes time.
    pub link: LinkProfile,
    /// Bytes of the old and of the new image.
    pub image_bytes: u32,
    /// Plaintext bytes in a fragment.
    pub fragment_bytes: u16,
    /// How device and platform go about it.
    pub variant: Variant,
    /// How often power is lost.
    pub cuts: u32,
    /// When.
    pub power: PowerRules,
}

/// How losses of power come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerRules {
    /// In which stages.
    pub during: Vec<SimulatedStage>,
    /// What they are drawn from.
    pub by: CutBy,
    /// How long power stays away.
    pub off: Duration,
    /// Whether the modem keeps it.
    pub modem: ModemPower,
}

/// What one run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Everything random in it was drawn from this.
    pub seed: u64,
    /// Until the platform knew that the new image was confirmed.
    pub total: Duration,
    /// Time by stage, in the order of [`SimulatedStage::ALL`].
    pub spent: [Duration; SimulatedStage::ALL.len()],
    /// Bytes of the image.
    pub image_bytes: u32,
    /// Fragments of the image.
    pub fragments: u16,
    /// Datagrams from the device, lost ones included.
    pub datagrams_up: u64,
    /// Datagrams to it.
    pub datagrams_down: u64,
    /// UDP payload bytes from the device.
    pub bytes_up: u64,
    /// UDP payload bytes to it.
    pub bytes_down: u64,
    /// Datagrams that were lost on the air.
    pub lost: u64,
    /// Bytes on the serial line, both ways.
    pub line_bytes: u64,
    /// Bytes that came while the device could not take them.
    pub overruns: u64,
    /// What became of fragments.
    pub counts: FragmentCounts,
    /// Erases of journal pages.
    pub journal_erases: u64,
    /// Erases of pages of ACTIVE and STAGING.
    pub slot_erases: u64,
    /// Flash operations: programs and erases.
    pub flash_operations: u64,
    /// Starts of the bootloader.
    pub boots: u32,
    /// Losses of power.
    pub cuts: u32,
    /// What each cut of the download cost.
    pub times_lost: Vec<TimeLost>,
    /// How long power stayed away each time.
    pub off: Duration,
    /// How much less a run with the same seed takes whose power is never lost, off times left out.
    pub uncut_total: Option<Duration>,
    /// The least time the download could take.
    pub limit: Limit,
}

impl Run {
    /// Time in one stage.
    pub fn in_stage(&self, stage: SimulatedStage) -> Duration {
        self.spent[stage as usize]
    }

    /// UDP payload both ways over bytes of image.
    pub fn overhead(&self) -> f64 {
        (self.bytes_up + self.bytes_down) as f64 / f64::from(self.image_bytes)
    }

    /// Time of the download over the least it could take; `None` with cuts, for what is on the air when power goes passes
    /// while the device is off.
    pub fn over_limit(&self) -> Option<f64> {
        let download = self.in_stage(SimulatedStage::Download).as_secs_f64();
        (self.cuts == 0).then(|| download / self.limit.time().as_secs_f64())
    }

    /// Means of what a cut of the download cost, without the time power was away; `None` if there was none.
    pub fn lost_a_cut(&self) -> Option<TimeLost> {
        let count = u32::try_from(self.times_lost.len())
            .ok()
            .filter(|count| *count > 0)?;
        let mean = |part: fn(&TimeLost) -> Duration| {
            self.times_lost.iter().map(part).sum::<Duration>() / count
        };
        Some(TimeLost {
            boot: mean(|lost| lost.boot).saturating_sub(self.off),
            round_trip: mean(|lost| lost.round_trip),
            again: mean(|lost| lost.again),
        })
    }
}

/// A run did not end as upgrades do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// The device does not come to an end.
    #[error(
        "after {boots} boots and {:.1} s of virtual time the upgrade is not done; the link may lose too much, or power too often", .time.as_secs_f64()
    )]
    Endless {
        /// Boots so far.
        boots: u32,
        /// Virtual time so far.
        time: Duration,
    },
    /// It has nothing to run.
    #[error(
        "the device does not start: {0}; this is a bug of the core: look for it with rig explore"
    )]
    Stays(String),
    /// Flash refused.
    #[error(
        "flash refused an operation ({0}); this is a bug of the core: look for it with rig explore"
    )]
    Flash(NorFlashErrorKind),
    /// The image and the layout do not go together.
    #[error("the simulated device cannot be set up: {0}")]
    SetUp(String),
}

impl Upgrade {
    /// Runs it once for each seed.
    ///
    /// # Errors
    /// When a run does not end with the new image confirmed.
    pub fn run(&self, seeds: &[u64]) -> Result<Vec<Run>, SimulationError> {
        on_geometry(
            self.part.geometry.facts(),
            Runs {
                upgrade: self,
                seeds,
            },
        )
    }

    fn layout(&self) -> Layout {
        let pages = self.part.image_pages(self.image_bytes);
        self.part.geometry.layout(pages)
    }

    fn image(&self, minor: u8) -> (SignedManifest, Vec<u8>) {
        let recipe = Recipe {
            minor,
            layout: self.layout(),
            security_counter: 2 + u32::from(minor),
            size_bytes: self.image_bytes as usize,
            fragment_bytes: self.fragment_bytes,
            blank_inside_pages_of: None,
            by_a_stranger: false,
            corrupt: false,
            unbootable: false,
        };
        signed_image(recipe, self.variant.suite)
    }
}

struct Runs<'a> {
    upgrade: &'a Upgrade,
    seeds: &'a [u64],
}

impl OnGeometry for Runs<'_> {
    type Output = Result<Vec<Run>, SimulationError>;

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let bench = Bench::<UNIT, PAGE, PROGRAMS>::new(self.upgrade)?;
        self.seeds
            .iter()
            .map(|seed| bench.run::<BUFFER>(*seed))
            .collect()
    }
}

/// A provisioned device and its package, to run from any number of times.
struct Bench<'a, const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> {
    upgrade: &'a Upgrade,
    link: LinkProfile,
    setting: Setting,
    package: Arc<Package>,
    provisioned: NorFlashModel<UNIT, PAGE, PROGRAMS>,
}

impl<'a, const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> Bench<'a, UNIT, PAGE, PROGRAMS> {
    fn new(upgrade: &'a Upgrade) -> Result<Self, SimulationError> {
        let layout = upgrade.layout();
        let mut link = upgrade.link.clone();
        link.modem.baud.get_or_insert(USUAL_BAUD);
        let (old, old_image) = upgrade.image(0);
        let (new, new_image) = upgrade.image(1);
        let set_up = |error: &dyn std::fmt::Display| SimulationError::SetUp(error.to_string());
        let package = Package::new(new, new_image)
            .map_err(|error| set_up(&error))?
            .with_m_sequence(m_sequence());
        let pages = usize::from(layout.staging.pages) + layout.staging.start as usize / PAGE;
        let mut flash = TimedFlash::new(
            NorFlashModel::<UNIT, PAGE, PROGRAMS>::new(pages),
            upgrade.part,
        );
        flash.for_free = true;
        provision(
            &mut flash,
            &layout,
            upgrade.variant.dialect,
            &old,
            &old_image,
        )
        .map_err(|error| set_up(&error))?;
        let mut provisioned = flash.model;
        provisioned.count_anew();
        Ok(Self {
            upgrade,
            setting: Setting {
                layout,
                part: upgrade.part,
                // A device that is only ever to have one outstanding has nothing to hold, and says so itself.
                held_bytes: match upgrade.variant.window {
                    1 => 0,
                    _ => upgrade.part.held_bytes,
                },
                payload: link.modem.payload,
                baud: link.modem.baud,
                new_image: new.image_id(),
                image_bytes: upgrade.image_bytes,
                fragments: new.manifest().fragments(),
                off: upgrade.power.off,
                resumes: upgrade.variant.resumes,
            },
            link,
            package: Arc::new(package),
            provisioned,
        })
    }

    fn run<const BUFFER: usize>(&self, seed: u64) -> Result<Run, SimulationError> {
        let uncut = self.live::<BUFFER>(seed, &[])?;
        if self.upgrade.cuts == 0 {
            return Ok(self.result(seed, &uncut, None));
        }
        let rules = &self.upgrade.power;
        let clock = &uncut.flash.clock;
        let cuts = power::draw(
            self.upgrade.cuts,
            rules.by,
            &rules.during,
            clock.spans(),
            (uncut.flash.model.operations(), clock.powered()),
            seed,
        );
        let cut = self.live::<BUFFER>(seed, &cuts)?;
        Ok(self.result(seed, &cut, Some(clock.now())))
    }

    fn live<const BUFFER: usize>(
        &self,
        seed: u64,
        cuts: &[PlannedCut],
    ) -> Result<Device<UNIT, PAGE, PROGRAMS>, SimulationError> {
        let factory = factory();
        let platform = InProcessPlatform::with_task(
            factory.device_id,
            factory.device_key,
            Arc::clone(&self.package),
            self.upgrade.variant.window,
        )
        .map_err(|error| SimulationError::SetUp(error.to_string()))?;
        let modem = TimedModem::simple(&self.link, seed, self.upgrade.power.modem);
        let model = self.provisioned.clone();
        let mut device = Device::new(model, modem, platform, &self.setting, cuts);
        device.live::<BUFFER>()?;
        Ok(device)
    }

    fn result(
        &self,
        seed: u64,
        device: &Device<UNIT, PAGE, PROGRAMS>,
        uncut_total: Option<Duration>,
    ) -> Run {
        let clock = &device.flash.clock;
        let (up, down) = device.modem.traffic();
        let (from_device, to_device) = device.modem.line_bytes();
        let journal = self.setting.layout.identification;
        let first = journal.start as usize / PAGE;
        let erases = device.flash.model.erases();
        let sum = |pages: &[u32]| pages.iter().map(|erases| u64::from(*erases)).sum::<u64>();
        let in_journal = sum(&erases[first..first + usize::from(journal.pages)]);
        // Putting back the area of a device that forgets erases each of its pages.
        let restored = u64::from(device.times_forgotten) * u64::from(journal.pages);
        Run {
            seed,
            total: clock.now(),
            spent: SimulatedStage::ALL.map(|stage| clock.spent(stage)),
            image_bytes: self.setting.image_bytes,
            fragments: self.setting.fragments,
            datagrams_up: up.datagrams,
            datagrams_down: down.datagrams,
            bytes_up: up.bytes,
            bytes_down: down.bytes,
            lost: up.lost + down.lost,
            line_bytes: from_device + to_device,
            overruns: device.overruns,
            counts: device.fragments.counts(),
            journal_erases: in_journal - restored,
            slot_erases: sum(erases) - in_journal,
            flash_operations: device.flash.model.operations() - device.restoring,
            boots: device.boots,
            cuts: device.cuts_done,
            times_lost: device.fragments.times_lost(),
            off: self.setting.off,
            uncut_total,
            limit: Limit::of(&self.link, device.download.0, device.download.1),
        }
    }
}

/// The register of simulated devices, for the suite `m-sequence`: n = 32, taps of the table of polynomials that comes with
/// the project.
fn m_sequence() -> Option<Configuration> {
    let polynomial = Polynomial::from_exponents(&[32, 30, 26, 25])?;
    Some(Configuration {
        register: Register::new(polynomial, 0x1D87_2B41)?,
        stream: Stream::RestartsPerFragment,
    })
}

/// Makes `flash` that of a device that runs `old`.
fn provision<F: WatchedFlash>(
    flash: &mut F,
    layout: &Layout,
    dialect: Dialect,
    old: &SignedManifest,
    image: &[u8],
) -> Result<(), String> {
    let mut write = |at: u32, bytes: &[u8]| {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(F::WRITE_SIZE), 0xFF);
        flash
            .write(at, &padded)
            .map_err(|error| format!("{} at {at:#x}", error.kind()))
    };
    let factory = Factory {
        dialect,
        ..factory()
    };
    write(layout.factory.start, &factory.encode())?;
    if let Some(configuration) = m_sequence() {
        write(
            layout.factory.start + FACTORY_OFFSET,
            &configuration.encode(),
        )?;
    }
    write(layout.active.start, image)?;
    write(
        layout.manifest(Slot::Active, Placement::Plain),
        &old.encode(),
    )?;
    Journal::provision(
        flash,
        layout,
        old.image_id(),
        old.manifest().security_counter,
    )
    .map_err(|error| format!("{} in the journal", error.0))
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
