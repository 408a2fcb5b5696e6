//! Simulation plans as users write them.
//!
//! ```yaml
//! simulate: comparison
//! seed: 7
//! repeat: 20                              # runs of each combination; the same seeds for all of them
//! device: nrf52840                        # one of the parts that can be simulated, or a list
//! link: [nb-iot-ce0, lte-cat-1]           # profiles
//! image_bytes: 65536
//! fragment_bytes: [160, 500]
//! cuts: [0, 1, 3]                         # losses of power
//! power: { during: [download], by: operation, off_ms: 5000, modem: stays }
//! variants:
//!   - { name: lean, dialect: lean, window: 1 }
//!   - { name: lean-no-resume, resume: false }
//! chart: { x: fragment_bytes, y: download_s }
//! ```
//! Every list makes a sweep: all combinations are run, but for fragments too large for a variant's dialect. `fit_image_bytes` is told at [`ImageSizeFit`].
mod read;

use std::path::Path;
#[cfg(test)]
use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::measure::Measure;
use super::upgrade::Upgrade;
use powercut_document::{Document, Fault};
use powercut_link::LinkProfile;
use read::Reader;

/// A plan, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationPlan {
    /// Its name.
    pub name: String,
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Runs of each combination.
    pub repeat: u32,
    /// Every combination, in the order of the lists, the last one changing fastest.
    pub upgrades: Vec<Upgrade>,
    /// What to draw, if anything.
    pub chart: Option<Chart>,
    /// Which image size to look for, if any.
    pub fit: Option<ImageSizeFit>,
}

/// A chart: one line for each combination of what is not on its axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chart {
    /// From left to right.
    pub x: Axis,
    /// Upwards, the mean of the runs.
    pub y: Measure,
}

/// What a chart can have from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Bytes of a fragment.
    FragmentBytes,
    /// Losses of power.
    Cuts,
    /// Bytes of the image.
    ImageBytes,
}

/// Looks for the image sizes at which mean download times are those that somebody reports without saying how large the
/// image was:
///
/// ```yaml
/// fit_image_bytes:
///   fragment_bytes: 160
///   sizes: { from: 320, to: 8000, step: 160 }
///   within_percent: 5
///   reported:
///     - { link: nb-iot-ce0, seconds: 7.67 }
///     - { link: lte-cat-1, seconds: 1.04 }
/// ```
/// Device and variant are the plan's first.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSizeFit {
    /// What was reported: a mean time over a link, in seconds.
    pub reported: Vec<(LinkProfile, f64)>,
    /// How far a mean may be off to count as fitting.
    pub within_percent: f64,
    /// For each image size, an upgrade over each of the links.
    pub sizes: Vec<(u32, Vec<Upgrade>)>,
}

impl SimulationPlan {
    /// Read the plan at `path`; link profiles are in `links`.
    ///
    /// # Errors
    /// Anything that keeps it from being run, with its place and a remedy.
    pub fn load(path: &Path, links: &Path) -> Result<Self, Fault> {
        let document = Document::load(path, "simulation plan")?;
        Reader { links }.plan(document.root())
    }

    /// Check a plan's `text`; `file` is only the name used in complaints.
    ///
    /// # Errors
    /// Anything that keeps it from being run, with its place and a remedy.
    pub fn parse(file: &Path, text: &str, links: &Path) -> Result<Self, Fault> {
        Reader { links }.plan(Document::parse(file, text)?.root())
    }

    /// The seeds of the runs of each combination.
    pub fn seeds(&self) -> Vec<u64> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        (0..self.repeat).map(|_| random.next_u64()).collect()
    }
}

impl Axis {
    /// Its name in plans and on the chart.
    pub fn name(self) -> &'static str {
        match self {
            Self::FragmentBytes => "fragment_bytes",
            Self::Cuts => "cuts",
            Self::ImageBytes => "image_bytes",
        }
    }

    /// Where an upgrade lies on it.
    pub fn of(self, upgrade: &Upgrade) -> u32 {
        match self {
            Self::FragmentBytes => upgrade.fragment_bytes.into(),
            Self::Cuts => upgrade.cuts,
            Self::ImageBytes => upgrade.image_bytes,
        }
    }
}

/// Where the plans and profiles of a checkout are, for tests.
#[cfg(test)]
pub(super) fn checkout(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SimulationPlan, Fault> {
        SimulationPlan::parse(Path::new("p.yaml"), text, &checkout("fixtures/links"))
    }

    #[test]
    fn lists_are_swept_in_every_combination() {
        let plan = parse("simulate: x\nrepeat: 3\ndevice: [nrf51, stm32l4]\nlink: [ideal, lte-cat-1]\nfragment_bytes: [160, 504]\ncuts: [0, 1, 3]\n").unwrap();
        assert_eq!(plan.upgrades.len(), 2 * 2 * 2 * 3);
        assert_eq!(plan.upgrades[0].fragment_bytes, 160);
        assert_eq!(plan.upgrades[1].fragment_bytes, 504);
        let seeds = plan.seeds();
        assert_eq!(seeds.len(), 3);
        assert_ne!(seeds[0], seeds[1]);
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_place_and_a_remedy() {
        for (line, expected) in [
            (
                "fragment_bytes: [160, 161]",
                "p.yaml:2:23: fragments of 161 bytes do not fit nrf51; take a multiple of 4",
            ),
            ("fragment_byts: 160", "did you mean `fragment_bytes`?"),
            ("device: nrf53", "p.yaml:2:9: the device cannot be `nrf53`"),
            ("link: wimax", "p.yaml:2:7: there is no link profile"),
            (
                "variants: [{ name: a, dialect: pcp, window: 2 }]",
                "`window` in PCP cannot be 2",
            ),
            (
                "variants: [{ name: a }, { name: a }]",
                "there are two variants `a`",
            ),
            ("cuts: []", "p.yaml:2:7: `cuts` is empty"),
            ("power: { during: idle }", "a stage cannot be `idle`"),
            (
                "chart: { x: cuts, y: happiness }",
                "`y` cannot be `happiness`",
            ),
            (
                "repeat: 100000\ncuts: [0,1,2,3,4,5,6,7,8,9,10]",
                "the plan has 1100000 runs",
            ),
            (
                "fit_image_bytes: { fragment_bytes: 160 }",
                "needs `reported`",
            ),
        ] {
            let message = parse(&format!("simulate: x\n{line}\n"))
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{line}: {message}");
        }
    }

    #[test]
    fn the_plans_that_come_with_powercut_can_be_run() {
        for name in ["paper-figure-7", "comparison-64k"] {
            let path = checkout("test-plans").join(format!("{name}.yaml"));
            let plan = SimulationPlan::load(&path, &checkout("fixtures/links")).unwrap();
            assert_eq!(plan.name, name);
            assert!(plan.chart.is_some());
        }
    }
}
