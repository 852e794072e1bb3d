//! `--strict-input`: every line is read and checked before the first request.
//!
//! Decides nothing about lines, only that one bad line is one too many. What can be read only once (standard input, a
//! pipe) is copied into an unnamed temporary file on the way. Called by the command.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::lines::Lines;
use super::{Content, Opened, Reader, Seed, SeedError, SeedSettings, Source, Spool, open_file};

/// How many bad lines are named; the rest is counted.
const NAMED: usize = 10;

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrictLine {
    /// `urls.txt:4`, `standard input:4` or `argument 4`.
    pub place: String,
    pub message: String,
}

/// Why a run with `--strict-input` does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StrictError {
    #[error(transparent)]
    Open(#[from] SeedError),
    #[error("cannot copy {name} to a temporary file")]
    Spool { name: String, source: io::Error },
    #[error("{}", listed(first, *count))]
    Lines {
        /// The first ten, in order.
        first: Vec<StrictLine>,
        /// All of them.
        count: u64,
    },
}

impl fmt::Display for StrictLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Appends a part with its control characters escaped, so that each line that is named stays on one of ours.
fn escaped(out: &mut String, part: &str) {
    for c in part.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
}

fn listed(first: &[StrictLine], count: u64) -> String {
    let mut text = match count {
        1 => "one line of the input cannot be read:".to_owned(),
        _ => format!("{count} lines of the input cannot be read:"),
    };
    for line in first {
        text.push_str("\n  ");
        escaped(&mut text, &line.to_string());
    }
    match count.saturating_sub(first.len() as u64) {
        0 => text,
        more => text + &format!("\n  and {more} more"),
    }
}

/// Reads all of the input and checks every line. Returns settings that give the same lines again.
///
/// # Errors
/// A file that cannot be opened, a copy that cannot be written, or the lines that cannot be read, all of them. A file
/// that cannot be read to its end counts as such a line.
pub fn check_all(settings: &SeedSettings) -> Result<SeedSettings, StrictError> {
    let mut checked = SeedSettings { mirrors: settings.mirrors, ..SeedSettings::default() };
    // All are opened first, so that a missing file is told before a terminal is asked for lines.
    let opened = settings.sources.iter().map(open_once).collect::<Result<Vec<_>, _>>()?;
    let mut first = Vec::new();
    let mut count = 0;
    for ((opened, copy), source) in opened.into_iter().zip(&settings.sources) {
        let name = opened.name.clone();
        let mut reader = Reader { sources: [opened].into(), mirrors: settings.mirrors, taken: 0, pending: [].into() };
        let failed = |source| StrictError::Spool { name: name.to_string(), source };
        while let Some(seeds) = reader.next_batch(1024).map_err(failed)? {
            for seed in seeds {
                let Seed::Broken { line, message, .. } = seed else { continue };
                count += 1;
                if first.len() < NAMED {
                    let place = match source {
                        Source::Arguments(_) => format!("{name} {line}"),
                        _ => format!("{name}:{line}"),
                    };
                    first.push(StrictLine { place, message });
                }
            }
        }
        checked.sources.push(match copy {
            Some(file) => Source::Spool(Spool { name, file }),
            None => source.clone(),
        });
    }
    if count == 0 { Ok(checked) } else { Err(StrictError::Lines { first, count }) }
}

/// Opens a source; what can be read only once, together with the file that gets a copy.
fn open_once(source: &Source) -> Result<(Opened, Option<Arc<File>>), StrictError> {
    let (name, input): (Arc<str>, Box<dyn Read + Send>) = match source {
        Source::Stdin => ("standard input".into(), Box::new(io::stdin())),
        Source::File(path) => {
            let error = |source| SeedError { path: path.clone(), source };
            let file = open_file(path).map_err(error)?;
            if file.metadata().map_err(error)?.is_file() {
                return Ok((Opened::open(source)?, None));
            }
            (path.display().to_string().into(), Box::new(file))
        }
        Source::Arguments(_) | Source::Spool(_) => return Ok((Opened::open(source)?, None)),
    };
    let failed = |source| StrictError::Spool { name: name.to_string(), source };
    let copy = Arc::new(tempfile::tempfile().map_err(failed)?);
    let lines = Lines::new(Box::new(Copying { input, copy: copy.clone() }));
    Ok((Opened { name, content: Content::Lines { lines, is_ours: true } }, Some(copy)))
}

/// Reads and keeps what it read.
struct Copying {
    input: Box<dyn Read + Send>,
    copy: Arc<File>,
}

impl Read for Copying {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        (&*self.copy).write_all(&into[..read])?;
        Ok(read)
    }
}

/// The lines of a copy from its start, independent of other readers of it.
pub(super) fn reread(spool: &Spool) -> Box<dyn Read + Send> {
    Box::new(FromStart { file: spool.file.clone(), at: 0 })
}

/// Keeps its own place: the file has only one for all who hold it.
struct FromStart {
    file: Arc<File>,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.read(into)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_line_stands_on_one_line() {
        let line = |place: &str| StrictLine { place: place.to_owned(), message: "no host".to_owned() };
        let error = StrictError::Lines { first: vec![line("a\nb:3"), line("c:4")], count: 3 };
        let told = error.to_string();
        assert_eq!(told, "3 lines of the input cannot be read:\n  a\\nb:3: no host\n  c:4: no host\n  and 1 more");
    }
}
