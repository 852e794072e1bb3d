//! When the cache is looked at: a job whose turn has come, before its host's breaker, places and gaps are.
//!
//! A look-up takes a permit and no place: what it answers is no request, waits for no politeness, and counts for none. It
//! keeps its turn among the URLs of its host, and robots.txt has been asked before it: what a crawl may not fetch it does
//! not show either. A job that is not answered comes back to the gate with the validators of what is stored. Called by the
//! gate, and when a look-up has ended.

use std::sync::Arc;

use super::dispatcher::Dispatcher;
use super::event::{Ended, HostId};
use super::hosts::Head;
use super::outcome::Verdict;
use super::worker::reuse::{LookUp, Purpose, look_up, not_in_cache};
use crate::fetch::Fetcher;
use crate::model::job::Job;
use crate::model::units::Moment;

impl<F: Fetcher> Dispatcher<F> {
    /// Looks whether the cache answers the job at the head of a host; false if there is nothing to look for.
    pub(super) fn ask_cache(&mut self, id: HostId, head: Head, purpose: Purpose, now: Moment) -> bool {
        let wanted = self.hosts.get(id).job(head).is_some_and(|job| self.may_be_cached(job, purpose));
        if wanted {
            self.start_look_up(id, head, purpose, now);
        }
        wanted
    }

    fn start_look_up(&mut self, id: HostId, head: Head, purpose: Purpose, now: Moment) {
        // The gate is open only while there is one.
        let Ok(permit) = self.permits.clone().try_acquire_owned() else { return };
        let Some(job) = self.hosts.get_mut(id).take(head) else { return };
        self.note_doubted(&job);
        self.in_flight += 1;
        self.pages_in_flight += 1;
        let left_origin = job.chain.as_ref().is_some_and(|chain| chain.left_origin);
        let errand = LookUp {
            limits: self.hosts.get(id).limits,
            purpose,
            permit,
            started: now,
            credentials: self.typed_hosts.contains(&job.host) && !left_origin,
            guarded: self.is_guarded(&job),
            beside_pool: self.delivery.oldest() == Some(job.number),
            boarding: self.flights.take_off(Moment::NEVER, self.url_due(&job)),
            job,
        };
        self.tasks.spawn(Box::pin(look_up(Arc::clone(&self.shop), errand)));
    }

    fn may_be_cached(&self, job: &Job, purpose: Purpose) -> bool {
        let Some(cache) = &self.shop.cache else { return false };
        let worth_it = match (&job.cached, purpose) {
            (None, Purpose::Reuse) => true,
            (None, Purpose::Rescue) => self.settings.fallback_stale,
            (Some(known), purpose) => purpose == Purpose::Rescue && known.rescues,
        };
        worth_it
            && job.has_record()
            && job.leg().is_none()
            && matches!(self.shop.desk.method(job), "GET" | "HEAD")
            && cache.may_have(&job.url)
    }

    /// In a run that asks nobody the cache answers, or nobody does; true if the head is gone.
    pub(super) fn sort_out_offline(&mut self, id: HostId, head: Head, now: Moment) -> bool {
        if !self.settings.offline {
            return false;
        }
        if !self.ask_cache(id, head, Purpose::Reuse, now) {
            self.end_head(id, head, Verdict::Failed(not_in_cache(false)), now);
        }
        true
    }

    /// A look-up has ended. Its host may have been forgotten meanwhile: nothing of it was in flight.
    pub(super) fn on_looked_up(&mut self, ended: Ended, now: Moment) {
        let host = self.hosts.id(&ended.job.host, &self.settings, now);
        self.on_ended(Ended { host, ..ended }, now);
    }
}
