//! For tests of crates that judge: two small signed images, a device fresh from the factory, and flash that the core's own
//! code writes while a watcher is asked, as a board's driver would ask.
use ed25519_dalek::{Signer, SigningKey};
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};
use nor_flash_model::Geometry;
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::journal::{Journal, Phase as JournalPhase, State};
use powercut_upgrade::manifest::{
    KeyId, Manifest, SecurityCounter, SignedManifest, Suite, TrustedKeys, Version,
};
use powercut_upgrade::slots::{ChainLength, Layout, Placement, Slot};
use powercut_upgrade::wire::Dialect;
use sha2::{Digest, Sha256};

use crate::oracle::Images;
use crate::{FlashOp, FlashOpKind};
use powercut_package::Package;
use powercut_package::put_vectors;

/// Where slots are.
pub const LAYOUT: Layout = Layout::MICROBIT;
/// How flash is divided.
pub const GEOMETRY: Geometry = match Geometry::new(4, 1024, 2, 256) {
    Ok(geometry) => geometry,
    Err(_) => panic!("the flash of the board is one of those that the rig knows"),
};
/// Bytes in a page.
pub const PAGE: usize = GEOMETRY.page_bytes() as usize;
/// Bytes of flash.
pub const FLASH_BYTES: usize = GEOMETRY.size_bytes() as usize;
/// The device.
pub const DEVICE: DeviceId = DeviceId(*b"device01");
/// Its key.
pub const DEVICE_KEY: DeviceKey = DeviceKey([9; 32]);
/// Image sizes: two pages and a bit, three pages and a bit; 160 bytes do not divide a page.
pub const OLD_BYTES: usize = 2_100;
/// Size of the new image.
pub const NEW_BYTES: usize = 3_150;
/// The exchange moves the larger image and a manifest page.
pub const CHAIN: ChainLength = ChainLength(5);
const HARDWARE: u16 = 0x51;
const SIGNER: [u8; 32] = [7; 32];

fn package(minor: u8, size: usize) -> Package {
    let mut image: Vec<u8> = (0..size)
        .map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ minor.wrapping_mul(85))
        .collect();
    put_vectors(&mut image, &LAYOUT, minor);
    let manifest = Manifest {
        suite: Suite::ChaCha20Poly1305,
        key_id: KeyId(1),
        trial_attempts: 3,
        version: Version {
            major: 1,
            minor,
            patch: 0,
        },
        size_bytes: size as u32,
        fragment_bytes: 160,
        hardware: HARDWARE,
        security_counter: SecurityCounter(2 + u32::from(minor)),
        image_digest: Sha256::digest(&image).into(),
    };
    let signature = SigningKey::from_bytes(&SIGNER).sign(&manifest.encode());
    Package::new(SignedManifest::new(manifest, signature.to_bytes()), image).unwrap()
}

/// 1.0.0 with security counter 2, 1.1.0 with 3.
pub fn images() -> Images {
    Images {
        old: package(0, OLD_BYTES),
        new: package(1, NEW_BYTES),
    }
}

/// A device fresh from the factory that runs the old image.
pub fn provisioned() -> Vec<u8> {
    let old = images().old;
    let key = SigningKey::from_bytes(&SIGNER).verifying_key().to_bytes();
    let factory = Factory {
        hardware: HARDWARE,
        dialect: Dialect::Lean,
        device_id: DEVICE,
        device_key: DEVICE_KEY,
        trusted_keys: TrustedKeys([Some((KeyId(1), key)), None]),
        minimum_security_counter: SecurityCounter(1),
    };
    let mut flash = vec![0xFF; FLASH_BYTES];
    let start = LAYOUT.factory.start as usize;
    flash[start..start + factory.encode().len()].copy_from_slice(&factory.encode());
    put(&mut flash, Slot::Active, Placement::Plain, &old);
    let mut device = TwiceProgrammable(DeviceFlash::new(flash));
    let counter = old.manifest().security_counter;
    Journal::provision(&mut device, &LAYOUT, old.signed().image_id(), counter).unwrap();
    device.0.bytes
}

/// Puts image and manifest in a slot, whatever was there.
pub fn put(flash: &mut [u8], slot: Slot, placement: Placement, package: &Package) {
    for (offset, byte) in package.image().iter().enumerate() {
        flash[LAYOUT.image_byte(slot, placement, offset as u32) as usize] = *byte;
    }
    let manifest = package.signed().encode();
    let at = LAYOUT.manifest(slot, placement) as usize;
    flash[at..at + manifest.len()].copy_from_slice(&manifest);
}

/// What the journal says of the new image in this phase, before it is in force.
pub fn state(phase: JournalPhase) -> State {
    let Images { old, new } = images();
    let swapped = matches!(
        phase,
        JournalPhase::Swapping { .. } | JournalPhase::Trial { .. }
    );
    State {
        image: new.signed().image_id(),
        image_counter: new.manifest().security_counter,
        phase,
        chain: ChainLength(if swapped { CHAIN.0 } else { 0 }),
        ..State::confirmed(old.signed().image_id(), old.manifest().security_counter)
    }
}

/// What the journal says once the new image is in force.
pub fn confirmed() -> State {
    let new = images().new;
    State {
        confirmed: new.signed().image_id(),
        security_counter: new.manifest().security_counter,
        phase: JournalPhase::Confirmed,
        ..state(JournalPhase::Trial { attempts: 1 })
    }
}

/// Has the journal say `state`, in a page of its own.
pub fn write_journal(flash: &mut Vec<u8>, state: State) {
    let mut device = TwiceProgrammable(DeviceFlash::new(std::mem::take(flash)));
    let mut journal = Journal::recover(&mut device, &LAYOUT);
    journal.open(&mut device, state).unwrap();
    *flash = device.0.bytes;
}

/// The fate of an operation that a watcher was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationFate {
    /// It takes full effect.
    Happens,
    /// It takes full effect; then power goes.
    HappensLast,
    /// Power goes; the watcher has left in flash what is left of it.
    Lost,
}

/// Asked before every operation; flash is as it is before it.
pub type OperationWatcher = Box<dyn FnMut(&FlashOp, &mut [u8]) -> OperationFate + Send>;

/// Flash of a device in this process. A watcher is asked before every operation, and obeyed.
pub struct DeviceFlash {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Operations so far.
    pub operations: u64,
    /// Who is asked.
    pub watcher: Option<OperationWatcher>,
    /// Power went: nothing works any more.
    pub lost: bool,
}

impl DeviceFlash {
    /// Flash that holds `bytes` and that no watcher looks at.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            operations: 0,
            watcher: None,
            lost: false,
        }
    }

    fn operate(&mut self, kind: FlashOpKind) -> Result<(), NorFlashErrorKind> {
        if self.lost {
            return Err(NorFlashErrorKind::Other);
        }
        self.operations += 1;
        let op = FlashOp {
            number: self.operations,
            kind,
        };
        let fate = match &mut self.watcher {
            Some(watcher) => watcher(&op, &mut self.bytes),
            None => OperationFate::Happens,
        };
        if fate != OperationFate::Lost {
            kind.apply(&mut self.bytes, GEOMETRY.page_bytes());
        }
        self.lost = fate != OperationFate::Happens;
        if self.lost {
            return Err(NorFlashErrorKind::Other);
        }
        Ok(())
    }
}

impl ErrorType for DeviceFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for DeviceFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        out.copy_from_slice(&self.bytes[offset as usize..][..out.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for DeviceFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        (from..to)
            .step_by(PAGE)
            .try_for_each(|address| self.operate(FlashOpKind::Erase { address }))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        for (index, value) in bytes.as_chunks::<4>().0.iter().enumerate() {
            let kind = FlashOpKind::program(&self.bytes, offset + index as u32 * 4, value);
            self.operate(kind.ok_or(NorFlashErrorKind::OutOfBounds)?)?;
        }
        Ok(())
    }
}

impl MultiwriteNorFlash for DeviceFlash {}
