//! The frontier in memory, with a temporary file behind it.
//!
//! Available hosts stand in a line, by the class (priority and depth) of their best job and then by how long they have
//! waited for their turn; deferred hosts stand in a list by time. It decides which host is next, and which jobs leave
//! memory for the file. It never reads a clock: time only comes with calls. Called by the engine's dispatcher.
//!
//! What is in the file is in one of two forms:
//! - a *tail*: the last jobs of one host, which knows the block (`HostQueue`);
//! - a *parcel*: all jobs of many hosts that stood next to each other at the end of the line. These hosts are forgotten
//!   until the line has come to where they stood: a million hosts with one job each then take no memory. Should such a
//!   host get a new job, it is made anew, and finds its older jobs when the parcel is read.
//!
//! Invariants: every known host is in exactly the list that its `Place` names; a host without jobs is known only while
//! it is leased or deferred; `heap` is the sum of what waits in memory; jobs are never lost for want of room, they stay in
//! memory then. The order of leases is exact to priority and depth. Within a class it is the order of numbers, except for
//! jobs that were put back while other jobs of their host were in a parcel.

mod expire;
mod host_queue;
mod hosts;
mod jobs;
mod reduce;
mod spill;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use self::host_queue::{Class, class_of};
use self::hosts::{HOST_OVERHEAD, HostId, Hosts, Place};
use self::spill::{Block, SpillFile, decode, share_sources};
use super::{Counts, Frontier, FrontierError, Rank};
use crate::model::job::Job;
use crate::model::units::Moment;

/// Limits of a frontier in memory.
#[derive(Debug, Clone)]
pub struct MemorySettings {
    /// Bytes that waiting jobs may take in memory, overhead counted.
    pub heap_limit: usize,
    /// Bytes of the temporary file.
    pub file_limit: u64,
    /// Where the temporary file is made; None is the system's directory for such files.
    pub dir: Option<PathBuf>,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { heap_limit: 16 << 20, file_limit: 1 << 30, dir: None }
    }
}

/// A frontier that ends with the process.
pub struct MemoryFrontier {
    heap_limit: usize,
    hosts: Hosts,
    /// Available hosts.
    line: BTreeMap<(Class, u64), HostId>,
    /// Parcels stand in the line too, but are not hosts.
    parcels: BTreeMap<(Class, u64), Block>,
    /// Deferred hosts with jobs, and without.
    due: BTreeMap<(Moment, u64), HostId>,
    idle: BTreeMap<(Moment, u64), HostId>,
    last_ticket: u64,
    /// The latest moment that any call has named.
    now: Moment,
    counts: Counts,
    /// Bytes of what waits in memory.
    heap: usize,
    /// Bytes that the jobs in the file took in memory.
    spilled: usize,
    /// Bytes in memory from which on it is worth trying to write some to the file.
    spill_at: usize,
    file: SpillFile,
}

/// What a host counts for, from its first waiting job to its last.
fn host_size(name: &str) -> usize {
    HOST_OVERHEAD + name.len()
}

impl MemoryFrontier {
    #[must_use]
    pub fn new(settings: MemorySettings) -> Self {
        Self {
            heap_limit: settings.heap_limit,
            hosts: Hosts::default(),
            line: BTreeMap::new(),
            parcels: BTreeMap::new(),
            due: BTreeMap::new(),
            idle: BTreeMap::new(),
            last_ticket: 0,
            now: Moment::START,
            counts: Counts::default(),
            heap: 0,
            spilled: 0,
            spill_at: settings.heap_limit,
            file: SpillFile::new(settings.dir, settings.file_limit),
        }
    }

    /// Puts a job into the queue of its host, and the host into the list where it belongs now.
    fn add(&mut self, job: Job) {
        let id = self.hosts.find(&job.host).unwrap_or_else(|| {
            self.last_ticket += 1;
            self.hosts.insert(&job.host, self.last_ticket)
        });
        let host = &mut self.hosts[id];
        let class = class_of(Rank::of(&job));
        if host.queue.is_empty() {
            self.heap += host_size(&host.name);
        }
        let before = host.queue.heap();
        host.queue.push(job);
        self.heap += host.queue.heap() - before;
        match host.place {
            Place::Nowhere => {
                host.place = Place::Line(class);
                self.line.insert((class, host.ticket), id);
            }
            Place::Line(old) if class < old => {
                host.place = Place::Line(class);
                self.line.remove(&(old, host.ticket));
                self.line.insert((class, host.ticket), id);
            }
            Place::Idle(until) => {
                host.place = Place::Due(until);
                self.idle.remove(&(until, host.ticket));
                self.due.insert((until, host.ticket), id);
            }
            Place::Line(_) | Place::Due(_) | Place::Leased => {}
        }
    }

    /// Puts a host that is in no list at the end of the line, or forgets it if it has no jobs.
    fn line_up(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        match host.queue.best().map(class_of) {
            Some(class) => {
                host.place = Place::Line(class);
                self.line.insert((class, host.ticket), id);
            }
            None => drop(self.hosts.remove(id)),
        }
    }

    /// Takes notice of the time: hosts whose deferral has passed are available, or forgotten.
    fn advance(&mut self, now: Moment) {
        self.now = self.now.max(now);
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let id = entry.remove();
            self.line_up(id);
        }
        while let Some(entry) = self.idle.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let id = entry.remove();
            self.line_up(id);
        }
    }

    /// The host at the front of the line. Reads the parcels that stand before it.
    fn front(&mut self) -> io::Result<Option<HostId>> {
        loop {
            let host = self.line.first_key_value();
            match self.parcels.first_key_value() {
                Some((place, _)) if host.is_none_or(|(other, _)| place < other) => self.read_parcel()?,
                _ => return Ok(host.map(|(_, &id)| id)),
            }
        }
    }

    fn read_parcel(&mut self) -> io::Result<()> {
        let Some(entry) = self.parcels.first_entry() else { return Ok(()) };
        let mut jobs: Vec<(u64, Job)> = decode(&self.file.read(&entry.get().extent)?)?;
        let block = entry.remove();
        self.gone_from_file(&block);
        share_sources(jobs.iter_mut().map(|(_, job)| job));
        self.unpack(jobs);
        Ok(())
    }

    /// Takes back jobs of hosts that were forgotten: each at its old turn, unless it has been made anew.
    fn unpack(&mut self, jobs: Vec<(u64, Job)>) {
        for (ticket, job) in jobs {
            if self.hosts.find(&job.host).is_none() {
                self.hosts.insert(&job.host, ticket);
            }
            self.add(job);
        }
    }

    /// Reads the block in which the next job of a host is, if it is not in memory.
    fn read_next_job(&mut self, id: HostId) -> io::Result<()> {
        let host = &mut self.hosts[id];
        let Some(block) = host.queue.first_block_due() else { return Ok(()) };
        let mut jobs: Vec<Job> = decode(&self.file.read(&block.extent)?)?;
        share_sources(jobs.iter_mut());
        let before = host.queue.heap();
        let block = host.queue.pop_block();
        for job in jobs {
            host.queue.push(job);
        }
        self.heap += host.queue.heap() - before;
        if let Some(block) = block {
            self.gone_from_file(&block);
        }
        Ok(())
    }

    fn gone_from_file(&mut self, block: &Block) {
        self.heap -= block.own_size();
        self.spilled -= block.heap;
        self.file.give_back(&block.extent);
    }
}

impl Frontier for MemoryFrontier {
    fn discover(&mut self, jobs: &mut Vec<Job>) -> Result<(), FrontierError> {
        self.counts.pending += jobs.len() as u64;
        for job in jobs.drain(..) {
            self.add(job);
            self.reduce_heap();
        }
        Ok(())
    }

    fn best(&mut self, now: Moment) -> Option<Rank> {
        self.advance(now);
        match self.front() {
            Ok(id) => id.and_then(|id| self.hosts[id].queue.best()),
            // A lease will try the same parcel again, and can say what is wrong.
            Err(_) => self.parcels.first_key_value().map(|(_, block)| block.first),
        }
    }

    fn lease(&mut self, now: Moment, limit: usize, out: &mut Vec<Job>) -> Result<Option<Box<str>>, FrontierError> {
        self.advance(now);
        let Some(id) = self.front()? else {
            self.reduce_heap();
            return Ok(None);
        };
        self.read_next_job(id)?;
        let Some(((class, _), _)) = self.line.pop_first() else { return Ok(None) };
        // A parcel may hold older jobs of this host, of no better class than its own place in the line.
        let parcel = self.parcels.first_key_value().map(|((class, _), _)| *class);
        let host = &mut self.hosts[id];
        let (before, taken) = (host.queue.heap(), out.len());
        while out.len() - taken < limit.max(1) {
            let next = host.queue.pop_if(|next| next == class || parcel.is_none_or(|parcel| next < parcel));
            let Some(job) = next else { break };
            out.push(job);
        }
        host.place = Place::Leased;
        self.heap -= before - host.queue.heap();
        if host.queue.is_empty() {
            self.heap -= host_size(&host.name);
        }
        let name = host.name.as_ref().into();
        let taken = (out.len() - taken) as u64;
        self.counts.pending -= taken;
        self.counts.leased += taken;
        self.reduce_heap();
        Ok(Some(name))
    }

    fn defer(&mut self, host: &str, until: Moment) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let id = self.hosts.find(host).unwrap_or_else(|| self.hosts.insert(host, ticket));
        let host = &mut self.hosts[id];
        match host.place {
            Place::Nowhere | Place::Leased => {}
            Place::Line(class) => drop(self.line.remove(&(class, host.ticket))),
            Place::Due(until) => drop(self.due.remove(&(until, host.ticket))),
            Place::Idle(until) => drop(self.idle.remove(&(until, host.ticket))),
        }
        host.ticket = ticket;
        if until <= self.now {
            self.line_up(id);
        } else if host.queue.is_empty() {
            host.place = Place::Idle(until);
            self.idle.insert((until, ticket), id);
        } else {
            host.place = Place::Due(until);
            self.due.insert((until, ticket), id);
        }
    }

    fn put_back(&mut self, jobs: &mut Vec<Job>) -> Result<(), FrontierError> {
        // Counts only say what callers do: a job that was never leased cannot make them negative.
        self.counts.leased = self.counts.leased.saturating_sub(jobs.len() as u64);
        self.discover(jobs)
    }

    fn settle(&mut self, numbers: &[u64]) -> Result<(), FrontierError> {
        let count = self.counts.leased.min(numbers.len() as u64);
        self.counts.leased -= count;
        self.counts.settled += count;
        Ok(())
    }

    fn expire(&mut self, until: Moment, limit: usize, out: &mut Vec<Job>) -> Result<Option<Moment>, FrontierError> {
        let before = out.len();
        let left = self.take_expired(until, limit.max(1), out);
        let taken = (out.len() - before) as u64;
        self.counts.pending -= taken;
        self.counts.leased += taken;
        self.reduce_heap();
        Ok(left?)
    }

    fn next_due(&mut self) -> Option<Moment> {
        self.due.first_key_value().map(|((until, _), _)| *until)
    }

    fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts what is in the file too: otherwise each block that is written would make room to read ahead, and the whole
    /// input would end up in the file.
    fn has_heap_room(&self) -> bool {
        self.heap + self.spilled < self.heap_limit
    }

    /// What adds to memory moves something to the file if it can, so memory at its limit means that it could not.
    fn has_room(&self) -> bool {
        self.heap < self.heap_limit
    }

    fn close(&mut self) -> Result<(), FrontierError> {
        *self = Self::new(MemorySettings { file_limit: 0, ..MemorySettings::default() });
        Ok(())
    }
}
