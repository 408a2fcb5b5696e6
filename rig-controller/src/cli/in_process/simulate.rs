//! `rig simulate`: whole upgrades in virtual time, as a plan asks for them.
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::cli::{CliError, say};
use crate::run::DEFAULT_LINKS;
use powercut_simulate::{Campaign, SimulationPlan, report};

/// Options of `rig simulate`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SimulateArgs {
    /// The simulation plan, a YAML file.
    plan: PathBuf,
    /// Folder of the link profiles.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_LINKS)]
    links: PathBuf,
    /// Folder for CSV files and the chart [default: powercut-out/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn simulate(args: &SimulateArgs) -> Result<ExitCode, CliError> {
    let plan = SimulationPlan::load(&args.plan, &args.links)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new("powercut-out").join(&plan.name));
    let start = Instant::now();
    let campaign = plan.run()?;
    let seconds = start.elapsed().as_secs_f64();
    for line in report::table(&campaign) {
        say::line(&line);
    }
    let tried = plan
        .fit
        .as_ref()
        .map_or(0, |fit| fit.sizes.len() * fit.reported.len());
    let runs = (campaign.results.len() + tried) * plan.repeat as usize;
    say::line(&format!(
        "{runs} upgrades simulated in {seconds:.2} s ({:.1} ms each); means of {} runs, times in virtual seconds",
        seconds / runs as f64 * 1e3,
        plan.repeat
    ));
    if let Some(fit) = &plan.fit {
        for line in report::fitting_sizes(fit, &campaign.sizes) {
            say::line(&line);
        }
    }
    for path in write(&plan, &campaign, &out)? {
        say::line(&format!("Written: {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(plan: &SimulationPlan, campaign: &Campaign, out: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut files = vec![
        ("runs.csv", report::runs_csv(campaign)),
        ("means.csv", report::means_csv(campaign)),
    ];
    if let Some(fit) = &plan.fit {
        files.push(("image-sizes.csv", report::sizes_csv(fit, &campaign.sizes)));
    }
    if let Some(chart) = plan.chart {
        files.push(("chart.svg", report::chart_svg(plan, chart, campaign)?));
    }
    let failed = |path: &Path, source| CliError::Write {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(out).map_err(|source| failed(out, source))?;
    files
        .into_iter()
        .map(|(name, text)| {
            let path = out.join(name);
            std::fs::write(&path, text).map_err(|source| failed(&path, source))?;
            Ok(path)
        })
        .collect()
}
