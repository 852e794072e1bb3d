//! A small reader of WARC: the HTTP responses of an archive, one at a time in memory.
//!
//! Reads `response` records of http and https with status 2xx, undoes chunks, gzip, deflate, br and zstd of their bodies, and
//! passes over all else: requests, metadata, revisits, other schemes. A response that breaks HTTP is passed over too.
//!
//! Source: ISO 28500 (WARC 1.0 and 1.1), 4 and 6.3; RFC 9112 7.1 (chunks).

use std::io::{self, BufRead, Read as _};

use super::page::{MAX_PAGE, Page};

/// Bytes of a line of a head, and lines of it.
const MAX_LINE: u64 = 64 << 10;
const MAX_LINES: usize = 1000;

/// Names in lower case, with their values.
type Head = Vec<(String, String)>;

/// Calls `found` for each response, until it says that no more is wanted.
///
/// # Errors
/// The archive cannot be read, or is none from some record on.
pub fn each(reader: &mut dyn BufRead, found: &mut dyn FnMut(&Page<'_>) -> bool) -> io::Result<()> {
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
        let url = value(&head, "warc-target-uri").map(|url| url.trim_matches(['<', '>']));
        let is_page = value(&head, "warc-type").is_some_and(|kind| kind.eq_ignore_ascii_case("response"))
            && url.is_some_and(|url| url.starts_with("http"))
            && length <= MAX_PAGE;
        let mut content = reader.take(length);
        if is_page {
            let mut block = Vec::new();
            content.read_to_end(&mut block)?;
            if block.len() as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(response) = response(&block)
                && !found(&response.page(url))
            {
                return Ok(());
            }
        } else if io::copy(&mut content, &mut io::sink())? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
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
    fn page<'a>(&'a self, url: Option<&'a str>) -> Page<'a> {
        Page { url, media_type: &self.media_type, charset: self.charset.as_deref(), body: &self.body }
    }
}

/// None if it is none, or not a page: another status, or a body that cannot be decoded.
fn response(block: &[u8]) -> Option<Response> {
    let mut rest = block;
    let status = line(&mut rest).ok()??;
    let mut words = status.split_whitespace();
    let is_http = words.next()?.starts_with("HTTP/");
    if !is_http || !words.next()?.starts_with('2') {
        return None;
    }
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

fn content_type(value: &str) -> (String, Option<String>) {
    let mut parts = value.split(';');
    let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    (media_type, charset)
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

    fn read(archive: &[u8]) -> io::Result<Vec<(String, String, String)>> {
        let mut pages = Vec::new();
        each(&mut &archive[..], &mut |page| {
            let body = String::from_utf8_lossy(page.body).into_owned();
            pages.push((page.url.unwrap_or_default().to_owned(), page.media_type.to_owned(), body));
            true
        })?;
        Ok(pages)
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
        assert_eq!(read(&archive).unwrap(), expected);
        assert_eq!(read(&archive[..archive.len() - 6]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(read(b"WARC/1.0\r\nWARC-Type: response\r\n\r\n").unwrap_err().to_string().contains("Content-Length"));
        assert!(read(b"nonsense\r\n").is_err());
    }
}
