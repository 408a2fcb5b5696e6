//! The emulator's process under the board: one that is missing, dies, or runs a core that locked up, is told from a
//! device's doing, and none outlives its board.
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

fn process_exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_missing_emulator_is_named() {
    let mut board = QemuBoard::new(QemuConfig {
        qemu: "/nonexistent/qemu-system-arm".into(),
        ..config()
    });
    let listener = listener(&board, go_on);
    match power_on(&mut board, listener) {
        Err(BoardError::NoEmulator { program, .. }) => assert!(program.contains("nonexistent")),
        other => panic!("{other:?}"),
    }
    power_off(&board);
}

#[test]
fn a_program_that_is_no_emulator_is_a_bench_error_and_not_a_wait() {
    let mut board = QemuBoard::new(QemuConfig {
        qemu: "/bin/false".into(),
        ..config()
    });
    let listener = listener(&board, go_on);
    let result = power_on(&mut board, listener);
    assert!(
        matches!(result, Err(BoardError::EmulatorDied { .. })),
        "{result:?}"
    );
}

#[test]
fn an_emulator_killed_from_outside_is_reported_as_died_and_the_board_can_be_powered_again() {
    let mut board = board_with(&nine_operations());
    boot(&mut board, go_on);
    let pid = board.supply.emulator_pid().unwrap();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    let result = board.wait(LONG);
    assert!(
        matches!(&result, Err(BoardError::EmulatorDied { status, .. }) if status.contains("signal: 9")),
        "{result:?}"
    );
    assert_eq!(board.wait(LONG).unwrap(), Stopped::PoweredOff);
    assert_eq!(boot(&mut board, go_on).0, Stopped::TimedOut);
}

#[test]
fn a_locked_up_core_without_a_watchdog_is_told_from_an_emulator_that_died() {
    let mut board = board_with(&vec![0xFF; 256 * 1024]);
    let listener = listener(&board, go_on);
    let result = power_on(&mut board, listener).and_then(|()| board.wait(LONG));
    assert!(
        matches!(&result, Err(BoardError::LockedUp { .. })),
        "{result:?}"
    );
}

/// Byte address of the vector.
const HARD_FAULT_VECTOR: usize = 12;

#[test]
fn a_locked_up_core_stands_still_until_the_watchdog_resets_it() {
    let nowhere = (0xF000_0000, 0);
    let first = [(NVMC_CONFIG, 1), (MARKER, 0), (WDT_START, 1), nowhere];
    let mut flash = firmware(&first, &[FINISHED], &Then::Hang);
    // A fault handler in ARM state: the CPU faults once more.
    flash[HARD_FAULT_VECTOR..][..4].fill(0);
    let (stopped, events) = boot(&mut board_with(&flash), go_on);
    assert_eq!(stopped, Stopped::TimedOut);
    assert_eq!(
        events[1..],
        [Event::Reset(ResetCause::Watchdog), Event::Pins(FINISHED.1)]
    );
}

#[test]
fn no_emulator_remains_after_a_cut_after_power_off_or_after_the_board_is_dropped() {
    let mut board = board_with(&nine_operations());
    let listener_of_cut = listener(&board, at_op(5, Order::CutAfter));
    power_on(&mut board, listener_of_cut).unwrap();
    let cut = board.supply.emulator_pid();
    board.wait(LONG).unwrap();
    assert!(!process_exists(cut.unwrap()));

    boot(&mut board, go_on);
    let switched_off = board.supply.emulator_pid().unwrap();
    assert!(process_exists(switched_off));
    power_off(&board);
    power_off(&board);
    assert!(!process_exists(switched_off));

    boot(&mut board, go_on);
    let dropped = board.supply.emulator_pid().unwrap();
    drop(board);
    assert!(!process_exists(dropped));
}
