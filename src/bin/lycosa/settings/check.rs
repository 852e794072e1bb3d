//! Reads the text of one value, and says what is wrong with it and what was probably meant.

use std::time::Duration;

use lycosa::engine::settings::HedgeAfter;
use lycosa::model::units::{Rate, UnitError, parse_duration, parse_rate, parse_size};
use lycosa::policy::accept::StatusSet;

use super::bad::nearest_word;
pub use super::bad::{Bad, near};
use super::{Kind, network};
use crate::exit::FailOn;

/// Whether a text is a value of this kind; of a list: one entry.
pub fn check(kind: Kind, text: &str) -> Result<(), Bad> {
    match kind {
        Kind::Switch => switch(text).map(drop),
        Kind::Count => whole(text, 0, 2, false).map(drop),
        Kind::Whole { least, most, none } => whole(text, least, most, none).map(drop),
        Kind::Duration => duration(text).map(drop),
        Kind::Size { least } => size_from(text, least).map(drop),
        Kind::Rate => rate(text).map(drop),
        Kind::Word(words) => word(text, words).map(drop),
        Kind::Words(words) => text.split(',').try_for_each(|part| word(part.trim(), words).map(drop)),
        Kind::Statuses => statuses(text).map(drop),
        Kind::FailOn => fail_on(text).map(drop),
        Kind::HedgeAfter => hedge_after(text).map(drop),
        Kind::Dns => network::dns(text).map(drop),
        Kind::Networks => network::network(text).map(drop),
        Kind::Patience => patience(text).map(drop),
        Kind::Patterns => pattern(text).map(drop),
        Kind::Text | Kind::Texts => Ok(()),
    }
}

pub fn switch(text: &str) -> Result<bool, Bad> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => {
            let meant = match text.to_lowercase().as_str() {
                "yes" | "on" | "y" | "t" => Some("true"),
                "no" | "off" | "n" | "f" | "none" => Some("false"),
                other => near(other, ["true", "false"]),
            };
            Err(Bad::new(format!("'{text}' is neither true nor false")).meaning(meant))
        }
    }
}

/// A whole number, or None for `none`.
pub fn whole(text: &str, least: u32, most: u32, none: bool) -> Result<Option<u32>, Bad> {
    if none && text == "none" {
        return Ok(None);
    }
    // Underscores may stand between digits in TOML.
    match text.trim().replace('_', "").parse::<u32>() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => {
            let range = if most == u32::MAX { format!("from {least}") } else { format!("from {least} to {most}") };
            let or_none = if none { " or none" } else { "" };
            let bad = Bad::new(format!("'{text}' is not a whole number {range}{or_none}"));
            let close = none.then(|| nearest_word(text, "none")).flatten();
            Err(bad.meaning(close))
        }
    }
}

/// A duration; None for `none` and 0.
pub fn duration(text: &str) -> Result<Option<Duration>, Bad> {
    if text == "none" {
        return Ok(None);
    }
    match parse_duration(text) {
        Ok(duration) => Ok(Some(duration).filter(|duration| !duration.is_zero())),
        Err(error) => {
            if let Some(joined) = joined(text).filter(|joined| parse_duration(joined).is_ok()) {
                return Err(Bad::new(error.to_string()).meaning(Some(joined)));
            }
            let unit = |unit: &str| {
                Some(match unit {
                    "MS" | "Ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
                    "S" | "sec" | "secs" | "second" | "seconds" => "s",
                    "M" | "min" | "mins" | "minute" | "minutes" => "m",
                    "H" | "hr" | "hrs" | "hour" | "hours" => "h",
                    "D" | "day" | "days" => "d",
                    _ => return None,
                })
            };
            Err(unit_error(&error, text, unit, |meant| parse_duration(meant).is_ok()))
        }
    }
}

/// A size in bytes; None for `none` and 0.
pub fn size(text: &str) -> Result<Option<u64>, Bad> {
    if text == "none" {
        return Ok(None);
    }
    match parse_size(text) {
        Ok(size) => Ok(Some(size).filter(|size| *size != 0)),
        Err(error) => {
            let unit = |unit: &str| match unit.to_lowercase().trim_end_matches(['s', '.']) {
                "k" | "kb" | "kib" | "ki" | "kbyte" | "kilobyte" => Some("KiB"),
                "m" | "mb" | "mib" | "mi" | "mbyte" | "megabyte" => Some("MiB"),
                "g" | "gb" | "gib" | "gi" | "gbyte" | "gigabyte" => Some("GiB"),
                "b" | "byte" => Some(""),
                _ => None,
            };
            Err(unit_error(&error, text, unit, |meant| parse_size(meant).is_ok()))
        }
    }
}

/// The same, at least so many bytes.
pub fn size_from(text: &str, least: u64) -> Result<Option<u64>, Bad> {
    match size(text)? {
        Some(size) if size < least => Err(Bad::new(format!(
            "{text} is less than lycosa can do with: at least {}MiB, or none for no limit",
            least >> 20
        ))),
        size => Ok(size),
    }
}

/// A rate; None for `none`.
pub fn rate(text: &str) -> Result<Option<Rate>, Bad> {
    if text == "none" {
        return Ok(None);
    }
    parse_rate(text).map(Some).map_err(|error| {
        if text == "0" || text.starts_with("0/") {
            return Bad::new(error.to_string()).meaning(Some("none"));
        }
        let unit = |unit: &str| {
            Some(match unit.to_lowercase().trim_start_matches(['/', ' ']).trim_start_matches("per ") {
                "" | "s" | "sec" | "secs" | "second" | "seconds" | "rps" | "ps" | "r/s" | "req/s" => "/s",
                "m" | "min" | "mins" | "minute" | "minutes" | "rpm" | "pm" | "r/m" | "req/m" => "/m",
                "h" | "hr" | "hour" | "hours" | "rph" | "ph" | "r/h" | "req/h" => "/h",
                "d" | "day" | "days" | "rpd" | "pd" | "r/d" | "req/d" => "/d",
                _ => return None,
            })
        };
        unit_error(&error, text, unit, |meant| parse_rate(meant).is_ok())
    })
}

/// The error of the library with what was probably meant: the same number in a unit that is known. What could not be
/// read itself, or says something else than was typed, is not offered.
fn unit_error(
    error: &UnitError,
    text: &str,
    unit: fn(&str) -> Option<&'static str>,
    reads: impl Fn(&str) -> bool,
) -> Bad {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let meant = unit(rest.trim()).map(|unit| format!("{number}{unit}")).filter(|meant| meant != text && reads(meant));
    let meant = meant.or_else(|| nearest_word(text, "none").map(str::to_owned));
    Bad::new(error.to_string()).meaning(meant)
}

/// `1m30s` in one number, of its last unit: `90s`.
fn joined(text: &str) -> Option<String> {
    let mut rest = text.trim();
    let (mut total, mut last) = (Duration::ZERO, "");
    while !rest.is_empty() {
        let start = rest.find(|c: char| !c.is_ascii_digit())?;
        let end = rest[start..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| start + at);
        total = total.checked_add(parse_duration(&rest[..end]).ok()?)?;
        last = rest[start..end].trim();
        rest = &rest[end..];
    }
    let unit = parse_duration(&format!("1{last}")).ok()?;
    Some(format!("{}{last}", total.as_millis() / unit.as_millis()))
}

pub fn word(text: &str, words: &'static [&'static str]) -> Result<&'static str, Bad> {
    words.iter().copied().find(|word| *word == text).ok_or_else(|| {
        Bad::new(format!("'{text}' is not one of {}", words.join(", "))).meaning(near(text, words.iter().copied()))
    })
}

pub fn statuses(text: &str) -> Result<StatusSet, Bad> {
    StatusSet::parse(text).map_err(|error| {
        // Ranges as most tools write them: 200-299, 2xx.
        let range = |part: &str| {
            let part = part.trim().to_lowercase();
            match part.strip_suffix("xx") {
                Some(class) => format!("{class}00..{class}99"),
                None => part.replacen('-', "..", 1),
            }
        };
        let meant = text.split(',').map(range).collect::<Vec<_>>().join(",");
        Bad::new(error.to_string()).meaning(Some(meant).filter(|meant| StatusSet::parse(meant).is_ok()))
    })
}

pub fn fail_on(text: &str) -> Result<FailOn, Bad> {
    FailOn::parse(text).ok_or_else(|| {
        Bad::new(format!("'{text}' is not never, seeds, any, a count (such as 10) or a share (such as 5%)"))
            .meaning(near(text, ["never", "seeds", "any"]))
    })
}

pub fn hedge_after(text: &str) -> Result<HedgeAfter, Bad> {
    if text == "p95" {
        return Ok(HedgeAfter::P95);
    }
    let time = duration(text).map_err(|bad| {
        let meant = bad.hint.is_none().then(|| near(text, ["p95", "none"])).flatten();
        let hint = bad.hint.clone();
        let bad = Bad::new(format!("'{text}' is not p95, none or a duration (such as 200ms or 2s)")).meaning(meant);
        Bad { hint: hint.or(bad.hint), ..bad }
    })?;
    Ok(time.map_or(HedgeAfter::Never, HedgeAfter::Time))
}

/// How long something is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    Probes(u32),
    Time(Duration),
    Endless,
}

/// A bare number is of probes, so a time needs its unit.
pub fn patience(text: &str) -> Result<Patience, Bad> {
    if text == "none" {
        return Ok(Patience::Endless);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        let probes = whole(text, 1, 1_000_000, false).map_err(|_| {
            Bad::new(format!("'{text}' is not a number of probes from 1, a duration (such as 10m) or none"))
        })?;
        return Ok(probes.map_or(Patience::Endless, Patience::Probes));
    }
    Ok(duration(text)?.map_or(Patience::Endless, Patience::Time))
}

pub fn pattern(text: &str) -> Result<regex::Regex, Bad> {
    regex::Regex::new(text).map_err(|error| {
        // The library draws the place over several lines; its last line is the reason.
        let drawn = error.to_string();
        let reason = drawn.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Bad::new(format!("'{text}' is not a regular expression: {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(result: Result<impl std::fmt::Debug, Bad>) -> String {
        result.expect_err("a bad value").hint.unwrap_or_default()
    }

    #[test]
    fn limits_are_switched_off_by_none_and_times_and_sizes_by_zero() {
        assert_eq!(duration("none"), Ok(None));
        assert_eq!(duration("0"), Ok(None));
        assert_eq!(duration("1.5"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(size("0"), Ok(None));
        assert_eq!(size("1k"), Ok(Some(1024)));
        assert_eq!(size_from("16MiB", 16 << 20), Ok(Some(16 << 20)));
        assert_eq!((size_from("none", 16 << 20), size_from("0", 16 << 20)), (Ok(None), Ok(None)));
        let told = size_from("1k", 16 << 20).unwrap_err().message;
        assert_eq!(told, "1k is less than lycosa can do with: at least 16MiB, or none for no limit");
        assert_eq!(rate("none"), Ok(None));
        assert!(rate("0/s").is_err());
        assert_eq!(whole("none", 0, 9, true), Ok(None));
        assert!(whole("none", 0, 9, false).is_err());
        assert!(whole("10", 0, 9, true).is_err());
        assert_eq!(whole("1_000", 0, 2000, true), Ok(Some(1000)));
    }

    #[test]
    fn patience_is_of_probes_or_of_time() {
        assert_eq!(patience("3"), Ok(Patience::Probes(3)));
        assert_eq!(patience("90s"), Ok(Patience::Time(Duration::from_secs(90))));
        assert_eq!(patience("1.5h"), Ok(Patience::Time(Duration::from_mins(90))));
        assert_eq!(patience("none"), Ok(Patience::Endless));
        for bad in ["0", "", "three", "3 probes", "-1"] {
            assert!(patience(bad).is_err(), "{bad}");
        }
        assert_eq!(hint(patience("5min")), "did you mean '5m'?");
    }

    #[test]
    fn a_bad_value_gets_the_spelling_that_was_meant() {
        assert_eq!(hint(duration("5sec")), "did you mean '5s'?");
        assert_eq!(hint(duration("10min")), "did you mean '10m'?");
        assert_eq!(hint(duration("1m30s")), "did you mean '90s'?");
        assert_eq!(hint(duration("1h 30m")), "did you mean '90m'?");
        assert_eq!(hint(duration("non")), "did you mean 'none'?");
        assert_eq!(hint(rate("20")), "did you mean '20/s'?");
        assert_eq!(hint(rate("20/min")), "did you mean '20/m'?");
        assert_eq!(hint(rate("20rps")), "did you mean '20/s'?");
        assert_eq!(hint(rate("0/s")), "did you mean 'none'?");
        assert_eq!(hint(size("5MiBs")), "did you mean '5MiB'?");
        assert_eq!(hint(word("obye", &["obey", "ignore"])), "did you mean 'obey'?");
        assert_eq!(hint(switch("yes")), "did you mean 'true'?");
        assert_eq!(hint(fail_on("seed")), "did you mean 'seeds'?");
        assert_eq!(hint(statuses("200-299,304")), "did you mean '200..299,304'?");
        assert_eq!(hint(statuses("2xx")), "did you mean '200..299'?");
    }

    #[test]
    fn what_is_meant_can_be_read() {
        for bad in ["5sec", "10min", "3hours", "1days", "7msec"] {
            let hint = hint(duration(bad));
            let meant = hint.split('\'').nth(1).unwrap();
            assert!(duration(meant).is_ok(), "{bad}: {meant}");
        }
        for bad in ["20", "20rps", "3/min", "1/day", "5 per hour"] {
            let hint = hint(rate(bad));
            let meant = hint.split('\'').nth(1).unwrap();
            assert!(rate(meant).is_ok(), "{bad}: {meant}");
        }
    }

    #[test]
    fn what_is_no_near_miss_gets_no_hint() {
        for bad in ["soon", "2weeks", "100us", "99999999d", "-1", "1.2.3s", "s", "99999d99999d"] {
            assert_eq!(hint(duration(bad)), "", "{bad}");
        }
        for bad in ["99999999999999999999/s", "1e9/s", "often", "-1/s", "20/week", "s"] {
            assert_eq!(hint(rate(bad)), "", "{bad}");
        }
        for bad in ["99999999999G", "2 stone", "-5", "big"] {
            assert_eq!(hint(size(bad)), "", "{bad}");
        }
        for bad in ["299-200", "20x", "ok", ""] {
            assert_eq!(hint(statuses(bad)), "", "{bad}");
        }
        assert_eq!(hint(word("zzzz", &["obey", "ignore"])), "");
    }

    #[test]
    fn the_wait_for_a_mirror_is_a_time_or_a_percentile() {
        assert_eq!(hedge_after("250ms"), Ok(HedgeAfter::Time(Duration::from_millis(250))));
        assert_eq!(hedge_after("p95"), Ok(HedgeAfter::P95));
        assert_eq!([hedge_after("none"), hedge_after("0")], [Ok(HedgeAfter::Never), Ok(HedgeAfter::Never)]);
        assert_eq!(hint(hedge_after("P95")), "did you mean 'p95'?");
        assert_eq!(hint(hedge_after("5sec")), "did you mean '5s'?");
    }

    #[test]
    fn a_bad_pattern_says_why_in_one_line() {
        let bad = pattern("a(b").expect_err("unclosed");
        assert!(bad.message.contains("unclosed group") && !bad.message.contains('\n'), "{}", bad.message);
    }
}
