//! One device from power-on to rest, with the platform at the other end of a scripted link, and the oracle watching.
use nor_flash_model::{Cut, NorFlashModel, split_mix};
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::boot::{self, Outcome};
use powercut_upgrade::journal::{Phase, State};
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Challenge, Downlink, Status, Uplink, WIRE_VERSION};
use powercut_upgrade::wire::{MAX_DOWNLINK_BYTES, MAX_UPLINK_BYTES};

use super::explored_flash::ExploredFlash;
use super::oracle::{self, Breach, broken};
use super::planted::{RigBug, is_planted};
use super::scenario::Scenario;
use super::scripted_package::ScriptedPackage;
use powercut_oracle::verdict::Invariant;

/// Boots in a row that have nothing left to do, after which a device is at rest: the second may still settle the
/// journal, the third must leave flash alone.
const RESTS: u8 = 3;
/// Steps of the agent in one boot; an upgrade takes a few per fragment and page.
const MOST_STEPS: u32 = 20_000;

/// How a life ended, if no invariant broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At rest, as it should be.
    Rest,
    /// In a state whose future was explored before.
    Merged {
        /// Schedules in that future.
        schedules: u64,
    },
}

/// Plans a cut.
pub(super) fn arm<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
    flash: &mut NorFlashModel<UNIT, PAGE, PROGRAMS>,
    cut: Cut,
) {
    if !is_planted(RigBug::CutNeverFires) {
        flash.cut_at(cut);
    }
}

enum AppEnd {
    Restart,
    PowerLost,
    Rest,
}

/// Lets the device live. Whenever it loses power, that was the cut planned last; `next_cut` gets the number of
/// operations so far and plans the next one.
pub(super) fn live<
    const UNIT: usize,
    const PAGE: usize,
    const PROGRAMS: u8,
    const BUFFER: usize,
>(
    explored: &mut ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>,
    next_cut: impl FnMut(u64) -> Option<Cut>,
) -> Result<End, Breach> {
    live_watched(explored, next_cut, |_, _| ())
}

/// A point at which the watcher of [`live_watched`] sees flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchPoint {
    /// A cut has just happened.
    Cut,
    /// So many boots in a row have had nothing left to do.
    Rest(u8),
}

/// Like [`live`]; `watch` sees flash at every [`WatchPoint`].
pub(super) fn live_watched<
    const UNIT: usize,
    const PAGE: usize,
    const PROGRAMS: u8,
    const BUFFER: usize,
>(
    explored: &mut ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>,
    mut next_cut: impl FnMut(u64) -> Option<Cut>,
    mut watch: impl FnMut(WatchPoint, &NorFlashModel<UNIT, PAGE, PROGRAMS>),
) -> Result<End, Breach> {
    let layout = explored.scene.layout;
    loop {
        if let Some(schedules) = explored.merged() {
            return Ok(End::Merged { schedules });
        }
        if !explored.flash.is_powered() {
            watch(WatchPoint::Cut, &explored.flash);
            explored.memory.cut(&explored.scene.fragments);
            explored.flash.power_on();
            if let Some(cut) = next_cut(explored.flash.operations()) {
                arm(&mut explored.flash, cut);
            }
        }
        explored.memory.boots += 1;
        if oracle::is_tried_for_ever(explored.scene, &explored.memory) {
            return Ok(End::Rest);
        }
        oracle::converges(explored.scene, &explored.memory)?;
        explored.reset();
        if let Some(schedules) = explored.merged() {
            return Ok(End::Merged { schedules });
        }
        let outcome = boot::boot(explored, &layout, &mut || {});
        oracle::no_unit_was_programmed_too_often(&explored.flash)?;
        if !explored.flash.is_powered() {
            continue;
        }
        let trial = match outcome {
            Outcome::Run { trial } => trial,
            Outcome::Stay(reason) => {
                oracle::staying_is_right(&explored.memory, reason)?;
                if explored.flash.operations() == explored.begun {
                    return Ok(End::Rest);
                }
                // It may have had something to settle. One that writes at every boot wears its flash out: it does not
                // come to rest.
                continue;
            }
        };
        explored.looked_at(layout.active);
        let (runs, runs_new) = oracle::running(&explored.flash, explored.scene)?;
        let end = jump(explored, runs, runs_new, trial)?;
        oracle::no_unit_was_programmed_too_often(&explored.flash)?;
        match end {
            AppEnd::PowerLost => {}
            AppEnd::Restart => explored.memory.rests = 0,
            AppEnd::Rest => {
                let quiet = explored.flash.operations() == explored.begun;
                explored.memory.restless += u8::from(explored.memory.rests > 0 && !quiet);
                explored.memory.rests += 1;
                watch(WatchPoint::Rest(explored.memory.rests), &explored.flash);
                oracle::rest_is_quiet(&explored.memory)?;
                if explored.memory.rests >= RESTS && quiet {
                    return Ok(End::Rest);
                }
            }
        }
    }
}

/// The bootloader's last act: starts the watchdog for an image on probation and jumps to what is in ACTIVE.
fn jump<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
    explored: &mut ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>,
    runs: &ScriptedPackage,
    runs_new: bool,
    trial: bool,
) -> Result<AppEnd, Breach> {
    match explored.scene.scenario {
        Scenario::Unbootable if runs_new => broken(
            Invariant::S1,
            "the bootloader jumps to what is no program for this chip",
        ),
        // What faults ends in the bootloader's handler, what hangs or locks up in the watchdog's reset.
        Scenario::Dies if runs_new && trial => Ok(AppEnd::Restart),
        Scenario::Dies if runs_new => broken(
            Invariant::L2,
            "an image that hangs runs without a watchdog: it is silent for good",
        ),
        _ => application(explored, runs, runs_new, trial),
    }
}

fn application<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
    explored: &mut ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>,
    runs: &ScriptedPackage,
    runs_new: bool,
    trial: bool,
) -> Result<AppEnd, Breach> {
    let scene = explored.scene;
    let Ok(mut agent) = Agent::<BUFFER, Held>::start(explored, &scene.layout, []) else {
        return broken(
            Invariant::S1,
            "the agent of the running image does not start",
        );
    };
    if agent.in_trial() != trial {
        return broken(
            Invariant::S4,
            format!(
                "the bootloader starts the image {} trial, the agent thinks otherwise",
                if trial { "on" } else { "without" }
            ),
        );
    }
    if trial {
        explored.looked_at(scene.layout.staging);
    }
    oracle::rollback_is_prevented_and_revert_possible(
        &explored.flash,
        scene,
        &explored.memory,
        agent.state(),
        runs_new,
        trial,
    )?;
    let State { phase, image, .. } = *agent.state();
    if let Phase::Downloading { committed, .. } = phase {
        explored.looked_at_bytes(scene.layout.staging.start, committed);
        oracle::what_counts_as_received_is_there(
            &explored.flash,
            scene,
            &explored.memory,
            image,
            committed,
        )?;
    }
    let mut link = Link::default();
    let mut out = [0; MAX_UPLINK_BYTES];
    let mut now_ms = 0;
    let mut stood_at = None;
    for _ in 0..MOST_STEPS {
        // Between erases there is little to be gained, but for the first fragment after a cut: once the device has dealt
        // with it, it no longer matters whether that one was cut or the one before.
        let now = (explored.memory.erases(), explored.memory.progressed);
        if stood_at != Some(now) {
            stood_at = Some(now);
            explored.stands_at(&("application", &agent, &link, runs_new, trial));
            if explored.merged().is_some() {
                return Ok(AppEnd::PowerLost);
            }
        }
        if agent.in_trial() && agent.heard_platform() {
            if scene.scenario == Scenario::NeverConfirms {
                return Ok(AppEnd::Restart);
            }
            if agent.confirm(explored).is_err() {
                return stopped(explored);
            }
        }
        match agent.poll(explored, now_ms, &mut out) {
            Ok(Wish::Send(length)) => {
                let understood = Uplink::decode(&out[..length])
                    .ok()
                    .filter(|_| Uplink::verify(&out[..length], &scene.new.lean_key).is_ok());
                let Some(message) = understood else {
                    return broken(Invariant::L4, "the device sends what nobody understands");
                };
                for mut answer in link.answer(explored, message, runs, agent.in_trial())? {
                    if agent.on_datagram(explored, now_ms, &mut answer).is_err() {
                        return stopped(explored);
                    }
                    explored.memory.dealt_with();
                }
            }
            Ok(Wish::Restart) => return Ok(AppEnd::Restart),
            Ok(Wish::Continue) => {}
            Ok(Wish::Wait { .. }) if link.nothing_to_do => {
                oracle::ends_as_expected(
                    scene,
                    &explored.memory,
                    &agent,
                    link.last.as_ref(),
                    runs_new,
                )?;
                return Ok(AppEnd::Rest);
            }
            Ok(Wish::Wait { until_ms }) => now_ms = now_ms.max(until_ms),
            Err(_) => return stopped(explored),
        }
        if agent.state().phase == Phase::Ready {
            explored.looked_at(scene.layout.staging);
        }
        oracle::ready_means_whole(
            &explored.flash,
            scene,
            &explored.memory,
            agent.state().phase,
        )?;
    }
    broken(
        Invariant::L2,
        format!("the application does not come to an end: {MOST_STEPS} steps in one boot"),
    )
}

/// The core could not go on in flash. That is fine only without power.
fn stopped<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
    explored: &ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>,
) -> Result<AppEnd, Breach> {
    oracle::no_unit_was_programmed_too_often(&explored.flash)?;
    if explored.flash.is_powered() {
        return broken(Invariant::L2, "the agent gives up though power is on");
    }
    Ok(AppEnd::PowerLost)
}

/// One fragment is outstanding at a time. A window changes which fragments are under way, not what is done in flash: that
/// only ever takes them in their order.
const WINDOW: u8 = 1;
/// Room for fragments that come before their turn.
pub(super) type Held = [u8; 0];
/// There is no stranger here whose recordings would have to be told apart.
const CHALLENGE: Challenge = Challenge(1);
/// Fragments of an image the platform serves before it withdraws it.
const WITHDRAWN_AFTER: u16 = 4;

/// The platform with one task at a time, and the link to it.
#[derive(Default, Hash)]
struct Link {
    /// Messages so far on a link that loses some; which ones depends on their number.
    messages: u64,
    last: Option<Status>,
    offered: bool,
    nothing_to_do: bool,
}

impl Link {
    /// What comes back: one datagram, several fragments, or nothing.
    fn answer<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        &mut self,
        explored: &mut ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>,
        message: Uplink,
        runs: &ScriptedPackage,
        trial: bool,
    ) -> Result<Vec<Vec<u8>>, Breach> {
        let scene = explored.scene;
        self.nothing_to_do = false;
        if let Uplink::Status(status) = &message {
            oracle::reports_truly(scene, status, runs, trial)?;
        }
        if scene.loss_permille > 0 {
            self.messages += 1;
            let mut random = scene.seed ^ self.messages << 20;
            if split_mix(&mut random) % 1000 < u64::from(scene.loss_permille) {
                return Ok(Vec::new());
            }
        }
        if let Some(earlier) = &scene.earlier
            && !explored.memory.is_superseded
            && task_is_over(scene.scenario, earlier, &message)
        {
            explored.memory.supersede();
        }
        let task = match &scene.earlier {
            Some(earlier) if !explored.memory.is_superseded => earlier,
            _ => &scene.new,
        };
        match message {
            Uplink::Status(status) => {
                let new = task.signed.image_id();
                // A platform may offer again what the device refused in an earlier boot: it has to refuse it again.
                let refused = status.result_image == new && self.offered;
                let done = refused || status.running == new;
                self.last = Some(status);
                self.nothing_to_do = done && !trial;
                let answer = if done {
                    encoded(
                        &Downlink::Nothing {
                            retry_after_s: 60,
                            challenge: CHALLENGE,
                        },
                        task,
                    )
                } else {
                    self.offered = true;
                    encoded(
                        &Downlink::Offer {
                            wire_version: WIRE_VERSION,
                            window: WINDOW,
                            challenge: CHALLENGE,
                            manifest: &task.signed.encode(),
                        },
                        task,
                    )
                };
                Ok(vec![answer])
            }
            Uplink::Request { handle, .. } if handle != task.handle => {
                let result = ResultCode::NoSuchTask;
                let refusal = encoded(&Downlink::Refusal { handle, result }, task);
                Ok(vec![refusal])
            }
            Uplink::Request { wanted, .. } => wanted
                .indices()
                .map(|index| Self::fragment(explored, task, index))
                .collect(),
        }
    }

    fn fragment<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        explored: &mut ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>,
        task: &ScriptedPackage,
        index: FragmentIndex,
    ) -> Result<Vec<u8>, Breach> {
        let number = usize::from(index.0);
        let Some(fragment) = task.sealed.get(number) else {
            return broken(
                Invariant::L4,
                format!("the device asks for fragment {number} which is not there"),
            );
        };
        oracle::little_is_fetched_again(explored.scene, &mut explored.memory, index.0)?;
        explored.memory.sent(index.0, task.sealed.len() as u16);
        let mut sealed = if is_planted(RigBug::ServerRestartsAtZero) {
            task.sealed[0].clone()
        } else if is_planted(RigBug::ServerSwapsImage) {
            task.swapped[number].clone()
        } else {
            fragment.clone()
        };
        oracle::no_nonce_serves_twice(task, index, &sealed)?;
        let message = Downlink::Fragment {
            index: index.0 as u8,
            body: &mut sealed,
        };
        Ok(encoded(&message, task))
    }
}

fn encoded(message: &Downlink<'_>, task: &ScriptedPackage) -> Vec<u8> {
    let mut out = vec![0; MAX_DOWNLINK_BYTES];
    // The buffer holds the longest message there is.
    let length = message.encode(&task.lean_key, &mut out).unwrap_or(0);
    out.truncate(length);
    out
}

/// Whether the platform, asked this, has something else for the device than `earlier`.
fn task_is_over(scenario: Scenario, earlier: &ScriptedPackage, message: &Uplink) -> bool {
    let id = earlier.signed.image_id();
    match message {
        Uplink::Request { handle, wanted } => {
            scenario == Scenario::Withdrawn
                && *handle == earlier.handle
                && wanted.base().0 >= WITHDRAWN_AFTER
        }
        Uplink::Status(status) => {
            status.result_image == id && status.result == ResultCode::VerifyFailed
        }
    }
}
