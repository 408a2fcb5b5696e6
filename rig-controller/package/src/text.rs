//! Text files as the tools of three worlds leave them: any line end, a byte-order mark in front, padding behind.

/// The byte-order mark of UTF-8.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The text without byte-order mark, and without the padding that transfers and old editors put behind its end: blanks,
/// NUL, Ctrl-Z and bytes of erased flash.
pub(super) fn bare(content: &[u8]) -> &[u8] {
    let content = content.strip_prefix(MARK).unwrap_or(content);
    let is_padding = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x1A | 0xFF);
    let end = content.iter().rposition(|byte| !is_padding(byte));
    end.and_then(|end| content.get(..=end)).unwrap_or_default()
}

/// The lines of a text and their numbers, from 1; LF, CR LF and CR alone end a line.
pub(super) fn lines(content: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = Some(content);
    (1..).zip(std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text);
        };
        let (line, after) = text.split_at(end);
        rest = after.strip_prefix(b"\r\n").or(after.get(1..));
        Some(line)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_end_ends_one_line() {
        let texts: Vec<(usize, &[u8])> = lines(b"a\nb\r\nc\rd\n\re").collect();
        assert_eq!(
            texts,
            [
                (1, &b"a"[..]),
                (2, b"b"),
                (3, b"c"),
                (4, b"d"),
                (5, b""),
                (6, b"e")
            ]
        );
        assert_eq!(lines(b"").collect::<Vec<_>>(), [(1, &b""[..])]);
    }

    #[test]
    fn mark_and_padding_go_and_the_text_between_stays() {
        assert_eq!(bare(b"\xEF\xBB\xBF a\0b\r\n\x1A\0\0\xFF"), b" a\0b");
        assert_eq!(bare(b"\0\0"), b"");
        assert_eq!(bare(b""), b"");
    }
}
