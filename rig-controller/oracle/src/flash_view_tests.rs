use super::*;
use crate::fixture::{self, LAYOUT, PAGE};

fn seen(bytes: &[u8], upcoming: FlashOpKind, range: std::ops::Range<usize>) -> Vec<u8> {
    let mut out = vec![0; range.len()];
    view(bytes, Some(upcoming))
        .read(range.start as u32, &mut out)
        .unwrap();
    out
}

#[test]
fn an_upcoming_program_shows_in_its_unit_and_nowhere_else_however_it_is_read() {
    let bytes = vec![0xF0; 4 * PAGE];
    let op = fixture::program(&bytes, PAGE as u32, [0x3C, 0xFF, 0x00, 0x11]);
    let mut after = bytes.clone();
    fixture::apply(&mut after, op);
    assert_eq!(after[PAGE..PAGE + 4], [0x30, 0xF0, 0x00, 0x10]);
    for start in PAGE - 6..PAGE + 6 {
        for end in start..PAGE + 10 {
            assert_eq!(seen(&bytes, op, start..end), after[start..end]);
        }
    }
}

#[test]
fn an_upcoming_erase_blanks_its_page_up_to_both_edges() {
    let bytes = vec![0x5A; 4 * PAGE];
    let op = FlashOpKind::Erase {
        address: PAGE as u32,
    };
    let mut after = bytes.clone();
    fixture::apply(&mut after, op);
    for range in [
        PAGE - 3..PAGE + 3,
        2 * PAGE - 3..2 * PAGE + 3,
        0..4 * PAGE,
        PAGE + 1..PAGE + 2,
    ] {
        assert_eq!(seen(&bytes, op, range.clone()), after[range]);
    }
}

#[test]
fn reading_beyond_flash_is_an_error_and_writing_is_refused() {
    let bytes = vec![0; PAGE];
    let mut flash = view(&bytes, None);
    assert_eq!(
        flash.read(1020, &mut [0; 8]),
        Err(NorFlashErrorKind::OutOfBounds)
    );
    assert!(flash.write(0, &[0; 4]).is_err() && flash.erase(0, 1024).is_err());
}

#[test]
fn a_journal_says_nothing_new_until_the_operation_that_completes_its_seal() {
    let before = fixture::provisioned();
    let said = journal_state(&before, &LAYOUT).unwrap();
    let ready = fixture::state(powercut_upgrade::journal::Phase::Ready);
    let mut after = before.clone();
    fixture::write_journal(&mut after, ready);
    // Page 1 of the journal: erased, a header of 18 words, a seal of two.
    let page = LAYOUT.identification_page(1);
    let mut flash = before;
    for word in (page..page + 80).step_by(4) {
        assert_eq!(journal_state(&flash, &LAYOUT), Some(said));
        let value = *after[word as usize..].first_chunk().unwrap();
        let kind = fixture::program(&flash, word, value);
        let complete = word == page + 76;
        let op = FlashOp { number: 1, kind };
        assert_eq!(
            journal_state_after(&flash, &LAYOUT, &op),
            Some(if complete { ready } else { said }),
            "word at {word:#x}"
        );
        fixture::apply(&mut flash, kind);
    }
    assert_eq!(journal_state(&flash, &LAYOUT), Some(ready));
}

#[test]
fn erasing_the_only_sealed_page_leaves_no_journal() {
    let flash = fixture::provisioned();
    let erase = |page| FlashOp {
        number: 1,
        kind: FlashOpKind::Erase {
            address: LAYOUT.identification_page(page),
        },
    };
    assert_eq!(journal_state_after(&flash, &LAYOUT, &erase(0)), None);
    assert!(journal_state_after(&flash, &LAYOUT, &erase(1)).is_some());
}

#[test]
fn the_first_byte_that_differs_is_named_in_a_plain_image_and_in_a_shifted_one() {
    let new = fixture::images().new;
    for placement in [Placement::Plain, Placement::Shifted(fixture::CHAIN)] {
        let mut flash = fixture::provisioned();
        fixture::put(&mut flash, Slot::Staging, placement, &new);
        let differs =
            |flash: &[u8]| first_difference(flash, &LAYOUT, Slot::Staging, placement, new.image());
        assert_eq!(differs(&flash), None);
        for offset in [0, 1023, 1024, fixture::NEW_BYTES - 1] {
            let at = LAYOUT.image_byte(Slot::Staging, placement, offset as u32) as usize;
            flash[at] ^= 1;
            assert_eq!(differs(&flash), Some(offset));
            flash[at] ^= 1;
        }
    }
    assert_eq!(
        first_difference(&[], &LAYOUT, Slot::Active, Placement::Plain, new.image()),
        Some(0)
    );
}
