//! Everything about an exploration that no cut changes: the layout, the two images, what an uncut run costs.
use powercut_upgrade::journal::{Generation, Journal};
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::watched::WatchedFlash;

use super::flash_part::FlashPart;
use super::scenario::Scenario;
use super::scripted_package::{Recipe, ScriptedPackage, factory};

/// The journal is about to begin anew with its numbers: that has to work as well as any other time.
const LAST_GENERATION: Generation = Generation(u32::MAX - 3);
/// Of pages larger than this, images fill the ends only: two cuts among the thousands of programs that a full page takes
/// are more than can be explored.
const MOST_FULL_PAGE_BYTES: usize = 2 * 1024;
/// Pages of the larger image of a small scene.
pub const SMALL_PAGES: u16 = 9;

/// What an uncut run costs in erases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) slot_erases: u16,
    pub(super) journal_erases: u16,
    pub(super) operations: u64,
}

/// How the new image comes and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FragmentLayout {
    /// How many there are.
    pub(super) count: u16,
    /// Bytes of each but the last.
    pub(super) bytes: u32,
    /// Bytes of an erase page.
    pub(super) page_bytes: u32,
    /// Each goes to flash as it comes; else a page is collected in RAM.
    pub(super) are_written_through: bool,
}

impl FragmentLayout {
    /// The first fragment to fetch if the page in which fragment `index` begins is lost.
    pub(super) fn first_of_page(&self, index: u16) -> u16 {
        let begin = u32::from(index) * self.bytes;
        ((begin - begin % self.page_bytes) / self.bytes) as u16
    }
}

/// A device and what it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) layout: Layout,
    /// What flash holds when the device leaves the factory, whole; `None` if it is put together from the parts below.
    pub(super) factory_flash: Option<Vec<u8>>,
    pub(super) scenario: Scenario,
    pub(super) old: ScriptedPackage,
    pub(super) new: ScriptedPackage,
    pub(super) pages: usize,
    /// What the platform offers before `new`, until that task is over.
    pub(super) earlier: Option<ScriptedPackage>,
    pub(super) fragments: FragmentLayout,
    pub(super) reference: Reference,
    /// Of 1000 datagrams, so many are lost; which ones, `seed` says.
    pub(super) loss_permille: u16,
    pub(super) seed: u64,
}

impl Scene {
    /// A scene with images of about `image_pages` pages.
    pub(super) fn new(
        geometry: FlashPart,
        scenario: Scenario,
        image_pages: u16,
        fragment_bytes: Option<u16>,
        seed: u64,
    ) -> Self {
        let layout = geometry.layout(image_pages);
        let page = layout.page_bytes as usize;
        let long = page * (usize::from(image_pages) - 1) + page / 3 + 4;
        let short = page * (usize::from(image_pages) - 3) + page / 2 + 12;
        let (old_size, new_size) = match scenario {
            Scenario::Shorter => (long, short),
            _ => (short, long),
        };
        // Not a divisor of the page: fragments lie across page ends.
        let fragment_bytes = fragment_bytes.unwrap_or_else(|| {
            let three_eighths = layout.page_bytes / 8 * 3;
            three_eighths.clamp(96, 480) as u16
        });
        let recipe = Recipe {
            minor: 0,
            layout,
            security_counter: 2,
            size_bytes: old_size,
            fragment_bytes,
            blank_inside_pages_of: (page > MOST_FULL_PAGE_BYTES).then_some(page),
            by_a_stranger: false,
            corrupt: false,
            unbootable: false,
        };
        let old = ScriptedPackage::new(recipe);
        let new = ScriptedPackage::new(Recipe {
            minor: 1,
            security_counter: if scenario == Scenario::Older { 1 } else { 3 },
            size_bytes: new_size,
            by_a_stranger: scenario == Scenario::BadSignature,
            corrupt: scenario == Scenario::Corrupt,
            unbootable: scenario == Scenario::Unbootable,
            ..recipe
        });
        let earlier = Recipe {
            minor: 2,
            security_counter: 3,
            size_bytes: new_size - page / 2,
            corrupt: scenario == Scenario::Mended,
            ..recipe
        };
        Self {
            layout,
            factory_flash: None,
            scenario,
            old,
            pages: 5 + 2 * (usize::from(image_pages) + 1) + 1,
            earlier: matches!(scenario, Scenario::Withdrawn | Scenario::Mended)
                .then(|| ScriptedPackage::new(earlier)),
            fragments: FragmentLayout {
                count: new.sealed.len() as u16,
                bytes: u32::from(fragment_bytes),
                page_bytes: layout.page_bytes,
                are_written_through: geometry.facts().programs_twice(),
            },
            new,
            reference: Reference::default(),
            loss_permille: 0,
            seed,
        }
    }

    /// Makes `flash` that of a device fresh from the factory.
    ///
    /// # Errors
    /// When the flash refuses: the scene is larger than it.
    pub(super) fn provision<F: WatchedFlash>(&self, flash: &mut F) -> Result<(), F::Error> {
        let mut write = |at: u32, bytes: &[u8]| {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(F::WRITE_SIZE), 0xFF);
            flash.write(at, &padded)
        };
        if let Some(content) = &self.factory_flash {
            for (at, unit) in (0..)
                .step_by(F::WRITE_SIZE)
                .zip(content.chunks(F::WRITE_SIZE))
            {
                if unit.iter().any(|byte| *byte != 0xFF) {
                    write(at, unit)?;
                }
            }
            return Ok(());
        }
        write(self.layout.factory.start, &factory().encode())?;
        write(self.layout.active.start, &self.old.image)?;
        write(
            self.layout.manifest(Slot::Active, Placement::Plain),
            &self.old.signed.encode(),
        )?;
        let signed = &self.old.signed;
        // Fails only if the flash does, and then every boot will say so.
        let _ = Journal::provision_after(
            flash,
            &self.layout,
            signed.image_id(),
            signed.manifest().security_counter,
            LAST_GENERATION,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_geometry_has_images_that_fit_what_counts_them_and_differ_in_every_page() {
        for geometry in FlashPart::ALL {
            let scene = Scene::new(geometry, Scenario::Longer, SMALL_PAGES, None, 1);
            let (old, new) = (&scene.old, &scene.new);
            assert!(
                new.image.len() < 1 << 24,
                "a record has 24 bits for progress"
            );
            assert_eq!(usize::from(scene.fragments.count), new.sealed.len());
            assert_eq!(
                new.signed.manifest().size_bytes as usize,
                new.image.len(),
                "{geometry}"
            );
            let page = geometry.facts().page_bytes() as usize;
            let pages = old.image.chunks(page).zip(new.image.chunks(page));
            for (number, (old, new)) in pages.enumerate() {
                let ends = [0, old.len().min(new.len()) - 1];
                assert!(
                    ends.iter().all(|at| old[*at] != new[*at]),
                    "{geometry}, page {number}"
                );
            }
        }
    }
}
