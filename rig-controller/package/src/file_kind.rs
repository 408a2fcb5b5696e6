//! What a file is, by its content. Raw binaries have no mark of their own: a file is one when it is nothing else known
//! here, and no text.
use super::text::{bare, lines};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// An ELF file of any kind.
    Elf,
    /// Intel HEX, sound or not.
    Hex,
    /// A file of another kind.
    Foreign(Foreign),
    /// Text of no known kind.
    Text,
    /// Bytes that may be an image as it lies in flash.
    Raw,
}

/// A kind of file that is no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    /// What it is.
    pub(super) what: &'static str,
    /// What to do about it.
    pub(super) remedy: &'static str,
}

impl Foreign {
    const fn new(what: &'static str, remedy: &'static str) -> Self {
        Self { what, remedy }
    }
}

/// Text that no reader here knows.
pub(super) const TEXT: Foreign = Foreign::new("text", DOWNLOAD);

const DOWNLOAD: &str = "look into it, it may be an error message in place of a download";
const UNPACK: &str = "unpack it and give the image inside";
const PROGRAM: &str = "build the firmware for the board's target";
const LINK: &str = "link it into a program and give that";
const CONVERT: &str = "give the Intel HEX or ELF file of the same build";

/// How files of other kinds begin.
const BEGINNINGS: [(&[u8], Foreign); 26] = [
    (
        b"PCPK",
        Foreign::new(
            "a package of `rig pack` already",
            "hand it to the platform as it is",
        ),
    ),
    (b"PK\x03\x04", Foreign::new("a ZIP archive", UNPACK)),
    (b"\x1F\x8B", Foreign::new("a gzip file", UNPACK)),
    (b"BZh", Foreign::new("a bzip2 file", UNPACK)),
    (b"\xFD7zXZ\0", Foreign::new("an xz file", UNPACK)),
    (
        b"\x28\xB5\x2F\xFD",
        Foreign::new("a Zstandard file", UNPACK),
    ),
    (
        b"7z\xBC\xAF\x27\x1C",
        Foreign::new("a 7-Zip archive", UNPACK),
    ),
    (b"UF2\n", Foreign::new("a UF2 file", CONVERT)),
    (b"DfuSe", Foreign::new("a DfuSe file (USB DFU)", CONVERT)),
    (
        b"\x3D\xB8\xF3\x96",
        Foreign::new(
            "an image signed for MCUboot",
            "give the image as it was before `imgtool sign`",
        ),
    ),
    (b"MZ", Foreign::new("a Windows program (PE)", PROGRAM)),
    (
        b"\xFE\xED\xFA\xCE",
        Foreign::new("a macOS program (Mach-O)", PROGRAM),
    ),
    (
        b"\xFE\xED\xFA\xCF",
        Foreign::new("a macOS program (Mach-O)", PROGRAM),
    ),
    (
        b"\xCE\xFA\xED\xFE",
        Foreign::new("a macOS program (Mach-O)", PROGRAM),
    ),
    (
        b"\xCF\xFA\xED\xFE",
        Foreign::new("a macOS program (Mach-O)", PROGRAM),
    ),
    (
        b"\xCA\xFE\xBA\xBE",
        Foreign::new("a macOS program (Mach-O) or a Java class", PROGRAM),
    ),
    (b"\0asm", Foreign::new("a WebAssembly module", PROGRAM)),
    (b"!<arch>\n", Foreign::new("a static library", LINK)),
    (b"BC\xC0\xDE", Foreign::new("LLVM bitcode", LINK)),
    (
        b"SQLite format 3\0",
        Foreign::new("an SQLite database", "is this the right file?"),
    ),
    (
        b"%PDF-",
        Foreign::new("a PDF document", "is this the right file?"),
    ),
    (
        b"\x89PNG\r\n",
        Foreign::new("a PNG picture", "is this the right file?"),
    ),
    (
        b"\xFF\xD8\xFF",
        Foreign::new("a JPEG picture", "is this the right file?"),
    ),
    (
        b"GIF8",
        Foreign::new("a GIF picture", "is this the right file?"),
    ),
    (b"\xFF\xFE", UTF_16),
    (b"\xFE\xFF", UTF_16),
];

const UTF_16: Foreign = Foreign::new(
    "text in UTF-16",
    "save it as ASCII or UTF-8 (PowerShell: `Set-Content -Encoding ascii`)",
);

/// How texts of other kinds begin, in lower case.
const TEXTS: [(&str, Foreign); 10] = [
    ("<!doctype html", Foreign::new("an HTML page", DOWNLOAD)),
    ("<html", Foreign::new("an HTML page", DOWNLOAD)),
    ("<head", Foreign::new("an HTML page", DOWNLOAD)),
    ("<?xml", Foreign::new("an XML document", DOWNLOAD)),
    ("<", Foreign::new("an HTML or XML text", DOWNLOAD)),
    ("{", Foreign::new("JSON text", DOWNLOAD)),
    (
        "-----begin ",
        Foreign::new(
            "a PEM file (a key or a certificate)",
            "give the image; a signing key goes with `--key`",
        ),
    ),
    (
        "version https://git-lfs",
        Foreign::new("a Git LFS pointer", "fetch the file with `git lfs pull`"),
    ),
    ("#!", Foreign::new("a script", "is this the right file?")),
    (
        "%!",
        Foreign::new("a PostScript document", "is this the right file?"),
    ),
];

const S_RECORDS: Foreign = Foreign::new(
    "a Motorola S-record file",
    "convert it with `objcopy -I srec -O ihex`, or give the Intel HEX or ELF file of the same build",
);
const TI_TEXT: Foreign = Foreign::new("a TI-TXT or Verilog memory file", CONVERT);

impl FileKind {
    /// What this content is.
    pub(super) fn of(content: &[u8]) -> Self {
        if content.starts_with(b"\x7FELF") {
            return Self::Elf;
        }
        let text = bare(content);
        if is_hex_line(text.trim_ascii_start()) {
            return Self::Hex;
        }
        let begins = |(mark, _): &&(&[u8], Foreign)| content.starts_with(mark);
        if let Some((_, foreign)) = BEGINNINGS.iter().find(begins) {
            return Self::Foreign(*foreign);
        }
        if let Some(foreign) = by_its_end(content) {
            return Self::Foreign(foreign);
        }
        let start = text.trim_ascii_start();
        let start = &start[..start.len().min(32)];
        let start = String::from_utf8_lossy(start).to_ascii_lowercase();
        let named = TEXTS.iter().find(|(mark, _)| start.starts_with(mark));
        // Two of the marks are single characters: alone they make no text of a binary.
        if let Some((_, foreign)) = named.filter(|(mark, _)| mark.len() > 1 || is_text(text)) {
            return Self::Foreign(*foreign);
        }
        if !is_text(text) {
            return Self::Raw;
        }
        if lines(text).any(|(_, line)| is_hex_line(line.trim_ascii()) && line.len() > 10) {
            return Self::Hex;
        }
        match text.trim_ascii_start() {
            [b'S' | b's', b'0'..=b'9', rest @ ..]
                if rest.first().is_some_and(u8::is_ascii_hexdigit) =>
            {
                Self::Foreign(S_RECORDS)
            }
            [b'@', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
                Self::Foreign(TI_TEXT)
            }
            _ => Self::Text,
        }
    }
}

/// Kinds of files that are marked elsewhere than at their start.
fn by_its_end(content: &[u8]) -> Option<Foreign> {
    // USB Device Firmware Upgrade 1.1, appendix B: ... bcdDFU, "UFD", length of the suffix, CRC.
    if let Some([0 | 0x1A, 1, b'U', b'F', b'D', 16, ..]) = content.last_chunk::<10>() {
        return Some(Foreign::new(
            "an image with a suffix for USB DFU",
            "take the suffix off with `dfu-suffix --delete`",
        ));
    }
    let tar = content.get(257..262) == Some(b"ustar");
    tar.then_some(Foreign::new("a tar archive", UNPACK))
}

fn is_hex_line(line: &[u8]) -> bool {
    matches!(line, [b':', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Whether this can be text in an encoding that has ASCII in it. Images cannot: their vector tables have bytes 0.
fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F);
    let ascii = bytes.iter().filter(|byte| byte.is_ascii()).count();
    !bytes.is_empty()
        && !bytes.iter().any(is_control)
        && (ascii * 4 >= bytes.len() * 3 || std::str::from_utf8(bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(content: &[u8]) -> &'static str {
        match FileKind::of(content) {
            FileKind::Elf => "ELF",
            FileKind::Hex => "HEX",
            FileKind::Foreign(foreign) => foreign.what,
            FileKind::Text => "text",
            FileKind::Raw => "raw",
        }
    }

    #[test]
    fn each_kind_is_known_by_its_content() {
        for (content, expected) in [
            (&b"\x7FELF\x02"[..], "ELF"),
            (b":00000001FF", "HEX"),
            (b"\xEF\xBB\xBF\r\n :00000001FF", "HEX"),
            (b":01\xFF\0", "HEX"),
            (b"; a comment\n:0100000055AA\n", "HEX"),
            (b"a stray line\r:0100000055AA\r", "HEX"),
            (b" \n<!DOCTYPE HTML><html>", "an HTML page"),
            (b"<html>\xE9\xE8</html>", "an HTML page"),
            (
                b"<Error><Code>AccessDenied</Code></Error>",
                "an HTML or XML text",
            ),
            (b"{\"error\": 404}", "JSON text"),
            (b"404: Not Found\n", "text"),
            (b"S00600004844521B\n", "a Motorola S-record file"),
            (
                b"@9C00\n00 40 00 20\nq\n",
                "a TI-TXT or Verilog memory file",
            ),
            (b"\xFF\xFE:\x000\0", "text in UTF-16"),
            (
                b"-----BEGIN PRIVATE KEY-----\n",
                "a PEM file (a key or a certificate)",
            ),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a Git LFS pointer",
            ),
            (b"\x1F\x8B\x08", "a gzip file"),
            (b"PK\x03\x04\0\0", "a ZIP archive"),
            (b"UF2\n\0", "a UF2 file"),
            (b"MZ\x90\0", "a Windows program (PE)"),
            (b"\xCF\xFA\xED\xFE\x0C", "a macOS program (Mach-O)"),
            (b"DfuSe\x01", "a DfuSe file (USB DFU)"),
            (b"PCPK\x01\0", "a package of `rig pack` already"),
        ] {
            assert_eq!(what(content), expected, "{content:?}");
        }
        let image = [&0x2000_4000_u32.to_le_bytes()[..], &[1; 300]].concat();
        assert_eq!(what(&image), "raw");
        let suffix = b"\xFF\xFF\xFF\xFF\xFF\xFF\0\x01UFD\x10abcd";
        let dfu = [image.as_slice(), suffix].concat();
        assert_eq!(what(&dfu), "an image with a suffix for USB DFU");
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(what(&tar), "a tar archive");
    }

    #[test]
    fn memory_that_is_no_text_stays_memory() {
        for bytes in [
            &[0xFF; 64][..],
            &[0; 64],
            &[7; 64],
            b"<\0\0\x20\x01",
            b"{\x02\0\0\x01",
            b"",
        ] {
            assert_eq!(what(bytes), "raw", "{bytes:?}");
        }
    }
}
