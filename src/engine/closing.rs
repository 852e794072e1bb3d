//! The end of a run: outputs are closed, what could not be written is taken back, and everything is summed up.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Sleep;

use super::delivery::SinkFailure;
use super::dispatcher::{Dispatcher, Phase};
use super::stats::{StoppedBy, Summary};
use crate::fetch::Fetcher;
use crate::model::units::{Moment, WallTime};

/// How long an output is waited for beyond the grace since it last wrote something, and at most in all.
const OUTPUT_TIME: Duration = Duration::from_secs(1);
const OUTPUT_TIME_AT_MOST: Duration = Duration::from_secs(10);

impl<F: Fetcher> Dispatcher<F> {
    /// Closes the outputs and sums up. A reader that never reads again is waited for until a stop's grace has passed.
    pub(super) async fn finish(mut self, mut timer: Pin<&mut Sleep>, started: WallTime) -> Summary {
        self.tasks.shutdown().await;
        let now = self.clock.now();
        self.conclude_won_races(now);
        self.delivery.give_up_order(now);
        self.delivery.close();
        let late = self.wait_for_sinks(timer.as_mut()).await;
        if let Some(SinkFailure::Failed(cause)) = self.delivery.failure() {
            self.failure.get_or_insert(cause);
            self.stopped_by = Some(StoppedBy::Error);
        }
        let input_unread = self.has_unread_input().await || self.input_missing;
        self.close_ledger(self.clock.now());
        if let Err(error) = self.frontier.close() {
            self.failure.get_or_insert(error.to_string());
        }
        self.publish();
        let cut_off: u64 = self.hosts.iter().map(|host| u64::from(host.pace.in_flight())).sum();
        let (hosts, host_count) = self.hosts_of_run(10);
        for counted in self.delivery.unwritten() {
            self.tally.uncount(counted);
        }
        let written = self.delivery.settled() - self.tally.superseded;
        let now = self.clock.now();
        let left = self.tally.accepted.saturating_sub(written);
        Summary {
            run: self.shop.desk.run.clone(),
            stopped_by: self.stopped_by.unwrap_or(StoppedBy::Done),
            left,
            work_left: left > 0 || input_unread,
            input_unread,
            records: written,
            before: self.records_before.saturating_sub(self.tally.superseded),
            hosts,
            host_count,
            started,
            ended: self.clock.wall(now),
            elapsed: now.since(Moment::START),
            late,
            commands: Vec::new(),
            output_error: self.failure,
            crossings: self.delivery.crossings() + self.shop.pool.crossings(),
            outcomes: self.tally.outcomes,
            errors: self.tally.errors,
            skips: self.tally.skips,
            refused: self.tally.refused,
            traps: self.tally.traps,
            failures: self.tally.failures,
            seeds_failed: self.tally.seeds_failed,
            requests: self.tally.requests + cut_off,
            retries: self.tally.retries,
            retries_denied: self.tally.retries_denied,
            wire_bytes: self.tally.wire_bytes,
            panics: self.tally.panics,
            fields: self.shop.desk.fields.summary(&self.settings),
        }
    }

    /// Waits until every sink has finished, after a stop no longer than its grace. Returns those that have not. A reader
    /// that is slow loses nothing by a run that came to its own end, and `--max-pages` is one: it promises its records.
    async fn wait_for_sinks(&mut self, mut timer: Pin<&mut Sleep>) -> Vec<String> {
        let room = self.delivery.room();
        let deadline = self.settings.deadline.map_or(Moment::NEVER, |deadline| Moment::START.plus(deadline));
        let mut stopping = !matches!(self.stopped_by, None | Some(StoppedBy::Limit));
        // Requests may have used up the grace: outputs still get time to write what they were given, as long as they do.
        let entered = self.clock.now();
        let mut written = self.delivery.written();
        self.stop_due = self.stop_due.max(entered.plus(OUTPUT_TIME));
        loop {
            let late = self.delivery.unfinished();
            let now = self.clock.now();
            if self.delivery.written() > written && now < entered.plus(OUTPUT_TIME_AT_MOST) {
                written = self.delivery.written();
                self.stop_due = self.stop_due.max(now.plus(OUTPUT_TIME));
            }
            let signalled = self.controls.drain.is_cancelled() || self.controls.abort.is_cancelled();
            if !stopping && (signalled || (deadline <= now && !late.is_empty())) {
                stopping = true;
                self.stop(if signalled { StoppedBy::Signal } else { StoppedBy::Deadline }, Phase::Draining, now);
                self.stop_due = now.plus(self.settings.grace);
            }
            if late.is_empty() || (stopping && now >= self.stop_due) {
                return late;
            }
            timer.as_mut().reset(self.clock.instant(if stopping { self.stop_due } else { deadline }));
            tokio::select! {
                () = room.notified() => {}
                () = self.controls.drain.cancelled(), if !stopping => {}
                () = self.controls.abort.cancelled(), if !stopping => {}
                () = &mut timer => {}
            }
        }
    }

    /// Whether the input held more, after a stop that leaves work by design. A pipe is given a moment to say that it has
    /// ended: its reader may be one line behind.
    async fn has_unread_input(&mut self) -> bool {
        if !matches!(self.stopped_by, Some(StoppedBy::Limit | StoppedBy::Deadline)) || self.input.has_ended() {
            return !self.input.has_ended();
        }
        let moment = std::time::Duration::from_millis(200);
        let unread = tokio::time::timeout(moment, self.input.next()).await.is_ok_and(|seeds| !seeds.is_empty());
        self.note_input(unread);
        unread || !self.input.has_ended()
    }
}
