//! What the fleet holds in memory: every device, and every part of every task that is not finished.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::part::{Part, Policy, Stage};
use super::{Standing, Summary};
use crate::book::{Assignment, Exchange, Registered};
use crate::store::{Enrolment, UnfinishedTask};
use crate::{PlatformEventKind, StrayCounters, TaskId};
use powercut_package::Package;

/// Everything.
pub(super) struct Live {
    pub(super) devices: HashMap<DeviceId, LiveDevice>,
    pub(super) tasks: HashMap<TaskId, LiveTask>,
    pub(super) strays: StrayCounters,
    /// The revision that changes belong to now.
    pub(super) revision: u64,
    /// Whether there are any.
    pub(super) changed: bool,
    /// Devices with something to be written down now and then.
    pub(super) dirty: Vec<DeviceId>,
}

pub(super) struct LiveDevice {
    key: DeviceKey,
    pub(super) seen_ms: Option<i64>,
    pub(super) running: Option<String>,
    /// Its unfinished task.
    pub(super) task: Option<TaskId>,
    dirty: bool,
}

pub(super) struct LiveTask {
    pub(super) package: Arc<Package>,
    pub(super) policy: Policy,
    pub(super) parts: BTreeMap<DeviceId, LivePart>,
}

#[derive(Clone, Copy)]
pub(super) struct LivePart {
    pub(super) part: Part,
    /// Revision of its last change.
    pub(super) changed: u64,
}

impl LiveDevice {
    pub(super) fn new(enrolment: &Enrolment) -> Self {
        Self {
            key: enrolment.key.clone(),
            seen_ms: None,
            running: None,
            task: None,
            dirty: false,
        }
    }

    /// It said something.
    fn heard(&mut self, exchange: &Exchange, now_ms: i64) {
        self.seen_ms = Some(now_ms);
        for event in &exchange.events {
            if let PlatformEventKind::Hello { status, .. } = &event.kind {
                self.running = Some(status.version.to_string());
            }
        }
    }
}

impl LiveTask {
    pub(super) fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        let all = u64::from(self.package.manifest().fragments());
        for LivePart { part, .. } in self.parts.values() {
            summary.count(part.stage, 1);
            summary.fragments += match part.stage {
                Stage::Succeeded => all,
                _ => u64::from(part.fragments),
            };
        }
        summary.fragments_total = all * self.parts.len() as u64;
        summary
    }
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            devices: HashMap::new(),
            tasks: HashMap::new(),
            strays: StrayCounters::default(),
            // Everything is news to who has seen nothing: revision 0.
            revision: 1,
            changed: false,
            dirty: Vec::new(),
        }
    }

    /// A task began, or goes on after a start of the platform.
    pub(super) fn assign(&mut self, task: &UnfinishedTask) {
        self.changed = true;
        let mut parts = BTreeMap::new();
        for record in &task.parts {
            if !record.part.stage.is_final()
                && let Some(device) = self.devices.get_mut(&record.device)
            {
                device.task = Some(task.id);
            }
            parts.insert(
                record.device,
                LivePart {
                    part: record.part,
                    changed: self.revision,
                },
            );
        }
        self.tasks.insert(
            task.id,
            LiveTask {
                package: Arc::clone(&task.package),
                policy: task.policy,
                parts,
            },
        );
    }

    /// A task was cancelled.
    pub(super) fn withdraw(&mut self, id: TaskId) {
        self.changed = true;
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        for device in task.parts.keys() {
            self.release(*device, id);
        }
    }

    /// The device's part in a task is over.
    pub(super) fn release(&mut self, device: DeviceId, task: TaskId) {
        if let Some(device) = self.devices.get_mut(&device)
            && device.task == Some(task)
        {
            device.task = None;
        }
    }

    /// A result could not be kept: the part is what it was before, so that the device's next word brings it again.
    pub(super) fn take_back(&mut self, device: DeviceId, id: TaskId, before: Part) {
        if let (Some(known), Some(part)) = (
            self.devices.get_mut(&device),
            self.tasks
                .get_mut(&id)
                .and_then(|task| task.parts.get_mut(&device)),
        ) {
            part.part = before;
            if known.task.is_none() {
                known.task = Some(id);
            }
        }
    }

    /// Devices with a part in a task that is not over.
    pub(super) fn devices_with_tasks(&self) -> Vec<DeviceId> {
        let with_task = self
            .devices
            .iter()
            .filter(|(_, device)| device.task.is_some());
        with_task.map(|(id, _)| *id).collect()
    }

    pub(super) fn registered(&self, device: DeviceId) -> Option<Registered> {
        let device_id = device;
        let device = self.devices.get(&device)?;
        let assignment = device.task.and_then(|id| {
            let task = self.tasks.get(&id)?;
            Some(Assignment {
                task: id,
                package: Arc::clone(&task.package),
                window: task.policy.window,
                offered: task.parts.get(&device_id)?.part.is_offered(),
            })
        });
        Some(Registered {
            key: device.key.clone(),
            assignment,
        })
    }

    pub(super) fn standing(&self, device: DeviceId) -> Option<Standing> {
        let known = self.devices.get(&device)?;
        let part = known.task.and_then(|id| {
            let part = self.tasks.get(&id)?.parts.get(&device)?;
            Some((id, part.part))
        });
        Some(Standing {
            seen_ms: known.seen_ms,
            running: known.running.clone(),
            part,
        })
    }

    /// Parts of a task that changed after a revision.
    pub(super) fn changed_after(&self, id: TaskId, revision: u64) -> Vec<(DeviceId, Part)> {
        let Some(task) = self.tasks.get(&id) else {
            return Vec::new();
        };
        task.parts
            .iter()
            .filter(|(_, part)| part.changed > revision)
            .map(|(device, part)| (*device, part.part))
            .collect()
    }

    /// A device said something; its part in its task, if it has one.
    pub(super) fn heard(
        &mut self,
        device: DeviceId,
        exchange: &Exchange,
        now_ms: i64,
    ) -> Option<(TaskId, &LiveTask, Part)> {
        let known = self.devices.get_mut(&device)?;
        known.heard(exchange, now_ms);
        if !known.dirty {
            known.dirty = true;
            self.dirty.push(device);
        }
        let id = known.task?;
        let task = self.tasks.get(&id)?;
        Some((id, task, task.parts.get(&device)?.part))
    }

    /// A part changed.
    pub(super) fn put(&mut self, device: DeviceId, id: TaskId, part: Part) {
        if let Some(live) = self
            .tasks
            .get_mut(&id)
            .and_then(|task| task.parts.get_mut(&device))
        {
            live.part = part;
            live.changed = self.revision;
            self.changed = true;
        }
        if part.stage.is_final() {
            self.release(device, id);
        }
    }

    /// The dirty devices, clean from now on.
    pub(super) fn take_dirty(&mut self) -> Vec<DeviceId> {
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            if let Some(device) = self.devices.get_mut(id) {
                device.dirty = false;
            }
        }
        dirty
    }
}
