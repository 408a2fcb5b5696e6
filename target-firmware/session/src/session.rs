//! Agent and probation, over anything that carries datagrams.

use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::flash::FlashError;
use powercut_upgrade::watched::WatchedFlash;
use powercut_upgrade::wire::MAX_UPLINK_BYTES;

use crate::over_modem::Next;
use crate::trial::{Probation, Trial, Verdict};

/// The next act of the owner of a [`Session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send the first so many bytes of the buffer, completely, before polling again.
    Send(usize),
    /// Poll again soon: there is work to do in flash.
    Continue,
    /// The image has just confirmed itself. Poll again.
    Confirmed,
    /// Restart the device.
    Restart(Reason),
    /// Nothing to do before this time, unless a datagram arrives.
    Wait {
        /// In the owner's milliseconds.
        until_ms: u64,
    },
}

/// Why a device restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The bootloader has an image to install.
    Install,
    /// The image on probation was not confirmed in time.
    NotConfirmed,
}

/// An agent, and the probation of the image it belongs to. `PAGE` and `HELD` are the agent's.
#[derive(Debug)]
pub struct Session<const PAGE: usize, HELD> {
    pub(crate) agent: Agent<PAGE, HELD>,
    trial: Option<Trial>,
}

impl<const PAGE: usize, HELD: AsRef<[u8]> + AsMut<[u8]>> Session<PAGE, HELD> {
    /// A session of this agent, which has just started. If its image is on probation, that begins now.
    pub fn new(agent: Agent<PAGE, HELD>, now_ms: u64, probation: Probation) -> Self {
        let trial = agent.in_trial().then(|| Trial::begin(now_ms, probation));
        Self { agent, trial }
    }

    /// The agent, to look at.
    pub fn agent(&self) -> &Agent<PAGE, HELD> {
        &self.agent
    }

    /// Takes a datagram; the agent decrypts it in place. What it does not understand or expect, it ignores. Poll
    /// afterwards.
    pub fn on_datagram<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        datagram: &mut [u8],
    ) -> Result<(), FlashError> {
        self.agent.on_datagram(flash, now_ms, datagram)
    }

    /// Does what is due, in flash too, and says what comes next. The owner can send a datagram now.
    pub fn poll<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        out: &mut [u8; MAX_UPLINK_BYTES],
    ) -> Result<Step, FlashError> {
        Ok(match self.judge(flash, now_ms)? {
            Next::Wait { until_ms } => match self.agent.poll(flash, now_ms, out)? {
                Wish::Send(length) => Step::Send(length),
                Wish::Continue => Step::Continue,
                Wish::Restart => Step::Restart(Reason::Install),
                Wish::Wait { until_ms: agent } => Step::Wait {
                    until_ms: until_ms.min(agent),
                },
            },
            Next::Continue => Step::Continue,
            Next::Confirmed => Step::Confirmed,
            Next::Restart(reason) => Step::Restart(reason),
        })
    }

    /// Judges the attempt of an image on probation. A confirmation goes before anything else the agent has to do; while
    /// there is none, the agent goes on, until the time that [`Next::Wait`] names.
    pub(crate) fn judge<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
    ) -> Result<Next, FlashError> {
        let Some(trial) = &self.trial else {
            return Ok(Next::Wait { until_ms: u64::MAX });
        };
        Ok(match trial.judge(now_ms, self.agent.heard_platform()) {
            Verdict::Confirm => {
                self.agent.confirm(flash)?;
                self.trial = None;
                Next::Confirmed
            }
            Verdict::Undecided { until_ms } => Next::Wait { until_ms },
            Verdict::GiveUp => Next::Restart(Reason::NotConfirmed),
        })
    }
}
