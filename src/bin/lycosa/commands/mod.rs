//! What each command does with its resolved settings.

pub mod config;
pub mod generate;
pub mod run;
