//! Evidence from elsewhere: a folder that somebody else may have made is data, and nothing in it leads out of it.
//!
//! What a replay reads must be plain files of the folder itself: no link, no device, no name with `..`. The program that a
//! folder's bench names is not started; [`DEFAULT_QEMU`](powercut_bench::inventory::DEFAULT_QEMU) is.
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::evidence::NoEvidenceError;
use super::inputs::{Inputs, Sources};
use powercut_bench::inventory::DEFAULT_QEMU;
use powercut_package::SET_FILE;

/// Checks that what a replay reads in `folder`, besides the record at `record`, are files of the folder itself.
///
/// # Errors
/// The first that is something else.
pub(super) fn check(folder: &Path, record: &Path) -> Result<(), NoEvidenceError> {
    let sources = Sources::in_evidence(folder);
    for file in [record, &sources.plan, &sources.bench] {
        check_kind(file, fs::FileType::is_file, "no plain file")?;
    }
    for folder in [&sources.links, &sources.firmware] {
        check_kind(folder, fs::FileType::is_dir, "no plain folder")?;
        let Ok(entries) = fs::read_dir(folder) else {
            // Whoever needs it says that it is missing.
            continue;
        };
        for entry in entries.flatten() {
            check_kind(&entry.path(), fs::FileType::is_file, "no plain file")?;
        }
    }
    let set = sources.firmware.join(SET_FILE);
    match fs::read(&set) {
        Ok(text) => check_names(&set, &text),
        Err(_) => Ok(()),
    }
}

fn check_kind(
    path: &Path,
    is_right: fn(&fs::FileType) -> bool,
    otherwise: &'static str,
) -> Result<(), NoEvidenceError> {
    let what = match fs::symlink_metadata(path) {
        Ok(found) if is_right(&found.file_type()) => return Ok(()),
        // Whoever needs it says that it is missing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(found) if found.is_symlink() => "a link",
        Ok(_) | Err(_) => otherwise,
    };
    Err(NoEvidenceError::LeadsOut {
        path: path.to_owned(),
        what: format!("is {what}"),
    })
}

/// Every text of a firmware set's description that could be a path is a plain name.
fn check_names(path: &Path, text: &[u8]) -> Result<(), NoEvidenceError> {
    // What is no YAML is refused by the reader of firmware sets, with its line.
    let Ok(root) = serde_yaml::from_slice::<serde_yaml::Value>(text) else {
        return Ok(());
    };
    let mut left = vec![&root];
    while let Some(value) = left.pop() {
        match value {
            serde_yaml::Value::String(name) if leads_out(name) => {
                return Err(NoEvidenceError::LeadsOut {
                    path: path.to_owned(),
                    what: format!("names `{}`", name.escape_debug()),
                });
            }
            serde_yaml::Value::Sequence(items) => left.extend(items),
            serde_yaml::Value::Mapping(entries) => left.extend(entries.values()),
            serde_yaml::Value::Tagged(tagged) => left.push(&tagged.value),
            _ => {}
        }
    }
    Ok(())
}

fn leads_out(name: &str) -> bool {
    Path::new(name)
        .components()
        .any(|part| !matches!(part, Component::Normal(_)))
}

/// Puts the usual emulator in place of the program that the bench of `inputs` names; returns that program if it is another.
pub fn distrust_program(inputs: &mut Inputs) -> Option<PathBuf> {
    let mut other = None;
    for board in &mut inputs.bench.boards {
        let named = std::mem::replace(&mut board.emulator, PathBuf::from(DEFAULT_QEMU));
        if named != board.emulator {
            other = Some(named);
        }
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_stay_inside() {
        for name in ["1.0.0.hex", "1.1.0", "a b"] {
            assert!(!leads_out(name), "{name}");
        }
        for name in ["../x", "/etc/passwd", "a/../../x", "./x", ".."] {
            assert!(leads_out(name), "{name}");
        }
    }
}
