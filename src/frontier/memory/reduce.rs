//! What leaves memory when waiting jobs take more than their limit.
//!
//! It decides which jobs go to the file: first the tails of the hosts that hold most, then whole hosts from the end of
//! the line, then small tails too. What cannot go stays: nothing is lost. Called after everything that adds jobs.

use super::hosts::{HostId, Place};
use super::spill::{Block, encode};
use super::{MemoryFrontier, host_size};
use crate::frontier::Rank;
use crate::model::job::Job;
use crate::model::units::Moment;

/// Jobs of one block, by what they take in memory; the same jobs take about half of that in the file.
const BLOCK_HEAP: usize = 128 * 1024;

/// A host with fewer jobs in memory gives a tail only when nothing else can go: its file entry stays in memory for few
/// jobs, and with a block in the file the host cannot go as a whole.
const GOOD_TAIL: usize = 16;

impl MemoryFrontier {
    /// Moves jobs to the file if memory is at its limit.
    pub(super) fn reduce_heap(&mut self) {
        // A look at all hosts costs time in proportion to their number. So each frees an eighth of memory; and when that
        // much could not go, the next look waits until memory has grown by a sixteenth.
        let step = self.heap_limit / 16;
        self.spill_at = self.spill_at.min(self.heap + step).max(self.heap_limit);
        if self.heap < self.spill_at || !self.file.has_space() {
            return;
        }
        let target = self.heap_limit - self.heap_limit / 8;
        self.spill_tails(GOOD_TAIL, target);
        self.spill_parcels(target);
        self.spill_tails(2, target);
        self.spill_at = self.heap_limit.max(self.heap + step);
    }

    fn block_heap(&self) -> usize {
        (self.heap_limit / 16).clamp(4096, BLOCK_HEAP)
    }

    /// Writes the later half of the queues that have at least `least` jobs in memory, the largest first.
    fn spill_tails(&mut self, least: usize, target: usize) {
        if self.heap <= target || !self.file.has_space() {
            return;
        }
        let long = self.hosts.iter().filter(|(_, host)| host.queue.len() >= least);
        let mut largest: Vec<(usize, HostId)> = long.map(|(id, host)| (host.queue.heap(), id)).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in largest {
            let mut spare = self.hosts[id].queue.len() / 2;
            while spare > 0 && self.heap > target {
                match self.spill_tail(id, spare) {
                    Some(count) => spare -= count,
                    None => return,
                }
            }
        }
    }

    /// Writes one block of at most `most` of the last jobs of a host. How many it were; None if the file takes no more.
    fn spill_tail(&mut self, id: HostId, most: usize) -> Option<usize> {
        let enough = self.block_heap();
        let queue = &mut self.hosts[id].queue;
        let before = queue.heap();
        let mut jobs: Vec<Job> = Vec::new();
        while jobs.len() < most && before - queue.heap() <= enough {
            let Some(job) = queue.pop_last() else { break };
            jobs.push(job);
        }
        jobs.reverse();
        let first = jobs.first().map(Rank::of)?;
        let oldest = jobs.iter().map(|job| job.accepted).min()?;
        let (size, bytes) = (before - queue.heap(), encode(&jobs));
        let (file, count) = (&mut self.file, jobs.len());
        if let Some(block) =
            queue.neighbours(first).find_map(|block| file.append(&mut block.extent, &bytes).then_some(block))
        {
            block.first = block.first.min(first);
            block.oldest = block.oldest.min(oldest);
            block.heap += size;
        } else if let Some(extent) = file.write(&bytes) {
            let block = Block { extent, first, oldest, heap: size };
            self.heap += block.own_size();
            queue.push_block(block);
        } else {
            for job in jobs {
                queue.push(job);
            }
            return None;
        }
        self.heap -= size;
        self.spilled += size;
        Some(count)
    }

    /// Writes whole hosts from the end of the line, never from its first half: they will be asked soon.
    fn spill_parcels(&mut self, target: usize) {
        if self.heap <= target || !self.file.has_space() {
            return;
        }
        let mut excess = self.heap - target;
        let mut last: Vec<HostId> = Vec::new();
        for &id in self.line.values().rev().take(self.line.len() / 2) {
            let host = &self.hosts[id];
            // A host with blocks must be remembered for them.
            if !host.queue.has_blocks() {
                last.push(id);
                let size = host.queue.heap() + host_size(&host.name);
                excess = excess.saturating_sub(size);
                if excess == 0 {
                    break;
                }
            }
        }
        let mut last = last.into_iter().peekable();
        while last.peek().is_some() {
            if !self.spill_parcel(&mut last) {
                return;
            }
        }
    }

    /// Writes one parcel of the given hosts, as many as a block takes. False if the file takes no more.
    fn spill_parcel(&mut self, ids: &mut impl Iterator<Item = HostId>) -> bool {
        let (enough, before) = (self.block_heap(), self.heap);
        let mut hosts: Vec<(u64, Vec<Job>)> = Vec::new();
        let mut place = None;
        while before - self.heap < enough
            && let Some(id) = ids.next()
        {
            let host = self.hosts.remove(id);
            if let Place::Line(class) = host.place {
                self.line.remove(&(class, host.ticket));
                // They come from the end of the line, so the last stands where the parcel will.
                place = Some((class, host.ticket));
            }
            self.heap -= host.queue.heap() + host_size(&host.name);
            hosts.push((host.ticket, host.queue.into_jobs()));
        }
        let in_line = hosts.into_iter().rev();
        let jobs: Vec<(u64, Job)> =
            in_line.flat_map(|(ticket, jobs)| jobs.into_iter().map(move |job| (ticket, job))).collect();
        let first = jobs.first().map(|(_, job)| Rank::of(job));
        let oldest = jobs.iter().map(|(_, job)| job.accepted).min().unwrap_or(Moment::START);
        let Some(((place, first), extent)) = place.zip(first).zip(self.file.write(&encode(&jobs))) else {
            self.unpack(jobs);
            return false;
        };
        let block = Block { extent, first, oldest, heap: before - self.heap };
        self.spilled += block.heap;
        self.heap += block.own_size();
        self.parcels.insert(place, block);
        true
    }
}
