//! The firmware that ships, on a board fresh from the factory.

use std::path::Path;

use powercut_package::{DeviceIdentity, FirmwareSet};
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

/// Whole flash of a board with the image 1.0.0 of the firmware set in `folder`.
///
/// # Panics
/// When there is no such set.
pub fn provisioned(folder: &Path) -> Vec<u8> {
    let flash = || {
        let set = FirmwareSet::load(folder)?;
        let name = "1.0.0".parse().expect("a version");
        let package = set.package(&name, Suite::ChaCha20Poly1305, 160)?;
        let device = DeviceIdentity::for_tests(DeviceId(*b"emulator"), Dialect::Pcp);
        set.provisioned_flash(&package, &device)
    };
    flash().unwrap_or_else(|error| panic!("{error}"))
}
