//! The targets of the library; `LYCOSA_FUZZ_TARGET` names the one that runs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lycosa::fuzzing::{TARGETS, begin, run};

fuzz_target!(
    init: begin(TARGETS),
    |input: &[u8]| run(input)
);
