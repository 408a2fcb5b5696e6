//! The invariants, checked against the model's own knowledge of flash: what is weak there counts as broken even if it
//! reads well now.
use embedded_storage::nor_flash::ReadNorFlash;
use nor_flash_model::{NorFlashModel, fold};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::boot::StayReason;
use powercut_upgrade::image::Location;
use powercut_upgrade::journal::{Phase, State};
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::slots::{Placement, Slot};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::Status;

use super::memory::{Memory, Restart};
use super::merge::hash_of;
use super::recall;
use super::scenario::{Ending, Scenario};
use super::scene::Scene;
use super::scripted_package::ScriptedPackage;
use powercut_oracle::verdict::Invariant;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub reason: String,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.reason)
    }
}

/// Boots after the last cut within which a device comes to rest: the interrupted one, one for each attempt of a
/// trial, one for the revert, and those at rest.
fn most_boots(scene: &Scene) -> u8 {
    scene.new.trial_attempts().saturating_add(8)
}
/// Times an image is fetched anew whose content is not what its manifest names.
const MOST_RESTARTS: u8 = 2;
/// Boots at rest that may write to flash, but for the first: one that finds an anchor torn which the first could read.
const MOST_RESTLESS: u8 = 2;

pub(super) fn broken<T>(invariant: Invariant, reason: impl Into<String>) -> Result<T, Breach> {
    Err(Breach {
        invariant,
        reason: reason.into(),
    })
}

/// S3.
pub(super) fn no_unit_was_programmed_too_often<
    const UNIT: usize,
    const PAGE: usize,
    const PROGRAMS: u8,
>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
) -> Result<(), Breach> {
    match flash.violations() {
        [] => Ok(()),
        [first, ..] => broken(
            Invariant::S3,
            format!(
                "the unit at {first:#x} was programmed too often, or on a page whose erase was cut"
            ),
        ),
    }
}

/// Whether flash holds `bytes` from `address` on, for good. They are those that `name` stands for, so that it need not be
/// looked up again for a page that is the same.
fn holds_named<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    name: u64,
    address: u32,
    bytes: &[u8],
) -> bool {
    if !recall::remembers() {
        return flash.holds(address, bytes);
    }
    let mut at = address as usize;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(PAGE - at % PAGE));
        if at / PAGE >= flash.capacity() / PAGE {
            return false;
        }
        let content = flash.page_sum(at / PAGE);
        let asked = fold(fold(name, (at as u64) << 32 | now.len() as u64), content);
        if !recall::recall(asked, || flash.holds(at as u32, now)) {
            return false;
        }
        at += now.len();
        rest = later;
    }
    true
}

/// Whether `package` lies at `location`, image and manifest, for good.
fn holds<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    scene: &Scene,
    location: Location,
    package: &ScriptedPackage,
) -> bool {
    let layout = &scene.layout;
    let manifest = layout.manifest(location.slot, location.placement);
    let name = hash_of(&("image", package.signed.image_id().0));
    flash.holds(manifest, &package.signed.encode())
        && package
            .image
            .chunks(PAGE)
            .enumerate()
            .all(|(page, content)| {
                let offset = page as u32 * layout.page_bytes;
                holds_named(
                    flash,
                    fold(name, u64::from(offset)),
                    layout.image_byte(location.slot, location.placement, offset),
                    content,
                )
            })
}

/// S1: the bootloader is about to jump. Returns the image that runs; `true` if that is the new one.
pub(super) fn running<'s, const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    scene: &'s Scene,
) -> Result<(&'s ScriptedPackage, bool), Breach> {
    for (package, new) in [(&scene.old, false), (&scene.new, true)] {
        if holds(flash, scene, Location::ACTIVE, package) {
            if new && scene.scenario.ending() == Ending::Refused {
                return broken(Invariant::S4, "an image that must be refused runs");
            }
            return Ok((package, new));
        }
    }
    broken(
        Invariant::S1,
        "the device boots neither image: ACTIVE is a mixture, or holds weak bits",
    )
}

/// S4: what the journal says about the image that runs.
pub(super) fn rollback_is_prevented_and_revert_possible<
    const UNIT: usize,
    const PAGE: usize,
    const PROGRAMS: u8,
>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    scene: &Scene,
    memory: &Memory,
    state: &State,
    runs_new: bool,
    trial: bool,
) -> Result<(), Breach> {
    let counter = |package: &ScriptedPackage| package.signed.manifest().security_counter;
    let in_force = state.security_counter;
    let confirmed = runs_new && !trial;
    let expected = counter(if confirmed { &scene.new } else { &scene.old });
    if in_force != expected {
        return broken(
            Invariant::S4,
            format!(
                "security counter {} is in force where it should be {}",
                in_force.0, expected.0
            ),
        );
    }
    if trial && !runs_new {
        return broken(Invariant::S4, "the old image is on trial");
    }
    let old = Location {
        slot: Slot::Staging,
        placement: state.staging_placement(),
    };
    if trial
        && !memory.is_rotten
        && (old.placement == Placement::Plain || !holds(flash, scene, old, &scene.old))
    {
        return broken(
            Invariant::S4,
            "on trial, but the old image is not whole in STAGING: there is no way back",
        );
    }
    Ok(())
}

/// S2. What rots when the image was verified already is for the bootloader to find.
pub(super) fn ready_means_whole<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    scene: &Scene,
    memory: &Memory,
    phase: Phase,
) -> Result<(), Breach> {
    if phase == Phase::Ready
        && !memory.rotted_late
        && !holds(flash, scene, Location::STAGING, &scene.new)
    {
        return broken(
            Invariant::S2,
            "Ready, but STAGING is not the signed image, or holds weak bits",
        );
    }
    Ok(())
}

/// S2, at each start of the application: the first `committed` bytes of `image`, which the journal counts as received, are
/// in STAGING for good, as they were sent. A silent failure is no excuse: data is read back before it is recorded. Rot is
/// one: it is found when the image is verified.
pub(super) fn what_counts_as_received_is_there<
    const UNIT: usize,
    const PAGE: usize,
    const PROGRAMS: u8,
>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    scene: &Scene,
    memory: &Memory,
    image: ImageId,
    committed: u32,
) -> Result<(), Breach> {
    let package = [Some(&scene.new), scene.earlier.as_ref()]
        .into_iter()
        .flatten()
        .find(|package| package.signed.image_id() == image);
    let Some(sent) = package.and_then(|package| package.sent.get(..committed as usize)) else {
        return broken(
            Invariant::S2,
            format!(
                "the journal counts {committed} bytes of an image that was never offered, or has fewer"
            ),
        );
    };
    let name = hash_of(&("sent", image.0));
    if !memory.is_rotten && !holds_named(flash, name, scene.layout.staging.start, sent) {
        return broken(
            Invariant::S2,
            format!(
                "the journal counts {committed} bytes, but STAGING is not what was sent, or holds weak bits"
            ),
        );
    }
    Ok(())
}

/// S5: `sealed` is about to be served as fragment `index` of `task`, whose fragments were each served first as the package
/// has them. What does not open under the fragment's key and nonce was not encrypted with them.
pub(super) fn no_nonce_serves_twice(
    task: &ScriptedPackage,
    index: FragmentIndex,
    sealed: &[u8],
) -> Result<(), Breach> {
    let first = task.sealed.get(usize::from(index.0));
    if first.is_some_and(|first| first != sealed) && task.opens(index, sealed) {
        return broken(
            Invariant::S5,
            format!(
                "fragment {} is served with another plaintext under the same key and nonce",
                index.0
            ),
        );
    }
    Ok(())
}

/// L1: fragment `index` of the platform's present task is asked for.
pub(super) fn little_is_fetched_again(
    scene: &Scene,
    memory: &mut Memory,
    index: u16,
) -> Result<(), Breach> {
    let is_corrupt = match scene.scenario {
        Scenario::Corrupt => true,
        Scenario::Mended => !memory.is_superseded,
        Scenario::BadSignature | Scenario::Older => {
            return broken(
                Invariant::Expectation,
                "an image is fetched that its manifest gives reason to refuse",
            );
        }
        _ => false,
    };
    let restarts = is_corrupt && index == 0 && memory.restarts < MOST_RESTARTS;
    if memory.restart == Restart::Doubtful {
        // Either it goes on after all, or the device is where it was before.
        memory.restart = Restart::Settled;
        if restarts {
            memory.restarted();
            return Ok(());
        }
    }
    if index >= memory.expected || memory.is_rotten {
        return Ok(());
    }
    if restarts && memory.all_sent {
        memory.restarted();
        return Ok(());
    }
    if memory
        .may_rewind_to
        .take_if(|first| *first <= index)
        .is_some()
    {
        return Ok(());
    }
    broken(
        Invariant::L1,
        format!(
            "fragment {index} is fetched again, where after {} cuts {} may be the next",
            memory.cuts, memory.expected
        ),
    )
}

/// S1: the bootloader does not go on. It may have to where an image slot rotted, and only there.
pub(super) fn staying_is_right(memory: &Memory, reason: StayReason) -> Result<(), Breach> {
    if memory.is_rotten && reason == StayReason::NoImage {
        return Ok(());
    }
    let why = match reason {
        StayReason::NotProvisioned => "the FACTORY page is missing or damaged",
        StayReason::NoImage => "no slot holds an image that may and can run",
        StayReason::Flash(_) => "flash does not take what is written",
    };
    broken(Invariant::S1, format!("nothing boots: {why}"))
}

/// An image that never confirms itself but can run, and has none to give way to, because the old one rotted, is installed again and
/// again: a device that does something is better than one that stays in its bootloader. L2 does not ask for an end.
pub(super) fn is_tried_for_ever(scene: &Scene, memory: &Memory) -> bool {
    memory.is_rotten
        && memory.boots > most_boots(scene)
        && scene.scenario.ending() == Ending::Reverted
        && scene.scenario != Scenario::Unbootable
}

/// L2, at each boot.
pub(super) fn converges(scene: &Scene, memory: &Memory) -> Result<(), Breach> {
    let most = most_boots(scene);
    if memory.boots > most {
        return broken(
            Invariant::L2,
            format!("not at rest {most} boots after the last cut"),
        );
    }
    Ok(())
}

/// L3, at each boot that begins and ends at rest.
pub(super) fn rest_is_quiet(memory: &Memory) -> Result<(), Breach> {
    if memory.restless > MOST_RESTLESS {
        return broken(
            Invariant::L3,
            "a device at rest keeps writing to flash at its boots",
        );
    }
    Ok(())
}

/// L4: a status is sent. In it, `trial` is whether the image runs on probation.
pub(super) fn reports_truly(
    scene: &Scene,
    status: &Status,
    runs: &ScriptedPackage,
    trial: bool,
) -> Result<(), Breach> {
    if status.running != runs.signed.image_id() {
        return broken(Invariant::L4, "the device names another image than it runs");
    }
    let new = scene.new.signed.image_id();
    let says_installed = status.result_image == new && status.result == ResultCode::Ok;
    if says_installed && (status.running != new || trial) {
        return broken(
            Invariant::L4,
            "the device reports an upgrade that it has not confirmed",
        );
    }
    Ok(())
}

/// The end: as the scenario says, at the price it may have.
pub(super) fn ends_as_expected<const BUFFER: usize>(
    scene: &Scene,
    memory: &Memory,
    agent: &Agent<BUFFER, super::life::Held>,
    last: Option<&Status>,
    runs_new: bool,
) -> Result<(), Breach> {
    // What runs is whole and nothing is left to do.
    if memory.is_rotten {
        return Ok(());
    }
    let new = scene.new.signed.image_id();
    let reported = last.map(|status| (status.result, status.result_image));
    let confirmed = runs_new && !agent.in_trial() && agent.state().confirmed == new;
    let reverted = !runs_new && reported == Some((ResultCode::InstallFailed, new));
    let used_up = memory.cuts >= scene.new.trial_attempts();
    let as_expected = match scene.scenario.ending() {
        Ending::Confirmed => {
            (confirmed && last.is_some_and(|status| status.running == new)) || (used_up && reverted)
        }
        Ending::Reverted => reverted,
        Ending::Refused => !runs_new && reported == Some((ResultCode::VerifyFailed, new)),
    };
    if !as_expected {
        return broken(
            Invariant::Expectation,
            format!(
                "{} should end {}; the {} image runs, the platform was told {}",
                scene.scenario,
                match scene.scenario.ending() {
                    Ending::Confirmed => "with the new image confirmed",
                    Ending::Reverted => "with the old image back",
                    Ending::Refused => "with the new image refused",
                },
                if runs_new { "new" } else { "old" },
                match reported {
                    None => "nothing".to_owned(),
                    Some((result, image)) => format!(
                        "result {:#04x} for {} image",
                        result as u8,
                        if image == new { "the new" } else { "another" }
                    ),
                },
            ),
        );
    }
    // A revert that cuts brought about is as dear as one that was planned; it is not in the reference.
    if used_up && reverted && scene.scenario.ending() == Ending::Confirmed {
        return Ok(());
    }
    if memory.failed_silently {
        return Ok(());
    }
    wears_little(scene, memory)
}

/// L3. A cut adds one erase of the page in flight, and one more if it was the second in its fragment, whose page is
/// then fetched anew.
fn wears_little(scene: &Scene, memory: &Memory) -> Result<(), Breach> {
    let cuts = u16::from(memory.cuts);
    let again = u16::from(memory.double_cuts);
    for (what, erases, uncut, by_cuts) in [
        (
            "ACTIVE and STAGING",
            memory.slot_erases,
            scene.reference.slot_erases,
            cuts + again,
        ),
        (
            "the journal",
            memory.journal_erases,
            scene.reference.journal_erases,
            cuts * 2,
        ),
    ] {
        let most = uncut + by_cuts;
        if uncut > 0 && erases > most {
            return broken(
                Invariant::L3,
                format!("{erases} erases in {what}, where {most} may be with {cuts} cuts"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
