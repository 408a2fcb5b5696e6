//! Complaints about files that are no YAML, or YAML of a kind that nobody meant: in the reader's words, with the place and
//! what to do, and never with the library's advice to programmers.
use std::fs;
use std::path::Path;

use super::*;

const KEYS: &[&str] = &["plan", "seed", "upgrade"];

/// The complaint about `text` as a plan with a seed.
fn complaint(text: &str) -> String {
    let read = || {
        let document = Document::parse(Path::new("p.yaml"), text)?;
        let fields = document.root().fields("a plan", KEYS)?;
        fields.require("plan")?.name("the plan's name")?;
        fields.require("seed")?.integer("`seed`", 0..=u64::MAX)
    };
    read().unwrap_err().to_string()
}

#[test]
fn each_slip_is_told_with_its_place_in_the_readers_words() {
    let mut wrong = Vec::new();
    for (text, said) in [
        (
            "plan: p\nseed: 010\n",
            "2:7: `seed` begins with a zero (`010`), which some take for octal and some do not; write 10, or 0o10 if it is octal",
        ),
        (
            "plan: p\nseed: 089\n",
            "2:7: `seed` begins with a zero (`089`), which some take for octal and some do not; write 89",
        ),
        (
            "plan: p\nseed: 1e3\n",
            "2:7: `seed` is a whole number, and `1e3` is written as a power of ten; write 1000",
        ),
        (
            "plan: p\nseed: 1.0\n",
            "2:7: `seed` is a whole number, and `1.0` is written with a point; write 1",
        ),
        (
            "plan: p\nseed: 1.5\n",
            "2:7: `seed` is a whole number, not a fraction (`1.5`); write a whole number from 0",
        ),
        (
            "plan: p\nseed: 18446744073709551616\n",
            "2:7: `seed` cannot be 18446744073709551616; write a whole number from 0 to 18446744073709551615",
        ),
        (
            "plan: p\nseed: 99999999999999999999999999999999999999999\n",
            "2:7: `seed` cannot be 99999999999999999999999999999999999999999; write",
        ),
        ("plan: p\nseed: -1\n", "2:7: `seed` cannot be -1; write"),
        (
            "plan: p\nseed: .inf\n",
            "2:7: `.inf` is no number that can be used; write a number in digits",
        ),
        (
            "plan: p\nseed: '5'\n",
            "2:7: `seed` is a whole number, not text; write",
        ),
        (
            "plan: 1.0\nseed: 1\n",
            "1:7: the plan's name is text, and `1.0` without quotes is a number; put it in quotes: '1.0'",
        ),
        (
            "plan: no\nseed: 1\n",
            "1:7: the plan's name is text, and `no` without quotes is true or false; put it in quotes: 'no'",
        ),
        (
            "plan: [p]\nseed: 1\n",
            "1:7: the plan's name is text, not a list; write one word",
        ),
        (
            "plan: p\nseed: 1\nseed: 2\n",
            "3:1: `seed` is given twice; keep one of the two",
        ),
        (
            "plan: p\nseed: 1\n---\nplan: q\n",
            "4:1: a second document begins here; keep one in a file",
        ),
        (
            "plan: p\nseed: *s\n",
            "2:7: an alias (`*name`) names an anchor that is not above it; write",
        ),
        (
            "plan: p\nupgrade: { <<: 5 }\nseed: 1\n",
            "`<<` takes over the keys of a mapping, and this is none; write the keys themselves",
        ),
        (
            "plan: p\nupgrade:\n\tfrom: 1\n",
            "3:2: a tab stands where YAML takes only spaces; indent with spaces",
        ),
        ("plan: p: q\n", "1:8: a colon makes no key here; see that"),
        (
            "plan p\nseed: 1\n",
            "2:5: a colon makes no key here; see that this line is indented like its neighbours and that the line before has its colon",
        ),
        (
            "plan: @p\n",
            "1:7: a value cannot begin with `@`; put it in quotes",
        ),
        (
            "plan: p\u{1}\n",
            "1:7: a control character stands here; remove it",
        ),
        (
            "plan: { a: 1\n",
            "1:7: a bracket that opens here is never closed; close it",
        ),
        (
            "plan: \"p\n",
            "1:7: a quote that opens here is never closed; close it",
        ),
        (
            "plan: \"p\\q\"\n",
            "1:7: a backslash in double quotes is followed by something that YAML does not know; use single quotes",
        ),
        (
            "? [a, b]\n: 1\n",
            "1:3: a list or a mapping stands here, where a key or a single value belongs; write one word",
        ),
        (
            "~: 1\n",
            "1:1: a key is missing before this colon; write the key",
        ),
        (
            "seed: !!int x\n",
            "1:13: the value is not what its tag (`!...`) says; leave the tag out",
        ),
        (
            "",
            "1:1: nothing stands here, where a plan belongs; give it keys: plan, seed, upgrade",
        ),
        (
            "# only a comment\n",
            "nothing stands here, where a plan belongs",
        ),
        (
            "- plan: p\n",
            "1:1: a plan is a mapping, not a list; give it keys",
        ),
        (
            "\u{FEFF}plan: p\nseed: 010\n",
            "2:7: `seed` begins with a zero (`010`)",
        ),
        (
            "plan: p\nx: &a 010\nseed: *a\n",
            "`x` is not a key of a plan",
        ),
        (
            "plan: &a 010\nseed: *a\n",
            "1:10: the plan's name is text, and `010` without quotes is a number",
        ),
    ] {
        let complaint = complaint(text);
        if !complaint.starts_with("p.yaml:") || !complaint.contains(said) {
            wrong.push(format!("{text:?}\n  {complaint}\n  {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_number_behind_an_alias_is_shown_as_it_was_written() {
    let document = Document::parse(Path::new("p.yaml"), "plan: { a: &n 007, b: *n }\n").unwrap();
    let fields = document.root().fields("a plan", KEYS).unwrap();
    let inner = fields
        .get("plan")
        .unwrap()
        .fields("it", &["a", "b"])
        .unwrap();
    let fault = inner.get("b").unwrap().integer("b", 0..=9).unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("p.yaml:1:23: b begins with a zero (`007`)"),
        "{fault}"
    );
    let fault = inner.get("b").unwrap().number("b", 0.0..=9.0).unwrap_err();
    assert!(fault.to_string().contains("write 7"), "{fault}");
}

#[test]
fn no_advice_for_programmers_is_passed_on() {
    let deep_mapping = format!("plan: {}1{}", "{a: ".repeat(3000), "}".repeat(3000));
    let deep_list = format!("plan: {}", "[".repeat(100_000));
    let many = format!("plan: [{}]", "1,".repeat(300_000));
    let long = format!("plan: p\nseed: {}\n", "9".repeat(500_000));
    let key = format!("plan: p\n{}: 1\n", "k".repeat(200_000));
    let name = format!("plan: {}/\n", "p".repeat(200_000));
    let bomb = "plan: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned()
        + &(0..12).fold(String::new(), |text, i| {
            let name = |n: i32| {
                if n == 0 {
                    "a".to_owned()
                } else {
                    format!("a{n}")
                }
            };
            let many = vec![format!("*{}", name(i)); 10].join(",");
            text + &format!("{n}: &{n} [{many}]\n", n = name(i + 1))
        });
    let texts = [
        deep_mapping.as_str(),
        &deep_list,
        &many,
        &long,
        &key,
        &name,
        &bomb,
        "a: 1\na: 2\n",
        "a: 1\n---\nb: 1\n",
        "~: 1\n",
        "a: .nan\n",
        "a: !!binary %%%\n",
        "a: !!binary /w==\n",
        "a: !!int x\n",
        "a: !!bool x\n",
        "a: &x [*x]\n",
        "<<: 1\n",
        "%FOO\n",
        "%YAML 3.0\n---\na: 1\n",
        "a: >\nb\n",
        "]\n",
        "a: 'b\n---\n",
    ];
    for text in texts {
        let said = complaint(text);
        let shown = &text[..text.len().min(40)];
        assert!(
            said.len() < 500,
            "{shown}: {} bytes of complaint",
            said.len()
        );
        assert!(said.starts_with("p.yaml:"), "{shown}: {said}");
        for word in [
            "Option",
            "budget",
            "breach",
            "policy",
            "from_str",
            "deserialize",
            "Depth {",
            "Nodes {",
            "serde",
            "enable",
        ] {
            assert!(!said.contains(word), "{shown}: {said}");
        }
    }
}

#[test]
fn files_that_are_no_text_are_named_for_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    let complaint = || Document::load(&path, "plan").unwrap_err().to_string();
    fs::write(&path, b"\xFF\xFEp\0l\0").unwrap();
    assert!(complaint().contains("the plan is UTF-16; save the file as UTF-8"));
    fs::write(&path, "plan: p\nlink: \u{e9}\u{e9} ".as_bytes()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(0xE9);
    fs::write(&path, bytes).unwrap();
    // Columns are characters, as an editor counts them.
    assert!(complaint().contains("p.yaml:2:10: the plan holds a byte that is not UTF-8"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(complaint().contains("this is a folder, and the plan is a file"));
    let endless = Document::load(Path::new("/dev/zero"), "plan").unwrap_err();
    assert!(
        endless
            .to_string()
            .contains("cannot read the plan: it is a device, not a file"),
        "{endless}"
    );
}
