//! The FACTORY page: what decodes encodes to the same facts; the register of the suite m-sequence gives out a keystream
//! and jumps in it as it steps.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::checked_at;
use powercut_upgrade::factory::{FACTORY_BYTES, Factory};
use powercut_upgrade::m_sequence::{CONFIGURATION_BYTES, Configuration, FACTORY_OFFSET};

const PAGE: usize = FACTORY_OFFSET as usize + CONFIGURATION_BYTES;

fuzz_target!(|bytes: &[u8]| {
    let mut page = [0xFF; PAGE];
    let length = bytes.len().min(PAGE);
    page[..length].copy_from_slice(&bytes[..length]);
    let as_it_is = page;
    // The same with checks that hold, or nothing behind them would ever be seen.
    checked_at(&mut page, 0..88);
    checked_at(&mut page, 92..128);
    checked_at(&mut page, FACTORY_OFFSET as usize..PAGE - 4);
    for page in [as_it_is, page] {
        let facts = page.first_chunk::<FACTORY_BYTES>().expect("it is longer");
        if let Ok(factory) = Factory::decode(facts) {
            assert_eq!(Factory::decode(&factory.encode()), Ok(factory));
        }
        let register = page
            .last_chunk::<CONFIGURATION_BYTES>()
            .expect("it is longer");
        if let Some(configuration) = Configuration::decode(register) {
            assert_eq!(configuration.encode(), *register);
            let mut stepped = configuration.register;
            for bits in 1..=40 {
                stepped.next_bit();
                assert_eq!(configuration.register.after(bits), stepped);
            }
        }
    }
});
