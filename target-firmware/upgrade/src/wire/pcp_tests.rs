extern crate std;
use super::*;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

/// Frames published in vendors' documents or captured from devices.
const FRAMES: &str = include_str!("../../../../fixtures/pcp/frames.txt");

fn published() -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    let lines = FRAMES.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (hex, what) = line.split_once('#').unwrap();
        let digits: Vec<u8> = hex.trim().bytes().collect();
        let bytes = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap());
        (bytes.collect(), what.trim())
    })
}

fn encoded(message: &Downlink<'_>) -> Vec<u8> {
    let mut out = [0; MAX_DOWNLINK_BYTES];
    let length = message.encode(&mut out).unwrap();
    out[..length].to_vec()
}

fn sent(message: Uplink) -> Vec<u8> {
    let mut out = [0; super::super::MAX_UPLINK_BYTES];
    let length = message.encode(&mut out);
    out[..length].to_vec()
}

#[test]
fn the_check_of_the_digits_is_b955() {
    assert_eq!(check(*b"123456789"), 0xB955);
}

#[test]
fn every_published_frame_is_understood_and_made_again_byte_for_byte() {
    let mut seen = 0;
    for (bytes, what) in published() {
        let up = Uplink::decode(&bytes).map(sent);
        let down = Downlink::decode(&mut bytes.clone()).map(|message| encoded(&message));
        let from_platform = what.starts_with("19 query")
            || what.starts_with("20 new")
            || what.starts_with("21 response")
            || what.starts_with("23 execute");
        assert_eq!(up.is_ok(), !from_platform, "{what}");
        // A download state and the response to one look alike.
        let looks_alike = what.starts_with("22");
        assert_eq!(down.is_ok(), from_platform || looks_alike, "{what}");
        for again in [up, down].into_iter().flatten() {
            assert_eq!(again, bytes, "{what}");
        }
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn a_new_version_says_what_the_vendor_says_it_does() {
    let (mut bytes, what) = published()
        .find(|(_, what)| what.contains("V2.16"))
        .unwrap();
    let Ok(Downlink::NewVersion(facts)) = Downlink::decode(&mut bytes) else {
        panic!("{what}")
    };
    assert_eq!(facts.version.to_string(), "V2.16");
    assert_eq!(
        (facts.fragment_bytes, facts.count, facts.check),
        (500, 129, 0x3836)
    );
}

type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn what_is_malformed_is_refused() {
    let good = encoded(&Downlink::NewVersion(PackageFacts {
        version: VersionText::default(),
        fragment_bytes: 160,
        count: 1,
        check: 0,
    }));
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let check = frame_check(&bytes).to_be_bytes();
        bytes[4..6].copy_from_slice(&check);
        Downlink::decode(&mut bytes).map(drop)
    };
    assert_eq!(with(&|_| ()), Ok(()));
    let fields: [(&str, Change<'_>); 8] = [
        ("magic", &|bytes| bytes[1] = 0xFF),
        ("version", &|bytes| bytes[2] = 2),
        ("code", &|bytes| bytes[3] = 25),
        ("length", &|bytes| bytes[7] += 1),
        ("a byte too many", &|bytes| bytes.push(0)),
        ("fragment size below 32", &|bytes| bytes[25] = 31),
        ("fragment size above 500", &|bytes| bytes[24] = 2),
        ("no fragments", &|bytes| bytes[27] = 0),
    ];
    for (what, change) in fields {
        assert_eq!(with(change), Err(Malformed), "{what}");
    }
    let mut unchecked = good.clone();
    unchecked[4] ^= 1;
    assert_eq!(Downlink::decode(&mut unchecked), Err(Malformed));
}

#[test]
fn a_fragment_has_data_exactly_when_it_went_well() {
    let fragment = |result, data: &[u8]| {
        let mut bytes = encoded(&Downlink::Fragment {
            result,
            index: FragmentIndex(u16::MAX),
            data: &mut data.to_vec(),
        });
        Downlink::decode(&mut bytes).map(drop)
    };
    assert_eq!(fragment(ResultCode::Ok, &[1, 2]), Ok(()));
    assert_eq!(fragment(ResultCode::NoSuchFragment, &[]), Ok(()));
    assert_eq!(fragment(ResultCode::Ok, &[]), Err(Malformed));
    assert_eq!(
        fragment(ResultCode::NoSuchFragment, &[1, 2]),
        Err(Malformed)
    );
}

#[test]
fn header_fragments_come_first_and_hold_the_whole_manifest() {
    for (size, expected) in [(32, 4), (119, 2), (120, 1), (500, 1)] {
        let stream = Stream::new(size).unwrap();
        let parts: Vec<usize> = (0..expected)
            .flat_map(|index| stream.header_part(FragmentIndex(index)))
            .collect();
        assert_eq!(stream.header_fragments(), expected);
        assert!(parts.into_iter().eq(0..SIGNED_MANIFEST_BYTES));
        assert_eq!(stream.image_fragment(FragmentIndex(expected - 1)), None);
        let first = stream.image_fragment(FragmentIndex(expected));
        assert_eq!(first, Some(FragmentIndex(0)));
        assert_eq!(
            stream.travels_as(FragmentIndex(0)),
            Some(FragmentIndex(expected))
        );
    }
    assert_eq!(Stream::new(31), None);
    assert_eq!(Stream::new(501), None);
    let last = Stream::new(500)
        .unwrap()
        .travels_as(FragmentIndex(u16::MAX));
    assert_eq!(last, None);
}

#[test]
fn of_two_flipped_bits_in_a_fragment_some_go_unnoticed() {
    let mut data = [0x5A; 160];
    let frame = encoded(&Downlink::Fragment {
        result: ResultCode::Ok,
        index: FragmentIndex(3),
        data: &mut data,
    });
    let bits = frame.len() * 8;
    let (mut missed, mut tried) = (0_u32, 0_u32);
    // A sample of all pairs: every seventh first bit.
    for first in (0..bits).step_by(7) {
        for second in first + 1..bits {
            if [first, second].iter().any(|bit| (32..48).contains(bit)) {
                continue;
            }
            let mut damaged = frame.clone();
            damaged[first / 8] ^= 1 << (first % 8);
            damaged[second / 8] ^= 1 << (second % 8);
            tried += 1;
            missed += u32::from(frame_check(&damaged) == frame_check(&frame));
        }
    }
    let percent = f64::from(missed) * 100.0 / f64::from(tried);
    assert!((1.0..2.5).contains(&percent), "{percent:.2} %");
}

proptest! {
    #[test]
    fn decoding_any_bytes_never_panics_and_what_decodes_encodes_back(
        data in prop::collection::vec(any::<u8>(), 0..600),
        code in 18..26_u8,
        length in prop::sample::select(&[0_usize, 1, 17, 18, 22, 3, 163, 503, 504][..]),
        fix: bool,
    ) {
        let mut bytes = std::vec![0; HEADER_BYTES];
        bytes.extend(data);
        if fix {
            bytes.resize(HEADER_BYTES + length, 0);
            finish(&mut bytes, code, length);
            if length == 1 || length == 17 || length >= 3 && code == FRAGMENT {
                bytes[HEADER_BYTES] &= 0x07;
                finish(&mut bytes, code, length);
            }
        }
        if let Ok(message) = Uplink::decode(&bytes) {
            prop_assert_eq!(&sent(message), &bytes);
        }
        let original = bytes.clone();
        if let Ok(message) = Downlink::decode(&mut bytes) {
            let mut out = [0; 1024];
            let length = message.encode(&mut out).unwrap();
            prop_assert_eq!(&out[..length], &original[..]);
        }
    }
}
