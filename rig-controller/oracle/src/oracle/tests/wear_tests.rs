//! S3 and L3: how often units are programmed and pages are erased.
use super::*;

#[test]
fn s3_counts_in_the_units_and_pages_of_the_flash_it_is_given() {
    let geometry = Geometry::new(8, 2048, 1, 128).unwrap();
    let layout = Layout {
        page_bytes: 2048,
        ..LAYOUT
    };
    let mut provisioned = vec![0xFF; geometry.size_bytes() as usize];
    let staging = 0x2_5000;
    provisioned[staging as usize + 16] = 0;
    let mut oracle = Oracle::new(
        geometry,
        &layout,
        fixture::images(),
        1,
        Sight::EVERYTHING,
        &provisioned,
    );
    let program = |address: u32| FlashOp {
        number: 7,
        kind: FlashOpKind::program(&provisioned, address, &[0; 8]).unwrap(),
    };
    for unit in [0, 8, 2040, 2048] {
        operate(&mut oracle, program(staging + unit));
    }
    assert_eq!(broken(&oracle), []);
    operate(&mut oracle, program(staging + 8));
    assert_eq!(broken(&oracle), [Invariant::S3]);
    assert!(
        reasons(&oracle).contains("for the 2th time"),
        "{}",
        reasons(&oracle)
    );
    // Provisioning had programmed it.
    operate(&mut oracle, program(staging + 16));
    assert_eq!(broken(&oracle), [Invariant::S3; 2]);
    // An erase begins anew in all its page and in no other.
    operate(&mut oracle, erase(staging));
    operate(&mut oracle, program(staging + 2040));
    assert_eq!(broken(&oracle), [Invariant::S3; 2]);
    operate(&mut oracle, program(staging + 2048));
    assert_eq!(broken(&oracle), [Invariant::S3; 3]);
}

#[test]
fn s3_two_programs_of_a_unit_are_fine_the_third_is_not_and_an_erase_begins_anew() {
    let at = LAYOUT.staging.start + 8;
    let mut oracle = oracle();
    for _ in 0..2 {
        operate(&mut oracle, word(at));
        operate(&mut oracle, word(at + 4));
    }
    operate(&mut oracle, erase(LAYOUT.staging.start));
    operate(&mut oracle, word(at));
    operate(&mut oracle, word(at));
    assert_eq!(broken(&oracle), []);
    operate(&mut oracle, word(at));
    assert_eq!(broken(&oracle), [Invariant::S3]);
}

#[test]
fn s3_what_provisioning_programmed_counts() {
    let mut oracle = oracle();
    operate(&mut oracle, word(LAYOUT.active.start));
    assert_eq!(broken(&oracle), []);
    operate(&mut oracle, word(LAYOUT.active.start));
    assert_eq!(broken(&oracle), [Invariant::S3]);
}

#[test]
fn an_operation_beyond_flash_is_no_reason_to_panic() {
    let mut oracle = oracle();
    operate(&mut oracle, word(0x8_0000));
    operate(&mut oracle, erase(0x8_0000));
    assert_eq!(oracle.erases(), 0);
}

#[test]
fn l3_an_uncut_installation_may_erase_each_page_as_often_as_download_and_swap_need() {
    let mut oracle = oracle();
    oracle.on_boot();
    for page in (0..4).chain([107]) {
        operate(&mut oracle, erase(LAYOUT.active.start + page * 1024));
        operate(&mut oracle, erase(LAYOUT.staging.start + page * 1024));
        operate(&mut oracle, erase(LAYOUT.staging.start + page * 1024));
    }
    operate(&mut oracle, erase(LAYOUT.identification_page(1)));
    oracle.at_end(true);
    assert_eq!(broken(&oracle), [], "{}", reasons(&oracle));
}

#[test]
fn l3_one_erase_of_a_page_too_many_is_a_violation_and_a_cut_pays_for_it() {
    for (region, times) in [(LAYOUT.active, 2), (LAYOUT.staging, 3)] {
        for cuts in 0..2 {
            let mut oracle = oracle();
            oracle.on_boot();
            for _ in 0..cuts {
                oracle.after_cut(&fixture::provisioned());
            }
            for _ in 0..times {
                operate(&mut oracle, erase(region.start));
            }
            oracle.at_end(true);
            assert_eq!(broken(&oracle).is_empty(), cuts == 1);
        }
    }
}

#[test]
fn l3_a_journal_page_for_each_record_is_too_much() {
    let mut oracle = oracle();
    oracle.on_boot();
    for n in 1..=10 {
        record(
            &mut oracle,
            &[],
            &downloading(n * 160),
            &downloading((n + 1) * 160),
        );
    }
    oracle.at_end(true);
    assert_eq!(broken(&oracle), [Invariant::L3]);
    assert!(reasons(&oracle).contains("the journal was erased 10 times; 3 would do"));
}

#[test]
fn l3_a_device_that_refuses_an_image_erases_neither_slot() {
    let mut oracle = oracle();
    operate(&mut oracle, erase(LAYOUT.active.start));
    oracle.at_end(false);
    assert_eq!(broken(&oracle), [Invariant::L3]);
}
