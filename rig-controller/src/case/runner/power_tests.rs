//! How power goes in a case, and what the bench must be able to do for it.
use super::*;

#[test]
fn a_brown_out_opens_no_relay_and_the_timeline_says_how_power_went_and_how_much_ram_kept() {
    let cuts = [
        "f3/after-data/half/brown-out",
        "f12/after-record/ram-kept",
        "swap+100/half/brown-out/ram-decayed:3",
        "trial+1/before",
    ];
    let report = ran(&Table::with_cuts(&cuts), Firmware::Sound);
    assert_eq!(
        report.verdict,
        Some(Verdict::Pass),
        "{}\n{:?}",
        report.timeline,
        report.violations
    );
    // Seconds and phase are left out.
    let said: Vec<&str> = report.timeline.lines().map(|line| &line[22..]).collect();
    let of_power = |line: &&str| {
        ["CUT", "relay", "supply", "ram"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let power: Vec<&str> = said.into_iter().filter(of_power).collect();
    assert_eq!(
        power,
        [
            "relay     on",
            "CUT       f3/after-data/half/brown-out",
            "supply    sags: brown-out",
            "supply    back",
            "ram       kept",
            "CUT       f12/after-record/ram-kept",
            "relay     off",
            "relay     on",
            "ram       kept",
            "CUT       swap+100/half/brown-out/ram-decayed:3",
            "supply    sags: brown-out",
            "supply    back",
            "ram       kept but for 3 of 100 bits",
            "CUT       trial+1/before",
            "relay     off",
            "relay     on",
            "relay     off",
            "relay     on",
            "relay     off",
        ]
    );
}

#[test]
fn a_bench_that_cannot_do_what_a_cut_asks_of_supply_or_ram_is_an_error_of_the_bench() {
    for (cut, firmware, what) in [
        (
            "f5/after-data/brown-out",
            Firmware::RelaySticks,
            "relay 3: it can only switch on and off",
        ),
        (
            "f5/after-data/ram-kept",
            Firmware::WrongRecord,
            "board fake cannot be told how much its RAM keeps in a cut",
        ),
    ] {
        let report = ran(&Table::with_cuts(&[cut]), firmware);
        let text = verdict(&report);
        assert!(
            text.starts_with("bench error: ") && text.contains(what),
            "{text}"
        );
    }
}

#[test]
fn power_that_does_not_go_is_an_error_of_the_bench_and_never_a_pass() {
    for (firmware, what) in [
        (
            Firmware::RelaySticks,
            "relay 3: switching off failed: it was told off and reads back on",
        ),
        (
            Firmware::FedFromElsewhere,
            "the voltmeter says that 3.3 V are there",
        ),
    ] {
        let report = ran(&Table::with_cuts(&["f5/after-data"]), firmware);
        let text = verdict(&report);
        assert!(
            text.starts_with("bench error: ") && text.contains(what),
            "{text}"
        );
        assert_eq!(report.rulings.checked(), []);
    }
}
