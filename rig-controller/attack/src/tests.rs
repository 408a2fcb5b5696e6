use powercut_upgrade::m_sequence::Polynomial;
use proptest::prelude::*;

use super::*;
use powercut_package::Image;
use powercut_package::m_sequence::apply;

const LISTED: &str = include_str!("../../../fixtures/m-sequence/polynomials.txt");

fn listed() -> Vec<Polynomial> {
    LISTED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let exponents = line.split_whitespace().nth(1).unwrap().split(',');
            let exponents: Vec<u8> = exponents.map(|e| e.parse().unwrap()).collect();
            Polynomial::from_exponents(&exponents).unwrap()
        })
        .collect()
}

/// A vector table with that many zero words from word 4 on or from word 7 on, and words that look a little like a program.
fn image(bytes: usize, is_armv6: bool) -> Vec<u8> {
    let code = |at: u32| 0x7800 + 193 + at * 36;
    let mut words: Vec<u32> = (0..16).map(code).collect();
    words[0] = 0x2000_3FF8;
    let zeros = if is_armv6 { 4..11 } else { 7..11 };
    words[zeros].fill(0);
    words[13] = 0;
    words.extend((0..32).map(|_| code(2)));
    let mut state = 0x9E37_79B9_u32;
    while words.len() * 4 < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let high = [0x4800, 0x6800, 0xBD10, 0xD001][(state >> 30) as usize];
        words.push(high << 16 | 0x2000 | state >> 24 & 0x0F);
    }
    let mut image: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    image.truncate(bytes);
    image
}

fn hex_text(bytes: usize) -> Vec<u8> {
    let image = Image {
        base: 0x7800,
        bytes: image(bytes, true),
    };
    image.to_hex().replace('\n', "\r\n").into_bytes()
}

fn configuration(polynomial: Polynomial, seed: u32, stream: Stream) -> Configuration {
    let ones = u32::try_from(polynomial.longest_period()).unwrap();
    let register = Register::new(polynomial, seed & ones);
    Configuration {
        register: register.unwrap_or_else(|| Register::new(polynomial, ones).unwrap()),
        stream,
    }
}

fn encrypted(configuration: &Configuration, fragment_bytes: u16, plaintext: &[u8]) -> Vec<u8> {
    let mut ciphertext = plaintext.to_vec();
    apply(configuration, fragment_bytes, &mut ciphertext);
    ciphertext
}

fn any_configuration() -> impl Strategy<Value = Configuration> {
    let streams = vec![Stream::RestartsPerFragment, Stream::Continuous];
    (
        prop::sample::select(listed()),
        any::<u32>(),
        prop::sample::select(streams),
    )
        .prop_map(|(polynomial, seed, stream)| configuration(polynomial, seed, stream))
}

fn check(
    configuration: Configuration,
    fragment_bytes: u16,
    plaintext: &[u8],
) -> Result<Broken, TestCaseError> {
    let ciphertext = encrypted(&configuration, fragment_bytes, plaintext);
    let broken = recover(&ciphertext).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let register = configuration.register;
    prop_assert_eq!(broken.configuration.register, register);
    prop_assert!(broken.plaintext == plaintext);
    // 2n, or 3n of two rows.
    prop_assert!(broken.bits_needed <= 3 * register.polynomial().stages() as usize);
    // A restart that falls together with the period is none.
    let bits = u64::from(fragment_bytes) * 8;
    let restarts = configuration.stream == Stream::RestartsPerFragment
        && usize::from(fragment_bytes) < plaintext.len()
        && !bits.is_multiple_of(register.polynomial().longest_period());
    let expected = restarts.then_some(usize::from(fragment_bytes));
    prop_assert_eq!(broken.fragment_bytes, expected);
    Ok(broken)
}

proptest! {
    #[test]
    fn hex_text_is_recovered_from_its_ciphertext_alone(configuration in any_configuration(), fragment_bytes in 48..1024_u16, bytes in 600..3_000_usize) {
        let text = hex_text(bytes);
        let records = text.split(|byte| *byte == b'\n').count() - 1;
        let broken = check(configuration, fragment_bytes, &text)?;
        prop_assert_eq!(broken.what, Plaintext::HexText { records });
    }

    #[test]
    fn an_image_is_recovered_from_its_ciphertext_alone(configuration in any_configuration(), words in 8..256_u16, bytes in 1_200..4_000_usize, is_armv6: bool) {
        let broken = check(configuration, words * 4, &image(bytes, is_armv6))?;
        let is_an_image = matches!(broken.what, Plaintext::Binary { stack: 0x2000_3FF8, .. });
        prop_assert!(is_an_image);
    }

    #[test]
    fn no_bytes_make_the_attack_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = recover(&bytes);
    }

    #[test]
    fn a_damaged_file_is_recovered_as_it_is_or_refused(configuration in any_configuration(), at in 0..2_000_usize, flip in 1..=255_u8, as_text: bool) {
        let plaintext = if as_text { hex_text(900) } else { image(2_000, true) };
        let at = at % plaintext.len();
        let mut damaged = encrypted(&configuration, 160, &plaintext);
        damaged[at] ^= flip;
        if let Ok(broken) = recover(&damaged) {
            prop_assert_eq!(encrypted(&broken.configuration, broken.fragment_bytes.unwrap_or(1024) as u16, &broken.plaintext), damaged);
        }
    }
}

#[test]
fn fragments_shorter_than_twice_the_register_fall_too() {
    let polynomial = listed()[25];
    for fragment_bytes in [32, 36, 44, 48, 60] {
        let configuration = configuration(polynomial, 0x1D87_2B41, Stream::RestartsPerFragment);
        check(configuration, fragment_bytes, &hex_text(20_000)).unwrap();
    }
}

#[test]
fn registers_of_every_length_fall_to_twice_as_many_bits() {
    for polynomial in listed() {
        let stages = polynomial.stages() as usize;
        let configuration = configuration(polynomial, 0x5A5A_5A5A, Stream::Continuous);
        for plaintext in [hex_text(66_000), image(66_000, false)] {
            let ciphertext = encrypted(&configuration, 160, &plaintext);
            let broken = recover(&ciphertext).unwrap();
            assert_eq!(broken.configuration, configuration, "{polynomial}");
            assert_eq!(broken.plaintext, plaintext, "{polynomial}");
            assert!(
                (2 * stages - 6..=2 * stages).contains(&broken.bits_needed),
                "{broken:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_broken_is_refused_with_the_reason() {
    let listed = listed();
    let configuration = configuration(listed[25], 0x1D87_2B41, Stream::Continuous);
    let mut random = vec![0; 5_000];
    let mut state = 0x1234_5678_9ABC_DEF1_u64;
    for byte in &mut random {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 33) as u8;
    }
    // x^9 + x^3 + 1 has order 73 or less: a register, but no m-sequence.
    let reducible = Register::new(Polynomial::from_exponents(&[12, 6, 3]).unwrap(), 0x123).unwrap();
    let mut not_m = hex_text(2_000);
    reducible.apply(&mut not_m);
    let text = hex_text(2_000);
    let short = &encrypted(&configuration, 160, &text)[..79];
    let ends_early = &encrypted(&configuration, 160, &text)[..3_000];
    let mut with_garbage = text.clone();
    with_garbage[100] = b'?';
    for (what, bytes, expected) in [
        ("nothing", &[][..], "the file has 0 bytes; it takes 80"),
        ("a few bytes", short, "the file has 79 bytes; it takes 80"),
        ("HEX text", &text, "not encrypted: it is Intel HEX text"),
        (
            "damaged HEX text",
            &with_garbage,
            "not encrypted: it is 7-bit text",
        ),
        (
            "an image",
            &image(500, true),
            "not encrypted: it is a Cortex-M image",
        ),
        ("noise", &random, "neither HEX text nor a Cortex-M image"),
        (
            "erased flash",
            &[0xFF; 500],
            "neither HEX text nor a Cortex-M image",
        ),
        ("another register", &not_m, "not an m-sequence"),
        ("a part of HEX text", ends_early, "neither HEX text nor"),
    ] {
        let complaint = recover(bytes).unwrap_err().to_string();
        assert!(complaint.contains(expected), "{what}: {complaint}");
    }
}
