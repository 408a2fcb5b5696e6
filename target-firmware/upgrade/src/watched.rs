//! Flash as the core's functions take it, with six hooks by which a simulator watches the core.
//!
//! The exploration cuts power at every operation, 10^9 times and more. It can, because it stops where two devices have the
//! same future, and because it works nothing out twice. Both need what only the core can say: which state matters from here
//! on ([`goes_on_with`](WatchedFlash::goes_on_with)), which question a page is read for ([`ask`](WatchedFlash::ask),
//! [`ask_about`](WatchedFlash::ask_about)), and what a result depends on ([`work_out`](WatchedFlash::work_out),
//! [`work_out_from`](WatchedFlash::work_out_from), [`piece_end`](WatchedFlash::piece_end)). On a device all six compile to
//! nothing.
//!
//! A driver has no part in this. It implements [`UpgradeFlash`], and every [`UpgradeFlash`] is a [`WatchedFlash`] with hooks
//! that do nothing. The flash of a simulator implements [`WatchedFlash`] in place of [`UpgradeFlash`] and overrides the hooks
//! it needs; the compiler refuses a type that implements both. That is why this is no trait on top of [`UpgradeFlash`]: each
//! driver would then need an empty `impl` of it. Functions that neither tell a simulator anything nor call one that does
//! take any `NorFlash`.
use core::hash::Hash;
use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use crate::flash::UpgradeFlash;

/// Flash that the core keeps an upgrade in: any [`UpgradeFlash`], or that of a simulator. A hook that a simulator overrides
/// returns what the provided one would return, as long as power lasts.
pub trait WatchedFlash: NorFlash {
    /// As in [`UpgradeFlash::PROGRAMS_PER_UNIT`].
    const PROGRAMS_PER_UNIT: u8;

    /// The caller goes on with `state`: of all that was read since power-on, nothing else matters from here on.
    fn goes_on_with(&mut self, state: &impl Hash) {
        let _ = state;
    }

    /// Asks `question` about the page that starts at `page`: of what `ask` reads there, only the answer matters. A simulator
    /// may ask more than once.
    fn ask<R: Hash>(&mut self, page: u32, question: PageQuestion, ask: impl Fn(&mut Self) -> R) -> R
    where
        Self: Sized,
    {
        let _ = (page, question);
        ask(self)
    }

    /// Whether what the pages that start at `pages` hold is what `asked` asks for, as `look` finds out by reading them. A
    /// simulator that met the same pages before need not look again.
    fn ask_about(
        &mut self,
        pages: impl Iterator<Item = u32> + Clone,
        asked: &impl Hash,
        look: impl FnOnce(&mut Self) -> bool,
    ) -> bool
    where
        Self: Sized,
    {
        let _ = (pages, asked);
        look(self)
    }

    /// Works out something that depends on nothing but `input`. A simulator that did so before need not do it again.
    fn work_out(&mut self, input: &impl Hash, work: impl FnOnce() -> bool) -> bool {
        let _ = input;
        work()
    }

    /// Takes `state` on to what `work` makes of it, which depends on nothing but `state` and what flash holds at these
    /// addresses, all in one page. A simulator that did so before need not do it again.
    fn work_out_from<S: Hash + Clone + 'static>(
        &mut self,
        addresses: Range<u32>,
        state: &mut S,
        work: impl FnOnce(&mut Self, &mut S),
    ) where
        Self: Sized,
    {
        let _ = addresses;
        work(self, state);
    }

    /// Where the piece ends that begins at `address`, if pages are to be worked out in pieces; `None`: at once.
    fn piece_end(&self, address: u32) -> Option<u32> {
        let _ = address;
        None
    }
}

/// The flash of a driver, with hooks that do nothing.
impl<F: UpgradeFlash> WatchedFlash for F {
    const PROGRAMS_PER_UNIT: u8 = <F as UpgradeFlash>::PROGRAMS_PER_UNIT;
}

/// What is asked about a page. Together with what the page holds it determines the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PageQuestion {
    /// Which HEADER a journal page has, and whether it is sealed.
    Header,
    /// What the records of a journal page make of the state in its HEADER.
    Records,
}
