//! What each host of the demonstration does with a connection and a request.
//!
//! Decides pages, statuses, refusals and deaths, from what has come before and from the time it is given. Knows no
//! socket and no clock. The turns of the scripts go by counts and by silence, never by a date, so that a slow machine
//! sees the same story. Called by `site`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::Role;

/// How late the slow host is.
pub const SLOWNESS: Duration = Duration::from_millis(300);
/// Pages that the rate-limited host serves before it refuses.
pub const BURST: u32 = 6;
/// What the rate-limited host asks for. Whole seconds, as `Retry-After` has it.
pub const REST: Duration = Duration::from_secs(1);
pub const CRAWL_DELAY: Duration = Duration::from_millis(300);
/// Where robots.txt lets nobody in.
pub const PRIVATE: &str = "/private/";
pub const PRIVATE_PAGES: usize = 3;
/// Links on the page that a dying host still serves.
pub const DYING_LINKS: usize = 12;

/// A page of the flaky host that can never be read: it claims a coding that it does not have.
pub const BROKEN: &str = "/broken";

const TOPICS: usize = 3;
const PAGES_OF_TOPIC: usize = 12;

/// The recovering host has turned away this many, and then was left alone for [`SILENCE`]: whoever comes next is a
/// probe. It is still turned away, the one after it is served.
const TURNED_AWAY: u32 = 5;
const SILENCE: Duration = Duration::from_millis(500);

/// What a host does with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    Answer(Answer),
    /// Closes the connection without an answer.
    Drop,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// It is sent so much later.
    pub after: Duration,
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// Whether a mortal host is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Alive,
    Dead,
    /// Recovered; it does not die again.
    Back,
}

/// One host on stage.
#[derive(Debug)]
pub struct Script {
    role: Role,
    /// Start pages, in the order of [`Role::ALL`].
    homes: Vec<String>,
    life: Life,
    turned_away: u32,
    last_turned_away: Duration,
    /// Pages served since the last rest, rests begun, and the end of the last one.
    burst: u32,
    rests: u32,
    rests_until: Duration,
    /// Pages that have failed once.
    failed: HashSet<String>,
    news: Option<String>,
}

impl Script {
    /// `addresses` of all hosts, in the order of [`Role::ALL`].
    pub fn new(role: Role, addresses: &[SocketAddr]) -> Self {
        Self {
            role,
            homes: addresses.iter().map(|address| format!("http://{address}/")).collect(),
            life: Life::Alive,
            turned_away: 0,
            last_turned_away: Duration::ZERO,
            burst: 0,
            rests: 0,
            rests_until: Duration::ZERO,
            failed: HashSet::new(),
            news: None,
        }
    }

    /// Something a spectator should hear of, once.
    pub fn take_news(&mut self) -> Option<String> {
        self.news.take()
    }

    /// Whether a connection that comes at `now` is taken. One that is not is reset.
    pub fn takes_connection(&mut self, now: Duration) -> bool {
        if self.life != Life::Dead {
            return true;
        }
        let silence = now.saturating_sub(self.last_turned_away);
        if self.role == Role::Recovering && self.turned_away >= TURNED_AWAY && silence >= SILENCE {
            self.life = Life::Back;
            self.news = Some("turns away a probe for the last time, and is back".to_owned());
        }
        self.turned_away += 1;
        self.last_turned_away = now;
        false
    }

    /// What becomes of a request for `path` at `now`; `wall` is the time of day, for dates.
    pub fn act(&mut self, path: &str, now: Duration, wall: SystemTime) -> Act {
        if self.life == Life::Dead {
            return Act::Drop;
        }
        if self.role == Role::Limited
            && let Some(refusal) = self.refuse(path, now, wall)
        {
            return Act::Answer(refusal);
        }
        if path == "/robots.txt" {
            return Act::Answer(self.paced(Answer { body: robots_txt(self.role), ..plain(200) }));
        }
        let Some(links) = self.links(path) else {
            return Act::Answer(Answer { body: "none".to_owned(), ..plain(404) });
        };
        if self.role == Role::Flaky
            && let Some(number) = page_number(path)
            && number.is_multiple_of(3)
            && self.failed.insert(path.to_owned())
        {
            return fail(number / 3);
        }
        let mut answer = self.paced(Answer { body: page(self.role, path, &links), ..html() });
        if self.role == Role::Flaky && path == BROKEN {
            answer.headers.push(("content-encoding", "gzip".to_owned()));
        }
        if matches!(self.role, Role::Recovering | Role::Dead) && self.life == Life::Alive {
            self.life = Life::Dead;
            self.news = Some(format!("has served a page with {DYING_LINKS} links, and dies"));
            // The connection must end after this page, not with it: a reset would take the page away with it.
            answer.headers.push(("connection", "close".to_owned()));
        }
        Act::Answer(answer)
    }

    fn paced(&self, answer: Answer) -> Answer {
        Answer { after: if self.role == Role::Slow { SLOWNESS } else { Duration::ZERO }, ..answer }
    }

    /// The refusal of the rate-limited host, if it rests or has served enough. Its first rest gives `Retry-After` in
    /// seconds, the second as a date, and so on.
    fn refuse(&mut self, path: &str, now: Duration, wall: SystemTime) -> Option<Answer> {
        if now >= self.rests_until {
            if path == "/robots.txt" {
                return None;
            }
            if self.burst < BURST {
                self.burst += 1;
                return None;
            }
            self.burst = 0;
            self.rests += 1;
            self.rests_until = now + REST;
            self.news = Some(format!("refuses with 429, Retry-After of {REST:?}"));
        }
        let retry_after =
            if self.rests % 2 == 1 { REST.as_secs().to_string() } else { httpdate::fmt_http_date(wall + REST) };
        let headers = vec![("date", httpdate::fmt_http_date(wall)), ("retry-after", retry_after)];
        Some(Answer { body: "later".to_owned(), headers, ..plain(429) })
    }

    /// The links of a page; None if there is no such page.
    fn links(&self, path: &str) -> Option<Vec<String>> {
        if !paths(self.role).iter().any(|known| known == path) {
            return None;
        }
        let home = self.homes.first().cloned().unwrap_or_default();
        let mut links = match (self.role, path) {
            (Role::Healthy, "/") => (1..=TOPICS).map(|topic| format!("/topic-{topic}/")).collect(),
            (Role::Healthy, path) if path.ends_with('/') => {
                (1..=PAGES_OF_TOPIC).map(|page| format!("{path}page-{page}")).collect()
            }
            (_, "/") => paths(self.role).into_iter().filter(|path| path != "/").collect(),
            _ => vec!["/".to_owned(), home],
        };
        if path == "/" {
            let all = self.role == Role::Healthy;
            // The start page lists every host; each other one leads on to its neighbour.
            let others =
                Role::ALL.into_iter().zip(&self.homes).skip_while(|(role, _)| !all && *role != self.role).skip(1);
            links.extend(others.take(if all { Role::ALL.len() } else { 1 }).map(|(_, home)| home.clone()));
        }
        Some(links)
    }
}

/// The paths that a crawl finds at a host: all its pages, also those that are never served.
pub fn paths(role: Role) -> Vec<String> {
    let mut paths = vec!["/".to_owned()];
    let mut add = |directory: &str, pages: usize| {
        paths.extend((1..=pages).map(|page| format!("{directory}page-{page}")));
    };
    match role {
        Role::Healthy => {
            for topic in 1..=TOPICS {
                add(&format!("/topic-{topic}/"), PAGES_OF_TOPIC);
            }
            paths.extend((1..=TOPICS).map(|topic| format!("/topic-{topic}/")));
        }
        Role::Slow => add("/", 8),
        Role::Limited => add("/", 12),
        Role::Flaky => {
            add("/", 12);
            paths.push(BROKEN.to_owned());
        }
        Role::Recovering | Role::Dead => add("/", DYING_LINKS),
        Role::Robots => {
            add("/", 6);
            add(PRIVATE, PRIVATE_PAGES);
        }
    }
    paths
}

/// Pages of the flaky host that fail once.
pub fn flaky_pages() -> usize {
    paths(Role::Flaky).iter().filter_map(|path| page_number(path)).filter(|number| number.is_multiple_of(3)).count()
}

fn page_number(path: &str) -> Option<u32> {
    path.strip_prefix("/page-")?.parse().ok()
}

/// The failures take turns.
fn fail(turn: u32) -> Act {
    let status = match turn % 3 {
        1 => 500,
        2 => 503,
        _ => return Act::Drop,
    };
    Act::Answer(Answer { body: "not now".to_owned(), ..plain(status) })
}

fn robots_txt(role: Role) -> String {
    match role {
        Role::Robots => {
            format!("User-agent: *\nCrawl-delay: {}\nDisallow: {PRIVATE}\n", CRAWL_DELAY.as_secs_f64())
        }
        _ => "User-agent: *\nDisallow:\n".to_owned(),
    }
}

fn plain(status: u16) -> Answer {
    Answer { status, headers: vec![("content-type", "text/plain".to_owned())], ..Answer::default() }
}

fn html() -> Answer {
    Answer { status: 200, headers: vec![("content-type", "text/html; charset=utf-8".to_owned())], ..Answer::default() }
}

fn page(role: Role, path: &str, links: &[String]) -> String {
    let name = role.name();
    let mut body = format!("<!DOCTYPE html>\n<html lang=\"en\"><title>{name} {path}</title>\n<h1>{name}</h1>\n<ul>\n");
    for link in links {
        let _ = writeln!(body, "<li><a href=\"{link}\">{link}</a>");
    }
    body.push_str("</ul>\n");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(role: Role) -> Script {
        let addresses: Vec<SocketAddr> = (0..7).map(|host| ([127, 0, 0, 1], 4000 + host).into()).collect();
        Script::new(role, &addresses)
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn answer(script: &mut Script, path: &str, now: Duration) -> Answer {
        match script.act(path, now, SystemTime::UNIX_EPOCH) {
            Act::Answer(answer) => answer,
            Act::Drop => panic!("{path} was dropped"),
        }
    }

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_start_page_lists_every_host() {
        let start = answer(&mut script(Role::Healthy), "/", at(0)).body;
        for port in 4001..4007 {
            assert!(start.contains(&format!("\"http://127.0.0.1:{port}/\"")), "{start}");
        }
        assert_eq!(paths(Role::Healthy).len(), 40);
    }

    #[test]
    fn every_page_is_linked_and_served() {
        for role in [Role::Healthy, Role::Slow, Role::Flaky, Role::Robots] {
            let mut script = script(role);
            let mut linked: HashSet<String> = ["/".to_owned()].into();
            for path in paths(role) {
                linked.extend(script.links(&path).unwrap());
                let first = script.act(&path, at(0), SystemTime::UNIX_EPOCH);
                let second = answer(&mut script, &path, at(0));
                assert_eq!(second.status, 200);
                assert!(role == Role::Flaky || first == Act::Answer(second), "{path}");
            }
            assert!(paths(role).iter().all(|path| linked.contains(path)), "{role:?}");
            assert_eq!(answer(&mut script, "/none", at(0)).status, 404);
        }
    }

    #[test]
    fn a_limited_host_rests_after_each_burst_in_both_forms_of_retry_after() {
        let mut script = script(Role::Limited);
        let mut seen = Vec::new();
        let mut now = at(0);
        for _ in 0..2 {
            for _ in 0..BURST {
                assert_eq!(answer(&mut script, "/page-1", now).status, 200);
            }
            for late in [0, 999] {
                let refusal = answer(&mut script, "/robots.txt", now + at(late));
                // Only a page is one too many.
                assert_eq!(refusal.status, if late == 0 { 200 } else { 429 });
                let refusal = answer(&mut script, "/page-1", now);
                assert_eq!(refusal.status, 429);
                seen.push(header(&refusal, "retry-after").unwrap().to_owned());
            }
            now += REST;
        }
        assert_eq!(seen, ["1", "1", "Thu, 01 Jan 1970 00:00:01 GMT", "Thu, 01 Jan 1970 00:00:01 GMT"]);
        assert_eq!(answer(&mut script, "/page-1", now).status, 200);
    }

    #[test]
    fn every_third_flaky_page_fails_once() {
        let mut script = script(Role::Flaky);
        let mut first = Vec::new();
        for path in paths(Role::Flaky) {
            first.push(match script.act(&path, at(0), SystemTime::UNIX_EPOCH) {
                Act::Answer(answer) => answer.status,
                Act::Drop => 0,
            });
            assert_eq!(answer(&mut script, &path, at(1)).status, 200);
        }
        assert_eq!(first, [200, 200, 200, 500, 200, 200, 503, 200, 200, 0, 200, 200, 500, 200]);
        assert_eq!(header(&answer(&mut script, BROKEN, at(2)), "content-encoding"), Some("gzip"));
        assert_eq!(flaky_pages(), 4);
    }

    #[test]
    fn a_recovering_host_returns_after_the_first_probe() {
        let mut script = script(Role::Recovering);
        assert!(script.takes_connection(at(0)));
        assert_eq!(answer(&mut script, "/robots.txt", at(0)).status, 200);
        let last = answer(&mut script, "/", at(1));
        assert_eq!(header(&last, "connection"), Some("close"));
        assert!(last.body.matches("page-").count() >= 10);
        assert_eq!(script.act("/page-1", at(2), SystemTime::UNIX_EPOCH), Act::Drop);
        // A silence before the breaker can have opened brings it back as little as an endless row of requests does.
        for now in [10, 900, 910, 920, 930, 940, 950] {
            assert!(!script.takes_connection(at(now)), "{now}");
        }
        assert!(!script.takes_connection(at(1950)), "the probe");
        assert!(script.takes_connection(at(1951)));
        assert_eq!(answer(&mut script, "/", at(1952)).status, 200);
        assert!(script.takes_connection(at(1953)), "it does not die again");
    }

    #[test]
    fn a_dead_host_stays_dead() {
        let mut script = script(Role::Dead);
        answer(&mut script, "/", at(0));
        for now in 0..20 {
            assert!(!script.takes_connection(Duration::from_secs(now)));
        }
    }
}
