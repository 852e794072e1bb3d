//! What a fetch costs beside its requests: the real engine, frontier, input thread and JSONL sink with a fetcher that
//! answers at once, for 100,000 URLs on 1, 500 and 10,000 hosts; and one request at a time, where each URL has turns of the
//! dispatcher for itself, as it has behind a slow network. The control in the same run is what nobody can leave
//! out: each line parsed as a URL, and a task of tokio that asks for it.
//!
//! Fails if more than 0.2 messages between threads were needed for a page. `cargo bench --bench dispatcher -- 20000`
//! takes another number of URLs, as a profiler wants it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use lycosa::engine::input::Input;
use lycosa::engine::settings::EngineSettings;
use lycosa::engine::stats::Summary;
use lycosa::engine::{Controls, Parts, run};
use lycosa::fetch::{Attempt, Body, Fetcher, Head, Request};
use lycosa::frontier::memory::{MemoryFrontier, MemorySettings};
use lycosa::model::url::Url;
use lycosa::seeds::{self, SeedSettings, Source};
use lycosa::sinks::{self, OutputSettings, Target};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CROSSINGS_LIMIT: f64 = 0.2;

/// Answers every request with the same small text.
#[derive(Clone)]
struct AtOnce {
    headers: HeaderMap,
    body: Bytes,
}

impl AtOnce {
    fn new() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::DATE, HeaderValue::from_static("Fri, 20 Nov 2026 10:23:00 GMT"));
        Self { headers, body: Bytes::from_static(b"a short answer\n") }
    }
}

impl Fetcher for AtOnce {
    async fn fetch(&self, _request: Request) -> Attempt {
        let head = Head {
            status: 200,
            headers: self.headers.clone(),
            version: "HTTP/1.1",
            remote_addr: Some(([127, 0, 0, 1], 80).into()),
        };
        let wire_size = self.body.len() as u64;
        let body = Body { bytes: self.body.clone(), wire_size, truncated: false, memory: None };
        Attempt { head: Some(head), body, first_byte: Some(Duration::from_micros(150)), ..Attempt::default() }
    }
}

/// Time on the wall, of this thread on a processor, and of the whole process on processors.
#[derive(Debug, Clone, Copy)]
struct Spent {
    wall: Duration,
    thread: Option<Duration>,
    process: Option<Duration>,
}

/// Where Linux tells what the other two times are. They are the ones to compare on a machine that does other work too.
fn thread_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

fn process_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold anything; user and system time are fields 14 and 15, in ticks of
    // 10 ms.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}

fn measure<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (wall, thread, process) = (Instant::now(), thread_time(), process_time());
    let result = work();
    let since = |before: Option<Duration>, now: Option<Duration>| Some(now?.saturating_sub(before?));
    let spent =
        Spent { wall: wall.elapsed(), thread: since(thread, thread_time()), process: since(process, process_time()) };
    (result, spent)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Neighbours in the list are on different hosts.
fn write_list(list: &Path, urls: u64, hosts: u64) {
    let mut text = String::new();
    for n in 0..urls {
        let _ = writeln!(text, "http://h{}.example/articles/2026/{n}?lang=en", n % hosts);
    }
    fs::File::create(list).and_then(|mut file| file.write_all(text.as_bytes())).expect("a temporary file");
}

/// The run as the command makes it, but for its fetcher.
fn fetch(list: &Path, concurrency: usize) -> Summary {
    let settings = SeedSettings::from(vec![Source::File(list.to_owned())]);
    let reader = seeds::open(&settings).expect("the list was written just now");
    let output = OutputSettings { target: Target::File("/dev/null".into()), format: "jsonl" };
    let sink = sinks::open(&output).expect("/dev/null can be opened");
    let parts = Parts {
        past: None,
        input_missing: false,
        run: "bench".into(),
        settings: EngineSettings { concurrency, ..EngineSettings::default() },
        fetcher: AtOnce::new(),
        cache: None,
        bodies: None,
        frontier: Box::new(MemoryFrontier::new(MemorySettings::default())),
        input: Input::read(reader).expect("a thread"),
        sinks: vec![("/dev/null".to_owned(), sink)],
        controls: Controls::default(),
        inline: false,
    };
    runtime().block_on(run(parts))
}

/// Nothing but URLs and tasks: no queue, no record.
fn control(list: &Path, concurrency: usize) -> u64 {
    let lines = BufReader::new(fs::File::open(list).expect("the list was written just now")).lines();
    let fetcher = Arc::new(AtOnce::new());
    let settings = EngineSettings::default();
    let permits = Arc::new(Semaphore::new(concurrency));
    runtime().block_on(async {
        let mut tasks = JoinSet::new();
        let mut answered = 0;
        for line in lines.map_while(Result::ok) {
            let Ok(url) = Url::parse(&line) else { continue };
            let Ok(permit) = permits.clone().acquire_owned().await else { break };
            let request = Request {
                url,
                method: Method::GET,
                headers: Vec::new(),
                body: None,
                credentials: true,
                user_info: None,
                proxy: None,
                logs_in: false,
                cookies: false,
                timeout: settings.timeout,
                guarded: false,
                max_body: settings.max_filesize,
                beside_pool: false,
                progress: Arc::default(),
            };
            let fetcher = fetcher.clone();
            tasks.spawn(async move {
                let attempt = fetcher.fetch(request).await;
                drop(permit);
                attempt.head.is_some()
            });
            while let Some(done) = tasks.try_join_next() {
                answered += u64::from(done.unwrap_or(false));
            }
        }
        while let Some(done) = tasks.join_next().await {
            answered += u64::from(done.unwrap_or(false));
        }
        answered
    })
}

/// The run of several that took least: what another program took away is not ours.
fn best_of<T>(rounds: u32, mut work: impl FnMut() -> T) -> (T, Spent) {
    let first = measure(&mut work);
    (1..rounds).fold(first, |best, _| {
        let next = measure(&mut work);
        let time = |spent: &Spent| spent.thread.unwrap_or(spent.wall);
        if time(&next.1) < time(&best.1) { next } else { best }
    })
}

#[expect(clippy::cast_precision_loss, reason = "numbers for people")]
#[expect(clippy::print_stdout, reason = "the result of a bench")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = arguments.iter().find_map(|argument| argument.parse().ok());
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let urls: u64 = asked.unwrap_or(if is_bench { 100_000 } else { 1000 });
    let rounds = if asked.is_some() { 1 } else { 3 };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let list = directory.path().join("urls");
    let each = |time: Option<Duration>| match time {
        Some(time) => format!("{:6.2}", time.as_secs_f64() * 1e6 / urls as f64),
        None => "     ?".to_owned(),
    };
    println!("{urls} URLs; µs for each: on the wall, of the run's thread, of all threads");
    let mut too_many = false;
    for (hosts, concurrency) in [(1, 64), (500, 64), (10_000, 64), (500, 1)] {
        write_list(&list, urls, hosts);
        let (answered, least) = best_of(rounds, || control(&list, concurrency));
        assert_eq!(answered, urls, "the control asks for every URL");
        let (summary, spent) = best_of(rounds, || fetch(&list, concurrency));
        assert_eq!((summary.records, summary.left), (urls, 0), "each URL has its record");
        let crossings = summary.crossings as f64 / urls as f64;
        too_many |= crossings > CROSSINGS_LIMIT;
        println!(
            "{hosts:>6} hosts, {concurrency:>2} at once: fetch   {} {} {}",
            each(Some(spent.wall)),
            each(spent.thread),
            each(spent.process)
        );
        println!(
            "                         control {} {} {}",
            each(Some(least.wall)),
            each(least.thread),
            each(least.process)
        );
        let (ours, theirs) = spent.thread.zip(least.thread).unwrap_or((spent.wall, least.wall));
        println!(
            "                         ratio {:.2}, {crossings:.3} messages between threads for a page",
            ours.as_secs_f64() / theirs.as_secs_f64()
        );
    }
    assert!(!too_many, "more than {CROSSINGS_LIMIT} messages between threads for a page");
}
