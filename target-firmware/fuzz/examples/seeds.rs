//! Writes inputs to begin with, one file each, into the folders of the targets below the folder named on the command line.
use std::fs;
use std::path::Path;

use powercut_core_fuzz::{as_pcp_frame, lean_key, new_image, old_image, trusted};
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::m_sequence::{Configuration, FACTORY_OFFSET, Polynomial, Register, Stream};
use powercut_upgrade::manifest::{FragmentIndex, ImageId, SecurityCounter, Version};
use powercut_upgrade::wire::lean::{
    Activity, Challenge, Downlink, MAX_DOWNLINK_BYTES, MAX_UPLINK_BYTES, Status, Uplink,
    WIRE_VERSION, Wanted,
};
use powercut_upgrade::wire::{Dialect, ResultCode};

const SAID: [&str; 4] = [
    "\r\nRDY\r\n",
    "AT\r\r\nOK\r\n\r\nOK\r\n\r\n+CEREG: 0,1\r\n\r\nOK\r\n\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n",
    "\r\n+QIURC: \"recv\",0\r\n\r\n+QIRD: 5\r\nabcde\r\nOK\r\n\r\n> \r\nSEND OK\r\n\r\n+QIRD: 0\r\n\r\nOK\r\n\r\n+CME ERROR: 3\r\n",
    "\r\n+CEREG: 5,1,\"00A0\",\"0002920C\",9,\"00\",0,0,\"00100010\",\"00010010\"\r\n\r\n+QIOPEN: 0,561\r\n\r\n+QIURC: \"recv\",0,17\r\n\r\n+QIURC: \"pdpdeact\",1\r\n\r\n+QIURC: \"closed\",0\r\n",
];

fn main() {
    let Some(corpus) = std::env::args().nth(1) else {
        eprintln!("usage: seeds FOLDER");
        std::process::exit(2);
    };
    let write = |target: &str, name: &str, content: &[u8]| {
        let folder = Path::new(&corpus).join(target);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(format!("seed-{name}")), content))
            .unwrap_or_else(|error| panic!("cannot write to {}: {error}", folder.display()));
    };
    let image = new_image();
    let key = lean_key();
    let handle = key.handle(&image.signed);
    let wanted = Wanted::one(FragmentIndex(7));
    for (name, message) in [
        ("status", Uplink::Status(status(image.signed.image_id()))),
        ("request", Uplink::Request { handle, wanted }),
    ] {
        let mut out = [0; MAX_UPLINK_BYTES];
        let length = message.encode(&key, &mut out);
        write("lean_uplink", name, &out[..length]);
    }
    let manifest = image.signed.encode();
    let challenge = Challenge(7);
    let result = ResultCode::NoSuchTask;
    for (name, message) in [
        (
            "nothing",
            Downlink::Nothing {
                retry_after_s: 60,
                challenge,
            },
        ),
        (
            "offer",
            Downlink::Offer {
                wire_version: WIRE_VERSION,
                window: 6,
                challenge,
                manifest: &manifest,
            },
        ),
        (
            "fragment",
            Downlink::Fragment {
                index: 3,
                body: &mut [9; 112],
            },
        ),
        ("refusal", Downlink::Refusal { handle, result }),
    ] {
        let mut out = [0; MAX_DOWNLINK_BYTES];
        let length = message.encode(&key, &mut out).unwrap_or_default();
        write("lean_downlink", name, &out[..length]);
    }
    // Version, code and data of each frame, without and with magic, length and check.
    for (code, data_bytes) in [
        (19, 0),
        (19, 17),
        (20, 22),
        (20, 1),
        (21, 18),
        (21, 40),
        (22, 1),
        (23, 0),
        (24, 17),
        (24, 1),
    ] {
        let mut bytes = vec![0x01, code];
        bytes.extend(std::iter::repeat_n(0, data_bytes));
        if code == 20 && data_bytes > 1 {
            bytes[18..22].copy_from_slice(&[0, 160, 0, 7]);
        }
        for target in ["pcp_uplink", "pcp_downlink"] {
            write(target, &format!("{code}-{data_bytes}"), &bytes);
            write(
                target,
                &format!("frame-{code}-{data_bytes}"),
                &as_pcp_frame(&bytes),
            );
        }
    }
    write("manifest", "new", &manifest);
    write("manifest", "old", &old_image().signed.encode());
    for (name, page) in factory_pages() {
        write("factory_page", name, &page);
    }
    for state in 0..32 {
        write("flash", &format!("state-{state}"), &[state]);
        write(
            "flash",
            &format!("changed-{state}"),
            &[state, 0x08, 0x01, 3, 0, state, 0x05, 7, 0xFF],
        );
    }
    for scene in 0..4_u8 {
        // An image of many fragments takes that many answers over PCP.
        let answers = [60, 60, 200, 330][usize::from(scene)];
        for fault in 0..13 {
            let mut script = vec![scene];
            let every = answers / 12;
            script.extend((1..=answers).map(|at| if at % every == 0 { fault } else { 0xFF }));
            write("agent", &format!("{scene}-{fault}"), &script);
        }
    }
    for (number, said) in SAID.iter().enumerate() {
        write("at_client", &format!("said-{number}"), said.as_bytes());
    }
    let mut all = SAID.concat().into_bytes();
    all.splice(7..7, [0xFF; 3]);
    all.push(0xFE);
    write("at_client", "all", &all);
}

fn status(image: ImageId) -> Status {
    Status {
        dialect: Dialect::Lean,
        wire_version: WIRE_VERSION,
        window: 16,
        device: DeviceId(*b"device01"),
        hardware: 0x51,
        version: Version {
            major: 1,
            minor: 0,
            patch: 0,
        },
        running: ImageId::NONE,
        security_counter: SecurityCounter(2),
        activity: Activity::Idle,
        result: ResultCode::Ok,
        result_image: image,
        challenge: Challenge(7),
    }
}

fn factory_pages() -> Vec<(&'static str, Vec<u8>)> {
    let factory = Factory {
        hardware: 0x51,
        dialect: Dialect::Pcp,
        device_id: DeviceId(*b"device01"),
        device_key: DeviceKey([9; 32]),
        trusted_keys: trusted(),
        minimum_security_counter: SecurityCounter(1),
    };
    let mut page = factory.encode().to_vec();
    let plain = page.clone();
    page.resize(FACTORY_OFFSET as usize, 0xFF);
    let polynomial = Polynomial::from_exponents(&[16, 14, 13, 11]);
    let register = polynomial.and_then(|polynomial| Register::new(polynomial, 0xACE1));
    if let Some(register) = register {
        let stream = Stream::Continuous;
        page.extend(Configuration { register, stream }.encode());
    }
    vec![("plain", plain), ("m-sequence", page)]
}
