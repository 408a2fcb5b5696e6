//! The board below the session: UART, clock, sleep, heartbeat and watchdog.

use microbit::{Board, Clock, Flash, Heartbeat, Peripherals, Sleep, Uart, Watchdog};
use powercut_session::{Line, Next, OverModem, Reason, Session};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::flash::{FlashError, TwiceProgrammable};
use powercut_upgrade::slots::Layout;

use crate::image::VERSION;
use crate::platform_address;
use crate::trial::{self, PROBATION};

const LAYOUT: Layout = Layout::MICROBIT;
/// RAM for fragments that come before their turn: 10 of 160 bytes.
const HELD_BYTES: usize = 1600;
/// Also how often the watchdog is fed.
const HEARTBEAT_MS: u64 = 500;

struct App {
    flash: TwiceProgrammable<Flash>,
    uart: Uart,
    // This flash takes a second program, so the agent needs no page buffer.
    session: OverModem<0, &'static mut [u8; HELD_BYTES]>,
    clock: Clock,
    sleep: Sleep,
    heartbeat: Heartbeat,
    watchdog: Watchdog,
    next_beat_ms: u64,
}

/// Runs for ever; ends in a restart only.
pub(crate) fn run(board: Board) -> ! {
    let app = assemble(board);
    loop {
        match app.round() {
            Ok(Next::Continue) => {}
            Ok(Next::Confirmed) => defmt::info!("version {=str} has confirmed itself", VERSION),
            Ok(Next::Wait { until_ms }) => {
                let until_ms = until_ms.min(app.next_beat_ms);
                app.sleep.until(&mut app.clock, until_ms);
            }
            Ok(Next::Restart(reason)) => {
                if reason == Reason::NotConfirmed {
                    defmt::warn!("not confirmed in time");
                }
                microbit::restart()
            }
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
    if in_trial {
        trial::begin();
    }
    let session = Session::new(agent, clock.now_ms(), PROBATION);
    let app = App {
        flash,
        uart,
        session: OverModem::new(session, platform),
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
        let line_until_ms = match self.session.line(now_ms, || self.uart.receive()) {
            Line::Transmit(out) => {
                for &byte in out.bytes {
                    self.uart.transmit(byte, |heard| {
                        // What there is no room for is lost, as it would be in the UART.
                        out.overheard.push(heard);
                    });
                }
                return Ok(Next::Continue);
            }
            Line::Received(datagram) => {
                datagram.take(&mut self.flash, now_ms)?;
                now_ms = self.clock.now_ms();
                now_ms
            }
            Line::Up => {
                defmt::info!("the line to the platform is open");
                return Ok(Next::Continue);
            }
            Line::Idle { until_ms } => until_ms,
        };
        self.session.poll(&mut self.flash, now_ms, line_until_ms)
    }
}
