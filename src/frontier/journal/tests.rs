//! The suite of all frontiers over a frontier with a journal; and journals that are cut off, damaged, and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::*;
use crate::frontier::contract::{drain, frontier_contract, full_job, job};
use crate::frontier::memory::MemorySettings;
use crate::model::job::JobKind;
use crate::model::record::{Outcome, SkipReason};
use crate::model::units::WallTime;

fn memory() -> MemoryFrontier {
    MemoryFrontier::new(MemorySettings { heap_limit: 4096, ..MemorySettings::default() })
}

fn settings(durability: Durability) -> JournalSettings {
    JournalSettings { durability, outputs: Vec::new() }
}

fn begun() -> Begun {
    Begun { run: "run".into(), started: WallTime(17), settings: "{}".into(), unique: true, follow: true, again: false }
}

fn begin(path: &Path, durability: Durability) -> (StateDir, Journal) {
    let dir = StateDir::lock(path).unwrap();
    let Opened::New(file) = dir.open().unwrap() else { panic!("there is a run") };
    let journal = Journal::begin(&dir, file, begun(), settings(durability)).unwrap();
    (dir, journal)
}

fn durable() -> DurableFrontier {
    // Open files outlive their directory.
    let directory = tempfile::tempdir().unwrap();
    let (dir, journal) = begin(directory.path(), Durability::Commit);
    DurableFrontier::new(memory(), journal, dir)
}

frontier_contract!(in_front_of_memory, Box::new(durable()));

fn ok(number: u64) -> Ending {
    Ending { number, typed: false, outcome: Outcome::Ok, error: None, skip: None }
}

/// What must be known after a commit.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    next_number: u64,
    next_seq: u64,
    /// Jobs that are not done, by number.
    waiting: BTreeMap<u64, Job>,
    claimed: BTreeSet<String>,
    owed: BTreeSet<u64>,
    own: BTreeSet<String>,
    input: InputPosition,
    finished: bool,
}

/// A run without an engine: what it does is random, and what must be known of it is kept in plain maps.
struct Story {
    random: fastrand::Rng,
    journal: Journal,
    known: Known,
}

impl Story {
    fn new(seed: u64, journal: Journal) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), journal, known: Known::default() }
    }

    fn step(&mut self) {
        match self.random.u32(0..8) {
            0..=2 => self.discover(),
            3 => self.requeue(),
            4 => self.owe(),
            5 => self.own_job(),
            _ => self.write(),
        }
    }

    fn next(&mut self) -> u64 {
        self.known.next_number += 1;
        self.known.next_number - 1
    }

    fn discover(&mut self) {
        let source: Option<std::sync::Arc<str>> = self.random.bool().then(|| "http://a/page".into());
        let count = self.random.usize(0..30);
        let mut jobs = Vec::new();
        for _ in 0..count {
            let number = self.next();
            let mut job = match self.random.u32(0..10) {
                0 => Job { host: "race a".into(), ..full_job(number, "a") },
                1 => Job { kind: JobKind::Typed, line: number + 1, ..job(number, "typed:81") },
                _ => job(number, ["a", "b.example", "ä-"][self.random.usize(0..3)]),
            };
            job.source.clone_from(&source);
            job.depth = self.random.u32(0..2);
            job.accepted = Moment::START;
            job.strand = 0;
            job.priority = self.random.i8(-1..1);
            if let Some(spec) = &mut job.spec {
                spec.user_info = None;
            }
            if let Some(chain) = &mut job.chain {
                chain.first_started = None;
            }
            jobs.push(job);
        }
        self.journal.accepted(&jobs);
        for job in jobs {
            self.known.claimed.insert(job.url.clone().into());
            self.known.claimed.extend(job.mirrors().iter().map(|mirror| mirror.url.to_string()));
            self.known.waiting.insert(job.number, job);
        }
    }

    fn requeue(&mut self) {
        let Some(number) = self.random.choice(self.known.waiting.keys().copied().collect::<Vec<_>>()) else { return };
        let job = self.known.waiting.get_mut(&number).unwrap();
        job.url = format!("http://hop/{number}/{}", self.random.u32(..)).into();
        job.host = "hop".into();
        job.chain_mut().hops += 1;
        self.journal.requeued(job);
        self.known.claimed.insert(job.url.clone().into());
    }

    fn owe(&mut self) {
        let number = self.next();
        let kind = OwedKind::Broken { input: "x".into(), line: 3, id: None, meta: None, message: "bad".into() };
        self.journal.note(&Entry::Owed(std::borrow::Cow::Owned(Owed { number, kind })));
        self.known.owed.insert(number);
        self.known.input = InputPosition { taken: number, hash: self.random.u64(..) };
        self.journal.note(&Entry::Input(self.known.input));
    }

    fn own_job(&mut self) {
        let url = format!("http://own/{}", self.random.u32(0..5));
        if self.known.own.insert(url.clone()) {
            let job = Job::new(JobKind::Sitemap, url.clone(), "own".into());
            let (job, claim) = (std::borrow::Cow::Owned(job), format!("sitemap {url}").into());
            self.journal.note(&Entry::Own { job, claim });
            self.known.claimed.insert(format!("sitemap {url}"));
        } else {
            self.journal.note(&Entry::OwnDone(url.clone().into()));
            self.known.own.remove(&url);
        }
    }

    fn write(&mut self) {
        let mut numbers: Vec<u64> = self.known.waiting.keys().chain(&self.known.owed).copied().collect();
        self.random.shuffle(&mut numbers);
        numbers.truncate(self.random.usize(0..20));
        let endings: Vec<Ending> = numbers.iter().copied().map(ok).collect();
        self.journal.written(&endings, Vec::new());
        for number in numbers {
            self.known.waiting.remove(&number);
            self.known.owed.remove(&number);
            self.known.next_seq += 1;
        }
    }
}

/// What a journal says when it is read back.
fn read(path: &Path) -> Result<Option<Known>, StateError> {
    let dir = StateDir::lock_existing(path)?;
    let Opened::Run(file) = dir.open()? else { return Ok(None) };
    let Some(replay) = Replay::scan(&dir, file)? else { return Ok(None) };
    let mut memory = memory();
    let past =
        replay.load(&mut memory, LoadSettings { seed: 5, retry_interrupted: true, ..LoadSettings::default() })?;
    let mut waiting = BTreeMap::new();
    for job in drain(&mut memory, 0, 50).into_iter().chain(past.bare) {
        assert!(waiting.insert(job.number, job).is_none(), "a job comes once");
    }
    Ok(Some(Known {
        next_number: past.next_number,
        next_seq: past.next_seq,
        waiting,
        claimed: BTreeSet::new(),
        owed: past.owed.into_keys().collect(),
        own: past.own.iter().map(|job| job.url.to_string()).collect(),
        input: past.input,
        finished: past.finished,
    }))
}

fn without_claims(known: &Known) -> Known {
    Known { claimed: BTreeSet::new(), ..known.clone() }
}

/// Plays a story and keeps what must be known at the end of each block. The journal is closed.
fn play(path: &Path, seed: u64, blocks: usize, durability: Durability) -> Vec<(u64, Known)> {
    let (_dir, journal) = begin(path, durability);
    let length = || fs::metadata(path.join("journal")).unwrap().len();
    let mut story = Story::new(seed, journal);
    let mut ends = vec![(length(), Known::default())];
    for _ in 0..blocks {
        for _ in 0..story.random.u32(1..6) {
            story.step();
        }
        story.journal.commit_and_wait().unwrap();
        ends.push((length(), without_claims(&story.known)));
    }
    story.journal.note(&Entry::Finished);
    story.known.finished = true;
    story.journal.close().unwrap();
    ends.push((length(), without_claims(&story.known)));
    ends
}

#[test]
fn a_journal_cut_off_anywhere_is_what_it_was_at_its_last_whole_block() {
    let directory = tempfile::tempdir().unwrap();
    let ends = play(directory.path(), 1, 60, Durability::Commit);
    let whole = fs::read(directory.path().join("journal")).unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    for at in (0..150).map(|_| random.usize(20..whole.len())).chain([20, 21, whole.len()]) {
        fs::write(directory.path().join("journal"), &whole[..at]).unwrap();
        let expected = ends.iter().rev().find(|(end, _)| *end <= at as u64).map(|(_, known)| known.clone());
        assert_eq!(read(directory.path()).unwrap(), expected, "cut at {at} of {}", whole.len());
    }
}

#[test]
fn one_flipped_bit_is_found_or_undoes_a_little() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let (mut found, mut harmless) = (0, 0);
    for (seed, durability) in [(3, Durability::Commit), (4, Durability::Each)] {
        let ends = play(directory.path(), seed, 40, durability);
        let whole = fs::read(&path).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..250 {
            let mut bytes = whole.clone();
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u32(0..8);
            fs::write(&path, bytes).unwrap();
            match read(directory.path()) {
                Err(error) => {
                    assert!(error.to_string().contains("journal"), "{error}");
                    found += 1;
                }
                Ok(known) => {
                    assert!(ends.iter().any(|(_, end)| Some(end) == known.as_ref()), "flipped at {at}: {known:?}");
                    harmless += 1;
                }
            }
        }
        fs::remove_file(&path).unwrap();
    }
    // In the first journal all but the last epoch is behind no epoch that is known for sure to be whole.
    assert!(found > 300, "{found} found, {harmless} harmless");
}

#[test]
fn claims_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, journal) = begin(directory.path(), Durability::Commit);
    let mut story = Story::new(9, journal);
    for _ in 0..200 {
        story.step();
    }
    story.journal.close().unwrap();
    drop(dir);
    let dir = StateDir::lock_existing(directory.path()).unwrap();
    let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
    let replay = Replay::scan(&dir, file).unwrap().unwrap();
    let past = replay.load(&mut memory(), LoadSettings::default()).unwrap();
    assert!(story.known.claimed.len() > 200);
    assert!(story.known.claimed.iter().all(|url| past.seen.contains(url)));
    assert_eq!(past.seen.len(), story.known.claimed.len());
    assert!(past.typed_hosts.contains("typed:81"));
    assert!(past.scope.iter().any(|url| url.starts_with("http://typed:81/")));
}

#[test]
fn a_journal_goes_on_where_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let (dir, journal) = begin(directory.path(), Durability::Commit);
    let mut known = Known::default();
    let mut open = Some((dir, journal));
    for round in 0..30 {
        let (dir, journal) = open.take().unwrap();
        let mut story = Story::new(100 + round, journal);
        story.known = known;
        for _ in 0..20 {
            story.step();
        }
        story.journal.commit_and_wait().unwrap();
        known = story.known;
        if round % 3 == 0 {
            // Dropped without a close, and a torn block behind it.
            drop(story.journal);
            let mut bytes = fs::read(&path).unwrap();
            bytes.extend(&b"\xf7LyB torn"[..usize::try_from(round % 9).unwrap()]);
            fs::write(&path, bytes).unwrap();
        } else {
            story.journal.close().unwrap();
        }
        drop(dir);
        let expected = without_claims(&known);
        assert_eq!(read(directory.path()).unwrap().unwrap(), expected, "round {round}");
        let dir = StateDir::lock(directory.path()).unwrap();
        let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
        let replay = Replay::scan(&dir, file).unwrap().unwrap();
        let journal = replay.resume(settings(Durability::Commit)).unwrap();
        open = Some((dir, journal));
    }
    assert!(known.next_seq > 100);
}

#[test]
fn what_is_dropped_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, mut journal) = begin(directory.path(), Durability::Commit);
    journal.commit_and_wait().unwrap();
    let path = directory.path().join("journal");
    let whole = fs::read(&path).unwrap();
    journal.accepted(&[job(0, "a")]);
    journal.commit_and_wait().unwrap();
    let longer = fs::read(&path).unwrap();
    drop(journal);
    let (start, bytes) = (whole.len() as u64, (longer.len() - whole.len()) as u64);
    let mut flipped = longer.clone();
    flipped[whole.len() + 20] ^= 1;
    for (content, torn) in [(&longer, None), (&flipped, Some((&*path, start, bytes)))] {
        fs::write(&path, content).unwrap();
        let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
        assert_eq!(Replay::scan(&dir, file).unwrap().unwrap().torn(), torn);
    }
}

#[test]
fn an_output_that_lost_its_end_undoes_what_came_after_the_last_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, mut journal) = begin(directory.path(), Durability::Each);
    let jobs: Vec<Job> = (0..10).map(|number| job(number, "a")).collect();
    journal.accepted(&jobs);
    let mark = |bytes| vec![Some(OutputMark { bytes, tail_bytes: 0, tail: 0, digest: 0 })];
    journal.written(&[ok(0), ok(1)], mark(20));
    journal.commit_and_wait().unwrap();
    drop(journal);
    // Goes on without epochs, and is killed before the first.
    let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
    let mut journal = Replay::scan(&dir, file).unwrap().unwrap().resume(settings(Durability::Commit)).unwrap();
    journal.written(&[ok(2)], mark(30));
    journal.commit_and_wait().unwrap();
    let copy = fs::read(directory.path().join("journal")).unwrap();
    drop(journal);
    fs::write(directory.path().join("journal"), copy).unwrap();

    let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
    let mut replay = Replay::scan(&dir, file).unwrap().unwrap();
    assert_eq!((replay.next_seq(), replay.marks()), (3, &mark(30)[..]));
    assert!(replay.undo_to_epoch());
    assert_eq!((replay.next_seq(), replay.marks()), (2, &mark(20)[..]));
    assert!(!replay.undo_to_epoch(), "there is nothing before it");
    let mut memory = memory();
    replay.load(&mut memory, LoadSettings::default()).unwrap();
    let numbers: BTreeSet<u64> = drain(&mut memory, 0, 50).iter().map(|job| job.number).collect();
    assert_eq!(numbers, (2..10).collect());
}

#[test]
fn jobs_that_may_not_be_asked_twice_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, mut journal) = begin(directory.path(), Durability::Commit);
    let jobs: Vec<Job> = (0..4).map(|number| job(number, "a")).collect();
    journal.accepted(&jobs);
    for number in 0..3 {
        journal.note(&Entry::Started(number));
    }
    journal.written(&[ok(0)], Vec::new());
    journal.requeued(&jobs[1]);
    journal.close().unwrap();
    let load = |settings| {
        let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
        let mut memory = memory();
        let past = Replay::scan(&dir, file).unwrap().unwrap().load(&mut memory, settings).unwrap();
        let interrupted: Vec<u64> = past.interrupted.iter().map(|job| job.number).collect();
        let waiting: BTreeSet<u64> = drain(&mut memory, 0, 50).iter().map(|job| job.number).collect();
        (interrupted, waiting)
    };
    assert_eq!(load(LoadSettings::default()), (vec![2], BTreeSet::from([1, 3])));
    let all = LoadSettings { retry_interrupted: true, ..LoadSettings::default() };
    assert_eq!(load(all), (vec![], BTreeSet::from([1, 2, 3])));
}

#[test]
fn failures_are_found_once_with_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, mut journal) = begin(directory.path(), Durability::Commit);
    let jobs: Vec<Job> = (0..6).map(|number| job(number, "a")).collect();
    journal.accepted(&jobs);
    let failed = |number| Ending { outcome: Outcome::HttpError, ..ok(number) };
    let robots = Ending { outcome: Outcome::Skipped, skip: Some(SkipReason::Robots), ..ok(4) };
    journal.written(&[ok(5), failed(3), robots, failed(0)], Vec::new());
    journal.accepted(&[job(6, "a")]);
    journal.note(&Entry::Retried { old: failed(3), number: 6 });
    journal.close().unwrap();
    let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
    let mut memory = memory();
    let wants = LoadSettings { failures: true, ..LoadSettings::default() };
    let past = Replay::scan(&dir, file).unwrap().unwrap().load(&mut memory, wants).unwrap();
    let failures: Vec<(&str, u64)> = past.failures.iter().map(|failure| (&*failure.job.url, failure.seq)).collect();
    assert_eq!(failures, [("http://a/0", 3)]);
    assert_eq!((past.superseded, past.counted[&super::load::counted(&failed(0))]), (1, 1), "3 counts no more");
    assert_eq!(memory.counts().pending, 3, "1, 2 and the second chance of 3");
}

#[test]
fn passwords_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, mut journal) = begin(directory.path(), Durability::Commit);
    let mut secret = full_job(0, "a");
    let spec = secret.spec.as_mut().unwrap();
    spec.user_info = Some(("me".into(), "hunter2".into()));
    spec.headers.push(("Authorization".into(), "Bearer hunter2".into()));
    secret.input = Some("http://me:hunter2@a/".into());
    journal.accepted(&[secret.clone()]);
    journal.requeued(&secret);
    journal.close().unwrap();
    let bytes = fs::read(dir.journal_path()).unwrap();
    assert!(memchr::memmem::find(&bytes, b"hunter2").is_none());
    let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
    let past = Replay::scan(&dir, file).unwrap().unwrap().load(&mut memory(), LoadSettings::default()).unwrap();
    assert_eq!(past.bare.len(), 1, "whoever resumes is told what is missing");
}

#[test]
fn a_directory_belongs_to_one_living_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    assert!(matches!(StateDir::lock_existing(&path), Err(StateError::NoRun { .. })));
    let (dir, journal) = begin(&path, Durability::Commit);
    let error = StateDir::lock(&path).map(drop).unwrap_err();
    assert!(error.to_string().ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
    let seen = glance(&path).unwrap();
    assert_eq!((seen.process, seen.begun), (Some(std::process::id().to_string()), begun()));
    drop((dir, journal));
    // What a process leaves that was killed: its number, and no lock.
    fs::write(path.join("lock"), "1\n").unwrap();
    assert_eq!(glance(&path).unwrap().process, None);
    assert!(matches!(StateDir::lock(&path).unwrap().open().unwrap(), Opened::Run(_)));
}

#[test]
fn another_version_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    drop(begin(directory.path(), Durability::Commit));
    let path = directory.path().join("journal");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] += 1;
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..12]).to_le_bytes();
    bytes[12..20].copy_from_slice(&checksum);
    fs::write(&path, &bytes).unwrap();
    let dir = StateDir::lock(directory.path()).unwrap();
    let error = dir.open().unwrap_err();
    assert!(matches!(error, StateError::Version { .. }));
    assert!(error.to_string().contains("finish it with that version"), "{error}");
    bytes[9] += 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(dir.open(), Err(StateError::Damaged { at: 0, .. })));
}

#[test]
fn a_glance_counts_what_came_after_the_last_totals() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, mut journal) = begin(directory.path(), Durability::Commit);
    let jobs: Vec<Job> = (0..30_000).map(|number| job(number, "a")).collect();
    for (some, totals) in jobs.chunks(100).zip(0_u32..) {
        journal.accepted(some);
        journal.written(&some[..10].iter().map(|job| ok(job.number)).collect::<Vec<_>>(), Vec::new());
        let part = Spent { requests: 11, ..Spent::default() };
        journal.note(&Entry::Spent(std::borrow::Cow::Owned(part)));
        if totals == 7 {
            journal.note(&Entry::Totals((&b"seven"[..]).into()));
        }
        journal.commit().unwrap();
    }
    journal.commit_and_wait().unwrap();
    let seen = glance(directory.path()).unwrap();
    assert_eq!((&seen.totals[..], seen.written, seen.finished), (&b"seven"[..], 3000, false));
    assert_eq!((seen.counted.values().sum::<i64>(), seen.spent.requests), (3000 - 80, 3300 - 88));
    journal.note(&Entry::Finished);
    journal.close().unwrap();
    assert!(glance(directory.path()).unwrap().finished);
    // Where no process goes on, all of it is read.
    let path = dir.journal_path();
    drop((dir, journal));
    let seen = glance(directory.path()).unwrap();
    assert!(seen.whole && seen.finished && seen.process.is_none());
    assert_eq!((seen.counted.values().sum::<i64>(), seen.spent.requests, seen.torn), (3000, 3300, 0));
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 16;
    fs::write(&path, &flipped).unwrap();
    let error = glance(directory.path()).unwrap_err();
    assert!(matches!(error, StateError::Damaged { at, .. } if at > 20 && at <= whole.len() as u64 / 2), "{error}");
    fs::write(&path, [&whole[..], b"torn"].concat()).unwrap();
    assert_eq!(glance(directory.path()).unwrap().torn, 4);
    // Whoever takes it up says the same, of whatever is left of it.
    for (bytes, finished) in [(&whole[..], true), (&whole[..whole.len() - 1], true), (&whole[..whole.len() / 2], false)]
    {
        fs::write(&path, bytes).unwrap();
        assert_eq!(glance(directory.path()).unwrap().finished, finished);
        let dir = StateDir::lock(directory.path()).unwrap();
        let Opened::Run(file) = dir.open().unwrap() else { panic!("no run") };
        assert_eq!(Replay::scan(&dir, file).unwrap().unwrap().is_finished().unwrap(), finished);
    }
}
