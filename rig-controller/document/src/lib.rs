//! YAML files a person writes (plans, benches), read so that every complaint names file, line and column and
//! says what to write instead.
//!
//! A [`Document`] is a tree of values that remember where they stand; a typed reader walks it through
//! [`Value`] and [`Fields`]. Keys that nobody asked for are refused, with the nearest valid one. Nothing here
//! knows what a plan or a bench is, and no content of a file can make it panic.
mod fault;
mod fields;
pub mod input_file;
mod node;
mod number;
mod value;
pub mod words;
mod yaml_error;

use std::path::{Path, PathBuf};

use fault::shown;
use node::Node;

use crate::input_file::ReadFileError;

pub use fault::{Fault, Place};
pub use fields::Fields;
pub use value::{Value, is_name};

/// Files larger than this are not written by hand; reading them would only hide the mistake.
const LARGEST_BYTES: u64 = 1 << 20;

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

#[cfg(test)]
mod document_tests;
#[cfg(test)]
#[path = "yaml_tests.rs"]
mod yaml_tests;
