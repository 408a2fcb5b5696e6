//! The pages of a platform in this process, over a real listener.
use serde_json::json;
use ureq::http::{Request, Response};

use crate::api::Served;
use crate::client::{Client, device_id, image};

struct Browser {
    client: Client,
    cookie: Option<String>,
}

impl Browser {
    fn new(served: &Served) -> Self {
        Self {
            client: Client::new(&served.base(), ""),
            cookie: None,
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Response<ureq::Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.client.base))
            .header("Content-Type", "application/x-www-form-urlencoded");
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", format!("other=1; {cookie}"));
        }
        self.client.raw(request.body(body.as_bytes()).unwrap())
    }

    fn page(&self, path: &str) -> (u16, String) {
        let mut response = self.request("GET", path, "");
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().unwrap())
    }

    /// Logs in; what the cookie was set with.
    fn log_in(&mut self, token: &str) -> Option<String> {
        let response = self.request("POST", "/ui/login", &format!("token={token}"));
        let cookie = response
            .headers()
            .get("set-cookie")?
            .to_str()
            .unwrap()
            .to_owned();
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        Some(cookie)
    }
}

#[test]
fn pages_are_for_those_who_logged_in_with_a_token() {
    let served = Served::new();
    let token = served.client("read").token;
    let mut browser = Browser::new(&served);
    for path in [
        "/ui/tasks",
        "/ui/tasks/1",
        "/ui/devices",
        "/ui/history",
        "/ui/tasks/1/progress",
    ] {
        let response = browser.request("GET", path, "");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["location"]),
            (303, &"/ui/login".parse().unwrap()),
            "{path}"
        );
    }
    assert_eq!(browser.log_in("wrong"), None);
    let cookie = browser.log_in(&token).unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&token), "the cookie is not the token");
    assert_eq!(browser.page("/ui/tasks").0, 200);
    // A login is not a token for the API.
    assert_eq!(browser.page("/v1/tasks").0, 401);
    browser.request("POST", "/ui/logout", "");
    assert_eq!(browser.page("/ui/tasks").0, 303);
}

#[test]
fn they_show_tasks_devices_and_history() {
    let served = Served::new();
    let client = served.client("write");
    let package = client.ready(&[device_id(1), device_id(2)], &image(7, 1000));
    let body = json!({ "package": package, "devices": [device_id(1)] });
    assert_eq!(client.post("/v1/tasks", &body).0, 201);
    let mut browser = Browser::new(&served);
    browser.log_in(&client.token).unwrap();
    for (path, expected) in [
        (
            "/ui/tasks",
            vec!["1 waiting", "<progress max=\"7\" value=\"0\">"],
        ),
        (
            "/ui/tasks/1",
            vec![
                "version 1.1.0",
                "0000000000000001",
                "180/3600/1800 s",
                "task_created",
                "/ui/progress.js",
            ],
        ),
        ("/ui/devices", vec!["0000000000000002", "0x0051", "never"]),
        (
            "/ui/devices/0000000000000001",
            vec!["Part of task", "enrolled"],
        ),
        (
            "/ui/history",
            vec!["package_uploaded", "version 1.1.0 for 1 devices"],
        ),
        ("/ui/progress.js", vec!["EventSource"]),
        ("/ui/style.css", vec!["progress"]),
    ] {
        let (status, page) = browser.page(path);
        assert_eq!(status, 200, "{path}: {page}");
        for text in expected {
            assert!(page.contains(text), "{path} lacks {text}: {page}");
        }
    }
    assert_eq!(browser.page("/ui/tasks/9").0, 404);
}

#[test]
fn nothing_from_outside_becomes_markup_or_runs() {
    let served = Served::new();
    let mut browser = Browser::new(&served);
    browser.log_in(&served.client("read").token).unwrap();
    let (status, page) = browser.page("/ui/history?from=%3Cscript%3Ealert(1)%3C/script%3E");
    assert_eq!(status, 400);
    assert!(
        page.contains("<h1>Not done</h1>") && !page.contains("<script"),
        "{page}"
    );
    let (status, page) = browser.page("/ui/tasks/%3Cscript%3E");
    assert_eq!(status, 400);
    assert!(
        page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"),
        "{page}"
    );
    let response = browser.request("GET", "/ui/tasks", "");
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"));
}
