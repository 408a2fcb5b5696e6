//! Pages of the documentation and their fenced blocks.
use std::fs;
use std::path::{Path, PathBuf};

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// A page of the documentation.
pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

/// README and guides, in the order of their names.
pub fn pages() -> Vec<Page> {
    let mut paths = vec![repository().join("README.md")];
    for entry in fs::read_dir(repository().join("rig-controller/docs")).unwrap() {
        paths.push(entry.unwrap().path());
    }
    paths.retain(|path| path.extension().is_some_and(|it| it == "md"));
    paths.sort();
    let read = |path: PathBuf| Page {
        text: fs::read_to_string(&path).unwrap(),
        path,
    };
    paths.into_iter().map(read).collect()
}

impl Page {
    pub fn name(&self) -> String {
        self.path
            .strip_prefix(repository())
            .unwrap()
            .display()
            .to_string()
    }

    /// Its fenced blocks. Panics at a fence that is never closed or stands where this parser would overlook it.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut before = "";
        let mut lines = self.text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let place = format!("{}:{}", self.name(), index + 1);
                let mut text = String::new();
                loop {
                    match lines.next() {
                        Some((_, "```")) => break,
                        Some((_, line)) => text.extend([line, "\n"]),
                        None => panic!("{place}: the block never ends"),
                    }
                }
                blocks.push(Block {
                    language,
                    mark: Mark::of(before),
                    text,
                    place,
                });
            } else {
                let fence = ["```", "~~~"].iter().any(|it| line.trim().starts_with(it));
                assert!(!fence, "{}:{}: an indented fence", self.name(), index + 1);
            }
            before = line;
        }
        blocks
    }

    /// The page without its fenced blocks: text, and code in the text, by turns.
    fn text_and_code(&self) -> Vec<String> {
        let mut inside = false;
        let mut text = String::new();
        for line in self.text.lines() {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                text.extend([line, "\n"]);
            }
        }
        text.split('`').map(str::to_owned).collect()
    }

    pub fn prose(&self) -> String {
        let parts = self.text_and_code();
        parts.into_iter().step_by(2).collect::<Vec<_>>().join("`")
    }

    pub fn inline_code(&self) -> Vec<String> {
        let parts = self.text_and_code();
        assert!(
            parts.len() % 2 == 1,
            "{}: a backtick without its partner",
            self.name()
        );
        parts
            .into_iter()
            .skip(1)
            .step_by(2)
            .map(|code| code.replace('\n', " "))
            .collect()
    }
}

/// A fenced block and the comment right above it.
pub struct Block<'a> {
    pub language: &'a str,
    pub mark: Mark<'a>,
    pub text: String,
    pub place: String,
}

/// What the comment right above a block says of it.
#[derive(Clone, Copy)]
pub enum Mark<'a> {
    None,
    /// `<!-- file: NAME -->`: readers save it under this name.
    File(&'a str),
    /// `<!-- not run: REASON -->`: this test leaves it out.
    NotRun(&'a str),
}

impl<'a> Mark<'a> {
    fn of(line: &'a str) -> Self {
        let comment = line
            .strip_prefix("<!-- ")
            .and_then(|line| line.strip_suffix(" -->"));
        match comment.and_then(|comment| comment.split_once(": ")) {
            Some(("file", name)) => Self::File(name),
            Some(("not run", reason)) => Self::NotRun(reason),
            _ => Self::None,
        }
    }
}
