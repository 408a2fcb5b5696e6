//! The platform under load, in a process of its own: `rig platform serve` on free ports, spoken to over its API.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::LoadError;
use crate::api::tokens::first_token;
use crate::serve::TOKENS;

/// The process.
pub(super) struct ServerProcess {
    child: Child,
    pub(super) udp: SocketAddr,
    http: String,
    token: String,
    agent: ureq::Agent,
}

impl ServerProcess {
    pub(super) fn start(data: &Path, signing_key: &Path) -> Result<Self, LoadError> {
        let program = std::env::current_exe().map_err(LoadError::Start)?;
        let mut child = Command::new(program)
            .args(["platform", "serve", "--udp", "127.0.0.1:0"])
            .args(["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--data"])
            .arg(data)
            .arg("--signing-key")
            .arg(signing_key)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(LoadError::Start)?;
        let reached = addresses(&mut child);
        let (Some(udp), Some(http)) = reached else {
            end(&mut child);
            return Err(LoadError::NotServing);
        };
        let Ok(Some(token)) = first_token(&data.join(TOKENS), "write") else {
            end(&mut child);
            return Err(LoadError::NotServing);
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .into();
        Ok(Self {
            child,
            udp,
            http,
            token,
            agent,
        })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, LoadError> {
        let response = self
            .agent
            .get(format!("{}{path}", self.http))
            .header("Authorization", format!("Bearer {}", self.token))
            .call();
        json(path, response)
    }

    /// Return once a task is finished: then its stream of progress ends. What went wrong shows when the task is looked at.
    pub(super) fn wait_until_finished(&self, task: &Value) {
        let response = self
            .agent
            .get(format!("{}/v1/tasks/{task}/progress", self.http))
            .header("Authorization", format!("Bearer {}", self.token))
            .call();
        if let Ok(mut response) = response
            && let Err(error) = response.body_mut().read_to_string()
        {
            tracing::warn!(%error, "the task's progress could not be followed to its end");
        }
    }

    pub(super) fn post(&self, path: &str, body: &[u8]) -> Result<Value, LoadError> {
        let response = self
            .agent
            .post(format!("{}{path}", self.http))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .send(body);
        json(path, response)
    }

    /// Stop it as an operator would; whether it ended well.
    pub(super) fn stop(mut self) -> bool {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Has no effect on a process that has ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// What the process says of where it is, before it says that it serves.
fn addresses(child: &mut Child) -> (Option<SocketAddr>, Option<String>) {
    let (mut udp, mut http) = (None, None);
    let Some(stdout) = child.stdout.take() else {
        return (None, None);
    };
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        match line.split_once(": ") {
            Some(("udp", address)) => udp = address.parse().ok(),
            Some(("http", address)) => http = Some(address.to_owned()),
            Some(("data", _)) => break,
            _ => {}
        }
    }
    (udp, http)
}

fn json(
    path: &str,
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Value, LoadError> {
    let api = |reason: String| LoadError::Api {
        path: path.to_owned(),
        reason,
    };
    let mut response = response.map_err(|error| api(error.to_string()))?;
    let body = response
        .body_mut()
        .read_to_string()
        .map_err(|error| api(error.to_string()))?;
    if !response.status().is_success() {
        return Err(api(body));
    }
    serde_json::from_str(&body).map_err(|error| api(error.to_string()))
}
