//! The backoff of one host that refuses (429, or 503 with `Retry-After`): until when it is left alone.
//!
//! It decides how long a refusal holds the host, and which refusals are one event: a burst of requests that were under way
//! together, refused together, is one. It never waits and knows no delays, places or other hosts: [`super::pace`] asks it.
//! Nothing here depends on the order of refusals that come at the same moment. Sources: RFC 6585 4 (429), RFC 9110 10.2.3
//! (Retry-After). Randomness comes once, as the host's own share of it.

use std::time::Duration;

use crate::model::units::Moment;

/// The first hold of a host that does not say for how long; each further event doubles it.
const FIRST: Duration = Duration::from_secs(1);

/// The longest such hold, before its jitter of up to a quarter: with it no unstated hold is longer than 5 minutes.
const LONGEST: Duration = Duration::from_mins(4);

/// Stated holds get a tenth on top at most, and no more than this: hosts that were blocked together come back one by one.
const MOST_STAGGER: Duration = Duration::from_secs(5);

/// A host that says 0 without end, and answers nothing in between, gets what it says, but waits that double from here.
const FIRST_OF_ZEROS: Duration = Duration::from_millis(10);
const LONGEST_OF_ZEROS: Duration = Duration::from_secs(1);

/// A step is forgiven for so many answers, too: then it was other work that was refused.
const ANSWERS: u32 = 32;

/// So many times as long as the last unstated hold a host has to be quiet for one step of the doubling to be forgiven.
const QUIET: u32 = 4;

/// One burst of refusals.
#[derive(Debug, Clone, Copy)]
struct Event {
    /// When its first refusal came. What was asked up to then belongs to it.
    began: Moment,
    /// First answer to what was asked since: the next event is not one of a row.
    answered: Option<Moment>,
    /// Events in a row before it, without an answer in between.
    in_a_row: u32,
    /// An unstated hold of this event.
    unstated: Duration,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Hold {
    until: Moment,
    /// The latest moment that a refusal has stated, without the part that spreads hosts.
    stated_until: Moment,
    /// Events that are not forgiven.
    depth: u32,
    event: Option<Event>,
    /// The one before, of which some may still be under way.
    earlier: Option<Event>,
    /// The host's share of randomness, 0..1.
    share: f64,
    events: u64,
    /// Answers to what was asked since the last event: before the moment of the last one of them, and in that moment.
    answers: u32,
    moment: (Moment, u32),
}

impl Hold {
    /// `random` in 0..1: the host's own.
    #[must_use]
    pub fn new(random: f64) -> Self {
        Self {
            until: Moment::START,
            stated_until: Moment::START,
            depth: 0,
            event: None,
            earlier: None,
            share: random.fract().abs(),
            events: 0,
            answers: 0,
            moment: (Moment::START, 0),
        }
    }

    /// Nothing may be asked before.
    #[must_use]
    pub fn until(&self) -> Moment {
        self.until
    }

    /// Until when the host has asked to be left alone in so many words (`Retry-After`).
    #[must_use]
    pub fn stated_until(&self) -> Moment {
        self.stated_until
    }

    /// The same, as an earlier process was told.
    pub fn keep_stated(&mut self, until: Moment) {
        self.stated_until = self.stated_until.max(until);
    }

    /// Nothing is asked before `until`, for what an earlier process was told. Never shortens a hold.
    pub fn keep(&mut self, until: Moment) {
        self.until = self.until.max(until);
    }

    /// Events so far: bursts count once.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether a request that was started at `started` belongs to the last burst, or comes from before it.
    #[must_use]
    pub fn covers(&self, started: Moment) -> bool {
        self.event.is_some_and(|event| started <= event.began)
    }

    /// A request that was started at `started` has been refused; `stated` is its `Retry-After`. True if this is a new
    /// event, and not one more refusal of the last one.
    pub fn refuse(&mut self, now: Moment, started: Moment, stated: Option<Duration>) -> bool {
        let is_new = !self.covers(started);
        if let Some(wait) = stated {
            self.stated_until = self.stated_until.max(now.plus(wait));
        }
        if is_new {
            self.begin(now);
        }
        let earlier = self.earlier.filter(|event| started <= event.began);
        let Some(event) = earlier.or(self.event) else { return is_new };
        let until = match stated {
            // Others of the burst may state more, or state it later.
            Some(wait) => now.plus(stagger(wait, self.jitter()).max(zeros(event.in_a_row))),
            None => event.began.plus(event.unstated),
        };
        self.until = self.until.max(until);
        is_new
    }

    fn begin(&mut self, now: Moment) {
        self.forgive(now);
        // What is answered at the moment of the refusal does not count: what happens at one moment has no order.
        let answers = self.answers + if self.moment.0 < now { self.moment.1 } else { 0 };
        self.depth = self.depth.saturating_sub(answers / ANSWERS);
        (self.answers, self.moment) = (0, (now, 0));
        self.events += 1;
        self.depth = self.depth.saturating_add(1);
        let in_a_row = match self.event {
            Some(event) if event.answered.is_none_or(|answered| answered >= now) => event.in_a_row.saturating_add(1),
            _ => 0,
        };
        let step = unstated(self.depth);
        let unstated = step + step.mul_f64(self.jitter() / 4.0);
        self.earlier = self.event.replace(Event { began: now, answered: None, in_a_row, unstated });
    }

    /// Anything but a refusal has been answered to a request that was started at `started`.
    pub fn answer(&mut self, now: Moment, started: Moment) {
        if let Some(event) = self.event.as_mut().filter(|event| started > event.began) {
            event.answered.get_or_insert(now);
            if self.moment.0 != now {
                self.answers = self.answers.saturating_add(self.moment.1);
                self.moment = (now, 0);
            }
            self.moment.1 += 1;
        }
    }

    /// Between 0 and 1: different for each host and event, the same whatever the order of what happens at a moment. Steps
    /// of the golden ratio are as even a spread as there is.
    fn jitter(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "events of one host are few")]
        let turns = self.events as f64 * 0.618_033_988_749_895;
        (self.share + turns).fract()
    }

    /// Takes off a step for each quiet time since the last hold ended.
    fn forgive(&mut self, now: Moment) {
        let mut quiet = now.since(self.until);
        while self.depth > 0 {
            let step = unstated(self.depth) * QUIET;
            if quiet < step {
                return;
            }
            quiet -= step;
            self.depth -= 1;
        }
    }

    /// Whether everything is forgiven at `now`, so that nothing is lost if the host is forgotten.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        let mut then = self.clone();
        then.forgive(now);
        self.until <= now && then.depth == 0
    }
}

/// A wait, and the part of a tenth of it that `random` in 0..1 says: hosts that were blocked together are spread.
#[must_use]
pub fn stagger(wait: Duration, random: f64) -> Duration {
    wait.saturating_add((wait / 10).min(MOST_STAGGER).mul_f64(random.fract().abs()))
}

/// 1 s, doubling with the depth.
fn unstated(depth: u32) -> Duration {
    FIRST.saturating_mul(1 << depth.saturating_sub(1).min(20)).min(LONGEST)
}

/// The least hold after so many events in a row that stated next to nothing.
fn zeros(in_a_row: u32) -> Duration {
    if in_a_row == 0 {
        return Duration::ZERO;
    }
    FIRST_OF_ZEROS.saturating_mul(1 << (in_a_row - 1).min(20)).min(LONGEST_OF_ZEROS)
}

#[cfg(test)]
mod tests;
