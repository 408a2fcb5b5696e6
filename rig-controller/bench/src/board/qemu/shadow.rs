//! The rig's own record of the virtual board's flash: the image the board was provisioned with plus every
//! operation the device did, under the same write and erase enables the nRF51's NVMC has. While power is off
//! it *is* the flash: the next boot starts from it.
use super::memory_map::{FLASH_BYTES, PAGE_BYTES};
use nor_flash_model::TornShape;
use powercut_oracle::{FlashOp, FlashOpKind};

/// Flash content and the state of the controller in front of it.
#[derive(Debug)]
pub(super) struct FlashShadow {
    content: Vec<u8>,
    /// Operations since provisioning.
    operations: u64,
    config: u32,
}

/// Value of NVMC CONFIG that enables programming; a bit of its own.
const CONFIG_WEN: u32 = 1;
/// Value of NVMC CONFIG that enables erasing; the whole register must equal it.
const CONFIG_EEN: u32 = 2;

impl FlashShadow {
    /// Flash never programmed.
    pub(super) fn erased() -> Self {
        Self {
            content: vec![0xFF; FLASH_BYTES],
            operations: 0,
            config: 0,
        }
    }

    /// Start over from `image`; operation numbers start at 1 again.
    pub(super) fn provision(&mut self, image: &[u8]) {
        self.content.clear();
        self.content.extend_from_slice(image);
        self.content.resize(FLASH_BYTES, 0xFF);
        self.operations = 0;
        self.config = 0;
    }

    /// The whole flash.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The controller forgets its enables; flash keeps its content.
    pub(super) fn reset_controller(&mut self) {
        self.config = 0;
    }

    /// The firmware wrote NVMC CONFIG.
    pub(super) fn write_config(&mut self, value: u32) {
        self.config = value & 3;
    }

    /// What a word write to flash does now; `None` if the controller drops it.
    pub(super) fn program(&self, address: u32, value: u32) -> Option<FlashOpKind> {
        if self.config & CONFIG_WEN == 0 {
            return None;
        }
        FlashOpKind::program(&self.content, address, &value.to_le_bytes())
    }

    /// What a page erase of the page around `address` does now; `None` if the controller drops it.
    pub(super) fn erase_page(&self, address: u32) -> Option<FlashOpKind> {
        let address = address & !(PAGE_BYTES as u32 - 1);
        (self.config == CONFIG_EEN && (address as usize) < FLASH_BYTES)
            .then_some(FlashOpKind::Erase { address })
    }

    /// The page erases an erase of everything consists of, in order; none if the controller drops it.
    pub(super) fn erase_all(&self) -> Vec<FlashOpKind> {
        (0..FLASH_BYTES as u32)
            .step_by(PAGE_BYTES)
            .filter_map(|address| self.erase_page(address))
            .collect()
    }

    /// Give the operation that is about to happen its number, which it keeps even if a cut leaves nothing of it:
    /// a number names one operation of a case.
    pub(super) fn number(&mut self, kind: FlashOpKind) -> FlashOp {
        self.operations += 1;
        FlashOp {
            number: self.operations,
            kind,
        }
    }

    /// The operation takes full effect.
    pub(super) fn apply(&mut self, kind: &FlashOpKind) {
        kind.apply(&mut self.content, PAGE_BYTES as u32);
    }

    /// The operation was cut; what `shape` says is left of it. The operation keeps its number.
    pub(super) fn apply_torn(&mut self, kind: &FlashOpKind, shape: TornShape) {
        kind.tear(&mut self.content, shape, PAGE_BYTES as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_erases_are_dropped_unless_the_controller_enables_them() {
        let mut shadow = FlashShadow::erased();
        assert_eq!(shadow.program(0x100, 0), None);
        assert_eq!(shadow.erase_page(0x400), None);
        shadow.write_config(1);
        assert!(shadow.program(0x100, 0).is_some());
        assert_eq!(shadow.erase_page(0x400), None);
        shadow.write_config(2);
        assert_eq!(shadow.program(0x100, 0), None);
        assert_eq!(
            shadow.erase_page(0x7FF),
            Some(FlashOpKind::Erase { address: 0x400 })
        );
        shadow.reset_controller();
        assert_eq!(shadow.erase_page(0x400), None);
    }

    #[test]
    fn a_second_program_can_only_clear_more_bits() {
        let mut shadow = FlashShadow::erased();
        shadow.write_config(1);
        for value in [0xFFFF_00FF, 0x00FF_FFFF] {
            let kind = shadow.program(0x20, value).unwrap();
            shadow.apply(&kind);
        }
        assert_eq!(shadow.content()[0x20..0x24], 0x00FF_00FFu32.to_le_bytes());
    }

    #[test]
    fn addresses_outside_flash_are_no_operations() {
        let mut shadow = FlashShadow::erased();
        shadow.write_config(1);
        assert_eq!(shadow.program(FLASH_BYTES as u32, 0), None);
        shadow.write_config(2);
        assert_eq!(shadow.erase_page(FLASH_BYTES as u32), None);
        assert_eq!(shadow.erase_all().len(), FLASH_BYTES / PAGE_BYTES);
    }
}
