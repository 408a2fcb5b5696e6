//! A board with everything that hangs on it, composed from an entry of the bench file once a run.
use super::{Board, Facts};
use crate::entry::BoardEntry;
use crate::link::{self, LinkKind};
use crate::relay::{self, Relay};
use crate::witness::{self, Witness};
use powercut_oracle::sight::Sight;

/// One board of the bench, ready for any number of cases.
pub struct Composed {
    /// The device.
    pub board: Box<dyn Board>,
    /// Its power.
    pub relay: Box<dyn Relay>,
    /// The proof that power went.
    pub witness: Option<Box<dyn Witness>>,
    /// Its way to the platform.
    pub link: Box<dyn LinkKind>,
    /// The sight that the bench file does not hide.
    pub shows: Sight,
}

impl Composed {
    /// Facts that hold before the board is switched; the sight is that of this run.
    pub fn facts(&self) -> Facts {
        let facts = self.board.facts();
        let off_proved = self.witness.is_some();
        let sight = Sight {
            off_proved,
            ..facts.sight
        };
        let sight = sight.and(self.shows);
        Facts { sight, ..facts }
    }
}

impl std::fmt::Debug for Composed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Composed")
            .field("board", &self.board.name())
            .field("relay", &self.relay.name())
            .finish_non_exhaustive()
    }
}

/// A kind of board.
pub struct Kind {
    /// Its name in bench files, after `virtual:`.
    pub name: &'static str,
    /// The name of what emulates it, after `engine:`.
    pub engine: &'static str,
    /// The sight of boards of this kind, known before one is made.
    pub sight: Sight,
    /// The name of the relay's kind where a bench file does not say.
    pub relay: &'static str,
    /// The name of the witness's kind where a bench file does not say.
    pub witness: &'static str,
    /// The name of the link's kind where a bench file does not say.
    pub link: &'static str,
    /// Makes one, off and erased, as a bench file's entry says.
    pub make: fn(&BoardEntry) -> Box<dyn Board>,
}

/// The kinds of boards there are; of those with one name, the first unless a bench file names another engine.
pub const KINDS: &[Kind] = &[super::in_process::KIND, super::qemu::KIND];

/// The kind that `entry` names.
fn kind_of(entry: &BoardEntry) -> Option<&'static Kind> {
    let mut kinds = KINDS.iter();
    kinds.find(|kind| kind.name == entry.kind && kind.engine == entry.engine)
}

/// Composes the board that `entry` describes; `None` if it names a kind that there is not, or parts that do not go together:
/// no bench file gets past its reader so.
pub fn compose(entry: &BoardEntry) -> Option<Composed> {
    let board = (kind_of(entry)?.make)(entry);
    let relay = relay::KINDS.iter().find(|kind| kind.name == entry.relay)?;
    let mut witnesses = witness::KINDS.iter();
    let witness = witnesses.find(|kind| kind.name == entry.witness)?;
    let link = link::KINDS.iter().find(|kind| kind.name == entry.link)?;
    Some(Composed {
        relay: (relay.wire)(&*board)?,
        witness: Some((witness.wire)(&*board)?),
        link: (link.make)(entry),
        shows: entry.shows,
        board,
    })
}

/// The sight of the board that `entry` describes, before it is composed.
pub fn sight_of(entry: &BoardEntry) -> Option<Sight> {
    kind_of(entry).map(|kind| kind.sight.and(entry.shows))
}
