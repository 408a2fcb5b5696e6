//! The upgrade that is explored: everything that determines a run of the firmware but the cuts.
use std::sync::Arc;
use std::time::Duration;

use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_explore::CaseName;
use powercut_link::LinkProfile;
use powercut_oracle::oracle::Images;
use powercut_oracle::verdict::Outcome;
use powercut_package::{BoardFacts, DeviceIdentity, Package};
use sha2::{Digest, Sha256};

/// One upgrade of one device.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The case of a test plan that it is of.
    pub name: CaseName,
    /// Flash, layout, marker pin and built-in platform of the board's firmware.
    pub board: BoardFacts,
    /// The board's flash as it is provisioned, whole.
    pub flash: Vec<u8>,
    /// Old and new image.
    pub images: Images,
    /// The new image, as the platform serves it.
    pub package: Arc<Package>,
    /// Who the device is.
    pub device: DeviceIdentity,
    /// The link, which decides what becomes of datagrams.
    pub link: LinkProfile,
    /// How the modem answers, and what it needs.
    pub habits: ModemHabits,
    /// Whether the modem keeps power in a cut.
    pub modem_power: ModemPower,
    /// Most fragments the device may have outstanding.
    pub window: u8,
    /// Decides what RAM holds at power-on, what the link loses, and the platform's challenges.
    pub seed: u64,
    /// How long power is off.
    pub off_time: Duration,
    /// How many fragments the device may fetch again for each cut.
    pub refetch_fragments_per_cut: u32,
    /// How the upgrade has to end.
    pub outcome: Outcome,
}

impl Upgrade {
    /// Its case and all that a run depends on: equal for equal work.
    pub fn described(&self) -> String {
        let digest = self.digest(Some(self.seed));
        format!("elf:{}:of={}", self.name, hex::encode(&digest[..8]))
    }

    /// A digest of all that a run depends on but the seed: equal for repetitions of one upgrade.
    pub fn without_seed(&self) -> [u8; 32] {
        self.digest(None)
    }

    /// Of all that a run depends on, with this seed in place of its own. The fields are named one by one, so that a new one
    /// cannot be forgotten here.
    fn digest(&self, seed: Option<u64>) -> [u8; 32] {
        let Self {
            name: _,
            board,
            flash,
            images,
            package,
            device,
            link,
            habits,
            modem_power,
            window,
            seed: _,
            off_time,
            refetch_fragments_per_cut,
            outcome,
        } = self;
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(flash);
        for package in [&images.old, &images.new, &**package] {
            add(&package.signed().encode());
            add(package.image());
            add(format!("{:?}", package.m_sequence()).as_bytes());
        }
        let DeviceIdentity { id, key, dialect } = device;
        add(&id.0);
        add(&key.0);
        // Names for people change nothing.
        let link = LinkProfile {
            name: String::new(),
            description: String::new(),
            ..link.clone()
        };
        let settings = (dialect, board, link, habits, modem_power, window, seed);
        add(format!("{settings:?}").as_bytes());
        let judged_by = (off_time, refetch_fragments_per_cut, outcome);
        add(format!("{judged_by:?}").as_bytes());
        hasher.finalize().into()
    }
}
