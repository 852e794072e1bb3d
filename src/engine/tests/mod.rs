//! The engine without network: a scripted fetcher, a paused clock, thousands of hosts in milliseconds.

mod audit;
mod fake;
mod outage;
mod paced;
mod simulation;
mod stories;
