//! Blocks of the journal: how one is laid out, and how a chain of them is read from its start.
//!
//! ```text
//! MAGIC 4 | checksum 8 | length 4 | length of the commit 4 | number 8 | entries … | commit …
//! ```
//!
//! Numbers are little-endian. The checksum is XXH3 over everything behind it. The commit stands last, so that entries are
//! gathered before it is known. The magic number is only there to find a later block behind a damaged one.
//!
//! Decides what is a whole block, and what a break in the chain means; never what entries mean.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::entry::{HEADER, layout};
use super::invalid;
use crate::model::mark::OutputMark;

/// The file starts with this, the number of the format and a checksum of both.
const PREAMBLE: &[u8; 8] = b"lycosa\0s";
pub(super) const PREAMBLE_LENGTH: usize = 20;
pub(super) const PREAMBLE_BYTES: u64 = PREAMBLE_LENGTH as u64;
/// To be raised with every change of what blocks or entries mean. That a job or an entry has other fields is found by
/// itself, by [`super::entry::layout`].
const FORMAT: u32 = 2;

const MAGIC: [u8; 4] = *b"\xf7LyB";
const CHECKED_FROM: usize = 12;
/// No block is longer, and none is written that would be: a commit is due long before, and one job may carry 16 MiB. What is
/// damaged can state no length beyond the end of the file either.
const LONGEST: usize = 256 << 20;

/// What a block commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    /// Records that are written.
    pub next_seq: u64,
    /// Where each output stands at `next_seq`; None for one that cannot be cut back.
    pub marks: Vec<Option<OutputMark>>,
    /// An epoch: the journal up to this byte is true of outputs that were synced.
    pub synced: Option<u64>,
}

/// The format of this version.
pub(super) fn format() -> u32 {
    FORMAT << 24 | layout()
}

/// The start of a new journal.
pub(super) fn preamble() -> Vec<u8> {
    let mut bytes = PREAMBLE.to_vec();
    bytes.extend(format().to_le_bytes());
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    bytes
}

/// The format of a journal by its start; None if it is damaged.
pub(super) fn format_of(start: &[u8]) -> Option<u32> {
    let (said, checksum) = start.get(..PREAMBLE_LENGTH)?.split_at(12);
    let whole = said.starts_with(PREAMBLE) && xxh3_64(said).to_le_bytes() == *checksum;
    whole.then(|| u32::from_le_bytes([said[8], said[9], said[10], said[11]]))
}

/// Makes a block of entries, before which [`HEADER`] bytes were left free. Refuses what [`open`] would refuse.
pub(super) fn seal(mut bytes: Vec<u8>, commit: &Commit, number: u64) -> io::Result<Vec<u8>> {
    let entries = bytes.len();
    bytes = postcard::to_extend(commit, bytes).map_err(|error| invalid(error.to_string()))?;
    let length = |bytes: usize| {
        let possible = u32::try_from(bytes).ok().filter(|_| bytes <= LONGEST);
        possible.ok_or_else(|| invalid("more than 256 MiB at once, which nobody would read back"))
    };
    let (whole, last) = (length(bytes.len())?, length(bytes.len() - entries)?);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[12..16].copy_from_slice(&whole.to_le_bytes());
    bytes[16..20].copy_from_slice(&last.to_le_bytes());
    bytes[20..28].copy_from_slice(&number.to_le_bytes());
    let checksum = xxh3_64(&bytes[CHECKED_FROM..]);
    bytes[4..12].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// A whole block.
pub(super) struct Block<'a> {
    pub number: u64,
    pub entries: &'a [u8],
    pub commit: Commit,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The length that a header states, if it is a header and the length is possible.
fn stated_length(header: &[u8]) -> Option<usize> {
    let length = u32_at(header, 12) as usize;
    (header.starts_with(&MAGIC) && (HEADER..=LONGEST).contains(&length)).then_some(length)
}

/// Reads a block of exactly these bytes; None if it is not whole.
pub(super) fn open(bytes: &[u8]) -> Option<Block<'_>> {
    if bytes.len() < HEADER || stated_length(bytes)? != bytes.len() {
        return None;
    }
    if xxh3_64(&bytes[CHECKED_FROM..]) != u64_at(bytes, 4) {
        return None;
    }
    let entries = bytes.len().checked_sub(u32_at(bytes, 16) as usize).filter(|entries| *entries >= HEADER)?;
    let commit = postcard::from_bytes(&bytes[entries..]).ok()?;
    Some(Block { number: u64_at(bytes, 20), entries: &bytes[HEADER..entries], commit })
}

/// Reads the chain of blocks from its start.
pub(super) struct Chain<'a> {
    input: BufReader<&'a File>,
    /// Where the next block starts.
    at: u64,
    end: u64,
    number: u64,
    bytes: Vec<u8>,
}

impl<'a> Chain<'a> {
    /// Reads blocks that start before `end`.
    pub(super) fn new(file: &'a File, end: u64) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(256 * 1024, file);
        input.seek(SeekFrom::Start(PREAMBLE_BYTES))?;
        Ok(Self { input, at: PREAMBLE_BYTES, end, number: 0, bytes: Vec::new() })
    }

    /// Where the blocks that were given out end.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next block, and where it starts; None at the end, or where the chain breaks.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Block<'_>)>> {
        let left = self.end - self.at;
        if left < HEADER as u64 {
            return Ok(None);
        }
        self.bytes.resize(HEADER, 0);
        self.input.read_exact(&mut self.bytes)?;
        let Some(length) = stated_length(&self.bytes).filter(|length| *length as u64 <= left) else { return Ok(None) };
        self.bytes.resize(length, 0);
        self.input.read_exact(&mut self.bytes[HEADER..])?;
        // The number is part of the checksum: a block that was left out or comes twice breaks the chain.
        match open(&self.bytes).filter(|block| block.number == self.number) {
            Some(block) => {
                let start = self.at;
                self.at += length as u64;
                self.number += 1;
                Ok(Some((start, block)))
            }
            None => Ok(None),
        }
    }
}

/// Looks for whole blocks from a place on, wherever they start, and calls `found` with each until it says true. Returns
/// whether it did.
pub(super) fn search(file: &File, from: u64, mut found: impl FnMut(u64, &Block<'_>) -> bool) -> io::Result<bool> {
    const WINDOW: usize = 1 << 20;
    let end = file.metadata()?.len();
    let mut window = Vec::new();
    let mut at = from;
    while at + HEADER as u64 <= end {
        read_at(file, at, WINDOW, &mut window)?;
        let starts: Vec<usize> = memchr::memmem::find_iter(&window, &MAGIC).collect();
        let mut skip_to = at;
        for start in starts.into_iter().map(|start| at + start as u64) {
            let mut bytes = Vec::new();
            read_at(file, start, HEADER, &mut bytes)?;
            let length = if bytes.len() == HEADER { stated_length(&bytes) } else { None };
            let Some(length) = length.filter(|length| start >= skip_to && start + *length as u64 <= end) else {
                continue;
            };
            read_at(file, start, length, &mut bytes)?;
            if let Some(block) = open(&bytes) {
                if found(start, &block) {
                    return Ok(true);
                }
                skip_to = start + length as u64;
            }
        }
        // A magic number may lie across the edge of the window.
        at = skip_to.max(at + window.len().saturating_sub(MAGIC.len() - 1).max(1) as u64);
    }
    Ok(false)
}

/// The bytes of the block that starts there; fewer if there is none.
pub(super) fn bytes_at(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_at(file, start, HEADER, &mut bytes)?;
    if bytes.len() == HEADER
        && let Some(length) = stated_length(&bytes)
    {
        read_at(file, start, length, &mut bytes)?;
    }
    Ok(bytes)
}

/// Whether all bytes are there of the block that should start there.
pub(super) fn is_long_enough(file: &File, start: u64) -> io::Result<bool> {
    let bytes = bytes_at(file, start)?;
    Ok(bytes.len() >= HEADER && stated_length(&bytes) == Some(bytes.len()))
}

/// Reads at most so many bytes from a place on: fewer at the end of the file.
fn read_at(mut file: &File, from: u64, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    into.clear();
    file.take(most as u64).read_to_end(into)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sealed can be opened, up to the last byte; what could not be opened is not sealed.
    #[test]
    fn what_is_sealed_is_accepted_by_whoever_reads_it() {
        let commit = Commit { next_seq: 7, marks: vec![None], synced: None };
        let tail = postcard::to_allocvec(&commit).unwrap().len();
        for entries in [HEADER, 1000, LONGEST - tail] {
            let block = seal(vec![0; entries], &commit, 3).unwrap();
            let opened = open(&block).unwrap();
            assert_eq!((opened.entries.len(), opened.commit, opened.number), (entries - HEADER, commit.clone(), 3));
        }
        assert!(seal(vec![0; LONGEST - tail + 1], &commit, 3).is_err());
    }
}
