//! `--pipe`: one command that is given all records on its standard input, as JSON Lines.
//!
//! Decides when it is slow (the run waits for it), when it has stopped reading (nothing was taken for the time a command
//! has: it is ended), and how it ends: its input is closed, and after the grace it is ended. A command that goes away
//! early does not end the run; what it did not take counts as failed. Called by delivery's thread through [`Sink`]; a
//! second thread writes and waits.

use std::io::{PipeWriter, Write as _};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::command::{CommandSettings, Commands, Counts, Printed, Waited};
use super::jsonl::after_brace;
use super::{Line, Sink, SinkError};
use crate::model::record_json::write_head;

/// Bytes that are handed over at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// What the second thread tells.
enum News {
    /// It was handed over, or not.
    Written(std::io::Result<()>),
    /// It has ended: None if well.
    Ended(Option<String>),
}

pub(super) struct Pipe {
    time: Option<Duration>,
    grace: Duration,
    commands: Commands,
    counts: Arc<Counts>,
    printed: Printed,
    /// None when it takes no more.
    chunks: Option<SyncSender<Vec<u8>>>,
    news: Receiver<News>,
    next: u64,
}

impl Pipe {
    pub(super) fn open(settings: &CommandSettings, words: &[String], commands: &mut Commands) -> std::io::Result<Self> {
        let (printed, writer) = Printed::start("pipe")?;
        let child = commands.start("pipe", words, &writer)?;
        let (chunks, to_write) = sync_channel(0);
        let (sender, news) = sync_channel(0);
        let counts = commands.counts("pipe");
        let of_thread = commands.clone();
        std::thread::Builder::new()
            .name("lycosa-pipe".to_owned())
            .spawn(move || feed(&of_thread, child, &to_write, &sender, writer))?;
        let CommandSettings { time, grace, .. } = *settings;
        let commands = commands.clone();
        Ok(Self { time, grace, commands, counts, printed, chunks: Some(chunks), news, next: 0 })
    }

    /// Hands lines over. Returns whether they were taken.
    fn hand_over(&mut self, chunk: Vec<u8>) -> bool {
        let Some(chunks) = &self.chunks else { return false };
        let told = chunks.send(chunk).is_ok().then(|| self.commands.wait("pipe", &self.news, self.time));
        let why = match told {
            Some(Waited::InTime(News::Written(Ok(())))) => return true,
            Some(Waited::InTime(News::Written(Err(error)))) => format!("takes no more records: {error}"),
            Some(Waited::Ended(_)) => format!("ended: it read nothing for {:?}", self.time.unwrap_or_default()),
            Some(Waited::InTime(News::Ended(_)) | Waited::Lost) | None => "takes no more records".to_owned(),
        };
        tracing::warn!(target: "lycosa::command", "pipe: {why}");
        self.chunks = None;
        false
    }
}

/// Writes chunks until there are no more or they are not taken, then waits for the end of the command.
fn feed(
    commands: &Commands,
    mut child: Child,
    chunks: &Receiver<Vec<u8>>,
    news: &SyncSender<News>,
    printed: PipeWriter,
) {
    drop(printed);
    if let Some(mut input) = child.stdin.take() {
        while let Ok(chunk) = chunks.recv() {
            let written = input.write_all(&chunk);
            let failed = written.is_err();
            if news.send(News::Written(written)).is_err() || failed {
                break;
            }
        }
    }
    let status = child.wait();
    commands.has_ended(child.id());
    let ending = match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let _ = news.send(News::Ended(ending));
}

impl Sink for Pipe {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        let (mut chunk, mut count) = (Vec::new(), 0);
        for (place, line) in lines.iter().enumerate() {
            write_head(line.seq, &mut chunk);
            chunk.extend_from_slice(after_brace(line));
            chunk.push(b'\n');
            count += 1;
            if chunk.len() >= CHUNK || place + 1 == lines.len() {
                let counter =
                    if self.hand_over(std::mem::take(&mut chunk)) { &self.counts.records } else { &self.counts.failed };
                counter.fetch_add(count, Ordering::AcqRel);
                count = 0;
            }
            self.next = line.seq + 1;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(self.next)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.chunks = None;
        let mut time = self.grace;
        // What it still says of a chunk comes before its end.
        let failed = loop {
            match self.commands.wait("pipe", &self.news, Some(time)) {
                Waited::InTime(News::Written(_)) => {}
                Waited::InTime(News::Ended(ending)) => break ending,
                Waited::Ended(News::Written(_)) => time = Duration::ZERO,
                Waited::Ended(News::Ended(_)) => {
                    break Some(format!("ended: it went on for {:?} after the last record", self.grace));
                }
                Waited::Lost => break Some("it cannot be ended".to_owned()),
            }
        };
        if let Some(why) = failed {
            self.counts.failed.fetch_add(1, Ordering::AcqRel);
            tracing::warn!(target: "lycosa::command", "pipe: {why}");
        }
        self.printed.finish();
        Ok(())
    }
}
