//! Hosts that refuse for longer than `--max-retry-after`: nobody waits for them, and nobody asks them either.
//!
//! The host is held for the time it has stated (at most a day). While that is longer than the run is willing to wait, the
//! URLs that come to its turn end as `skipped: rate_limited` without a request. Called by the gate, and when an answer has
//! made a host one of these. Whether a host is one is [`super::hosts::Host::turns_away`]. Source: RFC 9110 10.2.3.

use super::dispatcher::Dispatcher;
use super::event::{HostId, RobotsAnswer};
use super::hosts::Head;
use super::outcome::Verdict;
use crate::fetch::Fetcher;
use crate::model::job::{Job, JobKind};
use crate::model::record::SkipReason;
use crate::model::units::Moment;
use crate::policy::retry;

impl<F: Fetcher> Dispatcher<F> {
    /// A host has just become one of these: what waits for a retry there ends with the rest.
    pub(super) fn turned_away(&mut self, id: HostId, now: Moment) {
        let host = self.hosts.get(id);
        let wait = host.pace.stated_until().since(now);
        tracing::warn!(
            host = %host.key, ?wait, "the host refuses for longer than --max-retry-after: until then its URLs end as rate_limited"
        );
        self.hurry_retries(id);
    }

    /// Ends the job at the head of such a host.
    pub(super) fn turn_away(&mut self, id: HostId, head: Head, now: Moment) {
        let Some(job) = self.hosts.get_mut(id).take(head) else { return };
        match job.kind {
            // What an answer of 429 means.
            JobKind::Robots => self.robots_over(job, RobotsAnswer::DisallowAll, now),
            JobKind::Sitemap => self.drop_own_job(job, now),
            JobKind::Typed | JobKind::Link => {
                let refused = last_refusal(&job).map(|status| (status, job.url.clone()));
                self.end_job(job, Verdict::Skipped(SkipReason::RateLimited), refused, now);
            }
        }
    }
}

/// The status with which the host has refused this very URL before, if it has.
fn last_refusal(job: &Job) -> Option<u16> {
    let chain = job.chain.as_ref().filter(|chain| chain.tries > 0)?;
    let status = chain.requests.last().and_then(|request| request.status);
    status.filter(|status| retry::is_refusal(Some(*status), true))
}
