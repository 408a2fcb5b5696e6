//! What a loss of power leaves of an operation in the machine's flash.
use std::sync::Arc;

use nor_flash_model::{CutEffect, Flicker};
use powercut_emulator::{Machine, Noise, Operation, PAGE_BYTES, Unsettled};

/// How weak bits read after the power-on with this number behind the cut, from 0.
pub(crate) fn noise(flicker: Flicker, boot: u32) -> Noise {
    Arc::new(move |look| flicker.ones(boot, look))
}

/// Leaves in flash what `effect` says of `operation`, which `machine` has stopped before.
pub(crate) fn leave(machine: &mut Machine, operation: Operation, effect: CutEffect) {
    let (start, length) = match operation {
        Operation::Program { address, .. } => (address, 4),
        Operation::Erase { address } => (address, PAGE_BYTES),
    };
    let mut unsettled = machine.unsettled().cloned();
    let mut bytes = machine.flash()[start as usize..][..length].to_vec();
    let mut weak = match &unsettled {
        Some(unsettled) => words(start, length)
            .flat_map(|address| unsettled.weak_bits(address).to_le_bytes())
            .collect(),
        None => vec![0; length],
    };
    match operation {
        Operation::Program { value, .. } => {
            let value = value.to_le_bytes();
            effect.leave(start, &mut bytes, &mut weak, |at, byte| byte & value[at]);
            if effect == CutEffect::After {
                for (weak, value) in weak.iter_mut().zip(value) {
                    *weak &= value;
                }
            }
            let mut word = [0; 4];
            word.copy_from_slice(&bytes);
            machine.set_word(start, u32::from_le_bytes(word));
        }
        Operation::Erase { .. } => {
            effect.leave(start, &mut bytes, &mut weak, |_, _| 0xFF);
            if effect == CutEffect::After {
                weak.fill(0);
            }
            let mut page = [0; PAGE_BYTES];
            page.copy_from_slice(&bytes);
            machine.set_page(start, &page);
        }
    }
    let is_unreadable = effect == CutEffect::Unreadable;
    if unsettled.is_none() && !is_unreadable && weak.iter().all(|weak| *weak == 0) {
        return;
    }
    let left = unsettled.get_or_insert_with(|| Unsettled::new(Arc::new(|_| 0)));
    if let Some(flicker) = effect.flicker() {
        left.set_noise(noise(flicker, 0), true);
    }
    let (weak, _) = weak.as_chunks::<4>();
    for (address, weak) in words(start, length).zip(weak) {
        left.weaken(address, u32::from_le_bytes(*weak));
        if is_unreadable {
            left.spoil(address);
        }
    }
    machine.set_unsettled(unsettled);
}

fn words(start: u32, length: usize) -> impl Iterator<Item = u32> {
    (start..start + length as u32).step_by(4)
}
