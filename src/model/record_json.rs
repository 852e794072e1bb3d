//! A record as JSON text, as `serde_json` would write it, in a third of its time; and all control characters escaped.
//!
//! JSON lets DEL and U+0080 to U+009F stand as they are, but to terminals they are commands, and texts are of servers: they
//! are written as `\u00XX`, which is the same text.
//!
//! Fifty keys, most of them `null`, short texts and times: serde pays for each key and each byte of text on its own,
//! which is the dearest step of a fetch beside its request. What is rare (errors, links, headers, bodies) is left to
//! serde. Decides nothing about keys or their order: `RecordBody` is taken apart without `..`, and tests hold both ways
//! of writing together. Called by [`RecordBody::to_json`].
//!
//! Sources: RFC 8259 7 (what must be escaped); H. Hinnant, "chrono-compatible low-level date algorithms" (days to dates).

use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use super::record::{RecordBody, RequestKind, RequestLog, SCHEMA, SkipReason, raw_json};
use super::units::{Millis, WallTime};

/// Appends `,"key":` and then a value.
macro_rules! key {
    ($out:ident, $key:literal, $value:expr) => {{
        $out.extend_from_slice(concat!(",\"", $key, "\":").as_bytes());
        $value
    }};
}

/// Appends a key that may have no value: written by `$write`, or `null`.
macro_rules! optional {
    ($out:ident, $key:literal, $value:expr, $write:expr) => {
        match $value {
            Some(value) => key!($out, $key, $write($out, value)),
            None => $out.extend_from_slice(concat!(",\"", $key, "\":null").as_bytes()),
        }
    };
}

/// Appends a key that is left out when it has no value.
macro_rules! on_request {
    ($out:ident, $key:literal, $value:expr) => {
        if let Some(value) = $value {
            key!($out, $key, by_serde($out, value))
        }
    };
}

/// Bytes of a record of usual length, texts and further requests left out.
const USUAL: usize = 1024;

impl RecordBody {
    /// The record as one JSON object that still lacks `schema` and `seq`: delivery writes [`write_head`] in place of
    /// its opening brace when the place in the output is known.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        write(self)
    }
}

/// Appends the start of a record: `{"schema":1,"seq":7,`. What [`RecordBody::to_json`] gave follows, without its brace.
pub fn write_head(seq: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"schema\":");
    number(out, SCHEMA);
    out.extend_from_slice(b",\"seq\":");
    number(out, seq);
    out.push(b',');
}

fn write(record: &RecordBody) -> Vec<u8> {
    let RecordBody {
        run,
        id,
        input,
        line,
        url,
        final_url,
        outcome,
        status,
        error,
        skip_reason,
        method,
        depth,
        source,
        attempts,
        requests,
        started_at,
        queued_ms,
        first_byte_ms,
        total_ms,
        dns_ms,
        connect_ms,
        tls_ms,
        http_version,
        remote_addr,
        host_key,
        proxy,
        content_type,
        charset,
        size,
        wire_size,
        truncated,
        digest,
        body_file,
        title,
        data,
        noindex,
        from_cache,
        stale,
        change,
        mirrors,
        retry_of,
        meta,
        headers,
        links,
        body,
        body_base64,
    } = record;
    let mut buffer = Vec::with_capacity(USUAL + expected_text(record));
    let out = &mut buffer;
    out.extend_from_slice(b"{\"run\":");
    text(out, run);
    key!(out, "id", text(out, id));
    optional!(out, "input", input, text);
    optional!(out, "line", *line, number);
    optional!(out, "url", url, text);
    optional!(out, "final_url", final_url, text);
    key!(out, "outcome", word(out, outcome.as_str()));
    optional!(out, "status", *status, number);
    optional!(out, "error", error, by_serde);
    optional!(out, "skip_reason", skip_reason.map(SkipReason::as_str), word);
    key!(out, "method", text(out, method));
    key!(out, "depth", number(out, *depth));
    optional!(out, "source", source, text);
    key!(out, "attempts", number(out, *attempts));
    key!(out, "requests", write_requests(out, requests));
    optional!(out, "started_at", *started_at, wall_time);
    optional!(out, "queued_ms", *queued_ms, millis);
    optional!(out, "first_byte_ms", *first_byte_ms, millis);
    optional!(out, "total_ms", *total_ms, millis);
    optional!(out, "dns_ms", *dns_ms, millis);
    optional!(out, "connect_ms", *connect_ms, millis);
    optional!(out, "tls_ms", *tls_ms, millis);
    optional!(out, "http_version", http_version, text);
    optional!(out, "remote_addr", remote_addr, text);
    optional!(out, "host_key", host_key, text);
    optional!(out, "proxy", proxy, text);
    optional!(out, "content_type", content_type, text);
    optional!(out, "charset", charset, text);
    key!(out, "size", number(out, *size));
    key!(out, "wire_size", number(out, *wire_size));
    key!(out, "truncated", flag(out, *truncated));
    optional!(out, "digest", digest, text);
    optional!(out, "body_file", body_file, text);
    optional!(out, "title", title, text);
    optional!(out, "data", data, by_serde);
    key!(out, "noindex", flag(out, *noindex));
    key!(out, "from_cache", flag(out, *from_cache));
    key!(out, "stale", flag(out, *stale));
    optional!(out, "change", change, text);
    optional!(out, "mirrors", mirrors, by_serde);
    optional!(out, "retry_of", *retry_of, number);
    optional!(out, "meta", meta.as_deref(), |out: &mut Vec<u8>, meta| by_serde(out, &Meta(meta)));
    on_request!(out, "headers", headers);
    on_request!(out, "links", links);
    on_request!(out, "body", body);
    on_request!(out, "body_base64", body_base64);
    out.push(b'}');
    buffer
}

/// Bytes of the texts that make one record longer than another, so that its buffer need not grow.
fn expected_text(record: &RecordBody) -> usize {
    let url = record.url.as_deref().map_or(0, str::len);
    // Counted, not guessed: a vector that grew with a body of 16 MiB would be twice as large for a moment.
    let body = record.body.as_ref().and_then(Option::as_ref).map_or(0, |text| escaped_len(text));
    let title = record.title.as_ref().map_or(0, String::len);
    let meta = record.meta.as_deref().map_or(0, str::len);
    let base64 = record.body_base64.as_ref().map_or(0, String::len);
    // Headers and links are not counted; room that is not written costs a large vector no memory.
    let beside = (body + base64) / 16;
    3 * url + record.requests.len() * (url + 160) + title + meta + body + base64 + beside
}

/// Bytes of a text in JSON, without its quotes.
pub(super) fn escaped_len(text: &str) -> usize {
    let cost = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 2,
        0x00..=0x1F | 0x7F => 6,
        _ => 1,
    };
    // Those above U+007F have two bytes.
    let late = text.as_bytes().windows(2).filter(|pair| pair[0] == 0xC2 && pair[1] < 0xA0).count();
    text.bytes().map(cost).sum::<usize>() + 4 * late
}

fn write_requests(out: &mut Vec<u8>, requests: &[RequestLog]) {
    out.push(b'[');
    for (place, request) in requests.iter().enumerate() {
        let RequestLog { url, host_key, kind, started_at, ms, status } = request;
        out.extend_from_slice(if place == 0 { b"{\"url\":" } else { b",{\"url\":" });
        text(out, url);
        key!(out, "host_key", text(out, host_key));
        key!(out, "kind", word(out, kind_word(*kind)));
        key!(out, "started_at", wall_time(out, *started_at));
        key!(out, "ms", millis(out, *ms));
        optional!(out, "status", *status, number);
        out.push(b'}');
    }
    out.push(b']');
}

fn kind_word(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Page => "page",
        RequestKind::Redirect => "redirect",
        RequestKind::Retry => "retry",
        RequestKind::Probe => "probe",
        RequestKind::Race => "race",
        RequestKind::Robots => "robots",
        RequestKind::Sitemap => "sitemap",
    }
}

/// `meta` is JSON text already.
struct Meta<'a>(&'a str);

impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        raw_json(self.0, serializer)
    }
}

/// Writes without spaces, and with the control characters escaped that serde_json leaves as they are.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let bytes = fragment.as_bytes();
        let (mut from, mut at) = (0, 0);
        while let Some(found) = memchr::memchr2(0x7F, 0xC2, &bytes[at..]) {
            let place = at + found;
            let (code, length) = match bytes[place..] {
                [0x7F, ..] => (0x7F, 1),
                [_, code @ 0x80..=0x9F, ..] => (code, 2),
                _ => {
                    at = place + 1;
                    continue;
                }
            };
            out.write_all(&bytes[from..place])?;
            write!(out, "\\u{code:04x}")?;
            at = place + length;
            from = at;
        }
        out.write_all(&bytes[from..])
    }

    /// `meta`: in JSON such characters stand in texts only.
    fn write_raw_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        self.write_string_fragment(out, fragment)
    }
}

fn by_serde(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    if let Err(error) = value.serialize(&mut serde_json::Serializer::with_formatter(out, Escaping)) {
        // A vector takes every byte, all keys are strings, and `meta` is written as what it is.
        unreachable!("a record is always serialisable: {error}");
    }
}

/// A text that needs no escapes.
fn word(out: &mut Vec<u8>, word: &str) {
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, text: impl AsRef<str>) {
    let text = text.as_ref();
    if needs_escape(text.as_bytes()) { by_serde(out, text) } else { word(out, text) }
}

/// Whether a text may have a quote, a backslash or a control character: eight bytes at a time. Those above U+007F begin with
/// 0xC2, as some other characters do.
fn needs_escape(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of a byte that is below `limit` (at most 128) is set; carries only follow a byte that is.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let special = |word: u64| {
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        below(word, 0x20) | is(b'"') | is(b'\\') | is(0x7F) | is(0xC2)
    };
    // The last eight may be looked at twice.
    let Some(last) = text.last_chunk::<8>() else {
        return text.iter().any(|&byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7F | 0xC2));
    };
    // Most texts have none: looking at all of them at once takes half the time of stopping at the first.
    let all = text.as_chunks::<8>().0.iter().map(|word| special(u64::from_ne_bytes(*word)));
    all.fold(special(u64::from_ne_bytes(*last)), |found, word| found | word) != 0
}

fn flag(out: &mut Vec<u8>, flag: bool) {
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}

/// A number without sign, in decimal.
pub(super) fn number(out: &mut Vec<u8>, number: impl Into<u64>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.into();
    loop {
        at -= 1;
        digits[at] = digit(rest % 10);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[expect(clippy::cast_possible_truncation, reason = "a digit is below 10")]
fn digit(value: u64) -> u8 {
    b'0' + value as u8
}

/// Milliseconds with a decimal point and no more decimals than they have, up to three.
fn millis(out: &mut Vec<u8>, time: Millis) {
    let value = time.get();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is lost is seen below")]
    let micros = (value * 1000.0 + 0.5) as u64;
    #[expect(clippy::cast_precision_loss, reason = "compared below 10^15, where nothing is lost")]
    if micros >= 1_000_000_000_000_000 || (micros as f64 / 1000.0).to_bits() != value.to_bits() {
        return by_serde(out, &time);
    }
    number(out, micros / 1000);
    let [a, b, c] = [micros / 100 % 10, micros / 10 % 10, micros % 10].map(digit);
    let decimals = [b'.', a, b, c];
    let len = match (b, c) {
        (b'0', b'0') => 2,
        (_, b'0') => 3,
        _ => 4,
    };
    out.extend_from_slice(&decimals[..len]);
}

/// `"2026-11-20T10:23:00.000Z"`
fn wall_time(out: &mut Vec<u8>, time: WallTime) {
    // Before 1970 and from the year 9999 on the date library knows better, and where it ends.
    const END: u64 = 253_370_764_800_000;
    let Some(millis) = u64::try_from(time.0).ok().filter(|millis| *millis < END) else {
        return by_serde(out, &time);
    };
    let (seconds, days) = (millis / 1000, millis / 86_400_000);
    let (year, month, day) = date(days);
    let mut pattern = *b"\"0000-00-00T00:00:00.000Z\"";
    let mut put = |place: usize, value: u64| {
        pattern[place] = digit(value / 10 % 10);
        pattern[place + 1] = digit(value % 10);
    };
    put(1, year / 100);
    put(3, year);
    put(6, month);
    put(9, day);
    put(12, seconds / 3600 % 24);
    put(15, seconds / 60 % 60);
    put(18, seconds % 60);
    put(21, millis / 10 % 100);
    pattern[23] = digit(millis % 10);
    out.extend_from_slice(&pattern);
}

/// Year, month and day of a number of days since 1970. Years start in March here, so that a leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    // Days from 1 March of the year 0, in cycles of 400 years.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // March to July, and August to December, have 153 days each.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::fetch_error::{ErrorKind, FetchError, Stage};
    use super::super::page::Outlink;
    use super::super::record::{MirrorEnd, Outcome};
    use super::*;

    /// What serde_json writes, control characters escaped behind it: in JSON they stand in texts only.
    fn as_serde_writes(value: &impl Serialize) -> String {
        let is_left = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
        let text = serde_json::to_string(value).unwrap();
        let escaped = |c: char| if is_left(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
        text.chars().map(escaped).collect()
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Every key has a value that stands nowhere else.
    fn full(some: &str) -> RecordBody {
        let text = |name: &str| format!("{name} {some}");
        let link = Outlink {
            url: text("link").into(),
            fragment: None,
            text: Some(text("link text").into()),
            rel: None,
            tag: "a".into(),
            attribute: "href".into(),
            leads: true,
            nofollow: false,
        };
        let request = |status| RequestLog {
            url: text("request").into(),
            host_key: text("request host").into(),
            kind: RequestKind::Retry,
            started_at: WallTime(1_795_170_180_123),
            ms: Millis::from(Duration::from_micros(1250)),
            status,
        };
        RecordBody {
            run: text("run").into(),
            id: text("id"),
            input: Some(text("input").into()),
            line: Some(3),
            url: Some(text("url").into()),
            final_url: Some(text("final url").into()),
            outcome: Outcome::HttpError,
            status: Some(404),
            error: Some(FetchError::transient(ErrorKind::Dns, Stage::Connect, text("error"))),
            skip_reason: Some(SkipReason::PrivateAddress),
            method: text("method").into(),
            depth: 7,
            source: Some(text("source").into()),
            attempts: 8,
            requests: vec![request(Some(503)), request(None)],
            started_at: Some(WallTime(1)),
            queued_ms: Some(Duration::from_micros(1).into()),
            first_byte_ms: Some(Duration::from_micros(20).into()),
            total_ms: Some(Duration::from_micros(300).into()),
            dns_ms: Some(Duration::from_millis(4).into()),
            connect_ms: Some(Duration::from_millis(50).into()),
            tls_ms: Some(Duration::from_micros(60_001).into()),
            http_version: Some("HTTP/2"),
            remote_addr: Some(text("address")),
            host_key: Some(text("host").into()),
            proxy: Some(text("proxy").into()),
            content_type: Some(text("type").into()),
            charset: Some(text("charset").into()),
            size: u64::MAX,
            wire_size: 12,
            truncated: true,
            digest: Some(text("digest")),
            body_file: Some(text("file")),
            title: Some(text("title")),
            data: json!({ "price": [1, null] }).as_object().cloned(),
            noindex: true,
            from_cache: true,
            stale: true,
            change: Some(text("change")),
            mirrors: Some(vec![MirrorEnd {
                url: text("mirror").into(),
                outcome: Outcome::Failed,
                total_ms: Some(Duration::from_micros(70).into()),
                wire_size: 15,
            }]),
            retry_of: Some(14),
            meta: Some(serde_json::to_string(some).unwrap().into()),
            headers: Some([(text("name"), vec![text("value")])].into()),
            links: Some(vec![link]),
            body: Some(Some(text("body"))),
            body_base64: Some(text("base64")),
        }
    }

    #[test]
    fn a_record_is_written_as_serde_writes_it() {
        let blank = RecordBody::blank("run".into(), "id".to_owned(), Outcome::Skipped);
        let empty_body = RecordBody { body: Some(None), links: Some(Vec::new()), ..blank.clone() };
        let raw_meta = RecordBody { meta: Some("{\"a\":\n1.50}".into()), ..blank.clone() };
        let no_json = RecordBody { meta: Some("{".into()), ..blank.clone() };
        for record in [blank, empty_body, raw_meta, no_json, full(""), full("\"\\\n\u{7f}é\u{2028}")] {
            assert_eq!(String::from_utf8(write(&record)).unwrap(), as_serde_writes(&record));
        }
        for outcome in Outcome::ALL {
            assert_eq!(written(|out| word(out, outcome.as_str())), as_serde_writes(&outcome));
        }
        for reason in SkipReason::ALL {
            assert_eq!(written(|out| word(out, reason.as_str())), as_serde_writes(&reason));
        }
        let kinds = [RequestKind::Page, RequestKind::Redirect, RequestKind::Retry, RequestKind::Probe];
        for kind in kinds.into_iter().chain([RequestKind::Race, RequestKind::Robots, RequestKind::Sitemap]) {
            assert_eq!(written(|out| word(out, kind_word(kind))), as_serde_writes(&kind));
        }
    }

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..0x110).filter_map(char::from_u32).chain("\u{a0}£\u{9b}31m\u{85}".chars()).collect();
        for some in [all.clone(), all.chars().rev().collect(), format!("{}\u{9b}", "£".repeat(9)), "\u{9b}".to_owned()]
        {
            let record = full(&some);
            let text = String::from_utf8(write(&record)).unwrap();
            assert!(!text.contains(char::is_control), "{text}");
            let read = serde_json::from_str::<serde_json::Value>(&text).unwrap();
            assert_eq!(read, serde_json::to_value(&record).unwrap(), "the same text");
        }
    }

    #[test]
    fn every_byte_at_every_place_is_escaped_as_serde_does() {
        for byte in 0..128_u8 {
            for (place, len) in (0..20).map(|place| (place, 20)).chain((0..5).map(|place| (place, 5))) {
                let mut bytes = vec![b'a'; len];
                bytes[place] = byte;
                let plain = String::from_utf8(bytes).unwrap();
                assert_eq!(written(|out| text(out, &plain)), as_serde_writes(&plain));
            }
        }
    }

    #[test]
    fn days_are_dates_in_all_years() {
        // Every day of the first years, and days of all months up to the year 9998; with the millisecond before.
        let days = (0..1500).chain((1500..=2_932_531).step_by(97));
        let midnights = days.flat_map(|day: i64| [day * 86_400_000 - 1, day * 86_400_000]);
        for millis in midnights.chain([i64::MIN, 253_370_764_799_999, 253_370_764_800_000, i64::MAX]) {
            let time = WallTime(millis);
            assert_eq!(written(|out| wall_time(out, time)), as_serde_writes(&time), "{millis}");
        }
    }

    proptest! {
        #[test]
        fn records_of_any_text_are_written_as_serde_writes_them(some in any::<String>()) {
            let record = full(&some);
            prop_assert_eq!(String::from_utf8(write(&record)).unwrap(), as_serde_writes(&record));
        }

        #[test]
        fn times_and_numbers_are_written_as_serde_writes_them(
            nanos in prop_oneof![any::<u64>(), 0..10_000_000_000_u64],
            wall in prop_oneof![any::<i64>(), 0..253_402_300_800_000_i64],
            float in any::<f64>(),
            value: u64,
        ) {
            let float: Millis = serde_json::from_str(&as_serde_writes(&float)).unwrap_or_default();
            for time in [Millis::from(Duration::from_nanos(nanos)), float] {
                prop_assert_eq!(written(|out| millis(out, time)), as_serde_writes(&time));
            }
            prop_assert_eq!(written(|out| wall_time(out, WallTime(wall))), as_serde_writes(&WallTime(wall)));
            prop_assert_eq!(written(|out| number(out, value)), value.to_string());
        }
    }
}
