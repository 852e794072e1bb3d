//! One exchange as curl saw it, and as a record tells it, in the same fields.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use base64::Engine as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::*;

/// What both must agree on.
#[derive(PartialEq, Eq, Default)]
pub struct Seen {
    pub status: u64,
    pub final_url: String,
    pub requests: u64,
    /// As records write it: `HTTP/1.1`, `HTTP/2`.
    pub version: String,
    /// Of the last answer, names in lower case.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Decoded.
    pub body: Vec<u8>,
    /// Bytes of the body before decoding.
    pub wire_size: u64,
    /// No answer came.
    pub failed: bool,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, final_url, requests, version, headers, body, wire_size, failed } = self;
        let start = String::from_utf8_lossy(&body[..body.len().min(600)]);
        write!(
            f,
            "{status} {final_url} {requests} requests {version} {headers:?}, {wire_size} -> {} bytes, ",
            body.len()
        )?;
        write!(f, "failed {failed}: {start:?}")
    }
}

/// Headers whose value is another one for each answer.
const VARIABLE: [&str; 3] = ["date", "set-cookie", "connection"];

/// What curl saw, with these arguments and URL; redirects are followed.
pub fn curl(arguments: &[String], url: &str) -> Seen {
    let place = TempDir::new().unwrap();
    let (head, body) = (place.path().join("head"), place.path().join("body"));
    let output = Command::new("curl")
        // The first option: no ~/.curlrc.
        .args(["-q", "-sS", "-L", "--compressed", "--max-time", "60", "-w", "%{json}"])
        .arg("-D")
        .arg(&head)
        .arg("-o")
        .arg(&body)
        .args(arguments)
        .arg(url)
        .env_clear()
        .output()
        .expect("curl is here; './test' installs it");
    let told: Value = serde_json::from_slice(&output.stdout).expect("curl tells of the transfer");
    if !output.status.success() {
        return Seen { failed: true, ..Seen::default() };
    }
    let version = match told["http_version"].as_str().unwrap_or_default() {
        "2" => "HTTP/2".to_owned(),
        version => format!("HTTP/{version}"),
    };
    Seen {
        status: told["http_code"].as_u64().unwrap(),
        final_url: told["url_effective"].as_str().unwrap().to_owned(),
        requests: told["num_redirects"].as_u64().unwrap() + 1,
        version,
        headers: last_head(&String::from_utf8_lossy(&std::fs::read(head).unwrap())),
        // With -I curl writes the head there.
        body: if arguments.iter().any(|argument| argument == "-I") {
            Vec::new()
        } else {
            std::fs::read(body).unwrap_or_default()
        },
        wire_size: told["size_download"].as_u64().unwrap(),
        failed: false,
    }
}

/// The headers of the last answer: those of redirects stand before them.
fn last_head(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        if line.starts_with("HTTP/") {
            headers.clear();
        } else if let Some((name, value)) = line.split_once(':') {
            headers.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
        }
    }
    without_variable(headers)
}

fn without_variable(mut headers: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    for name in VARIABLE {
        headers.remove(name);
    }
    headers
}

/// What a record with `--with body,headers` says.
pub fn told(record: &Value) -> Seen {
    let body = match (record["body"].as_str(), record["body_base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(coded)) => base64::engine::general_purpose::STANDARD.decode(coded).unwrap(),
        (None, None) => Vec::new(),
    };
    if record["status"].is_null() {
        return Seen { failed: true, ..Seen::default() };
    }
    let headers: BTreeMap<String, Vec<String>> =
        serde_json::from_value(record["headers"].clone()).expect("headers are lists by name");
    assert_eq!(record["size"].as_u64(), Some(body.len() as u64), "{record}");
    Seen {
        status: record["status"].as_u64().unwrap(),
        final_url: field(record, "final_url").to_owned(),
        requests: record["requests"].as_array().unwrap().len() as u64,
        version: field(record, "http_version").to_owned(),
        headers: without_variable(headers),
        body,
        wire_size: record["wire_size"].as_u64().unwrap(),
        failed: false,
    }
}

/// Both with the same arguments.
pub fn both(arguments: &[&str], url: &str) -> (Seen, Seen, Value) {
    let owned: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let run = lycosa(["fetch", "--with", "body,headers", "--retries", "0", "--fail-on", "never"])
        .args(arguments.iter().copied())
        .arg(url)
        .run()
        .exits(0);
    let record = run.record();
    (curl(&owned, url), told(&record), record)
}
