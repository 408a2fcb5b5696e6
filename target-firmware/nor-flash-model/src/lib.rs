//! A NOR flash in memory that behaves like the real thing where it hurts: it counts programs of every unit and
//! refuses more than the part allows, refuses what is not aligned, logs every operation, and loses power before,
//! after or in the middle of any operation. What power loss leaves may be *weak*: bits that read differently at each
//! look until they are programmed again or erased, or units that cannot be read at all.
//!
//! One *operation* is the program of one write unit or the erase of one page; operations are numbered from 1 over
//! the life of the model. Once power is lost every call fails with [`ModelError::PowerLost`] until
//! [`NorFlashModel::power_on`].
//!
//! A clone shares its pages with the original until one of them writes, so a copy at every operation of a run costs
//! little; [`NorFlashModel::page_sum`] tells equal content from different content at no cost.
//!
//! ```
//! use embedded_storage::nor_flash::NorFlash;
//! use nor_flash_model::{Cut, CutEffect, ModelError, NorFlashModel};
//!
//! // 4-byte units, 1 KiB pages, two programs per unit (as on nRF51).
//! let mut flash = NorFlashModel::<4, 1024, 2>::new(8);
//! flash.cut_at(Cut { operation: 2, effect: CutEffect::Before });
//! assert_eq!(flash.write(0, &[0; 8]), Err(ModelError::PowerLost));
//! flash.power_on();
//! assert_eq!(flash.bytes()[..8], [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
//! ```
mod cut;
mod flicker;
mod mix;
mod model;
mod page;

pub use cut::{Cut, CutEffect, ParseCutError};
pub use flicker::Flicker;
pub use mix::{fold, split_mix};
pub use model::{ModelError, NorFlashModel, Operation};
