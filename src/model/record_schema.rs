//! The JSON Schema of a record: what a reader of the output may rely on, in a form that programs can check.
//!
//! Decides nothing: it states what [`super::record`] writes, and a test holds the two together key by key. Printed by
//! `lycosa generate record-schema`. Source: JSON Schema, draft 2020-12.

use serde_json::{Map, Value, json};

use super::fetch_error::{ErrorKind, Stage};
use super::record::{Outcome, RequestKind, SCHEMA, SkipReason};

const STAGES: [Stage; 11] = [
    Stage::Input,
    Stage::Queue,
    Stage::Robots,
    Stage::Dns,
    Stage::Connect,
    Stage::Tls,
    Stage::Send,
    Stage::Head,
    Stage::Body,
    Stage::Decode,
    Stage::Parse,
];

const REQUEST_KINDS: [RequestKind; 7] = [
    RequestKind::Page,
    RequestKind::Redirect,
    RequestKind::Retry,
    RequestKind::Probe,
    RequestKind::Race,
    RequestKind::Robots,
    RequestKind::Sitemap,
];

/// RFC 3339 in UTC with exactly three decimals.
const TIME: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$";

/// The schema of one line of output. Keys that only come on request (`--with`) are described and not required; readers
/// are to ignore keys that they do not know.
#[must_use]
pub fn record_schema() -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let groups: [Group; 7] = [identity(), outcome(), request(), times(), connection(), content(), later()];
    for (key, description, mut schema) in groups.into_iter().flatten() {
        schema["description"] = description.into();
        properties.insert(key.to_owned(), schema);
        required.push(Value::from(key));
    }
    for (key, description, mut schema) in on_request() {
        schema["description"] = description.into();
        properties.insert(key.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lycosa record",
        "description": "One line of lycosa's output: what became of one URL. Keys are always present and null where \
            there is nothing; body, body_base64, links and headers come on request. Readers ignore unknown keys.",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": true,
    })
}

/// Keys with their descriptions and types, in the order of a record.
type Group = Vec<(&'static str, &'static str, Value)>;

fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn millis_or_null() -> Value {
    json!({ "type": ["number", "null"], "minimum": 0 })
}

fn status() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 100, "maximum": 999 })
}

fn yes_or_no() -> Value {
    json!({ "type": "boolean" })
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": true })
}

fn words<T: serde::Serialize>(words: &[T]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn identity() -> Group {
    vec![
        ("schema", "Version of this shape.", json!({ "type": "integer", "const": SCHEMA })),
        ("seq", "Place in this run's output: 0, 1, 2 without a gap, over resumes too.", count()),
        ("run", "Id of the run, kept over resumes.", text()),
        ("id", "Id of the job, from its line or made (r-…); the request_id of log lines.", text()),
        ("input", "The URL exactly as the line or argument had it, without user info; null for links.", text_or_null()),
        (
            "line",
            "Number of the line or argument, from 1; null for links.",
            json!({ "type": ["integer", "null"], "minimum": 1 }),
        ),
        ("url", "The URL as requested, canonical; null if the line had none that can be asked.", text_or_null()),
        ("final_url", "Where the answer came from; null if none came.", text_or_null()),
    ]
}

fn outcome() -> Group {
    let error = json!({
        "kind": words(&ErrorKind::ALL),
        "stage": words(&STAGES),
        "message": text(),
        "retryable": yes_or_no(),
    });
    vec![
        (
            "outcome",
            "ok: an accepted status; http_error: another final status; failed: no complete response; skipped: chosen \
             not to fetch.",
            words(&Outcome::ALL),
        ),
        ("status", "Status of the last response head; null if none came.", status()),
        (
            "error",
            "What went wrong, in which stage, and whether another try may mend it.",
            or_null(&object(&error, &["kind", "stage", "message", "retryable"])),
        ),
        ("skip_reason", "Why the URL was skipped.", or_null(&words(&SkipReason::ALL))),
    ]
}

fn request() -> Group {
    let entry = json!({
        "url": text(),
        "host_key": text(),
        "kind": words(&REQUEST_KINDS),
        "started_at": { "type": "string", "pattern": TIME },
        "ms": { "type": "number", "minimum": 0 },
        "status": status(),
    });
    let entry = object(&entry, &["url", "host_key", "kind", "started_at", "ms", "status"]);
    vec![
        ("method", "Method of the request.", text()),
        ("depth", "Links from a seed; redirects do not count.", count()),
        ("source", "The page that linked here first; null for seeds and jobs.", text_or_null()),
        ("attempts", "Tries of the final hop.", count()),
        (
            "requests",
            "Every request of the job in order; requests for robots.txt and sitemaps stand with the next record of \
             their host.",
            json!({ "type": "array", "items": entry }),
        ),
    ]
}

fn times() -> Group {
    vec![
        (
            "started_at",
            "Start of the first request, RFC 3339 in UTC with milliseconds.",
            json!({ "type": ["string", "null"], "pattern": TIME }),
        ),
        ("queued_ms", "Waiting before the first request.", millis_or_null()),
        ("first_byte_ms", "To the response head.", millis_or_null()),
        ("total_ms", "All of it.", millis_or_null()),
        ("dns_ms", "Resolving the name; null where it is not known.", millis_or_null()),
        ("connect_ms", "Connecting; null where it is not known.", millis_or_null()),
        ("tls_ms", "TLS handshake; null where it is not known.", millis_or_null()),
    ]
}

fn connection() -> Group {
    vec![
        ("http_version", "HTTP/1.0, HTTP/1.1 or HTTP/2.", text_or_null()),
        ("remote_addr", "Address and port that answered.", text_or_null()),
        ("host_key", "What politeness is kept for: host, with port unless it is the scheme's own.", text_or_null()),
        ("proxy", "The proxy in use, without credentials.", text_or_null()),
    ]
}

fn content() -> Group {
    vec![
        ("content_type", "type/subtype in lower case.", text_or_null()),
        ("charset", "The charset that was used.", text_or_null()),
        ("size", "Bytes of the body after content decoding.", count()),
        ("wire_size", "Bytes of the body before content decoding.", count()),
        ("truncated", "The body ended before its end, or is a part of what was asked for.", yes_or_no()),
        (
            "digest",
            "SHA-256 of the decoded body (--with digest).",
            json!({ "type": ["string", "null"], "pattern": "^sha256:[0-9a-f]{64}$" }),
        ),
        ("body_file", "Path of the saved body.", text_or_null()),
        ("title", "Title of the page, white space folded.", text_or_null()),
        ("data", "Extracted fields.", json!({ "type": ["object", "null"] })),
        ("noindex", "The page asks not to be indexed.", yes_or_no()),
    ]
}

fn later() -> Group {
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    let leg = json!({ "url": text(), "outcome": { "type": "string", "enum": outcomes }, "total_ms": millis_or_null(), "wire_size": count() });
    vec![
        ("from_cache", "The answer came from the cache.", yes_or_no()),
        ("stale", "The answer came from the cache and was past its time.", yes_or_no()),
        (
            "change",
            "Of a re-crawl.",
            json!({ "type": ["string", "null"], "enum": ["new", "changed", "unchanged", "gone", null] }),
        ),
        (
            "mirrors",
            "Of a job with mirrors: what became of each; of one that was not asked, total_ms is null.",
            json!({
                "type": ["array", "null"],
                "items": object(&leg, &["url", "outcome", "total_ms", "wire_size"]),
            }),
        ),
        (
            "retry_of",
            "The seq of the record that this one supersedes.",
            json!({ "type": ["integer", "null"], "minimum": 0 }),
        ),
        ("meta", "The job's own meta, unchanged.", json!({})),
    ]
}

fn on_request() -> Group {
    let link = json!({
        "url": text(),
        "fragment": text_or_null(),
        "text": text_or_null(),
        "rel": text_or_null(),
        "tag": text(),
        "attribute": text(),
    });
    vec![
        (
            "headers",
            "Response headers by name in lower case (--with headers); *** stands for values of cookies and of headers that are credentials.",
            json!({
                "type": ["object", "null"],
                "additionalProperties": { "type": "array", "items": text() },
            }),
        ),
        (
            "links",
            "Links of the page in document order (--with links).",
            json!({
                "type": ["array", "null"],
                "items": object(&link, &["url", "fragment", "text", "rel", "tag", "attribute"]),
            }),
        ),
        ("body", "The body as text, decoded to UTF-8 (--with body).", text_or_null()),
        (
            "body_base64",
            "The body where it is not text (--with body).",
            json!({ "type": ["string", "null"], "contentEncoding": "base64" }),
        ),
    ]
}

/// Records of every shape.
#[cfg(test)]
mod samples {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::fetch_error::FetchError;
    use crate::model::page::Outlink;
    use crate::model::record::{MirrorEnd, RecordBody, RequestLog};
    use crate::model::units::{Millis, WallTime};

    /// A record with something in every key: no `..` here, so that a new key cannot be forgotten.
    pub(super) fn full() -> RecordBody {
        let ms = |micros| Some(Millis::from(Duration::from_micros(micros)));
        RecordBody {
            input: Some("example.org".into()),
            line: Some(3),
            url: Some("https://example.org/".into()),
            final_url: Some("https://example.org/home".into()),
            status: Some(503),
            error: Some(FetchError::transient(ErrorKind::Body, Stage::Decode, "the body broke off")),
            skip_reason: Some(SkipReason::RateLimited),
            source: Some("https://example.com/".into()),
            attempts: 2,
            requests: REQUEST_KINDS
                .iter()
                .map(|kind| RequestLog {
                    url: "https://example.org/".into(),
                    host_key: "example.org".into(),
                    kind: *kind,
                    started_at: WallTime(1_795_170_180_123),
                    ms: Millis::from(Duration::from_secs(1)),
                    status: Some(301),
                })
                .collect(),
            started_at: Some(WallTime(0)),
            queued_ms: ms(0),
            first_byte_ms: ms(1),
            total_ms: ms(1_000_000),
            dns_ms: ms(5),
            connect_ms: ms(5),
            tls_ms: ms(5),
            http_version: Some("HTTP/2"),
            remote_addr: Some("[::1]:443".to_owned()),
            host_key: Some("example.org".into()),
            proxy: Some("http://proxy.example:3128".into()),
            content_type: Some("text/html".into()),
            charset: Some("utf-8".into()),
            size: 10,
            wire_size: 5,
            truncated: true,
            digest: Some(format!("sha256:{}", "0a".repeat(32))),
            body_file: Some("bodies/0".to_owned()),
            title: Some("A\u{2028}\"title\"\n".to_owned()),
            data: Some(Map::from_iter([("price".to_owned(), json!([1, null]))])),
            noindex: true,
            change: Some("unchanged".to_owned()),
            mirrors: Some(vec![MirrorEnd { url: "u".into(), outcome: Outcome::Ok, total_ms: None, wire_size: 1 }]),
            retry_of: Some(0),
            meta: Some("{\"a\":\n [1.50]}".into()),
            headers: Some(BTreeMap::from([("vary".to_owned(), vec!["a".to_owned()])])),
            links: Some(vec![Outlink {
                url: "https://example.org/".into(),
                fragment: None,
                text: Some("x".into()),
                rel: None,
                tag: "a".into(),
                attribute: "href".into(),
                leads: true,
                nofollow: false,
            }]),
            body: Some(Some("text".to_owned())),
            body_base64: Some("AP8=".to_owned()),
            exchange: None,
            run: "run-1".into(),
            id: "r-1".to_owned(),
            outcome: Outcome::HttpError,
            method: "PUT".into(),
            depth: 1,
            from_cache: true,
            stale: true,
        }
    }

    pub(super) fn blank(outcome: Outcome) -> RecordBody {
        RecordBody::blank(Arc::from("run-1"), "r-1".to_owned(), outcome)
    }

    pub(super) fn every_shape() -> Vec<RecordBody> {
        let mut records: Vec<RecordBody> = Outcome::ALL.into_iter().map(blank).collect();
        records.push(full());
        for kind in ErrorKind::ALL {
            for stage in STAGES {
                let error = Some(FetchError::permanent(kind, stage, ""));
                records.push(RecordBody { error, ..blank(Outcome::Failed) });
            }
        }
        for reason in SkipReason::ALL {
            records.push(RecordBody { skip_reason: Some(reason), ..blank(Outcome::Skipped) });
        }
        for meta in ["1", "\"a\"", "[]", "{}", "false"] {
            records.push(RecordBody { meta: Some(meta.into()), ..blank(Outcome::Ok) });
        }
        records.push(RecordBody { body: Some(None), ..blank(Outcome::Failed) });
        records
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{blank, every_shape, full};
    use super::*;
    use crate::model::record::{Record, RecordBody};

    fn value(record: RecordBody) -> Value {
        serde_json::to_value(Record { schema: SCHEMA, seq: 7, body_of: record }).unwrap()
    }

    #[test]
    fn every_key_of_a_record_is_described_and_nothing_else() {
        let schema = record_schema();
        let sorted = |keys: Vec<&str>| {
            let mut keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            keys.sort_unstable();
            keys
        };
        let keys_of = |value: &Value| sorted(value.as_object().unwrap().keys().map(String::as_str).collect());
        let required = sorted(schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect());
        assert_eq!(required, keys_of(&value(blank(Outcome::Ok))), "always present");
        assert_eq!(keys_of(&schema["properties"]), keys_of(&value(full())), "with all that comes on request");
        for (key, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].as_str().is_some_and(|text| text.ends_with('.')), "{key}");
        }
        // The parts of a record are held to their keys too.
        let full = value(full());
        for (inner, described) in [
            (&full["error"], &schema["properties"]["error"]["anyOf"][0]),
            (&full["requests"][0], &schema["properties"]["requests"]["items"]),
            (&full["links"][0], &schema["properties"]["links"]["items"]),
        ] {
            assert_eq!(keys_of(inner), keys_of(&described["properties"]));
            let required = described["required"].as_array().unwrap().len();
            assert_eq!(required, inner.as_object().unwrap().len());
        }
    }

    #[test]
    fn records_of_every_shape_are_valid() {
        let schema = record_schema();
        assert!(jsonschema::meta::is_valid(&schema));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for record in every_shape() {
            let value = value(record);
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}\n{value:#}");
        }
        // It refuses, too.
        for (key, wrong) in [
            ("schema", json!(2)),
            ("seq", json!(-1)),
            ("outcome", json!("fine")),
            ("skip_reason", json!("mood")),
            ("error", json!({ "kind": "dns" })),
            ("started_at", json!("2026-11-20T10:00:00Z")),
            ("requests", json!([{ "url": "u" }])),
            ("digest", json!("md5:0")),
            ("truncated", Value::Null),
            ("headers", json!({ "vary": "a" })),
        ] {
            let mut value = value(full());
            value[key] = wrong;
            assert!(!validator.is_valid(&value), "{key}");
            value.as_object_mut().unwrap().remove(key);
            let is_required = !matches!(key, "headers");
            assert_eq!(validator.is_valid(&value), !is_required, "without {key}");
        }
    }

    #[test]
    fn lists_of_words_are_complete() {
        // A new word breaks the pattern, and has to join the list.
        for stage in STAGES {
            let (Stage::Input
            | Stage::Queue
            | Stage::Robots
            | Stage::Dns
            | Stage::Connect
            | Stage::Tls
            | Stage::Send
            | Stage::Head
            | Stage::Body
            | Stage::Decode
            | Stage::Parse) = stage;
        }
        for kind in REQUEST_KINDS {
            let (RequestKind::Page
            | RequestKind::Redirect
            | RequestKind::Retry
            | RequestKind::Probe
            | RequestKind::Race
            | RequestKind::Robots
            | RequestKind::Sitemap) = kind;
        }
        let stages = "input queue robots dns connect tls send head body decode parse";
        let words = serde_json::to_value(STAGES).unwrap();
        assert_eq!(words, json!(stages.split(' ').collect::<Vec<_>>()));
        let kinds = "page redirect retry probe race robots sitemap";
        let words = serde_json::to_value(REQUEST_KINDS).unwrap();
        assert_eq!(words, json!(kinds.split(' ').collect::<Vec<_>>()));
    }
}
