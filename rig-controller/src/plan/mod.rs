//! Plans: a YAML text a person writes, and the cases it stands for.
//!
//! [`Plan::load`] reads and checks the whole text; [`Plan::cases`] expands it. A case is determined by the
//! plan, its parameters and the plan's seed, so the same text always gives the same cases. Random cuts stay
//! specifications until a reference run has shown what there is to cut ([`Case::resolve_cuts`]). A plan knows
//! nothing of boards, files of images or the upgrade itself.
mod case;
mod case_line;
mod cut;
mod expand;
mod read;
pub mod schedule;
#[cfg(feature = "explore")]
mod smaller;

use powercut_package::ImageName;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use powercut_oracle::outage::{Outage, Ram, Supply};

pub use case::{Case, Expect, FinalImage};
pub use case_line::{CaseLine, LineCuts, ParseCaseLineError};
pub use cut::{Cut, CutAt, FragmentPhase, ParseCutError, Phase, Torn};
#[cfg(feature = "explore")]
pub use smaller::smaller_cuts;

use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_document::{Document, Fault, Place};
use powercut_oracle::sight::{Need, Sight};

/// A plan cannot be run as it is written. Says file, line and column where it can, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PlanError(#[from] pub Fault);

/// What a plan's `cuts:` list may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutSpec {
    /// Cuts drawn anew for every case.
    Random {
        /// How many.
        count: u32,
        /// In which phases; each is equally likely, and within it each operation.
        during: Vec<Phase>,
        /// Draws the same cuts in every case; without it they follow from the case's seed.
        seed: Option<u64>,
        /// How power goes in each of them.
        outage: Outage,
    },
    /// One cut, exactly there.
    At(Cut),
}

impl CutSpec {
    /// The first need of such cuts that a board that shows `sight` does not meet.
    pub fn lacks(&self, sight: Sight) -> Option<Need> {
        let (place, outage) = match self {
            Self::Random { outage, .. } => (cut::BY_OPERATION, *outage),
            Self::At(cut) => (cut.at.needs(), cut.outage),
        };
        let lacking = sight.lacks(place);
        lacking.or_else(|| sight.lacks(outage.needs()))
    }
}

impl fmt::Display for CutSpec {
    /// A cut as case lines have it, or in words how cuts are drawn.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(cut) => cut.fmt(f),
            Self::Random {
                count,
                during,
                seed,
                outage,
            } => {
                let phases: Vec<&str> = during.iter().map(|phase| phase.name()).collect();
                write!(f, "{count} random in {}", phases.join(" or "))?;
                cut::write_outage(*outage, f)?;
                seed.map_or(Ok(()), |seed| write!(f, " (seed {seed})"))
            }
        }
    }
}

/// A plan, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    name: String,
    file: PathBuf,
    seed: u64,
    groups: Vec<Group>,
}

/// A group with everything it leaves out filled in from the plan. Each axis has at least one value.
#[derive(Debug, Clone)]
struct Group {
    name: String,
    from: Vec<ImageName>,
    to: Vec<ImageName>,
    link: Vec<String>,
    suite: Vec<Suite>,
    fragment_bytes: Vec<u16>,
    dialect: Vec<Dialect>,
    window: Vec<u8>,
    modem: Vec<ModemHabits>,
    modem_power: Vec<ModemPower>,
    repeat: u32,
    cuts: Vec<CutSpec>,
    cut_places: Vec<Place>,
    off_time: Duration,
    timeout: Duration,
    expect: Expect,
}

impl Plan {
    /// Read and check the plan at `path`.
    ///
    /// # Errors
    /// Anything that keeps it from being run.
    pub fn load(path: &Path) -> Result<Self, PlanError> {
        Self::read(&Document::load(path, "plan")?)
    }

    /// Check a plan's `text`; `file` is only the name used in complaints.
    ///
    /// # Errors
    /// Anything that keeps it from being run.
    pub fn parse(file: &Path, text: &str) -> Result<Self, PlanError> {
        Self::read(&Document::parse(file, text)?)
    }

    fn read(document: &Document) -> Result<Self, PlanError> {
        Ok(read::plan(document.root())?)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The seed everything random in it follows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The same plan with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// All its cases, in order; the first has index 1.
    pub fn cases(&self) -> Vec<Case> {
        expand::cases(self)
    }

    /// The case that `line` names, with exactly the line's cuts if it has any of its own.
    ///
    /// # Errors
    /// When the line is of another plan, or the plan has no such case.
    pub fn replay(&self, line: &CaseLine) -> Result<Case, PlanError> {
        let whole = || Place::whole(&self.file);
        if line.plan != self.name {
            return Err(Fault::new(
                format!(
                    "the case is of plan `{}`, this plan is `{}`",
                    line.plan, self.name
                ),
                "give the plan file the case was run from",
            )
            .at(whole())
            .into());
        }
        let cases = self.clone().with_seed(line.seed).cases();
        let count = cases.len();
        let case = cases.into_iter().find(|case| case.index == line.index);
        let mut case = case.ok_or_else(|| {
            Fault::new(
                format!("there is no case {}, the plan has {count}", line.index),
                "give the plan file as it was when the case was run",
            )
            .at(whole())
        })?;
        if let Some(cuts) = line.cuts.given() {
            case.cuts = cuts.iter().copied().map(CutSpec::At).collect();
            case.cut_places = vec![whole(); case.cuts.len()];
        }
        Ok(case)
    }
}
