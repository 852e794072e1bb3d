//! WARC 1.1, the format of web archives: each record is a `metadata` record with its JSON, and before it, if a server
//! answered, a `response` and its `request`; a payload that this process has written before is a `revisit`.
//!
//! Decides the bytes of these records; what is looked up by URL stands beside them (`cdxj`). With `.gz` each record is a
//! gzip member of its own, so that one can be read without the others. Heads are made again from what was parsed: names in
//! lower case, values of one name together. Bodies are decoded, so the headers that told of a coding or length are renamed
//! (`x-crawler-…`), and `content-length` is that of the body. Called by delivery's thread through [`Sink`].
//!
//! Sources: "The WARC Format 1.1" (IIPC), RFC 9112 (heads), RFC 9562 5.8 (ids, made of run, place and kind), RFC 4648 6.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};

use flate2::write::GzEncoder;
use sha1::{Digest as _, Sha1};
use xxhash_rust::xxh3::xxh3_128;

use super::cdxj::{Entry, Index};
use super::output::Output;
use super::{Format, Line, Open, Sink, SinkError, Start};
use crate::model::exchange::{Exchange, Headers};
use crate::model::fetch_error::ErrorKind;
use crate::model::mark::OutputMark;
use crate::model::record::{RecordBody, RequestKind};
use crate::model::record_json::write_head;
use crate::model::units::WallTime;

/// Its entry in the format table.
pub(super) const FORMAT: Format =
    Format { name: "warc", endings: &["warc"], beside: &[".cdxj", ".cdxj.sorted"], open: Open::Archive(open) };

/// Payloads that are remembered to tell a repetition: some 20 MiB.
const REMEMBERED: usize = 100_000;

const REVISIT: &str = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest";

struct Warc {
    output: Output,
    index: Option<Index>,
    gzip: bool,
    /// The `seq` after the last whole record.
    next: u64,
    /// Something stands before what is written next.
    has_info: bool,
    has_failed: bool,
    seen: HashMap<[u8; 20], (Box<str>, WallTime)>,
}

fn open(output: Output, start: Start) -> io::Result<Box<dyn Sink>> {
    // An index tells places, which a pipe does not have.
    let Start { path, next_seq, goes_on } = start;
    let index = match (&path, output.position()) {
        (Some(path), Some(end)) => Some(Index::open(path, end)?),
        _ => None,
    };
    let ending = path.as_deref().and_then(std::path::Path::extension);
    Ok(Box::new(Warc {
        output,
        index,
        gzip: ending.is_some_and(|ending| ending.eq_ignore_ascii_case("gz")),
        next: next_seq,
        has_info: goes_on,
        has_failed: false,
        seen: HashMap::new(),
    }))
}

/// What is written of one line: members, and which of them the index names.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Warc {
    fn line(&mut self, line: &Line, at: &mut u64, entries: &mut Vec<Entry>) -> Result<(), SinkError> {
        let mut written = Written::default();
        if !self.has_info {
            self.info(&mut written.bytes);
        }
        self.record(line, &mut written)?;
        let start = *at;
        *at += written.bytes.len() as u64;
        entries.extend(written.entries.into_iter().map(|entry| Entry { offset: start + entry.offset, ..entry }));
        self.has_info = true;
        self.output.line(|_| (), &written.bytes, &[])
    }

    fn info(&self, out: &mut Vec<u8>) {
        let block = concat!("software: lycosa/", env!("CARGO_PKG_VERSION"), "\r\nformat: WARC File Format 1.1\r\n");
        let now = now();
        let mut head = head("warcinfo", &id(&format!("{now} {}", self.next), 0, "warcinfo"), now);
        head += "Content-Type: application/warc-fields\r\n";
        self.member(&head, &[block.as_bytes()], out);
    }

    fn record(&mut self, line: &Line, written: &mut Written) -> Result<(), SinkError> {
        let Some(record) = line.record.as_deref() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the record itself is missing");
            return Err(SinkError { target: FORMAT.name.to_owned(), written: 0, source });
        };
        let date = date_of(record);
        let answer =
            record.exchange.as_deref().map(|exchange| self.exchange(line.seq, record, exchange, date, written));
        let mut head = head("metadata", &id(&record.run, line.seq, "metadata"), date);
        let target = record.exchange.as_deref().map(|exchange| &exchange.target);
        if let Some(target) = target.or(record.final_url.as_ref()).or(record.url.as_ref()) {
            let _ = write!(head, "WARC-Target-URI: {target}\r\n");
        }
        if let Some(answer) = answer {
            let _ = write!(head, "WARC-Concurrent-To: <{answer}>\r\n");
        }
        head += "Content-Type: application/json\r\n";
        let mut start = Vec::new();
        write_head(line.seq, &mut start);
        self.member(&head, &[&start, &line.json[1..]], &mut written.bytes);
        Ok(())
    }

    /// The answer, or that it was the same as an earlier one, and the request. Returns the id of the answer.
    fn exchange(
        &mut self,
        seq: u64,
        record: &RecordBody,
        exchange: &Exchange,
        date: WallTime,
        written: &mut Written,
    ) -> String {
        let digest: [u8; 20] = Sha1::digest(&exchange.body).into();
        let payload = sha1_text(digest);
        let before = self.seen.get(&digest).filter(|_| !exchange.body.is_empty());
        let kind = if before.is_some() { "revisit" } else { "response" };
        let answer = id(&record.run, seq, kind);
        let mut about = format!("WARC-Target-URI: {}\r\n", exchange.target);
        if let Some(address) = record.remote_addr.as_deref().and_then(|address| address.parse().ok()) {
            let address: std::net::SocketAddr = address;
            let _ = write!(about, "WARC-IP-Address: {}\r\n", address.ip());
        }
        if exchange.version == "HTTP/2" {
            about += "WARC-Protocol: h2\r\n";
        }
        let mut head_of_answer = head(kind, &answer, date) + &about;
        let _ = write!(head_of_answer, "WARC-Payload-Digest: {payload}\r\n");
        if let Some((url, date)) = before {
            let _ = write!(head_of_answer, "WARC-Profile: {REVISIT}\r\nWARC-Refers-To-Target-URI: {url}\r\n");
            let _ = write!(head_of_answer, "WARC-Refers-To-Date: {date}\r\n");
        }
        if record.truncated {
            let too_long = record.error.as_ref().is_some_and(|error| error.kind == ErrorKind::TooLarge);
            let _ = write!(head_of_answer, "WARC-Truncated: {}\r\n", if too_long { "length" } else { "disconnect" });
        }
        head_of_answer += "Content-Type: application/http; msgtype=response\r\n";
        let offset = written.bytes.len() as u64;
        let body: &[u8] = if before.is_some() { &[] } else { &exchange.body };
        self.member(&head_of_answer, &[&response_head(exchange), body], &mut written.bytes);
        written.entries.push(Entry {
            url: exchange.target.clone(),
            date,
            media_type: match before {
                Some(_) => "warc/revisit".into(),
                None => record.content_type.clone().unwrap_or_else(|| "unk".into()),
            },
            status: exchange.status,
            digest: payload,
            offset,
            length: written.bytes.len() as u64 - offset,
        });
        if before.is_none() && self.seen.len() < REMEMBERED {
            self.seen.insert(digest, (exchange.target.clone(), date));
        }
        let mut head = head("request", &id(&record.run, seq, "request"), date) + &about;
        let _ = write!(head, "WARC-Concurrent-To: <{answer}>\r\n");
        head += "Content-Type: application/http; msgtype=request\r\n";
        let body = exchange.request_body.as_deref().unwrap_or_default();
        self.member(&head, &[&request_head(exchange), body], &mut written.bytes);
        answer
    }

    /// One WARC record, compressed by itself if the file is.
    fn member(&self, head: &str, block: &[&[u8]], out: &mut Vec<u8>) {
        let mut digest = Sha1::new();
        for part in block {
            digest.update(part);
        }
        let length: usize = block.iter().map(|part| part.len()).sum();
        let digest = sha1_text(digest.finalize().into());
        let ending = format!("WARC-Block-Digest: {digest}\r\nContent-Length: {length}\r\n\r\n");
        let parts =
            [head.as_bytes(), ending.as_bytes()].into_iter().chain(block.iter().copied()).chain([&b"\r\n\r\n"[..]]);
        if self.gzip {
            let mut coder = GzEncoder::new(out, flate2::Compression::default());
            for part in parts {
                coder.write_all(part).expect("a vector takes every byte");
            }
            coder.finish().expect("a vector takes every byte");
        } else {
            parts.for_each(|part| out.extend_from_slice(part));
        }
    }
}

impl Sink for Warc {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        let mut at = self.output.position().unwrap_or_default();
        let mut entries = Vec::new();
        let wrote = lines.iter().try_for_each(|line| self.line(line, &mut at, &mut entries));
        // Before the archive itself, or a kill between the two would leave records that nobody finds.
        let wrote = wrote.and_then(|()| self.index.as_mut().map_or(Ok(()), |index| index.add(&entries)));
        let wrote = wrote.and_then(|()| self.output.end_batch());
        let written = wrote.as_ref().map_or_else(|error| error.written, |()| lines.len());
        self.has_failed |= wrote.is_err();
        self.next = lines[..written].last().map_or(self.next, |line| line.seq + 1);
        wrote
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(self.next)
    }

    fn mark(&self) -> Option<OutputMark> {
        self.output.mark()
    }

    fn file(&self) -> Option<File> {
        self.output.file()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if !self.has_info && !self.has_failed {
            let mut bytes = Vec::new();
            self.info(&mut bytes);
            self.output.line(|_| (), &bytes, &[]).and_then(|()| self.output.end_batch())?;
        }
        let end = self.output.position().unwrap_or_default();
        self.index.as_mut().map_or(Ok(()), |index| index.sort(end))
    }

    fn needs_record(&self) -> bool {
        true
    }

    fn needs_json(&self) -> bool {
        true
    }

    fn needs_exchange(&self) -> bool {
        true
    }
}

/// The first lines of a WARC record.
fn head(kind: &str, id: &str, date: WallTime) -> String {
    format!("WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <{id}>\r\nWARC-Date: {date}\r\n")
}

/// Of the run, the place of a record in it and the kind: the same for the same record, and for no other.
fn id(run: &str, seq: u64, kind: &str) -> String {
    let hash = xxh3_128(format!("{run}\0{seq}\0{kind}").as_bytes());
    // Version 8 and variant 10 stand in fixed bits.
    let bits = (hash & !(0xf << 76) & !(0x3 << 62)) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// When the last request of a job began; now, if nothing was asked.
fn date_of(record: &RecordBody) -> WallTime {
    let of_job = |kind| !matches!(kind, RequestKind::Robots | RequestKind::Sitemap);
    let last = record.requests.iter().rfind(|request| of_job(request.kind));
    last.map(|request| request.started_at).or(record.started_at).unwrap_or_else(now)
}

#[expect(clippy::disallowed_methods, reason = "when an archive was begun is no time of the run")]
fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn response_head(exchange: &Exchange) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(exchange.status).ok().and_then(|status| status.canonical_reason());
    let mut head = format!("{} {} {}\r\n", version(exchange), exchange.status, reason.unwrap_or_default()).into_bytes();
    for (name, value) in &exchange.response_headers {
        if matches!(&**name, "content-encoding" | "transfer-encoding" | "content-length") {
            head.extend_from_slice(b"x-crawler-");
        }
        field(name, value, &mut head);
    }
    field("content-length", exchange.body.len().to_string().as_bytes(), &mut head);
    head.extend_from_slice(b"\r\n");
    head
}

fn request_head(exchange: &Exchange) -> Vec<u8> {
    let url = url::Url::parse(&exchange.target).ok();
    let path = url.as_ref().map_or("/", |url| &url[url::Position::BeforePath..url::Position::AfterQuery]);
    let mut head = format!("{} {path} {}\r\n", exchange.method, version(exchange)).into_bytes();
    let has = |headers: &Headers, name: &str| headers.iter().any(|(known, _)| **known == *name);
    if let Some(url) = url.as_ref().filter(|_| !has(&exchange.request_headers, "host")) {
        field("host", url[url::Position::BeforeHost..url::Position::AfterPort].as_bytes(), &mut head);
    }
    for (name, value) in &exchange.request_headers {
        field(name, value, &mut head);
    }
    if let Some(body) = exchange.request_body.as_ref().filter(|_| !has(&exchange.request_headers, "content-length")) {
        field("content-length", body.len().to_string().as_bytes(), &mut head);
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// HTTP/2 has no lines of text: readers of archives expect those of HTTP/1.1.
fn version(exchange: &Exchange) -> &'static str {
    if exchange.version == "HTTP/1.0" { "HTTP/1.0" } else { "HTTP/1.1" }
}

fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// As archives write digests: in base32 (RFC 4648 6), which 20 bytes fill without padding.
fn sha1_text(digest: [u8; 20]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::from("sha1:");
    for five in digest.chunks_exact(5) {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        text.extend((0..8).rev().map(|place| char::from(ALPHABET[(bits >> (5 * place) & 31) as usize])));
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn exchange() -> Exchange {
        let headers =
            |all: &[(&str, &str)]| all.iter().map(|(name, value)| ((*name).into(), value.as_bytes().into())).collect();
        Exchange {
            method: "POST".into(),
            target: "https://a.example:8443/p/q?x=1".into(),
            request_headers: headers(&[("accept", "*/*")]),
            request_body: Some(Bytes::from_static(b"k=v")),
            status: 200,
            version: "HTTP/2",
            response_headers: headers(&[
                ("content-encoding", "br"),
                ("content-length", "3"),
                ("x-a", "1"),
                ("x-a", "2"),
            ]),
            body: Bytes::from_static(b"decoded"),
        }
    }

    #[test]
    fn heads_are_made_again_with_the_right_length() {
        assert_eq!(
            String::from_utf8(response_head(&exchange())).unwrap(),
            "HTTP/1.1 200 OK\r\nx-crawler-content-encoding: br\r\nx-crawler-content-length: 3\r\nx-a: 1\r\nx-a: 2\r\n\
             content-length: 7\r\n\r\n"
        );
        assert_eq!(
            String::from_utf8(request_head(&exchange())).unwrap(),
            "POST /p/q?x=1 HTTP/1.1\r\nhost: a.example:8443\r\naccept: */*\r\ncontent-length: 3\r\n\r\n"
        );
    }

    #[test]
    fn digests_and_ids_are_written_as_their_readers_expect() {
        assert_eq!(sha1_text(Sha1::digest(b"").into()), "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ");
        let text = id("run", 7, "response");
        assert_eq!((text.len(), &text[..9], &text[23..24]), (45, "urn:uuid:", "8"), "{text}");
        assert!(matches!(&text[28..29], "8" | "9" | "a" | "b"), "{text}");
        assert_eq!(text, id("run", 7, "response"));
        assert_ne!(text, id("run", 7, "request"));
    }
}
