//! The one thread that writes. It takes whatever has been asked for meanwhile, does it in one transaction, each job in a
//! savepoint of its own, and tells everybody after the commit: one sync of the disk for many writes.
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::StoreError;

/// Jobs in one commit at most, so that a flood does not delay the first of them for long.
const MOST_IN_A_COMMIT: usize = 1_024;

/// Tells who asked; given the commit's failure if there was one.
type Tell = Box<dyn FnOnce(Option<StoreError>)>;
/// Done inside the transaction; without one, nothing is done.
type Job = Box<dyn FnOnce(Option<&Transaction<'_>>) -> Tell + Send>;

/// The thread. Dropping it does what was asked for before.
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (sender, jobs) = channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(connection, &jobs))
            .map_err(StoreError::Thread)?;
        Ok(Self {
            jobs: Some(sender),
            thread: Some(thread),
        })
    }

    pub(super) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let job: Job = Box::new(move |transaction| {
            let result = match transaction {
                Some(transaction) => in_savepoint(transaction, job),
                None => Err(StoreError::Stopped),
            };
            Box::new(move |failure| {
                done(match failure {
                    None => result,
                    Some(failure) => Err(failure),
                });
            })
        });
        if let Some(jobs) = &self.jobs {
            // The thread ends only after this sender is gone; if it panicked, nobody is told and answers stay out.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the database panicked");
        }
    }
}

fn run(mut connection: Connection, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let group: Vec<Job> = std::iter::once(first)
            .chain(jobs.try_iter())
            .take(MOST_IN_A_COMMIT)
            .collect();
        let (tell, committed) = commit(&mut connection, group);
        if let Err(error) = &committed {
            tracing::error!(%error, jobs = tell.len(), "a commit failed");
        }
        for tell in tell {
            let failure = committed.as_ref().err().map(copy_of);
            tell(failure.map(StoreError::Sql));
        }
    }
    // A clean end leaves no log behind.
    if let Err((_, error)) = connection.close() {
        tracing::error!(%error, "the database could not be closed");
    }
}

fn commit(connection: &mut Connection, group: Vec<Job>) -> (Vec<Tell>, rusqlite::Result<()>) {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => return (group.into_iter().map(|job| job(None)).collect(), Err(error)),
    };
    let tell = group
        .into_iter()
        .map(|job| {
            // A full disk ends the whole transaction; a savepoint outside of it would be committed alone.
            let alive = !transaction.is_autocommit();
            job(alive.then_some(&transaction))
        })
        .collect();
    (tell, transaction.commit())
}

/// `rusqlite::Error` cannot be cloned; its code and text can.
fn copy_of(error: &rusqlite::Error) -> rusqlite::Error {
    let code = error
        .sqlite_error()
        .copied()
        .unwrap_or_else(|| rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR));
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}

fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    transaction.execute_batch("SAVEPOINT job")?;
    let result = job(transaction);
    let end = if result.is_ok() {
        "RELEASE job"
    } else {
        "ROLLBACK TO job; RELEASE job"
    };
    transaction.execute_batch(end)?;
    result
}
