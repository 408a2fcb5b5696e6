//! L1: how little is fetched again, after cuts and without them.
use super::*;

/// The device asks for the fragment it has to store next.
fn request(oracle: &mut Oracle, index: u16) {
    oracle.on_request(&[FragmentIndex(index)], FragmentIndex(index));
}

/// It gets it.
fn deliver(oracle: &mut Oracle, index: u16) {
    oracle.on_delivered(FragmentIndex(index), FragmentIndex(index));
}

/// An oracle of a device that has received fragments up to `last`, and asked for each once.
fn receiving(last: u16) -> Oracle {
    let mut oracle = oracle();
    oracle.on_boot();
    for index in 0..=last {
        request(&mut oracle, index);
        deliver(&mut oracle, index);
    }
    assert_eq!(broken(&oracle), []);
    oracle
}

fn cut(oracle: &mut Oracle, committed: usize) {
    oracle.after_cut(&downloaded(committed));
    oracle.on_boot();
}

#[test]
fn l1_one_fragment_may_be_fetched_again_after_a_cut_and_two_may_not() {
    let mut sound = receiving(5);
    cut(&mut sound, 5 * 160);
    request(&mut sound, 5);
    assert_eq!((broken(&sound), sound.fetched_again()), (vec![], 1));

    let mut wasteful = receiving(5);
    cut(&mut wasteful, 5 * 160);
    request(&mut wasteful, 4);
    assert_eq!(broken(&wasteful), [Invariant::L1]);
    assert_eq!(wasteful.fetched_again(), 2);
}

#[test]
fn l1_a_page_may_be_fetched_again_after_a_second_cut_without_progress_but_no_more() {
    for (from, expected) in [(6, vec![]), (4, vec![Invariant::L1])] {
        let mut oracle = receiving(12);
        cut(&mut oracle, 12 * 160);
        request(&mut oracle, 12);
        deliver(&mut oracle, 12);
        cut(&mut oracle, 12 * 160);
        request(&mut oracle, from);
        assert_eq!(broken(&oracle), expected, "from {from}");
    }
}

#[test]
fn l1_a_cut_allows_one_return_and_no_second_one_in_the_same_boot() {
    let mut oracle = receiving(12);
    cut(&mut oracle, 12 * 160);
    cut(&mut oracle, 12 * 160);
    request(&mut oracle, 12);
    deliver(&mut oracle, 12);
    assert_eq!(broken(&oracle), []);
    request(&mut oracle, 10);
    assert_eq!(broken(&oracle), [Invariant::L1]);
}

#[test]
fn l1_a_request_repeated_in_its_boot_is_counted_apart() {
    let mut oracle = receiving(5);
    request(&mut oracle, 5);
    assert_eq!(broken(&oracle), []);
    assert_eq!((oracle.repeated_requests(), oracle.fetched_again()), (1, 0));
}

#[test]
fn l1_what_waits_in_ram_behind_a_lost_fragment_may_be_asked_for_again_after_a_cut() {
    let mut oracle = receiving(5);
    oracle.on_request(&[6, 7, 8].map(FragmentIndex), FragmentIndex(6));
    for early in [7, 8] {
        oracle.on_delivered(FragmentIndex(early), FragmentIndex(6));
    }
    cut(&mut oracle, 6 * 160);
    oracle.on_request(&[6, 7, 8].map(FragmentIndex), FragmentIndex(6));
    assert_eq!((broken(&oracle), oracle.fetched_again()), (vec![], 0));
}

#[test]
fn l1_what_was_stored_from_ram_counts_as_received() {
    let mut oracle = receiving(5);
    oracle.on_request(&[6, 7, 8].map(FragmentIndex), FragmentIndex(6));
    for early in [7, 8] {
        oracle.on_delivered(FragmentIndex(early), FragmentIndex(6));
    }
    deliver(&mut oracle, 6);
    oracle.on_request(&[9].map(FragmentIndex), FragmentIndex(9));
    cut(&mut oracle, 9 * 160);
    request(&mut oracle, 7);
    assert_eq!(broken(&oracle), [Invariant::L1]);
}

#[test]
fn l1_a_device_that_fetches_everything_twice_is_caught_without_any_cut() {
    let mut oracle = oracle();
    oracle.on_boot();
    for index in 0..20 {
        for _ in 0..2 {
            request(&mut oracle, index);
            deliver(&mut oracle, index);
        }
    }
    assert_eq!(broken(&oracle), [Invariant::L1]);
}

#[test]
fn l1_a_request_that_goes_back_without_a_cut_is_a_violation() {
    let mut same_boot = receiving(5);
    request(&mut same_boot, 3);
    assert_eq!(broken(&same_boot), [Invariant::L1]);

    let mut after_reset = receiving(5);
    after_reset.on_boot();
    request(&mut after_reset, 5);
    assert_eq!(broken(&after_reset), [Invariant::L1]);
}
