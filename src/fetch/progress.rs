//! How far one request has come, for those who may have to cut it off: what is dropped in the middle tells nothing more.
//!
//! Decides nothing. Written by `once` and `body`, read by the engine.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use super::connecting::Connecting;
use crate::model::fetch_error::Stage;

/// One request under way.
#[derive(Debug, Default)]
pub struct Progress {
    connecting: Connecting,
    /// Status of the head; 0 until it has come.
    status: AtomicU16,
    wire_bytes: AtomicU64,
    waits_for_memory: AtomicBool,
    reading: AtomicBool,
    /// Nanoseconds that its deadlines stood still.
    stopped: AtomicU64,
}

impl Progress {
    /// Told whether the request waits for its connection.
    pub(super) fn connecting(&self) -> &Connecting {
        &self.connecting
    }

    /// The head has come.
    pub fn head(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Bytes of the body have come, before decoding.
    pub fn body_bytes(&self, bytes: u64) {
        self.wire_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It waits for memory, or no longer: its deadlines stand still meanwhile.
    pub fn wait_for_memory(&self, waits: bool) {
        self.waits_for_memory.store(waits, Ordering::Relaxed);
    }

    /// Its deadlines stood still for so long.
    pub fn stopped_for(&self, time: Duration) {
        self.stopped.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The exchange is over, and its page is read now.
    pub fn reading(&self) {
        self.reading.store(true, Ordering::Relaxed);
    }

    /// Where it is: waiting for its connection, for the head, in the body, or past the exchange.
    #[must_use]
    pub fn stage(&self) -> Stage {
        if self.reading.load(Ordering::Relaxed) {
            Stage::Parse
        } else if self.status().is_some() {
            Stage::Body
        } else if self.connecting.is_on() {
            Stage::Connect
        } else {
            Stage::Head
        }
    }

    #[must_use]
    pub fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| *status > 0)
    }

    /// Body bytes so far, before decoding.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.wire_bytes.load(Ordering::Relaxed)
    }

    /// How much later than its own time it may still be at work; None while it waits for memory.
    #[must_use]
    pub fn respite(&self) -> Option<Duration> {
        let stopped = Duration::from_nanos(self.stopped.load(Ordering::Relaxed));
        (!self.waits_for_memory.load(Ordering::Relaxed)).then_some(stopped)
    }
}
