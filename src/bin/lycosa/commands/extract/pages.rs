//! What pages a file holds: itself, the bodies of records, or the responses of a WARC.
//!
//! Told by its first bytes, never by its name: gzip is unpacked, `WARC/` begins an archive, a JSON object with the keys of
//! a record begins JSON Lines of records, any other JSON is one response in JSON, and all else is HTML.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

use super::page::{MAX_PAGE, Page};
use super::warc;

/// What is read of a record of ours.
#[derive(Deserialize)]
struct Recorded {
    url: Option<String>,
    final_url: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    body: Option<String>,
}

/// Calls `found` for each page, until it says that no more is wanted.
///
/// # Errors
/// The file cannot be read, is damaged, or has a page that is too large.
pub fn each(path: &Path, found: &mut dyn FnMut(&Page<'_>) -> bool) -> io::Result<()> {
    let raw: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    let mut reader = BufReader::with_capacity(1 << 16, raw);
    if reader.fill_buf()?.starts_with(&[0x1F, 0x8B]) {
        return read(&mut BufReader::new(MultiGzDecoder::new(reader)), found);
    }
    read(&mut reader, found)
}

fn read(reader: &mut dyn BufRead, found: &mut dyn FnMut(&Page<'_>) -> bool) -> io::Result<()> {
    let start = reader.fill_buf()?;
    if start.starts_with(b"WARC/") {
        return warc::each(reader, found);
    }
    let mut body = Vec::new();
    let is_json = matches!(start.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_json {
        // Records stand one on a line: one at a time is in memory.
        reader.take(MAX_PAGE).read_until(b'\n', &mut body)?;
        if serde_json::from_slice::<Recorded>(&body)
            .is_ok_and(|record| record.final_url.is_some() || record.body.is_some())
            && body.windows(10).any(|word| word == b"\"outcome\":")
        {
            return records(reader, body, found);
        }
    }
    reader.take(MAX_PAGE + 1).read_to_end(&mut body)?;
    if body.len() as u64 > MAX_PAGE {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    let media_type = if is_json { "application/json" } else { "text/html" };
    found(&Page { url: None, media_type, charset: None, body: &body });
    Ok(())
}

/// Records with bodies; those without one are passed over.
fn records(reader: &mut dyn BufRead, mut line: Vec<u8>, found: &mut dyn FnMut(&Page<'_>) -> bool) -> io::Result<()> {
    while !line.is_empty() {
        let record: Recorded =
            serde_json::from_slice(&line).map_err(|error| io::Error::other(format!("a line is no record: {error}")))?;
        if let Some(body) = record.body.as_deref() {
            let url = record.final_url.as_deref().or(record.url.as_deref());
            let media_type = record.content_type.as_deref().unwrap_or("text/html");
            // It was decoded for the record.
            if !found(&Page { url, media_type, charset: Some("utf-8"), body: body.as_bytes() }) {
                return Ok(());
            }
        }
        line.clear();
        reader.take(2 * MAX_PAGE).read_until(b'\n', &mut line)?;
        if line.trim_ascii().is_empty() {
            line.clear();
        }
    }
    Ok(())
}
