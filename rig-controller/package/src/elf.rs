//! ELF: the loadable segments at their *physical* addresses, which is where they lie in flash. Initialised
//! data runs in RAM but its content is loaded from flash; its virtual address would be wrong here.
use std::ops::Range;
use std::path::Path;

use object::Endianness;
use object::elf::{self, FileHeader32};
use object::read::elf::{FileHeader, ProgramHeader};

use super::assembly::{Assembly, Misplaced};
use super::{FirmwareError, Image};

/// Offset of the class, 32 or 64 bits, in an ELF header.
const CLASS_OFFSET: u64 = 4;
/// Offset of the byte order in an ELF header.
const DATA_OFFSET: u64 = 5;
/// Offset of the kind of file in an ELF header.
const TYPE_OFFSET: u64 = 16;
/// Offset of the machine in an ELF header.
const MACHINE_OFFSET: u64 = 18;
/// Bytes of a 32-bit ELF header.
const HEADER_BYTES: u64 = 52;
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
    if let Some((offset, reason)) = other_target(content) {
        return Err(wrong(offset, reason));
    }
    let header = FileHeader32::<Endianness>::parse(content).map_err(|error| damaged(0, error))?;
    let endian = header.endian().map_err(|error| damaged(0, error))?;
    if let Some(reason) = not_linked(header.e_type(endian)) {
        return Err(wrong(TYPE_OFFSET, reason.to_owned()));
    }
    let segments = header
        .program_headers(endian, content)
        .map_err(|error| damaged(PROGRAM_HEADERS_OFFSET, error))?;
    let mut assembly = Assembly::new(flash);
    for segment in segments {
        if segment.p_type(endian) != elf::PT_LOAD || segment.p_filesz(endian) == 0 {
            continue;
        }
        let (offset, size) = segment.file_range(endian);
        if offset < HEADER_BYTES {
            return Err(wrong(
                offset,
                format!(
                    "the linker put the headers of the ELF file itself into a segment ({size} bytes at {:#x}); link with `--nmagic` (gcc: `-Wl,--nmagic`, Rust: `-C link-arg=--nmagic`)",
                    segment.p_paddr(endian)
                ),
            ));
        }
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

/// What in the header of an ELF file says that the program is not for a Cortex-M, and at which byte.
fn other_target(content: &[u8]) -> Option<(u64, String)> {
    let build = "build it for the board's target (thumbv6m-none-eabi, arm-none-eabi)";
    let byte = |offset: u64| content.get(offset as usize).copied();
    let big_endian = byte(DATA_OFFSET) == Some(elf::ELFDATA2MSB.0);
    let machine = content
        .get(MACHINE_OFFSET as usize..)
        .and_then(<[u8]>::first_chunk)
        .map(|bytes| {
            if big_endian {
                u16::from_be_bytes(*bytes)
            } else {
                u16::from_le_bytes(*bytes)
            }
        })?;
    if machine != elf::EM_ARM.0 {
        let name = machine_name(machine);
        return Some((
            MACHINE_OFFSET,
            format!("the program is for {name}, not for an ARM Cortex-M; {build}"),
        ));
    }
    if byte(CLASS_OFFSET) == Some(elf::ELFCLASS64.0) {
        return Some((
            CLASS_OFFSET,
            format!("a 64-bit ELF file, and a Cortex-M has 32 bits; {build}"),
        ));
    }
    big_endian.then(|| {
        (
            DATA_OFFSET,
            format!("a big-endian program, and the board is little-endian; {build}, without -mbig-endian"),
        )
    })
}

fn machine_name(machine: u16) -> String {
    let name = match elf::Machine(machine) {
        elf::EM_386 => "x86",
        elf::EM_X86_64 => "x86-64",
        elf::EM_AARCH64 => "64-bit ARM",
        elf::EM_RISCV => "RISC-V",
        elf::EM_XTENSA => "Xtensa (ESP32)",
        elf::EM_AVR => "AVR",
        elf::EM_MSP430 => "MSP430",
        elf::EM_MIPS => "MIPS",
        elf::EM_PPC => "PowerPC",
        _ => return format!("another processor (machine {machine})"),
    };
    name.to_owned()
}

/// Why an ELF file of this type is no program that lies in flash as it is.
fn not_linked(kind: elf::FileType) -> Option<&'static str> {
    match kind {
        elf::ET_REL => Some(
            "an object file, which is not linked yet; link it with the board's linker script and give the program",
        ),
        elf::ET_DYN => Some(
            "a shared library or a position-independent program, which has to be relocated before it runs; link it with `-no-pie` (Rust: `-C relocation-model=static`)",
        ),
        elf::ET_CORE => Some("a core dump, no program; is this the right file?"),
        _ => None,
    }
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
                "a.elf: byte 0x12: the program is for x86-64",
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
