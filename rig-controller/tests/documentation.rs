//! README and guides hold where a test can tell: their commands run, their plans and benches are read, their links lead
//! somewhere, and their sentences have a subject.
#[path = "documentation/commands.rs"]
mod commands;
#[path = "documentation/page.rs"]
mod page;
#[path = "common/program.rs"]
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use commands::{command_exists, commands, reason_holds};
use page::{Block, Mark, pages, repository};
use powercut_bench::inventory::Bench;
use powercut_link::LinkProfile;
use powercut_simulate::SimulationPlan;
use program::rig;
use tempfile::TempDir;

/// A copy of those parts of the repository that commands of a page read, so that they can write there.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["fixtures", "test-plans"] {
            copy(&repository().join(part), &folder.path().join(part));
        }
        let built = folder.path().join("target/debug");
        fs::create_dir_all(&built).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rig"), built.join("rig")).unwrap();
        Self(folder)
    }

    fn run(&self, block: &Block<'_>) {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block.text])
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}: {}\n{}{}",
            block.place,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Saves a YAML file as a reader would, and has the reader of its kind take it.
    fn save(&self, name: &str, block: &Block<'_>) {
        let path = self.0.path().join(name);
        fs::write(&path, &block.text).unwrap();
        let place = &block.place;
        let links = self.0.path().join("fixtures/links");
        match block.text.split_once(':').unwrap().0 {
            "plan" => {
                let (code, _, complaint) = rig(self.0.path(), &["plan", "check", name]);
                assert_eq!(code, 0, "{place}: {complaint}");
            }
            "bench" => {
                Bench::load(&path).unwrap_or_else(|error| panic!("{place}: {error}"));
            }
            "simulate" => {
                SimulationPlan::load(&path, &links)
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
            }
            "description" => {
                assert_eq!(
                    path.parent().unwrap(),
                    links,
                    "{place}: plans find it nowhere else"
                );
                let name = path.file_stem().unwrap().to_str().unwrap();
                LinkProfile::load(&links, name).unwrap_or_else(|error| panic!("{place}: {error}"));
            }
            key => panic!("{place}: files that begin with `{key}` are of no kind known here"),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn every_command_in_the_documentation_runs_or_says_why_it_is_not_run_here() {
    let mut counts = BTreeMap::from([("run", 0), ("not run", 0), ("files", 0), ("output", 0)]);
    let mut count = |what| *counts.get_mut(what).unwrap() += 1;
    let mut all = 0;
    for page in pages() {
        let workplace = Workplace::new();
        for block in page.blocks() {
            all += 1;
            let place = &block.place;
            match (block.language, block.mark) {
                ("sh", Mark::None) => {
                    workplace.run(&block);
                    count("run");
                }
                ("sh", Mark::NotRun(reason)) => {
                    reason_holds(reason, &block);
                    for arguments in commands(&block.text).0 {
                        command_exists(place, &arguments);
                    }
                    count("not run");
                }
                ("yaml", Mark::File(name)) => {
                    workplace.save(name, &block);
                    count("files");
                }
                ("text", Mark::None) => {
                    let (of_rig, others) = commands(&block.text);
                    let command =
                        |line: &String| line.starts_with("cargo ") || line.starts_with("ci/");
                    assert!(
                        of_rig.is_empty() && !others.iter().any(command),
                        "{place}: commands go into a block of `sh`"
                    );
                    count("output");
                }
                (language, _) => panic!(
                    "{place}: a block of `{language}` with this comment above it; commands are `sh`, files `yaml` with \
                     `<!-- file: NAME -->`, output and pictures `text`"
                ),
            }
        }
    }
    println!("blocks: {counts:?}");
    assert_eq!(all, counts.values().sum::<usize>());
    assert!(
        counts["run"] >= counts["not run"] / 3,
        "hardly anything is run: {counts:?}"
    );
}

#[test]
fn commands_named_in_sentences_and_tables_exist_with_their_options() {
    let mut checked = 0;
    for page in pages() {
        for code in page.inline_code() {
            for arguments in commands(&code).0.iter().filter(|it| !it.is_empty()) {
                command_exists(&format!("{}: `{code}`", page.name()), arguments);
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "only {checked} commands found");
}

/// Phrases that leave a sentence without an actor, and numbers in words.
fn refused(prose: &str) -> Vec<&'static str> {
    const ANYWHERE: [&str; 4] = ["thousand million", "whoever", "nobody", "so many "];
    const AS_WRITTEN: [&str; 6] = [
        "What ",
        "One that ",
        "; what ",
        ": what ",
        ", what is ",
        "and what ",
    ];
    let prose = prose.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = prose.to_lowercase();
    let anywhere = ANYWHERE.into_iter().filter(|it| lower.contains(it));
    anywhere
        .chain(AS_WRITTEN.into_iter().filter(|it| prose.contains(it)))
        .collect()
}

#[test]
fn sentences_have_an_actor_and_numbers_are_figures() {
    assert_eq!(refused("Stop. What is\nmisspelt is refused."), ["What "]);
    assert_eq!(
        refused("A thousand\nmillion; Nobody counts."),
        ["thousand million", "nobody"]
    );
    assert!(refused("The reader says what to write instead.").is_empty());
    for page in pages() {
        assert_eq!(
            refused(&page.prose()),
            Vec::<&str>::new(),
            "{}",
            page.name()
        );
    }
}

/// Doc comments that begin a sentence so, in the sources below each folder: fewer from one change to the next. A number
/// that has fallen is lowered here.
const OPENERS_LEFT: [(&str, usize); 2] = [("rig-controller", 457), ("target-firmware", 120)];

#[test]
fn doc_comments_have_no_more_sentences_without_an_actor_than_before() {
    const OPENERS: [&str; 5] = ["What", "Whoever", "Nobody", "So many", "One that"];
    for (folder, most) in OPENERS_LEFT {
        let mut found = 0;
        let mut folders = vec![repository().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("target") {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "rs") {
                    let source = fs::read_to_string(&path).unwrap();
                    for line in source.lines().map(str::trim_start) {
                        let comment = line.strip_prefix("///").or(line.strip_prefix("//!"));
                        let words = comment.unwrap_or_default();
                        found += OPENERS
                            .iter()
                            .map(|opener| words.matches(&format!(" {opener} ")).count())
                            .sum::<usize>();
                    }
                }
            }
        }
        println!("{folder}: {found} of at most {most}");
        assert!(
            found > 0,
            "no such sentence is left in {folder}: refuse them from now on"
        );
        assert!(
            found <= most,
            "{folder}: {found} sentences of doc comments begin with {OPENERS:?}, at most {most} did; name the actor"
        );
    }
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn links_lead_to_files_and_headings_that_exist_and_the_readme_to_every_guide() {
    let mut linked = BTreeSet::new();
    for page in pages() {
        for target in page.prose().split("](").skip(1) {
            let target = target.split(')').next().unwrap();
            if target.starts_with("https://") {
                continue;
            }
            let complaint = format!("{}: {target} leads nowhere", page.name());
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => page.path.clone(),
                path => page.path.parent().unwrap().join(path),
            };
            let path = path.canonicalize().expect(&complaint);
            assert!(path.starts_with(repository()), "{complaint}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&path).unwrap();
                let found = text.lines().any(|line| {
                    line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading
                });
                assert!(found, "{complaint}");
            }
            if page.name() == "README.md" {
                linked.insert(path);
            }
        }
    }
    let guides = pages().into_iter().map(|page| page.path);
    let missing: Vec<_> = guides
        .filter(|guide| !guide.ends_with("README.md") && !linked.contains(guide))
        .collect();
    assert!(missing.is_empty(), "the README has no link to {missing:?}");
}

#[test]
fn the_readme_takes_ten_minutes() {
    let lines = pages()[0].text.lines().count();
    assert_eq!(pages()[0].name(), "README.md");
    assert!(lines <= 200, "{lines} lines: move some of it into a guide");
}
