extern crate std;

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const LISTED: &str = include_str!("../../../fixtures/m-sequence/polynomials.txt");
const KEYSTREAMS: &str = include_str!("../../../fixtures/m-sequence/keystreams.txt");

fn polynomial(exponents: &str) -> Polynomial {
    let exponents: Vec<u8> = exponents.split(',').map(|e| e.parse().unwrap()).collect();
    Polynomial::from_exponents(&exponents).unwrap()
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
}

fn listed() -> Vec<Polynomial> {
    lines(LISTED).map(|line| polynomial(line[1])).collect()
}

fn keystream(mut register: Register, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|_| register.next_byte()).collect()
}

/// With the reciprocal of each: primitive too.
fn primitive() -> impl Strategy<Value = Polynomial> {
    let mut all = listed();
    for polynomial in listed() {
        let stages = polynomial.stages() as u8;
        let inner = polynomial.exponents().filter(|e| *e != stages);
        let mut exponents: Vec<u8> = inner.map(|e| stages - e).collect();
        exponents.push(stages);
        all.push(Polynomial::from_exponents(&exponents).unwrap());
    }
    prop::sample::select(all)
}

fn register() -> impl Strategy<Value = Register> {
    (primitive(), any::<u32>()).prop_map(|(polynomial, seed)| {
        Register::new(polynomial, seed & polynomial.ones())
            .unwrap_or_else(|| Register::new(polynomial, 1).unwrap())
    })
}

fn stream() -> impl Strategy<Value = Stream> {
    prop::sample::select(&[Stream::RestartsPerFragment, Stream::Continuous][..])
}

#[test]
fn every_listed_polynomial_is_primitive_and_there_is_one_for_every_number_of_stages() {
    let listed = listed();
    let stages: Vec<u32> = listed
        .iter()
        .map(|polynomial| polynomial.stages())
        .collect();
    assert_eq!(stages, STAGES.collect::<Vec<_>>());
    for polynomial in listed {
        assert!(polynomial.is_primitive(), "{polynomial}");
    }
}

#[test]
fn the_period_counted_is_the_longest_there_is_for_primitive_polynomials_alone() {
    let period = |polynomial: Polynomial| {
        let first = Register::new(polynomial, 1).unwrap();
        let mut register = first;
        (1..=polynomial.longest_period() + 1).find(|_| {
            register.next_bit();
            register == first
        })
    };
    for polynomial in listed().into_iter().filter(|p| p.stages() <= 20) {
        assert_eq!(
            period(polynomial),
            Some(polynomial.longest_period()),
            "{polynomial}"
        );
    }
    let mut primitive = 0;
    for taps in 1_u32 << 8..1 << 9 {
        let polynomial = Polynomial::new(taps).unwrap();
        assert_eq!(
            polynomial.is_primitive(),
            period(polynomial) == Some(polynomial.longest_period()),
            "{polynomial}"
        );
        primitive += u32::from(polynomial.is_primitive());
    }
    assert_eq!(primitive, 48, "phi(2^9 - 1) / 9");
}

#[test]
fn the_conventions_are_those_of_the_recorded_keystreams() {
    let mut count = 0;
    for line in lines(KEYSTREAMS) {
        let [exponents, seed, offset, bytes] = line[..] else {
            panic!("{line:?}")
        };
        let seed = u32::from_str_radix(seed, 16).unwrap();
        let register = Register::new(polynomial(exponents), seed).unwrap();
        let offset: u64 = offset.parse().unwrap();
        let bytes = u128::from_str_radix(bytes, 16).unwrap().to_be_bytes();
        let found = keystream(register.after(offset * 8), 16);
        assert_eq!(found, bytes, "{line:?}");
        count += 1;
    }
    assert!(count >= 6);
}

#[test]
fn a_polynomial_reads_as_it_is_written_and_nonsense_is_none() {
    assert_eq!(polynomial("16,14,13,11").taps(), 0xB400);
    assert_eq!(std::format!("{}", polynomial("7,1")), "x^7 + x + 1");
    for nonsense in [&[][..], &[6, 1], &[33, 1], &[7, 7], &[7, 0]] {
        assert_eq!(Polynomial::from_exponents(nonsense), None, "{nonsense:?}");
    }
    assert_eq!(Register::new(polynomial("7,6"), 0), None);
    assert_eq!(Register::new(polynomial("7,6"), 0x80), None);
}

proptest! {
    #[test]
    fn a_jump_ends_where_as_many_steps_do(register in register(), bits in 0_u64..5_000) {
        let mut stepped = register;
        for _ in 0..bits {
            stepped.next_bit();
        }
        prop_assert_eq!(register.after(bits), stepped);
    }

    #[test]
    fn a_jump_of_the_whole_period_changes_nothing(register in register(), bits: u32) {
        let there = register.after(u64::from(bits));
        let period = register.polynomial().longest_period();
        prop_assert_eq!(there.after(period - u64::from(bits) % period), register);
    }

    #[test]
    fn fragments_decrypt_one_by_one_in_any_order(register in register(), stream in stream(), image in prop::collection::vec(any::<u8>(), 1..500), fragment_bytes in 8_usize..64) {
        let configuration = Configuration { register, stream };
        let mut sent = image.clone();
        for (index, fragment) in sent.chunks_mut(fragment_bytes).enumerate() {
            configuration.apply((index * fragment_bytes) as u32, fragment);
        }
        let whole: Vec<u8> = match stream {
            Stream::Continuous => keystream(register, image.len()),
            Stream::RestartsPerFragment => keystream(register, fragment_bytes).into_iter().cycle().take(image.len()).collect(),
        };
        for ((sent, plain), key) in sent.iter().zip(&image).zip(whole) {
            prop_assert_eq!(*sent, plain ^ key);
        }
        for (index, fragment) in sent.chunks_mut(fragment_bytes).enumerate().rev() {
            configuration.apply((index * fragment_bytes) as u32, fragment);
        }
        prop_assert_eq!(sent, image);
    }

    #[test]
    fn arbitrary_bytes_are_no_configuration_or_one_that_encodes_back(mut bytes in prop::collection::vec(any::<u8>(), CONFIGURATION_BYTES), fix: bool) {
        if fix {
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4] &= 1;
            bytes[5..8].fill(0);
            let check = CRC.checksum(&bytes[..16]);
            bytes[16..].copy_from_slice(&check.to_le_bytes());
        }
        let bytes: [u8; CONFIGURATION_BYTES] = bytes.try_into().unwrap();
        if let Some(configuration) = Configuration::decode(&bytes) {
            prop_assert_eq!(configuration.encode(), bytes);
        }
    }

    #[test]
    fn a_configuration_survives_encoding_and_any_changed_bit_is_noticed(register in register(), stream in stream()) {
        let configuration = Configuration { register, stream };
        let bytes = configuration.encode();
        prop_assert_eq!(Configuration::decode(&bytes), Some(configuration));
        for bit in 0..CONFIGURATION_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Configuration::decode(&damaged), None);
        }
        prop_assert_eq!(Configuration::decode(&[0xFF; CONFIGURATION_BYTES]), None);
    }
}
