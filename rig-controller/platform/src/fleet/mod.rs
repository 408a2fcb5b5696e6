//! All devices and unfinished tasks of a serving platform, in memory, over the database that keeps them.
//!
//! What decides anything (an enrolment, a task, a result) is in the database before anybody is told of it; what only shows
//! how far a download has come is written down now and then ([`Fleet::flush`]), and lost at worst. Memory follows the
//! database: changes that come from the API are applied here after their commit, in the order of commits. Changes that
//! come from devices are made here first and written in that order; a result whose commit fails is taken back, so that the
//! device's next word brings it again.
mod live;
mod part;
mod tick;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::m_sequence::Configuration;
use powercut_upgrade::manifest::Suite;
use tokio::sync::watch;

use super::book::{Exchange, Receipt, Registered, Settled, Stray, TaskBook};
use super::store::{
    Enrolment, Kept, NewTask, PackageRecord, Store, StoreError, UnfinishedTask, cancel_task,
    create_task, devices, enrol, put_package, remove_device, save_part, unfinished_tasks,
};
use super::{StrayCounters, TaskId, now_ms};
use powercut_package::Package;

use live::{Live, LiveDevice};
pub use part::{Change, Part, Policy, Stage};

/// Called with the devices that have another task than before, or none any more.
pub type AssignmentWatcher = Box<dyn Fn(&[DeviceId]) + Send + Sync>;

/// Devices and tasks of a serving platform.
pub struct Fleet {
    store: Store,
    live: Mutex<Live>,
    assignments: OnceLock<AssignmentWatcher>,
    revision: watch::Sender<u64>,
    /// What packages of the suite `m-sequence` are encrypted with.
    register: Option<Configuration>,
}

/// How the devices of a task stand together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many devices are at which stage, by its name; stages without devices are left out.
    pub stages: BTreeMap<&'static str, u64>,
    /// Devices.
    pub devices: u64,
    /// Devices that are not done.
    pub unfinished: u64,
    /// Fragments they have together.
    pub fragments: u64,
    /// Fragments they need together.
    pub fragments_total: u64,
}

impl Summary {
    /// Add devices at a stage.
    pub fn count(&mut self, stage: Stage, devices: u64) {
        *self.stages.entry(stage.name()).or_default() += devices;
        self.devices += devices;
        if !stage.is_final() {
            self.unfinished += devices;
        }
    }
}

/// A device as it is right now, beyond what the database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// When it was last heard, Unix milliseconds.
    pub seen_ms: Option<i64>,
    /// The version it last said it runs.
    pub running: Option<String>,
    /// Its unfinished task, and how far it has come.
    pub part: Option<(TaskId, Part)>,
}

impl Fleet {
    /// Go on where the database stands; `register` is what packages of the suite `m-sequence` are encrypted with.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(store: Store, register: Option<Configuration>) -> Result<Arc<Self>, StoreError> {
        let live = store.read(|connection| {
            let mut live = Live::new();
            for record in devices(connection, None, u32::MAX)? {
                let mut device = LiveDevice::new(&record.enrolment);
                device.seen_ms = record.seen_ms;
                device.running = record.running;
                live.devices.insert(record.enrolment.id, device);
            }
            for task in unfinished_tasks(connection)? {
                live.assign(&with_register(task, register));
            }
            Ok(live)
        })?;
        Ok(Arc::new(Self {
            store,
            live: Mutex::new(live),
            assignments: OnceLock::new(),
            revision: watch::channel(0).0,
            register,
        }))
    }

    /// Whether packages of the suite `m-sequence` can be encrypted.
    pub fn has_register(&self) -> bool {
        self.register.is_some()
    }

    /// Where everything is kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Have `watcher` called when tasks begin or end for devices; only the first call counts.
    pub fn watch_assignments(&self, watcher: AssignmentWatcher) {
        // Two watchers would be a mistake of this program; the first is as good as any.
        let _ = self.assignments.set(watcher);
    }

    /// Make devices known, all of them or none; how many were not known before.
    ///
    /// # Errors
    /// When one of them is known under another key or hardware.
    pub async fn enrol(self: &Arc<Self>, enrolments: Vec<Enrolment>) -> Result<usize, StoreError> {
        let (kept, fleet) = (enrolments.clone(), Arc::clone(self));
        self.committed(
            move |transaction| enrol(transaction, &enrolments),
            move |_| {
                let mut live = fleet.live();
                for enrolment in kept {
                    live.devices
                        .entry(enrolment.id)
                        .or_insert_with(|| LiveDevice::new(&enrolment));
                }
            },
        )
        .await
    }

    /// Forget a device and its key; its history stays.
    ///
    /// # Errors
    /// When it is not known, or part of an unfinished task.
    pub async fn remove(self: &Arc<Self>, device: DeviceId) -> Result<(), StoreError> {
        let fleet = Arc::clone(self);
        self.committed(
            move |transaction| remove_device(transaction, device),
            move |()| {
                fleet.live().devices.remove(&device);
            },
        )
        .await
    }

    /// Keep a package; `false` if it was kept already.
    ///
    /// # Errors
    /// When another package has its hardware and version.
    pub async fn put_package(&self, package: Package) -> Result<(PackageRecord, bool), StoreError> {
        self.store
            .written(move |transaction| put_package(transaction, &package))
            .await
    }

    /// Create a task.
    ///
    /// # Errors
    /// When package or devices are not known, do not go together, or a device has an unfinished task.
    pub async fn create_task(self: &Arc<Self>, new: NewTask) -> Result<TaskId, StoreError> {
        let (fleet, register) = (Arc::clone(self), self.register);
        let task = self
            .committed(
                move |transaction| Ok(with_register(create_task(transaction, &new)?, register)),
                move |task: &UnfinishedTask| {
                    fleet.live().assign(task);
                    let devices: Vec<DeviceId> =
                        task.parts.iter().map(|part| part.device).collect();
                    fleet.assignments_changed(&devices);
                },
            )
            .await?;
        Ok(task.id)
    }

    /// End a task for all devices that are not done; how many those were.
    ///
    /// # Errors
    /// When there is no such task, or it is finished.
    pub async fn cancel_task(self: &Arc<Self>, task: TaskId) -> Result<usize, StoreError> {
        let fleet = Arc::clone(self);
        let ended = self
            .committed(
                move |transaction| cancel_task(transaction, task),
                move |devices: &Vec<DeviceId>| {
                    fleet.live().withdraw(task);
                    fleet.assignments_changed(devices);
                },
            )
            .await?;
        Ok(ended.len())
    }

    /// How a device stands right now; `None` if it is not known.
    pub fn standing(&self, device: DeviceId) -> Option<Standing> {
        self.live().standing(device)
    }

    /// How the devices of a task stand right now; `None` if it is finished, or not known.
    pub fn summary(&self, task: TaskId) -> Option<Summary> {
        Some(self.live().tasks.get(&task)?.summary())
    }

    /// How far a device has come in a task that is not finished, right now.
    pub fn part(&self, task: TaskId, device: DeviceId) -> Option<Part> {
        Some(self.live().tasks.get(&task)?.parts.get(&device)?.part)
    }

    /// How far the devices of an unfinished task have come that changed after a revision.
    pub fn changed_after(&self, task: TaskId, revision: u64) -> Vec<(DeviceId, Part)> {
        self.live().changed_after(task, revision)
    }

    /// Told of each new revision of what devices do, some times a second at most.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Devices, and how many of them are part of unfinished tasks.
    pub fn sizes(&self) -> (usize, usize) {
        let live = self.live();
        let busy = live.devices.values().filter(|device| device.task.is_some());
        (live.devices.len(), busy.count())
    }

    /// Datagrams of nobody.
    pub fn strays(&self) -> StrayCounters {
        self.live().strays
    }

    /// Does `job`, then `then` after its commit and in the order of commits; waits for both.
    async fn committed<T: Send + 'static>(
        &self,
        job: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, result) = tokio::sync::oneshot::channel();
        self.store.write(job, move |done| {
            if let Ok(done) = &done {
                then(done);
            }
            // Whoever asked may have gone away; what was asked is done all the same.
            let _ = sender.send(done);
        });
        result.await.unwrap_or(Err(StoreError::Stopped))
    }

    fn assignments_changed(&self, devices: &[DeviceId]) {
        if let Some(watcher) = self.assignments.get() {
            watcher(devices);
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Write down that a part has changed, from what to what; the receipt is settled once that is kept.
    fn save(
        self: &Arc<Self>,
        device: DeviceId,
        task: TaskId,
        (before, part): (Part, Part),
        retried: Option<Stage>,
    ) -> Receipt {
        let receipt = Receipt::default();
        let (settled, fleet) = (receipt.clone(), Arc::downgrade(self));
        self.store.write(
            move |transaction| save_part(transaction, task, device, &part, retried),
            move |kept| {
                if let Some(fleet) = fleet.upgrade() {
                    match &kept {
                        Ok(Kept::TaskDone) => {
                            let mut live = fleet.live();
                            live.tasks.remove(&task);
                            live.changed = true;
                        }
                        Err(_) if part.stage.is_final() => {
                            fleet.live().take_back(device, task, before);
                        }
                        Ok(Kept::Part | Kept::Over) | Err(_) => {}
                    }
                }
                settled.settle(kept.is_ok());
                if kept.is_ok()
                    && part.stage.is_final()
                    && let Some(fleet) = fleet.upgrade()
                {
                    fleet.assignments_changed(&[device]);
                }
            },
        );
        receipt
    }
}

/// The task with a package that can be encrypted in the suite it is of.
fn with_register(task: UnfinishedTask, register: Option<Configuration>) -> UnfinishedTask {
    if task.package.manifest().suite != Suite::MSequence {
        return task;
    }
    let package = Package::clone(&task.package).with_m_sequence(register);
    UnfinishedTask {
        package: Arc::new(package),
        ..task
    }
}

/// The fleet as sessions see it.
pub struct FleetBook(pub Arc<Fleet>);

impl TaskBook for FleetBook {
    fn look_up(&self, device: DeviceId) -> Option<Registered> {
        self.0.live().registered(device)
    }

    fn devices_with_tasks(&self) -> Vec<DeviceId> {
        self.0.live().devices_with_tasks()
    }

    fn note(&self, device: DeviceId, exchange: &Exchange) -> Settled {
        let now = now_ms();
        let mut live = self.0.live();
        let Some((id, task, mut part)) = live.heard(device, exchange, now) else {
            return Settled::Now;
        };
        let image = task.package.signed().image_id();
        let policy = task.policy;
        let mut settled = Settled::Now;
        let first = part;
        for event in &exchange.events {
            let before = part;
            let retried = match part.on_event(&event.kind, image, &policy, now) {
                Change::None | Change::Progress => continue,
                Change::Stage | Change::Final => None,
                Change::Retry(why) => Some(why),
            };
            let receipt = self.0.save(device, id, (before, part), retried);
            if part.stage.is_final() {
                settled = Settled::Later(receipt);
            }
        }
        if part != first {
            live.put(device, id, part);
        }
        settled
    }

    fn stray(&self, stray: Stray) {
        let strays = &mut self.0.live().strays;
        match stray {
            Stray::Malformed => strays.malformed += 1,
            Stray::UnknownDevice => strays.unknown_device += 1,
        }
    }
}

#[cfg(test)]
mod tests;
