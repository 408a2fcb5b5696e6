//! Complaints: what is wrong with something a person wrote, where it stands, and what to write instead.
//!
//! A complaint is one line whatever the file holds: it quotes a text without control characters and cuts a long one
//! short, and it names the nearest valid word where one is near.
use std::fmt;
use std::path::{Path, PathBuf};

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

/// Most characters of what a person wrote that a complaint repeats.
const MOST_SHOWN: usize = 60;

/// What a person wrote, for a complaint: on one line, without control characters, and not the whole of a novel.
pub(crate) fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(MOST_SHOWN).collect();
    let more = if characters.next().is_some() {
        "..."
    } else {
        ""
    };
    format!("{}{more}", shown.escape_debug())
}

/// A remedy for `word`: the nearest valid one if one is near, and all of them.
pub(crate) fn nearest_of(word: &str, valid: &[&str]) -> String {
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
