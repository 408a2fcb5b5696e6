//! Which files are suites, and which tests they have.

use std::path::{Path, PathBuf};

use powercut_suite::{EmbeddedTest, Suite, SuiteError, Tests};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/suites")
        .join(name)
}

#[test]
fn the_tests_of_a_suite_are_read_from_its_file() {
    let suite = Suite::read(&fixture("faulty-board.elf")).unwrap();
    assert!(suite.rtt().is_some());
    let Tests::Embedded(tests) = suite.tests() else {
        panic!("{:?}", suite.tests());
    };
    let ignored: Vec<&str> = tests
        .iter()
        .filter(|test| test.is_ignored())
        .map(EmbeddedTest::name)
        .collect();
    assert_eq!((tests.len(), &*ignored), (11, &["is_ignored"][..]));
    let circles = tests.iter().find(|test| test.name() == "turns_in_circles");
    let circles = circles.unwrap();
    assert_eq!(circles.time_limit().unwrap().as_secs(), 1);
    let [order, address] = circles.command_line();
    assert_eq!(order, "run_addr");
    assert!((0x100..0x2_0000).contains(&address.parse().unwrap()));
    let suite = Suite::read(&fixture("faulty-core.elf")).unwrap();
    let Tests::Defmt(names) = suite.tests() else {
        panic!("{:?}", suite.tests());
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["fails", "is_ignored", "is_never_come_to", "passes"]);
}

/// An ELF header of a program for ARM without sections.
fn empty_program() -> Vec<u8> {
    let mut header = vec![0; 52];
    header[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    header[16..20].copy_from_slice(&[2, 0, 40, 0]);
    header[20] = 1;
    header[40] = 52;
    header
}

#[test]
fn files_that_are_no_suites_are_refused_each_with_its_reason() {
    let folder = std::env::temp_dir().join(format!("no-suites-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let refused = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        Suite::read(&path).unwrap_err()
    };
    let text = refused("text", b"no program at all");
    assert!(matches!(text, SuiteError::NotElf { .. }), "{text}");
    let whole = std::fs::read(fixture("faulty-core.elf")).unwrap();
    let cut = refused("cut", &whole[..whole.len() / 2]);
    assert!(matches!(cut, SuiteError::NotElf { .. }), "{cut}");
    let none = refused("none", &empty_program());
    assert!(matches!(none, SuiteError::NoTests { .. }), "{none}");
    let mut other = empty_program();
    other[18] = 62;
    let other = refused("other", &other);
    assert!(
        matches!(other, SuiteError::OtherProcessor { .. }),
        "{other}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
    let missing = Suite::read(&folder.join("missing")).unwrap_err();
    assert!(matches!(missing, SuiteError::Read { .. }), "{missing}");
}
