use super::*;
use crate::torn::TornShape;

type Nrf51 = NorFlashModel<4, 1024, 2>;

#[test]
fn a_program_only_clears_bits_and_the_third_of_a_unit_is_refused() {
    let mut flash = Nrf51::new(2);
    flash.write(4, &[0xF0; 4]).unwrap();
    flash.write(4, &[0x3F; 4]).unwrap();
    assert_eq!(flash.bytes()[4..8], [0x30; 4]);
    assert_eq!(
        flash.write(4, &[0; 4]),
        Err(ModelError::ProgrammedTooOften(4))
    );
    assert_eq!(flash.violations(), [4]);
    flash.erase(0, 1024).unwrap();
    assert_eq!(flash.bytes()[4..8], [0xFF; 4]);
    flash.write(4, &[0; 4]).unwrap();
    assert_eq!(flash.erases(), [1, 0]);
}

#[test]
fn what_was_done_before_the_devices_life_is_in_flash_but_has_no_number() {
    let mut flash = Nrf51::new(1);
    flash.erase(0, 1024).unwrap();
    flash.write(0, &[0xF0; 4]).unwrap();
    flash.count_anew();
    assert_eq!((flash.operations(), flash.erases()), (0, &[0][..]));
    flash.cut_at(Cut {
        operation: 1,
        effect: CutEffect::After,
    });
    assert_eq!(flash.write(0, &[0x3F; 4]), Err(ModelError::PowerLost));
    assert_eq!(flash.bytes()[..4], [0x30; 4]);
    assert_eq!(flash.programs(0), 2, "the first program counts as wear");
}

#[test]
fn a_write_once_part_refuses_the_second_program() {
    let mut flash = NorFlashModel::<8, 2048, 1>::new(1);
    flash.write(0, &[1; 8]).unwrap();
    assert_eq!(
        flash.write(0, &[1; 8]),
        Err(ModelError::ProgrammedTooOften(0))
    );
}

#[test]
fn a_torn_operation_leaves_part_of_itself_and_nothing_works_until_power_is_back() {
    let mut flash = Nrf51::new(1);
    flash.cut_at(Cut {
        operation: 1,
        effect: CutEffect::Torn(TornShape::Half),
    });
    assert_eq!(flash.write(0, &[0; 8]), Err(ModelError::PowerLost));
    assert_eq!(
        flash.bytes()[..8],
        [0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
    );
    assert_eq!(flash.read(0, &mut [0; 4]), Err(ModelError::PowerLost));
    flash.power_on();
    flash.cut_at(Cut {
        operation: 2,
        effect: CutEffect::Torn(TornShape::OtherHalf),
    });
    assert_eq!(flash.erase(0, 1024), Err(ModelError::PowerLost));
    assert_eq!(
        flash.bytes()[..4],
        [0, 0, 0xFF, 0xFF],
        "only the page's second half was erased"
    );
}

#[test]
fn torn_bits_lie_between_old_and_new_and_depend_on_the_seed_alone() {
    let torn = |seed| {
        let mut flash = Nrf51::new(1);
        flash.cut_at(Cut {
            operation: 1,
            effect: CutEffect::Torn(TornShape::ByteBits(seed)),
        });
        let _ = flash.write(0, &[0; 4]);
        u32::from_le_bytes(flash.bytes()[..4].try_into().unwrap())
    };
    assert_eq!(torn(7), torn(7));
    assert_ne!(torn(7), torn(8));
    assert!(torn(7) != 0 && torn(7) != u32::MAX);
}

#[test]
fn a_torn_program_can_leave_out_a_single_byte() {
    let mut flash = Nrf51::new(1);
    flash.cut_at(Cut {
        operation: 1,
        effect: CutEffect::Torn(TornShape::AllBut(1)),
    });
    let _ = flash.write(0, &[0; 4]);
    assert_eq!(flash.bytes()[..4], [0, 0xFF, 0, 0]);
}

#[test]
fn unaligned_and_out_of_range_accesses_are_refused() {
    let mut flash = Nrf51::new(1);
    assert_eq!(flash.write(2, &[0; 4]), Err(ModelError::NotAligned));
    assert_eq!(flash.write(0, &[0; 3]), Err(ModelError::NotAligned));
    assert_eq!(flash.erase(0, 512), Err(ModelError::NotAligned));
    assert_eq!(flash.write(1024, &[0; 4]), Err(ModelError::OutOfBounds));
    assert_eq!(flash.operations(), 0);
}

fn torn(effect: CutEffect, operation: u64) -> Nrf51 {
    let mut flash = Nrf51::new(1);
    flash.cut_at(Cut { operation, effect });
    let _ = flash.write(0, &[0; 4]);
    let _ = flash.erase(0, 1024);
    flash.power_on();
    flash
}

fn look<const U: usize, const P: usize, const N: u8>(
    flash: &mut NorFlashModel<U, P, N>,
) -> [u8; 4] {
    let mut bytes = [0; 4];
    flash.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn weak_bits_read_as_scripted_until_they_are_programmed_again() {
    let mut flash = torn(CutEffect::Weak(Flicker::Looks(0b10)), 1);
    assert_eq!(look(&mut flash), [0; 4]);
    assert_eq!(look(&mut flash), [0xFF; 4]);
    assert_eq!(look(&mut flash), [0; 4]);
    assert!(!flash.holds(0, &[0; 4]), "weak is not for good");
    flash.write(0, &[0; 4]).unwrap();
    assert_eq!([look(&mut flash), look(&mut flash)], [[0; 4]; 2]);
    assert!(flash.holds(0, &[0; 4]));
}

#[test]
fn programming_a_one_over_a_weak_bit_does_not_settle_it() {
    let mut flash = torn(CutEffect::Weak(Flicker::Looks(0b10)), 1);
    flash.write(0, &[0x0F; 4]).unwrap();
    assert_eq!(look(&mut flash), [0; 4]);
    assert_eq!(look(&mut flash), [0x0F; 4]);
}

#[test]
fn weak_bits_can_stay_the_same_for_a_whole_power_on_and_change_with_the_next() {
    let mut flash = torn(CutEffect::Weak(Flicker::Boots(0b01)), 1);
    assert_eq!([look(&mut flash), look(&mut flash)], [[0xFF; 4]; 2]);
    flash.power_off();
    flash.power_on();
    assert_eq!([look(&mut flash), look(&mut flash)], [[0; 4]; 2]);
}

#[test]
fn a_torn_erase_may_read_erased_or_old_and_forbids_programs_until_it_is_done_again() {
    let mut flash = torn(CutEffect::Weak(Flicker::Looks(0b01)), 2);
    assert_eq!(look(&mut flash), [0xFF; 4]);
    assert_eq!(look(&mut flash), [0; 4]);
    assert_eq!(
        flash.write(8, &[0; 4]),
        Err(ModelError::ProgrammedTooOften(8))
    );
    flash.erase(0, 1024).unwrap();
    flash.write(8, &[0; 4]).unwrap();
}

#[test]
fn a_torn_erase_may_read_all_ones_and_not_hold_them() {
    let mut flash = torn(CutEffect::Weak(Flicker::Boots(1)), 2);
    assert_eq!([look(&mut flash), look(&mut flash)], [[0xFF; 4]; 2]);
    assert!(!flash.holds(0, &[0xFF; 4]));
    flash.power_off();
    flash.power_on();
    assert_eq!(look(&mut flash), [0; 4]);
}

#[test]
fn an_uneven_operation_leaves_bits_done_undone_and_weak() {
    for erases in [false, true] {
        let mut flash = Nrf51::new(1);
        flash
            .write(0, &[if erases { 0 } else { 0xFF }; 128])
            .unwrap();
        flash.cut_at(Cut {
            operation: 33,
            effect: CutEffect::Uneven(0x5EED, Flicker::Looks(0b01)),
        });
        let _ = if erases {
            flash.erase(0, 1024)
        } else {
            flash.write(0, &[0; 4])
        };
        flash.power_on();
        let [ones, zeros] = [(); 2].map(|()| u32::from_le_bytes(look(&mut flash)));
        let weak = ones ^ zeros;
        assert!(weak != 0 && ones & zeros == zeros);
        assert!(zeros != 0, "some bits are one for good");
        assert!(ones != u32::MAX, "some bits are zero for good");
        assert!(!flash.holds(0, &zeros.to_le_bytes()) && !flash.holds(0, &ones.to_le_bytes()));
    }
}

#[test]
fn the_halves_of_a_torn_erase_can_differ() {
    let mut flash = Nrf51::new(1);
    flash.write(0, &[0; 1024]).unwrap();
    flash.cut_at(Cut {
        operation: 257,
        effect: CutEffect::HalfWeak(Flicker::Boots(0)),
    });
    let _ = flash.erase(0, 1024);
    flash.power_on();
    assert!(flash.holds(0, &[0xFF; 512]));
    let mut byte = [1];
    flash.read(512, &mut byte).unwrap();
    assert_eq!(byte, [0]);
    assert!(!flash.holds(512, &[0]));
}

#[test]
fn an_unreadable_unit_fails_to_read_until_its_page_is_erased_and_its_neighbours_do_not() {
    let mut flash = NorFlashModel::<8, 2048, 1>::new(1);
    flash.cut_at(Cut {
        operation: 2,
        effect: CutEffect::Unreadable,
    });
    let _ = flash.write(0, &[0; 16]);
    flash.power_on();
    assert_eq!(flash.read(0, &mut [0; 16]), Err(ModelError::Unreadable(8)));
    assert_eq!(flash.read(0, &mut [0; 8]), Ok(()));
    flash.erase(0, 2048).unwrap();
    assert_eq!(flash.read(0, &mut [0; 16]), Ok(()));
}

#[test]
fn equal_content_has_equal_sums_by_whatever_way_it_came_about() {
    let sums = |flash: &Nrf51| [flash.page_sum(0), flash.page_sum(1)];
    let (mut one, mut other) = (Nrf51::new(2), Nrf51::new(2));
    assert_eq!(sums(&one), [0, 0], "erased");
    one.write(0, &[1; 8]).unwrap();
    assert_ne!(sums(&one), sums(&other));
    assert_eq!(
        one.page_sum(0),
        one.unit_sum(0).wrapping_add(one.unit_sum(1))
    );
    other.write(1024, &[9; 4]).unwrap();
    other.write(4, &[1; 4]).unwrap();
    other.write(0, &[1; 4]).unwrap();
    other.erase(1024, 2048).unwrap();
    assert_eq!(sums(&one), sums(&other));
    other.write(0, &[1; 4]).unwrap();
    assert_eq!(
        sums(&one),
        sums(&other),
        "the same once more is the same content"
    );
    assert_eq!([one.programs(0), other.programs(0)], [1, 2]);
    assert!(other.is_untouched(1) && !other.is_untouched(0));
    let weak = |script| torn(CutEffect::Weak(Flicker::Looks(script)), 1);
    assert_eq!(weak(3).page_sum(0), weak(4).page_sum(0));
    assert_eq!(weak(3).flicker_sum(), weak(3).flicker_sum());
    assert_ne!(weak(3).flicker_sum(), weak(4).flicker_sum());
    assert!(!weak(3).is_settled(0));
}

#[test]
fn a_program_holds_where_no_bit_stands_against_it() {
    let torn_once = torn(CutEffect::Weak(Flicker::Looks(1)), 1);
    assert!(torn_once.would_hold(0, &[0; 4]), "it settles the weak bits");
    assert!(!torn_once.would_hold(0, &[0xFF; 4]), "weak bits stay weak");
    let mut settled = Nrf51::new(1);
    settled.write(0, &[0xF0; 4]).unwrap();
    assert!(settled.would_hold(0, &[0x30; 4]));
    assert!(!settled.would_hold(0, &[0x31; 4]), "no program sets a bit");
}

#[test]
fn a_clone_keeps_what_it_was_when_the_original_goes_on() {
    let mut flash = Nrf51::new(2);
    flash.write(0, &[1; 4]).unwrap();
    let snapshot = flash.clone();
    flash.erase(0, 1024).unwrap();
    assert!(snapshot.holds(0, &[1; 4]));
    assert!(flash.holds(0, &[0xFF; 4]));
}

#[test]
fn a_silent_failure_changes_nothing_and_reports_success_and_rot_turns_bits_over() {
    let mut flash = Nrf51::new(1);
    flash.fail_silently_at(1);
    flash.write(0, &[0; 8]).unwrap();
    assert_eq!(flash.bytes()[..8], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    assert_eq!(flash.programs(0), 1, "it counts nevertheless");
    flash.rot(4, 0x80);
    assert_eq!(flash.bytes()[4], 0x80);
}

#[test]
fn weak_bits_can_be_read_either_way_without_moving_their_script() {
    let mut flash = torn(CutEffect::Weak(Flicker::Looks(0b01)), 1);
    assert!(!flash.is_steady(0) && flash.reads_weak_bits_alike());
    let looks = flash.weak_looks();
    for (ones, seen) in [(true, [0xFF; 4]), (false, [0; 4])] {
        flash.read_weak_bits_as(Some(ones));
        assert_eq!(look(&mut flash), seen);
    }
    assert_eq!(flash.weak_looks(), looks + 2);
    flash.read_weak_bits_as(None);
    assert_eq!(look(&mut flash), [0xFF; 4], "the script's first look");
    assert_eq!(look(&mut flash), [0; 4]);
}

#[test]
fn a_weak_bit_does_not_rot() {
    let mut flash = torn(CutEffect::Weak(Flicker::Looks(0b01)), 1);
    flash.rot(0, 0xFF);
    assert_eq!([look(&mut flash), look(&mut flash)], [[0xFF; 4], [0; 4]]);
}

#[test]
fn the_log_has_every_operation_that_has_a_number() {
    let mut flash = Nrf51::new(1);
    flash.start_log();
    flash.fail_silently_at(1);
    flash.cut_at(Cut {
        operation: 2,
        effect: CutEffect::Before,
    });
    let _ = flash.write(0, &[0; 8]);
    flash.power_on();
    flash.erase(0, 1024).unwrap();
    assert_eq!(
        flash.log(),
        [
            Operation::Program { address: 0 },
            Operation::Program { address: 4 },
            Operation::Erase { address: 0 },
        ]
    );
    assert_eq!(flash.operations(), 3);
    assert_eq!(flash.write(2, &[0; 4]), Err(ModelError::NotAligned));
    assert_eq!(flash.log().len(), 3, "what is refused is no operation");
}

/// Two pages of four chunks each, the first page programmed and its erase cut.
fn torn_large(effect: CutEffect) -> NorFlashModel<4, 4096, 2> {
    let mut flash = NorFlashModel::new(2);
    flash.write(0, &[0; 4096]).unwrap();
    flash.cut_at(Cut {
        operation: 1025,
        effect,
    });
    let _ = flash.erase(0, 4096);
    flash.power_on();
    flash
}

#[test]
fn a_read_over_chunks_and_pages_is_one_look() {
    let mut flash = torn_large(CutEffect::Weak(Flicker::Looks(0b01)));
    for seen in [0xFF, 0] {
        let mut bytes = vec![1; 4100];
        flash.read(0, &mut bytes).unwrap();
        assert!(bytes[..4096] == [seen; 4096] && bytes[4096..] == [0xFF; 4]);
    }
    assert_eq!(flash.weak_looks(), 2);
}

#[test]
fn an_unreadable_unit_in_a_later_chunk_fails_the_read_before_it_is_a_look() {
    let mut flash = NorFlashModel::<8, 2048, 1>::new(1);
    for (operation, effect) in [
        (1, CutEffect::Weak(Flicker::Looks(0b01))),
        (2, CutEffect::Unreadable),
    ] {
        flash.cut_at(Cut { operation, effect });
        let address = if operation == 1 { 1016 } else { 1032 };
        let _ = flash.write(address, &[0; 8]);
        flash.power_on();
    }
    let error = Err(ModelError::Unreadable(1032));
    assert_eq!(flash.read(1016, &mut [0; 24]), error);
    assert_eq!(flash.weak_looks(), 0);
    assert_eq!(flash.read(1016, &mut [0; 16]), Ok(()));
    assert_eq!(flash.weak_looks(), 1);
}

#[test]
fn an_erase_that_was_cut_uses_up_every_unit_of_every_chunk() {
    let mut flash = torn_large(CutEffect::Torn(TornShape::Half));
    for address in [0, 1024, 4092] {
        let refused = Err(ModelError::ProgrammedTooOften(address));
        assert_eq!(flash.write(address, &[0; 4]), refused);
    }
    flash.erase(0, 4096).unwrap();
    assert!(flash.is_untouched(0) && flash.programs(1023) == 0);
}

#[test]
fn erased_pages_are_one_and_the_same() {
    let mut flash = torn_large(CutEffect::Torn(TornShape::Half));
    assert!(!Arc::ptr_eq(&flash.pages[0], &flash.pages[1]));
    flash.erase(0, 4096).unwrap();
    assert!(Arc::ptr_eq(&flash.pages[0], &flash.pages[1]));
}

#[test]
fn the_sum_of_units_is_what_they_add_up_to_whichever_chunks_they_lie_in() {
    let mut flash = NorFlashModel::<4, 4096, 2>::new(2);
    flash.write(4096, &[0x5A; 3000]).unwrap();
    let page = 1024..2048;
    for units in [
        page.clone(),
        1044..1280,
        1024..1025,
        1200..1900,
        1279..1281,
        1500..1500,
    ] {
        let one_by_one = units
            .clone()
            .fold(0_u64, |sum, unit| sum.wrapping_add(flash.unit_sum(unit)));
        assert_eq!(flash.units_sum(units.clone()), one_by_one, "{units:?}");
    }
    assert_eq!(flash.units_sum(page), flash.page_sum(1));
}

#[test]
fn a_part_of_a_page_is_steady_if_none_of_its_own_bits_is_weak() {
    let mut flash = NorFlashModel::<4, 4096, 2>::new(2);
    flash.cut_at("op1/weak-looks1".parse().unwrap());
    let _ = flash.write(4096 + 2000, &[0; 4]);
    assert!(!flash.is_steady_in(4096..8192) && !flash.is_steady_in(6096..6100));
    assert!(flash.is_steady_in(4096..6096) && flash.is_steady_in(6100..8192));
}
