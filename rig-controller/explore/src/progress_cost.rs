//! What an upgrade costs in flash operations when power is never cut: the price of progress that survives. Counted on
//! the model while the real agent and the real boot code run, apart for the download (up to the record that says
//! Ready) and for all of the upgrade, until the device is at rest with the new image confirmed.
use nor_flash_model::{NorFlashModel, OnGeometry, Operation, on_geometry};
use powercut_upgrade::slots::{Layout, Region};

use super::explored_flash::ExploredFlash;
use super::flash_part::FlashPart;
use super::life::live;
use super::memory::Memory;
use super::oracle::{Breach, broken};
use super::scenario::Scenario;
use super::scene::Scene;
use super::scripted_package::{Recipe, ScriptedPackage};
use powercut_oracle::verdict::Invariant;

/// The upgrade that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredUpgrade {
    /// On which flash.
    pub geometry: FlashPart,
    /// Bytes of the old and of the new image.
    pub image_bytes: u32,
    /// Plaintext bytes in a fragment.
    pub fragment_bytes: u16,
}

/// Flash operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Programs of a unit in ACTIVE and STAGING.
    pub slot_programs: u64,
    /// Erases of a page there.
    pub slot_erases: u64,
    /// Programs of a unit in the journal.
    pub journal_programs: u64,
    /// Erases of a page there.
    pub journal_erases: u64,
}

/// What one upgrade costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressCost {
    /// Up to the record that says Ready.
    pub download: Cost,
    /// All of it: download, swap, trial, confirmation, and the boots until nothing is written any more.
    pub whole: Cost,
}

impl MeasuredUpgrade {
    /// Fragments of the image. A device that rewrites a page of flags after each of them erases as often.
    pub const fn fragments(self) -> u32 {
        self.image_bytes.div_ceil(self.fragment_bytes as u32)
    }

    /// Runs the upgrade and counts.
    ///
    /// # Errors
    /// When the upgrade does not end with the new image confirmed, or breaks another invariant on its way.
    pub fn measure(self) -> Result<ProgressCost, Breach> {
        on_geometry(self.geometry.facts(), self)
    }

    fn scene(self) -> Scene {
        let pages = self
            .image_bytes
            .div_ceil(self.geometry.facts().page_bytes()) as u16;
        let mut scene = Scene::new(self.geometry, Scenario::Longer, pages.max(4), None, 0);
        let old = Recipe {
            minor: 0,
            layout: scene.layout,
            security_counter: 2,
            size_bytes: self.image_bytes as usize,
            fragment_bytes: self.fragment_bytes,
            blank_inside_pages_of: None,
            by_a_stranger: false,
            corrupt: false,
            unbootable: false,
        };
        scene.old = ScriptedPackage::new(old);
        scene.new = ScriptedPackage::new(Recipe {
            minor: 1,
            security_counter: 3,
            ..old
        });
        scene
    }
}

impl OnGeometry for MeasuredUpgrade {
    type Output = Result<ProgressCost, Breach>;

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let scene = self.scene();
        let mut explored = ExploredFlash::<UNIT, PAGE, PROGRAMS, BUFFER>::new(
            &scene,
            NorFlashModel::new(scene.pages),
            Memory::default(),
            None,
        );
        if let Err(error) = scene.provision(&mut explored) {
            return broken(Invariant::T1, format!("the scene does not fit: {error}"));
        }
        explored.flash.start_log();
        live(&mut explored, |_| None)?;
        let log = explored.flash.log();
        let Some(downloaded) = end_of_download(&scene.layout, log) else {
            return broken(Invariant::T1, "no swap is in the record of operations");
        };
        Ok(ProgressCost {
            download: Cost::of(&scene.layout, &log[..downloaded]),
            whole: Cost::of(&scene.layout, log),
        })
    }
}

impl Cost {
    fn of(layout: &Layout, log: &[Operation]) -> Self {
        let mut cost = Self::default();
        for operation in log.iter().copied() {
            let count = match (operation, is_journal(layout, operation)) {
                (Operation::Program { .. }, false) => &mut cost.slot_programs,
                (Operation::Erase { .. }, false) => &mut cost.slot_erases,
                (Operation::Program { .. }, true) => &mut cost.journal_programs,
                (Operation::Erase { .. }, true) => &mut cost.journal_erases,
            };
            *count += 1;
        }
        cost
    }
}

/// Where the download ends in `log`: the swap's first copy goes to the spare, STAGING's last page, which no download
/// touches; before it the bootloader states in a fresh journal page what the download left.
fn end_of_download(layout: &Layout, log: &[Operation]) -> Option<usize> {
    let Region { start, pages } = layout.staging;
    let spare = start + u32::from(pages - 1) * layout.page_bytes;
    let swap = log
        .iter()
        .position(|operation| *operation == Operation::Erase { address: spare })?;
    log[..swap].iter().copied().rposition(|operation| {
        matches!(operation, Operation::Erase { .. }) && is_journal(layout, operation)
    })
}

fn is_journal(layout: &Layout, operation: Operation) -> bool {
    let (Operation::Program { address } | Operation::Erase { address }) = operation;
    let Region { start, pages } = layout.identification;
    (start..start + u32::from(pages) * layout.page_bytes).contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(geometry: FlashPart, image_bytes: u32) -> ProgressCost {
        let upgrade = MeasuredUpgrade {
            geometry,
            image_bytes,
            fragment_bytes: 160,
        };
        upgrade.measure().unwrap()
    }

    #[test]
    fn a_download_erases_each_page_of_staging_once_and_the_journal_once_a_full_page_of_records() {
        let Cost {
            slot_erases,
            journal_erases,
            slot_programs,
            journal_programs,
        } = cost(FlashPart::Nrf51, 16 * 1024).download;
        assert_eq!(slot_erases, 16 + 1, "image and manifest");
        assert_eq!(slot_programs, (16 * 1024 + 120) / 4);
        // 103 fragments, two records more, and 118 records to a page.
        assert_eq!(journal_erases, 1);
        assert_eq!(journal_programs, (72 + 8 + 105 * 8) / 4);
    }

    #[test]
    fn where_units_are_programmed_once_a_record_stands_for_a_page() {
        let Cost {
            journal_erases,
            journal_programs,
            ..
        } = cost(FlashPart::Stm32l4, 16 * 1024).download;
        assert_eq!(journal_erases, 1);
        assert_eq!(journal_programs, 9 + 1 + 8 + 2);
    }
}
