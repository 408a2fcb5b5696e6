//! Many simulated devices at a time, from `rig platform load`.
use assert_cmd::Command;

#[test]
fn fifty_devices_upgrade_at_the_same_time_and_no_task_is_lost() {
    let output = Command::cargo_bin("rig")
        .unwrap()
        .args(["platform", "load", "--devices", "50"])
        .args(["--image-kib", "6", "--in-flight", "20", "--minutes", "1"])
        .assert()
        .success()
        .get_output()
        .clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("tasks as the platform has them: {\"succeeded\":50}; lost: 0"),
        "{text}"
    );
}
