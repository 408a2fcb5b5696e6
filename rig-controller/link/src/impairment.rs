//! Decides what becomes of each datagram on its way.
//!
//! The decision is a hash of seed, direction, the datagram's content and how often this very content went this way
//! before. Arrival time and the order of *different* datagrams have no part in it, so a busy host cannot change
//! which datagrams a case loses; a retransmission is a new try and may get through.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::profile::{LinkProfile, WayProfile};

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device.
    ToPlatform,
    /// From the platform.
    ToDevice,
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives once.
    Deliver,
    /// It never arrives.
    Drop,
    /// It arrives twice.
    Duplicate,
}

impl Fate {
    /// How many copies arrive.
    pub fn copies(self) -> usize {
        match self {
            Fate::Drop => 0,
            Fate::Deliver => 1,
            Fate::Duplicate => 2,
        }
    }
}

/// What was decided about one datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decision {
    pub(super) fate: Fate,
    /// Seeds whatever else is drawn for it.
    pub(super) draws: [u8; 32],
}

/// Datagrams that went one way, by fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct WayCounters {
    /// Arrived once.
    pub delivered: u64,
    /// Lost.
    pub dropped: u64,
    /// Arrived twice.
    pub duplicated: u64,
}

/// Datagrams by direction and fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LinkCounters {
    /// From the device.
    pub to_platform: WayCounters,
    /// From the platform.
    pub to_device: WayCounters,
}

/// A link profile at work. Clones share their memory and their counters.
#[derive(Debug, Clone)]
pub struct Impairment {
    to_platform: WayProfile,
    to_device: WayProfile,
    seed: u64,
    by_order: bool,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Clone, Default)]
struct Memory {
    seen: HashMap<(Direction, [u8; 32]), u64>,
    counters: LinkCounters,
}

impl Impairment {
    /// Put `profile` to work; the same seed gives every datagram the same fate.
    pub fn new(profile: &LinkProfile, seed: u64) -> Self {
        Self {
            to_platform: profile.to_platform,
            to_device: profile.to_device,
            seed,
            by_order: false,
            memory: Arc::default(),
        }
    }

    /// Whether every datagram arrives, once.
    pub fn is_none(&self) -> bool {
        let ways = [self.to_platform, self.to_device];
        ways.iter()
            .all(|way| way.drop_percent <= 0.0 && way.duplicate_percent <= 0.0)
    }

    /// The same, but the fate of a datagram depends on how many went its way before and not on its content: for
    /// simulations, whose datagrams come in the same order each time and may hold random numbers.
    pub fn by_order(profile: &LinkProfile, seed: u64) -> Self {
        Self {
            by_order: true,
            ..Self::new(profile, seed)
        }
    }

    /// The same with a memory and counters of its own, which begin with what has happened here so far.
    #[must_use]
    pub fn fork(&self) -> Self {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            memory: Arc::new(Mutex::new(memory.clone())),
            ..self.clone()
        }
    }

    /// Decide, and count, what becomes of this datagram.
    pub(super) fn decide(&self, direction: Direction, datagram: &[u8]) -> Decision {
        let content: [u8; 32] = if self.by_order {
            [0; 32]
        } else {
            Sha256::digest(datagram).into()
        };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = memory.seen.entry((direction, content)).or_insert(0);
        let occurrence = *seen;
        *seen += 1;
        let way = match direction {
            Direction::ToPlatform => self.to_platform,
            Direction::ToDevice => self.to_device,
        };
        let draws = draws(self.seed, direction, &content, occurrence);
        let drawn = percent(&draws);
        let fate = if drawn < way.drop_percent {
            Fate::Drop
        } else if drawn < way.drop_percent + way.duplicate_percent {
            Fate::Duplicate
        } else {
            Fate::Deliver
        };
        let counters = match direction {
            Direction::ToPlatform => &mut memory.counters.to_platform,
            Direction::ToDevice => &mut memory.counters.to_device,
        };
        match fate {
            Fate::Deliver => counters.delivered += 1,
            Fate::Drop => counters.dropped += 1,
            Fate::Duplicate => counters.duplicated += 1,
        }
        Decision { fate, draws }
    }

    /// What has been decided so far.
    pub fn counters(&self) -> LinkCounters {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .counters
    }
}

/// The same for the same arguments on every host, and evenly distributed.
fn draws(seed: u64, direction: Direction, content: &[u8; 32], occurrence: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"powercut link");
    hash.update(seed.to_le_bytes());
    hash.update([match direction {
        Direction::ToPlatform => 0,
        Direction::ToDevice => 1,
    }]);
    hash.update(content);
    hash.update(occurrence.to_le_bytes());
    hash.finalize().into()
}

/// A number in 0..100.
fn percent(&[a, b, c, d, ..]: &[u8; 32]) -> f64 {
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lossy() -> LinkProfile {
        let way = WayProfile {
            drop_percent: 4.0,
            duplicate_percent: 3.0,
            rate_bps: None,
        };
        LinkProfile {
            to_platform: way,
            to_device: way,
            ..LinkProfile::ideal()
        }
    }

    fn fates(impairment: &Impairment, datagrams: &[Vec<u8>]) -> Vec<Fate> {
        datagrams
            .iter()
            .map(|datagram| impairment.decide(Direction::ToDevice, datagram).fate)
            .collect()
    }

    fn datagrams() -> Vec<Vec<u8>> {
        (0..4000u32).map(|n| n.to_be_bytes().to_vec()).collect()
    }

    #[test]
    fn an_ideal_link_delivers_everything_once() {
        let impairment = Impairment::new(&LinkProfile::ideal(), 7);
        assert!(
            fates(&impairment, &datagrams())
                .iter()
                .all(|&fate| fate == Fate::Deliver)
        );
        assert_eq!(impairment.counters().to_device.delivered, 4000);
    }

    #[test]
    fn by_order_the_content_of_datagrams_does_not_change_their_fate() {
        let others: Vec<Vec<u8>> = (0..4000).map(|_| vec![7]).collect();
        let [one, other] = [datagrams(), others]
            .map(|datagrams| fates(&Impairment::by_order(&lossy(), 7), &datagrams));
        assert_eq!(one, other);
        assert!(one.contains(&Fate::Drop) && one.contains(&Fate::Deliver));
    }

    #[test]
    fn the_order_of_different_datagrams_does_not_change_their_fate() {
        let forward = fates(&Impairment::new(&lossy(), 7), &datagrams());
        let mut reversed = datagrams();
        reversed.reverse();
        let mut backward = fates(&Impairment::new(&lossy(), 7), &reversed);
        backward.reverse();
        assert_eq!(forward, backward);
    }

    #[test]
    fn another_seed_loses_other_datagrams() {
        let one = fates(&Impairment::new(&lossy(), 7), &datagrams());
        let other = fates(&Impairment::new(&lossy(), 8), &datagrams());
        assert_ne!(one, other);
    }

    #[test]
    fn the_profile_s_shares_are_met_and_counted() {
        let impairment = Impairment::new(&lossy(), 20_261_122);
        fates(&impairment, &datagrams());
        let counted = impairment.counters().to_device;
        // 4000 datagrams: 160 and 120 expected, five standard deviations are about 62 and 54.
        assert!((98..=222).contains(&counted.dropped), "{counted:?}");
        assert!((66..=174).contains(&counted.duplicated), "{counted:?}");
        assert_eq!(
            counted.delivered + counted.dropped + counted.duplicated,
            4000
        );
        assert_eq!(impairment.counters().to_platform, WayCounters::default());
    }

    #[test]
    fn a_lost_datagram_gets_through_when_it_is_sent_again_often_enough() {
        let impairment = Impairment::new(&lossy(), 1);
        let lost = datagrams()
            .into_iter()
            .find(|datagram| impairment.decide(Direction::ToPlatform, datagram).fate == Fate::Drop)
            .expect("4 % of 4000 are lost");
        assert!(
            (0..20).any(|_| impairment.decide(Direction::ToPlatform, &lost).fate != Fate::Drop)
        );
    }

    #[test]
    fn fates_stay_the_same_from_version_to_version() {
        let impairment = Impairment::new(&lossy(), 42);
        let lost: Vec<u32> = (0..200u32)
            .filter(|n| {
                impairment
                    .decide(Direction::ToDevice, &n.to_be_bytes())
                    .fate
                    == Fate::Drop
            })
            .collect();
        assert_eq!(lost, GOLDEN_LOST);
    }

    /// A change here means recorded cases no longer replay.
    const GOLDEN_LOST: [u32; 6] = [61, 81, 85, 147, 158, 163];
}
