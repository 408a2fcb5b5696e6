//! Flash by pages: a number for the content of each, so that two flashes are compared page by page, and copies of pages as
//! they were at a mark of a run.
use nor_flash_model::fold;
use powercut_emulator::{FLASH_BYTES, Machine, PAGE_BYTES};

/// Pages of flash.
pub(crate) const PAGES: usize = FLASH_BYTES / PAGE_BYTES;
/// Words in a page.
pub(crate) const PAGE_WORDS: usize = PAGE_BYTES / 4;

/// The number of each page's content.
pub(crate) type Digests = [u64; PAGES];

/// The number of a page that holds `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    // Four sums at once: each waits for its own product only.
    let mut sums = [0; 4];
    for four in words.chunks(4) {
        for (sum, word) in sums.iter_mut().zip(four) {
            *sum = fold(*sum, u64::from_le_bytes(*word));
        }
    }
    sums.into_iter().fold(0, fold)
}

/// A machine with the numbers of its pages.
pub(crate) struct Device {
    pub(crate) machine: Machine,
    digests: Box<Digests>,
    /// How weak bits read, as a number.
    pub(crate) noise: u64,
}

impl Device {
    /// A machine with its flash.
    pub(crate) fn new(machine: Machine) -> Self {
        let mut device = Self {
            machine,
            digests: Box::new([0; PAGES]),
            noise: 0,
        };
        for page in 0..PAGES {
            device.refresh(page);
        }
        device
    }

    /// The number of each page's content.
    pub(crate) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// A page's content.
    pub(crate) fn page(&self, page: usize) -> &[u8] {
        &self.machine.flash()[page * PAGE_BYTES..(page + 1) * PAGE_BYTES]
    }

    /// A page has changed.
    pub(crate) fn refresh(&mut self, page: usize) {
        let content = digest(self.page(page));
        self.digests[page] = match self.machine.unsettled() {
            Some(unsettled) if unsettled.is_in_page(page) => {
                let start = (page * PAGE_BYTES) as u32;
                let words = (start..start + PAGE_BYTES as u32).step_by(4);
                let begun = fold(fold(content, u64::from(unsettled.looks())), self.noise);
                words.fold(begun, |digest, address| {
                    let fails = u64::from(unsettled.is_unreadable(address)) << 32;
                    fold(digest, u64::from(unsettled.weak_bits(address)) | fails)
                })
            }
            _ => content,
        };
    }

    /// The bits of a word that may read otherwise at each look; all of them if it may fail to read.
    pub(crate) fn weak_bits(&self, address: u32) -> u32 {
        match self.machine.unsettled() {
            Some(unsettled) if unsettled.is_unreadable(address) => u32::MAX,
            Some(unsettled) => unsettled.weak_bits(address),
            None => 0,
        }
    }

    /// Whether words of this page are unsettled.
    pub(crate) fn is_unsettled(&self, page: usize) -> bool {
        let unsettled = self.machine.unsettled();
        unsettled.is_some_and(|unsettled| unsettled.is_in_page(page))
    }

    /// Pages of which words are unsettled have other numbers once more looks were taken.
    pub(crate) fn refresh_unsettled(&mut self) {
        for page in 0..PAGES {
            if self.is_unsettled(page) {
                self.refresh(page);
            }
        }
    }

    /// This device's flash becomes that of `other`.
    pub(crate) fn copy_flash(&mut self, other: &Self) {
        for page in 0..PAGES {
            if self.digests[page] == other.digests[page] {
                continue;
            }
            let mut bytes = [0; PAGE_BYTES];
            bytes.copy_from_slice(other.page(page));
            self.machine.set_page((page * PAGE_BYTES) as u32, &bytes);
            self.digests[page] = other.digests[page];
        }
        self.noise = other.noise;
        self.machine
            .set_unsettled(other.machine.unsettled().cloned());
    }
}

/// A set of pages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageSet([u64; PAGES / 64]);

impl PageSet {
    pub(crate) fn add(&mut self, page: usize) {
        self.0[page / 64] |= 1 << (page % 64);
    }

    /// The pages, which are in the set no longer.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = usize> + use<> {
        let words = std::mem::take(&mut self.0);
        (0..PAGES).filter(move |page| words[page / 64] >> (page % 64) & 1 == 1)
    }
}

/// Pages of a run as they were at its marks, kept when they change.
#[derive(Default)]
pub(crate) struct Versions {
    /// Page, the first mark behind which it changed, and its content at the marks before that since the version before.
    kept: Vec<(usize, usize, Box<[u8; PAGE_BYTES]>)>,
    /// By page: marks that were there when it was kept last.
    kept_at: Vec<u8>,
}

impl Versions {
    /// Nothing has changed yet.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.kept_at.clear();
        self.kept_at.resize(PAGES, 0);
    }

    /// `page` of `flash` is about to change, behind so many marks.
    pub(crate) fn keep(&mut self, page: usize, flash: &[u8; FLASH_BYTES], marks: usize) {
        let Some(kept_at) = self.kept_at.get_mut(page) else {
            return;
        };
        if usize::from(*kept_at) < marks {
            *kept_at = marks as u8;
            let mut bytes = Box::new([0; PAGE_BYTES]);
            bytes.copy_from_slice(&flash[page * PAGE_BYTES..(page + 1) * PAGE_BYTES]);
            self.kept.push((page, marks, bytes));
        }
    }

    /// The content of each page at `mark`, where it was another than now.
    pub(crate) fn at(&self, mark: usize) -> [Option<&[u8; PAGE_BYTES]>; PAGES] {
        let mut pages = [None; PAGES];
        for (page, marks, bytes) in self.kept.iter().rev() {
            if mark < *marks {
                pages[*page] = Some(&**bytes);
            }
        }
        pages
    }
}
