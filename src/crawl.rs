//! The public face: settings in, records and a summary out.
//!
//! ```no_run
//! use futures_util::StreamExt as _;
//! use lycosa::crawl::{Crawl, Settings};
//! use lycosa::engine::settings::EngineSettings;
//! use lycosa::seeds::Source;
//!
//! # async fn example() -> Result<(), lycosa::crawl::StartError> {
//! let mut run = Crawl::new(Settings {
//!     engine: EngineSettings { follow: true, obey_robots: true, ..EngineSettings::default() },
//!     seeds: vec![Source::Arguments(vec!["https://example.org/".to_owned()])].into(),
//!     ..Settings::default()
//! })?
//! .stream()?;
//! while let Some(record) = run.next().await {
//!     println!("{:?} {:?}", record.body_of.outcome, record.body_of.url);
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::engine::clock::Clock;
use crate::engine::input::Input;
use crate::engine::settings::EngineSettings;
use crate::engine::stats::{Counters, Summary};
use crate::engine::{self, Controls, Parts};
use crate::fetch::cache::{Cache, CacheSettings};
use crate::fetch::client::{Client, ClientError, ClientSettings};
use crate::fetch::cookies::CookieError;
use crate::frontier::Frontier;
use crate::frontier::journal::{DurableFrontier, Past};
use crate::frontier::memory::{MemoryFrontier, MemorySettings};
use crate::frontier::seen::SeenLimit;
use crate::model::record::Record;
use crate::seeds::{self, Reader, SeedSettings};
use crate::sinks::bodies::Bodies;
use crate::sinks::command::{CommandSettings, Commands, TERM_TIME};
use crate::sinks::commands;
use crate::sinks::{self, OutputSettings, Sink};

mod state;

pub use state::{State, StateOptions};

/// The runtime for a run: of one thread, on which the run spawns its requests.
///
/// # Errors
/// The system gives no descriptors.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Everything a run needs, resolved.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub engine: EngineSettings,
    pub client: ClientSettings,
    pub seeds: SeedSettings,
    pub outputs: Vec<OutputSettings>,
    /// Where answers are kept for later runs.
    pub cache: Option<CacheSettings>,
    /// Commands that are given the records.
    pub commands: CommandSettings,
    /// The directory in which bodies become files.
    pub save_bodies: Option<PathBuf>,
}

/// Why a run could not start. Nothing was fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An input that cannot be opened, or a setting the HTTP client refuses: exit code 2.
    #[error("{0}")]
    Input(String),
    /// An output that cannot be created: exit code 3.
    #[error("{0}")]
    Output(String),
    /// A state directory that cannot be used as it is: exit code 2.
    #[error("{0}")]
    State(String),
}

/// Stops and watches a run from outside; cheap to clone, usable from any thread.
#[derive(Debug, Clone, Default)]
pub struct RunHandle {
    controls: Controls,
}

impl RunHandle {
    /// No new request; what is in flight may end within the grace time. The first signal.
    pub fn drain(&self) {
        self.controls.drain.cancel();
    }

    /// Cut off what is in flight; records and outputs are still closed. The second signal.
    pub fn abort(&self) {
        self.controls.abort.cancel();
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.controls.counters
    }

    /// Writes a snapshot of the run (hosts, what is in flight) as log events of level INFO under the target
    /// `lycosa::snapshot`.
    pub fn snapshot(&self) {
        self.controls.snapshot.notify_one();
    }
}

/// A run that is ready to start: all inputs and outputs are open.
pub struct Crawl {
    handle: RunHandle,
    settings: EngineSettings,
    client: Client,
    cache: Option<Arc<Cache>>,
    /// None: the input has been read to its end, or is not given again.
    reader: Option<Reader>,
    sinks: Vec<(String, Box<dyn Sink>)>,
    commands: Commands,
    bodies: Option<Arc<Bodies>>,
    kept: Option<Kept>,
}

/// What a run on disk starts with.
struct Kept {
    run: Arc<str>,
    frontier: DurableFrontier,
    past: Option<Box<Past>>,
    input_missing: bool,
}

impl fmt::Debug for Crawl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crawl")
            .field("settings", &self.settings)
            .field("outputs", &self.sinks.len())
            .finish_non_exhaustive()
    }
}

impl Crawl {
    /// Opens inputs, then outputs. Nothing is fetched yet. Without outputs records go nowhere but to [`Crawl::stream`].
    ///
    /// # Errors
    /// An input or an output cannot be opened, or the HTTP client cannot be built from the settings.
    pub fn new(settings: Settings) -> Result<Self, StartError> {
        let Settings { mut engine, mut client, seeds, outputs, cache, commands, save_bodies } = settings;
        let budget = Budget::of(engine.max_memory);
        engine.seen_limit = budget.seen;
        client.body_pool = budget.bodies.min(client.body_pool);
        let reader = seeds::open(&seeds).map_err(|error| StartError::Input(chain(&error)))?;
        let client = open_client(&client)?;
        let cache = open_cache(cache.as_ref(), &client)?;
        let mut sinks = Vec::with_capacity(outputs.len());
        for output in &outputs {
            let sink = sinks::open(output).map_err(|error| StartError::Output(chain(&error)))?;
            sinks.push((output.target.to_string(), sink));
        }
        let bodies = open_bodies(save_bodies.as_deref())?;
        let commands = open_commands(&commands, &mut sinks)?;
        let handle = RunHandle::default();
        Ok(Self { handle, settings: engine, client, cache, reader: Some(reader), sinks, commands, bodies, kept: None })
    }

    /// The same for a run that is kept in a state directory, or goes on there.
    ///
    /// # Errors
    /// As [`Crawl::new`]; also a state that is damaged, an output that is not what the run has written, and an input that
    /// is not the one that was read before.
    pub fn with_state(settings: Settings, state: State, options: StateOptions) -> Result<Self, StartError> {
        state::begin(settings, state, options)
    }

    #[must_use]
    pub fn handle(&self) -> RunHandle {
        self.handle.clone()
    }

    /// Runs to the end and closes the outputs. To be awaited on a current-thread tokio runtime with time and io
    /// enabled: the run spawns its requests there, and one thread is the fastest.
    ///
    /// # Cancel safety
    /// Dropping the future cuts off what is in flight; records that no output has written are lost.
    pub async fn run(self) -> Summary {
        let Self { handle, settings, client, cache, reader, sinks, commands, bodies, kept } = self;
        let read = |reader| {
            Input::read(reader).unwrap_or_else(|error| {
                tracing::error!(%error, "no thread for the input");
                Input::Ended
            })
        };
        let input = reader.map_or(Input::Ended, read);
        let (mut run, mut past, mut missing): (Arc<str>, _, _) = (run_name().into(), None, false);
        let waiting = Budget::of(settings.max_memory).waiting;
        let memory = MemorySettings { heap_limit: waiting, ..MemorySettings::default() };
        let mut frontier: Box<dyn Frontier> = Box::new(MemoryFrontier::new(memory));
        if let Some(kept) = kept {
            (run, past, missing) = (kept.run, kept.past, kept.input_missing);
            frontier = Box::new(kept.frontier);
        }
        let cookies = client.cookies();
        let parts = Parts {
            run,
            settings,
            fetcher: client,
            cache,
            bodies: bodies.clone(),
            frontier,
            input,
            past,
            input_missing: missing,
            sinks,
            controls: handle.controls,
            inline: false,
        };
        // In a box: with what ends beside it, it is more than a future should hold.
        let mut summary = Box::pin(engine::run(parts)).await;
        end_commands(&commands).await;
        summary.commands = commands.summary();
        if let Some(failure) = bodies.and_then(|bodies| bodies.failure()) {
            summary.output_error.get_or_insert(failure);
        }
        if let Some(Err(error)) = cookies.map(|cookies| cookies.save()) {
            summary.output_error.get_or_insert(chain(&error));
        }
        summary
    }

    /// Runs on a thread of its own, and gives the records as they complete (in input order with `ordered`). A reader
    /// that does not read stops the fetching; one that is dropped ends the run.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn stream(mut self) -> Result<Run, StartError> {
        let (sink, records) = sinks::channel::channel(STREAM_ROOM);
        self.sinks.push(("the stream of records".to_owned(), Box::new(sink)));
        let handle = self.handle();
        let (sender, summary) = oneshot::channel();
        let start = move || {
            let runtime = runtime();
            match runtime {
                Ok(runtime) => drop(sender.send(runtime.block_on(self.run()))),
                Err(error) => tracing::error!(%error, "no runtime for the run"),
            }
        };
        std::thread::Builder::new()
            .name("lycosa-run".to_owned())
            .spawn(start)
            .map_err(|error| StartError::Input(format!("no thread for the run: {error}")))?;
        Ok(Run { records, summary, handle })
    }
}

/// The directory of bodies; what cannot be written is told as an output is.
fn open_bodies(dir: Option<&Path>) -> Result<Option<Arc<Bodies>>, StartError> {
    let open = |dir: &Path| match Bodies::open(dir) {
        Ok(bodies) => Ok(Arc::new(bodies)),
        Err(error) => Err(StartError::Output(format!("cannot save bodies in {}: {error}", dir.display()))),
    };
    dir.map(open).transpose()
}

fn open_commands(settings: &CommandSettings, sinks: &mut Vec<(String, Box<dyn Sink>)>) -> Result<Commands, StartError> {
    let (mut opened, commands) = commands::open(settings).map_err(|error| StartError::Input(chain(&error)))?;
    sinks.append(&mut opened);
    Ok(commands)
}

/// Ends the commands that are still there when the run is over: those that a stop has left no time.
async fn end_commands(commands: &Commands) {
    const STEP: Duration = Duration::from_millis(20);
    commands.refuse_more();
    for kill in [false, true] {
        let mut waited = Duration::ZERO;
        while commands.any_alive() && waited < TERM_TIME {
            if waited.is_zero() {
                commands.end_all(kill);
            }
            tokio::time::sleep(STEP).await;
            waited += STEP;
        }
    }
}

/// What cannot be written is told as an output is.
fn open_cache(settings: Option<&CacheSettings>, client: &Client) -> Result<Option<Arc<Cache>>, StartError> {
    let Some(settings) = settings else { return Ok(None) };
    let cache = Cache::open(settings, client.body_pool().clone(), Clock::wall_now());
    cache.map(|cache| Some(Arc::new(cache))).map_err(|error| StartError::Output(chain(&error)))
}

fn open_client(settings: &ClientSettings) -> Result<Client, StartError> {
    Client::new(settings).map_err(|error| match error {
        ClientError::Cookies(CookieError::Write { .. }) => StartError::Output(chain(&error)),
        error => StartError::Input(chain(&error)),
    })
}

/// What of `--max-memory` each part may have that grows: a third the URLs ever seen, a twelfth those that wait, a sixth
/// bodies. The rest is for connections, records on their way, and the program.
#[derive(Debug, Clone)]
pub struct Budget {
    pub seen: SeenLimit,
    /// Bytes.
    pub waiting: usize,
    /// Bytes.
    pub bodies: u64,
}

impl Budget {
    /// The parts of a limit in bytes; what they are without one.
    #[must_use]
    pub fn of(max_memory: Option<u64>) -> Self {
        let Some(bytes) = max_memory else {
            let waiting = MemorySettings::default().heap_limit;
            return Self { seen: SeenLimit::default(), waiting, bodies: u64::MAX };
        };
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let waiting = size(bytes / 12).clamp(1 << 20, MemorySettings::default().heap_limit);
        Self { seen: SeenLimit { bytes: Some(size(bytes / 3)), dir: None }, waiting, bodies: (bytes / 6).max(1 << 20) }
    }
}

/// A name for a run that is new.
fn run_name() -> String {
    format!("{:012x}", fastrand::u64(..) >> 16)
}

/// Records that may wait between a run and the reader of its stream.
const STREAM_ROOM: usize = 64;

/// A run under way on a thread of its own: a stream of its records.
#[derive(Debug)]
pub struct Run {
    records: mpsc::Receiver<Record>,
    summary: oneshot::Receiver<Summary>,
    handle: RunHandle,
}

impl Run {
    #[must_use]
    pub fn handle(&self) -> RunHandle {
        self.handle.clone()
    }

    /// Waits for the end; records that were not read are dropped. None if the run itself broke.
    ///
    /// # Cancel safety
    /// The summary is lost when the future is dropped; the run goes on without a reader, and so ends.
    pub async fn summary(mut self) -> Option<Summary> {
        while self.records.recv().await.is_some() {}
        self.summary.await.ok()
    }
}

impl Stream for Run {
    type Item = Record;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Record>> {
        self.records.poll_recv(cx)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
