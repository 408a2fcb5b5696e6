//! The agent against a platform that answers, forgets, mixes up, damages and makes up datagrams, with restarts in between:
//! nothing programs a unit too often, touches ACTIVE, or makes an image ready that is not the signed one.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::{Flash, LAYOUT, Peer, new_image, old_image, provisioned};
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::journal::Phase;
use powercut_upgrade::wire::lean::{MAX_UPLINK_BYTES, Uplink};

fuzz_target!(|script: &[u8]| {
    let mut flash = provisioned();
    let Ok(mut agent) = Agent::<0>::start(&mut flash, &LAYOUT) else {
        panic!("a device fresh from the factory starts");
    };
    let mut peer = Peer::new(script);
    let mut out = [0; MAX_UPLINK_BYTES];
    let mut now = 0;
    // Each answer but the right one takes a byte of the script, so that this ends.
    for _ in 0..400 {
        match agent.poll(&mut flash, now, &mut out) {
            Ok(Wish::Send(length)) => {
                let asked = Uplink::decode(&out[..length]).expect("a device sends what decodes");
                let Some(answers) = peer.answers(&asked) else {
                    break;
                };
                for mut answer in answers {
                    let _ = agent.on_datagram(&mut flash, now, &mut answer);
                }
                if peer.restarts_device() {
                    agent = Agent::start(&mut flash, &LAYOUT)
                        .unwrap_or_else(|error| panic!("the device does not start: {error:?}"));
                }
            }
            Ok(Wish::Wait { until_ms }) => now = until_ms,
            Ok(Wish::Continue) => {}
            Ok(Wish::Restart) | Err(_) => break,
        }
        holds(&flash, &agent);
    }
});

fn holds(flash: &Flash, agent: &Agent<0>) {
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
