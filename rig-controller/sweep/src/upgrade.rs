//! The upgrade that is explored: everything that determines a run of the firmware but the cuts.
use std::sync::Arc;
use std::time::Duration;

use nor_flash_model::fold;
use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_explore::CaseName;
use powercut_link::LinkProfile;
use powercut_oracle::oracle::Images;
use powercut_oracle::verdict::Outcome;
use powercut_package::{BoardFacts, DeviceIdentity, Package};

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
    /// Its case and what it is made of: equal for equal work.
    pub fn described(&self) -> String {
        let (chunks, _) = self.flash.as_chunks::<8>();
        let manifest = self.images.new.signed().encode();
        let (signed, _) = manifest.as_chunks::<8>();
        let words = chunks.iter().chain(signed);
        let digest = words.fold(0, |digest, word| fold(digest, u64::from_le_bytes(*word)));
        format!("elf:{}:images={:08x}", self.name, digest as u32)
    }
}
