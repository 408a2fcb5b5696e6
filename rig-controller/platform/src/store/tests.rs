use super::*;
use crate::fleet::{Part, Policy, Stage};
use crate::{TaskId, now_ms};
use powercut_package::Package;
use powercut_package::made_up::package;
use powercut_upgrade::factory::{DeviceId, DeviceKey};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn device_of(number: u8) -> DeviceId {
    DeviceId([number; 8])
}

fn enrolment(number: u8) -> Enrolment {
    Enrolment {
        id: device_of(number),
        key: DeviceKey([number; 32]),
        hardware: 0x51,
    }
}

fn write<T: Send + 'static>(
    store: &Store,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, result) = std::sync::mpsc::channel();
    store.write(job, move |done| sender.send(done).unwrap());
    result.recv().unwrap()
}

fn put(store: &Store, package: Package) -> Result<(PackageRecord, bool), StoreError> {
    write(store, move |db| put_package(db, &package))
}

fn new_task(store: &Store, package: &PackageRecord, devices: &[u8]) -> Result<TaskId, StoreError> {
    let new = NewTask {
        package: package.id,
        devices: devices.iter().map(|number| device_of(*number)).collect(),
        policy: Policy::default(),
    };
    write(store, move |db| Ok(create_task(db, &new)?.id))
}

/// A store with two devices and a package for them.
fn filled(folder: &Path) -> (Store, PackageRecord) {
    let store = Store::open(folder).unwrap();
    write(&store, |db| enrol(db, &[enrolment(1), enrolment(2)])).unwrap();
    let (record, new) = put(&store, package(7, 1000, 160)).unwrap();
    assert!(new);
    (store, record)
}

fn kinds(store: &Store, filter: HistoryFilter) -> Vec<String> {
    let filter = HistoryFilter {
        limit: 100,
        ..filter
    };
    store
        .read(|db| history(db, filter))
        .unwrap()
        .into_iter()
        .map(|entry| entry.kind)
        .collect()
}

#[test]
fn a_version_is_kept_once_and_never_with_other_content() {
    let folder = tempfile::tempdir().unwrap();
    let (store, first) = filled(folder.path());
    let (again, new) = put(&store, package(7, 1000, 160)).unwrap();
    assert_eq!((again, new), (first.clone(), false));
    let other = put(&store, package(8, 1000, 160));
    assert!(matches!(
        other,
        Err(StoreError::Refused(Refusal::PackageAltered { package, .. })) if package == first.id
    ));
    let altered = write(&store, |db| {
        Ok(db.execute("UPDATE packages SET image = x'00'", [])?)
    });
    assert!(altered.unwrap_err().to_string().contains("never altered"));
    assert_eq!(store.read(packages).unwrap(), [first]);
}

#[test]
fn history_can_be_added_to_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = filled(folder.path());
    for change in ["DELETE FROM history", "UPDATE history SET detail = ''"] {
        let refused = write(&store, move |db| Ok(db.execute(change, [])?));
        assert!(refused.unwrap_err().to_string().contains("append-only"));
    }
    assert_eq!(
        kinds(&store, HistoryFilter::default()),
        ["package_uploaded", "enrolled", "enrolled"]
    );
}

#[test]
fn a_task_is_created_for_all_of_its_devices_or_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let (store, package) = filled(folder.path());
    for (devices, refusal) in [
        (&[1, 2, 3][..], Refusal::NoSuchDevice(device_of(3))),
        (&[1, 1][..], Refusal::DeviceTwice(device_of(1))),
    ] {
        let refused = new_task(&store, &package, devices);
        assert!(matches!(refused, Err(StoreError::Refused(why)) if why == refusal));
    }
    assert_eq!(store.read(|db| tasks(db, None, 10)).unwrap(), []);
    let id = new_task(&store, &package, &[1, 2]).unwrap();
    assert!(matches!(
        new_task(&store, &package, &[2]),
        Err(StoreError::Refused(Refusal::DeviceBusy { task, .. })) if task == id
    ));
    let removed = write(&store, |db| remove_device(db, device_of(1)));
    assert!(matches!(
        removed,
        Err(StoreError::Refused(Refusal::DeviceBusy { .. }))
    ));
    assert_eq!(store.read(|db| parts(db, id, None, 10)).unwrap().len(), 2);
}

#[test]
fn a_part_that_is_over_stays_what_it_was_and_the_last_one_finishes_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let (store, package) = filled(folder.path());
    let id = new_task(&store, &package, &[1, 2]).unwrap();
    let save = |number, stage| {
        let part = Part {
            stage,
            ..Part::new(now_ms())
        };
        write(&store, move |db| {
            save_part(db, id, device_of(number), &part, None)
        })
        .unwrap()
    };
    assert_eq!(save(1, Stage::Downloading), Kept::Part);
    assert_eq!(save(1, Stage::Succeeded), Kept::Part);
    assert_eq!(save(1, Stage::TimedOut), Kept::Over);
    assert_eq!(store.read(|db| task(db, id)).unwrap().finished_ms, None);
    assert_eq!(save(2, Stage::TimedOut), Kept::TaskDone);
    let record = store.read(|db| task(db, id)).unwrap();
    assert!(record.finished_ms.is_some());
    let summary = store.read(|db| summary(db, &record)).unwrap();
    assert_eq!(
        summary.stages.into_iter().collect::<Vec<_>>(),
        [("succeeded", 1), ("timed_out", 1)]
    );
    let of_task = HistoryFilter {
        task: Some(id),
        ..HistoryFilter::default()
    };
    assert_eq!(
        kinds(&store, of_task),
        ["task_done", "stage", "stage", "stage", "task_created"]
    );
    // Its devices are free again.
    new_task(&store, &package, &[1, 2]).unwrap();
}

#[test]
fn what_was_kept_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, package) = filled(folder.path());
    let id = new_task(&store, &package, &[1]).unwrap();
    drop(store);
    assert!(!folder.path().join("platform.db-wal").exists());
    let store = Store::open(folder.path()).unwrap();
    let unfinished = store.read(unfinished_tasks).unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!((unfinished[0].id, unfinished[0].parts.len()), (id, 1));
    assert_eq!(unfinished[0].package.image(), [7; 1000]);
}

#[test]
fn a_job_that_fails_leaves_nothing_behind_and_does_not_disturb_those_committed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    // The writer is held up, so that the others are committed together.
    let (go, gate) = std::sync::mpsc::channel::<()>();
    store.write(
        move |_| {
            gate.recv().unwrap();
            Ok(())
        },
        |_| {},
    );
    let failed = Arc::new(AtomicU32::new(0));
    for number in 0..10 {
        let failed = Arc::clone(&failed);
        store.write(
            move |db| {
                enrol(db, &[enrolment(number)])?;
                if number % 2 == 1 {
                    return Err(StoreError::Stopped);
                }
                Ok(())
            },
            move |done| {
                failed.fetch_add(u32::from(done.is_err()), Ordering::SeqCst);
            },
        );
    }
    go.send(()).unwrap();
    write(&store, |_| Ok(())).unwrap();
    let kept: Vec<u8> = store
        .read(|db| devices(db, None, 100))
        .unwrap()
        .iter()
        .map(|record| record.enrolment.id.0[0])
        .collect();
    assert_eq!(kept, [0, 2, 4, 6, 8]);
    assert_eq!(failed.load(Ordering::SeqCst), 5);
}

#[test]
fn every_commit_is_synced_and_logged_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (mode, synchronous) = write(&store, |db| {
        let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        let synchronous: i64 = db.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        Ok((mode, synchronous))
    })
    .unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2));
}

#[test]
fn a_backup_of_a_platform_that_serves_is_whole_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, package) = filled(folder.path());
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    back_up(folder.path(), &copy.join(DATABASE)).unwrap();
    assert!(back_up(folder.path(), &copy.join(DATABASE)).is_err());
    drop(store);
    let copied = Store::open(&copy).unwrap();
    assert_eq!(copied.read(packages).unwrap(), [package]);
    assert!(back_up(&copy.join("nowhere"), &copy.join("b")).is_err());
}
