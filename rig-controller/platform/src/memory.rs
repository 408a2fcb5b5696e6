//! Devices and tasks in memory, for runs of test plans: every device has its own task, state and log, and each
//! publication starts all three over.
use std::collections::HashMap;
use std::hash::{Hash as _, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use powercut_upgrade::cipher::FragmentCipher;
use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::book::{Assignment, Exchange, Registered, Settled, Stray, TaskBook};
use super::device::{DeviceState, PlatformEvent, PlatformEventKind};
use super::{EventWatcher, KnownWatcher, PlatformError, StrayCounters, TaskId, Watching};
use powercut_package::Package;

/// All devices and their tasks.
#[derive(Default)]
pub struct MemoryBook(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    devices: HashMap<DeviceId, Device>,
    tasks_published: u64,
    strays: StrayCounters,
}

struct Device {
    key: DeviceKey,
    assignment: Option<Assignment>,
    state: DeviceState,
    events: Vec<PlatformEvent>,
    watchers: Vec<KnownWatcher>,
}

impl MemoryBook {
    /// Make a device known; its task, state and log are empty afterwards.
    pub fn register_device(&self, id: DeviceId, key: DeviceKey) {
        self.entries().devices.insert(
            id,
            Device {
                key,
                assignment: None,
                state: DeviceState::default(),
                events: Vec::new(),
                watchers: Vec::new(),
            },
        );
    }

    /// The same devices, tasks and states, with empty logs and nobody who watches.
    pub(crate) fn fork(&self) -> Self {
        let entries = self.entries();
        let devices = entries.devices.iter().map(|(id, device)| {
            let fork = Device {
                key: device.key.clone(),
                assignment: device.assignment.clone(),
                state: device.state.clone(),
                events: Vec::new(),
                watchers: Vec::new(),
            };
            (*id, fork)
        });
        Self(Mutex::new(Entries {
            devices: devices.collect(),
            tasks_published: entries.tasks_published,
            strays: entries.strays,
        }))
    }

    /// Make `package` the device's task and reset its state and log; it may have `window` fragments outstanding.
    ///
    /// # Errors
    /// When the device is not registered, or the package cannot be encrypted.
    pub fn publish(
        &self,
        id: DeviceId,
        package: Arc<Package>,
        window: u8,
    ) -> Result<TaskId, PlatformError> {
        let mut entries = self.entries();
        let task = TaskId(entries.tasks_published + 1);
        let device = entries
            .devices
            .get_mut(&id)
            .ok_or(PlatformError::UnknownDevice(id))?;
        FragmentCipher::new(&device.key, package.m_sequence(), package.signed())?;
        device.assignment = Some(Assignment {
            task,
            package,
            window,
            offered: false,
        });
        device.state = DeviceState::default();
        device.events.clear();
        entries.tasks_published = task.0;
        Ok(task)
    }

    /// Has `watcher` called for every event of this device from now on, beside others, until the result is dropped.
    pub fn watch(&self, id: DeviceId, watcher: EventWatcher) -> Watching {
        let (watching, known) = Watching::of(watcher);
        if let Some(device) = self.entries().devices.get_mut(&id) {
            device.watchers.push(known);
        }
        watching
    }

    /// Adds a device's task and latest report to `state`.
    pub(crate) fn add_to(&self, state: &mut impl Hasher, id: DeviceId) {
        let entries = self.entries();
        let device = entries.devices.get(&id);
        let task = device.and_then(|device| device.assignment.as_ref());
        let task = task.map(|task| (task.task, task.window, task.offered));
        let report = device.map(|device| &device.state.last_report);
        (task, report).hash(state);
    }

    /// What is known about a device since its last publication.
    pub fn device_state(&self, id: DeviceId) -> Option<DeviceState> {
        Some(self.entries().devices.get(&id)?.state.clone())
    }

    /// What happened with a device since its last publication, in order.
    pub fn events(&self, id: DeviceId) -> Vec<PlatformEvent> {
        self.entries()
            .devices
            .get(&id)
            .map(|device| device.events.clone())
            .unwrap_or_default()
    }

    /// Datagrams of nobody.
    pub fn strays(&self) -> StrayCounters {
        self.entries().strays
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskBook for MemoryBook {
    fn look_up(&self, device: DeviceId) -> Option<Registered> {
        let entries = self.entries();
        let device = entries.devices.get(&device)?;
        Some(Registered {
            key: device.key.clone(),
            assignment: device.assignment.clone(),
        })
    }

    fn devices_with_tasks(&self) -> Vec<DeviceId> {
        let entries = self.entries();
        let with_task = entries
            .devices
            .iter()
            .filter(|(_, device)| device.assignment.is_some());
        with_task.map(|(id, _)| *id).collect()
    }

    fn note(&self, device: DeviceId, exchange: &Exchange) -> Settled {
        let watchers: Vec<EventWatcher> = {
            let mut entries = self.entries();
            let Some(device) = entries.devices.get_mut(&device) else {
                return Settled::Now;
            };
            device.state.bytes_up += exchange.bytes_up;
            device.state.bytes_down += exchange.bytes_down;
            for event in &exchange.events {
                device.state.count(&event.kind);
                if let (PlatformEventKind::OfferSent(_), Some(assignment)) =
                    (&event.kind, &mut device.assignment)
                {
                    assignment.offered = true;
                }
            }
            device.events.extend_from_slice(&exchange.events);
            device.watchers.retain(|known| known.strong_count() > 0);
            let living = device.watchers.iter().filter_map(Weak::upgrade);
            living.collect()
        };
        // Told before the answer leaves: whoever watches knows of it before the device can act on it. And told without
        // the lock: whoever watches may look here.
        for event in &exchange.events {
            for watcher in &watchers {
                watcher(event);
            }
        }
        Settled::Now
    }

    fn stray(&self, stray: Stray) {
        let strays = &mut self.entries().strays;
        match stray {
            Stray::Malformed => strays.malformed += 1,
            Stray::UnknownDevice => strays.unknown_device += 1,
        }
    }
}
