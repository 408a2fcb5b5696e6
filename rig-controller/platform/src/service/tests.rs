//! Devices that speak lean, and what holds in both dialects: offers, fragments, refusals, and who gets no answer.
mod pcp_tests;

use super::*;
use crate::{DeviceState, MemoryBook, PlatformError, StrayCounters};
use powercut_package::Package;
use powercut_package::made_up::package;
use powercut_upgrade::m_sequence::{Configuration, Polynomial, Register, Stream};
use powercut_upgrade::manifest::{ImageId, Manifest, SignedManifest};
use powercut_upgrade::wire::MAX_UPLINK_BYTES;
use powercut_upgrade::wire::lean::{Downlink, Uplink, WIRE_VERSION, Wanted};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Mutex;

const DEVICE: DeviceId = DeviceId(*b"device01");
const KEY: DeviceKey = DeviceKey([9; 32]);
const OLD: ImageId = ImageId([1; 16]);
/// What the platform allows.
const WINDOW: u8 = 6;

fn from() -> Peer {
    Peer::Udp(SocketAddr::from(([127, 0, 0, 1], 40_000)))
}

/// A service over tasks in memory.
struct Fixture {
    service: Service,
    book: Arc<MemoryBook>,
    ledger: EncryptionLedger,
}

impl Fixture {
    fn new() -> Self {
        let book = Arc::new(MemoryBook::default());
        let ledger = EncryptionLedger::default();
        Self {
            service: Service::new(Arc::clone(&book) as _, Some(ledger.clone())),
            book,
            ledger,
        }
    }

    fn handle(&mut self, datagram: &[u8], from: Peer) -> Handled {
        self.service.handle(datagram, from)
    }

    /// What the datagram led to, as the device's log has it.
    fn kinds(&mut self, device: DeviceId, datagram: &[u8]) -> Vec<PlatformEventKind> {
        let before = self.book.events(device).len();
        self.handle(datagram, from());
        self.book
            .events(device)
            .split_off(before)
            .into_iter()
            .map(|event| event.kind)
            .collect()
    }
}

fn service_with(package: Package) -> (Fixture, ImageId) {
    let mut service = Fixture::new();
    service.book.register_device(DEVICE, KEY);
    let image = package.signed().image_id();
    service
        .book
        .publish(DEVICE, Arc::new(package), WINDOW)
        .unwrap();
    service.service.assignment_changed(DEVICE);
    (service, image)
}

fn status(activity: Activity) -> Status {
    crate::device::tests::status(DEVICE, 16, activity)
}

fn bytes(message: Uplink) -> Vec<u8> {
    sent_with(&KEY, message)
}

fn sent_with(key: &DeviceKey, message: Uplink) -> Vec<u8> {
    let mut out = [0; MAX_UPLINK_BYTES];
    let length = message.encode(&LeanKey::of(key), &mut out);
    out[..length].to_vec()
}

/// The device asks for one fragment of this image.
fn request(package: &Package, index: u16) -> Vec<u8> {
    request_for(package, Wanted::one(FragmentIndex(index)))
}

fn request_for(package: &Package, wanted: Wanted) -> Vec<u8> {
    let handle = LeanKey::of(&KEY).handle(package.signed());
    bytes(Uplink::Request { handle, wanted })
}

/// What the platform answers, as the device understands it; it must be from the platform.
fn opened(answer: &mut [u8]) -> Downlink<'_> {
    Downlink::open(answer, &LeanKey::of(&KEY)).expect("the platform holds the device's key")
}

/// Whether a device that reports this is offered its task.
fn offers(service: &mut Fixture, status: Status) -> bool {
    let handled = service.handle(&bytes(Uplink::Status(status)), from());
    let [answer] = &mut handled.answers.clone()[..] else {
        panic!("a known device gets an answer")
    };
    match opened(answer) {
        Downlink::Offer { .. } => true,
        Downlink::Nothing { .. } => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_device_is_offered_the_signed_manifest_of_its_task() {
    let package = package(7, 1000, 160);
    let signed = *package.signed();
    let (mut service, image) = service_with(package);
    let hello = status(Activity::Idle);
    let hello_bytes = bytes(Uplink::Status(hello));
    assert_eq!(
        service.kinds(DEVICE, &hello_bytes),
        [
            PlatformEventKind::Hello {
                status: hello,
                is_recent: false
            },
            PlatformEventKind::OfferSent(image)
        ]
    );
    let mut answers = service.handle(&hello_bytes, from()).answers;
    let Downlink::Offer {
        wire_version,
        window,
        manifest,
        ..
    } = opened(&mut answers[0])
    else {
        panic!("no offer")
    };
    assert_eq!((wire_version, window), (WIRE_VERSION, WINDOW));
    assert_eq!(SignedManifest::decode(manifest), Ok(signed));
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
    let package = Package::new(signed, image.clone()).unwrap();
    let (mut service, _) = service_with(package.clone());
    let cipher = FragmentCipher::new(&KEY, None, &signed).unwrap();
    let mut received = Vec::new();
    let all = Wanted::new(FragmentIndex(0), (1 << manifest.fragments()) - 1).unwrap();
    let answers = service.handle(&request_for(&package, all), from()).answers;
    for (index, mut answer) in answers.into_iter().enumerate() {
        let Downlink::Fragment {
            index: served,
            body,
        } = opened(&mut answer)
        else {
            panic!("no fragment {index}")
        };
        assert_eq!(usize::from(served), index);
        received.extend_from_slice(cipher.open(FragmentIndex(index as u16), body).unwrap());
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
    let mut service = Fixture::new();
    service.book.register_device(DEVICE, KEY);
    let mut failed = status(Activity::Idle);
    failed.result = ResultCode::InstallFailed;
    failed.result_image = package.signed().image_id();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let task = service.book.publish(DEVICE, Arc::clone(&package), WINDOW);
        tasks.push(task.unwrap());
        // What it reports now is of an earlier try.
        assert!(offers(&mut service, failed));
        assert!(!offers(&mut service, failed));
    }
    assert!(tasks[0] < tasks[1]);
    failed.result_image = OLD;
    assert!(offers(&mut service, failed));
}

#[test]
fn a_request_beyond_the_last_fragment_is_refused_after_what_there_is() {
    let package = package(7, 1000, 160);
    let (mut service, _) = service_with(package.clone());
    let wanted = Wanted::new(FragmentIndex(6), 0b11).unwrap();
    let mut answers = service
        .handle(&request_for(&package, wanted), from())
        .answers;
    assert_eq!(answers.len(), 2);
    assert!(matches!(
        opened(&mut answers[1]),
        Downlink::Refusal {
            result: ResultCode::NoSuchFragment,
            ..
        }
    ));
}

#[test]
fn a_request_for_the_image_before_is_refused_once_there_is_another_task() {
    let (first, second) = (package(7, 1000, 160), package(8, 1000, 160));
    let (mut service, _) = service_with(first.clone());
    service
        .book
        .publish(DEVICE, Arc::new(second.clone()), WINDOW)
        .unwrap();
    service.service.assignment_changed(DEVICE);
    let mut answers = service.handle(&request(&first, 0), from()).answers;
    assert!(matches!(
        opened(&mut answers[0]),
        Downlink::Refusal {
            result: ResultCode::NoSuchTask,
            ..
        }
    ));
    let mut answers = service.handle(&request(&second, 0), from()).answers;
    assert!(matches!(opened(&mut answers[0]), Downlink::Fragment { .. }));
}

#[test]
fn a_device_in_the_middle_of_a_download_goes_on_with_a_platform_that_was_restarted() {
    let package = package(7, 1000, 160);
    let (service, _) = service_with(package.clone());
    let mut restarted = Service::new(Arc::clone(&service.book) as _, None);
    let mut answers = restarted.handle(&request(&package, 3), from()).answers;
    assert!(matches!(opened(&mut answers[0]), Downlink::Fragment { .. }));
}

#[test]
fn whoever_does_not_hold_the_device_s_key_gets_no_answer() {
    let package = package(7, 1000, 160);
    let (mut service, _) = service_with(package.clone());
    let stranger = DeviceKey([8; 32]);
    let hello = sent_with(&stranger, Uplink::Status(status(Activity::Idle)));
    let handle = LeanKey::of(&KEY).handle(package.signed());
    let wanted = Wanted::one(FragmentIndex(0));
    let asks = sent_with(&stranger, Uplink::Request { handle, wanted });
    for datagram in [hello, asks] {
        assert_eq!(
            service.handle(&datagram, from()).answers,
            Vec::<Vec<u8>>::new()
        );
    }
    assert_eq!(service.book.strays().malformed, 2);
    assert_eq!(service.book.device_state(DEVICE).unwrap().hellos, 0);
}

#[test]
fn a_status_is_recent_once_if_it_repeats_the_latest_challenge() {
    let (mut service, _) = service_with(package(7, 1000, 160));
    let mut hello = status(Activity::Idle);
    let mut answers = service
        .handle(&bytes(Uplink::Status(hello)), from())
        .answers;
    let Downlink::Offer { challenge, .. } = opened(&mut answers[0]) else {
        panic!("no offer")
    };
    hello.challenge = challenge;
    let mut recent = |status| {
        let kinds = service.kinds(DEVICE, &bytes(Uplink::Status(status)));
        matches!(kinds[0], PlatformEventKind::Hello { is_recent, .. } if is_recent)
    };
    assert!(recent(hello));
    assert!(!recent(hello), "a recording of it");
    assert!(!recent(status(Activity::Idle)), "after a reset");
}

#[test]
fn state_counts_what_the_log_holds_and_starts_over_with_a_publication() {
    let package = Arc::new(package(7, 1000, 160));
    let (mut service, _) = service_with((*package).clone());
    service.handle(&bytes(Uplink::Status(status(Activity::Idle))), from());
    for index in [0, 1, 1, 9] {
        service.handle(&request(&package, index), from());
    }
    service.handle(b"half a payload", from());
    let state = service.book.device_state(DEVICE).unwrap();
    assert_eq!(
        state,
        DeviceState {
            hellos: 1,
            offers: 1,
            fragments_requested: 4,
            fragments_served: 3,
            refusals: 1,
            malformed: 1,
            bytes_up: 51 + 4 * 10 + 14,
            bytes_down: 135 + 3 * (1 + 160 + 16) + 8,
            last_report: Some(status(Activity::Idle)),
        }
    );
    assert_eq!(service.book.events(DEVICE).len(), 2 + 4 * 2 + 1);
    service.book.publish(DEVICE, package, WINDOW).unwrap();
    assert_eq!(
        service.book.device_state(DEVICE),
        Some(DeviceState::default())
    );
    assert_eq!(service.book.events(DEVICE), []);
}

#[test]
fn strangers_and_malformed_datagrams_are_counted_and_get_no_answer() {
    let mut service = Fixture::new();
    let hello = bytes(Uplink::Status(status(Activity::Idle)));
    for datagram in [&hello[..], &hello[1..], b""] {
        assert!(service.handle(datagram, from()).answers.is_empty());
    }
    assert_eq!(
        service.book.strays(),
        StrayCounters {
            malformed: 2,
            unknown_device: 1
        }
    );
    assert!(matches!(
        service
            .book
            .publish(DEVICE, Arc::new(package(1, 100, 32)), WINDOW),
        Err(PlatformError::UnknownDevice(DEVICE))
    ));
}

#[test]
fn fragments_served_again_or_by_another_manifest_use_no_nonce_twice() {
    let (first, second) = (package(7, 1000, 160), package(8, 1000, 160));
    let (mut service, _) = service_with(first.clone());
    for index in [0, 0, 1] {
        service.handle(&request(&first, index), from());
    }
    let again = Arc::new(second.clone());
    service.book.publish(DEVICE, again, WINDOW).unwrap();
    service.service.assignment_changed(DEVICE);
    service.handle(&request(&second, 0), from());
    assert_eq!(service.ledger.pairs(), 3);
    assert_eq!(service.ledger.violations(), []);
}

#[test]
fn devices_do_not_see_each_other_s_tasks() {
    let package = package(7, 1000, 160);
    let (mut service, _) = service_with(package.clone());
    let (other, other_key) = (DeviceId(*b"device02"), DeviceKey([3; 32]));
    service.book.register_device(other, other_key.clone());
    let mut hello = status(Activity::Idle);
    hello.device = other;
    let answers = service
        .handle(&sent_with(&other_key, Uplink::Status(hello)), from())
        .answers;
    let mut nothing = answers[0].clone();
    assert!(matches!(
        Downlink::open(&mut nothing, &LeanKey::of(&other_key)),
        Ok(Downlink::Nothing { .. })
    ));
    // It knows the handle of the other's download, and has a key of its own.
    let handle = LeanKey::of(&KEY).handle(package.signed());
    let wanted = Wanted::one(FragmentIndex(0));
    let stolen = sent_with(&other_key, Uplink::Request { handle, wanted });
    assert!(service.handle(&stolen, from()).answers.is_empty());
    assert_eq!(
        service.book.device_state(DEVICE),
        Some(DeviceState::default())
    );
}

#[test]
fn events_go_to_all_watchers_of_the_device_until_they_are_dropped() {
    let (mut service, _) = service_with(package(7, 1000, 160));
    let watch = |book: &MemoryBook| {
        let heard = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&heard);
        let watcher = move |_: &PlatformEvent| *counter.lock().unwrap() += 1;
        (heard, book.watch(DEVICE, Arc::new(watcher)))
    };
    let (first, _first_watches) = watch(&service.book);
    let (second, second_watches) = watch(&service.book);
    service.handle(&bytes(Uplink::Status(status(Activity::Idle))), from());
    drop(second_watches);
    service.handle(&bytes(Uplink::Status(status(Activity::Idle))), from());
    assert_eq!(*first.lock().unwrap(), 4);
    assert_eq!(*second.lock().unwrap(), 2);
}

proptest! {
    #[test]
    fn no_datagram_makes_it_panic_and_only_whole_messages_are_answered(
        mut datagram in prop::collection::vec(any::<u8>(), 0..80),
        template in prop::sample::select(vec![0usize, 1, 2]),
        keep in 0usize..60,
    ) {
        let package = package(7, 1000, 160);
        let (mut service, _) = service_with(package.clone());
        // Random bytes alone never get past the first byte: let them follow the head of a true message.
        let head = match template {
            0 => Vec::new(),
            1 => bytes(Uplink::Status(status(Activity::Idle))),
            _ => request(&package, 3),
        };
        datagram.splice(..0, head.into_iter().take(keep));
        let handled = service.handle(&datagram, from());
        let is_whole = Uplink::decode(&datagram).is_ok()
            && Uplink::verify(&datagram, &LeanKey::of(&KEY)).is_ok();
        prop_assert_eq!(!handled.answers.is_empty(), is_whole);
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
    let mut service = Fixture::new();
    service.book.register_device(DEVICE, KEY);
    let refused = service.book.publish(DEVICE, Arc::new(package.clone()), 1);
    assert!(matches!(refused, Err(PlatformError::NotConfigured(_))));

    let polynomial = Polynomial::from_exponents(&[16, 14, 13, 11]).unwrap();
    let configuration = Configuration {
        register: Register::new(polynomial, 0xACE1).unwrap(),
        stream: Stream::Continuous,
    };
    let package = package.with_m_sequence(Some(configuration));
    let published = Arc::new(package.clone());
    service.book.publish(DEVICE, published, 1).unwrap();
    service.service.assignment_changed(DEVICE);
    let mut answers = service.handle(&request(&package, 6), from()).answers;
    let Downlink::Fragment { body, .. } = opened(&mut answers[0]) else {
        panic!("no fragment")
    };
    let mut expected = [7; 40];
    configuration.apply(960, &mut expected);
    let index = FragmentIndex(6);
    let checked = LeanKey::of(&KEY).checked_fragment(&signed, index, body);
    assert_eq!(checked, Ok(&mut expected[..]));
    assert_eq!(service.ledger.pairs(), 0);
}
