//! Servers that mean harm, or behave as if: each ends in time with the right record, and memory has a bound.
//!
//! One table, of one row for each thing that a server can do, by idea: `heads`, `bodies`, `bombs`, `redirects`, `tls`,
//! `http2`, `pages` (with robots.txt and sitemaps). All rows are crawled in one run, beside a healthy site that must not
//! notice (`healthy`); what may take memory is fetched once more alone. `table` says how a row is read, `server` does what it says,
//! and `apart` has what no server can do alone.
//!
//! The table is crawled in a network of its own, since some rows lead to private addresses: a guard that breaks sends
//! nothing there. Where the machine gives no such network, those rows are left out.

mod apart;
mod bodies;
mod bombs;
mod heads;
mod healthy;
mod http2;
mod pages;
mod redirects;
mod server;
mod table;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::Value;

use self::healthy::Course;
use self::server::{Cast, Host};
use self::table::{RELAY, Row, Time, Want, verdict_of};
use crate::support::*;

/// What a body may have, decoded. A quarter of the default: a build without optimisation takes half a second for 16 MiB.
pub const MAX_FILESIZE: u64 = 4 << 20;

/// The terms of every run here; `Time` in `table` speaks of them.
const TERMS: [&str; 20] = [
    "--timeout",
    "10s",
    "--read-timeout",
    "3s",
    "--connect-timeout",
    "3s",
    "--speed-limit",
    "100",
    "--max-filesize",
    "4MiB",
    "--speed-time",
    "4s",
    "--retries",
    "0",
    "--max-retry-after",
    "1s",
    "--breaker-failures",
    "3",
    "--format",
    "jsonl",
];

/// In milliseconds, as `TERMS` has them.
const READ_TIMEOUT: f64 = 3000.0;
const TIMEOUT: f64 = 10_000.0;

fn table() -> Vec<Row> {
    [
        heads::rows(),
        bodies::rows(),
        bombs::rows(),
        redirects::rows(),
        redirects::chains(),
        tls::rows(),
        http2::rows(),
        pages::rows(),
    ]
    .concat()
}

/// A crawl of the healthy site and of these hosts.
fn crawl(cast: &Cast, site: &Site) -> Run {
    let seeds = std::iter::once(site.url("/")).chain(cast.hosts.iter().map(|host| host.url()));
    lycosa(["crawl", "-j", "64", "--sitemaps", "--summary", "summary.json"])
        .args(TERMS)
        .env("SSL_CERT_FILE", cast.authority().display().to_string())
        .lines(seeds)
        .run()
}

#[test]
fn the_hostile_table() {
    // Here too: what runs in the other process does not know of the tests of this one.
    let _measuring = measuring();
    alone("hostile::the_hostile_table", beside_a_healthy_site);
}

#[expect(clippy::print_stdout, reason = "figures, for whoever asks for them with --nocapture")]
fn beside_a_healthy_site(network: Network) {
    /// Tries, of which one has to leave the healthy site alone.
    const TRIES: usize = 3;
    let mut table = table();
    table.retain(|row| network == Network::Own || !row.leads_away);
    let mut disturbed = None;
    for _ in 0..TRIES {
        let site = healthy::site();
        let harmless = crawl(&Cast::start(table.iter().map(healthy::harmless).collect(), true), &site).exits(0);
        let control = Course::of(&site, &harmless.records());
        let course = beside_these(&table);
        println!("{course:.1?}; beside harmless hosts {control:.1?}");
        disturbed = course.disturbed(&control);
        if disturbed.is_none() {
            break;
        }
    }
    assert!(disturbed.is_none(), "{}", disturbed.unwrap_or_default());
}

/// Crawls the table and the healthy site, and judges all but how long that took.
fn beside_these(table: &[Row]) -> Course {
    let cast = Cast::start(table.to_vec(), true);
    let site = healthy::site();
    let run = crawl(&cast, &site);
    let run = run.exits(1);
    let records = run.records();
    let mut faults = judge_all(&cast, &records);
    healthy::judge(&site, &records, &mut faults);
    if run.peak_kib > 300 * 1000 {
        faults.push(format!("peak memory {} KiB", run.peak_kib));
    }
    let summary = run.summary();
    if summary.text("stopped_by") != "done" || summary.number("left") != 0 || summary.records() != records.len() as u64
    {
        faults.push(format!("it did not end as a run ends: {}", summary.0));
    }
    // Some rows are worth a warning or two; none is worth one for each thing that its server does.
    if run.stderr.lines().count() > 2 * cast.hosts.len() {
        faults.push(format!("{} lines on standard error", run.stderr.lines().count()));
    }
    if run.stderr.contains('\u{1b}') {
        faults.push("a server's escape code is on standard error".to_owned());
    }
    assert!(
        faults.is_empty(),
        "{} faults in {} rows; peak {} KiB:\n{}",
        faults.len(),
        cast.hosts.len(),
        run.peak_kib,
        faults.join("\n")
    );
    Course::of(&site, &records)
}

/// What is wrong, by rows: each has exactly the records that it says.
fn judge_all(cast: &Cast, records: &[Value]) -> Vec<String> {
    let mut of_hosts: HashMap<&str, Vec<&Value>> = HashMap::new();
    for record in records {
        let url = field(record, "url");
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        of_hosts.entry(rest.split('/').next().unwrap_or_default()).or_default().push(record);
    }
    let no_answer = cast.hosts.iter().find(|host| host.row.name == "no answer").expect("the row to compare with");
    let timeout = of_hosts.get(&*no_answer.authority).map_or(0.0, |records| longest_request(records[0]));
    let mut faults = Vec::new();
    for host in &cast.hosts {
        let url = host.url();
        let authority = url.split('/').nth(2).unwrap_or_default();
        let found = of_hosts.get(authority).map_or(&[][..], Vec::as_slice);
        for fault in judge(host, found, timeout) {
            faults.push(format!("{}: {fault}", host.row.name));
        }
    }
    faults
}

/// What is wrong with the records of a row.
fn judge(host: &Host, records: &[&Value], timeout: f64) -> Vec<String> {
    let row = &host.row;
    let mut faults = Vec::new();
    let mut expected: BTreeMap<String, &Want> = BTreeMap::from([(host.url(), &row.want)]);
    expected.extend(row.also.iter().map(|(path, want)| (format!("http://{}{path}", host.authority), want)));
    for record in records {
        let url = field(record, "url");
        let Some(want) = expected.remove(url) else {
            faults.push(format!("a record of {url:.100} that is not expected: {}", verdict_of(record)));
            continue;
        };
        judge_record(record, want, &mut faults);
    }
    faults.extend(expected.keys().map(|url| format!("no record of {url}")));
    let pages = host.pages();
    if !row.hits.contains(&pages.len()) {
        faults.push(format!("{} requests, and not {:?}", pages.len(), row.hits));
    }
    let Some(seed) = records.iter().find(|record| field(record, "url") == host.url()) else { return faults };
    if row.title.is_some_and(|title| title != field(seed, "title")) {
        faults.push(format!("title {}, and not {:?}", seed["title"], row.title));
    }
    let took = longest_request(seed);
    let in_time = match row.time {
        Time::AtOnce => took < timeout,
        Time::Silence => took >= READ_TIMEOUT && took < timeout,
        Time::Whole => took >= TIMEOUT && took < 2.0 * timeout,
    };
    if !in_time {
        faults.push(format!("took {took:.0} ms, and that is not {:?} (no answer takes {timeout:.0} ms)", row.time));
    }
    faults
}

fn judge_record(record: &Value, want: &Want, faults: &mut Vec<String>) {
    let verdict = verdict_of(record);
    if !want.verdict.split(" | ").any(|one| one == verdict) {
        faults.push(format!("{verdict}, and not {} ({})", want.verdict, record["error"]["message"]));
    }
    let (size, wire) = (record["size"].as_u64().unwrap_or(0), record["wire_size"].as_u64().unwrap_or(0));
    if !want.size.contains(&size) {
        faults.push(format!("{size} bytes, and not {:?}", want.size));
    }
    if !want.wire.contains(&wire) {
        faults.push(format!("{wire} bytes on the wire, and not {:?}", want.wire));
    }
    if record["outcome"] == "failed" && field(&record["error"], "message").is_empty() {
        faults.push("no word on why it failed".to_owned());
    }
}

/// In milliseconds.
fn longest_request(record: &Value) -> f64 {
    let requests = record["requests"].as_array().map_or(&[][..], Vec::as_slice);
    requests.iter().filter_map(|request| request["ms"].as_f64()).fold(0.0, f64::max)
}

#[test]
fn what_may_take_memory_takes_no_more_than_its_row_says() {
    /// So many at a time: most of what they do is to wait.
    const TOGETHER: usize = 8;
    let mut rows: Vec<_> = table().into_iter().filter(|row| row.memory.is_some() || row.name == RELAY).collect();
    rows.sort_by_key(|row| row.time as u8);
    let cast = Cast::start(rows, false);
    let start = |host: &Host| {
        let command: &[&str] = if host.row.scripts_robots() { &["crawl", "--sitemaps"] } else { &["fetch"] };
        lycosa(command.iter().copied())
            .args(TERMS)
            .args(["--timeout", "5s"])
            .env("SSL_CERT_FILE", cast.authority().display().to_string())
            .arg(host.url())
            .spawn()
    };
    let relay = cast.hosts.iter().find(|host| host.row.name == RELAY).expect("a page of nothing");
    // Several, because a peak in the last milliseconds of a run can be missed.
    let runs: Vec<_> = (0..TOGETHER).map(|_| start(relay)).collect();
    let nothing = runs.into_iter().map(|run| run.finish().peak_kib).max().unwrap_or(0);
    let (mut faults, mut shown) = (0, format!("a page of nothing takes {} MiB, and beyond that:\n", nothing / 1024));
    for hosts in cast.hosts.chunks(TOGETHER) {
        let runs: Vec<_> = hosts.iter().map(|host| start(host)).collect();
        for (host, run) in hosts.iter().zip(runs) {
            let mebibytes = run.finish().peak_kib.saturating_sub(nothing) / 1024;
            let Some(allowed) = host.row.memory else { continue };
            let fault = if mebibytes > allowed { ", and that is too much" } else { "" };
            faults += usize::from(mebibytes > allowed);
            writeln!(shown, "{mebibytes} of {allowed} MiB: {}{fault}", host.row.name).unwrap();
        }
    }
    println!("{shown}");
    assert_eq!(faults, 0, "{shown}");
}

#[test]
fn many_sitemaps_that_are_bombs_together() {
    let rows = table().into_iter().filter(|row| row.name == "a sitemap that is a gzip bomb");
    let cast = Cast::start(rows.flat_map(|row| vec![row; 12]).collect(), true);
    let seeds = cast.hosts.iter().map(|host| host.url());
    let run = lycosa(["crawl", "--sitemaps"]).args(TERMS).args(["--timeout", "60s"]).lines(seeds).run().exits(0);
    assert_eq!(run.records().len(), 12);
    // One alone takes 100 MiB; each thread that reads one would take as much.
    assert!(run.peak_kib < 160 * 1024, "{} KiB", run.peak_kib);
}

#[test]
fn a_body_that_may_not_be_sent_has_an_end() {
    let cast = Cast::start(vec![http2::closed_window()], false);
    let run = lycosa(["fetch", "-d", &"x".repeat(100_000)])
        .args(TERMS)
        .args(["--timeout", "1s"])
        .env("SSL_CERT_FILE", cast.authority().display().to_string())
        .arg(cast.hosts[0].url())
        .run()
        .exits(1);
    assert_eq!(verdict_of(&run.record()), cast.hosts[0].row.want.verdict);
}

#[test]
fn each_row_has_a_name_of_its_own() {
    let mut names: Vec<_> = table().iter().map(|row| row.name).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty() && names.len() >= 60, "{} rows; twice: {twice:?}", names.len());
}
