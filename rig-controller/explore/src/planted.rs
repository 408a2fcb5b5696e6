//! Bugs planted on purpose outside the upgrade core: in the scripted platform, and in the rig itself. As in the core,
//! they are compiled in only by the feature `seeded-bugs`.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RigBug {
    /// The platform serves the first fragment, whatever it was asked for.
    ServerRestartsAtZero,
    /// The platform serves another image under the manifest it offered.
    ServerSwapsImage,
    /// Power is not cut where the schedule says.
    CutNeverFires,
}

#[cfg(feature = "seeded-bugs")]
mod switch {
    use super::RigBug;
    use std::sync::atomic::{AtomicU8, Ordering};

    const NONE: u8 = u8::MAX;
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    impl RigBug {
        /// All.
        pub const ALL: [Self; 3] = [
            Self::ServerRestartsAtZero,
            Self::ServerSwapsImage,
            Self::CutNeverFires,
        ];

        /// How it is called.
        pub const fn name(self) -> &'static str {
            match self {
                Self::ServerRestartsAtZero => "server-restarts-at-zero",
                Self::ServerSwapsImage => "server-swaps-image",
                Self::CutNeverFires => "cut-never-fires",
            }
        }
    }

    /// Plants `bug`, and no other, in the whole process.
    pub(crate) fn plant(bug: Option<RigBug>) {
        PLANTED.store(bug.map_or(NONE, |bug| bug as u8), Ordering::SeqCst);
    }

    pub(super) fn is_planted(bug: RigBug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(feature = "seeded-bugs")]
pub(super) use switch::plant;

/// Whether `bug` is planted.
#[cfg_attr(
    not(feature = "seeded-bugs"),
    expect(unused_variables, reason = "without the feature nothing is planted")
)]
pub(super) fn is_planted(bug: RigBug) -> bool {
    #[cfg(feature = "seeded-bugs")]
    let planted = switch::is_planted(bug);
    #[cfg(not(feature = "seeded-bugs"))]
    let planted = false;
    planted
}
