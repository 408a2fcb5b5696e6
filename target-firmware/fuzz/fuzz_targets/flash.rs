//! Arbitrary flash: bootloader, agent and journal read it whatever it holds, and the journal can be written again. The first
//! byte of the input names one of the states an upgrade goes through, each four that follow a byte of flash to change.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::{Flash, HELD, LAYOUT, changed_flash};
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::boot;
use powercut_upgrade::journal::{Journal, Phase};
use powercut_upgrade::wire::MAX_UPLINK_BYTES;

fuzz_target!(|bytes: &[u8]| {
    let Some((flash, _)) = changed_flash(bytes) else {
        return;
    };
    journal_can_be_written_again(flash.clone());
    let mut flash = flash;
    for _ in 0..3 {
        boot::boot(&mut flash, &LAYOUT, &mut || {});
        runs(&mut flash);
    }
});

fn journal_can_be_written_again(mut flash: Flash) {
    let mut journal = Journal::recover(&mut flash, &LAYOUT);
    let mut state = *journal.state();
    journal
        .open(&mut flash, state)
        .expect("the journal erases a page before it writes to it");
    // A boot that recovers a download counts one that may have programmed the units ahead.
    if let Phase::Downloading { programs, .. } = &mut state.phase {
        *programs = programs.saturating_add(1);
    }
    assert_eq!(Journal::recover(&mut flash, &LAYOUT).state(), &state);
}

fn runs(flash: &mut Flash) {
    let Ok(mut agent) = Agent::<0, _>::start(flash, &LAYOUT, [0; HELD]) else {
        return;
    };
    let mut out = [0; MAX_UPLINK_BYTES];
    for now in 0..40 {
        match agent.poll(flash, now, &mut out) {
            Ok(Wish::Restart) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
