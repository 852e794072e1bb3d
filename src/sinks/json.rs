//! A JSON array with one record a line: `[`, records with a comma after each but the last, `]`; `[]` for none.
//!
//! The comma is written with the record that follows, so that the array can be closed at any time: at every normal end,
//! and in a regular file also after a failed write. Called by delivery's thread through [`Sink`].

use std::fs::File;

use super::jsonl::after_brace;
use super::output::Output;
use super::{Format, Line, Open, Sink, SinkError};
use crate::model::mark::OutputMark;
use crate::model::record_json::write_head;

/// Its entry in the format table.
pub(super) const FORMAT: Format = Format {
    name: "json",
    endings: &["json"],
    beside: &[],
    open: Open::Text(|output, start| {
        let is_empty = !start.goes_on;
        Box::new(Json { output, next: start.next_seq, is_empty, is_sealed_empty: is_empty, has_failed: false })
    }),
};

struct Json {
    output: Output,
    /// The `seq` after the last whole record.
    next: u64,
    is_empty: bool,
    /// The same where the last epoch ended.
    is_sealed_empty: bool,
    has_failed: bool,
}

impl Sink for Json {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        let mut first = self.is_empty;
        let mut wrote = Ok(());
        for line in lines {
            let start: &[u8] = if std::mem::take(&mut first) { b"[\n" } else { b",\n" };
            let form = |out: &mut Vec<u8>| {
                out.extend_from_slice(start);
                write_head(line.seq, out);
            };
            wrote = self.output.line(form, after_brace(line), &[]);
            if wrote.is_err() {
                break;
            }
        }
        let wrote = wrote.and_then(|()| self.output.end_batch());
        let written = wrote.as_ref().map_or_else(|error| error.written, |()| lines.len());
        self.is_empty &= written == 0;
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
        let sealed = self.output.seal();
        if sealed.is_ok() {
            self.is_sealed_empty = self.is_empty;
        } else {
            (self.has_failed, self.is_empty) = (true, self.is_sealed_empty);
        }
        sealed
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
        if self.output.is_torn() {
            return Ok(());
        }
        let end: &[u8] = if self.is_empty { b"[]\n" } else { b"\n]\n" };
        let closed = self.output.line(|_| (), end, &[]).and_then(|()| self.output.end_batch());
        let closed = closed.and_then(|()| self.output.seal_last());
        // That this output cannot be written was told when it happened; closing it was worth a try.
        if self.has_failed { Ok(()) } else { closed }
    }
}
