//! A loss of power in the middle of an operation, and what it leaves in the machine's flash.
use nor_flash_model::CutEffect;
use powercut_emulator::{Machine, Operation, PAGE_BYTES};

use crate::course::Course;

/// Power is lost at `operation`, which `machine` has stopped before, with this effect; and it comes back.
pub(crate) fn cut(
    machine: &mut Machine,
    course: &mut Course<'_>,
    operation: Operation,
    effect: CutEffect,
) {
    lose_power(machine, course, operation, effect);
    course.power_on(machine);
}

/// Power is lost at `operation`, which has this effect.
pub(crate) fn lose_power(
    machine: &mut Machine,
    course: &mut Course<'_>,
    operation: Operation,
    effect: CutEffect,
) {
    course.operate(operation, effect, machine.flash());
    leave(machine, operation, effect);
    course.power_off(machine, true);
}

/// Leaves in flash what `effect` says of `operation`.
fn leave(machine: &mut Machine, operation: Operation, effect: CutEffect) {
    match operation {
        Operation::Program {
            address,
            before,
            value,
        } => {
            let mut unit = before.to_le_bytes();
            let value = value.to_le_bytes();
            match effect {
                CutEffect::After => unit = (before & u32::from_le_bytes(value)).to_le_bytes(),
                CutEffect::Torn(shape) => {
                    shape.tear(address, &mut unit, |at, byte| byte & value[at]);
                }
                _ => {}
            }
            machine.set_word(address, u32::from_le_bytes(unit));
        }
        Operation::Erase { address } => {
            let start = address as usize;
            let mut page = [0; PAGE_BYTES];
            page.copy_from_slice(&machine.flash()[start..start + PAGE_BYTES]);
            match effect {
                CutEffect::After => page.fill(0xFF),
                CutEffect::Torn(shape) => shape.tear(address, &mut page, |_, _| 0xFF),
                _ => {}
            }
            machine.set_page(address, &page);
        }
    }
}
