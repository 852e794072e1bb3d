//! The threads of a journal: one writes blocks, one calls `fsync`.
//!
//! A block is written as it comes. Whoever calls `fsync` may wait for a slow disk for seconds, and blocks go on being
//! written meanwhile: they are what survives a kill, and a run that could not write them would ask so much more again.
//! An epoch goes round: the writer names the end of the journal, the syncer syncs the outputs, the writer says in a block
//! that the journal is true up to there, the syncer syncs the journal.
//!
//! Decides when an epoch is due. Called by [`super::Journal`].

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::block::{Commit, seal};
use super::entry::HEADER;
use super::{Durability, JournalSettings};

/// From one epoch to the next, while there is anything new.
const EPOCH: Duration = Duration::from_secs(1);

enum Message {
    Block(Vec<u8>, Commit),
    /// Everything before it has been written when the sender is dropped.
    Barrier(mpsc::SyncSender<()>),
    /// The outputs are synced, as they were when the journal ended there.
    Synced(u64),
    Close,
}

/// What the dispatcher sees of the threads.
#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    failed: AtomicBool,
    error: Mutex<Option<io::Error>>,
}

impl Shared {
    fn fail(&self, error: io::Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// A journal that is written by its threads.
pub(super) struct Writer {
    sender: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Goes on with a journal that ends at `end` with this commit; the next block has this number.
    pub(super) fn start(
        file: File,
        end: u64,
        number: u64,
        last: Commit,
        settings: JournalSettings,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = mpsc::channel();
        let syncer = Syncer::start(file.try_clone()?, settings.outputs, &sender, &shared)?;
        let last = Commit { synced: None, ..last };
        let thread = WriterThread {
            file,
            end,
            number,
            last,
            durability: settings.durability,
            epoch_at: now(),
            unsynced: false,
            syncing: false,
            syncer,
            shared: shared.clone(),
        };
        let thread =
            std::thread::Builder::new().name("lycosa-journal".to_owned()).spawn(move || thread.run(&receiver))?;
        Ok(Self { sender, shared, thread: Some(thread) })
    }

    /// Bytes handed over and not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Acquire)
    }

    /// As behind as it may be, until the disk has caught up after a while of real time.
    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "it stands for a disk, and ends by itself")]
    pub(super) fn fall_behind(&self, bytes: usize) {
        self.shared.waiting.fetch_add(bytes, Ordering::AcqRel);
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
        });
    }

    pub(super) fn send(&self, entries: Vec<u8>, commit: Commit) {
        self.shared.waiting.fetch_add(entries.len(), Ordering::AcqRel);
        // The thread ends after a close only, and then `check` has told why.
        let _ = self.sender.send(Message::Block(entries, commit));
    }

    /// The first failure of a thread, if there was one.
    pub(super) fn check(&self) -> io::Result<()> {
        if !self.shared.has_failed() {
            return Ok(());
        }
        let error = self.shared.error.lock().unwrap_or_else(PoisonError::into_inner);
        let told = error.as_ref().map_or_else(String::new, ToString::to_string);
        let kind = error.as_ref().map_or(io::ErrorKind::Other, io::Error::kind);
        Err(io::Error::new(kind, format!("the journal cannot be written: {told}")))
    }

    /// Waits until all blocks have been written, or could not be.
    pub(super) fn wait(&self) {
        let (sender, receiver) = mpsc::sync_channel(0);
        if self.sender.send(Message::Barrier(sender)).is_ok() {
            // An error is the answer: the thread has dropped its end.
            let _ = receiver.recv();
        }
    }

    /// Writes the last epoch and ends the threads.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let _ = self.sender.send(Message::Close);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            self.shared.fail(io::Error::other("the thread of the journal has panicked"));
        }
        self.check()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A run that is cut off leaves whole blocks behind, like one that is killed; but nothing that writes.
        let _ = self.sender.send(Message::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct WriterThread {
    file: File,
    end: u64,
    number: u64,
    /// What the last block committed.
    last: Commit,
    durability: Durability,
    epoch_at: Instant,
    /// Something was written since the last epoch began.
    unsynced: bool,
    syncing: bool,
    syncer: Syncer,
    shared: Arc<Shared>,
}

impl WriterThread {
    fn run(mut self, receiver: &mpsc::Receiver<Message>) {
        loop {
            let message = if self.unsynced && !self.syncing && !self.shared.has_failed() {
                receiver.recv_timeout((self.epoch_at + EPOCH).saturating_duration_since(now()))
            } else {
                receiver.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            };
            let result = match message {
                Ok(Message::Block(entries, commit)) => self.take(entries, commit),
                Ok(Message::Barrier(sender)) => {
                    drop(sender);
                    Ok(())
                }
                Ok(Message::Synced(end)) => self.note_epoch(end),
                Err(mpsc::RecvTimeoutError::Timeout) => self.begin_epoch(),
                Ok(Message::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = result {
                self.shared.fail(error);
            }
        }
        if !self.shared.has_failed()
            && let Err(error) = self.whole_epoch()
        {
            self.shared.fail(error);
        }
    }

    fn take(&mut self, entries: Vec<u8>, commit: Commit) -> io::Result<()> {
        let size = entries.len();
        // Behind a block that is not there none can follow.
        let result = if self.shared.has_failed() { Ok(()) } else { self.write(entries, commit) };
        self.shared.waiting.fetch_sub(size, Ordering::AcqRel);
        result?;
        if self.shared.has_failed() {
            return Ok(());
        }
        match self.durability {
            Durability::Each => self.whole_epoch(),
            Durability::Commit if !self.syncing && now() >= self.epoch_at + EPOCH => self.begin_epoch(),
            Durability::Commit => Ok(()),
        }
    }

    fn write(&mut self, entries: Vec<u8>, commit: Commit) -> io::Result<()> {
        let block = seal(entries, &commit, self.number)?;
        if let Err(error) = self.file.write_all(&block) {
            // A torn block would be dropped when the journal is read; without it there is more room on a full disk.
            let _ = self.file.set_len(self.end);
            let _ = self.file.seek(SeekFrom::Start(self.end));
            return Err(error);
        }
        self.end += block.len() as u64;
        self.number += 1;
        self.last = commit;
        self.unsynced = true;
        Ok(())
    }

    fn begin_epoch(&mut self) -> io::Result<()> {
        self.unsynced = false;
        self.syncing = true;
        self.epoch_at = now();
        self.syncer.ask(Sync::Outputs(self.end))
    }

    /// The outputs are synced: says so in the journal, and has that synced too.
    fn note_epoch(&mut self, end: u64) -> io::Result<()> {
        self.syncing = false;
        if self.shared.has_failed() {
            return Ok(());
        }
        let unsynced = self.unsynced;
        self.write_epoch(end)?;
        self.unsynced = unsynced;
        self.syncer.ask(Sync::Journal)
    }

    fn write_epoch(&mut self, end: u64) -> io::Result<()> {
        let commit = Commit { synced: Some(end), ..self.last.clone() };
        self.write(vec![0; HEADER], commit)?;
        self.last.synced = None;
        Ok(())
    }

    /// An epoch that ends before this returns.
    fn whole_epoch(&mut self) -> io::Result<()> {
        self.syncer.sync_outputs()?;
        self.write_epoch(self.end)?;
        self.unsynced = false;
        self.file.sync_data()
    }
}

enum Sync {
    /// The outputs, for an epoch up to this byte of the journal.
    Outputs(u64),
    Journal,
}

/// Asks the other thread, which is started when it is first asked.
struct Syncer {
    outputs: Arc<Vec<File>>,
    requests: mpsc::Sender<Sync>,
}

impl Syncer {
    fn start(
        journal: File,
        outputs: Vec<File>,
        writer: &mpsc::Sender<Message>,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let outputs = Arc::new(outputs);
        let (requests, asked) = mpsc::channel();
        let (writer, shared, files) = (writer.clone(), shared.clone(), outputs.clone());
        let run = move || {
            while let Ok(request) = asked.recv() {
                let done = match request {
                    Sync::Outputs(end) => sync_all(&files).map(|()| drop(writer.send(Message::Synced(end)))),
                    Sync::Journal => journal.sync_data(),
                };
                if let Err(error) = done {
                    shared.fail(error);
                }
            }
        };
        std::thread::Builder::new().name("lycosa-fsync".to_owned()).spawn(run)?;
        Ok(Self { outputs, requests })
    }

    fn ask(&self, request: Sync) -> io::Result<()> {
        self.requests.send(request).map_err(|_| io::Error::other("the thread that calls fsync has ended"))
    }

    fn sync_outputs(&self) -> io::Result<()> {
        sync_all(&self.outputs)
    }
}

fn sync_all(files: &[File]) -> io::Result<()> {
    files.iter().try_for_each(File::sync_data)
}

#[expect(clippy::disallowed_methods, reason = "when the disk was last synced is no time of the run")]
fn now() -> Instant {
    Instant::now()
}
