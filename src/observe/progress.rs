//! The progress line: one line of counts, drawn again and again while a run goes on.

use std::collections::VecDeque;
use std::time::Duration;

use super::words::{count, rate, time};
use crate::engine::stats::Counters;

/// The rate shown is that of this time, so that it follows a crawl that slows down, and does not jump with each page.
const WINDOW: Duration = Duration::from_secs(10);

/// Draws the progress line of one run.
#[derive(Debug)]
pub struct Progress {
    /// A list of which every URL is known once the input has ended: a fetch. A crawl finds more as it goes.
    list: bool,
    /// Records at moments of the last [`WINDOW`].
    samples: VecDeque<(Duration, u64)>,
}

impl Progress {
    #[must_use]
    pub fn new(list: bool) -> Self {
        Self { list, samples: VecDeque::from([(Duration::ZERO, 0)]) }
    }

    /// The line `elapsed` after the start. Without escape codes, not cut to any width.
    pub fn line(&mut self, counters: &Counters, elapsed: Duration) -> String {
        let ok = Counters::get(&counters.ok);
        let failed = Counters::get(&counters.failed) + Counters::get(&counters.http_error);
        let skipped = Counters::get(&counters.skipped);
        let ended = ok + failed + skipped;
        let per_second = self.rate(ended, elapsed);
        let mut line = format!(
            "{} done, {} failed, {} skipped, {} queued, {} in flight, {}, {}",
            count(ok),
            count(failed),
            count(skipped),
            count(Counters::get(&counters.queued)),
            count(Counters::get(&counters.in_flight)),
            rate(per_second),
            time(elapsed),
        );
        let accepted = Counters::get(&counters.accepted);
        if self.list && Counters::get(&counters.input_ended) == 1 && accepted > 0 {
            line.push_str(&Self::end(ended, accepted, per_second));
        }
        line
    }

    /// Share and time left of a list whose end is known.
    fn end(ended: u64, accepted: u64, per_second: f64) -> String {
        // Rounded down: 100 % is said when nothing is left.
        let share = ended.min(accepted) * 100 / accepted;
        let left = accepted.saturating_sub(ended);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = left as f64 / per_second;
        match Duration::try_from_secs_f64(seconds) {
            Ok(left_time) if left > 0 => format!(", {share} %, {} left", time(left_time)),
            _ => format!(", {share} %"),
        }
    }

    fn rate(&mut self, ended: u64, elapsed: Duration) -> f64 {
        self.samples.push_back((elapsed, ended));
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|(at, _)| elapsed.saturating_sub(*at) >= WINDOW)
        {
            self.samples.pop_front();
        }
        let Some((at, before)) = self.samples.front() else { return 0.0 };
        let seconds = elapsed.saturating_sub(*at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let records = ended.saturating_sub(*before) as f64;
        if seconds > 0.0 { records / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    fn counters() -> Counters {
        let counters = Counters::default();
        counters.ok.store(1194, Relaxed);
        counters.http_error.store(2, Relaxed);
        counters.failed.store(1, Relaxed);
        counters.skipped.store(3, Relaxed);
        counters.queued.store(1000, Relaxed);
        counters.in_flight.store(64, Relaxed);
        counters.accepted.store(2400, Relaxed);
        counters
    }

    #[test]
    fn a_crawl_shows_counts_rate_and_time() {
        let line = Progress::new(false).line(&counters(), Duration::from_secs(12));
        assert_eq!(line, "1,194 done, 3 failed, 3 skipped, 1,000 queued, 64 in flight, 100/s, 12 s");
    }

    #[test]
    fn a_list_shows_its_share_once_its_end_is_known() {
        let counters = counters();
        let mut progress = Progress::new(true);
        assert!(!progress.line(&counters, Duration::from_secs(6)).contains('%'));
        counters.input_ended.store(1, Relaxed);
        let line = Progress::new(true).line(&counters, Duration::from_secs(12));
        assert!(line.ends_with("100/s, 12 s, 50 %, 12 s left"), "{line}");
        counters.ok.store(2394, Relaxed);
        assert!(Progress::new(true).line(&counters, Duration::from_secs(12)).ends_with(", 100 %"));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let counters = Counters::default();
        let mut progress = Progress::new(false);
        counters.ok.store(1000, Relaxed);
        progress.line(&counters, Duration::from_secs(1));
        let mut line = String::new();
        for second in 2..30 {
            counters.ok.fetch_add(2, Relaxed);
            line = progress.line(&counters, Duration::from_secs(second));
        }
        assert!(line.contains(" 2.0/s"), "{line}");
        assert!(progress.samples.len() <= 12);
    }
}
