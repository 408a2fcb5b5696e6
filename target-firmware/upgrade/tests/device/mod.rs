//! A device, its flash and its platform in one process: the real boot code and the real session over the flash model,
//! with a platform that answers at once. Used by the sweeps.
pub mod package;

use std::collections::HashSet;

use nor_flash_model::NorFlashModel;
use powercut_session::{Probation, Session, Step};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::boot::{self, Outcome};
use powercut_upgrade::flash::{TwiceProgrammable, UpgradeFlash, WriteOnce};
use powercut_upgrade::journal::{Journal, Phase};
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::MAX_UPLINK_BYTES;
use powercut_upgrade::wire::lean::Uplink;

use package::{BEHAVIOUR_AT, fragment, lean_key, nothing, offer};
pub use package::{
    Behaviour, Package, Recipe, SIGNER, SMALL_PAGES, package, provision, seal, small_layout,
};

/// Fragments a device may have outstanding.
const WINDOW: u8 = 8;
/// Such an image has time for one message.
const NEVER_CONFIRMS: Probation = Probation {
    limit_ms: 1,
    confirms: false,
};

/// Flash that can be looked at and cut from outside.
pub trait Cuttable: UpgradeFlash {
    fn bytes(&self) -> Vec<u8>;
    fn holds(&self, address: u32, bytes: &[u8]) -> bool;
    fn operations(&self) -> u64;
    fn violations(&self) -> &[u32];
    fn is_powered(&self) -> bool;
    fn power_on(&mut self);
    fn cut_at(&mut self, cut: nor_flash_model::Cut);
}

macro_rules! cuttable {
    ($wrapper:ident, $programs:literal) => {
        impl<const U: usize, const P: usize> Cuttable for $wrapper<NorFlashModel<U, P, $programs>> {
            fn bytes(&self) -> Vec<u8> {
                self.0.bytes()
            }
            fn holds(&self, address: u32, bytes: &[u8]) -> bool {
                self.0.holds(address, bytes)
            }
            fn operations(&self) -> u64 {
                self.0.operations()
            }
            fn violations(&self) -> &[u32] {
                self.0.violations()
            }
            fn is_powered(&self) -> bool {
                self.0.is_powered()
            }
            fn power_on(&mut self) {
                self.0.power_on();
            }
            fn cut_at(&mut self, cut: nor_flash_model::Cut) {
                self.0.cut_at(cut);
            }
        }
    };
}
cuttable!(TwiceProgrammable, 2);
cuttable!(WriteOnce, 1);

/// What happened until the device came to rest.
#[derive(Debug, Default)]
pub struct Run {
    pub boots: u32,
    pub requested: Vec<u16>,
    /// Fragments that arrived at the device.
    arrived: HashSet<u16>,
    /// Requests for those.
    pub fetched_again: usize,
    pub result: Option<powercut_upgrade::wire::lean::Status>,
}

/// Lets the device live, power coming back at once whenever it goes, until it has told the platform how it ended and
/// has nothing to do. Panics where an invariant breaks.
pub fn live<F: Cuttable, const PAGE: usize, const HELD: usize>(
    flash: &mut F,
    layout: &Layout,
    old: &Package,
    offered: &Package,
) -> Run {
    live_with::<F, PAGE, HELD>(flash, layout, old, offered, |_| {})
}

/// The same; `powered_again` is called whenever power came back after a cut.
pub fn live_with<F: Cuttable, const PAGE: usize, const HELD: usize>(
    flash: &mut F,
    layout: &Layout,
    old: &Package,
    offered: &Package,
    mut powered_again: impl FnMut(&mut F),
) -> Run {
    let mut run = Run::default();
    while run.boots < 40 {
        run.boots += 1;
        if !flash.is_powered() {
            flash.power_on();
            powered_again(flash);
        }
        let outcome = boot::boot(flash, layout, &mut || {});
        assert!(
            flash.violations().is_empty(),
            "S3: programmed too often at {:x?}",
            flash.violations()
        );
        if !flash.is_powered() {
            continue;
        }
        let Outcome::Run { trial } = outcome else {
            panic!("S1: nothing runs: {outcome:?}");
        };
        let runs = [old, offered]
            .into_iter()
            .find(|package| flash.holds(layout.active.start, &package.image))
            .expect("S1: ACTIVE is a mixture");
        assert_ne!(
            runs.image[BEHAVIOUR_AT],
            Behaviour::NoProgram as u8,
            "the bootloader jumps to what is no program"
        );
        if trial {
            assert_eq!(runs.image, offered.image, "only the new image is on trial");
            old_is_kept(flash, layout, old);
        }
        if application::<F, PAGE, HELD>(flash, layout, runs, offered, &mut run) {
            assert!(
                flash.violations().is_empty(),
                "S3: programmed too often at {:x?}",
                flash.violations()
            );
            return run;
        }
    }
    panic!("L2: the device did not come to rest in {} boots", run.boots);
}

/// S4: until the new image confirms, the old one is whole in STAGING.
fn old_is_kept<F: Cuttable>(flash: &mut F, layout: &Layout, old: &Package) {
    let placement = Journal::recover(flash, layout).state().staging_placement();
    let bytes = flash.bytes();
    for (offset, byte) in old.image.iter().enumerate() {
        let at = layout.image_byte(
            powercut_upgrade::slots::Slot::Staging,
            placement,
            offset as u32,
        );
        assert_eq!(
            bytes[at as usize], *byte,
            "S4: the old image is damaged at {offset}"
        );
    }
}

/// Runs the application until it restarts, loses power, or is done (`true`).
fn application<F: Cuttable, const PAGE: usize, const HELD: usize>(
    flash: &mut F,
    layout: &Layout,
    runs: &Package,
    offered: &Package,
    run: &mut Run,
) -> bool {
    let Ok(agent) = Agent::<PAGE, _>::start(flash, layout, [0; HELD]) else {
        assert!(!flash.is_powered(), "the agent does not start");
        return false;
    };
    let probation = if runs.image[BEHAVIOUR_AT] == Behaviour::NeverConfirms as u8 {
        NEVER_CONFIRMS
    } else {
        Probation::UNLIMITED
    };
    let mut session = Session::new(agent, 0, probation);
    let mut out = [0; MAX_UPLINK_BYTES];
    for now in 0..100_000_u64 {
        match session.poll(flash, now, &mut out) {
            Ok(Step::Send(length)) => {
                Uplink::verify(&out[..length], &lean_key()).unwrap();
                let message = Uplink::decode(&out[..length]).unwrap();
                let mut answers = platform(message, offered, run);
                let taken = answers.iter_mut().try_for_each(|(index, answer)| {
                    run.arrived.extend(index.as_ref());
                    session.on_datagram(flash, now, answer)
                });
                if taken.is_err() {
                    break;
                }
            }
            Ok(Step::Restart(_)) => return false,
            Ok(Step::Continue | Step::Confirmed) => {}
            Ok(Step::Wait { .. }) => return true,
            Err(_) => break,
        }
        if session.agent().state().phase == Phase::Ready {
            assert_ready(flash, layout, offered);
        }
    }
    assert!(!flash.is_powered(), "the session gave up: {session:?}");
    false
}

/// S2: Ready implies that STAGING equals the signed image.
fn assert_ready<F: Cuttable>(flash: &F, layout: &Layout, offered: &Package) {
    assert!(
        flash.holds(layout.staging.start, &offered.image),
        "S2: Ready, but STAGING is not the image"
    );
}

/// A platform with one task: this package for this device, until the device says how it ended. Fragments come with
/// their numbers.
fn platform(message: Uplink, offered: &Package, run: &mut Run) -> Vec<(Option<u16>, Vec<u8>)> {
    match message {
        Uplink::Status(status) => {
            let done = status.result_image == offered.signed.image_id()
                || status.running == offered.signed.image_id();
            run.result = Some(status);
            let answer = if done {
                nothing()
            } else {
                offer(offered, WINDOW)
            };
            vec![(None, answer)]
        }
        Uplink::Request { handle, wanted } => {
            assert_eq!(handle, lean_key().handle(&offered.signed));
            let indices: Vec<u16> = wanted.indices().map(|index| index.0).collect();
            // The whole image was there, and is fetched anew because it was the wrong one.
            let fragments = usize::from(offered.signed.manifest().fragments());
            if indices.contains(&0) && run.arrived.len() == fragments {
                run.arrived.clear();
            }
            let arrived = &run.arrived;
            run.fetched_again += indices
                .iter()
                .filter(|index| arrived.contains(index))
                .count();
            run.requested.extend(&indices);
            wanted
                .indices()
                .map(|index| (Some(index.0), fragment(index, &seal(offered, index))))
                .collect()
        }
    }
}
