//! How a part's flash is divided, as a value: what boards have, what is explored and simulated, and what a firmware set is
//! for. The one place that knows which divisions the rig's code exists for: flash behind `embedded_storage` has its sizes in
//! types, so code over it is compiled once for each.
use std::fmt;

/// The flash of a part: units that are programmed at once, pages that are erased at once, and how many there are. There are
/// only values that [`on_geometry`] covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    division: Division,
    pages: u32,
}

/// Something to be done on flash of some geometry, with sizes as constants of types.
pub trait OnGeometry {
    /// The result.
    type Output;

    /// Does it on flash with units of `UNIT` bytes that take `PROGRAMS` programs between erases of their page of `PAGE`
    /// bytes. `BUFFER` are the bytes of RAM in which a page is collected: one page where a unit takes one program, else
    /// none.
    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output;
}

/// Writes down the divisions that are covered, once: as values and as constants of types.
macro_rules! divisions {
    ($($name:ident: $unit:literal, $page:literal, $programs:literal, $buffer:literal;)*) => {
        /// A division that is covered.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        enum Division {
            $($name,)*
        }

        impl Division {
            const ALL: &[Self] = &[$(Self::$name,)*];

            /// Bytes of a unit, bytes of a page, programs of a unit.
            const fn sizes(self) -> (u32, u32, u8) {
                match self {
                    $(Self::$name => ($unit, $page, $programs),)*
                }
            }
        }

        /// Does `task` on flash of this geometry.
        pub fn on_geometry<T: OnGeometry>(geometry: Geometry, task: T) -> T::Output {
            match geometry.division {
                $(Division::$name => task.run::<$unit, $page, $programs, $buffer>(),)*
            }
        }

        $(const _: () = assert!(
            $unit > 0
                && $unit <= crate::unit::MAX_UNIT_BYTES
                && $page % $unit == 0
                && ($programs == 1 && $buffer == $page || $programs == 2 && $buffer == 0)
        );)*
    };
}

divisions! {
    U4P256Twice: 4, 256, 2, 0;
    U8P256Once: 8, 256, 1, 256;
    U4P1024Twice: 4, 1024, 2, 0;
    U4P4096Twice: 4, 4096, 2, 0;
    U8P2048Once: 8, 2048, 1, 2048;
    U16P8192Once: 16, 8192, 1, 8192;
    U4P16KTwice: 4, 16384, 2, 0;
    U4P128KTwice: 4, 131_072, 2, 0;
}

/// A flash that the rig has no code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Units and pages of these sizes are no known part's.
    #[error(
        "the rig knows no flash with units of {unit_bytes} bytes, pages of {page_bytes} and {programs_per_unit} programs of a unit between erases; it knows {}",
        Covered
    )]
    NotCovered {
        /// Bytes of a program unit.
        unit_bytes: u32,
        /// Bytes of an erase page.
        page_bytes: u32,
        /// Programs of a unit between erases.
        programs_per_unit: u8,
    },
    /// There is no page, or the last one ends beyond what addresses reach.
    #[error(
        "{pages} pages of {page_bytes} bytes are no flash; it has 1 to {} of them", u32::MAX / .page_bytes
    )]
    Pages {
        /// Pages.
        pages: u32,
        /// Bytes of each.
        page_bytes: u32,
    },
}

/// The divisions that are covered, in words.
struct Covered;

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, division) in Division::ALL.iter().enumerate() {
            let (unit, page, programs) = division.sizes();
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{unit}/{page}/{programs}")?;
        }
        Ok(())
    }
}

impl Geometry {
    /// A flash of `pages` pages.
    ///
    /// # Errors
    /// When no code of the rig is compiled for such units and pages, or when there are no pages or too many.
    pub const fn new(
        unit_bytes: u32,
        page_bytes: u32,
        programs_per_unit: u8,
        pages: u32,
    ) -> Result<Self, GeometryError> {
        let mut index = 0;
        while index < Division::ALL.len() {
            let division = Division::ALL[index];
            let (unit, page, programs) = division.sizes();
            if unit == unit_bytes && page == page_bytes && programs == programs_per_unit {
                if pages == 0 || pages > u32::MAX / page {
                    return Err(GeometryError::Pages { pages, page_bytes });
                }
                return Ok(Self { division, pages });
            }
            index += 1;
        }
        Err(GeometryError::NotCovered {
            unit_bytes,
            page_bytes,
            programs_per_unit,
        })
    }

    /// Bytes that are programmed at once.
    pub const fn unit_bytes(self) -> u32 {
        self.division.sizes().0
    }

    /// Bytes that are erased at once.
    pub const fn page_bytes(self) -> u32 {
        self.division.sizes().1
    }

    /// How often a unit may be programmed between erases of its page.
    pub const fn programs_per_unit(self) -> u8 {
        self.division.sizes().2
    }

    /// Whether a unit may be programmed twice between erases.
    pub const fn programs_twice(self) -> bool {
        self.programs_per_unit() >= 2
    }

    /// Pages there are.
    pub const fn pages(self) -> u32 {
        self.pages
    }

    /// Bytes there are, from address 0 on.
    pub const fn size_bytes(self) -> u32 {
        self.pages * self.page_bytes()
    }

    /// Whether units and pages of the two are alike, however many there are.
    pub fn is_divided_like(self, other: Self) -> bool {
        self.division == other.division
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pages of {} bytes, units of {} bytes, {} programs of a unit between erases",
            self.pages,
            self.page_bytes(),
            self.unit_bytes(),
            self.programs_per_unit()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sizes;

    impl OnGeometry for Sizes {
        type Output = (usize, usize, u8, usize);

        fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
            self,
        ) -> Self::Output {
            (UNIT, PAGE, PROGRAMS, BUFFER)
        }
    }

    #[test]
    fn the_constants_of_types_are_the_facts_of_the_value() {
        for division in Division::ALL {
            let (unit, page, programs) = division.sizes();
            let geometry = Geometry::new(unit, page, programs, 3).unwrap();
            let buffer = if programs == 1 { page as usize } else { 0 };
            assert_eq!(
                on_geometry(geometry, Sizes),
                (unit as usize, page as usize, programs, buffer)
            );
            assert_eq!(geometry.size_bytes(), 3 * page);
        }
    }

    #[test]
    fn flash_that_nothing_is_compiled_for_is_refused_with_what_there_is() {
        let said = Geometry::new(4, 512, 2, 8).unwrap_err().to_string();
        assert!(
            said.contains("units of 4 bytes, pages of 512 and 2 programs"),
            "{said}"
        );
        assert!(said.contains("4/1024/2"), "{said}");
        assert!(Geometry::new(8, 2048, 2, 8).is_err());
    }

    #[test]
    fn flash_has_a_page_and_no_more_than_addresses_reach() {
        for pages in [0, 1 << 22] {
            let error = GeometryError::Pages {
                pages,
                page_bytes: 1024,
            };
            assert_eq!(Geometry::new(4, 1024, 2, pages), Err(error));
        }
        let most = Geometry::new(4, 1024, 2, (1 << 22) - 1).unwrap();
        assert_eq!(most.size_bytes(), u32::MAX - 1023);
    }
}
