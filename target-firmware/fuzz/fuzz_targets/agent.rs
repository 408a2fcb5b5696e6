//! The agent, in either dialect, fetching few fragments or more than a byte can count, against a platform that answers, forgets, mixes up, damages and makes up datagrams, with
//! restarts in between: nothing programs a unit too often, touches ACTIVE, or makes an image ready that is not the signed one.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::{HELD, Peer, Scene, old_image};
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::journal::Phase;
use powercut_upgrade::wire::MAX_UPLINK_BYTES;

type Device = Agent<0, [u8; HELD]>;

fuzz_target!(|script: &[u8]| {
    let Some((name, script)) = script.split_first() else {
        return;
    };
    let mut scene = Scene::named(*name);
    let mut agent = started(&mut scene);
    let mut peer = Peer::new(script, scene.new);
    let mut out = [0; MAX_UPLINK_BYTES];
    let mut now = 0;
    // Each answer takes a byte of the script, but silence takes none.
    for _ in 0..script.len() * 3 + 100 {
        match agent.poll(&mut scene.flash, now, &mut out) {
            Ok(Wish::Send(length)) => {
                let Some(answers) = peer.answers(&out[..length]) else {
                    break;
                };
                for mut answer in answers {
                    let _ = agent.on_datagram(&mut scene.flash, now, &mut answer);
                }
                if peer.restarts_device() {
                    agent = started(&mut scene);
                }
            }
            Ok(Wish::Wait { until_ms }) => now = until_ms,
            Ok(Wish::Continue) => {}
            Ok(Wish::Restart) | Err(_) => break,
        }
        if agent.state().phase == Phase::Ready {
            is_what_was_signed(&scene, &agent);
        }
    }
    // What was done to flash shows at the end as well as on the way.
    let flash = &scene.flash.0;
    assert!(flash.violations().is_empty(), "programmed too often");
    assert!(
        flash.holds(scene.layout.active.start, &old_image().image),
        "ACTIVE"
    );
});

fn started(scene: &mut Scene) -> Device {
    Agent::start(&mut scene.flash, scene.layout, [0; HELD])
        .unwrap_or_else(|error| panic!("the device does not start: {error:?}"))
}

fn is_what_was_signed(scene: &Scene, agent: &Device) {
    assert_eq!(agent.state().image, scene.new.signed.image_id());
    assert!(
        scene
            .flash
            .0
            .holds(scene.layout.staging.start, &scene.new.image),
        "STAGING"
    );
}
