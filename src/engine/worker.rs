//! One admitted request from its start to what follows from it. The task holds the run permit, and none of the run's
//! state: all it learns goes to the dispatcher as two events.

use std::borrow::Cow;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::changes::conditions;
use super::clock::Clock;
use super::event::{Answered, Ended, Event, HostId, Next, Remote, RobotsAnswer, Spot};
use super::flights::{Boarding, Cut};
use super::origins::Origins;
use super::outcome::{BUSY_INLINE_BODY, Desk, INLINE_BODY, MAX_WAITING_BODIES, Verdict};
use super::outside;
use super::pool::ParsePool;
use crate::fetch::cache::Cache;
use crate::fetch::progress::Progress;
use crate::fetch::{Attempt, Fetcher, Head, Request, SentHead};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::job::{Chain, Job, JobKind};
use crate::model::record::{RequestKind, RequestLog, SkipReason};
use crate::model::units::Moment;
use crate::model::url::{self, Url, origin_of};
use crate::parse::sitemap;
use crate::policy::breaker::Signal;
use crate::policy::credentials::is_credential;
use crate::policy::host_rules::HostLimits;
use crate::policy::pace::Ending;
use crate::policy::rate_fields::{self, Quota};
use crate::policy::retry;
use crate::policy::robots::{self, RobotsRules, RobotsStatus};
use crate::sinks::bodies::Bodies;

pub mod reuse;
mod saving;

/// Bytes of a sitemap after decoding: the protocol's own limit is 50 MB.
pub(super) const SITEMAP_BODY: u64 = 50 << 20;

/// What all requests of a run share.
pub struct Workshop<F> {
    pub fetcher: F,
    pub cache: Option<Arc<Cache>>,
    pub bodies: Option<Arc<Bodies>>,
    pub desk: Desk,
    pub origins: Origins,
    pub pool: ParsePool,
    pub events: UnboundedSender<Event>,
    /// One sitemap is read at a time: unpacked it may have 50 MiB, which are of no pool.
    pub sitemaps: Semaphore,
}

/// One admitted request.
pub struct Errand {
    pub job: Job,
    pub host: HostId,
    /// Of the host.
    pub limits: HostLimits,
    pub kind: RequestKind,
    /// It is the probe of its host's breaker.
    pub probe: bool,
    pub permit: OwnedSemaphorePermit,
    pub started: Moment,
    /// The address at which it is counted.
    pub counted_at: Option<Spot>,
    /// The run has a retry for it.
    pub in_budget: bool,
    /// The user typed the host, and no redirect has left the origin.
    pub credentials: bool,
    /// Private addresses are refused.
    pub guarded: bool,
    /// May take body memory beside the pool.
    pub beside_pool: bool,
    pub boarding: Boarding,
}

/// Performs the request and reports. A panic of ours ends the job as `internal`, not the run.
pub async fn work<F: Fetcher>(shop: Arc<Workshop<F>>, errand: Errand) {
    let Errand {
        mut job,
        host,
        limits,
        kind,
        probe,
        permit,
        started,
        counted_at,
        in_budget,
        credentials,
        guarded,
        beside_pool,
        boarding,
    } = errand;
    let Boarding { id: flight, progress, cut } = boarding;
    let request = build_request(&shop, &job, limits, Carries { credentials, guarded, beside_pool }, &progress);
    let mut round =
        Round { shop: &shop, host, limits, kind, probe, started, counted_at, in_budget, progress, reported: false };
    let over = tokio::select! {
        biased;
        done = AssertUnwindSafe(async { round.go(&mut job, request).await }).catch_unwind() => Ok(done),
        // What was under way is dropped here, and its connection with it.
        Ok(why) = cut => Err(why),
    };
    let next = match over {
        Ok(Ok(next)) => next,
        Ok(Err(_)) => round.panicked(&mut job),
        Err(why) => round.cut_off(&mut job, why),
    };
    // The dispatcher outlives its tasks; at the very end it may be gone, and with it the interest in this.
    let _ = shop.events.send(Event::Ended(Box::new(Ended { job, host, next, permit, flight })));
}

/// What was asked; nothing if no request could be made of the job.
#[derive(Default)]
struct Asked {
    url: Option<Url>,
    method: Method,
}

/// What the last exchange of a hop came to.
enum Settled {
    Next(Next),
    /// The end of the job, which waits for others: its body is saved or read elsewhere, or it has no record.
    Over(Box<(Attempt, Option<Verdict>)>),
}

/// One request under way.
struct Round<'a, F> {
    shop: &'a Arc<Workshop<F>>,
    host: HostId,
    limits: HostLimits,
    kind: RequestKind,
    probe: bool,
    started: Moment,
    counted_at: Option<Spot>,
    in_budget: bool,
    progress: Arc<Progress>,
    /// The dispatcher knows that the exchange is over.
    reported: bool,
}

impl<F: Fetcher> Round<'_, F> {
    /// (Not an async function, which would have room for the request twice.)
    fn go(&mut self, job: &mut Job, mut request: Result<Request, FetchError>) -> impl Future<Output = Next> + Send {
        let (mut asked, mut sent, mut head, mut unasked) = (Asked::default(), None, None, None);
        if let Ok(request) = &mut request {
            // A copy costs less than reading the URL again for the links of its page.
            asked = Asked { url: Some(request.url.clone()), method: request.method.clone() };
            sent = self.sent(job, request);
            unasked = self.only_if_cached(job, sent.as_deref()).map(Box::new);
            request.headers.extend(conditions(job));
            head = self.sent_head(request);
        }
        async move {
            if let Some(next) = unasked {
                return *next;
            }
            let mut attempt = match request {
                Ok(request) => self.shop.fetcher.fetch(request).await,
                Err(error) => Attempt { error: Some(error), ..Attempt::default() },
            };
            attempt.sent = head;
            self.progress.reading();
            let (verdict, answered) = self.weigh(job, &asked, &attempt);
            self.report(answered);
            let refused = match verdict {
                retry::Verdict::Retry => return Next::Retry,
                retry::Verdict::Refused(_) | retry::Verdict::Anew => return Next::Again,
                retry::Verdict::RateLimited => true,
                retry::Verdict::Final => false,
            };
            // What may await more than the exchange stands in boxes: it is rare, and would be memory of each request.
            if let Some(sent) = sent {
                match Box::pin(self.shelve(job, &sent, attempt, refused)).await {
                    Some(shelved) => attempt = shelved,
                    None => return Next::Again,
                }
            }
            match self.settle(job, &asked, attempt, refused) {
                Settled::Next(next) => next,
                Settled::Over(over) => Box::pin(self.close(job, &asked, *over)).await,
            }
        }
    }

    /// What an exchange means for its job, whose history it joins, and what it tells of its host.
    fn weigh(&self, job: &mut Job, asked: &Asked, attempt: &Attempt) -> (retry::Verdict, Answered) {
        let desk = &self.shop.desk;
        let now = desk.clock.now();
        let (head, error) = (attempt.head.as_ref(), attempt.error.as_ref());
        let status = head.map(|head| head.status);
        let retry_after = head.and_then(|head| retry_after(head, desk.clock.wall(now).0));
        let refused = retry::is_refusal(status, retry_after.is_some());
        let sent = attempt.refusal.is_none() && asked.url.is_some();
        let own_retries = job.spec.as_ref().and_then(|spec| spec.retries);
        let chain = job.chain.get_or_insert_default();
        if sent {
            note_request(chain, &job.url, &job.host, self.kind, status, &desk.clock, (self.started, now));
        }
        chain.wire_bytes += attempt.body.wire_size;
        count_try(chain, refused, retry::is_idle_death(error));
        let exchange = retry::Exchange {
            status,
            error,
            retry_after,
            method: &asked.method,
            attempts: chain.attempts,
            refusals: chain.refusals,
            idle_deaths: chain.idle_deaths,
            // Who gives a job a number of its own means it.
            in_budget: self.in_budget || own_retries.is_some(),
        };
        let mut settings = desk.settings.retry;
        settings.retries = own_retries.unwrap_or(self.limits.retries);
        let verdict = retry::judge(&exchange, &settings);
        let granted = retry::Exchange { in_budget: true, ..exchange };
        let denied = !self.in_budget && retry::judge(&granted, &settings) == retry::Verdict::Retry;
        let signal =
            if attempt.refusal.is_some() { Signal::Neutral } else { retry::signal(status, error, retry_after) };
        tracing::debug!(request_id = %job.id(), url = %job.url, kind = ?self.kind, status, error = error.map(|error| &*error.message), denied, "request over");
        let elapsed = now.since(self.started);
        let ending = Ending {
            started: self.started,
            latency: head.is_some().then(|| attempt.first_byte.unwrap_or(elapsed)),
            // A wait that ends the URL holds the host too.
            refusal: refused.then(|| retry_after.map(|wait| wait.min(retry::LONGEST_HOLD))),
            failed: signal == Signal::Failure,
            server_error: status.is_some_and(|status| status >= 500),
            quota: head.and_then(|head| quota(head, desk)),
        };
        let (host, probe, counted_at, remote) = (self.host, self.probe, self.counted_at, remote(attempt));
        let wire_bytes = attempt.body.wire_size;
        (verdict, Answered { host, sent, signal, probe, counted_at, remote, denied, ending, wire_bytes, elapsed })
    }

    /// Tells the dispatcher that the exchange is over, once.
    fn report(&mut self, answered: Answered) {
        self.reported = true;
        let _ = self.shop.events.send(Event::Answered(answered));
    }

    /// The last exchange of a hop is over: a redirect, or the end of the job, at once if that takes no waiting. `refused`:
    /// the server has refused once too often.
    fn settle(&self, job: &mut Job, asked: &Asked, attempt: Attempt, refused: bool) -> Settled {
        let verdict = if refused && !attempt.from_cache {
            Some(Verdict::Skipped(SkipReason::RateLimited))
        } else if let Some(reason) = attempt.refusal {
            Some(Verdict::Skipped(reason))
        } else if outside::ask_with_get(job, &asked.method, &attempt) {
            return Settled::Next(Next::Again);
        } else {
            match redirect_target(&attempt, job, asked, self.redirect_limit(job)) {
                Ok(Some(target)) => {
                    let (target, status) = (target.into_boxed_str(), attempt.head.map_or(0, |head| head.status));
                    return Settled::Next(Next::Hop { target, status });
                }
                Ok(None) => None,
                Err(error) => Some(Verdict::Failed(error)),
            }
        };
        let saves = self.shop.bodies.is_some() && verdict.is_none();
        if job.has_record() && !saves && self.is_inline(&attempt) {
            let (finished, outlinks) = self.shop.desk.answer(job, asked.url.as_ref(), attempt, verdict, None);
            return Settled::Next(Next::Record { finished: Box::new(finished), outlinks });
        }
        Settled::Over(Box::new((attempt, verdict)))
    }

    fn redirect_limit(&self, job: &Job) -> u32 {
        if job.has_record() { self.shop.desk.settings.max_redirs } else { robots::MAX_REDIRECTS }
    }

    /// The end of the job: saves the body, reads the page and writes the record, large bodies on the parse pool.
    async fn close(&self, job: &mut Job, asked: &Asked, (attempt, verdict): (Attempt, Option<Verdict>)) -> Next {
        let saved = match &self.shop.bodies {
            Some(bodies) if job.has_record() && verdict.is_none() => {
                saving::save(bodies, &self.shop.desk, job, &attempt).await
            }
            _ => None,
        };
        match job.kind {
            JobKind::Robots => {
                let is_home = origin_of(&job.url) == origin_of(job.first_url());
                let led_to = (!is_home).then_some(&*job.url);
                Next::Robots(robots_answer(attempt, &self.shop.desk.settings.product_token, led_to))
            }
            JobKind::Sitemap => self.sitemap(job, attempt).await,
            JobKind::Typed | JobKind::Link if self.is_inline(&attempt) => {
                let (finished, outlinks) = self.shop.desk.answer(job, asked.url.as_ref(), attempt, verdict, saved);
                Next::Record { finished: Box::new(finished), outlinks }
            }
            JobKind::Typed | JobKind::Link => self.close_on_pool(job, asked, attempt, verdict, saved).await,
        }
    }

    /// What is about to be sent, if an archive is written.
    fn sent_head(&self, request: &Request) -> Option<Box<SentHead>> {
        let headers = self.shop.desk.needs_exchange.then(|| self.shop.fetcher.headers(request))?;
        Some(Box::new(SentHead { method: request.method.clone(), headers, body: request.body.clone() }))
    }

    async fn close_on_pool(
        &self,
        job: &mut Job,
        asked: &Asked,
        attempt: Attempt,
        verdict: Option<Verdict>,
        saved: Option<String>,
    ) -> Next {
        // A copy goes to the pool: the job itself is still here if the parser panics.
        let mut copy = job.clone();
        let (shop, url, size) = (self.shop.clone(), asked.url.clone(), attempt.body.bytes.len());
        // Freed here, on the thread that took it, a large body leaves less behind: a crawl of 10,000 pages peaks at
        // 56 instead of 59 MB. (One that goes on into its record must have no second owner.)
        let body = (!self.shop.desk.keeps_bodies()).then(|| attempt.body.bytes.clone());
        let result =
            self.shop.pool.run(size, move || shop.desk.answer(&mut copy, url.as_ref(), attempt, verdict, saved)).await;
        drop(body);
        match result {
            Ok((finished, outlinks)) => Next::Record { finished: Box::new(finished), outlinks },
            Err(_) => self.internal(job),
        }
    }

    /// Small bodies are read here; so are larger ones, for which it is a matter of a millisecond, while the pool is busy:
    /// they need not wait for larger ones still, and bodies that wait are memory. The largest always wait, whatever that
    /// costs their own host: read here, each would hold up everybody else. What waits is bounded by body memory.
    fn is_inline(&self, attempt: &Attempt) -> bool {
        let (pool, size) = (&self.shop.pool, attempt.body.bytes.len());
        if self.shop.desk.builds_tree(attempt) {
            return false;
        }
        let is_slow = || pool.is_busy() || pool.bytes() > MAX_WAITING_BODIES;
        size < INLINE_BODY || (size < BUSY_INLINE_BODY && is_slow())
    }

    async fn sitemap(&self, job: &Job, attempt: Attempt) -> Next {
        let status = attempt.head.as_ref().map(|head| head.status);
        if attempt.error.is_some() || !status.is_some_and(|status| (200..300).contains(&status)) {
            let error = attempt.error.as_ref().map(|error| &*error.message);
            tracing::warn!(request_id = %job.id(), url = %job.url, status, error, "a sitemap cannot be read");
            return Next::Sitemap { urls: Vec::new(), sitemaps: Vec::new() };
        }
        let body = attempt.body;
        let _turn = self.shop.sitemaps.acquire().await.expect("the semaphore is never closed");
        let read =
            self.shop.pool.run(body.bytes.len(), move || sitemap::parse(&body.bytes, sitemap::Caps::default())).await;
        let mut read = read.unwrap_or_default();
        read.urls.append(&mut read.alternates);
        Next::Sitemap { urls: read.urls, sitemaps: read.sitemaps }
    }

    fn panicked(&mut self, job: &mut Job) -> Next {
        self.report_unanswered(Signal::Neutral);
        self.internal(job)
    }

    /// Gives back the host's place after an exchange that nobody has seen the end of.
    fn report_unanswered(&mut self, signal: Signal) {
        if !self.reported {
            let unanswered = self.unanswered(signal);
            self.report(unanswered);
        }
    }

    fn unanswered(&self, signal: Signal) -> Answered {
        Answered {
            host: self.host,
            sent: true,
            signal,
            probe: self.probe,
            counted_at: self.counted_at,
            remote: Remote::Unknown,
            denied: false,
            ending: Ending { failed: signal == Signal::Failure, ..Ending::silent(self.started) },
            wire_bytes: self.progress.wire_bytes(),
            elapsed: self.shop.desk.clock.now().since(self.started),
        }
    }

    /// The dispatcher has ended it in the middle. What it has cost until then counts.
    fn cut_off(&mut self, job: &mut Job, why: Cut) -> Next {
        let desk = &self.shop.desk;
        let (stage, took) = (self.progress.stage(), desk.clock.now().since(self.started));
        if !self.reported {
            let chain = job.chain.get_or_insert_default();
            let times = (self.started, desk.clock.now());
            note_request(chain, &job.url, &job.host, self.kind, self.progress.status(), &desk.clock, times);
            chain.wire_bytes += self.progress.wire_bytes();
        }
        match why {
            Cut::Unwanted => {
                tracing::debug!(request_id = %job.id(), url = %job.url, ?stage, "request cut off");
                self.report_unanswered(Signal::Neutral);
                Next::Nothing
            }
            Cut::UrlDeadline => {
                // Our own limit: it says nothing about the host.
                self.report_unanswered(Signal::Neutral);
                self.give_up(job, self.shop.desk.url_is_late(stage))
            }
            Cut::Overdue => {
                tracing::warn!(
                    request_id = %job.id(), url = %job.url, ?stage, ?took, "a request outlived its deadline, and is ended"
                );
                self.report_unanswered(Signal::Failure);
                let message = format!("ended after {took:?}: it had outlived its deadline");
                self.give_up(job, FetchError::transient(ErrorKind::Timeout, stage, message))
            }
        }
    }

    fn internal(&self, job: &mut Job) -> Next {
        tracing::error!(request_id = %job.id(), url = %job.url, "a panic of ours ended this job");
        let error =
            FetchError::permanent(ErrorKind::Internal, Stage::Parse, "an internal error (a panic) ended this job");
        self.give_up(job, error)
    }

    /// The end of the job, without an answer.
    fn give_up(&self, job: &mut Job, error: FetchError) -> Next {
        match job.kind {
            JobKind::Robots => Next::Robots(RobotsAnswer::Unreachable(error)),
            JobKind::Sitemap => Next::Sitemap { urls: Vec::new(), sitemaps: Vec::new() },
            JobKind::Typed | JobKind::Link => {
                let now = self.shop.desk.clock.now();
                let finished = self.shop.desk.cut_short(job, error, &self.progress, now);
                Next::Record { finished: Box::new(finished), outlinks: Vec::new() }
            }
        }
    }
}

/// Counts a request of a hop as what it was: a refusal, a free try, or one of those that `--retries` limits.
fn count_try(chain: &mut Chain, refused: bool, died_idle: bool) {
    chain.refusals += u32::from(refused);
    chain.idle_deaths += u32::from(died_idle);
    let is_free = refused || (died_idle && chain.idle_deaths <= retry::FREE_RETRIES);
    chain.attempts += u32::from(!is_free);
}

/// Adds a request that was sent to the history of its job.
fn note_request(
    chain: &mut Chain,
    url: &str,
    host: &str,
    kind: RequestKind,
    status: Option<u16>,
    clock: &Clock,
    (started, ended): (Moment, Moment),
) {
    let started_at = clock.wall(started);
    chain.first_started.get_or_insert((started_at, started));
    chain.tries += 1;
    chain.requests.push(RequestLog {
        url: url.into(),
        host_key: host.into(),
        kind,
        started_at,
        ms: ended.since(started).into(),
        status,
    });
}

fn retry_after(head: &Head, now_ms: i64) -> Option<Duration> {
    let value = head.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let date = head.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
    retry::parse_retry_after(value, date, u64::try_from(now_ms / 1000).unwrap_or(0))
}

fn remote(attempt: &Attempt) -> Remote {
    match attempt.head.as_ref().map(|head| head.remote_addr) {
        _ if attempt.proxy.is_some() => Remote::Proxy,
        Some(Some(address)) => Remote::Address(address.ip()),
        Some(None) => Remote::Untold,
        None => Remote::Unknown,
    }
}

/// What the server says it will still take, if it says so and anybody heeds it.
fn quota(head: &Head, desk: &Desk) -> Option<Quota> {
    if !desk.settings.adaptive_throttle || !head.headers.keys().any(|name| rate_fields::is_rate_field(name.as_str())) {
        return None;
    }
    let date = head.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
    let ours = u64::try_from(desk.clock.wall(desk.clock.now()).0 / 1000).unwrap_or(0);
    let now = date.and_then(retry::unix_seconds).unwrap_or(ours);
    let fields = head.headers.iter().filter(|(name, _)| rate_fields::is_rate_field(name.as_str()));
    rate_fields::read(fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))), now)
}

/// Where a redirect leads, as a canonical URL; None if this is no redirect.
///
/// 304 is an answer of its own, and so is a 3xx without `Location` (RFC 9110 15.4), or with an empty one. A 300 names what the server would choose,
/// and is followed as curl does; 305 and 306 are retired.
fn redirect_target(attempt: &Attempt, job: &Job, asked: &Asked, limit: u32) -> Result<Option<String>, FetchError> {
    let (Some(head), Some(base)) = (&attempt.head, &asked.url) else { return Ok(None) };
    leads_to(head, base, job.chain.as_ref().map_or(0, |chain| chain.hops), limit)
}

/// The same of a head, after so many redirects.
pub(super) fn leads_to(head: &Head, base: &Url, hops: u32, limit: u32) -> Result<Option<String>, FetchError> {
    if !matches!(head.status, 300..=303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = head.headers.get(http::header::LOCATION) else { return Ok(None) };
    let error = |message: String| FetchError::permanent(ErrorKind::Redirect, Stage::Head, message);
    let location = location_text(location.as_bytes());
    // To itself, by the letter: none, as in curl.
    if location.trim().is_empty() {
        return Ok(None);
    }
    if hops >= limit {
        return Err(error(format!("more than {limit} redirects")));
    }
    match url::join(base, location.trim()) {
        Ok(target) => Ok(Some(url::canonical(&target))),
        Err(cause) => Err(error(format!("the server redirects to what cannot be fetched: {cause}"))),
    }
}

/// Servers write UTF-8 here, whatever the RFC says; what is not UTF-8 goes back to them byte for byte, as in browsers.
fn location_text(value: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(value) {
        return Cow::Borrowed(text);
    }
    let escaped = |byte: &u8| if byte.is_ascii() { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    Cow::Owned(value.iter().map(escaped).collect())
}

/// What the final answer to a robots.txt request means. `led_to` is what was asked, if redirects have led to another
/// origin.
pub(super) fn robots_answer(attempt: Attempt, product_token: &str, led_to: Option<&str>) -> RobotsAnswer {
    match (attempt.head, attempt.error) {
        (Some(head), error) => match robots::status_means(head.status) {
            RobotsStatus::Read => match error {
                // Its beginning counts: what is beyond the limit is not read (RFC 9309 2.5).
                None => RobotsAnswer::Rules(Box::new(RobotsRules::parse(&attempt.body.bytes, product_token))),
                Some(error) if error.kind == ErrorKind::TooLarge => {
                    RobotsAnswer::Rules(Box::new(RobotsRules::parse(&attempt.body.bytes, product_token)))
                }
                Some(error) => RobotsAnswer::Unreachable(error),
            },
            RobotsStatus::AllowAll => RobotsAnswer::Rules(Box::new(RobotsRules::allow_all())),
            RobotsStatus::DisallowAll => RobotsAnswer::DisallowAll,
        },
        (None, Some(error)) => RobotsAnswer::Unreachable(error),
        (None, None) => match led_to {
            // The guard says nothing of the pages: their own origin may well be public, and its rules are not known.
            Some(target) => RobotsAnswer::Refused(target.into()),
            // The guard will say the same of its pages: that is the reason their records should name.
            None => RobotsAnswer::Rules(Box::new(RobotsRules::allow_all())),
        },
    }
}

/// Whether redirects have led from https to http, where others can listen.
fn is_downgraded(job: &Job) -> bool {
    job.first_url().starts_with("https:") && job.url.starts_with("http:")
}

/// What the dispatcher has decided of a request.
#[derive(Debug, Clone, Copy)]
struct Carries {
    credentials: bool,
    guarded: bool,
    beside_pool: bool,
}

fn build_request<F>(
    shop: &Workshop<F>,
    job: &Job,
    limits: HostLimits,
    Carries { credentials, guarded, beside_pool }: Carries,
    progress: &Arc<Progress>,
) -> Result<Request, FetchError> {
    let (desk, settings) = (&shop.desk, &shop.desk.settings);
    let invalid = |what: String| FetchError::permanent(ErrorKind::InvalidInput, Stage::Send, what).before_sending();
    let url = shop.origins.parse(&job.url).map_err(|cause| invalid(cause.to_string()))?;
    let method = Method::from_bytes(desk.method(job).as_bytes()).map_err(|cause| invalid(cause.to_string()))?;
    let mut request = Request {
        url,
        method,
        headers: Vec::new(),
        body: None,
        credentials,
        user_info: None,
        proxy: job.spec.as_ref().and_then(|spec| spec.proxy.clone()),
        logs_in: job.kind == JobKind::Typed && !is_downgraded(job),
        cookies: job.has_record(),
        timeout: limits.timeout,
        guarded,
        max_body: limits.max_filesize,
        beside_pool,
        progress: Arc::clone(progress),
    };
    match job.kind {
        JobKind::Robots => request.max_body = Some(robots::MAX_BODY as u64 + 1),
        JobKind::Sitemap => request.max_body = Some(SITEMAP_BODY),
        JobKind::Typed | JobKind::Link => {
            if job.is_outside() {
                outside::shorten(&mut request);
            }
            let turned_get = job.chain.as_ref().is_some_and(|chain| chain.turned_get);
            let left_origin = job.chain.as_ref().is_some_and(|chain| chain.left_origin);
            if !turned_get && job.kind == JobKind::Typed {
                request.body.clone_from(&settings.body);
                request.headers.clone_from(&settings.body_headers);
            }
            if let Some(spec) = &job.spec {
                if !turned_get && let Some(body) = &spec.body {
                    request.body = Some(Bytes::copy_from_slice(body));
                    request.headers.clear();
                }
                request.timeout = spec.timeout.or(request.timeout);
                request.user_info = spec.user_info.clone().filter(|_| !left_origin);
                for (name, value) in &spec.headers {
                    // What describes the body goes with it.
                    let about_body = turned_get && name.to_ascii_lowercase().starts_with("content-");
                    if about_body || (left_origin && is_credential(name)) {
                        continue;
                    }
                    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|cause| invalid(cause.to_string()))?;
                    let value =
                        HeaderValue::from_bytes(value.as_bytes()).map_err(|cause| invalid(cause.to_string()))?;
                    request.headers.push((name, value));
                }
            }
        }
    }
    Ok(request)
}
