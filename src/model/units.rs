//! Times, sizes and rates, and how people write them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

/// A point in a run, counted from its start by the run's one clock. Pure code gets it as an argument, so that every
/// rule about time can be tested without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    /// The start of the run; also "always allowed" where a moment is a lower bound.
    pub const START: Self = Self(0);
    /// Later than any run lasts.
    pub const NEVER: Self = Self(u64::MAX);

    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment and a time later; never past [`Moment::NEVER`].
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since 1970 in UTC. Serialised as RFC 3339 with three decimals: `2026-11-20T10:23:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub i64);

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{time:.3}")
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A temporary store wants the number back, a person wants the date.
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

/// A duration in milliseconds as records show it: rounded to 0.001, always with a decimal point.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Deserialize)]
#[serde(transparent)]
pub struct Millis(f64);

impl Millis {
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl From<Duration> for Millis {
    fn from(time: Duration) -> Self {
        // Microseconds are exact in an f64 for 285 years.
        #[expect(clippy::cast_precision_loss, reason = "a run lasts less than 2^53 microseconds")]
        let micros = ((time.as_nanos() + 500) / 1000) as f64;
        Self(micros / 1000.0)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

/// A number that cannot be read as a duration, a size or a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

const DURATION: &str = "a duration (such as 200ms, 30s, 5m, 2h, 1d; a bare number is seconds)";
const SIZE: &str = "a size (such as 512k, 16MiB, 1G; a bare number is bytes)";
const RATE: &str = "a rate (such as 20/s, 30/m, 100/h, 500/d)";

/// Splits `1.5GiB` into 1.5 and `GiB`.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    // "1.", ".5" and "1.2.3" are typing errors, not numbers.
    if number.is_empty() || number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Reads `200ms 30s 5m 2h 1d`; a bare number is seconds.
///
/// # Errors
/// Names the text and the spellings that are known.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError { text: text.to_owned(), expected: DURATION };
    let (number, unit) = number_and_unit(text).ok_or_else(error)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86400.0,
        _ => return Err(error()),
    };
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| error())?;
    // A hundred years is a typing error, and would overflow the run's clock.
    if duration > Duration::from_hours(100 * 366 * 24) { Err(error()) } else { Ok(duration) }
}

/// Reads a size: `k M G`, `KiB MiB GiB` (any case, `K`, `KB` too) are all 1024-based, a bare number is bytes.
///
/// # Errors
/// Names the text and the spellings that are known.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError { text: text.to_owned(), expected: SIZE };
    let (number, unit) = number_and_unit(text).ok_or_else(error)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(error()),
    };
    let bytes = number * factor;
    // 2^53: beyond it a float skips whole numbers, and no body is that long.
    if !(0.0..9e15).contains(&bytes) || (unit.is_empty() && bytes.fract() != 0.0) {
        return Err(error());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in 0..2^53 above")]
    Ok(bytes as u64)
}

/// Starts of requests per time: evenly spaced, no burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The time between two starts.
    pub period: Duration,
}

/// Reads `20/s`, `30/m`, `100/h`, `500/d`. The unit is needed: a bare number has been read as "per second" and as
/// "seconds between" by different tools.
///
/// # Errors
/// Names the text and the spellings that are known. A rate of 0 is an error: `none` switches a rate off.
pub fn parse_rate(text: &str) -> Result<Rate, UnitError> {
    let error = || UnitError { text: text.to_owned(), expected: RATE };
    let (number, unit) = text.trim().split_once('/').ok_or_else(error)?;
    let (number, rest) = number_and_unit(number).ok_or_else(error)?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(error()),
    };
    if !rest.is_empty() || number <= 0.0 {
        return Err(error());
    }
    let period = Duration::try_from_secs_f64(seconds / number).map_err(|_| error())?;
    if period.is_zero() || period > Duration::from_hours(366 * 24) { Err(error()) } else { Ok(Rate { period }) }
}

#[cfg(test)]
mod tests;
