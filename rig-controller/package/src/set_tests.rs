use std::path::Path;

use super::*;
use crate::hardware::MICROBIT;

/// The description that an older rig writes.
const OLDER: &str = "\
bootloader: bootloader.bin
device: { hardware: 81, minimum_security_counter: 1, trusted_key: a.pub }
images: []
";

/// The part that this rig adds, here of other boards.
const OTHER: &str = "\
flash: { unit_bytes: 8, page_bytes: 2048, programs_per_unit: 1, pages: 128 }
layout:
  boot: { start: 0, pages: 16 }
  factory: { start: 0x8000, pages: 1 }
  identification: { start: 0x8800, pages: 4 }
  active: { start: 0xA800, pages: 50 }
  staging: { start: 0x23800, pages: 51 }
  flash_base: 0x08000000
  ram: { start: 0x20000000, end: 0x20018000 }
marker_pin: 5
platform: 192.0.2.7:5683
";

fn load(description: &str) -> Result<FirmwareSet, FirmwareError> {
    let folder = tempfile::tempdir().unwrap();
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/keys");
    std::fs::copy(keys.join("test-signing.pub"), folder.path().join("a.pub")).unwrap();
    std::fs::write(folder.path().join("bootloader.bin"), [1, 2, 3, 4]).unwrap();
    std::fs::write(folder.path().join(SET_FILE), description).unwrap();
    FirmwareSet::load(folder.path())
}

fn facts(set: &FirmwareSet) -> BoardFacts {
    BoardFacts {
        geometry: set.geometry(),
        layout: set.layout(),
        marker_pin: set.marker_pin(),
        platform: set.platform_address(),
    }
}

#[test]
fn a_set_that_says_nothing_of_its_boards_is_for_those_that_its_hardware_number_implies() {
    let set = load(OLDER).unwrap();
    assert_eq!(facts(&set), BoardFacts::of(MICROBIT).unwrap());
}

#[test]
fn what_a_set_says_of_its_boards_counts_whatever_its_hardware_number_implies() {
    for hardware in ["81", "82"] {
        let older = OLDER.replace("81", hardware);
        let set = load(&format!("{older}{OTHER}")).unwrap();
        let facts = facts(&set);
        assert_eq!(facts.geometry, Geometry::new(8, 2048, 1, 128).unwrap());
        assert_eq!(facts.layout.page_bytes, 2048);
        assert_eq!(facts.layout.identification_page(1), 0x9000);
        assert_eq!(facts.layout.addresses.ram, (0x2000_0000, 0x2001_8000));
        assert_eq!(facts.marker_pin.mask(), 1 << 5);
        assert_eq!(facts.platform.to_string(), "192.0.2.7:5683");
        // Programs see flash elsewhere than where it is for who writes it.
        assert_eq!(set.bootloader.base, 0x0800_0000);
    }
}

#[test]
fn what_is_written_is_read_back() {
    let set = load(&format!("{OLDER}{OTHER}")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    set.description.save(folder.path()).unwrap();
    let written = std::fs::read_to_string(folder.path().join(SET_FILE)).unwrap();
    assert_eq!(facts(&load(&written).unwrap()), facts(&set), "{written}");
}

#[test]
fn each_fault_is_told_with_its_file_and_line_and_what_to_do() {
    let said = format!("{OLDER}{OTHER}");
    for (from, to, line, reasons) in [
        (
            "unit_bytes: 8",
            "unit_bytes: 6",
            4,
            ["units of 6 bytes", "correct `flash`"],
        ),
        (
            "pages: 128",
            "pages: 0",
            4,
            ["0 pages of 2048 bytes are no flash", "1 to 2097151"],
        ),
        (
            "start: 0xA800",
            "start: 0xA900",
            5,
            ["`active` starts at 0xa900", "let it start with a page"],
        ),
        (
            "pages: 51",
            "pages: 52",
            5,
            ["do not follow each other", "correct `start` and `pages`"],
        ),
        (
            "pages: 51",
            "pages: 151",
            5,
            ["`staging` ends behind the end of flash", "fewer pages"],
        ),
        (
            "marker_pin: 5",
            "marker_pin: 32",
            13,
            ["there is no pin 32", "from 0 to 31"],
        ),
        (
            "192.0.2.7:5683",
            "192.0.2.7",
            14,
            ["`192.0.2.7` is no IPv4 address with a port", "write one"],
        ),
        (
            "marker_pin:",
            "marker_pim:",
            13,
            ["marker_pim", "correct the line"],
        ),
    ] {
        let text = said.replace(from, to);
        assert_ne!(text, said);
        let error = load(&text).unwrap_err().to_string();
        assert!(error.contains(&format!("{SET_FILE}:{line}: ")), "{error}");
        for reason in reasons {
            assert!(error.contains(reason), "{error}");
        }
    }
}

#[test]
fn a_number_that_is_not_known_needs_all_four() {
    let other = OLDER.replace("81", "82");
    let lines: Vec<&str> = OTHER.lines().collect();
    let without = |key: &str| {
        let is_of_layout = |line: &str| line.starts_with("layout") || line.starts_with(' ');
        let kept = lines
            .iter()
            .filter(|line| !(line.starts_with(key) || key == "layout" && is_of_layout(line)));
        kept.fold(other.clone(), |text, line| format!("{text}{line}\n"))
    };
    for key in ["flash", "layout", "marker_pin", "platform"] {
        let error = load(&without(key)).unwrap_err().to_string();
        let said = format!("{SET_FILE}:2: this rig does not know hardware 82 by its number");
        assert!(error.contains(&said), "{error}");
        assert!(error.contains(&format!("`{key}` does not say")), "{error}");
    }
    assert!(load(&without("nothing")).is_ok());
}
