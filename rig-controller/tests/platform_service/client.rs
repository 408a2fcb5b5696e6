//! Somebody who speaks to the API.
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// The signing key of tests; images are signed with it by the platform, and devices trust it.
pub const SIGNING_KEY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../fixtures/keys/test-signing.key"
);

/// A client with a token.
#[derive(Clone)]
pub struct Client {
    pub base: String,
    pub token: String,
    agent: ureq::Agent,
}

/// Status and body of an answer; a body that is no JSON is its text.
pub type Answer = (u16, Value);

impl Client {
    pub fn new(base: &str, token: &str) -> Self {
        Self {
            base: base.to_owned(),
            token: token.to_owned(),
            agent: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .timeout_global(Some(Duration::from_secs(30)))
                .build()
                .into(),
        }
    }

    /// One with the token of a role from the data folder.
    pub fn with_role(base: &str, data: &Path, role: &str) -> Self {
        let tokens = std::fs::read_to_string(data.join("tokens")).unwrap();
        let line = tokens.lines().find(|line| line.starts_with(role)).unwrap();
        Self::new(base, line.split_whitespace().nth(1).unwrap())
    }

    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json");
        self.agent.run(request.body(body).unwrap())
    }

    pub fn raw(&self, request: ureq::http::Request<&[u8]>) -> ureq::http::Response<ureq::Body> {
        self.agent.run(request).unwrap()
    }

    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        answer(self.try_request(method, path, body)).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, body.to_string().as_bytes())
    }

    /// Return once a task is finished: then its stream of progress ends.
    pub fn wait_until_finished(&self, task: u64) {
        let path = format!("/v1/tasks/{task}/progress");
        let news = answer(self.try_request("GET", &path, b"")).unwrap();
        assert_eq!(news.0, 200);
    }

    /// Enrols devices of hardware 0x51 and uploads an image for them; the package's id.
    pub fn ready(&self, devices: &[String], image: &[u8]) -> u64 {
        let list: Vec<Value> = devices.iter().map(|id| enrolment(id)).collect();
        let (status, _) = self.post("/v1/devices", &serde_json::json!({ "devices": list }));
        assert_eq!(status, 201);
        let (status, package) = self.request("POST", &upload("1.1.0"), image);
        assert_eq!(status, 201, "{package}");
        package["id"].as_u64().unwrap()
    }
}

pub fn answer(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Answer, ureq::Error> {
    let mut response = response?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

/// An image for the micro:bit that is `fill` all over, but for vectors that a bootloader takes.
pub fn image(fill: u8, bytes: usize) -> Vec<u8> {
    with_vectors(&vec![fill; bytes])
}

/// The same image, with vectors that a bootloader takes in place of its first bytes.
pub fn with_vectors(image: &[u8]) -> Vec<u8> {
    let vectors = [0x2000_4000_u32, 0x9C09].map(u32::to_le_bytes);
    [vectors.as_flattened(), &image[8..]].concat()
}

/// Where to upload a raw image as this version.
pub fn upload(version: &str) -> String {
    format!(
        "/v1/packages?format=bin&hardware=81&fragment_bytes=160&security_counter=2&version={version}"
    )
}

/// A device to enrol.
pub fn enrolment(id: &str) -> Value {
    serde_json::json!({ "id": id, "key": hex_key(id), "hardware": 0x51 })
}

/// Its key: its id four times.
pub fn hex_key(id: &str) -> String {
    id.repeat(4)
}

/// The id of a number.
pub fn device_id(number: u64) -> String {
    format!("{number:016x}")
}

/// Whether an answer has exactly the fields that the description lists.
#[track_caller]
pub fn assert_described(value: &Value, schema: &str) {
    let description: Value =
        serde_json::from_str(include_str!("../../platform/src/api/openapi.json")).unwrap();
    let properties = description["components"]["schemas"][schema]["properties"]
        .as_object()
        .unwrap();
    let fields = value.as_object().unwrap();
    assert!(
        fields.keys().eq(properties.keys()),
        "{schema}: {:?} but described {:?}",
        fields.keys(),
        properties.keys()
    );
}
