//! How weak bits read: the script of what looks ask of them. Real weak bits follow voltage and temperature; tests need
//! the same bits at the same look of every run, and the worst ones first: all that was to happen seems to have
//! happened, or none of it, and the next look says otherwise.
use crate::mix::split_mix;

/// How weak bits read, from the loss of power on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flicker {
    /// The same throughout one power-on: bit `n` of the script says whether all of them read one at the `n`-th
    /// power-on after the cut; the script repeats.
    Boots(u8),
    /// Bit `n` of the script says whether all of them read one at look `n`; the script repeats.
    Looks(u8),
    /// Each look sees all ones, all zeros or a mixture, as the seed says.
    Random(u32),
}

/// What one look sees in weak bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noise {
    Zeros,
    Ones,
    Mixed(u64),
}

impl Noise {
    /// The ones among eight weak bits.
    pub(crate) fn next(&mut self) -> u8 {
        match self {
            Self::Zeros => 0,
            Self::Ones => 0xFF,
            Self::Mixed(state) => split_mix(state).to_le_bytes()[0],
        }
    }
}

impl Flicker {
    pub(crate) fn noise(self, boot: u32, look: u32) -> Noise {
        let scripted = |script: u8, at: u32| {
            if script >> (at % 8) & 1 == 1 {
                Noise::Ones
            } else {
                Noise::Zeros
            }
        };
        match self {
            Self::Boots(script) => scripted(script, boot),
            Self::Looks(script) => scripted(script, look),
            Self::Random(seed) => {
                let mut state = u64::from(seed) << 32 | u64::from(look);
                match split_mix(&mut state) % 4 {
                    0 => Noise::Zeros,
                    1 => Noise::Ones,
                    _ => Noise::Mixed(state),
                }
            }
        }
    }

    /// The ones that look number `look` sees among 32 weak bits, at the power-on with number `boot` behind the cut, both from 0.
    pub fn ones(self, boot: u32, look: u32) -> u32 {
        let mut noise = self.noise(boot, look);
        u32::from_le_bytes(std::array::from_fn(|_| noise.next()))
    }

    /// Three numbers that say all there is to say about the looks to come. Scripts that go on alike have them in common,
    /// wherever they began.
    pub(crate) fn parts(self, boot: u32, look: u32) -> [u64; 3] {
        match self {
            Self::Boots(script) => [1, u64::from(script.rotate_right(boot % 8)), 0],
            Self::Looks(script) => [2, u64::from(script.rotate_right(look % 8)), 0],
            Self::Random(seed) => [3, u64::from(seed), u64::from(look)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_go_on_alike_have_their_parts_in_common_and_no_others() {
        let looks = |script, look| Flicker::Looks(script).parts(0, look);
        let sees =
            |script, look| (0..8).map(move |later| Flicker::Looks(script).noise(0, look + later));
        for script in 0..=u8::MAX {
            for look in 0..9 {
                for (other, later) in [(script, look + 8), (script, look + 1), (0b0110_1100, 3)] {
                    assert_eq!(
                        looks(script, look) == looks(other, later),
                        sees(script, look).eq(sees(other, later)),
                    );
                }
            }
        }
        let boots = Flicker::Boots(0b1010_1010);
        assert_eq!(
            boots.parts(1, 0),
            Flicker::Boots(0b0101_0101).parts(u32::MAX - 7, 5)
        );
        assert_ne!(boots.parts(1, 0), Flicker::Looks(0b1010_1010).parts(0, 1));
    }
}
