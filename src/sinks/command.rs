//! Commands that are given records: `--exec` starts one for each, `--pipe` feeds one that goes on.
//!
//! Decides how a command is started, how it is ended (SIGTERM, and SIGKILL two seconds later), and what becomes of what it
//! prints: each line goes to the log with the name of the flag in front, under the target `lycosa::command`. Never
//! interprets a word of it as a shell would. A command is the leader of a process group of its own, so that Ctrl-C
//! reaches us and not it, and what it has started ends with it.
//!
//! No clock is read: waiting is done by channels with a limit. Called by `exec` and `pipe`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// From SIGTERM to SIGKILL.
pub const TERM_TIME: Duration = Duration::from_secs(2);
/// After SIGKILL: only a process that hangs in the system outlives it.
const KILL_TIME: Duration = Duration::from_secs(5);
/// How long the end of what a command prints is waited for, when it has ended: another process may hold the other end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of a line that is shown as one.
const LONGEST_LINE: u64 = 8 * 1024;

/// What is run, resolved. Each command is a list of words, the program first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandSettings {
    pub exec: Option<Vec<String>>,
    pub pipe: Option<Vec<String>>,
    /// How long one command of `exec` may run, and one of `pipe` read nothing; None: for ever.
    pub time: Option<Duration>,
    /// How long the command of `pipe` may take to end when there is no more.
    pub grace: Duration,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSummary {
    /// `exec` or `pipe`.
    pub name: &'static str,
    /// Records that were handed over.
    pub records: u64,
    /// Commands that failed; with `pipe` also records that it did not take.
    pub failed: u64,
}

/// What is counted, shared with whoever sums up.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) records: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// The living processes of a run, and what was counted.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    /// Process groups, and whose they are.
    living: Arc<Mutex<BTreeMap<u32, &'static str>>>,
    /// Nothing new is started.
    ending: Arc<AtomicBool>,
    counts: Vec<(&'static str, Arc<Counts>)>,
}

/// A command that cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("--{flag}: cannot start '{program}'")]
pub struct CommandError {
    pub(super) flag: &'static str,
    pub(super) program: String,
    pub(super) source: std::io::Error,
}

impl Commands {
    pub(super) fn counts(&mut self, name: &'static str) -> Arc<Counts> {
        let counts = Arc::new(Counts::default());
        self.counts.push((name, Arc::clone(&counts)));
        counts
    }

    /// Lets nothing new start.
    pub fn refuse_more(&self) {
        self.ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Whether a process is alive that was started.
    #[must_use]
    pub fn any_alive(&self) -> bool {
        !self.groups().is_empty()
    }

    /// Asks all that live to end (SIGTERM), or ends them (SIGKILL).
    pub fn end_all(&self, kill: bool) {
        self.groups().keys().for_each(|group| signal(*group, kill));
    }

    fn end_those_of(&self, name: &str, kill: bool) {
        let groups = self.groups();
        groups.iter().filter(|(_, of)| **of == name).for_each(|(group, _)| signal(*group, kill));
    }

    #[must_use]
    pub fn summary(&self) -> Vec<CommandSummary> {
        let of = |(name, counts): &(&'static str, Arc<Counts>)| CommandSummary {
            name,
            records: counts.records.load(Ordering::Acquire),
            failed: counts.failed.load(Ordering::Acquire),
        };
        self.counts.iter().map(of).collect()
    }

    fn groups(&self) -> BTreeMap<u32, &'static str> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a command of `name` in a group of its own, with its input as a pipe and what it prints on `printed`.
    pub(super) fn start(&self, name: &'static str, words: &[String], printed: &PipeWriter) -> std::io::Result<Child> {
        let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        // The lock is held, so that who ends all sees it.
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(printed.try_clone()?)
            .stderr(printed.try_clone()?)
            .process_group(0)
            .spawn()?;
        living.insert(child.id(), name);
        Ok(child)
    }

    pub(super) fn has_ended(&self, group: u32) {
        self.living.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
    }

    /// Waits for news of the command of `name`; after `time` it is ended. None if even that brings
    /// none.
    pub(super) fn wait<T>(&self, name: &str, news: &Receiver<T>, time: Option<Duration>) -> Waited<T> {
        let first = match time {
            Some(time) => news.recv_timeout(time),
            None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if let Ok(news) = first {
            return Waited::InTime(news);
        }
        for (kill, time) in [(false, TERM_TIME), (true, KILL_TIME)] {
            self.end_those_of(name, kill);
            if let Ok(news) = news.recv_timeout(time) {
                return Waited::Ended(news);
            }
        }
        Waited::Lost
    }
}

/// What came of waiting for a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited<T> {
    InTime(T),
    /// It had to be ended.
    Ended(T),
    /// It cannot be ended.
    Lost,
}

fn signal(group: u32, kill: bool) {
    let Ok(group) = i32::try_from(group) else { return };
    let number = if kill { libc::SIGKILL } else { libc::SIGTERM };
    #[expect(unsafe_code, reason = "sends a signal to a group that we started; touches no memory")]
    unsafe {
        libc::kill(-group, number);
    }
}

/// Stands behind what one command has printed, so that a last line without an end is not the beginning of the next one's.
pub(super) const OVER: &[u8] = b"\0\n";

/// Shows what commands print, on a thread of its own, until nobody can print any more.
pub(super) struct Printed {
    over: Receiver<()>,
}

impl Printed {
    /// `name` stands in front of each line.
    pub(super) fn start(name: &'static str) -> std::io::Result<(Self, PipeWriter)> {
        let (reader, writer) = std::io::pipe()?;
        let (sender, over) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("lycosa-printed".to_owned()).spawn(move || {
            show(name, reader);
            let _ = sender.send(());
        })?;
        Ok((Self { over }, writer))
    }

    /// Waits for the last words. All writers of ours must be gone.
    pub(super) fn finish(&self) {
        let _ = self.over.recv_timeout(LAST_WORDS);
    }
}

fn show(name: &str, printed: PipeReader) {
    let mut reader = BufReader::new(printed);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(1..) => {
                let text = match line.strip_suffix(OVER) {
                    Some([]) => continue,
                    Some(text) => text,
                    None => &line,
                };
                let text = String::from_utf8_lossy(text);
                tracing::info!(target: "lycosa::command", "{name}: {}", text.trim_end_matches(['\n', '\r']));
            }
            Ok(0) | Err(_) => return,
        }
    }
}

/// Whether a program can be started: by its path, or found in the directories of `path` (the variable `PATH`).
#[must_use]
pub fn can_be_found(program: &str, path: &std::ffi::OsStr) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let is_program =
        |file: &Path| file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if program.contains('/') {
        return is_program(Path::new(program));
    }
    std::env::split_paths(path).any(|directory| is_program(&directory.join(program)))
}
