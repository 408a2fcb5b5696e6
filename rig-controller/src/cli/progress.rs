//! The progress of a run: one plain line an event, or bars on a terminal.
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::say;
use crate::report::{CaseResult, HappenedCut};
use crate::run::Progress;
use powercut_oracle::verdict::VerdictClass;

/// Shows progress where it is seen best.
pub(super) enum Display {
    /// Stdout goes to a file or a pipe.
    Plain,
    /// Stdout is a terminal.
    Bars(Box<Bars>),
}

pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    boards: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Display {
    /// For a run of `cases` cases.
    pub(super) fn new(cases: usize) -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::Plain;
        }
        let all = MultiProgress::new();
        let total = all.add(ProgressBar::new(cases as u64));
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} cases, {elapsed}{msg}");
        if let Ok(style) = style {
            total.set_style(style);
        }
        total.enable_steady_tick(Duration::from_millis(200));
        Self::Bars(Box::new(Bars {
            all,
            total,
            boards: Mutex::default(),
        }))
    }

    /// Show one event.
    pub(super) fn show(&self, progress: &Progress<'_>) {
        match self {
            Self::Plain => say::line(&plain(progress)),
            Self::Bars(bars) => bars.show(progress),
        }
    }

    /// Clear what moves; the summary comes next.
    pub(super) fn finish(&self) {
        if let Self::Bars(bars) = self {
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn show(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Started { case, board } => self.say(board, case.title()),
            Progress::Reference { case, board } => {
                self.say(board, format!("{}: reference run", case.title()));
            }
            Progress::Cut {
                case,
                board,
                cut,
                number,
                planned,
            } => {
                let text = format!("{}: cut {number}/{planned} {}", case.title(), place(cut));
                self.say(board, text);
            }
            Progress::Finished { result } => {
                self.total.inc(1);
                if result.verdict != VerdictClass::Pass {
                    let _ = self.all.println(verdict(result));
                }
            }
        }
    }

    fn say(&self, board: &str, text: String) {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = boards.entry(board.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner());
            bar.set_prefix(board.to_owned());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_message(text);
    }
}

fn plain(progress: &Progress<'_>) -> String {
    match progress {
        Progress::Started { case, board } => {
            format!("case {} on {board}: {}", case.index, case.title())
        }
        Progress::Reference { case, board } => {
            format!("case {} on {board}: reference run without cuts", case.index)
        }
        Progress::Cut {
            case,
            board,
            cut,
            number,
            planned,
        } => format!(
            "case {} on {board}: cut {number} of {planned}: {} {}",
            case.index,
            cut.planned,
            place(cut)
        )
        .trim_end()
        .to_owned(),
        Progress::Finished { result } => verdict(result),
    }
}

fn verdict(result: &CaseResult) -> String {
    let invariant = result
        .invariant
        .map_or(String::new(), |invariant| format!(" ({invariant})"));
    let reason = result
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(": {reason}"));
    format!(
        "case {} on {}: {}{invariant} in {:.2} s{reason}",
        result.case, result.board, result.verdict, result.seconds
    )
}

/// Where a cut hit, as far as that was seen.
fn place(cut: &HappenedCut) -> String {
    let parts = [
        cut.phase.map(|phase| format!("in {phase}")),
        cut.fragment.map(|fragment| format!("fragment {fragment}")),
        cut.operation
            .map(|operation| format!("operation {operation}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
