//! A small reader of WARC: the HTTP responses of an archive, one at a time in memory.
//!
//! Reads `response` records of http and https with status 2xx, undoes chunks, gzip, deflate, br and zstd of their bodies,
//! finds the pages that `revisit` records refer to by their digest, and passes over all else: requests, metadata, other
//! schemes. What ought to be a page and is none is counted.
//!
//! Source: ISO 28500 (WARC 1.0 and 1.1), 4 and 6.3; RFC 9112 7.1 (chunks).

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};

use super::page::{MAX_PAGE, Page, Passed, Take, content_type};

/// Bytes of a line of a head, and lines of it.
const MAX_LINE: u64 = 64 << 10;
const MAX_LINES: usize = 1000;

/// Names in lower case, with their values.
type Head = Vec<(String, String)>;

/// The URLs of revisits, by the digest of the page that they refer to.
#[derive(Debug, Default)]
pub struct Awaited(HashMap<String, Vec<String>>);

impl Awaited {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn count(&self) -> u64 {
        self.0.values().map(|urls| urls.len() as u64).sum()
    }
}

/// Calls `take` for each page of a `response`, until it says that no more is wanted; and what revisits still wait for.
///
/// # Errors
/// The archive cannot be read, or is none from some record on.
pub fn each(reader: &mut dyn BufRead, take: &mut Take<'_>) -> io::Result<(Passed, Awaited)> {
    let (mut passed, mut awaited) = (Passed::default(), Awaited::default());
    records(reader, &mut |record| match record {
        Record::Large => {
            passed.large += 1;
            true
        }
        Record::Revisit { url, digest } => {
            awaited.0.entry(digest.to_owned()).or_default().push(url.to_owned());
            true
        }
        Record::Response { url, block, .. } => match response(block) {
            Ok(response) => take(&response.page(url)),
            Err(Unread::Status) => {
                passed.failed += 1;
                true
            }
            Err(Unread::Broken) => {
                passed.broken += 1;
                true
            }
        },
    })?;
    Ok((passed, awaited))
}

/// Calls `take` for the pages of revisits, which a second look at the archive finds; returns how many it did not.
///
/// # Errors
/// As [`each`].
pub fn again(reader: &mut dyn BufRead, awaited: Awaited, take: &mut Take<'_>) -> io::Result<u64> {
    let mut awaited = awaited;
    records(reader, &mut |record| {
        let Record::Response { block, digest: Some(digest), .. } = record else { return true };
        let Some(urls) = awaited.0.remove(digest) else { return !awaited.is_empty() };
        match response(block) {
            Ok(response) => urls.iter().all(|url| take(&response.page(url))),
            Err(_) => true,
        }
    })?;
    Ok(awaited.count())
}

/// A record that is a page, or stands for one.
enum Record<'a> {
    Response {
        url: &'a str,
        digest: Option<&'a str>,
        block: &'a [u8],
    },
    Revisit {
        url: &'a str,
        digest: &'a str,
    },
    /// A response that is larger than a page may be.
    Large,
}

/// Calls `take` for each record that is a page, until it says that no more is wanted.
fn records(reader: &mut dyn BufRead, take: &mut dyn FnMut(Record<'_>) -> bool) -> io::Result<()> {
    while let Some(version) = version(reader)? {
        if !version.starts_with("WARC/") {
            return Err(io::Error::other(format!(
                "'{}' begins no WARC record",
                version.chars().take(40).collect::<String>()
            )));
        }
        let head = head(reader)?;
        let length: u64 = value(&head, "content-length")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::other("a WARC record has no Content-Length"))?;
        let url = value(&head, "warc-target-uri").map_or("", |url| url.trim_matches(['<', '>']));
        let kind = value(&head, "warc-type").unwrap_or_default().to_ascii_lowercase();
        let digest = value(&head, "warc-payload-digest");
        let is_page = kind == "response" && url.starts_with("http");
        let mut content = reader.take(length);
        let mut block = Vec::new();
        let found = if is_page && length <= MAX_PAGE {
            content.read_to_end(&mut block)?;
            Some(Record::Response { url, digest, block: &block })
        } else {
            let identical = kind == "revisit" && value(&head, "warc-profile").is_some_and(is_identical);
            let revisit = digest.filter(|_| identical).map(|digest| Record::Revisit { url, digest });
            revisit.or(is_page.then_some(Record::Large))
        };
        if io::copy(&mut content, &mut io::sink())? + block.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if found.is_some_and(|found| !take(found)) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the payload is that of an earlier record (ISO 28500, 6.7.2): a server's 304 is no page.
fn is_identical(profile: &str) -> bool {
    profile.contains("identical-payload-digest")
}

/// The first line of the next record; None at the end.
fn version(reader: &mut dyn BufRead) -> io::Result<Option<String>> {
    loop {
        match line(reader)? {
            None => return Ok(None),
            Some(text) if text.is_empty() => {}
            text => return Ok(text),
        }
    }
}

fn line(reader: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.take(MAX_LINE).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()))
}

fn head(reader: &mut dyn BufRead) -> io::Result<Head> {
    let mut head = Head::new();
    while let Some(text) = line(reader)?.filter(|text| !text.is_empty()) {
        if head.len() == MAX_LINES {
            return Err(io::Error::other("a head has no end"));
        }
        if let Some((name, value)) = text.split_once(':') {
            head.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Ok(head)
}

fn value<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    head.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

/// A response of HTTP, body decoded.
struct Response {
    media_type: String,
    charset: Option<String>,
    body: Vec<u8>,
}

impl Response {
    fn page<'a>(&'a self, url: &'a str) -> Page<'a> {
        Page { url: Some(url), media_type: &self.media_type, charset: self.charset.as_deref(), body: &self.body }
    }
}

/// Why a response is no page.
#[derive(Debug)]
enum Unread {
    /// Another status than 2xx.
    Status,
    /// It breaks HTTP, or its body cannot be decoded.
    Broken,
}

fn response(block: &[u8]) -> Result<Response, Unread> {
    let mut rest = block;
    let status = line(&mut rest).ok().flatten().unwrap_or_default();
    let mut words = status.split_whitespace();
    if !words.next().is_some_and(|version| version.starts_with("HTTP/")) {
        return Err(Unread::Broken);
    }
    if !words.next().is_some_and(|status| status.starts_with('2')) {
        return Err(Unread::Status);
    }
    body(rest).ok_or(Unread::Broken)
}

/// What stands behind the status line. None if it cannot be decoded.
fn body(mut rest: &[u8]) -> Option<Response> {
    let head = head(&mut rest).ok()?;
    let chunked =
        value(&head, "transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
    // Some writers keep the header and have undone the chunks.
    let body = chunked.then(|| unchunked(rest)).flatten().unwrap_or_else(|| rest.to_vec());
    let body = match value(&head, "content-encoding").map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "identity") => body,
        Some("gzip" | "x-gzip") => undone(flate2::read::MultiGzDecoder::new(&body[..]), &body)?,
        Some("deflate") => undone(flate2::read::ZlibDecoder::new(&body[..]), &body)?,
        Some("br") => undone(brotli::Decompressor::new(&body[..], 4096), &body)?,
        Some("zstd") => undone(zstd::stream::read::Decoder::new(&body[..]).ok()?, &body)?,
        Some(_) => return None,
    };
    let (media_type, charset) = content_type(value(&head, "content-type").unwrap_or_default());
    Some(Response { media_type, charset, body })
}

/// What a decoder makes of a body; the body itself if it is not coded after all, as in archives whose writer has undone
/// it and kept the header.
fn undone(decoder: impl io::Read, body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match decoder.take(MAX_PAGE + 1).read_to_end(&mut out) {
        Ok(_) => (out.len() as u64 <= MAX_PAGE).then_some(out),
        Err(_) if out.is_empty() => Some(body.to_vec()),
        Err(_) => Some(out),
    }
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let size = line(&mut rest).ok()??;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?;
        line(&mut rest).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, url: &str, block: &[u8]) -> Vec<u8> {
        let head = format!(
            "WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nContent-Length: {}\r\n\r\n",
            block.len()
        );
        [head.as_bytes(), block, b"\r\n\r\n"].concat()
    }

    fn record_of(kind: &str, url: &str, digest: &str, block: &[u8]) -> Vec<u8> {
        let more =
            format!("WARC-Payload-Digest: {digest}\r\nWARC-Profile: x/identical-payload-digest\r\nContent-Length");
        let text = record(kind, url, b"");
        let text = String::from_utf8(text).unwrap().replace("Content-Length: 0", &format!("{more}: {}", block.len()));
        [text.trim_end().as_bytes(), b"\r\n\r\n", block, b"\r\n\r\n"].concat()
    }

    /// URL, media type and body.
    type Found = (String, String, String);

    fn read(archive: &[u8]) -> io::Result<(Vec<Found>, Passed)> {
        let mut pages = Vec::new();
        let mut take = |page: &Page<'_>| {
            let body = String::from_utf8_lossy(page.body).into_owned();
            pages.push((page.url.unwrap_or_default().to_owned(), page.media_type.to_owned(), body));
            true
        };
        let (mut passed, awaited) = each(&mut &archive[..], &mut take)?;
        passed.revisits += again(&mut &archive[..], awaited, &mut take)?;
        Ok((pages, passed))
    }

    #[test]
    fn revisits_lead_to_the_page_that_they_refer_to() {
        let html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>a";
        let archive = [
            record_of("response", "http://h.test/1", "sha256:a", html),
            record_of("revisit", "http://h.test/2", "sha256:a", b"HTTP/1.1 200 OK\r\n\r\n"),
            record_of("revisit", "http://h.test/3", "sha256:elsewhere", b""),
            record("response", "http://h.test/4", b"nonsense"),
            record("response", "http://h.test/5", b"HTTP/1.1 200 OK\r\nContent-Encoding: zap\r\n\r\n.."),
            record("response", "http://h.test/6", b"HTTP/1.1 500 No\r\n\r\n.."),
        ];
        let (pages, passed) = read(&archive.concat()).unwrap();
        let page = |url: &str| (url.to_owned(), "text/html".to_owned(), "<p>a".to_owned());
        assert_eq!(pages, [page("http://h.test/1"), page("http://h.test/2")]);
        assert_eq!(passed, Passed { revisits: 1, broken: 2, failed: 1, ..Passed::default() });
        let told = passed.told().unwrap();
        assert!(
            told.starts_with("passed over: 1 whose URL did not end well, 2 that cannot be read, 1 that only"),
            "{told}"
        );
    }

    #[test]
    fn responses_are_found_among_other_records_and_decoded() {
        let html = b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=utf-8\r\n\r\n<p>a";
        let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n<p\r\n2\r\n>b\r\n0\r\n\r\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, b"<p>c").unwrap();
        let coded = [&b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"[..], &gzip.finish().unwrap()].concat();
        let undone = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n<p>d";
        let archive = [
            record("warcinfo", "", b"software: x"),
            record("response", "http://h.test/1", html),
            record("request", "http://h.test/1", b"GET / HTTP/1.1\r\n\r\n"),
            record("response", "<http://h.test/2>", chunked),
            record("response", "http://h.test/3", &coded),
            record("response", "http://h.test/4", undone),
            record("response", "http://h.test/404", b"HTTP/1.1 404 Not Found\r\n\r\nx"),
            record("response", "dns:h.test", b"127.0.0.1"),
        ]
        .concat();
        let page =
            |number: u8, kind: &str, body: &str| (format!("http://h.test/{number}"), kind.to_owned(), body.to_owned());
        let expected =
            [page(1, "text/html", "<p>a"), page(2, "text/html", "<p>b"), page(3, "", "<p>c"), page(4, "", "<p>d")];
        assert_eq!(read(&archive).unwrap().0, expected);
        assert_eq!(read(&archive[..archive.len() - 6]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(read(b"WARC/1.0\r\nWARC-Type: response\r\n\r\n").unwrap_err().to_string().contains("Content-Length"));
        assert!(read(b"nonsense\r\n").is_err());
    }
}
