//! Where a host is really connected to: what the user says of it, instead of the resolver (`--resolve`, `--connect-to`).
//!
//! Decides, from a host and a port of a URL, which host, port and addresses stand for them; the URL, its `Host` header and
//! the name in TLS stay what they are. An address or a host that was typed here counts as typed: the guard lets it pass.
//! Never resolves, never connects. Called by `dial`; `lycosa explain` asks it what would be.
//!
//! Source: curl(1) of 7.88. A later `--resolve` of the same host and port replaces an earlier one, `-HOST:PORT` takes it
//! back, `*` stands for hosts without an entry of their own; `+` (an entry that times out) changes nothing in one run. The
//! first `--connect-to` that fits is taken; an empty HOST1 or PORT1 fits all, an empty HOST2 or PORT2 changes nothing.
//! What `--connect-to` leads to is looked up in `--resolve` in its turn.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;
use url::Host;

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{entry}' {reason}")]
pub struct OverrideError {
    entry: String,
    reason: &'static str,
}

/// All that was typed about where hosts are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// By host and port; the host `*` is any other.
    addresses: HashMap<(Box<str>, u16), Arc<[IpAddr]>>,
    targets: Vec<Rule>,
}

/// One `--connect-to`; None fits all, or changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    host: Option<Box<str>>,
    port: Option<u16>,
    to_host: Option<Box<str>>,
    to_port: Option<u16>,
}

/// What is connected to instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: Box<str>,
    pub port: u16,
    /// Those of the host; None: it has to be resolved.
    pub addresses: Option<Arc<[IpAddr]>>,
    /// The user named the address, or the host, that is connected to.
    pub typed: bool,
}

impl Overrides {
    /// Reads the entries of `--resolve`, in order: `[+]HOST:PORT:ADDRESS[,ADDRESS]…` or `-HOST:PORT`.
    ///
    /// # Errors
    /// The first entry that cannot be read.
    pub fn resolve(mut self, entries: &[String]) -> Result<Self, OverrideError> {
        for entry in entries {
            let error = |reason| OverrideError { entry: entry.clone(), reason };
            let (gone, rest) = match entry.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, entry.strip_prefix('+').unwrap_or(entry)),
            };
            let (name, rest) = field(rest).ok_or_else(|| error("has no port: HOST:PORT:ADDRESS"))?;
            let (number, list) = rest.split_once(':').map_or((rest, None), |(port, list)| (port, Some(list)));
            let number = port(number).ok_or_else(|| error("has a port that is no number from 1 to 65535"))?;
            let name = host(name).ok_or_else(|| error("names no host"))?;
            let key = (name, number);
            if gone {
                self.addresses.remove(&key);
                continue;
            }
            let list = list.ok_or_else(|| error("has no address: HOST:PORT:ADDRESS"))?;
            let texts = list.split(',').map(str::trim).filter(|text| !text.is_empty());
            let read = texts.map(|text| text.trim_matches(['[', ']']).parse()).collect::<Result<Vec<IpAddr>, _>>();
            let addresses = read.map_err(|_| error("has an address that is none"))?;
            if addresses.is_empty() {
                return Err(error("has no address: HOST:PORT:ADDRESS"));
            }
            self.addresses.insert(key, addresses.into());
        }
        Ok(self)
    }

    /// Reads the entries of `--connect-to`, in order: `HOST1:PORT1:HOST2:PORT2`, each of them may be empty.
    ///
    /// # Errors
    /// The first entry that cannot be read.
    pub fn connect_to(mut self, entries: &[String]) -> Result<Self, OverrideError> {
        for entry in entries {
            let error = |reason| OverrideError { entry: entry.clone(), reason };
            let shape = || error("is not HOST1:PORT1:HOST2:PORT2");
            let number = |text: &str| match text {
                "" => Ok(None),
                text => port(text).map(Some).ok_or_else(|| error("has a port that is no number from 1 to 65535")),
            };
            let name = |text: &str| match text {
                "" => Ok(None),
                text => host(text).map(Some).ok_or_else(|| error("has a host that is none")),
            };
            let (from_host, rest) = field(entry).ok_or_else(shape)?;
            let (from_port, rest) = rest.split_once(':').ok_or_else(shape)?;
            let (to_host, to_port) = field(rest).unwrap_or((rest, ""));
            self.targets.push(Rule {
                host: name(from_host)?,
                port: number(from_port)?,
                to_host: name(to_host)?,
                to_port: number(to_port)?,
            });
        }
        Ok(self)
    }

    /// Whether a host and port of a URL are led elsewhere, and not only resolved otherwise.
    pub(super) fn lead_elsewhere(&self, host: &str, port: u16) -> bool {
        !self.targets.is_empty()
            && self.target(host, port).is_some_and(|target| *target.host != *bare(host) || target.port != port)
    }

    /// What stands for a host and port of a URL; None: the host and the port themselves, by the resolver.
    #[must_use]
    pub fn target(&self, host: &str, port: u16) -> Option<Target> {
        if self.addresses.is_empty() && self.targets.is_empty() {
            return None;
        }
        let host = bare(host);
        let rule = self
            .targets
            .iter()
            .find(|rule| rule.host.as_ref().is_none_or(|of| **of == *host) && rule.port.is_none_or(|of| of == port));
        let to_host = rule.and_then(|rule| rule.to_host.as_deref());
        let new_host = to_host.unwrap_or(host);
        let new_port = rule.and_then(|rule| rule.to_port).unwrap_or(port);
        let addresses = self.addresses_of(new_host, new_port).cloned();
        let typed = to_host.is_some() || addresses.is_some();
        (typed || new_port != port).then(|| Target { host: new_host.into(), port: new_port, addresses, typed })
    }

    /// The addresses that were typed for a host and port.
    pub(super) fn addresses_of(&self, host: &str, port: u16) -> Option<&Arc<[IpAddr]>> {
        let of = |host: &str| self.addresses.get(&(Box::from(host), port));
        of(bare(host)).or_else(|| of("*"))
    }
}

/// A host and what stands behind its colon; a literal IPv6 address stands in brackets.
fn field(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        return Some((address, rest.strip_prefix(':')?));
    }
    text.split_once(':')
}

/// As hosts stand in the table: without brackets, and without the dot of a full name.
fn bare(host: &str) -> &str {
    let host = host.trim_matches(['[', ']']);
    host.strip_suffix('.').unwrap_or(host)
}

/// The host in the spelling of URLs.
fn host(text: &str) -> Option<Box<str>> {
    if text == "*" {
        return Some("*".into());
    }
    if let Ok(IpAddr::V6(address)) = text.parse() {
        return Some(address.to_string().into());
    }
    Host::parse(text).ok().map(|host| bare(&host.to_string()).into())
}

/// None: not a port.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(resolve: &[&str], connect_to: &[&str]) -> Overrides {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Overrides::default().resolve(&owned(resolve)).unwrap().connect_to(&owned(connect_to)).unwrap()
    }

    /// `HOST:PORT` or `HOST:PORT=ADDRESSES`, with `!` behind what was typed.
    fn target(overrides: &Overrides, host: &str, port: u16) -> String {
        overrides.target(host, port).map_or_else(String::new, |target| {
            let list = target.addresses.iter().flat_map(|list| list.iter());
            let list = list.map(ToString::to_string).collect::<Vec<_>>().join(",");
            format!("{}:{}={list}{}", target.host, target.port, if target.typed { "!" } else { "" })
        })
    }

    #[test]
    fn resolve_names_the_addresses_of_one_host_and_port() {
        let all = overrides(&["Example.ORG:80:127.0.0.1,[::1] ,127.0.0.2", "+b:443:::1"], &[]);
        assert_eq!(target(&all, "example.org", 80), "example.org:80=127.0.0.1,::1,127.0.0.2!");
        assert_eq!(target(&all, "example.org.", 80), "example.org:80=127.0.0.1,::1,127.0.0.2!");
        assert_eq!(target(&all, "b", 443), "b:443=::1!");
        assert_eq!((target(&all, "example.org", 81), target(&all, "b", 80)), (String::new(), String::new()));
    }

    #[test]
    fn later_entries_of_resolve_replace_and_take_back() {
        let all = overrides(&["a:80:10.0.0.1", "a:80:10.0.0.2", "b:80:10.0.0.3", "-b:80", "*:80:10.0.0.9"], &[]);
        assert_eq!(target(&all, "a", 80), "a:80=10.0.0.2!");
        assert_eq!(target(&all, "b", 80), "b:80=10.0.0.9!");
        assert_eq!(target(&all, "b", 81), "");
    }

    #[test]
    fn connect_to_has_fields_that_may_be_empty() {
        let cases = [
            ("a:80:b:81", "a", 80, "b:81=!"),
            ("a:80:b:81", "a", 81, ""),
            ("a:80:b:81", "c", 80, ""),
            ("::b:81", "whatever", 7, "b:81=!"),
            (":80::81", "a", 80, "a:81="),
            ("a::[::1]:", "a", 443, "::1:443=!"),
            ("[::1]:80:b:", "[::1]", 80, "b:80=!"),
            ("A:80:127.0.0.1", "a", 80, "127.0.0.1:80=!"),
            (":::", "a", 80, ""),
        ];
        for (entry, host, port, expected) in cases {
            assert_eq!(target(&overrides(&[], &[entry]), host, port), expected, "{entry} {host}:{port}");
        }
    }

    #[test]
    fn the_first_connect_to_that_fits_leads_on_to_resolve() {
        let all = overrides(&["b:81:10.0.0.1"], &["a:80:b:81", "a:80:c:82"]);
        assert_eq!(target(&all, "a", 80), "b:81=10.0.0.1!");
        assert_eq!(
            [("a", 80), ("a", 81), ("b", 81)].map(|(host, port)| all.lead_elsewhere(host, port)),
            [true, false, false]
        );
        assert!(!overrides(&["a:80:10.0.0.1"], &["a:80::80"]).lead_elsewhere("a", 80), "the same place");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let resolve = |text: &str| Overrides::default().resolve(&[text.to_owned()]).unwrap_err().to_string();
        let connect_to = |text: &str| Overrides::default().connect_to(&[text.to_owned()]).unwrap_err().to_string();
        for (text, reason) in [
            ("a", "has no port"),
            ("a:b:10.0.0.1", "no number"),
            ("a:0:10.0.0.1", "no number"),
            ("a:80", "has no address"),
            ("a:80:", "has no address"),
            ("a:80:b", "address that is none"),
            ("a:80:10.0.0.1,x", "address that is none"),
            (":80:10.0.0.1", "names no host"),
        ] {
            assert!(resolve(text).contains(reason), "{text}: {}", resolve(text));
        }
        for (text, reason) in [("a", "is not HOST1"), ("a:80", "is not HOST1"), ("a:x:b:1", "no number")] {
            assert!(connect_to(text).contains(reason), "{text}: {}", connect_to(text));
        }
    }
}
