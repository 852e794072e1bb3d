//! Traps in a run: which links are refused at once, which go behind everything else, and which are refused when their
//! turn comes. The evidence is weighed in `policy::traps`; here it is gathered and acted upon.
//!
//! A job that is doubted has a priority below any that can be typed, so it stands behind all others, at its host and among
//! hosts. Only links are doubted: what was typed, and what a sitemap names, is asked.

use super::dispatcher::Dispatcher;
use super::event::HostId;
use super::hosts::Head;
use super::outcome::Verdict;
use crate::fetch::Fetcher;
use crate::model::job::{Job, JobKind};
use crate::model::record::SkipReason;
use crate::model::units::Moment;
use crate::policy::traps::{self, Evidence, Standing, Trap, Turn};

/// Below −9, the lowest that a line of input can ask for.
const DEFERRED: i8 = -10;

/// Whether a job stands behind everything else.
pub(super) fn is_deferred(job: &Job) -> bool {
    job.priority <= DEFERRED
}

impl<F: Fetcher> Dispatcher<F> {
    /// Whether a new link of a page is refused for what its URL alone shows.
    pub(super) fn check_growth(&mut self, url: &str, page: &Job) -> Result<(), SkipReason> {
        let grows = self.traps.as_ref().and_then(|_| traps::growth(url, &page.url));
        grows.map_or(Ok(()), |trap| {
            self.refuse_trap(url, trap);
            Err(SkipReason::Trap)
        })
    }

    /// Gives the new links of a page (`discovered` from `first` on) their strand, and their place.
    pub(super) fn weigh_links(&mut self, page: &Job, evidence: Evidence, links: usize, first: usize) {
        let Some(traps) = &mut self.traps else { return };
        let new = &mut self.discovered[first..];
        let strand = traps.page(&page.url, page.strand, evidence, links, new.iter().map(|job| &*job.url));
        for job in new {
            let standing = traps.link(&job.url, strand);
            job.strand = standing.strand;
            if standing.deferred {
                job.priority = DEFERRED;
            }
        }
    }

    /// The turn of the job at the head of a host has come: is it asked, put behind everything else, or refused? True if
    /// the head is gone.
    pub(super) fn sort_out_trap(&mut self, id: HostId, head: Head, now: Moment) -> bool {
        let (Some(traps), Some(job)) = (&self.traps, self.hosts.get(id).job(head)) else { return false };
        // One that has been asked is not given up halfway.
        if job.kind != JobKind::Link || job.chain.is_some() {
            return false;
        }
        match traps.turn(&job.url, Standing { strand: job.strand, deferred: is_deferred(job) }) {
            Turn::Ask => return false,
            Turn::Defer => {
                if let Some(mut job) = self.hosts.get_mut(id).take(head) {
                    job.priority = DEFERRED;
                    let result = self.frontier.put_back(&mut vec![job]);
                    self.check_frontier(result, now);
                }
            }
            Turn::Refuse => {
                if let Some(job) = self.hosts.get_mut(id).take(head) {
                    self.refuse_trap(&job.url, Trap::RepeatingPattern);
                    self.end_job(job, Verdict::Skipped(SkipReason::Trap), None, now);
                }
            }
        }
        true
    }

    /// A doubted job is asked.
    pub(super) fn note_doubted(&mut self, job: &Job) {
        if let Some(traps) = &mut self.traps
            && is_deferred(job)
            && job.chain.is_none()
        {
            traps.asked(&job.url, job.strand);
        }
    }

    fn refuse_trap(&mut self, url: &str, trap: Trap) {
        *self.tally.traps.entry(trap).or_default() += 1;
        tracing::info!(%url, reason = trap.as_str(), "not asked: a trap");
        let pattern = self.traps.as_mut().filter(|_| trap == Trap::RepeatingPattern);
        if let Some(pattern) = pattern.and_then(|traps| traps.tell_once(url)) {
            tracing::warn!(
                target: "lycosa::notice",
                "pages like {url} only repeat themselves and lead on: no more of {pattern} are asked (--max-per-pattern)"
            );
        }
    }
}
