//! YAML files a person writes (plans, benches), read so that every complaint names file, line and column and
//! says what to write instead.
//!
//! A [`Document`] is a tree of values that remember where they stand; a typed reader walks it through
//! [`Value`] and [`Fields`]. Keys that nobody asked for are refused, with the nearest valid one. Nothing here
//! knows what a plan or a bench is, and no content of a file can make it panic.
pub mod input_file;
mod node;
mod number;
pub mod words;
mod yaml_error;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use node::{Content, Node};

use crate::input_file::ReadFileError;

/// Files larger than this are not written by hand; reading them would only hide the mistake.
const LARGEST_BYTES: u64 = 1 << 20;

/// Where in which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: PathBuf,
    /// Line, counted from 1; 0 when the file as a whole is meant.
    pub line: u64,
    /// Column in characters, counted from 1; 0 when the file as a whole is meant.
    pub column: u64,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// What is wrong with something a person wrote, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, if it stands in a file.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to write or to check instead.
    pub remedy: String,
}

impl Fault {
    /// A fault that stands at no particular place.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The same fault, at `place`.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl std::error::Error for Fault {}

/// A file, read and split into values.
#[derive(Debug)]
pub struct Document {
    file: PathBuf,
    text: String,
    root: Node,
}

impl Document {
    /// Read the file at `path`; `what` names its kind in complaints ("plan", "bench").
    ///
    /// # Errors
    /// When it cannot be read, is not UTF-8 or is not YAML.
    pub fn load(path: &Path, what: &str) -> Result<Self, Fault> {
        let whole = || Place::whole(path);
        let unreadable = |source: std::io::Error| {
            Fault::new(
                format!("cannot read the {what}: {source}"),
                "check the path and its permissions",
            )
            .at(whole())
        };
        if path.is_dir() {
            return Err(Fault::new(
                format!("this is a folder, and the {what} is a file"),
                "give the file in it",
            )
            .at(whole()));
        }
        let bytes = input_file::read(path, LARGEST_BYTES).map_err(|error| match error {
            ReadFileError::TooLong { most_bytes } => Fault::new(
                format!("the {what} has more than {most_bytes} bytes"),
                format!("a {what} is a short YAML text; is this the right file?"),
            )
            .at(whole()),
            other => unreadable(other.into()),
        })?;
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return Err(Fault::new(
                format!("the {what} is UTF-16"),
                "save the file as UTF-8 text",
            )
            .at(whole()));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..good).unwrap_or_default();
            let before = std::str::from_utf8(before).unwrap_or_default();
            let line = before.rsplit('\n').next().unwrap_or_default();
            Fault::new(
                format!("the {what} holds a byte that is not UTF-8"),
                "save the file as UTF-8 text",
            )
            .at(Place {
                file: path.to_owned(),
                line: before.split('\n').count() as u64,
                column: line.chars().count() as u64 + 1,
            })
        })?;
        Self::parse(path, &text)
    }

    /// Split `text`; `file` is only the name used in complaints.
    ///
    /// # Errors
    /// When it is not YAML, or gives the same key twice.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Fault> {
        // A byte-order mark is no part of the text.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let root = node::parse(text).map_err(|error| {
            let place = Place {
                file: file.to_owned(),
                line: error.line,
                column: error.column,
            };
            Fault::new(error.message, error.remedy).at(place)
        })?;
        Ok(Self {
            file: file.to_owned(),
            text: text.to_owned(),
            root,
        })
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value {
            file: &self.file,
            text: &self.text,
            node: &self.root,
        }
    }
}

/// One value of a document.
#[derive(Debug, Clone, Copy)]
pub struct Value<'d> {
    file: &'d Path,
    text: &'d str,
    node: &'d Node,
}

impl<'d> Value<'d> {
    /// Where it stands.
    pub fn place(self) -> Place {
        Place {
            file: self.file.to_owned(),
            line: self.node.line,
            column: self.node.column,
        }
    }

    /// A complaint about this value.
    pub fn fault(self, message: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault::new(message, remedy).at(self.place())
    }

    /// The value as a mapping that knows only `keys`. `what` names it: "a plan", "a random cut".
    ///
    /// # Errors
    /// When it is no mapping, or has a key that is not in `keys`.
    pub fn fields(
        self,
        what: &'static str,
        keys: &'static [&'static str],
    ) -> Result<Fields<'d>, Fault> {
        let keys_there_are = || format!("give it keys: {}", keys.join(", "));
        let entries = match &self.node.content {
            Content::Map(entries) => entries,
            Content::Nothing => {
                return Err(self.fault(
                    format!("nothing stands here, where {what} belongs"),
                    keys_there_are(),
                ));
            }
            other => {
                return Err(self.fault(
                    format!("{what} is a mapping, not {}", other.kind()),
                    keys_there_are(),
                ));
            }
        };
        for (key, _) in entries {
            if !keys.contains(&key.name.as_str()) {
                let place = Place {
                    file: self.file.to_owned(),
                    line: key.line,
                    column: key.column,
                };
                return Err(Fault::new(
                    format!("`{}` is not a key of {what}", shown(&key.name)),
                    nearest_of(&key.name, keys),
                )
                .at(place));
            }
        }
        Ok(Fields {
            value: self,
            what,
            entries,
        })
    }

    /// The value as a list.
    ///
    /// # Errors
    /// When it is none.
    pub fn list(
        self,
        what: &str,
    ) -> Result<impl ExactSizeIterator<Item = Value<'d>> + use<'d>, Fault> {
        match &self.node.content {
            Content::List(items) => Ok(items.iter().map(move |node| Value { node, ..self })),
            other => Err(self.fault(
                format!("{what} is a list, not {}", other.kind()),
                "write it as [one, two] or one item a line, each after a dash",
            )),
        }
    }

    /// The values of a list, or the one value that stands there alone.
    pub fn one_or_more(self) -> Vec<Value<'d>> {
        match &self.node.content {
            Content::List(items) => items.iter().map(|node| Value { node, ..self }).collect(),
            _ => vec![self],
        }
    }

    /// The value as text.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(self, what: &str) -> Result<&'d str, Fault> {
        match &self.node.content {
            Content::Text(text) => Ok(text),
            Content::Integer(_) | Content::Fraction(_) | Content::Flag(_) => {
                let written = self.written();
                let quoted = shown(written);
                let kind = match self.node.content {
                    Content::Flag(_) => "true or false",
                    _ => "a number",
                };
                Err(self.fault(
                    format!("{what} is text, and `{quoted}` without quotes is {kind}"),
                    format!("put it in quotes: '{quoted}'"),
                ))
            }
            other => Err(self.fault(
                format!("{what} is text, not {}", other.kind()),
                "write one word, or a text in quotes",
            )),
        }
    }

    /// The value as it stands in the text; nothing if that is not known.
    fn written(self) -> &'d str {
        let bytes = self.node.bytes.clone();
        bytes
            .and_then(|bytes| self.text.get(bytes))
            .unwrap_or_default()
            .trim()
    }

    /// The text of the value if it is one.
    pub fn as_text(self) -> Option<&'d str> {
        match &self.node.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a short name that can stand in file names and in case lines.
    ///
    /// # Errors
    /// When it is no text of letters, digits, `-`, `_` and `.`, starting with a letter or digit.
    pub fn name(self, what: &str) -> Result<String, Fault> {
        let text = self.text(what)?;
        if is_name(text) {
            Ok(text.to_owned())
        } else {
            Err(self.fault(
                format!("{what} `{}` is not a name", shown(text)),
                "use letters, digits, `-`, `_` and `.`, and start with a letter or digit",
            ))
        }
    }

    /// The value as a whole number within `range`.
    ///
    /// # Errors
    /// When it is no whole number, or outside.
    pub fn integer(self, what: &str, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        let remedy = || {
            format!(
                "write a whole number from {} to {}",
                range.start(),
                range.end()
            )
        };
        let number = match self.node.content {
            Content::Integer(number) => number,
            Content::Fraction(number) => {
                let (message, hint) = number::not_whole(what, number, self.written());
                return Err(self.fault(message, hint.unwrap_or_else(remedy)));
            }
            ref other => {
                return Err(self.fault(
                    format!("{what} is a whole number, not {}", other.kind()),
                    remedy(),
                ));
            }
        };
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.fault(format!("{what} cannot be {number}"), remedy())),
        }
    }

    /// The value as a number, whole or not, within `range`.
    ///
    /// # Errors
    /// When it is no number, or outside.
    pub fn number(self, what: &str, range: RangeInclusive<f64>) -> Result<f64, Fault> {
        let remedy = || format!("write a number from {} to {}", range.start(), range.end());
        let number = match self.node.content {
            Content::Integer(number) => number as f64,
            Content::Fraction(number) => {
                if let Some((message, remedy)) = number::leading_zero(what, self.written()) {
                    return Err(self.fault(message, remedy));
                }
                number
            }
            ref other => {
                return Err(self.fault(
                    format!("{what} is a number, not {}", other.kind()),
                    remedy(),
                ));
            }
        };
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(self.fault(format!("{what} cannot be {number}"), remedy()))
        }
    }

    /// The value as true or false.
    ///
    /// # Errors
    /// When it is neither.
    pub fn flag(self, what: &str) -> Result<bool, Fault> {
        match self.node.content {
            Content::Flag(flag) => Ok(flag),
            ref other => Err(self.fault(
                format!("{what} is true or false, not {}", other.kind()),
                "write true or false",
            )),
        }
    }

    /// The value as one of the listed words.
    ///
    /// # Errors
    /// When it is another.
    pub fn one_of<T: Copy>(self, what: &str, words: &[(&'static str, T)]) -> Result<T, Fault> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let Content::Text(text) = &self.node.content else {
            return Err(self.fault(
                format!("{what} is a word, not {}", self.node.content.kind()),
                format!("write one of: {}", names.join(", ")),
            ));
        };
        words
            .iter()
            .find(|(word, _)| word == text)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                self.fault(
                    format!("{what} cannot be `{}`", shown(text)),
                    nearest_of(text, &names),
                )
            })
    }
}

/// A mapping whose keys are all known.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'d> {
    value: Value<'d>,
    what: &'static str,
    entries: &'d [(node::Key, Node)],
}

impl<'d> Fields<'d> {
    /// The mapping as a value, for complaints about the whole.
    pub fn value(self) -> Value<'d> {
        self.value
    }

    /// The value of `key`, if it is there.
    pub fn get(self, key: &str) -> Option<Value<'d>> {
        self.entries
            .iter()
            .find(|(found, _)| found.name == key)
            .map(|(_, node)| Value { node, ..self.value })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// When it is missing.
    pub fn require(self, key: &str) -> Result<Value<'d>, Fault> {
        self.get(key).ok_or_else(|| {
            self.value.fault(
                format!("{} needs `{key}`", self.what),
                format!("add `{key}: ...`"),
            )
        })
    }

    /// The only key of the mapping and its value: a step such as `- random: {...}`.
    ///
    /// # Errors
    /// When there is not exactly one.
    pub fn single(self) -> Result<(&'d str, Value<'d>), Fault> {
        match self.entries {
            [(key, node)] => Ok((&key.name, Value { node, ..self.value })),
            entries => Err(self.value.fault(
                format!("{} has {} keys", self.what, entries.len()),
                "give each one its own list item, with exactly one key",
            )),
        }
    }
}

/// Most characters of what a person wrote that a complaint repeats.
const MOST_SHOWN: usize = 60;

/// What a person wrote, for a complaint: on one line, without control characters, and not the whole of a novel.
fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(MOST_SHOWN).collect();
    let more = if characters.next().is_some() {
        "..."
    } else {
        ""
    };
    format!("{}{more}", shown.escape_debug())
}

/// Whether `text` can stand in file names and case lines.
pub fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A remedy for `word`: the nearest valid one if one is near, and all of them.
fn nearest_of(word: &str, valid: &[&str]) -> String {
    let all = valid.join(", ");
    let nearest = valid
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min();
    match nearest {
        // Further away than a third of the word it is another word, not a slip.
        Some((distance, candidate)) if distance <= 1 + word.chars().count() / 3 => {
            format!("did you mean `{candidate}`? valid are: {all}")
        }
        _ => format!("valid are: {all}"),
    }
}

#[cfg(test)]
mod tests {
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
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod yaml_tests;
