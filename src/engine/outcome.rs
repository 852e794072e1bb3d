//! From a job and its last attempt to its record.
//!
//! Pure but for what it is given: it may run in the request's task or on the parse pool.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Digest as _;

use super::changes;
use super::clock::Clock;
use super::fields::FieldCounts;
use super::outside;
use super::settings::EngineSettings;
use crate::fetch::body::Reservation;
use crate::fetch::progress::Progress;
use crate::fetch::{Attempt, Head, SentHead};
use crate::model::exchange::Exchange;
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::job::{Job, JobKind, Known, Mirror};
use crate::model::page::{Directives, Extraction, Fingerprint, Outlink, Page};
use crate::model::record::{MirrorEnd, Outcome, RecordBody, SkipReason};
use crate::model::units::{Millis, Moment, WallTime};
use crate::model::url::{Url, host_key_of};
use crate::parse::{self, Wants, charset};
use crate::policy::accept::StatusSet;
use crate::policy::credentials;
use crate::policy::robots;
use crate::policy::traps::{Evidence, wants_words};

/// What records need to know of the run.
#[derive(Debug)]
pub struct Desk {
    pub run: Arc<str>,
    pub settings: Arc<EngineSettings>,
    pub clock: Clock,
    /// What became of users' rules.
    pub fields: FieldCounts,
    /// Some sink needs more than the JSON text.
    pub needs_record: bool,
    /// Some sink needs the JSON text.
    pub needs_json: bool,
    /// Some sink keeps requests and answers.
    pub needs_exchange: bool,
}

/// What counts with a record. Empty without a journal.
#[derive(Debug, Default)]
pub struct Share {
    /// Key of the host at which its job ended.
    pub host: Option<Box<str>>,
    /// Links of its page that were not followed.
    pub refused: Vec<SkipReason>,
}

/// What a record counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub typed: bool,
    pub outcome: Outcome,
    pub error: Option<ErrorKind>,
    pub skip: Option<SkipReason>,
}

impl Counted {
    /// Whether `--fail-on` and `--fail-early` count it.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self.outcome {
            Outcome::Ok => false,
            Outcome::Failed | Outcome::HttpError => true,
            Outcome::Skipped => matches!(self.skip, Some(SkipReason::BreakerOpen | SkipReason::RateLimited)),
        }
    }

    /// A typed URL that ended as anything but `ok` or `skipped: duplicate`.
    #[must_use]
    pub fn is_failed_seed(self) -> bool {
        self.typed && self.outcome != Outcome::Ok && self.skip != Some(SkipReason::Duplicate)
    }
}

/// A finished job, ready for delivery.
#[derive(Debug)]
pub struct Finished {
    pub number: u64,
    pub counted: Counted,
    pub json: Vec<u8>,
    pub record: Option<Box<RecordBody>>,
    /// What tells whether the page is part of a trap.
    pub evidence: Evidence,
    /// What is remembered of the page.
    pub page: Option<Box<Known>>,
    /// What counts with it, once it is written.
    pub share: Share,
    /// Body memory that the record holds until it has left delivery.
    pub memory: Option<Reservation>,
}

impl Finished {
    /// Bytes it occupies in delivery.
    #[must_use]
    pub fn size(&self) -> usize {
        let record = self.record.as_ref().map_or(0, |record| {
            let body = record.body.as_ref().and_then(|body| body.as_ref()).map_or(0, String::len);
            let kept = record.exchange.as_ref().map_or(0, |exchange| exchange.body.len());
            1024 + body + kept + record.body_base64.as_ref().map_or(0, String::len)
        });
        self.json.len() + record
    }
}

/// What was found on a page, to be followed.
#[derive(Debug, Default)]
struct Read {
    outlinks: Vec<Outlink>,
    words: Option<Fingerprint>,
}

/// How a job ended without an answer to show.
#[derive(Debug, Clone)]
pub enum Verdict {
    Skipped(SkipReason),
    Failed(FetchError),
}

/// Bodies above this are finished on the parse pool: parsing one inline makes timers late.
pub const INLINE_BODY: usize = 64 * 1024;

/// Bodies above this are so even when the pool is busy.
pub const BUSY_INLINE_BODY: usize = 512 * 1024;

/// While bodies of more bytes than this wait for the pool, it is busy as well, however few they are.
pub const MAX_WAITING_BODIES: usize = 4 << 20;

/// Where a body came from, and what was said of it.
struct Came<'a> {
    /// None if nothing was asked.
    url: Option<&'a Url>,
    head: Option<&'a Head>,
    /// Empty if there is none.
    media_type: &'a str,
    /// As the server wrote it.
    header_charset: Option<&'a str>,
}

impl Desk {
    /// Whether a body goes on with its record.
    #[must_use]
    pub fn keeps_bodies(&self) -> bool {
        self.settings.with.body || self.needs_exchange
    }

    #[must_use]
    pub fn wall_now(&self) -> WallTime {
        self.clock.wall(self.clock.now())
    }

    /// Whether users' rules read what came: that builds a tree, which is nothing for the run's own thread.
    #[must_use]
    pub fn builds_tree(&self, attempt: &Attempt) -> bool {
        let reads =
            |head: &Head| self.settings.fields.as_ref().is_some_and(|fields| fields.reads(&content_type(head).0));
        attempt.head.as_ref().is_some_and(reads) && !attempt.body.bytes.is_empty()
    }

    /// The record of a job that ends with this attempt, and the links of its page.
    ///
    /// `saved` is the file of its body. `url` is what was asked, None if nothing was. `verdict` replaces what the attempt itself came to: a refusal, a redirect that may not be followed.
    pub fn answer(
        &self,
        job: &mut Job,
        url: Option<&Url>,
        attempt: Attempt,
        verdict: Option<Verdict>,
        saved: Option<String>,
    ) -> (Finished, Vec<Outlink>) {
        let is_cut_short = outside::is_cut_short(job, &attempt);
        let Attempt { sent, head, mut body, error, first_byte, timings, elapsed, proxy, from_cache, stale, .. } =
            attempt;
        let mut record = self.begin(job, self.clock.now());
        record.first_byte_ms = first_byte.map(Millis::from);
        if let Some(timings) = timings {
            record.dns_ms = timings.dns.map(Millis::from);
            record.connect_ms = timings.connect.map(Millis::from);
            record.tls_ms = timings.tls.map(Millis::from);
        }
        record.proxy = proxy;
        record.body_file = saved;
        (record.from_cache, record.stale) = (from_cache, stale);
        record.size = body.bytes.len() as u64;
        record.wire_size = body.wire_size;
        record.truncated = body.truncated;
        let (media_type, header_charset) = head.as_ref().map(content_type).unwrap_or_default();
        let mut asked = Directives::default();
        if let Some(head) = &head {
            describe_head(&mut record, head, &job.url);
            record.content_type = (!media_type.is_empty()).then(|| media_type.clone());
            record.charset = header_charset.as_ref().map(|label| label.to_ascii_lowercase().into_boxed_str());
            let lines = head.headers.get_all("x-robots-tag").iter().map(http::HeaderValue::as_bytes);
            asked = robots::tagged(lines, &self.settings.product_token);
            record.noindex = asked.noindex;
        }
        match (verdict, error.filter(|_| !is_cut_short)) {
            (Some(Verdict::Skipped(reason)), _) => skip(&mut record, job, reason),
            (Some(Verdict::Failed(error)), _) | (None, Some(error)) => fail(&mut record, error),
            (None, None) => {
                let accepted = record.status.is_some_and(|status| self.accepts(job, status));
                record.outcome = if accepted { Outcome::Ok } else { Outcome::HttpError };
            }
        }
        // What the cache gave is no exchange of this run.
        if let (Some(url), Some(sent), Some(head), false) = (url, sent, &head, from_cache) {
            record.exchange = Some(Box::new(exchange(url, *sent, head, body.bytes.clone())));
        }
        let page = head.as_ref().and_then(|head| self.remember(&mut record, job, head, &body.bytes));
        let held = body.bytes.len();
        let came =
            Came { url, head: head.as_ref(), media_type: &media_type, header_charset: header_charset.as_deref() };
        let Read { mut outlinks, words } = self.read_page(&mut record, job, &came, body.bytes);
        if asked.nofollow {
            for link in &mut outlinks {
                link.nofollow = true;
            }
        }
        if self.settings.with.headers {
            record.headers = Some(head.as_ref().map(all_headers).unwrap_or_default());
        }
        let memory = body.memory.take().filter(|_| self.keeps_bodies()).map(|mut memory| {
            memory.shrink_to(held);
            memory
        });
        let evidence = Evidence { words, took: elapsed };
        (Finished { evidence, page, ..self.seal(job, record, memory) }, outlinks)
    }

    /// What is to be remembered of a page; and whether it has changed, in its record.
    fn remember(&self, record: &mut RecordBody, job: &Job, head: &Head, body: &Bytes) -> Option<Box<Known>> {
        let complete = matches!(record.outcome, Outcome::Ok | Outcome::HttpError) && !record.truncated;
        // An outside link is no page of the crawl that a later one could visit again.
        if !self.settings.keep_pages || !complete || job.is_outside() {
            return None;
        }
        let page = changes::known_of(job, head, record.outcome, body);
        if self.settings.again {
            let before = job.chain.as_ref().and_then(|chain| chain.known.as_deref());
            record.change = changes::change_of(before, page.as_ref(), record.status).map(str::to_owned);
        }
        page.map(Box::new)
    }

    /// The record of a job that ends without (another) request.
    ///
    /// `head` is the status of a redirect that is not followed, and its target.
    pub fn verdict(&self, job: &mut Job, verdict: Verdict, head: Option<(u16, Box<str>)>, now: Moment) -> Finished {
        let mut record = self.begin(job, now);
        if let Some((status, url)) = head {
            record.status = Some(status);
            record.final_url = Some(url);
        }
        match verdict {
            Verdict::Skipped(reason) => skip(&mut record, job, reason),
            Verdict::Failed(error) => fail(&mut record, error),
        }
        self.add_empty_body(&mut record);
        self.seal(job, record, None)
    }

    /// The record of a job that ends in the middle of a request, or while its page is read: of the answer there is what
    /// had come until then.
    pub fn cut_short(&self, job: &mut Job, error: FetchError, progress: &Progress, now: Moment) -> Finished {
        let mut record = self.begin(job, now);
        if let Some(status) = progress.status() {
            record.status = Some(status);
            record.final_url = Some(job.url.clone());
        }
        record.wire_size = progress.wire_bytes();
        // What of it had come to us is not in the record.
        record.truncated = progress.stage() == Stage::Body || record.wire_size > 0;
        fail(&mut record, error);
        self.add_empty_body(&mut record);
        self.seal(job, record, None)
    }

    /// The failure of a URL whose whole time is over.
    #[must_use]
    pub fn url_is_late(&self, stage: Stage) -> FetchError {
        let time = self.settings.url_deadline.unwrap_or_default();
        FetchError::transient(
            ErrorKind::Timeout,
            stage,
            format!("not complete within {time:?}, all attempts and waits included"),
        )
    }

    /// The record of a line that cannot be read.
    pub fn broken_line(&self, number: u64, broken: BrokenLine) -> Finished {
        let id = broken.id.map_or_else(|| format!("r-{number}"), String::from);
        let mut record = RecordBody::blank(self.run.clone(), id, Outcome::Failed);
        record.input = Some(broken.input);
        record.line = Some(broken.line);
        record.meta = broken.meta;
        record.error = Some(FetchError::permanent(ErrorKind::InvalidInput, Stage::Input, broken.message));
        self.add_empty_body(&mut record);
        let json = if self.needs_json { record.to_json() } else { Vec::new() };
        let error = Some(ErrorKind::InvalidInput);
        let counted = Counted { typed: true, outcome: Outcome::Failed, error, skip: None };
        Finished {
            number,
            counted,
            json,
            record: self.needs_record.then(|| Box::new(record)),
            evidence: Evidence::default(),
            page: None,
            share: Share::default(),
            memory: None,
        }
    }

    /// What every record of a job says, whatever became of it. Takes the requests out of the job's chain.
    fn begin(&self, job: &mut Job, now: Moment) -> RecordBody {
        let mut record = RecordBody::blank(self.run.clone(), job.id(), Outcome::Skipped);
        record.url = Some(job.first_url().into());
        record.host_key = Some(host_key_of(&job.url).into());
        let method = self.method(job);
        if *record.method != *method {
            record.method = method.into();
        }
        record.depth = job.depth;
        record.source.clone_from(&job.source);
        if job.kind == JobKind::Typed {
            record.input = job.input.clone().or_else(|| record.url.clone());
            record.line = Some(job.line);
        }
        if let Some(spec) = &mut job.spec {
            record.meta = spec.meta.take();
            let unasked = |mirror: &Mirror| MirrorEnd {
                url: mirror.url.clone(),
                outcome: Outcome::Skipped,
                total_ms: None,
                wire_size: 0,
            };
            record.mirrors = Some(spec.mirrors.iter().map(unasked).collect()).filter(|all: &Vec<_>| !all.is_empty());
        }
        let mut waited_until = now;
        if let Some(chain) = &mut job.chain {
            record.requests = std::mem::take(&mut chain.requests);
            record.attempts = chain.tries;
            record.retry_of = chain.retry_of;
            if let Some((wall, moment)) = chain.first_started {
                record.started_at = Some(wall);
                waited_until = moment;
            }
        }
        record.queued_ms = Some(waited_until.since(job.accepted).into());
        record.total_ms = Some(now.since(job.accepted).into());
        record
    }

    /// Whether a final status is `ok`: by the job's own list, or the run's.
    fn accepts(&self, job: &Job, status: u16) -> bool {
        let own = job.spec.as_ref().and_then(|spec| StatusSet::parse(spec.accept.as_deref()?).ok());
        own.as_ref().unwrap_or(&self.settings.accept).contains(status)
    }

    /// The method of the job's current hop.
    pub fn method<'a>(&'a self, job: &'a Job) -> &'a str {
        if job.chain.as_ref().is_some_and(|chain| chain.turned_get) || !job.has_record() {
            return "GET";
        }
        job.spec.as_ref().and_then(|spec| spec.method.as_deref()).unwrap_or(self.settings.method.as_str())
    }

    /// Title, links and what was asked for with `--with`.
    fn read_page(&self, record: &mut RecordBody, job: &Job, came: &Came<'_>, body: Bytes) -> Read {
        let with = self.settings.with;
        let &Came { url, head, media_type, header_charset } = came;
        if with.digest && record.status.is_some() {
            record.digest = Some(format!("sha256:{:x}", sha2::Sha256::digest(&body)));
        }
        let complete = matches!(record.outcome, Outcome::Ok | Outcome::HttpError);
        let follow = self.settings.follow && record.outcome == Outcome::Ok && !job.is_outside();
        let mut read = Read::default();
        let wants = self.wanted_links(follow);
        if let (Some(url), Some(head)) = (url, head)
            && wants.links
            && complete
        {
            read.outlinks = parse::headers::outlinks(url, &head.headers, wants);
        }
        if let Some(url) = url
            && let Some(extractor) = parse::extractor_for(media_type, url).filter(|_| complete && !body.is_empty())
        {
            let agent = &*self.settings.product_token;
            let page = Page { url, media_type, header_charset, body: &body, agent };
            let words = follow && self.settings.max_per_pattern.is_some() && wants_words(&job.url, job.strand);
            let wants = Wants { words, ..wants };
            let Extraction { title, outlinks, directives, charset, words } = extractor.extract(&page, wants);
            record.title = title;
            record.noindex |= directives.noindex;
            record.charset = charset.map(Into::into);
            read.outlinks.extend(outlinks);
            read.words = words;
        }
        if let Some(url) = url.filter(|_| !body.is_empty()) {
            let page = Page { url, media_type, header_charset, body: &body, agent: "" };
            self.fields.fill(&self.settings, self.clock, record, &page);
        }
        if with.body && !self.settings.media_types.contains(media_type) {
            record.body = Some(None);
        } else if with.body {
            add_body(record, media_type, header_charset, body);
        }
        if with.links {
            record.links = Some(read.outlinks.clone());
        }
        if !follow {
            read.outlinks.clear();
        } else if wants.everywhere {
            read.outlinks.retain(|link| self.settings.what_to_follow.wants(link));
        }
        read
    }

    fn wanted_links(&self, follow: bool) -> Wants {
        let (with, js_links) = (self.settings.with.links, self.settings.js_links);
        Wants {
            links: follow || with,
            link_details: with,
            everywhere: with || (follow && (js_links || self.settings.what_to_follow.everywhere())),
            scripts: js_links && (follow || with),
            words: false,
        }
    }

    /// The keys of `--with` for a record without an answer.
    fn add_empty_body(&self, record: &mut RecordBody) {
        let with = self.settings.with;
        record.body = with.body.then_some(None);
        record.headers = with.headers.then(BTreeMap::new);
        record.links = with.links.then(Vec::new);
    }

    /// The line of a race, whose record was put together from those of its legs.
    pub fn seal_race(&self, finished: Finished) -> Finished {
        let Finished { number, counted, record, evidence, page, memory, .. } = finished;
        let json = record.as_ref().filter(|_| self.needs_json).map(|record| record.to_json()).unwrap_or_default();
        let record = record.filter(|_| self.needs_record);
        Finished { number, counted, json, record, evidence, page, share: Share::default(), memory }
    }

    fn seal(&self, job: &Job, record: RecordBody, memory: Option<Reservation>) -> Finished {
        // A leg's record is only a part of one.
        let is_leg = job.leg().is_some();
        Finished {
            number: job.number,
            counted: Counted {
                typed: job.kind == JobKind::Typed,
                outcome: record.outcome,
                error: record.error.as_ref().map(|error| error.kind),
                skip: record.skip_reason,
            },
            json: if self.needs_json && !is_leg { record.to_json() } else { Vec::new() },
            record: (self.needs_record || is_leg).then(|| Box::new(record)),
            evidence: Evidence::default(),
            page: None,
            share: Share::default(),
            memory,
        }
    }
}

/// A line of input that cannot be read.
#[derive(Debug, Clone)]
pub struct BrokenLine {
    pub input: Box<str>,
    pub line: u64,
    pub id: Option<Box<str>>,
    pub meta: Option<Box<str>>,
    pub message: String,
}

/// A job that was redirected, and whose target was then not asked, shows the redirect: its status, and where it led.
fn skip(record: &mut RecordBody, job: &Job, reason: SkipReason) {
    record.outcome = Outcome::Skipped;
    record.skip_reason = Some(reason);
    if record.status.is_none() && job.chain.as_ref().is_some_and(|chain| chain.hops > 0 && chain.tries == 0) {
        record.status = record.requests.last().and_then(|request| request.status);
        record.final_url = Some(job.url.clone());
    }
}

fn fail(record: &mut RecordBody, error: FetchError) {
    record.outcome = Outcome::Failed;
    record.error = Some(error);
}

/// The body as `--with body` shows it: text decoded to UTF-8, anything else in base64.
fn add_body(record: &mut RecordBody, media_type: &str, header_charset: Option<&str>, body: Bytes) {
    if record.status.is_none() {
        record.body = Some(None);
        return;
    }
    let decoded = match charset::decode_text(media_type, header_charset, &body) {
        // Text as it came takes over the memory of the body: it is not there twice.
        Some((Cow::Borrowed(text), label)) if text.len() == body.len() => Some((None, label)),
        Some((text, label)) => Some((Some(text.into_owned()), label)),
        None => None,
    };
    let Some((text, label)) = decoded else {
        record.body_base64 = Some(base64::engine::general_purpose::STANDARD.encode(body));
        return;
    };
    record.charset = Some(label.into());
    record.body = Some(text.or_else(|| String::from_utf8(body.into()).ok()));
}

fn describe_head(record: &mut RecordBody, head: &Head, url: &str) {
    record.final_url = Some(url.into());
    record.status = Some(head.status);
    record.http_version = Some(head.version);
    record.remote_addr = head.remote_addr.map(address_text);
}

/// An address and its port as `Display` writes them; its padding is the dearest thing of a short record, so IPv4 is
/// written digit by digit.
fn address_text(address: SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255:65535".len());
    let [a, b, c, d] = ip.octets().map(u16::from);
    for (before, number) in [("", a), (".", b), (".", c), (".", d), (":", address.port())] {
        text.push_str(before);
        for unit in [10_000, 1000, 100, 10, 1] {
            if number >= unit || unit == 1 {
                text.push(char::from(b"0123456789"[usize::from(number / unit % 10)]));
            }
        }
    }
    text
}

/// type/subtype in lower case, and the charset parameter as written.
pub(super) fn content_type(head: &Head) -> (Box<str>, Option<Box<str>>) {
    let Some(value) = head.headers.get(http::header::CONTENT_TYPE) else { return Default::default() };
    // Almost always ASCII, which is known much sooner.
    let text = value.to_str().map_or_else(|_| String::from_utf8_lossy(value.as_bytes()), Cow::Borrowed);
    let mut parts = text.split(';');
    let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then(|| value.into())
    });
    (media_type.into_boxed_str(), charset)
}

/// A request and its answer as an archive keeps them.
fn exchange(url: &Url, sent: SentHead, head: &Head, body: Bytes) -> Exchange {
    let kept = |headers: &HeaderMap| {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let shown = credentials::shown(name.as_str(), &text);
            let bytes = match () {
                // The head that was kept has only the place of it: the host is filled in on its way to the wire.
                () if name == http::header::HOST && value.is_empty() => {
                    url[::url::Position::BeforeHost..::url::Position::AfterPort].as_bytes()
                }
                () if shown == text => value.as_bytes(),
                () => shown.as_bytes(),
            };
            (name.as_str().into(), bytes.into())
        };
        headers.iter().map(field).collect()
    };
    Exchange {
        method: sent.method.as_str().into(),
        target: url.as_str().into(),
        request_headers: kept(&sent.headers),
        request_body: sent.body,
        status: head.status,
        version: head.version,
        response_headers: kept(&head.headers),
        body,
    }
}

fn all_headers(head: &Head) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        all.entry(name.as_str().to_owned()).or_default().push(credentials::shown(name.as_str(), &text).into_owned());
    }
    all
}
