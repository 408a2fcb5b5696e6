//! Firmware images are the same wherever they are built: only then can a digest say that two people test the same thing.
use std::fs;
use std::path::Path;
use std::process::Command;

use powercut_package::{BuildOptions, build};
use sha2::{Digest, Sha256};

/// What a build of one image needs of this repository.
const NEEDED: [&str; 4] = [
    "Cargo.toml",
    "rust-toolchain.toml",
    "target-firmware",
    "fixtures",
];

/// Copies the checkout's files, as `git` would list them, to `folder`.
fn checkout(folder: &Path) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = Command::new("git")
        .current_dir(&repository)
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
        ])
        .args(NEEDED)
        .output()
        .expect("git is what the checkout came with");
    assert!(listed.status.success(), "{listed:?}");
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        let (from, to) = (repository.join(file), folder.join(file));
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
}

/// Builds in a checkout of its own at `folder`, and returns the digests of all it built.
fn built_in(folder: &Path) -> Vec<(String, String)> {
    checkout(folder);
    let out = folder.join("out/set");
    build(&BuildOptions {
        source: folder.join("target-firmware/device"),
        keys: folder.join("fixtures/keys"),
        m_sequence: folder.join("fixtures/m-sequence/device.yaml"),
        out: out.clone(),
        only: vec!["1.0.0".to_owned()],
        seeded_bug: None,
    })
    .unwrap();
    ["bootloader.hex", "bootloader.elf", "1.0.0.hex", "1.0.0.elf"]
        .map(|file| {
            let digest = Sha256::digest(fs::read(out.join(file)).unwrap());
            (file.to_owned(), hex::encode(digest))
        })
        .into()
}

#[test]
fn an_image_does_not_depend_on_the_folder_it_is_built_in() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(
        built_in(here.path()),
        built_in(&there.path().join("somewhere/much/deeper")),
    );
}
