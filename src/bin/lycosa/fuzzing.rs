//! Fuzzing: the targets of the command, for what it reads itself. As in the library (`src/fuzzing.rs`), each lives beside the
//! code it is for.
//!
//! Only in builds for tests and for fuzzing. The loop that feeds targets is taken in as a file: the library that the command
//! stands on is built without it. Under libFuzzer the command's own `main.rs` is the program, and has no `main`.

#[macro_use]
#[path = "../../fuzzing/mutation.rs"]
mod mutation;
#[path = "../../fuzzing/target.rs"]
pub mod target;

#[cfg(all(fuzzing, not(test)))]
use target::Target;

targets! {
    config = crate::file::fuzz::CONFIG,
    audit = crate::commands::audit::fuzz::AUDIT,
}

#[cfg(all(fuzzing, not(test)))]
libfuzzer_sys::fuzz_target!(
    init: mutation::begin(TARGETS),
    |input: &[u8]| mutation::run(input)
);
