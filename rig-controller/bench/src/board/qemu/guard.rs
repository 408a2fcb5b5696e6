//! The guard: a shell that outlives the rig for a moment, to kill the process groups of emulators that the rig could not.
//!
//! The kernel kills a rig's own children when the rig dies, however it dies, but not theirs: behind a script that starts the
//! emulator without `exec` the emulator would go on for ever. The guard knows the groups that are in use from a pipe. The
//! pipe closes when the rig is gone, and then the guard kills what it still knows. It has a process group of its own: what
//! ends the rig does not end the guard.
use std::io::{self, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::unistd::Pid;

/// Reads lines `+ GROUP` and `- GROUP`; at their end kills the groups that were added and not taken away.
const SCRIPT: &str = r#"
held=
while read -r verb group; do
    case $verb in
    +) held="$held $group" ;;
    -)
        kept=
        for one in $held; do
            [ "$one" = "$group" ] || kept="$kept $one"
        done
        held=$kept
        ;;
    esac
done
for one in $held; do
    kill -s KILL -- "-$one"
done
"#;

/// Longest line: a sign, a space, ten digits, the end.
const LINE_BYTES: usize = 13;

/// The rig's end of the pipe.
#[derive(Debug)]
pub(super) struct Guard {
    pipe: PipeWriter,
}

/// The guard of this process, started when it is first asked for; `None` if this computer has no shell. Then only emulators
/// that are the rig's own children die with it.
pub(super) fn of_this_rig() -> Option<&'static Guard> {
    static GUARD: OnceLock<Option<Guard>> = OnceLock::new();
    GUARD.get_or_init(|| Guard::start().ok()).as_ref()
}

impl Guard {
    fn start() -> io::Result<Self> {
        let (reader, pipe) = io::pipe()?;
        Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .current_dir("/")
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            // Ends after the rig does: nobody is there to wait for it.
            .spawn()?;
        Ok(Self { pipe })
    }

    /// Have what `command` starts, the first of its process group, stand under guard before it runs.
    pub(super) fn watch_over(&'static self, command: &mut Command) {
        let pipe = self.pipe.as_raw_fd();
        let announce = move || {
            let mut buffer = [0; LINE_BYTES];
            let line = line(&mut buffer, b'+', Pid::this());
            // SAFETY: the pipe is open as long as the rig, whose copy this is, and a short write to it is one system call.
            let written = unsafe { libc::write(pipe, line.as_ptr().cast(), line.len()) };
            // A guard that is gone is no reason not to run.
            let _ = written;
            Ok(())
        };
        // SAFETY: runs between fork and exec; getpid and write are plain system calls, and nothing here allocates or
        // takes a lock.
        unsafe {
            command.pre_exec(announce);
        }
    }

    /// The group has been killed.
    pub(super) fn forget(&self, group: Pid) {
        let mut buffer = [0; LINE_BYTES];
        // A guard that is gone keeps nothing.
        let _ = (&self.pipe).write_all(line(&mut buffer, b'-', group));
    }
}

/// `SIGN GROUP` and the line's end, put together without allocating.
fn line(buffer: &mut [u8; LINE_BYTES], sign: u8, group: Pid) -> &[u8] {
    let mut start = LINE_BYTES - 1;
    buffer[start] = b'\n';
    let mut left = group.as_raw().unsigned_abs();
    loop {
        start -= 1;
        buffer[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    buffer[start - 1] = b' ';
    buffer[start - 2] = sign;
    &buffer[start - 2..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_any_group_a_kernel_can_give() {
        for (group, text) in [
            (1, "+ 1\n"),
            (4_194_304, "+ 4194304\n"),
            (i32::MAX, "+ 2147483647\n"),
        ] {
            let mut buffer = [0; LINE_BYTES];
            assert_eq!(
                line(&mut buffer, b'+', Pid::from_raw(group)),
                text.as_bytes()
            );
        }
    }
}
