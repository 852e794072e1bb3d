//! Which final statuses are `ok`: the list of `--accept`.
//!
//! It decides `ok` against `http_error`, nothing else: whether a status is retried or followed does not depend on it.

use std::fmt;
use std::str::FromStr;

/// A set of HTTP statuses, written as `200..299,304,404`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatusSet {
    /// Inclusive, ascending, neither overlapping nor touching.
    ranges: Box<[(u16, u16)]>,
}

/// Why a list of statuses cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusSetError {
    #[error("no status in the list (such as 200..299,304)")]
    Empty,
    #[error("an empty part in '{0}' (between two commas, or at an end)")]
    EmptyPart(String),
    #[error("'{0}' is not a status or a range of statuses (such as 304 or 200..299)")]
    Syntax(String),
    #[error("'{0}' is outside 100..999")]
    OutOfBounds(String),
    #[error("the range '{0}' ends before it starts")]
    Reversed(String),
}

impl StatusSet {
    /// Reads single statuses and inclusive ranges `a..b`, separated by commas; white space around a part is ignored, order
    /// and repeats do not matter.
    ///
    /// # Errors
    /// Names the part that cannot be read. An empty list is an error: nothing could be `ok`.
    pub fn parse(text: &str) -> Result<Self, StatusSetError> {
        if text.trim().is_empty() {
            return Err(StatusSetError::Empty);
        }
        let mut ranges = Vec::new();
        for part in text.split(',').map(str::trim) {
            if part.is_empty() {
                return Err(StatusSetError::EmptyPart(text.to_owned()));
            }
            ranges.push(parse_part(part)?);
        }
        Ok(Self { ranges: merge(ranges) })
    }

    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&status))
    }
}

fn parse_part(part: &str) -> Result<(u16, u16), StatusSetError> {
    let status = |number: &str| {
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(StatusSetError::Syntax(part.to_owned()));
        }
        // RFC 9110 15: a status is three digits. Those above 599 are not valid, but servers send them.
        match number.parse::<u16>() {
            Ok(status @ 100..=999) if number.len() == 3 => Ok(status),
            _ => Err(StatusSetError::OutOfBounds(number.to_owned())),
        }
    };
    let (first, last) = match part.split_once("..") {
        Some((first, last)) => (status(first.trim_end())?, status(last.trim_start())?),
        None => (status(part)?, status(part)?),
    };
    if first > last { Err(StatusSetError::Reversed(part.to_owned())) } else { Ok((first, last)) }
}

fn merge(mut ranges: Vec<(u16, u16)>) -> Box<[(u16, u16)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into_boxed_slice()
}

impl Default for StatusSet {
    /// `200..299,304`.
    fn default() -> Self {
        Self { ranges: Box::new([(200, 299), (304, 304)]) }
    }
}

impl FromStr for StatusSet {
    type Err = StatusSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, &(first, last)) in self.ranges.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}..{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_shown_in_order() {
        for (text, shown) in [
            ("200..299,304,404", "200..299,304,404"),
            ("404, 304 ,200 .. 299", "200..299,304,404"),
            ("200", "200"),
            ("200..200", "200"),
            ("200,201,202", "200..202"),
            ("200..250,240..299,210", "200..299"),
            ("100..999", "100..999"),
        ] {
            let set = StatusSet::parse(text).unwrap();
            assert_eq!(set.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(set), "{text}");
        }
    }

    #[test]
    fn bounds_belong_to_a_range() {
        let set = StatusSet::parse("200..299,404").unwrap();
        for (status, contained) in [(199, false), (200, true), (299, true), (300, false), (403, false), (404, true)] {
            assert_eq!(set.contains(status), contained, "{status}");
        }
    }

    #[test]
    fn the_default_is_what_the_help_says() {
        assert_eq!(StatusSet::default(), StatusSet::parse("200..299,304").unwrap());
    }

    #[test]
    fn errors_name_the_part() {
        for (text, error) in [
            ("", "no status in the list (such as 200..299,304)"),
            (" ", "no status in the list (such as 200..299,304)"),
            ("200,,304", "an empty part in '200,,304' (between two commas, or at an end)"),
            ("200,", "an empty part in '200,' (between two commas, or at an end)"),
            ("200,2xx", "'2xx' is not a status or a range of statuses (such as 304 or 200..299)"),
            ("200-299", "'200-299' is not a status or a range of statuses (such as 304 or 200..299)"),
            ("200...299", "'200...299' is not a status or a range of statuses (such as 304 or 200..299)"),
            ("200..", "'200..' is not a status or a range of statuses (such as 304 or 200..299)"),
            ("+200", "'+200' is not a status or a range of statuses (such as 304 or 200..299)"),
            ("99", "'99' is outside 100..999"),
            ("200..1000", "'1000' is outside 100..999"),
            ("0200", "'0200' is outside 100..999"),
            ("99999999999", "'99999999999' is outside 100..999"),
            ("299..200", "the range '299..200' ends before it starts"),
        ] {
            assert_eq!(StatusSet::parse(text).unwrap_err().to_string(), error, "{text}");
        }
    }
}
