//! One value of a document, read as the type the caller needs.
//!
//! Every reading either gives the value or a complaint that names the value's place, says which kind stands there
//! instead, and how to write it. A [`Value`] is a reference into its [`Document`](crate::Document) and cheap to copy.
use std::ops::RangeInclusive;
use std::path::Path;

use crate::fault::{Fault, Place, nearest_of, shown};
use crate::fields::Fields;
use crate::node::{Content, Node};
use crate::number;

/// One value of a document.
#[derive(Debug, Clone, Copy)]
pub struct Value<'d> {
    pub(crate) file: &'d Path,
    pub(crate) text: &'d str,
    pub(crate) node: &'d Node,
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

    /// The value as one of the listed words; `on`, `off`, `yes` and `no`, which YAML 1.1 takes for true and false, are words where
    /// they are listed.
    ///
    /// # Errors
    /// When it is another.
    pub fn one_of<T: Copy>(self, what: &str, words: &[(&'static str, T)]) -> Result<T, Fault> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let text = match &self.node.content {
            Content::Text(text) => text,
            Content::Flag(_) if names.contains(&self.written()) => self.written(),
            other => {
                return Err(self.fault(
                    format!("{what} is a word, not {}", other.kind()),
                    format!("write one of: {}", names.join(", ")),
                ));
            }
        };
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                self.fault(
                    format!("{what} cannot be `{}`", shown(text)),
                    nearest_of(text, &names),
                )
            })
    }
}

/// Whether `text` can stand in file names and case lines.
pub fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
