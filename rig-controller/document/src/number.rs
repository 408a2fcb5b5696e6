//! Numbers that YAML reads otherwise than a person who wrote them meant.
use super::shown;

/// Why the number `value`, `written` so, is not taken as the whole number `what`, and how to write it, unless the range of
/// `what` says it better.
pub(super) fn not_whole(what: &str, value: f64, written: &str) -> (String, Option<String>) {
    if let Some((message, remedy)) = leading_zero(what, written) {
        return (message, Some(remedy));
    }
    let as_written = shown(written);
    let in_full = || (value.fract() == 0.0 && value.abs() < 1e15).then(|| format!("write {value}"));
    if is_digits(unsigned(written)) {
        (format!("{what} cannot be {as_written}"), None)
    } else if written.contains(['e', 'E']) {
        (
            format!("{what} is a whole number, and `{as_written}` is written as a power of ten"),
            in_full(),
        )
    } else if value.fract() == 0.0 {
        (
            format!("{what} is a whole number, and `{as_written}` is written with a point"),
            in_full(),
        )
    } else {
        (
            format!("{what} is a whole number, not a fraction (`{as_written}`)"),
            None,
        )
    }
}

/// What is wrong with a number that begins with a zero, and how to write it.
pub(super) fn leading_zero(what: &str, written: &str) -> Option<(String, String)> {
    let digits = unsigned(written);
    let significant = digits.trim_start_matches('0');
    if !is_digits(digits) || significant.len() == digits.len() || digits.len() == 1 {
        return None;
    }
    let significant = if significant.is_empty() {
        "0"
    } else {
        significant
    };
    let number = shown(significant);
    let may_be_octal = significant != "0" && significant.chars().all(|digit| digit < '8');
    let remedy = if may_be_octal {
        format!("write {number}, or 0o{number} if it is octal")
    } else {
        format!("write {number}")
    };
    Some((
        format!(
            "{what} begins with a zero (`{}`), which some take for octal and some do not",
            shown(written)
        ),
        remedy,
    ))
}

fn unsigned(written: &str) -> &str {
    written.strip_prefix(['+', '-']).unwrap_or(written)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '_')
}
