use super::*;
use crate::CutBy;
use powercut_upgrade::manifest::Suite;

fn link(name: &str) -> LinkProfile {
    let links = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/links");
    LinkProfile::load(&links, name).unwrap()
}

fn upgrade(part: &str, link_name: &str) -> Upgrade {
    Upgrade {
        part: SimulatedPart::ALL
            .into_iter()
            .find(|p| p.name == part)
            .unwrap(),
        link: link(link_name),
        image_bytes: 16 * 1024,
        fragment_bytes: 160,
        variant: Variant::lean(),
        cuts: 0,
        power: PowerRules {
            during: vec![SimulatedStage::Download],
            by: CutBy::Operation,
            off: Duration::from_secs(5),
            modem: ModemPower::Stays,
        },
    }
}

fn run(upgrade: &Upgrade) -> Run {
    upgrade.run(&[7]).unwrap().remove(0)
}

#[test]
fn an_upgrade_over_a_link_without_delay_takes_what_flash_and_cpu_take() {
    let mut upgrade = upgrade("nrf51", "ideal");
    upgrade.variant.window = 1;
    let run = run(&upgrade);
    // STAGING and ACTIVE once or twice each, and three signatures.
    let nrf51 = SimulatedPart::ALL[0];
    let erases = nrf51.erase * (run.slot_erases + run.journal_erases) as u32;
    assert!(run.total > erases + 2 * nrf51.signature, "{run:#?}");
    assert_eq!(run.counts.served, u64::from(run.fragments));
    assert_eq!(run.counts.fetched_again, 0);
    assert_eq!((run.boots, run.cuts), (2, 0));
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let upgrade = Upgrade {
        cuts: 3,
        ..upgrade("nrf51", "nb-iot-ce1")
    };
    let runs = upgrade.run(&[7, 7, 8]).unwrap();
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].total, runs[2].total);
}

#[test]
fn a_stop_and_wait_download_takes_a_round_trip_a_fragment() {
    let mut upgrade = upgrade("nrf51", "nb-iot-ce0");
    upgrade.variant.window = 1;
    upgrade.link.round_trip.as_mut().unwrap().sigma = 0.0;
    upgrade.link.to_device.drop_percent = 0.0;
    upgrade.link.to_platform.drop_percent = 0.0;
    let run = run(&upgrade);
    let download = run.in_stage(SimulatedStage::Download);
    let fragments = f64::from(run.fragments);
    let least = fragments * 0.35 + run.limit.air.as_secs_f64();
    assert!(download.as_secs_f64() > least, "{run:#?}");
    assert!(download.as_secs_f64() < 1.6 * least, "{run:#?}");
    assert!(run.in_stage(SimulatedStage::Offer) >= upgrade.link.first_contact);
}

#[test]
fn a_cut_in_the_download_costs_at_most_a_fragment_where_units_are_programmed_twice() {
    for by in [CutBy::Operation, CutBy::Time] {
        let mut upgrade = upgrade("nrf51", "nb-iot-ce0");
        upgrade.cuts = 1;
        upgrade.power.by = by;
        let seeds: Vec<u64> = (1..=20).collect();
        for run in upgrade.run(&seeds).unwrap() {
            assert_eq!(run.cuts, 1);
            assert!(run.counts.fetched_again <= 1, "{run:#?}");
            assert_eq!(run.in_stage(SimulatedStage::Off), upgrade.power.off);
            assert_eq!(run.times_lost.len(), 1);
        }
    }
}

#[test]
fn ten_cuts_cost_at_most_a_page_each_even_where_two_hit_one_fragment() {
    let mut upgrade = upgrade("nrf51", "nb-iot-ce0");
    upgrade.cuts = 10;
    for run in upgrade.run(&[1, 2, 3]).unwrap() {
        assert_eq!(run.cuts, 10);
        assert!(
            run.counts.fetched_again_most <= 1024_u64.div_ceil(160) + 1,
            "{run:#?}"
        );
        assert!(run.total > run.uncut_total.unwrap());
    }
}

#[test]
fn cuts_in_the_download_cost_at_most_a_page_each_where_a_page_is_collected() {
    let mut upgrade = upgrade("stm32l4", "lte-cat-1");
    upgrade.cuts = 10;
    for run in upgrade.run(&[1, 2, 3]).unwrap() {
        // A page begins and ends inside fragments.
        let page = 2048_u64.div_ceil(160) + 1;
        assert!(run.counts.fetched_again_most <= page, "{run:#?}");
        assert!(run.counts.fetched_again > 0);
    }
}

#[test]
fn cuts_in_any_stage_are_survived_with_either_modem() {
    for modem in [ModemPower::Stays, ModemPower::WithBoard] {
        for by in [CutBy::Operation, CutBy::Time] {
            let mut upgrade = upgrade("nrf52840", "lte-cat-1");
            upgrade.cuts = 6;
            upgrade.power.during = SimulatedStage::ALL[1..].to_vec();
            upgrade.power.by = by;
            upgrade.power.modem = modem;
            let runs = upgrade.run(&[1, 2, 3, 4]).unwrap();
            assert!(runs.iter().all(|run| run.cuts == 6));
        }
    }
}

#[test]
fn without_resume_a_cut_costs_everything_fetched_so_far() {
    let mut with = upgrade("nrf51", "lte-cat-1");
    with.cuts = 3;
    let mut without = with.clone();
    without.variant.resumes = false;
    let (with, without) = (run(&with), run(&without));
    assert!(without.counts.fetched_again > 10 * with.counts.fetched_again.max(1));
    assert!(without.bytes_down > with.bytes_down * 3 / 2);
    assert!(without.total > with.total);
    assert!(without.journal_erases < 40, "{}", without.journal_erases);
}

#[test]
fn a_window_keeps_the_air_busy_and_pcp_does_not() {
    let mut upgrade = upgrade("stm32l4", "nb-iot-ce0");
    upgrade.image_bytes = 32 * 1024;
    let lean = run(&upgrade);
    upgrade.variant = Variant {
        name: "pcp".to_owned(),
        dialect: Dialect::Pcp,
        suite: Suite::MSequence,
        window: 1,
        resumes: true,
    };
    let pcp = run(&upgrade);
    let download = |run: &Run| run.in_stage(SimulatedStage::Download);
    assert!(download(&pcp) > 4 * download(&lean), "{pcp:#?} {lean:#?}");
    assert!(pcp.overhead() > lean.overhead());
}

#[test]
fn hexadecimal_payloads_at_a_low_rate_make_the_serial_line_the_slower_stage() {
    let hex = run(&upgrade("nrf51", "nb-iot-ce0-9600-hex"));
    let binary = run(&upgrade("nrf51", "nb-iot-ce0"));
    assert!(hex.limit.line > hex.limit.air);
    assert!(binary.limit.line < binary.limit.air);
    assert!(hex.over_limit() > Some(1.0) && binary.over_limit() > Some(1.0));
    assert!(hex.total > binary.total);
}
