//! The remains of an operation in the machine's flash once power is lost in it.
use std::sync::Arc;

use nor_flash_model::{CutEffect, Flicker};
use powercut_emulator::{Machine, Noise, Operation, PAGE_BYTES, Unsettled};

/// How weak bits read after the power-on with this number behind the cut, from 0.
pub(crate) fn noise(flicker: Flicker, boot: u32) -> Noise {
    Arc::new(move |look| flicker.ones(boot, look))
}

/// The whole of flash, with weak bits as 0.
pub(crate) fn settled(machine: &Machine) -> Vec<u8> {
    let mut flash = machine.flash().to_vec();
    if let Some(unsettled) = machine.unsettled() {
        for (address, word) in (0..).step_by(4).zip(flash.as_chunks_mut::<4>().0) {
            let bits = u32::from_le_bytes(*word) & !unsettled.weak_bits(address);
            *word = bits.to_le_bytes();
        }
    }
    flash
}

/// Weak bits show as 1.
fn show(bytes: &mut [u8], weak: &[u8]) {
    for (byte, weak) in bytes.iter_mut().zip(weak) {
        *byte |= weak;
    }
}

/// Leaves in flash what `effect` says of `operation`, which `machine` has stopped before.
pub(crate) fn leave(machine: &mut Machine, operation: Operation, effect: CutEffect) {
    let (start, length) = match operation {
        Operation::Program { address, .. } => (address, 4),
        Operation::Erase { address } => (address, PAGE_BYTES),
    };
    let mut unsettled = machine.unsettled().cloned();
    let mut weak: Vec<u8> = match &unsettled {
        Some(unsettled) => words(start, length)
            .flat_map(|address| unsettled.weak_bits(address).to_le_bytes())
            .collect(),
        None => vec![0; length],
    };
    let mut bytes = machine.flash()[start as usize..][..length].to_vec();
    for (byte, weak) in bytes.iter_mut().zip(&weak) {
        *byte &= !weak;
    }
    match operation {
        Operation::Program { value, .. } => {
            let value = value.to_le_bytes();
            effect.leave(start, &mut bytes, &mut weak, |at, byte| byte & value[at]);
            if effect == CutEffect::After {
                for (weak, value) in weak.iter_mut().zip(value) {
                    *weak &= value;
                }
            }
            show(&mut bytes, &weak);
            let mut word = [0; 4];
            word.copy_from_slice(&bytes);
            machine.set_word(start, u32::from_le_bytes(word));
        }
        Operation::Erase { .. } => {
            effect.leave(start, &mut bytes, &mut weak, |_, _| 0xFF);
            if effect == CutEffect::After {
                weak.fill(0);
            }
            show(&mut bytes, &weak);
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
