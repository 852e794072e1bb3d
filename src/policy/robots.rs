//! robots.txt (RFC 9309): rules, which of them decides, and what an answer to its request means.
//!
//! It decides from bytes and a URL alone. It never fetches: when robots.txt is asked for, kept and asked for again is the
//! engine's. `file` reads lines, `pattern` compares, `tag` is about the head of a page; here groups are put together.
//! A `Crawl-delay` ends a list of `User-agent` lines as a rule does: the RFC does not know it, and by its letter the group
//! behind `User-agent: *`, `Crawl-delay: 5` would be for everybody, which no one means who writes so.

use std::cmp::Reverse;
use std::time::Duration;

use self::file::{Agent, Line};
use self::pattern::Pattern;
use crate::model::url::origin_of;

mod file;
mod pattern;
mod tag;

pub use tag::tagged;

/// RFC 9309 2.5: at least 500 KiB are to be read. No more are: the rest of the file is ignored, and so is a line it cuts.
/// Whoever fetches should take one byte more, by which a longer file is known.
pub const MAX_BODY: usize = 500 * 1024;

/// RFC 9309 2.4: no copy is used for longer, unless the file cannot be reached.
pub const VALIDITY: Duration = Duration::from_hours(24);

/// RFC 9309 2.3.1.2: redirects that are followed, also to other hosts.
pub const MAX_REDIRECTS: u32 = 5;

/// A day between two requests is as good as a prohibition; what is longer is a typing error or a trap.
const LONGEST_CRAWL_DELAY: Duration = Duration::from_hours(24);

/// The product token of a user agent: the part before `/` (`lycosa` of `lycosa/1.0 (+https://…)`), or what comes before
/// the first character that no token holds (RFC 9110 5.6.2).
#[must_use]
pub fn product_token(user_agent: &str) -> &str {
    let user_agent = user_agent.trim_start();
    let in_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    &user_agent[..user_agent.find(|c| !in_token(c)).unwrap_or(user_agent.len())]
}

/// Octets of a path that patterns with a `*` are laid along for one verdict. A file of 34,000 such rules fits into 500 KiB,
/// and the links to its site may be 64 KiB long; 10,000 rules and a URL of 1,600 octets are still judged.
const MOST_WORK: usize = 16 << 20;

/// An `Allow` or `Disallow` line of a group that applies to us.
#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    allow: bool,
    line: u32,
    /// Line of the first `User-agent` of its group that means us.
    group: u32,
}

/// The group that applies: all groups for one agent are one (RFC 9309 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Line of its first `User-agent` that means us.
    pub line: u32,
    /// It is for everybody (`*`), and none is for us alone.
    pub everybody: bool,
}

/// Why a URL may or may not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Of the rules that match this is the longest; `group` is the line of the `User-agent` it stands under.
    Rule { line: u32, group: u32 },
    /// No rule of the group that applies matches.
    NoRule(Group),
    /// No group applies to us: there are no rules.
    NoGroup,
    /// `/robots.txt` itself is always allowed.
    RobotsTxt,
    /// So many rules and so long a URL are no honest site's: it is not asked for.
    TooMuchWork,
}

/// The verdict on one URL, with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub because: Because,
}

/// What one robots.txt says to us.
#[derive(Debug, Clone)]
pub struct RobotsRules {
    /// In the order in which they decide: longest first, among equals `Allow` first (RFC 9309 2.2.2).
    rules: Box<[Rule]>,
    group: Option<Group>,
    /// With its line.
    crawl_delay: Option<(Duration, u32)>,
    sitemaps: Vec<String>,
}

impl RobotsRules {
    /// Reads a robots.txt for a product token. At most 500 KiB are read. Never fails.
    #[must_use]
    pub fn parse(body: &[u8], product_token: &str) -> Self {
        let text = file::readable(body);
        if file::is_html(&text) {
            return Self::allow_all();
        }
        let mut groups = Groups::default();
        for (number, line) in file::lines(&text) {
            if let Some(line) = file::read(line) {
                groups.take(number, line, product_token);
            }
        }
        groups.close()
    }

    /// No robots.txt: everything may be fetched.
    #[must_use]
    pub fn allow_all() -> Self {
        Self { rules: Box::default(), group: None, crawl_delay: None, sitemaps: Vec::new() }
    }

    /// May this canonical URL be fetched? `/robots.txt` itself always may.
    #[must_use]
    pub fn allows(&self, url: &str) -> bool {
        // Most files have no rule for us.
        self.rules.is_empty() || self.decide(url).allowed
    }

    /// The verdict on a canonical URL and the line that decided.
    #[must_use]
    pub fn decide(&self, url: &str) -> Decision {
        let path = pattern::spelled(&url[origin_of(url).len()..]);
        if path == "/robots.txt" {
            return Decision { allowed: true, because: Because::RobotsTxt };
        }
        let mut work = 0;
        for rule in &self.rules {
            work += if rule.pattern.has_star() { path.len() } else { 0 };
            if work > MOST_WORK {
                return Decision { allowed: false, because: Because::TooMuchWork };
            }
            if rule.pattern.matches(&path) {
                let because = Because::Rule { line: rule.line, group: rule.group };
                return Decision { allowed: rule.allow, because };
            }
        }
        Decision { allowed: true, because: self.group.map_or(Because::NoGroup, Because::NoRule) }
    }

    /// The group that applies to us, if there is one.
    #[must_use]
    pub fn group(&self) -> Option<Group> {
        self.group
    }

    /// The Crawl-delay of the groups that apply to us, at most a day; the smallest if there are several. Not part of
    /// RFC 9309, but asked for by many sites. A negative one, and what is no number of seconds, is None.
    #[must_use]
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay.map(|(delay, _)| delay)
    }

    /// The line that names [`Self::crawl_delay`].
    #[must_use]
    pub fn crawl_delay_line(&self) -> Option<u32> {
        self.crawl_delay.map(|(_, line)| line)
    }

    /// Absolute http and https URLs as written, in order, of the whole file: they belong to no group.
    #[must_use]
    pub fn sitemaps(&self) -> &[String] {
        &self.sitemaps
    }

    /// The same, taken out: they may be most of what a file holds, and are needed once.
    pub fn take_sitemaps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sitemaps)
    }
}

/// What is found while a file is read: what is for us, and what is for everybody, of which only one will apply.
#[derive(Debug, Default)]
struct Groups {
    ours: Found,
    everybodys: Found,
    /// The last line was a `User-agent`: another one shares its group.
    in_agents: bool,
    sitemaps: Vec<String>,
}

#[derive(Debug, Default)]
struct Found {
    /// Line of the first `User-agent`; 0 if there was none.
    line: u32,
    /// The same of the group that is being read; 0 if it is for others.
    current: u32,
    rules: Vec<Rule>,
    crawl_delay: Option<(Duration, u32)>,
}

impl Groups {
    fn take(&mut self, number: u32, line: Line<'_>, token: &str) {
        if let Line::Sitemap(url) = line {
            // It closes no group (2.2.4).
            self.sitemaps.extend(absolute(url));
            return;
        }
        let Line::UserAgent(value) = line else {
            self.in_agents = false;
            self.ours.take(number, line);
            self.everybodys.take(number, line);
            return;
        };
        if !self.in_agents {
            self.in_agents = true;
            self.ours.current = 0;
            self.everybodys.current = 0;
        }
        match file::agent(value, token) {
            Agent::Us => self.ours.begin(number),
            Agent::Everybody => self.everybodys.begin(number),
            Agent::Other => {}
        }
    }

    fn close(self) -> RobotsRules {
        // A group of ours without any rule still keeps those of everybody off.
        let everybody = self.ours.line == 0;
        let found = if everybody { self.everybodys } else { self.ours };
        let mut rules = found.rules;
        rules.sort_by_key(|rule| (Reverse(rule.pattern.len()), Reverse(rule.allow)));
        RobotsRules {
            rules: rules.into(),
            group: (found.line > 0).then_some(Group { line: found.line, everybody }),
            crawl_delay: found.crawl_delay,
            sitemaps: self.sitemaps,
        }
    }
}

impl Found {
    fn begin(&mut self, number: u32) {
        for line in [&mut self.line, &mut self.current] {
            if *line == 0 {
                *line = number;
            }
        }
    }

    fn take(&mut self, number: u32, line: Line<'_>) {
        if self.current == 0 {
            return;
        }
        match line {
            Line::Rule { allow, pattern } => {
                let group = self.current;
                self.rules.extend(Pattern::read(pattern).map(|pattern| Rule { pattern, allow, line: number, group }));
            }
            Line::CrawlDelay(value) => {
                let delay = seconds(value).map(|delay| (delay, number));
                self.crawl_delay = self.crawl_delay.into_iter().chain(delay).min_by_key(|(delay, _)| *delay);
            }
            Line::UserAgent(_) | Line::Sitemap(_) => {}
        }
    }
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|delay| delay.min(LONGEST_CRAWL_DELAY))
}

/// Whether a body is a page of HTML, which holds no rules.
#[must_use]
pub fn is_html(body: &[u8]) -> bool {
    file::is_html(&file::readable(body))
}

/// The text of a line (from 1) as [`Decision`] counts them, white space around it left out.
#[must_use]
pub fn line_text(body: &[u8], number: u32) -> Option<String> {
    let text = file::readable(body);
    let (_, line) = file::lines(&text).find(|(at, _)| *at == number)?;
    Some(String::from_utf8_lossy(line.trim_ascii()).into_owned())
}

/// What the final status of a robots.txt request means (RFC 9309 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RobotsStatus {
    /// 2xx: read the body. (HTML with status 200 holds no rules, and so allows all.)
    Read,
    /// 4xx but 429, and a 3xx that leads nowhere: "unavailable", all is allowed.
    AllowAll,
    /// 5xx and 429: "unreachable", all is disallowed.
    DisallowAll,
}

#[must_use]
pub fn status_means(status: u16) -> RobotsStatus {
    match status {
        200..=299 => RobotsStatus::Read,
        // "Try again later" is not "there is none": taking it for permission would answer a refusal with a crawl.
        429 => RobotsStatus::DisallowAll,
        300..=499 => RobotsStatus::AllowAll,
        _ => RobotsStatus::DisallowAll,
    }
}

/// A sitemap's URL if it is absolute: RFC 9309 says nothing of them, sitemaps.org asks for the full URL.
fn absolute(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    crate::model::url::parse(text).ok()?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests;
