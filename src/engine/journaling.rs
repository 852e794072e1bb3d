//! What the dispatcher tells the journal of the frontier, and when; and what it takes up again of an earlier process.
//!
//! Without a journal nothing of this happens. With one, a commit is due 50 ms after there was something to tell, or as
//! soon as there is much; the journal's own threads do the writing. Decides what is told, never what happens to a job.
//!
//! The order is that of law: jobs before the record of the page that named them, both before its settling.

use super::delivery::{Accepted, Written};
use super::dispatcher::{Dispatcher, Phase};
use super::event::HostId;
use super::hosts::{Robots, RobotsCopy};
use super::intake::host_name_entry;
use super::kept_hosts::{KeptHost, KeptHosts, KeptRobots, Until, robots_key};
use super::outcome::{BrokenLine, Counted, Finished, Verdict};
use super::standing::Standing;
use crate::fetch::Fetcher;
use crate::frontier::journal::{Ending, Entry, Failure, Journal, Owed, OwedKind, Past};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::job::{Job, JobKind};
use crate::model::record::SkipReason;
use crate::model::units::Moment;
use crate::policy::retry;
use crate::seeds::Seed;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// From the first thing to tell to the commit.
const COMMIT_AFTER: Duration = Duration::from_millis(50);

/// A job whose body is so long is handed over at once.
const HEAVY: usize = 256 * 1024;

impl<F: Fetcher> Dispatcher<F> {
    pub(super) fn note(&mut self, entry: &Entry<'_>) {
        if let Some(journal) = self.frontier.journal() {
            journal.note(entry);
        }
    }

    /// An entry of the input is accepted.
    pub(super) fn note_seed(&mut self, seed: &Seed) {
        if let Some(ledger) = &mut self.ledger {
            ledger.input.hash = seed.chain(ledger.input.hash);
            ledger.input.taken += u64::from(seed.is_entry());
        }
    }

    /// All of a batch of input was accepted, or a stop came in between.
    pub(super) fn note_input(&mut self, cut: bool) {
        let Some(ledger) = &mut self.ledger else { return };
        ledger.input_cut |= cut;
        let position = ledger.input;
        self.note(&Entry::Input(position));
    }

    /// Lines of a batch may carry megabytes each: they are committed with the place behind them, before they are too much
    /// for one block.
    pub(super) fn hand_over_much_input(&mut self, now: Moment) {
        let body = |job: &Job| job.spec.as_ref().and_then(|spec| spec.body.as_ref()).map_or(0, Vec::len);
        if self.ledger.is_some() && self.discovered.last().is_some_and(|job| body(job) >= HEAVY) {
            self.note_input(false);
            self.hand_over_discovered(now);
        }
    }

    /// What its page was like, for a later run.
    pub(super) fn note_page(&mut self, finished: &mut Finished) {
        if let Some(known) = finished.page.take()
            && self.ledger.is_some()
        {
            self.note(&Entry::Page { number: finished.number, known: Cow::Owned(*known) });
        }
    }

    /// A job is accepted that is not asked for: its record is owed until it is written.
    pub(super) fn note_skipped(&mut self, job: &Job, reason: SkipReason) {
        if self.ledger.is_some() {
            let kind = OwedKind::Skipped(Box::new(job.clone()), reason);
            self.note(&Entry::Owed(Cow::Owned(Owed { number: job.number, kind })));
        }
    }

    pub(super) fn note_broken(&mut self, number: u64, broken: &BrokenLine) {
        if self.ledger.is_some() {
            let BrokenLine { input, line, id, meta, message } = broken.clone();
            let kind = OwedKind::Broken { input, line, id, meta, message };
            self.note(&Entry::Owed(Cow::Owned(Owed { number, kind })));
        }
    }

    /// A sitemap is queued.
    pub(super) fn note_own(&mut self, job: &Job, claim: &str) {
        if self.ledger.is_some() {
            self.note(&Entry::Own { job: Cow::Borrowed(job), claim: claim.into() });
        }
    }

    /// A sitemap is read or given up; what it named is accepted.
    pub(super) fn note_own_done(&mut self, job: &Job, now: Moment) {
        if self.ledger.is_some() && job.kind == JobKind::Sitemap {
            self.hand_over_discovered(now);
            self.spend_refused();
            self.note_spent(now);
            self.note(&Entry::OwnDone(job.first_url().into()));
        }
    }

    /// A job that may not be sent twice is about to be sent: that is on its way to the disk before the job is.
    pub(super) fn note_start(&mut self, job: &Job, now: Moment) {
        if self.is_noted_alone(job) {
            self.note(&Entry::Started(job.number));
            let waited = self.frontier.journal().map_or(Ok(()), Journal::commit_and_wait);
            self.check_frontier(waited, now);
        }
    }

    /// Such a job has come back, and will be sent again: nothing is in doubt about it.
    pub(super) fn note_return(&mut self, job: &Job) {
        if self.is_noted_alone(job)
            && job.leg().is_none()
            && let Some(journal) = self.frontier.journal()
        {
            journal.requeued(job);
        }
    }

    fn is_noted_alone(&self, job: &Job) -> bool {
        self.ledger.is_some() && job.has_record() && !retry::is_repeatable(self.shop.desk.method(job))
    }

    /// Whether the disk is so far behind that nothing new may start.
    pub(super) fn disk_is_behind(&mut self) -> bool {
        let Some(ledger) = &mut self.ledger else { return false };
        let behind = self.frontier.journal().is_some_and(|journal| journal.is_behind());
        ledger.held_up |= behind;
        behind
    }

    /// At the end of each turn: tells the journal what is written, and commits if it is time.
    pub(super) fn keep_ledger(&mut self, now: Moment) {
        if self.ledger.is_none() {
            return;
        }
        self.tell_written(now);
        let unsure = self.delivery.has_unsure();
        let (Some(ledger), Some(journal)) = (&mut self.ledger, self.frontier.journal()) else { return };
        let dirty = journal.is_dirty() || ledger.spending.is_dirty();
        // The threads of the journal wake nobody, and with nothing in flight nobody else does: it is looked at again. Also
        // if they have caught up since admission found them behind.
        let held_up = std::mem::take(&mut ledger.held_up);
        if journal.is_full() || ledger.due <= now {
            ledger.due = Moment::NEVER;
            self.commit(now);
        } else if ledger.due == Moment::NEVER && (dirty || unsure) {
            ledger.due = now.plus(COMMIT_AFTER);
        }
        let behind = held_up || self.frontier.journal().is_some_and(|journal| journal.is_behind());
        if let Some(ledger) = &mut self.ledger
            && behind
        {
            ledger.due = ledger.due.min(now.plus(COMMIT_AFTER));
        }
    }

    fn tell_written(&mut self, now: Moment) {
        let Some(Written { records, marks }) = self.delivery.take_written() else { return };
        let ending = |&Accepted { number, counted, .. }: &Accepted| {
            let Counted { typed, outcome, error, skip } = counted;
            Ending { number, typed, outcome, error, skip }
        };
        let endings: Vec<Ending> = records.iter().map(ending).collect();
        if let Some(journal) = self.frontier.journal() {
            journal.written(&endings, marks);
        }
        if let Some(spending) = self.spending() {
            spending.written(&records);
        }
        // In the same block as the records, whoever commits it.
        self.note_spent(now);
    }

    fn commit(&mut self, now: Moment) {
        self.hand_over_discovered(now);
        self.note_spent(now);
        let Some(ledger) = &mut self.ledger else { return };
        if self.input.has_ended() && !self.input_missing && !ledger.input_ended && !ledger.input_cut {
            ledger.input_ended = true;
            self.note(&Entry::InputEnded);
        }
        if self.frontier.journal().is_some_and(|journal| journal.is_dirty())
            && self.ledger.as_ref().is_some_and(|ledger| ledger.wants_standing(now, self.tally.records))
        {
            self.note_standing(now);
        }
        let committed = self.frontier.journal().map_or(Ok(()), Journal::commit);
        self.check_frontier(committed, now);
        if self.delivery.has_unsure()
            && let Some(ledger) = &mut self.ledger
        {
            ledger.due = now.plus(COMMIT_AFTER);
        }
    }

    fn note_standing(&mut self, now: Moment) {
        let Some(ledger) = &mut self.ledger else { return };
        ledger.stood = Some((now, self.tally.records));
        let mut written = self.tally.clone();
        for counted in self.delivery.unsure() {
            written.uncount(counted);
        }
        let mut standing = Standing {
            in_flight: self.in_flight as u64,
            input_ended: self.input.has_ended(),
            ..Standing::of(&written, ledger.spending.total())
        };
        for host in &mut standing.hosts {
            host.given_up = self.hosts.summary_of(&host.host_key).is_some_and(|known| known.given_up);
        }
        self.note(&Entry::Totals(standing.write().into()));
    }

    /// The run is over: tells the journal the last of it.
    pub(super) fn close_ledger(&mut self, now: Moment) {
        if self.ledger.is_none() {
            return;
        }
        self.hand_over_discovered(now);
        self.tell_written(now);
        self.put_back_retries(now);
        self.note_last_spent(now);
        let is_done = self.phase == Phase::Running && self.stopped_by.is_none() && self.failure.is_none();
        let input_is_done = self.ledger.as_ref().is_some_and(|ledger| ledger.input_ended || !ledger.input_cut);
        self.note_standing(now);
        if is_done && input_is_done && !self.input_missing && !self.delivery.has_unsure() {
            self.note(&Entry::Finished);
        }
        self.commit(now);
    }

    /// Jobs that wait for a retry keep what has happened to them.
    fn put_back_retries(&mut self, now: Moment) {
        for id in self.hosts.ids() {
            let retries = std::mem::take(&mut self.hosts.get_mut(id).retries);
            let jobs = retries.into_iter().map(|retry| retry.0.job);
            let mut jobs: Vec<Job> = jobs.filter(|job| job.has_record() && job.leg().is_none()).collect();
            if !jobs.is_empty() {
                let result = self.frontier.put_back(&mut jobs);
                self.check_frontier(result, now);
            }
        }
    }

    /// A host is to be left alone for a while, or its breaker has changed.
    pub(super) fn note_host(&mut self, id: HostId, now: Moment) {
        if self.ledger.is_none() {
            return;
        }
        let host = self.hosts.get(id);
        let until = |moment| Until::new(moment, now, &self.clock);
        let outage = host.breaker.outage().map(|(moment, outage)| (until(moment), outage));
        let (free, stated) = (until(host.pace.next_allowed()), until(host.pace.stated_until()));
        let kept = KeptHost { free, outage, stated };
        let key = host.key.clone();
        self.note_kept(&key, &kept);
    }

    /// The robots.txt of an origin has been read, or could not be.
    pub(super) fn note_robots(&mut self, id: HostId, origin: &str, now: Moment) {
        if self.ledger.is_none() {
            return;
        }
        let kept = match self.hosts.get(id).robots_of(origin) {
            Some(Robots::Known(RobotsCopy { rules, until, failures })) => {
                KeptRobots::Known { rules: rules.clone(), until: *until, failures: *failures }
            }
            Some(Robots::DisallowAll(until)) => KeptRobots::DisallowAll(*until),
            Some(Robots::Unreachable(error, until)) => KeptRobots::Unreachable(error.clone(), *until),
            Some(Robots::Fetching(_)) | None => return,
        };
        let kept = kept.at(|moment| Until::new(moment, now, &self.clock));
        self.note_kept(&robots_key(origin), &kept);
    }

    fn note_kept<T: Serialize>(&mut self, key: &str, kept: &T) {
        if let Ok(bytes) = postcard::to_allocvec(kept) {
            self.note(&Entry::Host(key.into(), bytes.into()));
        }
    }

    /// Takes up what an earlier process has left.
    pub(super) fn revive(&mut self, past: Past, now: Moment) {
        self.hosts.take_up(KeptHosts::new(past.hosts, &self.clock));
        if let Some(limiter) = &mut self.run_limiter {
            limiter.take(Moment::START);
        }
        for host in &past.typed_hosts {
            if self.typed_hosts.claim(host) {
                self.typed_hosts.claim(&host_name_entry(host));
            }
        }
        if self.settings.follow {
            for url in &past.scope {
                self.scope.add_seed(url);
            }
        }
        for owed in past.owed.into_values() {
            self.pay(owed, now);
        }
        for job in past.own {
            let id = self.hosts.id(&job.host, &self.settings, now);
            self.own_jobs += 1;
            self.hosts.get_mut(id).own.push_back(job);
            self.reconsider(id, now);
        }
        for job in past.interrupted {
            let message = "an earlier process was ended while this was being sent, and it may not be sent twice (lycosa resume DIR --retry-failed --retry-all sends it again)";
            let error = FetchError::permanent(ErrorKind::Interrupted, Stage::Send, message);
            self.end_job(job, Verdict::Failed(error), None, now);
        }
        for failure in past.failures {
            self.give_another_chance(failure, now);
            self.let_disk_follow(now);
        }
        // None of them was leased.
        self.settled.clear();
        self.hand_over_discovered(now);
    }

    fn pay(&mut self, owed: Owed, now: Moment) {
        let finished = match owed.kind {
            OwedKind::Skipped(mut job, reason) => self.shop.desk.verdict(&mut job, Verdict::Skipped(reason), None, now),
            OwedKind::Broken { input, line, id, meta, message } => {
                self.shop.desk.broken_line(owed.number, BrokenLine { input, line, id, meta, message })
            }
        };
        self.deliver_without_host(finished, now);
    }

    /// A failure is asked again, as a job with a number and a record of its own.
    fn give_another_chance(&mut self, failure: Failure, now: Moment) {
        let Failure { mut job, ending: old, seq } = failure;
        let number = self.accept();
        let Ending { typed, outcome, error, skip, .. } = old;
        self.tally.supersede(Counted { typed, outcome, error, skip });
        self.note(&Entry::Retried { old, number });
        job.number = number;
        job.accepted = now;
        // What an earlier visit knew of the page is known still.
        let known = job.chain.take().and_then(|chain| chain.known);
        let chain = job.chain_mut();
        chain.known = known;
        chain.retry_of = Some(seq);
        self.discovered.push(job);
        // In one block with the note before it, and however many there are in blocks of the usual size.
        self.hand_over_discovered(now);
    }

    /// Nothing goes on yet that could not wait: what is handed over must not gather in memory.
    fn let_disk_follow(&mut self, now: Moment) {
        if let Some(journal) = self.frontier.journal()
            && journal.is_behind()
        {
            let waited = journal.commit_and_wait();
            self.check_frontier(waited, now);
        }
    }
}
