//! The command under observation.
//!
//! It runs in an empty directory of its own with an empty environment, so that no file and no variable of the machine
//! decides how a test ends.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// No run of this suite takes so long; one that does hangs, and is killed so that the test can say so.
const HANGS: Duration = Duration::from_secs(90);

/// What to run.
pub struct Command {
    program: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    input: Input,
    directory: TempDir,
    reader: bool,
}

enum Input {
    Nothing,
    Bytes(Vec<u8>),
    Open,
}

/// `lycosa` with these arguments.
pub fn lycosa<S: Into<OsString>>(arguments: impl IntoIterator<Item = S>) -> Command {
    program(env!("CARGO_BIN_EXE_lycosa"), arguments)
}

/// Another program, observed in the same way.
pub fn program<S: Into<OsString>>(program: &'static str, arguments: impl IntoIterator<Item = S>) -> Command {
    Command {
        program,
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: Vec::new(),
        input: Input::Nothing,
        directory: TempDir::new().unwrap(),
        reader: true,
    }
}

impl Command {
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn args<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// What stands on its standard input; without it that is empty.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Lines for its standard input.
    pub fn lines(self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut text = String::new();
        for line in lines {
            text.push_str(line.as_ref());
            text.push('\n');
        }
        self.stdin(text)
    }

    /// Standard input stays open: [`Running::write`] writes to it.
    pub fn open_stdin(mut self) -> Self {
        self.input = Input::Open;
        self
    }

    /// Its standard output is a pipe that nobody reads until [`Running::read`].
    pub fn stopped_reader(mut self) -> Self {
        self.reader = false;
        self
    }

    /// Writes a file into its working directory, with the folders on the way.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Run {
        self.spawn().finish()
    }

    /// Starts it.
    pub fn spawn(self) -> Running {
        let home = self.directory.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let mut command = std::process::Command::new(self.program);
        command
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(if matches!(self.input, Input::Nothing) { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdin = match (self.input, stdin) {
            (Input::Bytes(bytes), Some(mut pipe)) => {
                // A run may stop reading before the end of its input: that is its right.
                spawn(move || drop(pipe.write_all(&bytes)));
                None
            }
            (_, pipe) => pipe,
        };
        let stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = spawn_with(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let memory = watch_memory(child.id());
        let mut running = Running {
            child,
            stdin,
            stdout: Some(stdout),
            output: Arc::default(),
            reader: None,
            stderr: Some(stderr),
            memory: Some(memory),
            directory: Some(self.directory),
        };
        if self.reader {
            running.read();
        }
        running
    }
}

/// What a reader has got so far.
#[derive(Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Default)]
struct OutputState {
    bytes: Vec<u8>,
    /// Complete ones.
    lines: usize,
    ended: bool,
}

/// A run under way. Killed when dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    output: Arc<Output>,
    reader: Option<JoinHandle<()>>,
    stderr: Option<JoinHandle<String>>,
    memory: Option<JoinHandle<u64>>,
    directory: Option<TempDir>,
}

fn spawn(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    spawn_with(work)
}

fn spawn_with<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().spawn(work).expect("a thread for a test")
}

/// Peak memory of a process in KiB, of the system's own account; 0 where there is none.
pub fn peak_memory(id: u32) -> u64 {
    memory_line(id, "VmHWM:")
}

fn memory_line(id: u32, name: &str) -> u64 {
    std::fs::read_to_string(format!("/proc/{id}/status"))
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or(0)
}

/// Asks for it until the process is gone. The number never falls, so only its last milliseconds can be missed.
fn watch_memory(id: u32) -> JoinHandle<u64> {
    spawn_with(move || {
        let mut peak = 0;
        loop {
            let now = peak_memory(id);
            if now == 0 {
                return peak;
            }
            peak = now.max(peak);
            thread::sleep(Duration::from_millis(5));
        }
    })
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without SIG.
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.unwrap().success(), "no process to signal");
    }

    /// Writes to its standard input, which was left open.
    pub fn write(&mut self, text: &str) {
        self.stdin.as_mut().expect("standard input is open").write_all(text.as_bytes()).unwrap();
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Begins to read its standard output.
    pub fn read(&mut self) {
        let mut stdout = self.stdout.take().expect("nobody reads yet");
        let output = Arc::clone(&self.output);
        self.reader = Some(spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = stdout.read(&mut buffer).unwrap_or(0);
                let mut state = output.state.lock().unwrap();
                state.lines += memchr::memchr_iter(b'\n', &buffer[..read]).count();
                state.bytes.extend_from_slice(&buffer[..read]);
                state.ended = read == 0;
                output.changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        }));
    }

    /// Closes the reading end of its standard output, which nobody reads.
    pub fn close_stdout(&mut self) {
        drop(self.stdout.take().expect("nobody reads"));
    }

    /// Reads so many bytes of its standard output, which nobody else reads.
    pub fn read_some(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes];
        self.stdout.as_mut().expect("nobody reads").read_exact(&mut buffer).unwrap();
    }

    /// Waits for its first lines, and gives those that are there.
    pub fn wait_for_lines(&self, count: usize) -> Vec<String> {
        let state = self.output.state.lock().unwrap();
        let (state, late) =
            self.output.changed.wait_timeout_while(state, HANGS, |state| state.lines < count && !state.ended).unwrap();
        assert!(!late.timed_out(), "no {count} lines came");
        String::from_utf8_lossy(&state.bytes).lines().map(str::to_owned).collect()
    }

    /// Waits until something is so, by asking again and again.
    pub fn wait_until(&mut self, what: &str, mut so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !so() {
            assert!(start.elapsed() < HANGS, "it never came to this: {what}");
            assert!(self.is_running() || so(), "it ended before this: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Memory it holds now, in KiB.
    pub fn memory(&self) -> u64 {
        memory_line(self.id(), "VmRSS:")
    }

    /// Waits for its end, after its standard output was closed.
    pub fn finish_without_output(self) -> Run {
        assert!(self.stdout.is_none() && self.reader.is_none(), "nobody reads");
        self.finish()
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Run {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > HANGS {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                let stderr = self.stderr.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
                panic!("the run hangs; it said:\n{stderr}");
            }
            thread::sleep(Duration::from_millis(2));
        };
        if self.stdout.is_some() {
            self.read();
        }
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let state = std::mem::take(&mut *self.output.state.lock().unwrap());
        Run {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: state.bytes,
            stderr: self.stderr.take().map(|thread| thread.join().unwrap()).unwrap_or_default(),
            peak_kib: self.memory.take().map_or(0, |thread| thread.join().unwrap()),
            directory: self.directory.take().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that has ended.
pub struct Run {
    /// As a shell sees it: 128 and the signal if it was killed by one.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub peak_kib: u64,
    directory: TempDir,
}

impl Run {
    /// Checks the exit code, and shows what was said if it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; standard error:\n{}", self.stderr);
        self
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("standard output is UTF-8")
    }

    /// The records of its standard output. Each line must be whole and parse, and `seq` has no gap.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        parse_records(&self.stdout, &self.stderr)
    }

    /// The records of a file that it wrote.
    #[track_caller]
    pub fn records_of(&self, name: &str) -> Vec<Value> {
        parse_records(&std::fs::read(self.path(name)).unwrap(), &self.stderr)
    }

    /// The only record.
    #[track_caller]
    pub fn record(&self) -> Value {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "one record; standard error:\n{}", self.stderr);
        records.remove(0)
    }

    /// A path in its working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The summary that `--summary summary.json` wrote.
    #[track_caller]
    pub fn summary(&self) -> super::Summary {
        let text = std::fs::read_to_string(self.path("summary.json")).expect("--summary summary.json was written");
        super::Summary(serde_json::from_str(&text).expect("the summary is JSON"))
    }
}

#[track_caller]
fn parse_records(bytes: &[u8], stderr: &str) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("records are UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn: {:?}", text.lines().last());
    let records: Vec<Value> = text
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}; it said:\n{stderr}"))
        })
        .collect();
    for (place, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], place, "seq has no gap");
    }
    records
}
