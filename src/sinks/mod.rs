//! Floor 3: where records go. Each sink has a thread of its own and a bounded queue, both owned by the engine's delivery.

use std::path::PathBuf;

use crate::model::record::RecordBody;

pub mod json;
pub mod jsonl;

/// A record with its place in the output.
#[derive(Debug)]
pub struct Line {
    pub seq: u64,
    /// As [`RecordBody::to_json`] gave it: with the opening brace, without `schema` and `seq`.
    pub json: Vec<u8>,
    /// For sinks that need more than the text; None if no sink of this run does.
    pub record: Option<Box<RecordBody>>,
}

/// A sink that could not write.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {target}")]
pub struct SinkError {
    /// `standard output`, or the file's path.
    pub target: String,
    /// Lines of the failed batch that are whole in the output.
    pub written: usize,
    pub source: std::io::Error,
}

impl SinkError {
    /// The reader has gone away: not an error, but the end.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::BrokenPipe
    }
}

/// An output format. Synchronous: it runs on its own thread.
pub trait Sink: Send {
    /// Writes a batch, in order. What it wrote may still be in the process's memory until [`Sink::commit`].
    ///
    /// # Errors
    /// Says how many lines of the batch are whole in the output; nothing may be written after it but `finish`.
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError>;

    /// Hands everything to the operating system; called whenever the queue is empty. Returns the next `seq`.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn commit(&mut self) -> Result<u64, SinkError>;

    /// Ends the format (closes an array, writes a footer) and commits.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn finish(&mut self) -> Result<(), SinkError>;

    /// Whether [`Line::record`] must be filled.
    fn needs_record(&self) -> bool {
        false
    }
}

/// Where one output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Stdout,
    File(PathBuf),
}

/// One output of a run, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSettings {
    pub target: Target,
    /// A name of the format table.
    pub format: &'static str,
}

/// One output format.
#[derive(Debug)]
pub struct Format {
    pub name: &'static str,
}

/// All formats.
pub const FORMATS: &[Format] = &[Format { name: "jsonl" }, Format { name: "json" }];

/// The format that a file's ending names; without an ending `jsonl`; None for an ending that is not known.
#[must_use]
pub fn format_for_path(path: &std::path::Path) -> Option<&'static str> {
    let Some(ending) = path.extension() else { return Some("jsonl") };
    FORMATS.iter().map(|format| format.name).find(|name| ending == *name)
}
