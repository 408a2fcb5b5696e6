//! The resume protocol, in every order of events: a model of device, platform and network for the checker *stateright*,
//! around the real agent and the real boot code over the flash model.
//!
//! What may happen, at any time and in any order: a datagram is lost, overtaken, delayed without bound or arrives
//! twice; the device waits no longer; the device loses power between any two steps (its flash stays, its RAM goes); the
//! platform restarts and has the same task, or another image to install, whose download begins while datagrams of the
//! one before are under way. Power losses, restarts and duplicates are counted out, and so is what the network holds;
//! loss is not. Time is not measured: a device that waits may find its time come at any moment, so states that differ
//! only in how long they wait are one state (`Hash` of the agent).
//!
//! What is shown, for all states there are within these bounds: the properties in `model.rs` hold, and from each state
//! **every** way that is *calm* (no more loss, duplicate, power loss, restart; no timeout while a datagram is under way)
//! ends with the platform's image confirmed. So there is no deadlock, no livelock, and nothing that only a reset would
//! cure. What is not: more than the bounds, real durations, and power lost inside a step: cutting at each flash
//! operation is the business of the sweeps.
mod device;
mod graph;
mod model;
#[path = "../device/package.rs"]
mod package;
mod platform;

use std::marker::PhantomData;
use std::num::NonZero;

use device::ModelFlash;
use graph::{Graph, Outlook};
use model::{Budget, Flash, Upgrade};
use nor_flash_model::NorFlashModel;
use package::{Behaviour, Recipe, SIGNER, SMALL_PAGES, package, small_layout};
use platform::{Catalogue, Fault};
use powercut_upgrade::flash::{TwiceProgrammable, WriteOnce};
use powercut_upgrade::image::Location;
use stateright::{Checker, Model};

const PAGE: usize = 256;

type Nrf = TwiceProgrammable<NorFlashModel<4, PAGE, 2>>;
type Stm = WriteOnce<NorFlashModel<8, PAGE, 1>>;

fn nrf() -> Nrf {
    TwiceProgrammable(NorFlashModel::new(SMALL_PAGES))
}

fn stm() -> Stm {
    WriteOnce(NorFlashModel::new(SMALL_PAGES))
}

fn recipe(minor: u8, counter: u32, size: usize) -> Recipe {
    Recipe {
        minor,
        counter,
        size,
        fragment_bytes: 96,
        behaviour: Behaviour::Good,
        signed_by: SIGNER,
        m_sequence: None,
    }
}

/// From an image of one page to one of four fragments, or to another of three; both cover two pages.
fn upgrade<F: ModelFlash, const BUFFER: usize, const HELD: usize>(
    fresh: F,
    budget: Budget,
) -> Upgrade<F, BUFFER, HELD> {
    Upgrade {
        layout: small_layout(PAGE as u32),
        fresh,
        old: package(&recipe(0, 2, 200)),
        catalogue: catalogue(Fault::None),
        budget,
        in_flight: 2,
        flash: Flash::Sound,
        graph: Graph::default(),
        buffer: PhantomData,
    }
}

fn catalogue(fault: Fault) -> Catalogue {
    let [first, second] = [recipe(1, 3, 340), recipe(2, 3, 270)];
    Catalogue::new(package(&first), package(&second), fault)
}

/// Reaches every state there is.
fn check<F: ModelFlash, const BUFFER: usize, const HELD: usize>(
    upgrade: Upgrade<F, BUFFER, HELD>,
) -> impl Checker<Upgrade<F, BUFFER, HELD>> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    upgrade.checker().threads(threads).spawn_bfs().join()
}

/// Every property holds, nothing that should be met is missed, and calm completes the upgrade.
fn holds<F: ModelFlash, const BUFFER: usize, const HELD: usize>(upgrade: Upgrade<F, BUFFER, HELD>) {
    let checked = check(upgrade);
    checked.assert_properties();
    let outlook = checked.model().graph.outlook();
    println!("{outlook:?} in {} steps", checked.state_count());
    assert_eq!(outlook.states, checked.unique_state_count());
    assert_eq!(
        outlook.led_to_a_goal, outlook.states,
        "calm alone does not complete the upgrade from every state"
    );
}

/// The properties that fail, and whether every state still leads to the goal.
fn fails<F: ModelFlash, const BUFFER: usize, const HELD: usize>(
    upgrade: Upgrade<F, BUFFER, HELD>,
) -> (Vec<&'static str>, bool) {
    let checked = check(upgrade);
    let always = |name: &&'static str| {
        let property = checked.model().property(name);
        property.expectation == stateright::Expectation::Always
    };
    let mut failed: Vec<&'static str> = checked.discoveries().into_keys().filter(always).collect();
    failed.sort_unstable();
    let Outlook {
        states,
        led_to_a_goal,
    } = checked.model().graph.outlook();
    (failed, states == led_to_a_goal)
}

const TWO_POWER_LOSSES: Budget = Budget {
    power_losses: 2,
    platform_restarts: 1,
    duplicates: 0,
};
const A_DUPLICATE: Budget = Budget {
    power_losses: 1,
    platform_restarts: 1,
    duplicates: 1,
};
const TASKS_TO_AND_FRO: Budget = Budget {
    power_losses: 1,
    platform_restarts: 2,
    duplicates: 0,
};
/// For a network that holds three datagrams.
const ONE_RESTART: Budget = Budget {
    power_losses: 0,
    platform_restarts: 1,
    duplicates: 0,
};
/// Few of each.
const LITTLE: Budget = Budget {
    power_losses: 1,
    platform_restarts: 1,
    duplicates: 0,
};

/// Loss, delay and overtaking alone.
const NOTHING_ELSE: Budget = Budget {
    power_losses: 0,
    platform_restarts: 0,
    duplicates: 0,
};
const A_LITTLE_DUPLICATION: Budget = Budget {
    power_losses: 1,
    platform_restarts: 0,
    duplicates: 1,
};

#[test]
fn a_download_survives_a_power_loss_and_a_new_task_on_twice_programmable_flash() {
    holds(upgrade::<Nrf, 0, 0>(nrf(), LITTLE));
}

#[test]
#[ignore = "takes a minute"]
fn a_download_survives_two_power_losses_and_a_new_task_on_twice_programmable_flash() {
    holds(upgrade::<Nrf, 0, 0>(nrf(), TWO_POWER_LOSSES));
}

#[test]
fn what_arrives_twice_does_no_harm_on_write_once_flash() {
    holds(upgrade::<Stm, PAGE, 0>(stm(), A_DUPLICATE));
}

#[test]
fn three_datagrams_under_way_in_any_order_do_no_harm() {
    let mut upgrade = upgrade::<Nrf, 0, 0>(nrf(), ONE_RESTART);
    upgrade.in_flight = 3;
    holds(upgrade);
}

/// As in [`upgrade`], with two fragments outstanding at a time and room for one that comes before its turn.
fn with_a_window<F: ModelFlash, const BUFFER: usize>(
    fresh: F,
    budget: Budget,
) -> Upgrade<F, BUFFER, 96> {
    let mut upgrade = upgrade::<F, BUFFER, 96>(fresh, budget);
    upgrade.catalogue.window = 2;
    upgrade.in_flight = 3;
    upgrade
}

#[test]
fn two_fragments_outstanding_may_be_lost_and_overtake_each_other() {
    holds(with_a_window::<Nrf, 0>(nrf(), NOTHING_ELSE));
}

#[test]
#[ignore = "takes half an hour"]
fn a_window_survives_power_losses_new_tasks_and_duplicates() {
    holds(with_a_window::<Nrf, 0>(nrf(), LITTLE));
    holds(with_a_window::<Stm, PAGE>(stm(), A_LITTLE_DUPLICATION));
}

#[test]
#[ignore = "takes two minutes"]
fn a_task_may_change_to_and_fro_and_what_holds_on_one_flash_holds_on_the_other() {
    holds(upgrade::<Stm, PAGE, 0>(stm(), TWO_POWER_LOSSES));
    holds(upgrade::<Nrf, 0, 0>(nrf(), A_DUPLICATE));
    holds(upgrade::<Nrf, 0, 0>(nrf(), TASKS_TO_AND_FRO));
    holds(upgrade::<Stm, PAGE, 0>(stm(), TASKS_TO_AND_FRO));
}

#[test]
fn a_platform_that_seals_another_image_is_found_out_before_anything_is_ready() {
    let mut upgrade = upgrade::<Nrf, 0, 0>(nrf(), LITTLE);
    upgrade.catalogue = catalogue(Fault::SealsOtherImage);
    assert_eq!(fails(upgrade), (vec![model::PROGRESS_IS_TRUE], false));
}

#[test]
fn fragments_of_another_image_under_this_session_are_not_stored_and_the_device_waits_in_vain() {
    let mut upgrade = upgrade::<Stm, PAGE, 0>(stm(), LITTLE);
    upgrade.catalogue = catalogue(Fault::RelabelsFragments);
    assert_eq!(fails(upgrade), (vec![], false));
}

#[test]
fn a_platform_that_forgets_its_task_leaves_the_device_where_it_is() {
    let mut upgrade = upgrade::<Nrf, 0, 0>(nrf(), LITTLE);
    upgrade.catalogue = catalogue(Fault::ForgetsTask);
    assert_eq!(fails(upgrade), (vec![], false));
}

#[test]
fn an_image_that_never_confirms_or_is_no_program_is_never_in_force() {
    for behaviour in [Behaviour::NeverConfirms, Behaviour::NoProgram] {
        let mut upgrade = upgrade::<Nrf, 0, 0>(nrf(), LITTLE);
        let bad = package(&Recipe {
            behaviour,
            ..recipe(1, 3, 340)
        });
        upgrade.catalogue = Catalogue::new(bad, package(&recipe(2, 3, 270)), Fault::None);
        assert_eq!(fails(upgrade), (vec![], false), "{behaviour:?}");
    }
}

#[test]
fn flash_that_loses_a_page_of_the_download_is_noticed() {
    let mut upgrade = upgrade::<Nrf, 0, 0>(nrf(), LITTLE);
    upgrade.flash = Flash::LosesPage(Location::STAGING);
    let (failed, _) = fails(upgrade);
    assert!(failed.contains(&model::PROGRESS_IS_TRUE), "{failed:?}");
}

#[test]
fn flash_that_loses_a_page_of_what_runs_is_noticed() {
    let mut upgrade = upgrade::<Stm, PAGE, 0>(stm(), LITTLE);
    upgrade.flash = Flash::LosesPage(Location::ACTIVE);
    let (failed, _) = fails(upgrade);
    assert!(failed.contains(&model::ACTIVE_IS_WHOLE), "{failed:?}");
}
