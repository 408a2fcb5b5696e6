//! What happened in a case, in one order, on one clock.
use powercut_oracle::{FlashOp, FlashOpKind};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::plan::Phase;
use powercut_bench::board::ResetCause;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The relay was switched.
    Relay {
        /// To on.
        on: bool,
    },
    /// The device reset itself.
    Reset(ResetCause),
    /// The application began to run.
    Application,
    /// A flash operation began.
    Operation(FlashOp),
    /// Power was cut; the planned cut, as text.
    Cut(String),
    /// The journal says something new.
    Journal(String),
    /// A datagram passed the modem; what it is.
    Modem(String),
    /// The platform saw or did something.
    Platform(String),
    /// Anything else worth knowing.
    Note(String),
}

/// A happening, when, and in which phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the case began.
    pub at: Duration,
    /// Where the upgrade stood.
    pub phase: Phase,
    /// What happened.
    pub what: Happening,
}

/// The happenings of one case.
#[derive(Debug)]
pub struct Timeline {
    start: Instant,
    entries: Vec<Entry>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            entries: Vec::new(),
        }
    }
}

impl Timeline {
    /// Adds what happens now.
    pub fn add(&mut self, phase: Phase, what: Happening) {
        let at = self.start.elapsed();
        self.entries.push(Entry { at, phase, what });
    }

    /// Adds what another clock saw at `instant`.
    pub fn add_at(&mut self, instant: Instant, phase: Phase, what: Happening) {
        let at = instant.saturating_duration_since(self.start);
        self.entries.push(Entry { at, phase, what });
    }

    /// Everything, one line each: seconds, phase, what.
    pub fn to_text(&self) -> String {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        let mut text = String::with_capacity(entries.len() * 64);
        for entry in entries {
            let _ = write!(
                text,
                "{:12.6} {:8} ",
                entry.at.as_secs_f64(),
                entry.phase.name()
            );
            let _ = match &entry.what {
                Happening::Relay { on } => {
                    writeln!(text, "relay     {}", if *on { "on" } else { "off" })
                }
                Happening::Reset(cause) => {
                    let cause = match cause {
                        ResetCause::Software => "by software",
                        ResetCause::Watchdog => "by the watchdog",
                    };
                    writeln!(text, "reset     {cause}")
                }
                Happening::Application => writeln!(text, "device    application runs"),
                Happening::Operation(op) => match op.kind {
                    FlashOpKind::Program {
                        address,
                        before,
                        value,
                    } => writeln!(
                        text,
                        "flash     {:6} program {address:#07x} {before} & {value}",
                        op.number
                    ),
                    FlashOpKind::Erase { address } => {
                        writeln!(text, "flash     {:6} erase   {address:#07x}", op.number)
                    }
                },
                Happening::Cut(cut) => writeln!(text, "CUT       {cut}"),
                Happening::Journal(state) => writeln!(text, "journal   {state}"),
                Happening::Modem(what) => writeln!(text, "modem     {what}"),
                Happening::Platform(what) => writeln!(text, "platform  {what}"),
                Happening::Note(what) => writeln!(text, "note      {}", what.escape_debug()),
            };
        }
        text
    }
}
