//! `rig mutants`: plants bugs, one at a time, and says whether the exploration finds them. Only in a `rig` built with the
//! feature `seeded-bugs`. The table is a test: every bug has to be killed, or to be declared equivalent and to survive,
//! and the sound core has to pass the same runs.
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::cli::{CliError, exit, say};
use powercut_explore::mutants::{
    FaultClass, MOST_EQUIVALENT, Mutant, Planted, look_for, look_without_bug,
};
use powercut_oracle::verdict::Invariant;

/// Version of the JSON's schema.
const SCHEMA: u32 = 1;

/// Options of `rig mutants`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MutantsArgs {
    /// Only this bug; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Vec<Planted>,
    /// Write the table to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The table cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}; check that its folder exists and is writable", .path.display())]
pub struct TableError {
    /// Which file.
    path: PathBuf,
    /// What the file system said.
    source: std::io::Error,
}

/// The table as JSON.
#[derive(Debug, Serialize)]
struct Table {
    schema: u32,
    /// Whether the core without any bug passes all runs.
    sound_core_passes: bool,
    seconds: f64,
    bugs: Vec<Row>,
}

/// One bug.
#[derive(Debug, Serialize)]
struct Row {
    bug: &'static str,
    /// `killed`, `survived` or `equivalent`.
    result: &'static str,
    invariant: Option<Invariant>,
    needs: Option<FaultClass>,
    /// Cuts in the shortest schedule.
    cuts: Option<usize>,
    seconds: f64,
    schedule: Option<String>,
    /// What was seen, or why the bug changes nothing.
    reason: Option<String>,
}

impl Row {
    fn of(mutant: &Mutant) -> Self {
        let kill = mutant.kill.as_ref();
        let equivalent = mutant.bug.equivalent();
        let result = match (kill, equivalent) {
            (Some(_), _) => "killed",
            (None, Some(_)) => "equivalent",
            (None, None) => "survived",
        };
        Self {
            bug: mutant.bug.name(),
            result,
            invariant: kill.map(|kill| kill.breach.invariant),
            needs: kill.map(|kill| kill.class),
            cuts: kill.map(|kill| kill.schedule.cuts.len()),
            seconds: (mutant.time.as_secs_f64() * 10.0).round() / 10.0,
            schedule: kill.map(|kill| kill.schedule.to_string()),
            reason: kill
                .map(|kill| kill.breach.reason.clone())
                .or(equivalent.map(str::to_owned)),
        }
    }

    fn show(&self) {
        let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let last = match self.result {
            "equivalent" => self.reason.clone(),
            _ => self.schedule.clone(),
        };
        say::line(&format!(
            "{:33} {:10} {:11} {:7} {:>4} {:>7.1}  {}",
            self.bug,
            self.result,
            text(self.invariant.map(|invariant| invariant.to_string())),
            text(self.needs.map(|class| class.to_string())),
            text(self.cuts.map(|cuts| cuts.to_string())),
            self.seconds,
            text(last)
        ));
    }
}

fn bug(name: &str) -> Result<Planted, String> {
    Planted::all()
        .find(|bug| bug.name() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = Planted::all().map(Planted::name).collect();
            format!("there are {}", names.join(", "))
        })
}

/// Runs the verb.
pub(super) fn mutants(args: &MutantsArgs) -> Result<ExitCode, CliError> {
    let begun = Instant::now();
    let found = look_without_bug();
    match &found {
        Some(found) => {
            say::line(&format!("without any bug: {}", found.breach));
            say::line(&format!("  rig replay {}", found.schedule));
        }
        None => say::line(&format!(
            "without any bug: all runs pass, {:.1} s",
            begun.elapsed().as_secs_f64()
        )),
    }
    say::line(&format!(
        "{:33} {:10} {:11} {:7} {:>4} {:>7}  schedule",
        "bug", "result", "invariant", "needs", "cuts", "seconds"
    ));
    let bugs: Vec<Planted> = if args.bug.is_empty() {
        Planted::all().collect()
    } else {
        args.bug.clone()
    };
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for bug in bugs {
        let mutant = look_for(bug);
        let row = Row::of(&mutant);
        row.show();
        if !mutant.is_as_declared() {
            wrong.push(bug.name());
        }
        rows.push(row);
    }
    let with = |result| rows.iter().filter(|row| row.result == result).count();
    let equivalent = with("equivalent");
    say::line(&format!(
        "{} bugs: {} killed, {equivalent} equivalent, {} survived; {:.1} s",
        rows.len(),
        with("killed"),
        with("survived"),
        begun.elapsed().as_secs_f64()
    ));
    if !wrong.is_empty() {
        say::line(&format!(
            "not as declared (survived, or killed though equivalent): {}",
            wrong.join(", ")
        ));
    }
    let passes = found.is_none() && wrong.is_empty() && equivalent <= MOST_EQUIVALENT;
    if let Some(path) = &args.json {
        let table = Table {
            schema: SCHEMA,
            sound_core_passes: found.is_none(),
            seconds: begun.elapsed().as_secs_f64(),
            bugs: rows,
        };
        write(path, &table)?;
    }
    Ok(if passes { exit::PASS } else { exit::FIRMWARE }.into())
}

fn write(path: &Path, table: &Table) -> Result<(), TableError> {
    let write = || {
        let mut text = serde_json::to_vec_pretty(table)?;
        text.push(b'\n');
        std::fs::write(path, text)
    };
    write().map_err(|source| TableError {
        path: path.to_owned(),
        source,
    })
}
