//! `rig test`: suites of on-target tests on the virtual board, and their JUnit report.
#![cfg(feature = "hardware")]
#[path = "common/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use program::rig;
use quick_xml::Reader;
use quick_xml::events::Event;

fn fixture(name: &str) -> String {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/suites");
    suites.join(name).display().to_string()
}

/// The results in a JUnit report, by class and name: `failure` with its type, `skipped`, or nothing.
fn results(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap();
    let mut reader = Reader::from_str(&text);
    let mut results = BTreeMap::new();
    let mut case = String::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return results,
            Event::Start(tag) | Event::Empty(tag) => {
                let attribute = |name: &str| {
                    let found = tag.try_get_attribute(name).unwrap().unwrap();
                    String::from_utf8(found.value.into_owned()).unwrap()
                };
                match tag.name().as_ref() {
                    b"testcase" => {
                        case = attribute("name");
                        results.insert(case.clone(), String::new());
                    }
                    b"failure" => {
                        results.insert(case.clone(), attribute("type"));
                    }
                    b"skipped" => {
                        results.insert(case.clone(), "skipped".to_owned());
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

#[test]
fn each_test_of_embedded_test_is_a_case_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let suite = fixture("faulty-board.elf");
    let (code, said, complaint) = rig(folder.path(), &["test", &suite, "--junit", "out.xml"]);
    assert_eq!(code, 1, "{complaint}");
    let results = results(&folder.path().join("out.xml"));
    let expected = [
        (
            "asks_with_a_block_that_is_nowhere",
            "bad semihosting request",
        ),
        ("does_not_panic_as_it_should", "no panic"),
        ("fails_an_assertion", "panic"),
        ("is_ignored", "skipped"),
        ("logs_and_passes", ""),
        ("panics_as_it_should", ""),
        ("reads_where_nothing_is", "hard fault"),
        ("returns_an_error", "panic"),
        ("sleeps_for_good", "timeout"),
        ("turns_in_circles", "timeout"),
        ("writes_a_text_that_is_nowhere", "bad semihosting request"),
    ];
    let expected = expected.map(|(name, result)| (name.to_owned(), result.to_owned()));
    assert_eq!(results, BTreeMap::from(expected));
    assert!(said.contains("2 passed; 8 failed; 1 ignored"), "{said}");
    let report = fs::read_to_string(folder.path().join("out.xml")).unwrap();
    assert!(report.contains("arithmetic is off"), "{report}");
    assert!(report.contains("classname=\"faulty-board\""), "{report}");
}

#[test]
fn each_test_of_defmt_test_is_a_case_of_the_report_also_those_not_come_to() {
    let folder = tempfile::tempdir().unwrap();
    let suite = fixture("faulty-core.elf");
    let (code, said, complaint) = rig(folder.path(), &["test", &suite, "--junit", "out.xml"]);
    assert_eq!(code, 1, "{complaint}");
    let results = results(&folder.path().join("out.xml"));
    let expected = [
        ("fails", "panic"),
        ("is_ignored", "skipped"),
        ("is_never_come_to", "not finished"),
        ("passes", ""),
    ];
    let expected = expected.map(|(name, result)| (name.to_owned(), result.to_owned()));
    assert_eq!(results, BTreeMap::from(expected));
    assert!(said.contains("ERROR panicked at"), "{said}");
}

#[test]
fn a_suite_passes_when_the_tests_that_were_chosen_do() {
    let folder = tempfile::tempdir().unwrap();
    let suite = fixture("faulty-board.elf");
    let (code, said, complaint) = rig(folder.path(), &["test", &suite, "logs_and"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(said.contains("1 passed; 0 failed"), "{said}");
}

#[test]
fn files_without_tests_are_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "no program").unwrap();
    let rig_itself = env!("CARGO_BIN_EXE_rig");
    for (file, said) in [
        ("text", "no ELF file"),
        ("missing", "build it first"),
        (rig_itself, "not for a Cortex-M"),
    ] {
        let (code, _, complaint) = rig(folder.path(), &["test", file, "--junit", "out.xml"]);
        assert_eq!(code, 2, "{file}: {complaint}");
        assert!(complaint.contains(said), "{file}: {complaint}");
        assert!(!folder.path().join("out.xml").exists());
    }
}
