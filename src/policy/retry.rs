//! Retries: classify and back off. (How many a run may have in all is [`super::budget`]'s.)
//!
//! It decides what one exchange means for its job (done, again, refused) and for its host's breaker, so that both read
//! the same table. It never waits, holds or queues: the engine does. Sources: RFC 9110 9.2.2 (idempotent methods),
//! 10.2.3 (Retry-After), 5.6.7 (dates); RFC 6585 4 (429); full jitter after the AWS Architecture Blog, "Exponential
//! Backoff And Jitter" (2015).

use std::time::{Duration, SystemTime};

use super::breaker::Signal;
use crate::model::fetch_error::{ErrorKind, FetchError};

/// Refusals after which a URL ends as `skipped: rate_limited`.
pub const MAX_REFUSALS: u32 = 10;

/// Connections that died idle which a URL may meet without using up `--retries`.
pub const FREE_RETRIES: u32 = 1;

/// No host is held for longer: what is absurd, or a slip of the pen, is asked about once a day.
pub const LONGEST_HOLD: Duration = Duration::from_hours(24);

/// No `Retry-After` is read as longer: what a server writes must not overflow the run's clock.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(365 * 24);

/// Resolved settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// Further attempts after the first.
    pub retries: u32,
    /// Methods with effects too, whatever was sent.
    pub all_methods: bool,
    /// A longer `Retry-After` ends the URL at once, and those that wait for its host; None: any is waited for.
    pub max_retry_after: Option<Duration>,
    /// The upper bound of the first wait; each further one doubles it.
    pub base: Duration,
    /// No wait is longer.
    pub cap: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            retries: 2,
            all_methods: false,
            max_retry_after: Some(Duration::from_mins(5)),
            base: Duration::from_secs(1),
            cap: Duration::from_mins(1),
        }
    }
}

/// What one exchange came to, as far as retrying goes.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// Of the response head, if one came.
    pub status: Option<u16>,
    pub error: Option<&'a FetchError>,
    /// From [`parse_retry_after`]; None without a usable field.
    pub retry_after: Option<Duration>,
    /// The method of this request.
    pub method: &'a http::Method,
    /// Requests of the current hop so far, this one counted, refusals not.
    pub attempts: u32,
    /// Refusals of the URL so far, this one counted if it is one.
    pub refusals: u32,
    /// Requests of the URL that died with an idle connection so far, this one counted if it is one.
    pub idle_deaths: u32,
    /// The run has a retry left for it.
    pub in_budget: bool,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the job's end (or a redirect).
    Final,
    /// Try again after a backoff.
    Retry,
    /// Try again at once, for free: the connection died while it was idle, which is nobody's failure.
    Anew,
    /// 429, or 503 with `Retry-After`: the whole host is held for this time, then the job tries again. Without a
    /// field the wait is None: the caller backs off the host.
    Refused(Option<Duration>),
    /// A refusal too many, or too long: `skipped: rate_limited`.
    RateLimited,
}

/// Whether a status refuses: 429, or 503 with `Retry-After`.
#[must_use]
pub fn is_refusal(status: Option<u16>, has_retry_after: bool) -> bool {
    match status {
        Some(429) => true,
        Some(503) => has_retry_after,
        _ => false,
    }
}

/// Whether a request failed only because its connection had died while it was idle.
#[must_use]
pub fn is_idle_death(error: Option<&FetchError>) -> bool {
    error.is_some_and(|error| error.idle_death)
}

/// The contract's rules, in one pure function.
#[must_use]
pub fn judge(exchange: &Exchange<'_>, settings: &RetrySettings) -> Verdict {
    // A refusal may be repeated with any method: the server says that it has not acted on the request.
    if is_refusal(exchange.status, exchange.retry_after.is_some()) {
        let too_many = exchange.refusals >= MAX_REFUSALS;
        let too_long = match (exchange.retry_after, settings.max_retry_after) {
            (Some(wait), Some(max)) => wait > max,
            _ => false,
        };
        return if too_many || too_long { Verdict::RateLimited } else { Verdict::Refused(exchange.retry_after) };
    }
    let repeats = settings.all_methods || may_repeat(exchange);
    if repeats && is_idle_death(exchange.error) && exchange.idle_deaths <= FREE_RETRIES {
        return Verdict::Anew;
    }
    if exchange.attempts <= settings.retries && exchange.in_budget && may_mend(exchange) && repeats {
        Verdict::Retry
    } else {
        Verdict::Final
    }
}

/// Whether another attempt may come to something else.
fn may_mend(exchange: &Exchange<'_>) -> bool {
    match exchange.error {
        // We have cut it off, or are broken ourselves: neither says anything about the server.
        Some(error) if matches!(error.kind, ErrorKind::Interrupted | ErrorKind::Internal) => false,
        // A 500 whose body is also broken is still a 500.
        Some(error) => error.retryable || is_retried_status(exchange.status),
        None => is_retried_status(exchange.status),
    }
}

/// Whether a status is tried again. A 429 is not here: it is a refusal, whose host is held.
#[must_use]
pub fn is_retried_status(status: Option<u16>) -> bool {
    matches!(status, Some(408 | 425 | 500 | 502 | 503 | 504))
}

/// Whether repeating can do no harm, though the first request may have worked.
fn may_repeat(exchange: &Exchange<'_>) -> bool {
    is_repeatable(exchange.method.as_str()) || exchange.error.is_some_and(|error| !error.sent)
}

/// Whether a request with this method may be sent again when nobody knows what became of it. PUT and DELETE are
/// idempotent by RFC 9110, but the answer to the second differs (a DELETE that worked gives 404 then), so they count
/// with POST; so does any method we do not know.
#[must_use]
pub fn is_repeatable(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// What an exchange tells the breaker.
#[must_use]
pub fn signal(status: Option<u16>, error: Option<&FetchError>, retry_after: Option<Duration>) -> Signal {
    if is_refusal(status, retry_after.is_some()) {
        return Signal::Neutral;
    }
    let failed = error.is_some_and(|error| match error.kind {
        _ if error.ours || error.idle_death => false,
        ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Timeout => true,
        // Resets, before the head and within the body. A malformed answer will come again as it is: not retryable.
        ErrorKind::Protocol | ErrorKind::Body => error.retryable,
        _ => false,
    });
    match status {
        _ if failed => Signal::Failure,
        Some(502..=504) => Signal::Failure,
        Some(_) => Signal::Answer,
        // DNS and proxy failures are not the host's; limits and stops are ours.
        None => Signal::Neutral,
    }
}

/// Full jitter (exponential): a wait between 0 and min(cap, base × 2^(attempt−1)), by `random` in 0..1. `attempt` is
/// counted from 1.
#[must_use]
pub fn backoff(attempt: u32, random: f64, settings: &RetrySettings) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let upper = settings.base.saturating_mul(1 << doublings).min(settings.cap);
    let share = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
    Duration::try_from_secs_f64(upper.as_secs_f64() * share).map_or(upper, |wait| wait.min(upper))
}

/// Reads `Retry-After`: seconds, or any of the three date forms of RFC 9110 5.6.7, against the server's own `date` if it
/// sent one, else against `now_unix` (seconds). A date in the past is zero; what cannot be read is None. At most a year.
#[must_use]
pub fn parse_retry_after(value: &str, date: Option<&str>, now_unix: u64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds are still a number of seconds.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let until = unix_seconds(value)?;
    // The server's clock may be off by hours: only the distance between its own two dates is meant.
    let now = date.and_then(unix_seconds).unwrap_or(now_unix);
    Some(Duration::from_secs(until.saturating_sub(now)).min(LONGEST_RETRY_AFTER))
}

/// One of the three date forms, as seconds since 1970.
#[must_use]
pub fn unix_seconds(date: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(date.trim()).ok()?;
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests;
