//! Floor 3: all URLs that wait, by host, and the set of those ever seen.
//!
//! The frontier is the only buffer in the loop URL -> outlinks -> URL, and it may spill to a temporary file. It decides
//! which host is worth asking next; it never decides whether a host may be asked now, beyond the moment the engine told
//! it. Called by the engine's dispatcher alone, in batches. A host is leased to one engine at a time, with some of its
//! jobs; jobs that are discovered meanwhile wait here until the host is deferred.
//!
//! States of a job: pending (here) -> leased (in the engine) -> settled (its record was accepted); or back to pending.

use crate::model::job::Job;
use crate::model::units::Moment;

#[cfg(test)]
mod contract;
pub mod journal;
pub mod memory;
pub mod seen;

/// How urgent a job is: higher priority first, then fewer links from a seed, then the order of acceptance.
/// The smaller rank goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Minus the job's priority.
    pub unpriority: i8,
    pub depth: u32,
    pub number: u64,
}

impl Rank {
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self { unpriority: job.priority.saturating_neg(), depth: job.depth, number: job.number }
    }
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub pending: u64,
    pub leased: u64,
    pub settled: u64,
}

/// A frontier that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("waiting URLs cannot be kept: {0}")]
pub struct FrontierError(#[from] pub std::io::Error);

/// A store of waiting jobs. All backends pass the suite in `contract.rs`.
pub trait Frontier: Send {
    /// Takes new jobs: they become pending. Drains `jobs`.
    ///
    /// # Errors
    /// The store cannot be written; the jobs that were not taken stay in `jobs`.
    fn discover(&mut self, jobs: &mut Vec<Job>) -> Result<(), FrontierError>;

    /// The rank of the best job that [`Frontier::lease`] would give at `now`; None if it would give nothing.
    /// Exact to priority and depth.
    fn best(&mut self, now: Moment) -> Option<Rank>;

    /// Leases the host with the best job among those that are not leased and not deferred beyond `now`; equals take
    /// turns. Appends up to `limit` (at least 1) of its jobs in order of rank: they become leased, and so does the host.
    /// Returns the host's key.
    ///
    /// # Errors
    /// A spilled block cannot be read.
    fn lease(&mut self, now: Moment, limit: usize, out: &mut Vec<Job>) -> Result<Option<Box<str>>, FrontierError>;

    /// Ends the lease of a host: it is not leased again before `until`. Jobs discovered for it since are kept.
    fn defer(&mut self, host: &str, until: Moment);

    /// Takes leased jobs back: each becomes pending again, in the queue of the host it names now (a redirect may have
    /// moved it). Drains `jobs`.
    ///
    /// # Errors
    /// As [`Frontier::discover`].
    fn put_back(&mut self, jobs: &mut Vec<Job>) -> Result<(), FrontierError>;

    /// Leased jobs whose records were accepted (or that need none): they are done.
    ///
    /// # Errors
    /// The store cannot be written.
    fn settle(&mut self, numbers: &[u64]) -> Result<(), FrontierError>;

    /// Takes up to `limit` (at least 1) of the pending jobs that were accepted at `until` or before, wherever they wait,
    /// also of hosts that are leased or deferred: they become leased, their hosts stay as they are. Returns a moment before which
    /// none of the jobs that are left was accepted; None if none is left.
    ///
    /// # Errors
    /// A spilled block cannot be read.
    fn expire(&mut self, until: Moment, limit: usize, out: &mut Vec<Job>) -> Result<Option<Moment>, FrontierError>;

    /// The earliest moment at which a deferred host with pending jobs may be leased; None if none waits for time.
    fn next_due(&mut self) -> Option<Moment>;

    fn counts(&self) -> Counts;

    /// Whether waiting jobs in memory are under their limit, so that input may be read ahead.
    fn has_heap_room(&self) -> bool;

    /// Whether more jobs can be taken at all without growing memory: false when the temporary file is full too.
    fn has_room(&self) -> bool;

    /// The journal in which a later process reads what has become of the run; None if nothing outlives this one.
    fn journal(&mut self) -> Option<&mut journal::Journal> {
        None
    }

    /// Ends the store; nothing may be called after it.
    ///
    /// # Errors
    /// The store cannot be written.
    fn close(&mut self) -> Result<(), FrontierError>;
}
