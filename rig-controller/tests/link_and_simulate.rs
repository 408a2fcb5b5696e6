//! `rig link` and `rig simulate` as programs: what they write, what they say, how they exit.
#[path = "common/program.rs"]
mod program;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use powercut_link::LinkProfile;
use program::rig;

const RIG: &str = env!("CARGO_BIN_EXE_rig");
const PATIENCE: Duration = Duration::from_secs(10);

fn links() -> String {
    format!("{}/../fixtures/links", env!("CARGO_MANIFEST_DIR"))
}

/// A capture of so many exchanges that take between 0.2 and 0.5 s.
fn capture(exchanges: u32) -> String {
    (0..exchanges).fold("time_s,direction,bytes,id\n".to_owned(), |text, n| {
        let came = f64::from(n) + 0.2 + f64::from(n * 7 % 31) / 100.0;
        text + &format!(
            "{n},up,{},{n}\n{came},down,{},{n}\n",
            20 + n % 50,
            40 + n % 90
        )
    })
}

#[test]
fn a_fitted_profile_is_one_that_plans_can_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site.csv"), capture(200)).unwrap();
    let (code, said, complaint) = rig(
        folder.path(),
        &[
            "link",
            "fit",
            "site.csv",
            "--out",
            "site.yaml",
            "--description",
            "roof",
        ],
    );
    assert_eq!(code, 0, "{complaint}");
    assert!(said.contains("fitted to 200 exchanges"), "{said}");
    let profile = LinkProfile::load(folder.path(), "site").unwrap();
    assert_eq!(profile.description, "roof");
    let median = profile.round_trip.unwrap().median.as_secs_f64();
    assert!((0.25..0.45).contains(&median), "{median}");
}

#[test]
fn captures_that_say_too_little_or_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("short.csv"), capture(10)).unwrap();
    let (code, _, complaint) = rig(folder.path(), &["link", "fit", "short.csv"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("capture a longer time"), "{complaint}");
    std::fs::write(
        folder.path().join("bad.csv"),
        capture(60).replace("5,up", "5,upp"),
    )
    .unwrap();
    let (code, _, complaint) = rig(folder.path(), &["link", "fit", "bad.csv"]);
    assert_eq!(code, 2);
    assert!(
        complaint.contains("bad.csv:12:1: the direction is `upp`"),
        "{complaint}"
    );
}

#[test]
fn a_simulation_writes_the_same_files_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "simulate: small\nrepeat: 2\nimage_bytes: 4096\nlink: [ideal, lte-cat-1]\ncuts: [0, 1]\nfragment_bytes: [160, 500]\nchart: { x: fragment_bytes, y: total_s }\n";
    std::fs::write(folder.path().join("plan.yaml"), plan).unwrap();
    let links = links();
    for out in ["one", "two"] {
        let arguments = ["simulate", "plan.yaml", "--links", &links, "--out", out];
        let (code, said, complaint) = rig(folder.path(), &arguments);
        assert_eq!(code, 0, "{complaint}");
        assert!(said.contains("16 upgrades simulated"), "{said}");
    }
    for file in ["runs.csv", "means.csv", "chart.svg"] {
        let read = |out: &str| std::fs::read(folder.path().join(out).join(file)).unwrap();
        assert_eq!(read("one"), read("two"), "{file}");
    }
}

#[test]
fn a_simulation_plan_that_cannot_be_run_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plan.yaml"), "simulate: x\nrepeats: 2\n").unwrap();
    let (code, _, complaint) = rig(folder.path(), &["simulate", "plan.yaml", "--out", "out"]);
    assert_eq!(code, 2);
    assert!(
        complaint.contains(
            "plan.yaml:2:1: `repeats` is not a key of a simulation plan; did you mean `repeat`?"
        ),
        "{complaint}"
    );
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_relay_carries_datagrams_until_it_is_interrupted_and_says_what_it_carried() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let to = server.local_addr().unwrap().to_string();
    let links = links();
    let mut relay = Command::new(RIG)
        .args([
            "link", "relay", "--link", "ideal", "--links", &links, "--to", &to,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(relay.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.split(' ').next().unwrap();
    client.send_to(b"question", address).unwrap();
    let mut buffer = [0; 100];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"question");
    server.send_to(b"answer", from).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"answer");
    kill(Pid::from_raw(relay.id().cast_signed()), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(
        rest[0].starts_with("to the server: 1 datagrams, 8 bytes"),
        "{rest:?}"
    );
    assert!(
        rest[1].starts_with("to clients: 1 datagrams, 6 bytes"),
        "{rest:?}"
    );
    assert!(relay.wait().unwrap().success());
}
