//! A device's own AT client downloads an image through the virtual modem from the real platform: the three have to
//! understand each other over losses, duplicates and a cut in the middle of a payload. No board is needed: the client
//! runs here, on this host's clock.
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use powercut_at_client::{AtClient, Event};
use powercut_bench::modem::{
    ModemEvent, ModemHabits, ModemPower, VirtualModem, VirtualModemConfig,
};
use powercut_bench::uart::UartToDevice;
use powercut_link::{Impairment, LinkProfile, TimeScale};
use powercut_package::Package;
use powercut_platform::{Platform, UdpPlatform};
use powercut_upgrade::cipher::FragmentCipher;
use powercut_upgrade::factory::{DeviceId, DeviceKey};
use powercut_upgrade::manifest::{
    FragmentIndex, ImageId, KeyId, Manifest, SecurityCounter, SignedManifest, Suite, Version,
};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{
    Activity, Challenge, Downlink, LeanKey, REQUEST, Status, Uplink, WIRE_VERSION, Wanted,
};
use powercut_upgrade::wire::{Dialect, MAX_DOWNLINK_BYTES, MAX_UPLINK_BYTES};
use sha2::{Digest, Sha256};

const DEVICE: DeviceId = DeviceId(*b"device01");
const KEY: DeviceKey = DeviceKey([9; 32]);
const ASK_AGAIN: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_mins(1);

struct Uart(Sender<Vec<u8>>);

impl UartToDevice for Uart {
    fn send(&self, bytes: &[u8]) {
        // The device may be gone already.
        let _ = self.0.send(bytes.to_vec());
    }
}

/// What is on the table besides the device's RAM.
struct Table {
    platform: UdpPlatform,
    modem: VirtualModem,
    uart: Receiver<Vec<u8>>,
    impairment: Impairment,
    image: Vec<u8>,
}

impl Table {
    fn new(link: &str, power: ModemPower) -> Self {
        let links = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/links");
        let profile = LinkProfile::load(&links, link).unwrap();
        let impairment = Impairment::new(&profile, 20_261_122);
        let platform = UdpPlatform::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        platform.register_device(DEVICE, KEY);
        let package = package();
        let image = package.image().to_vec();
        platform.publish(DEVICE, Arc::new(package), 1).unwrap();
        let (sender, uart) = channel();
        let config = VirtualModemConfig {
            power,
            searching_answers: 1,
            fault: None,
            habits: ModemHabits::default(),
            link: profile,
            impairment: impairment.clone(),
            time_scale: TimeScale::REAL,
            route: None,
        };
        Self {
            platform,
            modem: VirtualModem::new(config, Arc::new(Uart(sender))),
            uart,
            impairment,
            image,
        }
    }

    fn cut(&mut self) {
        self.modem.board_power_lost();
        // What was on its way to the device is lost with it.
        while self.uart.try_recv().is_ok() {}
        self.modem.board_power_restored();
    }
}

fn package() -> Package {
    let image: Vec<u8> = (0..9_990_u32).map(|n| (n * n / 7) as u8).collect();
    let manifest = Manifest {
        suite: Suite::ChaCha20Poly1305,
        key_id: KeyId(1),
        trial_attempts: 3,
        version: Version {
            major: 1,
            minor: 1,
            patch: 0,
        },
        size_bytes: image.len() as u32,
        fragment_bytes: 160,
        hardware: 0x51,
        security_counter: SecurityCounter(2),
        image_digest: Sha256::digest(&image).into(),
    };
    Package::new(SignedManifest::new(manifest, [0; 64]), image).unwrap()
}

/// How a boot of the device ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    HasImage,
    Cut,
}

/// The device's RAM: client, manifest, and the image as far as it has come.
struct Device {
    client: AtClient<MAX_DOWNLINK_BYTES>,
    manifest: Option<SignedManifest>,
    received: Vec<u8>,
}

impl Device {
    fn boot(table: &Table) -> Self {
        let SocketAddr::V4(remote) = table.platform.local_addr() else {
            panic!("the platform listens on IPv4")
        };
        let remote: SocketAddrV4 = remote;
        Self {
            client: AtClient::new(remote),
            manifest: None,
            received: Vec::new(),
        }
    }

    /// Download until the image is whole, or until `cut_at` wants power to go at one of the modem's events.
    fn run(&mut self, table: &mut Table, cut_at: impl Fn(&ModemEvent) -> bool) -> Ended {
        let start = Instant::now();
        let mut asked: Option<Instant> = None;
        while self.received.len() < table.image.len() {
            assert!(start.elapsed() < PATIENCE, "the download does not end");
            if self.client.is_up() && asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
                // A client that is busy is asked again when it has sent what it has.
                if self.client.send(&self.question()).is_ok() {
                    asked = Some(Instant::now());
                }
            }
            let now = || start.elapsed().as_millis() as u64;
            match self.client.poll(now()) {
                Event::Transmit(bytes) => {
                    for &byte in bytes {
                        if table
                            .modem
                            .from_device(byte)
                            .is_some_and(|event| cut_at(&event))
                        {
                            return Ended::Cut;
                        }
                    }
                }
                Event::Received(datagram) => {
                    let mut datagram = datagram.to_vec();
                    if self.take(&mut datagram) {
                        asked = None;
                    }
                }
                Event::Up => asked = None,
                Event::Idle { until_ms } => {
                    let until =
                        Duration::from_millis(until_ms.saturating_sub(now())).min(ASK_AGAIN);
                    if let Ok(bytes) = table.uart.recv_timeout(until) {
                        for byte in bytes {
                            self.client.feed(byte, now());
                        }
                    }
                }
            }
        }
        Ended::HasImage
    }

    fn question(&self) -> Vec<u8> {
        let question = match &self.manifest {
            None => Uplink::Status(Status {
                dialect: Dialect::Lean,
                wire_version: WIRE_VERSION,
                window: 1,
                device: DEVICE,
                hardware: 0x51,
                version: Version {
                    major: 1,
                    minor: 0,
                    patch: 0,
                },
                running: ImageId([1; 16]),
                security_counter: SecurityCounter(1),
                activity: Activity::Idle,
                result: ResultCode::Ok,
                result_image: ImageId::NONE,
                challenge: Challenge::default(),
            }),
            Some(signed) => Uplink::Request {
                handle: LeanKey::of(&KEY).handle(signed),
                wanted: Wanted::one(self.wanted(signed)),
            },
        };
        let mut out = [0; MAX_UPLINK_BYTES];
        let length = question.encode(&LeanKey::of(&KEY), &mut out);
        out[..length].to_vec()
    }

    fn wanted(&self, signed: &SignedManifest) -> FragmentIndex {
        let fragment_bytes = usize::from(signed.manifest().fragment_bytes);
        FragmentIndex((self.received.len() / fragment_bytes) as u16)
    }

    /// Whether the datagram is what was asked for.
    fn take(&mut self, datagram: &mut [u8]) -> bool {
        let key = LeanKey::of(&KEY);
        match (Downlink::open(datagram, &key).unwrap(), &self.manifest) {
            (Downlink::Offer { manifest, .. }, None) => {
                self.manifest = Some(SignedManifest::decode(manifest).unwrap());
                true
            }
            (Downlink::Fragment { index, body }, Some(signed))
                if index == self.wanted(signed).0 as u8 % 128 =>
            {
                let index = self.wanted(signed);
                let plaintext = FragmentCipher::new(&KEY, None, signed)
                    .unwrap()
                    .open(index, body)
                    .unwrap();
                self.received.extend_from_slice(plaintext);
                true
            }
            _ => false,
        }
    }
}

fn never(_: &ModemEvent) -> bool {
    false
}

#[test]
fn an_image_arrives_whole_over_an_ideal_link() {
    let mut table = Table::new("ideal", ModemPower::Stays);
    let mut device = Device::boot(&table);
    assert_eq!(device.run(&mut table, never), Ended::HasImage);
    assert_eq!(device.received, table.image);
    table.platform.settle().unwrap();
    let state = table.platform.device_state(DEVICE).unwrap();
    assert!(state.fragments_served >= 63);
    assert_eq!(state.malformed, 0);
    assert_eq!(table.platform.ledger().violations(), []);
}

#[test]
fn an_image_arrives_whole_over_a_lossy_link() {
    let mut table = Table::new("lossy", ModemPower::WithBoard);
    let mut device = Device::boot(&table);
    assert_eq!(device.run(&mut table, never), Ended::HasImage);
    assert_eq!(device.received, table.image);
    let lost = table.impairment.counters();
    assert!(
        lost.to_platform.dropped + lost.to_device.dropped > 0,
        "{lost:?}"
    );
    assert_eq!(table.platform.ledger().violations(), []);
}

/// Cut in the request for fragment 20, four bytes in; the next boot starts with empty RAM.
fn cut_in_a_payload(power: ModemPower) -> Table {
    let mut table = Table::new("ideal", power);
    let mut device = Device::boot(&table);
    let in_request_20 = |event: &ModemEvent| matches!(event, ModemEvent::PayloadByte { index: 5, so_far, .. } if so_far[0] == REQUEST && so_far[3] == 20);
    assert_eq!(device.run(&mut table, in_request_20), Ended::Cut);
    table.cut();
    let mut device = Device::boot(&table);
    assert_eq!(device.run(&mut table, never), Ended::HasImage);
    assert_eq!(device.received, table.image);
    table.platform.settle().unwrap();
    table
}

#[test]
fn a_modem_that_stays_powered_sends_the_platform_a_spoilt_request_and_the_device_goes_on() {
    let table = cut_in_a_payload(ModemPower::Stays);
    assert_eq!(table.platform.device_state(DEVICE).unwrap().malformed, 1);
}

#[test]
fn a_modem_that_goes_down_with_the_board_sends_nothing_of_a_cut_request() {
    let table = cut_in_a_payload(ModemPower::WithBoard);
    assert_eq!(table.platform.device_state(DEVICE).unwrap().malformed, 0);
    assert_eq!(table.platform.strays().malformed, 0);
}
