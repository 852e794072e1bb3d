//! Which proxy a request goes through.
//!
//! Decides between `-x` and the environment, as curl does: `-x` wins over all variables but `no_proxy`; lower-case names
//! come first; `HTTP_PROXY` in capitals is ignored, because a web server would let a client set it (CGI, "httpoxy"); an
//! empty value means no proxy. The stack's own reading of the environment is not used: it takes `HTTP_PROXY`, and drops
//! an address it cannot read without a word. Called by `client`.

use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{NoProxy, Proxy};
use url::{Host, Url};

/// The address of a proxy that cannot be used. Its text is not shown: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the proxy of {origin} cannot be used: {reason}")]
pub struct ProxyError {
    /// `-x`, or the name of the variable.
    origin: &'static str,
    reason: String,
}

/// What the environment says about proxies.
#[derive(Debug, Clone, Default)]
pub(super) struct ProxyVariables {
    http: Option<String>,
    https: Option<String>,
    all: Option<String>,
    no: Option<String>,
}

impl ProxyVariables {
    pub(super) fn from_env() -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok());
        Self {
            http: first(&["http_proxy"]),
            https: first(&["https_proxy", "HTTPS_PROXY"]),
            all: first(&["all_proxy", "ALL_PROXY"]),
            no: first(&["no_proxy", "NO_PROXY"]),
        }
    }
}

/// The proxies of a run.
#[derive(Debug)]
pub(super) struct Proxies {
    rules: Vec<Proxy>,
    /// The same rules once more: those that went into the client cannot be asked.
    matcher: Matcher,
    /// Domain names of the proxies.
    names: Arc<[Box<str>]>,
}

impl Proxies {
    /// # Errors
    /// The address of a proxy cannot be used.
    pub(super) fn new(explicit: Option<&str>, variables: &ProxyVariables) -> Result<Self, ProxyError> {
        let no = variables.no.clone().unwrap_or_default();
        let read = |origin, text: Option<&str>| match text.map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => address(origin, text).map(Some),
        };
        let (http, https, all) = match explicit {
            Some(text) => (None, None, read("-x", Some(text))?),
            None => (
                read("http_proxy", variables.http.as_deref())?,
                read("https_proxy", variables.https.as_deref())?,
                read("all_proxy", variables.all.as_deref())?,
            ),
        };

        let mut rules = Vec::new();
        let mut names = Vec::new();
        let mut matcher = Matcher::builder().no(no.clone());
        let mut add = |address: Option<Url>, rule: fn(Url) -> reqwest::Result<Proxy>| -> Result<String, ProxyError> {
            let Some(address) = address else { return Ok(String::new()) };
            if let Some(Host::Domain(name)) = address.host() {
                names.push(name.into());
            }
            let text = String::from(address.as_str());
            let rule = rule(address)
                .map_err(|error| ProxyError { origin: "-x or the environment", reason: error.to_string() })?;
            rules.push(rule.no_proxy(NoProxy::from_string(&no)));
            Ok(text)
        };
        matcher = matcher.http(add(http, Proxy::http)?);
        matcher = matcher.https(add(https, Proxy::https)?);
        matcher = matcher.all(add(all, Proxy::all)?);
        Ok(Self { rules, matcher: matcher.build(), names: names.into() })
    }

    pub(super) fn rules(&self) -> &[Proxy] {
        &self.rules
    }

    pub(super) fn names(&self) -> &Arc<[Box<str>]> {
        &self.names
    }

    /// Whether a request for this URL goes to a proxy.
    pub(super) fn serve(&self, url: &Url) -> bool {
        !self.rules.is_empty() && url.as_str().parse().is_ok_and(|uri| self.matcher.intercept(&uri).is_some())
    }
}

/// Reads the address of a proxy as curl does: without a scheme it is an HTTP proxy.
fn address(origin: &'static str, text: &str) -> Result<Url, ProxyError> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // The text may hold a password, so messages do not repeat it.
    let error = |reason: String| ProxyError { origin, reason };
    let mut url = Url::parse(&with_scheme).map_err(|cause| error(format!("not a URL: {cause}")))?;
    if !matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h") {
        return Err(error(format!(
            "'{}' is not a kind of proxy (http, https, socks4, socks4a, socks5, socks5h)",
            url.scheme()
        )));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(error("no host in it".to_owned()));
    }
    // curl's default port is 1080 for all but HTTPS proxies. `Url::port` does not tell ":80" from no port.
    let authority = with_scheme.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host_and_port.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if !has_port && url.scheme() != "https" {
        url.set_port(Some(1080)).map_err(|()| error("no port can be set in it".to_owned()))?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(http: &str, https: &str, all: &str, no: &str) -> ProxyVariables {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ProxyVariables { http: some(http), https: some(https), all: some(all), no: some(no) }
    }

    fn serves(proxies: &Proxies, url: &str) -> bool {
        proxies.serve(&Url::parse(url).unwrap())
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let proxies = Proxies::new(None, &variables("proxy:3128", "", "", "")).unwrap();
        assert!(serves(&proxies, "http://example.org/"));
        assert!(!serves(&proxies, "https://example.org/"));
        let proxies = Proxies::new(None, &variables("", "", "socks5h://proxy", "")).unwrap();
        assert!(serves(&proxies, "http://example.org/") && serves(&proxies, "https://example.org/"));
    }

    #[test]
    fn no_proxy_stands_beside_the_flag() {
        let proxies =
            Proxies::new(Some("http://proxy:1"), &variables("", "", "", "inner.example, 10.0.0.0/8")).unwrap();
        assert!(serves(&proxies, "http://example.org/"));
        assert!(!serves(&proxies, "http://a.inner.example/"));
        assert!(!serves(&proxies, "http://10.1.1.1/"));
    }

    #[test]
    fn the_flag_wins_and_empty_means_none() {
        let proxies = Proxies::new(Some(""), &variables("proxy:3128", "", "", "")).unwrap();
        assert!(!serves(&proxies, "http://example.org/"));
        let proxies = Proxies::new(Some("flag:1"), &variables("variable:1", "", "", "")).unwrap();
        assert_eq!(&**proxies.names(), ["flag".into()]);
    }

    #[test]
    fn ports_are_curls() {
        let port = |text| address("-x", text).unwrap().port_or_known_default();
        assert_eq!(port("proxy"), Some(1080));
        assert_eq!(port("http://user:pass@proxy/"), Some(1080));
        assert_eq!(port("http://proxy:80"), Some(80));
        assert_eq!(port("socks5://[::1]"), Some(1080));
        assert_eq!(port("socks5://[::1]:9050"), Some(9050));
        assert_eq!(port("https://proxy"), Some(443));
    }

    #[test]
    fn a_bad_address_names_its_origin_and_no_password() {
        for text in ["ftp://user:hunter2@proxy", "http://user:hunter2@", "http://user:hunter2@[::1"] {
            let error = Proxies::new(Some(text), &ProxyVariables::default()).unwrap_err().to_string();
            assert!(error.contains("-x") && !error.contains("hunter2"), "{error}");
        }
    }
}
