//! Which links are wanted: scope, include and exclude, depth.
//!
//! It decides from the canonical URL alone; whether a URL was seen, may be asked (robots) or is a private address is
//! decided elsewhere. The engine asks it for every link of every page, so the common case, a link to a seed's own host,
//! is one hash lookup without allocation. Seeds are never asked about: they are wanted because they were typed. Source of
//! registrable domains: the public suffix list (publicsuffix.org), compiled in.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use crate::model::record::SkipReason;
use crate::model::url::{host_key_of, origin_of};

/// How far from the seeds links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// Same host key as a seed.
    #[default]
    Host,
    /// Same registrable domain as a seed (public suffix list), on any port; an IP address only itself.
    Domain,
    /// Below the directory of a seed, on its origin.
    Prefix,
    Any,
}

/// Resolved settings of scope.
#[derive(Debug, Clone, Default)]
pub struct ScopeSettings {
    pub rule: Rule,
    /// Unanchored, over the whole canonical URL; any match counts; none: everything.
    pub include: Vec<regex::Regex>,
    /// As `include`, and stronger.
    pub exclude: Vec<regex::Regex>,
    /// Links from a seed; None is no limit.
    pub max_depth: Option<u32>,
}

/// The scope of a run: settings and what the seeds have added.
#[derive(Debug)]
pub struct Scope {
    settings: ScopeSettings,
    /// What the seeds have added, in the terms of the rule: host keys; names (registrable domains, and names that have
    /// none); directories with their origin, `https://example.org/docs/`.
    wanted: HashSet<Box<str>>,
    /// With [`Rule::Domain`]: host keys of seeds, so that most links do not need the suffix list.
    hosts: HashSet<Box<str>>,
}

impl Scope {
    #[must_use]
    pub fn new(settings: ScopeSettings) -> Self {
        Self { settings, wanted: HashSet::new(), hosts: HashSet::new() }
    }

    /// A seed's URL, or the URL a seed finally redirected to, widens the scope. Canonical. Returns whether the scope
    /// is wider now.
    pub fn add_seed(&mut self, url: &str) -> bool {
        let key = match self.settings.rule {
            Rule::Any => return false,
            Rule::Host => host_key_of(url),
            Rule::Domain => {
                self.hosts.insert(host_key_of(url).into());
                registrable(host_key_of(url))
            }
            Rule::Prefix if self.is_below_a_seed(url) => return false,
            Rule::Prefix => directory(url),
        };
        self.wanted.insert(key.into())
    }

    /// May a link (canonical URL) found at `depth` links from a seed be followed?
    ///
    /// # Errors
    /// `Scope` or `Depth`: scope is asked first.
    pub fn link(&self, url: &str, depth: u32) -> Result<(), SkipReason> {
        self.redirect(url)?;
        match self.settings.max_depth {
            Some(max) if depth > max => Err(SkipReason::Depth),
            _ => Ok(()),
        }
    }

    /// May a redirect of a link lead here (canonical URL)? Redirects do not count for depth; include and exclude hold.
    ///
    /// # Errors
    /// `Scope`.
    pub fn redirect(&self, url: &str) -> Result<(), SkipReason> {
        let wanted = self.obeys_rule(url) && self.excluded_by(url).is_none() && self.is_included(url);
        if wanted { Ok(()) } else { Err(SkipReason::Scope) }
    }

    /// For `lycosa explain`: the rule that decided, in words.
    #[must_use]
    pub fn explain(&self, url: &str, depth: u32) -> String {
        let (name, subject) = match self.settings.rule {
            Rule::Any => ("any", "every URL".to_owned()),
            Rule::Host => ("host", format!("host {}", host_key_of(url))),
            Rule::Domain => ("domain", format!("domain {}", registrable(host_key_of(url)))),
            Rule::Prefix => ("prefix", format!("directory {}", directory(url))),
        };
        if !self.obeys_rule(url) {
            return format!("out of scope: {subject} belongs to no seed (scope {name})");
        }
        if let Some(pattern) = self.excluded_by(url) {
            return format!("out of scope: --exclude '{pattern}' matches");
        }
        if !self.is_included(url) {
            return "out of scope: no --include matches".to_owned();
        }
        match self.settings.max_depth {
            Some(max) if depth > max => format!("too deep: {depth} links from a seed, --max-depth is {max}"),
            _ if self.settings.rule == Rule::Any => "in scope: every URL is (scope any)".to_owned(),
            _ => format!("in scope: {subject} belongs to a seed (scope {name})"),
        }
    }

    fn obeys_rule(&self, url: &str) -> bool {
        match self.settings.rule {
            Rule::Any => true,
            Rule::Host => self.wanted.contains(host_key_of(url)),
            Rule::Domain => {
                let host = host_key_of(url);
                self.hosts.contains(host) || self.wanted.contains(registrable(host))
            }
            Rule::Prefix => self.is_below_a_seed(url),
        }
    }

    /// Looks up each directory above the URL: as many lookups as its path is deep, however many seeds there are.
    fn is_below_a_seed(&self, url: &str) -> bool {
        let path_start = origin_of(url).len();
        without_query(url)
            .bytes()
            .enumerate()
            .skip(path_start)
            .any(|(at, byte)| byte == b'/' && self.wanted.contains(&url[..=at]))
    }

    fn excluded_by(&self, url: &str) -> Option<&regex::Regex> {
        self.settings.exclude.iter().find(|pattern| pattern.is_match(url))
    }

    fn is_included(&self, url: &str) -> bool {
        self.settings.include.is_empty() || self.settings.include.iter().any(|pattern| pattern.is_match(url))
    }
}

/// The registrable domain of a host key; the host without its port where there is none (an address, `localhost`, a
/// public suffix).
fn registrable(host_key: &str) -> &str {
    let host = match host_key.rfind(':') {
        // Colons inside the brackets of an IPv6 address are not before a port.
        Some(at) if !host_key[at..].contains(']') => &host_key[..at],
        _ => host_key,
    };
    // The list would take the last two numbers of an address for a domain.
    if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return host;
    }
    psl::domain_str(host).unwrap_or(host)
}

fn without_query(url: &str) -> &str {
    &url[..url.find('?').unwrap_or(url.len())]
}

/// Origin and path up to the last `/`: `https://example.org/docs/` of `https://example.org/docs/a.html?q=/`.
fn directory(url: &str) -> &str {
    let path = without_query(url);
    &url[..path.rfind('/').map_or(path.len(), |at| at + 1)]
}
