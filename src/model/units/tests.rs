//! How people write times, sizes and rates, and how records show them.

use super::*;

#[test]
fn durations() {
    for (text, millis) in [
        ("200ms", 200),
        ("30s", 30_000),
        ("30", 30_000),
        ("0", 0),
        ("0ms", 0),
        ("1.5", 1500),
        ("0.25s", 250),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1.5h", 5_400_000),
        (" 10 s ", 10_000),
        ("007", 7000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in [
        "",
        " ",
        "s",
        "-1",
        "+1",
        ".5",
        "1.",
        "1.2.3",
        "1,5",
        "1e3",
        "5 min",
        "5M",
        "5S",
        "1w",
        "1m30s",
        "30ss",
        "NaN",
        "inf",
        "40000d",
        "99999999999999999999",
    ] {
        let error = parse_duration(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("'{text}' is not a duration")), "{error}");
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", 0),
        ("1", 1),
        ("1000", 1000),
        ("17b", 17),
        ("1k", 1024),
        ("1K", 1024),
        ("1KB", 1024),
        ("1KiB", 1024),
        ("512kib", 524_288),
        ("16MiB", 16_777_216),
        ("16m", 16_777_216),
        ("1G", 1_073_741_824),
        ("1.5GiB", 1_610_612_736),
        ("0.5k", 512),
        ("2 MB", 2_097_152),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for text in ["", "k", "-1", "1.5", "1.", ".5k", "1T", "1kk", "1e3", "0x10", "10000000G", "1 k b"] {
        let error = parse_size(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("'{text}' is not a size")), "{error}");
    }
}

#[test]
fn rates() {
    for (text, nanos) in [
        ("20/s", 50_000_000),
        ("1/s", 1_000_000_000),
        ("0.5/s", 2_000_000_000),
        ("30/m", 2_000_000_000),
        ("100/h", 36_000_000_000),
        ("500/d", 172_800_000_000),
        (" 20 / s ", 50_000_000),
        ("1000000000/s", 1),
    ] {
        assert_eq!(parse_rate(text), Ok(Rate { period: Duration::from_nanos(nanos) }), "{text}");
    }
    for text in [
        "",
        "20",
        "/s",
        "20/",
        "0/s",
        "0.0/m",
        "-1/s",
        "20/min",
        "20/S",
        "20k/s",
        "20/s/s",
        "100000000000/s",
        "0.0000001/d",
    ] {
        let error = parse_rate(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("'{text}' is not a rate")), "{error}");
    }
}

#[test]
fn milliseconds_have_three_decimals_at_most_and_one_at_least() {
    for (nanos, shown) in [
        (0, "0.0"),
        (499, "0.0"),
        (500, "0.001"),
        (123_000, "0.123"),
        (123_456, "0.123"),
        (123_500, "0.124"),
        (1_000_000, "1.0"),
        (12_000_000, "12.0"),
        (12_300_000, "12.3"),
        (999_999_999, "1000.0"),
        (30_000_000_000, "30000.0"),
        (86_400_000_000_000, "86400000.0"),
        (31_536_000_000_001_000, "31536000000.001"),
    ] {
        assert_eq!(serde_json::to_string(&Millis::from(Duration::from_nanos(nanos))).unwrap(), shown, "{nanos}");
    }
}

#[test]
fn wall_times_are_rfc_3339_with_milliseconds() {
    for (millis, shown) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_000_000_000_000, "2001-09-09T01:46:40.000Z"),
        (1_709_210_096_007, "2024-02-29T12:34:56.007Z"),
        (1_795_170_180_000, "2026-11-20T10:23:00.000Z"),
        // What no calendar holds is shown as the start of time, not as a panic in the middle of a run.
        (i64::MAX, "1970-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(WallTime(millis).to_string(), shown, "{millis}");
        assert_eq!(serde_json::to_string(&WallTime(millis)).unwrap(), format!("\"{shown}\""), "{millis}");
    }
    // In a temporary file it stays a number.
    let stored = postcard::to_allocvec(&WallTime(1_795_170_180_000)).unwrap();
    assert_eq!(postcard::from_bytes::<WallTime>(&stored).unwrap(), WallTime(1_795_170_180_000));
}

#[test]
fn moments_do_not_overflow() {
    let second = Moment::START.plus(Duration::from_secs(1));
    assert_eq!(second.as_nanos(), 1_000_000_000);
    assert_eq!(second.since(Moment::START), Duration::from_secs(1));
    assert_eq!(Moment::START.since(second), Duration::ZERO);
    assert_eq!(second.plus(Duration::MAX), Moment::NEVER);
    assert_eq!(Moment::NEVER.plus(Duration::from_nanos(1)), Moment::NEVER);
    assert!(second < Moment::NEVER);
}
