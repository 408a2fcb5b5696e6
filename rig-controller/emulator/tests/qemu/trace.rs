//! QEMU's micro:bit, one instruction after the other.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

use tempfile::NamedTempFile;

/// The state before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// R0 to R12, SP, LR, and the instruction's address.
    pub r: [u32; 16],
    /// Flags, Thumb bit and exception number.
    pub xpsr: u32,
}

/// The bits of xPSR that are compared.
pub const XPSR_BITS: u32 = 0xF100_003F;

/// A QEMU that runs; it ends with this value.
pub struct Qemu {
    process: Child,
    log: BufReader<ChildStderr>,
    line: Vec<u8>,
    _flash: NamedTempFile,
}

impl Qemu {
    pub fn start(flash: &[u8]) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(flash).unwrap();
        let mut process = Command::new("qemu-system-arm")
            .args(["-M", "microbit", "-accel", "tcg", "-nodefaults"])
            .args(["-display", "none", "-monitor", "none", "-serial", "null"])
            // A block for each instruction, and the registers before each block.
            .args(["-singlestep", "-d", "exec,cpu,nochain"])
            // Where it would go anyway, but a line at a time: five times as fast.
            .args(["-D", "/dev/stderr", "-kernel"])
            .arg(file.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("qemu-system-arm runs: apt-get install qemu-system-arm");
        let log = process.stderr.take().unwrap();
        Self {
            process,
            log: BufReader::with_capacity(1 << 20, log),
            line: Vec::new(),
            _flash: file,
        }
    }

    /// The next instruction; `None` when QEMU has ended.
    pub fn next(&mut self) -> Option<Registers> {
        let mut registers = Registers {
            r: [0; 16],
            xpsr: 0,
        };
        loop {
            self.line.clear();
            if self.log.read_until(b'\n', &mut self.line).unwrap() == 0 {
                return None;
            }
            let line = &self.line[..];
            if let Some(xpsr) = line.strip_prefix(b"XPSR=") {
                registers.xpsr = hexadecimal(&xpsr[..8]) & XPSR_BITS;
                return Some(registers);
            }
            if line.first() == Some(&b'R') {
                // R00=00000000 R01=...
                for field in line.chunks_exact(13) {
                    let number = decimal(field[1]) * 10 + decimal(field[2]);
                    registers.r[number] = hexadecimal(&field[4..12]);
                }
            }
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn decimal(digit: u8) -> usize {
    usize::from(digit - b'0')
}

fn hexadecimal(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        };
        number << 4 | u32::from(value)
    })
}
