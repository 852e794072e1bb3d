//! Floor 3: where records go. Each sink has a thread of its own and a bounded queue, both owned by the engine's delivery.
//!
//! Decides the bytes of an output format, and what stays of a batch that could not be written. Never orders records,
//! never gives out `seq`, never makes directories. To add a format: its file, and its two lines here.

use std::path::{Path, PathBuf};

use crate::model::mark::OutputMark;
use crate::model::record::RecordBody;

pub mod bodies;
pub mod channel;
pub mod command;
mod exec;
pub mod json;
pub mod jsonl;
mod output;
mod pipe;
mod reread;

pub use channel::{ChannelSink, channel};
pub use output::Output;

/// Every format there is.
pub const FORMATS: &[Format] = &[jsonl::FORMAT, json::FORMAT];

/// An output format.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// As in `--format` and `-o NAME:FILE`.
    pub name: &'static str,
    /// Endings of file names that stand for it, in lower case and without the dot.
    pub endings: &'static [&'static str],
    open: fn(Output, Start) -> Box<dyn Sink>,
}

/// Where an output begins.
#[derive(Debug, Clone, Copy)]
struct Start {
    next_seq: u64,
    /// Records of this output stand before it. Not so in what cannot be cut back: each process writes its own there.
    goes_on: bool,
}

/// The format that a file's ending asks for: `jsonl` if it has none. None if no format has that ending.
#[must_use]
pub fn format_for_path(path: &Path) -> Option<&'static str> {
    let Some(ending) = path.extension() else { return Some(jsonl::FORMAT.name) };
    let ending = ending.to_str()?.to_ascii_lowercase();
    FORMATS.iter().find(|format| format.endings.contains(&ending.as_str())).map(|format| format.name)
}

/// Opens an output; a file is created, or truncated if it exists.
///
/// # Errors
/// The file cannot be created (a directory that does not exist is not made), or no format has that name.
pub fn open(settings: &OutputSettings) -> Result<Box<dyn Sink>, SinkError> {
    let format = format_of(settings)?;
    Output::open(settings).map(|output| (format.open)(output, Start { next_seq: 0, goes_on: false }))
}

/// Opens an output to go on with it behind the record before `next_seq`, where `mark` was made: what stands behind it is
/// cut off. Without a mark nothing is cut, but of a run that has no record yet, and what is written is whole by itself.
///
/// # Errors
/// As [`open`], or it was changed since it was checked.
pub fn reopen(
    settings: &OutputSettings,
    mark: Option<OutputMark>,
    next_seq: u64,
    checked: Checked,
) -> Result<Box<dyn Sink>, SinkError> {
    let format = format_of(settings)?;
    if next_seq == 0 {
        return open(settings);
    }
    Output::reopen(settings, mark, checked)
        .map(|output| (format.open)(output, Start { next_seq, goes_on: mark.is_some() }))
}

/// An output that was read again up to its mark, and is what was written.
#[derive(Debug)]
pub struct Checked(Option<output::Place>);

/// Reads what an output holds before a mark: all of it, once. None if that is not what was written. Nothing is read
/// without a mark.
///
/// # Errors
/// The file is there and cannot be read.
pub fn check(settings: &OutputSettings, mark: Option<OutputMark>) -> std::io::Result<Option<Checked>> {
    match (&settings.target, mark) {
        (Target::File(path), Some(mark)) => match std::fs::File::open(path) {
            Ok(mut file) => output::check(&mut file, mark),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        },
        _ => Ok(Some(Checked(None))),
    }
}

/// Where an output is not what was written: the first two marks, as bytes from its start, between which something else
/// stands, or nothing. None if there is no such place, or it cannot be read.
#[must_use]
pub fn first_change(settings: &OutputSettings, marks: Vec<OutputMark>) -> Option<std::ops::Range<u64>> {
    let Target::File(path) = &settings.target else { return None };
    let mut file = std::fs::File::open(path).ok()?;
    reread::reread(&mut file, marks).ok()?.err()
}

fn format_of(settings: &OutputSettings) -> Result<&'static Format, SinkError> {
    FORMATS.iter().find(|format| format.name == settings.format).ok_or_else(|| {
        let source = std::io::Error::new(std::io::ErrorKind::Unsupported, format!("no format '{}'", settings.format));
        SinkError { target: settings.format.to_owned(), written: 0, source }
    })
}

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

    /// Bytes that its target takes whole or not at all, if batches are to be that small: the reader of a pipe may stop
    /// at any time, and what it has must be known although the write never returns.
    fn atomic_bytes(&self) -> Option<usize> {
        None
    }

    /// Where the output stands behind the last whole record that was written: what [`reopen`] can go back to. None if
    /// nothing can be cut off it.
    fn mark(&self) -> Option<OutputMark> {
        None
    }

    /// Its file, to be synced from another thread, if it is one that can be.
    fn file(&self) -> Option<std::fs::File> {
        None
    }

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

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// One output of a run, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSettings {
    pub target: Target,
    /// A name of the format table.
    pub format: &'static str,
}

#[cfg(test)]
mod tests;
