//! `lycosa crawl` and `lycosa fetch`: from what was typed to the exit code.
//!
//! The order is the contract's: everything that can be wrong with input and settings is found before an output is
//! touched, and all outputs are open before the first request.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use lycosa::crawl::{State, StateOptions};
use lycosa::seeds::{SeedSettings, Source, StrictError, check_all, check_argument};

use super::conduct::{Kept, NO_URL, close, files, quiet, to_stdout};
use crate::args::RunFlags;
use crate::console::Console;
use crate::memo::Memo;
use crate::settings::resolve::{Resolved, resolve};
use crate::settings::{Layer, UsageError};
use crate::{layers, logging};

/// Runs the command. Returns the exit code.
pub fn run(flags: &RunFlags) -> u8 {
    let (layers, warnings) = match gathered(flags) {
        Ok(gathered) => gathered,
        Err(error) => return crate::usage(&error, quiet(&flags.flags)),
    };
    let start = match flags.keep.as_ref().map(|keep| super::state::start(keep, flags)) {
        None => None,
        Some(Ok(super::state::Start::New(state))) => Some(state),
        Some(Ok(super::state::Start::Ended(code))) => return code,
        Some(Err(failure)) => return super::state::refuse(&failure, quiet(&layers)),
    };
    let mut resolved = match resolve(flags.run, &layers, &flags.request) {
        Ok(resolved) => resolved,
        Err(error) => return crate::usage(&error, quiet(&layers)),
    };
    // Of a run that knows nothing before, all pages are new.
    resolved.settings.engine.again = flags.keep.as_ref().is_some_and(|keep| keep.again);
    let console = Console::new(&resolved.display, to_stdout(&resolved.settings));
    logging::start(&resolved.display, &console);
    for warning in warnings.iter().chain(&resolved.warnings) {
        console.notice(&format!("warning: {warning}"));
    }
    let implicit = match input(flags, start.as_ref().map(State::path), &mut resolved) {
        Ok(implicit) => implicit,
        Err(error) => return crate::usage(&error, resolved.display.quiet),
    };
    let kept = match start.map(|state| kept(state, flags, &layers, implicit, &resolved)).transpose() {
        Ok(kept) => kept,
        Err(error) => return crate::usage(&error, resolved.display.quiet),
    };
    close(resolved, implicit, kept, &console)
}

/// What the state keeps of what was typed.
fn kept(
    state: State,
    flags: &RunFlags,
    layers: &Layer,
    implicit: bool,
    resolved: &Resolved,
) -> Result<Kept, UsageError> {
    let memo = Memo::of(flags, layers, implicit)?.to_json();
    let options = StateOptions {
        durability: resolved.durability,
        memo,
        retry_all: resolved.settings.engine.retry.all_methods,
        ..StateOptions::default()
    };
    Ok(Kept { state, options, overrides: Vec::new() })
}

fn gathered(flags: &RunFlags) -> Result<(Layer, Vec<String>), UsageError> {
    layers::gather(flags.run, &flags.files, std::env::vars_os(), flags.flags.clone())
}

/// Finds and checks the input. Returns whether standard input is read because nothing else was named.
fn input(flags: &RunFlags, state: Option<&Path>, resolved: &mut Resolved) -> Result<bool, UsageError> {
    flags.urls.iter().try_for_each(|url| argument(url))?;
    let (sources, implicit) = sources(flags)?;
    let mut files = files(flags, &sources, resolved);
    if let Some(state) = state {
        files.keeps(state);
    }
    files.check()?;
    let mut seeds = SeedSettings { sources, mirrors: resolved.settings.seeds.mirrors };
    if resolved.strict_input {
        seeds = check_all(&seeds).map_err(|error| strict_error(&error))?;
    }
    resolved.settings.seeds = seeds;
    Ok(implicit)
}

/// Checks what stands for a URL.
///
/// # Errors
/// It is none, or stands for something else.
pub fn argument(text: &str) -> Result<(), UsageError> {
    let command = text.trim();
    if command == "-" {
        return Err(UsageError::new("'-' is not a URL; to read a list from standard input: -i -"));
    }
    if command.starts_with('{') {
        // Not repeated: it may hold a password.
        return Err(UsageError::new("a JSON job is read from a file (-i FILE) or from standard input (-i -)"));
    }
    check_argument(text).map_err(UsageError::new)
}

/// The lines that cannot be read, each on a line of its own.
fn strict_error(error: &StrictError) -> UsageError {
    let told = error.to_string();
    let mut lines = told.lines();
    UsageError::new(lines.next().unwrap_or_default())
        .with_details(lines.map(|line| line.trim_start().to_owned()).collect())
}

fn sources(flags: &RunFlags) -> Result<(Vec<Source>, bool), UsageError> {
    let body_is_stdin = flags.request.read_stdin();
    let mut sources = Vec::new();
    if !flags.urls.is_empty() {
        sources.push(Source::Arguments(flags.urls.clone()));
    }
    for path in &flags.inputs {
        let source = if path == Path::new("-") { Source::Stdin } else { Source::File(path.clone()) };
        if source == Source::Stdin && (body_is_stdin || sources.contains(&Source::Stdin)) {
            return Err(UsageError::new("standard input can be read only once"));
        }
        sources.push(source);
    }
    if !sources.is_empty() {
        return Ok((sources, false));
    }
    let no_url = || {
        let command = flags.run.as_str();
        UsageError::new(NO_URL).with_hint(format!("lycosa {command} URL, or -i FILE, or URLs on standard input"))
    };
    let mut stdin = std::io::stdin().lock();
    if body_is_stdin || std::io::stdin().is_terminal() {
        return Err(no_url());
    }
    // Waits for the first bytes; they stay in the buffer of standard input, where the reader of seeds finds them.
    // Input that holds only blank lines and comments is told apart at the end of the run.
    match stdin.fill_buf() {
        Ok([]) => Err(no_url()),
        Ok(_) => Ok((vec![Source::Stdin], true)),
        Err(error) => Err(UsageError::new(format!("cannot read standard input: {error}"))),
    }
}
