//! The origin of what registers and RAM hold during a call: a byte that the caller has made, and that the call has only
//! moved, is no input of the call, wherever the call has put it.
use crate::RAM_BYTES;

/// Registers come first, 4 bytes each, the bytes of RAM behind them.
const FIRST_OF_RAM: u16 = 4 * 16;

const _: () = assert!(RAM_BYTES + (FIRST_OF_RAM as usize) < u16::MAX as usize);

/// A byte of a register or of RAM, as it was when the call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin(u16);

/// The place of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Register, and byte of it, from the lowest.
    Register(usize, usize),
    /// Offset in RAM.
    Ram(usize),
}

impl Origin {
    /// The call itself has made the byte.
    pub(super) const NONE: Self = Self(u16::MAX);

    /// The byte of RAM at this offset.
    pub(super) fn of_ram(offset: usize) -> Self {
        Self(FIRST_OF_RAM + offset as u16)
    }

    /// The bytes of the word of RAM with this number.
    pub(super) fn of_word(word: usize) -> Bytes {
        std::array::from_fn(|byte| Self::of_ram(4 * word + byte))
    }

    /// The bytes of a register.
    pub(super) fn of_register(register: usize) -> Bytes {
        std::array::from_fn(|byte| Self((4 * register + byte) as u16))
    }

    /// The place, unless the call itself has made the byte.
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::NONE => None,
            Self(number) => Some(match number.checked_sub(FIRST_OF_RAM) {
                Some(offset) => Place::Ram(usize::from(offset)),
                None => Place::Register(usize::from(number / 4), usize::from(number % 4)),
            }),
        }
    }

    fn is_behind(self, first: Self, bytes: usize) -> bool {
        self != Self::NONE && usize::from(self.0) == usize::from(first.0) + bytes
    }
}

/// The bytes of a register or of a word, the lowest first.
pub(super) type Bytes = [Origin; 4];

/// A register or a word that the call itself has made.
pub(super) const MADE: Bytes = [Origin::NONE; 4];

/// Neighbouring bytes that a call moves to neighbouring places in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) first: Origin,
    /// Offset in RAM.
    pub(super) to: u16,
    pub(super) bytes: u16,
}

impl Move {
    /// Adds the move of one byte to a list in the order of offsets.
    pub(super) fn add(list: &mut Vec<Self>, from: Origin, to: usize) {
        match list.last_mut() {
            Some(last)
                if from.is_behind(last.first, usize::from(last.bytes))
                    && to == usize::from(last.to) + usize::from(last.bytes) =>
            {
                last.bytes += 1;
            }
            _ => list.push(Self {
                first: from,
                to: to as u16,
                bytes: 1,
            }),
        }
    }

    /// The bytes that are moved.
    pub(super) fn sources(self) -> impl Iterator<Item = Place> {
        let origins = (0..self.bytes).map(move |byte| Origin(self.first.0 + byte));
        origins.filter_map(Origin::place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_move_together_are_one_move() {
        let mut moves = Vec::new();
        for byte in 0..6 {
            Move::add(&mut moves, Origin::of_ram(100 + byte), 40 + byte);
        }
        Move::add(&mut moves, Origin::of_register(3)[2], 46);
        assert_eq!(moves.len(), 2);
        assert_eq!((moves[0].to, moves[0].bytes), (40, 6));
        let sources: Vec<_> = moves[1].sources().collect();
        assert_eq!(sources, [Place::Register(3, 2)]);
    }
}
