//! What a server says about how much more it will take: the `RateLimit` fields and their older and common kin.
//!
//! It reads header fields into a [`Quota`] and decides nothing: [`super::allowance`] does. What cannot be read is as if it
//! was not there. Sources: draft-ietf-httpapi-ratelimit-headers, version 10 (`RateLimit: "default";r=50;t=30` and
//! `RateLimit-Policy: "default";q=100;w=60`), version 7 (`RateLimit: limit=100, remaining=50, reset=30`), version 6
//! (`RateLimit-Limit`, `-Remaining`, `-Reset`); by custom `X-RateLimit-…` and `X-Rate-Limit-…`, whose reset is in some
//! places a number of seconds and in others a time since 1970, in seconds or milliseconds, and `…-Reset-After`.

use std::time::Duration;

use super::retry::unix_seconds;

/// No window is read as longer than this: what a server writes must not overflow the run's clock.
const LONGEST_WINDOW: Duration = Duration::from_hours(31 * 24);

/// From this number of seconds on a reset is a time since 1970 (it is one of 2001), from the second in milliseconds.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLIS: f64 = 1e12;

/// What is left of one allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests of a whole window, if that is stated.
    pub limit: Option<u64>,
    /// Requests that are left of it.
    pub remaining: u64,
    /// Time until there are more.
    pub reset: Duration,
}

impl Quota {
    /// Which of two leaves the longer time for each request: it is the one to keep to.
    fn stricter(self, other: Self) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "compared, not counted")]
        let spacing = |quota: &Self| (quota.remaining == 0, quota.reset.as_secs_f64() / quota.remaining.max(1) as f64);
        if spacing(&other) > spacing(&self) { other } else { self }
    }
}

/// What the fields of one family say, as far as it has been read.
#[derive(Debug, Default)]
struct Parts {
    limit: Option<f64>,
    remaining: Option<f64>,
    reset: Option<Duration>,
    window: Option<Duration>,
}

impl Parts {
    fn quota(&self) -> Option<Quota> {
        // Without a time a count says nothing about when; the length of the window is the most that it can be.
        let reset = self.reset.or(self.window)?.min(LONGEST_WINDOW);
        Some(Quota { limit: self.limit.map(whole), remaining: whole(self.remaining?), reset })
    }
}

/// The strictest quota that these fields state; None if they state none. Names in lower case. `now_unix` in seconds is
/// the time by the server's own `Date` if it sent one.
pub fn read<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, now_unix: u64) -> Option<Quota> {
    let (mut draft, mut custom) = (Parts::default(), Parts::default());
    let mut items = Vec::new();
    let mut policies = Vec::new();
    for (name, value) in fields {
        match name {
            "ratelimit" => items.extend(split(value, ',').map(Item::read)),
            "ratelimit-policy" => policies.extend(split(value, ',').map(Item::read)),
            _ => {
                if let Some(name) = name.strip_prefix("ratelimit-") {
                    draft.note(name, value, now_unix);
                } else if let Some(name) =
                    name.strip_prefix("x-ratelimit-").or_else(|| name.strip_prefix("x-rate-limit-"))
                {
                    custom.note(name, value, now_unix);
                }
            }
        }
    }
    // The policy of the older forms has no name: its window is that of the counts beside it.
    draft.window = policies.iter().find_map(|policy| policy.seconds("w")).or(draft.window);
    let flat = Parts {
        limit: items.iter().find_map(|item| item.own("limit")),
        remaining: items.iter().find_map(|item| item.own("remaining")),
        reset: items.iter().find_map(|item| item.own("reset")).and_then(seconds),
        window: draft.window,
    };
    let named = items.iter().filter_map(|item| item.quota(&policies));
    let found = named.chain([flat, draft, custom].into_iter().filter_map(|parts| parts.quota()));
    found.reduce(Quota::stricter)
}

/// Whether a field may be one of these, so that others need not be read at all. `name` in lower case.
#[must_use]
pub fn is_rate_field(name: &str) -> bool {
    name.starts_with("ratelimit") || name.starts_with("x-ratelimit-") || name.starts_with("x-rate-limit-")
}

impl Parts {
    fn note(&mut self, name: &str, value: &str, now_unix: u64) {
        match name {
            // `100, 100;w=60`: the first number is the limit in force, parameters tell of the window.
            "limit" => {
                self.limit = split(value, ',').next().and_then(|first| number(first.split(';').next()?));
                self.window = split(value, ',').find_map(|part| Item::read(part).seconds("w")).or(self.window);
            }
            "remaining" => self.remaining = number(value.split([',', ';']).next().unwrap_or_default()),
            "reset-after" => self.reset = number(value).and_then(seconds).or(self.reset),
            "reset" => self.reset = reset(value, now_unix).or(self.reset),
            _ => {}
        }
    }
}

/// A reset: seconds to go, a time since 1970, or a date.
fn reset(value: &str, now_unix: u64) -> Option<Duration> {
    let now = Duration::from_secs(now_unix);
    match number(value) {
        Some(millis) if millis >= EPOCH_MILLIS => Some(seconds(millis / 1000.0)?.saturating_sub(now)),
        Some(since_1970) if since_1970 >= EPOCH_SECONDS => Some(seconds(since_1970)?.saturating_sub(now)),
        Some(to_go) => seconds(to_go),
        None => Some(Duration::from_secs(unix_seconds(value)?).saturating_sub(now)),
    }
}

/// One member of a list, as the drafts have it: `"name";r=50;t=30` or `limit=100`.
struct Item<'a> {
    own: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Item<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = split(text, ';');
        let own = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| part.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
        Self { own, parameters: parameters.collect() }
    }

    /// The value of `name=value`, where that is the member itself.
    fn own(&self, name: &str) -> Option<f64> {
        let (key, value) = self.own.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| number(value))?
    }

    fn parameter(&self, name: &str) -> Option<f64> {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| number(value))
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        self.parameter(name).and_then(seconds)
    }

    /// Of `"name";r=50;t=30`, with the policy of the same name.
    fn quota(&self, policies: &[Self]) -> Option<Quota> {
        let policy = policies.iter().find(|policy| policy.own == self.own);
        Parts {
            limit: policy.and_then(|policy| policy.parameter("q")),
            remaining: self.parameter("r"),
            reset: self.seconds("t"),
            window: policy.and_then(|policy| policy.seconds("w")),
        }
        .quota()
    }
}

fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    text.split(at).map(str::trim).filter(|part| !part.is_empty())
}

/// A number from 0 on; some servers write `598.0`. No signs, exponents or words.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().trim_matches('"');
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (plain && text.len() <= 24).then(|| text.parse().ok())?
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

/// Rounded down: half a request is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; a cast saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-20T12:00:00Z.
    const NOW: u64 = 1_795_176_000;

    #[expect(clippy::unnecessary_wraps, reason = "compared with what may be None")]
    fn quota(limit: Option<u64>, remaining: u64, reset: u64) -> Option<Quota> {
        Some(Quota { limit, remaining, reset: Duration::from_secs(reset) })
    }

    fn of(fields: &[(&str, &str)]) -> Option<Quota> {
        read(fields.iter().copied(), NOW)
    }

    #[test]
    fn the_draft_in_its_versions() {
        for (fields, expected) in [
            (vec![("ratelimit", r#""default";r=50;t=30"#)], quota(None, 50, 30)),
            (
                vec![("ratelimit-policy", r#""default";q=100;w=60"#), ("ratelimit", r#""default";r=50;t=30"#)],
                quota(Some(100), 50, 30),
            ),
            // Without t the window is the most it can be.
            (
                vec![("ratelimit", r#""b"; r=0"#), ("ratelimit-policy", r#""a";q=9;w=1, "b"; q=100; w=60"#)],
                quota(Some(100), 0, 60),
            ),
            // Of several the one that leaves the longest time for each request.
            (vec![("ratelimit", r#""burst";r=99;t=60, "daily";r=10;t=3600"#)], quota(None, 10, 3600)),
            (vec![("ratelimit", r#""burst";r=0;t=5"#), ("ratelimit", r#""daily";r=10;t=3600"#)], quota(None, 0, 5)),
            (vec![("ratelimit", "limit=100, remaining=50, reset=5")], quota(Some(100), 50, 5)),
            (vec![("ratelimit", "remaining=0"), ("ratelimit-policy", "100;w=10")], quota(None, 0, 10)),
            (
                vec![("ratelimit-limit", "100"), ("ratelimit-remaining", "7"), ("ratelimit-reset", "12")],
                quota(Some(100), 7, 12),
            ),
            (vec![("ratelimit-limit", "10, 10;w=1, 50;w=60"), ("ratelimit-remaining", "9")], quota(Some(10), 9, 1)),
        ] {
            assert_eq!(of(&fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn customs() {
        let in_30 = (NOW + 30).to_string();
        let in_30_millis = ((NOW + 30) * 1000).to_string();
        for (reset, expected) in [
            ("30", 30),
            ("30.0", 30),
            (&in_30, 30),
            (&in_30_millis, 30),
            ("Fri, 20 Nov 2026 12:00:30 GMT", 30),
            ("0", 0),
            ("1000000001", 0),
            ("999999999", 31 * 24 * 3600),
        ] {
            for prefix in ["x-ratelimit", "x-rate-limit"] {
                let (limit, remaining, name) =
                    (format!("{prefix}-limit"), format!("{prefix}-remaining"), format!("{prefix}-reset"));
                let fields = [(limit.as_str(), "60"), (remaining.as_str(), "3.0"), (name.as_str(), reset)];
                assert_eq!(of(&fields), quota(Some(60), 3, expected), "{prefix}-reset: {reset}");
            }
        }
        let after = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "junk"), ("x-ratelimit-reset-after", "2.5")];
        assert_eq!(of(&after), Some(Quota { limit: None, remaining: 0, reset: Duration::from_millis(2500) }));
    }

    #[test]
    fn what_cannot_be_read_is_not_there() {
        for fields in [
            vec![],
            vec![("x-ratelimit-remaining", "0")],
            vec![("x-ratelimit-reset", "30"), ("x-ratelimit-limit", "60")],
            vec![("x-ratelimit-remaining", "-1"), ("x-ratelimit-reset", "30")],
            vec![("x-ratelimit-remaining", "many"), ("x-ratelimit-reset", "30")],
            vec![("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "-30")],
            vec![("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "1e3")],
            vec![("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "")],
            vec![("ratelimit", "\"default\"")],
            vec![("ratelimit", ";;;,,,===")],
            vec![("x-ratelimit-used", "5"), ("x-ratelimit-resource", "core")],
        ] {
            assert_eq!(of(&fields), None, "{fields:?}");
        }
    }

    #[test]
    fn names_are_told_apart_at_a_glance() {
        for name in ["ratelimit", "ratelimit-policy", "ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-limit"] {
            assert!(is_rate_field(name), "{name}");
        }
        assert!(!["rate", "retry-after", "x-rate", "date"].into_iter().any(is_rate_field));
    }

    proptest! {
        #[test]
        fn no_field_panics(
            fields in proptest::collection::vec(
                (
                    prop::sample::select(vec![
                        "ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset",
                        "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-reset-after",
                    ]),
                    prop_oneof![".{0,30}", "[0-9.]{0,30}", "(\"[a-z]\")?(;[rtqw]=[0-9.]{0,25}){0,3}"],
                ),
                0..6,
            ),
            now in any::<u64>(),
        ) {
            let quota = read(fields.iter().map(|(name, value)| (*name, value.as_str())), now);
            prop_assert!(quota.is_none_or(|quota| quota.reset <= LONGEST_WINDOW));
        }
    }
}
