//! What a person reads is never the `Debug` form of anything, which is for programmers: `(Some(Reverted))`.
use std::fs;
use std::path::{Path, PathBuf};

/// Where the sources of the host's crates are.
const CRATES: [&str; 8] = [
    "bench/src",
    "document/src",
    "explore/src",
    "link/src",
    "oracle/src",
    "package/src",
    "platform/src",
    "src",
];

/// Files that may print it, and why.
const MAY: &[(&str, &str)] = &[
    (
        "package/src/build.rs",
        "hashes what images are built from; nobody reads it",
    ),
    (
        "package/src/set.rs",
        "flash refuses only images that checks before have let through",
    ),
    (
        "platform/src/load/device.rs",
        "a device under load that does not start is a fault of the load",
    ),
    (
        "platform/src/store/parts.rs",
        "the database holds results as they have always been written",
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line formats something as `Debug`: a placeholder that ends in `?}`.
fn formats_debug(line: &str) -> bool {
    line.match_indices("?}").any(|(end, _)| {
        let start = line[..end].rfind('{').map_or(end, |brace| brace + 1);
        line[start..end].split_once(':').is_some_and(|(_, format)| {
            format
                .chars()
                .all(|c| matches!(c, '#' | 'x' | 'X') || c.is_ascii_digit())
        })
    })
}

#[test]
fn placeholders_for_programmers_are_told_from_others() {
    for line in [
        "format!(\"{x:?}\")",
        "#[error(\"{0:?} is wrong\")]",
        "a {:#?} b",
        "{junk:x?}",
    ] {
        assert!(formats_debug(line), "{line}");
    }
    for line in [
        "format!(\"{x}\")",
        "match x? {}",
        "{ y: z? }",
        "{address:#x}",
    ] {
        assert!(!formats_debug(line), "{line}");
    }
}

#[test]
fn nothing_a_person_reads_is_written_as_programmers_read_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in CRATES {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 200, "{}", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let is_test = name.ends_with("tests.rs") || name.ends_with("fixture.rs");
        if is_test || MAY.iter().any(|(may, _)| *may == name) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            // Tests stand last in a file.
            if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(fuzzing") {
                break;
            }
            if formats_debug(line) {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "give these types words of their own (`Display`, or powercut_package::words):\n{}",
        wrong.join("\n")
    );
}
