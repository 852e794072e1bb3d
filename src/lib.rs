//! A polite, concurrent web crawler and batch HTTP fetcher: the library under the command `lycosa`.
//!
//! A run takes seeds and settings, and gives one [`Record`] for each URL it accepted, fetched, failed or skipped, as they
//! complete. [`Crawl`] opens everything, [`Crawl::stream`] runs it on a thread of its own and is read like any stream,
//! [`Crawl::run`] runs it on the caller's runtime and writes to the outputs in [`Settings`]. A [`RunHandle`] stops and
//! watches from any thread. What a record says, key by key, is the JSON Schema that `lycosa generate record-schema`
//! prints.
//!
//! # Crawl a site, and read its records as a stream
//!
//! ```no_run
//! use futures_util::StreamExt as _;
//! use lycosa::{Crawl, EngineSettings, Settings, Source};
//!
//! # async fn example() -> Result<(), lycosa::StartError> {
//! let mut run = Crawl::new(Settings {
//!     // The defaults are those of a fetch: a crawl follows links and obeys robots.txt.
//!     engine: EngineSettings { follow: true, obey_robots: true, host_concurrency: 4, ..EngineSettings::default() },
//!     seeds: vec![Source::Arguments(vec!["https://example.org/".to_owned()])].into(),
//!     ..Settings::default()
//! })?
//! .stream()?;
//! while let Some(record) = run.next().await {
//!     let page = &record.body_of;
//!     println!("{} {:?} {:?}", page.outcome.as_str(), page.url, page.title);
//! }
//! let summary = run.summary().await.expect("the run ended by itself");
//! println!("{} records, {} requests", summary.records, summary.requests);
//! # Ok(())
//! # }
//! ```
//!
//! # Fetch a list into a file
//!
//! ```no_run
//! use lycosa::{Crawl, OutputSettings, Settings, Source, Target};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let crawl = Crawl::new(Settings {
//!     seeds: vec![Source::File("urls.txt".into())].into(),
//!     outputs: vec![OutputSettings { target: Target::File("records.jsonl".into()), format: "jsonl" }],
//!     ..Settings::default()
//! })?;
//! // One thread: the run spawns its requests on the runtime it is awaited on.
//! let runtime = lycosa::runtime()?;
//! let summary = runtime.block_on(crawl.run());
//! println!("{} failed, stopped by: {}", summary.failures, summary.stopped_by.as_str());
//! # Ok(())
//! # }
//! ```
//!
//! # Stop a run from outside
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use futures_util::StreamExt as _;
//! use lycosa::{Crawl, EngineSettings, Outcome, Settings, Source};
//!
//! # async fn example() -> Result<(), lycosa::StartError> {
//! let mut run = Crawl::new(Settings {
//!     engine: EngineSettings { grace: Duration::from_secs(5), ..EngineSettings::default() },
//!     seeds: vec![Source::Stdin].into(),
//!     ..Settings::default()
//! })?
//! .stream()?;
//! let handle = run.handle();
//! while let Some(record) = run.next().await {
//!     if record.body_of.outcome == Outcome::Failed {
//!         // No new request; what is in flight may end within the grace time, and its records still come.
//!         handle.drain();
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Floors
//!
//! Imports only point down, and modules on one floor do not know each other; a test reads every path in the source.
//!
//! | floor | modules | what lives there |
//! |---|---|---|
//! | 5 | [`crawl`], [`observe`] | the public face; what watches a run |
//! | 4 | [`engine`] | the only floor that spawns tasks and knows all parts |
//! | 3 | [`fetch`], [`frontier`], [`seeds`], [`sinks`] | the outside world: network, storage, files |
//! | 2 | [`policy`], [`parse`] | pure and synchronous; time and randomness come in as arguments |
//! | 1 | [`model`] | types, errors, units |
//!
//! The command stands on floor 6, and only it knows flags, files and the environment. Most users need what is named at
//! this root and nothing below; the modules are public for those who replace a part ([`fetch::Fetcher`],
//! [`frontier::Frontier`], [`sinks::Sink`], [`parse::Extract`]) and put a run together with [`engine::run`].

pub mod crawl;
pub mod engine;
pub mod fetch;
pub mod frontier;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod model;
pub mod observe;
pub mod parse;
pub mod policy;
pub mod seeds;
pub mod sinks;

pub use crawl::{Crawl, Run, RunHandle, Settings, StartError, runtime};
pub use engine::settings::EngineSettings;
pub use engine::stats::{StoppedBy, Summary};
pub use fetch::client::ClientSettings;
pub use model::record::{Outcome, Record};
pub use seeds::{SeedSettings, Source};
pub use sinks::{OutputSettings, Target};
