//! lycosa: a concurrent web crawler and batch HTTP fetcher.

pub mod crawl;
pub mod engine;
pub mod fetch;
pub mod frontier;
pub mod model;
pub mod observe;
pub mod parse;
pub mod policy;
pub mod seeds;
pub mod sinks;
