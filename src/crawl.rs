//! The public face: settings in, records and a summary out.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::engine::settings::EngineSettings;
use crate::engine::stats::{Counters, Summary};
use crate::fetch::client::ClientSettings;
use crate::seeds::SeedSettings;
use crate::sinks::OutputSettings;

/// Everything a run needs, resolved.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub engine: EngineSettings,
    pub client: ClientSettings,
    pub seeds: SeedSettings,
    pub outputs: Vec<OutputSettings>,
}

/// Why a run could not start. Nothing was fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Exit code 2.
    #[error("{0}")]
    Input(String),
    /// Exit code 3.
    #[error("{0}")]
    Output(String),
}

/// Stops and watches a run from outside; cheap to clone, usable from any thread.
#[derive(Debug, Clone, Default)]
pub struct RunHandle {
    drain: CancellationToken,
    abort: CancellationToken,
    counters: Arc<Counters>,
    snapshot: Arc<tokio::sync::Notify>,
}

impl RunHandle {
    /// No new request; what is in flight may end within the grace time. The first signal.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Cut off what is in flight; records and outputs are still closed. The second signal.
    pub fn abort(&self) {
        self.abort.cancel();
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Writes a snapshot of the run (hosts, what is in flight) as log events of level INFO under the target
    /// `lycosa::snapshot`.
    pub fn snapshot(&self) {
        self.snapshot.notify_one();
    }
}

/// A run that is ready to start: all inputs and outputs are open.
pub struct Crawl {
    handle: RunHandle,
}

impl Crawl {
    /// Opens inputs, then outputs. Nothing is fetched yet.
    ///
    /// # Errors
    /// An input or an output cannot be opened, or the HTTP client cannot be built from the settings.
    pub fn new(_settings: Settings) -> Result<Self, StartError> {
        todo!()
    }

    #[must_use]
    pub fn handle(&self) -> RunHandle {
        self.handle.clone()
    }

    /// Runs to the end and closes the outputs. Must be awaited on a current-thread tokio runtime with time and io
    /// enabled: the run spawns its requests there.
    pub async fn run(self) -> Summary {
        todo!()
    }
}
