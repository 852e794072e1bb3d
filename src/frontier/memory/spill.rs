//! The temporary file of the frontier in memory: blocks of jobs, in slots of one size.
//!
//! It decides where a block stands in the file, and nothing about which jobs go there. A block takes as many slots as it
//! needs, not always neighbours, and gives them back when it has been read: so the file is never longer than its limit,
//! and there is nothing to compact. The last slot of a block can be filled up later. The file has no name, and is gone with the process however that ends. It is made when
//! it is first needed. Called by the frontier alone. Format: postcard, which only this process reads back.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frontier::Rank;
use crate::model::job::Job;
use crate::model::units::Moment;

/// A page of most file systems: small tails of small hosts fill one bit by bit.
pub(super) const SLOT: usize = 4096;

/// Ends a chain of slots.
const NONE: u32 = u32::MAX;

/// Jobs in the file.
pub(super) struct Block {
    pub extent: Extent,
    /// The best rank in the block.
    pub first: Rank,
    /// When the oldest of them was accepted.
    pub oldest: Moment,
    /// Bytes that the jobs occupied in memory, with all that was counted for them.
    pub heap: usize,
}

impl Block {
    /// Bytes that the block still occupies in memory: this entry with half as much again for a list's room to grow, and
    /// its part of the table of slots.
    pub(super) fn own_size(&self) -> usize {
        size_of::<Self>() * 3 / 2 + self.extent.bytes.div_ceil(SLOT) * size_of::<u32>()
    }
}

/// Where a block stands: a chain of slots, all full but the last.
pub(super) struct Extent {
    first: u32,
    bytes: usize,
}

pub(super) struct SpillFile {
    dir: Option<PathBuf>,
    file: Option<File>,
    /// The slot after each slot, in the chain of an extent or of those that are free.
    next: Vec<u32>,
    first_free: u32,
    free: usize,
    limit: usize,
    /// The last write failed: nothing is written until a block has been given back.
    refused: bool,
}

impl SpillFile {
    /// A file of at most `limit` bytes, in the system's directory for temporary files if none is named.
    pub(super) fn new(dir: Option<PathBuf>, limit: u64) -> Self {
        let limit = usize::try_from(limit / SLOT as u64).unwrap_or(usize::MAX).min(NONE as usize);
        Self { dir, file: None, next: Vec::new(), first_free: NONE, free: 0, limit, refused: false }
    }

    /// Whether it makes sense to write a block.
    pub(super) fn has_space(&self) -> bool {
        !self.refused && (self.free > 0 || self.next.len() < self.limit)
    }

    /// Writes some bytes; None if they do not fit, or the disk does not take them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<Extent> {
        if self.refused {
            return None;
        }
        let extent = Extent { first: self.reserve(bytes.len().div_ceil(SLOT))?, bytes: bytes.len() };
        if self.write_from(extent.first, 0, bytes) {
            Some(extent)
        } else {
            self.release(&extent);
            None
        }
    }

    /// Adds some bytes to an extent if its last slot has room for them.
    pub(super) fn append(&mut self, extent: &mut Extent, bytes: &[u8]) -> bool {
        let used = extent.bytes % SLOT;
        if self.refused || used == 0 || used + bytes.len() > SLOT {
            return false;
        }
        let last = self.chain(extent.first).last();
        let written = last.is_some_and(|slot| self.write_from(slot, used, bytes));
        if written {
            extent.bytes += bytes.len();
        }
        written
    }

    /// Reads an extent; it stays taken until [`SpillFile::give_back`].
    pub(super) fn read(&mut self, extent: &Extent) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; extent.bytes];
        let runs = self.runs(extent.first, 0, bytes.len());
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the temporary file is closed"))?;
        for (start, part) in runs {
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut bytes[part])?;
        }
        Ok(bytes)
    }

    /// Frees the slots of an extent that has been read.
    pub(super) fn give_back(&mut self, extent: &Extent) {
        self.release(extent);
        self.refused = false;
        if self.free == self.next.len() {
            // Nothing is in the file: the disk gets its space back, and the next blocks stand in neighbouring slots.
            // A file that cannot be cut is only longer than it need be.
            let _ = self.file.as_ref().map(|file| file.set_len(0));
            self.next = Vec::new();
            self.first_free = NONE;
            self.free = 0;
        }
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(first), |&slot| Some(self.next[slot as usize]).filter(|&next| next != NONE))
    }

    /// Puts the chain of an extent before the chain of free slots.
    fn release(&mut self, extent: &Extent) {
        let Some(last) = self.chain(extent.first).last() else { return };
        self.next[last as usize] = self.first_free;
        self.first_free = extent.first;
        self.free += extent.bytes.div_ceil(SLOT);
    }

    /// Takes slots, as a chain.
    fn reserve(&mut self, count: usize) -> Option<u32> {
        if count == 0 || count > self.free + (self.limit - self.next.len()) {
            return None;
        }
        let (mut first, mut last) = (NONE, NONE);
        for _ in 0..count {
            let slot = if self.free > 0 {
                self.free -= 1;
                let slot = self.first_free;
                self.first_free = std::mem::replace(&mut self.next[slot as usize], NONE);
                slot
            } else {
                self.next.push(NONE);
                u32::try_from(self.next.len() - 1).expect("the limit is below the last number")
            };
            match self.next.get_mut(last as usize) {
                Some(next) => *next = slot,
                None => first = slot,
            }
            last = slot;
        }
        Some(first)
    }

    /// Writes bytes into the chain from a slot on, and in it from an offset on. False if the disk does not take them.
    fn write_from(&mut self, slot: u32, offset: usize, bytes: &[u8]) -> bool {
        let result = self.try_write(slot, offset, bytes);
        if let Err(error) = &result {
            tracing::warn!(%error, "the temporary file for waiting jobs cannot be written: they stay in memory");
            self.refused = true;
        }
        result.is_ok()
    }

    fn try_write(&mut self, slot: u32, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let runs = self.runs(slot, offset, bytes.len());
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(match &self.dir {
                Some(dir) => tempfile::tempfile_in(dir)?,
                None => tempfile::tempfile()?,
            }),
        };
        for (start, part) in runs {
            file.seek(SeekFrom::Start(start))?;
            file.write_all(&bytes[part])?;
        }
        Ok(())
    }

    /// Where `len` bytes stand, from an offset in a slot on: each place in the file, and which of the bytes stand there.
    /// Neighbouring slots are taken together.
    fn runs(&self, slot: u32, offset: usize, len: usize) -> Vec<(u64, Range<usize>)> {
        let mut runs: Vec<(u64, Range<usize>)> = Vec::new();
        let (mut done, mut offset) = (0, offset);
        for slot in self.chain(slot) {
            if done == len {
                break;
            }
            let start = u64::from(slot) * SLOT as u64 + offset as u64;
            let end = (done + SLOT - offset).min(len);
            match runs.last_mut() {
                Some((run, part)) if *run + part.len() as u64 == start => part.end = end,
                _ => runs.push((start, done..end)),
            }
            (done, offset) = (end, 0);
        }
        runs
    }
}

/// Values one after the other, so that more can be appended.
pub(super) fn encode<T: Serialize>(values: &[T]) -> Vec<u8> {
    values.iter().fold(Vec::new(), |bytes, value| {
        postcard::to_extend(value, bytes).expect("jobs are made of types that postcard knows")
    })
}

pub(super) fn decode<T: DeserializeOwned>(mut bytes: &[u8]) -> io::Result<Vec<T>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let (value, rest) =
            postcard::take_from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        values.push(value);
        bytes = rest;
    }
    Ok(values)
}

/// Lets the jobs of one page share its URL again: in the file each has its own copy.
pub(super) fn share_sources<'a>(jobs: impl Iterator<Item = &'a mut Job>) {
    let mut last: Option<Arc<str>> = None;
    for job in jobs {
        if let Some(source) = &mut job.source {
            match &last {
                Some(shared) if shared == source => *source = Arc::clone(shared),
                _ => last = Some(Arc::clone(source)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_of_all_sizes_come_back_from_scattered_slots() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut file = SpillFile::new(None, 400 * SLOT as u64);
        let mut kept: Vec<(Vec<u8>, Extent)> = Vec::new();
        let (mut scattered, mut appended) = (false, 0);
        for _ in 0..3000 {
            let more: Vec<u8> = (0..random.usize(1..10 * SLOT)).map(|_| random.u8(..)).collect();
            let count = kept.len();
            match random.u32(0..3) {
                0 if count < 20 => {
                    let extent = file.write(&more).unwrap();
                    scattered |= file.runs(extent.first, 0, extent.bytes).len() > 1;
                    kept.push((more, extent));
                }
                1 if count > 0 => {
                    let (value, extent) = &mut kept[random.usize(..count)];
                    let more = &more[..more.len().min(500)];
                    if file.append(extent, more) {
                        value.extend(more);
                        appended += 1;
                    }
                }
                2 if count > 0 => {
                    let (value, extent) = kept.swap_remove(random.usize(..count));
                    assert!(file.read(&extent).unwrap() == value);
                    file.give_back(&extent);
                }
                _ => {}
            }
        }
        assert!(scattered, "no extent was ever in more than one run of slots");
        assert!(appended > 100, "{appended}");
        let length = file.file.as_ref().unwrap().metadata().unwrap().len();
        assert!(length <= 20 * 10 * SLOT as u64, "{length}");
    }

    #[test]
    fn the_limit_holds_and_space_is_used_again() {
        let mut file = SpillFile::new(None, 4 * SLOT as u64 + 100);
        let value = vec![7_u8; 2 * SLOT - 10];
        let (first, mut second) = (file.write(&value).unwrap(), file.write(&value).unwrap());
        assert!(!file.has_space());
        assert!(file.write(&value).is_none());
        assert!(!file.append(&mut second, &[8; 11]));
        assert!(file.append(&mut second, &[8; 10]));
        file.give_back(&first);
        assert!(file.has_space());
        let third = file.write(&value).unwrap();
        assert!(file.read(&third).unwrap() == value);
        assert!(file.read(&second).unwrap() == [&value[..], &[8; 10]].concat());
        file.give_back(&third);
        file.give_back(&second);
        assert_eq!(file.file.as_ref().unwrap().metadata().unwrap().len(), 0);
        assert!(file.write(&value).is_some());
    }

    #[test]
    fn a_directory_that_is_not_there_is_refused_once_and_quietly() {
        let mut file = SpillFile::new(Some("/nonexistent/directory".into()), 1 << 20);
        assert!(file.has_space());
        assert!(file.write(&[1]).is_none());
        assert!(!file.has_space());
    }

    #[test]
    fn bytes_that_are_no_jobs_are_an_error() {
        assert_eq!(decode::<Job>(&[255; 40]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn jobs_of_one_page_share_its_url_again() {
        let mut jobs: Vec<Job> = ["http://a/", "http://a/", "http://b/"]
            .iter()
            .map(|source| {
                let mut job = Job::new(crate::model::job::JobKind::Link, "http://c/", "c".into());
                job.source = Some((*source).into());
                job
            })
            .collect();
        share_sources(jobs.iter_mut());
        let sources: Vec<&Arc<str>> = jobs.iter().filter_map(|job| job.source.as_ref()).collect();
        assert!(Arc::ptr_eq(sources[0], sources[1]));
        assert_eq!(&**sources[2], "http://b/");
    }
}
