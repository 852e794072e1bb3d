//! The closing summary, for people (text) and for scripts (JSON).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::words::{count, rate, size, time};
use crate::engine::fields::FieldsSummary;
use crate::engine::stats::{HostSummary, StoppedBy, Summary};
use crate::model::record::Outcome;
use crate::model::units::{Millis, WallTime};
use crate::sinks::command::CommandSummary;

/// Hosts in the table of the text.
const BUSIEST: usize = 10;
/// Hosts of which breaker events are told: a list of a thousand dead hosts is no summary.
const EVENTFUL: usize = 20;

/// The summary as lines for a person, each with its `\n`. Without escape codes.
#[must_use]
pub fn text(summary: &Summary) -> String {
    let mut out = String::new();
    let seconds = summary.elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let per_second = if seconds > 0.0 { (summary.records - summary.before) as f64 / seconds } else { 0.0 };
    line(
        &mut out,
        0,
        &format!(
            "{} in {} ({}), {}, {}",
            plural(summary.records, "record"),
            time(summary.elapsed),
            rate(per_second),
            plural(summary.requests, "request"),
            size(summary.wire_bytes),
        ),
    );
    let outcomes = Outcome::ALL.map(|outcome| (outcome.as_str(), summary.outcomes.get(&outcome).copied().unwrap_or(0)));
    if summary.records > 0 {
        line(&mut out, 2, &pairs(outcomes));
    }
    let errors = pairs(summary.errors.iter().map(|(kind, number)| (kind.as_str(), *number)));
    let skips = pairs(summary.skips.iter().map(|(reason, number)| (reason.as_str(), *number)));
    let traps = pairs(summary.traps.iter().map(|(trap, number)| (trap.as_str(), *number)));
    let refused = pairs(summary.refused.iter().map(|(reason, number)| (reason.as_str(), *number)));
    for (what, pairs) in [("failed", errors), ("skipped", skips), ("traps", traps), ("links not followed", refused)] {
        if !pairs.is_empty() {
            line(&mut out, 2, &format!("{what}: {pairs}"));
        }
    }
    for CommandSummary { name, records, failed } in &summary.commands {
        let failed = if *failed > 0 { format!(", {} failed", count(*failed)) } else { String::new() };
        line(&mut out, 2, &format!("{name}: {}{failed}", plural(*records, "record")));
    }
    if summary.retries_denied > 0 {
        line(
            &mut out,
            2,
            &format!("{} not made: of all requests a fifth may be retries", tries(summary.retries_denied)),
        );
    }
    if let Some(of_rules) = &summary.fields {
        fields(&mut out, of_rules);
    }
    ending(&mut out, summary);
    hosts(&mut out, summary);
    out
}

/// What is worth knowing of rules: which found nothing, and what they left out.
fn fields(out: &mut String, fields: &FieldsSummary) {
    const NAMED: usize = 10;
    for name in fields.unmatched.iter().take(NAMED) {
        line(out, 2, &format!("the rule {name} has matched nothing on {}", plural(fields.pages, "page")));
    }
    if let Some(more) = fields.unmatched.len().checked_sub(NAMED).filter(|more| *more > 0) {
        line(out, 2, &format!("nor have {more} other rules"));
    }
    let told = |counts: &BTreeMap<String, u64>| pairs(counts.iter().map(|(name, number)| (name.as_str(), *number)));
    let given_up = pairs(fields.given_up.iter().map(|(why, number)| (*why, *number)));
    for (what, pairs) in [
        ("left out for want of a required field", told(&fields.lacking)),
        ("values that are not of their type", told(&fields.unlike)),
        ("pages given up, without data", given_up),
    ] {
        if !pairs.is_empty() {
            line(out, 2, &format!("{what}: {pairs}"));
        }
    }
}

/// A line on the largest memory that the process had.
#[must_use]
pub fn peak(bytes: u64) -> String {
    format!("  peak memory {}\n", size(bytes))
}

/// One line on a run that did not end with 0, for `-q`.
#[must_use]
pub fn one_line(summary: &Summary, exit_code: u8) -> String {
    let mut out =
        format!("exit {exit_code}: {} of {} failed", count(summary.failures), plural(summary.records, "record"));
    if let Some(stop) = stopped(summary) {
        let _ = write!(out, "; {stop}");
    }
    out
}

/// The summary as one JSON object over several lines, keys in the order below. Times and sizes have their unit in the
/// name; counts by kind and reason name only those that occurred, counts by outcome all of them.
#[must_use]
pub fn json(summary: &Summary, exit_code: u8, peak_memory: Option<u64>) -> String {
    let told = Told {
        run: &summary.run,
        exit_code,
        stopped_by: summary.stopped_by.as_str(),
        left: summary.left,
        work_left: summary.work_left,
        input_unread: summary.input_unread,
        records: summary.records,
        outcomes: Outcome::ALL
            .map(|outcome| (outcome.as_str(), summary.outcomes.get(&outcome).copied().unwrap_or(0)))
            .into(),
        errors: summary.errors.iter().map(|(kind, number)| (kind.as_str(), *number)).collect(),
        skips: summary.skips.iter().map(|(reason, number)| (reason.as_str(), *number)).collect(),
        traps: summary.traps.iter().map(|(trap, number)| (trap.as_str(), *number)).collect(),
        refused: summary.refused.iter().map(|(reason, number)| (reason.as_str(), *number)).collect(),
        failures: summary.failures,
        seeds_failed: summary.seeds_failed,
        requests: summary.requests,
        retries: summary.retries,
        retries_denied: summary.retries_denied,
        wire_bytes: summary.wire_bytes,
        host_count: summary.host_count,
        hosts: summary.hosts.iter().map(ToldHost::of).collect(),
        peak_memory_bytes: peak_memory,
        started: summary.started,
        ended: summary.ended,
        elapsed_ms: summary.elapsed.into(),
        commands: summary
            .commands
            .iter()
            .map(|of| (of.name, ToldCommand { records: of.records, failed: of.failed }))
            .collect(),
        late: &summary.late,
        output_error: summary.output_error.as_deref(),
        internal_errors: summary.panics,
        fields: summary.fields.as_ref().map(ToldFields::of),
        crossings: summary.crossings,
    };
    // Every key is a string, so this cannot fail.
    serde_json::to_string_pretty(&told).unwrap_or_default()
}

/// A command that was given records.
#[derive(Serialize)]
struct ToldCommand {
    records: u64,
    failed: u64,
}

/// The shape of the JSON.
#[derive(Serialize)]
struct Told<'a> {
    run: &'a str,
    exit_code: u8,
    stopped_by: &'a str,
    left: u64,
    work_left: bool,
    input_unread: bool,
    records: u64,
    outcomes: BTreeMap<&'a str, u64>,
    errors: BTreeMap<&'a str, u64>,
    skips: BTreeMap<&'a str, u64>,
    traps: BTreeMap<&'a str, u64>,
    refused: BTreeMap<&'a str, u64>,
    failures: u64,
    seeds_failed: u64,
    requests: u64,
    retries: u64,
    retries_denied: u64,
    wire_bytes: u64,
    host_count: u64,
    hosts: Vec<ToldHost<'a>>,
    peak_memory_bytes: Option<u64>,
    started: WallTime,
    ended: WallTime,
    elapsed_ms: Millis,
    commands: BTreeMap<&'a str, ToldCommand>,
    late: &'a [String],
    output_error: Option<&'a str>,
    internal_errors: u64,
    fields: Option<ToldFields<'a>>,
    crossings: u64,
}

#[derive(Serialize)]
struct ToldHost<'a> {
    host_key: &'a str,
    requests: u64,
    ok: u64,
    http_error: u64,
    failed: u64,
    skipped: u64,
    refusals: u64,
    backoffs: u64,
    slowed: u64,
    rate_limits: u64,
    bytes: u64,
    mean_ms: f64,
    delay_ms: Millis,
    breaker: ToldBreaker,
}

#[derive(Serialize)]
struct ToldBreaker {
    opened: u32,
    probes: u32,
    closed: u32,
    given_up: bool,
}

/// Of users' rules: those that have matched nothing, and what was left out.
#[derive(Serialize)]
struct ToldFields<'a> {
    pages: u64,
    unmatched: &'a [String],
    lacking: &'a BTreeMap<String, u64>,
    unlike: &'a BTreeMap<String, u64>,
    given_up: &'a BTreeMap<&'static str, u64>,
}

impl<'a> ToldFields<'a> {
    fn of(fields: &'a FieldsSummary) -> Self {
        let FieldsSummary { pages, unmatched, lacking, unlike, given_up } = fields;
        Self { pages: *pages, unmatched, lacking, unlike, given_up }
    }
}

impl<'a> ToldHost<'a> {
    fn of(host: &'a HostSummary) -> Self {
        Self {
            host_key: &host.host_key,
            requests: host.requests,
            ok: host.ok,
            http_error: host.http_error,
            failed: host.failed,
            skipped: host.skipped,
            refusals: host.refusals,
            backoffs: host.backoffs,
            slowed: host.slowed,
            rate_limits: host.rate_limits,
            bytes: host.bytes,
            mean_ms: (host.mean_ms * 1000.0).round() / 1000.0,
            delay_ms: host.delay.into(),
            breaker: ToldBreaker {
                opened: host.opened,
                probes: host.probes,
                closed: host.closed,
                given_up: host.given_up,
            },
        }
    }
}

fn line(out: &mut String, indent: usize, text: &str) {
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

fn tries(number: u64) -> String {
    if number == 1 { "1 retry".to_owned() } else { format!("{} retries", count(number)) }
}

/// `ok 1,165, failed 3`: what is not 0.
fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    let shown = pairs.into_iter().filter(|(_, number)| *number > 0);
    shown.map(|(word, number)| format!("{word} {}", count(number))).collect::<Vec<_>>().join(", ")
}

fn stopped(summary: &Summary) -> Option<String> {
    let by = match summary.stopped_by {
        StoppedBy::Done if summary.input_unread => "ended",
        StoppedBy::Done => return None,
        StoppedBy::Limit => "stopped by --max-pages",
        StoppedBy::Deadline => "stopped by --deadline",
        StoppedBy::Signal => "stopped by a signal",
        StoppedBy::FailEarly => "stopped by --fail-early",
        StoppedBy::Pipe => "the reader has gone",
        StoppedBy::Error => "stopped by an error",
    };
    let left = match (summary.left, summary.input_unread) {
        (0, true) => ", input left unread".to_owned(),
        (0, false) => ", nothing left".to_owned(),
        (left, false) => format!(", {} left", count(left)),
        (left, true) => format!(", {} left, and input left unread", count(left)),
    };
    Some(format!("{by}{left}"))
}

fn ending(out: &mut String, summary: &Summary) {
    if let Some(stopped) = stopped(summary) {
        line(out, 2, &stopped);
    }
    if let Some(error) = &summary.output_error {
        line(out, 2, &format!("output: {error}"));
    }
    if summary.panics > 0 {
        line(out, 2, &format!("{} of ours: please report it", plural(summary.panics, "internal error")));
    }
    for late in &summary.late {
        line(out, 2, &format!("not ended in time: {late}"));
    }
}

/// The table of the busiest hosts, then what breakers did. A single host says nothing that the counts have not said.
fn hosts(out: &mut String, summary: &Summary) {
    let busiest: Vec<&HostSummary> = summary.hosts.iter().take(BUSIEST).collect();
    if busiest.len() > 1 {
        let head = ["host", "requests", "ok", "http_error", "failed", "skipped", "refused us", "mean", "bytes"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(busiest.iter().map(|host| row(host)));
        table(out, &rows);
        let more = summary.host_count.saturating_sub(busiest.len() as u64);
        if more > 0 {
            line(out, 2, &format!("and {}", plural(more, "more host")));
        }
    }
    let eventful: Vec<_> = summary.hosts.iter().filter_map(|host| Some((host, host_events(host)?))).collect();
    for (host, events) in eventful.iter().take(EVENTFUL) {
        line(out, 2, &format!("{}: {events}", host.host_key));
    }
    if eventful.len() > EVENTFUL {
        line(out, 2, &format!("and {} of the same kind", plural((eventful.len() - EVENTFUL) as u64, "more host")));
    }
}

fn row(host: &HostSummary) -> [String; 9] {
    [
        host.host_key.to_string(),
        count(host.requests),
        count(host.ok),
        count(host.http_error),
        count(host.failed),
        count(host.skipped),
        count(host.refusals),
        format!("{:.0} ms", host.mean_ms),
        size(host.bytes),
    ]
}

/// The first column to the left, numbers to the right.
fn table(out: &mut String, rows: &[[String; 9]]) {
    let mut widths = [0; 9];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        line(out, 2, text.trim_end());
    }
}

/// What its breaker, its refusals, the throttle, its RateLimit fields or a delay did to a host.
fn host_events(host: &HostSummary) -> Option<String> {
    let times = |number: u32| if number == 1 { "once".to_owned() } else { format!("{number} times") };
    let mut events = Vec::new();
    if host.opened > 0 {
        events.push(format!("breaker opened {}", times(host.opened)));
        events.push(format!("probed {}", if host.probes == 0 { "never".to_owned() } else { times(host.probes) }));
        if host.closed > 0 {
            events.push(format!("closed {}", times(host.closed)));
        }
        if host.given_up {
            events.push("given up".to_owned());
        }
    }
    if host.backoffs > 0 {
        events.push(format!("left alone {} for its refusals", times(u32::try_from(host.backoffs).unwrap_or(u32::MAX))));
    }
    if host.slowed > 0 {
        events.push(format!("slowed down {}", times(u32::try_from(host.slowed).unwrap_or(u32::MAX))));
    }
    if host.rate_limits > 0 {
        let number = u32::try_from(host.rate_limits).unwrap_or(u32::MAX);
        events.push(format!("held back {} for its RateLimit fields", times(number)));
    }
    if host.delay > Duration::ZERO {
        events.push(format!("asked with a delay of {}", time(host.delay)));
    }
    (!events.is_empty()).then(|| events.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;
    use crate::model::fetch_error::ErrorKind;
    use crate::model::record::SkipReason;
    use crate::policy::traps::Trap;

    fn host(key: &str) -> HostSummary {
        HostSummary {
            host_key: key.into(),
            requests: 600,
            ok: 590,
            http_error: 10,
            bytes: 1 << 20,
            mean_ms: 12.3456,
            ..HostSummary::default()
        }
    }

    fn summary() -> Summary {
        let dead = HostSummary {
            opened: 1,
            probes: 3,
            given_up: true,
            failed: 5,
            requests: 8,
            backoffs: 1,
            slowed: 2,
            ..host("127.0.0.1:9")
        };
        Summary {
            run: "abc".into(),
            stopped_by: StoppedBy::Limit,
            left: 120,
            work_left: true,
            input_unread: false,
            before: 0,
            records: 1206,
            outcomes: [(Outcome::Ok, 1180), (Outcome::HttpError, 20), (Outcome::Failed, 5), (Outcome::Skipped, 1)]
                .into(),
            errors: [(ErrorKind::Connect, 5)].into(),
            skips: [(SkipReason::BreakerOpen, 1)].into(),
            traps: [(Trap::RepeatingPattern, 40)].into(),
            refused: [(SkipReason::Scope, 1204), (SkipReason::Depth, 3)].into(),
            failures: 26,
            seeds_failed: 0,
            requests: 1208,
            retries: 12,
            retries_denied: 7,
            wire_bytes: 2 << 20,
            hosts: vec![host("a.example"), host("b.example"), dead],
            host_count: 40,
            started: WallTime(0),
            ended: WallTime(3000),
            elapsed: Duration::from_secs(3),
            late: vec!["sink a.jsonl".to_owned()],
            commands: Vec::new(),
            output_error: None,
            panics: 0,
            fields: None,
            crossings: 0,
        }
    }

    #[test]
    fn the_text_tells_counts_reasons_hosts_and_the_end() {
        insta::assert_snapshot!(text(&summary()), @r"
        1,206 records in 3.0 s (402/s), 1,208 requests, 2.0 MiB
          ok 1,180, http_error 20, failed 5, skipped 1
          failed: connect 5
          skipped: breaker_open 1
          traps: repeating_pattern 40
          links not followed: scope 1,204, depth 3
          7 retries not made: of all requests a fifth may be retries
          stopped by --max-pages, 120 left
          not ended in time: sink a.jsonl
          host         requests   ok  http_error  failed  skipped  refused us   mean    bytes
          a.example         600  590          10       0        0           0  12 ms  1.0 MiB
          b.example         600  590          10       0        0           0  12 ms  1.0 MiB
          127.0.0.1:9         8  590          10       5        0           0  12 ms  1.0 MiB
          and 37 more hosts
          127.0.0.1:9: breaker opened once, probed 3 times, given up, left alone once for its refusals, slowed down 2 times
        ");
    }

    #[test]
    fn a_quiet_failure_is_one_line() {
        assert_eq!(one_line(&summary(), 1), "exit 1: 26 of 1,206 records failed; stopped by --max-pages, 120 left");
        let unread = Summary { input_unread: true, ..summary() };
        assert!(one_line(&unread, 1).ends_with("stopped by --max-pages, 120 left, and input left unread"));
        let unread = Summary { left: 0, ..unread };
        assert!(one_line(&unread, 1).ends_with("stopped by --max-pages, input left unread"));
    }

    #[test]
    fn the_json_has_every_outcome_and_the_reasons_that_occurred() {
        let text = json(&summary(), 4, Some(1000));
        assert!(text.starts_with("{\n  \"run\": \"abc\",\n  \"exit_code\": 4,"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["exit_code"], 4);
        assert_eq!(json["stopped_by"], "limit");
        assert_eq!(json["left"], 120);
        assert_eq!(json["input_unread"], false);
        assert_eq!(json["outcomes"]["http_error"], 20);
        assert_eq!(json["errors"], value!({ "connect": 5 }));
        assert_eq!(json["skips"], value!({ "breaker_open": 1 }));
        assert_eq!(json["traps"], value!({ "repeating_pattern": 40 }));
        assert_eq!(json["refused"], value!({ "scope": 1204, "depth": 3 }));
        assert_eq!(json["hosts"][2]["breaker"], value!({ "opened": 1, "probes": 3, "closed": 0, "given_up": true }));
        assert_eq!((&json["hosts"][2]["backoffs"], &json["hosts"][2]["slowed"]), (&value!(1), &value!(2)));
        assert_eq!((&json["retries"], &json["retries_denied"]), (&value!(12), &value!(7)));
        assert_eq!(json["hosts"][0]["mean_ms"], 12.346);
        assert_eq!(json["started"], "1970-01-01T00:00:00.000Z");
        assert_eq!(json["peak_memory_bytes"], 1000);
    }
}
