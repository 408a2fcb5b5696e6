//! A NOR flash in memory that behaves like the real thing where it hurts: it counts programs of every unit and
//! refuses more than the part allows, refuses what is not aligned, logs every operation, and loses power before,
//! after or in the middle of any operation. What power loss leaves may be *weak*: bits that read differently at each
//! look until they are programmed again or erased, or units that cannot be read at all.
//!
//! # Geometry
//!
//! [`NorFlashModel`]`<UNIT, PAGE, PROGRAMS>`: a *unit* of `UNIT` bytes is programmed at once, a *page* of `PAGE` bytes is
//! erased at once, and a unit takes `PROGRAMS` programs between erases. One program more is an error, is refused, and is
//! remembered for whoever judges the run, even if the code under test swallows the error. With `PROGRAMS` = 2 the model is
//! a `MultiwriteNorFlash`.
//!
//! ```
//! use embedded_storage::nor_flash::NorFlash;
//! use nor_flash_model::{ModelError, NorFlashModel};
//!
//! type Nrf51 = NorFlashModel<4, 1024, 2>;
//! type Stm32l4 = NorFlashModel<8, 2048, 1>;
//!
//! let mut nrf51 = Nrf51::new(8);
//! nrf51.write(0, &[0xF0; 4])?;
//! nrf51.write(0, &[0x30; 4])?;
//! assert_eq!(nrf51.write(0, &[0x30; 4]), Err(ModelError::ProgrammedTooOften(0)));
//! assert_eq!(nrf51.violations(), [0]);
//! nrf51.erase(0, 1024)?;
//! nrf51.write(0, &[0x30; 4])?;
//!
//! let mut stm32l4 = Stm32l4::new(8);
//! stm32l4.write(0, &[1; 8])?;
//! assert_eq!(stm32l4.write(0, &[1; 8]), Err(ModelError::ProgrammedTooOften(0)));
//! # Ok::<(), ModelError>(())
//! ```
//!
//! The same as a value, for flash of which a file or a board says how it is divided, is [`Geometry`]; [`on_geometry`] leads from
//! the value to the types, for the divisions that there are parts of.
//!
//! # Operations
//!
//! One *operation* is the program of one unit or the erase of one page. Operations are numbered from 1 over the life of
//! the model; that number is where cuts and faults are planned.
//!
//! ```
//! # use embedded_storage::nor_flash::NorFlash;
//! # use nor_flash_model::{ModelError, NorFlashModel, Operation};
//! let mut flash = NorFlashModel::<4, 1024, 2>::new(8);
//! flash.start_log();
//! flash.erase(1024, 2048)?;
//! flash.write(1024, &[0; 8])?;
//! assert_eq!(
//!     flash.log(),
//!     [
//!         Operation::Erase { address: 1024 },
//!         Operation::Program { address: 1024 },
//!         Operation::Program { address: 1028 },
//!     ]
//! );
//! assert_eq!((flash.operations(), flash.programs(256)), (3, 1));
//! # Ok::<(), ModelError>(())
//! ```
//!
//! # Loss of power
//!
//! [`NorFlashModel::cut_at`] plans a [`Cut`]: a number, and what is left of that operation ([`CutEffect`]). From then on every
//! call fails with [`ModelError::PowerLost`] until [`NorFlashModel::power_on`]. A cut has a text form, to be written down.
//!
//! ```
//! # use embedded_storage::nor_flash::NorFlash;
//! # use nor_flash_model::{Cut, CutEffect, ModelError, NorFlashModel, TornShape};
//! let after = |cut: &str| {
//!     let mut flash = NorFlashModel::<4, 1024, 2>::new(1);
//!     flash.cut_at(cut.parse().unwrap());
//!     assert_eq!(flash.write(0, &[0; 8]), Err(ModelError::PowerLost));
//!     flash.power_on();
//!     flash.bytes()[..8].to_vec()
//! };
//! let one = 0xFF;
//! assert_eq!(after("op2/before"), [0, 0, 0, 0, one, one, one, one]);
//! assert_eq!(after("op1/after"), [0, 0, 0, 0, one, one, one, one]);
//! // Torn programs: a prefix of the bytes, a half, all but one byte, some of the bits.
//! assert_eq!(after("op1/prefix3"), [0, 0, 0, one, one, one, one, one]);
//! assert_eq!(after("op1/second-half"), [one, one, 0, 0, one, one, one, one]);
//! assert_eq!(after("op1/all-but1"), [0, one, 0, 0, one, one, one, one]);
//! assert_ne!(after("op1/bits5eed")[..4], after("op1/bits5eee")[..4]);
//! # assert_eq!("op1/prefix3".parse(), Ok(Cut { operation: 1, effect: CutEffect::Torn(TornShape::Prefix(3)) }));
//! ```
//!
//! Shapes that stay as they are ([`TornShape`]) have an implementation of their own over plain bytes, [`TornShape::tear`],
//! for flash that is no model: what one of them leaves is the same there.
//!
//! # Weak bits
//!
//! A program or an erase that was cut may leave bits between 0 and 1. How they read is scripted ([`Flicker`]): by look, by
//! power-on, or at random from a seed. A program with the same bytes settles them, and so does an erase. What
//! [`NorFlashModel::holds`] says is the truth, not a look.
//!
//! ```
//! # use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
//! # use nor_flash_model::{ModelError, NorFlashModel};
//! let mut flash = NorFlashModel::<4, 1024, 2>::new(1);
//! // Bit n of the script is what look n sees, from bit 0 on: ones, zeros, ones.
//! flash.cut_at("op1/weak-looks5".parse().unwrap());
//! let _ = flash.write(0, &[0; 4]);
//! flash.power_on();
//! let mut byte = [0];
//! for seen in [0xFF, 0, 0xFF] {
//!     flash.read(0, &mut byte)?;
//!     assert_eq!(byte, [seen]);
//! }
//! flash.write(0, &[0; 4])?;
//! assert!(flash.holds(0, &[0; 4]));
//! # Ok::<(), ModelError>(())
//! ```
//!
//! # Torn erases
//!
//! An erase that was cut leaves a page that takes no program until it is erased again, and looks like anything: erased in
//! part, all ones that do not stay, old data with weak bits in it, two halves of different kinds.
//!
//! ```
//! # use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
//! # use nor_flash_model::{ModelError, NorFlashModel};
//! let after = |cut: &str| {
//!     let mut flash = NorFlashModel::<4, 1024, 2>::new(1);
//!     flash.write(0, &[0; 1024]).unwrap();
//!     flash.cut_at(cut.parse().unwrap());
//!     assert_eq!(flash.erase(0, 1024), Err(ModelError::PowerLost));
//!     flash.power_on();
//!     assert_eq!(flash.write(0, &[0; 4]), Err(ModelError::ProgrammedTooOften(0)));
//!     flash
//! };
//! let look = |flash: &mut NorFlashModel<4, 1024, 2>| {
//!     let mut page = vec![0; 1024];
//!     flash.read(0, &mut page).unwrap();
//!     page
//! };
//! // Erased in part.
//! assert!(after("op257/first-half").holds(0, &[0xFF; 512]));
//! // All ones, but not for good.
//! let mut flash = after("op257/weak-boots1");
//! assert_eq!(look(&mut flash), [0xFF; 1024]);
//! assert!(!flash.holds(0, &[0xFF; 1024]));
//! // Old data, erased data and weak bits side by side.
//! let mut flash = after("op257/uneven5eed-looks1");
//! let (first, second) = (look(&mut flash), look(&mut flash));
//! assert!(first != second && first != [0xFF; 1024] && second != [0; 1024]);
//! // One half erased for good, the other weak.
//! let flash = after("op257/half-weak-looks1");
//! assert!(flash.holds(0, &[0xFF; 512]) && !flash.holds(512, &[0xFF; 512]));
//! ```
//!
//! # Units that cannot be read
//!
//! Parts with ECC are programmed once between erases; a unit that was torn there may fail to read until its page is erased.
//!
//! ```
//! # use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
//! # use nor_flash_model::{ModelError, NorFlashModel};
//! let mut flash = NorFlashModel::<8, 2048, 1>::new(1);
//! flash.cut_at("op1/unreadable".parse().unwrap());
//! let _ = flash.write(8, &[0; 8]);
//! flash.power_on();
//! assert_eq!(flash.read(8, &mut [0; 8]), Err(ModelError::Unreadable(8)));
//! flash.erase(0, 2048)?;
//! flash.read(8, &mut [0; 8])?;
//! # Ok::<(), ModelError>(())
//! ```
//!
//! # Faults without a loss of power
//!
//! Off unless asked for, each by its own call: a program that silently does nothing, and a bit that turns over with age.
//!
//! ```
//! # use embedded_storage::nor_flash::NorFlash;
//! # use nor_flash_model::{ModelError, NorFlashModel};
//! let mut flash = NorFlashModel::<4, 1024, 2>::new(1);
//! flash.fail_silently_at(1);
//! flash.write(0, &[0; 8])?;
//! assert_eq!(flash.bytes()[..8], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
//! flash.rot(4, 0b1000);
//! assert_eq!(flash.bytes()[4], 0b1000);
//! # Ok::<(), ModelError>(())
//! ```
//!
//! # Copies
//!
//! A clone shares its pages with the original until one of them writes, and of the page written to all but 1 KB, so a
//! copy at every operation of a run costs little; [`NorFlashModel::page_sum`] tells equal content from different
//! content at no cost.
//!
//! ```
//! # use embedded_storage::nor_flash::NorFlash;
//! # use nor_flash_model::{ModelError, NorFlashModel};
//! let mut flash = NorFlashModel::<4, 1024, 2>::new(2);
//! let before = flash.clone();
//! flash.write(1024, &[0; 4])?;
//! assert_eq!(flash.page_sum(0), before.page_sum(0));
//! assert_ne!(flash.page_sum(1), before.page_sum(1));
//! # Ok::<(), ModelError>(())
//! ```
mod chunk;
mod cut;
mod flicker;
mod geometry;
mod mix;
mod model;
mod page;
mod torn;
mod unit;

pub use cut::{Cut, CutEffect, ParseCutError};
pub use flicker::Flicker;
pub use geometry::{Geometry, GeometryError, OnGeometry, on_geometry};
pub use mix::{fold, split_mix};
pub use model::{ModelError, NorFlashModel, Operation};
pub use torn::TornShape;
pub use unit::{MAX_UNIT_BYTES, Unit};
