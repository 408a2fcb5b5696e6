//! Flash operations, as whoever watches a board reports them.
use nor_flash_model::{TornShape, Unit};

/// One flash operation, numbered from 1 over all boots since the board was provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashOp {
    /// Position in the case: the first operation after provisioning is 1.
    pub number: u64,
    /// What it does.
    pub kind: FlashOpKind,
}

/// The two things NOR flash does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlashOpKind {
    /// One unit is programmed: `before & value` is what it holds afterwards.
    Program {
        /// Byte address, unit aligned.
        address: u32,
        /// What the unit held.
        before: Unit,
        /// What is written (bits that are 1 stay as they are).
        value: Unit,
    },
    /// One page goes to all ones.
    Erase {
        /// Byte address of the page's start.
        address: u32,
    },
}

impl FlashOpKind {
    /// The program of `value` on `flash`; `None` if `value` is no unit or does not lie in `flash`.
    pub fn program(flash: &[u8], address: u32, value: &[u8]) -> Option<Self> {
        let before = flash.get(address as usize..)?.get(..value.len())?;
        Some(Self::Program {
            address,
            before: Unit::new(before)?,
            value: Unit::new(value)?,
        })
    }

    /// Byte address of the unit or page.
    pub fn address(&self) -> u32 {
        match *self {
            Self::Program { address, .. } | Self::Erase { address } => address,
        }
    }

    /// The operation takes full effect in `flash`, whose pages have `page_bytes` bytes. Outside `flash` it has none.
    pub fn apply(&self, flash: &mut [u8], page_bytes: u32) {
        match self {
            Self::Program { before, value, .. } => {
                if let Some(unit) = self.target(flash, page_bytes) {
                    unit.copy_from_slice((*before & *value).bytes());
                }
            }
            Self::Erase { .. } => {
                if let Some(page) = self.target(flash, page_bytes) {
                    page.fill(0xFF);
                }
            }
        }
    }

    /// Leaves in `flash`, whose pages have `page_bytes` bytes, what `shape` says a cut leaves of the operation. Outside `flash`
    /// it leaves nothing.
    pub fn tear(&self, flash: &mut [u8], shape: TornShape, page_bytes: u32) {
        let Some(bytes) = self.target(flash, page_bytes) else {
            return;
        };
        match self {
            Self::Program { address, value, .. } => {
                let value = value.bytes();
                shape.tear(*address, bytes, |at, byte| byte & value[at]);
            }
            Self::Erase { address } => shape.tear(*address, bytes, |_, _| 0xFF),
        }
    }

    /// The unit or page it works on.
    fn target<'f>(&self, flash: &'f mut [u8], page_bytes: u32) -> Option<&'f mut [u8]> {
        let length = match self {
            Self::Program { value, .. } => value.bytes().len(),
            Self::Erase { .. } => page_bytes as usize,
        };
        flash.get_mut(self.address() as usize..)?.get_mut(..length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u32 = 2048;

    /// A program of 8 bytes at 16, on the flash it is for.
    fn program() -> (Vec<u8>, FlashOpKind) {
        let flash = vec![0xF0; 3 * PAGE as usize];
        let value = [0x3C, 0xFF, 0, 0x11, 0x3C, 0xFF, 0, 0x11];
        let kind = FlashOpKind::program(&flash, 16, &value).unwrap();
        (flash, kind)
    }

    #[test]
    fn a_program_works_on_its_unit_and_an_erase_on_its_page_and_on_nothing_else() {
        let (mut flash, kind) = program();
        kind.apply(&mut flash, PAGE);
        let after = [0x30, 0xF0, 0, 0x10, 0x30, 0xF0, 0, 0x10];
        assert_eq!(flash[16..24], after);
        FlashOpKind::Erase { address: PAGE }.apply(&mut flash, PAGE);
        let page = PAGE as usize..2 * PAGE as usize;
        assert!(flash[page.clone()].iter().all(|byte| *byte == 0xFF));
        let others = flash[..16]
            .iter()
            .chain(&flash[24..page.start])
            .chain(&flash[page.end..]);
        assert!(others.into_iter().all(|byte| *byte == 0xF0));
    }

    #[test]
    fn a_torn_operation_leaves_its_shape_in_its_unit_or_page() {
        let (mut flash, kind) = program();
        kind.tear(&mut flash, TornShape::Prefix(5), PAGE);
        let after = [0x30, 0xF0, 0, 0x10, 0x30, 0xF0, 0xF0, 0xF0];
        assert_eq!(flash[16..24], after);
        FlashOpKind::Erase { address: PAGE }.tear(&mut flash, TornShape::OtherHalf, PAGE);
        assert_eq!(flash[PAGE as usize + 1023..][..2], [0xF0, 0xFF]);
        assert_eq!(flash[2 * PAGE as usize - 1..][..2], [0xFF, 0xF0]);
    }

    #[test]
    fn an_operation_outside_flash_leaves_flash_alone() {
        let (mut flash, _) = program();
        let before = flash.clone();
        let outside = FlashOpKind::Erase { address: 3 * PAGE };
        outside.apply(&mut flash, PAGE);
        outside.tear(&mut flash, TornShape::Half, PAGE);
        assert_eq!(flash, before);
        assert_eq!(FlashOpKind::program(&flash, 3 * PAGE - 4, &[0; 8]), None);
    }
}
