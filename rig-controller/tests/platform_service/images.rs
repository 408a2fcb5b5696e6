//! What the platform takes as an image: the same as `rig pack`, by the same rule.
use std::path::Path;

use powercut_package::{PackageFacts, pack, read_signing_key, save_package};
use powercut_upgrade::manifest::{KeyId, SecurityCounter, Suite, Version};
use serde_json::Value;

use crate::api::Served;
use crate::client::{Answer, SIGNING_KEY, image};

fn case(name: &str) -> Vec<u8> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/cases");
    std::fs::read(cases.join(name)).unwrap()
}

fn error<'a>(answer: &'a Answer, field: &str) -> &'a str {
    answer.1["error"][field].as_str().unwrap()
}

const UPLOAD: &str = "/v1/packages?hardware=81";

#[test]
fn harmless_files_are_taken_by_their_content_and_make_the_same_package() {
    let served = Served::new();
    let client = served.client("write");
    let mut digests = Vec::new();
    for (number, name) in [
        "files/whole.bin",
        "hex/05-bom.hex",
        "hex/07-cr-only.hex",
        "hex/29-comments.hex",
        "hex/40-nul-padded.hex",
        "hex/54-hex-content.bin",
        "elf/whole.elf",
    ]
    .into_iter()
    .enumerate()
    {
        let (status, package) = client.request(
            "POST",
            &format!("{UPLOAD}&version=1.{number}.0"),
            &case(name),
        );
        assert_eq!(status, 201, "{name}: {package}");
        digests.push(package["image_sha256"].clone());
    }
    assert!(
        digests.windows(2).all(|pair| pair[0] == pair[1]),
        "{digests:?}"
    );
}

#[test]
fn what_is_no_image_or_would_not_start_is_named_and_taken_only_by_force() {
    let served = Served::new();
    let client = served.client("write");
    for (number, (name, said)) in [
        ("hex/53-text.bin", "upload: this is text, no image"),
        (
            "files/not-found.bin",
            "upload: this is an XML document, no image",
        ),
        ("files/whole.zip", "upload: this is a ZIP archive, no image"),
        (
            "hex/51-linked-wrong.bin",
            "upload: no board would start this image: its second word",
        ),
        (
            "hex/57-wrong-vectors.hex",
            "upload: no board would start this image: it is blank",
        ),
        (
            "elf/stm32.elf",
            "upload: no board would start this image: its first word",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("{UPLOAD}&version=1.{number}.0");
        let answer = client.request("POST", &path, &case(name));
        assert_eq!(
            (answer.0, error(&answer, "code")),
            (422, "doubtful_image"),
            "{name}"
        );
        assert!(error(&answer, "message").starts_with(said), "{answer:?}");
        assert!(
            error(&answer, "remedy").contains("`force=true`"),
            "{answer:?}"
        );
        let not_forced = client.request("POST", &format!("{path}&force=false"), &case(name));
        assert_eq!(not_forced.0, 422, "{name}");
        let forced = client.request("POST", &format!("{path}&force=true"), &case(name));
        assert_eq!(forced.0, 201, "{name}: {forced:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_force_too() {
    let served = Served::new();
    let client = served.client("write");
    for (format, name, said) in [
        (
            "",
            "elf/17-big-endian.elf",
            "upload: byte 0x5: a big-endian program",
        ),
        ("", "elf/02-default.elf", "--nmagic"),
        (
            "",
            "hex/16-universal.hex",
            "upload:2: a record of a micro:bit Universal Hex",
        ),
        (
            "",
            "hex/13-uicr.hex",
            "upload:19: 4 bytes at 0x10001014 lie in the UICR",
        ),
        (
            "&format=hex",
            "hex/32-html.hex",
            "said to be an Intel HEX file, but it is an HTML page",
        ),
        (
            "&format=bin",
            "elf/22-named.bin",
            "said to be a raw binary, but it is an ELF file",
        ),
        (
            "&format=bin",
            "hex/54-hex-content.bin",
            "said to be a raw binary, but it is an Intel HEX file",
        ),
    ] {
        for force in ["", "&force=true"] {
            let path = format!("{UPLOAD}&version=1.0.0{format}{force}");
            let answer = client.request("POST", &path, &case(name));
            assert_eq!(
                (answer.0, error(&answer, "code")),
                (422, "bad_image"),
                "{name}"
            );
            assert!(error(&answer, "message").contains(said), "{answer:?}");
        }
    }
    assert_eq!(client.get("/v1/packages").1, Value::Array(Vec::new()));
}

#[test]
fn an_image_in_another_slot_or_for_other_hardware_is_judged_by_what_is_known_of_it() {
    let served = Served::new();
    let client = served.client("write");
    let upload = |parameters: &str| {
        let path = format!("/v1/packages?{parameters}");
        client.request("POST", &path, &image(7, 100)).0
    };
    // Linked for 0x9C00.
    assert_eq!(upload("version=1.0.0&hardware=81&slot=65536"), 422);
    assert_eq!(upload("version=1.0.0&hardware=81"), 201);
    assert_eq!(upload("version=1.0.0&hardware=82&slot=65536"), 201);
}

#[test]
fn a_signed_package_of_an_image_that_would_not_start_is_taken_only_by_force() {
    let served = Served::new();
    let client = served.client("write");
    let package = |hardware: u16, minor: u8| {
        let facts = PackageFacts {
            version: Version {
                major: 1,
                minor,
                patch: 0,
            },
            suite: Suite::ChaCha20Poly1305,
            fragment_bytes: 160,
            key_id: KeyId(1),
            trial_attempts: 3,
            hardware,
            security_counter: SecurityCounter(1),
        };
        let key = read_signing_key(Path::new(SIGNING_KEY)).unwrap();
        let path = served.folder.path().join("a.pcpk");
        save_package(&pack(vec![7; 100], facts, &key).unwrap(), &path).unwrap();
        std::fs::read(path).unwrap()
    };
    let answer = client.request("POST", "/v1/packages", &package(0x51, 0));
    assert_eq!((answer.0, error(&answer, "code")), (422, "doubtful_image"));
    assert_eq!(
        client
            .request("POST", "/v1/packages?force=true", &package(0x51, 0))
            .0,
        201
    );
    assert_eq!(
        client.request("POST", "/v1/packages", &package(0x52, 1)).0,
        201
    );
}
