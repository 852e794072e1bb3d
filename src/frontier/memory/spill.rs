//! The temporary file of the frontier in memory: blocks of jobs, in slots of one size.
//!
//! It decides where a block stands in the file, and nothing about which jobs go there. A block takes as many slots as it
//! needs, not always neighbours, and gives them back when it has been read: so the file is never longer than its limit,
//! and there is nothing to compact. The file has no name, and is gone with the process however that ends. It is made when
//! it is first needed. Called by the frontier alone. Format: postcard, which only this process reads back.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frontier::Rank;
use crate::model::job::Job;

/// A page of most file systems. Blocks of some tens of jobs (the tail of one small host) waste little of it.
pub(super) const SLOT: usize = 4096;

/// Jobs in the file.
pub(super) struct Block {
    extent: Extent,
    /// The best rank in the block.
    pub first: Rank,
    /// Bytes that the jobs occupied in memory, with all that was counted for them.
    pub heap: usize,
}

impl Block {
    pub(super) fn new(extent: Extent, first: Rank, heap: usize) -> Self {
        Self { extent, first, heap }
    }

    /// Bytes that the block still occupies in memory: this entry, and its list of slots.
    pub(super) fn own_size(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.extent.slots) + 16
    }
}

/// Where a block stands.
pub(super) struct Extent {
    slots: Box<[u32]>,
    bytes: usize,
}

pub(super) struct SpillFile {
    dir: Option<PathBuf>,
    file: Option<File>,
    /// Slots that were used and are free again.
    free: Vec<u32>,
    /// Slots from here on were never used.
    end: u32,
    limit: u32,
    /// The last write failed: nothing is written until a block has been given back.
    refused: bool,
}

impl SpillFile {
    /// A file of at most `limit` bytes, in the system's directory for temporary files if none is named.
    pub(super) fn new(dir: Option<PathBuf>, limit: u64) -> Self {
        let limit = u32::try_from(limit / SLOT as u64).unwrap_or(u32::MAX);
        Self { dir, file: None, free: Vec::new(), end: 0, limit, refused: false }
    }

    /// Whether it makes sense to write a block.
    pub(super) fn has_space(&self) -> bool {
        !self.refused && (!self.free.is_empty() || self.end < self.limit)
    }

    /// Writes a value; None if it does not fit, or the disk does not take it.
    pub(super) fn write(&mut self, value: &impl Serialize) -> Option<Extent> {
        if self.refused {
            return None;
        }
        let bytes = postcard::to_stdvec(value).expect("jobs are made of types that postcard knows");
        let slots = self.reserve(bytes.len().div_ceil(SLOT))?;
        let extent = Extent { slots, bytes: bytes.len() };
        match self.write_bytes(&extent, &bytes) {
            Ok(()) => Some(extent),
            Err(error) => {
                tracing::warn!(%error, "the temporary file for waiting jobs cannot be written: they stay in memory");
                self.release(&extent);
                self.refused = true;
                None
            }
        }
    }

    /// Reads what was written; the extent stays taken until [`SpillFile::release`].
    pub(super) fn read<T: DeserializeOwned>(&mut self, block: &Block) -> io::Result<T> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the temporary file is closed"))?;
        let mut bytes = vec![0; block.extent.bytes];
        for (run, part) in runs(&block.extent) {
            file.seek(SeekFrom::Start(u64::from(run) * SLOT as u64))?;
            file.read_exact(&mut bytes[part])?;
        }
        postcard::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Gives the slots of a block that has been read back.
    pub(super) fn free(&mut self, block: &Block) {
        self.release(&block.extent);
        self.refused = false;
        if self.free.len() == self.end as usize {
            // Nothing is in the file: the disk gets its space back, and the next blocks stand in neighbouring slots.
            // A file that cannot be cut is only longer than it need be.
            let _ = self.file.as_ref().map(|file| file.set_len(0));
            self.free = Vec::new();
            self.end = 0;
        }
    }

    fn release(&mut self, extent: &Extent) {
        // The last slot first, so that the next block takes them in ascending order.
        self.free.extend(extent.slots.iter().rev());
    }

    fn reserve(&mut self, count: usize) -> Option<Box<[u32]>> {
        if count > self.free.len() + (self.limit - self.end) as usize {
            return None;
        }
        let old = self.free.split_off(self.free.len().saturating_sub(count));
        let mut slots: Vec<u32> = old.into_iter().rev().collect();
        while slots.len() < count {
            slots.push(self.end);
            self.end += 1;
        }
        Some(slots.into())
    }

    fn write_bytes(&mut self, extent: &Extent, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(match &self.dir {
                Some(dir) => tempfile::tempfile_in(dir)?,
                None => tempfile::tempfile()?,
            }),
        };
        for (run, part) in runs(extent) {
            file.seek(SeekFrom::Start(u64::from(run) * SLOT as u64))?;
            file.write_all(&bytes[part])?;
        }
        Ok(())
    }
}

/// The neighbouring slots of an extent taken together: the first slot, and which bytes of the block stand there.
fn runs(extent: &Extent) -> impl Iterator<Item = (u32, std::ops::Range<usize>)> {
    let mut done = 0;
    extent.slots.chunk_by(|a, b| a + 1 == *b).map(move |run| {
        let start = done;
        done = (done + run.len() * SLOT).min(extent.bytes);
        (run[0], start..done)
    })
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

    fn block(file: &mut SpillFile, value: &Vec<u8>) -> Block {
        let first = Rank { unpriority: 0, depth: 0, number: 0 };
        Block::new(file.write(value).unwrap(), first, 0)
    }

    #[test]
    fn blocks_of_all_sizes_come_back_from_scattered_slots() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut file = SpillFile::new(None, 400 * SLOT as u64);
        let mut kept: Vec<(Vec<u8>, Block)> = Vec::new();
        let mut scattered = false;
        for _ in 0..2000 {
            if kept.len() < 20 {
                let value: Vec<u8> = (0..random.usize(0..10 * SLOT)).map(|_| random.u8(..)).collect();
                let block = block(&mut file, &value);
                scattered |= runs(&block.extent).count() > 1;
                kept.push((value, block));
            } else {
                let (value, block) = kept.swap_remove(random.usize(..kept.len()));
                assert_eq!(file.read::<Vec<u8>>(&block).unwrap(), value);
                file.free(&block);
            }
        }
        assert!(scattered, "no block was ever in more than one run of slots");
        let length = file.file.as_ref().unwrap().metadata().unwrap().len();
        assert!(length <= 20 * 10 * SLOT as u64, "{length}");
    }

    #[test]
    fn the_limit_holds_and_space_is_used_again() {
        let mut file = SpillFile::new(None, 4 * SLOT as u64 + 100);
        let value = vec![7_u8; 2 * SLOT - 10];
        let (first, second) = (block(&mut file, &value), block(&mut file, &value));
        assert!(!file.has_space());
        assert!(file.write(&value).is_none());
        file.free(&first);
        assert!(file.has_space());
        let third = block(&mut file, &value);
        assert_eq!(file.read::<Vec<u8>>(&third).unwrap(), value);
        file.free(&third);
        file.free(&second);
        assert_eq!(file.file.as_ref().unwrap().metadata().unwrap().len(), 0);
        let _ = block(&mut file, &value);
    }

    #[test]
    fn a_directory_that_is_not_there_is_refused_once_and_quietly() {
        let mut file = SpillFile::new(Some("/nonexistent/directory".into()), 1 << 20);
        assert!(file.has_space());
        assert!(file.write(&vec![1_u8]).is_none());
        assert!(!file.has_space());
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
