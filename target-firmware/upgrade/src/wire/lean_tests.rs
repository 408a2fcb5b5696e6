extern crate std;
use super::*;
use crate::factory::DeviceKey;
use crate::manifest::{KeyId, Manifest, SignedManifest, Suite};
use proptest::prelude::*;
use std::vec::Vec;

fn key() -> LeanKey {
    LeanKey::of(&DeviceKey([7; 32]))
}

fn status() -> Status {
    Status {
        dialect: Dialect::Pcp,
        wire_version: WIRE_VERSION,
        window: 16,
        device: DeviceId(*b"device01"),
        hardware: 0x51,
        version: Version {
            major: 1,
            minor: 0,
            patch: 0,
        },
        running: ImageId([1; 16]),
        security_counter: SecurityCounter(2),
        activity: Activity::Downloading,
        result: ResultCode::InstallFailed,
        result_image: ImageId([2; 16]),
        challenge: Challenge(0x0403_0201),
    }
}

fn signed() -> SignedManifest {
    let manifest = Manifest {
        suite: Suite::ChaCha20Poly1305,
        key_id: KeyId(1),
        trial_attempts: 3,
        version: status().version,
        size_bytes: 1000,
        fragment_bytes: 160,
        hardware: 0,
        security_counter: SecurityCounter(0),
        image_digest: [1; 32],
    };
    SignedManifest::new(manifest, [0; 64])
}

fn request() -> Uplink {
    Uplink::Request {
        handle: key().handle(&signed()),
        wanted: Wanted::new(FragmentIndex(513), 0b1_0000_0011).unwrap(),
    }
}

#[test]
fn every_message_survives_encoding_and_is_as_short_as_it_can_be() {
    let mut out = [0; MAX_UPLINK_BYTES];
    let result_of = |result_image| {
        Uplink::Status(Status {
            result_image,
            ..status()
        })
    };
    let one = Uplink::Request {
        handle: Handle([9; 2]),
        wanted: Wanted::one(FragmentIndex(u16::MAX)),
    };
    let messages = [
        (result_of(ImageId([2; 16])), 67),
        (result_of(ImageId([1; 16])), 51),
        (result_of(ImageId::NONE), 51),
        (request(), 11),
        (one, 10),
    ];
    for (message, bytes) in messages {
        let length = message.encode(&key(), &mut out);
        assert_eq!(length, bytes);
        assert_eq!(Uplink::decode(&out[..length]), Ok(message));
        assert_eq!(Uplink::verify(&out[..length], &key()), Ok(()));
    }
    let mut body = [9; 40];
    let manifest = [3; SIGNED_MANIFEST_BYTES];
    let messages = [
        Downlink::Nothing {
            retry_after_s: 600,
            challenge: Challenge(5),
        },
        Downlink::Offer {
            wire_version: 1,
            window: 8,
            challenge: Challenge(6),
            manifest: &manifest,
        },
        Downlink::Fragment {
            index: 7,
            body: &mut body,
        },
        Downlink::Refusal {
            handle: Handle([4; 2]),
            result: ResultCode::NoSuchTask,
        },
    ];
    for message in messages {
        let mut out = [0; 200];
        let length = message.encode(&key(), &mut out).unwrap();
        assert_eq!(Downlink::open(&mut out[..length], &key()), Ok(message));
    }
}

#[test]
fn a_message_with_any_flipped_bit_or_of_another_device_is_refused() {
    let stranger = LeanKey::of(&DeviceKey([8; 32]));
    let mut out = [0; MAX_UPLINK_BYTES];
    for message in [Uplink::Status(status()), request()] {
        let length = message.encode(&key(), &mut out);
        for bit in 0..length * 8 {
            let mut damaged = out;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Uplink::verify(&damaged[..length], &key()),
                Err(Malformed),
                "bit {bit}"
            );
        }
        assert_eq!(Uplink::verify(&out[..length], &stranger), Err(Malformed));
    }
    let mut out = [0; 32];
    let nothing = Downlink::Nothing {
        retry_after_s: 60,
        challenge: Challenge(1),
    };
    let length = nothing.encode(&key(), &mut out).unwrap();
    for bit in 8..length * 8 {
        let mut damaged = out;
        damaged[bit / 8] ^= 1 << (bit % 8);
        let opened = Downlink::open(&mut damaged[..length], &key());
        assert_eq!(opened, Err(Malformed), "bit {bit}");
    }
    assert_eq!(
        Downlink::open(&mut out[..length], &stranger),
        Err(Malformed)
    );
}

#[test]
fn a_fragment_without_a_tag_counts_only_under_its_own_index_and_image() {
    let mut message = [5; 24];
    let code = key().fragment_code(&signed(), FragmentIndex(300), &message[..20]);
    message[20..].copy_from_slice(&code);
    let checked = |index, mut bytes: [u8; 24]| {
        key()
            .checked_fragment(&signed(), FragmentIndex(index), &mut bytes)
            .map(|body| body.to_vec())
    };
    assert_eq!(checked(300, message), Ok(std::vec![5; 20]));
    assert_eq!(checked(300 - 128, message), Err(Malformed));
    message[3] ^= 1;
    assert_eq!(checked(300, message), Err(Malformed));
}

#[test]
fn an_index_is_completed_to_the_first_one_at_or_after_the_base() {
    let complete = |base, byte| complete_index(FragmentIndex(base), byte).0;
    assert_eq!(complete(0, 0), 0);
    assert_eq!(complete(0, 127), 127);
    assert_eq!(complete(127, 0), 128);
    assert_eq!(complete(1000, (1000 % 128) as u8), 1000);
    assert_eq!(complete(1000, (1031 % 128) as u8), 1031);
}

proptest! {
    #[test]
    fn what_is_wanted_is_named_in_order_and_survives_its_request(base: u16, mask: u32) {
        let naive: Vec<u32> = (0..32).filter(|bit| mask >> bit & 1 == 1).map(|bit| u32::from(base) + bit).collect();
        let fits = naive.last().is_some_and(|last| u16::try_from(*last).is_ok());
        let wanted = Wanted::new(FragmentIndex(base), mask);
        prop_assert_eq!(wanted.is_some(), fits);
        if let Some(wanted) = wanted {
            let named: Vec<u32> = wanted.indices().map(|index| u32::from(index.0)).collect();
            prop_assert_eq!(named, naive);
            let message = Uplink::Request { handle: Handle([1; 2]), wanted };
            let mut out = [0; MAX_UPLINK_BYTES];
            let length = message.encode(&key(), &mut out);
            prop_assert_eq!(Uplink::decode(&out[..length]), Ok(message));
        }
    }

    #[test]
    fn decoding_any_bytes_never_panics_and_what_decodes_encodes_back(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop::sample::select(&[0x01_u8, 0x02, 0x33, 0x81, 0x82, 0x84][..]),
        length in prop::sample::select(&[10_usize, 11, 12, 13, 51, 67, 135, 8, 199][..]),
        sane: bool,
    ) {
        let mut bytes = bytes;
        bytes.resize(length, 0);
        bytes[0] = kind;
        if sane && kind == 0x01 && length > 50 {
            (bytes[1], bytes[37], bytes[38]) = (bytes[1] & 0x1F, bytes[37] & 0x23, bytes[38] & 7);
        }
        if let Ok(message) = Uplink::decode(&bytes) {
            let mut out = [0; MAX_UPLINK_BYTES];
            let encoded = message.encode(&key(), &mut out);
            let code = if kind == 0x01 { 8 } else { 4 };
            prop_assert_eq!(encoded, length);
            prop_assert_eq!(&out[..length - code], &bytes[..length - code]);
        }
        let original = bytes.clone();
        if let Ok(message) = Downlink::decode(&mut bytes) {
            let code = match message {
                Downlink::Fragment { .. } => 0,
                Downlink::Refusal { .. } => 4,
                _ => 8,
            };
            let mut out = [0; MAX_DOWNLINK_BYTES];
            let encoded = message.encode(&key(), &mut out).unwrap();
            prop_assert_eq!(encoded, length);
            prop_assert_eq!(&out[..length - code], &original[..length - code]);
        }
    }
}
