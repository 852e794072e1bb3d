//! An output read again from its start: whether it is what was written to it.
//!
//! While an output is written a digest runs along, and its marks keep it. So a byte that somebody has changed anywhere
//! before a mark is found when a run goes on, at the cost of reading the file once (XXH3, about 10 GB/s). Called when an
//! output is opened again.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use crate::model::mark::OutputMark;

/// Bytes read at once.
const WINDOW: u64 = 1 << 20;

/// The digest of all that an output holds so far.
#[derive(Default)]
pub(super) struct Digest(Box<Xxh3>);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digest({:016x})", self.value())
    }
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.digest()
    }
}

/// Reads a file up to the last of these marks, in the order in which they were made. Returns the digest there, or the
/// first two marks, as bytes from the start, between which something else stands than what was written.
pub(super) fn reread(
    file: &mut File,
    marks: impl IntoIterator<Item = OutputMark>,
) -> io::Result<Result<Digest, Range<u64>>> {
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Digest::default();
    let (mut at, mut window) = (0, Vec::new());
    for mark in marks {
        let start = at;
        while at < mark.bytes {
            window.clear();
            let read = file.by_ref().take((mark.bytes - at).min(WINDOW)).read_to_end(&mut window)?;
            if read == 0 {
                return Ok(Err(start..mark.bytes));
            }
            digest.add(&window);
            at += read as u64;
        }
        if digest.value() != mark.digest {
            return Ok(Err(start..mark.bytes));
        }
    }
    Ok(Ok(digest))
}
