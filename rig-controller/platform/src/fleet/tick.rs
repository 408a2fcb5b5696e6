//! What the fleet does as time goes by: clocks of parts run out, progress is written down, and whoever watches is told.
use std::sync::Arc;

use powercut_upgrade::factory::DeviceId;

use super::{Change, Fleet, Part, Stage};
use crate::TaskId;
use crate::store::{DeviceNote, StoreError, note_devices, save_progress};

impl Fleet {
    /// End attempts whose time is over.
    pub fn on_time(self: &Arc<Self>, now_ms: i64) {
        let mut live = self.live();
        let due: Vec<(TaskId, DeviceId, Part, Part, Change)> = live
            .tasks
            .iter()
            .flat_map(|(id, task)| {
                task.parts.iter().filter_map(move |(device, live)| {
                    let mut part = live.part;
                    let change = part.on_time(&task.policy, now_ms);
                    (change != Change::None).then_some((*id, *device, live.part, part, change))
                })
            })
            .collect();
        for (task, device, before, part, change) in due {
            live.put(device, task, part);
            let retried = match change {
                Change::Retry(why) => Some(why),
                _ => None,
            };
            self.save(device, task, (before, part), retried);
        }
    }

    /// Tell whoever watches, if anything changed since it was told last.
    pub fn publish(&self) {
        let mut live = self.live();
        if !std::mem::take(&mut live.changed) {
            return;
        }
        let revision = live.revision;
        live.revision += 1;
        drop(live);
        self.revision.send_replace(revision);
    }

    /// Write down who was heard and how far downloads have come, since the last time.
    pub fn flush(&self, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        let mut notes = Vec::new();
        let mut progress = Vec::new();
        {
            let mut live = self.live();
            for id in live.take_dirty() {
                let Some(device) = live.devices.get(&id) else {
                    continue;
                };
                if let Some(seen_ms) = device.seen_ms {
                    notes.push(DeviceNote {
                        id,
                        seen_ms,
                        running: device.running.clone(),
                    });
                }
                let part = device
                    .task
                    .and_then(|task| Some((task, live.tasks.get(&task)?.parts.get(&id)?.part)));
                if let Some((task, part)) = part
                    && part.stage == Stage::Downloading
                {
                    progress.push((task, id, part.fragments));
                }
            }
        }
        if notes.is_empty() {
            return done(Ok(()));
        }
        self.store.write(
            move |transaction| {
                note_devices(transaction, &notes)?;
                save_progress(transaction, &progress)
            },
            done,
        );
    }
}
