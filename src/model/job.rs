//! A job: one accepted URL with everything that is known of it, from the input line or the link to its last request.
//!
//! A job can be written to a temporary file and read back (`serde`), so it holds no handles and no clocks.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::RequestLog;
use super::units::{Moment, WallTime};

/// Why a URL is asked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobKind {
    /// A URL the user typed: a seed of a crawl, or a line of a fetch. Ends in a record.
    Typed,
    /// A link found on a page, or a URL of a sitemap. Ends in a record.
    Link,
    /// robots.txt of an origin. Fetched for the run's own use: no record.
    Robots,
    /// A sitemap. Fetched for the run's own use: no record.
    Sitemap,
}

/// What a line of input said beyond its URL. Most jobs have none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    pub id: Option<Box<str>>,
    /// Upper-case method; None is the run's method.
    pub method: Option<Box<str>>,
    /// Sent after the run's headers, and instead of those of the same name.
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub body: Option<Vec<u8>>,
    /// For one request, whole; None is the run's `--timeout`.
    pub timeout: Option<Duration>,
    /// JSON text, given back unchanged in the record.
    pub meta: Option<Box<str>>,
    /// User and password that stood in the URL.
    pub user_info: Option<(Box<str>, Box<str>)>,
}

/// What happened to a job so far: present from its first request on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// The URL as first requested; None until a redirect has replaced it.
    pub first_url: Option<Box<str>>,
    /// Every request of the job in order, with the robots requests of its host that went before it.
    pub requests: Vec<RequestLog>,
    /// When the first request of the job itself started.
    pub first_started: Option<(WallTime, Moment)>,
    /// Redirects followed.
    pub hops: u32,
    /// Requests of the current hop, refusals left out: what `--retries` limits.
    pub attempts: u32,
    /// Requests of the current hop, all of them: the record's `attempts`.
    pub tries: u32,
    /// 429 and 503 with `Retry-After`, over all hops.
    pub refusals: u32,
    /// A 301, 302 or 303 has turned the method into GET and dropped the body.
    pub turned_get: bool,
    /// A redirect has led to another origin: credentials are not sent any more.
    pub left_origin: bool,
}

/// One accepted URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Place in the order of acceptance, from 0; for `--ordered` also the place of its record.
    pub number: u64,
    /// The canonical URL to ask next: of the current hop.
    pub url: Box<str>,
    /// Host key of `url`.
    pub host: Box<str>,
    pub kind: JobKind,
    /// −9…9, higher first.
    pub priority: i8,
    /// Links from a seed; redirects do not count.
    pub depth: u32,
    /// When the job was accepted.
    pub accepted: Moment,
    /// The page that linked here first.
    pub source: Option<Arc<str>>,
    /// The URL as it was typed, if that differs from the canonical one.
    pub input: Option<Box<str>>,
    /// Line or argument number, from 1; 0 for links.
    pub line: u64,
    pub spec: Option<Box<JobSpec>>,
    pub chain: Option<Box<Chain>>,
}

impl Job {
    /// A new job for a canonical URL; `number` and `accepted` are given when the job is accepted.
    #[must_use]
    pub fn new(kind: JobKind, url: impl Into<Box<str>>, host: Box<str>) -> Self {
        Self {
            number: 0,
            url: url.into(),
            host,
            kind,
            priority: 0,
            depth: 0,
            accepted: Moment::START,
            source: None,
            input: None,
            line: 0,
            spec: None,
            chain: None,
        }
    }

    /// Whether the job ends in a record; robots.txt and sitemaps are the run's own business.
    #[must_use]
    pub fn has_record(&self) -> bool {
        matches!(self.kind, JobKind::Typed | JobKind::Link)
    }

    /// The id of the record and the `request_id` of log lines.
    #[must_use]
    pub fn id(&self) -> String {
        match self.spec.as_ref().and_then(|spec| spec.id.as_deref()) {
            Some(id) => id.to_owned(),
            None => format!("r-{}", self.number),
        }
    }

    /// The URL as first requested.
    #[must_use]
    pub fn first_url(&self) -> &str {
        self.chain.as_ref().and_then(|chain| chain.first_url.as_deref()).unwrap_or(&self.url)
    }

    /// The chain, made if there was none.
    pub fn chain_mut(&mut self) -> &mut Chain {
        self.chain.get_or_insert_default()
    }

    /// Heap and own bytes of a waiting job, allocator overhead counted with 16 bytes for each block.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        const BLOCK: usize = 16;
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len() + BLOCK);
        let spec = self.spec.as_ref().map_or(0, |spec| {
            size_of::<JobSpec>()
                + BLOCK
                + text(&spec.id)
                + text(&spec.method)
                + text(&spec.meta)
                + spec.body.as_ref().map_or(0, |body| body.capacity() + BLOCK)
                + spec.headers.iter().map(|(n, v)| n.len() + v.len() + 2 * BLOCK + 32).sum::<usize>()
                + spec.user_info.as_ref().map_or(0, |(u, p)| u.len() + p.len() + 2 * BLOCK)
        });
        let chain = self.chain.as_ref().map_or(0, |chain| {
            size_of::<Chain>()
                + BLOCK
                + text(&chain.first_url)
                + chain.requests.iter().map(RequestLog::heap_size).sum::<usize>()
        });
        // The source is shared by all links of a page: its text is not counted for each.
        size_of::<Self>() + self.url.len() + self.host.len() + 2 * BLOCK + text(&self.input) + spec + chain
    }
}
