//! A glance at a run from outside, living or not: nothing is written.
//!
//! Of a run that goes on only the end of the journal is read, however often somebody looks: about once a second it notes
//! what it has done, and what came since is added to it. Where none goes on, the journal is read as whoever resumes will
//! read it: every checksum, and all that it says. So damage is named here too. Decides nothing else.

use std::fs::File;
use std::io;
use std::path::Path;

use foldhash::{HashMap, HashMapExt as _};

use super::block::{Chain, PREAMBLE_BYTES, search};
use super::dir::{StateError, no_run, open_to_read};
use super::entry::{Begun, Entry, each};
use super::load::{Counted, Scanned, counted, damaged, scan};
use super::spent::Spent;

/// Read at first, so that whoever looks ten times a second takes little from the run; four times as much each time there was
/// no note in it.
const WINDOW: u64 = 128 << 10;

/// What can be seen of a run.
#[derive(Debug)]
pub struct Glance {
    pub begun: Begun,
    /// The process that runs it now.
    pub process: Option<String>,
    /// The whole journal was read: all that follows is since the start of the run, not since `totals`.
    pub whole: bool,
    /// Records written.
    pub written: u64,
    /// Jobs accepted, as far as was seen; at least so many.
    pub accepted: u64,
    pub finished: bool,
    /// What the run last said of itself; empty if it has not yet.
    pub totals: Vec<u8>,
    /// Records that count, by what they count as. Negative for failures from before that were given another chance.
    pub counted: HashMap<Counted, i64>,
    /// Failures that were given another chance.
    pub superseded: u64,
    pub spent: Spent,
    /// Bytes of the journal.
    pub bytes: u64,
    /// Bytes at its end that are not whole, and that whoever resumes drops.
    pub torn: u64,
}

/// Looks at the run in a directory.
///
/// # Errors
/// There is none, or its journal cannot be read. If no process runs it: it is damaged.
pub fn glance(path: &Path) -> Result<Glance, StateError> {
    let (file, name, process) = open_to_read(path)?;
    let seen = if process.is_some() { look(&file).map(Ok) } else { read(&file) };
    match seen {
        Ok(Ok(Some(glance))) => Ok(Glance { process, ..glance }),
        Ok(Ok(None)) => Err(no_run(path, file.metadata().map_or(0, |metadata| metadata.len()))),
        Ok(Err((at, what))) => Err(damaged(name, at, &what)),
        Err(source) => Err(StateError::Io { action: "read", path: name, source }),
    }
}

/// A place in the journal, and what is wrong there.
type Damage = (u64, String);

/// Reads all of it.
fn read(file: &File) -> io::Result<Result<Option<Glance>, Damage>> {
    let (begun, last, torn) = match scan(file)? {
        Scanned::Empty => return Ok(Ok(None)),
        Scanned::Damaged(at) => return Ok(Err((at, super::load::DAMAGED.to_owned()))),
        Scanned::Whole { begun, last, torn, .. } => (*begun, last, torn),
    };
    let mut glance = Glance { whole: true, torn, ..Glance::new(begun, last.end + torn) };
    let mut chain = Chain::new(file, last.end)?;
    while let Some((at, block)) = chain.next()? {
        if let Err(error) = glance.take(block.entries, block.commit.next_seq) {
            return Ok(Err((at, error.to_string())));
        }
    }
    Ok(Ok(Some(glance)))
}

/// Reads its end.
fn look(file: &File) -> io::Result<Option<Glance>> {
    let bytes = file.metadata()?.len();
    let Some(begun) = begun(file, bytes)? else { return Ok(None) };
    let mut window = WINDOW;
    loop {
        let from = bytes.saturating_sub(window).max(PREAMBLE_BYTES);
        let mut glance = Glance::new(begun.clone(), bytes);
        let mut seen = false;
        search(file, from, |_, block| {
            seen = true;
            // What cannot be read is left to whoever resumes.
            let _ = glance.take(block.entries, block.commit.next_seq);
            false
        })?;
        if from == PREAMBLE_BYTES || (seen && !glance.totals.is_empty()) {
            return Ok(Some(glance));
        }
        window = window.saturating_mul(4);
    }
}

fn begun(file: &File, bytes: u64) -> io::Result<Option<Begun>> {
    let mut chain = Chain::new(file, bytes)?;
    let Some((_, block)) = chain.next()? else { return Ok(None) };
    let mut begun = None;
    each(block.entries, |entry| {
        if let Entry::Begun(first) = entry {
            begun.get_or_insert(*first);
        }
        Ok(())
    })?;
    Ok(begun)
}

impl Glance {
    fn new(begun: Begun, bytes: u64) -> Self {
        Self {
            begun,
            process: None,
            whole: false,
            written: 0,
            accepted: 0,
            finished: false,
            totals: Vec::new(),
            counted: HashMap::new(),
            superseded: 0,
            spent: Spent::default(),
            bytes,
            torn: 0,
        }
    }

    fn take(&mut self, entries: &[u8], next_seq: u64) -> io::Result<()> {
        self.written = next_seq;
        each(entries, |entry| {
            match entry {
                Entry::Totals(totals) => {
                    self.totals = totals.into_owned();
                    if !self.whole {
                        self.counted.clear();
                        self.superseded = 0;
                        self.spent = Spent::default();
                    }
                }
                Entry::Written(endings) => {
                    for ending in endings.iter() {
                        *self.counted.entry(counted(ending)).or_default() += 1;
                    }
                }
                Entry::Retried { old, .. } => {
                    let counted = self.counted.entry(counted(&old)).or_default();
                    *counted = counted.saturating_sub(1);
                    self.superseded += 1;
                }
                Entry::Spent(part) => self.spent.add(&part),
                Entry::Job { job, .. } => self.accept(job.number.saturating_add(1)),
                Entry::Links { first, urls, .. } => self.accept(first.saturating_add(urls.len() as u64)),
                Entry::Owed(owed) => self.accept(owed.number.saturating_add(1)),
                Entry::Finished => self.finished = true,
                _ => {}
            }
            Ok(())
        })
    }

    fn accept(&mut self, count: u64) {
        self.accepted = self.accepted.max(count);
        self.finished = false;
    }
}
