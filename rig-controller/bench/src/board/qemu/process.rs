//! One emulator process: starts it so that it cannot outlive the rig, kills it, reaps it, tells how it ended.
//!
//! The program the bench names may be a script that starts the emulator and stays: it gets a process group of its own, and it
//! is the group that is killed. The kernel kills the program when the rig dies, and the [guard](super::guard) the rest of the group.
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getppid};

use super::guard;

/// A started emulator. Dropping it kills and reaps.
#[derive(Debug)]
pub(super) struct Process {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    child: Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Start `command` with `fds` as its descriptors 3, 4, ...; the rig's copies of them are closed.
    pub(super) fn start(
        mut command: Command,
        fds: Vec<OwnedFd>,
    ) -> io::Result<(Self, Option<ChildStderr>)> {
        let mappings = fds
            .into_iter()
            .zip(3..)
            .map(|(parent_fd, child_fd)| FdMapping {
                parent_fd,
                child_fd,
            })
            .collect();
        command
            .fd_mappings(mappings)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))?;
        // Ctrl-C at the terminal is for the rig, which switches its boards off in order.
        command.process_group(0);
        die_with(&mut command);
        if let Some(guard) = guard::of_this_rig() {
            guard.watch_over(&mut command);
        }
        let mut child = spawn_from_lasting_thread(command)?;
        let stderr = child.stderr.take();
        let state = Mutex::new(State {
            child,
            status: None,
        });
        Ok((Self { state }, stderr))
    }

    /// Take its power: nothing of it runs when this returns, nor of what it has started in its process group. Idempotent.
    pub(super) fn kill(&self) {
        let mut state = self.lock();
        if state.status.is_none() {
            let group = group(&state.child);
            // While its leader is not reaped the group's number cannot be another's. Fails only if all of it is gone already.
            let _ = killpg(group, Signal::SIGKILL);
            let _ = state.child.kill();
            if let Some(guard) = guard::of_this_rig() {
                guard.forget(group);
            }
            state.status = state.child.wait().ok();
        }
    }

    /// Whether it has ended by itself, or was killed; it is not reaped.
    pub(super) fn has_ended(&self) -> bool {
        let state = self.lock();
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        state.status.is_some()
            || waitid(Id::Pid(group(&state.child)), flags)
                .is_ok_and(|status| status != WaitStatus::StillAlive)
    }

    /// What the kernel says its process does, in words; for a script that has started the emulator, what the script does.
    pub(super) fn doing(&self) -> &'static str {
        let id = self.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything; the state is the letter after it.
        match stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next())
        {
            Some('T') => "is stopped by a signal",
            Some('t') => "is held by a debugger",
            Some('D') => "waits for a disk or another device of this computer",
            Some('R') => "runs",
            Some('S' | 'I') => "waits",
            _ => "is gone",
        }
    }

    /// How it ended; kills it if it has not.
    pub(super) fn ended_how(&self) -> String {
        // Killing one that is dead but not reaped changes nothing: its own status is what the wait returns.
        self.kill();
        match self.lock().status {
            Some(status) => status.to_string(),
            None => "in an unknown way".to_owned(),
        }
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.lock().child.id()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process group of `child`, which is its first process.
fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Let the kernel kill the child when the rig ends, however it ends.
fn die_with(command: &mut Command) {
    let rig = Pid::this();
    let prepare = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // The rig may have died before the request: then nobody would ever deliver the signal.
        if getppid() != rig {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        // A locked-up core makes the emulator abort; its memory dump is of no use to anybody.
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        Ok(())
    };
    // SAFETY: runs between fork and exec; prctl, getppid and setrlimit are plain system calls, and nothing
    // here allocates or takes a lock.
    unsafe {
        command.pre_exec(prepare);
    }
}

type Spawned = io::Result<Child>;
type Request = (Command, Sender<Spawned>);

/// Spawn from a thread that lives as long as the rig: the kernel ties "kill me when my parent dies" to the
/// *thread* that started the child, and boards are switched on from threads that come and go.
fn spawn_from_lasting_thread(command: Command) -> Spawned {
    static SPAWNER: OnceLock<Option<Sender<Request>>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts emulators is gone; restart the rig");
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, incoming) = channel::<Request>();
        std::thread::Builder::new()
            .name("emulator-spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in incoming {
                    // Nobody waiting for the reply: dropping an unclaimed child would leave it running.
                    if let Err(unclaimed) = reply.send(command.spawn())
                        && let Ok(mut child) = unclaimed.0
                    {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            })
            .ok()
            .map(|_| requests)
    });
    let (reply, answer) = channel();
    spawner
        .as_ref()
        .ok_or_else(gone)?
        .send((command, reply))
        .map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
