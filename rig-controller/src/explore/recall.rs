//! Results that depend on nothing but what was looked at: whether an image has its digest, whether a manifest is signed.
//! They are remembered by content, for each thread apart, while it explores with [`Remembering`]. What is remembered is
//! the same as what would be worked out again, so no verdict changes.
use std::cell::RefCell;

use super::merge::Hashed;

thread_local! {
    static RESULTS: RefCell<Option<Hashed<bool>>> = const { RefCell::new(None) };
}

/// As long as this lives, this thread remembers.
#[derive(Debug)]
pub(super) struct Remembering(());

impl Remembering {
    /// Begins with nothing remembered.
    pub(super) fn begin() -> Self {
        RESULTS.set(Some(Hashed::default()));
        Self(())
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        RESULTS.set(None);
    }
}

/// The result of `work` on an input that hashes to `input`.
pub(super) fn recall(input: u64, work: impl FnOnce() -> bool) -> bool {
    let known = RESULTS.with_borrow(|results| results.as_ref()?.get(&input).copied());
    known.unwrap_or_else(|| {
        let result = work();
        RESULTS.with_borrow_mut(|results| {
            if let Some(results) = results {
                results.insert(input, result);
            }
        });
        result
    })
}

/// Whether this thread remembers.
pub(super) fn remembers() -> bool {
    RESULTS.with_borrow(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_worked_out_once_while_remembering_and_every_time_else() {
        let mut worked_out = 0;
        let mut ask = || {
            recall(7, || {
                worked_out += 1;
                true
            })
        };
        assert!(ask() && ask());
        {
            let _remembering = Remembering::begin();
            assert!(ask() && ask());
        }
        assert!(ask() && !remembers());
        assert_eq!(worked_out, 4);
    }
}
