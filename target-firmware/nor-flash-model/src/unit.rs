//! The content of one program unit, of whatever size the part has.
use std::fmt;
use std::ops::BitAnd;

/// Most bytes a unit has.
pub const MAX_UNIT_BYTES: usize = 16;

/// The bytes of one program unit, 1 to 16 of them. As text it is one hexadecimal number, its first byte the lowest: the
/// word 0x12345678 of a part with units of 4 bytes is `12345678`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unit {
    /// Those beyond `length` are 0.
    bytes: [u8; MAX_UNIT_BYTES],
    length: u8,
}

impl Unit {
    /// A unit that holds `bytes`; `None` if no unit has so many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut unit = Self {
            bytes: [0; MAX_UNIT_BYTES],
            length: u8::try_from(bytes.len())
                .ok()
                .filter(|length| *length > 0)?,
        };
        unit.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(unit)
    }

    /// Its bytes, in the order of their addresses.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl From<u32> for Unit {
    /// The unit of 4 bytes that a little-endian CPU reads as this word.
    fn from(word: u32) -> Self {
        let mut bytes = [0; MAX_UNIT_BYTES];
        bytes[..4].copy_from_slice(&word.to_le_bytes());
        Self { bytes, length: 4 }
    }
}

impl BitAnd for Unit {
    type Output = Self;

    /// The content of a unit once the other was programmed into it. Of the longer one the bytes beyond the shorter are left out.
    fn bitand(self, other: Self) -> Self {
        let mut bytes = self.bytes;
        for (byte, other) in bytes.iter_mut().zip(other.bytes) {
            *byte &= other;
        }
        Self {
            bytes,
            length: self.length.min(other.length),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.bytes().iter().rev() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unit({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_four_bytes_reads_as_the_word_it_is_to_the_cpu() {
        for word in [0, 1, 0x1234_5678, 0xFFFF_00FF, u32::MAX] {
            assert_eq!(Unit::from(word).to_string(), format!("{word:08x}"));
            assert_eq!(Unit::new(&word.to_le_bytes()), Some(Unit::from(word)));
        }
    }

    #[test]
    fn units_of_any_size_are_one_number_and_program_bit_by_bit() {
        let (before, value) = (
            Unit::new(&[0xF0; 8]).unwrap(),
            Unit::new(&[0x3C; 8]).unwrap(),
        );
        assert_eq!((before & value).bytes(), [0x30; 8]);
        let unit = Unit::new(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(unit.to_string(), "0807060504030201");
        assert_eq!(Unit::new(&[0xAB]).unwrap().to_string(), "ab");
    }

    #[test]
    fn no_unit_is_empty_or_has_more_than_sixteen_bytes() {
        assert_eq!(Unit::new(&[]), None);
        assert_eq!(Unit::new(&[0; 17]), None);
        assert_eq!(Unit::new(&[0; 256]), None);
        assert_eq!(Unit::new(&[0; 16]).unwrap().bytes(), [0; 16]);
    }
}
