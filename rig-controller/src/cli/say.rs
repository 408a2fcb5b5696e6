//! Text for people. A reader that went away (`rig run ... | head`) is no reason to leave boards powered, so a line
//! that cannot be written is dropped.
use std::io::Write;

/// One line on stdout.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A text of several lines on stdout, as it is.
pub(super) fn text(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}

/// A complaint on stderr.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "rig: {text}");
}
