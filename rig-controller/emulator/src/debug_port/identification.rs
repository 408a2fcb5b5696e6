//! The tables by which a debugger finds out what chip it is on: ROM tables and identification
//! registers (ARM Debug Interface Architecture Specification, version 5.2, part D).

/// Where the debug port says that the first table is: the one of the chip's maker.
pub(super) const CHIP: u32 = 0xF000_0000;
const CORE: u32 = 0xE00F_F000;
const SYSTEM_CONTROL_SPACE: u32 = 0xE000_E000;
const WATCHPOINT_UNIT: u32 = 0xE000_1000;
const BREAKPOINT_UNIT: u32 = 0xE000_2000;

/// Class of a component that is a table, and of one that has registers.
const TABLE: u32 = 0x1;
const GENERIC: u32 = 0xE;

/// A component: its address, class, part and designer (JEP106: continuation and code), and the components in its table.
struct Component {
    address: u32,
    class: u32,
    part: u32,
    designer: (u32, u32),
    table: &'static [u32],
}

const ARM: (u32, u32) = (4, 0x3B);
const NORDIC: (u32, u32) = (2, 0x44);

const COMPONENTS: &[Component] = &[
    Component {
        address: CHIP,
        class: TABLE,
        part: 0x001,
        designer: NORDIC,
        table: &[CORE],
    },
    Component {
        address: CORE,
        class: TABLE,
        part: 0x471,
        designer: ARM,
        table: &[SYSTEM_CONTROL_SPACE, WATCHPOINT_UNIT, BREAKPOINT_UNIT],
    },
    Component {
        address: SYSTEM_CONTROL_SPACE,
        class: GENERIC,
        part: 0x008,
        designer: ARM,
        table: &[],
    },
    Component {
        address: WATCHPOINT_UNIT,
        class: GENERIC,
        part: 0x00A,
        designer: ARM,
        table: &[],
    },
    Component {
        address: BREAKPOINT_UNIT,
        class: GENERIC,
        part: 0x00B,
        designer: ARM,
        table: &[],
    },
];

/// The word at `address` if it is one of a table or an identification register.
pub(super) fn word(address: u32) -> Option<u32> {
    let component = COMPONENTS
        .iter()
        .find(|component| component.address == address & !0xFFF)?;
    let offset = address & 0xFFF;
    let (continuation, code) = component.designer;
    let part = component.part;
    Some(match offset {
        0xFD0 => continuation,
        0xFD4..=0xFDC | 0xFEC => 0,
        0xFE0 => part & 0xFF,
        0xFE4 => (code & 0xF) << 4 | part >> 8,
        // Bit 3: the designer's code is one of JEP106.
        0xFE8 => 1 << 3 | code >> 4,
        0xFF0 => 0x0D,
        0xFF4 => component.class << 4,
        0xFF8 => 0x05,
        0xFFC => 0xB1,
        // Whether system memory is on the bus.
        0xFCC if component.class == TABLE => 1,
        _ if component.class == TABLE => {
            let entry = component.table.get((offset / 4) as usize);
            // The distance from the table, and that the entry is there, in 32 bits.
            entry.map_or(0, |entry| entry.wrapping_sub(component.address) | 3)
        }
        _ => return None,
    })
}
