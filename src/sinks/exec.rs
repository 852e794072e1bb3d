//! `--exec`: a command for each record, one after the other, with the record on its standard input.
//!
//! Decides what its words become (`{url}`, `{status}`, `{body_file}`) and what counts as a failure: that it could not be
//! started, its exit status, and that it had to be ended. A command that does not read its input has not failed by that.
//! Called by delivery's thread through [`Sink`]; a second thread feeds the command and waits for it, so that neither a
//! command that reads nothing nor one that never ends can hold the first.

use std::borrow::Cow;
use std::io::{PipeWriter, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde::Deserialize;

use super::command::{CommandSettings, Commands, Counts, OVER, Printed, Waited};
use super::jsonl::after_brace;
use super::{Line, Sink, SinkError};
use crate::model::record_json::write_head;

/// What is shown of a failure.
type Ending = Result<(), String>;

pub(super) struct Exec {
    words: Vec<String>,
    time: Option<Duration>,
    commands: Commands,
    counts: Arc<Counts>,
    printed: Printed,
    /// None when it can be used no more.
    feeder: Option<Feeder>,
    next: u64,
}

/// The thread that runs commands.
struct Feeder {
    jobs: SyncSender<(Vec<String>, Vec<u8>)>,
    endings: Receiver<Ending>,
}

impl Exec {
    pub(super) fn open(settings: &CommandSettings, words: &[String], commands: &mut Commands) -> std::io::Result<Self> {
        let (printed, writer) = Printed::start("exec")?;
        let (jobs, to_run) = sync_channel(0);
        let (sender, endings) = sync_channel(0);
        let counts = commands.counts("exec");
        let runner = commands.clone();
        std::thread::Builder::new()
            .name("lycosa-exec".to_owned())
            .spawn(move || run_all(&runner, &to_run, &sender, &writer))?;
        let feeder = Some(Feeder { jobs, endings });
        let commands = commands.clone();
        Ok(Self { words: words.to_vec(), time: settings.time, commands, counts, printed, feeder, next: 0 })
    }

    fn run(&mut self, line: &Line) -> Ending {
        let mut text = Vec::with_capacity(line.json.len() + 64);
        write_head(line.seq, &mut text);
        text.extend_from_slice(after_brace(line));
        text.push(b'\n');
        let words = filled(&self.words, &text);
        let lost = || "the command before cannot be ended".to_owned();
        let Some(feeder) = &self.feeder else { return Err(lost()) };
        if feeder.jobs.send((words, text)).is_err() {
            return Err(lost());
        }
        match self.commands.wait("exec", &feeder.endings, self.time) {
            Waited::InTime(ending) => ending,
            Waited::Ended(_) => Err(format!("ended after {:?}", self.time.unwrap_or_default())),
            Waited::Lost => {
                self.feeder = None;
                Err(lost())
            }
        }
    }
}

/// Runs commands until there are no more.
fn run_all(
    commands: &Commands,
    jobs: &Receiver<(Vec<String>, Vec<u8>)>,
    endings: &SyncSender<Ending>,
    printed: &PipeWriter,
) {
    while let Ok((words, record)) = jobs.recv() {
        if endings.send(run_one(commands, &words, &record, printed)).is_err() {
            return;
        }
    }
}

fn run_one(commands: &Commands, words: &[String], record: &[u8], printed: &PipeWriter) -> Ending {
    let mut child = commands.start("exec", words, printed).map_err(|error| format!("cannot be started: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // Whether it reads is its own business.
        let _ = input.write_all(record);
    }
    let status = child.wait();
    commands.has_ended(child.id());
    // Who shows it reads until the end.
    let mut shown = printed;
    let _ = shown.write_all(OVER);
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl Sink for Exec {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        for (written, line) in lines.iter().enumerate() {
            if self.commands.is_ending() {
                let source = std::io::ErrorKind::BrokenPipe.into();
                return Err(SinkError { target: "the command of --exec".to_owned(), written, source });
            }
            let ending = self.run(line);
            self.counts.records.fetch_add(1, Ordering::AcqRel);
            if let Err(why) = ending {
                self.counts.failed.fetch_add(1, Ordering::AcqRel);
                tracing::warn!(target: "lycosa::command", "exec: record {}: {why}", line.seq);
            }
            self.next = line.seq + 1;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(self.next)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        // Its thread ends with the channel, and the last writer with it.
        self.feeder = None;
        self.printed.finish();
        Ok(())
    }
}

/// What of a record can stand in a word.
#[derive(Debug, Default, Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    status: Option<u16>,
    #[serde(borrow)]
    body_file: Option<Cow<'a, str>>,
}

/// The words of a command for a record (a line of JSON). What the record has not got is empty; what it has got is never
/// looked at again.
fn filled(words: &[String], record: &[u8]) -> Vec<String> {
    if !words.iter().any(|word| word.contains('{')) {
        return words.to_vec();
    }
    let named: Named<'_> = serde_json::from_slice(record).unwrap_or_default();
    let status = named.status.map(|status| status.to_string()).unwrap_or_default();
    let values = [
        ("{url}", named.url.as_deref().unwrap_or_default()),
        ("{status}", &status),
        ("{body_file}", named.body_file.as_deref().unwrap_or_default()),
    ];
    words.iter().map(|word| fill(word, &values)).collect()
}

fn fill(word: &str, values: &[(&str, &str)]) -> String {
    let (mut out, mut rest) = (String::with_capacity(word.len()), word);
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, value) = values.iter().find(|(name, _)| rest.starts_with(name)).copied().unwrap_or(("{", "{"));
        out.push_str(value);
        rest = &rest[name.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_once() {
        let words = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let record = br#"{"seq":1,"url":"http://h/{status}?a=\"b\"","status":404,"body_file":null,"more":[1]}"#;
        let filled = filled(&words(&["x", "--{url}={status}", "{body_file}", "{other}{url", "$(ls);{status}"]), record);
        assert_eq!(filled, ["x", "--http://h/{status}?a=\"b\"=404", "", "{other}{url", "$(ls);404"]);
        assert_eq!(super::filled(&words(&["{url}"]), b"no json"), [""]);
    }
}
