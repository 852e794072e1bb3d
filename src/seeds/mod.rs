//! Floor 3: where URLs come from: arguments, files and standard input, read lazily, line by line. Only reads: what
//! waits is the frontier's business.
//!
//! Decides what a line means, and that one line that cannot be read does not end a run. Never asks the network, never
//! drops repeats, never reads ahead by more than one buffer. Called by the engine, on a thread of its own, since a pipe
//! or a terminal may keep it waiting for ever; and by the command for `--strict-input` and its arguments.
//!
//! A line is a URL, or a JSON job if it starts with `{`. Spaces, tabs and carriage returns around it are cut off; blank
//! lines and lines that start with `#` are skipped but counted.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::job::Job;

mod job_keys;
mod job_line;
mod line;
mod lines;
mod mirrors;
mod strict;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use lines::{Lines, Raw};
pub use strict::{StrictError, StrictLine, check_all};

/// What standard input is called in messages.
const STDIN: &str = "standard input";

/// A batch ends after this many bytes of input: jobs with large bodies must not come by the thousand.
const BATCH_BYTES: usize = 1024 * 1024;

/// One entry of the input, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Seed {
    /// A job to accept; `number` and `accepted` are not set yet.
    Job(Box<Job>),
    /// A line that cannot be read: it becomes one record with the error kind `invalid_input`.
    Broken {
        /// The URL if one could be made out, else the line as it was, at most 4 KiB of it; without what may be a
        /// password. The name of the file if the file itself cannot be read on.
        input: Box<str>,
        line: u64,
        /// Of the job line, where they could still be read.
        id: Option<Box<str>>,
        meta: Option<Box<str>>,
        message: String,
    },
    /// Something the user should know: a bare host got `https://`. Comes before the job it speaks of.
    Notice(String),
}

impl Seed {
    /// A hash over all entries so far and this one, by which an input that is given again is known. Notices are no
    /// entries.
    #[must_use]
    pub fn chain(&self, before: u64) -> u64 {
        let bytes = match self {
            Self::Notice(_) => return before,
            Self::Job(job) => postcard::to_allocvec(job),
            Self::Broken { input, line, id, meta, .. } => postcard::to_allocvec(&(input, line, id, meta)),
        };
        // Seeds are made of types that postcard knows.
        xxh3_64_with_seed(&bytes.unwrap_or_default(), before)
    }

    /// Whether it counts in [`Reader::taken`].
    #[must_use]
    pub fn is_entry(&self) -> bool {
        !matches!(self, Self::Notice(_))
    }
}

/// Why an input is not the one that was read before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SkipError {
    #[error("the input cannot be read")]
    Io(#[from] io::Error),
    /// It holds fewer entries. `silent`: standard input gave nothing at all.
    #[error("the input has {read} URLs, and {taken} of it were read before")]
    Short { read: u64, taken: u64, silent: bool },
    #[error("the first {taken} URLs of the input are not those that were read before")]
    Different { taken: u64 },
}

/// A source of URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// URLs of the command line, checked already.
    Arguments(Vec<String>),
    File(PathBuf),
    Stdin,
    /// A copy of a source that could be read only once, made by [`check_all`].
    Spool(Spool),
}

/// Lines in an unnamed temporary file.
#[derive(Debug, Clone)]
pub struct Spool {
    /// The source it is a copy of, for messages.
    name: Arc<str>,
    file: Arc<File>,
}

impl PartialEq for Spool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

impl Eq for Spool {}

/// What is read, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeedSettings {
    pub sources: Vec<Source>,
    /// The URLs of one line are mirrors of one document, and one job; so are all arguments together.
    pub mirrors: bool,
}

impl From<Vec<Source>> for SeedSettings {
    fn from(sources: Vec<Source>) -> Self {
        Self { sources, ..Self::default() }
    }
}

/// An input file that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot read '{}'", path.display())]
pub struct SeedError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Opens all files; reads nothing yet.
///
/// # Errors
/// The first file that cannot be opened, and why; a directory is one.
pub fn open(settings: &SeedSettings) -> Result<Reader, SeedError> {
    let sources = settings.sources.iter().map(Opened::open).collect::<Result<_, _>>()?;
    Ok(Reader { sources, ..Reader::empty(settings.mirrors) })
}

/// Why an argument is not a URL that can be asked; the text says what is wrong with which argument, in one line and
/// without its password.
///
/// # Errors
/// As a line of input that would be [`Seed::Broken`]. JSON jobs, comments and blanks are no arguments.
pub fn check_argument(text: &str) -> Result<(), String> {
    read_argument(text)
        .map(drop)
        .map_err(|message| format!("'{}': {message}", line::shown(trimmed(text)).escape_debug()))
}

fn read_argument(text: &str) -> Result<line::Typed, String> {
    match trimmed(text) {
        "" => Err("the URL is empty".to_owned()),
        text if text.starts_with('{') => Err("a JSON job is read from a file (-i) or standard input".to_owned()),
        text => line::read_url(text),
    }
}

/// Without the white space around it. Nothing else is cut off: what a line holds beside a URL gets a record, so that no
/// line of a damaged or binary file goes away without a word.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r'])
}

/// The input of a run. Blocking: reads when it is asked, and only as much as is needed for one more line.
pub struct Reader {
    sources: VecDeque<Opened>,
    mirrors: bool,
    taken: u64,
    /// Standard input was read to its end and held no line.
    silent_stdin: bool,
    /// Read by the iterator and not given out yet.
    pending: VecDeque<Seed>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("sources", &self.sources.len())
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

struct Opened {
    /// The path, `standard input`, or `argument`.
    name: Arc<str>,
    content: Content,
}

enum Content {
    Arguments(std::iter::Enumerate<std::vec::IntoIter<String>>),
    Lines { lines: Lines, is_ours: bool },
}

impl Opened {
    fn open(source: &Source) -> Result<Self, SeedError> {
        let lines = |input, is_ours| Content::Lines { lines: Lines::new(input), is_ours };
        Ok(match source {
            Source::Arguments(urls) => {
                Self { name: "argument".into(), content: Content::Arguments(urls.clone().into_iter().enumerate()) }
            }
            Source::File(path) => {
                let input = open_file(path).map_err(|source| SeedError { path: path.clone(), source })?;
                Self { name: path.display().to_string().into(), content: lines(Box::new(input), false) }
            }
            // Its own buffer is passed by: every read is as large as it.
            Source::Stdin => Self { name: STDIN.into(), content: lines(Box::new(io::stdin()), false) },
            Source::Spool(spool) => Self { name: spool.name.clone(), content: lines(strict::reread(spool), true) },
        })
    }
}

fn open_file(path: &std::path::Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Opening a directory succeeds on Unix, and only reading it fails.
    if file.metadata()?.is_dir() { Err(io::Error::from(io::ErrorKind::IsADirectory)) } else { Ok(file) }
}

impl Reader {
    fn empty(mirrors: bool) -> Self {
        Self { sources: VecDeque::new(), mirrors, taken: 0, silent_stdin: false, pending: VecDeque::new() }
    }

    /// Jobs and broken lines given out so far: 0 at the end means that no URL was given.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Passes over the entries that an earlier process has taken, if they are the same; `see` sees each of them.
    ///
    /// # Errors
    /// They are not, or there are fewer.
    pub fn pass_over(&mut self, taken: u64, hash: u64, mut see: impl FnMut(Seed)) -> Result<(), SkipError> {
        let (mut read, mut chained) = (0, 0);
        while read < taken {
            let most = usize::try_from(taken - read).map_or(1024, |left| left.min(1024));
            let Some(batch) = self.next_batch(most)? else {
                return Err(SkipError::Short { read, taken, silent: self.silent_stdin });
            };
            for seed in batch {
                chained = seed.chain(chained);
                read += u64::from(seed.is_entry());
                see(seed);
            }
        }
        if chained == hash { Ok(()) } else { Err(SkipError::Different { taken }) }
    }

    /// The next entries: at least one, at most `max` jobs and broken lines (notices stand beside), about 1 MiB of
    /// input. Returns as soon as there is one and no further whole line is in memory, so that a line typed on a slow
    /// pipe is at once on its way; waits for input only while it has nothing. None at the end.
    ///
    /// A file that cannot be read on becomes one broken line with its name and ends.
    ///
    /// # Errors
    /// The temporary file of [`check_all`] cannot be read. Its rest is lost; the next call goes on with what follows.
    pub fn next_batch(&mut self, max: usize) -> io::Result<Option<Vec<Seed>>> {
        let mut batch = Batch { mirrors: self.mirrors, seeds: Vec::new(), taken: 0, bytes: 0, max: max.max(1) };
        batch.seeds.extend(self.pending.drain(..));
        let more = self.fill(&mut batch);
        self.taken += batch.taken as u64;
        more?;
        Ok((!batch.seeds.is_empty()).then_some(batch.seeds))
    }

    fn fill(&mut self, batch: &mut Batch) -> io::Result<()> {
        while let Some(Opened { name, content }) = self.sources.front_mut() {
            match content {
                Content::Arguments(arguments) if batch.mirrors => {
                    let all: Vec<String> = arguments.by_ref().map(|(_, text)| text).collect();
                    batch.take_arguments(&all);
                }
                Content::Arguments(arguments) => {
                    for (at, text) in arguments.by_ref() {
                        batch.take_argument(at as u64 + 1, &text);
                        if batch.is_full() {
                            return Ok(());
                        }
                    }
                }
                Content::Lines { lines, is_ours } => {
                    while let Some((number, raw)) = lines.buffered() {
                        batch.take_line(name, number, &raw);
                        if batch.is_full() {
                            return Ok(());
                        }
                    }
                    if !lines.is_done() {
                        if !batch.seeds.is_empty() {
                            return Ok(());
                        }
                        match lines.fill() {
                            Ok(()) => continue,
                            Err(error) if *is_ours => {
                                self.sources.pop_front();
                                return Err(error);
                            }
                            Err(error) => batch.take_unreadable(name, lines.next_number(), &error),
                        }
                    }
                    self.silent_stdin |= &**name == STDIN && lines.next_number() == 1;
                }
            }
            self.sources.pop_front();
        }
        Ok(())
    }
}

impl Iterator for Reader {
    type Item = io::Result<Seed>;

    /// One entry after the other, waiting as [`Reader::next_batch`] does.
    fn next(&mut self) -> Option<Self::Item> {
        if self.pending.is_empty() {
            match self.next_batch(64) {
                Ok(seeds) => self.pending = seeds?.into(),
                Err(error) => return Some(Err(error)),
            }
        }
        self.pending.pop_front().map(Ok)
    }
}

/// Entries on their way out.
struct Batch {
    mirrors: bool,
    seeds: Vec<Seed>,
    /// Jobs and broken lines among them that were read just now.
    taken: usize,
    bytes: usize,
    max: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.taken >= self.max || (self.bytes >= BATCH_BYTES && !self.seeds.is_empty())
    }

    fn take_argument(&mut self, number: u64, text: &str) {
        self.push_argument(read_argument(text), number, text);
    }

    /// The arguments are one line.
    fn take_arguments(&mut self, texts: &[String]) {
        let read = texts.iter().try_for_each(|text| read_argument(text).map(drop));
        let trimmed: Vec<&str> = texts.iter().map(|text| trimmed(text)).collect();
        self.push_argument(read.and_then(|()| mirrors::read(&trimmed)), 1, &trimmed.join(" "));
    }

    fn push_argument(&mut self, read: Result<line::Typed, String>, number: u64, text: &str) {
        match read {
            Ok(typed) => self.push(typed, number, || format!("argument {number}")),
            Err(message) => {
                let input = line::shown(trimmed(text));
                self.push_broken(Seed::Broken { input, line: number, id: None, meta: None, message });
            }
        }
    }

    fn take_line(&mut self, name: &str, number: u64, raw: &Raw) {
        let broken = |text: &str, message| {
            let input = line::shown(text);
            Seed::Broken { input, line: number, id: None, meta: None, message }
        };
        let bytes = match raw {
            Raw::Whole(bytes) | Raw::TooLong { head: bytes, .. } => *bytes,
        };
        self.bytes += bytes.len();
        let valid = std::str::from_utf8(bytes);
        let text = valid.map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        let text = trimmed(&text);
        if text.is_empty() && matches!(raw, Raw::Whole(_)) || text.starts_with('#') {
            return;
        }
        if let Raw::TooLong { limit, .. } = raw {
            return self.push_broken(broken(text, format!("the line is longer than {} MiB", limit >> 20)));
        }
        if let Err(error) = valid {
            return self.push_broken(broken(text, format!("not UTF-8 at byte {}", error.valid_up_to() + 1)));
        }
        let typed = if text.starts_with('{') {
            job_line::read(text).map_err(|job| Seed::Broken {
                input: job.url.unwrap_or_else(|| line::shown(text)),
                line: number,
                id: job.id,
                meta: job.meta,
                message: job.message,
            })
        } else {
            let read = if self.mirrors { mirrors::read_line(text) } else { line::read_url(text) };
            read.map_err(|message| broken(text, message))
        };
        match typed {
            Ok(typed) => self.push(typed, number, || format!("{name}:{number}")),
            Err(broken) => self.push_broken(broken),
        }
    }

    fn take_unreadable(&mut self, name: &str, line: u64, error: &io::Error) {
        let message = format!("cannot read '{name}' on: {error}");
        self.push_broken(Seed::Broken { input: name.into(), line, id: None, meta: None, message });
    }

    fn push(&mut self, mut typed: line::Typed, number: u64, place: impl Fn() -> String) {
        if typed.bare {
            let mirrors = typed.job.mirrors().iter().map(|mirror| &*mirror.url).collect::<Vec<_>>().join(" ");
            let asked = if mirrors.is_empty() { &*typed.job.url } else { &*mirrors };
            self.seeds.push(Seed::Notice(format!("{}: no scheme, asking {asked}", place())));
        }
        typed.job.line = number;
        self.seeds.push(Seed::Job(Box::new(typed.job)));
        self.taken += 1;
    }

    fn push_broken(&mut self, broken: Seed) {
        self.seeds.push(broken);
        self.taken += 1;
    }
}

#[cfg(test)]
mod tests;
