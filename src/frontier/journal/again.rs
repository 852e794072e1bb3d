//! A finished run begun anew: its journal becomes that of a new run, in which every URL that it knew waits again, with what
//! was known of it.
//!
//! Decides what is carried over: each job once, by its first URL, also what was gone and may
//! come back, but not what was never to be asked. The
//! new journal is written beside the old one and takes its place when it is whole: who is killed on the way has the old one
//! still. Takes about 80 bytes of memory for each page while it is done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};

use foldhash::{HashMap, HashMapExt as _};

use super::block;
use super::dir::{StateDir, StateError, sync_directory, to_write};
use super::entry::{Begun, Entry, each, each_link};
use super::load::Replay;
use super::{Durability, Journal, JournalSettings};
use crate::frontier::FrontierError;
use crate::model::job::{Chain, Job, Known};

impl Replay {
    /// Makes the journal of a new run out of this one.
    ///
    /// # Errors
    /// The journal cannot be read, the new one cannot be written, or jobs lack credentials of their own and may not go
    /// `without`. The old one stands then.
    pub fn renew(self, dir: &StateDir, begun: Begun, without: bool) -> Result<Self, StateError> {
        if !without {
            self.refuse_bare(dir)?;
        }
        let made = self.write_anew(dir, begun);
        if made.is_err() {
            // On a full disk there is more room without it.
            let _ = fs::remove_file(dir.journal_path().with_extension("new"));
        }
        made
    }

    fn write_anew(self, dir: &StateDir, begun: Begun) -> Result<Self, StateError> {
        let path = dir.journal_path();
        let new = path.with_extension("new");
        let failed = |source| StateError::Io { action: "write", path: new.clone(), source };
        let mut file = create(&new).map_err(failed)?;
        file.write_all(&block::preamble()).map_err(failed)?;
        let pages = self.pages()?;
        let settings = JournalSettings { durability: Durability::Commit, outputs: Vec::new() };
        let mut journal = Journal::begin(dir, file, begun, settings)?;
        self.carry_over(pages, &mut journal)?;
        journal.note(&Entry::InputEnded);
        journal.close().map_err(|FrontierError(source)| failed(source))?;
        drop(journal);
        fs::rename(&new, &path).map_err(failed)?;
        sync_directory(dir.path());
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        Self::scan(dir, file)?.ok_or_else(|| StateError::NoRun { path: dir.path().to_owned() })
    }

    /// Who would be asked without the credentials that the first run had.
    fn refuse_bare(&self, dir: &StateDir) -> Result<(), StateError> {
        let mut bare = None;
        self.each_block(|entries| {
            each(entries, |entry| {
                if let Entry::Job { job, bare: true } = entry {
                    bare.get_or_insert_with(|| job.first_url().to_string());
                }
                Ok(())
            })
        })?;
        bare.map_or(Ok(()), |url| Err(StateError::Credentials { path: dir.path().to_owned(), url }))
    }

    /// What was last known of pages, by the number of the first job that asked for them.
    fn pages(&self) -> Result<HashMap<u64, Option<Known>>, StateError> {
        let mut pages = HashMap::new();
        let mut retried = Vec::new();
        self.each_block(|entries| {
            each(entries, |entry| {
                match entry {
                    Entry::Page { number, known } => drop(pages.insert(number, Some(known.into_owned()))),
                    Entry::Retried { old, number } => retried.push((old.number, number)),
                    _ => {}
                }
                Ok(())
            })
        })?;
        for (old, number) in retried {
            if let Some(Some(page)) = pages.remove(&number) {
                pages.insert(old, Some(page));
            }
            // The same URL as the one before: it is not carried over.
            pages.insert(number, None);
        }
        Ok(pages)
    }

    fn carry_over(&self, mut pages: HashMap<u64, Option<Known>>, journal: &mut Journal) -> Result<(), StateError> {
        let mut next = 0;
        self.each_block(|entries| {
            each(entries, |entry| match entry {
                Entry::Job { job, .. } => again(job.into_owned(), &mut pages, &mut next, journal),
                Entry::Links { first, depth, priority, source, urls } => {
                    each_link((first, depth, source.as_deref()), &urls, |mut job| {
                        job.priority = priority;
                        again(job, &mut pages, &mut next, journal)
                    })
                }
                _ => Ok(()),
            })
        })
    }
}

/// Accepts a job of the old run for the new one.
fn again(
    mut job: Job,
    pages: &mut HashMap<u64, Option<Known>>,
    next: &mut u64,
    journal: &mut Journal,
) -> io::Result<()> {
    let before = job.chain.take().and_then(|chain| chain.known);
    let known = match pages.remove(&job.number) {
        Some(None) => return Ok(()),
        Some(Some(known)) => Some(Box::new(known)),
        // It failed this time: what was known before is known still.
        None => before,
    };
    if known.is_some() {
        job.chain = Some(Box::new(Chain { known, ..Chain::default() }));
    }
    job.number = *next;
    *next += 1;
    journal.accepted(&[job]);
    if journal.is_full() {
        journal.commit().map_err(|FrontierError(error)| error)?;
        while journal.is_behind() {
            journal.commit_and_wait().map_err(|FrontierError(error)| error)?;
        }
    }
    Ok(())
}

fn create(path: &std::path::Path) -> io::Result<File> {
    to_write().truncate(true).open(path)
}
