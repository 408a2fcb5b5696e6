//! The core as gdb knows it: the registers of the M profile, in the order of the description that gdb is sent.

use gdbstub::arch::{Arch, Registers};

/// A Cortex-M0.
pub(super) enum CortexM0 {}

/// R0 to R12, SP, LR, PC, xPSR, MSP, PSP, PRIMASK, CONTROL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CoreRegisters(pub(super) [u32; 21]);

const PC: usize = 15;

const DESCRIPTION: &str = r#"<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">
<target version="1.0"><architecture>armv6-m</architecture>
<feature name="org.gnu.gdb.arm.m-profile">
<reg name="r0" bitsize="32"/><reg name="r1" bitsize="32"/><reg name="r2" bitsize="32"/><reg name="r3" bitsize="32"/>
<reg name="r4" bitsize="32"/><reg name="r5" bitsize="32"/><reg name="r6" bitsize="32"/><reg name="r7" bitsize="32"/>
<reg name="r8" bitsize="32"/><reg name="r9" bitsize="32"/><reg name="r10" bitsize="32"/><reg name="r11" bitsize="32"/>
<reg name="r12" bitsize="32"/><reg name="sp" bitsize="32" type="data_ptr"/><reg name="lr" bitsize="32"/>
<reg name="pc" bitsize="32" type="code_ptr"/><reg name="xpsr" bitsize="32"/>
</feature>
<feature name="org.gnu.gdb.arm.m-system">
<reg name="msp" bitsize="32" type="data_ptr"/><reg name="psp" bitsize="32" type="data_ptr"/>
<reg name="primask" bitsize="32"/><reg name="control" bitsize="32"/>
</feature></target>"#;

impl Arch for CortexM0 {
    type Usize = u32;
    type Registers = CoreRegisters;
    type BreakpointKind = usize;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(DESCRIPTION)
    }
}

impl Registers for CoreRegisters {
    type ProgramCounter = u32;

    fn pc(&self) -> u32 {
        self.0[PC]
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        for byte in self.0.iter().flat_map(|register| register.to_le_bytes()) {
            write_byte(Some(byte));
        }
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let (words, rest) = bytes.as_chunks::<4>();
        if words.len() != self.0.len() || !rest.is_empty() {
            return Err(());
        }
        for (register, word) in self.0.iter_mut().zip(words) {
            *register = u32::from_le_bytes(*word);
        }
        Ok(())
    }
}
