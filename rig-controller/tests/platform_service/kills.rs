//! The platform's process is killed at all kinds of moments: what it has acknowledged is there afterwards, what it has not
//! is there whole or not at all, and devices lose time and nothing else.
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use crate::client::{Answer, Client, answer, device_id, enrolment, upload, with_vectors};
use crate::device::{Device, Go};
use crate::process::{Process, any_port, command};

fn image(bytes: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..bytes as u32).map(|n| (n * n / 7 + n) as u8).collect();
    with_vectors(&bytes)
}

#[test]
fn a_device_completes_its_upgrade_though_the_platform_is_killed_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(20_000);
    let mut platform = Process::start(folder.path(), any_port());
    let address = platform.udp;
    let package = platform.client().ready(&[device_id(1)], &image);
    let task = json!({ "package": package, "devices": [device_id(1)] });
    assert_eq!(platform.client().post("/v1/tasks", &task).0, 201);
    let mut device = Device::new(&device_id(1), address);
    // After the offer, in mid-download twice, after the last fragment, and never again.
    for fragments in [0, 40, 90, 125, u32::MAX] {
        device.live(|device| {
            if device.fragments >= fragments {
                Go::Stop
            } else {
                Go::On
            }
        });
        if device.done {
            break;
        }
        platform.kill();
        platform = Process::start(folder.path(), address);
    }
    assert!(device.runs(&image));
    assert_eq!(device.fragments, 125, "none was fetched twice");
    platform.client().wait_until_finished(1);
    let (_, task) = platform.client().get("/v1/tasks/1");
    assert_eq!(
        (&task["state"], &task["stages"]),
        (&json!("done"), &json!({ "succeeded": 1 }))
    );
    // Kept for good.
    platform.kill();
    let platform = Process::start(folder.path(), address);
    let (_, again) = platform.client().get("/v1/tasks/1");
    assert_eq!(again, task);
}

/// Somebody who goes on asking for things until nobody answers, and tells of each that was acknowledged.
fn ask_on(
    acknowledged: &Sender<Value>,
    mut ask: impl FnMut(u64) -> (Result<Answer, ureq::Error>, Value),
) {
    for number in 1.. {
        let (Ok((status, _)), what) = ask(number) else {
            return;
        };
        assert_eq!(status, 201);
        if acknowledged.send(what).is_err() {
            return;
        }
    }
}

fn post(client: &Client, path: &str, body: &Value) -> Result<Answer, ureq::Error> {
    answer(client.try_request("POST", path, body.to_string().as_bytes()))
}

/// Devices of a batch.
const BATCH: u64 = 20;

fn batch(round: u64, number: u64) -> Vec<String> {
    (0..BATCH)
        .map(|at| device_id((round << 32) + number * BATCH + at))
        .collect()
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_what_was_not_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut all: Vec<Value> = Vec::new();
    let image = image(30_000);
    let first = Process::start(folder.path(), any_port());
    let package = first.client().ready(&[device_id(0)], &image);
    first.kill();
    for round in 1..=12_u64 {
        let platform = Process::start(folder.path(), any_port());
        let (sender, acknowledged) = channel();
        std::thread::scope(|scope| {
            let (uploader, enroller) = (platform.client(), platform.client());
            let (to_main, image) = (sender.clone(), &image);
            scope.spawn(move || {
                ask_on(&to_main, |number| {
                    let version = format!("{round}.0.{number}");
                    let sent = uploader.try_request("POST", &upload(&version), image);
                    (answer(sent), json!({ "version": version }))
                });
            });
            scope.spawn(move || {
                ask_on(&sender, |number| {
                    let devices = batch(round, number);
                    let list: Vec<Value> = devices.iter().map(|id| enrolment(id)).collect();
                    let body = json!({ "devices": list });
                    let enrolled = post(&enroller, "/v1/devices", &body);
                    if enrolled.is_err() {
                        return (enrolled, Value::Null);
                    }
                    let body = json!({ "package": package, "devices": devices });
                    let created = post(&enroller, "/v1/tasks", &body);
                    (created, json!({ "devices": devices }))
                });
            });
            // Killed right after an acknowledgement, whatever else is under way just then.
            all.extend((0..round).map(|_| acknowledged.recv().unwrap()));
            platform.kill();
            all.extend(acknowledged.iter());
        });
    }
    let platform = Process::start(folder.path(), any_port());
    check(&platform.client(), &all);
}

fn check(client: &Client, acknowledged: &[Value]) {
    let (_, packages) = client.get("/v1/packages");
    let packages = packages.as_array().unwrap();
    let (_, devices) = client.get("/v1/devices?limit=10000");
    let known: Vec<&Value> = devices
        .as_array()
        .unwrap()
        .iter()
        .map(|device| &device["id"])
        .collect();
    let (_, tasks) = client.get("/v1/tasks?limit=10000");
    let mut in_tasks = Vec::new();
    for task in tasks.as_array().unwrap() {
        let (_, parts) = client.get(&format!("/v1/tasks/{}/devices", task["id"]));
        let parts = parts.as_array().unwrap();
        assert_eq!(parts.len() as u64, BATCH, "a task is there whole");
        in_tasks.extend(parts.iter().map(|part| part["device"].clone()));
    }
    assert_eq!(
        (known.len() as u64 - 1) % BATCH,
        0,
        "devices are enrolled all or none"
    );
    for what in acknowledged {
        if let Some(version) = what["version"].as_str() {
            assert!(packages.iter().any(|package| package["version"] == version));
        }
        for device in what["devices"].as_array().into_iter().flatten() {
            assert!(known.contains(&device) && in_tasks.contains(device));
        }
    }
    // Each package can still be installed: its image is what its manifest says.
    for (number, package) in packages.iter().enumerate() {
        let device = device_id((1 << 60) + number as u64);
        let enrolled = json!({ "devices": [enrolment(&device)] });
        assert_eq!(client.post("/v1/devices", &enrolled).0, 201);
        let task = json!({ "package": package["id"], "devices": [device] });
        assert_eq!(client.post("/v1/tasks", &task).0, 201);
    }
}

#[test]
fn a_platform_that_is_told_to_stop_ends_well_and_leaves_one_file_of_data() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Process::start(folder.path(), any_port());
    let client = platform.client();
    let package = client.ready(&[device_id(1)], &image(20_000));
    let task = json!({ "package": package, "devices": [device_id(1)] });
    assert_eq!(client.post("/v1/tasks", &task).0, 201);
    let mut device = Device::new(&device_id(1), platform.udp);
    device.live(|device| {
        if device.fragments >= 7 {
            Go::Stop
        } else {
            Go::On
        }
    });
    assert!(platform.terminate().success());
    let log = folder.path().join("platform.db-wal");
    assert!(!log.exists());
    // Progress of the last moment is written down.
    let platform = Process::start(folder.path(), any_port());
    let (_, task) = platform.client().get("/v1/tasks/1");
    assert_eq!(task["fragments"], 7);
}

#[test]
fn a_data_folder_serves_one_platform_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _platform = Process::start(folder.path(), any_port());
    let second = command(folder.path(), any_port()).output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let complaint = String::from_utf8(second.stderr).unwrap();
    assert!(
        complaint.contains("another platform serves from"),
        "{complaint}"
    );
}
