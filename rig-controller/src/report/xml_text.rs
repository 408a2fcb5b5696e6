//! Makes any text safe for the JUnit writer, which puts text into CDATA and attributes as it is.
//!
//! Serial logs hold escape codes, NULs and whatever a dying device sends. XML 1.0 has no way to write most
//! control characters, and `]]>` ends a CDATA section early; a report with either is one no parser accepts.

/// Text for an attribute, on one line.
pub(super) fn attribute(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c })
        .filter(|c| is_allowed(*c))
        .collect()
}

/// Text for a CDATA section.
pub(super) fn cdata(text: &str) -> String {
    let allowed: String = text.chars().filter(|c| is_allowed(*c)).collect();
    // Ends the section between the brackets and opens the next: a reader sees the text unchanged.
    allowed.replace("]]>", "]]]]><![CDATA[>")
}

/// What XML 1.0 (section 2.2) allows, less the control characters it only discourages and less carriage
/// returns, which a parser would turn into line feeds anyway.
fn is_allowed(c: char) -> bool {
    matches!(c, '\n' | '\t') || !(c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go_and_the_rest_stays() {
        assert_eq!(
            cdata("a\u{1b}[31mb\0c\u{85}\u{FFFE}\td\r\né€😀"),
            "a[31mbc\td\né€😀"
        );
        assert_eq!(attribute("a\nb\u{7f}"), "a b");
    }

    #[test]
    fn a_cdata_end_is_split_even_when_it_appears_only_after_cleaning() {
        assert_eq!(cdata("]]>"), "]]]]><![CDATA[>");
        assert_eq!(cdata("]]\0>"), "]]]]><![CDATA[>");
    }
}
