//! The engine without network: a scripted fetcher, a paused clock, thousands of hosts in milliseconds.

mod audit;
mod cached;
pub(super) mod fake;
mod large;
mod outage;
mod paced;
mod races;
mod refused_for_long;
mod resume;
mod robots;
mod simulation;
mod stories;
mod time;
mod traps;
