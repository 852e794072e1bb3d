//! The waiting jobs of one host, in order of rank.
//!
//! Jobs in memory stand in a bucket for each class (priority and depth), first in first out by number. Jobs in the
//! temporary file are known by the rank of the first of their block. It decides which of a host's jobs is next, and never
//! touches the file itself: the frontier reads and writes blocks.

use std::collections::VecDeque;

use super::jobs::Jobs;
use super::spill::Block;
use crate::frontier::Rank;
use crate::model::job::Job;
use crate::model::units::Moment;

/// Minus the priority, and the depth: what hosts are ordered by. The smaller goes first.
pub(super) type Class = (i8, u32);

pub(super) fn class_of(rank: Rank) -> Class {
    (rank.unpriority, rank.depth)
}

/// What a waiting job occupies beyond its own heap: half a job of slack, for a deque's room to grow.
const JOB_OVERHEAD: usize = size_of::<Job>() / 2;

/// Bytes of a waiting job.
pub(super) fn job_size(job: &Job) -> usize {
    job.heap_size() + JOB_OVERHEAD
}

struct Bucket {
    class: Class,
    jobs: Jobs,
}

/// The jobs of one host.
#[derive(Default)]
pub(super) struct HostQueue {
    /// By class; none is empty.
    buckets: VecDeque<Bucket>,
    /// By the rank of their first jobs. Any of their jobs may rank before or after those in memory.
    blocks: VecDeque<Block>,
    /// Jobs in memory, and their bytes.
    len: usize,
    heap: usize,
    /// None of those in memory was accepted before it; None if there was none.
    oldest: Option<Moment>,
}

impl HostQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.blocks.is_empty()
    }

    pub(super) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    #[cfg(test)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter()
    }

    /// Jobs in memory.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the jobs in memory.
    pub(super) fn heap(&self) -> usize {
        self.heap
    }

    /// The rank of the next job, wherever it is.
    pub(super) fn best(&self) -> Option<Rank> {
        let waiting = self.best_in_memory();
        match (waiting, self.blocks.front()) {
            (Some(rank), Some(block)) => Some(rank.min(block.first)),
            (rank, block) => rank.or(block.map(|block| block.first)),
        }
    }

    fn best_in_memory(&self) -> Option<Rank> {
        self.buckets.front().and_then(|bucket| bucket.jobs.front()).map(Rank::of)
    }

    /// Adds a job at the place of its rank.
    pub(super) fn push(&mut self, job: Job) {
        self.oldest = self.oldest.filter(|_| self.len > 0).into_iter().chain([job.accepted]).min();
        self.len += 1;
        self.heap += job_size(&job);
        let class = class_of(Rank::of(&job));
        let at = self.buckets.partition_point(|bucket| bucket.class < class);
        if self.buckets.get(at).is_none_or(|bucket| bucket.class != class) {
            if self.buckets.capacity() == 0 {
                // Most hosts of a long list have one job: a deque's usual first step would be four.
                self.buckets.reserve_exact(1);
            }
            self.buckets.insert(at, Bucket { class, jobs: Jobs::default() });
        }
        self.buckets[at].jobs.insert(job);
    }

    /// Takes the next job if it is in memory and `wanted` says so of its class.
    pub(super) fn pop_if(&mut self, wanted: impl FnOnce(Class) -> bool) -> Option<Job> {
        if self.first_block_due().is_some() {
            return None;
        }
        let bucket = self.buckets.front_mut()?;
        if !wanted(bucket.class) {
            return None;
        }
        let job = bucket.jobs.pop_front()?;
        if bucket.jobs.is_empty() {
            self.buckets.pop_front();
        }
        Some(self.counted_out(job))
    }

    /// Takes the last job in memory.
    pub(super) fn pop_last(&mut self) -> Option<Job> {
        let bucket = self.buckets.back_mut()?;
        let job = bucket.jobs.pop_back()?;
        if bucket.jobs.is_empty() {
            self.buckets.pop_back();
        }
        Some(self.counted_out(job))
    }

    fn counted_out(&mut self, job: Job) -> Job {
        self.len -= 1;
        self.heap -= job_size(&job);
        job
    }

    /// All jobs in memory, in order of rank. Only for a queue without blocks.
    pub(super) fn into_jobs(self) -> Vec<Job> {
        debug_assert!(self.blocks.is_empty());
        self.buckets.into_iter().flat_map(|bucket| bucket.jobs).collect()
    }

    /// The block that has the next job.
    pub(super) fn first_block_due(&self) -> Option<&Block> {
        let block = self.blocks.front()?;
        self.best_in_memory().is_none_or(|rank| block.first < rank).then_some(block)
    }

    /// Forgets the first block: its jobs have been read.
    pub(super) fn pop_block(&mut self) -> Option<Block> {
        self.blocks.pop_front()
    }

    /// A moment before which no job was accepted; None if there is no job.
    pub(super) fn oldest(&self) -> Option<Moment> {
        let in_memory = self.oldest.filter(|_| self.len > 0);
        in_memory.into_iter().chain(self.blocks.iter().map(|block| block.oldest)).min()
    }

    /// Takes at most `most` of the jobs in memory that were accepted at `until` or before.
    pub(super) fn take_accepted(&mut self, until: Moment, most: usize, out: &mut Vec<Job>) {
        if self.oldest.is_none_or(|oldest| oldest > until) {
            return;
        }
        let taken = out.len();
        let mut oldest: Option<Moment> = None;
        for bucket in &mut self.buckets {
            for job in std::mem::take(&mut bucket.jobs) {
                if job.accepted <= until && out.len() - taken < most {
                    out.push(job);
                } else {
                    oldest = oldest.into_iter().chain([job.accepted]).min();
                    bucket.jobs.insert(job);
                }
            }
        }
        self.buckets.retain(|bucket| !bucket.jobs.is_empty());
        self.oldest = oldest;
        self.len -= out.len() - taken;
        self.heap -= out[taken..].iter().map(job_size).sum::<usize>();
    }

    /// A block that may hold a job that was accepted at `until` or before: to be taken out with [`HostQueue::take_block`].
    pub(super) fn old_block(&self, until: Moment) -> Option<(usize, &Block)> {
        self.blocks.iter().enumerate().find(|(_, block)| block.oldest <= until)
    }

    /// Forgets a block: its jobs have been read.
    pub(super) fn take_block(&mut self, at: usize) -> Option<Block> {
        self.blocks.remove(at)
    }

    /// The blocks before and after the place of jobs that start with `first`, if they are of the same class: jobs may be
    /// added to either, and the order of blocks stays right.
    pub(super) fn neighbours(&mut self, first: Rank) -> impl Iterator<Item = &mut Block> {
        let at = self.blocks.partition_point(|other| other.first <= first);
        let range = at.saturating_sub(1)..self.blocks.len().min(at + 1);
        self.blocks.range_mut(range).filter(move |block| class_of(block.first) == class_of(first))
    }

    /// Adds a block of jobs of this host.
    pub(super) fn push_block(&mut self, block: Block) {
        let at = self.blocks.partition_point(|other| other.first <= block.first);
        self.blocks.insert(at, block);
    }
}
