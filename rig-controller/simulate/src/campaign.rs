//! Runs all of a plan, on all cores; the results do not depend on how many there are.
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::measure::Measure;
use super::plan::{ImageSizeFit, SimulationPlan};
use super::upgrade::{Run, SimulationError, Upgrade};

/// The runs of one combination.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// What was run.
    pub upgrade: Upgrade,
    /// One for each seed.
    pub runs: Vec<Run>,
}

/// Everything a plan came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// For each combination, in the plan's order.
    pub results: Vec<Results>,
    /// The image sizes that were tried, if the plan asks for it.
    pub sizes: Vec<TriedSize>,
}

/// Mean download times at one image size.
#[derive(Debug, Clone, PartialEq)]
pub struct TriedSize {
    /// Bytes of the image.
    pub image_bytes: u32,
    /// Mean seconds over each of the links.
    pub seconds: Vec<f64>,
}

/// One combination did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {source}")]
pub struct CampaignError {
    /// Which one.
    pub what: String,
    /// Why.
    pub source: SimulationError,
}

impl SimulationPlan {
    /// Run it.
    ///
    /// # Errors
    /// The first combination, in the plan's order, that does not run to its end.
    pub fn run(&self) -> Result<Campaign, CampaignError> {
        let seeds = self.seeds();
        let runs = run_all(&self.upgrades, &seeds)?;
        let results = self
            .upgrades
            .iter()
            .cloned()
            .zip(runs)
            .map(|(upgrade, runs)| Results { upgrade, runs })
            .collect();
        let sizes = match &self.fit {
            None => Vec::new(),
            Some(fit) => try_sizes(fit, &seeds)?,
        };
        Ok(Campaign { results, sizes })
    }
}

fn try_sizes(fit: &ImageSizeFit, seeds: &[u64]) -> Result<Vec<TriedSize>, CampaignError> {
    let upgrades: Vec<Upgrade> = fit
        .sizes
        .iter()
        .flat_map(|(_, upgrades)| upgrades.iter().cloned())
        .collect();
    let runs = run_all(&upgrades, seeds)?;
    let download = Measure::InStage(super::SimulatedStage::Download);
    Ok(fit
        .sizes
        .iter()
        .zip(runs.chunks(fit.reported.len().max(1)))
        .map(|((image_bytes, _), runs)| TriedSize {
            image_bytes: *image_bytes,
            seconds: runs
                .iter()
                .map(|runs| download.mean(runs).unwrap_or_default())
                .collect(),
        })
        .collect())
}

/// The runs of all upgrades, in their order, worked out by one thread a core.
fn run_all(upgrades: &[Upgrade], seeds: &[u64]) -> Result<Vec<Vec<Run>>, CampaignError> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; upgrades.len()]);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((place, upgrade)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    upgrades.get(place).map(|upgrade| (place, upgrade))
                } {
                    let runs = upgrade.run(seeds);
                    done.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(runs);
                }
            });
        }
    });
    done.into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_iter()
        .zip(upgrades)
        .map(|(runs, upgrade)| {
            // Every place was worked out: the scope ends when its threads have.
            runs.unwrap_or(Ok(Vec::new()))
                .map_err(|source| CampaignError {
                    what: upgrade.title(),
                    source,
                })
        })
        .collect()
}

impl Upgrade {
    /// One line that names it.
    pub fn title(&self) -> String {
        format!(
            "{} over {} on {}, {} bytes in fragments of {}, {} cuts",
            self.variant.name,
            self.link.name,
            self.part,
            self.image_bytes,
            self.fragment_bytes,
            self.cuts
        )
    }
}
