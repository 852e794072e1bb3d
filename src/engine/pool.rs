//! The parse pool: a few threads for CPU-bound work on large bodies, so that the run's own thread stays prompt.
//!
//! Apart from tokio's blocking pool on purpose: name lookups wait there for seconds.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use tokio::sync::oneshot;

/// Pages may be 512 elements deep, and some readers of them call themselves for each (the default of 2 MiB is too near).
/// Only what is used is memory.
const STACK: usize = 8 << 20;

type Task = Box<dyn FnOnce() + Send>;

/// Threads that are started at the first task and end when the pool is dropped.
pub struct ParsePool {
    threads: usize,
    queue: std::sync::OnceLock<mpsc::Sender<Task>>,
    crossings: AtomicU64,
    pending: Arc<Work>,
}

/// What waits or runs.
#[derive(Debug, Default)]
struct Work {
    tasks: AtomicUsize,
    bytes: AtomicUsize,
}

/// The task panicked.
#[derive(Debug)]
pub struct Panicked;

impl ParsePool {
    /// A pool of `threads` threads; with 0 the work is done in place, as simulations need it.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads, queue: std::sync::OnceLock::new(), crossings: AtomicU64::new(0), pending: Arc::default() }
    }

    /// Whether each thread has a task and another that waits for it: what else comes would wait long, in memory.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pending.tasks.load(Ordering::Relaxed) >= 2 * self.threads
    }

    /// Bytes of bodies that wait or are being read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pending.bytes.load(Ordering::Relaxed)
    }

    /// Messages between threads so far: there and back for each task.
    #[must_use]
    pub fn crossings(&self) -> u64 {
        self.crossings.load(Ordering::Relaxed)
    }

    /// Runs `work`, on a body of `bytes`, on a thread of the pool.
    ///
    /// # Errors
    /// The work panicked.
    ///
    /// # Cancel safety
    /// Dropping the future lets the work finish; its result is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        if self.threads == 0 {
            return Ok(work());
        }
        self.crossings.fetch_add(2, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let pending = Pending::one(&self.pending, bytes);
        let task = Box::new(move || {
            let result = work();
            drop(pending);
            // The receiver may be gone: the request was cut off.
            let _ = sender.send(result);
        });
        if let Err(task) = self.queue.get_or_init(|| start(self.threads)).send(task) {
            // No thread could be started: better slow than lost.
            (task.0)();
        }
        receiver.await.map_err(|_| Panicked)
    }
}

/// Counts a task from its start to its end, by a panic too.
struct Pending(Arc<Work>, usize);

impl Pending {
    fn one(work: &Arc<Work>, bytes: usize) -> Self {
        work.tasks.fetch_add(1, Ordering::Relaxed);
        work.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self(work.clone(), bytes)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::Relaxed);
        self.0.bytes.fetch_sub(self.1, Ordering::Relaxed);
    }
}

fn start(threads: usize) -> mpsc::Sender<Task> {
    let (sender, receiver) = mpsc::channel::<Task>();
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..threads {
        let receiver = receiver.clone();
        // If the system gives no thread, those that run do the work; if none runs, `run` does it in place.
        let thread = std::thread::Builder::new().name(format!("lycosa-parse-{number}")).stack_size(STACK);
        let _ = thread.spawn(move || {
            loop {
                let task = match receiver.lock() {
                    Ok(receiver) => receiver.recv(),
                    Err(_) => return,
                };
                let Ok(task) = task else { return };
                // A panic drops the task's sender, by which its request learns of it.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
            }
        });
    }
    sender
}
