//! The upgrade core on the chip: its journal on real flash, its cryptography on a Cortex-M0.
#![no_std]
#![no_main]

use cortex_m_rt as _;
use defmt_semihosting as _;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use microbit::{Board, Flash, PAGE_BYTES};
use powercut_upgrade::boot::{Outcome, StayReason, boot};
use powercut_upgrade::cipher::{FragmentCipher, TAG_BYTES};
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::flash::{TwiceProgrammable, UpgradeFlash};
use powercut_upgrade::journal::{Journal, Phase, Record, State};
use powercut_upgrade::manifest::{
    FragmentIndex, ImageId, KeyId, Manifest, SecurityCounter, SignedManifest, Suite, TrustedKeys,
    Version,
};
use powercut_upgrade::slots::{AddressSpace, Layout, Region};

/// The slots in the upper half of flash, which this program leaves free.
const LAYOUT: Layout = Layout {
    page_bytes: PAGE_BYTES,
    boot: region(0, 128),
    factory: region(128, 1),
    identification: region(129, 6),
    active: region(135, 60),
    staging: region(195, 61),
    addresses: AddressSpace::NRF51,
};
const _: () = assert!(LAYOUT.is_sound());

const fn region(first_page: u32, pages: u16) -> Region {
    Region {
        start: first_page * PAGE_BYTES,
        pages,
    }
}

const RUNNING: ImageId = ImageId([0xA5; 16]);

/// Of the seed `[7; 32]`.
const PUBLIC_KEY: [u8; 32] = [
    0xea, 0x4a, 0x6c, 0x63, 0xe2, 0x9c, 0x52, 0x0a, 0xbe, 0xf5, 0x50, 0x7b, 0x13, 0x2e, 0xc5, 0xf9,
    0x95, 0x47, 0x76, 0xae, 0xbe, 0xbe, 0x7b, 0x92, 0x42, 0x1e, 0xea, 0x69, 0x14, 0x46, 0xd2, 0x2c,
];
/// By that key, over `manifest()`.
const SIGNATURE: [u8; 64] = [
    0x89, 0xbb, 0x4e, 0xbd, 0xae, 0x51, 0xbf, 0x50, 0x31, 0xb4, 0x96, 0x41, 0x06, 0x5c, 0x6d, 0xb8,
    0xe8, 0xa4, 0x8b, 0xde, 0xd0, 0x59, 0xaf, 0x8e, 0xd6, 0xe2, 0xc5, 0xb6, 0xab, 0xcd, 0x4b, 0x0a,
    0x67, 0xaf, 0x31, 0xf6, 0x34, 0x1e, 0xbf, 0x13, 0x12, 0x0c, 0x8e, 0x82, 0xb5, 0xd7, 0xc5, 0xa5,
    0x13, 0x83, 0x4f, 0x54, 0x5b, 0xa1, 0x63, 0xf7, 0x5b, 0x1c, 0xb0, 0x5d, 0x40, 0x74, 0x6c, 0x01,
];

fn manifest() -> Manifest {
    Manifest {
        suite: Suite::ChaCha20Poly1305,
        key_id: KeyId(1),
        trial_attempts: 3,
        version: Version {
            major: 1,
            minor: 1,
            patch: 0,
        },
        size_bytes: 4096,
        fragment_bytes: 160,
        hardware: 0x51,
        security_counter: SecurityCounter(2),
        image_digest: [0x5A; 32],
    }
}

fn trusted() -> TrustedKeys {
    TrustedKeys([Some((KeyId(1), PUBLIC_KEY)), None])
}

fn erase(flash: &mut TwiceProgrammable<Flash>, region: Region) {
    let end = region.start + u32::from(region.pages) * PAGE_BYTES;
    flash.erase(region.start, end).unwrap();
}

fn provisioned(flash: &mut TwiceProgrammable<Flash>) {
    erase(flash, LAYOUT.identification);
    Journal::provision(flash, &LAYOUT, RUNNING, SecurityCounter(1)).unwrap();
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    semihosting::process::abort()
}

#[defmt_test::tests]
mod tests {
    use super::*;

    #[init]
    fn init() -> TwiceProgrammable<Flash> {
        let mut flash = TwiceProgrammable(Board::take().unwrap().flash);
        // QEMU's flash starts as zeros, silicon's as whatever was there.
        erase(&mut flash, LAYOUT.factory);
        erase(&mut flash, LAYOUT.active);
        erase(&mut flash, LAYOUT.staging);
        flash
    }

    #[test]
    fn the_flash_map_fits_the_chip(flash: &mut TwiceProgrammable<Flash>) {
        let map = Layout::MICROBIT;
        let end = map.staging.start + u32::from(map.staging.pages) * PAGE_BYTES;
        assert_eq!(end as usize, flash.capacity());
        assert_eq!(map.page_bytes, PAGE_BYTES);
        assert_eq!(
            <TwiceProgrammable<Flash> as UpgradeFlash>::PROGRAMS_PER_UNIT,
            2
        );
    }

    #[test]
    fn an_erased_identification_area_is_an_empty_journal(flash: &mut TwiceProgrammable<Flash>) {
        erase(flash, LAYOUT.identification);
        assert!(Journal::recover(flash, &LAYOUT).is_empty());
    }

    #[test]
    fn a_provisioned_journal_reads_back_and_settles_without_a_write(
        flash: &mut TwiceProgrammable<Flash>,
    ) {
        provisioned(flash);
        let mut journal = Journal::recover(flash, &LAYOUT);
        assert_eq!(
            *journal.state(),
            State::confirmed(RUNNING, SecurityCounter(1))
        );
        assert!(journal.is_anchored());
        journal.settle(flash).unwrap();
        assert!(!journal.is_open(), "settling opened a page");
    }

    #[test]
    fn progress_survives_more_records_than_the_area_holds_at_once(
        flash: &mut TwiceProgrammable<Flash>,
    ) {
        provisioned(flash);
        let mut journal = Journal::recover(flash, &LAYOUT);
        let session = State {
            image: ImageId([7; 16]),
            phase: Phase::Accepted,
            ..*journal.state()
        };
        journal.open(flash, session).unwrap();
        journal.append(flash, Record::ManifestStored).unwrap();
        let records = u32::from(Journal::capacity::<TwiceProgrammable<Flash>>(&LAYOUT)) * 8;
        for record in 1..=records {
            let progress = Record::Progress {
                committed: record * 32,
            };
            journal.append(flash, progress).unwrap();
        }
        let found = Journal::recover(flash, &LAYOUT);
        let Phase::Downloading { committed, .. } = found.state().phase else {
            panic!("not downloading");
        };
        assert_eq!(committed, records * 32);
        assert_eq!(found.state().confirmed, RUNNING);
    }

    #[test]
    fn a_signature_is_verified_and_a_forged_one_is_not(_flash: &mut TwiceProgrammable<Flash>) {
        assert!(
            SignedManifest::new(manifest(), SIGNATURE)
                .verify(&trusted())
                .is_ok()
        );
        let mut forged = SIGNATURE;
        forged[40] ^= 1;
        assert!(
            SignedManifest::new(manifest(), forged)
                .verify(&trusted())
                .is_err()
        );
        let newer = Manifest {
            security_counter: SecurityCounter(3),
            ..manifest()
        };
        assert!(
            SignedManifest::new(newer, SIGNATURE)
                .verify(&trusted())
                .is_err()
        );
    }

    #[test]
    fn a_fragment_opens_at_its_own_index_only(_flash: &mut TwiceProgrammable<Flash>) {
        let signed = SignedManifest::new(manifest(), SIGNATURE);
        let cipher = FragmentCipher::new(&DeviceKey([9; 32]), None, &signed)
            .ok()
            .unwrap();
        let mut sealed = [0x3C; 160 + TAG_BYTES];
        let tag = cipher.seal(FragmentIndex(5), &mut sealed[..160]).unwrap();
        sealed[160..].copy_from_slice(&tag);
        assert_ne!(sealed[..160], [0x3C; 160]);
        let mut elsewhere = sealed;
        assert!(cipher.open(FragmentIndex(6), &mut elsewhere).is_err());
        let fragment = cipher.open(FragmentIndex(5), &mut sealed).ok().unwrap();
        assert_eq!(*fragment, [0x3C; 160]);
    }

    #[test]
    fn a_board_without_an_image_stays_and_says_why(flash: &mut TwiceProgrammable<Flash>) {
        assert_eq!(
            boot(flash, &LAYOUT, &mut || ()),
            Outcome::Stay(StayReason::NotProvisioned)
        );
        let factory = Factory {
            dialect: powercut_upgrade::wire::Dialect::Lean,
            hardware: 0x51,
            device_id: DeviceId(*b"device01"),
            device_key: DeviceKey([9; 32]),
            trusted_keys: trusted(),
            minimum_security_counter: SecurityCounter(1),
        };
        flash
            .write(LAYOUT.factory.start, &factory.encode())
            .unwrap();
        provisioned(flash);
        assert_eq!(
            boot(flash, &LAYOUT, &mut || ()),
            Outcome::Stay(StayReason::NoImage)
        );
    }
}
