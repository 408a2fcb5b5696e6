//! Ctrl-C and SIGTERM: the run is cancelled, boards go off, reports are finished, and only then does `rig` exit.
//!
//! The signals stay caught for the rest of the process: a second one finds the rig on its way out and cannot keep it
//! from switching boards off.
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use super::CliError;
use super::say;
use powercut_bench::cancel::Cancel;

/// What came in so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals(Arc<AtomicU8>);

const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Both signals, listened to inside `runtime`.
fn listen(
    runtime: &tokio::runtime::Runtime,
) -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal), CliError> {
    let _inside = runtime.enter();
    Ok((
        signal(SignalKind::interrupt()).map_err(CliError::Signals)?,
        signal(SignalKind::terminate()).map_err(CliError::Signals)?,
    ))
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Signals)
}

/// Returns on the first signal: the way to end what has no end of its own.
pub(super) fn wait_for_one() -> Result<(), CliError> {
    let runtime = runtime()?;
    let (mut interrupt, mut terminate) = listen(&runtime)?;
    runtime.block_on(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    Ok(())
}

impl Signals {
    /// Cancels `cancel` on the first signal.
    pub(super) fn watch(cancel: Cancel) -> Result<Self, CliError> {
        Self::watch_and_say(
            cancel,
            [
                "stopping: boards off, then reports",
                "already stopping: boards are being switched off",
            ],
        )
    }

    /// Cancels `cancel` on the first signal; says the first text then, and the second on every later one.
    pub(super) fn watch_and_say(
        cancel: Cancel,
        [stopping, already]: [&'static str; 2],
    ) -> Result<Self, CliError> {
        let runtime = runtime()?;
        let (mut interrupt, mut terminate) = listen(&runtime)?;
        let signals = Self::default();
        let first = Arc::clone(&signals.0);
        // Ends with the process: there is nothing to wait for.
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    loop {
                        let code = tokio::select! {
                            _ = interrupt.recv() => INTERRUPTED,
                            _ = terminate.recv() => TERMINATED,
                        };
                        let first = first
                            .compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst)
                            .is_ok();
                        say::complain(if first { stopping } else { already });
                        cancel.cancel();
                    }
                });
            })
            .map_err(CliError::Signals)?;
        Ok(signals)
    }

    /// The exit code of a run that was stopped.
    pub(super) fn exit(&self) -> Option<ExitCode> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            code => Some(code.into()),
        }
    }
}
