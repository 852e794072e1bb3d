//! When a request has taken too long: as a whole, or silent in the middle of its body.
//!
//! Never decides what a late request means for its job. Called by `once` and `body`.

use std::future::Future;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use tokio::time::Instant;

use crate::model::fetch_error::{ErrorKind, FetchError, Stage};

/// The deadlines of one request, on tokio's clock.
pub(super) struct Deadlines {
    /// When the whole request is late; None is never.
    whole: Option<Instant>,
    whole_time: Duration,
    silence: Option<Duration>,
}

/// A deadline has passed.
pub(super) enum Late {
    Whole(Duration),
    Silent(Duration),
}

impl Late {
    pub(super) fn error(&self, stage: Stage) -> FetchError {
        let message = match self {
            Self::Whole(time) => format!("not complete within {time:?}"),
            Self::Silent(time) => format!("no byte for {time:?}"),
        };
        FetchError::transient(ErrorKind::Timeout, stage, message)
    }
}

impl Deadlines {
    pub(super) fn new(start: Instant, whole: Option<Duration>, silence: Option<Duration>) -> Self {
        let whole_time = whole.unwrap_or(Duration::MAX);
        // A time too long for the clock is no limit.
        Self { whole: start.checked_add(whole_time), whole_time, silence }
    }

    /// Puts off the end by a wait that is not the server's fault.
    pub(super) fn stop_for(&mut self, time: Duration) {
        self.whole = self.whole.and_then(|whole| whole.checked_add(time));
    }

    /// Whether the whole request is late: for work that awaits nothing of the server.
    pub(super) fn passed(&self) -> Option<Late> {
        self.whole.filter(|whole| Instant::now() >= *whole).map(|_| Late::Whole(self.whole_time))
    }

    /// Awaits until the whole request is late.
    pub(super) fn within_whole<F: Future>(&self, future: F) -> impl Future<Output = Result<F::Output, Late>> {
        until(self.whole, Late::Whole(self.whole_time), future)
    }

    /// Awaits until the server has been silent for too long, or the whole request is late.
    pub(super) fn within_silence<F: Future>(&self, future: F) -> impl Future<Output = Result<F::Output, Late>> {
        let silent = self.silence.and_then(|silence| Some((Instant::now().checked_add(silence)?, silence)));
        match silent {
            Some((silent, silence)) if self.whole.is_none_or(|whole| silent < whole) => {
                until(Some(silent), Late::Silent(silence), future)
            }
            _ => until(self.whole, Late::Whole(self.whole_time), future),
        }
    }
}

/// Not an async function, which would have room for the future twice.
fn until<F: Future>(deadline: Option<Instant>, late: Late, future: F) -> impl Future<Output = Result<F::Output, Late>> {
    // The clock has no end that comes sooner.
    let never = || Instant::now() + Duration::from_hours(24 * 365);
    tokio::time::timeout_at(deadline.unwrap_or_else(never), future).map_err(move |_| late)
}
