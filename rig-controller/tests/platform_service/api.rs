//! The API of a platform in this process, over a real listener.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use powercut_package::{Image, load_package};
use powercut_platform::{PlatformServer, ServeOptions};
use powercut_upgrade::manifest::KeyId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{
    Client, SIGNING_KEY, assert_described, device_id, enrolment, hex_key, image, upload,
    with_vectors,
};
use crate::process::any_port;

/// A platform with a folder of its own.
pub struct Served {
    pub server: PlatformServer,
    pub folder: TempDir,
}

impl Served {
    pub fn new() -> Self {
        Self::signing(Some(SIGNING_KEY))
    }

    fn signing(key: Option<&str>) -> Self {
        Self::with(key, None)
    }

    fn with(key: Option<&str>, m_sequence: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = PlatformServer::start(&ServeOptions {
            data: folder.path().join("data"),
            udp: any_port(),
            http: any_port(),
            tcp: any_port(),
            signing_key: key.map(|path| (KeyId(1), PathBuf::from(path))),
            trusted_keys: Vec::new(),
            m_sequence: m_sequence.map(PathBuf::from),
            max_upload_bytes: 100_000,
        })
        .unwrap();
        Self { server, folder }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.server.addresses().http)
    }

    pub fn client(&self, role: &str) -> Client {
        Client::with_role(&self.base(), &self.folder.path().join("data"), role)
    }
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    assert_described(&answer.1, "Error");
    let error = &answer.1["error"];
    assert!(!error["message"].as_str().unwrap().is_empty());
    assert!(!error["remedy"].as_str().unwrap().is_empty());
    (answer.0, error["code"].as_str().unwrap())
}

#[test]
fn everything_but_health_and_the_description_takes_a_token_and_changes_take_a_write_token() {
    let served = Served::new();
    let reader = served.client("read");
    let nobody = Client::new(&served.base(), "0123456789abcdef0123456789abcdef");
    let (status, description) = nobody.get("/openapi.json");
    assert_eq!(status, 200);
    assert_eq!(nobody.get("/healthz"), (200, json!({ "status": "ok" })));
    let mut checked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "1");
        for (method, _) in methods.as_object().unwrap() {
            if ["/healthz", "/openapi.json"].contains(&path.as_str()) {
                continue;
            }
            let method = method.to_uppercase();
            let answer = nobody.request(&method, &path, b"{}");
            assert_eq!(code(&answer), (401, "no_token"), "{method} {path}");
            if method != "GET" {
                let answer = reader.request(&method, &path, b"{}");
                assert_eq!(code(&answer), (403, "read_only_token"), "{method} {path}");
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 15);
    let wrong = Client::new(&served.base(), &reader.token[1..]);
    assert_eq!(wrong.get("/v1/tasks").0, 401);
}

#[test]
fn an_image_becomes_a_package_once_and_never_another_one() {
    let served = Served::new();
    let client = served.client("write");
    let first = image(7, 1000);
    let (status, package) = client.request("POST", &upload("1.1.0"), &first);
    assert_eq!(status, 201);
    assert_described(&package, "Package");
    assert_eq!(
        (
            &package["size_bytes"],
            &package["fragments"],
            &package["security_counter"]
        ),
        (&json!(1000), &json!(7), &json!(2))
    );
    assert_eq!(
        client.request("POST", &upload("1.1.0"), &first),
        (200, package.clone())
    );
    for change in [image(8, 1000), image(7, 999)] {
        let answer = client.request("POST", &upload("1.1.0"), &change);
        assert_eq!(code(&answer), (409, "package_altered"));
    }
    let id = package["id"].as_u64().unwrap();
    assert_eq!(
        client.get(&format!("/v1/packages/{id}")),
        (200, package.clone())
    );
    assert_eq!(client.get("/v1/packages"), (200, json!([package])));
    assert_eq!(
        code(&client.get("/v1/packages/9")),
        (404, "no_such_package")
    );
}

#[test]
fn hex_is_taken_like_the_binary_it_stands_for_and_damage_is_named_with_its_line() {
    let served = Served::new();
    let client = served.client("write");
    let image = Image {
        base: 0x9C00,
        bytes: with_vectors(&(0..=u8::MAX).cycle().take(1000).collect::<Vec<u8>>()),
    };
    let of = |version: &str| format!("/v1/packages?hardware=81&version={version}");
    let (_, from_hex) = client.request("POST", &of("1.1.0"), image.to_hex().as_bytes());
    let binary = format!("{}&format=bin", of("1.2.0"));
    let (_, from_bin) = client.request("POST", &binary, &image.bytes);
    assert_eq!(from_hex["image_sha256"], from_bin["image_sha256"]);
    let damaged = image.to_hex().replacen(':', ":1", 1);
    let answer = client.request("POST", &of("1.3.0"), damaged.as_bytes());
    assert_eq!(code(&answer), (422, "bad_image"));
    assert!(
        answer.1["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("upload:1: ")
    );
    let mut elsewhere = Image {
        base: 0x9D00,
        ..image
    };
    elsewhere.bytes[5] = 0x9D;
    let answer = client.request("POST", &of("1.3.0"), elsewhere.to_hex().as_bytes());
    assert_eq!(code(&answer), (422, "bad_image"));
    let there = format!("{}&slot={}", of("1.3.0"), 0x9D00);
    assert_eq!(
        client
            .request("POST", &there, elsewhere.to_hex().as_bytes())
            .0,
        201
    );
}

#[test]
fn the_suite_m_sequence_takes_a_platform_with_its_register() {
    let of = |suite: &str| format!("{}&suite={suite}", upload("1.1.0"));
    let without = Served::new();
    let client = without.client("write");
    let answer = client.request("POST", &of("m-sequence"), &image(1, 100));
    assert_eq!(code(&answer), (422, "no_register"));
    let answer = client.request("POST", &of("rot13"), &image(1, 100));
    assert_eq!(code(&answer), (400, "bad_request"));
    let register = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/m-sequence/device.yaml"
    );
    let with = Served::with(Some(SIGNING_KEY), Some(register));
    let (status, package) = with
        .client("write")
        .request("POST", &of("m-sequence"), &image(1, 100));
    assert_eq!((status, &package["suite"]), (201, &json!("m-sequence")));
}

fn packed(folder: &Path, key: &str) -> Vec<u8> {
    let (file, package) = (folder.join("a.bin"), folder.join("a.pkg"));
    std::fs::write(&file, image(5, 3000)).unwrap();
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/keys/{key}.key"));
    assert_cmd::Command::cargo_bin("rig")
        .unwrap()
        .args(["pack", "--version", "2.0.0", "--key"])
        .arg(key)
        .arg(file)
        .arg("-o")
        .arg(&package)
        .assert()
        .success();
    load_package(&package).unwrap();
    std::fs::read(package).unwrap()
}

#[test]
fn packages_signed_elsewhere_are_taken_if_their_signature_is_trusted() {
    let served = Served::new();
    let client = served.client("write");
    let package = packed(served.folder.path(), "test-signing");
    let (status, taken) = client.request("POST", "/v1/packages", &package);
    assert_eq!((status, &taken["version"]), (201, &json!("2.0.0")));
    let answer = client.request("POST", "/v1/packages?version=3.0.0&hardware=81", &package);
    assert_eq!(code(&answer), (400, "bad_request"));
    let stranger = packed(served.folder.path(), "rogue");
    let answer = client.request("POST", "/v1/packages", &stranger);
    assert_eq!(code(&answer), (422, "bad_signature"));
    let cut_short = client.request("POST", "/v1/packages", &package[..package.len() - 1]);
    assert_eq!(code(&cut_short), (422, "bad_image"));

    let without_key = Served::signing(None);
    let client = without_key.client("write");
    assert_eq!(client.request("POST", "/v1/packages", &stranger).0, 201);
    let answer = client.request("POST", &upload("1.1.0"), &[1; 100]);
    assert_eq!(code(&answer), (422, "no_signing_key"));
}

#[test]
fn devices_are_enrolled_all_or_none_and_removed_with_their_keys() {
    let served = Served::new();
    let client = served.client("write");
    let enrol = |devices: Value| client.post("/v1/devices", &json!({ "devices": devices }));
    let [one, two] = [1, 2].map(|number| enrolment(&device_id(number)));
    assert_eq!(enrol(json!([one, two])), (201, json!({ "enrolled": 2 })));
    assert_eq!(enrol(json!([one])), (200, json!({ "enrolled": 0 })));
    let mut differs = two.clone();
    differs["key"] = json!(hex_key(&device_id(9)));
    let answer = enrol(json!([enrolment(&device_id(3)), differs]));
    assert_eq!(code(&answer), (409, "device_differs"));
    assert_eq!(client.get(&format!("/v1/devices/{}", device_id(3))).0, 404);
    let (_, page) = client.get("/v1/devices?limit=1");
    assert_described(&page[0], "Device");
    let next = format!(
        "/v1/devices?limit=1&after={}",
        page[0]["id"].as_str().unwrap()
    );
    assert_eq!(client.get(&next).1[0]["id"], json!(device_id(2)));
    let secret = client.get("/v1/devices").1.to_string();
    assert!(
        !secret.contains(&hex_key(&device_id(1))),
        "keys stay inside"
    );
    let path = format!("/v1/devices/{}", device_id(1));
    assert_eq!(client.request("DELETE", &path, b"").0, 204);
    assert_eq!(
        code(&client.request("DELETE", &path, b"")),
        (404, "no_such_device")
    );
    for wrong in [
        json!([]),
        json!([{ "id": "1", "key": hex_key(&device_id(1)), "hardware": 1 }]),
        json!([{ "id": device_id(1), "key": "00", "hardware": 1 }]),
        json!([{ "id": device_id(1), "key": hex_key(&device_id(1)), "hardware": 1, "more": 1 }]),
    ] {
        assert_eq!(code(&enrol(wrong)), (400, "bad_request"));
    }
}

#[test]
fn a_task_is_created_looked_at_and_cancelled_and_history_tells_of_it() {
    let served = Served::new();
    let client = served.client("write");
    let ids = [device_id(1), device_id(2)];
    let package = client.ready(&ids, &image(7, 1000));
    let body =
        json!({ "package": package, "devices": ids, "attempts": 2, "timeouts": { "query_s": 9 } });
    let (status, task) = client.post("/v1/tasks", &body);
    assert_eq!(status, 201);
    assert_described(&task, "Task");
    assert_described(&task["timeouts"], "Timeouts");
    assert_eq!(
        (&task["state"], &task["attempts"], &task["fragments_total"]),
        (&json!("created"), &json!(2), &json!(14))
    );
    assert_eq!(
        task["timeouts"],
        json!({ "query_s": 9, "download_s": 3600, "result_s": 1800 })
    );
    assert_eq!(code(&client.post("/v1/tasks", &body)), (409, "device_busy"));
    let busy = client.request("DELETE", &format!("/v1/devices/{}", ids[0]), b"");
    assert_eq!(code(&busy), (409, "device_busy"));
    let path = format!("/v1/tasks/{}", task["id"]);
    assert_eq!(client.get(&path), (200, task.clone()));
    let (_, parts) = client.get(&format!("{path}/devices?after={}", ids[0]));
    assert_eq!(parts.as_array().unwrap().len(), 1);
    assert_described(&parts[0], "Part");
    assert_eq!(
        client.post(&format!("{path}/cancel"), &json!({})),
        (200, json!({ "devices": 2 }))
    );
    let again = client.post(&format!("{path}/cancel"), &json!({}));
    assert_eq!(code(&again), (409, "task_finished"));
    let (_, cancelled) = client.get(&path);
    assert_eq!(
        (&cancelled["state"], &cancelled["stages"]),
        (&json!("cancelled"), &json!({ "cancelled": 2 }))
    );
    let (_, history) = client.get(&format!("/v1/history?task={}", task["id"]));
    let kinds: Vec<&str> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert_described(entry, "HistoryEntry");
            entry["kind"].as_str().unwrap()
        })
        .collect();
    assert_eq!(kinds, ["stage", "stage", "task_cancelled", "task_created"]);
    let (_, of_device) = client.get(&format!("/v1/history?device={}", ids[1]));
    assert_eq!(of_device.as_array().unwrap().len(), 2);
    let (status, platform) = client.get("/v1/status");
    assert_eq!((status, &platform["devices"]), (200, &json!(2)));
    assert_described(&platform, "Status");
}

#[test]
fn a_task_for_what_does_not_go_together_is_refused_whole() {
    let served = Served::new();
    let client = served.client("write");
    let package = client.ready(&[device_id(1)], &image(7, 1000));
    let mut other = enrolment(&device_id(2));
    other["hardware"] = json!(0x52);
    client.post("/v1/devices", &json!({ "devices": [other] }));
    for (devices, package, expected) in [
        (
            vec![device_id(1), device_id(2)],
            package,
            (422, "other_hardware"),
        ),
        (
            vec![device_id(1), device_id(3)],
            package,
            (404, "no_such_device"),
        ),
        (
            vec![device_id(1), device_id(1)],
            package,
            (422, "device_twice"),
        ),
        (vec![device_id(1)], 9, (404, "no_such_package")),
        (vec![], package, (400, "bad_request")),
        (vec!["1".to_owned()], package, (400, "bad_request")),
    ] {
        let answer = client.post(
            "/v1/tasks",
            &json!({ "package": package, "devices": devices }),
        );
        assert_eq!(code(&answer), expected);
    }
    assert_eq!(client.get("/v1/tasks"), (200, json!([])));
}

#[test]
fn requests_that_make_no_sense_are_refused_as_json_with_a_remedy() {
    let served = Served::new();
    let client = served.client("write");
    for (method, path, body, expected) in [
        ("GET", "/v1/nothing", &b""[..], (404, "no_such_path")),
        ("DELETE", "/v1/tasks", b"", (405, "no_such_method")),
        ("GET", "/v1/tasks/one", b"", (400, "bad_request")),
        ("GET", "/v1/tasks?limit=0", b"", (400, "bad_request")),
        ("GET", "/v1/tasks?limit=99999", b"", (400, "bad_request")),
        ("GET", "/v1/tasks?colour=red", b"", (400, "bad_request")),
        ("POST", "/v1/tasks", b"{", (400, "bad_request")),
        (
            "POST",
            "/v1/tasks",
            b"{\"package\":1}",
            (400, "bad_request"),
        ),
        (
            "POST",
            "/v1/packages?hardware=81",
            &[1],
            (400, "bad_request"),
        ),
        (
            "POST",
            "/v1/packages?hardware=81&version=1.1",
            &[1],
            (400, "bad_request"),
        ),
        (
            "POST",
            "/v1/packages?hardware=81&version=1.1.0",
            &[1],
            (422, "doubtful_image"),
        ),
        (
            "POST",
            "/v1/packages?hardware=81&version=1.1.0&fragment_bytes=33",
            &[1],
            (400, "bad_request"),
        ),
        (
            "POST",
            "/v1/packages?hardware=81&version=1.1.0&format=bin",
            &vec![1; 100_001],
            (413, "too_large"),
        ),
    ] {
        assert_eq!(
            code(&client.request(method, path, body)),
            expected,
            "{method} {path}"
        );
    }
    let much = vec![b' '; (4 << 20) + 1];
    assert_eq!(
        code(&client.request("POST", "/v1/devices", &much)),
        (413, "too_large")
    );
}

/// The news of a task that has just begun.
fn watched_task(client: &Client) -> ureq::http::Response<ureq::Body> {
    let package = client.ready(&[device_id(1)], &image(7, 1000));
    let body = json!({ "package": package, "devices": [device_id(1)] });
    assert_eq!(client.post("/v1/tasks", &body).0, 201);
    client
        .try_request("GET", "/v1/tasks/1/progress", b"")
        .unwrap()
}

#[test]
fn whoever_watches_a_task_is_told_at_once_and_until_it_is_finished() {
    let served = Served::new();
    let client = served.client("write");
    let response = watched_task(&client);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut news = BufReader::new(response.into_body().into_reader())
        .lines()
        .map(Result::unwrap)
        .filter_map(|line| {
            Some(serde_json::from_str::<Value>(line.strip_prefix("data: ")?).unwrap())
        });
    let first = news.next().unwrap();
    assert_described(&first, "Progress");
    assert_eq!(first["devices"][0]["stage"], "waiting");
    assert_eq!(client.post("/v1/tasks/1/cancel", &json!({})).0, 200);
    // Ends by itself.
    let last = news.last().unwrap();
    assert_eq!(last["task"]["state"], "cancelled");
    assert_eq!(
        code(&client.get("/v1/tasks/2/progress")),
        (404, "no_such_task")
    );
}

#[test]
fn a_platform_stops_though_somebody_watches() {
    let served = Served::new();
    let client = served.client("write");
    let response = watched_task(&client);
    let mut lines = BufReader::new(response.into_body().into_reader()).lines();
    lines.next().unwrap().unwrap();
    drop(served.server);
    // The stream has come to its end, well or not.
    lines.take_while(Result::is_ok).last();
}
