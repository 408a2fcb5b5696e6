//! Results that depend on nothing but what was looked at: whether an image has its digest, whether a manifest is signed.
//! They are remembered by content, for each thread apart, while it explores with [`Remembering`]. What is remembered is
//! the same as what would be worked out again, so no verdict changes.
use std::any::Any;
use std::cell::RefCell;

use super::merge::Hashed;
use super::recent::Recent;

thread_local! {
    static RESULTS: RefCell<Option<Hashed<bool>>> = const { RefCell::new(None) };
    static PIECES: RefCell<Recent<Box<dyn Any>>> = RefCell::default();
}

/// As long as this lives, this thread remembers.
#[derive(Debug)]
pub(super) struct Remembering(());

impl Remembering {
    /// Begins with nothing remembered.
    pub(super) fn begin() -> Self {
        RESULTS.set(Some(Hashed::default()));
        PIECES.take();
        Self(())
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        RESULTS.set(None);
        PIECES.take();
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

/// Like [`recall`] for results of any kind, of which only those met lately are remembered. Results whose inputs hash alike
/// are of one kind.
pub(super) fn recall_piece<R: Clone + 'static>(input: u64, work: impl FnOnce() -> R) -> R {
    let known = PIECES.with_borrow(|pieces| {
        pieces
            .get(input)
            .and_then(|known| known.downcast_ref().cloned())
    });
    known.unwrap_or_else(|| {
        let result = work();
        PIECES.with_borrow_mut(|pieces| pieces.insert(input, Box::new(result.clone())));
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

    #[test]
    fn results_of_pieces_are_those_of_their_own_input() {
        let _remembering = Remembering::begin();
        assert_eq!(recall_piece(1, || ('a', 1)), ('a', 1));
        assert_eq!(recall_piece(2, || ('b', 2)), ('b', 2));
        assert_eq!(recall_piece(1, || ('c', 3)), ('a', 1));
    }
}
