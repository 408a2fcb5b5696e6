//! Everything a run reads: plan, bench, link profiles and firmware, checked against each other before any board
//! gets power.
use powercut_package::suites::suite_name;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::plan::{Case, Plan, PlanError};
use powercut_bench::board::sight_of;
use powercut_bench::entry::BoardEntry;
use powercut_bench::inventory::{Bench, BenchFileError};
#[cfg(feature = "explore")]
use powercut_explore::SceneError;
use powercut_link::{LinkError, LinkProfile};
use powercut_oracle::oracle::Images;
use powercut_package::ImageName;
use powercut_package::Package;
use powercut_package::{DeviceIdentity, FirmwareError, FirmwareSet};

/// The bench of a run that names none.
pub const DEFAULT_BENCH: &str = "fixtures/benches/virtual.yaml";
/// The firmware set of a run that names none.
pub const DEFAULT_FIRMWARE: &str = "target/firmware/default";
/// The link profiles of a run that names none.
pub const DEFAULT_LINKS: &str = "fixtures/links";

/// Where inputs are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The plan.
    pub plan: PathBuf,
    /// The bench.
    pub bench: PathBuf,
    /// The folder of the firmware set.
    pub firmware: PathBuf,
    /// The folder of the link profiles.
    pub links: PathBuf,
}

impl Sources {
    /// Where they are looked for when nobody says otherwise: in a checkout of Powercut, for the plan of this name.
    pub fn defaults(plan: &str) -> Self {
        Self {
            plan: Path::new("test-plans").join(format!("{plan}.yaml")),
            bench: DEFAULT_BENCH.into(),
            firmware: DEFAULT_FIRMWARE.into(),
            links: DEFAULT_LINKS.into(),
        }
    }

    /// The options that lead `rig replay` to these sources for a case of the plan `plan`, each with a space before it: those
    /// whose default would mean something else.
    pub fn options(&self, plan: &str) -> String {
        let default = Self::defaults(plan).plan;
        let mut options = String::new();
        if self.plan != default {
            let path = quoted(&self.plan.display().to_string());
            let _ = write!(options, " --plan {path}");
        }
        options + &self.options_beside_the_plan(plan)
    }

    /// The same options for a command that names the plan without one.
    pub(super) fn options_beside_the_plan(&self, plan: &str) -> String {
        let defaults = Self::defaults(plan);
        let mut options = String::new();
        for (option, given, default) in [
            ("--bench", &self.bench, &defaults.bench),
            ("--firmware", &self.firmware, &defaults.firmware),
            ("--links", &self.links, &defaults.links),
        ] {
            if given != default {
                let path = quoted(&given.display().to_string());
                let _ = write!(options, " {option} {path}");
            }
        }
        options
    }

    /// Where a folder of evidence has them.
    pub fn in_evidence(folder: &Path) -> Self {
        Self {
            plan: folder.join("plan.yaml"),
            bench: folder.join("bench.yaml"),
            firmware: folder.join("firmware"),
            links: folder.join("links"),
        }
    }
}

/// Something that was given cannot be used: nothing has been started.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The bench.
    #[error(transparent)]
    Bench(#[from] BenchFileError),
    /// A link profile the plan names.
    #[error("{}: case {case}: {source}", .plan.display())]
    Link {
        /// The plan.
        plan: PathBuf,
        /// The first case that names it.
        case: usize,
        /// What is wrong.
        source: LinkError,
    },
    /// The firmware set as a whole.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// An image the plan names.
    #[error("{}: case {case}: {source}", .plan.display())]
    Image {
        /// The plan.
        plan: PathBuf,
        /// The first case that names it.
        case: usize,
        /// What is wrong.
        source: FirmwareError,
    },
    /// The upgrade of a case cannot be explored in process.
    #[cfg(feature = "explore")]
    #[error("{}: case {case}: {source}", .plan.display())]
    Scene {
        /// The plan.
        plan: PathBuf,
        /// The case.
        case: usize,
        /// What is wrong.
        source: SceneError,
    },
    /// A case was asked for that the plan does not have.
    #[error("{}: there is no case {asked}; the plan has cases 1 to {count}", .plan.display())]
    NoCase {
        /// The plan.
        plan: PathBuf,
        /// The number asked for.
        asked: usize,
        /// How many there are.
        count: usize,
    },
    /// A bench that was not read from a file has no board to explore on.
    #[cfg(feature = "explore")]
    #[error("{}: the bench has no boards; list at least one under `boards`", .bench.display())]
    EmptyBench {
        /// The bench.
        bench: PathBuf,
    },
    /// A case is to be replayed on a board the bench does not have.
    #[error(
        "{}: there is no board `{board}`; it has {known}; a case is repeated byte for byte only on the board it ran on, so give the bench it ran on with --bench, or write another board into the case", .bench.display()
    )]
    NoBoard {
        /// The bench.
        bench: PathBuf,
        /// The name asked for.
        board: String,
        /// The names there are.
        known: String,
    },
}

type PackageKey = (ImageName, &'static str, u16);

/// Everything a run needs, checked.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Where it was read from.
    pub sources: Sources,
    /// The plan.
    pub plan: Plan,
    /// Its cases, in order.
    pub cases: Vec<Case>,
    /// The bench.
    pub bench: Bench,
    /// The firmware set.
    pub firmware: FirmwareSet,
    links: BTreeMap<String, LinkProfile>,
    packages: BTreeMap<PackageKey, Package>,
}

impl Inputs {
    /// Reads and checks everything; `seed` replaces the plan's.
    ///
    /// # Errors
    /// The first thing found that keeps any case from being run.
    pub fn load(sources: Sources, seed: Option<u64>) -> Result<Self, InputError> {
        let plan = Plan::load(&sources.plan)?;
        let plan = match seed {
            Some(seed) => plan.with_seed(seed),
            None => plan,
        };
        let cases = plan.cases();
        Self::check(sources, plan, cases)
    }

    /// Like [`Inputs::load`], but for these cases alone.
    ///
    /// # Errors
    /// The first thing found that keeps any of them from being run, or a number the plan has not.
    pub fn load_only(
        sources: Sources,
        seed: Option<u64>,
        only: &[usize],
    ) -> Result<Self, InputError> {
        let plan = Plan::load(&sources.plan)?;
        let plan = match seed {
            Some(seed) => plan.with_seed(seed),
            None => plan,
        };
        let mut cases = plan.cases();
        known_cases(&sources.plan, cases.len(), only)?;
        cases.retain(|case| only.contains(&case.index));
        Self::check(sources, plan, cases)
    }

    /// Like [`Inputs::load`], for the one case that `line` names, with the line's cuts.
    ///
    /// # Errors
    /// When the plan has no such case, the bench no such board, or anything it needs cannot be used.
    pub fn load_case(sources: Sources, line: &crate::plan::CaseLine) -> Result<Self, InputError> {
        let plan = Plan::load(&sources.plan)?.with_seed(line.seed);
        let case = plan.replay(line)?;
        let inputs = Self::check(sources, plan, vec![case])?;
        inputs.board(&line.board)?;
        Ok(inputs)
    }

    fn check(sources: Sources, plan: Plan, cases: Vec<Case>) -> Result<Self, InputError> {
        let bench = Bench::load(&sources.bench)?;
        let firmware = FirmwareSet::load(&sources.firmware)?;
        let mut links = BTreeMap::new();
        let mut packages = BTreeMap::new();
        for case in &cases {
            if !links.contains_key(&case.link) {
                let link = LinkProfile::load(&sources.links, &case.link).map_err(|source| {
                    InputError::Link {
                        plan: sources.plan.clone(),
                        case: case.index,
                        source,
                    }
                })?;
                links.insert(case.link.clone(), link);
            }
            for name in [&case.from, &case.to] {
                let key = package_key(case, name);
                if packages.contains_key(&key) {
                    continue;
                }
                let package = check_image(&firmware, &bench, case, name).map_err(|source| {
                    InputError::Image {
                        plan: sources.plan.clone(),
                        case: case.index,
                        source,
                    }
                })?;
                packages.insert(key, package);
            }
        }
        Ok(Self {
            sources,
            plan,
            cases,
            bench,
            firmware,
            links,
            packages,
        })
    }

    /// Checks that every board of the bench shows what the cases need.
    ///
    /// # Errors
    /// The first cut or expectation that a board cannot show.
    pub fn check_sight(&self) -> Result<(), InputError> {
        Ok(check_sight(&self.sources.plan, &self.cases, &self.bench)?)
    }

    /// The case with this number.
    ///
    /// # Errors
    /// When it is none of this run.
    #[cfg(feature = "explore")]
    pub fn case(&self, number: usize) -> Result<&Case, InputError> {
        let found = self.cases.iter().find(|case| case.index == number);
        found.ok_or_else(|| InputError::NoCase {
            plan: self.sources.plan.clone(),
            asked: number,
            count: self.cases.len(),
        })
    }

    /// Checks that the plan has all cases with these numbers.
    ///
    /// # Errors
    /// The first number that it has not.
    #[cfg(feature = "explore")]
    pub(super) fn check_cases(&self, numbers: &[usize]) -> Result<(), InputError> {
        known_cases(&self.sources.plan, self.cases.len(), numbers)
    }

    /// The board of the bench that upgrades are explored on.
    ///
    /// # Errors
    /// When the bench has no board.
    #[cfg(feature = "explore")]
    pub(super) fn first_board(&self) -> Result<&BoardEntry, InputError> {
        let bench = || self.sources.bench.clone();
        let first = self.bench.boards.first();
        first.ok_or_else(|| InputError::EmptyBench { bench: bench() })
    }

    /// The board of this name.
    ///
    /// # Errors
    /// When the bench has none.
    pub fn board(&self, name: &str) -> Result<&BoardEntry, InputError> {
        let found = self.bench.boards.iter().find(|board| board.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = self
                .bench
                .boards
                .iter()
                .map(|board| board.name.as_str())
                .collect();
            InputError::NoBoard {
                bench: self.sources.bench.clone(),
                board: name.to_owned(),
                known: known.join(", "),
            }
        })
    }

    /// The link of one of the run's cases.
    pub fn link(&self, case: &Case) -> LinkProfile {
        self.links
            .get(&case.link)
            .cloned()
            .unwrap_or_else(LinkProfile::ideal)
    }

    /// The images of one of the run's cases, who the device on `board` is, and its whole flash before the case.
    ///
    /// # Errors
    /// When it is a case of another run, and the set does not have its images, or they do not fit the board.
    pub fn provisioned(
        &self,
        case: &Case,
        board: &BoardEntry,
    ) -> Result<(Images, DeviceIdentity, Vec<u8>), FirmwareError> {
        let device = DeviceIdentity::for_tests(board.device_id, case.dialect);
        let images = self.images(case)?;
        let flash = self.firmware.provisioned_flash(&images.old, &device)?;
        Ok((images, device, flash))
    }

    /// The images of one of the run's cases.
    ///
    /// # Errors
    /// When it is a case of another run, and the set does not have its images.
    pub fn images(&self, case: &Case) -> Result<Images, FirmwareError> {
        let get = |name| match self.packages.get(&package_key(case, name)) {
            Some(package) => Ok(package.clone()),
            None => self.firmware.package(name, case.suite, case.fragment_bytes),
        };
        Ok(Images {
            old: get(&case.from)?,
            new: get(&case.to)?,
        })
    }
}

/// Checks that every board of `bench` shows what the `cases` of the plan in `file` need.
///
/// # Errors
/// The first cut or expectation that a board cannot show.
pub fn check_sight(file: &Path, cases: &[Case], bench: &Bench) -> Result<(), PlanError> {
    for case in cases {
        for board in &bench.boards {
            if let Some(sight) = sight_of(board) {
                case.check_sight(file, &board.name, sight)?;
            }
        }
    }
    Ok(())
}

fn known_cases(plan: &Path, count: usize, asked: &[usize]) -> Result<(), InputError> {
    match asked.iter().find(|asked| !(1..=count).contains(asked)) {
        None => Ok(()),
        Some(asked) => Err(InputError::NoCase {
            plan: plan.to_owned(),
            asked: *asked,
            count,
        }),
    }
}

/// As a shell takes it for one word.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn package_key(case: &Case, name: &ImageName) -> PackageKey {
    (name.clone(), suite_name(case.suite), case.fragment_bytes)
}

/// The image, ready; it is also put on a board in thought, so that no case finds out late that it does not fit.
fn check_image(
    firmware: &FirmwareSet,
    bench: &Bench,
    case: &Case,
    name: &ImageName,
) -> Result<Package, FirmwareError> {
    let package = firmware.package(name, case.suite, case.fragment_bytes)?;
    if let Some(board) = bench.boards.first()
        && name == &case.from
    {
        firmware.provisioned_flash(
            &package,
            &DeviceIdentity::for_tests(board.device_id, case.dialect),
        )?;
    }
    Ok(package)
}
