//! Things that are due at a time of the link, done in real time: a clock that may run faster than the wall's, and a
//! thread that sleeps until the earliest of them is due or an earlier one is put in.
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use powercut_link::{Agenda, TimeScale};

/// The time of a link that began when this was made.
#[derive(Debug, Clone, Copy)]
pub struct LinkClock {
    start: Instant,
    scale: TimeScale,
}

impl LinkClock {
    /// Begins now.
    pub fn start(scale: TimeScale) -> Self {
        Self {
            start: Instant::now(),
            scale,
        }
    }

    /// Time since the start, as the link counts it.
    pub fn now(&self) -> Duration {
        self.start.elapsed().mul_f64(self.scale.times())
    }

    /// When the wall clock comes to this time of the link.
    fn wall(&self, at: Duration) -> Instant {
        self.start + at.div_f64(self.scale.times())
    }
}

struct Shared<T> {
    agenda: Agenda<T>,
    ended: bool,
}

type Waiting<T> = (Mutex<Shared<T>>, Condvar);

fn locked<T>(waiting: &Waiting<T>) -> MutexGuard<'_, Shared<T>> {
    waiting.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts things into a [`Timetable`].
pub(crate) struct Appointments<T>(Arc<Waiting<T>>);

impl<T> Clone for Appointments<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Appointments<T> {
    pub(crate) fn put(&self, at: Duration, what: T) {
        locked(&self.0).agenda.put(at, what);
        self.0.1.notify_one();
    }
}

/// A thread that does things when they are due. Dropping it ends the thread; what is not done by then is not done.
pub(crate) struct Timetable<T> {
    waiting: Arc<Waiting<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Timetable<T> {
    /// Start the thread; `perform` is called on it, one thing after the other.
    pub(crate) fn start(
        clock: LinkClock,
        perform: impl FnMut(T) + Send + 'static,
    ) -> std::io::Result<Self> {
        let waiting = Arc::new((
            Mutex::new(Shared {
                agenda: Agenda::default(),
                ended: false,
            }),
            Condvar::new(),
        ));
        let shared = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || run(clock, &shared, perform))?;
        Ok(Self {
            waiting,
            thread: Some(thread),
        })
    }

    pub(crate) fn appointments(&self) -> Appointments<T> {
        Appointments(Arc::clone(&self.waiting))
    }
}

fn run<T>(clock: LinkClock, waiting: &Waiting<T>, mut perform: impl FnMut(T)) {
    let mut shared = locked(waiting);
    while !shared.ended {
        if let Some((_, what)) = shared.agenda.take(clock.now()) {
            drop(shared);
            perform(what);
            shared = locked(waiting);
            continue;
        }
        shared = match shared.agenda.next_at() {
            None => waiting
                .1
                .wait(shared)
                .unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let left = clock.wall(at).saturating_duration_since(Instant::now());
                let woken = waiting.1.wait_timeout(shared, left);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

impl<T> Drop for Timetable<T> {
    fn drop(&mut self) {
        locked(&self.waiting).ended = true;
        self.waiting.1.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the link's thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn things_are_done_in_the_order_of_their_times_and_then_of_their_coming() {
        let (sender, done) = channel();
        let clock = LinkClock::start(TimeScale::new(1_000.0).unwrap());
        let timetable = Timetable::start(clock, move |what: u32| {
            let _ = sender.send((what, clock.now()));
        })
        .unwrap();
        let put = timetable.appointments();
        let at = clock.now() + Duration::from_secs(100);
        put.put(at + Duration::from_secs(30), 3);
        put.put(at, 1);
        put.put(at, 2);
        for expected in 1..=3 {
            let (what, when) = done.recv_timeout(PATIENCE).unwrap();
            assert_eq!(what, expected);
            assert!(when >= at, "never early");
        }
    }

    #[test]
    fn what_is_far_away_does_not_keep_the_thread_from_ending() {
        let clock = LinkClock::start(TimeScale::REAL);
        let timetable = Timetable::start(clock, |(): ()| ()).unwrap();
        timetable
            .appointments()
            .put(clock.now() + Duration::from_hours(24), ());
        drop(timetable);
    }
}
