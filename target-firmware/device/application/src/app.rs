//! The loop that keeps line, agent and probation going.

use microbit::{Board, Clock, Flash, Heartbeat, Peripherals, Sleep, Watchdog};
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::flash::{FlashError, TwiceProgrammable};
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::MAX_UPLINK_BYTES;

use crate::image::VERSION;
use crate::line::{Line, Progress};
use crate::platform_address;
use crate::trial::{Trial, Verdict};

const LAYOUT: Layout = Layout::MICROBIT;
/// RAM for fragments that come before their turn: 10 of 160 bytes.
const HELD_BYTES: usize = 1600;
/// Also how often the watchdog is fed.
const HEARTBEAT_MS: u64 = 500;

struct App {
    flash: TwiceProgrammable<Flash>,
    line: Line,
    // This flash takes a second program, so the agent needs no page buffer.
    agent: Agent<0, &'static mut [u8; HELD_BYTES]>,
    trial: Option<Trial>,
    clock: Clock,
    sleep: Sleep,
    heartbeat: Heartbeat,
    watchdog: Watchdog,
    next_beat_ms: u64,
}

/// What comes after one round of the loop.
enum Next {
    /// Another round at once.
    Round,
    /// Nothing to do before this time, unless bytes arrive.
    Sleep { until_ms: u64 },
    /// The board has to restart.
    Restart,
}

/// Runs for ever; ends in a restart only.
pub(crate) fn run(board: Board) -> ! {
    let app = assemble(board);
    loop {
        match app.round() {
            Ok(Next::Round) => {}
            Ok(Next::Sleep { until_ms }) => {
                app.sleep
                    .until(&mut app.clock, until_ms.saturating_mul(1000));
            }
            Ok(Next::Restart) => microbit::restart(),
            // What flash refuses once it may take after a restart, from a journal read anew.
            Err(FlashError(_)) => panic!("flash refused an operation"),
        }
    }
}

/// Puts the application together in memory of its own: on the stack, parts of it would lie about several times while the
/// whole runs.
#[inline(never)]
fn assemble(board: Board) -> &'static mut App {
    let Peripherals {
        uart,
        mut clock,
        heartbeat,
        sleep,
    } = board.peripherals.start();
    let mut flash = TwiceProgrammable(board.flash);
    let platform = platform_address::load(&mut flash, &LAYOUT);
    let Some(held) = cortex_m::singleton!(: [u8; HELD_BYTES] = [0; HELD_BYTES]) else {
        panic!("assembled twice");
    };
    let Ok(agent) = Agent::start(&mut flash, &LAYOUT, held) else {
        panic!(
            "no identity in FACTORY or no manifest in ACTIVE, which the bootloader has just read"
        );
    };
    let in_trial = agent.in_trial();
    defmt::info!("version {=str}, on probation: {=bool}", VERSION, in_trial);
    let trial = in_trial.then(|| Trial::begin(clock.now_ms()));
    let app = App {
        flash,
        line: Line::new(uart, platform),
        agent,
        trial,
        clock,
        sleep,
        heartbeat,
        watchdog: board.watchdog,
        next_beat_ms: 0,
    };
    match cortex_m::singleton!(: App = app) {
        Some(app) => app,
        None => panic!("assembled twice"),
    }
}

impl App {
    fn round(&mut self) -> Result<Next, FlashError> {
        let mut now_ms = self.clock.now_ms();
        if now_ms >= self.next_beat_ms {
            self.heartbeat.toggle();
            self.watchdog.feed();
            self.next_beat_ms = now_ms + HEARTBEAT_MS;
        }
        let line_until_ms = match self.line.advance(now_ms) {
            Progress::Continue => return Ok(Next::Round),
            Progress::Received(datagram) => {
                self.agent.on_datagram(&mut self.flash, now_ms, datagram)?;
                // What the agent asks next goes before reading on, or a full modem would keep it waiting.
                now_ms = self.clock.now_ms();
                now_ms
            }
            Progress::Idle { until_ms } => until_ms,
        };
        let trial_until_ms = match self.judge(now_ms)? {
            Next::Sleep { until_ms } => until_ms,
            next => return Ok(next),
        };
        let mut until_ms = self.next_beat_ms.min(line_until_ms).min(trial_until_ms);
        // What the agent wants to send must be sendable, for its retransmission timer starts now.
        if self.line.can_send() {
            let mut datagram = [0; MAX_UPLINK_BYTES];
            match self.agent.poll(&mut self.flash, now_ms, &mut datagram)? {
                Wish::Send(length) => {
                    self.line.send(&datagram[..length]);
                    return Ok(Next::Round);
                }
                Wish::Continue => return Ok(Next::Round),
                Wish::Wait { until_ms: agent } => until_ms = until_ms.min(agent),
                Wish::Restart => return Ok(Next::Restart),
            }
        }
        Ok(Next::Sleep { until_ms })
    }

    fn judge(&mut self, now_ms: u64) -> Result<Next, FlashError> {
        let Some(trial) = &self.trial else {
            return Ok(Next::Sleep { until_ms: u64::MAX });
        };
        match trial.judge(now_ms, self.agent.heard_platform()) {
            Verdict::Confirm => {
                self.agent.confirm(&mut self.flash)?;
                defmt::info!("version {=str} has confirmed itself", VERSION);
                self.trial = None;
                Ok(Next::Round)
            }
            Verdict::Undecided { until_ms } => Ok(Next::Sleep { until_ms }),
            Verdict::GiveUp => {
                defmt::warn!("not confirmed in time");
                Ok(Next::Restart)
            }
        }
    }
}
