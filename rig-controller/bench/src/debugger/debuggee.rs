//! The copy of a board that gdb has: its core, its memory, its breakpoints, and a world in which nobody else lives.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;

use gdbstub::common::Signal;
use gdbstub::conn::ConnectionExt;
use gdbstub::stub::SingleThreadStopReason;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::singlethread::{
    SingleThreadBase, SingleThreadResume, SingleThreadResumeOps, SingleThreadSingleStep,
    SingleThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, SwBreakpoint, SwBreakpointOps,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps, outputln};
use gdbstub::target::{Target, TargetError, TargetResult};
use powercut_emulator::{
    Alone, CLOCK_HZ, Cycles, FLASH_BYTES, Machine, RAM_BYTES, Stop, Trap, Traps, Width,
};
use powercut_oracle::outage::Ram;

use super::architecture::{CoreRegisters, CortexM0};
use super::line::Line;
use crate::board::AtCut;

/// So long a copy that runs goes on in its own time before it is seen whether gdb wants something: a few milliseconds of the
/// host's.
const STRETCH: Cycles = CLOCK_HZ / 50;

/// Registers of the core behind the first sixteen, by their numbers at the debug port.
const OTHERS: [u32; 3] = [16, 17, 18];

/// See the module's text.
pub(super) struct Debuggee {
    machine: Machine,
    after: Option<Machine>,
    /// RAM as the cut finds it.
    ram: Box<[u8; RAM_BYTES]>,
    breakpoints: BTreeSet<u32>,
    steps: bool,
    /// The step off a breakpoint came to this.
    met: Option<Stop>,
}

impl Debuggee {
    pub(super) fn new(at: AtCut) -> Self {
        let mut debuggee = Self {
            ram: Box::new(*at.before.ram()),
            machine: at.before,
            after: Some(at.after),
            breakpoints: BTreeSet::new(),
            steps: false,
            met: None,
        };
        debuggee.machine.attach_debugger(true);
        debuggee
    }

    fn set_breakpoints(&mut self) {
        let addresses: Vec<u32> = self.breakpoints.iter().copied().collect();
        self.machine.set_breakpoints(&addresses);
    }

    /// Executes one instruction, whether there is a breakpoint on it or not. Interrupts wait: a step does not end in a
    /// handler.
    fn step_once(&mut self) -> Option<Stop> {
        self.machine.set_breakpoints(&[]);
        self.machine.set_traps(Traps {
            hard_fault: true,
            masks_interrupts: true,
            ..Traps::default()
        });
        let stop = self.machine.step(&mut Alone);
        self.machine.set_traps(Traps {
            hard_fault: true,
            ..Traps::default()
        });
        self.set_breakpoints();
        stop
    }

    /// Runs for a stretch, or executes a step; the reason if that has come to an end.
    fn go_on(&mut self) -> Option<SingleThreadStopReason<u32>> {
        if self.steps {
            let stop = self.step_once();
            return Some(stop.map_or(SingleThreadStopReason::DoneStep, reason));
        }
        if let Some(stop) = self.met.take() {
            return Some(reason(stop));
        }
        let until = self.machine.now() + STRETCH;
        match self.machine.run(&mut Alone, until) {
            Stop::Budget => None,
            stop => Some(reason(stop)),
        }
    }

    /// The cut takes effect, and RAM is lost or kept; the answer to the person who wants it.
    fn cut(&mut self, ram: Ram) -> &'static str {
        let Some(after) = self.after.take() else {
            return "power has been cut already";
        };
        self.machine = after;
        if ram == Ram::Kept {
            *self.machine.ram_mut() = *self.ram;
        }
        self.machine.attach_debugger(true);
        self.set_breakpoints();
        "power was cut and is back: the next boot, before its first instruction; `maintenance flush register-cache` shows it"
    }

    /// Puts bytes into flash, whatever was there: gdb is a tester, and asks no controller.
    fn patch(&mut self, address: u32, bytes: &[u8]) {
        for (address, byte) in (address..).zip(bytes) {
            let start = address & !3;
            let place = start as usize;
            let mut word = [0; 4];
            word.copy_from_slice(&self.machine.flash()[place..place + 4]);
            word[(address & 3) as usize] = *byte;
            self.machine.set_word(start, u32::from_le_bytes(word));
        }
    }
}

/// The widest transfer that begins at `address` and has at most `length` bytes.
fn widest(address: u32, length: usize) -> Width {
    let fits =
        |width: &Width| address.is_multiple_of(width.bytes()) && width.bytes() as usize <= length;
    let mut wide = [Width::Word, Width::Halfword].into_iter();
    wide.find(fits).unwrap_or(Width::Byte)
}

fn reason(stop: Stop) -> SingleThreadStopReason<u32> {
    match stop {
        Stop::Trapped {
            by: Trap::Breakpoint,
            ..
        } => SingleThreadStopReason::HwBreak(()),
        Stop::Trapped {
            by: Trap::HardFault,
            ..
        } => SingleThreadStopReason::Signal(Signal::SIGSEGV),
        Stop::LockUp { .. } => SingleThreadStopReason::Signal(Signal::SIGABRT),
        Stop::Breakpoint { .. } | Stop::Trapped { .. } => {
            SingleThreadStopReason::Signal(Signal::SIGTRAP)
        }
        // It sleeps, and nothing will ever wake it.
        Stop::Asleep => SingleThreadStopReason::Signal(Signal::SIGSTOP),
        Stop::World | Stop::Budget => SingleThreadStopReason::Signal(Signal::SIGINT),
    }
}

impl Target for Debuggee {
    type Arch = CortexM0;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, CortexM0, Infallible> {
        BaseOps::SingleThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadBase for Debuggee {
    fn read_registers(&mut self, registers: &mut CoreRegisters) -> TargetResult<(), Self> {
        let found = &mut registers.0;
        found[..16].copy_from_slice(self.machine.registers());
        for (register, number) in found[16..].iter_mut().zip(OTHERS) {
            *register = self.machine.core_register(number);
        }
        found[19] = self.machine.primask().into();
        found[20] = self.machine.control();
        Ok(())
    }

    fn write_registers(&mut self, registers: &CoreRegisters) -> TargetResult<(), Self> {
        let mut now = CoreRegisters::default();
        self.read_registers(&mut now)?;
        let [.., primask, control] = registers.0;
        let combined = control << 24 | primask;
        let numbered = registers.0.iter().zip(&now.0).zip((0..16).chain(OTHERS));
        // gdb writes all of them: SP and the stack pointer that it stands for must not undo each other.
        for ((new, old), number) in numbered {
            if new != old {
                self.machine.set_core_register(number, *new);
            }
        }
        self.machine.set_core_register(20, combined);
        Ok(())
    }

    fn read_addrs(&mut self, start: u32, data: &mut [u8]) -> TargetResult<usize, Self> {
        // Registers are read once each: taking a byte from a receiver makes room for the next.
        let mut read = 0;
        while read < data.len() {
            let address = start.wrapping_add(read as u32);
            let width = widest(address, data.len() - read);
            let Ok(found) = self.machine.bus_read(&mut Alone, address, width) else {
                break;
            };
            let bytes = width.bytes() as usize;
            data[read..read + bytes].copy_from_slice(&found.to_le_bytes()[..bytes]);
            read += bytes;
        }
        if read == 0 {
            return Err(TargetError::NonFatal);
        }
        Ok(read)
    }

    fn write_addrs(&mut self, start: u32, data: &[u8]) -> TargetResult<(), Self> {
        let end = start as usize + data.len();
        if end <= FLASH_BYTES {
            self.patch(start, data);
            return Ok(());
        }
        let mut written = 0;
        while written < data.len() {
            let address = start.wrapping_add(written as u32);
            let width = widest(address, data.len() - written);
            let unit = &data[written..written + width.bytes() as usize];
            let value = unit
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
            self.machine
                .bus_write(&mut Alone, address, value, width)
                .map_err(|_| TargetError::NonFatal)?;
            written += unit.len();
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<SingleThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadResume for Debuggee {
    fn resume(&mut self, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.steps = false;
        // The breakpoint that it stands on has been met already.
        if self.breakpoints.contains(&self.machine.registers()[15]) {
            self.met = self.step_once();
        }
        self.machine.set_traps(Traps {
            hard_fault: true,
            ..Traps::default()
        });
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<SingleThreadSingleStepOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadSingleStep for Debuggee {
    fn step(&mut self, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.steps = true;
        Ok(())
    }
}

impl Breakpoints for Debuggee {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }
}

impl HwBreakpoint for Debuggee {
    fn add_hw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        self.breakpoints.insert(address & !1);
        self.set_breakpoints();
        Ok(true)
    }

    fn remove_hw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        let was_there = self.breakpoints.remove(&(address & !1));
        self.set_breakpoints();
        Ok(was_there)
    }
}

/// The same as the others: the core stops at an address, and no instruction is replaced.
impl SwBreakpoint for Debuggee {
    fn add_sw_breakpoint(&mut self, address: u32, kind: usize) -> TargetResult<bool, Self> {
        self.add_hw_breakpoint(address, kind)
    }

    fn remove_sw_breakpoint(&mut self, address: u32, kind: usize) -> TargetResult<bool, Self> {
        self.remove_hw_breakpoint(address, kind)
    }
}

impl MonitorCmd for Debuggee {
    fn handle_monitor_cmd(
        &mut self,
        command: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), Infallible> {
        match command {
            b"cut" => outputln!(out, "{}", self.cut(Ram::Lost)),
            b"brown-out" => outputln!(out, "{}", self.cut(Ram::Kept)),
            b"time" => {
                let microseconds = self.machine.now() * 1_000_000 / CLOCK_HZ;
                let instructions = self.machine.instructions();
                outputln!(out, "{microseconds} us, {instructions} instructions");
            }
            _ => outputln!(
                out,
                "monitor cut: let the cut take effect on this copy; RAM is lost\nmonitor brown-out: the same; RAM is kept\nmonitor time: virtual time since the case began, and instructions"
            ),
        }
        Ok(())
    }
}

/// gdb and the copy take turns.
pub(super) enum Session {}

impl BlockingEventLoop for Session {
    type Target = Debuggee;
    type Connection = Line;
    type StopReason = SingleThreadStopReason<u32>;

    fn wait_for_stop_reason(
        debuggee: &mut Debuggee,
        gdb: &mut Line,
    ) -> Result<Event<Self::StopReason>, WaitForStopReasonError<Infallible, io::Error>> {
        loop {
            if let Some(reason) = debuggee.go_on() {
                return Ok(Event::TargetStopped(reason));
            }
            let wants = gdb.peek().map_err(WaitForStopReasonError::Connection)?;
            if wants.is_some() {
                let byte = gdb.read().map_err(WaitForStopReasonError::Connection)?;
                return Ok(Event::IncomingData(byte));
            }
        }
    }

    fn on_interrupt(_debuggee: &mut Debuggee) -> Result<Option<Self::StopReason>, Infallible> {
        Ok(Some(SingleThreadStopReason::Signal(Signal::SIGINT)))
    }
}
