//! Intel HEX, by the `ihex` crate record by record so that every complaint has its line.
//!
//! What other tools leave in such files without harm is taken: a byte-order mark, any line end, blank lines and comments
//! between records, padding behind the last one.
use std::ops::Range;
use std::path::Path;

use ihex::{ReaderError, Record};

use super::assembly::{Assembly, Misplaced};
use super::text::{bare, lines};
use super::{FirmwareError, Image};

/// Data bytes in a written record; what most tools write.
const RECORD_BYTES: usize = 16;

/// Read an image.
pub(super) fn parse(
    path: &Path,
    content: &[u8],
    flash: Range<u32>,
) -> Result<Image, FirmwareError> {
    let mut assembly = Assembly::new(flash);
    // Added to the 16-bit address of each data record.
    let mut upper = 0u64;
    let mut end = None;
    let mut last = 1;
    for (number, line) in record_lines(content) {
        let wrong = |reason: String| FirmwareError::Line {
            path: path.to_owned(),
            line: number,
            reason,
        };
        last = number;
        if let Some(end) = end {
            return Err(wrong(format!(
                "text after the end-of-file record of line {end}; the file is several files in one"
            )));
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| wrong("not text; is this really an Intel HEX file?".to_owned()))?;
        let record = Record::from_record_string(line).map_err(|error| wrong(explain(error)))?;
        match record {
            Record::Data { offset, value } => {
                assembly
                    .put(upper + u64::from(offset), &value)
                    .map_err(|Misplaced(reason)| wrong(reason))?;
            }
            Record::ExtendedSegmentAddress(segment) => upper = u64::from(segment) << 4,
            Record::ExtendedLinearAddress(half) => upper = u64::from(half) << 16,
            // Where to start is in the vector table; these records are for other machines.
            Record::StartSegmentAddress { .. } | Record::StartLinearAddress(_) => {}
            Record::EndOfFile => end = Some(number),
        }
    }
    let at_end = |reason: &str| FirmwareError::Line {
        path: path.to_owned(),
        line: last,
        reason: reason.to_owned(),
    };
    if end.is_none() {
        return Err(at_end(
            "the end-of-file record (:00000001FF) is missing; the file was cut short, copy or build it again",
        ));
    }
    assembly
        .finish()
        .ok_or_else(|| at_end("the file holds no data; build the firmware again"))
}

/// The lines that should be records, trimmed, and their numbers.
fn record_lines(content: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let is_comment = |line: &[u8]| matches!(line, [b';' | b'#', ..] | [b'/', b'/', ..]);
    lines(bare(content))
        .map(|(number, line)| (number, line.trim_ascii()))
        .filter(move |(_, line)| !line.is_empty() && !is_comment(line))
}

/// How many records a HEX text has, wherever in memory they belong; `None` if one of them is damaged or the last one
/// does not end the file.
pub fn records(content: &[u8]) -> Option<usize> {
    let mut count = 0;
    let mut ended = false;
    for (_, line) in record_lines(content) {
        if ended {
            return None;
        }
        let record = Record::from_record_string(std::str::from_utf8(line).ok()?).ok()?;
        ended = record == Record::EndOfFile;
        count += 1;
    }
    ended.then_some(count)
}

fn explain(error: ReaderError) -> String {
    let damaged = "the line is damaged, copy or build the file again";
    match error {
        ReaderError::MissingStartCode => format!("the line does not begin with `:`; {damaged}"),
        ReaderError::RecordNotEvenLength => format!("the line ends in half a byte; {damaged}"),
        ReaderError::ContainsInvalidCharacters => {
            format!("the line holds a character that is no hexadecimal digit; {damaged}")
        }
        ReaderError::ChecksumMismatch(computed, found) => {
            format!(
                "the line ends in checksum {found:02X}, its content has {computed:02X}; {damaged}"
            )
        }
        // Specification of the micro:bit's Universal Hex, 0.4.0: blocks of records, each for one version of the board.
        ReaderError::UnsupportedRecordType(0x0A..=0x0E) => {
            "a record of a micro:bit Universal Hex, which holds programs for several boards in one; give the Intel HEX file that the build made for this board alone"
                .to_owned()
        }
        other => format!("the record is wrong ({other}); {damaged}"),
    }
}

/// Write an image.
pub(super) fn print(image: &Image) -> String {
    let mut records = Vec::new();
    let mut upper = None;
    let mut address = image.base as usize;
    let mut rest = image.bytes.as_slice();
    while !rest.is_empty() {
        let half = (address >> 16) as u16;
        if upper != Some(half) {
            records.push(Record::ExtendedLinearAddress(half));
            upper = Some(half);
        }
        // A record must not cross 64 KiB, where its 16-bit address would wrap.
        let to_boundary = 0x1_0000 - (address & 0xFFFF);
        let (now, later) = rest.split_at(rest.len().min(RECORD_BYTES).min(to_boundary));
        records.push(Record::Data {
            offset: (address & 0xFFFF) as u16,
            value: now.to_vec(),
        });
        address += now.len();
        rest = later;
    }
    records.push(Record::EndOfFile);
    let mut text = String::new();
    for record in &records {
        // Fails only for records above 255 bytes or text without an end, which these are not.
        if let Ok(line) = record.to_record_string() {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Image, String> {
        parse(Path::new("a.hex"), text.as_bytes(), 0..0x4_0000).map_err(|error| error.to_string())
    }

    #[test]
    fn both_kinds_of_extended_address_count() {
        let image = read(":020000022000DC\r\n:01001000AA45\r\n:020000040002F8\r\n:01001200BB32\r\n\r\n:00000001FF\r\n").unwrap();
        assert_eq!(
            (image.base, image.bytes),
            (0x2_0010, vec![0xAA, 0xFF, 0xBB])
        );
    }

    #[test]
    fn each_kind_of_damage_is_refused_with_its_line() {
        for (text, expected) in [
            (
                ":01000000AA55\n:01000100AA55\n:00000001FF\n",
                "a.hex:2: the line ends in checksum 55, its content has 54",
            ),
            (
                ":01000000AA55\n",
                "a.hex:1: the end-of-file record (:00000001FF) is missing",
            ),
            ("", "a.hex:1: the end-of-file record"),
            (
                ":01000000AA5\n:00000001FF\n",
                "a.hex:1: the line ends in half a byte",
            ),
            (
                ":01000000AAzz\n:00000001FF\n",
                "a.hex:1: the line holds a character that is no hexadecimal digit",
            ),
            ("\n\nhello\n", "a.hex:3: the line does not begin with `:`"),
            (
                ":01000000AA55\n:01000000AA55\n:00000001FF\n",
                "a.hex:2: address 0x0 is given twice",
            ),
            (
                ":020000041000EA\n:01000000AA55\n:00000001FF\n",
                "a.hex:2: 1 bytes at 0x10000000 lie outside the flash",
            ),
            (
                ":00000001FF\n:01000000AA55\n",
                "a.hex:2: text after the end-of-file record of line 1",
            ),
            (":00000001FF\n", "a.hex:1: the file holds no data"),
            (
                ":02000000AA54\n:00000001FF\n",
                "a.hex:1: the record is wrong",
            ),
        ] {
            let complaint = read(text).unwrap_err();
            assert!(complaint.starts_with(expected), "{complaint}\n{expected}");
        }
        let universal = ":020000040000FA\n:0400000A9900C0DEBB\n:00000001FF\n";
        let complaint = read(universal).unwrap_err();
        assert!(
            complaint.starts_with("a.hex:2: a record of a micro:bit Universal Hex"),
            "{complaint}"
        );
        let uicr = ":020000041000EA\n:041014000000C00315\n:00000001FF\n";
        let complaint = read(uicr).unwrap_err();
        assert!(
            complaint.starts_with("a.hex:2: 4 bytes at 0x10001014 lie in the UICR"),
            "{complaint}"
        );
        let binary = parse(Path::new("a.hex"), b":01\xFF0", 0..16)
            .unwrap_err()
            .to_string();
        assert!(binary.starts_with("a.hex:1: not text"), "{binary}");
    }

    #[test]
    fn what_other_tools_leave_without_harm_is_taken() {
        let plain = ":01000000AA55\n:01000100BB43\n:00000001FF\n";
        let image = read(plain).unwrap();
        for harmless in [
            format!("\u{FEFF}{plain}"),
            plain.replace('\n', "\r"),
            plain.replace('\n', "\r\n"),
            format!("; built by Foo\n# comment\n// another\n{plain}; end\n"),
            plain.replace("\n:00", "\n  # between\n\n:00"),
            format!("{plain}\x1A"),
            format!("{}\x1A\0\0", plain.trim_end()),
            format!("{plain}{}", "\0".repeat(512)),
        ] {
            assert_eq!(read(&harmless).as_ref(), Ok(&image), "{harmless:?}");
        }
        let cut_short = plain.replace(":00000001FF", "\0\0");
        let complaint = read(&cut_short).unwrap_err();
        assert!(
            complaint.starts_with("a.hex:2: the end-of-file record"),
            "{complaint}"
        );
        let second_line = plain.replace('\n', "\r").replace("BB43", "BB44");
        let complaint = read(&second_line).unwrap_err();
        assert!(complaint.starts_with("a.hex:2: "), "{complaint}");
    }

    #[test]
    fn records_count_wherever_they_belong_and_only_if_all_are_sound() {
        let text = ":020000041000EA\r\n:01000000AA55\r\n:00000001FF\r\n";
        assert_eq!(records(text.as_bytes()), Some(3));
        for damaged in [
            text.replace("AA55", "AA54"),
            text.replace(":00000001FF", ""),
            format!("{text}:00000001FF"),
        ] {
            assert_eq!(records(damaged.as_bytes()), None, "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(base in 0u32..0x3_0000, bytes in prop::collection::vec(any::<u8>(), 1..70_000)) {
            let image = Image { base, bytes };
            prop_assume!(base as usize + image.bytes.len() <= 0x4_0000);
            prop_assert_eq!(read(&print(&image)), Ok(image));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(:[0-9A-F]{0,20}|\\PC|\\n){0,20}") {
            let _ = read(&text);
        }
    }
}
