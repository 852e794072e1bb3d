//! From the text of a field to a value of its type.
//!
//! Decides how numbers, dates and words for yes and no are written; what cannot be read is no value. A JSON value is
//! taken as it is where its type fits. Pure text work, called by `fill`.
//!
//! Sources: RFC 3339, RFC 9110 5.6.7 and RFC 2822 (dates), CLDR (separators of numbers: `,`, `.`, `'` and spaces).

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::Pieces;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Number, Value};

use crate::model::url::Url;

/// What a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Text,
    Int {
        decimal: Option<char>,
    },
    Float {
        decimal: Option<char>,
    },
    Bool,
    /// Written as RFC 3339 has it: `2024-03-12`, or with time and offset if the page has them. `format` is strptime's.
    Date {
        format: Option<String>,
    },
    Url,
    Json,
}

impl Type {
    pub const NAMES: [&str; 7] = ["text", "int", "float", "bool", "date", "url", "json"];

    /// The value of a text, None if it is none of this type.
    pub fn of_text(&self, text: &str, base: &Url) -> Option<Value> {
        match self {
            Self::Text => Some(Value::from(text)),
            Self::Int { decimal } => int(text, *decimal).map(Value::from),
            Self::Float { decimal } => Number::from_f64(number(text, *decimal)?.parse().ok()?).map(Value::Number),
            Self::Bool => truth(text).map(Value::from),
            Self::Date { format } => date(text.trim(), format.as_deref()).map(Value::from),
            Self::Url => base.join(text.trim()).ok().map(|url| Value::from(String::from(url))),
            Self::Json => serde_json::from_str(text).ok(),
        }
    }

    /// The value of what stands in JSON.
    pub fn of_json(&self, value: &Value, base: &Url) -> Option<Value> {
        match (self, value) {
            (Self::Json, value) => Some(value.clone()),
            (_, Value::String(text)) => self.of_text(text, base),
            (Self::Text, Value::Number(number)) => Some(Value::from(number.to_string())),
            (Self::Text, Value::Bool(truth)) => Some(Value::from(truth.to_string())),
            (Self::Int { .. }, Value::Number(number)) => whole(number).map(Value::from),
            (Self::Float { .. }, Value::Number(number)) => Number::from_f64(number.as_f64()?).map(Value::Number),
            (Self::Bool, Value::Bool(truth)) => Some(Value::from(*truth)),
            (Self::Bool, Value::Number(number)) => truth(&number.to_string()).map(Value::from),
            // Seconds since 1970, as APIs have them.
            (Self::Date { .. }, Value::Number(number)) => {
                Some(Value::from(Timestamp::from_second(number.as_i64()?).ok()?.to_string()))
            }
            _ => None,
        }
    }
}

/// A JSON number that has no fraction: `3` and `3.0`.
fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        // Whole numbers beyond this are not exact in a double.
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is within 53 bits")]
        (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
    })
}

fn int(text: &str, decimal: Option<char>) -> Option<i64> {
    let number = number(text, decimal)?;
    match number.split_once('.') {
        None => number.parse().ok(),
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole.parse().ok(),
        // Three digits behind a point are no fraction of what is to be whole, but a group.
        Some((whole, fraction)) if decimal.is_none() && fraction.len() == 3 => {
            format!("{whole}{fraction}").parse().ok()
        }
        Some(_) => None,
    }
}

const CURRENCIES: &str = "$€£¥₹₽₩₺₴₫฿¢";

/// The first number of a text in the form `-1234.5`.
///
/// Which separator is the decimal one: `decimal` if it is given; of two kinds the last; one that stands there more than
/// once groups, and so does a single comma in front of exactly three digits (`1,299`). Spaces and apostrophes group.
fn number(text: &str, decimal: Option<char>) -> Option<String> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let run = run_of_number(&text[start..]);
    let (before, lead) = (text[..start].chars().next_back(), text[..start].trim_end_matches(['.', ',']));
    let has_point = decimal.map_or(before == Some('.'), |decimal| before == Some(decimal));
    // `-$5`, and `- 5` where nothing else stands in front.
    let priced = lead.trim_end_matches(|c: char| c.is_whitespace() || CURRENCIES.contains(c));
    let is_alone = matches!(priced.trim_start(), "-" | "\u{2212}");
    let beside = lead.trim_end_matches(|c: char| CURRENCIES.contains(c));
    let lead = if is_alone {
        priced
    } else if beside.ends_with(['-', '\u{2212}']) {
        beside
    } else {
        lead
    };
    let sign = lead.chars().next_back().filter(|c| matches!(c, '-' | '\u{2212}'));
    // A dash inside a word or a range (`A-4`, `3-4`) is no sign.
    let is_joined = sign.is_some_and(|sign| {
        lead[..lead.len() - sign.len_utf8()].chars().next_back().is_some_and(char::is_alphanumeric)
    });
    let point = decimal.or_else(|| decimal_of(run));
    if !is_grouped(run, point) {
        return None;
    }
    let mut out = String::new();
    if sign.is_some() && !is_joined {
        out.push('-');
    }
    if has_point && before.is_some() {
        out.push_str("0.");
    }
    for c in run.chars() {
        if c.is_ascii_digit() {
            out.push(c);
        } else if Some(c) == point {
            out.push('.');
        }
    }
    Some(out)
}

/// Digits with single separators between them: a space only in front of three digits.
fn run_of_number(text: &str) -> &str {
    let mut end = 0;
    let mut rest = text;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        end += digits;
        rest = &rest[digits..];
        let Some(separator) =
            rest.chars().next().filter(|c| matches!(c, ',' | '.' | '\'' | '\u{2019}' | ' ' | '\u{a0}' | '\u{202f}'))
        else {
            break;
        };
        let behind = &rest[separator.len_utf8()..];
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        let groups = !matches!(separator, ',' | '.');
        if digits == 0 || (groups && digits != 3) {
            break;
        }
        end += separator.len_utf8();
        rest = behind;
    }
    &text[..end]
}

fn decimal_of(run: &str) -> Option<char> {
    let last = run.rfind([',', '.'])?;
    let separator = if run[last..].starts_with(',') { ',' } else { '.' };
    let other = if separator == ',' { '.' } else { ',' };
    let (count, digits) = (run.matches(separator).count(), run.len() - last - 1);
    // No group begins with 0, and none in front of another has more than three digits.
    let may_group = !run.starts_with('0') && last <= 3;
    let groups = count > 1 || (separator == ',' && digits == 3 && may_group && !run.contains(other));
    (!groups).then_some(separator)
}

/// Whether what commas and points divide are groups: of three digits, in India of two above the last. An address or a date
/// is no number.
fn is_grouped(run: &str, point: Option<char>) -> bool {
    let whole = point.and_then(|point| run.split_once(point)).map_or(run, |(whole, _)| whole);
    let groups = whole.split([',', '.']).map(|group| group.bytes().filter(u8::is_ascii_digit).count());
    let groups = groups.collect::<Vec<_>>();
    let [_, middle @ .., last] = groups.as_slice() else { return true };
    *last == 3 && middle.iter().all(|count| matches!(count, 2 | 3))
}

/// A boolean attribute has no text, and is there.
fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// How people write dates.
const FORMATS: [&str; 12] = [
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d %B %Y",
    "%d %b %Y",
    "%d. %B %Y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%B %d %Y",
    "%Y%m%d",
    "%A, %d %B %Y",
    "%A, %B %d, %Y",
    "%d-%b-%Y",
];

/// Dates without a year, or with two digits for it, are none.
pub fn date(text: &str, format: Option<&str>) -> Option<String> {
    if let Some(format) = format {
        return with_format(format, text);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        // Its own offset is kept: it says more than the moment. (RFC 3339 has no years before 0.)
        let offset = Pieces::parse(text).ok()?.to_numeric_offset().filter(|_| !offset_is_utc(text));
        let zoned = moment.to_zoned(offset.map_or(TimeZone::UTC, TimeZone::fixed));
        return Some(text_of(&zoned)).filter(|_| zoned.year() >= 0);
    }
    if let Some(at) = text.parse::<DateTime>().ok().filter(|at| at.year() >= 0) {
        return Some(if text.len() > 10 { at.to_string() } else { at.date().to_string() });
    }
    if let Ok(zoned) = rfc2822::parse(text) {
        return Some(text_of(&zoned));
    }
    FORMATS.iter().find_map(|format| with_format(format, text))
}

fn offset_is_utc(text: &str) -> bool {
    text.ends_with(['Z', 'z'])
}

fn with_format(format: &str, text: &str) -> Option<String> {
    let parsed = strtime::parse(format, text).ok()?;
    if let Ok(zoned) = parsed.to_zoned() {
        return Some(text_of(&zoned));
    }
    if parsed.hour().is_some() {
        return parsed.to_datetime().ok().map(|at| at.to_string());
    }
    parsed.to_date().ok().map(|date: Date| date.to_string())
}

fn text_of(zoned: &Zoned) -> String {
    if zoned.offset().is_zero() {
        zoned.timestamp().to_string()
    } else {
        format!("{}{}", zoned.datetime(), zoned.strftime("%:z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://shop.test/a/b").unwrap()
    }

    #[test]
    fn numbers_are_read_as_they_are_written_in_different_countries() {
        let float = Type::Float { decimal: None };
        for (text, expected) in [
            ("1,234.50 USD", 1234.5),
            ("€ 1.234,50", 1234.5),
            ("1 299,00 kr", 1299.0),
            ("1\u{202f}299,90 €", 1299.9),
            ("CHF 1'299.00", 1299.0),
            ("12,5", 12.5),
            ("12.5", 12.5),
            ("1,299", 1299.0),
            ("1.299", 1.299),
            ("1.234.567", 1_234_567.0),
            ("-3.5 °C", -3.5),
            ("\u{2212}3", -3.0),
            ("A-4", 4.0),
            ("-$5.00", -5.0),
            ("\u{2212}€3,50", -3.5),
            ("- 5,00 €", -5.0),
            ("Socks - $5", 5.0),
            ("0,125 kg", 0.125),
            ("0,999", 0.999),
            ("1234,567", 1234.567),
            ("12,34,567", 1_234_567.0),
            (".5", 0.5),
            ("$.99", 0.99),
            ("now 20 or 30", 20.0),
            ("5.", 5.0),
            ("3 for 2", 3.0),
        ] {
            assert_eq!(float.of_text(text, &base()), Some(Value::from(expected)), "{text}");
        }
        for text in ["sold out", "192.168.0.1", "12.03.2024"] {
            assert_eq!(float.of_text(text, &base()), None, "{text}");
        }
        let comma = Type::Float { decimal: Some(',') };
        assert_eq!(comma.of_text("1.299 €", &base()), Some(Value::from(1299.0)));
        let int = Type::Int { decimal: None };
        for (text, expected) in
            [("1,234 pieces", Some(1234)), ("1.234", Some(1234)), ("12.0", Some(12)), ("12.7", None), ("", None)]
        {
            assert_eq!(int.of_text(text, &base()), expected.map(Value::from), "{text}");
        }
        assert_eq!(int.of_json(&Value::from(3.0), &base()), Some(Value::from(3)));
        assert_eq!(int.of_json(&Value::from(3.5), &base()), None);
    }

    #[test]
    fn dates_come_out_as_rfc_3339() {
        for (text, expected) in [
            ("2024-03-12", Some("2024-03-12")),
            ("2024-03-12T10:00:00Z", Some("2024-03-12T10:00:00Z")),
            ("2024-03-12T10:00:00+02:00", Some("2024-03-12T10:00:00+02:00")),
            ("2024-03-12 10:00", Some("2024-03-12T10:00:00")),
            ("2024-03-12T10:00:00.123+0200", Some("2024-03-12T10:00:00.123+02:00")),
            ("2024-03-12T10:00+01:00", Some("2024-03-12T10:00:00+01:00")),
            ("2024-03-12T10:00:00+02:00[Europe/Berlin]", Some("2024-03-12T10:00:00+02:00")),
            ("2024-03-12 10:00:00-00:30", Some("2024-03-12T10:00:00-00:30")),
            ("-000044-03-15", None),
            ("Tue, 12 Mar 2024 10:00:00 GMT", Some("2024-03-12T10:00:00Z")),
            ("Tue, 12 Mar 2024 10:00:00 +0200", Some("2024-03-12T10:00:00+02:00")),
            ("12.03.2024", Some("2024-03-12")),
            ("12 March 2024", Some("2024-03-12")),
            ("March 12, 2024", Some("2024-03-12")),
            ("2024/03/12", Some("2024-03-12")),
            ("30 February 2024", None),
            ("yesterday", None),
        ] {
            assert_eq!(date(text, None).as_deref(), expected, "{text}");
        }
        assert_eq!(date("03/12/2024", Some("%m/%d/%Y")).as_deref(), Some("2024-03-12"));
        assert_eq!(date("2024-03-12", Some("%m/%d/%Y")), None);
    }

    #[test]
    fn words_urls_and_json() {
        assert_eq!(Type::Bool.of_text(" Yes ", &base()), Some(Value::from(true)));
        assert_eq!(Type::Bool.of_text("off", &base()), Some(Value::from(false)));
        assert_eq!(Type::Bool.of_text("perhaps", &base()), None);
        assert_eq!(Type::Url.of_text("../c?x", &base()), Some(Value::from("https://shop.test/c?x")));
        assert_eq!(Type::Json.of_text("{\"a\":1}", &base()), Some(serde_json::json!({"a": 1})));
        assert_eq!(Type::Json.of_text("{a}", &base()), None);
        assert_eq!(Type::Text.of_json(&Value::from(5), &base()), Some(Value::from("5")));
    }
}
