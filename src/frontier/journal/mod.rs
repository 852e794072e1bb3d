//! A frontier that outlives its process: a journal on disk in front of the frontier in memory.
//!
//! The directory of a run holds two files: `lock`, held by the process that runs, and `journal`, to which everything is
//! appended that a later process must know. It decides what is written and when it counts; it never decides what happens
//! to a job. Called by the engine's dispatcher, which hands over what it has gathered and never waits for the disk: a
//! thread of the journal writes, and another one calls `fsync`.
//!
//! **Blocks.** The journal is a chain of blocks (`block`), each with its number, its length and a checksum. A block
//! counts as a whole or not at all, so a commit is one block: what has been accepted and what has been written since the
//! block before, the next `seq`, and the place of each output. What was handed to the operating system survives the end
//! of the process however it comes; for a loss of power there are *epochs*: outputs are synced, then a block says up to
//! where, then the journal is synced.
//!
//! **Order.** Within the chain the order is that of the law at the end of a job: children accepted, then the record of
//! their parent written. So every prefix of the chain is a state that the run has been in.
//!
//! **Sizes.** A link takes what its URL does not share with the one before it, and about 4 bytes; its settling takes 3 to
//! 8. Nothing is looked up while a run goes on. To resume, the chain is read three times from its start (`load`):
//! checksums, then what is done, then the jobs that are not; they go one by one into the frontier in memory, which spills.

use std::fs::File;
use std::io;

use self::block::Commit;
use self::entry::Encoder;
use self::writer::Writer;
use super::{Counts, Frontier, FrontierError, Rank};
use crate::frontier::memory::MemoryFrontier;
use crate::model::job::Job;
use crate::model::mark::OutputMark;
use crate::model::units::Moment;

mod again;
mod block;
mod dir;
mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod load;
mod spent;
mod status;
#[cfg(test)]
mod tests;
mod writer;

pub use dir::{Opened, StateDir, StateError};
pub use entry::{Begun, Ending, Entry, InputPosition, Owed, OwedKind, has_credentials};
pub use load::{Counted, Failure, LoadSettings, Past, Replay};
pub use spent::{HostSpent, Spent};
pub use status::{Glance, glance};

/// Records written and not committed yet from which on a commit is due at once: with what is in flight and in delivery
/// they are what a kill makes a run ask again.
const MANY_ENDINGS: usize = 128;
/// Bytes of entries from which on a commit is due at once.
const MANY_BYTES: usize = 256 * 1024;
/// Bytes handed over and not written from which on the disk is behind: nothing new should be started.
const FAR_BEHIND: usize = 16 << 20;

/// How soon what a run has done survives a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Commits survive the end of the process, and within about a second a loss of power.
    #[default]
    Commit,
    /// Each commit survives a loss of power.
    Each,
}

/// The writing side of a journal.
pub struct Journal {
    encoder: Encoder,
    /// The next `seq`, and the place of each output there.
    next_seq: u64,
    marks: Vec<Option<OutputMark>>,
    /// Records written since the last commit.
    endings: usize,
    writer: Writer,
}

impl Journal {
    fn new(writer: Writer, next_seq: u64, marks: Vec<Option<OutputMark>>) -> Self {
        Self { encoder: Encoder::default(), next_seq, marks, endings: 0, writer }
    }

    /// Jobs that were accepted.
    pub fn accepted(&mut self, jobs: &[Job]) {
        for job in jobs {
            self.encoder.job(job);
        }
    }

    /// A job that waits again, changed: at another URL, or with requests behind it.
    pub fn requeued(&mut self, job: &Job) {
        self.encoder.requeued(job);
    }

    /// Anything else that must be known later. It counts from the next commit on.
    pub fn note(&mut self, entry: &Entry<'_>) {
        self.encoder.push(entry);
    }

    /// Records that are in every output now: those of `next_seq` before this call and all that follow it, in order.
    /// `marks` is where each output stands behind the last of them; None for one that cannot be cut back.
    pub fn written(&mut self, endings: &[Ending], marks: Vec<Option<OutputMark>>) {
        self.endings += endings.len();
        self.next_seq += endings.len() as u64;
        self.marks = marks;
        self.encoder.push(&Entry::Written(endings.into()));
    }

    /// Whether there is anything to commit.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.encoder.is_empty()
    }

    /// Whether a commit should not wait for its time.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.endings >= MANY_ENDINGS || self.encoder.len() >= MANY_BYTES
    }

    /// Whether the disk is so far behind that nothing new should be started.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.writer.waiting() >= FAR_BEHIND
    }

    /// Behind for a while, as one with a slow disk.
    #[cfg(test)]
    pub(crate) fn fall_behind(&self) {
        self.writer.fall_behind(FAR_BEHIND);
    }

    /// Hands what has gathered to the disk, as one block. Does not wait for it.
    ///
    /// # Errors
    /// An earlier block could not be written. Nothing more will be.
    pub fn commit(&mut self) -> Result<(), FrontierError> {
        if self.is_dirty() {
            self.endings = 0;
            let commit = Commit { next_seq: self.next_seq, marks: self.marks.clone(), synced: None };
            self.writer.send(self.encoder.take(), commit);
        }
        Ok(self.writer.check()?)
    }

    /// [`Journal::commit`], and waits until everything is with the operating system. For what must not be done before it
    /// is known that it is about to be.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn commit_and_wait(&mut self) -> Result<(), FrontierError> {
        self.commit()?;
        self.writer.wait();
        Ok(self.writer.check()?)
    }

    /// The last commit: an epoch. Waits for it.
    ///
    /// # Errors
    /// Something could not be written or synced.
    pub fn close(&mut self) -> Result<(), FrontierError> {
        self.commit()?;
        Ok(self.writer.close()?)
    }
}

/// The frontier in memory with its journal.
pub struct DurableFrontier {
    memory: MemoryFrontier,
    journal: Journal,
    /// Held as long as anything may be written.
    _dir: StateDir,
}

impl DurableFrontier {
    /// `memory` holds the jobs that the journal knows and that are not done: [`Replay::load`] has filled it.
    #[must_use]
    pub fn new(memory: MemoryFrontier, journal: Journal, dir: StateDir) -> Self {
        Self { memory, journal, _dir: dir }
    }
}

impl Frontier for DurableFrontier {
    fn discover(&mut self, jobs: &mut Vec<Job>) -> Result<(), FrontierError> {
        self.journal.accepted(jobs);
        self.memory.discover(jobs)?;
        if self.journal.is_full() { self.journal.commit() } else { Ok(()) }
    }

    fn best(&mut self, now: Moment) -> Option<Rank> {
        self.memory.best(now)
    }

    fn lease(&mut self, now: Moment, limit: usize, out: &mut Vec<Job>) -> Result<Option<Box<str>>, FrontierError> {
        self.memory.lease(now, limit, out)
    }

    fn defer(&mut self, host: &str, until: Moment) {
        self.memory.defer(host, until);
    }

    fn put_back(&mut self, jobs: &mut Vec<Job>) -> Result<(), FrontierError> {
        for job in jobs.iter() {
            self.journal.requeued(job);
        }
        self.memory.put_back(jobs)
    }

    fn expire(&mut self, until: Moment, limit: usize, out: &mut Vec<Job>) -> Result<Option<Moment>, FrontierError> {
        self.memory.expire(until, limit, out)
    }

    /// Only counts: what is written, and so done, comes with [`Journal::written`].
    fn settle(&mut self, numbers: &[u64]) -> Result<(), FrontierError> {
        self.memory.settle(numbers)
    }

    fn next_due(&mut self) -> Option<Moment> {
        self.memory.next_due()
    }

    fn counts(&self) -> Counts {
        self.memory.counts()
    }

    fn has_heap_room(&self) -> bool {
        self.memory.has_heap_room() && !self.journal.is_behind()
    }

    fn has_room(&self) -> bool {
        self.memory.has_room() && !self.journal.is_behind()
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn close(&mut self) -> Result<(), FrontierError> {
        let closed = self.journal.close();
        self.memory.close()?;
        closed
    }
}

/// The longest block of a journal.
#[cfg(test)]
pub(crate) fn longest_block(path: &std::path::Path) -> u64 {
    let file = File::open(path).unwrap();
    let mut chain = block::Chain::new(&file, file.metadata().unwrap().len()).unwrap();
    let (mut longest, mut end) = (0, chain.at());
    while chain.next().unwrap().is_some() {
        longest = longest.max(chain.at() - end);
        end = chain.at();
    }
    longest
}

/// What the threads of a journal need.
pub struct JournalSettings {
    pub durability: Durability,
    /// Regular files among the outputs, synced before an epoch.
    pub outputs: Vec<File>,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
