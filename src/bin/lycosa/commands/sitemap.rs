//! `lycosa sitemap`: the URLs of a sitemap, of an index, or of all sitemaps that a site's robots.txt names.
//!
//! A URL that ends in `/` is a site: its robots.txt is looked at, and without a sitemap there `/sitemap.xml` is asked. Any
//! other URL is a sitemap. Requests go one after the other, with the delay of the settings and of robots.txt between
//! two at one host. What robots.txt names may be asked, and what that names in turn; a sitemap that was typed obeys
//! its rules. No page is asked for.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::Write as _;
use std::time::Duration;

use lycosa::engine::lookup::{Lookup, RobotsAnswer, look_up, look_up_sitemap};
use lycosa::engine::settings::EngineSettings;
use lycosa::fetch::client::Client;
use lycosa::model::url::{self, host_key_of, origin_of};
use serde_json::json;
use tokio::time::Instant;

use super::conduct::quiet;
use super::robots::Query;
use crate::args::query::QueryFlags;
use crate::settings::{UsageError, one_line};

/// Sitemaps that are read for one URL of the command line.
const MOST_SITEMAPS: usize = 1000;
/// Levels of indexes.
const LEVELS: u32 = 3;

/// Runs the command. Returns the exit code: 1 if a sitemap could not be read.
pub fn run(flags: &QueryFlags) -> u8 {
    let query = match Query::new(flags) {
        Ok(query) => query,
        Err(error) => return crate::usage(&error, quiet(&flags.flags)),
    };
    let failed = |what: &dyn std::fmt::Display| {
        crate::usage(&UsageError::new(format!("cannot ask for sitemaps: {what}")), quiet(&flags.flags))
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(async {
        // In the runtime: the stack may start timers.
        let client = match Client::new(&query.resolved.settings.client) {
            Ok(client) => client,
            Err(error) => return failed(&error),
        };
        let settings = &query.resolved.settings.engine;
        let mut reading = Reading {
            client: &client,
            settings,
            robots: BTreeMap::new(),
            asked: BTreeMap::new(),
            is_quiet: quiet(&flags.flags) > 1,
        };
        let mut printer = Printer::new(flags.json);
        let mut code = 0;
        for url in &query.urls {
            code = reading.print_all(url, &mut printer).await.max(code);
            if printer.is_over() {
                break;
            }
        }
        printer.end(code)
    });
    // A lookup of a name that still blocks a thread must not hold the exit back.
    runtime.shutdown_background();
    code
}

/// A sitemap that is to be read.
struct Waiting {
    url: String,
    level: u32,
}

struct Reading<'a> {
    client: &'a Client,
    settings: &'a EngineSettings,
    /// By origin; empty with `--robots ignore`, but for those of sites.
    robots: BTreeMap<String, Lookup>,
    /// When the last request to a host was over.
    asked: BTreeMap<String, Instant>,
    is_quiet: bool,
}

impl Reading<'_> {
    /// Returns the exit code of one URL.
    async fn print_all(&mut self, typed: &str, printer: &mut Printer) -> u8 {
        let mut waiting = VecDeque::new();
        if url::parse(typed).is_ok_and(|url| url.path().ends_with('/') && url.query().is_none()) {
            let named = self.named_by(origin_of(typed)).await;
            waiting.extend(named.into_iter().map(|url| Waiting { url, level: 0 }));
            if waiting.is_empty() {
                waiting.push_back(Waiting { url: format!("{}/sitemap.xml", origin_of(typed)), level: 0 });
            }
        } else {
            if let Some(why) = self.refusal(typed).await {
                self.tell(&format!("{typed}: {why}"));
                return 1;
            }
            waiting.push_back(Waiting { url: typed.to_owned(), level: 0 });
        }
        let mut seen: HashSet<String> = waiting.iter().map(|waiting| waiting.url.clone()).collect();
        let (mut code, mut read) = (0, 0);
        while let Some(Waiting { url, level }) = waiting.pop_front() {
            if read == MOST_SITEMAPS {
                self.tell(&format!("more than {MOST_SITEMAPS} sitemaps: the rest is not read"));
                return 1;
            }
            read += 1;
            self.wait(&url).await;
            let answer = look_up_sitemap(self.client, &url, origin_of(typed), self.settings).await;
            self.asked.insert(host_key_of(&url).to_owned(), Instant::now());
            let found = match answer {
                Ok(found) => found,
                Err(why) => {
                    self.tell(&format!("cannot read the sitemap {url}: {why}"));
                    code = 1;
                    continue;
                }
            };
            found.urls.iter().for_each(|page| printer.print(page, &url, false));
            found.alternates.iter().for_each(|page| printer.print(page, &url, true));
            if printer.is_over() {
                return code;
            }
            for sitemap in canonical(&found.sitemaps) {
                if level == LEVELS {
                    self.tell(&format!("{url}: an index below {LEVELS} others is not followed"));
                    code = 1;
                    break;
                }
                if seen.insert(sitemap.clone()) {
                    waiting.push_back(Waiting { url: sitemap, level: level + 1 });
                }
            }
        }
        code
    }

    /// The sitemaps that the robots.txt of an origin names.
    async fn named_by(&mut self, origin: &str) -> Vec<String> {
        self.learn(origin).await;
        match self.robots.get_mut(origin).map(|lookup| &mut lookup.answer) {
            Some(RobotsAnswer::Rules(rules)) => canonical(&rules.take_sitemaps()),
            _ => Vec::new(),
        }
    }

    async fn learn(&mut self, origin: &str) {
        if !self.robots.contains_key(origin) {
            let lookup = look_up(self.client, origin, self.settings).await;
            self.asked.insert(host_key_of(&format!("{origin}/")).to_owned(), Instant::now());
            self.robots.insert(origin.to_owned(), lookup);
        }
    }

    /// Why robots.txt keeps a URL from being asked.
    async fn refusal(&mut self, url: &str) -> Option<String> {
        if !self.settings.obey_robots {
            return None;
        }
        self.learn(origin_of(url)).await;
        match &self.robots.get(origin_of(url))?.answer {
            RobotsAnswer::Rules(rules) if rules.allows(url) => None,
            RobotsAnswer::Rules(_) => Some("robots.txt disallows it (--robots ignore asks all the same)".to_owned()),
            RobotsAnswer::Unreachable(error) => Some(format!("robots.txt cannot be reached: {}", error.message)),
            _ => Some("robots.txt cannot be read".to_owned()),
        }
    }

    /// Waits until the host of a URL may be asked again.
    async fn wait(&self, url: &str) {
        let host = host_key_of(url);
        let delay_of = |lookup: &Lookup| match &lookup.answer {
            RobotsAnswer::Rules(rules) if self.settings.obey_robots => rules.crawl_delay(),
            _ => None,
        };
        let of_robots = self.robots.get(origin_of(url)).and_then(delay_of).unwrap_or(Duration::ZERO);
        let delay = self.settings.limits_of(host).delay.max(of_robots);
        if let Some(last) = self.asked.get(host) {
            tokio::time::sleep_until(*last + delay).await;
        }
    }

    fn tell(&self, what: &str) {
        if !self.is_quiet {
            let _ = writeln!(std::io::stderr(), "lycosa: {}", one_line(what));
        }
    }
}

/// In their order; what is no URL of the web is left out.
fn canonical(urls: &[String]) -> Vec<String> {
    urls.iter().filter_map(|text| url::parse(text.trim()).ok()).map(|url| url::canonical(&url)).collect()
}

/// Prints each URL once, as it is found.
struct Printer {
    json: bool,
    printed: HashSet<String>,
    /// Lines that are not written yet.
    text: String,
    /// Of a write that failed, or that nobody reads any more.
    over: Option<u8>,
}

impl Printer {
    fn new(json: bool) -> Self {
        Self { json, printed: HashSet::new(), text: String::new(), over: None }
    }

    fn is_over(&mut self) -> bool {
        self.write();
        self.over.is_some()
    }

    fn print(&mut self, page: &str, sitemap: &str, is_alternate: bool) {
        let Ok(url) = url::parse(page.trim()) else { return };
        let canonical = url::canonical(&url);
        if self.over.is_some() || !self.printed.insert(canonical.clone()) {
            return;
        }
        if self.json {
            self.text.push_str(if self.printed.len() == 1 { "[\n" } else { ",\n" });
            self.text += &json!({ "url": canonical, "sitemap": sitemap, "alternate": is_alternate }).to_string();
        } else {
            self.text.push_str(&canonical);
            self.text.push('\n');
        }
    }

    fn write(&mut self) {
        let text = std::mem::take(&mut self.text);
        if self.over.is_some() || text.is_empty() {
            return;
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            // The reader has read enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => self.over = Some(0),
            Err(error) => self.over = Some(crate::output_failed(&error)),
        }
    }

    /// Closes the array. Returns the exit code.
    fn end(mut self, code: u8) -> u8 {
        if self.json {
            self.text.push_str(if self.printed.is_empty() { "[]\n" } else { "\n]\n" });
        }
        self.write();
        self.over.unwrap_or(code)
    }
}
