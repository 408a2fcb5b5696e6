use super::*;
use crate::flicker::Flicker;
use crate::mix::split_mix;
use crate::torn::TornShape;

/// Four chunks.
type Large = Page<4, 4096>;

const LOOKS: Flicker = Flicker::Looks(0);

fn programmed(units: Range<usize>) -> Large {
    program(Large::erased(), units)
}

fn program(mut page: Large, units: Range<usize>) -> Large {
    for unit in units {
        page.program(UnitPlace { page: 0, unit }, &[0; 4], None);
    }
    page
}

/// An erased page in which these units were programmed, and which a cut erase leaves.
fn torn(units: Range<usize>, effect: CutEffect) -> Large {
    let erased = Large::erased();
    let mut page = program(erased.clone(), units);
    page.tear_erase(0, effect, 2, &erased);
    page
}

fn read(page: &Large, noise: Noise) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    page.read(0, &mut bytes, Some(noise));
    bytes
}

fn shared_with(one: &Large, other: &Large) -> Vec<bool> {
    let chunks = one.chunks.iter().zip(&other.chunks);
    chunks.map(|(one, other)| Arc::ptr_eq(one, other)).collect()
}

#[test]
fn a_clone_shares_every_chunk_but_the_one_that_changes() {
    let original = programmed(0..1024);
    let mut copy = original.clone();
    assert_eq!(shared_with(&copy, &original), [true; 4]);
    let place = UnitPlace { page: 0, unit: 300 };
    copy.program(place, &[0; 4], None);
    copy.flip(0, 1200, 1);
    assert_eq!(shared_with(&copy, &original), [true, false, true, true]);
    assert_eq!([copy.programs(300), original.programs(300)], [2, 1]);
    assert!(copy.holds(1200, &[1]) && original.holds(1200, &[0]));
}

#[test]
fn a_torn_erase_leaves_chunks_alone_that_were_erased() {
    let erased = Large::erased();
    let mut page = erased.clone();
    page.program(UnitPlace { page: 0, unit: 600 }, &[0; 4], None);
    page.tear_erase(0, CutEffect::Uneven(7, LOOKS), 2, &erased);
    assert_eq!(shared_with(&page, &erased), [true, true, false, true]);
    assert!([0, 600, 1023].map(|unit| page.programs(unit)) == [2; 3] && !page.is_untouched());
}

#[test]
fn a_torn_erase_can_leave_erased_chunks_unreadable_too() {
    let page = torn(600..601, CutEffect::Unreadable);
    for unit in [0, 600, 1023] {
        assert_eq!(page.unreadable(unit * 4, 4), Some(unit));
    }
    assert!(page.is_steady() && !page.is_settled());
}

#[test]
fn a_torn_erase_goes_by_the_whole_page_and_not_by_its_chunks() {
    for (effect, kept) in [
        (CutEffect::Torn(TornShape::Half), 2048..4096),
        (CutEffect::Torn(TornShape::OtherHalf), 0..2048),
        (CutEffect::Torn(TornShape::Prefix(1030)), 1030..4096),
        (CutEffect::Torn(TornShape::AllBut(3000)), 3000..3001),
        (CutEffect::Torn(TornShape::AllBut(5000)), 0..0),
    ] {
        let page = torn(0..1024, effect);
        let mut expected = [0xFF; 4096];
        expected[kept].fill(0);
        assert!(page.holds(0, &expected) && page.is_settled(), "{effect}");
    }
}

#[test]
fn the_random_bits_of_a_torn_erase_are_one_sequence_over_the_whole_page() {
    let mut state = 0x5EED;
    let drawn: Vec<[u8; 8]> = (0..4096)
        .map(|_| split_mix(&mut state).to_le_bytes())
        .collect();
    // What is erased already takes its numbers as well: units from 512 on are programmed.
    let expected = |byte: &dyn Fn(&[u8; 8]) -> u8| {
        let (first, second) = drawn.split_at(2048);
        let erased = first.iter().map(|_| 0xFF);
        erased.chain(second.iter().map(byte)).collect::<Vec<u8>>()
    };
    let bits = torn(512..1024, CutEffect::Torn(TornShape::ByteBits(0x5EED)));
    assert!(bits.holds(0, &expected(&|[mask, ..]| *mask)));
    let uneven = torn(512..1024, CutEffect::Uneven(0x5EED, LOOKS));
    let (zeros, ones) = (read(&uneven, Noise::Zeros), read(&uneven, Noise::Ones));
    assert!(zeros == expected(&|[done, ..]| *done));
    assert!(ones == expected(&|[done, weak, ..]| done | weak));
}

#[test]
fn weak_bits_of_a_torn_erase_stand_in_every_chunk_until_each_is_programmed() {
    let half_weak = torn(0..1024, CutEffect::HalfWeak(LOOKS));
    assert!(half_weak.holds(0, &[0xFF; 2048]));
    assert!(
        !half_weak.is_weak(0, 2048) && half_weak.is_weak(2047, 2) && half_weak.is_weak(4095, 1)
    );
    let mut weak = torn(0..1024, CutEffect::Weak(LOOKS));
    assert!(read(&weak, Noise::Zeros) == [0; 4096] && read(&weak, Noise::Ones) == [0xFF; 4096]);
    for unit in 0..1024 {
        assert!(!weak.is_steady() && !weak.is_settled(), "unit {unit}");
        weak.program(UnitPlace { page: 0, unit }, &[0; 4], None);
    }
    assert!(weak.is_steady() && weak.is_settled() && weak.holds(0, &[0; 4096]));
}

#[test]
fn noise_carries_on_over_the_end_of_a_chunk() {
    let weak = torn(0..1024, CutEffect::Weak(LOOKS));
    let mut seen = [0; 100];
    weak.read(1000, &mut seen, Some(Noise::Mixed(7)));
    let mut noise = Noise::Mixed(7);
    assert_eq!(seen, [(); 100].map(|()| noise.next()));
}

#[test]
fn the_sum_of_a_page_is_that_of_its_units_whatever_chunk_they_are_in() {
    let is_sum_of_units = |page: &Large| {
        let hashes = (0..1024).map(|unit| page.unit_hash(UnitPlace { page: 0, unit }));
        hashes.fold(0, u64::wrapping_add) == page.sum()
    };
    for effect in [
        CutEffect::Torn(TornShape::Half),
        CutEffect::Torn(TornShape::ByteBits(1)),
        CutEffect::HalfWeak(LOOKS),
        CutEffect::Uneven(1, LOOKS),
        CutEffect::Unreadable,
    ] {
        let mut page = torn(200..900, effect);
        assert!(page.sum() != 0 && is_sum_of_units(&page), "{effect}");
        page.flip(0, 2050, 0x55);
        page.program(UnitPlace { page: 0, unit: 800 }, &[0; 4], Some(effect));
        assert!(is_sum_of_units(&page), "{effect}");
    }
    assert_eq!(Large::erased().sum(), 0);
    assert_ne!(
        programmed(0..1).sum(),
        programmed(256..257).sum(),
        "the same in another chunk is other content"
    );
}
