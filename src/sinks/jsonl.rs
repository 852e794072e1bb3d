//! JSON Lines: one record, one line, and zero bytes for a run without records.
//!
//! Decides only the bytes of a line. Called by delivery's thread through [`Sink`].

use std::fs::File;

use super::output::Output;
use super::{Format, Line, Open, Sink, SinkError};
use crate::model::mark::OutputMark;
use crate::model::record_json::write_head;

/// Its entry in the format table.
pub(super) const FORMAT: Format = Format {
    name: "jsonl",
    endings: &["jsonl", "ndjson"],
    beside: &[],
    open: Open::Text(|output, start| Box::new(Jsonl { output, next: start.next_seq })),
};

struct Jsonl {
    output: Output,
    /// The `seq` after the last whole line.
    next: u64,
}

impl Sink for Jsonl {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        let wrote = lines
            .iter()
            .try_for_each(|line| self.output.line(|out| write_head(line.seq, out), after_brace(line), b"\n"));
        let wrote = wrote.and_then(|()| self.output.end_batch());
        let written = wrote.as_ref().map_or_else(|error| error.written, |()| lines.len());
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
        self.output.seal()
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
        self.output.seal_last()
    }
}

/// What follows [`write_head`] in the object of a line.
pub(super) fn after_brace(line: &Line) -> &[u8] {
    &line.json[1..]
}
