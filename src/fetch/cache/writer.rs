//! The thread that writes stored answers, and keeps the directory below its limit.
//!
//! Files are put where they belong by renaming, in the order in which they were stored, so a reader sees the old answer,
//! the new one or none. What does not get written (a full disk) is told once and costs nothing but the cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::entry::{Entry, system_time};
use super::{Index, Key, make_dir};
use crate::model::units::WallTime;

/// Files that nobody finished are older than this.
const ABANDONED: Duration = Duration::from_hours(1);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    Store { entry: Box<Entry>, body: Bytes, size: usize, now: WallTime },
    Remove(Key),
}

#[derive(Debug)]
pub(super) struct Writer {
    root: PathBuf,
    limit: Option<u64>,
    index: Index,
    waiting: Arc<AtomicUsize>,
    /// Bytes of all files when they were last counted, and written since: another run may write as well.
    counted: u64,
    written: u64,
    started: WallTime,
    next: u64,
    told: bool,
}

impl Writer {
    pub(super) fn new(
        root: PathBuf,
        limit: Option<u64>,
        index: Index,
        waiting: Arc<AtomicUsize>,
        started: WallTime,
    ) -> Self {
        Self { root, limit, index, waiting, counted: 0, written: 0, started, next: 0, told: false }
    }

    /// Until nobody can give orders any more.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        self.sweep(self.started);
        self.make_room();
        for order in orders {
            match order {
                Order::Store { entry, body, size, now } => {
                    if let Err(error) = self.store(&entry, &body, now)
                        && !std::mem::replace(&mut self.told, true)
                    {
                        tracing::warn!(%error, dir = %self.root.display(), "the cache cannot be written");
                    }
                    self.waiting.fetch_sub(size, Ordering::Relaxed);
                }
                Order::Remove(key) => {
                    let _ = fs::remove_file(key.path(&self.root));
                    self.index.change(|set| set.remove(&key.short()));
                }
            }
        }
    }

    fn store(&mut self, entry: &Entry, body: &[u8], now: WallTime) -> io::Result<()> {
        let key = Key::of(&entry.url);
        let path = key.path(&self.root);
        // Unlike those of any other process, and of those that had this number before.
        let name = format!("{}-{:x}-{}", std::process::id(), self.started.0, self.next);
        self.next += 1;
        let new = self.root.join("new").join(name);
        let put = |size: &mut u64| -> io::Result<()> {
            let mut file = create(&new)?;
            let Some(written) = entry.write(body, &mut file)? else { return fs::remove_file(&new) };
            *size = written;
            // Else two runs with clocks of their own would disagree on what is old.
            file.set_modified(system_time(now))?;
            drop(file);
            if fs::rename(&new, &path).is_err() {
                // Most often the first file of its shard.
                make_dir(path.parent().unwrap_or(&self.root))?;
                fs::rename(&new, &path)?;
            }
            Ok(())
        };
        let mut size = 0;
        if let Err(error) = put(&mut size) {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        if size > 0 {
            self.index.change(|set| set.insert(key.short()));
        }
        self.written += size;
        let Some(limit) = self.limit else { return Ok(()) };
        // Counted anew now and then, since replaced files are counted twice, and another run may write too.
        if self.counted + self.written > limit || self.written > limit / 16 {
            self.make_room();
        }
        Ok(())
    }

    /// Removes what was not used for the longest time, until a tenth of the limit is free; nothing while there is room.
    fn make_room(&mut self) {
        let Some(limit) = self.limit else { return };
        let mut files = self.files();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        if total > limit {
            files.sort_unstable_by_key(|(used, ..)| *used);
            for (_, size, key) in files {
                if total <= limit - limit / 10 {
                    break;
                }
                if fs::remove_file(key.path(&self.root)).is_ok() {
                    self.index.change(|set| set.remove(&key.short()));
                    total -= size;
                }
            }
        }
        (self.counted, self.written) = (total, 0);
    }

    /// Every stored answer: when it was last used, its bytes, its name.
    fn files(&self) -> Vec<(SystemTime, u64, Key)> {
        let mut files = Vec::new();
        for shard in entries(&self.root) {
            let name = shard.file_name();
            let Some(name) = name.to_str().filter(|name| name.len() == 2) else { continue };
            for file in entries(&shard.path()) {
                let key = file.file_name().to_str().and_then(|file| Key::parse(name, file));
                if let (Some(key), Ok(data)) = (key, file.metadata()) {
                    files.push((data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len(), key));
                }
            }
        }
        files
    }

    /// Removes files whose process died while it wrote them.
    fn sweep(&self, now: WallTime) {
        let now = system_time(now);
        for file in entries(&self.root.join("new")) {
            let modified = file.metadata().and_then(|data| data.modified());
            if modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > ABANDONED)) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// What a directory holds; nothing if it cannot be read.
fn entries(dir: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
