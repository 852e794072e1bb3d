//! URLs whose whole time (`--url-deadline`) is over end wherever they are: in flight, waiting at a host, in the frontier.
//!
//! Those in flight are cut off at the moment (`flights`). For the others the dispatcher looks here: a fiftieth of the
//! time in question lies between two looks, but no less than 10 ms and no more than 1 s, since a look at all that wait costs
//! time in proportion to their number. What a reader does not take is not ended either: a record needs room in delivery.

use std::time::Duration;

use super::dispatcher::{Dispatcher, Phase};
use super::event::HostId;
use super::hosts::Robots;
use super::outcome::Verdict;
use super::race::is_lane;
use crate::fetch::Fetcher;
use crate::model::fetch_error::Stage;
use crate::model::job::Job;
use crate::model::units::Moment;
use crate::model::url::{host_key_of, origin_of};

/// Jobs that are taken from the frontier at once.
const BATCH: usize = 256;

impl<F: Fetcher> Dispatcher<F> {
    /// When the time of a job is over.
    pub(super) fn url_due(&self, job: &Job) -> Moment {
        let time = self.settings.url_deadline.filter(|_| job.has_record());
        time.map_or(Moment::NEVER, |time| job.accepted.plus(time))
    }

    /// Jobs were accepted at this moment.
    pub(super) fn note_accepted(&mut self, accepted: Option<Moment>) {
        if let (Some(time), Some(accepted)) = (self.settings.url_deadline, accepted) {
            self.expiry_due = self.expiry_due.min(accepted.plus(time));
        }
    }

    /// Ends the URLs whose time is over and that are not in flight.
    pub(super) fn expire(&mut self, now: Moment) {
        let Some(time) = self.settings.url_deadline.filter(|_| self.phase == Phase::Running) else { return };
        if now < self.expiry_due || now.since(Moment::START) < time {
            return;
        }
        let until = Moment::START.plus(now.since(Moment::START).saturating_sub(time));
        let mut oldest: Option<Moment> = None;
        for id in self.hosts.ids() {
            oldest = oldest.into_iter().chain(self.expire_host(id, until, now)).min();
        }
        oldest = oldest.into_iter().chain(self.expire_pending(until, now)).min();
        let due = oldest.map(|accepted| accepted.plus(time)).into_iter().chain(self.flights.next_url_due()).min();
        let spacing = (time / 50).clamp(Duration::from_millis(10), Duration::from_secs(1));
        self.expiry_due = due.map_or(Moment::NEVER, |due| due.max(now.plus(spacing)));
    }

    /// Whether one more record of a job may come now that had no request.
    fn may_end(&self, job: &Job) -> bool {
        let has_room = self.delivery.has_room() || self.delivery.oldest_admitted() == Some(job.number);
        has_room && !(self.adds_page(job) && self.pages_needed() == Some(0))
    }

    /// Jobs on the bench. Returns the acceptance of the oldest that stays.
    fn expire_host(&mut self, id: HostId, until: Moment, now: Moment) -> Option<Moment> {
        let waiting = |job: &&Job| job.has_record();
        let host = self.hosts.get(id);
        let jobs = host.fresh.iter().chain(host.retries.iter().map(|retry| &retry.0.job)).filter(waiting);
        let oldest = jobs.map(|job| job.accepted).min()?;
        if oldest > until {
            return Some(oldest);
        }
        let host = self.hosts.get_mut(id);
        let retries = std::mem::take(&mut host.retries).into_vec();
        let is_late = |job: &Job| job.has_record() && job.accepted <= until;
        let (late_retries, retries): (Vec<_>, Vec<_>) = retries.into_iter().partition(|retry| is_late(&retry.0.job));
        let (late_fresh, fresh): (Vec<_>, Vec<_>) = std::mem::take(&mut host.fresh).into_iter().partition(is_late);
        let oldest =
            retries.iter().map(|retry| &retry.0.job).chain(&fresh).filter(waiting).map(|job| job.accepted).min();
        (host.retries, host.fresh) = (retries.into(), fresh.into());
        let mut kept = None;
        for job in late_retries.into_iter().map(|retry| retry.0.job).chain(late_fresh) {
            if self.may_end(&job) {
                let stage = self.waiting_stage(id, &job);
                self.end_late(job, stage, now);
            } else {
                kept = Some(until);
                self.insert_fresh(id, job);
            }
        }
        self.reconsider(id, now);
        kept.or(oldest)
    }

    /// What a job on the bench waits for.
    fn waiting_stage(&self, id: HostId, job: &Job) -> Stage {
        match self.hosts.get(id).robots_of(origin_of(&job.url)) {
            Some(Robots::Fetching(_)) => Stage::Robots,
            _ => Stage::Queue,
        }
    }

    /// Jobs in the frontier. Returns a moment before which none of those that stay was accepted.
    fn expire_pending(&mut self, until: Moment, now: Moment) -> Option<Moment> {
        loop {
            if !self.delivery.has_room() || self.pages_needed() == Some(0) {
                return Some(until);
            }
            let room = self.pages_needed().and_then(|needed| usize::try_from(needed).ok()).unwrap_or(BATCH);
            let mut jobs = Vec::new();
            let oldest = match self.frontier.expire(until, BATCH.min(room), &mut jobs) {
                Ok(oldest) => oldest,
                Err(error) => {
                    self.check_frontier(Err(error), now);
                    return None;
                }
            };
            if jobs.is_empty() {
                return oldest;
            }
            for mut job in jobs {
                if is_lane(&job.host) {
                    job.host = host_key_of(&job.url).into();
                }
                self.end_late(job, Stage::Queue, now);
            }
        }
    }

    /// Ends a job whose time is over.
    pub(super) fn end_late(&mut self, job: Job, stage: Stage, now: Moment) {
        let error = self.shop.desk.url_is_late(stage);
        self.end_job(job, Verdict::Failed(error), None, now);
    }
}
