//! Fingerprints of the seen set that have left memory: sorted runs in temporary files.
//!
//! Decides where a fingerprint is looked for: each run has every 512th of its fingerprints in memory, and one read of 4 KiB
//! tells the rest. Two runs of about the same size become one, so there are few: with n times as many fingerprints as
//! memory holds, about log₂ n. The files have no name, and are gone with the process. Called by [`super::Seen`] alone.
//!
//! Cost: 8 bytes of file and 0.02 of memory for each URL; a lookup about a microsecond for each run, where the file is in
//! the system's cache, and each fingerprint is written about log₂ n times.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const BYTES: usize = size_of::<u64>();
/// Fingerprints read at once: a page of most file systems.
const PAGE: usize = 512;

/// Sorted fingerprints in a file.
struct Run {
    file: File,
    len: u64,
    /// The first of each page.
    index: Vec<u64>,
}

/// All runs, the largest first.
#[derive(Default)]
pub(super) struct Runs {
    dir: Option<PathBuf>,
    runs: Vec<Run>,
}

impl Runs {
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, runs: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn contains(&self, fingerprint: u64) -> io::Result<bool> {
        // What was found last is found again soonest.
        for run in self.runs.iter().rev() {
            if run.contains(fingerprint)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes sorted fingerprints that are in no run yet. If that fails, they are not taken.
    pub(super) fn add(&mut self, sorted: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut writer = RunWriter::new(self.dir.as_deref())?;
        for fingerprint in sorted {
            writer.push(fingerprint)?;
        }
        self.runs.push(writer.finish()?);
        while let [.., larger, smaller] = &mut self.runs[..]
            && larger.len <= 2 * smaller.len
        {
            // Two runs say as much as one: a disk that has no room for it is no reason to stop.
            let Ok(merged) = merge(self.dir.as_deref(), larger, smaller) else { break };
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(merged);
        }
        Ok(())
    }
}

impl Run {
    fn contains(&self, fingerprint: u64) -> io::Result<bool> {
        let Some(page) = self.index.partition_point(|first| *first <= fingerprint).checked_sub(1) else {
            return Ok(false);
        };
        let start = page as u64 * PAGE as u64;
        let count = usize::try_from(self.len - start).map_or(PAGE, |left| left.min(PAGE));
        let mut bytes = [0; PAGE * BYTES];
        let bytes = &mut bytes[..count * BYTES];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start * BYTES as u64))?;
        file.read_exact(bytes)?;
        let (all, _) = bytes.as_chunks::<BYTES>();
        Ok(all.binary_search_by_key(&fingerprint, |bytes| u64::from_le_bytes(*bytes)).is_ok())
    }

    fn read(&mut self) -> io::Result<impl Iterator<Item = io::Result<u64>>> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut input = BufReader::with_capacity(64 * 1024, &self.file);
        Ok((0..self.len).map(move |_| {
            let mut bytes = [0; BYTES];
            input.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        }))
    }
}

fn merge(dir: Option<&Path>, a: &mut Run, b: &mut Run) -> io::Result<Run> {
    let mut writer = RunWriter::new(dir)?;
    let (mut a, mut b) = (a.read()?, b.read()?);
    let (mut next_a, mut next_b) = (a.next().transpose()?, b.next().transpose()?);
    loop {
        // None is in both.
        match (next_a, next_b) {
            (Some(first), second) if second.is_none_or(|second| first < second) => {
                writer.push(first)?;
                next_a = a.next().transpose()?;
            }
            (_, Some(second)) => {
                writer.push(second)?;
                next_b = b.next().transpose()?;
            }
            _ => return writer.finish(),
        }
    }
}

struct RunWriter {
    out: BufWriter<File>,
    len: u64,
    index: Vec<u64>,
}

impl RunWriter {
    fn new(dir: Option<&Path>) -> io::Result<Self> {
        let file = match dir {
            Some(dir) => tempfile::tempfile_in(dir)?,
            None => tempfile::tempfile()?,
        };
        Ok(Self { out: BufWriter::with_capacity(64 * 1024, file), len: 0, index: Vec::new() })
    }

    fn push(&mut self, fingerprint: u64) -> io::Result<()> {
        if self.len.is_multiple_of(PAGE as u64) {
            self.index.push(fingerprint);
        }
        self.len += 1;
        self.out.write_all(&fingerprint.to_le_bytes())
    }

    fn finish(self) -> io::Result<Run> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Run { file, len: self.len, index: self.index })
    }
}
