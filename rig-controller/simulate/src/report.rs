//! What came of a plan, for people and for other programs: tables of text, CSV and SVG.
use std::fmt::Write;

use plotters::prelude::*;

use super::campaign::{Campaign, Results, TriedSize};
use super::clock::SimulatedStage;
use super::measure::Measure;
use super::plan::{Chart, ImageSizeFit, SimulationPlan};
use super::upgrade::{Run, Upgrade};
use super::variant::dialect_name;

/// Columns that say which combination a line is of.
const COMBINATION: &str =
    "variant,dialect,suite,window,resume,device,link,image_bytes,fragment_bytes,cuts";

/// What becomes of the runs of a combination.
type Summary = fn(Measure, &[Run]) -> Option<f64>;

/// What of a combination is worth a column on a terminal.
const TABLE: [(&str, Measure, Summary, usize); 15] = [
    ("total s", Measure::Total, Measure::mean, 2),
    (
        "download s",
        Measure::InStage(SimulatedStage::Download),
        Measure::mean,
        2,
    ),
    ("x limit", Measure::OverLimit, Measure::mean, 2),
    (
        "swap s",
        Measure::InStage(SimulatedStage::Swap),
        Measure::mean,
        2,
    ),
    ("bytes up", Measure::BytesUp, Measure::mean, 0),
    ("bytes down", Measure::BytesDown, Measure::mean, 0),
    ("overhead", Measure::Overhead, Measure::mean, 3),
    ("again", Measure::FetchedAgain, Measure::mean, 2),
    ("most a cut", Measure::FetchedAgainMost, Measure::most, 0),
    ("in flight", Measure::InFlight, Measure::mean, 2),
    ("held", Measure::Held, Measure::mean, 2),
    ("lost a cut s", Measure::LostACut, Measure::mean, 2),
    ("boot s", Measure::BootACut, Measure::mean, 2),
    ("trip s", Measure::RoundTripACut, Measure::mean, 2),
    ("journal erases", Measure::JournalErases, Measure::mean, 1),
];

fn combination(upgrade: &Upgrade) -> String {
    let variant = &upgrade.variant;
    format!(
        "{},{},{},{},{},{},{},{},{},{}",
        variant.name,
        dialect_name(variant.dialect),
        powercut_package::suites::suite_name(variant.suite),
        variant.window,
        variant.resumes,
        upgrade.part,
        upgrade.link.name,
        upgrade.image_bytes,
        upgrade.fragment_bytes,
        upgrade.cuts
    )
}

/// Numbers as they are, to the nanosecond and no further.
fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| {
        let text = format!("{value:.9}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    })
}

/// Every run on a line.
pub fn runs_csv(campaign: &Campaign) -> String {
    let mut text = format!("{COMBINATION},seed");
    for measure in Measure::ALL {
        let _ = write!(text, ",{}", measure.name());
    }
    text.push('\n');
    for Results { upgrade, runs } in &campaign.results {
        for run in runs {
            let _ = write!(text, "{},{}", combination(upgrade), run.seed);
            for measure in Measure::ALL {
                let _ = write!(text, ",{}", number(measure.of(run)));
            }
            text.push('\n');
        }
    }
    text
}

/// Every combination on a line, with the mean of its runs.
pub fn means_csv(campaign: &Campaign) -> String {
    let mut text = format!("{COMBINATION},runs");
    for measure in Measure::ALL {
        let _ = write!(text, ",{}", measure.name());
    }
    text.push('\n');
    for Results { upgrade, runs } in &campaign.results {
        let _ = write!(text, "{},{}", combination(upgrade), runs.len());
        for measure in Measure::ALL {
            let _ = write!(text, ",{}", number(measure.mean(runs)));
        }
        text.push('\n');
    }
    text
}

/// A table for the terminal: means, and one maximum, a line for each combination.
pub fn table(campaign: &Campaign) -> Vec<String> {
    let mut rows = vec![
        ["variant", "device", "link", "image", "fragment", "cuts"]
            .into_iter()
            .chain(TABLE.iter().map(|(name, ..)| *name))
            .map(str::to_owned)
            .collect::<Vec<String>>(),
    ];
    for Results { upgrade, runs } in &campaign.results {
        let mut row = vec![
            upgrade.variant.name.clone(),
            upgrade.part.to_string(),
            upgrade.link.name.clone(),
            upgrade.image_bytes.to_string(),
            upgrade.fragment_bytes.to_string(),
            upgrade.cuts.to_string(),
        ];
        for (_, measure, summary, digits) in TABLE {
            row.push(
                summary(measure, runs)
                    .map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}")),
            );
        }
        rows.push(row);
    }
    aligned(&rows)
}

/// Rows with their columns under each other.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(String::len)
                .max()
                .unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect();
            cells.join("  ")
        })
        .collect()
}

/// Mean download times by image size.
pub fn sizes_csv(fit: &ImageSizeFit, sizes: &[TriedSize]) -> String {
    let mut text = "image_bytes".to_owned();
    for (link, _) in &fit.reported {
        let _ = write!(text, ",{}_s", link.name);
    }
    text.push('\n');
    for size in sizes {
        let _ = write!(text, "{}", size.image_bytes);
        for seconds in &size.seconds {
            let _ = write!(text, ",{}", number(Some(*seconds)));
        }
        text.push('\n');
    }
    text
}

/// Which image sizes fit what was reported, and which do not: never more than that.
pub fn fitting_sizes(fit: &ImageSizeFit, sizes: &[TriedSize]) -> Vec<String> {
    let fits = |size: &TriedSize, place: usize, reported: f64| {
        size.seconds
            .get(place)
            .is_some_and(|seconds| (seconds / reported - 1.0).abs() * 100.0 <= fit.within_percent)
    };
    let mut lines = Vec::new();
    for (place, (link, reported)) in fit.reported.iter().enumerate() {
        let fitting: Vec<u32> = sizes
            .iter()
            .filter(|size| fits(size, place, *reported))
            .map(|size| size.image_bytes)
            .collect();
        lines.push(match (fitting.first(), fitting.last()) {
            (Some(least), Some(most)) => format!(
                "{}: {reported} s within {} % is met by images of {least} to {most} bytes, of those tried",
                link.name, fit.within_percent
            ),
            _ => format!(
                "{}: {reported} s within {} % is met by none of the image sizes tried",
                link.name, fit.within_percent
            ),
        });
    }
    let both: Vec<u32> = sizes
        .iter()
        .filter(|size| {
            fit.reported
                .iter()
                .enumerate()
                .all(|(place, (_, reported))| fits(size, place, *reported))
        })
        .map(|size| size.image_bytes)
        .collect();
    lines.push(match (both.first(), both.last()) {
        (Some(least), Some(most)) => {
            format!("All times are met by the same images of {least} to {most} bytes.")
        }
        _ => "No image size that was tried meets all times together: under these assumed profiles the reported times are not of one image.".to_owned(),
    });
    if let [(one, slow), (other, fast)] = fit.reported.as_slice() {
        lines.push(format!(
            "Reported {} over {}: {:.2}. Here it is {}.",
            one.name,
            other.name,
            slow / fast,
            ratios(sizes)
        ));
    }
    lines.push("Link figures are assumptions, and the image, its handling on the device and what was timed are not stated: this shows what could fit, not what was measured then.".to_owned());
    lines
}

/// The range of the ratio of the first two links' times.
fn ratios(sizes: &[TriedSize]) -> String {
    let ratios: Vec<f64> = sizes
        .iter()
        .filter_map(|size| match size.seconds.as_slice() {
            [slow, fast] if *fast > 0.0 => Some(slow / fast),
            _ => None,
        })
        .collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{least:.2} to {most:.2} over the sizes tried")
}

/// The chart cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the chart cannot be drawn: {0}; make it smaller, or leave `chart` out")]
pub struct ChartError(String);

/// The plan's chart as SVG.
///
/// # Errors
/// When the drawing fails.
pub fn chart_svg(
    plan: &SimulationPlan,
    chart: Chart,
    campaign: &Campaign,
) -> Result<String, ChartError> {
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for Results { upgrade, runs } in &campaign.results {
        let Some(y) = chart.y.mean(runs) else {
            continue;
        };
        let point = (f64::from(chart.x.of(upgrade)), y);
        let name = series(plan, chart, upgrade);
        match lines.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    let mut text = String::new();
    draw(&mut text, plan, chart, &lines).map_err(|error| ChartError(error.to_string()))?;
    Ok(text)
}

/// The axis on which something is not told apart by lines, and what it is called.
type Facet = (&'static str, fn(&Upgrade) -> String);

/// What a line of the chart stands for: whatever differs in the plan and is not on the chart's axis.
fn series(plan: &SimulationPlan, chart: Chart, upgrade: &Upgrade) -> String {
    let facets: [Facet; 6] = [
        ("", |upgrade| upgrade.variant.name.clone()),
        ("", |upgrade| upgrade.link.name.clone()),
        ("", |upgrade| upgrade.part.to_string()),
        ("image_bytes", |upgrade| {
            format!("{} bytes", upgrade.image_bytes)
        }),
        ("fragment_bytes", |upgrade| {
            format!("fragments of {}", upgrade.fragment_bytes)
        }),
        ("cuts", |upgrade| format!("{} cuts", upgrade.cuts)),
    ];
    let names: Vec<String> = facets
        .iter()
        .filter(|(axis, facet)| {
            let first = plan.upgrades.first().map(facet);
            *axis != chart.x.name()
                && plan
                    .upgrades
                    .iter()
                    .any(|other| Some(facet(other)) != first)
        })
        .map(|(_, facet)| facet(upgrade))
        .collect();
    if names.is_empty() {
        upgrade.variant.name.clone()
    } else {
        names.join(", ")
    }
}

fn draw(
    text: &mut String,
    plan: &SimulationPlan,
    chart: Chart,
    lines: &[(String, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let bounds = |value: fn(&(f64, f64)) -> f64| {
        points().map(value).fold(
            (f64::INFINITY, f64::NEG_INFINITY),
            |(least, most), value| (least.min(value), most.max(value)),
        )
    };
    let (left, right) = bounds(|point| point.0);
    let (bottom, top) = bounds(|point| point.1);
    let root = SVGBackend::with_string(text, (900, 540)).into_drawing_area();
    root.fill(&WHITE)?;
    // Slow links and fast ones on one chart: only a logarithm shows both.
    let low = bottom.max(1e-3);
    let mut axes = ChartBuilder::on(&root)
        .caption(&plan.name, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(
            left..right.max(left + 1.0),
            (low / 1.3..(top.max(low) * 1.3)).log_scale(),
        )?;
    axes.configure_mesh()
        .x_desc(chart.x.name())
        .y_desc(format!("{} (mean of {} runs)", chart.y.name(), plan.repeat))
        .draw()?;
    for (number, (name, points)) in lines.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        axes.draw_series(LineSeries::new(
            points.iter().copied(),
            colour.stroke_width(2),
        ))?
        .label(name.clone())
        .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
        axes.draw_series(
            points
                .iter()
                .map(|point| Circle::new(*point, 3, colour.filled())),
        )?;
    }
    axes.configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
