//! Builds a firmware set from the sources in this repository: the bootloader, and the images every plan names, good
//! ones and bad ones. Checks what the oracle relies on: each new image differs from 1.0.0 in every page, and in length.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use object::{Object, ObjectSection};
use sha2::{Digest, Sha256};

use super::board_facts::{FlashDescription, LayoutDescription};
use super::description::{Description, DeviceDescription, ImageDescription};
use super::hardware::{MICROBIT, MICROBIT_FACTS, addresses};
use super::planted::check_bug;
use super::ruin::Ruin;
use super::{BoardFacts, FirmwareError, Image, active_range, read, read_text, write};
use crate::Parameters;

/// The board that programs are built for.
const BOARD: BoardFacts = MICROBIT_FACTS;
const TARGET: &str = "thumbv6m-none-eabi";
const STAMP_FILE: &str = "built-from.sha256";
/// The digest of each program, a line each as `sha256sum` writes them: two sets with the same lines put the same bytes on
/// boards.
const DIGESTS_FILE: &str = "digests.txt";
/// Cargo builds at the same time, each in a target folder of its own.
const JOBS: usize = 2;

/// An image of the set.
struct Variant {
    name: &'static str,
    behaviour: &'static str,
    /// Words of filling behind the vector table: shifts all code, so that every page differs.
    fill_words: u32,
    security_counter: u32,
    signed_by: &'static str,
    /// Packed from the file of another image instead of a build of its own.
    file_of: Option<&'static str>,
    /// What is done to that file so that it cannot run.
    ruined: Option<Ruin>,
}

const fn good(name: &'static str, fill_words: u32, security_counter: u32) -> Variant {
    Variant {
        name,
        behaviour: "good",
        fill_words,
        security_counter,
        signed_by: "test-signing.key",
        file_of: None,
        ruined: None,
    }
}

const fn bad(name: &'static str, behaviour: &'static str, fill_words: u32) -> Variant {
    Variant {
        behaviour,
        ..good(name, fill_words, 3)
    }
}

/// An authentic image that cannot run, made from the file of 1.1.0.
const fn cannot_run(name: &'static str, ruin: Ruin) -> Variant {
    Variant {
        file_of: Some("1.1.0"),
        ruined: Some(ruin),
        ..good(name, 0, 3)
    }
}

const OLD: &str = "1.0.0";
const VARIANTS: [Variant; 12] = [
    good(OLD, 1025, 2),
    good("1.1.0", 2309, 3),
    good("1.1.0-short", 101, 3),
    bad("1.1.0-panics", "panics", 2311),
    bad("1.1.0-hangs", "hangs", 2313),
    bad("1.1.0-never-confirms", "never-confirms", 2315),
    Variant {
        signed_by: "rogue.key",
        file_of: Some("1.1.0"),
        ..good("1.1.0-bad-signature", 0, 3)
    },
    good("0.9.0", 1801, 1),
    cannot_run("1.1.0-other-chip", Ruin::OtherChip),
    cannot_run("1.1.0-zeros", Ruin::Zeros),
    cannot_run("1.1.0-faults", Ruin::Faults),
    cannot_run("1.1.0-locks-up", Ruin::LocksUp),
];

/// What to build, and where.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The device workspace.
    pub source: PathBuf,
    /// Folder with `test-signing.key`, `test-signing.pub` and `rogue.key`.
    pub keys: PathBuf,
    /// File with what devices have for the suite `m-sequence`.
    pub m_sequence: PathBuf,
    /// Where the set goes.
    pub out: PathBuf,
    /// Names of the images to build; all if empty.
    pub only: Vec<String>,
    /// A bug to plant on purpose, by its name: one of the core's, or of [`DEVICE_BUGS`](super::DEVICE_BUGS).
    pub seeded_bug: Option<String>,
}

/// Memory one program takes.
#[derive(Debug, Clone)]
pub struct MemoryFootprint {
    /// Its name.
    pub name: String,
    /// Bytes of flash.
    pub flash_bytes: usize,
    /// Bytes of RAM that are not stack.
    pub static_ram_bytes: u64,
}

/// Builds the set unless it is there already, built from the very same sources. Returns what each program takes and
/// whether anything was built.
pub fn build(options: &BuildOptions) -> Result<(Vec<MemoryFootprint>, bool), FirmwareError> {
    options.check_names()?;
    let stamp = stamp(options)?;
    let stamp_path = options.out.join(STAMP_FILE);
    let fresh = std::fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp);
    if !fresh {
        std::fs::create_dir_all(&options.out).map_err(|source| FirmwareError::Write {
            path: options.out.clone(),
            source,
        })?;
        compile(options)?;
        ruin(options)?;
        describe(options)?;
        write_digests(options)?;
    }
    let footprints = inspect(options)?;
    if !fresh {
        write(&stamp_path, stamp.as_bytes())?;
    }
    Ok((footprints, !fresh))
}

impl Variant {
    /// Name of its file, without the ending.
    fn file(&self) -> &'static str {
        match (self.ruined, self.file_of) {
            (None, Some(of)) => of,
            _ => self.name,
        }
    }
}

impl BuildOptions {
    fn variants(&self) -> impl Iterator<Item = &'static Variant> {
        VARIANTS.iter().filter(|variant| {
            self.only.is_empty() || self.only.iter().any(|name| name == variant.name)
        })
    }

    /// Bootloader and images that have a build of their own.
    fn programs(&self) -> impl Iterator<Item = &'static str> {
        let mut built: Vec<&str> = Vec::new();
        for variant in self.variants() {
            let program = variant.file_of.unwrap_or(variant.name);
            if !built.contains(&program) {
                built.push(program);
            }
        }
        std::iter::once("bootloader").chain(built)
    }

    fn check_names(&self) -> Result<(), FirmwareError> {
        let known = |name: &&String| VARIANTS.iter().any(|variant| variant.name == **name);
        if let Some(bug) = &self.seeded_bug {
            check_bug(bug)?;
        }
        match self.only.iter().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => Err(FirmwareError::NoImage {
                folder: self.source.clone(),
                name: name.clone(),
                known: VARIANTS.map(|variant| variant.name).join(", "),
            }),
        }
    }
}

fn compile(options: &BuildOptions) -> Result<(), FirmwareError> {
    let programs: Vec<&str> = options.programs().collect();
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for job in 0..JOBS {
            let (programs, next, failure) = (&programs, &next, &failure);
            scope.spawn(move || {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = compile_one(options, job, program) {
                        *failure
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                        return;
                    }
                }
            });
        }
    });
    failure
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

fn compile_one(options: &BuildOptions, job: usize, program: &str) -> Result<(), FirmwareError> {
    let variant = VARIANTS.iter().find(|variant| variant.name == program);
    let package = variant.map_or("bootloader", |_| "application");
    let target_dir = options
        .out
        .parent()
        .unwrap_or(&options.out)
        .join(format!("cargo-{job}"));
    let target_dir = std::path::absolute(&target_dir).unwrap_or(target_dir);
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&options.source)
        .args(["build", "--release", "--locked", "--quiet", "-p", package])
        .arg("--target-dir")
        .arg(&target_dir)
        .arg("--config")
        .arg(same_paths_everywhere(options, &target_dir));
    if let Some(bug) = &options.seeded_bug {
        cargo
            .arg("--features=powercut-upgrade/seeded-bug,microbit/seeded-bug")
            .env("POWERCUT_SEEDED_BUG", bug);
    }
    cargo.env("POWERCUT_PLATFORM", BOARD.platform.to_string());
    if let Some(variant) = variant {
        let version = variant.name.split('-').next().unwrap_or(variant.name);
        cargo
            .env("POWERCUT_VERSION", version)
            .env("POWERCUT_BEHAVIOUR", variant.behaviour)
            .env("POWERCUT_FILL_WORDS", variant.fill_words.to_string());
    }
    // The host build may have set flags that mean nothing on the device.
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let failed = |reason: String| FirmwareError::Build {
        program: program.to_owned(),
        reason,
    };
    let output = cargo.output().map_err(|error| {
        failed(format!(
            "cannot start cargo: {error}; install Rust with rustup"
        ))
    })?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let built = target_dir.join(TARGET).join("release").join(package);
    let elf = read(&built)?;
    write(&options.out.join(format!("{program}.elf")), &elf)?;
    let flash = if variant.is_some() {
        active_range()
    } else {
        addresses(&BOARD.layout, BOARD.layout.boot)
    };
    Image::load(&built, flash)?.save_hex(&options.out.join(format!("{program}.hex")))
}

/// What makes the image the same wherever it is built: the compiler writes fixed names into panics and debug information
/// for the sources, for Cargo's registry and for the folder it builds in. Cargo adds these flags to those of the
/// workspace's own configuration.
fn same_paths_everywhere(options: &BuildOptions, target_dir: &Path) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let source = absolute(&options.source);
    let sources = source.parent().unwrap_or(&source);
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        PathBuf::from,
    );
    // Of several that fit, the compiler takes the last.
    let names = [
        (absolute(&cargo_home), "/cargo"),
        (sources.to_owned(), "/target-firmware"),
        (target_dir.to_owned(), "/build"),
    ];
    let flags = names.map(|(from, to)| {
        let flag = format!("--remap-path-prefix={}={to}", from.display());
        // A TOML string; paths have no control characters that JSON and TOML write otherwise.
        serde_json::Value::from(flag).to_string()
    });
    format!("target.{TARGET}.rustflags=[{}]", flags.join(","))
}

fn describe(options: &BuildOptions) -> Result<(), FirmwareError> {
    for key in ["test-signing.key", "test-signing.pub", "rogue.key"] {
        write(&options.out.join(key), &read_text(&options.keys.join(key))?)?;
    }
    let images = options
        .variants()
        .map(|variant| ImageDescription {
            name: variant.name.to_owned(),
            package: None,
            file: Some(format!("{}.hex", variant.file()).into()),
            security_counter: Some(variant.security_counter),
            trial_attempts: Some(3),
            signed_by: Some(variant.signed_by.into()),
            force: variant.ruined.is_some(),
        })
        .collect();
    let device = DeviceDescription {
        hardware: MICROBIT,
        minimum_security_counter: 1,
        trusted_key: "test-signing.pub".into(),
        m_sequence: Some(Parameters::load(&options.m_sequence)?),
    };
    Description {
        bootloader: "bootloader.hex".into(),
        device,
        flash: Some(FlashDescription::of(BOARD.geometry)),
        layout: Some(LayoutDescription::of(&BOARD.layout)),
        marker_pin: Some(BOARD.marker_pin.number()),
        platform: Some(BOARD.platform.to_string()),
        images,
    }
    .save(&options.out)
}

/// Writes the files of the images that cannot run.
fn ruin(options: &BuildOptions) -> Result<(), FirmwareError> {
    for variant in options.variants() {
        if let (Some(ruin), Some(of)) = (variant.ruined, variant.file_of) {
            let sound = Image::load(&options.out.join(format!("{of}.hex")), active_range())?;
            let path = options.out.join(format!("{}.hex", variant.name));
            ruin.of(&sound).save_hex(&path)?;
        }
    }
    Ok(())
}

fn write_digests(options: &BuildOptions) -> Result<(), FirmwareError> {
    let mut files: Vec<&str> = options.variants().map(Variant::file).collect();
    files.push("bootloader");
    files.sort_unstable();
    files.dedup();
    let digest = |file: &str| {
        let content = read(&options.out.join(file))?;
        Ok(format!(
            "{}  {file}\n",
            hex::encode(Sha256::digest(content))
        ))
    };
    let lines: Result<String, FirmwareError> = files
        .into_iter()
        .map(|file| digest(&format!("{file}.hex")))
        .collect();
    write(&options.out.join(DIGESTS_FILE), lines?.as_bytes())
}

/// Measures the programs and checks that no mixture of two images could pass for one of them.
fn inspect(options: &BuildOptions) -> Result<Vec<MemoryFootprint>, FirmwareError> {
    let mut footprints = Vec::new();
    let old = options.out.join(format!("{OLD}.hex"));
    let old = old
        .exists()
        .then(|| Image::load(&old, active_range()))
        .transpose()?;
    for program in options.programs() {
        let is_image = program != "bootloader";
        let flash = if is_image {
            active_range()
        } else {
            addresses(&BOARD.layout, BOARD.layout.boot)
        };
        let image = Image::load(&options.out.join(format!("{program}.hex")), flash)?;
        if let Some(old) = old.as_ref().filter(|_| is_image && program != OLD) {
            differs_everywhere(program, &old.bytes, &image.bytes)?;
        }
        footprints.push(MemoryFootprint {
            name: program.to_owned(),
            flash_bytes: image.bytes.len(),
            static_ram_bytes: static_ram(&options.out.join(format!("{program}.elf")))?,
        });
    }
    Ok(footprints)
}

fn differs_everywhere(name: &str, old: &[u8], new: &[u8]) -> Result<(), FirmwareError> {
    let page_bytes = BOARD.geometry.page_bytes() as usize;
    let alike = |reason: String| FirmwareError::ImagesAlike {
        name: name.to_owned(),
        old: OLD.to_owned(),
        reason,
    };
    if old.len().div_ceil(page_bytes) == new.len().div_ceil(page_bytes) {
        return Err(alike("they have the same number of pages".to_owned()));
    }
    let same = old
        .chunks(page_bytes)
        .zip(new.chunks(page_bytes))
        .position(|(old, new)| old == new);
    match same {
        Some(page) => Err(alike(format!("page {page} is the same in both"))),
        None => Ok(()),
    }
}

/// Most bytes of RAM, without stack, that a program of the set in `folder` takes.
pub fn static_ram_bytes(folder: &Path) -> Result<u64, FirmwareError> {
    let mut most = 0;
    for program in ["bootloader", OLD] {
        most = most.max(static_ram(&folder.join(format!("{program}.elf")))?);
    }
    Ok(most)
}

/// Bytes of the sections in RAM.
fn static_ram(elf: &Path) -> Result<u64, FirmwareError> {
    let content = read(elf)?;
    let file = object::File::parse(&*content).map_err(|error| FirmwareError::Offset {
        path: elf.to_owned(),
        offset: 0,
        reason: error.to_string(),
    })?;
    let ram = BOARD.layout.addresses.ram;
    let in_ram = |section: &object::Section<'_, '_>| {
        u32::try_from(section.address()).is_ok_and(|address| (ram.0..ram.1).contains(&address))
    };
    Ok(file
        .sections()
        .filter(in_ram)
        .map(|section| section.size())
        .sum())
}

/// Fingerprint of everything the set is built from.
fn stamp(options: &BuildOptions) -> Result<String, FirmwareError> {
    let mut files = Vec::new();
    collect(
        options.source.parent().unwrap_or(&options.source),
        &mut files,
    )?;
    collect(&options.keys, &mut files)?;
    files.push(options.m_sequence.clone());
    files.sort();
    let mut hasher = Sha256::new();
    for path in files {
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(Sha256::digest(read(&path)?));
    }
    for variant in options.variants() {
        hasher.update(format!(
            "{} {} {} {} {} {:?} {:?}",
            variant.name,
            variant.behaviour,
            variant.fill_words,
            variant.security_counter,
            variant.signed_by,
            variant.file_of,
            variant.ruined
        ));
    }
    hasher.update(options.seeded_bug.as_deref().unwrap_or("none"));
    let rustc = Command::new("rustc").arg("-V").output();
    hasher.update(rustc.map(|output| output.stdout).unwrap_or_default());
    Ok(hex::encode(hasher.finalize()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), FirmwareError> {
    let failed = |source| FirmwareError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != "tests" && name != "fuzz" {
                collect(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}
