//! The agent, in either dialect, against a platform that answers, forgets, mixes up, damages and makes up datagrams, with
//! restarts in between: nothing programs a unit too often, touches ACTIVE, or makes an image ready that is not the signed one.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::{
    Flash, HELD, LAYOUT, Peer, new_image, old_image, provisioned, provisioned_for_pcp,
};
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::journal::Phase;
use powercut_upgrade::wire::MAX_UPLINK_BYTES;

type Device = Agent<0, [u8; HELD]>;

fuzz_target!(|script: &[u8]| {
    let Some((dialect, script)) = script.split_first() else {
        return;
    };
    let mut flash = match dialect & 1 {
        0 => provisioned(),
        _ => provisioned_for_pcp(),
    };
    let mut agent = started(&mut flash);
    let mut peer = Peer::new(script);
    let mut out = [0; MAX_UPLINK_BYTES];
    let mut now = 0;
    // Each answer takes a byte of the script, but silence takes none.
    for _ in 0..400 {
        match agent.poll(&mut flash, now, &mut out) {
            Ok(Wish::Send(length)) => {
                let Some(answers) = peer.answers(&out[..length]) else {
                    break;
                };
                for mut answer in answers {
                    let _ = agent.on_datagram(&mut flash, now, &mut answer);
                }
                if peer.restarts_device() {
                    agent = started(&mut flash);
                }
            }
            Ok(Wish::Wait { until_ms }) => now = until_ms,
            Ok(Wish::Continue) => {}
            Ok(Wish::Restart) | Err(_) => break,
        }
        holds(&flash, &agent);
    }
});

fn started(flash: &mut Flash) -> Device {
    Agent::start(flash, &LAYOUT, [0; HELD])
        .unwrap_or_else(|error| panic!("the device does not start: {error:?}"))
}

fn holds(flash: &Flash, agent: &Device) {
    assert!(flash.0.violations().is_empty(), "programmed too often");
    assert!(
        flash.0.holds(LAYOUT.active.start, &old_image().image),
        "ACTIVE"
    );
    if agent.state().phase == Phase::Ready {
        assert_eq!(agent.state().image, new_image().signed.image_id());
        assert!(
            flash.0.holds(LAYOUT.staging.start, &new_image().image),
            "STAGING"
        );
    }
}
