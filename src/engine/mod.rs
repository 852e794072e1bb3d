//! Floor 4: the engine, the only floor that spawns tasks and knows all parts.
//!
//! The way of one URL: seed or link -> scope -> seen set -> frontier -> lease -> workbench -> admission -> request ->
//! retry, hop, or page -> links to the frontier -> record to delivery -> settled. The order at the end is law: children
//! discovered, record accepted, parent settled.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::fetch::Fetcher;
use crate::fetch::cache::Cache;
use crate::frontier::Frontier;
use crate::frontier::journal::Past;
use crate::frontier::seen::Seen;
use crate::model::units::Moment;
use crate::policy::budget::RetryBudget;
use crate::policy::scope::Scope;
use crate::policy::traps::Traps;
use crate::sinks::Sink;
use crate::sinks::bodies::Bodies;

mod addresses;
mod admission;
mod booking;
mod caching;
mod changes;
pub mod clock;
mod closing;
mod delivery;
mod dispatcher;
mod event;
mod expiry;
pub mod fields;
mod flights;
mod hosts;
pub mod input;
mod intake;
mod journaling;
mod kept_hosts;
pub mod ledger;
mod limit;
pub mod lookup;
mod memory;
mod origins;
mod outcome;
mod outside;
mod pool;
mod race;
mod racing;
pub mod settings;
mod snapshot;
mod spending;
pub mod standing;
pub mod stats;
mod trapping;
mod turning_away;
mod workbench;
mod worker;

#[cfg(test)]
mod tests;

pub use dispatcher::Controls;

/// The parts a run is made of, all open.
pub struct Parts<F> {
    /// Name of the run: `run` in every record.
    pub run: Arc<str>,
    pub settings: settings::EngineSettings,
    pub fetcher: F,
    /// Stored answers, if there is a cache.
    pub cache: Option<Arc<Cache>>,
    /// Where bodies become files, if they do.
    pub bodies: Option<Arc<Bodies>>,
    pub frontier: Box<dyn Frontier>,
    pub input: input::Input,
    /// What an earlier process has left of this run, if `frontier` has a journal.
    pub past: Option<Box<Past>>,
    /// The input had not ended then, and is not given again: what was accepted is finished.
    pub input_missing: bool,
    /// With the name that messages call it by.
    pub sinks: Vec<(String, Box<dyn Sink>)>,
    pub controls: Controls,
    /// No threads of its own: sinks and parsing run in the dispatcher's thread, as a paused clock needs it.
    pub inline: bool,
}

/// Runs to the end, on the current thread's tokio runtime.
///
/// # Cancel safety
/// Dropping the future cuts off what is in flight; records that no sink has written are lost.
pub async fn run<F: Fetcher>(parts: Parts<F>) -> stats::Summary {
    let Parts { run, settings, fetcher, cache, bodies, .. } = parts;
    let Parts { mut frontier, input, mut past, input_missing, sinks, controls, inline, .. } = parts;
    let settings = Arc::new(settings);
    let (sender, events) = mpsc::unbounded_channel();
    let clock = clock::Clock::start();
    let desk = outcome::Desk {
        run,
        settings: settings.clone(),
        clock,
        fields: fields::FieldCounts::default(),
        needs_record: sinks.iter().any(|(_, sink)| sink.needs_record()),
        needs_json: sinks.iter().any(|(_, sink)| sink.needs_json()),
        needs_exchange: sinks.iter().any(|(_, sink)| sink.needs_exchange()),
    };
    let pool = pool::ParsePool::new(if inline { 0 } else { parse_threads() });
    let mut rng = fastrand::Rng::with_seed(settings.seed);
    let journaled = frontier.journal().is_some();
    let before = ledger::continuation(past.as_deref(), journaled);
    let (seen, seen_refused) = match &mut past {
        Some(past) => (std::mem::take(&mut past.seen), std::mem::take(&mut past.refused)),
        None => (Seen::limited(rng.u64(..), settings.seen_limit.clone()), Seen::new(rng.u64(..))),
    };
    let dispatcher = dispatcher::Dispatcher {
        shop: Arc::new(worker::Workshop {
            fetcher,
            desk,
            origins: origins::Origins::default(),
            pool,
            cache: cache.clone(),
            bodies,
            events: sender,
            sitemaps: Semaphore::new(1),
        }),
        clock,
        hosts: hosts::Hosts::default(),
        addresses: addresses::Addresses::new(settings.ip_concurrency),
        bench: workbench::Workbench::new(settings.ordered),
        frontier,
        seen,
        seen_refused,
        typed_hosts: Seen::new(rng.u64(..)),
        scope: Scope::new(settings.scope.clone()),
        traps: settings.max_per_pattern.filter(|_| settings.follow).map(Traps::new),
        input,
        races: race::Races::default(),
        flights: flights::Flights::default(),
        expiry_due: Moment::NEVER,
        delivery: delivery::Delivery::new(sinks, settings.ordered, inline, before),
        permits: Arc::new(Semaphore::new(settings.concurrency)),
        run_limiter: settings.rate.map(limit::Limiter::new),
        events,
        tasks: tokio::task::JoinSet::new(),
        tally: past.as_deref().map(ledger::tally_of).unwrap_or_default(),
        rng,
        next_number: past.as_ref().map_or(0, |past| past.next_number),
        records_before: before.next_seq,
        ledger: journaled.then(|| ledger::Ledger::new(past.as_deref())),
        input_missing,
        memory: settings.max_memory.map(memory::MemoryWatch::new),
        retry_budget: RetryBudget::new(settings.most_retries()),
        in_flight: 0,
        pages_in_flight: 0,
        own_jobs: 0,
        discovered: Vec::new(),
        settled: Vec::new(),
        phase: dispatcher::Phase::Running,
        stopped_by: None,
        stop_due: Moment::NEVER,
        controls,
        failure: None,
        #[cfg(test)]
        next_audit: 0,
        settings,
    };
    let summary = dispatcher.run(past).await;
    if let Some(cache) = cache {
        cache.close();
    }
    summary
}

/// Threads of the parse pool: as many as cores, two to four. Bodies that wait for a thread are memory: with one thread the
/// peak of a crawl of 10,000 pages was 64 MB, with two 52.
fn parse_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4))
}
