//! Reads the emulator's trace: one line for each write to a peripheral or to flash, printed *before* the write
//! takes effect, in program order. Runs at about a microsecond a line, so it works on bytes and allocates nothing
//! per line. Lines it does not know are skipped.

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TraceEvent {
    /// The core writes to flash's address range.
    FlashWrite {
        /// Byte address.
        address: u32,
        /// What is written.
        value: u32,
    },
    /// The core writes a peripheral or core register.
    RegisterWrite {
        /// Byte address.
        address: u32,
        /// What is written.
        value: u32,
    },
    /// The machine goes through reset.
    Reset,
    /// The core has a fault to take while it handles one: it locks up. QEMU aborts right after this line (target/arm and
    /// hw/intc, `armv7m_nvic.c`: a fault that cannot be escalated since the running priority is that of a fault).
    LockUp,
}

const WRITE: &[u8] = b"memory_region_ops_write ";
const RESET: &[u8] = b"resettable_reset ";
const ESCALATION: &[u8] = b"nvic_escalate_prio ";
const FLASH_REGION: &[u8] = b"nrf51_soc.flash'";
/// Below this is memory, above are registers.
const FIRST_REGISTER: u32 = 0x4000_0000;

/// What one line, without its line feed, says.
pub(super) fn parse(line: &[u8]) -> Option<TraceEvent> {
    if let Some(fields) = line.strip_prefix(WRITE) {
        let (address, rest) = hex_after(fields, b" addr 0x")?;
        let (value, rest) = hex_after(rest, b" value 0x")?;
        if address >= FIRST_REGISTER {
            return Some(TraceEvent::RegisterWrite { address, value });
        }
        // SysTick forwards to a region inside itself that the trace shows at addresses 0, 4, ...: only the name
        // tells that from a write to flash.
        return rest
            .ends_with(FLASH_REGION)
            .then_some(TraceEvent::FlashWrite { address, value });
    }
    if line.starts_with(ESCALATION) {
        // ".. insufficient priority PRIORITY >= RUNNING": only faults and NMI run at a negative one.
        let running = line.rsplit(|byte| *byte == b' ').next()?;
        return running.starts_with(b"-").then_some(TraceEvent::LockUp);
    }
    line.starts_with(RESET).then_some(TraceEvent::Reset)
}

/// The hexadecimal number after the first `key`, and what follows it. None if it does not fit 32 bits.
fn hex_after<'a>(text: &'a [u8], key: &[u8]) -> Option<(u32, &'a [u8])> {
    let start = text.windows(key.len()).position(|w| w == key)? + key.len();
    let mut value = 0u32;
    let mut at = start;
    while let Some(digit) = text.get(at).and_then(|&b| char::from(b).to_digit(16)) {
        if at - start == 8 {
            return None;
        }
        value = value << 4 | digit;
        at += 1;
    }
    (at > start).then(|| (value, &text[at..]))
}

/// Cuts the stream of bytes into lines; keeps a partial line until its rest arrives.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Call `line` for every line that `bytes` completes, until it returns false.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8]) -> bool) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&b| b == b'\n') {
            let go_on = if self.partial.is_empty() {
                line(&rest[..end])
            } else {
                self.partial.extend_from_slice(&rest[..end]);
                let go_on = line(&self.partial);
                self.partial.clear();
                go_on
            };
            if !go_on {
                return;
            }
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
    }
}

/// What the emulator prints, in pieces whose length the first byte says; for fuzzing.
///
/// # Panics
/// When lines depend on how they were cut up.
#[cfg(feature = "fuzzing")]
pub fn fuzz_trace(bytes: &[u8]) {
    let Some((piece, text)) = bytes.split_first() else {
        return;
    };
    let events = |piece: usize| {
        let mut lines = Lines::default();
        let mut events = Vec::new();
        for bytes in text.chunks(piece) {
            lines.push(bytes, |line| {
                events.push(parse(line));
                true
            });
        }
        events
    };
    assert_eq!(
        events(usize::from(*piece).max(1)),
        events(text.len().max(1))
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flash_write_and_a_register_write_are_told_apart() {
        assert_eq!(
            parse(b"memory_region_ops_write cpu 0 mr 0x55a4762edfe0 addr 0x30000 value 0x12345678 size 4 name 'nrf51_soc.flash'"),
            Some(TraceEvent::FlashWrite { address: 0x30000, value: 0x1234_5678 })
        );
        assert_eq!(
            parse(b"memory_region_ops_write cpu 0 mr 0x55a4762ebdc0 addr 0x4000251c value 0x41 size 4 name 'nrf51_soc.uart'"),
            Some(TraceEvent::RegisterWrite { address: 0x4000_251C, value: 0x41 })
        );
    }

    #[test]
    fn the_inner_region_of_systick_is_not_taken_for_flash() {
        assert_eq!(
            parse(b"memory_region_ops_write cpu 0 mr 0x55a4762eaf50 addr 0x4 value 0x64 size 4 name 'systick'"),
            None
        );
    }

    #[test]
    fn a_reset_shows() {
        assert_eq!(
            parse(b"resettable_reset obj=0x55a476325fc0 cold=0"),
            Some(TraceEvent::Reset)
        );
    }

    #[test]
    fn lines_that_make_no_sense_are_skipped() {
        for line in [
            &b""[..],
            b"memory_region_ops_write ",
            b"memory_region_ops_write cpu 0 addr 0x value 0x1",
            b"memory_region_ops_write cpu 0 addr 0x123456789 value 0x1",
            b"memory_region_ops_write cpu 0 addr 0x50000000",
            b"\xFF\xFE",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn lines_come_out_whole_however_the_bytes_arrive() {
        let text = b"one\ntwo\n\nthree\nrest";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for chunk in text.chunks(size) {
                lines.push(chunk, |line| {
                    seen.push(line.to_vec());
                    true
                });
            }
            assert_eq!(
                seen,
                [&b"one"[..], b"two", b"", b"three"],
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn nothing_after_the_line_that_ends_it_is_given() {
        let mut seen = 0;
        Lines::default().push(b"a\nb\nc\n", |_| {
            seen += 1;
            seen < 2
        });
        assert_eq!(seen, 2);
    }
}
