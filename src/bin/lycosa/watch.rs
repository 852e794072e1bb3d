//! Signals and the progress line, on a thread of their own, so that neither waits for a busy run.
//!
//! First SIGINT or SIGTERM: no new request. Second: what is in flight is cut off. Third: exit at once. SIGUSR1: a
//! snapshot. SIGPIPE stays ignored, as Rust starts programs: a closed pipe is an error of write, told apart there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use lycosa::crawl::RunHandle;
use lycosa::observe::progress::Progress;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::console::{Console, HERTZ};
use crate::exit::StopSignal;

/// The watching thread.
pub struct Watch {
    thread: JoinHandle<()>,
    end: CancellationToken,
    /// Exit code of the first stopping signal; 0: none came.
    first: Arc<AtomicU8>,
}

/// Signals that stop or ask.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    snapshot: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            snapshot: signal(SignalKind::user_defined1())?,
        })
    }
}

/// Starts to watch a run. When it returns, signals are caught.
///
/// # Errors
/// No thread, or no signals, from the system.
pub fn start(handle: RunHandle, console: Console, progress: Progress) -> io::Result<Watch> {
    let end = CancellationToken::new();
    let first = Arc::new(AtomicU8::new(0));
    let (ready, started) = mpsc::channel();
    let mut watcher = Watcher { handle, console, progress, first: Arc::clone(&first), received: 0 };
    let ended = end.clone();
    let thread = std::thread::Builder::new().name("lycosa-watch".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async {
            match Signals::listen() {
                Ok(signals) => {
                    let _ = ready.send(Ok(()));
                    watcher.watch(signals, &ended).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    })?;
    match started.recv() {
        Ok(Ok(())) => Ok(Watch { thread, end, first }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the watching thread has ended")),
    }
}

impl Watch {
    /// The run has ended: takes the progress line away. Returns the first signal that asked it to stop.
    pub fn finish(self) -> Option<StopSignal> {
        self.end.cancel();
        // It ends at its next event; a panic in it is no reason to lose the summary.
        let _ = self.thread.join();
        [StopSignal::Interrupt, StopSignal::Terminate]
            .into_iter()
            .find(|signal| signal.code() == self.first.load(Ordering::Relaxed))
    }
}

struct Watcher {
    handle: RunHandle,
    console: Console,
    progress: Progress,
    first: Arc<AtomicU8>,
    /// Stopping signals so far.
    received: u32,
}

impl Watcher {
    async fn watch(&mut self, mut signals: Signals, ended: &CancellationToken) {
        let started = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::from(HERTZ));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let draws = self.console.has_progress();
        loop {
            tokio::select! {
                biased;
                Some(()) = signals.interrupt.recv() => self.stop(StopSignal::Interrupt),
                Some(()) = signals.terminate.recv() => self.stop(StopSignal::Terminate),
                Some(()) = signals.snapshot.recv() => self.handle.snapshot(),
                () = ended.cancelled() => break,
                _ = ticks.tick(), if draws => {
                    let line = self.progress.line(self.handle.counters(), started.elapsed());
                    self.console.draw(line);
                }
            }
        }
        self.console.end_progress();
    }

    fn stop(&mut self, signal: StopSignal) {
        self.received += 1;
        let name = signal.as_str();
        match self.received {
            1 => {
                self.first.store(signal.code(), Ordering::Relaxed);
                self.handle.drain();
                self.console.notice(&format!("{name}: no new request; a second one cuts off what is in flight"));
            }
            2 => {
                self.handle.abort();
                self.console.notice(&format!("{name}: cutting off what is in flight; a third one exits at once"));
            }
            _ => {
                self.console.end_progress();
                std::process::exit(i32::from(self.first.load(Ordering::Relaxed)));
            }
        }
    }
}
