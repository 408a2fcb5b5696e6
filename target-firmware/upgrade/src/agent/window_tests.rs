extern crate std;
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::vec::Vec;

const SIZE: u16 = 8;
/// Room for four early fragments.
type Small = Window<[u8; 32]>;

fn opened(base: u16, widest: u8) -> Small {
    let mut window = Small::new([0; 32]);
    window.open(FragmentIndex(base), SIZE, widest);
    window
}

fn asked(window: &mut Small, fragments: u16) -> Vec<u16> {
    window.ask(fragments).map_or(Vec::new(), |question| {
        question.wanted.indices().map(|index| index.0).collect()
    })
}

/// What the window makes of a fragment; its content is its number.
fn take(window: &mut Small, index: u16) -> Vec<u16> {
    let mut stored = Vec::new();
    let content = [index as u8; SIZE as usize];
    match window.look(FragmentIndex(index)) {
        Arrival::Unwanted => return stored,
        Arrival::Early => {
            window.came(FragmentIndex(index), 0);
            window.hold(FragmentIndex(index), &content);
        }
        Arrival::InTurn => {
            window.came(FragmentIndex(index), 0);
            stored.push(index);
            window.advance();
        }
    }
    while let Some(held) = window.held(usize::from(SIZE)) {
        assert_eq!(held, [window.base().0 as u8; SIZE as usize]);
        stored.push(window.base().0);
        window.advance();
    }
    stored
}

#[test]
fn two_fifths_of_a_window_outstanding_are_too_few_and_the_window_grows() {
    let mut window = opened(0, 32);
    assert_eq!(asked(&mut window, 100), [0, 1, 2, 3]);
    assert_eq!(asked(&mut window, 100), []);
    assert_eq!(take(&mut window, 0), [0]);
    assert_eq!(asked(&mut window, 100), [], "3 of 5 are outstanding");
    assert_eq!(take(&mut window, 1), [1]);
    assert_eq!(asked(&mut window, 100), [4, 5, 6, 7], "2 of 6 are");
}

#[test]
fn a_window_of_one_asks_for_one_at_a_time() {
    let mut window = opened(7, 1);
    for index in 7..9 {
        assert_eq!(asked(&mut window, 9), [index]);
        assert_eq!(asked(&mut window, 9), []);
        assert_eq!(take(&mut window, index), [index]);
    }
    assert_eq!(asked(&mut window, 9), [], "there is no more");
}

#[test]
fn a_fragment_that_three_later_ones_overtook_is_asked_for_at_once_and_those_are_kept() {
    let mut window = opened(0, 32);
    window.limit = 8;
    assert_eq!(asked(&mut window, 100), [0, 1, 2, 3, 4, 5, 6, 7]);
    take(&mut window, 1);
    take(&mut window, 2);
    assert_eq!(asked(&mut window, 100), []);
    take(&mut window, 3);
    assert_eq!(asked(&mut window, 100), [0], "and the window shrinks to 7");
    take(&mut window, 4);
    assert_eq!(asked(&mut window, 100), [], "only the timer can tell now");
    assert_eq!(take(&mut window, 0), [0, 1, 2, 3, 4]);
}

#[test]
fn when_the_last_one_outstanding_came_what_is_missing_before_it_is_lost() {
    let mut window = opened(0, 3);
    assert_eq!(asked(&mut window, 3), [0, 1, 2]);
    take(&mut window, 0);
    take(&mut window, 2);
    assert_eq!(asked(&mut window, 3), [1]);
    assert_eq!(take(&mut window, 1), [1, 2]);
}

#[test]
fn what_there_is_no_room_for_is_asked_for_when_its_turn_has_come() {
    let mut window = opened(0, 32);
    window.limit = 8;
    asked(&mut window, 8);
    for index in 1..8 {
        take(&mut window, index);
    }
    assert_eq!(asked(&mut window, 8), [0]);
    assert_eq!(take(&mut window, 0), [0, 1, 2, 3, 4]);
    assert_eq!(asked(&mut window, 8), [5, 6, 7]);
}

#[test]
fn after_a_timeout_everything_not_held_is_asked_for_again() {
    let mut window = opened(0, 4);
    asked(&mut window, 100);
    take(&mut window, 2);
    window.time_out();
    assert_eq!(asked(&mut window, 100), [0, 1, 3]);
}

#[test]
fn only_the_answer_to_something_asked_once_is_measured() {
    let mut window = opened(0, 4);
    assert!(window.ask(100).unwrap().is_measured);
    assert!(!window.came(FragmentIndex(1), 0));
    assert!(window.came(FragmentIndex(0), 0));
    assert!(!window.came(FragmentIndex(0), 0));
}

#[test]
fn a_long_download_that_never_waits_stays_as_wide_as_the_modem_keeps() {
    let mut window = opened(0, 32);
    for _ in 0..1000 {
        window.ask(2000);
        window.came(window.base(), 0);
        window.advance();
    }
    assert_eq!(window.limit, MODEM_QUEUE);
}

/// Downloads `fragments`; the first answer to every `slow`th request takes a while longer than those before. What was
/// outstanding at each request.
fn download(window: &mut Small, fragments: u16, slow: usize) -> Vec<u32> {
    let mut now_ms = 100;
    let mut asked_at = Vec::new();
    for _ in 0..fragments {
        let outstanding = window.outstanding.count_ones();
        if window.ask(1000).is_some() {
            asked_at.push(outstanding);
        }
        let is_first = window.mark == Some(window.base());
        let is_slow = is_first && asked_at.len().is_multiple_of(slow);
        now_ms += if is_slow { 90 } else { 20 };
        window.came(window.base(), now_ms);
        window.advance();
    }
    asked_at
}

#[test]
fn a_window_that_runs_dry_again_and_again_asks_earlier() {
    let mut window = opened(0, 32);
    window.limit = 10;
    let asked_at = download(&mut window, 40, 1);
    assert_eq!(asked_at[..4], [0, 4, 4, 4]);
    assert_eq!(asked_at.last(), Some(&6));
}

#[test]
fn a_window_that_runs_dry_now_and_then_asks_as_late_as_ever() {
    let mut window = opened(0, 32);
    window.limit = 10;
    assert_eq!(download(&mut window, 200, 3).last(), Some(&4));
}

#[test]
fn a_window_whose_line_reads_ahead_asks_earlier_by_as_much() {
    let mut window = opened(0, 32);
    window.ask_ahead(2);
    let asked_at = download(&mut window, 200, 1000);
    assert_eq!(asked_at.last(), Some(&6));
    // A narrow one does not: every fragment would take a request.
    window.open(FragmentIndex(0), SIZE, 4);
    assert_eq!(download(&mut window, 200, 1000).last(), Some(&1));
}

proptest! {
    /// A network that loses, doubles and reorders; the timer runs out when nothing is under way.
    #[test]
    fn every_fragment_is_stored_once_and_in_order(fragments in 1..80_u16, widest in 0..40_u8, base in 0..3_u16, mut fates in prop::collection::vec(0..10_u8, 0..400)) {
        let mut window = opened(base, widest);
        let mut stored = Vec::new();
        let mut network = VecDeque::new();
        let mut questions = 0;
        while window.base().0 < fragments {
            while let Some(question) = window.ask(fragments) {
                questions += 1;
                prop_assert!(question.wanted.indices().all(|index| index.0 >= window.base().0 && index.0 < fragments));
                network.extend(question.wanted.indices().map(|index| index.0));
            }
            prop_assert!(window.outstanding.count_ones() <= u32::from(widest.clamp(1, 32)));
            prop_assert!(questions < 2_000);
            let Some(index) = network.pop_front() else {
                window.time_out();
                continue;
            };
            match fates.pop().unwrap_or(9) {
                0 => continue,
                1 => network.push_back(index),
                2 if !network.is_empty() => {
                    network.insert(1, index);
                    continue;
                }
                _ => {}
            }
            stored.extend(take(&mut window, index));
        }
        prop_assert_eq!(stored, (base..fragments).collect::<Vec<_>>());
    }
}
