//! What a loss of power leaves of an operation in the machine's flash.
use nor_flash_model::CutEffect;
use powercut_emulator::{Machine, Operation, PAGE_BYTES};

/// Leaves in flash what `effect` says of `operation`, which `machine` has stopped before.
pub(crate) fn leave(machine: &mut Machine, operation: Operation, effect: CutEffect) {
    match operation {
        Operation::Program {
            address,
            before,
            value,
        } => {
            let mut unit = before.to_le_bytes();
            let value = value.to_le_bytes();
            let wanted = |at: usize, byte: u8| byte & value[at];
            tear(effect, address, &mut unit, wanted);
            machine.set_word(address, u32::from_le_bytes(unit));
        }
        Operation::Erase { address } => {
            let start = address as usize;
            let mut page = [0; PAGE_BYTES];
            page.copy_from_slice(&machine.flash()[start..start + PAGE_BYTES]);
            tear(effect, address, &mut page, |_, _| 0xFF);
            machine.set_page(address, &page);
        }
    }
}

fn tear(effect: CutEffect, address: u32, bytes: &mut [u8], wanted: impl Fn(usize, u8) -> u8) {
    match effect {
        CutEffect::After => {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = wanted(at, *byte);
            }
        }
        CutEffect::Torn(shape) => shape.tear(address, bytes, wanted),
        _ => {}
    }
}
