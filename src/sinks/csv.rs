//! Comma-separated values: a header line, then a line for each record; zero records are the header alone.
//!
//! Decides the bytes of a cell. Objects and arrays are JSON text in one cell, null is an empty cell, an empty text is
//! `""`. A text that a spreadsheet would take for a formula gets an apostrophe before it: titles and URLs are written by
//! strangers. Numbers are not touched. Called by delivery's thread through [`Sink`].
//!
//! Sources: RFC 4180 (quotes, CRLF); OWASP, "CSV Injection" (which characters begin a formula).

use std::borrow::Cow;
use std::fs::File;
use std::io;

use super::output::Output;
use super::row::row;
use super::{Format, Line, Open, Sink, SinkError};
use crate::model::columns::COLUMNS;
use crate::model::mark::OutputMark;
use crate::model::record::SCHEMA;

/// Its entry in the format table.
pub(super) const FORMAT: Format = Format {
    name: "csv",
    endings: &["csv"],
    beside: &[],
    open: Open::Text(|output, start| {
        Box::new(Csv { output, next: start.next_seq, has_header: start.goes_on, has_failed: false })
    }),
};

struct Csv {
    output: Output,
    /// The `seq` after the last whole line.
    next: u64,
    has_header: bool,
    has_failed: bool,
}

impl Csv {
    fn line(&mut self, line: &Line, with_header: bool) -> Result<(), SinkError> {
        let mut formed = Vec::with_capacity(line.json.len());
        record(line, &mut formed).map_err(|source| SinkError { target: FORMAT.name.to_owned(), written: 0, source })?;
        let start = |out: &mut Vec<u8>| {
            if with_header {
                header(out);
            }
        };
        self.output.line(start, &formed, &[])
    }
}

impl Sink for Csv {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        let has_header = self.has_header;
        let wrote = lines.iter().enumerate().try_for_each(|(place, line)| self.line(line, !has_header && place == 0));
        let wrote = wrote.and_then(|()| self.output.end_batch());
        let written = wrote.as_ref().map_or_else(|error| error.written, |()| lines.len());
        self.has_header |= written > 0;
        self.has_failed |= wrote.is_err();
        self.next = lines[..written].last().map_or(self.next, |line| line.seq + 1);
        wrote
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(self.next)
    }

    fn seals(&self) -> bool {
        self.output.seals()
    }

    fn seal(&mut self) -> Result<(), SinkError> {
        self.output.seal().inspect_err(|_| self.has_failed = true)
    }

    fn atomic_bytes(&self) -> Option<usize> {
        self.output.atomic_bytes()
    }

    fn mark(&self) -> Option<OutputMark> {
        self.output.mark()
    }

    fn file(&self) -> Option<File> {
        self.output.file()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if self.has_failed {
            return Ok(());
        }
        if !self.has_header {
            self.output.line(header, &[], &[]).and_then(|()| self.output.end_batch())?;
        }
        self.output.seal_last()
    }
}

fn header(out: &mut Vec<u8>) {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    out.extend_from_slice(names.join(",").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One record with its end of line.
fn record(line: &Line, out: &mut Vec<u8>) -> io::Result<()> {
    let row = row(&line.json)?;
    out.extend_from_slice(format!("{SCHEMA},{}", line.seq).as_bytes());
    for value in &row[2..] {
        out.push(b',');
        match value {
            None => {}
            Some(json) if json.starts_with('"') => text(&serde_json::from_str::<Cow<'_, str>>(json)?, out),
            // A number, true, false, or what is nested: no formula begins like these.
            Some(json) => cell(json, "", out),
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// A cell that holds a text.
fn text(text: &str, out: &mut Vec<u8>) {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
    cell(text, guard, out);
}

/// A cell, in quotes if it needs them.
fn cell(text: &str, guard: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        out.extend_from_slice(guard.as_bytes());
        out.extend_from_slice(text.as_bytes());
    } else {
        quoted(text, guard, out);
    }
}

fn quoted(text: &str, guard: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(guard.as_bytes());
    let mut parts = text.split('"');
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.extend_from_slice(b"\"\"");
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::record::{Outcome, RecordBody};

    fn written(value: &str) -> String {
        let mut out = Vec::new();
        text(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_that_begin_like_formulas_are_guarded() {
        for (value, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("=HYPERLINK(\"a\",\"b\")", "\"'=HYPERLINK(\"\"a\"\",\"\"b\"\")\""),
            ("a=1", "a=1"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("two\nlines", "\"two\nlines\""),
            ("\"", "\"\"\"\""),
        ] {
            assert_eq!(written(value), expected);
        }
    }

    #[test]
    fn numbers_stay_numbers_and_what_is_nested_is_json() {
        let mut made = RecordBody::blank("run".into(), "-id".to_owned(), Outcome::Ok);
        made.status = Some(200);
        made.meta = Some("-5".into());
        made.data = serde_json::json!({"a": ["=x"]}).as_object().cloned();
        let mut out = Vec::new();
        record(&Line { seq: 7, json: made.to_json(), record: None }, &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with("1,7,run,'-id,,,,,ok,200,,,GET,0,,0,[],,"), "{line}");
        assert!(line.contains(r#""{""a"":[""=x""]}""#) && line.ends_with(",,-5,,,,\r\n"), "{line}");
    }

    proptest! {
        /// A reader by the letter of RFC 4180 gets the text back.
        #[test]
        fn any_text_is_read_back(value in "[=+@a\t\r\n\",é-]{0,12}") {
            let cell = written(&value);
            let inner = if let Some(rest) = cell.strip_prefix('"') {
                    rest.strip_suffix('"').unwrap().replace("\"\"", "\u{0}")
                } else {
                    prop_assert!(!cell.contains(['"', ',', '\r', '\n']));
                    cell.clone()
                };
            prop_assert!(!inner.contains('"'), "{}", cell);
            let read = inner.replace('\u{0}', "\"");
            let guarded = read.strip_prefix('\'').unwrap_or(&read);
            prop_assert_eq!(guarded, value.as_str());
            prop_assert!(!read.starts_with(['=', '+', '-', '@', '\t', '\r']));
        }
    }
}
