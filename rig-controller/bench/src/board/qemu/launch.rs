//! Starting the emulator of a board: process, channels and reader, then flash and RAM as the board has them at power-on.
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::channels::{self, ChannelFault, Channels, Ends};
use super::memory_map as map;
use super::process::Process;
use super::reader::Reader;
use super::supply::{Running, Supply};
use crate::board::{BoardError, nrf51};
use crate::feed::Feed;

/// Events of the emulator that are traced: writes of the core, resets, and faults that cannot be taken as such.
const TRACED: [&str; 3] = [
    "memory_region_ops_write",
    "resettable_reset",
    "nvic_escalate_prio",
];

impl Supply {
    /// Start the process and its threads; the core does not run yet.
    pub(super) fn start(&self, feed: Feed, seed: u64, boot: u64) -> Result<Running, BoardError> {
        let io = |e: std::io::Error| self.channel("opening the emulator's channels", e);
        let (serial, serial_there) = UnixStream::pair().map_err(io)?;
        let (qmp, qmp_there) = UnixStream::pair().map_err(io)?;
        let (qtest, qtest_there) = UnixStream::pair().map_err(io)?;
        let (trace, trace_there) = std::io::pipe().map_err(io)?;
        let (ask, asked) = UnixStream::pair().map_err(io)?;
        let mut garbage = vec![0; map::RAM_BYTES];
        let of_generator = nrf51::draw(seed, boot, &mut garbage);
        let fds: [OwnedFd; 4] = [
            serial_there.into(),
            qmp_there.into(),
            qtest_there.into(),
            trace_there.into(),
        ];
        let (process, stderr) =
            Process::start(self.command(of_generator), fds.into()).map_err(|source| {
                BoardError::NoEmulator {
                    program: self.config().qemu.display().to_string(),
                    source,
                }
            })?;
        let process = Arc::new(process);
        let ends = Ends {
            serial,
            qmp,
            qtest,
            stderr,
        };
        let (channels, prod) = channels::open(ends, &self.line, &self.status).map_err(io)?;
        let reader = Reader {
            trace: File::from(OwnedFd::from(trace)),
            asked,
            prod,
            process: Arc::clone(&process),
            feed,
            shadow: Arc::clone(&self.shadow),
            status: Arc::clone(&self.status),
        };
        self.shadow().reset_controller();
        let reader = std::thread::Builder::new()
            .name(format!("trace-{}", self.config().name))
            .spawn(move || reader.run())
            .map_err(io)?;
        Ok(Running {
            process,
            channels,
            reader,
            ask,
            garbage,
            is_released: false,
        })
    }

    /// QEMU's micro:bit on the descriptors 3 (serial), 4 (QMP), 5 (qtest) and 6 (trace).
    fn command(&self, seed: u64) -> Command {
        let mut command = Command::new(&self.config().qemu);
        command
            .args(["-M", "microbit", "-accel", "tcg", "-S"])
            .args(["-nodefaults", "-display", "none", "-monitor", "none"])
            .args(["-chardev", "socket,id=serial,fd=3"])
            .args(["-serial", "chardev:serial"])
            .args(["-chardev", "socket,id=qmp,fd=4"])
            .args(["-mon", "chardev=qmp,mode=control"])
            .args(["-chardev", "socket,id=qtest,fd=5"])
            .args(["-qtest", "chardev:qtest", "-qtest-log", "/dev/null"])
            .args(["-D", "/dev/fd/6", "-seed", &seed.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Fill flash and RAM untraced, then trace. The core stands before its reset vector.
    pub(super) fn bring_up(&self, running: &mut Running) -> Result<(), ChannelFault> {
        let Channels { qmp, qtest, .. } = &mut running.channels;
        qmp.negotiate()?;
        let config = map::NVMC_CONFIG;
        qtest.command(&format!("writel {config} 2"))?;
        qtest.command(&format!("writel {} 1", map::NVMC_ERASEALL))?;
        qtest.command(&format!("writel {config} 1"))?;
        let image = self.shadow().content().to_vec();
        for (start, bytes) in programmed_stretches(&image) {
            let encoded = BASE64.encode(bytes);
            qtest.command(&format!("b64write {start} {} {encoded}", bytes.len()))?;
        }
        qtest.command(&format!("writel {config} 0"))?;
        let encoded = BASE64.encode(&running.garbage);
        let (start, length) = (map::RAM_START, map::RAM_BYTES);
        qtest.command(&format!("b64write {start} {length} {encoded}"))?;
        // The core latched its reset vector when flash was still empty.
        qmp.system_reset()?;
        for event in TRACED {
            let arguments = json!({ "name": event, "enable": true });
            qmp.execute("trace-event-set-state", &arguments)?;
        }
        self.status.lock().last_activity = Instant::now();
        Ok(())
    }
}

/// Stretches of whole pages that are not blank: what has to be written over an erased flash.
fn programmed_stretches(image: &[u8]) -> Vec<(usize, &[u8])> {
    let blank = |page: &[u8]| page.iter().all(|&b| b == 0xFF);
    let pages: Vec<&[u8]> = image.chunks(map::PAGE_BYTES).collect();
    let mut start = 0;
    pages
        .chunk_by(|a, b| blank(a) == blank(b))
        .filter_map(|stretch| {
            let length = stretch.iter().map(|page| page.len()).sum::<usize>();
            let at = start;
            start += length;
            (!blank(stretch[0])).then(|| (at, &image[at..at + length]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_are_not_blank_are_written() {
        let mut image = vec![0xFF; 6 * map::PAGE_BYTES];
        image[0] = 0;
        image[2 * map::PAGE_BYTES + 5] = 1;
        image[4 * map::PAGE_BYTES - 1] = 2;
        let found: Vec<_> = programmed_stretches(&image)
            .iter()
            .map(|(at, bytes)| (at / map::PAGE_BYTES, bytes.len() / map::PAGE_BYTES))
            .collect();
        assert_eq!(found, [(0, 1), (2, 2)]);
        assert!(programmed_stretches(&[0xFF; 4096]).is_empty());
    }
}
