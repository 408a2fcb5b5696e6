//! Lines that are pasted back: cases, schedules of the exploration, image names, cuts. What is read prints as a line that
//! reads the same.
#![no_main]
use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use powercut_package::ImageName;
use powercut_explore::{PlannedLine, Schedule};
use rig_controller::plan::{CaseLine, Cut};

fuzz_target!(|text: &str| {
    reads_back::<CaseLine>(text);
    reads_back::<Schedule>(text);
    reads_back::<PlannedLine>(text);
    reads_back::<ImageName>(text);
    reads_back::<Cut>(text);
});

fn reads_back<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            match printed.parse::<T>() {
                Ok(again) => assert_eq!(again, value, "{printed}"),
                Err(error) => panic!("{printed:?} does not read back: {error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
