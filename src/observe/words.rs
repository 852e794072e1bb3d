//! Numbers, sizes and times as people read them.

use std::time::Duration;

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `532 B`, `1.5 KiB`, `24.1 MiB`.
pub fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut size = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") }
}

/// `0.4 s`, `12 s`, `3 m 05 s`, `2 h 03 m`, `4 d 01 h`.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `0.25/s`, `8.3/s`, `1,204/s`.
pub fn rate(per_second: f64) -> String {
    if per_second >= 100.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is positive and far below 2^53"
        )]
        let whole = per_second.round() as u64;
        format!("{}/s", count(whole))
    } else if per_second >= 1.0 || per_second == 0.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{per_second:.2}/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([size(532), size(1536), size(25_270_681)], ["532 B", "1.5 KiB", "24.1 MiB"]);
        let seconds = |seconds| time(Duration::from_secs(seconds));
        assert_eq!([seconds(9), seconds(59), seconds(185), seconds(7380)], ["9.0 s", "59 s", "3 m 05 s", "2 h 03 m"]);
        assert_eq!(seconds(4 * 86_400 + 3600), "4 d 01 h");
        assert_eq!([rate(0.25), rate(8.31), rate(1204.4)], ["0.25/s", "8.3/s", "1,204/s"]);
    }
}
