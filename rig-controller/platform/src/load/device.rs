//! A simulated device: the real boot code and the real session over light flash.
use ed25519_dalek::SigningKey;
use embedded_storage::nor_flash::NorFlash;
use powercut_session::{Probation, Session, Step};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::boot::{self, Outcome};
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::journal::Journal;
use powercut_upgrade::manifest::{KeyId, SecurityCounter, TrustedKeys};
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::wire::{Dialect, MAX_UPLINK_BYTES};

use super::flash::{LightFlash, SharedPages};
use powercut_package::Package;

/// What hardware the devices are.
pub(super) const HARDWARE: u16 = 0x51;
/// The load plays micro:bits, whatever firmware sets there are: the geometry in [`super::flash`] is theirs as well.
pub(super) const LAYOUT: Layout = Layout::MICROBIT;
/// A device that has nothing to do waits longer than this, one that waits for an answer does not, unless it was silent often.
const LONGEST_ANSWER_MS: u64 = 30_000;

/// A device that cannot go on: a defect of device or package, not of the platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Its flash refused.
    #[error("its flash refused an operation")]
    Flash,
    /// The bootloader has nothing to run.
    #[error("its bootloader stays: {0}")]
    Stays(String),
    /// The application cannot start.
    #[error("its agent does not start: {0}")]
    Start(String),
}

/// What a device wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Send this, and ask again.
    Send(Vec<u8>),
    /// Nothing before this time.
    Wait {
        /// In the caller's milliseconds.
        until_ms: u64,
    },
}

/// One device.
pub(super) struct SimulatedDevice {
    flash: TwiceProgrammable<LightFlash>,
    session: Session<0, Vec<u8>>,
    /// Bytes of RAM for fragments that came before those they follow.
    held_bytes: usize,
    /// It has confirmed the new image, said so, and has nothing more to say.
    done: bool,
    confirmed: bool,
}

/// The flash of a device that runs `old`; everything but its identity.
pub(super) fn provisioned(old: &Package, shared: SharedPages) -> Result<LightFlash, DeviceError> {
    let mut flash = TwiceProgrammable(LightFlash::new(&LAYOUT, shared));
    put(&mut flash.0, LAYOUT.active.start, old.image())?;
    let manifest = LAYOUT.manifest(Slot::Active, Placement::Plain);
    put(&mut flash.0, manifest, &old.signed().encode())?;
    let counter = old.manifest().security_counter;
    Journal::provision(&mut flash, &LAYOUT, old.signed().image_id(), counter)
        .map_err(|_| DeviceError::Flash)?;
    Ok(flash.0)
}

fn put(flash: &mut LightFlash, at: u32, bytes: &[u8]) -> Result<(), DeviceError> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(LightFlash::WRITE_SIZE), 0xFF);
    flash.write(at, &padded).map_err(|_| DeviceError::Flash)
}

impl SimulatedDevice {
    /// Switch on a device with this flash and this identity.
    pub(super) fn new(
        mut flash: LightFlash,
        id: DeviceId,
        key: DeviceKey,
        signer: &SigningKey,
        held_bytes: usize,
    ) -> Result<Self, DeviceError> {
        let factory = Factory {
            hardware: HARDWARE,
            dialect: Dialect::Lean,
            device_id: id,
            device_key: key,
            trusted_keys: TrustedKeys([Some((KeyId(1), signer.verifying_key().to_bytes())), None]),
            minimum_security_counter: SecurityCounter(1),
        };
        put(&mut flash, LAYOUT.factory.start, &factory.encode())?;
        let mut flash = TwiceProgrammable(flash);
        let session = start(&mut flash, 0, held_bytes)?;
        Ok(Self {
            flash,
            session,
            held_bytes,
            done: false,
            confirmed: false,
        })
    }

    /// Whether the upgrade is over and the platform knows.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// A datagram came.
    pub(super) fn take(&mut self, now_ms: u64, datagram: &mut [u8]) -> Result<(), DeviceError> {
        self.session
            .on_datagram(&mut self.flash, now_ms, datagram)
            .map_err(|_| DeviceError::Flash)
    }

    /// What is to be done now; restarts and flash work happen in here.
    pub(super) fn next(&mut self, now_ms: u64) -> Result<Next, DeviceError> {
        let mut out = [0; MAX_UPLINK_BYTES];
        loop {
            match self
                .session
                .poll(&mut self.flash, now_ms, &mut out)
                .map_err(|_| DeviceError::Flash)?
            {
                Step::Send(length) => return Ok(Next::Send(out[..length].to_vec())),
                Step::Continue => {}
                Step::Confirmed => self.confirmed = true,
                Step::Wait { until_ms } => {
                    // Longer than it waits for any answer: it rests.
                    self.done |= self.confirmed && until_ms > now_ms + LONGEST_ANSWER_MS;
                    return Ok(Next::Wait { until_ms });
                }
                Step::Restart(_) => {
                    self.session = start(&mut self.flash, now_ms, self.held_bytes)?;
                }
            }
        }
    }
}

fn start(
    flash: &mut TwiceProgrammable<LightFlash>,
    now_ms: u64,
    held_bytes: usize,
) -> Result<Session<0, Vec<u8>>, DeviceError> {
    match boot::boot(flash, &LAYOUT, &mut || {}) {
        Outcome::Run { .. } => Agent::start(flash, &LAYOUT, vec![0; held_bytes])
            .map(|agent| Session::new(agent, now_ms, Probation::UNLIMITED))
            .map_err(|error| DeviceError::Start(format!("{error:?}"))),
        Outcome::Stay(reason) => Err(DeviceError::Stays(format!("{reason:?}"))),
    }
}
