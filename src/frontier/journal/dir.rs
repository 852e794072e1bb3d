//! The directory of a run: made, locked, and its journal opened.
//!
//! Decides whether a directory can be used at all: one process at a time, one version of the format. What a journal says
//! is not read here but for its preamble. Called by whoever starts or resumes a run, before anything is fetched.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::block::{self, PREAMBLE_BYTES, PREAMBLE_LENGTH};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    #[error("the state directory {} is in use by process {pid}", path.display())]
    Locked { path: PathBuf, pid: String },
    /// No directory, no journal in it.
    #[error("{} holds no run", path.display())]
    NoRun { path: PathBuf },
    /// Not even what began a run is whole.
    #[error("{} holds no run: its journal ends at byte {bytes}, within its first block; start it anew", path.display())]
    Torn { path: PathBuf, bytes: u64 },
    #[error(
        "the run in {} was made by another version of lycosa (format {format:08x}; this one has {:08x}): finish it with that version, or start it anew in another directory",
        path.display(),
        block::format()
    )]
    Version { path: PathBuf, format: u32 },
    /// A run that would begin anew lacks what its jobs had of their own.
    #[error(
        "credentials are not kept in {}, and {url} had its own: start anew in another directory, or, if the run had no -u, give -u USER:PASSWORD for all of them",
        path.display()
    )]
    Credentials { path: PathBuf, url: String },
    /// Some byte is not what was written.
    #[error(
        "{} is damaged at byte {at}: {what}; put back a copy of it, or start anew in another state directory, with other outputs",
        path.display()
    )]
    Damaged { path: PathBuf, at: u64, what: String },
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl StateError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A state directory that this process holds, until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: File,
    /// It was made by this process.
    made: bool,
}

/// What is in a state directory.
#[derive(Debug)]
pub enum Opened {
    /// No run yet: its journal is empty.
    New(File),
    /// A run, finished or not.
    Run(File),
}

impl StateDir {
    /// Makes the directory if it is not there (but not the one above it), and takes its lock. One whose process is dead
    /// is taken over: the system has let it go.
    ///
    /// # Errors
    /// A living run holds it, or it cannot be made or written.
    pub fn lock(path: &Path) -> Result<Self, StateError> {
        let made = match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(StateError::io("make the state directory", path)(error)),
            Ok(()) => true,
        };
        let (path, lock) = Self::take(path)?;
        Ok(Self { path, lock, made })
    }

    /// Takes the lock of a directory that is there.
    ///
    /// # Errors
    /// As [`StateDir::lock`], or no run is there.
    pub fn lock_existing(path: &Path) -> Result<Self, StateError> {
        let journal = path.join(JOURNAL);
        match std::fs::metadata(&journal) {
            Ok(found) if found.is_file() => {}
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(StateError::io("read", &journal)(error));
            }
            _ => return Err(StateError::NoRun { path: path.to_owned() }),
        }
        let (path, lock) = Self::take(path)?;
        Ok(Self { path, lock, made: false })
    }

    fn take(path: &Path) -> Result<(PathBuf, File), StateError> {
        // It is found again although the process goes elsewhere.
        let path = &std::path::absolute(path).map_err(StateError::io("find", path))?;
        let name = path.join(LOCK);
        let open = to_write().truncate(false).open(&name);
        let mut lock = open.map_err(StateError::io("write", &name))?;
        // `status` holds the lock for an instant to see whether anybody does.
        let mut held = lock.try_lock();
        for _ in 0..5 {
            if matches!(held, Err(TryLockError::WouldBlock)) {
                std::thread::sleep(Duration::from_millis(20));
                held = lock.try_lock();
            }
        }
        match held {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = (&lock).take(20).read_to_string(&mut pid);
                let pid = pid.trim().to_owned();
                return Err(StateError::Locked { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(StateError::io("lock", &name)(error)),
        }
        // The number is for messages only: that a run is alive is known by the lock.
        let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(StateError::io("write", &name))?;
        Ok((path.to_owned(), lock))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its journal, for messages.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// Whether there may be a run in the journal: else it is left as it is.
    ///
    /// # Errors
    /// It has not come as far as its first block.
    pub fn holds_blocks(&self) -> Result<(), StateError> {
        let bytes = std::fs::metadata(self.journal_path()).map_or(0, |journal| journal.len());
        if bytes > PREAMBLE_BYTES { Ok(()) } else { Err(no_run(&self.path, bytes)) }
    }

    /// Opens the journal, made if there is none.
    ///
    /// # Errors
    /// It cannot be opened, is damaged at its very start, or of another version.
    pub fn open(&self) -> Result<Opened, StateError> {
        let path = self.journal_path();
        let open = to_write().truncate(false).open(&path);
        let mut file = open.map_err(StateError::io("write", &path))?;
        let length = file.metadata().map_err(StateError::io("read", &path))?.len();
        if length < PREAMBLE_BYTES {
            // A process that was killed while it wrote these few bytes.
            let begun = file.set_len(0).and_then(|()| file.write_all(&block::preamble()));
            begun.map_err(StateError::io("write", &path))?;
            sync_directory(&self.path);
            return Ok(Opened::New(file));
        }
        check_preamble(&mut file, &path)?;
        if length == PREAMBLE_BYTES { Ok(Opened::New(file)) } else { Ok(Opened::Run(file)) }
    }
}

impl StateDir {
    /// Nothing has begun in a directory that was made for it: nothing of it is left behind.
    fn remove_unused(&self) {
        let journal = self.journal_path();
        if std::fs::metadata(&journal).is_ok_and(|journal| journal.len() > PREAMBLE_BYTES) {
            return;
        }
        let _ = std::fs::remove_file(journal);
        let _ = std::fs::remove_file(self.path.join(LOCK));
        // It stays if there is anything else in it.
        let _ = std::fs::remove_dir(&self.path);
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let _ = self.lock.set_len(0);
        if self.made {
            self.remove_unused();
        }
        let _ = self.lock.unlock();
    }
}

/// The journal of a directory, to be read beside a process that may be writing it; and that process, if there is one.
pub(super) fn open_to_read(path: &Path) -> Result<(File, PathBuf, Option<String>), StateError> {
    let name = path.join(JOURNAL);
    let mut file = match File::open(&name) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(StateError::NoRun { path: path.to_owned() });
        }
        Err(error) => return Err(StateError::io("read", &name)(error)),
    };
    if let Ok(metadata) = file.metadata()
        && metadata.len() < PREAMBLE_BYTES
    {
        return Err(no_run(path, metadata.len()));
    }
    check_preamble(&mut file, &name)?;
    let living = File::open(path.join(LOCK)).ok().and_then(|mut lock| {
        let held = matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
        let mut pid = String::new();
        let read = lock.read_to_string(&mut pid);
        (held && read.is_ok()).then(|| pid.trim().to_owned())
    });
    Ok((file, name, living))
}

/// There is a journal of so many bytes, and none of its blocks is whole.
pub(super) fn no_run(path: &Path, bytes: u64) -> StateError {
    let path = path.to_owned();
    if bytes == 0 || bytes == PREAMBLE_BYTES { StateError::NoRun { path } } else { StateError::Torn { path, bytes } }
}

fn check_preamble(file: &mut File, path: &Path) -> Result<(), StateError> {
    let mut start = [0; PREAMBLE_LENGTH];
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut start));
    read.map_err(StateError::io("read", path))?;
    match block::format_of(&start) {
        Some(format) if format == block::format() => Ok(()),
        Some(format) => Err(StateError::Version { path: path.to_owned(), format }),
        None => {
            let what = "this is not the start of a journal".to_owned();
            Err(StateError::Damaged { path: path.to_owned(), at: 0, what })
        }
    }
}

/// How files of a state are made: bodies of requests stand in them, which are nobody else's business.
pub(super) fn to_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A file that is new must be found after a loss of power too. Where directories cannot be synced, there is no way to
/// ask for it.
pub(super) fn sync_directory(path: &Path) {
    let _ = File::open(path).and_then(|directory| directory.sync_all());
}
