//! Which links are wanted: scope, include and exclude, depth.
//!
//! It decides from the canonical URL alone; whether a URL was seen, may be asked (robots) or is a private address is
//! decided elsewhere. The engine asks it for every link of every page, so the common case, a link to a seed's own host,
//! is one hash lookup without allocation. Seeds are never asked about: they are wanted because they were typed. Source of
//! registrable domains: the public suffix list (publicsuffix.org), compiled in.

use std::net::Ipv4Addr;

use foldhash::HashSet;

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
        Self { settings, wanted: HashSet::default(), hosts: HashSet::default() }
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

    /// The pattern of `exclude` that matches a canonical URL, if one does.
    #[must_use]
    pub fn excluded_by(&self, url: &str) -> Option<&regex::Regex> {
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

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    fn scope(rule: Rule, seeds: &[&str]) -> Scope {
        let mut scope = Scope::new(ScopeSettings { rule, ..ScopeSettings::default() });
        for seed in seeds {
            scope.add_seed(seed);
        }
        scope
    }

    fn check(scope: &Scope, cases: &[(&str, bool)]) {
        for &(url, wanted) in cases {
            assert_eq!(scope.link(url, 1).is_ok(), wanted, "{url}");
            assert_eq!(scope.redirect(url).is_ok(), wanted, "redirect {url}");
            assert_eq!(scope.explain(url, 1).starts_with("in scope"), wanted, "explain {url}");
        }
    }

    #[test]
    fn host_is_the_host_key() {
        check(
            &scope(Rule::Host, &["https://a.example/x/y", "http://b.example:8080/"]),
            &[
                ("https://a.example/", true),
                // The scheme is not part of a host key whose port is the scheme's own.
                ("http://a.example/z?q", true),
                ("https://a.example:8443/", false),
                ("https://www.a.example/", false),
                ("http://b.example:8080/z", true),
                ("http://b.example/", false),
                ("https://example/", false),
            ],
        );
    }

    #[test]
    fn domain_is_the_registrable_domain() {
        check(
            &scope(
                Rule::Domain,
                &[
                    "https://www.example.co.uk/",
                    "http://192.0.2.1:8080/",
                    "http://[2001:db8::1]/",
                    "http://localhost:1/",
                ],
            ),
            &[
                ("https://example.co.uk/", true),
                ("http://a.b.example.co.uk:8080/", true),
                ("https://other.co.uk/", false),
                ("https://co.uk/", false),
                // The part after the last dot but one of an address is no domain.
                ("http://192.0.2.1/", true),
                ("http://198.0.2.1/", false),
                ("http://[2001:db8::1]:81/", true),
                ("http://[2001:db8::2]/", false),
                ("http://localhost/", true),
                ("http://other/", false),
            ],
        );
        // Names below a public suffix of the list's private part are strangers to each other.
        check(
            &scope(Rule::Domain, &["https://me.github.io/"]),
            &[("https://you.github.io/", false), ("https://github.io/", false), ("https://x.me.github.io/", true)],
        );
        // A public suffix as a seed is only itself.
        check(
            &scope(Rule::Domain, &["https://github.io/"]),
            &[("https://github.io/a", true), ("https://me.github.io/", false)],
        );
    }

    #[test]
    fn prefix_is_the_directory_on_the_origin() {
        check(
            &scope(
                Rule::Prefix,
                &["https://a.example/docs/guide/index.html?v=/2/", "https://b.example", "https://c.example/docs"],
            ),
            &[
                ("https://a.example/docs/guide/", true),
                ("https://a.example/docs/guide/a/b.html", true),
                ("https://a.example/docs/guide", false),
                ("https://a.example/docs/guidebook/", false),
                ("https://a.example/docs/", false),
                ("https://a.example/x?to=/docs/guide/", false),
                ("https://a.example/?https://a.example/docs/guide/", false),
                ("http://a.example/docs/guide/", false),
                ("https://a.example:8443/docs/guide/", false),
                ("https://a.example.org/docs/guide/", false),
                ("https://c.example/docs/x", true),
                ("https://c.example/other", true),
            ],
        );
    }

    #[test]
    fn any_needs_no_seed_and_the_others_do() {
        check(&scope(Rule::Any, &[]), &[("https://a.example/", true)]);
        for rule in [Rule::Host, Rule::Domain, Rule::Prefix] {
            check(&scope(rule, &[]), &[("https://a.example/", false)]);
        }
    }

    #[test]
    fn a_seed_says_whether_it_widens_the_scope() {
        let widens = |rule, seeds: [&str; 4]| {
            let mut scope = scope(rule, &[]);
            seeds.map(|seed| scope.add_seed(seed))
        };
        let seeds =
            ["https://a.example/x/", "https://a.example/x/y/z", "https://www.a.example/x/", "https://a.example/"];
        assert_eq!(widens(Rule::Host, seeds), [true, false, true, false]);
        assert_eq!(widens(Rule::Domain, seeds), [true, false, false, false]);
        assert_eq!(widens(Rule::Prefix, seeds), [true, false, true, true]);
        assert_eq!(widens(Rule::Any, seeds), [false; 4]);
    }

    #[test]
    fn include_and_exclude_look_at_the_whole_url_and_exclude_wins() {
        let pattern = |text| Regex::new(text).unwrap();
        let mut scope = Scope::new(ScopeSettings {
            rule: Rule::Host,
            include: vec![pattern(r"/docs/"), pattern(r"\.pdf$")],
            exclude: vec![pattern(r"[?&]print=1"), pattern("^http:")],
            max_depth: Some(2),
        });
        assert!(scope.add_seed("https://a.example/"));
        check(
            &scope,
            &[
                ("https://a.example/docs/x", true),
                ("https://a.example/b/c.pdf", true),
                ("https://a.example/b/c.pdf?x", false),
                ("https://a.example/", false),
                ("https://a.example/docs/x?a=b&print=1", false),
                ("http://a.example/docs/x", false),
                ("https://b.example/docs/x", false),
            ],
        );
        assert!(scope.explain("http://a.example/docs/x", 1).contains("--exclude '^http:'"));
        assert!(scope.explain("https://a.example/", 1).contains("--include"));
    }

    #[test]
    fn depth_is_asked_after_scope_and_not_of_redirects() {
        let mut scope = Scope::new(ScopeSettings { max_depth: Some(2), ..ScopeSettings::default() });
        scope.add_seed("https://a.example/");
        assert_eq!(scope.link("https://a.example/x", 2), Ok(()));
        assert_eq!(scope.link("https://a.example/x", 3), Err(SkipReason::Depth));
        assert_eq!(scope.link("https://b.example/x", 3), Err(SkipReason::Scope));
        assert_eq!(scope.redirect("https://a.example/x"), Ok(()));
        assert_eq!(scope.explain("https://a.example/x", 3), "too deep: 3 links from a seed, --max-depth is 2");
        let mut seeds_only = Scope::new(ScopeSettings { max_depth: Some(0), ..ScopeSettings::default() });
        seeds_only.add_seed("https://a.example/");
        assert_eq!(seeds_only.link("https://a.example/x", 1), Err(SkipReason::Depth));
    }
}
