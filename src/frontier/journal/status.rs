//! A glance at a run from outside, living or not: only the end of its journal is read, and nothing is written.
//!
//! About once a second a run notes what it has done; what was written since is added to it. Decides nothing. Called by
//! whoever wants to know how a run is getting on, as often as it likes.

use std::fs::File;
use std::io;
use std::path::Path;

use foldhash::{HashMap, HashMapExt as _};

use super::block::{Block, Chain, PREAMBLE_BYTES, search};
use super::dir::{StateError, open_to_read};
use super::entry::{Begun, Entry, each};
use super::load::{Counted, counted};

/// Read at first, so that whoever looks ten times a second takes little from the run; four times as much each time there was
/// no note in it.
const WINDOW: u64 = 128 << 10;

/// What can be seen of a run.
#[derive(Debug)]
pub struct Glance {
    pub begun: Begun,
    /// The process that runs it now.
    pub process: Option<String>,
    /// Records written.
    pub records: u64,
    /// Jobs accepted, as far as was seen since the totals; at least so many.
    pub accepted: u64,
    pub finished: bool,
    /// What the run last said of itself; empty if it has not yet.
    pub totals: Vec<u8>,
    /// Records written since, by what they count as.
    pub since: HashMap<Counted, u64>,
    /// Bytes of the journal.
    pub bytes: u64,
}

/// Looks at the run in a directory.
///
/// # Errors
/// There is none, or its journal cannot be read.
pub fn glance(path: &Path) -> Result<Glance, StateError> {
    let (file, name, process) = open_to_read(path)?;
    match look(&file) {
        Ok(Some(glance)) => Ok(Glance { process, ..glance }),
        Ok(None) => Err(StateError::NoRun { path: path.to_owned() }),
        Err(source) => Err(StateError::Io { action: "read", path: name, source }),
    }
}

fn look(file: &File) -> io::Result<Option<Glance>> {
    let bytes = file.metadata()?.len();
    let Some(begun) = begun(file, bytes)? else { return Ok(None) };
    let mut window = WINDOW;
    loop {
        let from = bytes.saturating_sub(window).max(PREAMBLE_BYTES);
        let mut glance = Glance {
            begun: begun.clone(),
            process: None,
            records: 0,
            accepted: 0,
            finished: false,
            totals: Vec::new(),
            since: HashMap::new(),
            bytes,
        };
        let mut seen = false;
        search(file, from, |_, block| {
            seen = true;
            // What cannot be read is left to whoever resumes.
            let _ = glance.take(block);
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
    fn take(&mut self, block: &Block<'_>) -> io::Result<()> {
        self.records = block.commit.next_seq;
        each(block.entries, |entry| {
            match entry {
                Entry::Totals(totals) => {
                    self.totals = totals.into_owned();
                    self.since.clear();
                }
                Entry::Written(endings) => {
                    for ending in endings.iter() {
                        *self.since.entry(counted(ending)).or_default() += 1;
                    }
                }
                Entry::Job { job, .. } => self.accept(job.number + 1),
                Entry::Links { first, urls, .. } => self.accept(first + urls.len() as u64),
                Entry::Owed(owed) => self.accept(owed.number + 1),
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
