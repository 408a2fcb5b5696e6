//! `rig platform serve` in a process of its own.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::{Client, SIGNING_KEY};

/// The process; killed when dropped.
pub struct Process {
    child: Child,
    data: PathBuf,
    pub udp: SocketAddr,
    http: String,
}

pub fn command(data: &Path, udp: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rig"));
    command
        .args(["platform", "serve", "--http", "127.0.0.1:0"])
        .args(["--tcp", "127.0.0.1:0", "--udp", &udp.to_string()])
        .args(["--signing-key", SIGNING_KEY, "--data"])
        .arg(data);
    command
}

pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Process {
    pub fn start(data: &Path, udp: SocketAddr) -> Self {
        let mut child = command(data, udp).stdout(Stdio::piped()).spawn().unwrap();
        let (mut udp, mut http) = (None, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            match line.split_once(": ").unwrap() {
                ("udp", address) => udp = Some(address.parse().unwrap()),
                ("http", address) => http = Some(address.to_owned()),
                ("data", _) => break,
                _ => {}
            }
        }
        Self {
            child,
            data: data.to_owned(),
            udp: udp.expect("the platform says where it listens"),
            http: http.unwrap(),
        }
    }

    pub fn client(&self) -> Client {
        Client::with_role(&self.http, &self.data, "write")
    }

    /// SIGKILL: nothing of it runs any more when this returns.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has no effect on a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
