//! What comes in: seeds, links, redirects, and the answers to robots.txt and sitemaps.

use std::sync::Arc;
use std::time::Duration;

use super::dispatcher::Dispatcher;
use super::event::{HostId, RobotsAnswer};
use super::hosts::{Delayed, Robots, RobotsCopy};
use super::outcome::{BrokenLine, Finished, Verdict};
use super::outside;
use crate::fetch::Fetcher;
use crate::frontier::journal::Entry;
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::job::{Job, JobKind};
use crate::model::page::Outlink;
use crate::model::record::{Outcome, SkipReason};
use crate::model::units::Moment;
use crate::model::url::{self, host_key_of, origin_of};
use crate::policy::breaker::Gate;
use crate::policy::traps::Evidence;
use crate::policy::{retry, robots};
use crate::seeds::Seed;

/// Sitemaps that one robots.txt or one index may name, and levels of indexes.
const SITEMAPS_EACH: usize = 1000;
const SITEMAP_LEVELS: u32 = 3;

impl<F: Fetcher> Dispatcher<F> {
    /// One entry of the input: a job, or a record for what cannot be one.
    pub(super) fn accept_seed(&mut self, seed: Seed, now: Moment) {
        match seed {
            Seed::Notice(text) => tracing::warn!(target: "lycosa::notice", "{text}"),
            Seed::Broken { input, line, id, meta, message } => {
                let number = self.accept();
                let broken = BrokenLine { input, line, id, meta, message };
                self.note_broken(number, &broken);
                let finished = self.shop.desk.broken_line(number, broken);
                self.deliver_without_host(finished, now);
            }
            Seed::Job(mut job) => {
                job.number = self.accept();
                job.accepted = now;
                if self.typed_hosts.claim(&job.host) {
                    self.typed_hosts.claim(&host_name_entry(&job.host));
                }
                let once = self.settings.follow || self.settings.unique;
                if !self.claim_typed(&mut job, once) {
                    self.note_skipped(&job, SkipReason::Duplicate);
                    let finished = self.shop.desk.verdict(&mut job, Verdict::Skipped(SkipReason::Duplicate), None, now);
                    self.deliver_without_host(finished, now);
                    return;
                }
                if self.settings.follow {
                    self.scope.add_seed(&job.url);
                }
                if self.settings.ordered {
                    // Input order is the only order.
                    job.priority = 0;
                }
                self.discovered.push(*job);
            }
        }
    }

    pub(super) fn accept(&mut self) -> u64 {
        self.tally.accepted += 1;
        self.next_number += 1;
        self.next_number - 1
    }

    /// The host a seed finally redirects to is in scope too.
    pub(super) fn widen_scope(&mut self, job: &Job, finished: &Finished) {
        let redirected = job.kind == JobKind::Typed && job.chain.as_ref().is_some_and(|chain| chain.hops > 0);
        if self.settings.follow
            && redirected
            && matches!(finished.counted.outcome, Outcome::Ok | Outcome::HttpError)
            && self.scope.add_seed(&job.url)
        {
            self.note(&Entry::Scope(job.url.as_ref().into()));
            tracing::warn!(
                target: "lycosa::notice",
                "the seed {} redirects to {}, which is in scope now too",
                job.first_url(),
                job.url
            );
        }
    }

    /// Links of a page: scope and depth first, then the seen set (law 6), then the frontier.
    pub(super) fn discover_links(&mut self, page: &Job, outlinks: Vec<Outlink>, evidence: Evidence, now: Moment) {
        let (first, links) = (self.discovered.len(), outlinks.len());
        let depth = page.depth + 1;
        let mut source: Option<Arc<str>> = None;
        for outlink in outlinks {
            if outlink.nofollow && self.settings.obey_robots {
                // Not claimed: another page may link there without that wish.
                self.refuse_link(SkipReason::Robots);
                continue;
            }
            let mut verdict = self.scope.link(&outlink.url, depth);
            let is_checked =
                verdict.is_err_and(|reason| outside::is_checked(&self.settings, &self.scope, &outlink.url, reason));
            if is_checked {
                if !self.seen.claim(&outlink.url) {
                    continue;
                }
                verdict = Ok(());
            } else if let Err(reason) = verdict {
                self.refuse_link(reason);
                if !self.settings.refused || !self.seen_refused.claim(&outlink.url) {
                    continue;
                }
            } else if !self.seen.claim(&outlink.url) {
                continue;
            } else {
                verdict = self.check_growth(&outlink.url, page);
            }
            let host = host_key_of(&outlink.url).into();
            let mut job = Job::new(JobKind::Link, outlink.url, host);
            job.number = self.accept();
            job.accepted = now;
            job.depth = depth;
            if is_checked {
                outside::mark(&mut job);
            }
            job.source = Some(source.get_or_insert_with(|| page.url.as_ref().into()).clone());
            match verdict {
                Ok(()) => self.discovered.push(job),
                Err(reason) => {
                    self.note_skipped(&job, reason);
                    let finished = self.shop.desk.verdict(&mut job, Verdict::Skipped(reason), None, now);
                    self.deliver_without_host(finished, now);
                }
            }
        }
        self.weigh_links(page, evidence, links, first);
    }

    /// A job that failed and may try again: back to its host's queue, not before its backoff is over.
    pub(super) fn retry_later(&mut self, job: Job, host: HostId, now: Moment) {
        self.note_return(&job);
        self.leg_waits(&job, host, now);
        let its_host = self.hosts.get(host);
        if matches!(its_host.breaker.gate(now), Gate::GivenUp(_)) || its_host.turns_away(now, &self.settings) {
            return self.queue_again(job, host, now);
        }
        self.retry_budget.spend();
        let attempts = job.chain.as_ref().map_or(1, |chain| chain.attempts);
        let due = now.plus(retry::backoff(attempts, self.rng.f64(), &self.settings.retry));
        tracing::info!(request_id = %job.id(), url = %job.url, attempts, wait = ?due.since(now), "retry");
        self.hosts.get_mut(host).retries.push(std::cmp::Reverse(Delayed { due, job }));
        self.bench.set_alarm(host, due);
    }

    /// Its host was given up, or turns us away: jobs that wait for a backoff end like all others, and not as probes after it.
    pub(super) fn hurry_retries(&mut self, host: HostId) {
        for retry in std::mem::take(&mut self.hosts.get_mut(host).retries) {
            let job = retry.0.job;
            if job.has_record() {
                self.insert_fresh(host, job);
            } else {
                self.hosts.get_mut(host).own.push_back(job);
            }
        }
    }

    /// A refused job: its host is held, and it keeps its place in the queue.
    pub(super) fn queue_again(&mut self, job: Job, host: HostId, now: Moment) {
        self.note_return(&job);
        self.leg_waits(&job, host, now);
        if job.has_record() {
            self.insert_fresh(host, job);
        } else {
            self.hosts.get_mut(host).own.push_front(job);
        }
        self.reconsider(host, now);
    }

    /// Puts a leased job back among those of its host that are here, by rank.
    pub(super) fn insert_fresh(&mut self, host: HostId, job: Job) {
        self.hosts.get_mut(host).insert_fresh(job);
    }

    /// A redirect: the job goes on at its target, admitted like any request.
    pub(super) fn hop(&mut self, mut job: Job, target: Box<str>, status: u16, now: Moment) {
        if job.has_record()
            && let Err(verdict) = self.may_hop(&mut job, &target)
        {
            self.end_job(job, verdict, Some((status, target)), now);
            return;
        }
        // RFC 9110 15.4: 303 turns all but HEAD into GET, 301 and 302 a POST as every browser does, 307 and 308 nothing.
        let turns_get = match status {
            303 => self.shop.desk.method(&job) != "HEAD",
            301 | 302 => self.shop.desk.method(&job) == "POST",
            _ => false,
        };
        let first = job.url.clone();
        let left_origin = origin_of(&job.url) != origin_of(&target);
        let chain = job.chain_mut();
        chain.first_url.get_or_insert(first);
        chain.hops += 1;
        chain.attempts = 0;
        chain.tries = 0;
        chain.left_origin |= left_origin;
        chain.turned_get |= turns_get;
        job.host = host_key_of(&target).into();
        job.url = target;
        job.cached = None;
        let id = self.hosts.id(&job.host, &self.settings, now);
        if job.leg().is_some() {
            self.leg_waits(&job, id, now);
            self.put_leg(job, id, now);
        } else if !job.has_record() {
            self.hosts.get_mut(id).own.push_back(job);
            self.reconsider(id, now);
        } else if self.settings.ordered && self.hosts.get(id).leased {
            // The frontier gives nothing of a leased host before it is deferred, and the oldest line may not wait.
            self.insert_fresh(id, job);
            self.reconsider(id, now);
        } else {
            let result = self.frontier.put_back(&mut vec![job]);
            self.check_frontier(result, now);
        }
    }

    /// May a page's redirect be followed? Seeds and jobs were typed: they may lead anywhere. In a crawl the target is
    /// claimed in the seen set; one that this job itself has asked before would go round for ever.
    fn may_hop(&mut self, job: &mut Job, target: &str) -> Result<(), Verdict> {
        if !self.settings.follow {
            return Ok(());
        }
        if job.is_outside() {
            outside::redirect(job, &self.scope, target).map_err(Verdict::Skipped)?;
        } else if job.kind == JobKind::Link {
            self.scope.redirect(target).map_err(Verdict::Skipped)?;
        }
        if job.chain.as_ref().is_some_and(|chain| chain.requests.iter().any(|request| &*request.url == target)) {
            let error = FetchError::permanent(ErrorKind::Redirect, Stage::Head, "the redirects go round in a circle");
            return Err(Verdict::Failed(error));
        }
        if self.seen.claim(target) { Ok(()) } else { Err(Verdict::Skipped(SkipReason::Duplicate)) }
    }

    /// robots.txt has come, or was given up.
    pub(super) fn robots_over(&mut self, mut job: Job, answer: RobotsAnswer, now: Moment) {
        self.own_jobs -= 1;
        let origin: Box<str> = origin_of(job.first_url()).into();
        let id = self.keep_requests(&mut job, now);
        let ask_again = now.plus(self.settings.breaker.cooldown);
        let mut sitemaps = Vec::new();
        let robots = match answer {
            RobotsAnswer::Rules(mut rules) => {
                let named = rules.take_sitemaps();
                if self.settings.sitemaps {
                    sitemaps = named;
                }
                if self.settings.obey_robots
                    && let Some(delay) = rules.crawl_delay()
                {
                    self.warn_of_long_delay(&origin, delay);
                    self.hosts.get_mut(id).pace.raise_delay(delay);
                }
                Robots::Known(RobotsCopy { rules, until: now.plus(robots::VALIDITY), failures: 0 })
            }
            answer => match (self.hosts.get_mut(id).take_robots(&origin), answer) {
                (Some(copy), _) => {
                    tracing::warn!(%origin, failures = copy.failures + 1, "robots.txt cannot be read again: the copy from before is used on");
                    Robots::Known(copy.used_on(now, self.hosts.get(id).pace.delay()))
                }
                (None, RobotsAnswer::Unreachable(error)) => {
                    let error = FetchError { stage: Stage::Robots, ..error };
                    tracing::warn!(%origin, error = %error.message, "robots.txt cannot be reached: nothing of this origin is fetched");
                    Robots::Unreachable(error, ask_again)
                }
                (None, RobotsAnswer::Refused(target)) => {
                    tracing::warn!(%origin, %target, "robots.txt redirects to a private address, which is not asked without --allow-private: nothing of this origin is fetched");
                    Robots::DisallowAll(ask_again)
                }
                (None, _) => {
                    tracing::warn!(%origin, "robots.txt cannot be read (5xx or 429): nothing of this origin is fetched");
                    // No verdict ends before the host may be asked for another.
                    Robots::DisallowAll(ask_again.max(self.hosts.get(id).pace.stated_until()))
                }
            },
        };
        self.hosts.get_mut(id).set_robots(&origin, robots);
        self.queue_sitemaps(&origin, 0, sitemaps, now);
        // The copy behind the sitemaps that it names: whoever knows the copy does not ask for them again.
        self.note_robots(id, &origin, now);
        self.reconsider(id, now);
    }

    /// A long Crawl-delay is kept all the same: whoever runs this should know how long it will take.
    fn warn_of_long_delay(&self, origin: &str, delay: Duration) {
        if self.settings.max_crawl_delay.is_some_and(|longest| delay > longest) {
            let a_day = (86_400.0 / delay.as_secs_f64()).floor();
            tracing::warn!(%origin, ?delay, "robots.txt asks for a Crawl-delay above --max-crawl-delay: it is kept, which makes about {a_day} pages a day of this host");
        }
    }

    /// A job of the run's own that can never be performed, since its host was given up.
    pub(super) fn drop_own_job(&mut self, job: Job, now: Moment) {
        let home = host_key_of(job.first_url());
        if job.kind == JobKind::Robots && *home != *job.host {
            // It was redirected to a dead host; its own host may be well.
            let error =
                FetchError::transient(ErrorKind::Connect, Stage::Connect, "redirected to a host that was given up");
            self.robots_over(job, RobotsAnswer::Unreachable(error), now);
            return;
        }
        self.own_jobs -= 1;
        self.note_own_done(&job, now);
        let mut job = job;
        let origin: Box<str> = origin_of(job.first_url()).into();
        let id = self.keep_requests(&mut job, now);
        if job.kind == JobKind::Robots {
            let host = self.hosts.get_mut(id);
            if let Some(copy) = host.take_robots(&origin) {
                let copy = copy.used_on(now, host.pace.delay());
                host.set_robots(&origin, Robots::Known(copy));
            }
            self.reconsider(id, now);
        }
    }

    /// Requests for the run's own use stand with the next record of the host they were made for.
    fn keep_requests(&mut self, job: &mut Job, now: Moment) -> HostId {
        let home = job.source.as_deref().unwrap_or(job.first_url());
        let id = self.hosts.id(host_key_of(home), &self.settings, now);
        if let Some(chain) = &mut job.chain {
            self.hosts.get_mut(id).side_requests.append(&mut chain.requests);
        }
        id
    }

    fn queue_sitemaps(&mut self, home: &str, level: u32, sitemaps: Vec<String>, now: Moment) {
        for sitemap in sitemaps.into_iter().take(SITEMAPS_EACH) {
            let Ok(parsed) = url::parse(sitemap.trim()) else {
                tracing::warn!(%home, %sitemap, "not the URL of a sitemap");
                continue;
            };
            let canonical = url::canonical(&parsed);
            // A sitemap is no page: the same URL may be both.
            let claim = format!("sitemap {canonical}");
            if !self.seen.claim(&claim) {
                continue;
            }
            let mut job = Job::new(JobKind::Sitemap, canonical, url::host_key(&parsed));
            job.depth = level;
            job.accepted = now;
            job.source = Some(home.into());
            self.note_own(&job, &claim);
            let id = self.hosts.id(&job.host, &self.settings, now);
            self.own_jobs += 1;
            self.hosts.get_mut(id).own.push_back(job);
            self.reconsider(id, now);
        }
    }

    /// A sitemap has been read: its URLs are starting points, within scope.
    pub(super) fn sitemap_over(&mut self, job: &mut Job, urls: Vec<String>, sitemaps: Vec<String>, now: Moment) {
        self.own_jobs -= 1;
        self.keep_requests(job, now);
        if job.depth < SITEMAP_LEVELS {
            let home = job.source.clone().unwrap_or_else(|| job.first_url().into());
            self.queue_sitemaps(&home, job.depth + 1, sitemaps, now);
        }
        let source: Arc<str> = job.first_url().into();
        for text in urls {
            let Ok(parsed) = url::parse(text.trim()) else { continue };
            let canonical = url::canonical(&parsed);
            if let Err(reason) = self.scope.link(&canonical, 0) {
                self.refuse_link(reason);
                continue;
            }
            if !self.seen.claim(&canonical) {
                continue;
            }
            let mut start = Job::new(JobKind::Link, canonical, url::host_key(&parsed));
            start.number = self.accept();
            start.accepted = now;
            start.source = Some(source.clone());
            self.discovered.push(start);
        }
        self.note_own_done(job, now);
    }
}

/// The entry of a host's name, without its port, among the typed hosts: on what the user typed, every port may be asked;
/// credentials go to the very host key only.
pub(super) fn host_name_entry(host_key: &str) -> String {
    let name = match host_key.rsplit_once(':') {
        // An IPv6 address has colons of its own, inside brackets.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host_key,
    };
    format!("name {name}")
}
