//! Files that people take for images, keys, plans and the like: what `rig` takes, and how it names what it refuses.
mod common;
#[path = "common/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::Inputs;
use powercut_package::load_package;

const PLAN: &str = "plan: p\nupgrade: { from: 1.0.0, to: 1.1.0 }\n";
/// What `rig pack` says of something that a person may overrule.
const FORCE: &str = "if you know better, `--force` packs it";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Packs `image`; exit code, complaint, and the image in the package.
fn pack(image: &Path, more: &[&str]) -> (i32, String, Option<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let key = fixture("keys/test-signing.key");
    let output = folder.path().join("a.pcpk");
    let [image, key, to] = [image, &key, &output].map(text);
    let arguments = ["pack", image, "--version", "1.1.0", "--key", key, "-o", to];
    let (code, _, complaint) = program::rig(folder.path(), &[&arguments[..], more].concat());
    let packed = output.exists().then(|| load_package(&output).unwrap());
    assert_eq!(code == 0, packed.is_some(), "{complaint}");
    (
        code,
        complaint,
        packed.map(|package| package.image().to_vec()),
    )
}

/// What becomes of a file.
enum Fate {
    /// Packed, as the 256 bytes of `files/whole.bin`.
    Whole,
    /// Refused with these words, unless a person knows better.
    Doubt(&'static str),
    /// Refused with these words in any case.
    Refused(&'static str),
}

use Fate::{Doubt, Refused, Whole};

const CASES: [(&str, Fate); 36] = [
    ("hex/05-bom.hex", Whole),
    ("hex/07-cr-only.hex", Whole),
    ("hex/08-ctrl-z.hex", Whole),
    (
        "hex/13-uicr.hex",
        Refused("13-uicr.hex:19: 4 bytes at 0x10001014 lie in the UICR"),
    ),
    (
        "hex/16-universal.hex",
        Refused("16-universal.hex:2: a record of a micro:bit Universal Hex"),
    ),
    ("hex/29-comments.hex", Whole),
    (
        "hex/32-html.hex",
        Refused("said to be an Intel HEX file, but it is an HTML page"),
    ),
    ("hex/40-nul-padded.hex", Whole),
    (
        "hex/51-linked-wrong.bin",
        Doubt("entry point, is 0x080001c1, outside the image (0x9c00 to 0x9d00)"),
    ),
    ("hex/53-text.bin", Doubt("this is text, no image")),
    (
        "hex/54-hex-content.bin",
        Doubt("named like a raw binary, but it is an Intel HEX file"),
    ),
    (
        "hex/57-wrong-vectors.hex",
        Doubt("it is blank where its vector table should be"),
    ),
    ("hex/latin-1-comment.hex", Whole),
    ("hex/mixed-padding.hex", Whole),
    (
        "hex/utf-16.hex",
        Refused("said to be an Intel HEX file, but it is text in UTF-16"),
    ),
    (
        "elf/02-default.elf",
        Refused(
            "the linker put the headers of the ELF file itself into a segment (244 bytes at 0x0); link with `--nmagic`",
        ),
    ),
    (
        "elf/17-big-endian.elf",
        Refused("byte 0x5: a big-endian program"),
    ),
    (
        "elf/22-named.bin",
        Doubt("named like a raw binary, but it is an ELF file"),
    ),
    ("elf/64-bit.elf", Refused("byte 0x4: a 64-bit ELF file")),
    (
        "elf/object.o",
        Refused("byte 0x10: an object file, which is not linked yet"),
    ),
    (
        "elf/relocatable.elf",
        Refused("byte 0x10: a shared library or a position-independent program"),
    ),
    (
        "elf/risc-v.elf",
        Refused("byte 0x12: the program is for RISC-V"),
    ),
    (
        "elf/stm32.elf",
        Doubt("stack pointer, is 0x20005000, outside the RAM (0x20000000 to 0x20004000)"),
    ),
    (
        "elf/uicr.elf",
        Refused("4 bytes at 0x10001014 lie in the UICR"),
    ),
    ("elf/whole.elf", Whole),
    (
        "elf/x86-64.elf",
        Refused("byte 0x12: the program is for x86-64"),
    ),
    ("files/blocks.uf2", Doubt("this is a UF2 file, no image")),
    (
        "files/dos.exe",
        Doubt("this is a Windows program (PE), no image"),
    ),
    (
        "files/lfs.bin",
        Doubt("this is a Git LFS pointer, no image; fetch the file with `git lfs pull`"),
    ),
    (
        "files/macho",
        Doubt("this is a macOS program (Mach-O), no image"),
    ),
    (
        "files/not-found.bin",
        Doubt("this is an XML document, no image"),
    ),
    (
        "files/s-records.srec",
        Doubt(
            "this is a Motorola S-record file, no image; convert it with `objcopy -I srec -O ihex`",
        ),
    ),
    (
        "files/suffix.dfu",
        Doubt("this is an image with a suffix for USB DFU, no image; take the suffix off"),
    ),
    ("files/whole.bin", Whole),
    (
        "files/whole.bin.gz",
        Doubt("this is a gzip file, no image; unpack it"),
    ),
    (
        "files/whole.zip",
        Doubt("this is a ZIP archive, no image; unpack it"),
    ),
];

#[test]
fn each_file_is_packed_by_its_content_or_named_and_refused() {
    let whole = std::fs::read(fixture("cases/files/whole.bin")).unwrap();
    for (name, fate) in CASES {
        let file = fixture("cases").join(name);
        let (code, complaint, image) = pack(&file, &[]);
        let (forced, _, as_it_is) = pack(&file, &["--force"]);
        match fate {
            Whole => assert_eq!(
                (code, image.as_deref()),
                (0, Some(&*whole)),
                "{name}: {complaint}"
            ),
            Doubt(said) => {
                assert_eq!(code, 2, "{name}");
                assert!(complaint.contains(said), "{name}: {complaint}");
                assert!(complaint.trim_end().ends_with(FORCE), "{name}: {complaint}");
                assert_eq!((forced, as_it_is.is_some()), (0, true), "{name}");
            }
            Refused(said) => {
                assert_eq!((code, forced), (2, 2), "{name}");
                assert!(complaint.contains(said), "{name}: {complaint}");
                assert!(!complaint.contains("--force"), "{name}: {complaint}");
            }
        }
    }
}

#[test]
fn no_case_is_left_out() {
    for folder in ["hex", "elf", "files"] {
        for entry in std::fs::read_dir(fixture("cases").join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            assert!(CASES.iter().any(|(known, _)| *known == name), "{name}");
        }
    }
}

#[test]
fn hardware_that_rig_does_not_know_is_not_judged_by_the_micro_bits_rule() {
    let file = fixture("cases/hex/51-linked-wrong.bin");
    assert_eq!(pack(&file, &["--hardware", "0x52"]).0, 0);
    let text = fixture("cases/hex/53-text.bin");
    assert_eq!(pack(&text, &["--hardware", "0x52"]).0, 2);
}

/// A firmware set whose new image is this file, described with `more`.
fn set_with(image: &Path, more: &str) -> Inputs {
    let inputs = Inputs::new(PLAN);
    let name = image.file_name().unwrap().to_str().unwrap();
    inputs.write(&format!("firmware/{name}"), std::fs::read(image).unwrap());
    let set = std::fs::read_to_string(inputs.path("firmware/set.yaml")).unwrap();
    let set = set.replace("file: new.bin,", &format!("file: {name}, {more}"));
    inputs.write("firmware/set.yaml", set);
    inputs
}

fn run(inputs: &Inputs) -> (i32, String) {
    let (code, _, complaint) = program::run_plan(&inputs.path("."));
    (code, complaint)
}

#[test]
fn a_firmware_set_has_only_images_that_a_board_would_start_unless_it_says_otherwise() {
    for (file, said) in [
        (
            "cases/hex/57-wrong-vectors.hex",
            "firmware/57-wrong-vectors.hex: no board would start this image",
        ),
        (
            "cases/hex/53-text.bin",
            "firmware/53-text.bin: this is text",
        ),
    ] {
        let (code, complaint) = run(&set_with(&fixture(file), ""));
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(said), "{complaint}");
        assert!(
            complaint.contains("`force: true` at the image in set.yaml"),
            "{complaint}"
        );
        let (code, complaint) = run(&set_with(&fixture(file), "force: true,"));
        assert_eq!(code, 3, "only the emulator is missing: {complaint}");
    }
    let (code, complaint) = run(&set_with(&fixture("cases/hex/13-uicr.hex"), "force: true,"));
    assert_eq!(code, 2);
    assert!(complaint.contains("lie in the UICR"), "{complaint}");
}

#[test]
fn each_half_of_a_key_pair_is_refused_where_the_other_belongs() {
    let inputs = Inputs::new(PLAN);
    let rig = |arguments: &[&str]| {
        let (code, _, complaint) = program::rig(&inputs.path("."), arguments);
        (code, complaint)
    };
    let [signing, public] = ["test-signing.key", "test-signing.pub"]
        .map(|name| text(&fixture("keys").join(name)).to_owned());
    let secret = std::fs::read_to_string(&signing).unwrap();
    let secret = secret.lines().last().unwrap();
    let pack = [
        "pack",
        "firmware/new.bin",
        "--version",
        "1.1.0",
        "-o",
        "a.pcpk",
        "--key",
        &public,
    ];
    let serve = [
        "platform",
        "serve",
        "--data",
        "data",
        "--udp",
        "127.0.0.1:0",
        "--tcp",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ];
    let serve_with = |option, value| [&serve[..], &[option, value]].concat();
    let cannot_sign = "test-signing.pub:3: this is a public key, which cannot sign; give the file with its other half, which has the line `ed25519 signing key`";
    for arguments in [&pack[..], &serve_with("--signing-key", &public)] {
        let (code, complaint) = rig(arguments);
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(cannot_sign), "{complaint}");
    }
    assert!(!inputs.path("a.pcpk").exists());
    let trusted = format!("1:{signing}");
    let (code, complaint) = rig(&serve_with("--trusted-key", &trusted));
    assert_eq!(code, 2, "{complaint}");
    assert!(
        complaint.contains("test-signing.key:4: this is a signing key, which has to stay secret"),
        "{complaint}"
    );
    assert!(!complaint.contains(secret), "{complaint}");

    let inputs = Inputs::new(PLAN);
    inputs.write("firmware/a.pub", std::fs::read(&signing).unwrap());
    let (code, complaint) = run(&inputs);
    assert_eq!(code, 2, "{complaint}");
    assert!(
        complaint.contains("firmware/a.pub:4: this is a signing key"),
        "{complaint}"
    );
    assert!(!complaint.contains(secret), "{complaint}");
}

#[test]
fn a_device_in_place_of_a_file_is_refused_and_not_read() {
    let inputs = Inputs::new(PLAN);
    let pack = ["--version", "1.1.0", "-o", "a.pcpk"];
    let key = "firmware/a.key";
    let image = "firmware/new.bin";
    let zero = "/dev/zero";
    for arguments in [
        &[&["pack", zero, "--key", key][..], &pack].concat()[..],
        &[&["pack", image, "--key", zero][..], &pack].concat(),
        &[
            &["pack", image, "--key", key, "--encrypted-with", zero][..],
            &pack,
        ]
        .concat(),
        &["attack", "m-sequence", zero],
        &["plan", "check", zero],
        &[
            "run",
            "plan.yaml",
            "--bench",
            zero,
            "--firmware",
            "firmware",
            "--links",
            "links",
        ],
        &["figures", zero],
        &["link", "fit", zero],
        &["explore", "--merge", zero],
        &["platform", "serve", "--data", "data", "--signing-key", zero],
    ] {
        let (code, _, complaint) = program::rig(&inputs.path("."), arguments);
        assert_eq!(code, 2, "{arguments:?}: {complaint}");
        assert!(
            complaint.contains("it is a device, not a file"),
            "{arguments:?}: {complaint}"
        );
    }
}

#[test]
fn a_pipe_is_taken_like_the_file_that_comes_through_it_and_one_without_an_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = fixture("keys/test-signing.key");
    let through = |source: &Path| {
        let mut from = Command::new("cat")
            .arg(source)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_rig"))
            .current_dir(folder.path())
            .args([
                "pack",
                "/dev/stdin",
                "--version",
                "1.1.0",
                "-o",
                "a.pcpk",
                "--key",
            ])
            .arg(&key)
            .stdin(from.stdout.take().unwrap())
            .output()
            .unwrap();
        from.wait().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, complaint) = through(&fixture("cases/elf/whole.elf"));
    assert_eq!(code, Some(0), "{complaint}");
    let (code, complaint) = through(Path::new("/dev/zero"));
    assert_eq!(code, Some(2));
    assert!(
        complaint.contains("has more than 67108864 bytes"),
        "{complaint}"
    );
}

#[test]
fn a_package_never_replaces_what_it_is_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let to = folder.path().join(to);
        std::fs::copy(fixture(from), &to).unwrap();
        std::fs::read(to).unwrap()
    };
    let key = copy("keys/test-signing.key", "key");
    let image = copy("cases/files/whole.bin", "image");
    std::os::unix::fs::symlink("key", folder.path().join("link")).unwrap();
    for (output, what) in [
        ("key", "signing key"),
        ("link", "signing key"),
        ("image", "image"),
    ] {
        let arguments = [
            "pack",
            "image",
            "--version",
            "1.1.0",
            "--key",
            "key",
            "-o",
            output,
        ];
        let (code, _, complaint) = program::rig(folder.path(), &arguments);
        assert_eq!(code, 2, "{output}: {complaint}");
        assert!(
            complaint.contains(&format!("{output} is read as the {what}")),
            "{complaint}"
        );
    }
    let content = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!((content("key"), content("image")), (key, image));
}

#[test]
fn a_key_given_for_a_register_is_refused_without_repeating_it() {
    let key = fixture("keys/test-signing.key");
    let secret = std::fs::read_to_string(&key).unwrap();
    let digits = secret.lines().last().unwrap().get(..16).unwrap();
    let image = fixture("cases/files/whole.bin");
    let (code, complaint, _) = pack(&image, &["--encrypted-with", text(&key)]);
    assert_eq!(code, 2, "{complaint}");
    assert!(
        complaint.contains("this is no register of the suite m-sequence"),
        "{complaint}"
    );
    assert!(!complaint.contains(digits), "{complaint}");
}

#[test]
fn two_keys_with_one_id_are_refused_before_a_platform_serves() {
    let folder = tempfile::tempdir().unwrap();
    let (rogue, trusted) = (fixture("keys/rogue.key"), fixture("keys/test-signing.pub"));
    let trusted = format!("1:{}", text(&trusted));
    let (code, _, complaint) = program::rig(
        folder.path(),
        &[
            "platform",
            "serve",
            "--data",
            "data",
            "--signing-key",
            text(&rogue),
            "--trusted-key",
            &trusted,
        ],
    );
    assert_ne!(code, 0);
    assert!(
        complaint.contains("two different keys have the id 1"),
        "{complaint}"
    );
}
