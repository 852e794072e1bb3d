//! The server's log, and what politeness is judged by.

use std::time::{Duration, Instant};

/// One request as a server saw it.
#[derive(Debug, Clone)]
pub struct Hit {
    pub method: String,
    /// As it was sent.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When its head began to arrive.
    pub arrived: Instant,
    /// When the last byte of the answer was handed to the system; None while it is under way.
    pub ended: Option<Instant>,
}

impl Hit {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Between the first and the last of these.
pub fn seconds(times: &[Instant]) -> f64 {
    match (times.iter().min(), times.iter().max()) {
        (Some(first), Some(last)) => (*last - *first).as_secs_f64(),
        _ => 0.0,
    }
}

/// How many starts a second there were, from the first to the last.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
pub fn starts_per_second(hits: &[Hit]) -> f64 {
    let times: Vec<_> = hits.iter().map(|hit| hit.arrived).collect();
    times.len().saturating_sub(1) as f64 / seconds(&times).max(1e-9)
}

/// The first window of a second or more that holds more than rate × T + 1 starts, as a sentence; None if all keep it.
/// What is measured is the arrival at the server, so 20 ms are allowed for the way there.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
pub fn rate_broken(hits: &[Hit], rate: f64) -> Option<String> {
    let mut times: Vec<_> = hits.iter().map(|hit| hit.arrived).collect();
    times.sort_unstable();
    for (first, start) in times.iter().enumerate() {
        for (last, end) in times.iter().enumerate().skip(first) {
            let window = ((*end - *start).as_secs_f64() + 0.020).max(1.0);
            let count = (last - first + 1) as f64;
            if count > rate * window + 1.0 {
                return Some(format!("{count} starts within {window:.3} s at a rate of {rate}/s"));
            }
        }
    }
    None
}

/// From the end of each request to the start of the next one, in order of arrival; zero where they overlap.
pub fn gaps(hits: &[Hit]) -> Vec<Duration> {
    let mut sorted: Vec<_> = hits.iter().collect();
    sorted.sort_by_key(|hit| hit.arrived);
    sorted
        .windows(2)
        .map(|pair| match pair[0].ended {
            Some(ended) => pair[1].arrived.saturating_duration_since(ended),
            None => Duration::ZERO,
        })
        .collect()
}

/// (when, +1 or −1) of every start and end, ends first where both fall together.
fn steps(hits: &[Hit]) -> Vec<(Instant, i32)> {
    let mut steps: Vec<_> =
        hits.iter().flat_map(|hit| [Some((hit.arrived, 1)), hit.ended.map(|ended| (ended, -1))]).flatten().collect();
    steps.sort_unstable();
    steps
}

/// The most requests that were under way at once.
pub fn most_in_flight(hits: &[Hit]) -> usize {
    let mut now = 0;
    let mut most = 0;
    for (_, step) in steps(hits) {
        now += step;
        most = most.max(now);
    }
    usize::try_from(most).unwrap()
}

/// The mean number of requests under way, without the time `trim` at the start and at the end.
pub fn mean_in_flight(hits: &[Hit], trim: Duration) -> f64 {
    let steps = steps(hits);
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return 0.0 };
    let (from, to) = (first.0 + trim, last.0.checked_sub(trim).unwrap());
    assert!(to > from, "the run was too short to be judged: {:?}", last.0 - first.0);
    let mut area = 0.0;
    let mut now = 0;
    let mut since = first.0;
    for (at, step) in steps {
        let (start, end) = (since.clamp(from, to), at.clamp(from, to));
        area += f64::from(now) * (end - start).as_secs_f64();
        now += step;
        since = at;
    }
    area / (to - from).as_secs_f64()
}
