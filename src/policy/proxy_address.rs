//! Which texts are the address of a proxy.
//!
//! Decides what `-x`, `"proxy"` of jobs, tables of hosts and the variables of the environment may say, so that all of them
//! mean and refuse the same: without a scheme it is an HTTP proxy, and the port is curl's. A host that is written as a
//! number is refused, since it is a mistake (`proxy = 8080`) that URLs turn into an address of somebody else (0.0.31.144).
//! Never shows the text, which may hold a password, nor connects. Called by `fetch::proxies`, `seeds` and the command.

use std::net::Ipv4Addr;

use url::Host;

use crate::model::url::Url;

/// What a proxy may be.
pub const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The address of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    /// As it was typed, with its scheme.
    pub text: String,
    /// With its port, if that is not the scheme's own.
    pub url: Url,
}

/// A text that is none. Fit for a message: nothing of it but scheme or host is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyAddressError {
    #[error("not the address of a proxy: {0}")]
    Unreadable(#[from] url::ParseError),
    #[error("'{0}' is not the scheme of a proxy ({known})", known = SCHEMES.join(", "))]
    Scheme(String),
    #[error("not the address of a proxy: no host")]
    NoHost,
    #[error("'{0}' is a number and no host (a proxy is HOST:PORT or SCHEME://HOST:PORT)")]
    Number(String),
    #[error("not the address of a proxy: no port can be set in it")]
    NoPort,
}

impl ProxyAddress {
    /// Reads an address as curl does.
    ///
    /// # Errors
    /// It cannot be read, or is none of a proxy.
    pub fn parse(text: &str) -> Result<Self, ProxyAddressError> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let (host, port) = typed_host(&text);
        let mut url = match Url::parse(&text) {
            // `http://:8080`, of which the reader says less.
            Err(_) if host.is_empty() => return Err(ProxyAddressError::NoHost),
            url => url?,
        };
        if !SCHEMES.contains(&url.scheme()) {
            return Err(ProxyAddressError::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(ProxyAddressError::NoHost);
        }
        let is_number = matches!(url.host(), Some(Host::Ipv4(_))) || ends_in_a_number(host);
        if is_number && host.trim_end_matches('.').parse::<Ipv4Addr>().is_err() {
            let shown: String = host.chars().take(64).collect();
            return Err(ProxyAddressError::Number(shown.escape_debug().to_string()));
        }
        // curl's default port is 1080 for all but HTTPS proxies. `Url::port` does not tell ":80" from no port.
        if port.is_none() && url.scheme() != "https" {
            url.set_port(Some(1080)).map_err(|()| ProxyAddressError::NoPort)?;
        }
        Ok(Self { text, url })
    }
}

/// Host, without brackets taken off, and port of a URL as they stand there.
fn typed_host(text: &str) -> (&str, Option<&str>) {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    match host_and_port.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (host_and_port, None),
    }
}

/// URLs of the schemes of SOCKS leave numbers as they are, and the system's resolver makes addresses of them.
fn ends_in_a_number(host: &str) -> bool {
    let label = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let hex = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_curl() {
        for (text, meant) in [
            ("proxy", "http://proxy:1080/"),
            ("user:hunter2@proxy", "http://user:hunter2@proxy:1080/"),
            ("proxy:80", "http://proxy/"),
            ("https://proxy", "https://proxy/"),
            ("HTTPS://proxy:8443/", "https://proxy:8443/"),
            ("socks5h://me:x@[::1]:9050/", "socks5h://me:x@[::1]:9050/"),
            ("socks4://127.0.0.1", "socks4://127.0.0.1:1080"),
            ("127.0.0.1:3128", "http://127.0.0.1:3128/"),
            ("[::1]", "http://[::1]:1080/"),
            ("proxy5", "http://proxy5:1080/"),
            ("5.example", "http://5.example:1080/"),
            ("user:5@proxy:8080", "http://user:5@proxy:8080/"),
        ] {
            assert_eq!(ProxyAddress::parse(text).unwrap().url.as_str(), meant, "{text}");
        }
        assert_eq!(ProxyAddress::parse("proxy:80").unwrap().text, "http://proxy:80", "its port is not lost");
    }

    #[test]
    fn what_is_none_is_told_without_a_password() {
        for (text, expected) in [
            ("5", "'5' is a number and no host"),
            ("8080", "'8080' is a number"),
            ("0:8080", "'0' is a number"),
            ("127.1:3128", "'127.1' is a number"),
            ("0x7f000001", "'0x7f000001' is a number"),
            ("http://user:hunter2@5:80", "'5' is a number"),
            ("socks5://5", "'5' is a number"),
            ("socks5h://user:hunter2@0x7f.1", "'0x7f.1' is a number"),
            ("http://\u{ff15}", "is a number"),
            ("http://5\n:80", r"'5\n' is a number"),
            ("ftp://user:hunter2@proxy", "'ftp' is not the scheme of a proxy (http, https, socks4"),
            ("", "no host"),
            (":8080", "no host"),
            ("socks5://", "no host"),
            ("http://user:hunter2@", "no host"),
            ("http://user:hunter2@a b", "not the address of a proxy: "),
            ("proxy:99999", "not the address of a proxy: invalid port"),
        ] {
            let error = ProxyAddress::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
