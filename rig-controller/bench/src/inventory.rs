//! What is on the table: the boards, and how each is linked.
//!
//! A bench file is an inventory; reading it touches nothing. This version knows virtual boards only and says
//! so when a file describes hardware.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use powercut_upgrade::factory::DeviceId;
use sha2::{Digest, Sha256};

use crate::board::{self, KINDS};
use crate::entry::{BoardEntry, BoardTiming, HIDEABLE, ModemEntry};
use crate::link;
use crate::modem::{ModemFault, ModemPower};
use crate::relay;
use crate::witness;
use powercut_document::{Document, Fault, Fields, Value};
use powercut_link::TimeScale;
use powercut_oracle::sight::Sight;

const BENCH_KEYS: &[&str] = &[
    "bench",
    "boards",
    "engine",
    "platform",
    "qemu",
    "time_scale",
    "timing",
];

/// Keys of hardware boards stand among them so that such a file is told what is the matter, not that it is misspelt.
const BOARD_KEYS: &[&str] = &[
    "name",
    "virtual",
    "engine",
    "timing",
    "modem",
    "device_id",
    "watchdog_ms",
    "silence_s",
    "hides",
    "chip",
    "probe",
    "power",
    "link",
];
const HARDWARE_KEYS: &[&str] = &["chip", "probe"];

/// The emulator of a bench that names none: a program that the search path leads to.
pub const DEFAULT_QEMU: &str = "qemu-system-arm";
/// The engine that needs a program and plays the watchdog.
const QEMU: &str = "qemu";
const DEFAULT_WATCHDOG: Duration = Duration::from_secs(2);

/// A bench file cannot be used as it is written. Says file, line and column, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct BenchFileError(#[from] pub Fault);

/// A bench, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bench {
    /// Its name.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// Its boards, at least one, each with a name and a device id of its own.
    pub boards: Vec<BoardEntry>,
    /// UDP port of the platform on this host; 0 takes any free one.
    pub platform_port: u16,
    /// How much faster than real the links of virtual modems are. Timers of boards know nothing of it.
    pub time_scale: TimeScale,
}

impl Bench {
    /// Read and check the bench at `path`.
    ///
    /// # Errors
    /// Anything that keeps it from being used.
    pub fn load(path: &Path) -> Result<Self, BenchFileError> {
        Ok(bench(Document::load(path, "bench")?.root())?)
    }

    /// Check a bench's `text`; `file` is only the name used in complaints.
    ///
    /// # Errors
    /// Anything that keeps it from being used.
    pub fn parse(file: &Path, text: &str) -> Result<Self, BenchFileError> {
        Ok(bench(Document::parse(file, text)?.root())?)
    }
}

fn bench(root: Value<'_>) -> Result<Bench, Fault> {
    let fields = root.fields("a bench", BENCH_KEYS)?;
    let name = fields.require("bench")?.name("the bench's name")?;
    let list = fields.require("boards")?;
    let program = fields.get("qemu");
    let common = Common {
        program: match program {
            Some(program) => program.text("`qemu`")?,
            None => DEFAULT_QEMU,
        }
        .into(),
        engine: fields.get("engine"),
        timing: fields.get("timing"),
    };
    let mut boards = Vec::new();
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for value in list.list("`boards`")? {
        let fields = value.fields("a board", BOARD_KEYS)?;
        let board = board(fields, &common)?;
        if !names.insert(board.name.clone()) {
            return Err(fields.require("name")?.fault(
                format!("there are two boards `{}`", board.name),
                "give each board a name of its own",
            ));
        }
        if !ids.insert(board.device_id) {
            return Err(fields.get("device_id").unwrap_or(value).fault(
                format!("board `{}` has the device id of another", board.name),
                "give each board a `device_id` of its own: the platform tells devices apart by it",
            ));
        }
        boards.push(board);
    }
    if boards.is_empty() {
        return Err(list.fault(
            "the bench has no boards",
            "list at least one, such as `- { name: mb-1, virtual: microbit }`",
        ));
    }
    if let Some(program) = program
        && boards.iter().all(|board| board.engine != QEMU)
    {
        return Err(program.fault(
            "no board of this bench is emulated by QEMU",
            "write `engine: qemu` to have its boards emulated so, or leave `qemu` out",
        ));
    }
    let platform = fields
        .get("platform")
        .map(|value| value.fields("`platform`", &["port"]))
        .transpose()?;
    let platform_port = match platform.and_then(|platform| platform.get("port")) {
        Some(port) => port.integer("`port`", 0..=u16::MAX.into())? as u16,
        None => 0,
    };
    let time_scale = match fields.get("time_scale") {
        None => TimeScale::REAL,
        Some(value) => {
            let times = value.number("`time_scale`", 0.01..=10_000.0)?;
            TimeScale::new(times).unwrap_or_default()
        }
    };
    Ok(Bench {
        time_scale,
        name,
        file: root.place().file,
        boards,
        platform_port,
    })
}

/// The settings of all boards of a bench, where a board has none of its own.
struct Common<'a> {
    program: PathBuf,
    engine: Option<Value<'a>>,
    timing: Option<Value<'a>>,
}

fn board(fields: Fields<'_>, common: &Common<'_>) -> Result<BoardEntry, Fault> {
    for key in HARDWARE_KEYS {
        if let Some(value) = fields.get(key) {
            return Err(value.fault(
                format!(
                    "`{key}` describes a hardware board, and hardware boards are not supported yet"
                ),
                "use `virtual: microbit` in its place",
            ));
        }
    }
    let name = fields.require("name")?.name("the board's name")?;
    let kind = kind(fields, common)?;
    let timing = match fields.get("timing").or(common.timing) {
        None => BoardTiming::default(),
        Some(value) if kind.engine == QEMU => {
            return Err(value.fault(
                "a board in QEMU has no timing to choose",
                "leave `timing` out, or `engine: qemu`",
            ));
        }
        Some(value) => value.one_of(
            "the board's timing",
            &[
                ("silicon", BoardTiming::Silicon),
                ("instant", BoardTiming::Instant),
            ],
        )?,
    };
    let power = fields
        .get("power")
        .map(|value| value.fields("`power`", &["relay", "witness"]))
        .transpose()?;
    let of_power = |key| power.and_then(|power| power.get(key));
    let relays = relay::KINDS.iter().map(|kind| kind.name);
    let witnesses = witness::KINDS.iter().map(|kind| kind.name);
    let links = link::KINDS.iter().map(|kind| kind.name);
    let device_id = match fields.get("device_id") {
        None => device_id_of(&name),
        Some(value) => {
            let text = value.name("`device_id`")?;
            if text.len() > 8 {
                return Err(value.fault(
                    format!("`device_id` `{text}` has {} characters", text.len()),
                    "a device id has at most 8",
                ));
            }
            padded(text.as_bytes())
        }
    };
    let watchdog = match fields.get("watchdog_ms") {
        None => DEFAULT_WATCHDOG,
        Some(value) if kind.engine != QEMU => {
            return Err(value.fault(
                "the watchdog of this board is the firmware's own, and bites when the firmware says",
                "leave `watchdog_ms` out, or write `engine: qemu`, which has no watchdog",
            ));
        }
        Some(value) => Duration::from_millis(value.integer("`watchdog_ms`", 100..=60_000)?),
    };
    let modem = match fields.get("modem") {
        None => ModemEntry {
            power: None,
            fault: None,
        },
        Some(value) => modem(value.fields("a modem", &["power", "fault"])?)?,
    };
    let silence = fields
        .get("silence_s")
        .map(|value| value.integer("`silence_s`", 1..=86_400))
        .transpose()?
        .map(Duration::from_secs);
    Ok(BoardEntry {
        name,
        kind: kind.name,
        engine: kind.engine,
        timing,
        relay: part(of_power("relay"), "the relay", relays)?.unwrap_or(kind.relay),
        witness: part(of_power("witness"), "the witness", witnesses)?.unwrap_or(kind.witness),
        link: part(fields.get("link"), "the link", links)?.unwrap_or(kind.link),
        device_id,
        watchdog,
        silence,
        shows: shows(fields)?,
        modem,
        emulator: common.program.clone(),
    })
}

/// The kind of board that a bench file names: the first of that name, or the one with its engine.
fn kind(fields: Fields<'_>, common: &Common<'_>) -> Result<&'static board::Kind, Fault> {
    // Those that differ in their engine alone are one here: the first counts.
    let mut kinds: Vec<_> = KINDS.iter().map(|kind| (kind.name, kind)).collect();
    kinds.dedup_by_key(|(name, _)| *name);
    let first = fields
        .require("virtual")?
        .one_of("the virtual board", &kinds)?;
    let Some(engine) = fields.get("engine").or(common.engine) else {
        return Ok(first);
    };
    let alike = KINDS.iter().filter(|kind| kind.name == first.name);
    let engines: Vec<_> = alike.map(|kind| (kind.engine, kind)).collect();
    engine.one_of("the board's engine", &engines)
}

/// The kind that `value` names among `kinds`; `None` where nothing stands.
fn part(
    value: Option<Value<'_>>,
    what: &str,
    kinds: impl Iterator<Item = &'static str>,
) -> Result<Option<&'static str>, Fault> {
    let kinds: Vec<_> = kinds.map(|name| (name, name)).collect();
    value.map(|value| value.one_of(what, &kinds)).transpose()
}

fn shows(fields: Fields<'_>) -> Result<Sight, Fault> {
    let mut sight = Sight::EVERYTHING;
    let Some(value) = fields.get("hides") else {
        return Ok(sight);
    };
    for thing in value.list("`hides`")? {
        let hide = thing.one_of("what is hidden", &HIDEABLE)?;
        hide(&mut sight);
    }
    Ok(sight)
}

fn modem(fields: Fields<'_>) -> Result<ModemEntry, Fault> {
    let power = fields
        .get("power")
        .map(|value| {
            value.one_of(
                "the modem's `power`",
                &[
                    ("stays", ModemPower::Stays),
                    ("with_board", ModemPower::WithBoard),
                ],
            )
        })
        .transpose()?;
    let fault = match fields.get("fault") {
        None => None,
        Some(value) => value.one_of(
            "the modem's `fault`",
            &[
                ("none", None),
                ("never-registers", Some(ModemFault::NeverRegisters)),
            ],
        )?,
    };
    Ok(ModemEntry { power, fault })
}

/// The id of a board that is given none: its name, or a hash of it when it is too long for an id.
fn device_id_of(name: &str) -> DeviceId {
    if name.len() <= 8 {
        padded(name.as_bytes())
    } else {
        padded(&Sha256::digest(name.as_bytes()))
    }
}

fn padded(bytes: &[u8]) -> DeviceId {
    let mut id = [0; 8];
    for (to, from) in id.iter_mut().zip(bytes) {
        *to = *from;
    }
    DeviceId(id)
}

#[cfg(test)]
mod tests {
    use powercut_oracle::sight::FlashSight;

    use super::*;

    fn parse(text: &str) -> Result<Bench, BenchFileError> {
        Bench::parse(Path::new("b.yaml"), text)
    }

    #[test]
    fn the_bench_that_comes_with_powercut_has_two_boards_that_differ() {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/benches/virtual.yaml");
        let bench = Bench::load(&file).unwrap();
        let names: Vec<&str> = bench
            .boards
            .iter()
            .map(|board| board.name.as_str())
            .collect();
        assert_eq!(names, ["mb-1", "mb-2"]);
        assert_ne!(bench.boards[0].device_id, bench.boards[1].device_id);
        assert_eq!(bench.boards[0].emulator, Path::new(DEFAULT_QEMU));
    }

    #[test]
    fn every_key_arrives() {
        let bench = parse("bench: b\nengine: qemu\ntime_scale: 100\nqemu: /opt/qemu\nplatform: { port: 5683 }\nboards:\n  - { name: one, virtual: microbit, power: { relay: virtual, witness: emulator }, link: play, device_id: dev-7, watchdog_ms: 500, silence_s: 60, hides: [operations, running-flash], modem: { power: with_board, fault: never-registers } }\n").unwrap();
        let board = &bench.boards[0];
        assert_eq!(
            (bench.platform_port, board.emulator.as_path()),
            (5683, Path::new("/opt/qemu"))
        );
        assert!((bench.time_scale.times() - 100.0).abs() < 1e-9);
        assert_eq!(
            (board.relay, board.witness, board.link),
            ("virtual", "emulator", "play")
        );
        assert_eq!(board.device_id, DeviceId(*b"dev-7\0\0\0"));
        assert_eq!(board.watchdog, Duration::from_millis(500));
        assert_eq!(board.modem.power, Some(ModemPower::WithBoard));
        assert_eq!(board.modem.fault, Some(ModemFault::NeverRegisters));
        assert_eq!(board.silence, Some(Duration::from_mins(1)));
        let sight = board.shows;
        assert!(!sight.operations && sight.flash == FlashSight::Held && sight.datagrams);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_place_and_a_remedy() {
        for (text, expected) in [
            (
                "bench: b\nboards: []\n",
                "b.yaml:2:9: the bench has no boards; list at least one",
            ),
            ("bench: b\n", "b.yaml:1:1: a bench needs `boards`"),
            (
                "bench: b\nboards:\n  - { name: a, vitrual: microbit }\n",
                "b.yaml:3:16: `vitrual` is not a key of a board; did you mean `virtual`?",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit }\n  - { name: a, virtual: microbit }\n",
                "b.yaml:4:13: there are two boards `a`",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit }\n  - { name: b, virtual: microbit, device_id: a }\n",
                "b.yaml:4:46: board `b` has the device id of another",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: nrf52 }\n",
                "b.yaml:3:25: the virtual board cannot be `nrf52`; valid are: microbit",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit, engine: quemu }\n",
                "b.yaml:3:43: the board's engine cannot be `quemu`; did you mean `qemu`?",
            ),
            (
                "bench: b\nqemu: /opt/qemu\nboards:\n  - { name: a, virtual: microbit }\n",
                "b.yaml:2:7: no board of this bench is emulated by QEMU",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit, watchdog_ms: 500 }\n",
                "b.yaml:3:48: the watchdog of this board is the firmware's own",
            ),
            (
                "bench: b\ntiming: instant\nboards:\n  - { name: a, virtual: microbit, engine: qemu }\n",
                "b.yaml:2:9: a board in QEMU has no timing to choose",
            ),
            (
                "bench: b\nboards:\n  - name: a\n    chip: nRF52840_xxAA\n",
                "b.yaml:4:11: `chip` describes a hardware board, and hardware boards are not supported yet",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit, modem: { fault: sleepy } }\n",
                "b.yaml:3:51: the modem's `fault` cannot be `sleepy`; valid are: none, never-registers",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit, power: { relay: { gpio: { line: 3 } } } }\n",
                "b.yaml:3:51: the relay is a word",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit, power: { witness: sense } }\n",
                "b.yaml:3:53: the witness cannot be `sense`; valid are: emulator",
            ),
            (
                "bench: b\nboards:\n  - { name: a, virtual: microbit, link: tap }\n",
                "b.yaml:3:41: the link cannot be `tap`; valid are: play",
            ),
            (
                "bench: b\nplatform: { port: 70000 }\nboards: [{ name: a, virtual: microbit }]\n",
                "b.yaml:2:19: `port` cannot be 70000",
            ),
        ] {
            let complaint = parse(text).unwrap_err().to_string();
            assert!(complaint.contains(expected), "{complaint}\n{expected}");
        }
    }
}
