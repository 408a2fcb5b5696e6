//! Firmware files, by name (the first byte chooses) and by content: what is read fits the flash it was read for, and what
//! is written as HEX reads back.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use powercut_package::Image;

const FLASH: std::ops::Range<u32> = 0x9C00..0x2_4800;
const NAMES: [&str; 5] = ["a.hex", "a.elf", "a.bin", "firmware", "a.txt"];

fuzz_target!(|bytes: &[u8]| {
    let Some((name, content)) = bytes.split_first() else {
        return;
    };
    let path = Path::new(NAMES[usize::from(*name) % NAMES.len()]);
    match Image::parse(path, content.to_vec(), FLASH) {
        Ok(image) => {
            assert!(!image.bytes.is_empty() && image.base >= FLASH.start);
            assert!(image.base as usize + image.bytes.len() <= FLASH.end as usize);
            let again = Image::parse(Path::new("a.hex"), image.to_hex().into_bytes(), FLASH);
            assert_eq!(again.ok(), Some(image));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
