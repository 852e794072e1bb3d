//! What the cache does in the task of a request: answers without one, turns a 304 into the page it speaks of, gives what
//! is stored when a fetch has failed, and stores what came.
//!
//! Decides when `policy::freshness` is asked and what follows; never when a look-up may start (`engine::caching`).
//! Answers of races are stored by nobody and come from nowhere but their servers: which mirror would have won is not known
//! of a stored one.
//!
//! Whose an answer is: that of who sends the same credentials over a connection of the same identity, unless it says that
//! it is for everybody. Only a keyed hash of them is kept. Of a URL there is one answer, the last: other credentials,
//! another `Host` or what it varies by makes it nobody's, and it is replaced.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ::url::Position;
use futures_util::FutureExt as _;
use http::header::{CONTENT_LOCATION, DATE, HOST, LOCATION};
use http::{HeaderMap, HeaderName, Method};
use tokio::sync::OwnedSemaphorePermit;

use super::{Answered, Asked, Carries, Ended, Event, Next, Round, Settled, Workshop, build_request, location_text};
use crate::engine::changes::validator;
use crate::engine::flights::Boarding;
use crate::fetch::body::too_large;
use crate::fetch::cache::{Cache, Entry, Opened, Seal};
use crate::fetch::resolve::is_private;
use crate::fetch::{Attempt, Body, Fetcher, Head, Request};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::job::{Cached, Job};
use crate::model::record::RequestKind;
use crate::model::units::Moment;
use crate::model::url::{self, Url, origin_of};
use crate::policy::breaker::Signal;
use crate::policy::credentials::{credentials_of, is_credential};
use crate::policy::freshness::{self, Reuse, Stored};
use crate::policy::host_rules::HostLimits;

/// Why the cache is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The turn of the job has come.
    Reuse,
    /// Its host cannot be asked: `--fallback stale`.
    Rescue,
}

/// A look into the cache, with a permit and no place at any host.
pub struct LookUp {
    pub job: Job,
    pub limits: HostLimits,
    pub purpose: Purpose,
    pub permit: OwnedSemaphorePermit,
    pub started: Moment,
    /// As of the request that would be made.
    pub credentials: bool,
    pub guarded: bool,
    pub beside_pool: bool,
    pub boarding: Boarding,
}

/// Looks, and reports one event: there is no exchange whose place would be free before.
pub async fn look_up<F: Fetcher>(shop: Arc<Workshop<F>>, errand: LookUp) {
    let LookUp { mut job, limits, purpose, permit, started, credentials, guarded, beside_pool, boarding } = errand;
    let Boarding { id: flight, progress, cut } = boarding;
    let request = build_request(&shop, &job, limits, Carries { credentials, guarded, beside_pool }, &progress);
    let (host, kind) = (0, RequestKind::Page);
    let (probe, counted_at, in_budget, reported) = (false, None, false, true);
    let mut round =
        Round { shop: &shop, host, limits, kind, probe, started, counted_at, in_budget, progress, reported };
    let over = tokio::select! {
        biased;
        done = AssertUnwindSafe(round.reuse(&mut job, request, purpose)).catch_unwind() => Ok(done),
        Ok(why) = cut => Err(why),
    };
    let next = match over {
        Ok(Ok(next)) => next,
        Ok(Err(_)) => round.panicked(&mut job),
        Err(why) => round.cut_off(&mut job, why),
    };
    let _ = shop.events.send(Event::LookedUp(Box::new(Ended { job, host, next, permit, flight })));
}

/// A request as the cache sees it: without the conditions that are ours.
pub(super) struct Sent {
    method: Method,
    headers: HeaderMap,
    /// A GET or HEAD that a stored answer may answer.
    is_plain: bool,
    /// Nobody may be asked for it.
    only_if_cached: bool,
    /// With which credentials; None: without any.
    owner: Option<Seal>,
    /// A `Host` that is not the URL's.
    host: Option<Box<[u8]>>,
    /// Its host may not be at a private address.
    guarded: bool,
    /// The body's cap, and whether it may take memory beside the pool.
    max_body: Option<u64>,
    beside_pool: bool,
}

impl<F: Fetcher> Round<'_, F> {
    /// None without a cache.
    pub(super) fn sent(&self, job: &Job, request: &Request) -> Option<Box<Sent>> {
        let cache = self.shop.cache.as_ref()?;
        let headers = self.shop.fetcher.headers(request);
        let is_plain = matches!(request.method, Method::GET | Method::HEAD)
            && request.body.is_none()
            && job.has_record()
            && job.leg().is_none()
            && freshness::concerns(&headers);
        Some(Box::new(Sent {
            method: request.method.clone(),
            is_plain,
            only_if_cached: job.has_record() && freshness::is_only_if_cached(&headers),
            owner: owner(cache, &headers, self.shop.fetcher.identity(request)),
            host: other_host(&headers, &request.url),
            headers,
            guarded: request.guarded,
            max_body: request.max_body,
            beside_pool: request.beside_pool,
        }))
    }

    async fn reuse(&mut self, job: &mut Job, request: Result<Request, FetchError>, purpose: Purpose) -> Next {
        let offline = self.shop.desk.settings.offline;
        let Ok(request) = request else { return self.unused(job, Cached::default(), None) };
        let asked = Asked { url: Some(request.url.clone()), method: request.method.clone() };
        let (Some(sent), Some(cache)) = (self.sent(job, &request), self.shop.cache.clone()) else {
            return self.unused(job, Cached::default(), None);
        };
        let found = if sent.is_plain { self.find(&cache, job, &sent).await } else { None };
        let Some(opened) = found else { return self.unused(job, Cached::default(), Some(&sent)) };
        let verdict = self.verdict(&opened.entry, &sent);
        let stale = match verdict {
            Reuse::Fresh => false,
            Reuse::StaleWanted => true,
            Reuse::Ask { when_cut_off: true, stale } if offline || purpose == Purpose::Rescue => stale,
            Reuse::Ask { .. } if offline || sent.only_if_cached => return self.give_up(job, not_in_cache(true)),
            Reuse::Ask { when_cut_off, .. } => {
                let rescues = when_cut_off && self.shop.desk.settings.fallback_stale;
                // An answer to HEAD has no body that a 304 could speak of.
                let known = if sent.method == Method::HEAD {
                    Cached { rescues, ..Cached::default() }
                } else {
                    cached(&opened.entry, rescues)
                };
                return self.unused(job, known, None);
            }
        };
        match self.take_down(&cache, opened, &sent, stale).await {
            Some(attempt) => {
                tracing::debug!(request_id = %job.id(), url = %job.url, stale, "answered from the cache");
                match self.settle(job, &asked, attempt, false) {
                    Settled::Next(next) => next,
                    Settled::Over(over) => self.close(job, &asked, *over).await,
                }
            }
            None => self.unused(job, Cached::default(), Some(&sent)),
        }
    }

    /// The cache has no answer that may be given: the server is asked, or nobody is.
    fn unused(&self, job: &mut Job, known: Cached, sent: Option<&Sent>) -> Next {
        job.cached = Some(Box::new(known));
        if self.shop.desk.settings.offline || sent.is_some_and(|sent| sent.only_if_cached) {
            return self.give_up(job, not_in_cache(false));
        }
        Next::Ask
    }

    /// A request that wants a stored answer or none, and has come this far, is not made.
    pub(super) fn only_if_cached(&mut self, job: &mut Job, sent: Option<&Sent>) -> Option<Next> {
        sent.filter(|sent| sent.only_if_cached)?;
        let answered = Answered { sent: false, ..self.unanswered(Signal::Neutral) };
        self.report(answered);
        Some(self.give_up(job, not_in_cache(false)))
    }

    /// The stored answer of this URL that a request with these headers may select.
    async fn find(&self, cache: &Cache, job: &Job, sent: &Sent) -> Option<Opened> {
        let opened = cache.look_up(&job.url, self.shop.desk.wall_now()).await?;
        let entry = &opened.entry;
        let selected = entry.selecting.iter().all(|(name, stored)| {
            let name = HeaderName::from_bytes(name.as_bytes());
            name.is_ok_and(|name| selecting(cache, &sent.headers, &name).as_deref() == stored.as_deref())
        });
        let is_theirs = entry.owner == sent.owner || freshness::is_for_all(&entry.headers());
        // What the user has fetched from a private host is not shown to a link that may not lead there.
        let may_be_seen = is_theirs && entry.host == sent.host && !(sent.guarded && entry.private);
        (selected && may_be_seen).then_some(opened)
    }

    fn verdict(&self, entry: &Entry, sent: &Sent) -> Reuse {
        let headers = entry.headers();
        let stored = Stored { headers: &headers, requested: entry.requested, received: entry.received };
        freshness::reuse(stored, &sent.headers, seconds(self.shop.desk.wall_now().0))
    }

    /// The stored answer as one to this request, with a body if that asks for one. A body above the cap fails as it would
    /// coming from the server. None: its file is damaged.
    async fn take_down(&self, cache: &Cache, opened: Opened, sent: &Sent, stale: bool) -> Option<Attempt> {
        let entry = &opened.entry;
        let head =
            Head { status: entry.status, headers: entry.headers(), version: version(entry.version), remote_addr: None };
        let attempt = Attempt { head: Some(head), from_cache: true, stale, ..Attempt::default() };
        if sent.method == Method::HEAD {
            return Some(attempt);
        }
        if let Some(most) = sent.max_body.filter(|most| opened.size() > *most) {
            let body = Body { truncated: true, ..Body::default() };
            return Some(Attempt { body, error: Some(too_large(most)), ..attempt });
        }
        let (_, body) = cache.read_body(opened, sent.beside_pool).await?;
        Some(Attempt { body, ..attempt })
    }

    /// A final answer of a hop goes by the cache: the answer of the job, perhaps another than the one that came. None: what
    /// was stored is gone or another, and the job is asked again, without conditions. `refused`: the run gives the URL up
    /// although the server has answered.
    pub(super) async fn shelve(&self, job: &mut Job, sent: &Sent, attempt: Attempt, refused: bool) -> Option<Attempt> {
        let Some(cache) = self.shop.cache.as_deref() else { return Some(attempt) };
        let status = attempt.head.as_ref().map(|head| head.status);
        if freshness::is_unsafe(sent.method.as_str()) {
            if let Some(head) = attempt.head.as_ref().filter(|head| (200..400).contains(&head.status)) {
                invalidate(cache, &job.url, head);
            }
            return Some(attempt);
        }
        if !sent.is_plain || attempt.refusal.is_some() {
            return Some(attempt);
        }
        let is_conditional = job.cached.as_ref().is_some_and(|known| known.etag.is_some() || known.modified.is_some());
        if status == Some(304) && attempt.error.is_none() && is_conditional {
            return self.confirmed(cache, job, sent, attempt).await;
        }
        let accepted = status.is_some_and(|status| self.shop.desk.settings.accept.contains(status));
        let failed = attempt.error.is_some() || (matches!(status, Some(500 | 502 | 503 | 504)) && !accepted);
        if failed || refused {
            return Some(self.rescue(cache, job, sent, attempt).await);
        }
        if sent.method == Method::GET {
            self.keep(cache, job, sent, &attempt);
        }
        Some(attempt)
    }

    /// 304: the stored answer stands, with what is new of its head (RFC 9111 4.3.4).
    async fn confirmed(&self, cache: &Cache, job: &mut Job, sent: &Sent, attempt: Attempt) -> Option<Attempt> {
        let known = job.cached.take().unwrap_or_default();
        job.cached = Some(Box::default());
        let Some(head) = &attempt.head else { return None };
        // Another run may have stored another version meanwhile.
        let opened = self.find(cache, job, sent).await.filter(|opened| {
            let now = cached(&opened.entry, known.rescues);
            now == *known && freshness::confirms(&opened.entry.headers(), &head.headers)
        });
        let stored = match opened {
            Some(opened) => self.take_down(cache, opened, sent, false).await,
            None => None,
        };
        let Some(Attempt { head: Some(stored), body, error, .. }) = stored else {
            cache.remove(&job.url);
            return None;
        };
        let mut merged = stored.headers.clone();
        freshness::freshen(&mut merged, &head.headers);
        let rewrite = error.is_none() && must_rewrite(&stored.headers, &merged);
        let head = Head { status: stored.status, headers: merged, ..head.clone() };
        if !freshness::may_store(head.status, &head.headers) {
            // It was good once more, and is not to be kept from now on.
            cache.remove(&job.url);
        } else if rewrite {
            self.store(cache, job, sent, &head, &body);
        }
        let body = Body { wire_size: attempt.body.wire_size, ..body };
        Some(Attempt { head: Some(head), body, error, from_cache: true, ..attempt })
    }

    /// `--fallback stale`: what is stored, if it may be shown.
    async fn rescue(&self, cache: &Cache, job: &Job, sent: &Sent, attempt: Attempt) -> Attempt {
        if !job.cached.as_ref().is_some_and(|known| known.rescues) {
            return attempt;
        }
        let Some(opened) = self.find(cache, job, sent).await else { return attempt };
        let Reuse::Ask { when_cut_off: true, stale } = self.verdict(&opened.entry, sent) else { return attempt };
        let stored = self.take_down(cache, opened, sent, stale).await;
        let Some(stored) = stored.filter(|stored| stored.error.is_none()) else { return attempt };
        let error = attempt.error.as_ref().map(|error| &*error.message);
        let status = attempt.head.as_ref().map(|head| head.status);
        tracing::info!(request_id = %job.id(), url = %job.url, status, error, "the fetch failed: the stored answer is given");
        Attempt { elapsed: attempt.elapsed, ..stored }
    }

    /// Stores an answer if it may be; one that may not be puts an end to what was stored before it.
    fn keep(&self, cache: &Cache, job: &Job, sent: &Sent, attempt: &Attempt) {
        let Some(head) = &attempt.head else { return };
        if attempt.body.truncated {
            return;
        }
        if freshness::may_store(head.status, &head.headers) {
            let kept = Head { headers: freshness::storable(&head.headers), ..head.clone() };
            self.store(cache, job, sent, &kept, &attempt.body);
        } else if !matches!(head.status, 304 | 429 | 500..) && cache.may_have(&job.url) {
            cache.remove(&job.url);
        }
    }

    fn store(&self, cache: &Cache, job: &Job, sent: &Sent, head: &Head, body: &Body) {
        let Some(names) = freshness::nominated(&head.headers) else { return };
        let clock = &self.shop.desk.clock;
        let (asked, now) = (seconds(clock.wall(self.started).0), self.shop.desk.wall_now());
        let version = version_number(head.version);
        let mut entry = Entry::new(&job.url, head.status, version, &head.headers, asked, seconds(now.0));
        entry.private = head.remote_addr.is_some_and(|address| is_private(address.ip()));
        entry.owner = sent.owner;
        entry.host.clone_from(&sent.host);
        let value = |name: &HeaderName| selecting(cache, &sent.headers, name);
        entry.selecting = names.iter().map(|name| (name.as_str().into(), value(name))).collect();
        cache.store(entry, body.bytes.clone(), now);
    }
}

/// Why a URL has no answer in a run that asks nobody. Nothing was connected to, and it never left the queue.
pub fn not_in_cache(stored: bool) -> FetchError {
    let message = if stored {
        "--offline: the stored answer may not be used without asking its server"
    } else {
        "--offline: the cache has no answer"
    };
    FetchError::permanent(ErrorKind::Connect, Stage::Queue, message)
}

/// Who asks: credentials among the headers, and the client certificate.
fn owner(cache: &Cache, headers: &HeaderMap, certificate: Option<&[u8]>) -> Option<Seal> {
    let credentials = credentials_of(headers);
    let headers = credentials.iter().map(|(name, value)| (name.as_bytes(), *value));
    // No header has an empty name.
    let parts: Vec<(&[u8], &[u8])> = headers.chain(certificate.map(|certificate| (&b""[..], certificate))).collect();
    (!parts.is_empty()).then(|| cache.seal(&parts))
}

/// A typed `Host` that names another one than the URL: what is asked for is another resource then (RFC 9110 7.1).
fn other_host(headers: &HeaderMap, url: &Url) -> Option<Box<[u8]>> {
    let typed = headers.get(HOST)?.as_bytes();
    let own = &url[Position::BeforeHost..Position::AfterPort];
    (!typed.is_empty() && !typed.eq_ignore_ascii_case(own.as_bytes())).then(|| typed.to_ascii_lowercase().into())
}

/// A request header that an answer varies by, as it is stored: of credentials a keyed hash.
fn selecting(cache: &Cache, headers: &HeaderMap, name: &HeaderName) -> Option<Box<[u8]>> {
    let value = freshness::selecting(headers, name)?;
    if is_credential(name.as_str()) {
        return Some(cache.seal(&[(name.as_str().as_bytes(), &value)]).bytes().into());
    }
    Some(value.into_boxed_slice())
}

/// What a job remembers of a stored answer.
fn cached(entry: &Entry, rescues: bool) -> Cached {
    let headers = entry.headers();
    let (etag, modified) = freshness::validators(&headers);
    Cached { etag: validator(etag), modified: validator(modified), rescues }
}

/// Whether a confirmed answer is worth to be written again: a new `Date` alone is not, unless its time counts from it.
fn must_rewrite(stored: &HeaderMap, merged: &HeaderMap) -> bool {
    let differs = stored.keys_len() != merged.keys_len()
        || merged
            .keys()
            .filter(|name| **name != DATE)
            .any(|name| !merged.get_all(name).iter().eq(stored.get_all(name).iter()));
    differs || freshness::is_dated(merged)
}

/// A successful unsafe request: what is stored of its URL, and of those of its origin that the answer names, may be
/// another now (RFC 9111 4.4).
fn invalidate(cache: &Cache, url: &str, head: &Head) {
    cache.remove(url);
    let Ok(base) = url::parse(url) else { return };
    for name in [LOCATION, CONTENT_LOCATION] {
        let Some(value) = head.headers.get(name) else { continue };
        if let Ok(target) = url::join(&base, location_text(value.as_bytes()).trim()) {
            let target = url::canonical(&target);
            if origin_of(&target) == origin_of(url) {
                cache.remove(&target);
            }
        }
    }
}

fn seconds(millis: i64) -> u64 {
    u64::try_from(millis / 1000).unwrap_or(0)
}

fn version(number: u8) -> &'static str {
    match number {
        10 => "HTTP/1.0",
        20 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn version_number(version: &str) -> u8 {
    match version {
        "HTTP/1.0" => 10,
        "HTTP/2" => 20,
        _ => 11,
    }
}
