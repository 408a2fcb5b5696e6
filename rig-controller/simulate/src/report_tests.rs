use std::path::Path;

use super::super::plan::checkout;
use super::*;

fn plan(text: &str) -> SimulationPlan {
    SimulationPlan::parse(Path::new("p.yaml"), text, &checkout("fixtures/links")).unwrap()
}

const PLAN: &str = "simulate: small\nseed: 3\nrepeat: 2\nimage_bytes: 4096\nlink: [nb-iot-ce0, lte-cat-1]\nfragment_bytes: [64, 160]\ncuts: [0, 2]\nchart: { x: fragment_bytes, y: download_s }\n";

#[test]
fn the_same_plan_gives_the_same_files_byte_for_byte_and_another_seed_others() {
    let one = plan(PLAN).run().unwrap();
    let again = plan(PLAN).run().unwrap();
    assert_eq!(runs_csv(&one), runs_csv(&again));
    assert_eq!(means_csv(&one), means_csv(&again));
    let other = plan(&PLAN.replace("seed: 3", "seed: 4")).run().unwrap();
    assert_ne!(runs_csv(&one), runs_csv(&other));
}

#[test]
fn every_run_has_a_line_with_all_columns_and_every_combination_a_mean() {
    let campaign = plan(PLAN).run().unwrap();
    let csv = runs_csv(&campaign);
    let columns = csv.lines().next().unwrap().split(',').count();
    assert_eq!(csv.lines().count(), 1 + 2 * 8);
    assert!(csv.lines().all(|line| line.split(',').count() == columns));
    assert_eq!(means_csv(&campaign).lines().count(), 1 + 8);
    assert_eq!(table(&campaign).len(), 1 + 8);
}

#[test]
fn larger_fragments_take_less_time_and_a_fast_link_much_less() {
    let campaign = plan(PLAN).run().unwrap();
    let download = |link: &str, fragment: u16| {
        let found = campaign
            .results
            .iter()
            .find(|results| {
                let upgrade = &results.upgrade;
                upgrade.link.name == link && upgrade.fragment_bytes == fragment && upgrade.cuts == 0
            })
            .unwrap();
        Measure::InStage(SimulatedStage::Download)
            .mean(&found.runs)
            .unwrap()
    };
    assert!(download("nb-iot-ce0", 64) > download("nb-iot-ce0", 160));
    assert!(download("nb-iot-ce0", 160) > 2.0 * download("lte-cat-1", 160));
}

#[test]
fn a_chart_has_a_line_for_whatever_is_not_on_its_axis() {
    let plan = plan(PLAN);
    let campaign = plan.run().unwrap();
    let svg = chart_svg(&plan, plan.chart.unwrap(), &campaign).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("download_s"));
    for name in ["nb-iot-ce0, 0 cuts", "lte-cat-1, 2 cuts"] {
        assert!(svg.contains(name), "{name}");
    }
    assert!(svg.matches("<polyline").count() >= 4);
}

#[test]
fn image_sizes_that_fit_are_told_from_those_that_do_not() {
    let plan = plan(
        "simulate: fit\nrepeat: 3\nimage_bytes: 512\nfit_image_bytes:\n  fragment_bytes: 160\n  sizes: { from: 480, to: 1920, step: 480 }\n  within_percent: 10\n  reported:\n    - { link: nb-iot-ce0, seconds: 1000 }\n    - { link: lte-cat-1, seconds: 0.5 }\n",
    );
    let campaign = plan.run().unwrap();
    let mut fit = plan.fit.clone().unwrap();
    let lines = fitting_sizes(&fit, &campaign.sizes);
    assert!(lines[0].contains("is met by none"), "{lines:#?}");
    assert!(lines[2].starts_with("No image size"), "{lines:#?}");
    // What comes of 960 bytes, reported: that size fits, and with both it is the only one.
    for (place, (_, seconds)) in fit.reported.iter_mut().enumerate() {
        *seconds = campaign.sizes[1].seconds[place];
    }
    let lines = fitting_sizes(&fit, &campaign.sizes);
    assert!(
        lines[2].contains("images of 960 to 960 bytes"),
        "{lines:#?}"
    );
    assert_eq!(sizes_csv(&fit, &campaign.sizes).lines().count(), 5);
}
