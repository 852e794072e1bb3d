//! How fast one body may be read (`--limit-rate`).
//!
//! Decides how long to wait before reading on, from the bytes so far and the time that is passed to it. What is not read
//! fills the windows of TCP, so the server slows down. Never sleeps, never reads a clock. Called by `body`.
//!
//! A stretch of time begins anew once the server has been slower than allowed: what it was late is not made up for by a
//! burst. As in curl the limit is on bytes as they come over the wire.

use std::time::Duration;

/// The pace of one transfer.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Bytes a second, at least 1.
    rate: u64,
    /// From here so many bytes were read; times are since the start of the transfer.
    since: Duration,
    bytes: u64,
}

impl Pace {
    /// From now on, at time `now`.
    pub(super) fn new(rate: u64, now: Duration) -> Self {
        Self { rate: rate.max(1), since: now, bytes: 0 }
    }

    /// So many bytes were read by `now`: how long to wait from then.
    pub(super) fn read(&mut self, bytes: usize, now: Duration) -> Duration {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let nanos = u128::from(self.bytes) * 1_000_000_000 / u128::from(self.rate);
        let due = self.since.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        let wait = due.saturating_sub(now);
        if wait.is_zero() {
            (self.since, self.bytes) = (now, 0);
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_comes_at_once_is_spread() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(1000, Duration::ZERO);
        assert_eq!(pace.read(500, Duration::ZERO), second / 2);
        assert_eq!(pace.read(500, second / 2), second / 2);
        // It was slow by itself: no wait, and no burst afterwards.
        assert_eq!(pace.read(1000, 10 * second), Duration::ZERO);
        assert_eq!(pace.read(1000, 10 * second), second);
    }

    proptest! {
        #[test]
        fn never_faster_than_its_rate(rate in 1_u64..1_000_000, reads in prop::collection::vec((0_usize..100_000, 0_u64..500), 1..50)) {
            let mut pace = Pace::new(rate, Duration::ZERO);
            let (mut now, mut total) = (Duration::ZERO, 0_u64);
            for (bytes, late) in reads {
                now += Duration::from_millis(late);
                now += pace.read(bytes, now);
                total += bytes as u64;
                let allowed = now.as_nanos() * u128::from(rate) / 1_000_000_000;
                prop_assert!(u128::from(total) <= allowed + 1, "{total} bytes in {now:?} at {rate}");
            }
        }
    }
}
