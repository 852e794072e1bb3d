//! Ten million URLs discovered, through the real engine, frontier, journal and seen set: what they take in memory and in
//! CPU, and how soon a run of that size goes on.
//!
//! A crawl of a site that a scripted fetcher makes up: one page in a thousand has 1,100 links to 1,000 hosts, of which a
//! hundred were seen before, and all others are leaves. It is cut off when half of its URLs are known to be done, as a kill
//! would cut it off, and a second process takes it up and ends it. Each part runs in a process of its own, so that its
//! peak is its own (Linux: VmHWM); CPU is that of all threads.
//!
//! `cargo bench --bench large` does so with one million, ten million, and ten million under a limit of 200 MiB, and fails
//! if a promise is not kept: 400 MB, the limit, 1.5 times the CPU for each URL, 20 seconds until a run goes on. It takes
//! some minutes and 2 GB in the directory for temporary files. `-- 300000` takes that many for the larger runs, a tenth
//! for the smaller, and only counts.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use lycosa::crawl::Budget;
use lycosa::engine::input::Input;
use lycosa::engine::settings::EngineSettings;
use lycosa::engine::{Controls, Parts, ledger, run};
use lycosa::fetch::{Attempt, Body, Fetcher, Head, Request};
use lycosa::frontier::journal::{
    Durability, DurableFrontier, Journal, JournalSettings, LoadSettings, Opened, Replay, StateDir,
};
use lycosa::frontier::memory::{MemoryFrontier, MemorySettings};
use lycosa::frontier::seen::SeenLimit;
use lycosa::policy::scope::{Rule, ScopeSettings};
use lycosa::seeds::{self, SeedSettings, Source};
use lycosa::sinks::{self, OutputSettings, Target};
use tokio::time::Instant;

// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HOSTS: u64 = 1000;
/// New links of each page that has any, and those that were seen before.
const NEW: u64 = 1000;
const OLD: u64 = 100;

const PEAK: u64 = 400_000_000;
const LIMIT: u64 = 200 << 20;
const GROWTH: f64 = 1.5;
const READY: Duration = Duration::from_secs(20);

fn url(number: u64) -> String {
    format!("http://h{}.example/section-{}/page-{number}.html", number % HOSTS, number / HOSTS % 97)
}

/// A site of so many pages.
#[derive(Clone)]
struct Site {
    pages: u64,
    /// Answers after which the process ends.
    cut: u64,
    answers: Arc<AtomicU64>,
    controls: Controls,
}

impl Site {
    fn body(&self, number: u64) -> String {
        let mut body = format!("<!doctype html><title>Page {number}</title>\n");
        let first = number * NEW + 1;
        if first < self.pages {
            // Neighbours are on different hosts.
            for to in first..(first + NEW).min(self.pages) {
                let _ = writeln!(body, "<a href=\"{}\">x</a>", url(to));
            }
            let mut random = fastrand::Rng::with_seed(number);
            for _ in 0..OLD {
                let _ = writeln!(body, "<a href=\"{}\">x</a>", url(random.u64(0..=first)));
            }
        }
        body
    }
}

impl Fetcher for Site {
    async fn fetch(&self, request: Request) -> Attempt {
        if self.answers.fetch_add(1, Ordering::Relaxed) == self.cut {
            report("cut", self.controls.counters.accepted.load(Ordering::Relaxed));
            // Nothing is closed and nothing is waited for.
            std::process::exit(0);
        }
        let page = request.url.path().strip_suffix(".html").and_then(|path| path.rsplit_once("page-")?.1.parse().ok());
        let (status, body) = page.map_or((404, String::new()), |number| (200, self.body(number)));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        let head = Head { status, headers, version: "HTTP/1.1", remote_addr: None };
        let body = Bytes::from(body);
        let body = Body { wire_size: body.len() as u64, bytes: body, truncated: false, memory: None };
        Attempt { head: Some(head), body, first_byte: Some(Duration::from_micros(150)), ..Attempt::default() }
    }
}

/// CPU of all threads: user and system time are fields 14 and 15, in ticks of 10 ms; the name before them may hold anything.
fn process_time() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// A line for the process that has started this one: what, a number, milliseconds of CPU, bytes at the peak.
#[expect(clippy::print_stdout, reason = "read by the other process")]
fn report(what: &str, number: u64) {
    println!("{what} {number} {} {}", process_time(), peak());
}

/// One process of a run: begins it or goes on with it, until `cut` answers or to its end.
fn part(directory: &Path, pages: u64, cut: u64, max_memory: Option<u64>) {
    let controls = Controls::default();
    let site = Site { pages, cut, answers: Arc::default(), controls: controls.clone() };
    let budget = Budget::of(max_memory);
    let dir = StateDir::lock(&directory.join("state")).expect("a state directory");
    let seen_limit = SeenLimit { dir: Some(dir.path().into()), ..budget.seen };
    let settings = EngineSettings {
        follow: true,
        obey_robots: true,
        scope: ScopeSettings { rule: Rule::Any, ..ScopeSettings::default() },
        max_memory,
        seen_limit: seen_limit.clone(),
        ..EngineSettings::default()
    };
    let mut memory = MemoryFrontier::new(MemorySettings {
        file_limit: u64::MAX,
        dir: Some(dir.path().into()),
        heap_limit: budget.waiting,
    });
    let journal_settings = || JournalSettings { durability: Durability::Commit, outputs: Vec::new() };
    let output = OutputSettings { target: Target::File("/dev/null".into()), format: "jsonl" };
    let begun = Instant::now();
    let (journal, past) = match dir.open().expect("a journal") {
        Opened::New(file) => {
            let begun = ledger::begun("bench", String::new(), &settings);
            (Journal::begin(&dir, file, begun, journal_settings()).expect("a journal"), None)
        }
        Opened::Run(file) => {
            let replay = Replay::scan(&dir, file).expect("a whole journal").expect("a run");
            let wants = LoadSettings { seed: fastrand::u64(..), seen: seen_limit, ..LoadSettings::default() };
            let past = replay.load(&mut memory, wants).expect("its jobs");
            (replay.resume(journal_settings()).expect("its journal"), Some(Box::new(past)))
        }
    };
    if past.is_some() {
        report("ready", u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    }
    let input = if past.as_ref().is_some_and(|past| past.input_ended) {
        Input::Ended
    } else {
        let seeds = SeedSettings::from(vec![Source::Arguments(vec![url(0)])]);
        Input::read(seeds::open(&seeds).expect("an argument")).expect("a thread")
    };
    let parts = Parts {
        run: "bench".into(),
        settings,
        fetcher: site,
        cache: None,
        bodies: None,
        frontier: Box::new(DurableFrontier::new(memory, journal, dir)),
        input,
        past,
        input_missing: false,
        sinks: vec![("/dev/null".to_owned(), sinks::open(&output).expect("/dev/null can be opened"))],
        controls,
        inline: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let summary = runtime.block_on(run(parts));
    assert_eq!(summary.left, 0, "{summary:?}");
    report("end", summary.records);
}

/// What a line of a part says.
#[derive(Debug, Clone, Copy)]
struct Told {
    number: u64,
    cpu: Duration,
    peak: u64,
}

/// Starts a process for a part, and gives what it tells of this.
fn told<const N: usize>(directory: &Path, run: Run, cut: u64, wanted: [&str; N]) -> [Told; N] {
    let program = std::env::current_exe().expect("this program");
    let words =
        [run.pages.to_string(), cut.to_string(), run.max_memory.map_or("none".to_owned(), |max| max.to_string())];
    let output = std::process::Command::new(program)
        .arg("part")
        .arg(directory)
        .args(words)
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("another process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {text}", output.status);
    wanted.map(|what| {
        let line = text.lines().find_map(|line| line.strip_prefix(what)).expect("it tells what it did");
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        let mut next = || numbers.next().expect("three numbers");
        Told { number: next(), cpu: Duration::from_millis(next()), peak: next() }
    })
}

#[derive(Debug, Clone, Copy)]
struct Run {
    pages: u64,
    max_memory: Option<u64>,
}

struct Measured {
    peak: u64,
    /// CPU without what it took to go on.
    each: f64,
    ready: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "numbers for people")]
#[expect(clippy::print_stdout, reason = "the result of a bench")]
fn measure(run: Run) -> Measured {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Hosts are asked for their robots.txt too.
    let [cut] = told(directory.path(), run, run.pages / 2, ["cut"]);
    assert!(cut.number > run.pages * 9 / 10, "{} of {} URLs are discovered when it is cut off", cut.number, run.pages);
    let journal = std::fs::metadata(directory.path().join("state/journal")).map_or(0, |journal| journal.len());
    let [ready, end] = told(directory.path(), run, u64::MAX, ["ready", "end"]);
    assert_eq!(end.number, run.pages, "each URL has one record");
    let each = (cut.cpu + end.cpu).saturating_sub(ready.cpu).as_secs_f64() * 1e6 / run.pages as f64;
    let measured = Measured { peak: cut.peak.max(end.peak), each, ready: Duration::from_millis(ready.number) };
    let limit = run.max_memory.map_or(String::new(), |limit| format!(", at most {} MiB", limit >> 20));
    println!(
        "{:>9} URLs{limit}: peak {:.1} MB, then {:.1} MB; {each:.2} µs of CPU for each; journal {:.0} MB; goes on after {:.2} s ({:.2} s of CPU)",
        run.pages,
        cut.peak as f64 / 1e6,
        end.peak as f64 / 1e6,
        journal as f64 / 1e6,
        measured.ready.as_secs_f64(),
        ready.cpu.as_secs_f64(),
    );
    measured
}

#[expect(clippy::print_stdout, reason = "the result of a bench")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, directory, pages, cut, max_memory] = &arguments[..]
        && word == "part"
    {
        let number = |text: &str| text.parse().expect("a number");
        part(Path::new(directory), number(pages), number(cut), max_memory.parse().ok());
        return ExitCode::SUCCESS;
    }
    let asked: Option<u64> = arguments.iter().find_map(|argument| argument.parse().ok());
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let pages = asked.unwrap_or(if is_bench { 10_000_000 } else { 20_000 });
    let small = measure(Run { pages: pages / 10, max_memory: None });
    let large = measure(Run { pages, max_memory: None });
    let limited = measure(Run { pages, max_memory: Some(LIMIT) });
    let growth = large.each / small.each;
    println!(
        "CPU for each URL: {growth:.2} times that of a tenth; {:.2} times under the limit",
        limited.each / small.each
    );
    if pages < 10_000_000 {
        return ExitCode::SUCCESS;
    }
    let kept = [
        (large.peak <= PEAK, "the peak is above 400 MB"),
        (limited.peak <= LIMIT, "the limit of memory is not kept"),
        (growth <= GROWTH, "a URL costs more than 1.5 times as much"),
        (large.ready.max(limited.ready) <= READY, "a run goes on after more than 20 s only"),
    ];
    kept.iter().filter(|(kept, _)| !kept).for_each(|(_, what)| println!("BROKEN: {what}"));
    if kept.iter().all(|(kept, _)| *kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
