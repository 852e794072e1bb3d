//! Target of fuzzing for journals: bytes of any kind behind a preamble, or entries of any kind in blocks that are whole.

use std::borrow::Cow;
use std::fs;

use tempfile::TempDir;

use super::block::{Commit, PREAMBLE_LENGTH, preamble, seal};
use super::entry::{Begun, Encoder, Ending, Entry, HEADER, InputPosition, Owed, OwedKind, each};
use super::{LoadSettings, Opened, Replay, Spent, StateDir, glance};
use crate::frontier::memory::{MemoryFrontier, MemorySettings};
use crate::fuzzing::target::{Target, byte};
use crate::model::job::{Job, JobKind, JobSpec};
use crate::model::record::Outcome;
use crate::model::units::WallTime;

/// How to read the rest: as it is, or as blocks of `flags, commit, length, length, entries`, perhaps damaged.
pub(crate) const JOURNAL: Target = Target { run: journal, words: WORDS, seeds, runs: 1_500 };

const WORDS: &[&[u8]] = &[
    b"\xf7LyB",
    b"\0",
    b"\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x01",
    b"\x0c",
    b"\x0e",
    b"http://a/",
    b"\x09http://a/",
    b"\x01\0\0",
    b"\0\0\0\0\0",
];

/// The rest is blocks, not bytes.
const BLOCKS: u8 = 1;
/// No entry says how the run began.
const HEADLESS: u8 = 2;
/// One byte is another.
const DAMAGED: u8 = 4;
/// A block that says it is an epoch.
const EPOCH: u8 = 1;
/// A block with another number than its turn.
const ASTRAY: u8 = 2;
/// A block that commits another count than it lists.
const MISCOUNTED: u8 = 4;

fn seeds() -> Vec<Vec<u8>> {
    let typed = |number: u64| {
        let mut job = Job::new(JobKind::Typed, "http://a/", "a".into());
        (job.number, job.line) = (number, 1);
        job.spec = Some(Box::new(JobSpec { id: Some("7".into()), body: Some(vec![1, 2]), ..JobSpec::default() }));
        job
    };
    let link = |number: u64, url: &str| {
        let mut job = Job::new(JobKind::Link, url, "a".into());
        (job.number, job.depth, job.source) = (number, 1, Some("http://a/".into()));
        job
    };
    let end = |number| Ending { number, typed: false, outcome: Outcome::Failed, error: None, skip: None };
    let mut encoder = Encoder::default();
    encoder.job(&typed(0));
    (1..5).for_each(|number| encoder.job(&link(number, &format!("http://a/page/{number}"))));
    let first = encoder.take();
    encoder.push(&Entry::Started(0));
    encoder.push(&Entry::Written(Cow::Owned(vec![end(0), end(2)])));
    encoder.requeued(&link(3, "http://b/"));
    let kind = OwedKind::Broken { input: "x".into(), line: 3, id: None, meta: None, message: "bad".into() };
    encoder.push(&Entry::Owed(Cow::Owned(Owed { number: 5, kind })));
    let second = encoder.take();
    let own = Job::new(JobKind::Sitemap, "http://a/s", "a".into());
    encoder.push(&Entry::Own { job: Cow::Owned(own), claim: "sitemap".into() });
    encoder.push(&Entry::OwnDone("http://a/s".into()));
    encoder.push(&Entry::Claimed("http://c/".into()));
    encoder.push(&Entry::Scope("http://c/".into()));
    encoder.push(&Entry::Host("a".into(), Cow::Owned(vec![1])));
    encoder.push(&Entry::Totals(Cow::Owned(vec![2])));
    encoder.push(&Entry::Input(InputPosition { taken: 1, hash: 2 }));
    encoder.push(&Entry::Retried { old: end(0), number: 6 });
    let mut spent = Spent { requests: 1, ..Spent::default() };
    spent.host("a").requests = 1;
    encoder.push(&Entry::Spent(Cow::Owned(spent)));
    encoder.push(&Entry::Page { number: 1, known: Cow::Owned(crate::model::job::Known::default()) });
    encoder.push(&Entry::InputEnded);
    encoder.push(&Entry::Finished);
    let third = encoder.take();
    let framed = |flags: u8, entries: &[u8]| {
        let length = u16::try_from(entries.len() - HEADER).expect("a short block").to_le_bytes();
        [&[flags, 0][..], &length, &entries[HEADER..]].concat()
    };
    let all = [framed(0, &first), framed(EPOCH, &second), framed(0, &third)].concat();
    let raw = file(&[&[BLOCKS][..], &all].concat());
    vec![
        [&[BLOCKS][..], &all].concat(),
        [&[BLOCKS | DAMAGED, 200, 0, 1][..], &all].concat(),
        [&[0][..], &raw[PREAMBLE_LENGTH..]].concat(),
        vec![BLOCKS | HEADLESS, ASTRAY | MISCOUNTED, 3, 1, 0, 11],
    ]
}

/// So many bytes off the front, or what there is.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    front
}

fn number(input: &mut &[u8]) -> u16 {
    u16::from_le_bytes([byte(input), byte(input)])
}

/// The journal that an input stands for, before it is damaged.
fn file(mut input: &[u8]) -> Vec<u8> {
    let mut file = preamble();
    let how = byte(&mut input);
    if how & BLOCKS == 0 {
        file.extend(input);
        return file;
    }
    if how & DAMAGED != 0 {
        take(&mut input, 3);
    }
    let mut blocks = 0;
    let mut next_seq = 0;
    let mut put = |entries: Vec<u8>, flags: u8, more: u8| {
        let mut listed = 0;
        let _ = each(&entries[HEADER..], |entry| {
            listed += if let Entry::Written(endings) = entry { endings.len() as u64 } else { 0 };
            Ok(())
        });
        next_seq += listed + if flags & MISCOUNTED == 0 { 0 } else { u64::from(more) };
        let synced = (flags & EPOCH != 0).then_some(file.len() as u64);
        let block = seal(entries, &Commit { next_seq, marks: Vec::new(), synced }, blocks);
        file.extend(block.expect("a short block"));
        blocks += if flags & ASTRAY == 0 { 1 } else { 1 + u64::from(more) };
    };
    if how & HEADLESS == 0 {
        let mut encoder = Encoder::default();
        let (run, settings) = ("run".into(), "{}".into());
        let begun = Begun { run, started: WallTime(17), settings, unique: true, follow: true, again: false };
        encoder.push(&Entry::Begun(Box::new(begun)));
        put(encoder.take(), 0, 0);
    }
    while !input.is_empty() {
        let (flags, more, length) = (byte(&mut input), byte(&mut input), number(&mut input));
        let mut entries = vec![0; HEADER];
        entries.extend(take(&mut input, length.into()));
        put(entries, flags, more);
    }
    file
}

thread_local! {
    /// Made once: the journal in it is another one each time.
    static DIRECTORY: TempDir = tempfile::tempdir().expect("a directory for temporary files");
}

fn journal(input: &[u8]) {
    let mut bytes = file(input);
    let mut damage = None;
    if let [how, low, high, other, ..] = input
        && how & (BLOCKS | DAMAGED) == BLOCKS | DAMAGED
        && bytes.len() > PREAMBLE_LENGTH
        && *other != 0
    {
        let place = usize::from(u16::from_le_bytes([*low, *high])) % (bytes.len() - PREAMBLE_LENGTH);
        bytes[PREAMBLE_LENGTH + place] ^= other;
        damage = Some((PREAMBLE_LENGTH + place) as u64);
    }
    DIRECTORY.with(|directory| {
        fs::write(directory.path().join("journal"), &bytes).expect("a file can be written");
        if let Ok(glance) = glance(directory.path()) {
            assert_eq!(glance.bytes, bytes.len() as u64);
        }
        let Ok(dir) = StateDir::lock_existing(directory.path()) else { return };
        if let Ok(glance) = glance(directory.path()) {
            assert!(glance.process.is_some() && !glance.whole, "a run that is under way is looked at from its end");
        }
        let Ok(Opened::Run(file)) = dir.open() else { return };
        let Ok(Some(mut replay)) = Replay::scan(&dir, file) else { return };
        if let Some(place) = damage {
            let (_, torn, _) = replay.torn().expect("damage is found");
            assert!(torn <= place, "damage at {place} stands before {torn}, from which on it is dropped");
        }
        for _ in 0..2 {
            let mut memory = MemoryFrontier::new(MemorySettings::default());
            let settings = LoadSettings { failures: true, ..LoadSettings::default() };
            if let Ok(past) = replay.load(&mut memory, settings) {
                assert_eq!(past.next_seq, replay.next_seq());
                assert_eq!(past.next_seq, past.counted.values().sum::<u64>() + past.superseded);
            }
            if !replay.undo_to_epoch() {
                break;
            }
        }
    });
}
