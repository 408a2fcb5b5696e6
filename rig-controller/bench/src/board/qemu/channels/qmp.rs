//! QEMU's machine protocol: the emulator's life cycle. One command is outstanding at a time, and each waits for its
//! answer; the sign of life alone is asked for without waiting, and the drain hands its answer to the board's status.
use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use serde_json::{Value, json};

use super::{ChannelFault, PATIENCE, Status};

/// What a question for a sign of life is marked with, and its answer too.
const HEARTBEAT: &str = "heartbeat";

/// QEMU's machine protocol: one command at a time.
#[derive(Debug)]
pub(in crate::board::qemu) struct Qmp {
    stream: UnixStream,
    lines: Receiver<String>,
    /// Events that came while an answer was awaited.
    events: VecDeque<Value>,
}

impl Qmp {
    pub(super) fn open(stream: UnixStream, lines: Receiver<String>) -> Self {
        Self {
            stream,
            lines,
            events: VecDeque::new(),
        }
    }

    /// Leave the negotiation the protocol starts in.
    pub(in crate::board::qemu) fn negotiate(&mut self) -> Result<(), ChannelFault> {
        self.execute("qmp_capabilities", &json!({}))
    }

    /// Run `command` and wait until it is done.
    pub(in crate::board::qemu) fn execute(
        &mut self,
        command: &str,
        arguments: &Value,
    ) -> Result<(), ChannelFault> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        self.stream.write_all(text.as_bytes())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next(deadline)?;
            if message.get("return").is_some() {
                return Ok(());
            } else if let Some(error) = message.get("error") {
                return Err(ChannelFault::Refused(error.to_string()));
            } else if message.get("event").is_some() {
                self.events.push_back(message);
            }
        }
    }

    /// Reset the machine and wait until that is done, so that nothing runs from before it.
    pub(in crate::board::qemu) fn system_reset(&mut self) -> Result<(), ChannelFault> {
        self.events.clear();
        self.execute("system_reset", &json!({}))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.next(deadline)?,
            };
            // The firmware may have asked for a reset of its own just before.
            if event["event"] == "RESET" && event["data"]["guest"] == false {
                return Ok(());
            }
        }
    }

    /// Ask for a sign of life; the answer goes to the board's status.
    pub(in crate::board::qemu) fn ask_for_heartbeat(&mut self) -> Result<(), ChannelFault> {
        let question = json!({ "execute": "query-status", "id": HEARTBEAT }).to_string();
        Ok(self.stream.write_all(question.as_bytes())?)
    }

    /// Ask the emulator to end, for one that cannot be killed.
    pub(in crate::board::qemu) fn quit(&mut self) {
        let question = json!({ "execute": "quit" }).to_string();
        // What does not listen either is left alone.
        let _ = self.stream.write_all(question.as_bytes());
    }

    fn next(&mut self, deadline: Instant) -> Result<Value, ChannelFault> {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left)?;
        serde_json::from_str(&line).map_err(|_| ChannelFault::Refused(line))
    }
}

/// Whether `line` answers a question for a sign of life; then `status` knows.
pub(super) fn heard_heartbeat(status: &Status, line: &str) -> bool {
    if !line.contains(HEARTBEAT) {
        return false;
    }
    let Ok(answer) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    if answer["id"] != HEARTBEAT {
        return false;
    }
    let said = &answer["return"];
    let halted = (said["running"] != true)
        .then(|| said["status"].as_str().unwrap_or("not running").to_owned());
    status.update(|state| {
        state.beat_asked = None;
        state.beat_answered = Instant::now();
        state.halted = halted;
    });
    true
}
