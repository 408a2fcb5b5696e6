//! A device on a real UDP socket: the boot code and the session of the firmware over the flash model.
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use embedded_storage::nor_flash::NorFlash;
use nor_flash_model::NorFlashModel;
use powercut_package::{PackageFacts, pack, put_vectors, read_signing_key};
use powercut_session::{Probation, Session, Step};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::boot::{self, Outcome};
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::journal::Journal;
use powercut_upgrade::manifest::{KeyId, SecurityCounter, Suite, TrustedKeys, Version};
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::wire::lean::{MAX_DOWNLINK_BYTES, MAX_UPLINK_BYTES};

use crate::client::{SIGNING_KEY, hex_key};

type Flash = TwiceProgrammable<NorFlashModel<4, 1024, 2>>;

const LAYOUT: Layout = Layout::MICROBIT;
const PATIENCE: Duration = Duration::from_mins(1);

/// What a device is told to do after something has come.
#[derive(PartialEq, Eq)]
pub enum Go {
    On,
    Stop,
}

pub struct Device {
    flash: Flash,
    session: Session<0, [u8; 0]>,
    socket: UdpSocket,
    start: Instant,
    /// Fragments received, repeated ones included.
    pub fragments: u32,
    /// It runs the new image for good, and the platform has answered since.
    pub done: bool,
    confirmed: bool,
}

impl Device {
    /// Fresh from the factory, running version 1.0.0.
    pub fn new(id: &str, platform: SocketAddr) -> Self {
        let signer = read_signing_key(Path::new(SIGNING_KEY)).unwrap();
        let facts = PackageFacts {
            version: Version {
                major: 1,
                minor: 0,
                patch: 0,
            },
            suite: Suite::ChaCha20Poly1305,
            fragment_bytes: 160,
            key_id: KeyId(1),
            trial_attempts: 3,
            hardware: 0x51,
            security_counter: SecurityCounter(1),
        };
        let mut old = vec![1; 3_000];
        put_vectors(&mut old, &LAYOUT, 1);
        let old = pack(old, facts, &signer).unwrap();
        let mut key = [0; 32];
        hex::decode_to_slice(hex_key(id), &mut key).unwrap();
        let mut device_id = [0; 8];
        hex::decode_to_slice(id, &mut device_id).unwrap();
        let factory = Factory {
            dialect: powercut_upgrade::wire::Dialect::Lean,
            hardware: 0x51,
            device_id: DeviceId(device_id),
            device_key: DeviceKey(key),
            trusted_keys: TrustedKeys([Some((KeyId(1), signer.verifying_key().to_bytes())), None]),
            minimum_security_counter: SecurityCounter(1),
        };
        let mut flash = TwiceProgrammable(NorFlashModel::new(256));
        flash
            .write(LAYOUT.factory.start, &factory.encode())
            .unwrap();
        flash.write(LAYOUT.active.start, old.image()).unwrap();
        let manifest = LAYOUT.manifest(Slot::Active, Placement::Plain);
        flash.write(manifest, &old.signed().encode()).unwrap();
        let image = old.signed().image_id();
        Journal::provision(&mut flash, &LAYOUT, image, SecurityCounter(1)).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(platform).unwrap();
        Self {
            session: started(&mut flash, 0),
            flash,
            socket,
            start: Instant::now(),
            fragments: 0,
            done: false,
            confirmed: false,
        }
    }

    /// Whether ACTIVE begins with this.
    pub fn runs(&self, image: &[u8]) -> bool {
        self.flash.0.holds(LAYOUT.active.start, image)
    }

    /// Live until done, or until `heard` says stop; it is asked after every datagram that came.
    pub fn live(&mut self, mut heard: impl FnMut(&Self) -> Go) {
        let mut out = [0; MAX_UPLINK_BYTES];
        let mut datagram = [0; MAX_DOWNLINK_BYTES];
        while !self.done {
            assert!(self.start.elapsed() < PATIENCE, "the upgrade does not end");
            let now = self.now_ms();
            match self.session.poll(&mut self.flash, now, &mut out).unwrap() {
                Step::Send(length) => {
                    // Nobody listens while the platform is down; the agent asks again.
                    let _ = self.socket.send(&out[..length]);
                }
                Step::Continue => {}
                Step::Confirmed => self.confirmed = true,
                Step::Restart(_) => self.session = started(&mut self.flash, now),
                Step::Wait { until_ms } => {
                    let wait = Duration::from_millis(until_ms.saturating_sub(now).max(1));
                    self.socket.set_read_timeout(Some(wait)).unwrap();
                    let Ok(length) = self.socket.recv(&mut datagram) else {
                        continue;
                    };
                    self.fragments += u32::from(datagram[0] < 0x80);
                    self.done = self.confirmed;
                    let now = self.now_ms();
                    self.session
                        .on_datagram(&mut self.flash, now, &mut datagram[..length])
                        .unwrap();
                    if heard(self) == Go::Stop {
                        return;
                    }
                }
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

fn started(flash: &mut Flash, now_ms: u64) -> Session<0, [u8; 0]> {
    let outcome = boot::boot(flash, &LAYOUT, &mut || {});
    assert!(matches!(outcome, Outcome::Run { .. }), "{outcome:?}");
    let agent = Agent::start(flash, &LAYOUT, []).unwrap();
    Session::new(agent, now_ms, Probation::UNLIMITED)
}
