//! The closing words of the demonstration: what was seen at each host, and whether it was as scripted.
//!
//! Decides from two witnesses, the logs of the hosts themselves and the summary of the run. Pure; called once, when the
//! run has ended. Counts and least gaps are checked, never how long something took.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lycosa::engine::settings::EngineSettings;
use lycosa::engine::stats::{HostSummary, StoppedBy, Summary};
use lycosa::model::record::SkipReason;

use super::script::{self, BURST, CRAWL_DELAY, PRIVATE, PRIVATE_PAGES, REST, SLOWNESS};
use super::site::{Seen, Site};
use super::{Role, label};

/// What there is to tell.
#[derive(Debug, Default)]
pub struct Story {
    /// Lines, each with its `\n`.
    pub text: String,
    /// What was not as scripted, one line each; empty: everything was.
    pub failures: Vec<String>,
}

/// Compares what the hosts and the run have seen with the script.
pub fn tell(site: &Site, settings: &EngineSettings, summary: &Summary) -> Story {
    let mut story = Story::default();
    story.text.push_str("what was seen, host by host:\n");
    for role in Role::ALL {
        let address = site.address(role);
        let log = site.log(role);
        let key = address.to_string();
        let told = if let Some(host) = summary.hosts.iter().find(|host| *host.host_key == *key) {
            let mut scene = Scene { role, log: &log, host, settings, failures: &mut story.failures };
            scene.check_records();
            scene.tell()
        } else {
            story.failures.push(format!("{}: was never asked", role.name()));
            "never asked".to_owned()
        };
        story.line(role, address, &told);
    }
    story.close(summary);
    story
}

impl Story {
    fn line(&mut self, role: Role, address: SocketAddr, text: &str) {
        let _ = writeln!(self.text, "  {} {text}", label(role, address));
    }

    /// What holds for the run as a whole, and the verdict.
    fn close(&mut self, summary: &Summary) {
        let urls: u64 = Role::ALL.iter().map(|role| count(script::paths(*role).len())).sum();
        if summary.stopped_by != StoppedBy::Done {
            self.failures.push(format!("the crawl did not come to its end ({})", summary.stopped_by.as_str()));
        }
        if summary.records != urls || summary.left != 0 {
            let (records, left) = (summary.records, summary.left);
            self.failures.push(format!("{records} records for {urls} URLs, {left} left"));
        }
        let skips: Vec<String> = summary
            .skips
            .iter()
            .map(|(reason, number)| match reason {
                SkipReason::Robots => format!("{number} that robots.txt disallows"),
                SkipReason::BreakerOpen => format!("{number} of a host that was given up"),
                other => format!("{number} ({})", other.as_str()),
            })
            .collect();
        let skipped = if skips.is_empty() { "none".to_owned() } else { skips.join(", ") };
        let _ = writeln!(
            self.text,
            "URLs: {urls} on {} hosts, {} records; not asked: {skipped}",
            Role::ALL.len(),
            summary.records
        );
        if self.failures.is_empty() {
            let _ = writeln!(self.text, "every host ended as scripted, after {:.1} s", summary.elapsed.as_secs_f64());
        }
    }
}

/// One host: what it saw, and what the run says of it.
struct Scene<'a> {
    role: Role,
    log: &'a [Seen],
    host: &'a HostSummary,
    settings: &'a EngineSettings,
    failures: &'a mut Vec<String>,
}

impl Scene<'_> {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(format!("{}: {}", self.role.name(), what()));
        }
    }

    /// Every URL of the host has one record, and where nothing was to be lost all are `ok`.
    fn check_records(&mut self) {
        let HostSummary { ok, http_error, failed, skipped, .. } = *self.host;
        let urls = count(script::paths(self.role).len());
        let records = ok + http_error + failed + skipped;
        self.expect(records == urls, || format!("{records} records for {urls} URLs"));
        let expected = match self.role {
            Role::Dead => 1,
            Role::Flaky => urls - 1,
            Role::Robots => urls - count(PRIVATE_PAGES),
            _ => urls,
        };
        self.expect(ok == expected, || format!("{ok} pages came, {expected} were expected"));
    }

    fn tell(&mut self) -> String {
        match self.role {
            Role::Healthy => self.healthy(),
            Role::Slow => self.slow(),
            Role::Limited => self.limited(),
            Role::Flaky => self.flaky(),
            Role::Recovering => self.recovering(),
            Role::Dead => self.dead(),
            Role::Robots => self.robots(),
        }
    }

    fn healthy(&mut self) -> String {
        let (pages, requests) = (self.host.ok, count(self.pages().count()));
        self.expect(requests == pages, || format!("{requests} requests for {pages} pages"));
        let last = self.pages().map(|(_, seen)| seen.at).max().unwrap_or_default();
        format!(
            "{pages} pages, each asked once although linked many times; the last after {}, whatever the other hosts did",
            seconds(last)
        )
    }

    fn slow(&mut self) -> String {
        let fastest = self.log.iter().filter_map(time).min().unwrap_or_default();
        self.expect(fastest >= SLOWNESS, || format!("a page came after {fastest:?}"));
        let last = self.log.iter().filter_map(end).max().unwrap_or_default();
        format!("{} pages, each after {SLOWNESS:?} or more; the last after {}", self.host.ok, seconds(last))
    }

    fn limited(&mut self) -> String {
        let refusals = self.log.iter().filter(|seen| status(seen) == Some(429)).count();
        let waits = waits_after_refusals(self.log);
        let pages = script::paths(self.role).len();
        let rests = (pages - 1) / BURST as usize;
        let least = waits.iter().min().copied().unwrap_or_default();
        self.expect(waits.len() == rests, || format!("it rested {} times, not {rests}", waits.len()));
        self.expect(least >= REST, || format!("asked again {} after a refusal", seconds(least)));
        // Those in flight when the first refusal comes are refused with it.
        let most = rests * self.settings.host_concurrency as usize;
        self.expect(refusals <= most, || format!("{refusals} refusals, at most {most} were expected"));
        let told = self.host.refusals;
        self.expect(told == count(refusals), || format!("{refusals} refusals, and the run counts {told}"));
        format!(
            "{} pages; {refusals} requests refused (429) in {rests} rests, Retry-After as seconds, then as a date; \
             asked again after {}",
            self.host.ok,
            list(&waits)
        )
    }

    fn flaky(&mut self) -> String {
        let bad: Vec<String> = self
            .pages()
            .filter(|(_, seen)| status(seen) != Some(200))
            .map(|(_, seen)| status(seen).map_or("dropped".to_owned(), |status| status.to_string()))
            .collect();
        let (failures, expected) = (bad.len(), script::flaky_pages());
        self.expect(failures == expected, || format!("{failures} requests failed, {expected} were scripted"));
        let HostSummary { ok, failed, opened, .. } = *self.host;
        self.expect(failed == 1, || format!("{failed} pages failed for good, one was scripted"));
        self.expect(opened == 0, || format!("its breaker opened {opened} times"));
        format!(
            "{ok} pages; {failures} requests failed ({}) and were repeated; {failed} page could not be read (not the \
             gzip it claims to be), which no repeating mends",
            bad.join(", ")
        )
    }

    fn recovering(&mut self) -> String {
        let HostSummary { opened, probes, closed, given_up, .. } = *self.host;
        self.expect(opened >= 1, || "its breaker never opened".to_owned());
        self.expect(probes >= 1, || "it was never probed".to_owned());
        self.expect(closed >= 1 && closed == opened && !given_up, || {
            format!("its breaker opened {opened} times and closed {closed} times")
        });
        let death = self.death();
        format!(
            "died after its first page: breaker opened after {}, probed {} (after {}), closed {}; then its \
             other {} pages came",
            plural(death.before_probes, "failed request"),
            times(probes),
            list(&death.probe_gaps),
            times(closed),
            self.host.ok.saturating_sub(1),
        )
    }

    fn dead(&mut self) -> String {
        let HostSummary { opened, probes, closed, given_up, failed, skipped, .. } = *self.host;
        let wanted = self.settings.breaker.probes;
        self.expect(opened >= 1, || "its breaker never opened".to_owned());
        self.expect(given_up && closed == 0, || "it was not given up".to_owned());
        self.expect(probes >= wanted, || format!("probed {probes} times, not {wanted}"));
        self.expect(skipped >= 1, || "no URL was skipped for its breaker".to_owned());
        let death = self.death();
        let asked = self.log.iter().filter(|seen| seen.answered.is_none()).count();
        // The places that were taken when it opened, beside the one whose failure opened it.
        let most = (self.settings.breaker.failures + self.settings.host_concurrency - 1 + probes) as usize;
        self.expect(asked <= most, || format!("asked {asked} times after its death, at most {most} were expected"));
        let early = death.probe_gaps.iter().skip(1).find(|gap| **gap < self.settings.breaker.cooldown);
        self.expect(early.is_none(), || {
            format!("probed again after {}", early.copied().map(seconds).unwrap_or_default())
        });
        format!(
            "died after its first page: breaker opened after {}, probed {} (after {}), given up; of {} links {failed} \
             failed, {skipped} skipped (breaker_open), with {} in all",
            plural(death.before_probes, "failed request"),
            times(probes),
            list(&death.probe_gaps),
            failed + skipped,
            plural(asked, "connection"),
        )
    }

    fn robots(&mut self) -> String {
        let trespass = self.pages().filter(|(path, _)| path.starts_with(PRIVATE)).count();
        self.expect(trespass == 0, || format!("{trespass} requests below {PRIVATE}"));
        let skipped = self.host.skipped;
        self.expect(skipped == count(PRIVATE_PAGES), || format!("{skipped} URLs skipped, not {PRIVATE_PAGES}"));
        let gap = least_gap(self.log);
        self.expect(gap.is_some_and(|gap| gap >= CRAWL_DELAY), || {
            format!("asked {} after an answer", gap.map(seconds).unwrap_or_default())
        });
        format!(
            "{} pages; least gap from an answer to the next request {}, for a Crawl-delay of {}; {skipped} links below \
             {PRIVATE} skipped (robots), none of them asked",
            self.host.ok,
            gap.map(seconds).unwrap_or_default(),
            seconds(CRAWL_DELAY),
        )
    }

    /// Requests for pages, with their paths.
    fn pages(&self) -> impl Iterator<Item = (&str, &Seen)> {
        self.log
            .iter()
            .filter_map(|seen| Some((seen.path.as_deref()?, seen)))
            .filter(|(path, _)| *path != "/robots.txt")
    }

    fn death(&self) -> Death {
        death(self.log, self.settings.breaker.cooldown)
    }
}

/// What a host saw after its death.
#[derive(Debug, Default, PartialEq, Eq)]
struct Death {
    before_probes: usize,
    /// From each failed or closing probe back to what came before it.
    probe_gaps: Vec<Duration>,
}

/// Tells probes by the silence before them: the breaker keeps a cooldown of it, retries come in a bunch. Half of it is
/// enough, since requests that were under way when the breaker opened may come a little later than that.
fn death(log: &[Seen], cooldown: Duration) -> Death {
    let mut death = Death::default();
    let Some(first) = log.iter().position(|seen| seen.answered.is_none()) else { return death };
    death.before_probes = 1;
    for pair in log[first..].windows(2) {
        let gap = pair[1].at.saturating_sub(pair[0].at);
        if gap >= cooldown / 2 {
            death.probe_gaps.push(gap);
        } else if death.probe_gaps.is_empty() {
            death.before_probes += 1;
        }
        if pair[1].answered.is_some() {
            break;
        }
    }
    death
}

/// From the last refusal of each bunch to the next request that was no longer refused.
fn waits_after_refusals(log: &[Seen]) -> Vec<Duration> {
    log.windows(2)
        .filter(|pair| status(&pair[0]) == Some(429) && status(&pair[1]) != Some(429))
        .filter_map(|pair| Some(pair[1].at.saturating_sub(end(&pair[0])?)))
        .collect()
}

/// The least time from an answer to the next request; zero if two were there at once. None without two requests.
fn least_gap(log: &[Seen]) -> Option<Duration> {
    log.windows(2).map(|pair| end(&pair[0]).map_or(Duration::ZERO, |end| pair[1].at.saturating_sub(end))).min()
}

fn status(seen: &Seen) -> Option<u16> {
    seen.answered.map(|(_, status)| status)
}

fn end(seen: &Seen) -> Option<Duration> {
    seen.answered.map(|(at, _)| at)
}

fn time(seen: &Seen) -> Option<Duration> {
    Some(end(seen)?.saturating_sub(seen.at))
}

fn count(number: usize) -> u64 {
    number as u64
}

fn seconds(time: Duration) -> String {
    // Cut off, not rounded: 0.2999 s must not be shown as the 0.300 s it falls short of.
    let millis = time.as_millis();
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

fn list(times: &[Duration]) -> String {
    times.iter().copied().map(seconds).collect::<Vec<_>>().join(", ")
}

fn times(number: u32) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}

fn plural(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: u64, answered: Option<(u64, u16)>) -> Seen {
        let at = Duration::from_millis(at);
        let answered = answered.map(|(at, status)| (Duration::from_millis(at), status));
        Seen { path: Some("/".to_owned()), at, answered }
    }

    fn millis(times: &[u64]) -> Vec<Duration> {
        times.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn the_gap_is_from_an_answer_to_the_next_request() {
        let log = [seen(0, Some((100, 200))), seen(500, Some((600, 200))), seen(1000, Some((1000, 200)))];
        assert_eq!(least_gap(&log), Some(Duration::from_millis(400)));
        assert_eq!(least_gap(&[seen(0, Some((100, 200))), seen(50, None)]), Some(Duration::ZERO));
        assert_eq!(least_gap(&log[..1]), None);
    }

    #[test]
    fn a_wait_is_counted_from_the_last_refusal_of_a_bunch() {
        let log = [
            seen(0, Some((0, 200))),
            seen(1, Some((1, 429))),
            seen(9, Some((10, 429))),
            seen(1010, Some((1010, 200))),
            seen(1011, Some((1020, 429))),
            seen(1030, None),
        ];
        assert_eq!(waits_after_refusals(&log), millis(&[1000, 10]));
    }

    #[test]
    fn probes_are_told_by_the_silence_before_them() {
        let mut log = vec![seen(0, Some((0, 200)))];
        log.extend([1, 2, 3, 4, 5, 6].map(|at| seen(at, None)));
        log.extend([seen(1004, None), seen(2010, Some((2010, 200))), seen(2011, Some((2012, 200)))]);
        let expected = Death { before_probes: 6, probe_gaps: millis(&[998, 1006]) };
        assert_eq!(death(&log, Duration::from_secs(1)), expected);
        assert_eq!(death(&log[..1], Duration::from_secs(1)), Death::default());
    }

    #[test]
    fn times_are_never_shown_longer_than_they_were() {
        assert_eq!(seconds(Duration::from_micros(299_999)), "0.299 s");
        assert_eq!(list(&millis(&[1002, 2000])), "1.002 s, 2.000 s");
    }
}
