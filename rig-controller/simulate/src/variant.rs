//! How device and platform go about an upgrade: what a plan compares.
use powercut_package::suites::{DIALECTS, SUITES, suite_name};
use powercut_upgrade::cipher::overhead_bytes;
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::lean::MAX_WINDOW;
use powercut_upgrade::wire::{Dialect, pcp};

use powercut_document::{Fault, Value};

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
    /// Most fragments that may be outstanding; PCP has no more than one.
    pub window: u8,
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
            window: MAX_WINDOW,
            resumes: true,
        }
    }

    /// Whether fragments of this size exist in its dialect and suite.
    pub fn has_fragments_of(&self, bytes: u16) -> bool {
        let travelling = bytes.saturating_add(overhead_bytes(self.suite) as u16);
        self.dialect == Dialect::Lean || pcp::Stream::new(travelling).is_some()
    }

    pub(super) fn read(value: Value<'_>) -> Result<Self, Fault> {
        let fields = value.fields("a variant", KEYS)?;
        let lean = Self::lean();
        let dialect = match fields.get("dialect") {
            Some(value) => value.one_of("the dialect", &DIALECTS)?,
            None => lean.dialect,
        };
        Ok(Self {
            name: fields.require("name")?.name("the variant's name")?,
            dialect,
            suite: match fields.get("suite") {
                Some(value) => {
                    value.one_of("the suite", &SUITES.map(|suite| (suite_name(suite), suite)))?
                }
                None => lean.suite,
            },
            window: match (fields.get("window"), dialect) {
                (Some(value), Dialect::Pcp) => value.integer("`window` in PCP", 1..=1)? as u8,
                (Some(value), Dialect::Lean) => {
                    value.integer("`window`", 1..=u64::from(MAX_WINDOW))? as u8
                }
                (None, Dialect::Pcp) => 1,
                (None, Dialect::Lean) => lean.window,
            },
            resumes: match fields.get("resume") {
                Some(value) => value.flag("`resume`")?,
                None => lean.resumes,
            },
        })
    }
}

/// The name of a dialect in plans and tables.
pub(super) fn dialect_name(dialect: Dialect) -> &'static str {
    DIALECTS
        .iter()
        .find(|(_, other)| *other == dialect)
        .map_or("", |(name, _)| name)
}
