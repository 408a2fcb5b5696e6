//! One case: everything that determines a run, given the images and a board.
use powercut_package::suites::suite_name;
use std::fmt;
use std::path::Path;

use powercut_oracle::sight::{Need, Sight};
use powercut_oracle::verdict::{Invariant, Outcome};
use std::time::Duration;

use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;
use powercut_upgrade::wire::lean::MAX_WINDOW;

use super::schedule::{self, ReferenceProfile};
use super::{CaseLine, Cut, CutSpec, LineCuts, PlanError};
use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_document::{Fault, Place};
use powercut_package::ImageName;

/// One run of one upgrade, as the plan wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Name of the plan.
    pub plan: String,
    /// Seed of the plan.
    pub plan_seed: u64,
    /// Position in the plan, from 1.
    pub index: usize,
    /// Name of the plan's group; `all` in a plan without groups.
    pub group: String,
    /// The image the device starts with.
    pub from: ImageName,
    /// The image it is offered.
    pub to: ImageName,
    /// Name of the link profile.
    pub link: String,
    /// The cipher suite of the download.
    pub suite: Suite,
    /// Size of a fragment.
    pub fragment_bytes: u16,
    /// What the device speaks to the platform.
    pub dialect: Dialect,
    /// Most fragments the device may have outstanding, in the lean dialect.
    pub window: u8,
    /// Which of the plan's repetitions this is, from 1.
    pub repetition: u32,
    /// Seed of everything random in this case; follows from the plan's seed and the parameters above.
    pub seed: u64,
    /// The cuts as the plan specifies them.
    pub cuts: Vec<CutSpec>,
    /// Where in the plan each of `cuts` stands.
    pub cut_places: Vec<Place>,
    /// How the modem answers, and what it needs.
    pub modem: ModemHabits,
    /// Whether the modem keeps power in a cut.
    pub modem_power: ModemPower,
    /// Host time between a cut and the next power-on.
    pub off_time: Duration,
    /// Host time the whole case may take.
    pub timeout: Duration,
    /// What must have come out of it.
    pub expect: Expect,
}

/// What a case must end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// The image that runs at the end.
    pub final_image: FinalImage,
    /// How the upgrade ends.
    pub outcome: Outcome,
    /// How many fragments the device may fetch again for each cut.
    pub refetch_fragments_per_cut: u32,
}

/// Which of a case's two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalImage {
    /// The one the device started with.
    From,
    /// The one it was offered.
    To,
}

impl fmt::Display for FinalImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::From => "old",
            Self::To => "new",
        })
    }
}

impl Case {
    /// Turn the case's cut specifications into cuts, given what the reference run showed.
    ///
    /// # Errors
    /// When a cut cannot be reached or there is nothing to draw from; the error stands where the cut does.
    pub fn resolve_cuts(&self, profile: &ReferenceProfile) -> Result<Vec<Cut>, PlanError> {
        schedule::resolve_placed(&self.cuts, profile, self.seed).map_err(|(position, fault)| {
            PlanError(match self.cut_places.get(position) {
                Some(place) => fault.at(place.clone()),
                None => fault,
            })
        })
    }

    /// Checks that board `name`, which shows `sight`, can show what this case of the plan in `file` needs.
    ///
    /// # Errors
    /// The first cut that waits for what cannot be seen, or an expectation that cannot be checked; what to write instead.
    pub fn check_sight(&self, file: &Path, name: &str, sight: Sight) -> Result<(), PlanError> {
        if let Some(need) = sight.lacks(Invariant::Expectation.needs()) {
            return Err(PlanError(Fault::new(
                format!(
                    "case {}: how the upgrade ends cannot be checked on board `{name}`, which cannot show {need}",
                    self.index
                ),
                "run the plan on a board whose flash can be read at least when it is held",
            )
            .at(Place::whole(file))));
        }
        for (position, cut) in self.cuts.iter().enumerate() {
            let Some(need) = cut.lacks(sight) else {
                continue;
            };
            let instead = match need {
                Need::Outages => {
                    "run the plan on another board, or leave `supply` and `ram` out of the cut"
                }
                Need::Operations | Need::RunningFlash if sight.meets(Need::Datagrams) => {
                    "hang the cut on what the device sends, such as `at: { request: 17, byte: 3 }`"
                }
                _ => "run the plan on a board that shows it",
            };
            let fault = Fault::new(
                format!("the cut {cut} cannot happen on board `{name}`, which cannot show {need}"),
                instead,
            );
            return Err(PlanError(match self.cut_places.get(position) {
                Some(place) => fault.at(place.clone()),
                None => fault,
            }));
        }
        Ok(())
    }

    /// What is known of the cuts before a reference run: nothing, unless there are none.
    pub fn unresolved_cuts(&self) -> LineCuts {
        if self.cuts.is_empty() {
            LineCuts::Given(Vec::new())
        } else {
            LineCuts::AsPlanned
        }
    }

    /// The line that replays this case with `cuts` on `board`.
    pub fn line(&self, board: &str, cuts: &LineCuts) -> CaseLine {
        CaseLine {
            plan: self.plan.clone(),
            index: self.index,
            board: board.to_owned(),
            seed: self.plan_seed,
            cuts: cuts.clone(),
        }
    }

    /// A short description for people: what is upgraded, how, and which repetition.
    pub fn title(&self) -> String {
        format!(
            "{:03} {} to {}, {}, {}, {} B, #{}",
            self.index,
            self.from,
            self.to,
            self.link,
            suite_name(self.suite),
            self.fragment_bytes,
            self.repetition
        ) + &match self.dialect {
            Dialect::Lean if self.window == MAX_WINDOW => String::new(),
            Dialect::Lean => format!(", window {}", self.window),
            Dialect::Pcp => ", pcp".to_owned(),
        } + &match self.modem.to_string() {
            quick if quick.is_empty() => quick,
            habits => format!(", modem: {habits}"),
        }
    }
}
