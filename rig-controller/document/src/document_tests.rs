//! Documents as readers use them: values and their places, complaints, and files that are no YAML.
use super::*;

const KEYS: &[&str] = &["fragment_bytes", "link", "seed"];

fn parse(text: &str) -> Document {
    Document::parse(Path::new("x.yaml"), text).unwrap()
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_valid_key() {
    let document = parse("link: ideal\n  \n# comment\nfragment_byts: 160\n");
    let fault = document.root().fields("a plan", KEYS).unwrap_err();
    let text = fault.to_string();
    assert!(
        text.starts_with("x.yaml:4:1: `fragment_byts` is not a key of a plan"),
        "{text}"
    );
    assert!(text.contains("did you mean `fragment_bytes`?"), "{text}");
}

#[test]
fn a_key_that_resembles_nothing_gets_the_list_without_a_guess() {
    let document = parse("zzzzzzzz: 1");
    let fault = document.root().fields("a plan", KEYS).unwrap_err();
    assert_eq!(fault.remedy, "valid are: fragment_bytes, link, seed");
}

#[test]
fn values_know_their_place_inside_flow_mappings() {
    let document = parse("link: ideal\nseed: { a: 1, b: no number }\n");
    let seed = document
        .root()
        .fields("a plan", KEYS)
        .unwrap()
        .get("seed")
        .unwrap();
    let fields = seed.fields("a seed", &["a", "b"]).unwrap();
    let fault = fields.get("b").unwrap().integer("b", 1..=3).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "x.yaml:2:18: b is a whole number, not text; write a whole number from 1 to 3"
    );
}

#[test]
fn numbers_outside_the_range_are_refused_with_the_range() {
    let document = parse("[5, -1, 18446744073709551616]");
    for value in document.root().list("it").unwrap() {
        let fault = value.integer("it", 1..=4).unwrap_err();
        assert_eq!(fault.remedy, "write a whole number from 1 to 4");
    }
}

#[test]
fn numbers_may_have_a_fraction_and_must_be_in_range() {
    let document = parse("[0.5, 2, -0.1, 1e9, half]");
    let read: Vec<Result<f64, Fault>> = document
        .root()
        .list("it")
        .unwrap()
        .map(|value| value.number("it", 0.0..=4.0))
        .collect();
    assert!(matches!(read[..2], [Ok(0.5), Ok(2.0)]));
    for refused in &read[2..] {
        let remedy = &refused.as_ref().unwrap_err().remedy;
        assert_eq!(remedy, "write a number from 0 to 4");
    }
}

#[test]
fn a_repeated_key_is_refused_where_it_is_repeated() {
    let fault = Document::parse(Path::new("x.yaml"), "a: 1\nb: 2\na: 3\n").unwrap_err();
    assert!(fault.to_string().starts_with("x.yaml:3:1: "), "{fault}");
}

#[test]
fn broken_yaml_and_bytes_that_are_not_utf_8_are_refused_with_their_line() {
    let fault = Document::parse(Path::new("x.yaml"), "a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
    assert!(fault.place.is_some_and(|p| p.line >= 2));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"a: 1\nb: \xFF\n").unwrap();
    let fault = Document::load(file.path(), "plan").unwrap_err();
    assert_eq!(fault.place.map(|p| (p.line, p.column)), Some((2, 4)));
}

#[test]
fn a_missing_file_is_named() {
    let fault = Document::load(Path::new("/nowhere/p.yaml"), "plan").unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("/nowhere/p.yaml: cannot read the plan"),
        "{fault}"
    );
}

#[test]
fn deep_nesting_and_alias_bombs_end_in_an_error_not_in_a_crash() {
    let deep = "[".repeat(100_000);
    assert!(Document::parse(Path::new("x"), &deep).is_err());
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned()
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
    assert!(Document::parse(Path::new("x"), &bomb).is_err());
}

#[test]
fn names_cannot_leave_their_folder() {
    for bad in ["../x", "a/b", "", ".hidden", "a:b", "a b"] {
        assert!(!is_name(bad), "{bad}");
    }
    assert!(is_name("mb-1") && is_name("1.1.0-panics"));
}

#[test]
fn a_word_that_yaml_takes_for_a_flag_is_that_word_where_it_is_listed_and_a_flag_elsewhere() {
    let document = parse("[off, 'off', no, true]");
    let words = [("off", 1), ("brown-out", 2)];
    let read: Vec<Result<i32, String>> = document
        .root()
        .list("it")
        .unwrap()
        .map(|value| value.one_of("it", &words).map_err(|fault| fault.message))
        .collect();
    let refused = || Err("it is a word, not true or false".to_owned());
    assert_eq!(read, [Ok(1), Ok(1), refused(), refused()]);
    let flag = parse("off").root().flag("it");
    assert_eq!(flag, Ok(false));
}
