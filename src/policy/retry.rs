//! Retries: classify, back off, budget. The contract's table "Retries, redirects" lives here, in one place.

use std::time::Duration;

use super::breaker::Signal;
use crate::model::fetch_error::FetchError;

/// Refusals after which a URL ends as `skipped: rate_limited`.
pub const MAX_REFUSALS: u32 = 10;

/// Resolved settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// Further attempts after the first.
    pub retries: u32,
    /// A longer `Retry-After` ends the URL at once; None: any is waited for.
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
            max_retry_after: Some(Duration::from_secs(300)),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
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
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the job's end (or a redirect).
    Final,
    /// Try again after a backoff.
    Retry,
    /// 429, or 503 with `Retry-After`: the whole host is held for this time, then the job tries again. Without a
    /// field the wait is None: the caller backs off the host.
    Refused(Option<Duration>),
    /// A refusal too many, or too long: `skipped: rate_limited`.
    RateLimited,
}

/// Whether a status refuses: 429, or 503 with `Retry-After`.
#[must_use]
pub fn is_refusal(_status: Option<u16>, _has_retry_after: bool) -> bool {
    todo!()
}

/// The contract's rules, in one pure function.
#[must_use]
pub fn judge(_exchange: &Exchange<'_>, _settings: &RetrySettings) -> Verdict {
    todo!()
}

/// What an exchange tells the breaker.
#[must_use]
pub fn signal(_status: Option<u16>, _error: Option<&FetchError>, _retry_after: Option<Duration>) -> Signal {
    todo!()
}

/// Full jitter (exponential): a wait between 0 and min(cap, base × 2^(attempt−1)), by `random` in 0..1.
#[must_use]
pub fn backoff(_attempt: u32, _random: f64, _settings: &RetrySettings) -> Duration {
    todo!()
}

/// Reads `Retry-After`: seconds, or any of the three date forms of RFC 9110 5.6.7, against the server's own `date` if it
/// sent one, else against `now_unix` (seconds). A date in the past is zero; what cannot be read is None.
#[must_use]
pub fn parse_retry_after(_value: &str, _date: Option<&str>, _now_unix: u64) -> Option<Duration> {
    todo!()
}
