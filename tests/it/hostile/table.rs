//! What the table is made of: a row says what a server does, and what the run must say of it.
//!
//! A verdict is written as the record has it: outcome, status (if a head came), `kind/stage` of the error or the reason
//! of the skip, and `truncated` (if it is): `failed 200 body/body truncated`. Sizes are zero, and the page is asked
//! once, unless the row says otherwise. Where two things race, both verdicts stand, with a `|` between.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value;

use crate::support::field;

/// The host that sends on: `/to/HOST/N` redirects to `/N` at that host. `{relay}` in what a server sends is its name.
pub const RELAY: &str = "a host that sends on";

/// Stands for the length of a body that has the names of hosts in it.
pub const LENGTH: &str = "{length}";

/// One thing that a server does.
#[derive(Debug, Clone)]
pub enum Step {
    /// These bytes; `{self}` and `{relay}` in them are the names of hosts.
    Send(Arc<[u8]>),
    /// These bytes, so many times.
    Times(usize, Arc<[u8]>),
    /// These bytes for ever.
    Endless(Arc<[u8]>),
    /// These bytes for ever, but not as fast as can be.
    Flood(Arc<[u8]>),
    /// Piece by piece, with so many milliseconds after each.
    Drip(Vec<Vec<u8>>, u64),
    /// Milliseconds.
    Pause(u64),
    /// Nothing more, and the connection stays open.
    Silence,
    Close,
    Reset,
}

pub use Step::{Close, Pause, Reset, Silence};

pub fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().into())
}

pub fn times(count: usize, bytes: impl AsRef<[u8]>) -> Step {
    Step::Times(count, bytes.as_ref().into())
}

pub fn endless(bytes: impl AsRef<[u8]>) -> Step {
    Step::Endless(bytes.as_ref().into())
}

pub fn flood(bytes: impl AsRef<[u8]>) -> Step {
    Step::Flood(bytes.as_ref().into())
}

/// Each byte, with a pause after it.
pub fn drip(bytes: impl AsRef<[u8]>, milliseconds: u64) -> Step {
    Step::Drip(bytes.as_ref().iter().map(|&byte| vec![byte]).collect(), milliseconds)
}

/// A head with these lines, and nothing behind it.
pub fn head(lines: &str) -> Step {
    let lines: String = lines.lines().flat_map(|line| [line.trim(), "\r\n"]).collect();
    send(format!("HTTP/1.1 {lines}\r\n"))
}

/// A whole answer with these lines in its head.
pub fn answer(lines: &str, body: impl AsRef<[u8]>) -> Step {
    let body = body.as_ref();
    // Not known yet if the names of hosts have to go into it.
    let is_whole = memchr::memmem::find(body, b"{self}").is_none();
    let length = if is_whole { body.len().to_string() } else { LENGTH.to_owned() };
    let mut bytes = b"HTTP/1.1 ".to_vec();
    for line in lines.lines() {
        bytes.extend_from_slice(line.trim().as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
    bytes.extend_from_slice(body);
    send(bytes)
}

/// A page of HTML.
pub fn page(body: impl AsRef<[u8]>) -> Step {
    answer("200 OK\nContent-Type: text/html", body)
}

/// A page in a content coding.
pub fn coded(coding: &str, body: impl AsRef<[u8]>) -> Step {
    answer(&format!("200 OK\nContent-Type: text/html\nContent-Encoding: {coding}"), body)
}

pub fn redirect(to: &str) -> Step {
    answer(&format!("302 Found\nLocation: {to}"), "")
}

/// How a server is reached.
#[derive(Debug, Clone, Copy)]
pub enum Door {
    Plain,
    Tls(Certificate),
    /// Over TLS; from the first connection of its own on.
    Http2,
    /// A port that https is expected at, and that does something else.
    NoTls,
    /// Nobody listens.
    Closed,
    /// A URL that has no server.
    Nowhere(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    Good,
    Expired,
    NotYetValid,
    WrongName,
    SelfSigned,
    UnknownAuthority,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// No deadline has to come to its end.
    AtOnce,
    /// Until the server has been silent for too long, or too slow.
    Silence,
    /// Until `--timeout`.
    Whole,
}

/// What the record of a URL must say.
#[derive(Debug, Clone)]
pub struct Want {
    pub verdict: &'static str,
    pub size: RangeInclusive<u64>,
    pub wire: RangeInclusive<u64>,
}

/// A row of the table.
#[derive(Clone)]
pub struct Row {
    /// What the server does.
    pub name: &'static str,
    pub door: Door,
    /// Before any request.
    pub greeting: Vec<Step>,
    /// By the start of the target; the first that fits.
    scripts: Vec<(&'static str, Vec<Step>)>,
    pub want: Want,
    /// Of URLs that the seed leads to.
    pub also: Vec<(&'static str, Want)>,
    pub time: Time,
    /// Requests for pages that the server may see.
    pub hits: RangeInclusive<usize>,
    /// MiB that a fetch of this URL alone may take beyond one of a page of nothing; None is not measured.
    pub memory: Option<u64>,
    pub title: Option<&'static str>,
    /// What it sends names an address that is not of loopback: a guard that breaks would go there.
    pub leads_away: bool,
}

/// The page of a host does this, and this becomes of it.
pub fn row(name: &'static str, steps: impl Into<Vec<Step>>, verdict: &'static str) -> Row {
    let row = Row {
        name,
        door: Door::Plain,
        greeting: Vec::new(),
        scripts: vec![("/robots.txt", Vec::new())],
        want: Want { verdict, size: 0..=0, wire: 0..=0 },
        also: Vec::new(),
        time: Time::AtOnce,
        hits: 1..=1,
        memory: None,
        title: None,
        leads_away: false,
    };
    row.at("/", steps)
}

impl Row {
    /// So many bytes of body, as they came.
    pub fn size(mut self, bytes: u64) -> Self {
        self.want = Want { size: bytes..=bytes, wire: bytes..=bytes, ..self.want };
        self
    }

    /// Bytes of the body, decoded.
    pub fn decoded(mut self, bytes: RangeInclusive<u64>) -> Self {
        self.want.size = bytes;
        self
    }

    /// Bytes of the body, on the wire.
    pub fn wire(mut self, bytes: RangeInclusive<u64>) -> Self {
        self.want.wire = bytes;
        self
    }

    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// See [`Row::leads_away`].
    pub fn leads_away(mut self) -> Self {
        self.leads_away = true;
        self
    }

    pub fn takes(mut self, time: Time) -> Self {
        self.time = time;
        self
    }

    /// See [`Row::memory`].
    pub fn memory(mut self, mebibytes: u64) -> Self {
        self.memory = Some(mebibytes);
        self
    }

    pub fn hits(mut self, range: RangeInclusive<usize>) -> Self {
        self.hits = range;
        self
    }

    pub fn door(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    pub fn greets(mut self, steps: impl Into<Vec<Step>>) -> Self {
        self.greeting = steps.into();
        self
    }

    /// What targets that begin so do.
    pub fn at(mut self, start: &'static str, steps: impl Into<Vec<Step>>) -> Self {
        self.scripts.retain(|(path, _)| *path != start);
        self.scripts.push((start, steps.into()));
        self.scripts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        self
    }

    /// Its robots.txt does this, from the first connection on.
    pub fn robots(self, steps: impl Into<Vec<Step>>) -> Self {
        self.at("/robots.txt", steps)
    }

    /// The seed leads to another URL of the host, of so many bytes.
    pub fn and(mut self, path: &'static str, verdict: &'static str, size: u64) -> Self {
        self.also.push((path, Want { verdict, size: size..=size, wire: size..=size }));
        self
    }

    pub fn scripts_robots(&self) -> bool {
        self.scripts.iter().any(|(path, steps)| *path == "/robots.txt" && !steps.is_empty())
    }

    pub fn script(&self, target: &str) -> &[Step] {
        let found = self.scripts.iter().find(|(start, _)| target.starts_with(start));
        found.map_or(&[], |(_, steps)| steps)
    }
}

/// A record in the words of the table.
pub fn verdict_of(record: &Value) -> String {
    let mut words = field(record, "outcome").to_owned();
    if let Some(status) = record["status"].as_u64() {
        write!(words, " {status}").unwrap();
    }
    if record["error"].is_object() {
        write!(words, " {}/{}", field(&record["error"], "kind"), field(&record["error"], "stage")).unwrap();
    }
    if let Some(reason) = record["skip_reason"].as_str() {
        write!(words, " {reason}").unwrap();
    }
    if record["truncated"] == true {
        words.push_str(" truncated");
    }
    words
}
