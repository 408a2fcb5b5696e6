//! The journal against arbitrary flash and arbitrary histories.
extern crate std;

use nor_flash_model::NorFlashModel;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::page::{HEADER_BYTES, decode_header, decode_record, encode_header, encode_record};
use super::*;
use crate::flash::TwiceProgrammable;
use crate::slots::{AddressSpace, ChainLength, Region};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

const PAGE: usize = 256;
const LAYOUT: Layout = Layout {
    page_bytes: PAGE as u32,
    boot: Region { start: 0, pages: 0 },
    factory: Region { start: 0, pages: 0 },
    identification: Region { start: 0, pages: 4 },
    active: Region {
        start: 1024,
        pages: 2,
    },
    staging: Region {
        start: 1536,
        pages: 3,
    },
    addresses: AddressSpace::NRF51,
};

type Flash = TwiceProgrammable<NorFlashModel<4, PAGE, 2>>;

fn flash() -> Flash {
    TwiceProgrammable(NorFlashModel::new(9))
}

/// Works pages out in pieces, some of which hold no record.
struct InPieces(Flash, u32);

impl ErrorType for InPieces {
    type Error = <Flash as ErrorType>::Error;
}

impl ReadNorFlash for InPieces {
    const READ_SIZE: usize = Flash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for InPieces {
    const WRITE_SIZE: usize = Flash::WRITE_SIZE;
    const ERASE_SIZE: usize = Flash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(offset, bytes)
    }
}

impl WatchedFlash for InPieces {
    const PROGRAMS_PER_UNIT: u8 = 2;

    fn piece_end(&self, address: u32) -> Option<u32> {
        Some((address / self.1 + 1) * self.1)
    }
}

fn any_phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Idle),
        Just(Phase::Accepted),
        (0_u32..1 << 24, any::<u8>()).prop_map(|(committed, programs)| Phase::Downloading {
            committed,
            programs
        }),
        Just(Phase::Ready),
        any::<u16>().prop_map(|copies| Phase::Swapping { copies }),
        any::<u8>().prop_map(|attempts| Phase::Trial { attempts }),
        Just(Phase::Confirmed),
        any::<u16>().prop_map(|copies| Phase::Reverting { copies }),
        Just(Phase::Reverted),
        Just(Phase::Rejected),
    ]
}

prop_compose! {
    fn any_state()(confirmed: [u8; 16], image: [u8; 16], counters: [u32; 2], attempt: u8, chain in 0..=LAYOUT.active.pages, phase in any_phase()) -> State {
        State {
            confirmed: ImageId(confirmed),
            security_counter: SecurityCounter(counters[0]),
            image: ImageId(image),
            image_counter: SecurityCounter(counters[1]),
            attempt,
            phase,
            chain: ChainLength(chain),
        }
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        Just(Record::Anchor),
        Just(Record::ManifestStored),
        (0_u32..1 << 24).prop_map(|committed| Record::Progress { committed }),
        Just(Record::Ready),
        (0..=LAYOUT.active.pages).prop_map(|chain| Record::SwapBegin {
            chain: ChainLength(chain)
        }),
        any::<u16>().prop_map(|copies| Record::Step { copies }),
        any::<u8>().prop_map(|attempts| Record::Trial { attempts }),
        Just(Record::Confirm),
        Just(Record::RevertBegin),
        Just(Record::Reverted),
        Just(Record::Rejected),
    ]
}

proptest! {
    #[test]
    fn a_header_reads_back_and_any_flipped_bit_is_noticed(state in any_state(), generation: u32, bit in 0..HEADER_BYTES * 8) {
        let mut bytes = encode_header(Generation(generation), &state);
        prop_assert_eq!(decode_header(&bytes), Some((Generation(generation), state)));
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(decode_header(&bytes), None);
    }

    #[test]
    fn a_record_reads_back_only_in_its_own_slot_and_session(record in any_record(), slot in 0_u16..1000, session: [u8; 8], other: [u8; 8]) {
        let bytes = encode_record(SessionId(session), slot, record);
        prop_assert_eq!(decode_record(SessionId(session), slot, bytes), Some(record));
        prop_assert_eq!(decode_record(SessionId(session), slot + 1, bytes), None);
        if other != session {
            prop_assert_eq!(decode_record(SessionId(other), slot, bytes), None);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_record_or_one_that_reads_the_same_written_again(session: [u8; 8], slot: u16, bytes: [u8; 8]) {
        if let Some(record) = decode_record(SessionId(session), slot, bytes) {
            prop_assert_eq!(encode_record(SessionId(session), slot, record), bytes);
        }
    }

    #[test]
    fn arbitrary_flash_is_read_without_panic_and_can_be_written_again(garbage in prop::collection::vec(any::<u8>(), 4 * PAGE), state in any_state()) {
        let mut flash = flash();
        flash.write(0, &garbage).unwrap();
        let mut journal = Journal::recover(&mut flash, &LAYOUT);
        journal.open(&mut flash, state).unwrap();
        let again = Journal::recover(&mut flash, &LAYOUT);
        let mut expected = state;
        if let Phase::Downloading { programs, .. } = &mut expected.phase {
            *programs = programs.saturating_add(1);
        }
        prop_assert_eq!(again.state(), &expected);
    }

    #[test]
    fn a_page_worked_out_in_pieces_says_the_same(progress in prop::collection::vec(1_u32..9, 0..25), torn: [u8; 4], tear: bool, piece in 4_u32..300) {
        let mut flash = flash();
        let mut journal = Journal::recover(&mut flash, &LAYOUT);
        let accepted = State { image: ImageId([1; 16]), phase: Phase::Accepted, ..State::EMPTY };
        journal.open(&mut flash, accepted).unwrap();
        journal.append(&mut flash, Record::ManifestStored).unwrap();
        let mut committed = 0;
        for more in progress {
            committed += more;
            journal.append(&mut flash, Record::Progress { committed }).unwrap();
        }
        if let Some(slot) = journal.next_slot.filter(|slot| tear && *slot < Journal::capacity::<Flash>(&LAYOUT)) {
            let address = LAYOUT.identification_page(journal.newest.unwrap().page) + PageFormat::new(PAGE as u32, 4).slot(slot);
            flash.write(address, &torn).unwrap();
        }
        let at_once = Journal::recover(&mut flash, &LAYOUT);
        let in_pieces = Journal::recover(&mut InPieces(flash, piece * 4), &LAYOUT);
        prop_assert_eq!(in_pieces.state(), at_once.state());
        prop_assert_eq!((in_pieces.anchored, in_pieces.next_slot), (at_once.anchored, at_once.next_slot));
    }

    #[test]
    fn every_history_reads_back_as_it_was_told(records in prop::collection::vec(any_record(), 0..60), reopen in prop::collection::vec(any::<bool>(), 60)) {
        let mut flash = flash();
        let mut journal = Journal::recover(&mut flash, &LAYOUT);
        let accepted = State { image: ImageId([1; 16]), phase: Phase::Accepted, ..State::EMPTY };
        journal.open(&mut flash, accepted).unwrap();
        for (record, reopen) in records.into_iter().zip(reopen) {
            let told = *journal.state();
            if journal.append(&mut flash, record).is_err() {
                prop_assert_eq!(told.after(record), None, "only what cannot follow is refused");
                prop_assert_eq!(journal.state(), &told);
            }
            if reopen {
                let told = journal.state().phase;
                journal = Journal::recover(&mut flash, &LAYOUT);
                let same = match (told, journal.state().phase) {
                    (Phase::Downloading { committed: told, .. }, Phase::Downloading { committed: read, .. }) => told == read,
                    (told, read) => told == read,
                };
                prop_assert!(same);
            }
        }
        prop_assert!(flash.0.violations().is_empty());
    }
}

#[test]
fn the_newest_generation_wins_also_where_numbers_wrap() {
    assert!(Generation(0).is_newer_than(Generation(u32::MAX)));
    assert!(Generation(5).is_newer_than(Generation(4)));
    assert!(!Generation(4).is_newer_than(Generation(4)));
}

#[test]
fn the_two_newest_sealed_pages_are_never_erased() {
    let mut flash = flash();
    let mut journal = Journal::recover(&mut flash, &LAYOUT);
    let mut sealed: Vec<u32> = Vec::new();
    for round in 0..20_u8 {
        let erased_before = flash.0.erases().to_vec();
        let state = State {
            attempt: round,
            ..State::EMPTY
        };
        journal.open(&mut flash, state).unwrap();
        let page = flash
            .0
            .erases()
            .iter()
            .zip(&erased_before)
            .position(|(now, then)| now > then)
            .unwrap() as u32;
        let newest_two = &sealed[sealed.len().saturating_sub(2)..];
        assert!(
            !newest_two.contains(&page),
            "round {round} erased page {page}"
        );
        sealed.push(page);
        journal = Journal::recover(&mut flash, &LAYOUT);
    }
}

#[test]
fn a_settled_state_at_rest_costs_no_flash_in_later_boots() {
    let mut flash = flash();
    Journal::provision(&mut flash, &LAYOUT, ImageId([3; 16]), SecurityCounter(4)).unwrap();
    let operations = flash.0.operations();
    for _ in 0..3 {
        let mut journal = Journal::recover(&mut flash, &LAYOUT);
        assert!(journal.is_anchored());
        journal.settle(&mut flash).unwrap();
    }
    assert_eq!(flash.0.operations(), operations);
    assert_eq!(
        Journal::recover(&mut flash, &LAYOUT).state(),
        &State::confirmed(ImageId([3; 16]), SecurityCounter(4))
    );
}

#[test]
fn a_confirmation_erases_one_page_and_needs_no_settling_afterwards() {
    let mut flash = flash();
    let trial = State {
        image: ImageId([5; 16]),
        image_counter: SecurityCounter(9),
        phase: Phase::Trial { attempts: 1 },
        ..State::confirmed(ImageId([3; 16]), SecurityCounter(4))
    };
    Journal::recover(&mut flash, &LAYOUT)
        .open(&mut flash, trial)
        .unwrap();
    let erases = |flash: &Flash| flash.0.erases().iter().sum::<u32>();
    let before = erases(&flash);
    let mut journal = Journal::recover(&mut flash, &LAYOUT);
    journal.conclude(&mut flash, Record::Confirm).unwrap();
    let mut journal = Journal::recover(&mut flash, &LAYOUT);
    assert_eq!(journal.state().confirmed, ImageId([5; 16]));
    assert_eq!(journal.state().security_counter, SecurityCounter(9));
    journal.settle(&mut flash).unwrap();
    assert_eq!(erases(&flash), before + 1);
    assert!(
        journal.conclude(&mut flash, Record::Ready).is_err(),
        "what cannot follow is refused"
    );
}
