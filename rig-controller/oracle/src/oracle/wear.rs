//! S3 and L3: how often units are programmed and pages erased.
use std::collections::BTreeMap;

use super::{Invariant, Oracle};
use crate::flash_view;
use crate::{FlashOp, FlashOpKind};

impl Oracle {
    /// S3, and what a device never writes; counts erases for L3.
    pub(super) fn wear(&mut self, op: &FlashOp) {
        let address = op.kind.address();
        if address < self.layout.identification.start {
            let reason = format!(
                "operation {} is at {address:#x}, in BOOT or FACTORY, which a device never writes: a cut there leaves nothing that boots",
                op.number
            );
            self.report(Invariant::S1, reason);
        }
        let unit_bytes = self.geometry.unit_bytes() as usize;
        let units = self.geometry.page_bytes() as usize / unit_bytes;
        let allowed = self.geometry.programs_per_unit();
        match op.kind {
            FlashOpKind::Program { .. } => {
                let Some(programs) = self.programs.get_mut(address as usize / unit_bytes) else {
                    return;
                };
                *programs = programs.saturating_add(1);
                if *programs > allowed {
                    let reason = format!(
                        "operation {} programs the unit at {address:#x} for the {}th time since its page was erased; this flash allows {allowed}",
                        op.number, *programs
                    );
                    self.report(Invariant::S3, reason);
                }
            }
            FlashOpKind::Erase { .. } => {
                let page = address as usize / self.geometry.page_bytes() as usize;
                if let Some(erases) = self.erases.get_mut(page) {
                    *erases += 1;
                }
                if let Some(programs) = self.programs.get_mut(page * units..(page + 1) * units) {
                    programs.fill(0);
                }
            }
        }
    }

    /// The case is over: no page was erased more often than the swap, the journal and the cuts account for (L3).
    pub fn at_end(&mut self, installed: bool) {
        if self.sight.lacks(Invariant::L3.needs()).is_some() {
            return;
        }
        self.look_at(Invariant::L3);
        let (layout, new) = (self.layout, self.images.new.manifest());
        let pages = u32::from(
            layout.image_pages(new.size_bytes.max(self.images.old.manifest().size_bytes)),
        ) + 1;
        let reverted = u32::from(self.reverted);
        let swapped = u32::from(installed || self.reverted);
        let download = u32::from(layout.image_pages(new.size_bytes)) + 1;
        let bounds = [
            (
                "ACTIVE",
                layout.active,
                pages * (swapped + reverted) + self.cuts,
                swapped + reverted + self.cuts,
            ),
            (
                "STAGING",
                layout.staging,
                download + (pages + 1) * (swapped + reverted) + 2 * self.cuts,
                1 + swapped + reverted + self.cuts,
            ),
        ];
        let mut reasons = Vec::new();
        for (name, region, total_allowed, page_allowed) in bounds {
            let counts = self.counts(region);
            let (total, most) = (
                counts.iter().sum::<u32>(),
                counts.iter().max().copied().unwrap_or(0),
            );
            if total > total_allowed || most > page_allowed {
                reasons.push(format!("{name} was erased {total} times ({most} times the same page); {total_allowed} ({page_allowed}) would do"));
            }
        }
        // Bootloader and application each open a page in a boot; a cut may cost one more in either.
        let capacity = flash_view::journal_page_capacity(self.geometry, &layout);
        let journal: u32 = self.counts(layout.identification).iter().sum();
        let allowed =
            self.journal_records.div_ceil(capacity) as u32 + 2 * self.boots + 2 * self.cuts;
        if journal > allowed {
            reasons.push(format!(
                "the journal was erased {journal} times; {allowed} would do"
            ));
        }
        for reason in reasons {
            self.report(Invariant::L3, reason);
        }
    }

    /// Changes of the journal that justify its erases so far.
    pub fn journal_records_needed(&self) -> u64 {
        let journal: u32 = self.counts(self.layout.identification).iter().sum();
        let by_records = journal.saturating_sub(2 * self.boots + 2 * self.cuts);
        let capacity = flash_view::journal_page_capacity(self.geometry, &self.layout);
        match by_records.checked_sub(1) {
            None => 0,
            Some(pages) => u64::from(pages) * capacity + 1,
        }
    }

    fn counts(&self, region: powercut_upgrade::slots::Region) -> Vec<u32> {
        let first = (region.start / self.geometry.page_bytes()) as usize;
        self.erases[first..first + usize::from(region.pages)].to_vec()
    }

    /// Erases of each region, by name, for reports.
    pub fn erases_by_region(&self) -> BTreeMap<&'static str, u64> {
        let layout = self.layout;
        [
            ("active", layout.active),
            ("staging", layout.staging),
            ("identification", layout.identification),
        ]
        .into_iter()
        .map(|(name, region)| {
            (
                name,
                self.counts(region)
                    .iter()
                    .map(|count| u64::from(*count))
                    .sum(),
            )
        })
        .collect()
    }
}
