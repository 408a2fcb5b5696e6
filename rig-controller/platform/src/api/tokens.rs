//! Who may do what: tokens in a file, one a line, each with a role.
//!
//! ```text
//! write 6f1d...   # may do everything
//! read  90ab...   # may look
//! ```
//! A file that is missing is made, readable by its owner only, with one token of each role. Tokens are compared by their
//! SHA-256 and in constant time, every one of them, so that an answer's time says nothing about any.
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use powercut_document::input_file;

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Read,
    /// Everything.
    Write,
}

/// Shortest token that is accepted, characters.
const LEAST_CHARACTERS: usize = 32;
/// Files larger than this are no tokens: each has a line.
const LARGEST_BYTES: u64 = 1 << 20;

/// All tokens, as hashes.
#[derive(Clone)]
pub struct Tokens(Vec<(Role, [u8; 32])>);

/// The file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file system refused.
    #[error("cannot read or write the tokens {}: {source}; check the folder's permissions and space", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("others than its owner may read the tokens {}; `chmod 600` it, and change the tokens if others may have", .path.display())]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// A line is wrong.
    #[error("{}:{line}: a line is `read TOKEN` or `write TOKEN`, the token at least {LEAST_CHARACTERS} characters long; correct it, or remove the file to have a new one made", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The host gives no random bytes.
    #[error("the host gives no random bytes for a token: {0}")]
    Random(getrandom::Error),
}

impl Tokens {
    /// The tokens of the file at `path`; a missing file is made.
    ///
    /// # Errors
    /// When the file cannot be read or made, can be read by others, or is wrong.
    pub fn load_or_make(path: &Path) -> Result<Self, TokenError> {
        let file = |source| TokenError::File {
            path: path.to_owned(),
            source,
        };
        if !path.try_exists().map_err(file)? {
            make(path)?;
        }
        let mode = std::fs::metadata(path).map_err(file)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(TokenError::Readable {
                path: path.to_owned(),
            });
        }
        let text =
            input_file::read_text(path, LARGEST_BYTES).map_err(|error| file(error.into()))?;
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let role = match words.next() {
                None => continue,
                Some("read") => Some(Role::Read),
                Some("write") => Some(Role::Write),
                Some(_) => None,
            };
            let token = words
                .next()
                .filter(|token| token.len() >= LEAST_CHARACTERS && words.next().is_none());
            let (Some(role), Some(token)) = (role, token) else {
                return Err(TokenError::Line {
                    path: path.to_owned(),
                    line: number,
                });
            };
            tokens.push((role, hash(token)));
        }
        Ok(Self(tokens))
    }

    /// The role of whoever shows this token; `None` if it is none.
    pub fn role(&self, shown: &str) -> Option<Role> {
        let shown = hash(shown);
        let mut found = 0_u8;
        for (role, token) in &self.0 {
            let same: Choice = token.ct_eq(&shown);
            let rank = match role {
                Role::Read => 1,
                Role::Write => 2,
            };
            found = u8::conditional_select(&found, &rank.max(found), same);
        }
        match found {
            0 => None,
            1 => Some(Role::Read),
            _ => Some(Role::Write),
        }
    }
}

/// The first token of a role in the file at `path`, for programs on the platform's own host.
///
/// # Errors
/// When the file cannot be read.
pub fn first_token(path: &Path, role: &str) -> Result<Option<String>, TokenError> {
    let text = input_file::read_text(path, LARGEST_BYTES).map_err(|error| TokenError::File {
        path: path.to_owned(),
        source: error.into(),
    })?;
    Ok(text.lines().find_map(|line| {
        let (found, rest) = line.split_once(' ')?;
        let token = rest.split_whitespace().next()?;
        (found == role).then(|| token.to_owned())
    }))
}

/// 32 random bytes in hexadecimal.
///
/// # Errors
/// When the host gives none.
pub fn random_token() -> Result<String, TokenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
    Ok(hex::encode(bytes))
}

fn make(path: &Path) -> Result<(), TokenError> {
    let text = format!(
        "write {} # may do everything\nread {} # may look\n",
        random_token()?,
        random_token()?
    );
    let file = |source| TokenError::File {
        path: path.to_owned(),
        source,
    };
    // Whole or not at all, whenever power goes.
    let new = path.with_extension("new");
    let mut written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(file)?;
    written.write_all(text.as_bytes()).map_err(file)?;
    written.sync_all().map_err(file)?;
    std::fs::rename(&new, path).map_err(file)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Tokens, TokenError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Tokens::load_or_make(&path)
    }

    #[test]
    fn a_missing_file_is_made_for_its_owner_only_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        Tokens::load_or_make(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let tokens = Tokens::load_or_make(&path).unwrap();
        let of = |role| first_token(&path, role).unwrap().unwrap();
        assert_eq!(tokens.role(&of("read")), Some(Role::Read));
        assert_eq!(tokens.role(&of("write")), Some(Role::Write));
        assert_ne!(of("read"), of("write"));
    }

    #[test]
    fn tokens_are_what_the_file_says_and_nothing_else() {
        let [one, two] = ["1".repeat(32), "2".repeat(40)];
        let tokens = with(&format!(
            "# all of them\n\nread {one}\n write  {two} # operator\n"
        ))
        .unwrap();
        assert_eq!(tokens.role(&one), Some(Role::Read));
        assert_eq!(tokens.role(&two), Some(Role::Write));
        for wrong in ["", &one[1..], &format!("{one} "), "read"] {
            assert_eq!(tokens.role(wrong), None);
        }
    }

    #[test]
    fn files_that_are_wrong_or_readable_by_others_are_refused() {
        for (text, at) in [
            ("\nadmin 11111111111111111111111111111111\n", 2),
            ("read short\n", 1),
            ("read 11111111111111111111111111111111 more\n", 1),
        ] {
            assert!(matches!(with(text), Err(TokenError::Line { line, .. }) if line == at));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Tokens::load_or_make(&path),
            Err(TokenError::Readable { .. })
        ));
    }
}
