//! How device and platform go about an upgrade: what a plan compares.
use powercut_upgrade::manifest::Suite;

use crate::document::{Fault, Value};
use crate::plan::suite_name;

/// What device and platform speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The dialect without a redundant byte.
    Lean,
}

impl Dialect {
    /// Its name in plans and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lean => "lean",
        }
    }
}

/// The dialects that can be simulated, by name.
const DIALECTS: [(&str, Dialect); 1] = [(Dialect::Lean.name(), Dialect::Lean)];
/// The suites that can be simulated.
const SUITES: [Suite; 1] = [Suite::ChaCha20Poly1305];
/// The most fragments that can be outstanding.
const MOST_OUTSTANDING: u64 = 1;

const KEYS: &[&str] = &["name", "dialect", "suite", "window", "resume"];

/// One way to go about an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Its name in tables.
    pub name: String,
    /// What is spoken.
    pub dialect: Dialect,
    /// How fragments are protected.
    pub suite: Suite,
    /// Fragments that may be outstanding.
    pub window: u16,
    /// Whether progress outlives a loss of power. Without, the identification area is put back to what it was at first after
    /// each cut of a download, as if progress were kept in RAM.
    pub resumes: bool,
}

impl Variant {
    /// What the firmware does.
    pub fn lean() -> Self {
        Self {
            name: "lean".to_owned(),
            dialect: Dialect::Lean,
            suite: Suite::ChaCha20Poly1305,
            window: 1,
            resumes: true,
        }
    }

    pub(super) fn read(value: Value<'_>) -> Result<Self, Fault> {
        let fields = value.fields("a variant", KEYS)?;
        let lean = Self::lean();
        Ok(Self {
            name: fields.require("name")?.name("the variant's name")?,
            dialect: match fields.get("dialect") {
                Some(value) => value.one_of("the dialect", &DIALECTS)?,
                None => lean.dialect,
            },
            suite: match fields.get("suite") {
                Some(value) => {
                    value.one_of("the suite", &SUITES.map(|suite| (suite_name(suite), suite)))?
                }
                None => lean.suite,
            },
            window: match fields.get("window") {
                Some(value) => value.integer("`window`", 1..=MOST_OUTSTANDING)? as u16,
                None => lean.window,
            },
            resumes: match fields.get("resume") {
                Some(value) => value.flag("`resume`")?,
                None => lean.resumes,
            },
        })
    }
}
