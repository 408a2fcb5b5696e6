//! The first program after reset. It finishes or undoes what a power cut interrupted, verifies what is to run, and
//! jumps to it; the decisions are the upgrade core's, see `powercut_upgrade::boot`.
//!
//! It starts no peripheral but the watchdog, so an application finds the chip nearly as reset left it.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use defmt_rtt as _;
use microbit::Board;
use microbit::seeded::{self, Bug};
use powercut_upgrade::boot::{Outcome, StayReason, boot};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::slots::Layout;

const LAYOUT: Layout = Layout::MICROBIT;

/// An image on probation must show life this often. Longer than any work without feeding: a signature check takes
/// a second of it.
const TRIAL_WATCHDOG_S: u16 = 4;

microbit::restart_on_fault!();

#[entry]
fn main() -> ! {
    let Some(mut board) = Board::take() else {
        microbit::restart()
    };
    let mut flash = TwiceProgrammable(board.flash);
    let watchdog = &mut board.watchdog;
    match boot(&mut flash, &LAYOUT, &mut || watchdog.feed()) {
        Outcome::Run { trial } => run(trial, &mut board.watchdog),
        Outcome::Stay(reason) => stay(reason),
    }
}

fn run(trial: bool, watchdog: &mut microbit::Watchdog) -> ! {
    if trial && !seeded::is_planted(Bug::TrialWithoutWatchdog) {
        watchdog.start(TRIAL_WATCHDOG_S);
    }
    microbit::boot_image_at(LAYOUT.active.start)
}

fn stay(reason: StayReason) -> ! {
    match reason {
        StayReason::NotProvisioned => {
            defmt::error!("the FACTORY page is missing or damaged; provision the board");
        }
        StayReason::NoImage => {
            defmt::error!("no slot holds an image that may and can run; provision the board");
        }
        StayReason::Flash(_) => {
            defmt::error!("flash does not take what is written; it may be worn out");
        }
    }
    distress()
}

fn distress() -> ! {
    microbit::signal_distress();
    microbit::halt()
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    microbit::restart()
}
