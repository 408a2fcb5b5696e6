//! Files of this folder that are read whole, from bytes that mean anything.
use std::path::Path;

use super::description::Description;
use super::package_file::{read_package, to_bytes};

/// A package, as it is and with a digest that holds: what is read is written as the same bytes.
///
/// # Panics
/// When it is not.
pub fn package(bytes: &[u8]) {
    use sha2::{Digest, Sha256};

    let with_digest = [bytes, Sha256::digest(bytes).as_slice()].concat();
    for file in [bytes, &with_digest] {
        if let Ok(package) = read_package(Path::new("a.pcpk"), file) {
            assert!(to_bytes(&package) == file);
        }
    }
}

/// The description of a firmware set: what is read is written and read again.
///
/// # Panics
/// When it is not.
pub fn firmware_set(text: &str) {
    if let Ok(description) = serde_yaml::from_str::<Description>(text) {
        let written = serde_yaml::to_string(&description).expect("what was read can be written");
        let again: Description =
            serde_yaml::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
        assert_eq!(
            serde_yaml::to_string(&again).expect("what was read can be written"),
            written
        );
    }
}
