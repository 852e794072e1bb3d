//! Runs that are kept on disk: whether one may begin in a directory, `lycosa resume`, and `lycosa status`.
//!
//! Decides what a later process takes from its own command line and environment (what may change, how it looks, and
//! secrets), and what from the state (all else). Called by the command.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::path::Path;

use lycosa::crawl::{StartError, State, StateOptions};
use lycosa::engine::standing::Standing;
use lycosa::frontier::journal::glance;
use lycosa::observe::status;
use lycosa::seeds::{SeedSettings, Source};
use lycosa::sinks::Target;

use super::conduct::{Failure, Kept, close, files, quiet, resume_line};
use crate::args::RunFlags;
use crate::args::state::{Keep, ResumeFlags, StatusFlags, may_change, why_fixed};
use crate::console::Console;
use crate::exit;
use crate::file;
use crate::memo::Memo;
use crate::settings::hosts;
use crate::settings::resolve::{Resolved, resolve};
use crate::settings::table::DISPLAY;
use crate::settings::{Kind, Layer, Setting, UsageError, setting};
use crate::{env, logging};

/// What `--state` comes to.
pub enum Start {
    /// A new run may begin there.
    New(State),
    /// There was one, and it went on: with this exit code.
    Ended(u8),
}

/// Looks at the directory of `--state`.
///
/// # Errors
/// It cannot be used, or holds a run and `--continue` was not given.
pub fn start(keep: &Keep, flags: &RunFlags) -> Result<Start, Failure> {
    let state = State::open(&keep.dir).map_err(StartError::from)?;
    let Some(begun) = state.begun() else { return Ok(Start::New(state)) };
    let finished = state.is_finished().map_err(StartError::from)?;
    if keep.again && finished {
        let memo = Memo::read(&begun.settings).map_err(usage)?;
        return visit_again(state, &memo, flags, &keep.dir).map(Start::Ended);
    }
    if keep.go_on || (keep.again && begun.again) {
        let memo = Memo::read(&begun.settings).map_err(usage)?;
        let changes = changes(&memo, flags, state.path()).map_err(usage)?;
        let urls = &flags.urls;
        let flags = ResumeFlags { dir: keep.dir.clone(), flags: changes, retry_failed: false };
        return Ok(Start::Ended(go_on(state, &memo, &flags, urls, Stage::of(finished))));
    }
    let dir = keep.dir.display();
    let message = if finished {
        format!("{dir} holds a finished run: --again visits it again; for a new run choose another directory")
    } else {
        format!("{dir} holds an unfinished run; to go on with it: {}", resume_line(&keep.dir, &[]))
    };
    Err(Failure { code: exit::USAGE, message })
}

/// Begins a finished run anew, with its settings and those that are typed now. Returns the exit code.
fn visit_again(state: State, memo: &Memo, flags: &RunFlags, dir: &Path) -> Result<u8, Failure> {
    same_command(memo, flags).map_err(usage)?;
    if !flags.inputs.is_empty() || !(flags.urls.is_empty() || memo.has_urls(&flags.urls)) {
        let error = UsageError::new("--again visits what the run in the state knew: its seeds cannot be changed");
        return Err(usage(error));
    }
    let mut all = memo.layer();
    // They were meant for the visit that has ended.
    all.keep_only(|setting| !matches!(setting.name, "max-pages" | "deadline"));
    all.lay_over(flags.flags.clone());
    let credentials_of_run = flags.flags.get("user").is_some() && !memo.has_user();
    let memo = memo.with(&all, state.path());
    // Secrets were typed now or stand in the environment, as for any resumed run.
    let mut typed = flags.flags.clone();
    typed.keep_only(|setting| is_secret(setting) || setting.heading == DISPLAY);
    let flags = ResumeFlags { dir: dir.to_owned(), flags: typed, retry_failed: false };
    Ok(go_on(state, &memo, &flags, &[], Stage::Anew { credentials_of_run }))
}

/// Tells of a run that does not start. Returns the exit code.
pub fn refuse(failure: &Failure, quiet: u32) -> u8 {
    if quiet < 2 {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("lycosa: {}\n", crate::settings::one_line(&failure.message)),
        );
    }
    failure.code
}

fn usage(error: UsageError) -> Failure {
    let hint = error.hint.map_or_else(String::new, |hint| format!("; {hint}"));
    Failure { code: exit::USAGE, message: error.message + &hint }
}

fn same_command(memo: &Memo, flags: &RunFlags) -> Result<(), UsageError> {
    if flags.run == memo.run() {
        return Ok(());
    }
    Err(UsageError::new(format!("the run there is one of lycosa {}", memo.run().as_str())))
}

/// What was typed with `--continue` and differs from what the run began with.
fn changes(memo: &Memo, flags: &RunFlags, state: &Path) -> Result<Layer, UsageError> {
    same_command(memo, flags)?;
    if let Some(what) = memo.other_input(flags, state) {
        let error = UsageError::new(format!("{what} not what the run in the state began with"));
        return Err(error.with_hint("for another run choose another directory"));
    }
    let stored = memo.layer();
    let mut changes = flags.flags.clone();
    for (name, given) in flags.flags.iter() {
        let same = stored.get(name).is_some_and(|stored| stored.texts == given.texts);
        // The same words name another file elsewhere.
        let here = std::env::current_dir().unwrap_or_default();
        let same = same && !(name == "output" && memo.has_other_outputs(&here, state));
        match setting(name) {
            Some(setting) if !same && !may_change(setting) => {
                let why = why_fixed(setting);
                let error = UsageError::new(format!("--{name} is not what the run in the state began with: {why}"));
                return Err(error.with_hint(format!("to go on as it began: {}", resume_line(state, &[]))));
            }
            _ => {}
        }
    }
    changes.keep_only(may_change);
    Ok(changes)
}

/// `lycosa resume`. Returns the exit code.
pub fn resume(flags: &ResumeFlags) -> u8 {
    let begun = State::existing(&flags.dir).map_err(|error| Failure::from(StartError::from(error)));
    let begun = begun.and_then(|state| {
        let memo = state.begun().map_or(Ok(None), |begun| Memo::read(&begun.settings).map(Some)).map_err(usage)?;
        let finished = state.is_finished().map_err(StartError::from)?;
        Ok((state, memo, finished))
    });
    match begun {
        Ok((state, Some(memo), finished)) => go_on(state, &memo, flags, &[], Stage::of(finished)),
        Ok((_, None, _)) => exit::USAGE,
        Err(failure) => refuse(&failure, quiet(&flags.flags)),
    }
}

/// Where a run stands that a process takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unfinished,
    Finished,
    /// Finished, and to begin anew; perhaps with `--user` for jobs that had credentials of their own.
    Anew {
        credentials_of_run: bool,
    },
}

impl Stage {
    fn of(finished: bool) -> Self {
        if finished { Self::Finished } else { Self::Unfinished }
    }
}

/// Begins a finished run anew, once it is known that its outputs can be opened: the old run is gone then.
fn renewed(state: State, memo: &Memo, credentials_of_run: bool, resolved: &Resolved) -> Result<State, Failure> {
    let outputs = resolved.settings.outputs.iter().filter_map(|output| match &output.target {
        Target::File(path) => Some(path),
        Target::Stdout => None,
    });
    for path in outputs.chain(&resolved.summary) {
        // A pipe would have its reader see an end.
        let writable = match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Ok(()),
            _ => OpenOptions::new().append(true).create(true).open(path).map(drop),
        };
        writable.map_err(|error| Failure {
            code: exit::OUTPUT,
            message: format!("cannot write {}: {error}", path.display()),
        })?;
    }
    Ok(state.renewed(memo.to_json(), credentials_of_run).map_err(StartError::from)?)
}

/// Goes on with a run. `urls`: typed again, perhaps with the credentials that are not kept. Returns the exit code.
fn go_on(state: State, memo: &Memo, flags: &ResumeFlags, urls: &[String], stage: Stage) -> u8 {
    let mut stage = stage;
    if stage == Stage::Finished && !flags.retry_failed {
        match rests(&state, memo, flags) {
            Ok(true) => return 0,
            // What it lost of its outputs is fetched again.
            Ok(false) => stage = Stage::Unfinished,
            Err(code) => return code,
        }
    }
    let (layers, warnings) = match layers(memo, flags, true) {
        Ok(layers) => layers,
        Err(error) => return crate::usage(&error, quiet(&flags.flags)),
    };
    // What was typed now is meant from here; what was typed then, from there.
    let mut run = memo.flags();
    if memo.has_urls(urls) {
        run.urls = urls.to_vec();
    }
    let mut resolved = match at_home(&memo.home(state.path()), || resolve(run.run, &layers, &run.request)) {
        Ok(resolved) => resolved,
        Err(error) => return crate::usage(&error, quiet(&layers)),
    };
    let stdout = resolved.settings.outputs.iter().any(|output| output.target == Target::Stdout);
    let console = Console::new(&resolved.display, stdout);
    logging::start(&resolved.display, &console);
    for warning in warnings.iter().chain(&resolved.warnings) {
        console.notice(&format!("warning: {warning}"));
    }
    run.flags = layers;
    if let Err(error) = open_input(&run, state.path(), &mut resolved) {
        return crate::usage(&error, resolved.display.quiet);
    }
    if stage == Stage::Unfinished
        && let Some(cookies) = &mut resolved.settings.client.cookies
    {
        match &cookies.jar {
            // What an earlier process was given goes on.
            Some(jar) if jar.metadata().is_ok_and(|jar| jar.len() > 0) => cookies.files.push(jar.clone()),
            _ => console.notice("cookies that servers set before are not kept in the state: this process begins without them (a run with -c FILE has those of a process that was stopped)"),
        }
    }
    let state = match stage {
        Stage::Anew { credentials_of_run } => renewed(state, memo, credentials_of_run, &resolved),
        Stage::Unfinished | Stage::Finished => Ok(state),
    };
    let state = match state {
        Ok(state) => state,
        Err(failure) => return refuse(&failure, resolved.display.quiet),
    };
    let options = StateOptions {
        durability: resolved.durability,
        memo: String::new(),
        retry_failed: flags.retry_failed,
        retry_all: resolved.settings.engine.retry.all_methods,
        credentials_of_run: memo.lacks_user() && flags.flags.get("user").is_some(),
        no_stdin: std::io::stdin().is_terminal(),
    };
    let overrides = overrides(&run.flags, &flags.flags);
    close(resolved, false, Some(Kept { state, options, overrides }), &console)
}

/// What was typed now, in words: the next process is told it again. Credentials are not repeated, and how a call looks is
/// no business of the next one.
fn overrides(layers: &Layer, typed: &Layer) -> Vec<String> {
    let mut words = Vec::new();
    for (name, _) in typed.iter() {
        let Some(setting) = setting(name).filter(|setting| !is_secret(setting) && setting.heading != DISPLAY) else {
            continue;
        };
        // There paths are absolute.
        for text in layers.get(name).map_or(&[][..], |given| &given.texts) {
            words.push(match (setting.kind, text.as_str()) {
                (Kind::Switch, "true") => format!("--{name}"),
                (Kind::Switch, _) => format!("--no-{name}"),
                _ => format!("--{name}={text}"),
            });
        }
    }
    words
}

/// Does something where the run was begun, if that place is there: files that were named then are found from it.
fn at_home<T>(home: &Path, act: impl FnOnce() -> T) -> T {
    // One thread so far, and everything that was typed now is absolute already.
    let _ = std::env::set_current_dir(home);
    act()
}

fn open_input(flags: &RunFlags, state: &Path, resolved: &mut Resolved) -> Result<(), UsageError> {
    let mut sources = Vec::new();
    if !flags.urls.is_empty() {
        sources.push(Source::Arguments(flags.urls.clone()));
    }
    for path in &flags.inputs {
        sources.push(if path == Path::new("-") { Source::Stdin } else { Source::File(path.clone()) });
    }
    let mut files = files(flags, &sources, resolved);
    files.keeps(state);
    files.check()?;
    resolved.settings.seeds = SeedSettings { sources, ..std::mem::take(&mut resolved.settings.seeds) };
    Ok(())
}

/// Whether there is nothing to do for a finished run: its outputs hold what it wrote. Says so then; credentials are not
/// needed for it. Else the exit code.
fn rests(state: &State, memo: &Memo, flags: &ResumeFlags) -> Result<bool, u8> {
    let (layers, warnings) = layers(memo, flags, false).map_err(|error| crate::usage(&error, quiet(&flags.flags)))?;
    let run = memo.flags();
    let resolved = at_home(&memo.home(state.path()), || resolve(run.run, &layers, &run.request))
        .map_err(|error| crate::usage(&error, quiet(&layers)))?;
    let outputs = &resolved.settings.outputs;
    let whole = state.outputs_are_whole(outputs).map_err(|error| refuse(&error.into(), resolved.display.quiet))?;
    if whole {
        let stdout = outputs.iter().any(|output| output.target == Target::Stdout);
        let console = Console::new(&resolved.display, stdout);
        for warning in warnings.iter().chain(&resolved.warnings) {
            console.notice(&format!("warning: {warning}"));
        }
        console.notice(&format!("the run in {} is finished", flags.dir.display()));
    }
    Ok(whole)
}

/// The settings of the run, with what may change and what was left out from the environment and the command line: without
/// `secrets` nothing is asked for that was left out.
fn layers(memo: &Memo, flags: &ResumeFlags, secrets: bool) -> Result<(Layer, Vec<String>), UsageError> {
    let (mut environment, warnings) = env::read(std::env::vars_os())?;
    environment.keep_only(|setting| setting.heading == DISPLAY || is_secret(setting));
    let mut given = environment;
    given.lay_over(flags.flags.clone());
    let mut layers = file::defaults(memo.run()).clone();
    let mut stored = memo.layer();
    if secrets {
        memo.restore(&mut stored, &given)?;
    }
    layers.lay_over(stored);
    // What is typed now stands over tables of hosts, as it did then.
    let mut tables = given.clone();
    tables.keep_only(|setting| !is_secret(setting));
    *tables.hosts_mut() = if secrets { memo.hosts()? } else { Vec::new() };
    hosts::settle(&mut tables);
    *layers.hosts_mut() = std::mem::take(tables.hosts_mut());
    given.keep_only(|setting| !is_secret(setting));
    layers.lay_over(given);
    absolute_summary(&mut layers, &flags.flags);
    Ok((layers, warnings))
}

fn is_secret(setting: &Setting) -> bool {
    matches!(setting.name, "cookie" | "header" | "proxy" | "user")
}

/// A summary that was named now is written here, wherever the run was begun.
fn absolute_summary(layers: &mut Layer, typed: &Layer) {
    if let (Some(given), Some(setting)) = (typed.get("summary"), setting("summary")) {
        let absolute = |text: &String| match text.as_str() {
            "none" => text.clone(),
            path => std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string()),
        };
        layers.set(setting, given.texts.iter().map(absolute).collect(), given.origin.clone());
    }
}

/// `lycosa status`. Returns the exit code.
pub fn status(flags: &StatusFlags) -> u8 {
    let glance = match glance(&flags.dir) {
        Ok(glance) => glance,
        Err(error) => return refuse(&Failure::from(StartError::from(error)), 0),
    };
    let standing = Standing::seen(&glance);
    let resume = (!glance.finished && glance.process.is_none()).then(|| resume_line(&flags.dir, &[]));
    let text = if flags.json {
        status::json(&glance, &standing, resume.as_deref())
    } else {
        status::text(&glance, &standing, resume.as_deref())
    };
    crate::print(text.as_bytes())
}
