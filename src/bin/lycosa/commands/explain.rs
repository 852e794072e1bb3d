//! `lycosa explain`: what a crawl would make of these URLs: their canonical form, host key, scope, robots.txt and pace.
//!
//! No page is asked for. Without `--seed` the first URL is the seed, and the others are links of its site.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use lycosa::fetch::overrides::{Overrides, Target};
use lycosa::fetch::resolve::{literal_is_denied, literal_is_private};
use lycosa::model::url::{self, host_key_of};
use lycosa::policy::host_rules::HostLimits;
use lycosa::policy::scope::Scope;
use serde_json::json;

use super::conduct::quiet;
use super::robots::{Known, Query, Told, as_array};
use crate::args::query::QueryFlags;
use crate::settings::hosts;

/// Links of a seed are judged.
const DEPTH: u32 = 1;

/// Runs the command. Returns the exit code.
pub fn run(flags: &QueryFlags) -> u8 {
    let query = match Query::new(flags) {
        Ok(query) => query,
        Err(error) => return crate::usage(&error, quiet(&flags.flags)),
    };
    let settings = &query.resolved.settings.engine;
    let known = if settings.obey_robots {
        match query.robots_of(&query.urls) {
            Ok(known) => Some(known),
            Err(error) => return crate::usage(&error, quiet(&flags.flags)),
        }
    } else {
        None
    };
    let seeds = if query.seeds.is_empty() { &query.urls[..1] } else { &query.seeds[..] };
    let mut scope = Scope::new(settings.scope.clone());
    for seed in seeds {
        scope.add_seed(seed);
    }
    let rate = query.layers.get("host-rate").and_then(|given| given.texts.last()).map(String::as_str);
    let client = &query.resolved.settings.client;
    let guard = Guard::new(settings.allow_private, &client.denied, seeds);
    let explained = flags.urls.iter().zip(&query.urls).map(|(typed, url)| {
        let robots = known.as_ref().map(|known: &Known| known.verdict(url));
        let is_seed = seeds.contains(url);
        let host_key = url::host_key_of(url);
        let rate = hosts::text_of(&query.layers, host_key, "host-rate").or(rate).filter(|text| *text != "none");
        let pace = Pace::new(&settings.limits_of(host_key), robots.as_ref(), rate);
        Explained {
            typed,
            url,
            is_seed,
            closed: guard.closes(url, led(&client.dial.overrides, url).as_ref()),
            led: led(&client.dial.overrides, url),
            scope: &scope,
            robots,
            pace,
            agent: &settings.product_token,
        }
    });
    let text = if flags.json {
        as_array(explained.map(|explained| explained.json()))
    } else {
        explained.map(|explained| explained.text()).collect::<Vec<_>>().join("\n")
    };
    crate::print(text.as_bytes())
}

/// Where a URL is led by `--resolve` and `--connect-to`.
fn led(overrides: &Overrides, url: &str) -> Option<Target> {
    let url = url::parse(url).ok()?;
    overrides.target(url.host_str()?, url.port_or_known_default()?)
}

/// What keeps links out of private networks: hosts of seeds are typed, and free. Names are not looked up here.
struct Guard<'a> {
    allow_private: bool,
    denied: &'a [IpNet],
    /// Without ports.
    typed_hosts: Vec<String>,
}

impl<'a> Guard<'a> {
    fn new(allow_private: bool, denied: &'a [IpNet], seeds: &[String]) -> Self {
        let host = |seed: &String| url::parse(seed).ok()?.host_str().map(str::to_owned);
        Self { allow_private, denied, typed_hosts: seeds.iter().filter_map(host).collect() }
    }

    /// Why the address of a URL is not connected to.
    fn closes(&self, url: &str, led: Option<&Target>) -> Option<&'static str> {
        const DENIED: &str = "of a network that --deny-cidr closes (private_address)";
        let url = url::parse(url).ok()?;
        if let Some(led) = led.filter(|led| led.typed) {
            // Typed like a seed; of several addresses one that is open will do.
            let literal: Option<IpAddr> = led.host.parse().ok();
            let addresses = led.addresses.as_deref().unwrap_or(literal.as_slice());
            let is_denied = |address: &IpAddr| self.denied.iter().any(|network| network.contains(address));
            return (!addresses.is_empty() && addresses.iter().all(is_denied)).then_some(DENIED);
        }
        let is_typed = url.host_str().is_some_and(|host| self.typed_hosts.iter().any(|typed| typed == host));
        if literal_is_denied(&url, self.denied) {
            Some(DENIED)
        } else if !self.allow_private && !is_typed && literal_is_private(&url) {
            Some("private: a link does not lead there without --allow-private (private_address)")
        } else {
            None
        }
    }
}

/// How fast the host would be asked.
struct Pace<'a> {
    delay: Duration,
    /// For scripts: `none delay crawl_delay`.
    from: &'static str,
    /// Line of robots.txt that names it.
    line: Option<u32>,
    at_once: u32,
    rate: Option<&'a str>,
}

impl<'a> Pace<'a> {
    fn new(settings: &HostLimits, robots: Option<&Told<'_>>, rate: Option<&'a str>) -> Self {
        let theirs = robots.and_then(Told::crawl_delay).filter(|(delay, _)| *delay > settings.delay);
        let (delay, from, line) = match theirs {
            Some((delay, line)) => (delay, "crawl_delay", Some(line)),
            None if settings.delay.is_zero() => (Duration::ZERO, "none", None),
            None => (settings.delay, "delay", None),
        };
        let at_once = if delay.is_zero() { settings.places } else { 1 };
        Self { delay, from, line, at_once, rate }
    }

    fn text(&self) -> String {
        let mut text = match self.line {
            Some(line) => format!("{}s, the Crawl-delay of robots.txt (line {line})", self.delay.as_secs_f64()),
            None if self.delay.is_zero() => "none".to_owned(),
            None => format!("{}s, of --delay", self.delay.as_secs_f64()),
        };
        let _ = match self.at_once {
            1 => write!(text, "; one request at a time"),
            many => write!(text, "; up to {many} requests at a time"),
        };
        if let Some(rate) = self.rate {
            let _ = write!(text, "; at most {rate}");
        }
        text
    }
}

/// All about one URL.
struct Explained<'a> {
    typed: &'a str,
    url: &'a str,
    is_seed: bool,
    /// Why its address is not connected to.
    closed: Option<&'static str>,
    /// What is connected to instead of its host.
    led: Option<Target>,
    scope: &'a Scope,
    robots: Option<Told<'a>>,
    pace: Pace<'a>,
    agent: &'a str,
}

impl Explained<'_> {
    fn in_scope(&self) -> bool {
        self.is_seed || self.scope.link(self.url, DEPTH).is_ok()
    }

    fn scope_text(&self) -> String {
        if self.is_seed { "a seed: always wanted".to_owned() } else { self.scope.explain(self.url, DEPTH) }
    }

    fn text(&self) -> String {
        let robots = match &self.robots {
            Some(told) => format!("{}: {}", if told.allowed { "allowed" } else { "disallowed" }, told.why),
            None => "not asked: --robots ignore".to_owned(),
        };
        let led = self.led.as_ref().map(led_text);
        let (scope, pace) = (self.scope_text(), self.pace.text());
        let typed = crate::settings::one_line(self.typed);
        let mut text = format!("{typed}\n");
        let mut rows = vec![
            ("canonical", self.url),
            ("host key", host_key_of(self.url)),
            ("scope", &scope),
            ("robots", &robots),
            ("delay", &pace),
        ];
        if let Some(why) = self.closed {
            rows.insert(rows.len() - 2, ("address", why));
        }
        if let Some(led) = &led {
            rows.insert(2, ("led to", led));
        }
        for (what, told) in rows {
            let _ = writeln!(text, "  {what:<10}  {told}");
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "input": self.typed,
            "url": self.url,
            "host_key": host_key_of(self.url),
            "seed": self.is_seed,
            "private_address": self.closed.is_some(),
            "led_to": self.led.as_ref().map(|led| {
                let addresses = led.addresses.iter().flat_map(|list| list.iter());
                json!({
                    "host": &*led.host,
                    "port": led.port,
                    "addresses": addresses.map(ToString::to_string).collect::<Vec<_>>(),
                })
            }),
            "scope": { "in_scope": self.in_scope(), "why": self.scope_text() },
            "robots": self.robots.as_ref().map(|told| told.json(self.agent)),
            "delay_s": self.pace.delay.as_secs_f64(),
            "delay_from": self.pace.from,
            "host_concurrency": self.pace.at_once,
            "host_rate": self.pace.rate,
        })
    }
}

/// Host, port and addresses, and who says so.
fn led_text(led: &Target) -> String {
    let host = if led.host.contains(':') { format!("[{}]", led.host) } else { led.host.to_string() };
    let addresses: Vec<_> = led.addresses.iter().flat_map(|list| list.iter()).map(ToString::to_string).collect();
    let at = if addresses.is_empty() { String::new() } else { format!(" at {}", addresses.join(", ")) };
    format!("{host}:{}{at}, by --resolve or --connect-to (not through a proxy)", led.port)
}
