//! A silent device and a silent emulator are two things: only the first is the firmware's doing.
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::toy_firmware::{Then, firmware};
use super::*;
use crate::feed::{Order, Sink};
use crate::relay;
use powercut_oracle::seen::{Clock, Seen};

/// Hears nothing and asks for nothing.
struct Deaf;

impl Sink for Deaf {
    fn seen(&mut self, _: &Seen<'_>, _: Option<&[u8]>) -> Order {
        Order::GoOn
    }
}

/// A powered board whose firmware does nothing at all.
fn hanging(qemu: &Path) -> QemuBoard {
    let mut board = QemuBoard::new(QemuConfig {
        name: "mb-test".to_owned(),
        qemu: qemu.to_owned(),
        watchdog: Duration::from_secs(2),
        silence: None,
    });
    board
        .provision(&firmware(&[], &[], &Then::Hang), 7)
        .unwrap();
    let sink = Arc::new(Mutex::new(Deaf));
    board.watch(Feed::new(sink, Clock::start()));
    board.supply.power_on().unwrap();
    board.release().unwrap();
    board
}

fn emulator(board: &QemuBoard) -> Pid {
    Pid::from_raw(board.supply.emulator_pid().unwrap().cast_signed())
}

/// A program that starts the emulator as `how` says and writes down its process id; the program and the file.
fn wrapper(folder: &Path, how: &str) -> (PathBuf, PathBuf) {
    let (program, id) = (folder.join("wrapper"), folder.join("id"));
    let text = format!(
        "#!/bin/sh\n{how} qemu-system-arm \"$@\" &\necho $! > {}\nwait\n",
        id.display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (program, id)
}

/// Whether the process runs; one that nobody has reaped does not.
fn runs(id: &Path) -> bool {
    let id = std::fs::read_to_string(id).unwrap();
    std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").unwrap().1.chars().next();
        !matches!(state, Some('Z' | 'X'))
    })
}

/// Whether it ends, as one does a little after it was killed or told to.
fn ends(id: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while runs(id) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    !runs(id)
}

#[test]
fn a_device_that_does_nothing_is_no_fault_of_the_bench() {
    let mut board = hanging(Path::new("qemu-system-arm"));
    // Longer than it takes until the emulator is asked for a sign of life.
    assert_eq!(
        board.wait(Duration::from_millis(2500)).unwrap(),
        Stopped::TimedOut
    );
    board.check().unwrap();
    (relay::KINDS[0].wire)(&board).unwrap().off().unwrap();
    board.check().unwrap();
}

#[test]
fn an_emulator_that_is_stopped_is_a_bench_error_that_says_so() {
    let mut board = hanging(Path::new("qemu-system-arm"));
    kill(emulator(&board), Signal::SIGSTOP).unwrap();
    // The case's time is up before the emulator's: only the check tells.
    assert_eq!(
        board.wait(Duration::from_millis(100)).unwrap(),
        Stopped::TimedOut
    );
    let error = board.check().unwrap_err();
    assert!(
        matches!(error, BoardError::EmulatorSilent { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains("is stopped by a signal"), "{text}");
    assert_eq!(board.wait(Duration::ZERO).unwrap(), Stopped::PoweredOff);
}

#[test]
fn an_emulator_that_is_stopped_is_found_while_the_case_still_has_time() {
    let mut board = hanging(Path::new("qemu-system-arm"));
    kill(emulator(&board), Signal::SIGSTOP).unwrap();
    let error = board.wait(Duration::from_mins(10)).unwrap_err();
    assert!(
        matches!(error, BoardError::EmulatorSilent { .. }),
        "{error}"
    );
}

#[test]
fn a_wake_up_does_not_wait_for_an_emulator_that_is_stopped() {
    let mut board = hanging(Path::new("qemu-system-arm"));
    kill(emulator(&board), Signal::SIGSTOP).unwrap();
    board.waker().wake();
    let start = Instant::now();
    board.check().unwrap();
    assert!(start.elapsed() < super::channels::PATIENCE);
}

#[test]
fn an_emulator_that_is_killed_is_a_bench_error() {
    let mut board = hanging(Path::new("qemu-system-arm"));
    kill(emulator(&board), Signal::SIGKILL).unwrap();
    let error = board.wait(Duration::from_mins(10)).unwrap_err();
    assert!(matches!(error, BoardError::EmulatorDied { .. }), "{error}");
}

#[test]
fn an_emulator_behind_a_script_goes_with_the_power() {
    let folder = tempfile::tempdir().unwrap();
    let (program, id) = wrapper(folder.path(), "");
    let board = hanging(&program);
    assert!(runs(&id));
    // One that can still be told to end would also end otherwise.
    let emulator = std::fs::read_to_string(&id)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    kill(Pid::from_raw(emulator), Signal::SIGSTOP).unwrap();
    (relay::KINDS[0].wire)(&board).unwrap().off().unwrap();
    assert!(ends(&id));
}

#[test]
fn an_emulator_that_a_script_has_put_out_of_reach_ends_when_told_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let (program, id) = wrapper(folder.path(), "setsid");
    let board = hanging(&program);
    assert!(runs(&id));
    (relay::KINDS[0].wire)(&board).unwrap().off().unwrap();
    assert!(ends(&id));
}
