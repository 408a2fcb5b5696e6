//! One program on one board, started from a reset as often as there are tests: flashed by probe-rs's own algorithm, run until
//! it exits, and answered when it asks by semihosting.

use std::io::Cursor;
use std::num::NonZeroU32;
use std::time::Duration;

use probe_rs::flashing::{DownloadOptions, image_format};
use probe_rs::rtt::{ChannelMode, Rtt};
use probe_rs::semihosting::SemihostingCommand;
use probe_rs::{
    BreakpointCause, Core, CoreStatus, Error, HaltReason, MemoryInterface, Permissions, Session,
    VectorCatchCondition,
};

use crate::suite::{SuiteRunError, in_words, probe_error};
use crate::virtual_board::{CHIP, VirtualBoard};
use powercut_suite::{End, Suite, TestFailure, Transcript};

/// How long probe-rs waits for a core that it halts or resets, in the host's time.
const PATIENCE: Duration = Duration::from_secs(5);
/// The exit code of a semihosting abort: a test that panicked.
const ABORTED: u32 = 134;
/// The breakpoint by which a program asks: BKPT 0xAB.
const REQUEST: u16 = 0xBEAB;
/// The file that every open file is: the console.
const CONSOLE: NonZeroU32 = NonZeroU32::MIN;
/// In the value that LR has in a handler: the frame is on the process stack.
const PROCESS_STACK: u32 = 1 << 2;
/// Where in the frame of an exception the address of the instruction is.
const FRAME_PC: u64 = 24;

/// One run of the program.
pub(super) struct Ran<'a> {
    pub(super) end: End,
    pub(super) said: Transcript<'a>,
    pub(super) took: Duration,
}

/// See the module's text.
pub(super) struct Execution<'a> {
    board: &'a VirtualBoard,
    suite: &'a Suite,
    session: Session,
}

impl<'a> Execution<'a> {
    /// Flashes and verifies the program.
    pub(super) fn begin(board: &'a VirtualBoard, suite: &'a Suite) -> Result<Self, SuiteRunError> {
        let mut session = board
            .probe()
            .attach(CHIP, Permissions::default())
            .map_err(|error| probe_error("attaching to the board")(&error))?;
        flash(&mut session, suite.elf())?;
        Ok(Self {
            board,
            suite,
            session,
        })
    }

    /// Runs the program from a reset, with this as its command line.
    pub(super) fn run(
        &mut self,
        command_line: &str,
        limit: Duration,
    ) -> Result<Ran<'a>, SuiteRunError> {
        let core = self
            .session
            .core(0)
            .map_err(|error| probe_error("finding the core")(&error))?;
        let mut run = Run {
            core,
            board: self.board,
            command_line,
            began: Duration::ZERO,
            said: self.suite.transcript(),
            rtt_at: self.suite.rtt().map(u64::from),
            rtt: None,
        };
        let end = run
            .until_it_ends(limit)
            .map_err(|error| probe_error("running the suite on the board")(&error))?;
        let took = run.now();
        run.said.end(took);
        Ok(Ran {
            end,
            said: run.said,
            took,
        })
    }
}

fn flash(session: &mut Session, elf: &[u8]) -> Result<(), SuiteRunError> {
    let Some(format) = image_format("elf") else {
        unreachable!("built in by the feature `builtin-formats`");
    };
    let mut loader = session.target().flash_loader();
    loader
        .load_image(
            session,
            &mut Cursor::new(elf),
            format.create_loader(None),
            None,
        )
        .map_err(|error| probe_error("laying the suite out in flash")(&error))?;
    let mut options = DownloadOptions::default();
    options.verify = true;
    loader
        .commit(session, options)
        .map_err(|error| probe_error("flashing the suite")(&error))
}

struct Run<'a, 'b> {
    core: Core<'b>,
    board: &'b VirtualBoard,
    command_line: &'b str,
    began: Duration,
    said: Transcript<'a>,
    rtt_at: Option<u64>,
    rtt: Option<Rtt>,
}

impl Run<'_, '_> {
    fn until_it_ends(&mut self, limit: Duration) -> Result<End, Error> {
        self.core.reset_and_halt(PATIENCE)?;
        self.began = self.board.now();
        if let Some(at) = self.rtt_at {
            // RAM outlives a reset, and with it the control block of the program that ran before.
            self.core.write_8(at, &[0; Rtt::RTT_ID.len()])?;
        }
        self.core
            .enable_vector_catch(VectorCatchCondition::HardFault)?;
        self.core.run()?;
        loop {
            // probe-rs reads the parameters of a request as it looks.
            let status = match self.core.status() {
                Ok(status) => status,
                Err(error) => return self.bad_request(error),
            };
            self.listen()?;
            match status {
                CoreStatus::Running | CoreStatus::Sleeping | CoreStatus::Unknown => {
                    if self.now() >= limit {
                        let pc = Some(self.core.halt(PATIENCE)?.pc as u32);
                        return Ok(End::Failed(TestFailure::OutOfTime { limit, pc }));
                    }
                }
                CoreStatus::LockedUp => return Ok(End::Failed(TestFailure::LockedUp)),
                CoreStatus::Halted(HaltReason::Breakpoint(BreakpointCause::Semihosting(
                    command,
                ))) => match self.answer(command) {
                    Ok(None) => self.core.run()?,
                    Ok(Some(end)) => return Ok(end),
                    Err(error) => return self.bad_request(error),
                },
                CoreStatus::Halted(HaltReason::Exception) => {
                    let pc = self.faulted_at()?;
                    return Ok(End::Failed(TestFailure::HardFault { pc }));
                }
                CoreStatus::Halted(_) => {
                    let pc = self.register(15)?;
                    return Ok(End::Failed(TestFailure::Breakpoint { pc }));
                }
            }
        }
    }

    /// The test's failure if the program stands at a request, which then led to this error of the probe; else the error.
    fn bad_request(&mut self, error: Error) -> Result<End, Error> {
        let Ok(pc) = self.register(15) else {
            return Err(error);
        };
        match self.core.read_word_16(pc.into()) {
            Ok(REQUEST) => Ok(End::Failed(TestFailure::BadRequest {
                pc,
                reason: in_words(&error),
            })),
            _ => Err(error),
        }
    }

    /// The board's time since its reset.
    fn now(&self) -> Duration {
        self.board.now().saturating_sub(self.began)
    }

    /// Does what the program asks for; the end if that is it.
    fn answer(&mut self, command: SemihostingCommand) -> Result<Option<End>, Error> {
        let now = self.now();
        let core = &mut self.core;
        match command {
            SemihostingCommand::ExitSuccess => return Ok(Some(End::Returned)),
            SemihostingCommand::ExitError(details) => {
                let failure = if details.exit_status == Some(ABORTED) {
                    TestFailure::Aborted
                } else {
                    TestFailure::Exited(details.to_string())
                };
                return Ok(Some(End::Failed(failure)));
            }
            SemihostingCommand::GetCommandLine(request) => {
                request.write_command_line_to_target(core, self.command_line)?;
            }
            SemihostingCommand::Open(request) => request.respond_with_handle(core, CONSOLE)?,
            SemihostingCommand::Close(request) => request.success(core)?,
            SemihostingCommand::WriteConsole(request) => {
                let text = request.read(core)?;
                self.said.semihosting(text.as_bytes(), now);
            }
            SemihostingCommand::Write(request) => {
                let bytes = request.read(core)?;
                request.write_status(core, 0)?;
                self.said.semihosting(&bytes, now);
            }
            SemihostingCommand::Time(request) => {
                request.write_time(core, self.board.now().as_secs() as u32)?;
            }
            SemihostingCommand::Errno(request) => request.write_errno(core, 0)?,
            // probe-rs has told the program already that these have failed.
            SemihostingCommand::Read(_)
            | SemihostingCommand::Seek(_)
            | SemihostingCommand::FileLength(_)
            | SemihostingCommand::Remove(_)
            | SemihostingCommand::Rename(_) => {}
            SemihostingCommand::Unknown(details) => details.write_status(core, -1)?,
        }
        Ok(None)
    }

    /// Takes what has come by RTT.
    fn listen(&mut self) -> Result<(), Error> {
        let Some(at) = self.rtt_at else {
            return Ok(());
        };
        if self.rtt.is_none() {
            let mut id = [0; Rtt::RTT_ID.len()];
            self.core.read_8(at, &mut id)?;
            if id != Rtt::RTT_ID {
                return Ok(());
            }
            // A block that is not complete yet is looked at again.
            let Ok(rtt) = Rtt::attach_at(&mut self.core, at) else {
                return Ok(());
            };
            for channel in &rtt.up_channels {
                // Then a program waits for room instead of dropping what it says, unless it was built not to.
                let _ = channel.set_mode(&mut self.core, ChannelMode::BlockIfFull);
            }
            self.rtt = Some(rtt);
        }
        let now = self.now();
        let Some(channel) = self.rtt.as_mut().and_then(|rtt| rtt.up_channel(0)) else {
            return Ok(());
        };
        let mut bytes = [0; 1024];
        loop {
            let count = channel
                .read(&mut self.core, &mut bytes)
                .map_err(|error| Error::Other(format!("reading RTT: {error}")))?;
            if count == 0 {
                return Ok(());
            }
            self.said.rtt(&bytes[..count], now);
        }
    }

    /// The instruction that the handler of faults was called for.
    fn faulted_at(&mut self) -> Result<u32, Error> {
        let stack = if self.register(14)? & PROCESS_STACK == 0 {
            17
        } else {
            18
        };
        let frame = self.register(stack)?;
        self.core.read_word_32(u64::from(frame) + FRAME_PC)
    }

    /// The register with this number at the debug port.
    fn register(&mut self, number: u16) -> Result<u32, Error> {
        self.core.read_core_reg(probe_rs::RegisterId(number))
    }
}
