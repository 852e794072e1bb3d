//! What tasks tell the dispatcher. A request's place is free as soon as its exchange is over, which is before its page
//! is parsed: so each request sends two events.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::flights::FlightId;
use super::outcome::Finished;
use crate::model::job::Job;
use crate::model::page::Outlink;
use crate::policy::breaker::Signal;
use crate::policy::pace::Ending;

/// Index of a host in the engine's table.
pub type HostId = u32;

/// Where a request is counted for `--ip-concurrency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spot {
    Address(IpAddr),
    /// A name whose address is not known yet. Two names of one hash share their places, which costs a little time.
    Name(u64),
}

/// What happened.
pub enum Event {
    /// One exchange is over: its host's place is free. Always sent, and first.
    Answered(Answered),
    /// What follows from it for the job.
    Ended(Box<Ended>),
    /// A look into the cache is over, which was no exchange.
    LookedUp(Box<Ended>),
}

/// What an exchange tells about its host.
#[derive(Debug)]
pub struct Answered {
    pub host: HostId,
    /// False if nothing went out: the guard refused the address, or no request could be made of the job.
    pub sent: bool,
    pub signal: Signal,
    /// It was the breaker's probe.
    pub probe: bool,
    /// The address at which the request was counted.
    pub counted_at: Option<Spot>,
    /// Where the answer came from; a proxy is not the host.
    pub remote: Remote,
    /// It would have been tried again, had the run's budget allowed it.
    pub denied: bool,
    /// What it tells of the host's pace.
    pub ending: Ending,
    pub wire_bytes: u64,
    pub elapsed: Duration,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// No answer.
    Unknown,
    /// The stack does not tell.
    Untold,
    Address(IpAddr),
    Proxy,
}

/// The job after one exchange, with the run permit it held.
pub struct Ended {
    pub job: Job,
    pub host: HostId,
    pub next: Next,
    pub permit: OwnedSemaphorePermit,
    pub flight: FlightId,
}

/// What follows.
pub enum Next {
    /// The cache has no answer that may be used: its server is asked.
    Ask,
    /// Back to the queue, after a backoff.
    Retry,
    /// Refused, and its host is held; or its connection had died idle. Back to its place in the queue.
    Again,
    /// A redirect to a canonical URL, to be admitted like any request.
    Hop { target: Box<str>, status: u16 },
    /// The job has ended; links for the frontier come before its record.
    Record { finished: Box<Finished>, outlinks: Vec<Outlink> },
    /// robots.txt has come: its final status and body, or none if it failed below HTTP.
    Robots(RobotsAnswer),
    /// A sitemap has been read.
    Sitemap { urls: Vec<String>, sitemaps: Vec<String> },
    /// It was cut off, since nobody waits for it: a leg of a race that was won, or a robots.txt without a page.
    Nothing,
}

/// How a robots.txt job ended.
#[derive(Debug)]
pub enum RobotsAnswer {
    Rules(Box<crate::policy::robots::RobotsRules>),
    DisallowAll,
    /// It redirects to this URL of another origin, which the guard against private addresses refuses: all is disallowed.
    Refused(Box<str>),
    /// Given up below HTTP: its URLs end with this kind.
    Unreachable(crate::model::fetch_error::FetchError),
}
