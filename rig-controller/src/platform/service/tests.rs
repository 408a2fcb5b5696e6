use super::*;
use crate::platform::package::tests::package;
use powercut_upgrade::m_sequence::{Configuration, Polynomial, Register, Stream};
use powercut_upgrade::manifest::{Manifest, SecurityCounter, SignedManifest, Version};
use powercut_upgrade::wire::lean::MAX_UPLINK_BYTES;
use proptest::prelude::*;
use std::sync::Mutex;

const DEVICE: DeviceId = DeviceId(*b"device01");
const KEY: DeviceKey = DeviceKey([9; 32]);
const OLD: ImageId = ImageId([1; 16]);

fn from() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000))
}

fn service_with(package: Package) -> (Service, ImageId) {
    let mut service = Service::default();
    service.register_device(DEVICE, KEY);
    let image = package.signed().image_id();
    service.publish(DEVICE, Arc::new(package)).unwrap();
    (service, image)
}

fn status(activity: Activity) -> Status {
    Status {
        device: DEVICE,
        hardware: 0x51,
        version: Version {
            major: 1,
            minor: 0,
            patch: 0,
        },
        running: OLD,
        security_counter: SecurityCounter(1),
        activity,
        result: ResultCode::Ok,
        result_image: ImageId::NONE,
    }
}

fn bytes(message: Uplink) -> Vec<u8> {
    let mut out = [0; MAX_UPLINK_BYTES];
    let length = message.encode(&mut out);
    out[..length].to_vec()
}

fn request(image: ImageId, index: u16) -> Vec<u8> {
    bytes(Uplink::Request {
        device: DEVICE,
        session: Session::of(image),
        index: FragmentIndex(index),
    })
}

fn kinds(handled: &Handled) -> Vec<PlatformEventKind> {
    handled
        .events
        .iter()
        .map(|event| event.kind.clone())
        .collect()
}

/// Whether a device that reports this is offered its task.
fn offers(service: &mut Service, status: Status) -> bool {
    let handled = service.handle(&bytes(Uplink::Status(status)), from());
    let mut answer = handled.answer.expect("a known device gets an answer");
    match Downlink::decode(&mut answer) {
        Ok(Downlink::Offer(_)) => true,
        Ok(Downlink::Nothing { .. }) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_device_is_offered_the_signed_manifest_of_its_task() {
    let package = package(7, 1000, 160);
    let signed = *package.signed();
    let (mut service, image) = service_with(package);
    let hello = status(Activity::Idle);
    let handled = service.handle(&bytes(Uplink::Status(hello)), from());
    assert_eq!(
        kinds(&handled),
        [
            PlatformEventKind::Hello(hello),
            PlatformEventKind::OfferSent(image)
        ]
    );
    let mut answer = handled.answer.unwrap();
    let Ok(Downlink::Offer(offered)) = Downlink::decode(&mut answer) else {
        panic!("no offer")
    };
    assert_eq!(SignedManifest::decode(offered), Ok(signed));
}

#[test]
fn every_fragment_decrypts_to_its_part_of_the_image() {
    let image: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
    let mut manifest = *package(7, 1000, 160).manifest();
    manifest.image_digest = sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        &image,
    ))
    .into();
    let signed = SignedManifest::new(manifest, [0; 64]);
    let (mut service, id) = service_with(Package::new(signed, image.clone()).unwrap());
    let cipher = FragmentCipher::new(&KEY, None, &signed).unwrap();
    let mut received = Vec::new();
    for index in 0..manifest.fragments() {
        let mut answer = service.handle(&request(id, index), from()).answer.unwrap();
        let Ok(Downlink::Fragment {
            session,
            index: served,
            sealed,
        }) = Downlink::decode(&mut answer)
        else {
            panic!("no fragment {index}")
        };
        assert_eq!((session, served.0), (Session::of(id), index));
        received.extend_from_slice(cipher.open(served, sealed).unwrap());
    }
    assert_eq!(received, image);
}

#[test]
fn a_device_that_runs_its_task_or_has_all_of_it_is_offered_nothing() {
    let (mut service, image) = service_with(package(7, 1000, 160));
    assert!(!offers(&mut service, status(Activity::Verifying)));
    assert!(!offers(&mut service, status(Activity::Ready)));
    let mut new = status(Activity::Trial);
    new.running = image;
    assert!(!offers(&mut service, new));
    new.activity = Activity::Idle;
    assert!(!offers(&mut service, new));
    assert!(offers(&mut service, status(Activity::Downloading)));
}

#[test]
fn a_failure_reported_after_the_offer_ends_the_task_until_it_is_published_again() {
    let package = Arc::new(package(7, 1000, 160));
    let mut service = Service::default();
    service.register_device(DEVICE, KEY);
    let mut failed = status(Activity::Idle);
    failed.result = ResultCode::InstallFailed;
    failed.result_image = package.signed().image_id();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        tasks.push(service.publish(DEVICE, Arc::clone(&package)).unwrap());
        // What it reports now is of an earlier try.
        assert!(offers(&mut service, failed));
        assert!(!offers(&mut service, failed));
    }
    assert!(tasks[0] < tasks[1]);
    failed.result_image = OLD;
    assert!(offers(&mut service, failed));
}

#[test]
fn requests_for_another_session_or_beyond_the_last_fragment_are_refused() {
    let (mut service, image) = service_with(package(7, 1000, 160));
    for (datagram, result) in [
        (request(OLD, 0), ResultCode::NoSuchTask),
        (request(image, 7), ResultCode::NoSuchFragment),
    ] {
        let handled = service.handle(&datagram, from());
        assert_eq!(
            kinds(&handled).last(),
            Some(&PlatformEventKind::Refused(result))
        );
        let mut answer = handled.answer.unwrap();
        assert!(matches!(
            Downlink::decode(&mut answer),
            Ok(Downlink::Refusal { result: told, .. }) if told == result
        ));
    }
    assert_eq!(service.ledger().pairs(), 0);
}

#[test]
fn state_counts_what_the_log_holds_and_starts_over_with_a_publication() {
    let package = Arc::new(package(7, 1000, 160));
    let (mut service, image) = service_with((*package).clone());
    service.handle(&bytes(Uplink::Status(status(Activity::Idle))), from());
    for index in [0, 1, 1, 9] {
        service.handle(&request(image, index), from());
    }
    service.handle(b"half a payload", from());
    let state = service.device_state(DEVICE).unwrap();
    assert_eq!(
        state,
        DeviceState {
            hellos: 1,
            offers: 1,
            fragments_requested: 4,
            fragments_served: 3,
            refusals: 1,
            malformed: 1,
            bytes_up: 57 + 4 * 19 + 14,
            bytes_down: 125 + 3 * (7 + 160 + 16) + 10,
            last_report: Some(status(Activity::Idle)),
        }
    );
    assert_eq!(service.events(DEVICE).len(), 2 + 4 * 2 + 1);
    service.publish(DEVICE, package).unwrap();
    assert_eq!(service.device_state(DEVICE), Some(DeviceState::default()));
    assert_eq!(service.events(DEVICE), []);
}

#[test]
fn strangers_and_malformed_datagrams_are_counted_and_get_no_answer() {
    let mut service = Service::default();
    let hello = bytes(Uplink::Status(status(Activity::Idle)));
    assert!(service.handle(&hello, from()).answer.is_none());
    assert!(service.handle(&hello[1..], from()).answer.is_none());
    assert!(service.handle(b"", from()).answer.is_none());
    assert_eq!(
        service.strays(),
        StrayCounters {
            malformed: 2,
            unknown_device: 1
        }
    );
    assert!(matches!(
        service.publish(DEVICE, Arc::new(package(1, 100, 32))),
        Err(PlatformError::UnknownDevice(DEVICE))
    ));
}

#[test]
fn fragments_served_again_or_by_another_manifest_use_no_nonce_twice() {
    let (mut service, first) = service_with(package(7, 1000, 160));
    for index in [0, 0, 1] {
        service.handle(&request(first, index), from());
    }
    let second = package(8, 1000, 160);
    let second_id = second.signed().image_id();
    service.publish(DEVICE, Arc::new(second)).unwrap();
    service.handle(&request(second_id, 0), from());
    assert_eq!(service.ledger().pairs(), 3);
    assert_eq!(service.ledger().violations(), []);
}

#[test]
fn devices_do_not_see_each_other_s_tasks() {
    let (mut service, image) = service_with(package(7, 1000, 160));
    let other = DeviceId(*b"device02");
    service.register_device(other, DeviceKey([3; 32]));
    let mut hello = status(Activity::Idle);
    hello.device = other;
    assert!(!offers(&mut service, hello));
    let stolen = bytes(Uplink::Request {
        device: other,
        session: Session::of(image),
        index: FragmentIndex(0),
    });
    assert_eq!(
        kinds(&service.handle(&stolen, from())).last(),
        Some(&PlatformEventKind::Refused(ResultCode::NoSuchTask))
    );
    assert_eq!(service.device_state(DEVICE), Some(DeviceState::default()));
}

#[test]
fn events_go_to_the_device_s_watcher() {
    let (mut service, _) = service_with(package(7, 1000, 160));
    let heard = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&heard);
    service.watch(
        DEVICE,
        Some(Arc::new(move |_: &PlatformEvent| {
            *counter.lock().unwrap() += 1;
        })),
    );
    let handled = service.handle(&bytes(Uplink::Status(status(Activity::Idle))), from());
    let watcher = handled.watcher.unwrap();
    handled.events.iter().for_each(|event| watcher(event));
    assert_eq!(*heard.lock().unwrap(), 2);
}

proptest! {
    #[test]
    fn no_datagram_makes_it_panic_and_only_whole_messages_are_answered(
        mut datagram in prop::collection::vec(any::<u8>(), 0..80),
        template in prop::sample::select(vec![0usize, 1, 2]),
        keep in 0usize..60,
    ) {
        let (mut service, image) = service_with(package(7, 1000, 160));
        // Random bytes alone never get past the first byte: let them follow the head of a true message.
        let head = match template {
            0 => Vec::new(),
            1 => bytes(Uplink::Status(status(Activity::Idle))),
            _ => request(image, 3),
        };
        datagram.splice(..0, head.into_iter().take(keep));
        let handled = service.handle(&datagram, from());
        prop_assert_eq!(handled.answer.is_some(), Uplink::decode(&datagram).is_ok());
    }
}

#[test]
fn a_package_in_the_suite_m_sequence_is_served_under_its_register_and_no_nonce_is_counted() {
    let plain = package(7, 1000, 160);
    let manifest = Manifest {
        suite: Suite::MSequence,
        ..*plain.manifest()
    };
    let signed = SignedManifest::new(manifest, [0; 64]);
    let package = Package::new(signed, plain.image().to_vec()).unwrap();
    let mut service = Service::default();
    service.register_device(DEVICE, KEY);
    let refused = service.publish(DEVICE, Arc::new(package.clone()));
    assert!(matches!(refused, Err(PlatformError::NotConfigured(_))));

    let polynomial = Polynomial::from_exponents(&[16, 14, 13, 11]).unwrap();
    let configuration = Configuration {
        register: Register::new(polynomial, 0xACE1).unwrap(),
        stream: Stream::Continuous,
    };
    let package = package.with_m_sequence(Some(configuration));
    service.publish(DEVICE, Arc::new(package)).unwrap();
    let handled = service.handle(&request(signed.image_id(), 6), from());
    let mut answer = handled.answer.unwrap();
    let Ok(Downlink::Fragment { sealed, .. }) = Downlink::decode(&mut answer) else {
        panic!("no fragment")
    };
    let mut expected = [7; 40];
    configuration.apply(960, &mut expected);
    assert_eq!(*sealed, expected);
    assert_eq!(service.ledger().pairs(), 0);
}
