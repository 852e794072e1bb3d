//! What is asked of records and summaries.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::command::lycosa;

/// Every key that is always there.
pub const KEYS: [&str; 44] = [
    "schema",
    "seq",
    "run",
    "id",
    "input",
    "line",
    "url",
    "final_url",
    "outcome",
    "status",
    "error",
    "skip_reason",
    "method",
    "depth",
    "source",
    "attempts",
    "requests",
    "started_at",
    "queued_ms",
    "first_byte_ms",
    "total_ms",
    "dns_ms",
    "connect_ms",
    "tls_ms",
    "http_version",
    "remote_addr",
    "host_key",
    "proxy",
    "content_type",
    "charset",
    "size",
    "wire_size",
    "truncated",
    "digest",
    "body_file",
    "title",
    "data",
    "noindex",
    "from_cache",
    "stale",
    "change",
    "mirrors",
    "retry_of",
    "meta",
];

/// Exactly the keys of the contract, and those that were asked for.
#[track_caller]
pub fn all_keys_present(record: &Value, asked_for: &[&str]) {
    let mut expected: Vec<_> = KEYS.iter().chain(asked_for).copied().collect();
    expected.sort_unstable();
    expected.dedup();
    let mut found: Vec<_> = record.as_object().expect("a record is an object").keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

/// A string field; empty where it is null.
pub fn field<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_default()
}

/// The record whose URL ends with this path.
#[track_caller]
pub fn with_path<'a>(records: &'a [Value], path: &str) -> &'a Value {
    let mut found = records.iter().filter(|record| field(record, "url").ends_with(path));
    let first = found.next().unwrap_or_else(|| panic!("no record of {path}"));
    assert!(found.next().is_none(), "more than one record of {path}");
    first
}

/// How many records there are of each outcome; those of `skipped` under `skipped: reason`.
pub fn outcome_counts(records: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        let key = match field(record, "skip_reason") {
            "" => field(record, "outcome").to_owned(),
            reason => format!("{}: {reason}", field(record, "outcome")),
        };
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

/// The kinds of a record's requests, in order.
pub fn requests_of(record: &Value) -> Vec<&str> {
    record["requests"].as_array().expect("requests is an array").iter().map(|entry| field(entry, "kind")).collect()
}

/// Every URL that the records say was asked, sorted.
pub fn urls_asked(records: &[Value]) -> Vec<String> {
    let mut urls: Vec<_> = records
        .iter()
        .flat_map(|record| record["requests"].as_array().expect("requests is an array"))
        .map(|entry| field(entry, "url").to_owned())
        .collect();
    urls.sort_unstable();
    urls
}

/// The schema that the command prints, ready to judge records.
pub fn record_schema() -> &'static jsonschema::Validator {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let run = lycosa(["generate", "record-schema"]).run().exits(0);
        let schema: Value = serde_json::from_str(run.text()).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("it is a JSON Schema")
    })
}

/// The closing summary as JSON.
#[derive(Debug)]
pub struct Summary(pub Value);

impl Summary {
    /// A number at its top.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is no number in {}", self.0))
    }

    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// How many ended so; 0 where the word is left out.
    pub fn outcome(&self, name: &str) -> u64 {
        self.0["outcomes"][name].as_u64().unwrap_or(0)
    }

    /// All records.
    pub fn records(&self) -> u64 {
        ["ok", "http_error", "failed", "skipped"].iter().map(|name| self.outcome(name)).sum()
    }
}
