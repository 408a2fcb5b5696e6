use std::collections::BTreeMap;

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::HappenedCut;
use super::super::result::tests::{case, result};
use super::*;
use crate::plan::Phase;
use powercut_oracle::verdict::{Invariant, Verdict};

/// An element as it was read back.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
}

/// Every element of the file, read by a parser that did not write it.
fn read_back(path: &Path) -> Vec<Element> {
    let text = fs::read_to_string(path).unwrap();
    assert!(
        text.chars()
            .all(|c| c == '\n' || c == '\t' || !c.is_control()),
        "no parser takes control characters"
    );
    let mut reader = Reader::from_str(&text);
    let mut done: Vec<Element> = Vec::new();
    let mut open: Vec<Element> = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => open.push(element(&start)),
            Event::Empty(start) => done.push(element(&start)),
            Event::End(_) => done.push(open.pop().unwrap()),
            Event::CData(data) => {
                let text = data.decode().unwrap();
                open.last_mut().unwrap().text.push_str(&text);
            }
            Event::Text(text) => assert!(text.decode().unwrap().trim().is_empty()),
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty());
    done
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> Element {
    Element {
        name: String::from_utf8(start.name().as_ref().to_vec()).unwrap(),
        attributes: start
            .attributes()
            .map(|attribute| {
                let attribute = attribute.unwrap();
                let value = std::str::from_utf8(&attribute.value).unwrap();
                (
                    String::from_utf8(attribute.key.as_ref().to_vec()).unwrap(),
                    quick_xml::escape::unescape(value).unwrap().into_owned(),
                )
            })
            .collect(),
        text: String::new(),
    }
}

fn written(results: &[CaseResult]) -> Vec<Element> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("junit.xml");
    let mut junit = JunitFile::new(&path, "smoke");
    for result in results {
        junit.add(result);
        junit.write().unwrap();
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
    read_back(&path)
}

fn only<'e>(elements: &'e [Element], name: &str) -> &'e Element {
    let mut found = elements.iter().filter(|element| element.name == name);
    let first = found.next().unwrap();
    assert!(found.next().is_none(), "more than one {name}");
    first
}

fn failure(reason: &str) -> CaseResult {
    result(&Verdict::FirmwareFailure {
        invariant: Invariant::S1,
        reason: reason.to_owned(),
    })
}

#[test]
fn a_failure_says_the_reason_the_invariant_the_cuts_and_how_to_run_it_again() {
    let mut failed = failure("page 12 holds neither image");
    failed.cuts = vec![HappenedCut {
        planned: "f17/after-data/half".to_owned(),
        operation: Some(702),
        phase: Some(Phase::Download),
        fragment: Some(17),
    }];
    let elements = written(&[failed]);
    let failure = only(&elements, "failure");
    assert_eq!(failure.attributes["type"], "firmware failure S1");
    assert_eq!(failure.attributes["message"], "page 12 holds neither image");
    assert_eq!(
        failure.text,
        "firmware failure: page 12 holds neither image\n\
         broken invariant S1: the device boots the old or the new image, whole: never neither and never a mixture\n\
         planned cuts: f17/after-data/half, op3121\n\
         cuts that happened: f17/after-data/half (operation 702 in download at fragment 17)\n\
         run it again: rig replay smoke:1:mb-1:seed=7:cuts=f17/after-data/half,op3121\n"
    );
    let case = only(&elements, "testcase");
    assert_eq!(case.attributes["classname"], "smoke.swap-cuts");
    assert_eq!(
        case.attributes["name"],
        "001 1.0.0 to 1.1.0, ideal, chacha20-poly1305, 160 B, #1"
    );
}

#[test]
fn only_the_firmware_fails_everything_else_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("junit.xml");
    let mut junit = JunitFile::new(&path, "smoke");
    let reason = || "r".to_owned();
    junit.add(&result(&Verdict::Pass));
    junit.add(&failure("r"));
    junit.add(&result(&Verdict::BenchError { reason: reason() }));
    junit.add(&result(&Verdict::PlanError { reason: reason() }));
    junit.add(&result(&Verdict::Inconclusive { reason: reason() }));
    junit.add_not_run(&case(), "interrupted");
    junit.write().unwrap();
    let elements = read_back(&path);
    let suite = only(&elements, "testsuite");
    assert_eq!(
        ["tests", "failures", "errors"].map(|name| suite.attributes[name].as_str()),
        ["6", "1", "4"]
    );
    let types: Vec<&str> = elements
        .iter()
        .filter(|element| element.name == "error")
        .map(|element| element.attributes["type"].as_str())
        .collect();
    assert_eq!(
        types,
        ["bench error", "plan error", "inconclusive", "not run"]
    );
    let last = elements.iter().rfind(|element| element.name == "error");
    assert_eq!(last.unwrap().text, "interrupted");
}

#[test]
fn the_files_of_the_evidence_folder_are_attached() {
    let evidence = tempfile::tempdir().unwrap();
    for name in ["timeline.jsonl", "flash-0.bin"] {
        fs::write(evidence.path().join(name), "x").unwrap();
    }
    fs::create_dir(evidence.path().join("folder")).unwrap();
    let mut failed = failure("r");
    failed.evidence = Some(evidence.path().to_owned());
    let elements = written(&[failed]);
    let attached: Vec<String> = only(&elements, "system-out")
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("[[ATTACHMENT|")?.strip_suffix("]]"))
        .map(|path| {
            Path::new(path)
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(attached, ["flash-0.bin", "timeline.jsonl"]);
}

#[test]
fn what_a_dying_device_sends_does_not_break_the_report() {
    let serial =
        String::from_utf8_lossy(b"boot\x1b[31m \0 ]]> <x a=\"&'\"> \xFF\xFE \x08 end").into_owned();
    let elements = written(&[failure(&serial)]);
    let failure = only(&elements, "failure");
    assert!(
        failure
            .text
            .starts_with("firmware failure: boot[31m  ]]> <x a=\"&'\"> \u{FFFD}\u{FFFD}  end\n"),
        "{}",
        failure.text
    );
    assert!(failure.attributes["message"].contains("]]> <x a=\"&'\">"));
}

#[test]
fn an_impossible_duration_does_not_stop_the_report() {
    let mut odd = result(&Verdict::Pass);
    odd.seconds = f64::NAN;
    assert_eq!(only(&written(&[odd]), "testcase").attributes["time"], "0");
}

#[test]
fn a_report_that_cannot_be_written_names_the_file() {
    let error = JunitFile::new(Path::new("/nowhere/junit.xml"), "smoke")
        .write()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot write the report /nowhere/junit.xml"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_whatever_can_be_read_back(text in "(\\PC|[\\x00-\\x20\\]>&<\u{80}-\u{9f}\u{fffe}\u{ffff}]|\\]\\]>){0,40}") {
        let elements = written(&[failure(&text)]);
        let expected: String = text
            .chars()
            .filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')))
            .collect();
        prop_assert!(only(&elements, "failure").text.contains(&expected));
    }
}
