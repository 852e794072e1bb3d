//! The record: one JSON object for every accepted URL, whatever became of it.
//!
//! Keys are always present, `null` where there is nothing; only `body`, `body_base64`, `links` and `headers` come on
//! request. Keys of features that are not built yet are `null` or `false`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::fetch_error::FetchError;
use super::page::Outlink;
use super::units::{Millis, WallTime};

/// Version of the record's shape: the key `schema`.
pub const SCHEMA: u32 = 1;

/// How a URL ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An accepted status.
    Ok,
    /// Another final status.
    HttpError,
    /// No complete response.
    Failed,
    /// We chose not to.
    Skipped,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Ok, Self::HttpError, Self::Failed, Self::Skipped];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::HttpError => "http_error",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Why we chose not to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipReason {
    Robots,
    BreakerOpen,
    RateLimited,
    Duplicate,
    Trap,
    PrivateAddress,
    MediaType,
    Scope,
    Depth,
}

impl SkipReason {
    pub const ALL: [Self; 9] = [
        Self::Robots,
        Self::BreakerOpen,
        Self::RateLimited,
        Self::Duplicate,
        Self::Trap,
        Self::PrivateAddress,
        Self::MediaType,
        Self::Scope,
        Self::Depth,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Robots => "robots",
            Self::BreakerOpen => "breaker_open",
            Self::RateLimited => "rate_limited",
            Self::Duplicate => "duplicate",
            Self::Trap => "trap",
            Self::PrivateAddress => "private_address",
            Self::MediaType => "media_type",
            Self::Scope => "scope",
            Self::Depth => "depth",
        }
    }
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    Page,
    Redirect,
    Retry,
    Probe,
    Race,
    Robots,
    Sitemap,
}

/// One exchange with a server: an entry of `requests`, which is what an audit of politeness reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestLog {
    pub url: Box<str>,
    pub host_key: Box<str>,
    pub kind: RequestKind,
    pub started_at: WallTime,
    /// From the start to the end of the body, or to the failure.
    pub ms: Millis,
    pub status: Option<u16>,
}

impl RequestLog {
    /// Bytes it occupies, allocator overhead counted.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        size_of::<Self>() + self.url.len() + self.host_key.len() + 32
    }
}

/// What became of one mirror of a job: an entry of `mirrors`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MirrorEnd {
    pub url: Box<str>,
    /// `skipped` also if it was not asked, or cut off when another had answered.
    pub outcome: Outcome,
    /// From the moment it stood in the queue of its host to its end; None if it was not asked.
    pub total_ms: Option<Millis>,
    /// Body bytes of all its requests.
    pub wire_size: u64,
}

/// The record of one URL. See `lycosa generate record-schema` for the JSON Schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Place in the output of the run, from 0 without a gap. Given when the record leaves delivery.
    pub seq: u64,
    #[serde(flatten)]
    pub body_of: RecordBody,
}

/// All of a record but its place in the output: what a worker writes before the place is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordBody {
    pub run: Arc<str>,
    pub id: String,
    pub input: Option<Box<str>>,
    pub line: Option<u64>,
    pub url: Option<Box<str>>,
    pub final_url: Option<Box<str>>,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub error: Option<FetchError>,
    pub skip_reason: Option<SkipReason>,
    pub method: Box<str>,
    pub depth: u32,
    pub source: Option<Arc<str>>,
    pub attempts: u32,
    pub requests: Vec<RequestLog>,
    pub started_at: Option<WallTime>,
    pub queued_ms: Option<Millis>,
    pub first_byte_ms: Option<Millis>,
    pub total_ms: Option<Millis>,
    pub dns_ms: Option<Millis>,
    pub connect_ms: Option<Millis>,
    pub tls_ms: Option<Millis>,
    pub http_version: Option<&'static str>,
    pub remote_addr: Option<String>,
    pub host_key: Option<Box<str>>,
    pub proxy: Option<Arc<str>>,
    pub content_type: Option<Box<str>>,
    pub charset: Option<Box<str>>,
    pub size: u64,
    pub wire_size: u64,
    pub truncated: bool,
    pub digest: Option<String>,
    pub body_file: Option<String>,
    pub title: Option<String>,
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
    pub noindex: bool,
    pub from_cache: bool,
    pub stale: bool,
    pub change: Option<String>,
    pub mirrors: Option<Vec<MirrorEnd>>,
    pub retry_of: Option<u64>,
    #[serde(serialize_with = "raw_json_or_null")]
    pub meta: Option<Box<str>>,
    /// With `--with headers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// With `--with links`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<Outlink>>,
    /// With `--with body`: text decoded to UTF-8. `Some(None)` is written as null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Option<String>>,
    /// With `--with body`: what is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn raw_json_or_null<S: Serializer>(meta: &Option<Box<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    match meta.as_deref() {
        Some(text) => raw_json(text, serializer),
        None => serializer.serialize_none(),
    }
}

/// `meta` comes from a job line and is kept as the JSON text it was.
pub(super) fn raw_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    // A record is one line. Inside a JSON string these bytes are escapes, so here they stand between tokens.
    let one_line;
    let text = if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
        one_line = text.replace(['\n', '\r'], " ");
        &one_line
    } else {
        text
    };
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(raw) => raw.serialize(serializer),
        // Lines of input are checked; a job of the library's user may hold any text.
        Err(_) => serializer.serialize_str(text),
    }
}

impl RecordBody {
    /// A record of which nothing is known but who asked for it.
    #[must_use]
    pub fn blank(run: Arc<str>, id: String, outcome: Outcome) -> Self {
        Self {
            run,
            id,
            input: None,
            line: None,
            url: None,
            final_url: None,
            outcome,
            status: None,
            error: None,
            skip_reason: None,
            method: "GET".into(),
            depth: 0,
            source: None,
            attempts: 0,
            requests: Vec::new(),
            started_at: None,
            queued_ms: None,
            first_byte_ms: None,
            total_ms: None,
            dns_ms: None,
            connect_ms: None,
            tls_ms: None,
            http_version: None,
            remote_addr: None,
            host_key: None,
            proxy: None,
            content_type: None,
            charset: None,
            size: 0,
            wire_size: 0,
            truncated: false,
            digest: None,
            body_file: None,
            title: None,
            data: None,
            noindex: false,
            from_cache: false,
            stale: false,
            change: None,
            mirrors: None,
            retry_of: None,
            meta: None,
            headers: None,
            links: None,
            body: None,
            body_base64: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::record_json::{escaped_len, write_head};

    fn blank() -> RecordBody {
        RecordBody::blank("run-1".into(), "r-1".to_owned(), Outcome::Ok)
    }

    /// As a sink puts a line together.
    fn line(record: &RecordBody, seq: u64) -> String {
        let mut line = Vec::new();
        write_head(seq, &mut line);
        line.extend_from_slice(&record.to_json()[1..]);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn keys_stand_in_the_order_of_the_contract() {
        let order = "schema seq run id input line url final_url outcome status error skip_reason method depth source \
            attempts requests started_at queued_ms first_byte_ms total_ms dns_ms connect_ms tls_ms http_version \
            remote_addr host_key proxy content_type charset size wire_size truncated digest body_file title data \
            noindex from_cache stale change mirrors retry_of meta";
        let mut at = 0;
        let line = line(&blank(), 12);
        for key in order.split_whitespace() {
            let key = format!("\"{key}\":");
            let found = line.find(&key).unwrap_or_else(|| panic!("{key} is missing"));
            assert!(found >= at, "{key} stands too early");
            at = found;
        }
        assert!(line.starts_with(r#"{"schema":1,"seq":12,"run":"run-1","id":"r-1","input":null,"#), "{line}");
        let whole = serde_json::to_string(&Record { schema: SCHEMA, seq: 12, body_of: blank() }).unwrap();
        assert_eq!(line, whole, "both ways to write a record give the same bytes");
    }

    #[test]
    fn words_are_spelled_as_they_are_serialised() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        for reason in SkipReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for kind in super::super::fetch_error::ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn meta_is_given_back_as_it_was() {
        for (meta, want) in [
            (r#"{"b": 1.50, "a":[]}"#, r#""meta":{"b": 1.50, "a":[]}"#),
            ("12345678901234567890123", "\"meta\":12345678901234567890123"),
            ("{\r\n\"a\":\n1}", "\"meta\":{  \"a\": 1}"),
            ("not JSON", "\"meta\":\"not JSON\""),
        ] {
            let line = line(&RecordBody { meta: Some(meta.into()), ..blank() }, 0);
            assert!(line.contains(want), "{line}");
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_record_of_any_text_is_one_line_of_json(text in any::<String>(), seq: u64, number: u64, flag: bool) {
            let record = RecordBody {
                id: text.clone(),
                input: Some(text.as_str().into()),
                title: Some(text.clone()),
                meta: Some(serde_json::to_string(&text).unwrap().into()),
                headers: Some(BTreeMap::from([(text.clone(), vec![text.clone()])])),
                body: Some(flag.then(|| text.clone())),
                size: number,
                ..blank()
            };
            let line = line(&record, seq);
            prop_assert!(!line.contains(['\n', '\r']));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&value["seq"], seq);
            prop_assert_eq!(&value["size"], number);
            for key in ["id", "input", "title", "meta"] {
                prop_assert_eq!(&value[key], &text);
            }
            prop_assert_eq!(&value["headers"][&text][0], &text);
            prop_assert_eq!(value["body"].as_str(), flag.then_some(text.as_str()));
        }

        #[test]
        fn the_length_of_a_text_in_json_is_known(text in "[\\x00-\\xa5ä€]{0,200}") {
            // As serde_json, but for DEL and what is above it: six bytes instead of one or two.
            let late = |c: char| if c == '\x7f' { 5 } else if c > '\x7f' && c.is_control() { 4 } else { 0 };
            let more: usize = text.chars().map(late).sum();
            prop_assert_eq!(escaped_len(&text) + 2, serde_json::to_string(&text).unwrap().len() + more);
        }

        #[test]
        fn milliseconds_have_a_decimal_point_and_at_most_three_decimals(nanos in 0..=u64::MAX) {
            let text = serde_json::to_string(&Millis::from(Duration::from_nanos(nanos))).unwrap();
            let (whole, decimals) = text.split_once('.').expect("a decimal point");
            prop_assert!(decimals.len() <= 3, "{}", text);
            prop_assert!(whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit()), "{}", text);
            #[expect(clippy::cast_precision_loss, reason = "compared with room for it")]
            let nanos = nanos as f64;
            let off = (nanos - text.parse::<f64>().unwrap() * 1e6).abs();
            prop_assert!(off <= 501.0 + nanos / 1e14, "{}", text);
        }
    }
}
