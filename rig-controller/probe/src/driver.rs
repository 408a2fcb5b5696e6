//! The driver of the probe on a board in this process, one of probe-rs's drivers: everything above the wire is probe-rs's own.

use std::sync::Arc;

use probe_rs::CoreStatus;
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{
    ArmCommunicationInterface, ArmDebugInterface, ArmError, DapError, DapProbe, RawDapAccess,
    RegisterAddress,
};
use probe_rs::probe::{DebugProbe, DebugProbeError, WireProtocol};

use crate::debug_access::{DebugAccess, Fault};
use crate::virtual_board::VirtualBoard;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct VirtualProbe {
    access: DebugAccess,
    speed_khz: u32,
}

impl VirtualProbe {
    pub(crate) fn new(board: VirtualBoard) -> Self {
        Self {
            access: DebugAccess::new(board),
            speed_khz: 4000,
        }
    }

    /// Clears the error of a transfer that failed: probe-rs leaves that to its drivers.
    fn cleared<T>(&mut self, done: Result<T, Fault>) -> Result<T, ArmError> {
        if done.is_err() {
            self.access.clear_error();
        }
        Ok(done?)
    }
}

fn not_there<T>(command_name: &'static str) -> Result<T, DebugProbeError> {
    Err(DebugProbeError::CommandNotSupportedByProbe { command_name })
}

impl From<Fault> for ArmError {
    fn from(_: Fault) -> Self {
        DapError::FaultResponse.into()
    }
}

impl DebugProbe for VirtualProbe {
    fn get_name(&self) -> &'static str {
        "probe on a board in this process"
    }

    fn speed_khz(&self) -> u32 {
        self.speed_khz
    }

    fn set_speed(&mut self, _speed_khz: u32) -> Result<u32, DebugProbeError> {
        // The wire has one speed.
        Ok(self.speed_khz)
    }

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn detach(&mut self) -> Result<(), probe_rs::Error> {
        Ok(())
    }

    // An nRF51 has no reset pin of its own.
    fn target_reset(&mut self) -> Result<(), DebugProbeError> {
        not_there("reset by pin")
    }

    fn target_reset_assert(&mut self) -> Result<(), DebugProbeError> {
        not_there("reset by pin")
    }

    fn target_reset_deassert(&mut self) -> Result<(), DebugProbeError> {
        not_there("reset by pin")
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        match protocol {
            WireProtocol::Swd => Ok(()),
            WireProtocol::Jtag => Err(DebugProbeError::UnsupportedProtocol(protocol)),
        }
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Swd)
    }

    fn has_arm_interface(&self) -> bool {
        true
    }

    fn try_get_arm_debug_interface<'probe>(
        self: Box<Self>,
        sequence: Arc<dyn ArmDebugSequence>,
    ) -> Result<Box<dyn ArmDebugInterface + 'probe>, (Box<dyn DebugProbe>, ArmError)> {
        Ok(ArmCommunicationInterface::create(self, sequence, false))
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn try_as_dap_probe(&mut self) -> Option<&mut dyn DapProbe> {
        Some(self)
    }
}

impl DapProbe for VirtualProbe {}

impl RawDapAccess for VirtualProbe {
    fn raw_read_register(&mut self, address: RegisterAddress) -> Result<u32, ArmError> {
        Ok(match address {
            RegisterAddress::DpRegister(register) => self.access.read_port(register.address),
            RegisterAddress::ApRegister(register) => {
                let read = self.access.read_access(register);
                self.cleared(read)?
            }
        })
    }

    fn raw_write_register(&mut self, address: RegisterAddress, value: u32) -> Result<(), ArmError> {
        match address {
            RegisterAddress::DpRegister(register) => {
                self.access.write_port(register.address, value);
            }
            RegisterAddress::ApRegister(register) => {
                let written = self.access.write_access(register, value);
                self.cleared(written)?;
            }
        }
        Ok(())
    }

    fn jtag_sequence(&mut self, _: u8, _: bool, _: u64) -> Result<(), DebugProbeError> {
        not_there("JTAG")
    }

    // Resets of the line change nothing here.
    fn swj_sequence(&mut self, _: u8, _: u64) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn swj_pins(&mut self, _: u32, _: u32, _: u32) -> Result<u32, DebugProbeError> {
        not_there("pins")
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn core_status_notification(&mut self, _: CoreStatus) -> Result<(), DebugProbeError> {
        Ok(())
    }
}
