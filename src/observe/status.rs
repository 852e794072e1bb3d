//! How a run that is kept on disk stands, for people (text) and for scripts (JSON).
//!
//! Decides only how it is told. Called by the command, for a run that goes on in another process or in none.

use serde_json::json;

use super::words::{count, size, time};
use crate::engine::standing::{HostStanding, Standing};
use crate::frontier::journal::Glance;
use crate::model::record::Outcome;

/// What a run is: `running`, `stopped` or `finished`.
fn state(glance: &Glance) -> &'static str {
    match (&glance.process, glance.finished) {
        (Some(_), _) => "running",
        (None, true) => "finished",
        (None, false) => "stopped",
    }
}

/// Lines for a person, each with its `\n`.
#[must_use]
pub fn text(glance: &Glance, standing: &Standing, resume: Option<&str>) -> String {
    let process = glance.process.as_ref().map_or_else(String::new, |process| format!(" by process {process}"));
    let mut lines = vec![
        format!("run {}, begun {}: {}{process}", glance.begun.run, glance.begun.started, state(glance)),
        format!(
            "  {} records of {} accepted URLs, {} left, {} in flight",
            count(standing.records),
            count(standing.accepted),
            count(standing.accepted.saturating_sub(standing.records)),
            count(standing.in_flight),
        ),
    ];
    let outcomes =
        Outcome::ALL.map(|outcome| (outcome.as_str(), standing.outcomes.get(&outcome).copied().unwrap_or(0)));
    lines.push(format!("  {}", pairs(outcomes)));
    let errors = pairs(standing.errors.iter().map(|(kind, number)| (kind.as_str(), *number)));
    let skips = pairs(standing.skips.iter().map(|(reason, number)| (reason.as_str(), *number)));
    let refused = pairs(standing.refused.iter().map(|(reason, number)| (reason.as_str(), *number)));
    for (what, pairs) in [("failed", errors), ("skipped", skips), ("links not followed", refused)] {
        if !pairs.is_empty() {
            lines.push(format!("  {what}: {pairs}"));
        }
    }
    let elapsed = time(std::time::Duration::from_millis(standing.elapsed_ms));
    lines.push(format!(
        "  {} requests, {}, in {elapsed}; journal {}",
        count(standing.requests),
        size(standing.wire_bytes),
        size(glance.bytes)
    ));
    lines.extend(standing.hosts.iter().map(host));
    if glance.torn > 0 {
        lines
            .push(format!("  the last {} of the journal are not whole: they are dropped on resume", size(glance.torn)));
    }
    if standing.superseded > 0 {
        lines.push(format!("  given another chance after a failure: {}", count(standing.superseded)));
    }
    let more = standing.host_count.saturating_sub(standing.hosts.len() as u64);
    if more > 0 {
        lines.push(format!("  and {} more hosts", count(more)));
    }
    lines.extend(resume.map(|resume| format!("to go on: {resume}")));
    lines.join("\n") + "\n"
}

fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    pairs.into_iter().map(|(name, number)| format!("{name} {}", count(number))).collect::<Vec<_>>().join(", ")
}

fn host(host: &HostStanding) -> String {
    let given_up = if host.given_up { ", given up" } else { "" };
    format!(
        "  {}: {} requests, ok {}, http_error {}, failed {}, skipped {}, mean {:.0} ms, {}{given_up}",
        host.host_key,
        count(host.requests),
        count(host.ok),
        count(host.http_error),
        count(host.failed),
        count(host.skipped),
        host.mean_ms,
        size(host.bytes)
    )
}

/// One JSON object, on one line.
#[must_use]
pub fn json(glance: &Glance, standing: &Standing, resume: Option<&str>) -> String {
    let mut object = json!({
        "run": glance.begun.run,
        "state": state(glance),
        "process": glance.process.as_ref().and_then(|process| process.parse::<u64>().ok()),
        "started": glance.begun.started,
        "left": standing.accepted.saturating_sub(standing.records),
        "journal_bytes": glance.bytes,
        "torn_bytes": glance.torn,
        "resume": resume,
    });
    if let (Some(object), Ok(serde_json::Value::Object(all))) = (object.as_object_mut(), serde_json::to_value(standing))
    {
        object.extend(all);
    }
    object.to_string() + "\n"
}
