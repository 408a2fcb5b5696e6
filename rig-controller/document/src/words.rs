//! Complaints of serde, which are written for programmers, in words for the person whose text was wrong: types become
//! what may be written, names of structures go.

/// Phrases of serde and of Rust's parsers, and what a person is told instead. Longer ones first.
const WORDS: [(&str, &str); 15] = [
    ("invalid digit found in string", "it is no whole number"),
    (
        "number too large to fit in target type",
        "the number is too large",
    ),
    ("invalid type: ", "it is "),
    ("invalid value: ", "it is "),
    ("a sequence", "a list"),
    ("sequence, ", "a list, "),
    ("map, ", "a mapping, "),
    ("a map", "a mapping"),
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    (
        "expected u32",
        "expected a whole number from 0 to 4294967295",
    ),
    ("expected u64", "expected a whole number"),
    ("expected i64", "expected a whole number"),
    ("to a `u64`", "as a whole number"),
    ("to a `i64`", "as a whole number"),
];

/// The complaint `said` by serde, without the names of Rust's types.
pub fn in_words(said: &str) -> String {
    let mut words = said.to_owned();
    for (theirs, ours) in WORDS {
        words = words.replace(theirs, ours);
    }
    let mut out = String::new();
    let mut rest = words.as_str();
    while let Some((before, after)) = rest.split_once("struct ") {
        let name = after.split(|c: char| !c.is_alphanumeric()).next();
        out.push_str(before);
        out.push_str("a mapping of keys");
        rest = &after[name.map_or(0, str::len)..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_program_become_what_a_person_can_write() {
        for (said, told) in [
            (
                "device: invalid type: integer `5`, expected struct DeviceDescription at line 2 column 9",
                "device: it is integer `5`, expected a mapping of keys at line 2 column 9",
            ),
            (
                "invalid value: integer `300`, expected u8",
                "it is integer `300`, expected a whole number from 0 to 255",
            ),
            (
                "after: invalid digit found in string",
                "after: it is no whole number",
            ),
            ("unknown field `a`", "unknown field `a`"),
        ] {
            assert_eq!(in_words(said), told);
        }
    }
}
