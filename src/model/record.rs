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
    pub mirrors: Option<Vec<serde_json::Value>>,
    pub retry_of: Option<u64>,
    #[serde(serialize_with = "raw_json")]
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

/// `meta` comes from a job line and is kept as the JSON text it was.
fn raw_json<S: Serializer>(meta: &Option<Box<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    match meta {
        None => serializer.serialize_none(),
        Some(text) => {
            let raw: &serde_json::value::RawValue =
                serde_json::from_str(text).map_err(|error| serde::ser::Error::custom(error.to_string()))?;
            raw.serialize(serializer)
        }
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

    /// The record as one JSON object that still lacks `schema` and `seq`: delivery writes [`write_head`] in place of
    /// its opening brace when the place in the output is known.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        // A vector takes every byte, and all keys are strings; `meta` was checked when its line was read.
        serde_json::to_writer(&mut out, self).expect("a record is always serialisable");
        out
    }
}

/// Appends the start of a record: `{"schema":1,"seq":7,`. What [`RecordBody::to_json`] gave follows, without its brace.
pub fn write_head(seq: u64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing into a vector cannot fail.
    let _ = write!(out, "{{\"schema\":{SCHEMA},\"seq\":{seq},");
}
