//! Bytes into lines: what a file or a pipe holds, without ever waiting for more than one line and without ever holding
//! more than one line that is too long to be read.
//!
//! Decides where a line ends and when it is too long; never what it means. Called by [`super::Reader`].

use std::io::{self, Read};
use std::time::Duration;

/// One read of the operating system; also the whole memory of a source with lines of usual length.
const CHUNK: usize = 64 * 1024;
/// Limit of a line that is no JSON job. A URL ends at 64 KiB; the rest is room for a precise message.
pub(super) const MAX_URL_LINE: usize = 1024 * 1024;
/// Limit of a line with a JSON job: it may carry a body.
pub(super) const MAX_JOB_LINE: usize = 16 * 1024 * 1024;
/// How much of a line over its limit is kept to show it.
const HEAD: usize = 4 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A line as it stood in the source, without its `\n`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    Whole(&'a [u8]),
    /// Longer than its limit in bytes; the rest of it is passed over.
    TooLong {
        head: &'a [u8],
        limit: usize,
    },
}

/// The lines of one source.
pub(super) struct Lines {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// What was read and not given out yet is `buffer[start..end]`; no line ends before `scanned`.
    start: usize,
    scanned: usize,
    end: usize,
    /// Lines given out.
    number: u64,
    /// In the middle of a line that was too long.
    skipping: bool,
    ended: bool,
}

impl Lines {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self { input, buffer: Vec::new(), start: 0, scanned: 0, end: 0, number: 0, skipping: false, ended: false }
    }

    /// The source is at its end, and every line of it was given out.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.start == self.end
    }

    /// Number of the line that comes next, from 1.
    pub(super) fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// The next line and its number from 1, if it is in memory to its end. Never reads.
    pub(super) fn buffered(&mut self) -> Option<(u64, Raw<'_>)> {
        if self.skipping {
            let Some(at) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) else {
                self.start = self.end;
                self.scanned = self.end;
                return None;
            };
            self.start += at + 1;
            self.scanned = self.start;
            self.skipping = false;
        }
        let limit = limit(&self.buffer[self.start..self.end]);
        let line = match memchr::memchr(b'\n', &self.buffer[self.scanned..self.end]) {
            Some(at) => {
                let line = self.start..self.scanned + at;
                self.start = line.end + 1;
                line
            }
            None if self.end - self.start > limit => {
                // Not to its end yet: what follows up to the next newline belongs to it.
                self.skipping = true;
                let line = self.start..self.end;
                self.start = self.end;
                line
            }
            None if self.ended && self.start < self.end => {
                let line = self.start..self.end;
                self.start = self.end;
                line
            }
            None => {
                self.scanned = self.end;
                return None;
            }
        };
        self.scanned = self.start;
        self.number += 1;
        let mut bytes = &self.buffer[line];
        if self.number == 1 {
            bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
        }
        let raw = if bytes.len() > limit { Raw::TooLong { head: &bytes[..HEAD], limit } } else { Raw::Whole(bytes) };
        Some((self.number, raw))
    }

    /// Reads once, and waits for it.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        if self.start == self.end && self.buffer.len() != CHUNK {
            // The first read, or the first after a long line: give its memory back.
            self.buffer = vec![0; CHUNK];
        } else {
            self.buffer.copy_within(self.start..self.end, 0);
        }
        self.end -= self.start;
        self.scanned -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = read_once(&mut *self.input, &mut self.buffer[self.end..])?;
        self.end += read;
        self.ended = read == 0;
        Ok(())
    }
}

/// The limit that holds for a line of which this is the start.
fn limit(start: &[u8]) -> usize {
    let start = start.strip_prefix(BOM).unwrap_or(start);
    match start.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
        Some(b'{') => MAX_JOB_LINE,
        _ => MAX_URL_LINE,
    }
}

fn read_once(input: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A parent process may have left its end of the pipe, and with it ours, in non-blocking mode.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Gives out its pieces one for each read.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.front_mut() else { return Ok(0) };
            let read = piece.len().min(into.len());
            into[..read].copy_from_slice(&piece[..read]);
            piece.drain(..read);
            if piece.is_empty() {
                self.0.pop_front();
            }
            Ok(read)
        }
    }

    fn lines_of(pieces: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
        let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
        let mut lines = Lines::new(Box::new(Pieces(pieces)));
        let mut all = Vec::new();
        while !lines.is_done() {
            while let Some((number, raw)) = lines.buffered() {
                match raw {
                    Raw::Whole(line) => all.push((number, line.to_vec())),
                    Raw::TooLong { limit, .. } => all.push((number, format!("over {limit}").into_bytes())),
                }
            }
            lines.fill().unwrap();
        }
        all
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"\xef\xbb\xbfone\n\n two \r\nlast";
        let want: Vec<(u64, Vec<u8>)> =
            vec![(1, b"one".to_vec()), (2, vec![]), (3, b" two \r".to_vec()), (4, b"last".to_vec())];
        assert_eq!(lines_of(&[text]), want);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lines_of(&bytes), want);
        assert_eq!(lines_of(&[]), vec![]);
        assert_eq!(lines_of(&[b"\n"]), vec![(1, vec![])]);
    }

    #[test]
    fn a_line_over_its_limit_is_passed_over_without_being_kept() {
        struct Endless(usize);
        impl Read for Endless {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let read = into.len().min(self.0);
                into[..read].fill(b'x');
                self.0 -= read;
                Ok(read)
            }
        }
        let input = Endless(40 * MAX_URL_LINE).chain(&b"\nhttps://a/\n"[..]);
        let mut lines = Lines::new(Box::new(input));
        let mut seen = Vec::new();
        let mut most = 0;
        while !lines.is_done() {
            while let Some((number, raw)) = lines.buffered() {
                seen.push((number, matches!(raw, Raw::TooLong { head, .. } if head.len() == HEAD)));
            }
            lines.fill().unwrap();
            most = most.max(lines.buffer.len());
        }
        assert_eq!(seen, [(1, true), (2, false)]);
        assert!(most <= 2 * MAX_URL_LINE, "{most} bytes were held");
        assert_eq!(lines.buffer.len(), CHUNK, "the memory of the long line is given back");
    }

    #[test]
    fn limits_hold_to_the_byte_and_a_job_may_be_longer() {
        let exact = [vec![b'x'; MAX_URL_LINE], b"\n".to_vec()].concat();
        let over = [vec![b'x'; MAX_URL_LINE + 1], b"\n".to_vec()].concat();
        let job = [b" {".to_vec(), vec![b'x'; MAX_URL_LINE + 1], b"\n".to_vec()].concat();
        for (text, whole) in [(exact, true), (over, false), (job, true)] {
            let pieces: Vec<&[u8]> = text.chunks(10_000).collect();
            let lines = lines_of(&pieces);
            assert_eq!(lines.len(), 1);
            assert_eq!(!lines[0].1.starts_with(b"over"), whole);
        }
    }
}
