//! A world of servers that answers from a script, keeps a log, and judges what it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::engine::settings::EngineSettings;
use crate::engine::stats::Summary;
use crate::engine::{Controls, Parts, input, run};
use crate::fetch::cache::Cache;
use crate::fetch::resolve::literal_is_private;
use crate::fetch::{Attempt, Body, Fetcher, Head, Request};
use crate::frontier::memory::{MemoryFrontier, MemorySettings};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::job::{Job, JobKind, JobSpec, Mirror};
use crate::model::record::{RecordBody, SkipReason};
use crate::model::url::{canonical, host_key, host_key_of};
use crate::seeds::Seed;
use crate::sinks::{Line, Sink, SinkError};

/// What a server does with one request.
#[derive(Debug, Clone)]
pub struct Reply {
    pub latency: Duration,
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub error: Option<FetchError>,
    pub panics: bool,
    /// Breaks the fetcher's word: its future never completes, whatever the timeout.
    pub never: bool,
    /// Where it comes from.
    pub address: Option<std::net::SocketAddr>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        let latency = Duration::from_millis(10);
        Self {
            latency,
            status,
            headers: Vec::new(),
            body: String::new(),
            error: None,
            panics: false,
            never: false,
            address: None,
        }
    }

    pub fn page(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::status(200) }.header("content-type", "text/html; charset=utf-8")
    }

    /// Never comes back; with a status, its head has come.
    pub fn never(status: u16) -> Self {
        Self { never: true, ..Self::status(status) }
    }

    pub fn redirect(status: u16, target: &str) -> Self {
        Self::status(status).header("location", target)
    }

    pub fn refused() -> Self {
        let error = FetchError::transient(ErrorKind::Connect, Stage::Connect, "connection refused").before_sending();
        Self { status: 0, error: Some(error), ..Self::status(0) }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }
}

/// One request as the servers saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub url: String,
    pub host: String,
    pub start: Instant,
    pub end: Option<Instant>,
    /// It was dropped before its answer.
    pub cut: bool,
    /// In flight at the host with this request.
    pub at_host: usize,
}

#[derive(Debug, Default)]
struct HostLog {
    in_flight: usize,
    last_end: Option<Instant>,
    /// Nothing may start from the last refusal on until this: so it has said, or an earlier one.
    held: Option<(Instant, Instant)>,
    /// Its last refusal that was not one of a burst.
    refused: Option<Instant>,
}

impl HostLog {
    /// A refusal has been answered: what was asked since the last one begins another event.
    fn refuse(&mut self, now: Instant, started: Instant, stated: Option<Duration>) {
        let is_new = self.refused.is_none_or(|refused| started > refused);
        if is_new {
            self.refused = Some(now);
        }
        let hold = stated.or_else(|| is_new.then_some(Duration::from_secs(1)));
        let until = self.held.map(|(_, until)| until).max(hold.map(|hold| now + hold));
        self.held = until.map(|until| (now, until));
    }
}

type Script = Box<dyn FnMut(&Request, usize) -> Reply + Send>;

/// The judged side of the world.
#[derive(Default)]
pub struct Log {
    pub requests: Vec<Seen>,
    pub keep_requests: bool,
    pub count: u64,
    hosts: HashMap<String, HostLog>,
    tries: HashMap<String, usize>,
    in_flight: usize,
    pub most_in_flight: usize,
    pub violations: Vec<String>,
    /// Limits to judge by.
    pub concurrency: usize,
    pub host_concurrency: usize,
    /// Least gap from the end of one request to the start of the next, by host.
    pub gap: Option<fn(&str) -> Duration>,
}

pub struct World {
    script: Mutex<Script>,
    pub log: Mutex<Log>,
}

impl World {
    /// `script` gets each request and how often its URL was asked before.
    pub fn new(script: impl FnMut(&Request, usize) -> Reply + Send + 'static) -> Arc<Self> {
        let log = Log { keep_requests: true, concurrency: usize::MAX, host_concurrency: usize::MAX, ..Log::default() };
        Arc::new(Self { script: Mutex::new(Box::new(script)), log: Mutex::new(log) })
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.log.lock().unwrap().requests.clone()
    }

    pub fn urls(&self) -> Vec<String> {
        self.requests().into_iter().map(|seen| seen.url).collect()
    }

    fn begin(&self, request: &Request) -> (Reply, usize) {
        let url = request.url.as_str().to_owned();
        let mut log = self.log.lock().unwrap();
        let log = &mut *log;
        let tries = log.tries.entry(url.clone()).or_default();
        let reply = (self.script.lock().unwrap())(request, *tries);
        *tries += 1;
        let now = Instant::now();
        let host = host_key_of(&url).to_owned();
        log.count += 1;
        log.in_flight += 1;
        log.most_in_flight = log.most_in_flight.max(log.in_flight);
        let state = log.hosts.entry(host.clone()).or_default();
        state.in_flight += 1;
        if log.in_flight > log.concurrency {
            log.violations.push(format!("{} requests in flight at {url}", log.in_flight));
        }
        if state.in_flight > log.host_concurrency {
            log.violations.push(format!("{} requests in flight at host of {url}", state.in_flight));
        }
        if let (Some(gap), Some(last)) = (log.gap.map(|gap| gap(&host)), state.last_end)
            && now < last + gap
        {
            log.violations.push(format!("{url} only {:?} after the last request", now - last));
        }
        // One that starts at the very moment of the refusal was on its way.
        if state.held.is_some_and(|(since, until)| since < now && now < until) {
            log.violations.push(format!("{url} although its host is held by a refusal"));
        }
        let at_host = state.in_flight;
        let index = log.requests.len();
        if log.keep_requests {
            log.requests.push(Seen { url, host, start: now, end: None, cut: false, at_host });
        }
        (reply, index)
    }

    fn end(&self, url: &str, index: usize, started: Instant, answered: Option<&Reply>) {
        let mut log = self.log.lock().unwrap();
        let now = Instant::now();
        log.in_flight -= 1;
        if let Some(host) = log.hosts.get_mut(host_key_of(url)) {
            host.in_flight -= 1;
            host.last_end = Some(now);
            if let Some(reply) = answered {
                let stated =
                    reply.headers.iter().find(|(name, _)| *name == "retry-after").and_then(|(_, v)| v.parse().ok());
                if reply.status == 429 || (reply.status == 503 && stated.is_some()) {
                    host.refuse(now, started, stated.map(Duration::from_secs));
                }
            }
        }
        if log.keep_requests {
            log.requests[index].end = Some(now);
            log.requests[index].cut = answered.is_none();
        }
    }
}

/// One request at its server: it ends there when it is answered, or dropped.
struct Exchange<'a> {
    world: &'a World,
    url: String,
    index: usize,
    started: Instant,
    answered: Option<&'a Reply>,
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.world.end(&self.url, self.index, self.started, self.answered);
    }
}

/// The fetcher of a world.
pub struct Fake(pub Arc<World>);

impl Fetcher for Fake {
    async fn fetch(&self, request: Request) -> Attempt {
        if request.guarded && literal_is_private(&request.url) {
            return Attempt { refusal: Some(SkipReason::PrivateAddress), ..Attempt::default() };
        }
        let start = Instant::now();
        let (reply, index) = self.0.begin(&request);
        let timeout = request.timeout.unwrap_or(Duration::MAX);
        let url = request.url.as_str().to_owned();
        let mut exchange = Exchange { world: &self.0, url, index, started: start, answered: None };
        if reply.never {
            if reply.status > 0 {
                request.progress.head(reply.status);
                request.progress.body_bytes(reply.body.len() as u64);
            }
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(reply.latency.min(timeout)).await;
        exchange.answered = Some(&reply);
        drop(exchange);
        assert!(!reply.panics, "the script says so");
        let elapsed = start.elapsed();
        if reply.latency > timeout {
            let error = FetchError::transient(ErrorKind::Timeout, Stage::Head, "no answer in time");
            return Attempt { error: Some(error), elapsed, ..Attempt::default() };
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &reply.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let head = (reply.status > 0).then(|| Head {
            status: reply.status,
            headers,
            version: "HTTP/1.1",
            remote_addr: reply.address,
        });
        let wire_size = reply.body.len() as u64;
        let body = Body { bytes: Bytes::from(reply.body), wire_size, truncated: false, memory: None };
        Attempt { head, body, error: reply.error, first_byte: Some(elapsed), elapsed, ..Attempt::default() }
    }
}

/// Keeps records; judges that `seq` has no gap.
#[derive(Default)]
pub struct Kept {
    pub records: Vec<(u64, RecordBody)>,
}

pub struct KeepSink(pub Arc<Mutex<Kept>>);

impl Sink for KeepSink {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        let mut kept = self.0.lock().unwrap();
        for line in lines {
            let record = line.record.as_deref().unwrap().clone();
            kept.records.push((line.seq, record));
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn needs_record(&self) -> bool {
        true
    }
}

pub fn seed(url: &str) -> Seed {
    let url = crate::model::url::parse(url).unwrap();
    Seed::Job(Box::new(Job::new(JobKind::Typed, canonical(&url), host_key(&url))))
}

/// A job with mirrors, as its line would give it.
pub fn mirrored(urls: &[&str]) -> Seed {
    let mirrors = urls.iter().map(|url| Mirror { url: (*url).into(), user_info: None, repeated: false }).collect();
    let mut job = Job::new(JobKind::Typed, urls[0], host_key_of(urls[0]).into());
    job.input = Some(urls.join(" ").into());
    job.spec = Some(Box::new(JobSpec { mirrors, ..JobSpec::default() }));
    Seed::Job(Box::new(job))
}

pub fn seeds(urls: impl IntoIterator<Item = String>) -> Vec<Seed> {
    urls.into_iter().map(|url| seed(&url)).collect()
}

/// Runs a list or a crawl in a world.
pub async fn run_world(
    world: &Arc<World>,
    settings: EngineSettings,
    seeds: impl IntoIterator<Item = Seed, IntoIter: Send + 'static>,
) -> (Summary, Vec<RecordBody>) {
    run_controlled(world, settings, seeds, Controls::default()).await
}

pub async fn run_controlled(
    world: &Arc<World>,
    settings: EngineSettings,
    seeds: impl IntoIterator<Item = Seed, IntoIter: Send + 'static>,
    controls: Controls,
) -> (Summary, Vec<RecordBody>) {
    run_input(world, settings, input::Input::Inline(Box::new(seeds.into_iter())), controls).await
}

/// A run with a cache.
pub async fn run_cached(
    world: &Arc<World>,
    settings: EngineSettings,
    seeds: Vec<Seed>,
    cache: Option<Arc<Cache>>,
) -> (Summary, Vec<RecordBody>) {
    let input = input::Input::Inline(Box::new(seeds.into_iter()));
    run_parts(world, settings, input, Controls::default(), cache).await
}

/// The same, with seeds that may come later.
pub async fn run_input(
    world: &Arc<World>,
    settings: EngineSettings,
    input: input::Input,
    controls: Controls,
) -> (Summary, Vec<RecordBody>) {
    run_parts(world, settings, input, controls, None).await
}

async fn run_parts(
    world: &Arc<World>,
    settings: EngineSettings,
    input: input::Input,
    controls: Controls,
    cache: Option<Arc<Cache>>,
) -> (Summary, Vec<RecordBody>) {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let summary = run(Parts {
        run: "test".into(),
        settings,
        fetcher: Fake(world.clone()),
        cache,
        bodies: None,
        frontier: Box::new(MemoryFrontier::new(MemorySettings::default())),
        input,
        past: None,
        input_missing: false,
        sinks: vec![("kept".to_owned(), Box::new(KeepSink(kept.clone())))],
        controls,
        inline: true,
    })
    .await;
    let records = std::mem::take(&mut kept.lock().unwrap().records);
    for (place, (seq, _)) in records.iter().enumerate() {
        assert_eq!(*seq, place as u64, "seq without a gap");
    }
    assert_eq!(world.log.lock().unwrap().violations, Vec::<String>::new());
    (summary, records.into_iter().map(|(_, record)| record).collect())
}

/// The record of a URL.
pub fn record<'a>(records: &'a [RecordBody], url: &str) -> &'a RecordBody {
    let mut found = records.iter().filter(|record| record.url.as_deref() == Some(url));
    let record = found.next().unwrap_or_else(|| panic!("no record of {url}"));
    assert!(found.next().is_none(), "two records of {url}");
    record
}
