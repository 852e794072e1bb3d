//! Entries of the journal: what there is to say, and how it is written down.
//!
//! The links of a page are one entry, and each is written without what it shares with the one before it. All is postcard,
//! so every type here, [`Job`] among them, is part of the format. A journal that was written with other fields is known by [`layout`], and refused.
//!
//! Decides what of a job is kept: all but user and password, which are no business of a file. Who resumes is told that
//! they are missing. Called by [`super::Journal`] and [`super::load`].

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::invalid;
use super::spent::{HostSpent, Spent};
use crate::model::fetch_error::ErrorKind;
use crate::model::job::{Chain, Job, JobKind, JobSpec, Known, Mirror};
use crate::model::record::{Outcome, RequestKind, RequestLog, SkipReason};
use crate::model::units::{Millis, Moment, WallTime};
use crate::model::url::host_key_of;
use crate::policy::credentials::without_user_info;

/// Lines of links in one entry: what must be in memory at once to read one.
const MOST_LINKS: usize = 4096;
const MOST_LINK_BYTES: usize = 1 << 20;

/// How a run began: the first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Name of the run, in every record.
    pub run: String,
    /// When it was started first.
    pub started: WallTime,
    /// The settings, as whoever reads them wrote them.
    pub settings: String,
    /// URLs of jobs are claimed in the seen set, and
    pub unique: bool,
    /// those of redirects' targets too.
    pub follow: bool,
    /// It visits again what an earlier run knew, and says what has changed.
    pub again: bool,
}

/// A record that is written: which job it ended, and what it counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The job's number.
    pub number: u64,
    /// The user typed it.
    pub typed: bool,
    pub outcome: Outcome,
    pub error: Option<ErrorKind>,
    pub skip: Option<SkipReason>,
}

/// How far the input was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InputPosition {
    /// Entries taken: jobs, and lines that cannot be read.
    pub taken: u64,
    /// A hash of all of them, in order.
    pub hash: u64,
}

/// Something accepted that is not asked for, and whose record is owed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    pub number: u64,
    pub kind: OwedKind,
}

/// Why it is not asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OwedKind {
    Skipped(Box<Job>, SkipReason),
    /// A line of input that cannot be read.
    Broken {
        input: Box<str>,
        line: u64,
        id: Option<Box<str>>,
        meta: Option<Box<str>>,
        message: String,
    },
}

/// The URL of a link: how many bytes it shares with the one before it in the same entry, and the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link<'a>(u32, #[serde(borrow)] Cow<'a, str>);

/// What stands in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry<'a> {
    Begun(Box<Begun>),
    /// An accepted job. `bare`: its credentials were left out.
    Job {
        job: Cow<'a, Job>,
        bare: bool,
    },
    /// Accepted links of one page, with the numbers from `first` on.
    Links {
        first: u64,
        depth: u32,
        priority: i8,
        #[serde(borrow)]
        source: Option<Cow<'a, str>>,
        #[serde(borrow)]
        urls: Vec<Link<'a>>,
    },
    /// A job that was accepted before waits again, changed.
    Requeued {
        job: Cow<'a, Job>,
        bare: bool,
    },
    Owed(Cow<'a, Owed>),
    /// This URL is claimed in the seen set without a job of its own.
    Claimed(#[serde(borrow)] Cow<'a, str>),
    /// The scope is wider by where this URL lies.
    Scope(#[serde(borrow)] Cow<'a, str>),
    /// A job of the run's own that must not be forgotten (a sitemap), and what it has claimed in the seen set.
    Own {
        job: Cow<'a, Job>,
        #[serde(borrow)]
        claim: Cow<'a, str>,
    },
    /// Such a job is done: its first URL.
    OwnDone(#[serde(borrow)] Cow<'a, str>),
    Input(InputPosition),
    InputEnded,
    /// A job that may not be asked twice is about to be asked.
    Started(u64),
    /// Records, in the order of their `seq`.
    Written(Cow<'a, [Ending]>),
    /// What is known of a host, by its key, as the engine writes it.
    Host(#[serde(borrow)] Cow<'a, str>, Cow<'a, [u8]>),
    /// What a run says of itself about once a second, as the engine writes it.
    Totals(Cow<'a, [u8]>),
    /// What a page was like when its job ended: for a later run that asks whether it has changed.
    Page {
        number: u64,
        known: Cow<'a, Known>,
    },
    /// This failure has been given another chance, as the job `number`, and counts no more.
    Retried {
        old: Ending,
        number: u64,
    },
    /// Nothing is left to do.
    Finished,
    /// What was spent since the entry of this kind before.
    Spent(Cow<'a, Spent>),
}

/// Bytes that are left free before the entries of a block, for its header.
pub(super) const HEADER: usize = 28;

/// Gathers entries for one block.
#[derive(Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    /// Links that stand in one entry together, the last of them in full.
    links: Links,
}

#[derive(Default)]
struct Links {
    first: u64,
    depth: u32,
    priority: i8,
    source: Option<Arc<str>>,
    urls: Vec<Link<'static>>,
    last: String,
    bytes: usize,
}

impl Encoder {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.links.urls.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.links.bytes
    }

    pub(super) fn push(&mut self, entry: &Entry<'_>) {
        self.end_links();
        self.write(entry);
    }

    fn write(&mut self, entry: &Entry<'_>) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            bytes.resize(HEADER, 0);
        }
        self.bytes = postcard::to_extend(entry, bytes).expect("entries are made of types that postcard knows");
    }

    pub(super) fn job(&mut self, job: &Job) {
        if is_plain_link(job) {
            return self.link(job);
        }
        let (job, bare) = kept(job);
        self.push(&Entry::Job { job, bare });
    }

    pub(super) fn requeued(&mut self, job: &Job) {
        let (job, bare) = kept(job);
        self.push(&Entry::Requeued { job, bare });
    }

    fn link(&mut self, job: &Job) {
        let links = &self.links;
        let follows = links.first + links.urls.len() as u64 == job.number
            && links.depth == job.depth
            && links.priority == job.priority
            && links.source == job.source
            && links.urls.len() < MOST_LINKS
            && links.bytes < MOST_LINK_BYTES;
        if !follows {
            self.end_links();
            self.links.first = job.number;
            self.links.depth = job.depth;
            self.links.priority = job.priority;
            self.links.source.clone_from(&job.source);
        }
        let links = &mut self.links;
        let shared = shared_bytes(&links.last, &job.url);
        let rest = job.url[shared..].to_owned();
        links.bytes += rest.len() + 4;
        // A URL has at most 64 KiB.
        links.urls.push(Link(u32::try_from(shared).unwrap_or(0), rest.into()));
        links.last.truncate(shared);
        links.last.push_str(&job.url[shared..]);
    }

    fn end_links(&mut self) {
        if self.links.urls.is_empty() {
            return;
        }
        let links = std::mem::take(&mut self.links);
        let owned = links.source.clone();
        let source = owned.as_deref().map(Cow::Borrowed);
        let Links { first, depth, priority, urls, .. } = links;
        self.write(&Entry::Links { first, depth, priority, source, urls });
    }

    /// The entries, behind room for the header of their block.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.end_links();
        std::mem::take(&mut self.bytes)
    }
}

/// Changes with the fields of what entries are made of: a hash of one job in which all of them are, of an ending, and of
/// sums.
pub(super) fn layout() -> u32 {
    let request = RequestLog {
        url: "u".into(),
        host_key: "h".into(),
        kind: RequestKind::Page,
        started_at: WallTime(1),
        ms: Millis::default(),
        status: None,
    };
    let mirror = Mirror { url: "m".into(), user_info: None, repeated: false };
    let mut job = Job::new(JobKind::Link, "u", "h".into());
    job.spec = Some(Box::new(JobSpec { mirrors: vec![mirror], ..JobSpec::default() }));
    job.chain = Some(Box::new(Chain { requests: vec![request], known: Some(Box::default()), ..Chain::default() }));
    let ending = Ending { number: 1, typed: true, outcome: Outcome::Ok, error: None, skip: None };
    let mut spent = Spent::default();
    spent.hosts.insert("h".into(), HostSpent::default());
    let entries = (
        Entry::Job { job: Cow::Owned(job), bare: false },
        Entry::Written(vec![ending].into()),
        Entry::Spent(Cow::Owned(spent)),
    );
    let bytes = postcard::to_allocvec(&entries).expect("entries are made of types that postcard knows");
    u32::try_from(xxh3_64(&bytes) >> 40).expect("24 bits are left")
}

/// A link of which nothing is known but where it stood. (What led to it is weighed anew in a later process.)
fn is_plain_link(job: &Job) -> bool {
    job.kind == JobKind::Link
        && job.input.is_none()
        && job.line == 0
        && job.spec.is_none()
        && job.chain.is_none()
        && *job.host == *host_key_of(&job.url)
}

fn shared_bytes(before: &str, url: &str) -> usize {
    let equal = before.bytes().zip(url.bytes()).take_while(|(a, b)| a == b).count();
    (0..=equal).rev().find(|&at| url.is_char_boundary(at) && before.is_char_boundary(at)).unwrap_or(0)
}

/// Whether a job has credentials of its own, which are not kept.
#[must_use]
pub fn has_credentials(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|spec| {
        spec.user_info.is_some()
            || spec.proxy.as_deref().is_some_and(|proxy| proxy.contains('@'))
            || spec.mirrors.iter().any(|mirror| mirror.user_info.is_some())
            || spec.headers.iter().any(|(name, _)| is_secret(name))
    })
}

/// A job as it is kept, and whether credentials were left out.
fn kept(job: &Job) -> (Cow<'_, Job>, bool) {
    if !has_credentials(job) {
        return (Cow::Borrowed(job), false);
    }
    let mut bare = job.clone();
    if let Some(spec) = &mut bare.spec {
        spec.user_info = None;
        // Without its login it refuses, and nobody is asked from elsewhere.
        spec.proxy = spec.proxy.as_deref().map(|proxy| without_user_info(proxy).into());
        spec.mirrors.iter_mut().for_each(|mirror| mirror.user_info = None);
        spec.headers.retain(|(name, _)| !is_secret(name));
    }
    // As it was typed it has the password too.
    bare.input = bare.input.filter(|input| !input.contains('@'));
    (Cow::Owned(bare), true)
}

fn is_secret(name: &str) -> bool {
    crate::policy::credentials::is_credential(name)
}

/// The jobs of an entry with links, one after the other.
pub(super) fn each_link(
    (first, depth, source): (u64, u32, Option<&str>),
    urls: &[Link<'_>],
    mut take: impl FnMut(Job) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let source: Option<Arc<str>> = source.map(Into::into);
    each_url(urls, |place, url| {
        let mut job = Job::new(JobKind::Link, url, host_key_of(url).into());
        let number = first.checked_add(place as u64);
        job.number = number.ok_or_else(|| invalid("a job's number is too large"))?;
        job.depth = depth;
        job.source.clone_from(&source);
        take(job)
    })
}

/// The URLs of an entry with links.
pub(super) fn each_url(
    urls: &[Link<'_>],
    mut take: impl FnMut(usize, &str) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut url = String::new();
    for (place, Link(shared, rest)) in urls.iter().enumerate() {
        let shared = *shared as usize;
        if !url.is_char_boundary(shared) {
            return Err(invalid("a link shares more than there is"));
        }
        url.truncate(shared);
        url.push_str(rest);
        take(place, &url)?;
    }
    Ok(())
}

/// A job as it goes on in a later process: times of an earlier one are before its start.
pub(super) fn revived(mut job: Job) -> Job {
    job.accepted = Moment::START;
    job.strand = 0;
    if let Some(chain) = &mut job.chain
        && let Some((_, moment)) = &mut chain.first_started
    {
        *moment = Moment::START;
    }
    job
}

/// Calls `take` with each entry of a block.
pub(super) fn each<'a>(
    mut bytes: &'a [u8],
    mut take: impl FnMut(Entry<'a>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let (entry, rest) = postcard::take_from_bytes(bytes).map_err(|error| invalid(error.to_string()))?;
        bytes = rest;
        take(entry)?;
    }
    Ok(())
}
