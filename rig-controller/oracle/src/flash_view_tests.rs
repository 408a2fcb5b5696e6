use nor_flash_model::NorFlashModel;
use powercut_upgrade::flash::WriteOnce;
use powercut_upgrade::manifest::{ImageId, SecurityCounter};
use powercut_upgrade::slots::Region;

use super::*;
use crate::fixture::{self, GEOMETRY, LAYOUT, PAGE};

/// The core's look at some bytes of the flash.
struct Range(std::ops::Range<usize>);

impl Question for Range {
    type Answer = Vec<u8>;

    fn ask<F: UpgradeFlash>(self, flash: &mut F) -> Vec<u8> {
        let mut out = vec![0; self.0.len()];
        assert!(flash.read(self.0.start as u32, &mut out).is_ok());
        out
    }
}

fn seen(bytes: &[u8], upcoming: FlashOpKind, range: std::ops::Range<usize>) -> Vec<u8> {
    ask(bytes, Some(upcoming), GEOMETRY, Range(range))
}

fn applied(bytes: &[u8], op: FlashOpKind) -> Vec<u8> {
    let mut after = bytes.to_vec();
    op.apply(&mut after, PAGE as u32);
    after
}

#[test]
fn an_upcoming_program_shows_in_its_unit_and_nowhere_else_however_it_is_read() {
    let bytes = vec![0xF0; 4 * PAGE];
    let op = FlashOpKind::program(&bytes, PAGE as u32, &[0x3C, 0xFF, 0x00, 0x11]).unwrap();
    let after = applied(&bytes, op);
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
    let after = applied(&bytes, op);
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
    let mut flash = FlashView::<4, 1024, 2> {
        bytes: &bytes,
        upcoming: None,
    };
    assert_eq!(
        flash.read(1020, &mut [0; 8]),
        Err(NorFlashErrorKind::OutOfBounds)
    );
    assert!(flash.write(0, &[0; 4]).is_err() && flash.erase(0, 1024).is_err());
}

#[test]
fn a_journal_says_nothing_new_until_the_operation_that_completes_its_seal() {
    let before = fixture::provisioned();
    let said = journal_state(&before, GEOMETRY, &LAYOUT).unwrap();
    let ready = fixture::state(powercut_upgrade::journal::Phase::Ready);
    let mut after = before.clone();
    fixture::write_journal(&mut after, ready);
    // Page 1 of the journal: erased, a header of 18 words, a seal of two.
    let page = LAYOUT.identification_page(1);
    let mut flash = before;
    for word in (page..page + 80).step_by(4) {
        assert_eq!(journal_state(&flash, GEOMETRY, &LAYOUT), Some(said));
        let value = &after[word as usize..][..4];
        let kind = FlashOpKind::program(&flash, word, value).unwrap();
        let complete = word == page + 76;
        let op = FlashOp { number: 1, kind };
        assert_eq!(
            journal_state_after(&flash, GEOMETRY, &LAYOUT, &op),
            Some(if complete { ready } else { said }),
            "word at {word:#x}"
        );
        flash = applied(&flash, kind);
    }
    assert_eq!(journal_state(&flash, GEOMETRY, &LAYOUT), Some(ready));
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
    assert_eq!(
        journal_state_after(&flash, GEOMETRY, &LAYOUT, &erase(0)),
        None
    );
    assert!(journal_state_after(&flash, GEOMETRY, &LAYOUT, &erase(1)).is_some());
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

/// Units of 8 bytes that take one program, pages of 2 KB.
fn write_once() -> (Geometry, Layout) {
    let region = |page: u32, pages: u16| Region {
        start: page * 2048,
        pages,
    };
    let layout = Layout {
        page_bytes: 2048,
        boot: region(0, 0),
        factory: region(0, 1),
        identification: region(1, 4),
        active: region(5, 3),
        staging: region(8, 4),
        addresses: LAYOUT.addresses,
    };
    (Geometry::new(8, 2048, 1, 12).unwrap(), layout)
}

#[test]
fn a_journal_is_read_in_the_units_and_pages_of_its_flash_and_in_no_others() {
    let (geometry, layout) = write_once();
    let mut device = WriteOnce(NorFlashModel::<8, 2048, 1>::new(12));
    let (image, counter) = (ImageId([5; 16]), SecurityCounter(2));
    Journal::provision(&mut device, &layout, image, counter).unwrap();
    let before = device.0.bytes();
    let said = journal_state(&before, geometry, &layout);
    assert_eq!(said, Some(State::confirmed(image, counter)));
    let words = Geometry::new(4, 2048, 2, 12);
    assert!(words.is_err(), "there is no such flash to mistake it for");
    assert_eq!(journal_state(&before, GEOMETRY, &LAYOUT), None);

    let ready = State {
        phase: powercut_upgrade::journal::Phase::Ready,
        ..State::confirmed(image, counter)
    };
    let mut journal = Journal::recover(&mut device, &layout);
    device.0.start_log();
    journal.open(&mut device, ready).unwrap();
    let after = device.0.bytes();
    let mut flash = before;
    let operations = device.0.log();
    for (number, operation) in (1..).zip(operations) {
        let kind = match *operation {
            nor_flash_model::Operation::Erase { address } => FlashOpKind::Erase { address },
            nor_flash_model::Operation::Program { address } => {
                FlashOpKind::program(&flash, address, &after[address as usize..][..8]).unwrap()
            }
        };
        let is_last = number == operations.len() as u64;
        let op = FlashOp { number, kind };
        assert_eq!(
            journal_state_after(&flash, geometry, &layout, &op),
            if is_last { Some(ready) } else { said },
            "operation {number}"
        );
        kind.apply(&mut flash, geometry.page_bytes());
    }
    assert_eq!(journal_state(&flash, geometry, &layout), Some(ready));
    assert!(journal_page_capacity(geometry, &layout) > journal_page_capacity(GEOMETRY, &LAYOUT));
}
