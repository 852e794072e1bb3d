//! The bundled demonstration: a site of seven hosts on loopback, the settings it is crawled with, and what has to come
//! of it.
//!
//! Decides the cast and the settings. Never crawls, and writes nothing: `commands::demo` does. What each host does with
//! a request is in [`script`], the sockets are in [`site`], and [`story`] compares what was seen with what was scripted.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lycosa::crawl::Settings;
use lycosa::engine::settings::EngineSettings;
use lycosa::fetch::client::ClientSettings;
use lycosa::policy::breaker::BreakerSettings;
use lycosa::policy::retry::RetrySettings;
use lycosa::policy::scope::{Rule, ScopeSettings};
use lycosa::seeds::Source;

pub mod script;
pub mod site;
pub mod story;
#[cfg(test)]
mod tests;

use site::Site;

/// The hosts, in the order of [`Role::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Healthy,
    Slow,
    Limited,
    Flaky,
    Recovering,
    Dead,
    Robots,
}

impl Role {
    pub const ALL: [Self; 7] =
        [Self::Healthy, Self::Slow, Self::Limited, Self::Flaky, Self::Recovering, Self::Dead, Self::Robots];

    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slow => "slow",
            Self::Limited => "rate-limited",
            Self::Flaky => "flaky",
            Self::Recovering => "recovering",
            Self::Dead => "dead",
            Self::Robots => "robots",
        }
    }

    /// What the host is going to do, for the opening words.
    fn plan(self) -> String {
        let pages = script::paths(self).len();
        match self {
            Self::Healthy => format!("a tree of {pages} pages, and links to all other hosts"),
            Self::Slow => format!("{pages} pages, each {:?} late", script::SLOWNESS),
            Self::Limited => format!(
                "{pages} pages; after every {} it refuses (429) with a Retry-After of {:?}",
                script::BURST,
                script::REST
            ),
            Self::Flaky => {
                format!("{pages} pages; every third fails once (500, 503, connection dropped), one is broken")
            }
            Self::Recovering => format!("a page with {} links, then it dies, for a while", pages - 1),
            Self::Dead => format!("a page with {} links, then it dies, for good", pages - 1),
            Self::Robots => format!(
                "{pages} pages; robots.txt says Crawl-delay: {} and Disallow: {}",
                script::CRAWL_DELAY.as_secs_f64(),
                script::PRIVATE
            ),
        }
    }
}

/// The settings of the demonstration's crawl: short times, so that it ends soon. Records go nowhere yet.
pub fn settings(start: &str) -> Settings {
    Settings {
        engine: EngineSettings {
            follow: true,
            unique: true,
            concurrency: 16,
            host_concurrency: 4,
            timeout: Some(Duration::from_secs(5)),
            // A crawl that does not come to its end is a failure of the demonstration, and nobody should wait for it.
            deadline: Some(Duration::from_secs(20)),
            // One more than a crawl's default: an early retry, before the breaker has opened, and a failed probe must
            // not use up the attempts of a page that the recovering host will serve.
            retry: RetrySettings { retries: 3, ..RetrySettings::default() },
            breaker: BreakerSettings { failures: 5, cooldown: Duration::from_secs(1), ..BreakerSettings::default() },
            obey_robots: true,
            scope: ScopeSettings { rule: Rule::Any, ..ScopeSettings::default() },
            seed: fastrand::u64(..),
            ..EngineSettings::default()
        },
        // Empty is no proxy at all: a proxy of the environment could not reach this process by its loopback address.
        client: ClientSettings { proxy: Some(Vec::new()), ..ClientSettings::default() },
        seeds: vec![Source::Arguments(vec![start.to_owned()])].into(),
        outputs: Vec::new(),
        cache: None,
        commands: lycosa::sinks::command::CommandSettings::default(),
        save_bodies: None,
    }
}

/// The opening words: who is on stage, and the crawl as it would be typed. Lines, each with its `\n`.
pub fn opening(site: &Site, settings: &Settings) -> String {
    let mut out = format!("demo: a site of {} hosts in this process, crawled live over loopback\n", Role::ALL.len());
    for role in Role::ALL {
        let _ = writeln!(out, "  {} {}", label(role, site.address(role)), role.plan());
    }
    let engine = &settings.engine;
    let _ = write!(
        out,
        "as: lycosa crawl {} --scope any -j {} --host-concurrency {} --retries {}",
        site.start_url(),
        engine.concurrency,
        engine.host_concurrency,
        engine.retry.retries,
    );
    let _ =
        write!(out, " --breaker-failures {} --breaker-cooldown {:?}", engine.breaker.failures, engine.breaker.cooldown);
    for (flag, time) in [("timeout", engine.timeout), ("deadline", engine.deadline)] {
        if let Some(time) = time {
            let _ = write!(out, " --{flag} {time:?}");
        }
    }
    out.push_str(" --proxy ''\n\n");
    out
}

/// Name and address in columns.
fn label(role: Role, address: SocketAddr) -> String {
    format!("{:<12}  {address:<15}", role.name())
}
