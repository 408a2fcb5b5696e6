//! Cuts power at every single flash operation of a whole upgrade, whole and torn, and lets the device recover.
mod device;

use device::{
    Behaviour, Cuttable, Package, Recipe, Run, SIGNER, SMALL_PAGES, live, package, provision,
    small_layout,
};
use nor_flash_model::{Cut, CutEffect, NorFlashModel, TornShape};
use powercut_upgrade::flash::{TwiceProgrammable, WriteOnce};
use powercut_upgrade::m_sequence::{Configuration, Polynomial, Register, Stream};
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::ResultCode;

const PAGE: usize = 256;
/// Room for fragments that come before their turn; the platform lets several be outstanding.
const HELD: usize = 384;
const LAYOUT: Layout = small_layout(PAGE as u32);
const EFFECTS: [CutEffect; 5] = [
    CutEffect::Before,
    CutEffect::After,
    CutEffect::Torn(TornShape::Half),
    CutEffect::Torn(TornShape::OtherHalf),
    CutEffect::Torn(TornShape::ByteBits(0x5EED)),
];

type Nrf = TwiceProgrammable<NorFlashModel<4, PAGE, 2>>;
type Stm = WriteOnce<NorFlashModel<8, PAGE, 1>>;

fn nrf() -> Nrf {
    TwiceProgrammable(NorFlashModel::new(SMALL_PAGES))
}

fn stm() -> Stm {
    WriteOnce(NorFlashModel::new(SMALL_PAGES))
}

fn recipe(minor: u8, counter: u32, size: usize) -> Recipe {
    Recipe {
        minor,
        counter,
        size,
        fragment_bytes: 96,
        behaviour: Behaviour::Good,
        signed_by: SIGNER,
        m_sequence: None,
    }
}

fn old() -> Package {
    package(&recipe(0, 2, 700))
}

/// Cuts at each operation with each effect; `expected` judges every run.
fn sweep<F: Cuttable + Clone, const BUFFER: usize>(
    fresh: F,
    old: &Package,
    new: &Package,
    expected: impl Fn(&F, &Run),
) {
    let mut fresh = fresh;
    provision(&mut fresh, &LAYOUT, old);
    let mut uncut = fresh.clone();
    let reference = live::<F, BUFFER, HELD>(&mut uncut, &LAYOUT, old, new);
    expected(&uncut, &reference);
    let (first, last) = (fresh.operations() + 1, uncut.operations());
    for operation in first..=last {
        for effect in EFFECTS {
            let mut flash = fresh.clone();
            flash.cut_at(Cut { operation, effect });
            let run = live::<F, BUFFER, HELD>(&mut flash, &LAYOUT, old, new);
            expected(&flash, &run);
            let again = run.fetched_again;
            let unit = PAGE / 96 + 2;
            assert!(
                again <= unit,
                "L1: cut at {operation} {effect:?}: {again} fragments fetched again"
            );
        }
    }
}

fn runs<F: Cuttable>(flash: &F, package: &Package) -> bool {
    flash.holds(LAYOUT.active.start, &package.image)
}

#[test]
fn a_longer_image_survives_a_cut_at_every_operation_on_twice_programmable_flash() {
    let (old, new) = (old(), package(&recipe(1, 3, 1100)));
    sweep::<Nrf, 0>(nrf(), &old, &new, |flash, run| {
        assert!(runs(flash, &new));
        assert_eq!(run.result.unwrap().result, ResultCode::Ok);
        assert_eq!(run.result.unwrap().security_counter.0, 3);
    });
}

#[test]
fn a_shorter_image_survives_a_cut_at_every_operation_on_write_once_flash() {
    let (old, new) = (package(&recipe(0, 2, 1100)), package(&recipe(1, 3, 500)));
    sweep::<Stm, PAGE>(stm(), &old, &new, |flash, run| {
        assert!(runs(flash, &new));
        assert_eq!(run.result.unwrap().result, ResultCode::Ok);
    });
}

#[test]
fn an_image_that_never_confirms_is_reverted_and_refused_whatever_is_cut() {
    is_reverted_and_refused(Behaviour::NeverConfirms);
}

#[test]
fn an_authentic_image_that_is_no_program_is_reverted_and_refused_whatever_is_cut() {
    is_reverted_and_refused(Behaviour::NoProgram);
}

fn is_reverted_and_refused(behaviour: Behaviour) {
    let new = package(&Recipe {
        behaviour,
        ..recipe(1, 3, 900)
    });
    let old = old();
    sweep::<Nrf, 0>(nrf(), &old, &new, |flash, run| {
        assert!(runs(flash, &old));
        let status = run.result.unwrap();
        assert_eq!(
            (status.result, status.result_image),
            (ResultCode::InstallFailed, new.signed.image_id())
        );
        assert_eq!(
            status.security_counter.0, 2,
            "the counter rises only with confirmation"
        );
    });
}

#[test]
fn images_with_a_wrong_signature_or_a_lower_counter_are_refused_without_touching_flash() {
    let old = old();
    for new in [
        package(&Recipe {
            signed_by: 9,
            ..recipe(1, 3, 900)
        }),
        package(&recipe(1, 1, 900)),
    ] {
        let mut flash = nrf();
        provision(&mut flash, &LAYOUT, &old);
        let before = flash.operations();
        let run = live::<Nrf, 0, HELD>(&mut flash, &LAYOUT, &old, &new);
        assert_eq!(run.result.unwrap().result, ResultCode::VerifyFailed);
        assert_eq!(flash.operations(), before);
        assert!(run.requested.is_empty());
    }
}

#[test]
fn progress_survives_two_cuts_in_the_same_fragment_at_the_price_of_one_page() {
    let (old, new) = (old(), package(&recipe(1, 3, 1100)));
    let mut fresh = nrf();
    provision(&mut fresh, &LAYOUT, &old);
    let mut uncut = fresh.clone();
    live::<Nrf, 0, HELD>(&mut uncut, &LAYOUT, &old, &new);
    let (first, last) = (fresh.operations() + 1, uncut.operations());
    for operation in first..=last {
        for gap in [1, 2, 3, 20, 40, 60] {
            let mut flash = fresh.clone();
            flash.cut_at(Cut {
                operation,
                effect: CutEffect::Torn(TornShape::Half),
            });
            // The second cut is planned when the first has fired: run until then.
            let mut armed = false;
            let run = device::live_with::<Nrf, 0, HELD>(&mut flash, &LAYOUT, &old, &new, |flash| {
                if !armed {
                    armed = true;
                    flash.cut_at(Cut {
                        operation: operation + gap,
                        effect: CutEffect::Torn(TornShape::ByteBits(gap)),
                    });
                }
            });
            assert!(runs(&flash, &new));
            let again = run.fetched_again;
            assert!(
                again <= 2 * (PAGE / 96 + 2),
                "{again} fetched again after cuts at {operation} and {gap} later"
            );
        }
    }
}

fn configuration(seed: u32, stream: Stream) -> Configuration {
    let polynomial = Polynomial::from_exponents(&[32, 30, 26, 25]).unwrap();
    Configuration {
        register: Register::new(polynomial, seed).unwrap(),
        stream,
    }
}

fn in_m_sequence(configuration: Configuration, minor: u8, counter: u32, size: usize) -> Package {
    package(&Recipe {
        m_sequence: Some(configuration),
        ..recipe(minor, counter, size)
    })
}

#[test]
fn an_image_in_the_suite_m_sequence_survives_a_cut_at_every_operation_in_both_streams() {
    for stream in [Stream::RestartsPerFragment, Stream::Continuous] {
        let configuration = configuration(0x1D87_2B41, stream);
        let old = in_m_sequence(configuration, 0, 2, 700);
        let new = in_m_sequence(configuration, 1, 3, 1100);
        sweep::<Nrf, 0>(nrf(), &old, &new, |flash, run| {
            assert!(runs(flash, &new));
            assert_eq!(run.result.unwrap().result, ResultCode::Ok);
        });
        let mut flash = stm();
        provision(&mut flash, &LAYOUT, &old);
        live::<Stm, PAGE, HELD>(&mut flash, &LAYOUT, &old, &new);
        assert!(runs(&flash, &new));
    }
}

#[test]
fn an_image_encrypted_with_another_register_fails_at_its_digest_whatever_is_cut() {
    let ours = configuration(0x1D87_2B41, Stream::Continuous);
    let old = in_m_sequence(ours, 0, 2, 700);
    let polynomial = Polynomial::from_exponents(&[31, 28]).unwrap();
    let other_polynomial = Configuration {
        register: Register::new(polynomial, 0x1D87_2B41).unwrap(),
        ..ours
    };
    let other_seed = configuration(0x1D87_2B40, Stream::Continuous);
    let other_stream = configuration(0x1D87_2B41, Stream::RestartsPerFragment);
    for other in [other_polynomial, other_seed, other_stream] {
        let new = in_m_sequence(other, 1, 3, 1100);
        let mut flash = nrf();
        provision(&mut flash, &LAYOUT, &old);
        let run = live::<Nrf, 0, HELD>(&mut flash, &LAYOUT, &old, &new);
        assert!(runs(&flash, &old));
        assert_eq!(run.result.unwrap().result, ResultCode::VerifyFailed);
        let fragments = usize::from(new.signed.manifest().fragments());
        assert_eq!(run.requested.len(), 3 * fragments, "three attempts");
    }
    let new = in_m_sequence(other_seed, 1, 3, 1100);
    sweep::<Nrf, 0>(nrf(), &old, &new, |flash, run| {
        assert!(runs(flash, &old));
        assert_eq!(run.result.unwrap().result, ResultCode::VerifyFailed);
    });
}

#[test]
fn a_device_without_a_register_refuses_the_suite_m_sequence_without_touching_flash() {
    let old = old();
    let new = in_m_sequence(configuration(1, Stream::Continuous), 1, 3, 1100);
    let mut flash = nrf();
    provision(&mut flash, &LAYOUT, &old);
    let before = flash.operations();
    let run = live::<Nrf, 0, HELD>(&mut flash, &LAYOUT, &old, &new);
    assert_eq!(run.result.unwrap().result, ResultCode::TypeUnsupported);
    assert_eq!(flash.operations(), before);
    assert!(run.requested.is_empty());
}
