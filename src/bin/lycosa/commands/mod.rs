//! What each command does with its resolved settings.

pub mod audit;
pub mod conduct;
pub mod config;
pub mod demo;
pub mod explain;
pub mod extract;
pub mod generate;
pub mod robots;
pub mod run;
pub mod sitemap;
pub mod state;
