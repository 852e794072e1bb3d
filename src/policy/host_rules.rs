//! What holds for some hosts and not for others: limits by patterns of host keys.
//!
//! Decides which pattern fits a host, and that each limit comes from the first rule that fits and states it. Never knows
//! where a rule was written. Called by the engine, once for each host it comes to know, and by `fetch::client`.

use std::time::Duration;

use crate::model::units::Rate;

/// A pattern of host keys: `example.org`, `example.org:8080`, `*.example.org` (what is below, not itself),
/// `example.org:*` (every port), `*` (every host). IPv6 addresses stand in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower-case ASCII; of `*.example.org` the part behind the star with its dot, of `*` nothing.
    name: Box<str>,
    below: bool,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    /// That of the scheme: a host key has none then.
    Usual,
    Any,
    Is(Box<str>),
}

/// A text that is no pattern of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    #[error("a host has no scheme and no path (example.org, *.example.org, example.org:8080)")]
    Url,
    #[error("not a port (a number, or * for every port)")]
    Port,
    #[error("a star stands alone or for what is below a domain (*, *.example.org)")]
    Star,
    #[error("not the name or address of a host")]
    Host,
}

impl HostPattern {
    /// Reads a pattern; names may have other letters than ASCII.
    ///
    /// # Errors
    /// What it should have been.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains(['/', '?', '#', '@']) {
            return Err(PatternError::Url);
        }
        if text == "*" {
            return Ok(Self { name: "".into(), below: true, port: Port::Any });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port_of(port)?),
            _ => (text, Port::Usual),
        };
        let (below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        if name.contains('*') {
            return Err(PatternError::Star);
        }
        let name = url::Host::parse(name).map_err(|_| PatternError::Host)?.to_string();
        let name = if below { format!(".{name}") } else { name };
        Ok(Self { name: name.into(), below, port })
    }

    /// Whether a host key is meant.
    #[must_use]
    pub fn fits(&self, host_key: &str) -> bool {
        let (host, port) = match host_key.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (host_key, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_host = if self.below { host.ends_with(&*self.name) } else { host == &*self.name };
        is_host
            && match &self.port {
                Port::Any => true,
                Port::Usual => port.is_none(),
                Port::Is(number) => port == Some(&**number),
            }
    }

    /// Whether it names somebody; `*` names nobody.
    #[must_use]
    pub fn names(&self) -> bool {
        !self.name.is_empty()
    }
}

fn port_of(text: &str) -> Result<Port, PatternError> {
    match text.parse::<u16>() {
        _ if text == "*" => Ok(Port::Any),
        // A host key has no port that the scheme has anyway; which of the two it was is not known here.
        Ok(80 | 443) => Ok(Port::Usual),
        Ok(number) if number > 0 => Ok(Port::Is(number.to_string().into())),
        _ => Err(PatternError::Port),
    }
}

/// The limits that may differ from host to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Starts of requests; None is no limit.
    pub rate: Option<Rate>,
    /// Requests in flight; at least 1.
    pub places: u32,
    /// From the end of a request to the start of the next.
    pub delay: Duration,
    /// One request, whole; None is no limit.
    pub timeout: Option<Duration>,
    /// Further attempts after the first.
    pub retries: u32,
    /// Bytes of a body after decoding; None is no limit.
    pub max_filesize: Option<u64>,
}

/// What a rule states for the hosts that it fits; None leaves it to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostRule {
    pub patterns: Vec<HostPattern>,
    pub rate: Option<Option<Rate>>,
    pub places: Option<u32>,
    pub delay: Option<Duration>,
    pub timeout: Option<Option<Duration>>,
    pub retries: Option<u32>,
    pub max_filesize: Option<Option<u64>>,
}

impl HostRule {
    #[must_use]
    pub fn fits(&self, host_key: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.fits(host_key))
    }
}

/// What holds for a host: of the rules that fit it the first that states a limit, else that of the run.
#[must_use]
pub fn limits_of(host_key: &str, rules: &[HostRule], run: HostLimits) -> HostLimits {
    let mut limits = run;
    // The first counts, so it is laid over the others last.
    for rule in rules.iter().rev().filter(|rule| rule.fits(host_key)) {
        limits = HostLimits {
            rate: rule.rate.unwrap_or(limits.rate),
            places: rule.places.unwrap_or(limits.places),
            delay: rule.delay.unwrap_or(limits.delay),
            timeout: rule.timeout.unwrap_or(limits.timeout),
            retries: rule.retries.unwrap_or(limits.retries),
            max_filesize: rule.max_filesize.unwrap_or(limits.max_filesize),
        };
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, host_key, fits) in [
            ("example.org", "example.org", true),
            ("Example.ORG", "example.org", true),
            ("example.org", "example.org.", true),
            ("example.org", "www.example.org", false),
            ("example.org", "example.org:8080", false),
            ("example.org:8080", "example.org:8080", true),
            ("example.org:8080", "example.org", false),
            ("example.org:443", "example.org", true),
            ("example.org:*", "example.org", true),
            ("example.org:*", "example.org:1", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "notexample.org", false),
            ("*.example.org", "a.example.org:81", false),
            ("*.example.org:*", "a.example.org:81", true),
            ("*", "anything:9", true),
            ("b\u{fc}cher.example", "xn--bcher-kva.example", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("[::1]", "[::1]", true),
            ("[::1]:81", "[::1]:81", true),
            ("[::1]:*", "[::1]", true),
            ("[::1]", "[::1]:81", false),
        ] {
            let parsed = HostPattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(parsed.fits(host_key), fits, "{pattern} for {host_key}");
            assert_eq!(parsed.names(), pattern != "*");
        }
        for (text, error) in [
            ("https://example.org", PatternError::Url),
            ("example.org/a", PatternError::Url),
            ("u:p@h", PatternError::Url),
            ("a:port", PatternError::Port),
            ("a:0", PatternError::Port),
            ("a:70000", PatternError::Port),
            ("ex*mple.org", PatternError::Star),
            ("*.*.org", PatternError::Star),
            ("*example.org", PatternError::Star),
            ("", PatternError::Host),
            ("a b", PatternError::Host),
        ] {
            assert_eq!(HostPattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn each_limit_comes_from_the_first_rule_that_states_it() {
        let run = HostLimits {
            rate: None,
            places: 8,
            delay: Duration::ZERO,
            timeout: Some(Duration::from_secs(30)),
            retries: 2,
            max_filesize: Some(16),
        };
        let of =
            |pattern: &str| HostRule { patterns: vec![HostPattern::parse(pattern).unwrap()], ..HostRule::default() };
        let rules = [
            HostRule { timeout: Some(None), places: Some(1), ..of("a.example.org") },
            HostRule { places: Some(2), retries: Some(0), ..of("*.example.org") },
            HostRule { retries: Some(9), max_filesize: Some(None), ..of("*") },
        ];
        let limits = |host: &str| limits_of(host, &rules, run);
        assert_eq!(
            limits("a.example.org"),
            HostLimits { timeout: None, places: 1, retries: 0, max_filesize: None, ..run }
        );
        assert_eq!(limits("b.example.org"), HostLimits { places: 2, retries: 0, max_filesize: None, ..run });
        assert_eq!(limits("other"), HostLimits { retries: 9, max_filesize: None, ..run });
        assert_eq!(limits_of("a.example.org", &[], run), run);
    }
}
