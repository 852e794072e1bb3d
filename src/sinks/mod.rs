//! Floor 3: where records go. Each sink has a thread of its own and a bounded queue, both owned by the engine's delivery.
//!
//! Decides the bytes of an output format, and what stays of a batch that could not be written. Never orders records,
//! never gives out `seq`, never makes directories. To add a format: its file, and its two lines here.

use std::path::{Path, PathBuf};

use crate::model::mark::OutputMark;
use crate::model::record::RecordBody;

pub mod bodies;
mod cdxj;
pub mod channel;
pub mod command;
pub mod commands;
mod compress;
pub mod csv;
mod exec;
pub mod json;
pub mod jsonl;
mod output;
pub mod parquet;
mod pipe;
mod reread;
mod row;
pub mod sqlite;
pub mod warc;

pub use channel::{ChannelSink, channel};
pub use output::Output;

/// Every format there is.
pub const FORMATS: &[Format] =
    &[jsonl::FORMAT, json::FORMAT, csv::FORMAT, sqlite::FORMAT, warc::FORMAT, parquet::FORMAT];

/// An output format.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// As in `--format` and `-o NAME:FILE`.
    pub name: &'static str,
    /// Endings of file names that stand for it, in lower case and without the dot.
    pub endings: &'static [&'static str],
    /// What is put behind the name of an output for the files that are made beside it.
    pub beside: &'static [&'static str],
    open: Open,
}

/// What a format is written to.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// Text in a file or pipe, compressed if its name says so.
    Text(fn(Output, Start) -> Box<dyn Sink>),
    /// Bytes in a file or pipe, which the format compresses by itself if its name ends in `.gz`.
    Archive(fn(Output, Start) -> std::io::Result<Box<dyn Sink>>),
    /// A file that is made of a spool beside it, when the run ends.
    Spooled(fn(Output, Start) -> std::io::Result<Box<dyn Sink>>),
    /// A file that the format opens, checks and cuts back by itself.
    File(FileFormat),
}

/// A format that is more than a stream of bytes. What it is written to is always a regular file.
#[derive(Debug, Clone, Copy)]
struct FileFormat {
    open: fn(&Path) -> std::io::Result<Box<dyn Sink>>,
    /// Drops every record from this `seq` on.
    reopen: fn(&Path, u64) -> std::io::Result<Box<dyn Sink>>,
    /// Whether every record before this `seq` is there.
    check: fn(&Path, u64) -> std::io::Result<bool>,
}

impl Format {
    /// Whether it is text: what standard output takes, and what is compressed.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.open, Open::Text(_))
    }
}

/// Where an output begins.
#[derive(Debug, Clone)]
struct Start {
    /// None on standard output.
    path: Option<PathBuf>,
    next_seq: u64,
    /// Records of this output stand before it. Not so in what cannot be cut back: each process writes its own there.
    goes_on: bool,
}

impl Start {
    fn new(settings: &OutputSettings) -> Self {
        let path = match &settings.target {
            Target::File(path) => Some(path.clone()),
            Target::Stdout => None,
        };
        Self { path, next_seq: 0, goes_on: false }
    }
}

/// The format that a file's ending asks for, `.gz` and `.zst` left out: `jsonl` if it has none. None if no format has that
/// ending.
#[must_use]
pub fn format_for_path(path: &Path) -> Option<&'static str> {
    let compressed = compress::compression_of(path);
    let Some(ending) = compressed.as_ref().map_or(path, |(_, plain)| plain).extension() else {
        return Some(jsonl::FORMAT.name);
    };
    let ending = ending.to_str()?.to_ascii_lowercase();
    let format = FORMATS.iter().find(|format| format.endings.contains(&ending.as_str()))?;
    let fits = match (format.open, &compressed) {
        (_, None) | (Open::Text(_), _) => true,
        (Open::Archive(_), Some((compression, _))) => *compression == compress::Compression::Gzip,
        (Open::File(_) | Open::Spooled(_), _) => false,
    };
    fits.then_some(format.name)
}

/// Opens an output; a file is created, or truncated if it exists.
///
/// # Errors
/// The file cannot be created (a directory that does not exist is not made), or no format has that name.
pub fn open(settings: &OutputSettings) -> Result<Box<dyn Sink>, SinkError> {
    match format_of(settings)?.open {
        Open::Text(open) => Output::open(settings).map(|output| open(output, Start::new(settings))),
        Open::Archive(open) | Open::Spooled(open) => {
            through(settings, open, Output::open_raw(&kept_in(settings))?, Start::new(settings))
        }
        Open::File(format) => of_file(settings, format.open),
    }
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
    let start = Start { next_seq, goes_on: mark.is_some(), ..Start::new(settings) };
    match format.open {
        Open::Text(open) => Output::reopen(settings, mark, checked).map(|output| open(output, start)),
        Open::Archive(open) | Open::Spooled(open) => {
            through(settings, open, Output::reopen_raw(&kept_in(settings), mark, checked)?, start)
        }
        Open::File(format) => of_file(settings, |path| (format.reopen)(path, next_seq)),
    }
}

/// What holds the records of an output before it is finished: itself, or its spool.
fn kept_in(settings: &OutputSettings) -> OutputSettings {
    let mut kept = settings.clone();
    if let (Ok(Format { open: Open::Spooled(_), .. }), Target::File(path)) = (format_of(settings), &settings.target) {
        kept.target = Target::File(parquet::spool_of(path));
    }
    kept
}

fn through(
    settings: &OutputSettings,
    open: fn(Output, Start) -> std::io::Result<Box<dyn Sink>>,
    output: Output,
    start: Start,
) -> Result<Box<dyn Sink>, SinkError> {
    if start.path.is_none() {
        return of_file(settings, |_| Err(std::io::ErrorKind::Unsupported.into()));
    }
    open(output, start).map_err(|source| SinkError { target: settings.target.to_string(), written: 0, source })
}

fn of_file(
    settings: &OutputSettings,
    open: impl Fn(&Path) -> std::io::Result<Box<dyn Sink>>,
) -> Result<Box<dyn Sink>, SinkError> {
    let opened = match &settings.target {
        Target::File(path) => open(path),
        Target::Stdout => Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this format needs a file")),
    };
    opened.map_err(|source| SinkError { target: settings.target.to_string(), written: 0, source })
}

/// An output that was read again up to its mark, and is what was written.
#[derive(Debug)]
pub struct Checked(Option<output::Place>);

/// Reads what an output holds before a mark, or before the record of this `seq`: all of it, once. None if that is not what
/// was written. Nothing of a text is read without a mark.
///
/// # Errors
/// The file is there and cannot be read.
pub fn check(settings: &OutputSettings, mark: Option<OutputMark>, next_seq: u64) -> std::io::Result<Option<Checked>> {
    if let Ok(Format { open: Open::File(format), .. }) = format_of(settings)
        && let Target::File(path) = &settings.target
    {
        // What has no record yet is made anew.
        let holds = next_seq == 0 || (format.check)(path, next_seq)?;
        return Ok(holds.then_some(Checked(None)));
    }
    match (&kept_in(settings).target, mark) {
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
    let Target::File(path) = &kept_in(settings).target else { return None };
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

    /// Whether what is written counts only when an epoch has ended: nothing of it can be gone back to before. Asked once.
    fn seals(&self) -> bool {
        false
    }

    /// Ends an epoch: what was written so far is whole in the output, and [`Sink::mark`] stands behind it.
    ///
    /// # Errors
    /// Nothing since the last epoch is in the output; nothing may be written after it but `finish`.
    fn seal(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// A later process may go on with it: what that one needs stays when this one has finished.
    fn goes_on(&mut self) {}

    /// Bytes that its target takes whole or not at all, if batches are to be that small: the reader of a pipe may stop
    /// at any time, and what it has must be known although the write never returns.
    fn atomic_bytes(&self) -> Option<usize> {
        None
    }

    /// Where the output stands behind the last whole record that was written, or sealed: what [`reopen`] can go back to. None if
    /// nothing can be cut off it.
    fn mark(&self) -> Option<OutputMark> {
        None
    }

    /// Its file, to be synced from another thread, if it is one that can be.
    fn file(&self) -> Option<std::fs::File> {
        None
    }

    /// Whether [`Line::json`] must be filled.
    fn needs_json(&self) -> bool {
        !self.needs_record()
    }

    /// Whether the record in [`Line::record`] is to have its exchange.
    fn needs_exchange(&self) -> bool {
        false
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

impl OutputSettings {
    /// Files that are made, and perhaps taken away again, beside this one.
    #[must_use]
    pub fn beside(&self) -> Vec<PathBuf> {
        let (Target::File(path), Ok(format)) = (&self.target, format_of(self)) else { return Vec::new() };
        let with_ending = |ending: &&str| {
            let mut name = path.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        format.beside.iter().map(with_ending).collect()
    }
}

#[cfg(test)]
mod tests;
