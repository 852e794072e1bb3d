//! How much of its places a host can take: grows while the host answers as quickly as it did, shrinks when it does not.
//!
//! It decides a level between 1 and the configured places, from the time to each response head, server errors, failures
//! and refusals; after refusals also a level below 1, which is a pause after each request. It never raises a limit, and a
//! host that is well is never held back by it: the level starts at the top, beside the slow start of [`super::pace`].
//! What it is told is only this host's. Related: TCP's congestion control (RFC 5681; slow near the last loss after CUBIC,
//! RFC 9438), Vegas for the latency.
//!
//! Latency is judged by the mean of a round of answers, not by its least or by single ones: pages of one host differ, and
//! the mean of a mixture stays where it is while the load does. Whether a rise is our doing is tried out: if fewer places
//! have not made it better, the pages are slower, and the new mean is the floor.

use std::time::Duration;

use crate::model::units::Moment;

/// Answers in a round, at least; with many places as many as two of each.
const ROUND: u32 = 16;

/// Differences of latency below this say nothing: on a fast network they are noise of both machines' schedulers.
const NOISE: f64 = 0.020;

/// A mean of so many times the floor is near it; at the second factor it has grown.
const NEAR: f64 = 1.5;
const GROWN: f64 = 2.0;

/// A mean that is not better than by this share, after the places were cut for it, is not of our making.
const UNCHANGED: f64 = 0.85;

/// What is left of the level after a refusal, a failure, and a round that was slow or full of server errors.
const AFTER_REFUSAL: f64 = 0.5;
const AFTER_FAILURE: f64 = 0.7;
const AFTER_ROUND: f64 = 0.6;

/// Growth with each answer, and the time in which it grows e-fold at most: who counts requests a second refuses only when
/// the second is full.
const FAST: f64 = 1.0 / 64.0;
const FASTEST: Duration = Duration::from_secs(2);

/// Near the level that was last too much, each time it is reached costs about as many refusals as there are places: so
/// many answers for each of them lie between. At the least and most the growth is this.
const ANSWERS_PER_PLACE: f64 = 200.0;
const MOST_CAREFUL: f64 = 1.0 / 8192.0;
const LEAST_CAREFUL: f64 = 1.0 / 512.0;
/// Where near is, as shares of that level.
const CAREFUL_FROM: f64 = 0.7;
const CAREFUL_TO: f64 = 1.1;

/// A slow host has few answers to grow with: in this time it doubles at least.
const DOUBLING: Duration = Duration::from_mins(1);

/// Below a level of 1, pauses are counted in units of the latency, but of at least this; none is longer than the second.
const LEAST_UNIT: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What shows that a host has had too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// 429, or 503 with `Retry-After`, which is what it holds: a host that states how long is never given longer pauses.
    Refusal(Option<Duration>),
    /// Timeout, reset, connect, 502, 504, 503 without `Retry-After`.
    Failure,
}

/// Answers that are judged together. Only requests that were started after the last cut count.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    answers: u32,
    /// Seconds to the head.
    sum: f64,
    /// The two longest of them: a page or two that take minutes are not a round that takes long.
    longest: [f64; 2],
    server_errors: u32,
}

impl Round {
    fn add(&mut self, seconds: f64) {
        self.answers += 1;
        self.sum += seconds;
        let [first, second] = self.longest;
        self.longest = [first.max(seconds), second.max(first.min(seconds))];
    }

    /// Without the two longest.
    fn mean(&self) -> f64 {
        (self.sum - self.longest[0] - self.longest[1]) / f64::from(self.answers.saturating_sub(2).max(1))
    }
}

/// One cut of the level. More trouble among what was under way then is the same trouble.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: Moment,
    from: f64,
}

/// How things stood when the moment began in which something last happened: what happens at one moment has no order.
#[derive(Debug, Clone, Copy)]
struct Before {
    at: Moment,
    level: f64,
    floor: Option<f64>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Throttle {
    adaptive: bool,
    most: f64,
    level: f64,
    before: Before,
    /// Mean seconds to the head while the host was well.
    floor: Option<f64>,
    first: Round,
    round: Round,
    /// Answers to be passed over after a cut: the quick ones come first, and are not what the host is like.
    skip: u32,
    /// The last round was slow, the one before was not.
    suspected: bool,
    /// The last round was near the floor.
    near: bool,
    /// Mean of the slow round for which the level was cut.
    trial: Option<f64>,
    cut: Option<Cut>,
    /// The one before, of which some may still be under way.
    earlier: Option<Cut>,
    /// The last moment with trouble in it.
    troubled: Option<Moment>,
    /// The level that was last too much.
    ceiling: Option<f64>,
    /// The last refusal that was not of a burst, and the first answer since to what was asked since: without one the next
    /// refusal says no more than that it is too early.
    refused: Option<Moment>,
    answered: Option<Moment>,
    cuts: u64,
    /// Last growth, and how much of it time allows.
    grown: Moment,
    credit: f64,
}

impl Throttle {
    /// For a host of `most` places. Not `adaptive`: the level stays at the top.
    #[must_use]
    pub fn new(most: u32, adaptive: bool) -> Self {
        let most = f64::from(most.max(1));
        Self {
            adaptive,
            most,
            level: most,
            before: Before { at: Moment::START, level: most, floor: None },
            floor: None,
            first: Round::default(),
            round: Round::default(),
            skip: 0,
            suspected: false,
            near: true,
            trial: None,
            cut: None,
            earlier: None,
            troubled: None,
            ceiling: None,
            refused: None,
            answered: Some(Moment::START),
            cuts: 0,
            grown: Moment::START,
            credit: 0.0,
        }
    }

    /// Requests that may be in flight: from 1 to the configured places.
    #[must_use]
    pub fn places(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to the places, which are u32"
        )]
        let places = self.level.clamp(1.0, self.most) as u32;
        places
    }

    /// The pause after each request; none at a level of 1 or more.
    #[must_use]
    pub fn pause(&self) -> Duration {
        if self.level >= 1.0 {
            return Duration::ZERO;
        }
        let unit = self.unit();
        Duration::try_from_secs_f64(unit * (1.0 / self.level - 1.0))
            .map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE))
    }

    /// Seconds in which pauses are counted.
    fn unit(&self) -> f64 {
        self.floor.unwrap_or(0.0).max(LEAST_UNIT.as_secs_f64())
    }

    /// How often the level was cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// Whether the level is at the top.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.level >= self.most
    }

    /// A response head has come, and it is no refusal. `latency` is the time to it, `calm` when the host was last asked or
    /// held before: what growth by time is counted from.
    pub fn answer(&mut self, now: Moment, started: Moment, latency: Duration, server_error: bool, calm: Moment) {
        if !self.adaptive {
            return;
        }
        if self.refused.is_none_or(|refused| started > refused) {
            self.answered.get_or_insert(now);
        }
        if self.troubled == Some(now) || self.cut.is_some_and(|cut| started <= cut.at) {
            return;
        }
        self.enter(now);
        if self.near && !server_error {
            self.grow(now, calm);
        }
        let seconds = latency.as_secs_f64();
        let Some(floor) = self.floor else {
            // The first three answers of a host are to at most two requests at once: that is what it is like unloaded.
            self.first.add(seconds);
            self.floor = (self.first.answers >= 3).then(|| self.first.sum / 3.0);
            return;
        };
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.round.add(seconds);
        self.round.server_errors += u32::from(server_error);
        if self.round.answers >= ROUND.max(2 * self.places()) {
            let round = std::mem::take(&mut self.round);
            self.judge(now, round, floor);
        }
    }

    /// What follows from a whole round.
    fn judge(&mut self, now: Moment, round: Round, floor: f64) {
        let mean = round.mean();
        let trial = self.trial.take();
        let suspected = std::mem::take(&mut self.suspected);
        if round.server_errors * 3 >= round.answers {
            self.near = false;
            self.lower(now, AFTER_ROUND, self.before.level, 1.0);
        } else if trial.is_some_and(|before| (UNCHANGED * before..before / UNCHANGED).contains(&mean)) {
            // Fewer places have changed nothing: it is not our load that takes the time.
            self.near = true;
            self.floor = Some(mean);
            self.ceiling = None;
        } else if mean > GROWN * floor + NOISE {
            self.near = false;
            if !suspected && trial.is_none() {
                // The rise may have come within this round: the next one is all of it.
                self.suspected = true;
            } else if self.places() > 1 {
                self.trial = Some(mean);
                self.lower(now, AFTER_ROUND, self.before.level, 1.0);
            } else {
                // One at a time: this is what it takes.
                self.floor = Some(mean);
            }
        } else {
            self.near = mean <= NEAR * floor + NOISE;
            if mean < floor {
                self.floor = Some(mean);
            } else if self.near {
                // Means vary: the least of many would be too low for most.
                self.floor = Some(floor + (mean - floor) / 16.0);
            }
        }
    }

    /// Trouble with a request that was started at `started`; `in_flight` at that moment, itself counted.
    pub fn trouble(&mut self, now: Moment, started: Moment, trouble: Trouble, in_flight: u32) {
        if !self.adaptive {
            return;
        }
        let is_refusal = matches!(trouble, Trouble::Refusal(_));
        let (share, longest) = match trouble {
            Trouble::Refusal(stated) => {
                (AFTER_REFUSAL, stated.map_or(LONGEST_PAUSE, |stated| stated.min(LONGEST_PAUSE)))
            }
            Trouble::Failure => (AFTER_FAILURE, Duration::ZERO),
        };
        // What else was learnt in this moment is not counted.
        self.enter(now);
        self.troubled = Some(now);
        self.level = self.level.min(self.before.level);
        self.floor = self.before.floor;
        let unit = self.unit();
        let least = unit / (unit + longest.as_secs_f64());
        if is_refusal && self.refused.is_none_or(|refused| started > refused) {
            self.refused = Some(now);
            // An answer of this very moment stands for the next refusal: what happens at one moment has no order.
            if self.answered.is_none_or(|answered| answered >= now) {
                return;
            }
            self.answered = None;
        }
        let from = self.before.level.min(f64::from(in_flight.max(1)));
        let earlier = self.earlier.is_some_and(|cut| started <= cut.at);
        match if earlier { &mut self.earlier } else { &mut self.cut } {
            // The same trouble; the worst of it counts.
            Some(cut) if started <= cut.at => {
                if cut.at == now {
                    cut.from = cut.from.min(from);
                }
                self.level = self.level.min((cut.from * share).max(least));
            }
            // Passed over, and so is the rest of its burst.
            _ if is_refusal && self.refused.is_some_and(|refused| refused < now && started <= refused) => {}
            _ => self.lower(now, share, from, least),
        }
    }

    /// Cuts the level.
    fn lower(&mut self, now: Moment, share: f64, from: f64, least: f64) {
        let level = self.before.level.min((from * share).max(least));
        self.cuts += u64::from(level < self.before.level);
        self.ceiling = Some(from);
        self.earlier = self.cut.replace(Cut { at: now, from });
        self.level = level;
        self.round = Round::default();
        self.skip = 2 * self.places();
    }

    fn grow(&mut self, now: Moment, calm: Moment) {
        let near = |ceiling: &f64| (CAREFUL_FROM * ceiling..CAREFUL_TO * ceiling).contains(&self.level);
        let by_answer = self
            .ceiling
            .filter(near)
            .map_or(FAST, |ceiling| (1.0 / (ANSWERS_PER_PLACE * ceiling)).clamp(MOST_CAREFUL, LEAST_CAREFUL));
        let since = now.since(self.grown.max(calm)).as_secs_f64();
        let by_time = (since / DOUBLING.as_secs_f64()).min(1.0);
        self.credit = (self.credit + since / FASTEST.as_secs_f64()).min(0.5);
        let growth = by_answer.min(self.credit).max(by_time);
        self.credit = (self.credit - growth).max(0.0);
        self.level = (self.level * (1.0 + growth)).min(self.most);
        self.grown = now;
        if self.ceiling.is_some_and(|ceiling| self.level >= CAREFUL_TO * ceiling) {
            self.ceiling = None;
        }
    }

    /// Notes how things stand when a moment begins.
    fn enter(&mut self, now: Moment) {
        if self.before.at != now {
            self.before = Before { at: now, level: self.level, floor: self.floor };
        }
    }
}

#[cfg(test)]
mod tests;
