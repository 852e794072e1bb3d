//! The file or pipe under a text format: whole lines, exactly counted.
//!
//! Decides what stays of a batch that could not be written: lines that are whole, and in a regular file nothing else.
//! Never forms lines. Called by the text sinks of this module's siblings.

use std::fs::File;
use std::io::{self, Read as _, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::compress::{Members, compression_of};
use super::reread::{Digest, reread};
use super::{Checked, OutputSettings, SinkError, Target};
use crate::model::mark::OutputMark;

/// Bytes that are handed over at once. Larger ones gain nothing: a pipe holds 64 KiB.
const CHUNK: usize = 64 * 1024;

/// Bytes that a pipe takes whole or not at all (`PIPE_BUF` of pipe(7) on Linux; POSIX asks for 512 at least).
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// An output for lines.
#[derive(Debug)]
pub struct Output {
    /// For messages: `standard output`, or the path.
    target: String,
    file: File,
    /// Formed and not handed over yet. Empty between batches.
    buffer: Vec<u8>,
    /// Where lines end in the buffer.
    ends: Vec<usize>,
    /// Lines of this batch that are whole in the output.
    written: usize,
    is_torn: bool,
    is_pipe: bool,
    /// Of a file that was opened by its name: where it stands, and its last bytes.
    place: Option<Place>,
    /// What is written is compressed, and counts from the end of a member on.
    members: Option<Members>,
}

/// Where a regular file stands behind its last whole line.
#[derive(Debug, Default)]
pub(super) struct Place {
    bytes: u64,
    tail: Vec<u8>,
    digest: Digest,
}

/// As many of the last bytes are looked at to know an output again: a record's own times and its place are in them.
const TAIL: usize = 256;

impl Place {
    fn go_on(&mut self, parts: [&[u8]; 3]) {
        self.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        for part in parts {
            self.digest.add(part);
            let last = &part[part.len().saturating_sub(TAIL)..];
            let keep = TAIL - last.len();
            self.tail.drain(..self.tail.len().saturating_sub(keep));
            self.tail.extend_from_slice(last);
        }
    }
}

impl Output {
    /// [`Output::open_raw`], for text: compressed if the name says so.
    pub(super) fn open(settings: &OutputSettings) -> Result<Self, SinkError> {
        Ok(Self { members: members(settings, false), ..Self::open_raw(settings)? })
    }

    /// [`Output::reopen_raw`], for text: compressed if the name says so.
    pub(super) fn reopen(
        settings: &OutputSettings,
        mark: Option<OutputMark>,
        checked: Checked,
    ) -> Result<Self, SinkError> {
        let output = Self::reopen_raw(settings, mark, checked)?;
        Ok(Self { members: members(settings, output.position().is_some_and(|bytes| bytes > 0)), ..output })
    }

    /// Creates or truncates the file, or takes standard output past the standard library's own buffer, which would
    /// hand over each line on its own.
    pub(super) fn open_raw(settings: &OutputSettings) -> Result<Self, SinkError> {
        let (target, file) = match &settings.target {
            Target::Stdout => ("standard output".to_owned(), standard_output()),
            Target::File(path) => (path.display().to_string(), create(path)),
        };
        match file {
            Ok(file) => Ok(Self { place: place(settings, &file), ..Self::new(target, file) }),
            Err(source) => Err(SinkError { target, written: 0, source }),
        }
    }

    /// As [`super::reopen`].
    pub(super) fn reopen_raw(
        settings: &OutputSettings,
        mark: Option<OutputMark>,
        checked: Checked,
    ) -> Result<Self, SinkError> {
        let Target::File(path) = &settings.target else { return Self::open_raw(settings) };
        let target = path.display().to_string();
        match go_back(path, mark, checked) {
            Ok((file, place)) => Ok(Self { place, ..Self::new(target, file) }),
            Err(source) => Err(SinkError { target, written: 0, source }),
        }
    }

    pub(super) fn new(target: String, file: File) -> Self {
        let is_pipe = is_pipe(&file);
        let (buffer, ends) = (Vec::new(), Vec::new());
        Self { target, file, buffer, ends, written: 0, is_torn: false, is_pipe, place: None, members: None }
    }

    /// Takes one line: its start, which is formed here, the rest of it, and its end; and hands over what has gathered
    /// when it is enough. A long line is not copied: with its body it may be most of the memory of a run.
    pub(super) fn line(&mut self, start: impl FnOnce(&mut Vec<u8>), rest: &[u8], end: &[u8]) -> Result<(), SinkError> {
        start(&mut self.buffer);
        self.ends.push(self.buffer.len() + rest.len() + end.len());
        if rest.len() >= CHUNK {
            return self.hand_over(rest, end);
        }
        self.buffer.extend_from_slice(rest);
        self.buffer.extend_from_slice(end);
        if self.buffer.len() >= CHUNK { self.hand_over(&[], &[]) } else { Ok(()) }
    }

    /// Ends a batch: nothing stays in memory, so that an error always speaks of the batch at hand.
    pub(super) fn end_batch(&mut self) -> Result<(), SinkError> {
        self.hand_over(&[], &[])?;
        self.written = 0;
        Ok(())
    }

    /// As [`super::Sink::atomic_bytes`].
    pub(super) fn atomic_bytes(&self) -> Option<usize> {
        // What is compressed is only written member by member.
        (self.is_pipe && self.members.is_none()).then_some(PIPE_BUF)
    }

    /// Bytes from the start of a regular file; between batches only.
    pub(super) fn position(&self) -> Option<u64> {
        self.place.as_ref().map(|place| place.bytes)
    }

    /// As [`super::Sink::seals`].
    pub(super) fn seals(&self) -> bool {
        self.members.is_some()
    }

    /// As [`super::Sink::seal`]: writes the member at hand. Nothing to do for what is not compressed.
    pub(super) fn seal(&mut self) -> Result<(), SinkError> {
        self.end_member(false)
    }

    /// Seals what is left: nothing follows.
    pub(super) fn seal_last(&mut self) -> Result<(), SinkError> {
        self.end_member(true)
    }

    fn end_member(&mut self, last: bool) -> Result<(), SinkError> {
        let Some(members) = &mut self.members else { return Ok(()) };
        let failed = |source| SinkError { target: self.target.clone(), written: 0, source };
        let member = members.end(last).map_err(failed)?;
        let mut done = 0;
        match write_all(&mut self.file, &member, &mut done) {
            Ok(()) => {
                if let Some(place) = &mut self.place {
                    place.go_on([&member, &[], &[]]);
                }
                Ok(())
            }
            Err(source) => {
                self.is_torn = done > 0 && cut_back(&mut self.file, done as u64).is_err();
                Err(SinkError { target: self.target.clone(), written: 0, source })
            }
        }
    }

    /// As [`super::Sink::mark`]; between batches only.
    pub(super) fn mark(&self) -> Option<OutputMark> {
        let Place { bytes, tail, digest } = self.place.as_ref()?;
        let tail_bytes = u32::try_from(tail.len()).expect("a tail is short");
        Some(OutputMark { bytes: *bytes, tail_bytes, tail: xxh3_64(tail), digest: digest.value() })
    }

    /// As [`super::Sink::file`].
    pub(super) fn file(&self) -> Option<File> {
        self.place.as_ref().and_then(|_| self.file.try_clone().ok())
    }

    /// Part of a line is in the output and could not be taken back.
    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Writes what has gathered, and behind it the rest of a long line and its end.
    fn hand_over(&mut self, rest: &[u8], end: &[u8]) -> Result<(), SinkError> {
        let parts = [&self.buffer, rest, end];
        if let Some(members) = &mut self.members {
            let result = parts.into_iter().try_for_each(|part| members.add(part));
            self.written += self.ends.len();
            self.buffer.clear();
            self.ends.clear();
            return result.map_err(|source| SinkError { target: self.target.clone(), written: 0, source });
        }
        let mut done = 0;
        let result = parts.into_iter().try_for_each(|part| write_all(&mut self.file, part, &mut done));
        if let Some(place) = self.place.as_mut().filter(|_| result.is_ok()) {
            place.go_on(parts);
        }
        let whole = self.ends.partition_point(|end| *end <= done);
        self.written += whole;
        let kept = if whole == 0 { 0 } else { self.ends[whole - 1] };
        self.buffer.clear();
        self.ends.clear();
        let Err(source) = result else { return Ok(()) };
        self.is_torn = done > kept && cut_back(&mut self.file, (done - kept) as u64).is_err();
        let written = std::mem::take(&mut self.written);
        Err(SinkError { target: self.target.clone(), written, source })
    }
}

/// What compresses the output, if its name asks for it.
fn members(settings: &OutputSettings, any: bool) -> Option<Members> {
    let Target::File(path) = &settings.target else { return None };
    compression_of(path).map(|(compression, _)| Members::new(compression, any))
}

/// Only of a file that has a name: what standard output leads to is somebody else's.
fn place(settings: &OutputSettings, file: &File) -> Option<Place> {
    let by_name = matches!(settings.target, Target::File(_));
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    (by_name && is_file).then(Place::default)
}

/// Reads what stands before a mark. None if it is not what was written.
pub(super) fn check(file: &mut File, mark: OutputMark) -> io::Result<Option<Checked>> {
    let Some(tail) = ends_as(file, mark)? else { return Ok(None) };
    let digest = reread(file, [mark])?;
    Ok(digest.ok().map(|digest| Checked(Some(Place { bytes: mark.bytes, tail, digest }))))
}

/// The last bytes before a mark, if they are what they were.
fn ends_as(file: &mut File, mark: OutputMark) -> io::Result<Option<Vec<u8>>> {
    let Some(start) = mark.bytes.checked_sub(u64::from(mark.tail_bytes)) else { return Ok(None) };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() < mark.bytes {
        return Ok(None);
    }
    let mut tail = vec![0; mark.tail_bytes as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut tail)?;
    Ok((xxh3_64(&tail) == mark.tail).then_some(tail))
}

/// Opens a file and cuts it back to a mark.
fn go_back(path: &Path, mark: Option<OutputMark>, checked: Checked) -> io::Result<(File, Option<Place>)> {
    let Some((mark, place)) = mark.zip(checked.0) else {
        let mut file = File::options().write(true).open(path)?;
        // A pipe or a device: there is nothing to go back to.
        let _ = file.seek(SeekFrom::End(0));
        return Ok((file, None));
    };
    let mut file = File::options().read(true).write(true).open(path)?;
    if ends_as(&mut file, mark)?.is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what this run has written"));
    }
    file.set_len(mark.bytes)?;
    file.seek(SeekFrom::Start(mark.bytes))?;
    Ok((file, Some(place)))
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).open(path)
}

#[cfg(unix)]
fn is_pipe(file: &File) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(windows)]
fn is_pipe(_: &File) -> bool {
    false
}

#[cfg(unix)]
fn standard_output() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn standard_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// As [`Write::write_all`], but adds to `done` how far it came.
fn write_all(file: &mut File, mut bytes: &[u8], done: &mut usize) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                *done += written;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A program that shares the terminal or pipe may have put it into non-blocking mode.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes the last bytes that were written out of a regular file again.
fn cut_back(file: &mut File, bytes: u64) -> io::Result<()> {
    let place = file.stream_position()?;
    let length = file.metadata()?;
    // Not what somebody else wrote behind us in the meantime.
    if !length.is_file() || length.len() != place {
        return Err(io::ErrorKind::Unsupported.into());
    }
    file.set_len(place - bytes)?;
    file.seek(SeekFrom::Start(place - bytes))?;
    Ok(())
}
