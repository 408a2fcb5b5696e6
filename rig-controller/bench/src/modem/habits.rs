//! How a modem behaves that is a good one and still not the quickest, the tersest or the readiest there is: how long its
//! answers take, in which form it says what it says, and what it needs before it opens a socket.
//!
//! A plan's `modem:` is read here. Without any of it a virtual modem answers at once, in the shortest form, and its
//! context is active from the start.
use std::fmt;
use std::time::Duration;

use powercut_document::{Fault, Value};

/// The longest a manufacturer allows any answer, and so the longest a plan can ask for.
const LONGEST_MS: u64 = 150_000;

/// All habits of a modem. See the module's text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModemHabits {
    /// How long its answers take.
    pub answers: AnswerTimes,
    /// `AT+QIOPEN` is refused (561) until `AT+QIACT=1` has activated the context.
    pub needs_activation: bool,
    /// The network takes the context away, with every socket in it, each time so many datagrams were sent over it:
    /// `+QIURC: "pdpdeact",1`. It can be activated again after `AT+QIDEACT=1`.
    pub context_lost_after: Option<u32>,
    /// The form of `+CEREG`.
    pub registration: RegistrationForm,
    /// `+QIURC: "recv"` says how many bytes came.
    pub announces_length: bool,
}

/// The forms in which modems say that they are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistrationForm {
    /// `+CEREG: 0,1`
    #[default]
    Short,
    /// `+CEREG:0,1`
    Compact,
    /// With cell and timers: 62 characters.
    Long,
    /// Twice `+CEREG: 0,6`, registered for short messages only, and then `+CEREG: 0,1`.
    SmsOnlyFirst,
}

impl RegistrationForm {
    /// Its name in plans.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("short", Self::Short),
        ("compact", Self::Compact),
        ("long", Self::Long),
        ("sms-only-first", Self::SmsOnlyFirst),
    ];
}

/// What a device can ask, as far as its answer can take a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything the modem knows by itself: `AT`, `ATE0`, `AT+QICFG`, what it is.
    Attention,
    Registration,
    Activate,
    Deactivate,
    /// `AT+QIOPEN`: its `OK` comes at once, its `+QIOPEN` takes the time, and the modem listens meanwhile.
    Open,
    Close,
    /// `AT+QISEND`, to the prompt.
    Prompt,
    /// `AT+QISEND`, from the last byte to `SEND OK`.
    Send,
    Read,
}

impl Asked {
    const NAMES: [(&'static str, Self); 9] = [
        ("attention", Self::Attention),
        ("registration", Self::Registration),
        ("activate", Self::Activate),
        ("deactivate", Self::Deactivate),
        ("open", Self::Open),
        ("close", Self::Close),
        ("prompt", Self::Prompt),
        ("send", Self::Send),
        ("read", Self::Read),
    ];

    const KEYS: [&'static str; Self::NAMES.len()] = {
        let mut keys = [""; Self::NAMES.len()];
        let mut n = 0;
        while n < keys.len() {
            keys[n] = Self::NAMES[n].0;
            n += 1;
        }
        keys
    };
}

/// How long each answer takes. Until it is out the modem is deaf: what it is told meanwhile is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnswerTimes([Duration; Asked::NAMES.len()]);

impl AnswerTimes {
    /// Time until this is answered.
    pub(super) fn of(&self, asked: Asked) -> Duration {
        self.0[asked as usize]
    }

    /// The same times but for this one.
    #[must_use]
    #[cfg(test)]
    pub(super) fn with(mut self, asked: Asked, time: Duration) -> Self {
        self.0[asked as usize] = time;
        self
    }

    /// The longest of them.
    pub fn longest(&self) -> Duration {
        self.0.into_iter().max().unwrap_or_default()
    }

    /// Whether any answer takes time.
    pub fn take_time(&self) -> bool {
        self.0.iter().any(|time| !time.is_zero())
    }
}

impl ModemHabits {
    /// Read a plan's `modem`.
    ///
    /// # Errors
    /// For keys, words and numbers that are none of its.
    pub fn read(value: Value<'_>) -> Result<Self, Fault> {
        const KEYS: &[&str] = &[
            "answers_ms",
            "context",
            "context_lost_after",
            "registration",
            "hint",
        ];
        let fields = value.fields("`modem`", KEYS)?;
        let mut habits = Self::default();
        if let Some(value) = fields.get("answers_ms") {
            let times = value.fields("`answers_ms`", &Asked::KEYS)?;
            for (name, asked) in Asked::NAMES {
                if let Some(time) = times.get(name) {
                    let ms = time.integer(&format!("`{name}`"), 0..=LONGEST_MS)?;
                    habits.answers.0[asked as usize] = Duration::from_millis(ms);
                }
            }
        }
        if let Some(value) = fields.get("context") {
            let words = [("active", false), ("needs-activation", true)];
            habits.needs_activation = value.one_of("the modem's `context`", &words)?;
        }
        if let Some(value) = fields.get("context_lost_after") {
            let datagrams = value.integer("`context_lost_after`", 1..=u32::MAX.into())?;
            habits.context_lost_after = Some(datagrams as u32);
        }
        if let Some(value) = fields.get("registration") {
            let names = &RegistrationForm::NAMES;
            habits.registration = value.one_of("the modem's `registration`", names)?;
        }
        if let Some(value) = fields.get("hint") {
            let words = [("plain", false), ("with-length", true)];
            habits.announces_length = value.one_of("the modem's `hint`", &words)?;
        }
        Ok(habits)
    }
}

impl fmt::Display for ModemHabits {
    /// What differs from a modem without habits; nothing for that one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Asked::NAMES
            .into_iter()
            .map(|(name, asked)| (name, self.answers.of(asked).as_millis()))
            .filter(|(_, ms)| *ms > 0)
            .map(|(name, ms)| format!("{name} {ms} ms"))
            .collect();
        if self.needs_activation {
            parts.push("needs activation".to_owned());
        }
        if let Some(datagrams) = self.context_lost_after {
            parts.push(format!("context lost after {datagrams}"));
        }
        for (name, form) in RegistrationForm::NAMES {
            if form == self.registration && form != RegistrationForm::default() {
                parts.push(format!("registration {name}"));
            }
        }
        if self.announces_length {
            parts.push("hint with length".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use powercut_document::Document;

    fn read(text: &str) -> Result<ModemHabits, Fault> {
        ModemHabits::read(Document::parse(std::path::Path::new("p.yaml"), text)?.root())
    }

    #[test]
    fn every_key_arrives_and_is_told_to_people() {
        let mut lines = vec![
            "context: needs-activation".to_owned(),
            "context_lost_after: 40".to_owned(),
            "registration: sms-only-first".to_owned(),
            "hint: with-length".to_owned(),
            "answers_ms:".to_owned(),
        ];
        let mut expected = Vec::new();
        for (n, (name, asked)) in Asked::NAMES.into_iter().enumerate() {
            assert_eq!(asked as usize, n, "{name}");
            lines.push(format!("  {name}: {}", 100 + n));
            expected.push(format!("{name} {} ms", 100 + n));
        }
        let habits = read(&lines.join("\n")).unwrap();
        assert!(habits.needs_activation && habits.announces_length && habits.answers.take_time());
        assert_eq!(habits.context_lost_after, Some(40));
        assert_eq!(habits.answers.of(Asked::Read), Duration::from_millis(108));
        assert_eq!(
            habits.to_string(),
            expected.join(", ")
                + ", needs activation, context lost after 40, registration sms-only-first, hint with length"
        );
        assert_eq!(ModemHabits::default().to_string(), "");
    }

    #[test]
    fn what_is_misspelt_or_out_of_range_is_refused_with_place_and_remedy() {
        for (text, expected) in [
            (
                "answers: { open: 1 }",
                "p.yaml:1:1: `answers` is not a key of `modem`; did you mean `answers_ms`?",
            ),
            (
                "answers_ms: { opne: 1 }",
                "p.yaml:1:15: `opne` is not a key of `answers_ms`; did you mean `open`?",
            ),
            (
                "answers_ms: { open: 150001 }",
                "p.yaml:1:21: `open` cannot be 150001",
            ),
            (
                "context: needs_activation",
                "p.yaml:1:10: the modem's `context` cannot be `needs_activation`; did you mean `needs-activation`?",
            ),
            (
                "context_lost_after: 0",
                "p.yaml:1:21: `context_lost_after` cannot be 0",
            ),
            (
                "registration: sms",
                "p.yaml:1:15: the modem's `registration` cannot be `sms`; valid are: short, compact, long, sms-only-first",
            ),
            (
                "hint: length",
                "p.yaml:1:7: the modem's `hint` cannot be `length`",
            ),
        ] {
            let complaint = read(text).unwrap_err().to_string();
            assert!(complaint.starts_with(expected), "{complaint}\n{expected}");
        }
    }
}
