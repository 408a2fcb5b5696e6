//! Commands as text: those of `rig` exist with their options, and ci/test runs those that a page says it runs.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::page::{Block, repository};
use crate::program::rig;

/// The arguments of the commands in `text` that start `rig`, and whole other commands.
pub fn commands(text: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let (mut of_rig, mut others) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let line = line.split(" #").next().unwrap().trim();
        let words = line.split_whitespace().map(|word| word.trim_matches('\''));
        let mut words = words.map(str::to_owned).peekable();
        let Some(first) = words.peek() else { continue };
        if matches!(
            first.as_str(),
            "rig" | "target/debug/rig" | "target/release/rig"
        ) {
            of_rig.push(words.skip(1).collect());
        } else if line.starts_with("cargo run -p rig-controller ") {
            of_rig.push(words.skip_while(|word| word != "--").skip(1).collect());
        } else if !first.starts_with('#') {
            others.push(line.to_owned());
        }
    }
    (of_rig, others)
}

/// The body of a step of ci/test: its line, and the function that it calls.
fn step(name: &str) -> Option<String> {
    let script = fs::read_to_string(repository().join("ci/test")).unwrap();
    let line = script
        .lines()
        .find_map(|line| line.strip_prefix(&format!("step \"{name}\" ")))?;
    let head = format!("\n{}() {{", line.split_whitespace().next()?);
    let function = script.split_once(&head).map(|(_, rest)| {
        let end = if rest.starts_with('\n') {
            "\n}\n"
        } else {
            "}\n"
        };
        rest.split_once(end).map_or(rest, |(body, _)| body)
    });
    let text = format!("{line}\n{}", function.unwrap_or_default());
    Some(
        text.replace("\"$rig\"", "rig")
            .replace("\"$out/rig-with-bugs\"", "rig"),
    )
}

/// Asserts that a block which is not run says why, and that ci/test does what the reason says it does.
pub fn reason_holds(reason: &str, block: &Block<'_>) {
    let place = &block.place;
    assert!(
        reason.split_whitespace().count() > 1,
        "{place}: why is it not run?"
    );
    if let Some(path) = reason
        .split_whitespace()
        .find(|word| word.starts_with("tests/"))
    {
        assert!(
            repository().join("rig-controller").join(path).exists(),
            "{place}: no {path}"
        );
    }
    let Some(name) = reason.split('"').nth(1) else {
        return;
    };
    let body = step(name).unwrap_or_else(|| panic!("{place}: ci/test has no step \"{name}\""));
    if !reason.starts_with("ci/test runs it as the step") {
        return;
    }
    let (of_rig, others) = commands(&block.text);
    for arguments in of_rig {
        let verbs = verbs(&arguments);
        let command = format!("rig {}", arguments[..verbs].join(" "));
        assert!(
            body.contains(&command),
            "{place}: `{command}` is not in the step \"{name}\""
        );
        let mut rest = arguments[verbs..].iter();
        while let Some(argument) = rest.next() {
            let needed = match argument.as_str() {
                // Where results and firmware go is the business of ci/test.
                "--out" | "--firmware" | "--json" => {
                    rest.next();
                    continue;
                }
                option if option.starts_with("--") => option,
                file => file.rsplit('/').next().unwrap(),
            };
            assert!(
                body.contains(needed),
                "{place}: `{needed}` is not in the step \"{name}\""
            );
        }
    }
    for command in others {
        let program = command
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
        assert!(
            body.contains(&program),
            "{place}: `{program}` is not in the step \"{name}\""
        );
    }
}

/// How many of the arguments name the command, as the help of each level lists its commands.
fn verbs(arguments: &[String]) -> usize {
    let known = |depth: usize| {
        let listed = help(&arguments[..depth]);
        let listed = listed.split("Commands:\n").nth(1).unwrap_or_default();
        let listed = listed.split("\n\n").next().unwrap();
        listed
            .lines()
            .any(|line| line.split_whitespace().next() == Some(&arguments[depth]))
    };
    // Only a rig with the feature `seeded-bugs` has this command, and lists it.
    if arguments.first().is_some_and(|verb| verb == "mutants") {
        return 1;
    }
    (0..arguments.len())
        .find(|depth| !known(*depth))
        .unwrap_or(arguments.len())
}

fn help(verbs: &[String]) -> String {
    let mut arguments = verbs.iter().map(String::as_str).collect::<Vec<_>>();
    arguments.push("--help");
    rig(Path::new("."), &arguments).1
}

/// Asserts that `rig` has the command and the options.
pub fn command_exists(place: &str, arguments: &[String]) {
    let verbs = verbs(arguments);
    assert!(
        verbs > 0 || arguments[0].starts_with("--"),
        "{place}: rig has no command `{}`",
        arguments[0]
    );
    if arguments[0] == "mutants" {
        return;
    }
    let help = help(&arguments[..verbs]);
    let options: BTreeSet<_> = help
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| word.starts_with("--"))
        .collect();
    for option in arguments.iter().filter(|word| word.starts_with("--")) {
        assert!(
            options.contains(option.as_str()),
            "{place}: `rig {}` has no option {option}",
            arguments[..verbs].join(" ")
        );
    }
}
