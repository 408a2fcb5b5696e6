//! ELF: the loadable segments at their *physical* addresses, which is where they lie in flash. Initialised
//! data runs in RAM but its content is loaded from flash; its virtual address would be wrong here.
use std::ops::Range;
use std::path::Path;

use object::Endianness;
use object::elf::{self, FileHeader32};
use object::read::elf::{FileHeader, ProgramHeader};

use super::assembly::{Assembly, Misplaced};
use super::{FirmwareError, Image};

/// Offset of the machine in an ELF header.
const MACHINE_OFFSET: u64 = 18;
/// Offset of the position of the program headers in a 32-bit ELF header.
const PROGRAM_HEADERS_OFFSET: u64 = 28;

/// Read an image.
pub(super) fn parse(
    path: &Path,
    content: &[u8],
    flash: Range<u32>,
) -> Result<Image, FirmwareError> {
    let wrong = |offset: u64, reason: String| FirmwareError::Offset {
        path: path.to_owned(),
        offset,
        reason,
    };
    let damaged = |offset, error: object::read::Error| {
        wrong(
            offset,
            format!("{error}; the file is damaged or not for a 32-bit processor, build it again"),
        )
    };
    let header = FileHeader32::<Endianness>::parse(content).map_err(|error| damaged(0, error))?;
    let endian = header.endian().map_err(|error| damaged(0, error))?;
    if header.e_machine(endian) != elf::EM_ARM {
        return Err(wrong(
            MACHINE_OFFSET,
            "the program is not for an ARM processor; build it for the board's target".to_owned(),
        ));
    }
    let segments = header
        .program_headers(endian, content)
        .map_err(|error| damaged(PROGRAM_HEADERS_OFFSET, error))?;
    let mut assembly = Assembly::new(flash);
    for segment in segments {
        if segment.p_type(endian) != elf::PT_LOAD || segment.p_filesz(endian) == 0 {
            continue;
        }
        let (offset, _) = segment.file_range(endian);
        let data = segment.data(endian, content).map_err(|()| {
            wrong(offset, "a segment reaches beyond the end of the file; the file was cut short, build it again".to_owned())
        })?;
        assembly
            .put(segment.p_paddr(endian).into(), data)
            .map_err(|Misplaced(reason)| wrong(offset, reason))?;
    }
    assembly.finish().ok_or_else(|| {
        wrong(
            PROGRAM_HEADERS_OFFSET,
            "no segment is loaded into flash; link the program with the board's linker script"
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A segment: physical address, virtual address, content.
    type Segment = (u32, u32, &'static [u8]);

    /// An ELF file by the System V ABI, chapters 4 and 5.
    fn file(machine: u16, segments: &[Segment]) -> Vec<u8> {
        let mut bytes = b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let header_end = 52 + 32 * segments.len();
        let half = |bytes: &mut Vec<u8>, value: u16| bytes.extend(value.to_le_bytes());
        let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
        half(&mut bytes, 2);
        half(&mut bytes, machine);
        for value in [1, 0, 52, 0, 0] {
            word(&mut bytes, value);
        }
        for value in [52, 32, segments.len() as u16, 40, 0, 0] {
            half(&mut bytes, value);
        }
        let mut offset = header_end as u32;
        for (physical, virtual_address, data) in segments {
            let size = data.len() as u32;
            for value in [1, offset, *virtual_address, *physical, size, size, 5, 4] {
                word(&mut bytes, value);
            }
            offset += size;
        }
        for (_, _, data) in segments {
            bytes.extend_from_slice(data);
        }
        bytes
    }

    fn read(content: &[u8]) -> Result<Image, String> {
        parse(Path::new("a.elf"), content, 0x100..0x200).map_err(|error| error.to_string())
    }

    #[test]
    fn segments_lie_at_their_physical_addresses() {
        let image = read(&file(
            40,
            &[(0x100, 0x100, &[1, 2]), (0x104, 0x2000_0000, &[3])],
        ))
        .unwrap();
        assert_eq!(
            (image.base, image.bytes),
            (0x100, vec![1, 2, 0xFF, 0xFF, 3])
        );
    }

    #[test]
    fn what_is_no_program_for_the_board_is_refused_with_its_offset() {
        let good = file(40, &[(0x100, 0x100, &[1, 2])]);
        for (content, expected) in [
            (
                good[..good.len() - 1].to_vec(),
                "a.elf: byte 0x54: a segment reaches beyond the end",
            ),
            (good[..40].to_vec(), "a.elf: byte 0x0: "),
            (good[..60].to_vec(), "a.elf: byte 0x1c: "),
            (
                file(62, &[(0x100, 0x100, &[1])]),
                "a.elf: byte 0x12: the program is not for an ARM",
            ),
            (
                file(40, &[]),
                "a.elf: byte 0x1c: no segment is loaded into flash",
            ),
            (
                file(40, &[(0x2000_0000, 0, &[1])]),
                "a.elf: byte 0x54: 1 bytes at 0x20000000 lie outside",
            ),
            (
                file(40, &[(0x100, 0, &[1, 2]), (0x101, 0, &[3])]),
                "a.elf: byte 0x76: address 0x101 is given twice",
            ),
        ] {
            let complaint = read(&content).unwrap_err();
            assert!(complaint.starts_with(expected), "{complaint}\n{expected}");
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_reader_panic(at in 0usize..88, byte: u8) {
            let mut content = file(40, &[(0x100, 0x100, &[1, 2, 3, 4])]);
            content[at] = byte;
            let _ = read(&content);
        }
    }
}
