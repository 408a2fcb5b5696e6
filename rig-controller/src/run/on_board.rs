//! A schedule of the exploration in process, on the board: the same cuts, and whether they leave the same flash. What the
//! flash of a board in QEMU cannot do is refused, not left out.
use std::fmt;

use nor_flash_model::{Cut as CoreCut, CutEffect};

use crate::case::runner::{Snapshot, Taken};
use crate::plan::{Cut, CutAt, Outage, Torn};
use powercut_explore::{FlashFault, Flashes};

/// A schedule cannot be played on the board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOnBoardError {
    /// The cut leaves something that QEMU's flash cannot hold.
    #[error(
        "{cut} leaves {what}, and the flash of a board in QEMU reads every bit alike at every look; replay it in process (without --on-board), or write a settled shape such as first-half or bits5eed in its place"
    )]
    Unsettled {
        /// The cut.
        cut: CoreCut,
        /// What it leaves.
        what: &'static str,
    },
    /// A fault of flash that is no cut.
    #[error(
        "{fault} is a fault of flash, and the flash of a board in QEMU has none; replay it in process (without --on-board), or leave faults= out"
    )]
    Fault {
        /// The fault.
        fault: FlashFault,
    },
    /// The option is for cases and for schedules on the board.
    #[error("{option} needs a board, and the schedule {line} runs on none; {remedy}")]
    Option {
        /// The option.
        option: &'static str,
        /// The schedule.
        line: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// The images are no firmware.
    #[error(
        "{line} is of images made up for exploration, which no board can run; --on-board takes schedules of a test plan, such as core:smoke:1:mb-1:seed=20261122:cuts=op37/before"
    )]
    MadeUp {
        /// The schedule.
        line: String,
    },
}

/// The cuts of a schedule as a case has them.
///
/// # Errors
/// The first cut or fault that the board cannot show.
pub fn cuts(cuts: &[CoreCut], faults: &[FlashFault]) -> Result<Vec<Cut>, NotOnBoardError> {
    if let Some(fault) = faults.first() {
        return Err(NotOnBoardError::Fault { fault: *fault });
    }
    cuts.iter()
        .map(|cut| {
            Ok(Cut {
                at: CutAt::Operation(cut.operation),
                torn: torn(*cut)?,
                outage: Outage::default(),
            })
        })
        .collect()
}

fn torn(cut: CoreCut) -> Result<Torn, NotOnBoardError> {
    let unsettled = |what| Err(NotOnBoardError::Unsettled { cut, what });
    Ok(match cut.effect {
        CutEffect::Before => Torn::Before,
        CutEffect::After => Torn::Whole,
        CutEffect::Torn(shape) => Torn::Shape(shape),
        CutEffect::Weak(_) | CutEffect::HalfWeak(_) | CutEffect::Uneven(..) => {
            return unsettled("weak bits");
        }
        CutEffect::Unreadable => return unsettled("units that cannot be read"),
    })
}

/// The first thing in which a run on the board differs from the one in process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Flash at some moment.
    Flash {
        /// After which cut, from 1; `None` for the end.
        cut: Option<usize>,
        /// Byte address.
        address: usize,
        /// What is there in process.
        in_process: u8,
        /// What is there on the board.
        on_board: u8,
    },
    /// Cuts that happened.
    Cuts {
        /// In process.
        in_process: usize,
        /// On the board.
        on_board: usize,
    },
    /// Bytes of flash.
    Size {
        /// In process.
        in_process: usize,
        /// On the board.
        on_board: usize,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash {
                cut,
                address,
                in_process,
                on_board,
            } => {
                match cut {
                    Some(cut) => write!(f, "flash after cut {cut}")?,
                    None => f.write_str("flash at the end")?,
                }
                write!(
                    f,
                    " differs, first at {address:#x}: {in_process:#04x} in process, {on_board:#04x} on the board"
                )
            }
            Self::Cuts {
                in_process,
                on_board,
            } => write!(
                f,
                "cuts that happened: {in_process} in process, {on_board} on the board"
            ),
            Self::Size {
                in_process,
                on_board,
            } => write!(
                f,
                "flash has {in_process} bytes in process, {on_board} on the board"
            ),
        }
    }
}

/// What two runs that do not differ have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Same {
    /// So many cuts left the same flash.
    pub cuts: usize,
    /// So did the whole run; `false` if one of the two did not come to rest.
    pub end: bool,
}

impl fmt::Display for Same {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flash after each cut is the same in process and on the board")?;
        f.write_str(if self.end {
            ", and at the end"
        } else {
            "; the end is not compared, for not both runs came to rest"
        })
    }
}

/// Compares what flash held in process and on the board: after each cut, and at rest.
///
/// # Errors
/// The first difference.
pub fn compare(in_process: &Flashes, on_board: &[Snapshot]) -> Result<Same, Difference> {
    let (ends, cuts): (Vec<_>, Vec<_>) = on_board
        .iter()
        .partition(|snapshot| snapshot.taken == Taken::AtTheEnd);
    let on_board = Flashes {
        after_cuts: cuts.iter().map(|cut| cut.after.clone()).collect(),
        at_rest: ends.last().map(|end| end.after.clone()),
    };
    compare_flashes(in_process, &on_board)
}

/// Compares what flash held in two runs.
///
/// # Errors
/// The first difference.
pub fn compare_flashes(in_process: &Flashes, on_board: &Flashes) -> Result<Same, Difference> {
    let pairs = in_process.after_cuts.iter().zip(&on_board.after_cuts);
    for (number, (one, two)) in (1..).zip(pairs) {
        same_flash(Some(number), one, two)?;
    }
    let cuts = on_board.after_cuts.len();
    if in_process.after_cuts.len() != cuts {
        return Err(Difference::Cuts {
            in_process: in_process.after_cuts.len(),
            on_board: cuts,
        });
    }
    let ends = in_process.at_rest.as_ref().zip(on_board.at_rest.as_ref());
    if let Some((one, two)) = ends {
        same_flash(None, one, two)?;
    }
    Ok(Same {
        cuts,
        end: ends.is_some(),
    })
}

fn same_flash(cut: Option<usize>, in_process: &[u8], on_board: &[u8]) -> Result<(), Difference> {
    if in_process.len() != on_board.len() {
        return Err(Difference::Size {
            in_process: in_process.len(),
            on_board: on_board.len(),
        });
    }
    let pairs = in_process.iter().zip(on_board);
    match pairs.enumerate().find(|(_, (one, two))| one != two) {
        None => Ok(()),
        Some((address, (one, two))) => Err(Difference::Flash {
            cut,
            address,
            in_process: *one,
            on_board: *two,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_board(text: &str) -> Result<String, String> {
        cuts(&[text.parse().unwrap()], &[])
            .map(|cuts| cuts[0].to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_settled_shape_has_its_counterpart_on_the_board() {
        for (in_process, board) in [
            ("op37/before", "op37/before"),
            ("op37/after", "op37"),
            ("op37/first-half", "op37/half"),
            ("op37/second-half", "op37/other-half"),
            ("op37/prefix3", "op37/prefix:3"),
            ("op37/all-but1", "op37/all-but:1"),
            ("op37/bits5eed", "op37/byte-bits:24301"),
        ] {
            assert_eq!(on_board(in_process), Ok(board.to_owned()));
        }
    }

    #[test]
    fn what_the_boards_flash_cannot_show_is_refused_with_why_and_what_to_do() {
        for cut in [
            "weak-boots6",
            "weak-looks1",
            "half-weak-random7",
            "uneven5eed-looks1",
            "unreadable",
        ] {
            let error = on_board(&format!("op37/{cut}")).unwrap_err();
            assert!(error.starts_with(&format!("op37/{cut} leaves")), "{error}");
            assert!(error.contains("without --on-board"), "{error}");
        }
        let error = cuts(&[], &["silent37".parse().unwrap()]).unwrap_err();
        assert!(error.to_string().starts_with("silent37 is a fault"));
    }

    fn snapshot(before: Option<u8>, after: [u8; 3]) -> Snapshot {
        Snapshot {
            taken: before.map_or(Taken::AtTheEnd, |byte| Taken::AfterCut(Some(vec![byte; 3]))),
            after: after.to_vec(),
        }
    }

    #[test]
    fn the_first_difference_is_named_by_cut_and_address() {
        let flashes = Flashes {
            after_cuts: vec![vec![1, 2, 3], vec![4, 5, 6]],
            at_rest: Some(vec![7, 8, 9]),
        };
        let cuts = [snapshot(Some(0), [1, 2, 3]), snapshot(Some(0), [4, 5, 6])];
        let end = snapshot(None, [7, 8, 9]);
        let judge = |snapshots: &[&Snapshot]| {
            let snapshots: Vec<Snapshot> = snapshots.iter().copied().cloned().collect();
            compare(&flashes, &snapshots)
        };
        assert_eq!(
            judge(&[&cuts[0], &cuts[1], &end]),
            Ok(Same { cuts: 2, end: true })
        );
        assert_eq!(
            judge(&[&cuts[0], &cuts[1]]),
            Ok(Same {
                cuts: 2,
                end: false
            })
        );
        for (snapshots, said) in [
            (
                [&cuts[0], &cuts[0], &end].as_slice(),
                "flash after cut 2 differs, first at 0x0: 0x04 in process, 0x01 on the board",
            ),
            (
                &[&cuts[0], &cuts[1], &snapshot(None, [7, 8, 0])],
                "flash at the end differs, first at 0x2: 0x09 in process, 0x00 on the board",
            ),
            (
                &[&cuts[0], &end],
                "cuts that happened: 2 in process, 1 on the board",
            ),
        ] {
            assert_eq!(judge(snapshots).unwrap_err().to_string(), said);
        }
    }
}
