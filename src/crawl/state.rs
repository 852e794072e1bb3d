//! A run that is kept on disk: begun in a new directory, or taken up where an earlier process left it.
//!
//! Decides in which order a state directory, outputs and input are opened, and what is refused before anything is
//! fetched. The order matters: an output that holds less than the journal says sends the run back to its last epoch, and
//! only then is read what is left to do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{
    Budget, Crawl, Kept, RunHandle, Settings, StartError, chain, open_bodies, open_cache, open_client, open_commands,
    run_name,
};
use crate::engine::clock::Clock;
use crate::engine::ledger;
use crate::frontier::Frontier as _;
use crate::frontier::journal::{
    Begun, Durability, DurableFrontier, Failure, Journal, JournalSettings, LoadSettings, Opened, Past, Replay,
    StateDir, StateError, has_credentials,
};
use crate::frontier::memory::{MemoryFrontier, MemorySettings};
use crate::frontier::seen::SeenLimit;
use crate::model::job::Job;
use crate::seeds::{self, Reader, Seed, SeedSettings, SkipError, Source};
use crate::sinks::{self, Checked, OutputSettings, Sink, Target};

/// A state directory that this process holds.
#[derive(Debug)]
pub struct State {
    dir: StateDir,
    content: Content,
}

#[derive(Debug)]
enum Content {
    New(std::fs::File),
    Run(Box<Replay>),
}

/// How a run is kept, and what becomes of what an earlier process did not finish.
#[derive(Debug, Clone, Default)]
pub struct StateOptions {
    pub durability: Durability,
    /// What the caller wants to read again when the run is resumed: its settings, without secrets.
    pub memo: String,
    /// Failures of earlier processes are asked once more.
    pub retry_failed: bool,
    /// Jobs that may not be sent twice, and perhaps were, are sent again.
    pub retry_all: bool,
    /// Jobs whose own credentials were not kept are asked with those of the run.
    pub credentials_of_run: bool,
    /// Standard input is a terminal: nothing of the input is given again there.
    pub no_stdin: bool,
}

impl State {
    /// Takes a directory, made if it is not there.
    ///
    /// # Errors
    /// A living run holds it, it cannot be made or written, or it is damaged or of another version.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::of(StateDir::lock(path)?)
    }

    /// Takes the directory of a run that was begun before.
    ///
    /// # Errors
    /// As [`State::open`], or there is no run.
    pub fn existing(path: &Path) -> Result<Self, StateError> {
        let dir = StateDir::lock_existing(path)?;
        dir.holds_blocks()?;
        let state = Self::of(dir)?;
        match state.content {
            Content::New(file) => {
                let bytes = file.metadata().map_or(0, |journal| journal.len());
                Err(StateError::Torn { path: path.to_owned(), bytes })
            }
            Content::Run(_) => Ok(state),
        }
    }

    fn of(dir: StateDir) -> Result<Self, StateError> {
        let content = match dir.open()? {
            Opened::New(file) => Content::New(file),
            Opened::Run(file) => {
                let again = file.try_clone();
                match (Replay::scan(&dir, file)?, again) {
                    (Some(replay), _) => Content::Run(Box::new(replay)),
                    // Killed before its first block was whole.
                    (None, Ok(file)) => Content::New(file),
                    (None, Err(source)) => {
                        return Err(StateError::Io { action: "open", path: dir.journal_path(), source });
                    }
                }
            }
        };
        Ok(Self { dir, content })
    }

    /// Begins its finished run anew: all that it knew waits again, in a new run.
    ///
    /// # Errors
    /// The journal cannot be read, the new one cannot be written, or jobs had credentials of their own, which were not
    /// kept, and those of the run are not to stand for them; the old one stands then.
    pub fn renewed(self, memo: String, credentials_of_run: bool) -> Result<Self, StateError> {
        let Self { dir, content } = self;
        let replay = match content {
            Content::Run(replay) => replay,
            content @ Content::New(_) => return Ok(Self { dir, content }),
        };
        let old = replay.begun().clone();
        let started = Clock::wall_now();
        let replay = replay.renew(
            &dir,
            Begun { run: run_name(), started, settings: memo, again: true, ..old },
            credentials_of_run,
        )?;
        Ok(Self { dir, content: Content::Run(Box::new(replay)) })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// How its run began; None if it holds none yet.
    #[must_use]
    pub fn begun(&self) -> Option<&Begun> {
        match &self.content {
            Content::New(_) => None,
            Content::Run(replay) => Some(replay.begun()),
        }
    }
}

impl State {
    /// Whether the journal says that nothing is left to do. What its outputs hold is another question.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn is_finished(&self) -> Result<bool, StateError> {
        match &self.content {
            Content::New(_) => Ok(false),
            Content::Run(replay) => replay.is_finished(),
        }
    }

    /// Whether these outputs hold what the journal says of them. One that is gone altogether was taken away: no loss of
    /// power does that.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn outputs_are_whole(&self, outputs: &[OutputSettings]) -> Result<bool, StartError> {
        let Content::Run(replay) = &self.content else { return Ok(true) };
        for (place, output) in outputs.iter().enumerate() {
            let gone = matches!(&output.target, Target::File(path) if !path.exists());
            if !gone && holds(replay, place, output)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What an output holds; None if that is not what the journal says.
fn holds(replay: &Replay, place: usize, output: &OutputSettings) -> Result<Option<Checked>, StartError> {
    let mark = replay.marks().get(place).copied().flatten();
    let checked = sinks::check(output, mark, replay.next_seq());
    checked.map_err(|error| StartError::Output(format!("cannot read {}: {error}", output.target)))
}

impl From<StateError> for StartError {
    fn from(error: StateError) -> Self {
        let text = chain(&error);
        // A disk that cannot be written is one for outputs too.
        if matches!(error, StateError::Io { .. }) { Self::Output(text) } else { Self::State(text) }
    }
}

pub(super) fn begin(settings: Settings, state: State, options: StateOptions) -> Result<Crawl, StartError> {
    let State { dir, content } = state;
    match content {
        Content::New(file) => new(settings, dir, file, options),
        Content::Run(replay) => resumed(settings, dir, *replay, &options),
    }
}

fn new(settings: Settings, dir: StateDir, file: std::fs::File, options: StateOptions) -> Result<Crawl, StartError> {
    let memory = memory(&dir, &Budget::of(settings.engine.max_memory));
    let directories: Vec<PathBuf> = settings.outputs.iter().filter_map(directory_of).collect();
    let Crawl { handle, mut settings, client, cache, reader, sinks, commands, bodies, .. } = Crawl::new(settings)?;
    settings.keep_pages = settings.follow;
    settings.seen_limit.dir = Some(dir.path().into());
    // That the outputs are there at all is to survive a loss of power too. Where directories cannot be synced, there is
    // no way to ask for it.
    for directory in &directories {
        let _ = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    }
    let run = run_name();
    let begun = ledger::begun(&run, options.memo, &settings);
    let journal = Journal::begin(&dir, file, begun, journal_settings(options.durability, &sinks))?;
    let frontier = DurableFrontier::new(memory, journal, dir);
    let kept = Kept { run: run.into(), frontier, past: None, input_missing: false };
    Ok(Crawl { handle, settings, client, cache, reader, sinks, commands, bodies, kept: Some(kept) })
}

fn resumed(settings: Settings, dir: StateDir, mut replay: Replay, options: &StateOptions) -> Result<Crawl, StartError> {
    let budget = Budget::of(settings.engine.max_memory);
    let Settings { mut engine, mut client, seeds, outputs, cache, commands, save_bodies } = settings;
    engine.keep_pages = engine.follow;
    engine.again = replay.begun().again;
    client.body_pool = budget.bodies.min(client.body_pool);
    let client = open_client(&client)?;
    let cache = open_cache(cache.as_ref(), &client)?;
    let (checked, cut) = go_back_to_outputs(&mut replay, &outputs)?;
    let mut memory = memory(&dir, &budget);
    let wants = LoadSettings {
        failures: options.retry_failed,
        retry_interrupted: options.retry_all,
        seed: fastrand::u64(..),
        seen: SeenLimit { dir: Some(dir.path().into()), ..budget.seen.clone() },
    };
    let mut past = replay.load(&mut memory, wants)?;
    // Not before it is known that the run goes on.
    tell_what_is_dropped(&replay, cut.as_deref());
    let (reader, input_missing) =
        if past.input_ended && past.bare.is_empty() { (None, false) } else { input(seeds, &mut past, options)? };
    let (failed, mut bare): (Vec<Job>, Vec<Job>) =
        std::mem::take(&mut past.bare).into_iter().partition(|job| past.bare_failures.contains_key(&job.number));
    for job in failed {
        if let Some((ending, seq)) = past.bare_failures.remove(&job.number) {
            past.failures.push(Failure { job, ending, seq });
        }
    }
    memory.discover(&mut bare).map_err(|error| StartError::Output(chain(&error)))?;
    let mut sinks = Vec::with_capacity(outputs.len());
    for ((place, output), checked) in outputs.iter().enumerate().zip(checked) {
        let mark = replay.marks().get(place).copied().flatten();
        let sink = sinks::reopen(output, mark, replay.next_seq(), checked);
        let sink = sink.map_err(|error| StartError::Output(chain(&error)))?;
        sinks.push((output.target.to_string(), sink));
    }
    let bodies = open_bodies(save_bodies.as_deref())?;
    let commands = open_commands(&commands, &mut sinks)?;
    let run = replay.begun().run.clone().into();
    let journal = replay.resume(journal_settings(options.durability, &sinks))?;
    let frontier = DurableFrontier::new(memory, journal, dir);
    let kept = Kept { run, frontier, past: Some(Box::new(past)), input_missing };
    let handle = RunHandle::default();
    Ok(Crawl { handle, settings: engine, client, cache, reader, sinks, commands, bodies, kept: Some(kept) })
}

fn directory_of(output: &OutputSettings) -> Option<PathBuf> {
    match &output.target {
        Target::File(path) => std::path::absolute(path).ok()?.parent().map(Path::to_owned),
        Target::Stdout => None,
    }
}

/// Waiting jobs spill into the state directory, which is where there must be room.
fn memory(dir: &StateDir, budget: &Budget) -> MemoryFrontier {
    MemoryFrontier::new(MemorySettings {
        file_limit: u64::MAX,
        dir: Some(dir.path().into()),
        heap_limit: budget.waiting,
    })
}

fn journal_settings(durability: Durability, sinks: &[(String, Box<dyn Sink>)]) -> JournalSettings {
    JournalSettings { durability, outputs: sinks.iter().filter_map(|(_, sink)| sink.file()).collect() }
}

/// What a kill, a loss of power, or a disk that returns other bits than it was given has left.
fn tell_what_is_dropped(replay: &Replay, cut: Option<&str>) {
    if let Some(output) = cut {
        tracing::warn!(target: "lycosa::notice", "{output} lost its end: what was written after the last epoch is fetched again");
    }
    if let Some((journal, at, bytes)) = replay.torn() {
        let journal = journal.display();
        tracing::warn!(target: "lycosa::notice", "{journal} is not whole from offset {at} on: {bytes} bytes are dropped, and what they told is fetched again");
    }
}

/// Finds the point of the journal at which every output holds what it says. Returns also the output that had it go back.
fn go_back_to_outputs(
    replay: &mut Replay,
    outputs: &[OutputSettings],
) -> Result<(Vec<Checked>, Option<String>), StartError> {
    let mut cut = None;
    loop {
        let place = match check(replay, outputs)? {
            Ok(checked) => return Ok((checked, cut)),
            Err(place) => place,
        };
        let output = &outputs[place];
        if !replay.undo_to_epoch() {
            let range = sinks::first_change(output, replay.marks_of(place)?);
            let range = range.map_or_else(String::new, |range| {
                format!(" (between bytes {} and {} it was changed behind our back)", range.start, range.end)
            });
            // In full: it was named where the run was begun, which need not be here.
            let place = match &output.target {
                Target::File(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string(),
                Target::Stdout => output.target.to_string(),
            };
            return Err(StartError::State(format!(
                "{place} does not hold what this run has written to it{range}: put it back, or start anew in another state directory"
            )));
        }
        cut = Some(output.target.to_string());
    }
}

/// Reads what outputs hold. The place of the first that does not hold what the journal says.
fn check(replay: &Replay, outputs: &[OutputSettings]) -> Result<Result<Vec<Checked>, usize>, StartError> {
    let mut all = Vec::with_capacity(outputs.len());
    for (place, output) in outputs.iter().enumerate() {
        match holds(replay, place, output)? {
            Some(checked) => all.push(checked),
            None => return Ok(Err(place)),
        }
    }
    Ok(Ok(all))
}

/// Opens the input again and passes over what was read of it; jobs whose credentials were not kept find them there. None,
/// true: it had not ended, and is not given again.
fn input(
    mut settings: SeedSettings,
    past: &mut Past,
    options: &StateOptions,
) -> Result<(Option<Reader>, bool), StartError> {
    let count = settings.sources.len();
    settings.sources.retain(|source| !(options.no_stdin && *source == Source::Stdin));
    let gone = settings.sources.len() < count;
    let mut reader = seeds::open(&settings).map_err(|error| StartError::Input(chain(&error)))?;
    let mut bare = Bare::new(std::mem::take(&mut past.bare), options.credentials_of_run);
    let passed = reader.pass_over(past.input.taken, past.input.hash, |seed| bare.see(seed));
    let missing = match passed {
        Ok(()) => gone,
        Err(SkipError::Short { silent, .. }) if silent || gone => true,
        // Nothing more is read of it, and nothing is needed.
        Err(_) if past.input_ended => true,
        Err(error) => return Err(StartError::Input(chain(&error))),
    };
    past.bare = bare.complete()?;
    Ok((Some(reader).filter(|_| !missing && !past.input_ended), missing && !past.input_ended))
}

/// Jobs whose credentials were not kept, by their line.
struct Bare {
    jobs: HashMap<u64, Vec<Job>>,
    complete: Vec<Job>,
    /// Those of the run stand for them.
    of_run: bool,
}

impl Bare {
    fn new(jobs: Vec<Job>, of_run: bool) -> Self {
        let mut by_line: HashMap<u64, Vec<Job>> = HashMap::new();
        for job in jobs {
            by_line.entry(job.line).or_default().push(job);
        }
        Self { jobs: by_line, complete: Vec::new(), of_run }
    }

    /// An entry of the input: may be the line of one of them.
    fn see(&mut self, seed: Seed) {
        let Seed::Job(given) = seed else { return };
        // URLs that were typed come back without theirs.
        if !self.of_run && !has_credentials(&given) {
            return;
        }
        let Some(jobs) = self.jobs.get_mut(&given.line) else { return };
        let is_it =
            |job: &Job| *job.first_url() == *given.url || job.mirrors().iter().any(|mirror| mirror.url == given.url);
        let Some(place) = jobs.iter().position(is_it) else { return };
        let mut job = jobs.swap_remove(place);
        job.input.clone_from(&given.input);
        if let (Some(spec), Some(mut given)) = (&mut job.spec, given.spec) {
            for (mirror, given) in spec.mirrors.iter_mut().zip(&mut given.mirrors) {
                mirror.user_info = given.user_info.take();
            }
            spec.user_info = given.user_info;
            spec.headers = given.headers;
        }
        self.complete.push(job);
    }

    /// All of them.
    fn complete(self) -> Result<Vec<Job>, StartError> {
        let missing: Vec<&Job> = self.jobs.values().flatten().collect();
        let Some(first) = missing.iter().min_by_key(|job| job.number) else { return Ok(self.complete) };
        Err(StartError::Input(format!(
            "credentials are not kept in the state, and {} jobs that are left had their own (the first: {}, line {}): give the input again; for URLs that were typed, -u USER:PASSWORD for all of them, or the same command with --continue",
            missing.len(),
            first.first_url(),
            first.line
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::Settings;
    use crate::frontier::journal::Ending;
    use crate::model::job::JobKind;
    use crate::model::record::Outcome;
    use crate::sinks::Line;

    fn line(seq: u64) -> Line {
        Line { seq, json: format!("{{\"n\":{seq}}}").into_bytes(), record: None }
    }

    fn ending(number: u64) -> Ending {
        Ending { number, typed: false, outcome: Outcome::Ok, error: None, skip: None }
    }

    /// A loss of power: the journal is whole, and an output lost what was not synced.
    #[test]
    fn an_output_that_lost_its_end_is_written_again_from_the_last_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.jsonl");
        let outputs = vec![OutputSettings { target: Target::File(path.clone()), format: "jsonl" }];
        let open = || State::open(&directory.path().join("state")).unwrap();
        let State { dir, content: Content::New(file) } = open() else { panic!("there is a run") };
        let mut sink = sinks::open(&outputs[0]).unwrap();
        let begun = ledger::begun("run", String::new(), &crate::engine::settings::EngineSettings::default());
        let none = || JournalSettings { durability: Durability::Each, outputs: Vec::new() };
        let mut journal = Journal::begin(&dir, file, begun, none()).unwrap();
        let job = |number| Job { number, ..Job::new(JobKind::Link, format!("http://a/{number}"), "a".into()) };
        journal.accepted(&(0..4).map(job).collect::<Vec<_>>());
        sink.write(&[line(0), line(1)]).unwrap();
        journal.written(&[ending(0), ending(1)], vec![sink.mark()]);
        journal.commit_and_wait().unwrap();
        let synced = std::fs::read(&path).unwrap();
        drop((journal, dir));
        // Commits without an epoch, then the end; what is copied is what a killed process leaves.
        let State { dir, content: Content::Run(replay) } = open() else { panic!("no run") };
        let mut journal =
            replay.resume(JournalSettings { durability: Durability::Commit, outputs: Vec::new() }).unwrap();
        sink.write(&[line(2)]).unwrap();
        journal.written(&[ending(2)], vec![sink.mark()]);
        journal.commit_and_wait().unwrap();
        let (left, whole) = (std::fs::read(dir.journal_path()).unwrap(), std::fs::read(&path).unwrap());
        let journal_path = dir.journal_path();
        drop((journal, dir));
        for (output, expected) in [(&whole, Some(3)), (&synced, Some(2)), (&whole[..5].to_vec(), None)] {
            std::fs::write(&journal_path, &left).unwrap();
            std::fs::write(&path, output).unwrap();
            let State { content: Content::Run(mut replay), .. } = open() else { panic!("no run") };
            let found = go_back_to_outputs(&mut replay, &outputs).map(|_| replay.next_seq());
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{found:?}");
        }
        // The same by the way that a run takes.
        std::fs::write(&journal_path, &left).unwrap();
        std::fs::write(&path, &synced).unwrap();
        let settings = Settings { outputs, ..Settings::default() };
        let crawl = begin(settings, open(), StateOptions { no_stdin: true, ..StateOptions::default() }).unwrap();
        let past = crawl.kept.and_then(|kept| kept.past).unwrap();
        assert_eq!((past.next_seq, past.next_number), (2, 4));
        assert_eq!(std::fs::read(&path).unwrap(), synced);
    }
}
