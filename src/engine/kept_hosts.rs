//! What of a host outlives the process: until when it is to be left alone, its breaker, and its copies of robots.txt.
//!
//! Times are kept as wall time, with how long they were to last: a machine whose clock was set back waits no longer than
//! that. Decides nothing about hosts; it is read when a host is first needed again, so that a million of them take no more
//! than these bytes.

use std::time::Duration;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::dispatcher::Dispatcher;
use super::event::HostId;
use super::hosts::{Host, Robots, RobotsCopy};
use crate::fetch::Fetcher;
use crate::frontier::journal::Entry;
use crate::model::fetch_error::FetchError;
use crate::model::units::{Moment, WallTime};
use crate::policy::breaker::Outage;
use crate::policy::robots::RobotsRules;

/// A moment to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Until {
    wall: WallTime,
    /// How long it lay ahead when this was written.
    ahead: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptHost {
    free: Until,
    outage: Option<(Until, Outage)>,
    /// Until when it has asked to be left alone.
    stated: Until,
}

#[derive(Debug, Serialize, Deserialize)]
enum KeptRobots {
    Known { rules: Box<RobotsRules>, until: Until, failures: u32 },
    DisallowAll(Until),
    Unreachable(FetchError, Until),
}

/// Notes of earlier processes that nobody has needed yet.
#[derive(Debug, Default)]
pub struct KeptHosts {
    notes: HashMap<Box<str>, Vec<u8>>,
    /// When this process began.
    start: WallTime,
    /// This is not the first process of its run.
    is_resumed: bool,
}

impl KeptHosts {
    #[must_use]
    pub fn new(notes: HashMap<Box<str>, Vec<u8>>, clock: &Clock) -> Self {
        Self { notes, start: clock.wall(Moment::START), is_resumed: true }
    }

    /// Gives a host that is new to this process what was known of it.
    pub fn restore(&mut self, host: &mut Host) {
        if !self.is_resumed {
            return;
        }
        // An earlier process may have asked it a moment ago.
        host.pace.asked_before();
        if let Some(limiter) = &mut host.limiter {
            limiter.take(Moment::START);
        }
        if let Some(kept) = self.take::<KeptHost>(&host.key.clone()) {
            host.pace.leave_alone(self.moment(kept.free));
            host.pace.keep_stated(self.moment(kept.stated));
            if let Some((until, outage)) = kept.outage {
                host.breaker.take_up(outage, self.moment(until));
                host.summary.given_up = outage.given_up;
            }
        }
        for scheme in ["http", "https"] {
            let origin = [scheme, "://", &host.key].concat();
            let Some(kept) = self.take::<KeptRobots>(&robots_key(&origin)) else { continue };
            let robots = match kept {
                KeptRobots::Known { rules, until, failures } => {
                    if let Some(delay) = rules.crawl_delay() {
                        host.pace.raise_delay(delay);
                    }
                    Robots::Known(RobotsCopy { rules, until: self.moment(until), failures })
                }
                KeptRobots::DisallowAll(until) => Robots::DisallowAll(self.moment(until)),
                KeptRobots::Unreachable(error, until) => Robots::Unreachable(error, self.moment(until)),
            };
            host.set_robots(&origin, robots);
        }
    }

    fn take<T: for<'de> Deserialize<'de>>(&mut self, key: &str) -> Option<T> {
        // What cannot be read is asked again.
        postcard::from_bytes(&self.notes.remove(key)?).ok()
    }

    /// When it comes in this process; no later than it lay ahead, whatever the clocks say.
    fn moment(&self, until: Until) -> Moment {
        let left = u64::try_from(until.wall.0.saturating_sub(self.start.0)).unwrap_or(0);
        Moment::START.plus(Duration::from_millis(left).min(until.ahead))
    }
}

fn robots_key(origin: &str) -> String {
    ["robots ", origin].concat()
}

impl<F: Fetcher> Dispatcher<F> {
    fn until(&self, moment: Moment, now: Moment) -> Until {
        // A day is more than any of them lasts; and `NEVER` is no wall time.
        let ahead = moment.since(now).min(Duration::from_hours(24));
        Until { wall: self.clock.wall(now.plus(ahead)), ahead }
    }

    /// A host is to be left alone for a while, or its breaker has changed.
    pub(super) fn note_host(&mut self, id: HostId, now: Moment) {
        if self.ledger.is_none() {
            return;
        }
        let host = self.hosts.get(id);
        let outage = host.breaker.outage().map(|(until, outage)| (self.until(until, now), outage));
        let (free, stated) = (host.pace.next_allowed(), host.pace.stated_until());
        let kept = KeptHost { free: self.until(free, now), outage, stated: self.until(stated, now) };
        let key = host.key.clone();
        self.note_kept(&key, &kept);
    }

    /// The robots.txt of an origin has been read, or could not be.
    pub(super) fn note_robots(&mut self, id: HostId, origin: &str, now: Moment) {
        if self.ledger.is_none() {
            return;
        }
        let kept = match self.hosts.get(id).robots_of(origin) {
            Some(Robots::Known(RobotsCopy { rules, until, failures })) => {
                KeptRobots::Known { rules: rules.clone(), until: self.until(*until, now), failures: *failures }
            }
            Some(Robots::DisallowAll(until)) => KeptRobots::DisallowAll(self.until(*until, now)),
            Some(Robots::Unreachable(error, until)) => KeptRobots::Unreachable(error.clone(), self.until(*until, now)),
            Some(Robots::Fetching(_)) | None => return,
        };
        self.note_kept(&robots_key(origin), &kept);
    }

    fn note_kept<T: Serialize>(&mut self, key: &str, kept: &T) {
        if let Ok(bytes) = postcard::to_allocvec(kept) {
            self.note(&Entry::Host(key.into(), bytes.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_makes_no_wait_longer() {
        let until = Until { wall: WallTime(100_000), ahead: Duration::from_secs(30) };
        let at = |start| KeptHosts { start: WallTime(start), ..KeptHosts::default() }.moment(until);
        let seconds = |seconds| Moment::START.plus(Duration::from_secs(seconds));
        assert_eq!(at(90_000), seconds(10));
        assert_eq!(at(100_000), seconds(0));
        assert_eq!(at(500_000), seconds(0));
        assert_eq!(at(-1_000_000_000), seconds(30), "it was set back by eleven days");
    }
}
