//! Floor 1: the types that every other floor speaks in. Plain values, no clock, no network, no files.

pub mod columns;
pub mod exchange;
pub mod fetch_error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod job;
pub mod mark;
pub mod page;
pub mod record;
pub mod record_json;
pub mod record_schema;
pub mod units;
pub mod url;
