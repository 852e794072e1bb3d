//! When a request has taken too long: as a whole, or in its body silent or too slow.
//!
//! Never decides what a late request means for its job. Called by `once`, `direct` and `body`.

use std::future::Future;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use tokio::time::Instant;

use crate::model::fetch_error::{ErrorKind, FetchError, Stage};

/// What one request may take; None is no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) whole: Option<Duration>,
    /// Of the whole, what was over before the request began.
    pub(super) spent: Duration,
    /// The longest silence in the body.
    pub(super) silence: Option<Duration>,
    pub(super) speed: Option<LowestSpeed>,
}

/// A body that comes slower than this all the time is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowestSpeed {
    /// Bytes on the wire a second.
    pub bytes: u64,
    /// How long it may be slower.
    pub time: Duration,
}

/// The deadlines of one request, on tokio's clock.
pub(super) struct Deadlines {
    times: Times,
    /// When the whole request is late; None is never.
    whole: Option<Instant>,
    /// The time over which the speed is measured now: its start, and the bytes since. None before the body.
    window: Option<(Instant, u64)>,
}

/// A deadline has passed.
pub(super) enum Late {
    Whole(Duration),
    Silent(Duration),
    Slow(LowestSpeed),
}

impl Late {
    pub(super) fn error(&self, stage: Stage) -> FetchError {
        let (kind, message) = match self {
            Self::Whole(time) => (ErrorKind::Timeout, format!("not complete within {time:?}")),
            Self::Silent(time) => (ErrorKind::Timeout, format!("no byte for {time:?}")),
            Self::Slow(LowestSpeed { bytes, time }) => {
                (ErrorKind::TooSlow, format!("less than {bytes} bytes a second for {time:?}"))
            }
        };
        FetchError::transient(kind, stage, message)
    }
}

impl Deadlines {
    pub(super) fn new(start: Instant, times: Times) -> Self {
        // A time too long for the clock is no limit.
        let whole = times.whole.and_then(|time| start.checked_add(time.saturating_sub(times.spent)));
        Self { times, whole, window: None }
    }

    /// Puts off the end by a wait that is not the server's fault.
    pub(super) fn stop_for(&mut self, time: Duration) {
        self.whole = self.whole.and_then(|whole| whole.checked_add(time));
        self.pause_for(time);
    }

    /// Takes a wait of our own out of the measure of speed; the whole request goes on.
    pub(super) fn pause_for(&mut self, time: Duration) {
        self.window = self.window.and_then(|(since, bytes)| Some((since.checked_add(time)?, bytes)));
    }

    /// Whether the whole request is late: for work that awaits nothing of the server.
    pub(super) fn passed(&self) -> Option<Late> {
        self.whole.filter(|whole| Instant::now() >= *whole).map(|_| self.late())
    }

    fn late(&self) -> Late {
        Late::Whole(self.times.whole.unwrap_or(Duration::MAX))
    }

    /// Takes note of bytes of the body, whose speed is measured over one stretch of time after another.
    pub(super) fn received(&mut self, bytes: usize) {
        let (Some(speed), Some((since, sum))) = (self.times.speed, &mut self.window) else { return };
        *sum += bytes as u64;
        if *sum >= speed.bytes_in_time() {
            // As fast as it has to be, whatever the rest of this stretch brings.
            (*since, *sum) = (Instant::now(), 0);
        }
    }

    /// Awaits until the whole request is late.
    pub(super) fn within_whole<F: Future>(&self, future: F) -> impl Future<Output = Result<F::Output, Late>> {
        until(self.whole, self.late(), future)
    }

    /// Awaits until the server has been silent or slow for too long, or the whole request is late.
    pub(super) fn within_silence<F: Future>(&mut self, future: F) -> impl Future<Output = Result<F::Output, Late>> {
        let mut first = (self.whole, self.late());
        let mut also = |time: Option<Instant>, late: Late| {
            if time.is_some_and(|time| first.0.is_none_or(|first| time < first)) {
                first = (time, late);
            }
        };
        if self.times.silence.is_some() || self.times.speed.is_some() {
            let now = Instant::now();
            if let Some(silence) = self.times.silence {
                also(now.checked_add(silence), Late::Silent(silence));
            }
            if let Some(speed) = self.times.speed {
                let (since, _) = *self.window.get_or_insert((now, 0));
                also(since.checked_add(speed.time), Late::Slow(speed));
            }
        }
        until(first.0, first.1, future)
    }
}

impl LowestSpeed {
    fn bytes_in_time(self) -> u64 {
        let bytes = u128::from(self.bytes) * self.time.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

/// Not an async function, which would have room for the future twice.
fn until<F: Future>(deadline: Option<Instant>, late: Late, future: F) -> impl Future<Output = Result<F::Output, Late>> {
    // The clock has no end that comes sooner.
    let never = || Instant::now() + Duration::from_hours(24 * 365);
    tokio::time::timeout_at(deadline.unwrap_or_else(never), future).map_err(move |_| late)
}
