//! lycosa as people and scripts see it: the binary is run, real servers on loopback answer it, and what it promises is
//! judged by its records, its exit code, and the servers' own logs.

#![expect(clippy::disallowed_methods, reason = "the tests stand outside of the run and judge it by their own clock")]
#![expect(clippy::unwrap_used, reason = "whatever goes wrong in a test fails it")]

mod support;
mod layering;
mod input;
mod records;
mod crawl;
mod politeness;
mod resilience;
