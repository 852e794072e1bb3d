//! The dates of cookies, which are written in many ways: RFC 6265 5.1.1.

/// Unix seconds; None for what is no date.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = parse_time(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = leading_number(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = parse_month(token)
        {
            month = Some(found);
        } else if year.is_none() {
            year = leading_number(token, 2, 4);
        }
    }
    let ((hour, minute, second), day, month) = (time?, day?, month?);
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let is_valid = (1..=days_of(year, month)).contains(&day) && year >= 1601 && hour < 24 && minute < 60 && second < 60;
    is_valid.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn is_delimiter(c: char) -> bool {
    matches!(c, '\t' | ' '..='/' | ';'..='@' | '['..='`' | '{'..='~')
}

/// A number of so many digits at the start of a token; no digit may follow it.
fn leading_number(token: &str, least: usize, most: usize) -> Option<i64> {
    let digits = token.bytes().take_while(u8::is_ascii_digit).count();
    (least..=most).contains(&digits).then(|| token[..digits].parse().ok())?
}

fn parse_time(token: &str) -> Option<(i64, i64, i64)> {
    let mut parts = token.splitn(3, ':');
    let whole = |part: &str| leading_number(part, 1, 2).filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
    let (hour, minute) = (whole(parts.next()?)?, whole(parts.next()?)?);
    Some((hour, minute, leading_number(parts.next()?, 1, 2)?))
}

fn parse_month(token: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = token.get(..3)?.to_ascii_lowercase();
    (1..).zip(MONTHS).find(|(_, month)| *month == start).map(|(number, _)| number)
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of a day of the Gregorian calendar: years that begin in March have their leap day last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Five months from March on have 153 days.
    before_year + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_the_ways_of_servers() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("6 november 94 8:49:37", 784_111_777),
            ("Tue, 29 Feb 2028 23:59:59 GMT", 1_835_481_599),
            ("Fri, 31-Dec-9999 23:59:59 GMT", 253_402_300_799),
            ("Wed, 01-Jan-69 00:00:00", 3_124_224_000),
            ("Mon, 01 Jan 1601 00:00:00", -11_644_473_600),
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "30 Feb 2027 00:00:00",
            "1 Jan 1600 0:0:0",
            "1 Jan 2027 24:00:00",
            "1 Jan 2027",
            "1 Jän 27 1:1:1",
            "99 Jan 2027 1:1:1",
            "Jan 12345 1:1:1",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_calendar_of_400_years_has_no_gap() {
        let mut last = days_since_1970(1999, 12, 31);
        for year in 2000..2400 {
            for month in 1..=12 {
                for day in 1..=days_of(year, month) {
                    assert_eq!(days_since_1970(year, month, day), last + 1, "{year}-{month}-{day}");
                    last += 1;
                }
            }
        }
    }
}
