//! The Berlekamp-Massey algorithm over GF(2) (Massey, "Shift-register synthesis and BCH decoding", IEEE Trans. Inf. Theory
//! 15, 1969): the shortest register that gives out a row of bits. From any 2n consecutive bits of a register of n stages
//! it finds that register; a row that no register made keeps needing longer ones.
use powercut_upgrade::m_sequence::STAGES;

/// Bits a register has to foretell beyond the 2n that determine it, before it is worth a closer look: one in 65,536 does
/// so by chance.
pub(super) const MARGIN: usize = 16;
/// Bits in a row that always suffice.
pub(super) const ENOUGH: usize = 2 * *STAGES.end() as usize + MARGIN;

/// A register that explains a row of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its stages.
    pub(super) stages: u32,
    /// Its connection polynomial: bit i is the coefficient of x^i, bit 0 is 1.
    pub(super) connection: u64,
    /// After so many bits it was what it is.
    pub(super) settled_after: usize,
    /// So many bits were looked at.
    pub(super) explained: usize,
}

impl Found {
    /// Whether the register goes on to give out all of `bits`.
    pub(super) fn foretells(&self, bits: &[u8]) -> bool {
        let mut history = 0_u64;
        bits.iter().enumerate().all(|(at, bit)| {
            history = history << 1 | u64::from(bit & 1);
            at < self.stages as usize || (history & self.connection).count_ones() & 1 == 0
        })
    }
}

/// Every register of at most 32 stages that explains 2n + [`MARGIN`] bits from the first on, and the one that explains all
/// bits if there are at least 2n.
pub(super) fn registers(bits: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let longest = *STAGES.end() as usize;
    let (mut connection, mut before) = (1_u64, 1_u64);
    let (mut stages, mut since, mut settled_after) = (0_usize, 1_u32, 0);
    let mut history = 0_u64;
    for (at, bit) in bits.iter().enumerate() {
        history = history << 1 | u64::from(bit & 1);
        if (history & connection).count_ones() & 1 == 0 {
            since += 1;
        } else {
            let longer = (at + 1).saturating_sub(stages);
            if 2 * stages <= at && longer > longest {
                return found;
            }
            // Of degree `stages` or `longer` at most, so no term is shifted out.
            let corrected = connection ^ (before << since);
            if 2 * stages <= at {
                (stages, before, since) = (longer, connection, 1);
            } else {
                since += 1;
            }
            (connection, settled_after) = (corrected, at + 1);
        }
        let explained = at + 1;
        if explained == 2 * stages + MARGIN
            || (explained == bits.len() && (2 * stages..2 * stages + MARGIN).contains(&explained))
        {
            found.push(Found {
                stages: stages as u32,
                connection,
                settled_after,
                explained,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use powercut_upgrade::m_sequence::{Polynomial, Register};
    use proptest::prelude::*;

    use super::*;

    /// Without the algorithm: the fewest stages with which some feedback explains the bits.
    fn shortest(bits: &[u8]) -> u32 {
        (0..16_u32)
            .find(|stages| {
                (0..1_u64 << stages).any(|feedback| {
                    (*stages as usize..bits.len()).all(|at| {
                        let sum = (1..=*stages as usize)
                            .filter(|e| feedback >> (e - 1) & 1 != 0)
                            .fold(0, |sum, e| sum ^ bits[at - e]);
                        sum == bits[at]
                    })
                })
            })
            .unwrap()
    }

    #[test]
    fn of_a_register_of_32_stages_64_bits_are_enough_and_not_many_fewer() {
        let polynomial = Polynomial::from_exponents(&[32, 30, 26, 25]).unwrap();
        let mut register = Register::new(polynomial, 0x8000_0000).unwrap();
        let bits: Vec<u8> = (0..ENOUGH).map(|_| register.next_bit()).collect();
        let found = *registers(&bits).last().unwrap();
        assert_eq!(found.stages, 32);
        assert!((60..=64).contains(&found.settled_after), "{found:?}");
        assert_eq!(found.connection, u64::from(polynomial.taps()) << 1 | 1);
        assert_ne!(
            registers(&bits[..found.settled_after - 1])
                .last()
                .map(|found| found.connection),
            Some(found.connection)
        );
    }

    #[test]
    fn bits_without_a_pattern_have_no_short_register() {
        let mut state = 0x1234_5678_9ABC_DEF1_u64;
        let bits: Vec<u8> = (0..2_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 33) as u8 & 1
            })
            .collect();
        assert_eq!(registers(&bits), []);
    }

    proptest! {
        #[test]
        fn no_shorter_register_explains_the_bits(bits in prop::collection::vec(0..2_u8, 1..14)) {
            let shortest = shortest(&bits);
            let found = registers(&bits);
            match found.last() {
                Some(found) => prop_assert_eq!(found.stages, shortest),
                None => prop_assert!(2 * shortest as usize > bits.len()),
            }
        }

        #[test]
        fn what_is_found_foretells_every_bit_it_explains(bits in prop::collection::vec(0..2_u8, 0..200)) {
            for found in registers(&bits) {
                prop_assert!(found.foretells(&bits[..found.explained]));
                for at in found.stages as usize..found.explained {
                    let sum = (0..=found.stages as usize)
                        .filter(|e| found.connection >> e & 1 != 0)
                        .fold(0, |sum, e| sum ^ bits[at - e]);
                    prop_assert_eq!(sum, 0);
                }
            }
        }
    }
}
