//! What every test stands on: a scripted server that logs what it was asked, and the command under observation.
//!
//! Nothing here knows how lycosa works inside. A [`Site`] is judged by its own log; a [`Run`] by its exit code, its two
//! streams and its peak memory.

mod alone;
mod answer;
mod command;
mod dns;
mod log;
mod pages;
mod records;
mod selftest;
mod site;
mod socks;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use alone::{Network, alone};
pub use answer::{Answer, Reply, Request, bomb, html, redirect, status, text};
pub use command::{Command, Run, Running, lycosa, program};
pub use dns::{NameServer, Says};
pub use log::{Hit, gaps, mean_in_flight, most_in_flight, rate_broken, seconds, starts_per_second};
pub use pages::{Tree, index};
pub use records::{
    KEYS, Summary, all_keys_present, field, outcome_counts, record_schema, requests_of, urls_asked, with_path,
};
pub use site::Site;
pub use socks::Socks;

/// One test at a time that measures time: the others of the suite are noise enough.
static MEASURING: Mutex<()> = Mutex::new(());

/// Held by a test that judges by the clock. A test that failed while holding it does not fail the others.
pub fn measuring() -> MutexGuard<'static, ()> {
    MEASURING.lock().unwrap_or_else(PoisonError::into_inner)
}
