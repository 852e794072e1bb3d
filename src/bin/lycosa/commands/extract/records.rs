//! Pages out of records of lycosa: the bodies that stand in them, or lie in the files that they name.
//!
//! Records of URLs that did not end well have no data in a run, and give none here. Read one at a time.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};

use super::page::{MAX_PAGE, Page, Passed, Take};

/// What is read of a record.
#[derive(Deserialize)]
struct Record {
    outcome: String,
    #[expect(dead_code, reason = "objects without it are no records")]
    run: String,
    url: Option<String>,
    final_url: Option<String>,
    content_type: Option<String>,
    charset: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
    #[serde(default)]
    body_file: Option<PathBuf>,
}

/// Whether a line is a record.
pub fn is_record(line: &[u8]) -> bool {
    serde_json::from_slice::<Record>(line).is_ok()
}

/// Whether these are the first bytes of an array of records, as `--format json` writes them.
pub fn is_array(start: &[u8]) -> bool {
    let inside = start.trim_ascii_start().strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|inside| inside.starts_with(b"{\"schema\":"))
}

/// Records, one on a line; the first was read already.
///
/// # Errors
/// A line that is no record.
pub fn of_lines(reader: &mut dyn BufRead, first: Vec<u8>, path: &Path, take: &mut Take<'_>) -> io::Result<Passed> {
    let (mut passed, mut line, mut number) = (Passed::default(), first, 1_u64);
    while !line.is_empty() {
        if !line.trim_ascii().is_empty() {
            let record: Record = serde_json::from_slice(&line)
                .map_err(|error| io::Error::other(format!("line {number} is no record: {error}")))?;
            if !give(&record, path, &mut passed, take) {
                break;
            }
        }
        line.clear();
        number += 1;
        reader.take(2 * MAX_PAGE).read_until(b'\n', &mut line)?;
    }
    Ok(passed)
}

/// Records in an array.
///
/// # Errors
/// It is none, or an element is no record.
pub fn of_array(reader: &mut dyn BufRead, path: &Path, take: &mut Take<'_>) -> io::Result<Passed> {
    struct Each<'a, 't>(&'a Path, &'a mut Take<'t>);

    impl<'de> Visitor<'de> for Each<'_, '_> {
        type Value = Passed;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an array of records")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Passed, A::Error> {
            let mut passed = Passed::default();
            let mut goes_on = true;
            // To the end, also if no more is wanted: what is damaged behind is to be told.
            while let Some(record) = records.next_element::<Record>()? {
                goes_on = goes_on && give(&record, self.0, &mut passed, self.1);
            }
            Ok(passed)
        }
    }

    let mut json = serde_json::Deserializer::from_reader(reader);
    let passed = json.deserialize_seq(Each(path, take)).map_err(io::Error::other)?;
    json.end().map_err(io::Error::other)?;
    Ok(passed)
}

/// Hands the page of a record over, if it has one.
fn give(record: &Record, path: &Path, passed: &mut Passed, take: &mut Take<'_>) -> bool {
    if record.outcome != "ok" {
        passed.failed += 1;
        return true;
    }
    let url = record.final_url.as_deref().or(record.url.as_deref());
    let media_type = record.content_type.as_deref().unwrap_or_default();
    let charset = record.charset.as_deref();
    if let Some(body) = &record.body {
        // It was decoded for the record.
        return take(&Page { url, media_type, charset: Some("utf-8"), body: body.as_bytes() });
    }
    let encoded = record.body_base64.as_deref().and_then(|body| STANDARD.decode(body).ok());
    match encoded.or_else(|| saved(record.body_file.as_deref()?, path)) {
        Some(body) if body.len() as u64 > MAX_PAGE => passed.large += 1,
        Some(body) => return take(&Page { url, media_type, charset, body: &body }),
        None => passed.bodiless += 1,
    }
    true
}

/// The saved body: where the record says, seen from here, or from where the records lie.
fn saved(file: &Path, records: &Path) -> Option<Vec<u8>> {
    let beside = records.parent().map(|parent| parent.join(file));
    [Some(file.to_owned()), beside].into_iter().flatten().find_map(|path| fs::read(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(rest: &str) -> String {
        format!(
            r#"{{"schema":1,"seq":0,"run":"r","outcome":"ok","url":"http://h.test/","content_type":"text/html","charset":"windows-1252"{rest}}}"#
        )
    }

    fn pages(read: impl FnOnce(&mut Take<'_>) -> io::Result<Passed>) -> (Vec<(String, Option<String>)>, Passed) {
        let mut found = Vec::new();
        let passed = read(&mut |page| {
            found.push((String::from_utf8_lossy(page.body).into_owned(), page.charset.map(str::to_owned)));
            true
        });
        (found, passed.unwrap())
    }

    #[test]
    fn bodies_are_taken_from_wherever_they_are() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bodies")).unwrap();
        fs::write(directory.path().join("bodies/1.html"), "saved").unwrap();
        let failed = record("").replace("\"ok\"", "\"failed\"");
        let lines = [
            failed,
            record(r#","body":"text""#),
            record(r#","body_base64":"aGk=""#),
            record(r#","body_file":"bodies/1.html""#),
            record(r#","body_file":"bodies/2.html""#),
            String::new(),
            record(r#","body":null"#),
        ];
        let expected = [("text", "utf-8"), ("hi", "windows-1252"), ("saved", "windows-1252")]
            .map(|(body, charset)| (body.to_owned(), Some(charset.to_owned())));
        let passed = Passed { failed: 1, bodiless: 2, ..Passed::default() };
        let path = directory.path().join("records");
        assert!(is_record(lines[0].as_bytes()) && !is_record(b"{\"outcome\":\"ok\"}"));
        let text = lines.join("\n");
        assert_eq!(
            pages(|take| of_lines(&mut text.as_bytes(), b"\n".to_vec(), &path, take)),
            (expected.to_vec(), passed.clone())
        );
        let array = format!("[\n{}]", lines.join(",\n").replace(",\n,", ","));
        assert!(is_array(array.as_bytes()));
        assert_eq!(pages(|take| of_array(&mut array.as_bytes(), &path, take)), (expected.to_vec(), passed));
        let cut = &array.as_bytes()[..array.len() - 3];
        assert!(of_array(&mut &*cut, &path, &mut |_| true).is_err());
        let error = of_lines(&mut &b"{}\n"[..], record("").into_bytes(), &path, &mut |_| true).unwrap_err();
        assert!(error.to_string().starts_with("line 2 is no record"), "{error}");
    }
}
