//! What of a host outlives the process: until when it is to be left alone, its breaker, and its copies of robots.txt.
//!
//! Times are kept as wall time, with how long they were to last: a machine whose clock was set back waits no longer than
//! that. Decides nothing about hosts; it is read when a host is first needed again, so that a million of them take no more
//! than these bytes.

use std::time::Duration;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use crate::model::fetch_error::FetchError;
use crate::model::units::{Moment, WallTime};
use crate::policy::breaker::Outage;
use crate::policy::robots::RobotsRules;

/// A moment to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Until {
    wall: WallTime,
    /// How long it lay ahead when this was written.
    ahead: Duration,
}

impl Until {
    #[must_use]
    pub fn new(moment: Moment, now: Moment, clock: &Clock) -> Self {
        // A day is more than any of them lasts; and `NEVER` is no wall time.
        let ahead = moment.since(now).min(Duration::from_hours(24));
        Self { wall: clock.wall(now.plus(ahead)), ahead }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct KeptHost {
    pub free: Until,
    pub outage: Option<(Until, Outage)>,
    /// Until when it has asked to be left alone.
    pub stated: Until,
}

/// What is known of a robots.txt, with times as they are kept or as moments of this process.
#[derive(Debug, Serialize, Deserialize)]
pub enum KeptRobots<T> {
    Known { rules: Box<RobotsRules>, until: T, failures: u32 },
    DisallowAll(T),
    Unreachable(FetchError, T),
}

impl<T> KeptRobots<T> {
    /// The same with other times.
    pub fn at<U>(self, time: impl FnOnce(T) -> U) -> KeptRobots<U> {
        match self {
            Self::Known { rules, until, failures } => KeptRobots::Known { rules, until: time(until), failures },
            Self::DisallowAll(until) => KeptRobots::DisallowAll(time(until)),
            Self::Unreachable(error, until) => KeptRobots::Unreachable(error, time(until)),
        }
    }
}

/// What an earlier process knew of a host.
#[derive(Debug)]
pub struct Known {
    /// It is left alone until then.
    pub free: Option<Moment>,
    /// It has asked to be left alone until then.
    pub stated: Option<Moment>,
    pub outage: Option<(Outage, Moment)>,
    /// By origin.
    pub robots: Vec<(String, KeptRobots<Moment>)>,
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

    /// What an earlier process of this run knew of a host that is new to this one; None in its first process.
    pub fn take(&mut self, key: &str) -> Option<Known> {
        if !self.is_resumed {
            return None;
        }
        let kept = self.read::<KeptHost>(key);
        let outage = kept.as_ref().and_then(|kept| kept.outage.as_ref());
        let outage = outage.map(|(until, outage)| (*outage, self.moment(*until)));
        let free = kept.as_ref().map(|kept| self.moment(kept.free));
        let stated = kept.map(|kept| self.moment(kept.stated));
        let mut robots = Vec::new();
        for scheme in ["http", "https"] {
            let origin = [scheme, "://", key].concat();
            if let Some(kept) = self.read::<KeptRobots<Until>>(&robots_key(&origin)) {
                robots.push((origin, kept.at(|until| self.moment(until))));
            }
        }
        Some(Known { free, stated, outage, robots })
    }

    fn read<T: for<'de> Deserialize<'de>>(&mut self, key: &str) -> Option<T> {
        // What cannot be read is asked again.
        postcard::from_bytes(&self.notes.remove(key)?).ok()
    }

    /// When it comes in this process; no later than it lay ahead, whatever the clocks say.
    fn moment(&self, until: Until) -> Moment {
        let left = u64::try_from(until.wall.0.saturating_sub(self.start.0)).unwrap_or(0);
        Moment::START.plus(Duration::from_millis(left).min(until.ahead))
    }
}

/// Under what the robots.txt of an origin is kept.
pub fn robots_key(origin: &str) -> String {
    ["robots ", origin].concat()
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
