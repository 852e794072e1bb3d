//! Races: jobs whose document is found on several mirrors, the first of which to answer makes the record.
//!
//! Decides which leg is next and when, who has won, whether a race is over, and what its record says of the others. It
//! never queues, starts or cuts off a request: the dispatcher does (`racing`), asks here what is next and tells what
//! happened. Pure: moments come as arguments. The parent of a race is leased from the frontier and settled like any job;
//! its legs are known here and at their hosts only.
//!
//! Source for hedging by a percentile: Dean and Barroso, "The Tail at Scale" (2013).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use foldhash::HashMap;

use super::event::HostId;
use super::flights::FlightId;
use super::outcome::Finished;
use super::settings::HedgeAfter;
use crate::model::job::{Job, JobSpec, Mirror};
use crate::model::page::Outlink;
use crate::model::record::{MirrorEnd, Outcome, RecordBody, RequestKind, RequestLog};
use crate::model::units::{Moment, WallTime};
use crate::model::url::host_key_of;

/// Races of one lane that may be open at once; half of that before the lane gets more.
const OPEN: usize = 64;

/// Samples of a host: the last so many, and at least so many before they say something. Of fewer than twenty the slowest
/// would be the 95th percentile.
const SAMPLES: usize = 128;
const ENOUGH: usize = 20;

/// Hosts whose samples are kept; beyond that all start anew.
const SAMPLED_HOSTS: usize = 4096;

/// The wait before the next leg while a host's 95th percentile is not known.
const UNKNOWN: Duration = Duration::from_millis(500);

/// The queue of the frontier in which a job with mirrors waits. Not that of its first host: each leg is queued at its own
/// host, and a first host that is held or dead must not hold up the others. No host key has a blank in it.
pub fn lane_of(host: &str) -> Box<str> {
    ["race ", host].concat().into()
}

/// Whether a key of the frontier is a lane and no host.
pub fn is_lane(key: &str) -> bool {
    key.starts_with("race ")
}

/// Where a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Its turn has not come.
    Waiting,
    /// Among the jobs of this host, fresh or to be retried.
    Queued(HostId),
    InFlight(FlightId),
    Over,
}

/// What a leg has come to, and cost.
#[derive(Debug, Default)]
pub struct LegEnd {
    /// None if it was not asked, or cut off.
    pub outcome: Option<Outcome>,
    pub requests: Vec<RequestLog>,
    pub wire_bytes: u64,
    /// Of its first request.
    pub started: Option<(WallTime, Moment)>,
}

impl LegEnd {
    /// Of a leg that ends without a record of its own.
    pub fn of_job(job: &mut Job) -> Self {
        let Some(chain) = &mut job.chain else { return Self::default() };
        let (wire_bytes, started) = (chain.wire_bytes, chain.first_started);
        Self { outcome: None, requests: std::mem::take(&mut chain.requests), wire_bytes, started }
    }
}

#[derive(Debug)]
struct Leg {
    mirror: Mirror,
    place: Place,
    queued: Option<Moment>,
    started: bool,
    /// When its last request started.
    asked: Moment,
    ended: Moment,
    end: LegEnd,
}

/// The end of the leg whose record is that of the race.
#[derive(Debug)]
pub struct Front {
    pub job: Job,
    pub finished: Finished,
    pub outlinks: Vec<Outlink>,
}

/// One race.
#[derive(Debug)]
pub struct Race {
    /// Without its mirrors, which are the legs'.
    parent: Job,
    legs: Vec<Leg>,
    /// The leg that was queued last, and when the next one is due.
    latest: usize,
    due: Moment,
    in_flight: u32,
    winner: Option<usize>,
    front: Option<Front>,
    /// It stands among the pages under way: from its first request to its record.
    pub counted: bool,
    /// The host at which it waits may not be asked for longer than the next leg has patience.
    pub passed_by: bool,
}

impl Race {
    /// A race of the mirrors of this job.
    #[must_use]
    pub fn new(mut parent: Job) -> Self {
        let mirrors = parent.spec.as_mut().map(|spec| std::mem::take(&mut spec.mirrors)).unwrap_or_default();
        let leg = |mirror: Mirror| {
            // One that another job asks is skipped, and that is its end.
            let (place, outcome) =
                if mirror.repeated { (Place::Over, Some(Outcome::Skipped)) } else { (Place::Waiting, None) };
            let end = LegEnd { outcome, ..LegEnd::default() };
            Leg { mirror, place, queued: None, started: false, asked: Moment::START, ended: Moment::START, end }
        };
        let legs = mirrors.into_iter().map(leg).collect();
        let due = Moment::NEVER;
        Self { parent, legs, latest: 0, due, in_flight: 0, winner: None, front: None, counted: false, passed_by: false }
    }

    /// The next leg whose turn has not come yet; none once one has won.
    #[must_use]
    pub fn next_leg(&self) -> Option<usize> {
        if self.winner.is_some() {
            return None;
        }
        self.legs.iter().position(|leg| leg.place == Place::Waiting)
    }

    /// The job that asks a leg's mirror.
    #[must_use]
    pub fn job_of(&self, leg: usize) -> Job {
        let mirror = &self.legs[leg].mirror;
        let mut job = self.parent.clone();
        job.url.clone_from(&mirror.url);
        job.host = host_key_of(&mirror.url).into();
        let spec = job.spec.get_or_insert_with(|| Box::new(JobSpec::default()));
        spec.user_info.clone_from(&mirror.user_info);
        spec.leg = u32::try_from(leg).ok();
        job
    }

    /// When its job was accepted.
    #[must_use]
    pub fn accepted(&self) -> Moment {
        self.parent.accepted
    }

    /// Whether the next leg is due before that moment.
    #[must_use]
    pub fn is_due_before(&self, moment: Moment) -> bool {
        self.due <= moment
    }

    /// A leg was queued already.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.legs.iter().any(|leg| leg.queued.is_some())
    }

    /// The legs whose turn has not come will not be asked.
    pub fn drop_waiting(&mut self) {
        for leg in self.legs.iter_mut().filter(|leg| leg.place == Place::Waiting) {
            leg.place = Place::Over;
        }
    }

    /// A leg stands in the queue of a host: for the first time, again for a retry, or at the target of a redirect.
    pub fn queue(&mut self, leg: usize, host: HostId, now: Moment) {
        let entry = &mut self.legs[leg];
        entry.place = Place::Queued(host);
        if entry.queued.is_none() {
            entry.queued = Some(now);
            self.latest = leg;
            self.passed_by = false;
        }
    }

    /// The host at which the leg that was queued last waits, and since when, if it was never asked.
    #[must_use]
    pub fn waits_unasked(&self) -> Option<(HostId, Moment)> {
        let leg = self.legs.get(self.latest).filter(|leg| !leg.started)?;
        let Place::Queued(host) = leg.place else { return None };
        Some((host, leg.queued?))
    }

    /// A leg's request starts. Returns whether the next leg waits for it: it is the first of the leg that was queued last.
    pub fn start(&mut self, leg: usize, flight: FlightId) -> bool {
        let entry = &mut self.legs[leg];
        entry.place = Place::InFlight(flight);
        self.in_flight += 1;
        !std::mem::replace(&mut entry.started, true) && self.latest == leg
    }

    /// A leg's request is over; whether the leg is, is told next.
    pub fn land(&mut self) {
        self.in_flight -= 1;
    }

    /// What a leg has cost until its request started, and that request: told again when it is over, if it ever is.
    pub fn note_cost(&mut self, leg: usize, end: LegEnd, now: Moment) {
        let entry = &mut self.legs[leg];
        entry.asked = now;
        entry.end = end;
    }

    /// Nothing of it that is under way will report any more.
    pub fn forget_flights(&mut self, now: Moment) {
        self.in_flight = 0;
        for leg in self.legs.iter_mut().filter(|leg| matches!(leg.place, Place::InFlight(_))) {
            leg.ended = now;
            if let Some(request) = leg.end.requests.last_mut() {
                request.ms = now.since(leg.asked).into();
            }
        }
    }

    /// A leg is over without a record that could be the race's.
    pub fn end(&mut self, leg: usize, end: LegEnd, now: Moment) {
        let entry = &mut self.legs[leg];
        entry.place = Place::Over;
        entry.ended = now;
        entry.end = end;
    }

    /// A leg is over with a record. Returns whether it has won. If none wins, the record of the first mirror is that of
    /// the race; so the first one to end keeps its place only until that has ended.
    pub fn finish(&mut self, leg: usize, mut front: Front, now: Moment) -> bool {
        let outcome = front.finished.counted.outcome;
        let mut end = LegEnd::of_job(&mut front.job);
        end.outcome = Some(outcome);
        if let Some(record) = &mut front.finished.record {
            end.requests = std::mem::take(&mut record.requests);
        }
        self.end(leg, end, now);
        let wins = outcome == Outcome::Ok && self.winner.is_none();
        if wins {
            self.winner = Some(leg);
        }
        if wins || (self.winner.is_none() && self.first() == Some(leg)) {
            self.front = Some(front);
        }
        wins
    }

    /// The first mirror that no other job asks.
    fn first(&self) -> Option<usize> {
        self.legs.iter().position(|leg| !leg.mirror.repeated)
    }

    #[must_use]
    pub fn is_won(&self) -> bool {
        self.winner.is_some()
    }

    /// A request of the race is under way.
    #[cfg(test)]
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// No leg can change the result any more, and all have told what they cost.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.in_flight == 0 && self.legs.iter().all(|leg| leg.place == Place::Over || self.is_won())
    }

    /// Where the legs are that are queued or in flight.
    #[must_use]
    pub fn places(&self) -> Vec<(usize, Place)> {
        let places = self.legs.iter().map(|leg| leg.place).enumerate();
        places.filter(|(_, place)| matches!(place, Place::Queued(_) | Place::InFlight(_))).collect()
    }

    /// The record of the race, in which all legs stand. None if no leg has left one.
    pub fn into_front(mut self, now: Moment) -> Option<Front> {
        let mut front = self.front.take()?;
        if let Some(record) = &mut front.finished.record {
            let accepted = self.parent.accepted;
            complete(record, self.legs, accepted);
            if self.winner.is_none() {
                record.total_ms = Some(now.since(accepted).into());
            }
        }
        Some(front)
    }

    /// The key of its lane.
    pub fn lane(&self) -> &str {
        &self.parent.host
    }
}

/// Puts what all legs have done into the record of one.
fn complete(record: &mut RecordBody, legs: Vec<Leg>, accepted: Moment) {
    let mut mirrors = Vec::with_capacity(legs.len());
    let mut requests = Vec::new();
    let mut started: Option<(WallTime, Moment)> = None;
    for leg in legs {
        let own = |request: &RequestLog| !matches!(request.kind, RequestKind::Robots | RequestKind::Sitemap);
        let asked = leg.end.requests.iter().any(own);
        mirrors.push(MirrorEnd {
            url: leg.mirror.url,
            outcome: leg.end.outcome.unwrap_or(Outcome::Skipped),
            total_ms: leg.queued.filter(|_| asked).map(|queued| leg.ended.since(queued).into()),
            wire_size: leg.end.wire_bytes,
        });
        requests.extend(leg.end.requests);
        started = match (started, leg.end.started) {
            (Some(a), Some(b)) => Some(if a.1 <= b.1 { a } else { b }),
            (a, b) => a.or(b),
        };
    }
    // Stable: those of one leg stay in their order.
    requests.sort_by_key(|request| request.started_at);
    record.requests = requests;
    record.mirrors = Some(mirrors);
    if let Some((wall, moment)) = started {
        record.started_at = Some(wall);
        record.queued_ms = Some(moment.since(accepted).into());
    }
}

/// How many races of one lane are open.
#[derive(Debug, Default)]
struct Lane {
    open: usize,
    leased: bool,
}

/// All races that are open.
#[derive(Debug, Default)]
pub struct Races {
    open: HashMap<u64, Race>,
    lanes: HashMap<Box<str>, Lane>,
    /// When the next leg of a race is due; entries that are out of date are found when they come up.
    alarms: BinaryHeap<Reverse<(Moment, u64)>>,
    latencies: Latencies,
}

impl Races {
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Race> {
        self.open.get(&number)
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Race> {
        self.open.get_mut(&number)
    }

    pub fn latencies(&mut self) -> &mut Latencies {
        &mut self.latencies
    }

    /// Opens the race of a job that was leased from its lane.
    pub fn open(&mut self, parent: Job) -> u64 {
        let number = parent.number;
        self.lanes.entry(parent.host.clone()).or_default().open += 1;
        self.open.insert(number, Race::new(parent));
        number
    }

    /// Takes a race that is over.
    pub fn close(&mut self, number: u64) -> Option<Race> {
        let race = self.open.remove(&number)?;
        if let Some(lane) = self.lanes.get_mut(race.lane()) {
            lane.open -= 1;
            if lane.open == 0 && !lane.leased {
                self.lanes.remove(race.lane());
            }
        }
        Some(race)
    }

    /// The lane was leased, or a race of it is over. Returns whether it goes back to the frontier, to be leased again.
    pub fn gives_back(&mut self, key: &str, leased_now: bool) -> bool {
        let lane = self.lanes.entry(key.into()).or_default();
        let most = if leased_now { OPEN } else { OPEN / 2 };
        let back = (lane.leased || leased_now) && lane.open < most;
        lane.leased = (lane.leased || leased_now) && !back;
        if lane.open == 0 && !lane.leased {
            self.lanes.remove(key);
        }
        back
    }

    /// The next leg of a race is due then.
    pub fn set_due(&mut self, number: u64, due: Moment) {
        let Some(race) = self.open.get_mut(&number) else { return };
        race.due = due;
        if due < Moment::NEVER {
            self.alarms.push(Reverse((due, number)));
        }
    }

    /// The next leg of a race is due now, since nothing can be asked where the latest one waits.
    pub fn pass_by(&mut self, number: u64, now: Moment) {
        if let Some(race) = self.open.get_mut(&number) {
            race.passed_by = true;
        }
        self.set_due(number, now);
    }

    /// A race whose next leg is due now.
    pub fn pop_due(&mut self, now: Moment) -> Option<u64> {
        while let Some(Reverse((due, number))) = self.alarms.peek().copied() {
            let valid = self.is_valid(due, number);
            if valid && due > now {
                return None;
            }
            self.alarms.pop();
            if valid {
                return Some(number);
            }
        }
        None
    }

    /// When the next leg of any race is due.
    pub fn next_due(&mut self) -> Option<Moment> {
        while let Some(Reverse((due, number))) = self.alarms.peek().copied() {
            if self.is_valid(due, number) {
                return Some(due);
            }
            self.alarms.pop();
        }
        None
    }

    fn is_valid(&self, due: Moment, number: u64) -> bool {
        self.open.get(&number).is_some_and(|race| race.due == due && race.next_leg().is_some())
    }

    /// Numbers of the races that `is` says, in order of acceptance.
    pub fn numbers(&self, is: impl Fn(&Race) -> bool) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.open.iter().filter(|(_, race)| is(race)).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// How long hosts take to answer: kept only for `--hedge-after p95`.
#[derive(Debug, Default)]
pub struct Latencies(HashMap<Box<str>, VecDeque<Duration>>);

impl Latencies {
    /// A request of this host was answered after so long.
    pub fn note(&mut self, host: &str, took: Duration) {
        if !self.0.contains_key(host) {
            if self.0.len() >= SAMPLED_HOSTS {
                self.0.clear();
            }
            self.0.insert(host.into(), VecDeque::new());
        }
        if let Some(samples) = self.0.get_mut(host) {
            if samples.len() == SAMPLES {
                samples.pop_front();
            }
            samples.push_back(took);
        }
    }

    /// How long the next leg waits for one at this host; None: until that has failed.
    #[must_use]
    pub fn patience(&self, host: &str, after: HedgeAfter) -> Option<Duration> {
        match after {
            HedgeAfter::Never => None,
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::P95 => Some(self.p95(host).unwrap_or(UNKNOWN)),
        }
    }

    fn p95(&self, host: &str) -> Option<Duration> {
        let samples = self.0.get(host).filter(|samples| samples.len() >= ENOUGH)?;
        let mut sorted: Vec<Duration> = samples.iter().copied().collect();
        sorted.sort_unstable();
        Some(sorted[(sorted.len() * 95).div_ceil(100) - 1])
    }
}

#[cfg(test)]
mod tests;
