//! The run's one clock: tokio's, so that a paused test clock holds every wait of a run.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

use crate::model::units::{Moment, WallTime};

/// Time since the start of the run, and its wall time. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// Nanoseconds since 1970 at `start`. Wall times of a run are counted from here, so they never run backwards when
    /// the machine's clock is set.
    wall_start: i128,
}

impl Clock {
    /// A clock that starts now. Needs a tokio runtime with time enabled.
    #[must_use]
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where wall time enters a run")]
        let wall = std::time::SystemTime::now();
        let wall_start = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().cast_signed();
        Self { start: Instant::now(), wall_start }
    }

    /// The wall time now, for what begins before a run has its clock.
    #[must_use]
    pub fn wall_now() -> WallTime {
        #[expect(clippy::disallowed_methods, reason = "when a run was begun is kept over its processes")]
        let wall = std::time::SystemTime::now();
        let millis = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        WallTime(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::START.plus(self.start.elapsed())
    }

    #[must_use]
    pub fn instant(&self, moment: Moment) -> Instant {
        // A hundred years: `Moment::NEVER` would overflow the instant.
        let nanos = moment.as_nanos().min(100 * 366 * 86_400 * 1_000_000_000);
        self.start + Duration::from_nanos(nanos)
    }

    #[must_use]
    pub fn wall(&self, moment: Moment) -> WallTime {
        let millis = (self.wall_start + i128::from(moment.as_nanos())) / 1_000_000;
        WallTime(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}
