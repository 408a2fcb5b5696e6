//! The machine beside QEMU.

use powercut_emulator::{Machine, Timing};

use super::common::{Image, Notes, asm};
use super::trace::{Qemu, Registers, XPSR_BITS};

/// Where a comparison ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At a branch to itself.
    Loop,
    /// After so many instructions.
    After(u64),
    /// At the first WFI.
    Sleep,
}

fn state(machine: &Machine) -> Registers {
    Registers {
        r: *machine.registers(),
        xpsr: machine.xpsr() & XPSR_BITS,
    }
}

/// Runs `flash` here and in QEMU; the number of instructions that were compared, or the first difference.
pub fn compare(flash: &[u8], ending: Ending) -> Result<u64, String> {
    let mut machine = Image(flash.to_vec()).machine(Timing::Instant);
    machine.attach_debugger(false);
    let mut notes = Notes::default();
    let mut qemu = Qemu::start(flash);
    let mut compared = 0;
    let mut last = None;
    while let Some(theirs) = qemu.next() {
        if compared == 0 {
            machine.set_xpsr(theirs.xpsr);
        }
        let before = state(&machine);
        machine.settle(&mut notes);
        if let Some(last) = last
            && let Some(register) = timer_read(flash, &last)
        {
            machine.set_register(register, theirs.r[register]);
        }
        let ours = state(&machine);
        // An instruction before which an exception is taken is shown, and so is one that begins anew.
        if theirs != ours && (theirs == before || Some(theirs) == last) {
            continue;
        }
        if theirs != ours {
            let instruction = last.and_then(|last| halfword(flash, &last));
            return Err(format!(
                "after {compared} instructions, the last {instruction:x?} with {last:x?}:\n\
                 ours   {ours:x?}\ntheirs {theirs:x?}"
            ));
        }
        let over = match ending {
            Ending::Loop => halfword(flash, &ours) == Some(asm::FOREVER),
            Ending::After(count) => compared == count,
            Ending::Sleep => halfword(flash, &ours) == Some(asm::WFI),
        };
        if over {
            return Ok(compared);
        }
        if let Some(stop) = machine.step(&mut notes) {
            return Err(format!("{stop:?} after {compared} instructions"));
        }
        compared += 1;
        last = Some(ours);
    }
    Err(format!("QEMU has ended after {compared} instructions"))
}

/// The first halfword of the instruction, if it is in flash.
fn halfword(flash: &[u8], state: &Registers) -> Option<u16> {
    let at = state.r[15] as usize;
    let bytes = flash.get(at..at + 2)?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// The register that the instruction loads from TIMER0, whose time is the host's in QEMU.
fn timer_read(flash: &[u8], state: &Registers) -> Option<usize> {
    let instruction = halfword(flash, state)?;
    if instruction >> 11 != 0b01101 {
        return None;
    }
    let base = state.r[usize::from(instruction >> 3 & 7)];
    let address = base.wrapping_add(u32::from(instruction >> 6 & 31) * 4);
    (address >> 12 == 0x4000_8000 >> 12).then_some(usize::from(instruction & 7))
}
