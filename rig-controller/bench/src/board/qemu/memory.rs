//! Looking into a running board's memory: whether flash is what the rig's record says, and how deep the stack has been.
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::channels::ChannelFault;
use super::memory_map as map;
use super::status::Question;
use super::supply::{Running, Supply};
use crate::board::BoardError;
use crate::board::stack::deepest_stack;

impl Supply {
    /// Compare the record with the flash of the running board, then switch it off.
    pub(super) fn verify_record(&self) -> Result<(), BoardError> {
        let doing = "comparing flash with the rig's record";
        let mut machine = self.machine();
        let Some(running) = machine.running.as_mut() else {
            return Err(self.channel(doing, "the board is off; compare before switching it off"));
        };
        let found = match self.stopped_flash(running) {
            Ok(found) => found,
            Err(ChannelFault::Closed) if self.was_cut() => {
                self.release(&mut machine);
                return Err(self.channel(doing, "power was cut before it could be done"));
            }
            Err(fault) => return Err(self.fail(&mut machine, doing, &fault)),
        };
        drop(machine);
        let difference = {
            let shadow = self.shadow();
            shadow
                .content()
                .iter()
                .zip(&found)
                .position(|(recorded, found)| recorded != found)
                .map(|at| (at, shadow.content()[at], found[at]))
        };
        self.power_off();
        match difference {
            None => Ok(()),
            Some((address, recorded, found)) => Err(BoardError::ShadowMismatch {
                board: self.config().name.clone(),
                address: address as u32,
                recorded,
                found,
            }),
        }
    }

    fn stopped_flash(&self, running: &mut Running) -> Result<Vec<u8>, ChannelFault> {
        running.channels.qmp.execute("stop", &json!({}))?;
        self.ask(running, Question::CaughtUp)?;
        read_memory(running, 0, map::FLASH_BYTES)
    }

    /// Bytes of stack that were in use at most since power-on; `None` when off.
    pub(super) fn stack_bytes(&self) -> Result<Option<u32>, BoardError> {
        let mut machine = self.machine();
        let Some(running) = machine.running.as_mut() else {
            return Ok(None);
        };
        match read_memory(running, map::RAM_START, map::RAM_BYTES) {
            Ok(ram) => Ok(Some(deepest_stack(&ram, &running.garbage))),
            Err(fault) => Err(self.fail(&mut machine, "reading the board's RAM", &fault)),
        }
    }
}

fn read_memory(running: &mut Running, start: u32, length: usize) -> Result<Vec<u8>, ChannelFault> {
    let answer = running
        .channels
        .qtest
        .command(&format!("b64read {start} {length}"))?;
    BASE64
        .decode(&answer)
        .ok()
        .filter(|bytes| bytes.len() == length)
        .ok_or_else(|| {
            ChannelFault::Refused("something that is not the memory asked for".to_owned())
        })
}
