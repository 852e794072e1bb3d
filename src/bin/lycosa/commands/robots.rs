//! `lycosa robots`: may this agent fetch these URLs, and which line says so.
//!
//! Also what `explain` shares with it: reading the URLs, asking for the robots.txt of each origin, and telling a verdict.
//! No page is asked for. Hosts are asked side by side, the origins of one host one after the other.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lycosa::engine::lookup::{Lookup, RobotsAnswer, look_up};
use lycosa::engine::settings::EngineSettings;
use lycosa::fetch::client::{Client, ClientError};
use lycosa::model::url::{host_key_of, origin_of};
use lycosa::policy::robots::{self, Because, Group, RobotsRules, RobotsStatus};
use lycosa::seeds::{Seed, SeedSettings, Source};
use serde_json::{Value, json};

use super::conduct::quiet;
use super::run::argument;
use crate::args::query::{QueryFlags, Question};
use crate::console::Console;
use crate::settings::request::RequestFlags;
use crate::settings::resolve::{Resolved, resolve};
use crate::settings::{Layer, Run, UsageError, one_line};
use crate::{layers, logging};

/// Hosts asked at once.
const AT_ONCE: usize = 16;

/// Characters of a line of robots.txt that are shown.
const SHOWN: usize = 200;

/// Runs `lycosa robots`. Returns the exit code.
pub fn run(flags: &QueryFlags) -> u8 {
    let query = match Query::new(flags) {
        Ok(query) => query,
        Err(error) => return crate::usage(&error, quiet(&flags.flags)),
    };
    let known = match query.robots_of(&query.urls) {
        Ok(known) => known,
        Err(error) => return crate::usage(&error, quiet(&flags.flags)),
    };
    let told: Vec<_> = query.urls.iter().map(|url| (url, known.verdict(url))).collect();
    let text = if flags.json {
        as_array(flags.urls.iter().zip(&told).map(|(typed, (url, told))| {
            // Under the names that records have for them.
            let mut entry = json!({ "input": typed, "url": url });
            merge(&mut entry, told.json(&query.resolved.settings.engine.product_token));
            entry
        }))
    } else {
        told.iter().fold(String::new(), |text, (url, told)| {
            let verdict = if told.allowed { "allowed" } else { "disallowed" };
            text + &format!("{verdict:<10}  {url}  {}\n", told.why)
        })
    };
    match crate::print(text.as_bytes()) {
        0 => u8::from(told.iter().any(|(_, told)| !told.allowed)),
        code => code,
    }
}

/// What was typed, read and resolved.
pub struct Query {
    pub resolved: Resolved,
    pub layers: Layer,
    /// Canonical, in the order of the command line.
    pub urls: Vec<String>,
    pub seeds: Vec<String>,
    /// Rules from a file: its name and content.
    file: Option<(String, Vec<u8>)>,
}

impl Query {
    /// # Errors
    /// Whatever cannot be read: a URL, a setting, the file with rules.
    pub fn new(flags: &QueryFlags) -> Result<Self, UsageError> {
        let (layers, warnings) = layers::gather(Run::Crawl, &flags.files, std::env::vars_os(), flags.flags.clone())?;
        let resolved = resolve(Run::Crawl, &layers, &RequestFlags::default())?;
        let console = Console::new(&resolved.display, true);
        logging::start(&resolved.display, &console);
        for warning in &warnings {
            console.notice(&format!("warning: {warning}"));
        }
        let urls = canonical(&flags.urls, &console)?;
        let seeds = canonical(&flags.seeds, &console)?;
        let file = flags.robots_file.as_deref().map(read_rules).transpose()?;
        debug_assert!(flags.question == Question::Explain || seeds.is_empty());
        Ok(Self { resolved, layers, urls, seeds, file })
    }

    /// The robots.txt of all origins of these URLs: of the file, or asked for.
    ///
    /// # Errors
    /// The HTTP client cannot be made from the settings.
    pub fn robots_of(&self, urls: &[String]) -> Result<Known, UsageError> {
        let token = &self.resolved.settings.engine.product_token;
        if let Some((name, body)) = &self.file {
            let answer = RobotsAnswer::Rules(Box::new(RobotsRules::parse(body, token)));
            let body = Bytes::copy_from_slice(body);
            let lookup = Lookup { answer, status: None, url: name.clone(), requests: 0, body };
            return Ok(Known { file: Some(lookup), origins: BTreeMap::new() });
        }
        let failed = |what: &dyn std::fmt::Display| UsageError::new(format!("cannot ask for robots.txt: {what}"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let origins = runtime.block_on(async {
            // In the runtime: the stack may start timers.
            let client = Client::new(&self.resolved.settings.client)?;
            Ok::<_, ClientError>(ask_all(&client, urls, &self.resolved.settings.engine).await)
        });
        // A lookup of a name that still blocks a thread must not hold the exit back.
        runtime.shutdown_background();
        Ok(Known { file: None, origins: origins.map_err(|error| failed(&error))? })
    }
}

async fn ask_all(client: &Client, urls: &[String], settings: &EngineSettings) -> BTreeMap<String, Lookup> {
    let mut hosts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for url in urls {
        let origins = hosts.entry(host_key_of(url)).or_default();
        if !origins.contains(&origin_of(url)) {
            origins.push(origin_of(url));
        }
    }
    let of_host = |origins: Vec<&str>| {
        let origins: Vec<String> = origins.into_iter().map(str::to_owned).collect();
        async move {
            let mut found = Vec::new();
            for origin in origins {
                let lookup = look_up(client, &origin, settings).await;
                found.push((origin, lookup));
            }
            found
        }
    };
    let found = futures_util::stream::iter(hosts.into_values().map(of_host)).buffer_unordered(AT_ONCE);
    found.collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// The canonical form of arguments; a bare host gets `https://`, with a notice, as everywhere.
fn canonical(texts: &[String], console: &Console) -> Result<Vec<String>, UsageError> {
    texts.iter().try_for_each(|text| argument(text))?;
    let settings = SeedSettings::from(vec![Source::Arguments(texts.to_vec())]);
    let mut reader = lycosa::seeds::open(&settings).map_err(|error| UsageError::new(error.to_string()))?;
    let mut urls = Vec::with_capacity(texts.len());
    while let Ok(Some(batch)) = reader.next_batch(texts.len()) {
        for seed in batch {
            match seed {
                Seed::Job(job) => urls.push(String::from(job.url)),
                Seed::Notice(text) => console.notice(&text),
                Seed::Broken { message, .. } => return Err(UsageError::new(message)),
            }
        }
    }
    Ok(urls)
}

fn read_rules(path: &Path) -> Result<(String, Vec<u8>), UsageError> {
    let mut body = Vec::new();
    let limit = robots::MAX_BODY as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut body)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut body))
    };
    let failed = |error| UsageError::new(format!("cannot read --robots-file {}: {error}", path.display()));
    read.map(|_| (path.display().to_string(), body)).map_err(failed)
}

/// The robots.txt of every origin that was asked about.
pub struct Known {
    /// Rules for all of them.
    file: Option<Lookup>,
    origins: BTreeMap<String, Lookup>,
}

/// The verdict on one URL.
pub struct Told<'a> {
    pub allowed: bool,
    /// For scripts: `rule no_rule no_group robots_txt too_much_work html no_robots server_error private_address
    /// unreachable`.
    pub reason: &'static str,
    /// For people, in one line.
    pub why: String,
    group: Option<Group>,
    rule: Option<(u32, String)>,
    robots: &'a Lookup,
    is_file: bool,
}

impl Known {
    /// Judges a URL of an origin that was asked.
    pub fn verdict(&self, url: &str) -> Told<'_> {
        let robots = match (&self.file, self.origins.get(origin_of(url))) {
            (Some(file), _) => file,
            (None, Some(lookup)) => lookup,
            (None, None) => unreachable!("every origin of the URLs was asked"),
        };
        let mut told = Told {
            allowed: false,
            reason: "server_error",
            why: String::new(),
            group: None,
            rule: None,
            robots,
            is_file: self.file.is_some(),
        };
        match &robots.answer {
            RobotsAnswer::Rules(rules) => told.by_rules(rules, url),
            RobotsAnswer::DisallowAll => {
                told.why = format!("robots.txt cannot be read{}: nothing may be fetched", told.status());
            }
            RobotsAnswer::Refused(target) => {
                told.reason = "private_address";
                told.why = format!(
                    "robots.txt redirects to {target}, a private address, which is not asked without --allow-private: \
                     nothing may be fetched"
                );
                return told;
            }
            RobotsAnswer::Unreachable(error) => {
                told.reason = "unreachable";
                told.why = format!("robots.txt cannot be reached: {}", one_line(&error.message));
            }
        }
        if robots.requests > 0 && origin_of(&robots.url) != origin_of(url) {
            told.why = format!("{} (of {})", told.why, robots.url);
        }
        told
    }
}

impl Told<'_> {
    fn by_rules(&mut self, rules: &RobotsRules, url: &str) {
        let decision = rules.decide(url);
        self.allowed = decision.allowed;
        let line = |number| quoted(&self.robots.body, number);
        (self.reason, self.why) = match decision.because {
            Because::Rule { line: number, group } => {
                self.group = rules.group().map(|of| Group { line: group, ..of });
                self.rule = robots::line_text(&self.robots.body, number).map(|text| (number, text));
                ("rule", format!("{}, under {}", line(number), line(group)))
            }
            Because::NoRule(group) => {
                self.group = Some(group);
                ("no_rule", format!("no rule matches, under {}", line(group.line)))
            }
            Because::RobotsTxt => ("robots_txt", "robots.txt itself always may".to_owned()),
            Because::TooMuchWork => ("too_much_work", "too many rules with * for so long a URL".to_owned()),
            Because::NoGroup if self.has_none() => ("no_robots", format!("no robots.txt there{}", self.status())),
            Because::NoGroup if robots::is_html(&self.robots.body) => {
                ("html", "robots.txt is an HTML page, which holds no rules".to_owned())
            }
            Because::NoGroup => ("no_group", "robots.txt has no group for this agent, and none for *".to_owned()),
        };
    }

    /// The server said that there is none, or redirects into a private network.
    fn has_none(&self) -> bool {
        let is_read = |status| robots::status_means(status) == RobotsStatus::Read;
        !self.is_file && !self.robots.status.is_some_and(is_read)
    }

    fn status(&self) -> String {
        self.robots.status.map(|status| format!(" ({status})")).unwrap_or_default()
    }

    /// Seconds that robots.txt asks for between requests, and the line that says so.
    pub fn crawl_delay(&self) -> Option<(std::time::Duration, u32)> {
        match &self.robots.answer {
            RobotsAnswer::Rules(rules) => rules.crawl_delay().zip(rules.crawl_delay_line()),
            _ => None,
        }
    }

    pub fn json(&self, agent: &str) -> Value {
        let group = self.group.map(|group| {
            let name = if group.everybody { "*" } else { agent };
            json!({ "line": group.line, "agent": name })
        });
        let rule = self.rule.as_ref().map(|(line, text)| json!({ "line": line, "text": text }));
        json!({
            "allowed": self.allowed,
            "reason": self.reason,
            "why": self.why,
            "agent": agent,
            "group": group,
            "rule": rule,
            "crawl_delay_s": self.crawl_delay().map(|(delay, _)| delay.as_secs_f64()),
            "robots_url": (!self.is_file).then_some(&self.robots.url),
            "robots_file": self.is_file.then_some(&self.robots.url),
            "status": self.robots.status,
        })
    }
}

/// A line of the file as people find it: `line 4 "Disallow: /a"`.
fn quoted(body: &[u8], number: u32) -> String {
    let text = robots::line_text(body, number).unwrap_or_default();
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("line {number} \"{}{more}\"", one_line(&shown))
}

/// One array, one entry a line, as `--format json` of a run has it.
pub fn as_array(entries: impl Iterator<Item = Value>) -> String {
    let lines: Vec<String> = entries.map(|entry| entry.to_string()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// Adds the keys of one object to another.
fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
