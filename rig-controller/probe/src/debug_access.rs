//! The debug access port as the wire shows it: a debug port (version 1) and behind it one access port to the bus (AHB-AP), by the
//! ARM Debug Interface Architecture Specification, version 5.2.
//!
//! Time: a transfer takes as long as 46 bits at 4 MHz.

use powercut_emulator::{Cycles, ROM_TABLE, Width};

use crate::virtual_board::VirtualBoard;

/// The chip's answer to a transfer: it will not do another one before the error is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

/// 46 bits at 4 MHz.
const TRANSFER_CYCLES: Cycles = 184;
/// A debugger that looks whether the core has halted waits for it, so the core runs for 20 ms.
const LOOK_CYCLES: Cycles = 320_000;
/// The register that is looked at then.
const HALTING_CONTROL: u32 = 0xE000_EDF0;

/// Of the debug port of a Cortex-M0.
const PORT_ID: u32 = 0x0BB1_1477;
/// Of an AHB-AP of a Cortex-M0.
const ACCESS_ID: u32 = 0x0477_0021;
/// The entry is there, in the format of version 5.
const BASE: u32 = ROM_TABLE | 3;

/// In the selection: the bank of the debug port.
const PORT_BANK: u32 = 0xF;
/// In the debug port's control and status register: what is asked for, and that it is so.
const POWER_REQUESTS: u32 = 1 << 30 | 1 << 28;
const STICKY_ERROR: u32 = 1 << 5;
const OVERRUN_DETECTION: u32 = 1;
/// In its abort register.
const CLEAR_STICKY_ERROR: u32 = 1 << 2;

/// In the access port's control and status word.
const SIZE: u32 = 7;
const INCREMENT: u32 = 3 << 4;
const SINGLE_INCREMENT: u32 = 1 << 4;
const ENABLED: u32 = 1 << 6;
const WRITABLE: u32 = 0xFF00_0000 | INCREMENT | SIZE;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct DebugAccess {
    board: VirtualBoard,
    select: u32,
    control: u32,
    sticky_error: bool,
    /// The result of the last read of the access port.
    last: u32,
    word: u32,
    address: u32,
}

impl DebugAccess {
    pub(crate) fn new(board: VirtualBoard) -> Self {
        Self {
            board,
            select: 0,
            control: 0,
            sticky_error: false,
            last: 0,
            word: 0,
            address: 0,
        }
    }

    /// Reads the debug port's register at this address.
    pub(crate) fn read_port(&mut self, address: u8) -> u32 {
        self.board.run(TRANSFER_CYCLES);
        match address & 0xC {
            0x0 => PORT_ID,
            0x4 if self.select & PORT_BANK == 0 => {
                let acknowledged = (self.control & POWER_REQUESTS) << 1;
                let error = if self.sticky_error { STICKY_ERROR } else { 0 };
                self.control | acknowledged | error
            }
            0x8 | 0xC => self.last,
            _ => 0,
        }
    }

    /// Writes the debug port's register at this address.
    pub(crate) fn write_port(&mut self, address: u8, value: u32) {
        self.board.run(TRANSFER_CYCLES);
        match address & 0xC {
            0x0 => self.sticky_error &= value & CLEAR_STICKY_ERROR == 0,
            0x4 if self.select & PORT_BANK == 0 => {
                self.control = value & (POWER_REQUESTS | OVERRUN_DETECTION);
            }
            0x8 => self.select = value,
            _ => {}
        }
    }

    /// Reads the register of the access port that is selected, by the lowest four bits of its address.
    pub(crate) fn read_access(&mut self, address: u8) -> Result<u32, Fault> {
        self.board.run(TRANSFER_CYCLES);
        if self.sticky_error {
            return Err(Fault);
        }
        let value = match self.register(address) {
            Some(0x00) => self.word | ENABLED,
            Some(0x04) => self.address,
            Some(0x0C) => {
                let value = self.read_bus(self.address)?;
                self.advance();
                value
            }
            Some(register @ 0x10..=0x1C) => self.read_bus(self.banked(register))?,
            Some(0xF8) => BASE,
            Some(0xFC) => ACCESS_ID,
            Some(_) | None => 0,
        };
        self.last = value;
        Ok(value)
    }

    /// Writes the register of the access port that is selected, by the lowest four bits of its address.
    pub(crate) fn write_access(&mut self, address: u8, value: u32) -> Result<(), Fault> {
        self.board.run(TRANSFER_CYCLES);
        if self.sticky_error {
            return Err(Fault);
        }
        match self.register(address) {
            Some(0x00) => {
                let size = (value & SIZE).min(2);
                // Packed transfers are not there.
                let increment = value & INCREMENT & SINGLE_INCREMENT;
                self.word = value & WRITABLE & !(SIZE | INCREMENT) | increment | size;
            }
            Some(0x04) => self.address = value,
            Some(0x0C) => {
                self.write_bus(self.address, value)?;
                self.advance();
            }
            Some(register @ 0x10..=0x1C) => self.write_bus(self.banked(register), value)?,
            _ => {}
        }
        Ok(())
    }

    /// The register's whole address, if the one access port that there is is selected.
    fn register(&self, address: u8) -> Option<u32> {
        (self.select >> 24 == 0).then_some(self.select & 0xF0 | u32::from(address & 0xC))
    }

    /// The address of a banked data register: one of four words.
    fn banked(&self, register: u32) -> u32 {
        self.address & !0xF | register & 0xC
    }

    fn width(&self) -> Width {
        match self.word & SIZE {
            0 => Width::Byte,
            1 => Width::Halfword,
            _ => Width::Word,
        }
    }

    /// The address goes on within 1 KiB.
    fn advance(&mut self) {
        if self.word & INCREMENT == SINGLE_INCREMENT {
            let next = self.address.wrapping_add(self.width().bytes());
            self.address = self.address & !0x3FF | next & 0x3FF;
        }
    }

    fn read_bus(&mut self, address: u32) -> Result<u32, Fault> {
        if address == HALTING_CONTROL {
            self.board.run(LOOK_CYCLES);
        }
        let read = self.board.read(address, self.width());
        let value = read.map_err(|_| self.fault())?;
        // A narrow value comes on the lanes of its address.
        Ok(value << (8 * (address & 3)))
    }

    fn write_bus(&mut self, address: u32, value: u32) -> Result<(), Fault> {
        let lanes = value >> (8 * (address & 3));
        let value = match self.width() {
            Width::Byte => lanes & 0xFF,
            Width::Halfword => lanes & 0xFFFF,
            Width::Word => value,
        };
        let written = self.board.write(address, value, self.width());
        written.map_err(|_| self.fault())
    }

    /// Clears the error that stands in the way of the next transfer.
    pub(crate) fn clear_error(&mut self) {
        self.write_port(0, CLEAR_STICKY_ERROR);
    }

    fn fault(&mut self) -> Fault {
        self.sticky_error = true;
        Fault
    }
}
