//! Flash as a case has left it, around each cut and at the end.
use sha2::{Digest, Sha256};

/// When a snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// After a cut; with the content when the cut was decided, where that can be seen.
    AfterCut(Option<Vec<u8>>),
    /// At the end of the case.
    AtTheEnd,
}

/// Flash around one cut, or at the end.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was taken.
    pub taken: Taken,
    /// Content that was left.
    pub after: Vec<u8>,
}

impl Snapshot {
    /// SHA-256 of what was left, in hex.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.after))
    }
}
