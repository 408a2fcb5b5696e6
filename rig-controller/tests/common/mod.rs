//! A folder with everything `rig run` reads, made for one test.
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An image for the micro:bit that is `fill` all over, but for vectors that a bootloader takes.
pub fn image(fill: u8, bytes: usize) -> Vec<u8> {
    let mut image = vec![fill; bytes];
    image[..4].copy_from_slice(&0x2000_4000_u32.to_le_bytes());
    image[4..8].copy_from_slice(&0x9C09_u32.to_le_bytes());
    image
}

/// The folder; it goes when this does.
pub struct Inputs {
    folder: TempDir,
}

impl Inputs {
    /// Two boards, an ideal link, and a firmware set whose images are no programs, but begin like ones.
    pub fn new(plan: &str) -> Self {
        let inputs = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        inputs.write("plan.yaml", plan);
        inputs.write(
            "bench.yaml",
            "bench: b\nengine: qemu\nqemu: /nonexistent/qemu\nboards:\n  - { name: mb-1, virtual: microbit }\n  - { name: mb-2, virtual: microbit }\n",
        );
        inputs.write("links/ideal.yaml", "description: ideal\n");
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/keys");
        for (from, to) in [("test-signing.key", "a.key"), ("test-signing.pub", "a.pub")] {
            inputs.write(
                &format!("firmware/{to}"),
                fs::read_to_string(keys.join(from)).unwrap(),
            );
        }
        inputs.write("firmware/boot.bin", [1; 64]);
        inputs.write("firmware/old.bin", image(2, 3000));
        inputs.write("firmware/new.bin", image(3, 4000));
        inputs.write(
            "firmware/set.yaml",
            "bootloader: boot.bin
device: { hardware: 81, minimum_security_counter: 1, trusted_key: a.pub }
images:
  - { name: 1.0.0, file: old.bin, security_counter: 2, trial_attempts: 3, signed_by: a.key }
  - { name: 1.1.0, file: new.bin, security_counter: 3, trial_attempts: 3, signed_by: a.key }
",
        );
        inputs
    }

    /// A file or folder among them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes one.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}
