//! What a link does to datagrams in time: the one implementation, for the virtual modem and the relay in real time and
//! for the simulation in virtual time. It reads no clock; whoever carries a datagram says what time it is.
//!
//! The rules, for a datagram handed over at `now`:
//! 1. *Contact.* The radio is idle from the modem's power-on to the first datagram, whichever way that goes; it and all
//!    that come behind it wait for `first_contact`. Once made, contact is kept until [`Air::lose_contact`]: that a
//!    network releases an idle radio after some seconds is not modelled.
//! 2. *Rate.* Each way carries one datagram at a time, `rate_bps` bits of UDP payload a second; headers of UDP and IP
//!    are not counted, as if they were compressed away. A datagram *leaves* when the one before it has left and its own
//!    last bit is out. Lost datagrams take their time too.
//! 3. *Latency.* Half a round trip comes on top. A round trip is drawn from the profile's lognormal distribution for each
//!    datagram from the device; what the platform sends takes half of the one drawn last, so that a question and its
//!    answer together take one round trip of exactly that distribution, plus what the rates take.
//! 4. *Order.* A datagram never overtakes another on its way: radio bearers deliver in order.
//! 5. *Loss and duplication* are decided by [`Impairment`]; the second copy arrives together with the first.
//!
//! What is drawn for a datagram depends on seed, direction, its content and how often this content went this way, through
//! [`ChaCha8Rng`]; never on the time or on other datagrams, so a busy host changes neither what is lost nor what is drawn.
//! In virtual time, where the order is always the same, it may depend on the order alone ([`Impairment::by_order`]).
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::impairment::{Direction, Impairment};
use super::profile::{LinkProfile, RoundTrip, WayProfile};

/// When a datagram leaves and arrives, in the carrier's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transit {
    /// Its last bit is out.
    pub leaves: Duration,
    /// It arrives, if it does.
    pub arrives: Duration,
    /// How often it arrives: 0 for a lost one, 2 for one that is doubled.
    pub copies: usize,
}

/// The air between one modem and the platform.
#[derive(Debug)]
pub struct Air {
    impairment: Impairment,
    round_trip: Option<RoundTrip>,
    first_contact: Duration,
    in_contact: bool,
    drawn: Option<Duration>,
    to_platform: Way,
    to_device: Way,
}

#[derive(Debug, Clone)]
struct Way {
    rate_bps: Option<f64>,
    free_at: Duration,
    last_arrival: Duration,
}

impl Way {
    fn new(profile: &WayProfile) -> Self {
        Self {
            rate_bps: profile.rate_bps,
            free_at: Duration::ZERO,
            last_arrival: Duration::ZERO,
        }
    }
}

impl Air {
    /// The air of `profile`; `impairment` was made from the same profile.
    pub fn new(profile: &LinkProfile, impairment: Impairment) -> Self {
        Self {
            impairment,
            round_trip: profile.round_trip,
            first_contact: profile.first_contact,
            in_contact: false,
            drawn: None,
            to_platform: Way::new(&profile.to_platform),
            to_device: Way::new(&profile.to_device),
        }
    }

    /// The same air for a course of events that parts from this one here.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            impairment: self.impairment.fork(),
            round_trip: self.round_trip,
            first_contact: self.first_contact,
            in_contact: self.in_contact,
            drawn: self.drawn,
            to_platform: self.to_platform.clone(),
            to_device: self.to_device.clone(),
        }
    }

    /// Whether nothing is under way at `now`, and what will be carried depends on nothing that was: no chance decides, which
    /// goes by what was carried before.
    pub fn is_settled(&self, now: Duration) -> bool {
        let ways = [&self.to_platform, &self.to_device];
        let is_idle = |way: &&Way| way.free_at <= now && way.last_arrival <= now;
        self.round_trip.is_none() && self.impairment.is_none() && ways.iter().all(is_idle)
    }

    /// Whether the radio has made contact.
    pub fn is_in_contact(&self) -> bool {
        self.in_contact
    }

    /// The modem lost power: the radio is idle again, and what waited in the modem to be sent is the caller's to forget.
    pub fn lose_contact(&mut self) {
        self.in_contact = false;
        self.drawn = None;
        self.to_platform.free_at = Duration::ZERO;
    }

    /// Hand over a datagram at `now`. Calls for one way come in order of `now`.
    pub fn carry(&mut self, direction: Direction, datagram: &[u8], now: Duration) -> Transit {
        let decision = self.impairment.decide(direction, datagram);
        let mut draws = ChaCha8Rng::from_seed(decision.draws);
        if !self.in_contact {
            self.in_contact = true;
            for way in [&mut self.to_platform, &mut self.to_device] {
                way.free_at = way.free_at.max(now + self.first_contact);
            }
        }
        let round_trip = match (self.round_trip, direction, self.drawn) {
            (None, ..) => Duration::ZERO,
            (Some(_), Direction::ToDevice, Some(drawn)) => drawn,
            (Some(distribution), ..) => *self.drawn.insert(distribution.draw(&mut draws)),
        };
        let way = match direction {
            Direction::ToPlatform => &mut self.to_platform,
            Direction::ToDevice => &mut self.to_device,
        };
        let bits = datagram.len() as f64 * 8.0;
        let on_air = way
            .rate_bps
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bits / rate));
        let leaves = now.max(way.free_at) + on_air;
        let arrives = (leaves + round_trip / 2).max(way.last_arrival);
        way.free_at = leaves;
        let copies = decision.fate.copies();
        if copies > 0 {
            way.last_arrival = arrives;
        }
        Transit {
            leaves,
            arrives,
            copies,
        }
    }
}

impl RoundTrip {
    /// One round trip: the median times e to the power of sigma times a normal draw (Box and Muller).
    fn draw(self, random: &mut impl Rng) -> Duration {
        // In 0..1 and never 0, of which there is no logarithm.
        let mut uniform = || ((random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let (radius, angle) = (uniform(), uniform());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        self.median.mul_f64((self.sigma * normal).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Direction = Direction::ToPlatform;
    const DOWN: Direction = Direction::ToDevice;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn air(profile: &LinkProfile, seed: u64) -> Air {
        Air::new(profile, Impairment::new(profile, seed))
    }

    fn steady() -> LinkProfile {
        let way = |rate| WayProfile {
            rate_bps: Some(rate),
            ..WayProfile::default()
        };
        LinkProfile {
            round_trip: Some(RoundTrip {
                median: ms(300),
                sigma: 0.0,
            }),
            to_platform: way(8_000.0),
            to_device: way(16_000.0),
            ..LinkProfile::ideal()
        }
    }

    #[test]
    fn an_ideal_link_takes_no_time() {
        let mut air = air(&LinkProfile::ideal(), 1);
        for now in [ms(0), ms(7)] {
            let transit = air.carry(UP, b"x", now);
            assert_eq!((transit.leaves, transit.arrives), (now, now));
            assert_eq!(transit.copies, 1);
        }
    }

    #[test]
    fn a_datagram_waits_for_the_one_before_and_half_the_round_trip_comes_on_top() {
        let mut air = air(&steady(), 1);
        let first = air.carry(UP, &[1; 100], ms(10));
        assert_eq!(first.leaves, ms(110));
        assert_eq!(first.arrives, ms(260));
        let second = air.carry(UP, &[2; 50], ms(20));
        assert_eq!(second.leaves, ms(160));
        assert_eq!(air.carry(UP, &[3; 1], ms(500)).leaves, ms(501));
        let answer = air.carry(DOWN, &[4; 100], first.arrives);
        assert_eq!(
            answer.leaves,
            ms(310),
            "the other way has a rate of its own"
        );
        assert_eq!(answer.arrives, ms(460));
    }

    #[test]
    fn the_first_datagram_after_power_on_and_what_comes_behind_it_wait_for_contact() {
        let profile = LinkProfile {
            first_contact: ms(2_000),
            ..steady()
        };
        let mut air = air(&profile, 1);
        assert_eq!(air.carry(UP, &[1; 1], ms(100)).leaves, ms(2_101));
        assert_eq!(air.carry(UP, &[2; 1], ms(200)).leaves, ms(2_102));
        assert_eq!(air.carry(UP, &[3; 1], ms(90_000)).leaves, ms(90_001));
        air.lose_contact();
        assert_eq!(air.carry(UP, &[4; 1], ms(100_000)).leaves, ms(102_001));
    }

    #[test]
    fn no_datagram_overtakes_another_on_its_way() {
        let profile = LinkProfile {
            round_trip: Some(RoundTrip {
                median: ms(300),
                sigma: 2.0,
            }),
            ..LinkProfile::ideal()
        };
        let mut air = air(&profile, 3);
        let arrivals: Vec<Duration> = (0..500_u64)
            .map(|n| air.carry(UP, &n.to_be_bytes(), ms(n)).arrives)
            .collect();
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn a_question_and_its_answer_take_one_round_trip_of_the_profile_s_distribution() {
        let profile = LinkProfile {
            round_trip: Some(RoundTrip {
                median: ms(350),
                sigma: 0.45,
            }),
            ..LinkProfile::ideal()
        };
        let mut air = air(&profile, 20_261_122);
        let mut logarithms: Vec<f64> = (0..4_000_u32)
            .map(|n| {
                let now = Duration::from_mins(1) * n;
                let there = air.carry(UP, &n.to_be_bytes(), now).arrives;
                let back = air.carry(DOWN, &n.to_le_bytes(), there).arrives;
                back.saturating_sub(now).as_secs_f64().ln()
            })
            .collect();
        logarithms.sort_by(f64::total_cmp);
        let mean = logarithms.iter().sum::<f64>() / 4_000.0;
        let variance = logarithms.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4_000.0;
        // Five standard errors of 4000 draws.
        assert!((mean - 0.35_f64.ln()).abs() < 0.036, "{mean}");
        assert!((variance.sqrt() - 0.45).abs() < 0.025, "{variance}");
    }

    #[test]
    fn draws_depend_on_the_datagram_alone_and_stay_the_same_from_version_to_version() {
        let profile = LinkProfile {
            round_trip: Some(RoundTrip {
                median: ms(350),
                sigma: 0.45,
            }),
            ..LinkProfile::ideal()
        };
        let delays = |order: &[u32]| -> Vec<(u32, u128)> {
            let mut air = air(&profile, 42);
            let mut delays: Vec<(u32, u128)> = order
                .iter()
                .enumerate()
                .map(|(place, n)| {
                    let now = Duration::from_mins(1) * place as u32;
                    let transit = air.carry(UP, &n.to_be_bytes(), now);
                    (*n, transit.arrives.saturating_sub(now).as_micros())
                })
                .collect();
            delays.sort_unstable();
            delays
        };
        assert_eq!(delays(&[0, 1, 2]), delays(&[2, 0, 1]));
        // A change here means that simulations come to other figures.
        assert_eq!(delays(&[0, 1, 2]), GOLDEN);
    }

    const GOLDEN: [(u32, u128); 3] = [(0, 107_815), (1, 188_723), (2, 133_701)];

    #[test]
    fn lost_datagrams_take_air_and_never_arrive() {
        let mut profile = steady();
        profile.to_platform.drop_percent = 100.0;
        let mut air = air(&profile, 1);
        assert_eq!(air.carry(UP, &[1; 100], ms(0)).copies, 0);
        assert_eq!(air.carry(UP, &[1; 100], ms(0)).leaves, ms(200));
    }
}
