//! A job: one accepted URL with everything that is known of it, from the input line or the link to its last request.
//!
//! A job can be written to a temporary file and read back (`serde`), so it holds no handles and no clocks.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::RequestLog;
use super::units::{Moment, WallTime};
use super::url::origin_of;

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
    /// In upper case, as all methods are; None is the run's method.
    pub method: Option<Box<str>>,
    /// Sent after the run's headers, and instead of those of the same name.
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub body: Option<Vec<u8>>,
    /// For one request, whole; None is the run's `--timeout`.
    pub timeout: Option<Duration>,
    /// Further attempts after the first; None is the run's `--retries`.
    pub retries: Option<u32>,
    /// A list of statuses that are `ok`, checked when it was read; None is the run's `--accept`.
    pub accept: Option<Box<str>>,
    /// The proxy that all its requests go through; None is the run's.
    pub proxy: Option<Box<str>>,
    /// JSON text; its value comes back unchanged in the record, on one line.
    pub meta: Option<Box<str>>,
    /// User and password that stood in the URL, percent-decoded.
    pub user_info: Option<(Box<str>, Box<str>)>,
    /// All places of the document, in order of preference: the first to answer is its record. Empty for most jobs.
    pub mirrors: Vec<Mirror>,
    /// The job is a leg of the race of a job with mirrors, and asks this one of them.
    pub leg: Option<u32>,
    /// It lies outside the scope of the crawl, and is only asked whether it is there.
    pub outside: bool,
}

/// One of the places where a job's document is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Canonical.
    pub url: Box<str>,
    /// User and password that stood in it, percent-decoded.
    pub user_info: Option<(Box<str>, Box<str>)>,
    /// Another job has it, and each URL is asked once: this one leaves it alone.
    pub repeated: bool,
}

/// What a page was like when it was last asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its validators, as the server wrote them.
    pub etag: Option<Box<str>>,
    pub modified: Option<Box<str>>,
    /// XXH3 of its body, decoded.
    pub digest: u64,
    /// It was not there: 404 or 410.
    pub gone: bool,
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
    /// Requests that died with an idle connection, over all hops.
    pub idle_deaths: u32,
    /// A 301, 302 or 303 has turned the method into GET and dropped the body.
    pub turned_get: bool,
    /// A redirect has led to another origin: credentials are not sent any more.
    pub left_origin: bool,
    /// Body bytes on the wire, of all its requests.
    pub wire_bytes: u64,
    /// The `seq` of the record of a failure that this job is another chance of.
    pub retry_of: Option<u64>,
    /// What an earlier run knew of the page.
    pub known: Option<Box<Known>>,
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
    /// Pages that only repeat themselves, one after the other, over which it was found (`policy::traps`).
    pub strand: u16,
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
    /// What the cache has of `url`; None until it was looked at. Looked up anew after a redirect, and by another process.
    #[serde(skip)]
    pub cached: Option<Box<Cached>>,
}

/// What a stored answer is good for that could not be used without asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cached {
    /// Its validators, as the server wrote them.
    pub etag: Option<Box<str>>,
    pub modified: Option<Box<str>>,
    /// It may be given if the server cannot be asked.
    pub rescues: bool,
}

impl Mirror {
    fn heap_size(&self) -> usize {
        let user_info = self.user_info.as_ref().map_or(0, |(user, password)| user.len() + password.len() + 32);
        size_of::<Self>() + self.url.len() + 16 + user_info
    }
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
            strand: 0,
            accepted: Moment::START,
            source: None,
            input: None,
            line: 0,
            spec: None,
            chain: None,
            cached: None,
        }
    }

    /// Whether the job ends in a record; robots.txt and sitemaps are the run's own business.
    #[must_use]
    pub fn has_record(&self) -> bool {
        matches!(self.kind, JobKind::Typed | JobKind::Link)
    }

    /// The id of the record and the `request_id` of log lines. The run's own jobs have no number: theirs is made of what
    /// they are and where (`robots-https://example.org`, `sitemap-https://example.org/map.xml`).
    #[must_use]
    pub fn id(&self) -> String {
        match self.kind {
            JobKind::Robots => return ["robots-", origin_of(self.first_url())].concat(),
            JobKind::Sitemap => return ["sitemap-", self.first_url()].concat(),
            JobKind::Typed | JobKind::Link => {}
        }
        if let Some(id) = self.spec.as_ref().and_then(|spec| spec.id.as_deref()) {
            return id.to_owned();
        }
        // Every record has one: a third of what `format!` takes.
        ["r-", &self.number.to_string()].concat()
    }

    /// All places of the job's document; empty if it has but its URL.
    #[must_use]
    pub fn mirrors(&self) -> &[Mirror] {
        self.spec.as_ref().map_or(&[], |spec| &spec.mirrors)
    }

    /// Which of its parent's mirrors the job asks, if it is a leg of a race: it has no record of its own then.
    #[must_use]
    pub fn leg(&self) -> Option<usize> {
        self.spec.as_ref().and_then(|spec| spec.leg).map(|leg| leg as usize)
    }

    /// Whether it is only asked whether it is there, and its page is not read.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.outside)
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
                + text(&spec.accept)
                + text(&spec.proxy)
                + spec.body.as_ref().map_or(0, |body| body.capacity() + BLOCK)
                + spec.headers.iter().map(|(n, v)| n.len() + v.len() + 2 * BLOCK + 32).sum::<usize>()
                + spec.user_info.as_ref().map_or(0, |(u, p)| u.len() + p.len() + 2 * BLOCK)
                + spec.mirrors.iter().map(Mirror::heap_size).sum::<usize>()
        });
        let chain = self.chain.as_ref().map_or(0, |chain| {
            size_of::<Chain>()
                + BLOCK
                + text(&chain.first_url)
                + chain
                    .known
                    .as_ref()
                    .map_or(0, |known| size_of::<Known>() + BLOCK + text(&known.etag) + text(&known.modified))
                + chain.requests.iter().map(RequestLog::heap_size).sum::<usize>()
        });
        let cached = self
            .cached
            .as_ref()
            .map_or(0, |cached| size_of::<Cached>() + BLOCK + text(&cached.etag) + text(&cached.modified));
        // The source is shared by all links of a page: its text is not counted for each.
        size_of::<Self>() + self.url.len() + self.host.len() + 2 * BLOCK + text(&self.input) + spec + chain + cached
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::RequestKind;
    use super::super::units::Millis;
    use super::*;

    fn full() -> Job {
        let mut job = Job::new(JobKind::Typed, "https://example.org/b", "example.org".into());
        job.number = 7;
        job.priority = -9;
        job.depth = 2;
        job.accepted = Moment::from_nanos(1 << 40);
        job.source = Some("https://example.org/".into());
        job.input = Some("Example.org/a".into());
        job.line = 12;
        job.spec = Some(Box::new(JobSpec {
            id: Some("é".into()),
            method: Some("PUT".into()),
            headers: vec![("a".into(), "b".into())],
            body: Some(vec![0, 255, 10]),
            timeout: Some(Duration::from_millis(1500)),
            retries: Some(7),
            accept: Some("200,404".into()),
            proxy: Some("http://u:p@proxy:1".into()),
            meta: Some("{\"a\": 1.50}".into()),
            user_info: Some(("me".into(), "secret".into())),
            mirrors: vec![Mirror { url: "https://example.org/b".into(), user_info: None, repeated: true }],
            leg: Some(3),
            outside: true,
        }));
        *job.chain_mut() = Chain {
            first_url: Some("https://example.org/a".into()),
            requests: vec![RequestLog {
                url: "https://example.org/a".into(),
                host_key: "example.org".into(),
                kind: RequestKind::Page,
                started_at: WallTime(1_795_170_180_123),
                ms: Millis::from(Duration::from_micros(1_234_567)),
                status: Some(301),
            }],
            first_started: Some((WallTime(-1), Moment::NEVER)),
            hops: 1,
            attempts: 2,
            tries: 2,
            refusals: 3,
            idle_deaths: 1,
            turned_get: true,
            left_origin: true,
            wire_bytes: 1 << 40,
            retry_of: Some(5),
            known: Some(Box::new(Known { etag: Some("\"e\"".into()), modified: None, digest: 9, gone: true })),
        };
        job
    }

    #[test]
    fn a_job_comes_back_from_a_temporary_file_as_it_was() {
        for job in [full(), Job::new(JobKind::Robots, "https://a/robots.txt", "a".into())] {
            let bytes = postcard::to_allocvec(&job).unwrap();
            assert_eq!(postcard::from_bytes::<Job>(&bytes).unwrap(), job);
        }
    }

    #[test]
    fn ids_are_the_lines_own_or_made() {
        let mut job = full();
        assert_eq!(job.id(), "é");
        job.spec = None;
        assert_eq!(job.id(), "r-7");
    }

    #[test]
    fn the_first_url_outlives_a_redirect() {
        let mut job = full();
        assert_eq!((job.first_url(), &*job.url), ("https://example.org/a", "https://example.org/b"));
        job.chain_mut().first_url = None;
        assert_eq!(job.first_url(), "https://example.org/b");
        job.chain = None;
        assert_eq!(job.first_url(), "https://example.org/b");
    }

    #[test]
    fn no_job_of_the_run_s_own_has_the_id_of_a_record() {
        let id = |kind, url: &str| Job::new(kind, url, "a".into()).id();
        assert_eq!(id(JobKind::Typed, "https://a/robots.txt"), "r-0");
        assert_eq!(id(JobKind::Robots, "https://a:8080/robots.txt"), "robots-https://a:8080");
        assert_eq!(id(JobKind::Sitemap, "https://a/map.xml"), "sitemap-https://a/map.xml");
        let mut moved = Job::new(JobKind::Robots, "https://b/x", "b".into());
        moved.chain_mut().first_url = Some("http://a/robots.txt".into());
        assert_eq!(moved.id(), "robots-http://a", "over all its hops");
    }

    #[test]
    fn only_what_the_user_sees_has_a_record() {
        for (kind, has_record) in
            [(JobKind::Typed, true), (JobKind::Link, true), (JobKind::Robots, false), (JobKind::Sitemap, false)]
        {
            assert_eq!(Job::new(kind, "https://a/", "a".into()).has_record(), has_record);
        }
    }

    #[test]
    fn the_heap_of_a_job_counts_every_part() {
        let size = |change: &dyn Fn(&mut Job)| {
            let mut job = full();
            change(&mut job);
            job.heap_size()
        };
        let whole = size(&|_| {});
        let long = || "x".repeat(1000).into_boxed_str();
        let changes: [&dyn Fn(&mut Job); 11] = [
            &|job| job.spec.as_mut().unwrap().proxy = Some(long()),
            &|job| job.spec.as_mut().unwrap().accept = Some(long()),
            &|job| job.spec.as_mut().unwrap().mirrors[0].url = long(),
            &|job| job.url = long(),
            &|job| job.host = long(),
            &|job| job.input = Some(long()),
            &|job| job.spec.as_mut().unwrap().meta = Some(long()),
            &|job| job.spec.as_mut().unwrap().body = Some(vec![0; 1000]),
            &|job| job.spec.as_mut().unwrap().headers.push((long(), "".into())),
            &|job| job.chain_mut().first_url = Some(long()),
            &|job| job.chain_mut().requests[0].url = long(),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            assert!(size(change) > whole + 900, "change {at} is not counted");
        }
        let bare = Job::new(JobKind::Link, "https://a/", "a".into()).heap_size();
        assert!((size_of::<Job>()..size_of::<Job>() + 100).contains(&bare), "{bare}");
    }
}
