//! A mapping of a document whose keys are all known to the caller.
//!
//! [`Value::fields`] makes one after it has refused every key that was not asked for; here keys are looked up, and a
//! missing one is a complaint about the whole mapping.
use crate::fault::Fault;
use crate::node::{Key, Node};
use crate::value::Value;

/// A mapping whose keys are all known.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'d> {
    pub(crate) value: Value<'d>,
    pub(crate) what: &'static str,
    pub(crate) entries: &'d [(Key, Node)],
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
