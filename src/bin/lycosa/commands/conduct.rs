//! A run from its settings to the exit code, however it was begun: `crawl`, `fetch`, `resume` and the demonstration.
//!
//! Decides the exit code, what is said at the end, and that outputs are open before the first request. Never reads a flag.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lycosa::crawl::{Crawl, Settings, StartError, State, StateOptions};
use lycosa::engine::settings::EngineSettings;
use lycosa::engine::stats::{Counters, StoppedBy, Summary};
use lycosa::observe::progress::Progress;
use lycosa::observe::report;
use lycosa::seeds::Source;
use lycosa::sinks::Target;

use crate::args::RunFlags;
use crate::clash::Files;
use crate::console::Console;
use crate::exit::{self, StopSignal};
use crate::settings::Layer;
use crate::settings::resolve::Resolved;
use crate::{file, standard, watch};

/// Nothing was named, and nothing came.
pub const NO_URL: &str = "no URL given";

/// A failure that ends the command before or beside its run: exit code and one line.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub message: String,
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let code = match error {
            StartError::Output(_) => exit::OUTPUT,
            _ => exit::USAGE,
        };
        Self { code, message: error.to_string() }
    }
}

/// How a run ended.
pub struct Ended {
    pub summary: Summary,
    /// The first signal that asked it to stop.
    pub signal: Option<StopSignal>,
    /// URLs and lines that were accepted.
    pub accepted: u64,
}

/// Where a run is kept.
pub struct Kept {
    pub state: State,
    pub options: StateOptions,
    /// What this process was told and the state does not keep, as words of a command line.
    pub overrides: Vec<String>,
}

/// Runs, writes the summary, and decides the exit code.
pub fn close(resolved: Resolved, implicit_input: bool, kept: Option<Kept>, console: &Console) -> u8 {
    let (fail_on, summary_path) = (resolved.fail_on, resolved.summary.clone());
    let limited = resolved.settings.engine.max_memory.is_some();
    let place = kept.as_ref().map(|kept| (kept.state.path().to_owned(), kept.overrides.clone()));
    let mut summary_file = None;
    let ended = conduct(resolved.settings, kept, console, || {
        summary_file = summary_path.as_deref().map(create_summary).transpose()?;
        Ok(())
    });
    let ended = match ended {
        Ok(ended) => ended,
        Err(failure) => {
            console.failure(&failure.message);
            return failure.code;
        }
    };
    let Ended { summary, signal, accepted } = &ended;
    if implicit_input && *accepted == 0 && summary.records == 0 && summary.stopped_by == StoppedBy::Done {
        console.failure(NO_URL);
        return exit::USAGE;
    }
    let mut code = exit::code(summary, fail_on, *signal);
    if let Some((path, file)) = summary_file
        && let Err(failure) = write_summary(&path, file, summary, code)
    {
        console.failure(&failure.message);
        code = code_after(code, failure.code);
    }
    let unfinished = summary.work_left || summary.stopped_by != StoppedBy::Done;
    let resume = place.filter(|_| unfinished).map(|(dir, mut overrides)| {
        if summary.stopped_by == StoppedBy::Limit {
            // The limit is one of the whole run: with the same the next process would stop at once.
            overrides.retain(|word| !word.starts_with("--max-pages="));
            overrides.insert(0, "--max-pages=none".to_owned());
        }
        resume_line(&dir, &overrides)
    });
    show(console, summary, code, resume.as_deref());
    if let Some(bytes) = peak_memory().filter(|_| limited) {
        console.report(&report::peak(bytes));
    }
    if let Some(resume) = resume {
        console.notice(&format!("to go on: {resume}"));
    }
    code
}

/// The code that goes first of two.
fn code_after(code: u8, other: u8) -> u8 {
    let place = |code: u8| [2, 3, 6, 130, 143, 1, 4, 0].iter().position(|known| *known == code);
    if place(other) < place(code) { other } else { code }
}

fn show(console: &Console, summary: &Summary, code: u8, resume: Option<&str>) {
    match console.quiet() {
        // `… | head` has read what it wanted.
        _ if summary.stopped_by == StoppedBy::Pipe && code == 0 => {}
        0 => console.report(&report::text(summary)),
        1 if code != 0 => {
            let line = summary.output_error.clone().unwrap_or_else(|| report::one_line(summary, code));
            let resume = resume.map_or_else(String::new, |resume| format!("; to go on: {resume}"));
            console.failure(&(line + &resume));
        }
        _ => {}
    }
}

/// Starts a run, watches it, and returns when it has ended. `before` is called when all inputs and outputs are open and
/// nothing has been asked yet.
///
/// # Errors
/// The run cannot start, or `before` says so: nothing was fetched.
pub fn conduct(
    mut settings: Settings,
    kept: Option<Kept>,
    console: &Console,
    before: impl FnOnce() -> Result<(), Failure>,
) -> Result<Ended, Failure> {
    fit_descriptors(&mut settings.engine, console);
    let writes_closed = to_stdout(&settings) && standard::output_was_closed();
    let internal = |error: std::io::Error| Failure { code: exit::INTERNAL, message: format!("cannot start: {error}") };
    let runtime = lycosa::crawl::runtime().map_err(internal)?;
    let progress = Progress::new(!settings.engine.follow);
    let ended = runtime.block_on(async {
        let crawl = match kept {
            Some(Kept { state, options, .. }) => Crawl::with_state(settings, state, options)?,
            None => Crawl::new(settings)?,
        };
        if writes_closed {
            let message = format!("cannot write standard output: {}", standard::closed());
            return Err(Failure { code: exit::OUTPUT, message });
        }
        before()?;
        let handle = crawl.handle();
        let watch = watch::start(handle.clone(), console.clone(), progress).map_err(internal)?;
        // In a box: it is large, and there is one.
        let summary = Box::pin(crawl.run()).await;
        let signal = watch.finish();
        Ok(Ended { summary, signal, accepted: Counters::get(&handle.counters().accepted) })
    });
    // A lookup of a name that still blocks a thread must not hold the exit back.
    runtime.shutdown_background();
    ended
}

/// Thousands of connections need as many descriptors: takes all that the system grants, and asks for no more at once
/// than they are enough for.
fn fit_descriptors(engine: &mut EngineSettings, console: &Console) {
    // Where there is no limit to read, none is known to be too low.
    let Ok(limit) = rlimit::increase_nofile_limit(u64::MAX) else { return };
    let fitting = concurrency_within(limit, engine.concurrency);
    if fitting < engine.concurrency {
        console.notice(&format!(
            "warning: the system allows {limit} open files (ulimit -n): concurrency {fitting} instead of {}",
            engine.concurrency
        ));
        engine.concurrency = fitting;
    }
}

/// Requests in flight that this many descriptors are enough for: two each (a connection that is being replaced, a
/// lookup of a name) and some for files.
fn concurrency_within(limit: u64, wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_mul(2).saturating_add(64);
    let fitting = usize::try_from(limit.saturating_sub(32) / 2).unwrap_or(usize::MAX).max(1);
    if limit < needed { fitting.min(wanted) } else { wanted }
}

/// The command that goes on with a run, as it can be typed in the directory it was begun in and in any other.
pub fn resume_line(dir: &Path, overrides: &[String]) -> String {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let words = std::iter::once(dir.display().to_string()).chain(overrides.iter().cloned());
    words.fold("lycosa resume".to_owned(), |line, word| line + " " + &quoted(&word))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// How quiet a run is that has no settings yet.
pub fn quiet(layers: &Layer) -> u32 {
    layers.get("quiet").and_then(|given| given.texts.last()?.parse().ok()).unwrap_or(0)
}

/// Whether records go to standard output.
pub fn to_stdout(settings: &Settings) -> bool {
    settings.outputs.iter().any(|output| output.target == Target::Stdout)
}

/// All files that the run would read and write.
pub fn files(flags: &RunFlags, sources: &[Source], resolved: &Resolved) -> Files {
    let mut files = Files::default();
    for source in sources {
        match source {
            Source::File(path) => files.reads("-i", path),
            Source::Stdin => files.reads_stdin(),
            Source::Arguments(_) | Source::Spool(_) => {}
        }
    }
    for (flag, path) in flags.request.files() {
        files.reads(flag, Path::new(path));
    }
    for path in flags.flags.get("rules").into_iter().flat_map(|given| &given.texts) {
        files.reads("--rules", Path::new(path));
    }
    let headers = flags.flags.get("header").map_or(&[][..], |given| &given.texts);
    for path in headers.iter().filter_map(|line| line.strip_prefix('@')).filter(|path| *path != "-") {
        files.reads("-H", Path::new(path));
    }
    if let Some(cookies) = &resolved.settings.client.cookies {
        // One and the same file may be both: a jar is read before the run, and written after it.
        for path in cookies.files.iter().filter(|path| Some(*path) != cookies.jar.as_ref()) {
            files.reads("-b", path);
        }
        if let Some(jar) = &cookies.jar {
            files.writes("-c", jar);
        }
    }
    for path in file::places(&flags.files) {
        files.reads("the configuration file", &path);
    }
    for output in &resolved.settings.outputs {
        match &output.target {
            Target::File(path) => {
                files.writes("-o", path);
                output.beside().iter().for_each(|path| files.writes("what is made beside -o,", path));
            }
            Target::Stdout => files.writes_stdout(),
        }
    }
    if let Some(path) = &resolved.summary {
        files.writes("--summary", path);
    }
    files
}

fn create_summary(path: &Path) -> Result<(PathBuf, File), Failure> {
    match File::create(path) {
        Ok(file) => Ok((path.to_owned(), file)),
        Err(error) => Err(Failure {
            code: exit::OUTPUT,
            message: format!("cannot write the summary {}: {error}", path.display()),
        }),
    }
}

fn write_summary(path: &Path, mut file: File, summary: &Summary, code: u8) -> Result<(), Failure> {
    let json = report::json(summary, code, peak_memory());
    writeln!(file, "{json}").map_err(|error| Failure {
        code: exit::OUTPUT,
        message: format!("cannot write the summary {}: {error}", path.display()),
    })
}

/// The largest memory this process ever had, in bytes, where the system tells (Linux: VmHWM of proc(5)).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_that_goes_first_stands() {
        assert_eq!(code_after(0, 3), 3);
        assert_eq!(code_after(130, 3), 3);
        assert_eq!(code_after(2, 3), 2);
        assert_eq!(code_after(3, 3), 3);
    }

    #[test]
    fn concurrency_fits_the_descriptors() {
        let fits = |limit, wanted| concurrency_within(limit, wanted);
        assert_eq!([fits(1024, 64), fits(192, 64), fits(191, 64), fits(64, 200)], [64, 64, 64, 16]);
        assert_eq!([fits(12, 64), fits(0, 1), fits(u64::MAX, 100_000)], [1, 1, 100_000]);
    }

    #[test]
    fn the_resume_line_can_be_typed() {
        let words = ["--rate=5/s".to_owned(), "--summary=/a b/it's".to_owned()];
        let line = resume_line(Path::new("/x/dir"), &words);
        assert_eq!(line, r"lycosa resume /x/dir --rate=5/s '--summary=/a b/it'\''s'");
    }

    #[test]
    fn start_errors_have_their_codes() {
        assert_eq!(Failure::from(StartError::Input("x".to_owned())).code, 2);
        assert_eq!(Failure::from(StartError::Output("x".to_owned())).code, 3);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn peak_memory_is_told() {
        assert!(peak_memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_summary_that_cannot_be_created_is_an_output_error() {
        let failure = create_summary(Path::new("/no/such/dir/s.json")).expect_err("no directory");
        assert_eq!(failure.code, 3);
    }
}
