//! A journal read back: what the run has come to, and what is left of it.
//!
//! The chain of blocks is read three times: for its end, for what is done, and for the jobs that are not. Nothing grows
//! with the number of jobs but the seen set, a bit for each job while loading, and the frontier, which spills.
//!
//! Decides where the journal ends. A break with nothing behind it is a torn end, and so is one behind the last epoch:
//! what a loss of power leaves may have holes. It is dropped, and what it told is done again. A break with an epoch behind
//! it is damage, and is refused. Called when a run is resumed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};

use super::block::{Block, Chain, Commit, PREAMBLE_BYTES, bytes_at, is_long_enough, open, search};
use super::dir::{StateDir, StateError};
use super::entry::{Begun, Ending, Entry, InputPosition, Owed, OwedKind, each, each_link, each_url, revived};
use super::spent::Spent;
use super::writer::Writer;
use super::{Journal, JournalSettings, invalid};
use crate::frontier::memory::MemoryFrontier;
use crate::frontier::seen::{Seen, SeenLimit};
use crate::frontier::{Frontier as _, FrontierError};
use crate::model::fetch_error::ErrorKind;
use crate::model::job::{Job, JobKind};
use crate::model::mark::OutputMark;
use crate::model::record::{Outcome, SkipReason};
use crate::model::url::host_key_of;

/// Jobs handed to the frontier at once.
const BATCH: usize = 1024;

/// A place between two blocks, and what is committed there.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub end: u64,
    /// The next block's number.
    number: u64,
    commit: Commit,
    /// Where the last block with entries starts.
    filled: Option<u64>,
}

/// A journal whose chain has been checked.
#[derive(Debug)]
pub struct Replay {
    file: File,
    path: PathBuf,
    begun: Begun,
    last: Point,
    epoch: Option<Point>,
    /// Where the whole blocks end, and the bytes behind it that are dropped.
    torn: (u64, u64),
}

/// Counts of records by what they count as.
pub type Counted = (bool, Outcome, Option<ErrorKind>, Option<SkipReason>);

pub(super) fn counted(ending: &Ending) -> Counted {
    (ending.typed, ending.outcome, ending.error, ending.skip)
}

/// What is to be known of jobs that have ended or were cut off.
#[derive(Debug, Clone, Default)]
pub struct LoadSettings {
    /// Failures are wanted in [`Past::failures`].
    pub failures: bool,
    /// Jobs that may not be asked twice, and perhaps were, go on like all others.
    pub retry_interrupted: bool,
    /// Seed of the seen sets.
    pub seed: u64,
    /// Limit of the seen set.
    pub seen: SeenLimit,
}

/// What a run has come to.
pub struct Past {
    pub next_number: u64,
    pub next_seq: u64,
    pub counted: HashMap<Counted, u64>,
    pub seen: Seen,
    /// Links that have a record although they were refused.
    pub refused: Seen,
    /// Hosts of the jobs that the user typed.
    pub typed_hosts: HashSet<Box<str>>,
    /// URLs that make the scope, in order: seeds of a crawl, and where they led.
    pub scope: Vec<Box<str>>,
    pub input: InputPosition,
    pub input_ended: bool,
    pub finished: bool,
    /// Records to be written without a request, by number.
    pub owed: BTreeMap<u64, Owed>,
    /// Jobs of the run's own that are not done.
    pub own: Vec<Job>,
    /// Jobs that may not be asked twice, and perhaps were.
    pub interrupted: Vec<Job>,
    /// Jobs that are to be asked, and whose credentials were not kept.
    pub bare: Vec<Job>,
    /// Failures that had another chance: their records are written, and count no more.
    pub superseded: u64,
    /// Jobs that failed; those that had another chance left out.
    pub failures: Vec<Failure>,
    /// Failures whose jobs are in [`Past::bare`], by number.
    pub bare_failures: HashMap<u64, (Ending, u64)>,
    /// The engine's notes on hosts, the last for each.
    pub hosts: HashMap<Box<str>, Vec<u8>>,
    pub spent: Spent,
}

/// A job that failed.
#[derive(Debug)]
pub struct Failure {
    pub job: Job,
    pub ending: Ending,
    /// Of its record.
    pub seq: u64,
}

impl Replay {
    /// Checks the chain. None if there is no whole block: the run was killed before it began.
    ///
    /// # Errors
    /// The journal cannot be read, or is damaged before its last epoch.
    pub fn scan(dir: &StateDir, file: File) -> Result<Option<Self>, StateError> {
        let path = dir.journal_path();
        match scan(&file) {
            Ok(Scanned::Empty) => Ok(None),
            Ok(Scanned::Damaged(at)) => Err(damaged(path, at, DAMAGED)),
            Ok(Scanned::Whole { begun, last, epoch, torn }) => {
                let torn = (last.end, torn);
                Ok(Some(Self { file, path, begun: *begun, last, epoch, torn }))
            }
            Err(source) => Err(StateError::Io { action: "read", path, source }),
        }
    }

    #[must_use]
    pub fn begun(&self) -> &Begun {
        &self.begun
    }

    /// Where each output must stand; None for one that cannot be cut back.
    #[must_use]
    pub fn marks(&self) -> &[Option<OutputMark>] {
        &self.last.commit.marks
    }

    /// All places of one output that the journal tells of, in the order in which they were written.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn marks_of(&self, output: usize) -> Result<Vec<OutputMark>, StateError> {
        let io = |source| StateError::Io { action: "read", path: self.path.clone(), source };
        let mut marks: Vec<OutputMark> = Vec::new();
        let mut chain = Chain::new(&self.file, self.last.end).map_err(io)?;
        while let Some((_, block)) = chain.next().map_err(io)? {
            let mark = block.commit.marks.get(output).copied().flatten();
            marks.extend(mark.filter(|mark| marks.last().is_none_or(|last| last.bytes < mark.bytes)));
        }
        Ok(marks)
    }

    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.last.commit.next_seq
    }

    /// What stands behind the whole blocks of the journal and is dropped: its file, the place where it begins, and how
    /// many bytes it has. None if there is nothing.
    #[must_use]
    pub fn torn(&self) -> Option<(&Path, u64, u64)> {
        let (at, bytes) = self.torn;
        (bytes > 0).then_some((&*self.path, at, bytes))
    }

    /// Whether nothing was left to do where the journal ends: that is the last thing a run notes.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn is_finished(&self) -> Result<bool, StateError> {
        let Some(at) = self.last.filled else { return Ok(false) };
        let io = |source| StateError::Io { action: "read", path: self.path.clone(), source };
        let bytes = bytes_at(&self.file, at).map_err(io)?;
        let changed = || damaged(self.path.clone(), at, "it has changed while it was read");
        let block = open(&bytes).ok_or_else(changed)?;
        let mut finished = false;
        let read = each(block.entries, |entry| {
            match entry {
                Entry::Finished => finished = true,
                Entry::Job { .. } | Entry::Links { .. } | Entry::Owed(_) => finished = false,
                _ => {}
            }
            Ok(())
        });
        read.map_err(|error| damaged(self.path.clone(), at, &error.to_string()))?;
        Ok(finished)
    }

    /// Forgets what came after the last epoch: an output does not hold what the journal says of it. False if the journal
    /// is at its last epoch already, or there is none.
    pub fn undo_to_epoch(&mut self) -> bool {
        match self.epoch.take() {
            Some(epoch) if epoch.commit != self.last.commit || epoch.end < self.last.end => {
                self.last = epoch;
                true
            }
            _ => false,
        }
    }

    /// Reads what has become of the jobs; those that wait go into `memory`.
    ///
    /// # Errors
    /// The journal cannot be read, contradicts itself, or the frontier cannot take the jobs.
    pub fn load(&self, memory: &mut MemoryFrontier, settings: LoadSettings) -> Result<Past, StateError> {
        let mut reading = Reading::new(&self.begun, self.last.end, settings);
        self.each_block(|entries| each(entries, |entry| reading.first(entry)))?;
        if reading.past.next_seq != self.last.commit.next_seq {
            let what = "it counts more or fewer records than it lists";
            return Err(damaged(self.path.clone(), self.last.end, what));
        }
        reading.next_requeue = 0;
        let mut waiting = Vec::with_capacity(BATCH);
        self.each_block(|entries| each(entries, |entry| reading.second(entry, &mut waiting, memory)))?;
        discover(memory, &mut waiting).map_err(|source| StateError::Io {
            action: "load",
            path: self.path.clone(),
            source,
        })?;
        Ok(reading.past())
    }

    pub(super) fn each_block(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), StateError> {
        let io = |source| StateError::Io { action: "read", path: self.path.clone(), source };
        let mut chain = Chain::new(&self.file, self.last.end).map_err(io)?;
        while let Some((at, block)) = chain.next().map_err(io)? {
            take(block.entries).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => damaged(self.path.clone(), at, &error.to_string()),
                _ => io(error),
            })?;
        }
        if chain.at() == self.last.end {
            return Ok(());
        }
        Err(damaged(self.path.clone(), chain.at(), "it has changed while it was read"))
    }

    /// Goes on writing where the journal ends.
    ///
    /// # Errors
    /// It cannot be cut to its end, or there is no thread.
    pub fn resume(self, settings: JournalSettings) -> Result<Journal, StateError> {
        let Self { mut file, path, last, .. } = self;
        let start = || {
            file.set_len(last.end)?;
            file.seek(SeekFrom::Start(last.end))?;
            Writer::start(file, last.end, last.number, last.commit.clone(), settings)
        };
        let writer = start().map_err(|source| StateError::Io { action: "write", path, source })?;
        Ok(Journal::new(writer, last.commit.next_seq, last.commit.marks))
    }
}

impl Journal {
    /// Begins a new journal, in a file with nothing but its preamble: what began stands on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(dir: &StateDir, mut file: File, begun: Begun, settings: JournalSettings) -> Result<Self, StateError> {
        let outputs = settings.outputs.len();
        let start = || {
            file.set_len(PREAMBLE_BYTES)?;
            file.seek(SeekFrom::Start(PREAMBLE_BYTES))?;
            let marks = vec![None; outputs];
            let nothing = Commit { next_seq: 0, marks: marks.clone(), synced: None };
            let writer = Writer::start(file, PREAMBLE_BYTES, 0, nothing, settings)?;
            let mut journal = Self::new(writer, 0, marks);
            journal.note(&Entry::Begun(Box::new(begun)));
            journal.commit_and_wait().map_err(|FrontierError(error)| error)?;
            Ok(journal)
        };
        start().map_err(|source| StateError::Io { action: "write", path: dir.journal_path(), source })
    }
}

/// What there is to say of a block that is not whole.
pub(super) const DAMAGED: &str = "what was written here is not what stands here";

pub(super) fn damaged(path: PathBuf, at: u64, what: &str) -> StateError {
    StateError::Damaged { path, at, what: what.to_owned() }
}

/// A journal whose blocks were read to their end.
pub(super) enum Scanned {
    Empty,
    Damaged(u64),
    Whole { begun: Box<Begun>, last: Point, epoch: Option<Point>, torn: u64 },
}

pub(super) fn scan(file: &File) -> io::Result<Scanned> {
    let length = file.metadata()?.len();
    let mut chain = Chain::new(file, length)?;
    let mut begun = None;
    // Since the last epoch.
    let mut points: Vec<Point> = Vec::new();
    let mut epoch = None;
    let mut filled = None;
    while let Some((at, Block { number, entries, commit })) = chain.next()? {
        if begun.is_none() {
            begun = first_entry(entries);
            if begun.is_none() {
                return Ok(Scanned::Damaged(at));
            }
        }
        if let Some(end) = commit.synced
            && let Some(place) = points.iter().position(|point| point.end == end)
        {
            points.drain(..place);
            epoch = Some(points[0].clone());
        }
        filled = if entries.is_empty() { filled } else { Some(at) };
        points.push(Point { end: 0, number: number + 1, commit, filled });
        let end = chain.at();
        if let Some(point) = points.last_mut() {
            point.end = end;
        }
    }
    let end = chain.at();
    // Nothing is fetched before the first block is whole: one that is followed by another, or all of which is there, was.
    if begun.is_none() && (is_long_enough(file, end)? || search(file, end, |_, _| true)?) {
        return Ok(Scanned::Damaged(end));
    }
    if end < length && search(file, end, |_, block| block.commit.synced.is_some_and(|synced| synced > end))? {
        return Ok(Scanned::Damaged(end));
    }
    match (begun, points.pop()) {
        (Some(begun), Some(last)) => Ok(Scanned::Whole { begun, last, epoch, torn: length - end }),
        _ => Ok(Scanned::Empty),
    }
}

fn first_entry(entries: &[u8]) -> Option<Box<Begun>> {
    match postcard::take_from_bytes(entries) {
        Ok((Entry::Begun(begun), _)) => Some(begun),
        _ => None,
    }
}

fn discover(memory: &mut MemoryFrontier, jobs: &mut Vec<Job>) -> io::Result<()> {
    memory.discover(jobs).map_err(|FrontierError(error)| error)
}

/// A bit for each job.
struct Done {
    words: Vec<u64>,
    /// Numbers are given in turn, and every job stands in the journal: one far beyond its bytes was never given, and must
    /// not make the words grow.
    most: u64,
}

impl Done {
    fn within(journal: u64) -> Self {
        Self { words: Vec::new(), most: journal.saturating_mul(64) }
    }

    /// False if it was done before.
    fn mark(&mut self, number: u64) -> io::Result<bool> {
        let place = usize::try_from(number / 64).ok().filter(|_| number <= self.most);
        let place = place.ok_or_else(|| invalid("a job's number is too large"))?;
        if place >= self.words.len() {
            self.words.resize(place + 1, 0);
        }
        let bit = 1 << (number % 64);
        let new = self.words[place] & bit == 0;
        self.words[place] |= bit;
        Ok(new)
    }

    fn contains(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|place| self.words.get(place));
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }
}

struct Reading {
    settings: LoadSettings,
    unique: bool,
    follow: bool,
    done: Done,
    /// The last of the requeued entries of jobs that are not done, by their place among all of them.
    requeued: HashMap<u64, u64>,
    next_requeue: u64,
    /// May not be asked twice, and were perhaps.
    started: HashSet<u64>,
    own: BTreeMap<Box<str>, Job>,
    /// Failures and the `seq` of their records, by number.
    failed: HashMap<u64, (Ending, u64)>,
    past: Past,
}

impl Reading {
    fn new(begun: &Begun, journal: u64, settings: LoadSettings) -> Self {
        let past = Past {
            next_number: 0,
            next_seq: 0,
            counted: HashMap::new(),
            seen: Seen::limited(settings.seed, settings.seen.clone()),
            refused: Seen::new(settings.seed),
            typed_hosts: HashSet::new(),
            scope: Vec::new(),
            input: InputPosition::default(),
            input_ended: false,
            finished: false,
            owed: BTreeMap::new(),
            own: Vec::new(),
            interrupted: Vec::new(),
            bare: Vec::new(),
            superseded: 0,
            failures: Vec::new(),
            bare_failures: HashMap::new(),
            hosts: HashMap::new(),
            spent: Spent::default(),
        };
        Self {
            settings,
            unique: begun.unique,
            follow: begun.follow,
            done: Done::within(journal),
            requeued: HashMap::new(),
            next_requeue: 0,
            started: HashSet::new(),
            own: BTreeMap::new(),
            failed: HashMap::new(),
            past,
        }
    }

    fn past(mut self) -> Past {
        self.past.own = self.own.into_values().collect();
        self.past
    }

    fn accept(&mut self, number: u64) {
        self.past.next_number = self.past.next_number.max(number.saturating_add(1));
        self.past.finished = false;
    }

    /// The first reading: what is done, and what has been claimed.
    fn first(&mut self, entry: Entry<'_>) -> io::Result<()> {
        match entry {
            // Known already; and of use to the next run.
            Entry::Begun(_) | Entry::Page { .. } | Entry::Totals(_) => {}
            Entry::Job { job, .. } => {
                self.accept(job.number);
                self.claim(&job);
                self.note_typed(&job);
            }
            Entry::Links { first, urls, .. } => {
                let behind = first.checked_add(urls.len() as u64);
                self.accept(behind.ok_or_else(|| invalid("a job's number is too large"))?.saturating_sub(1));
                if self.unique {
                    each_url(&urls, |_, url| {
                        self.past.seen.claim(url);
                        Ok(())
                    })?;
                }
            }
            Entry::Requeued { job, .. } => {
                if self.follow {
                    self.past.seen.claim(&job.url);
                }
                self.started.remove(&job.number);
                self.requeued.insert(job.number, self.next_requeue);
                self.next_requeue += 1;
            }
            Entry::Owed(owed) => self.owe(owed.into_owned()),
            Entry::Claimed(url) => drop(self.past.seen.claim(&url)),
            Entry::Scope(url) => self.past.scope.push(url.into()),
            Entry::Own { job, claim } => {
                self.past.seen.claim(&claim);
                self.own.insert(job.first_url().into(), revived(job.into_owned()));
            }
            Entry::OwnDone(url) => drop(self.own.remove(&*url)),
            Entry::Input(position) => self.past.input = position,
            Entry::InputEnded => self.past.input_ended = true,
            Entry::Started(number) => drop(self.started.insert(number)),
            Entry::Written(endings) => endings.iter().try_for_each(|ending| self.end(ending))?,
            Entry::Host(key, state) => drop(self.past.hosts.insert(key.as_ref().into(), state.into_owned())),
            Entry::Retried { old, .. } => self.supersede(&old)?,
            Entry::Spent(part) => self.past.spent.add(&part),
            Entry::Finished => self.past.finished = true,
        }
        Ok(())
    }

    fn claim(&mut self, job: &Job) {
        if self.unique {
            self.past.seen.claim(&job.url);
            for mirror in job.mirrors().iter().filter(|mirror| !mirror.repeated) {
                self.past.seen.claim(&mirror.url);
            }
        }
    }

    fn note_typed(&mut self, job: &Job) {
        if job.kind != JobKind::Typed {
            return;
        }
        let mirrors = job.mirrors().iter().map(|mirror| (&*mirror.url, mirror.repeated));
        for (url, repeated) in std::iter::once((&*job.url, !job.mirrors().is_empty())).chain(mirrors) {
            let host = host_key_of(url);
            if !self.past.typed_hosts.contains(host) {
                self.past.typed_hosts.insert(host.into());
            }
            if self.follow && !repeated {
                self.past.scope.push(url.into());
            }
        }
    }

    fn owe(&mut self, owed: Owed) {
        self.accept(owed.number);
        if let OwedKind::Skipped(job, reason) = &owed.kind {
            match reason {
                // Another job has claimed it.
                SkipReason::Duplicate => {}
                SkipReason::Trap => drop(self.past.seen.claim(&job.url)),
                // It may still come in scope by a shorter way.
                _ => drop(self.past.refused.claim(&job.url)),
            }
        }
        self.past.owed.insert(owed.number, owed);
    }

    fn end(&mut self, ending: &Ending) -> io::Result<()> {
        let Ending { number, outcome, error, skip, .. } = *ending;
        if !self.done.mark(number)? {
            return Err(invalid(format!("job {number} has ended twice")));
        }
        self.past.owed.remove(&number);
        self.requeued.remove(&number);
        self.started.remove(&number);
        *self.past.counted.entry(counted(ending)).or_default() += 1;
        let again = match outcome {
            // Nobody knows whether it has come to its end.
            Outcome::Failed if error == Some(ErrorKind::Interrupted) => self.settings.retry_interrupted,
            Outcome::Failed => error != Some(ErrorKind::InvalidInput),
            Outcome::HttpError => true,
            Outcome::Skipped => matches!(skip, Some(SkipReason::BreakerOpen | SkipReason::RateLimited)),
            Outcome::Ok => false,
        };
        if self.settings.failures && again {
            self.failed.insert(number, (*ending, self.past.next_seq));
        }
        self.past.next_seq += 1;
        Ok(())
    }

    /// A failure counts no more: the job that was made of it does.
    fn supersede(&mut self, old: &Ending) -> io::Result<()> {
        self.failed.remove(&old.number);
        match self.past.counted.get_mut(&counted(old)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => return Err(invalid(format!("job {} is asked again and has not failed", old.number))),
        }
        self.past.superseded += 1;
        Ok(())
    }

    /// The second reading: the jobs that are not done.
    fn second(&mut self, entry: Entry<'_>, waiting: &mut Vec<Job>, memory: &mut MemoryFrontier) -> io::Result<()> {
        match entry {
            Entry::Job { job, bare } if !self.requeued.contains_key(&job.number) => {
                self.take(job.into_owned(), bare, waiting);
            }
            Entry::Links { first, depth, priority, source, urls } => {
                let last = first + urls.len() as u64;
                if (first..last).any(|number| !self.done.contains(number) || self.failed.contains_key(&number)) {
                    each_link((first, depth, source.as_deref()), &urls, |mut job| {
                        job.priority = priority;
                        if !self.requeued.contains_key(&job.number) {
                            self.take(job, false, waiting);
                        }
                        Ok(())
                    })?;
                }
            }
            Entry::Requeued { job, bare } => {
                if self.requeued.get(&job.number) == Some(&self.next_requeue) {
                    self.take(job.into_owned(), bare, waiting);
                }
                self.next_requeue += 1;
            }
            _ => {}
        }
        if waiting.len() >= BATCH { discover(memory, waiting) } else { Ok(()) }
    }

    fn take(&mut self, job: Job, bare: bool, waiting: &mut Vec<Job>) {
        let number = job.number;
        if let Some(&(ending, seq)) = self.failed.get(&number) {
            let job = revived(job);
            if bare {
                self.past.bare_failures.insert(number, (ending, seq));
                self.past.bare.push(job);
            } else {
                self.past.failures.push(Failure { job, ending, seq });
            }
        } else if self.done.contains(number) {
            // Its record is written.
        } else if self.started.contains(&number) && !self.settings.retry_interrupted {
            self.past.interrupted.push(revived(job));
        } else if bare {
            self.past.bare.push(revived(job));
        } else {
            waiting.push(revived(job));
        }
    }
}
