//! Stored answers on disk: one file for each URL, found by the hash of its canonical form.
//!
//! Decides how an answer lies on the disk, and which ones go when the limit is reached: those not used for the longest
//! time. Never decides whether one may be stored or used: that is the engine's, by `policy::freshness`. Bodies are stored
//! decoded, so that size and digest of a record do not depend on where its answer came from.
//!
//! Two runs may share a directory, and a process may die at any moment: a file is written under another name and renamed,
//! no lock is held, and what does not match its checksums is a miss. The index in memory says which URLs are worth a look;
//! it is read when the cache is opened, and what another run adds meanwhile is missed, which costs a request and no more.
//!
//! Layout: `DIR/v1/ab/<30 hex digits>`, `DIR/v1/new/` for files that are being written, and `DIR/key`, with which
//! credentials are hashed. Nothing else in the directory is touched. Called by the engine; reading happens on tokio's blocking threads, writing on a thread of its own.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

mod entry;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod seal;
#[cfg(test)]
mod tests;
mod writer;

pub use entry::{Entry, Opened};
pub use seal::Seal;

use super::Body;
use super::body::BodyPool;
use crate::model::units::WallTime;
use seal::SealKey;
use writer::{Order, Writer};

/// Bytes that may wait to be written. What comes while there are more is not stored: a slow disk slows nothing down.
const WAITING: usize = 16 << 20;

/// Where answers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Made if it is not there.
    pub dir: PathBuf,
    /// Bytes of all files; None is no limit.
    pub size: Option<u64>,
}

/// Why a directory cannot be a cache.
#[derive(Debug, thiserror::Error)]
#[error("cannot use '{}' as a cache", path.display())]
pub struct CacheError {
    path: PathBuf,
    source: io::Error,
}

/// See the module.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    key: SealKey,
    index: Index,
    pool: BodyPool,
    orders: Mutex<Option<(Sender<Order>, JoinHandle<()>)>>,
    /// Bytes that wait to be written.
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
}

/// The URLs that have a file, by the first half of their hash.
#[derive(Debug, Clone, Default)]
struct Index(Arc<Mutex<HashSet<u64>>>);

impl Index {
    fn change<T>(&self, change: impl FnOnce(&mut HashSet<u64>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The hash of a canonical URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u128);

impl Key {
    fn of(url: &str) -> Self {
        Self(xxh3_128(url.as_bytes()))
    }

    fn short(self) -> u64 {
        u64::try_from(self.0 >> 64).expect("64 bits are left")
    }

    fn path(self, root: &Path) -> PathBuf {
        let name = format!("{:032x}", self.0);
        root.join(&name[..2]).join(&name[2..])
    }

    /// Of a file in a shard; None if it is none of ours.
    fn parse(shard: &str, file: &str) -> Option<Self> {
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let ours = shard.len() == 2 && file.len() == 30 && is_hex(shard) && is_hex(file);
        ours.then(|| u128::from_str_radix(&[shard, file].concat(), 16).ok().map(Self))?
    }
}

impl Cache {
    /// Opens a cache, and reads which URLs it has. Bodies beyond 256 KiB take their memory out of `pool`.
    ///
    /// # Errors
    /// The directory cannot be made, read or written.
    pub fn open(settings: &CacheSettings, pool: BodyPool, now: WallTime) -> Result<Self, CacheError> {
        Self::try_open(settings, pool, now).map_err(|source| CacheError { path: settings.dir.clone(), source })
    }

    fn try_open(settings: &CacheSettings, pool: BodyPool, now: WallTime) -> io::Result<Self> {
        let root = settings.dir.join("v1");
        make_dir(&root.join("new"))?;
        tag(&settings.dir)?;
        let key = SealKey::of(&settings.dir)?;
        let index = Index::default();
        let names = |dir: &Path| -> io::Result<Vec<String>> {
            fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        for shard in names(&root)?.iter().filter(|name| name.len() == 2) {
            let keys = names(&root.join(shard)).unwrap_or_default();
            index.change(|set| set.extend(keys.iter().filter_map(|file| Some(Key::parse(shard, file)?.short()))));
        }
        let waiting = Arc::<AtomicUsize>::default();
        let (sender, orders) = channel();
        let writer = Writer::new(root.clone(), settings.size, index.clone(), Arc::clone(&waiting), now);
        let thread = std::thread::Builder::new().name("lycosa-cache".to_owned()).spawn(move || writer.run(&orders))?;
        let orders = Mutex::new(Some((sender, thread)));
        Ok(Self { root, key, index, pool, orders, waiting, dropped: AtomicU64::new(0) })
    }

    /// Credentials, or parts of them, as they may lie on the disk: names and values.
    #[must_use]
    pub fn seal(&self, parts: &[(&[u8], &[u8])]) -> Seal {
        self.key.seal(parts)
    }

    /// Whether it is worth to look for an answer of this canonical URL.
    #[must_use]
    pub fn may_have(&self, url: &str) -> bool {
        let key = Key::of(url).short();
        self.index.change(|set| set.contains(&key))
    }

    /// The head of the answer that is stored for a URL, and its body still in the file. It counts as used.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn look_up(&self, url: &str, now: WallTime) -> Option<Opened> {
        let (key, url) = (Key::of(url), url.to_owned());
        let path = key.path(&self.root);
        let opened = tokio::task::spawn_blocking(move || Opened::open(&path, &url, now)).await.ok().flatten();
        if opened.is_none() {
            self.index.change(|set| set.remove(&key.short()));
        }
        opened
    }

    /// Reads the body; None if the file is damaged. One that may take memory beside the pool does not wait for it.
    ///
    /// # Cancel safety
    /// Dropping the future gives the memory back.
    pub async fn read_body(&self, opened: Opened, beside_pool: bool) -> Option<(Entry, Body)> {
        let memory = self.pool.room_for(opened.size(), beside_pool).await;
        let (entry, bytes) = tokio::task::spawn_blocking(move || opened.read()).await.ok().flatten()?;
        Some((entry, Body { bytes: Bytes::from(bytes), wire_size: 0, truncated: false, memory }))
    }

    /// Stores an answer, soon. Not if the disk is behind.
    pub fn store(&self, entry: Entry, body: Bytes, now: WallTime) {
        let size = body.len() + entry.heap_size();
        let before = self.waiting.fetch_add(size, Ordering::Relaxed);
        if before > 0 && before + size > WAITING {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            if self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!("the disk of the cache is behind: some answers are not stored");
            }
            return;
        }
        self.order(Order::Store { entry: Box::new(entry), body, size, now });
    }

    /// Forgets the answer of a URL.
    pub fn remove(&self, url: &str) {
        let key = Key::of(url);
        self.index.change(|set| set.remove(&key.short()));
        self.order(Order::Remove(key));
    }

    fn order(&self, order: Order) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((sender, _)) = &*orders {
            // A thread that has died stores nothing; the run goes on without it.
            let _ = sender.send(order);
        }
    }

    /// Waits until all that was stored is on its way to the disk. Nothing is stored afterwards.
    pub fn close(&self) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = orders {
            drop(sender);
            let _ = thread.join();
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes a directory that nobody else may read: pages may be private.
fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Tells programs that make backups to leave it out (bford.info/cachedir).
fn tag(dir: &Path) -> io::Result<()> {
    match File::create_new(dir.join("CACHEDIR.TAG")) {
        Ok(mut file) => io::Write::write_all(&mut file, b"Signature: 8a477f597d28d172789f06886806bc55\n"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
