//! What every request of the run says: method, body, headers, and which headers are credentials.
//!
//! Follows curl: a `-H` line replaces what another flag set, `Name:` removes it, `Name;` sends it empty, `@FILE` reads
//! lines; several `-d` are joined by `&`, `-d @FILE` drops line ends, `--json` keeps them. Credentials are kept apart:
//! the library sends them only to hosts the user typed. Messages never repeat a value, which may be a secret.

use std::io::Read as _;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, REFERER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};
use lycosa::policy::credentials::is_credential;

use super::check::Bad;

/// The flags of `fetch` that shape its requests. They are no settings: they say what this call is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFlags {
    /// `-X`
    pub method: Option<String>,
    /// `-d`, in order.
    pub data: Vec<String>,
    /// `--json`, in order.
    pub json: Vec<String>,
    /// `-I`
    pub head: bool,
}

impl RequestFlags {
    /// Whether a body is read from standard input, which then holds no URLs.
    pub fn read_stdin(&self) -> bool {
        self.data.iter().chain(&self.json).any(|text| text == "@-")
    }

    /// Files that a body is read from, each with its flag.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let data = self.data.iter().map(|text| ("-d", text));
        let all = data.chain(self.json.iter().map(|text| ("--json", text)));
        all.filter_map(|(flag, text)| Some((flag, text.strip_prefix('@').filter(|path| *path != "-")?)))
    }

    /// Method and body.
    pub fn method_and_body(&self) -> Result<(Method, Option<Bytes>), Bad> {
        let body = if !self.data.is_empty() {
            let parts = self.data.iter().map(|text| form_part(text)).collect::<Result<Vec<_>, _>>()?;
            Some(Bytes::from(parts.join(&b'&')))
        } else if !self.json.is_empty() {
            let parts = self.json.iter().map(|text| part("--json", text)).collect::<Result<Vec<_>, _>>()?;
            Some(Bytes::from(parts.concat()))
        } else {
            None
        };
        let method = match &self.method {
            // Methods are case-sensitive, and all that exist are upper case: 'post' would be another, unsafe to judge.
            Some(name) if name.eq_ignore_ascii_case("CONNECT") => {
                return Err(Bad::new("-X: CONNECT asks for a tunnel, not for a URL"));
            }
            Some(name) => Method::from_bytes(name.to_ascii_uppercase().as_bytes())
                .map_err(|_| Bad::new(format!("-X: '{name}' is not a method")))?,
            None if self.head => Method::HEAD,
            None if body.is_some() => Method::POST,
            None => Method::GET,
        };
        Ok((method, body))
    }

    /// What the body says about itself.
    fn content_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        if !self.data.is_empty() {
            vec![(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))]
        } else if !self.json.is_empty() {
            let json = HeaderValue::from_static("application/json");
            vec![(CONTENT_TYPE, json.clone()), (ACCEPT, json)]
        } else {
            Vec::new()
        }
    }
}

/// `-d`: line ends and NUL of a file are dropped, as curl does.
fn form_part(text: &str) -> Result<Vec<u8>, Bad> {
    let mut bytes = part("-d", text)?;
    if text.starts_with('@') {
        bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    }
    Ok(bytes)
}

/// The text itself, or with `@` what a file or standard input (`@-`) holds.
fn part(flag: &str, text: &str) -> Result<Vec<u8>, Bad> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.as_bytes().to_vec()) };
    if path.is_empty() {
        return Err(Bad::new(format!("{flag}: '@' without the name of a file")));
    }
    let read = if path == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| Bad::new(format!("{flag}: cannot read {path}: {error}")))
}

/// Headers of the run, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Empty: none is sent.
    pub user_agent: String,
    pub plain: Vec<(HeaderName, HeaderValue)>,
    pub credentials: Vec<(HeaderName, HeaderValue)>,
    /// Headers of ours that are not to be sent.
    pub removed: Vec<HeaderName>,
}

/// One `-H` line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Set(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl Headers {
    /// Puts all headers together: those of other flags first, then the `-H` lines over them.
    pub fn compose(
        user_agent: &str,
        referer: Option<&str>,
        user: Option<&str>,
        lines: &[String],
        flags: &RequestFlags,
    ) -> Result<Self, (&'static str, Bad)> {
        let agent = HeaderValue::from_bytes(user_agent.as_bytes())
            .map_err(|_| ("user-agent", Bad::new("control characters cannot be sent")))?;
        let mut set = Vec::new();
        if !agent.is_empty() {
            set.push((USER_AGENT, agent));
        }
        set.extend(flags.content_headers());
        if let Some(referer) = referer {
            let value = HeaderValue::from_bytes(referer.as_bytes())
                .map_err(|_| ("referer", Bad::new("control characters cannot be sent")))?;
            set.push((REFERER, value));
        }
        if let Some(user) = user {
            set.push((AUTHORIZATION, basic(user).map_err(|bad| ("user", bad))?));
        }
        let lines = header_lines(lines).map_err(|bad| ("header", bad))?;
        set.retain(|(name, _)| !lines.iter().any(|line| line.name() == name));
        let mut removed = Vec::new();
        for line in lines {
            match line {
                Line::Set(name, value) => set.push((name, value)),
                Line::Remove(name) => {
                    removable(&name, flags).map_err(|bad| ("header", bad))?;
                    removed.push(name);
                }
            }
        }
        // A line that sets a header stands, before or after one that removes it.
        removed.retain(|name| !set.iter().any(|(set, _)| set == name));
        Ok(Self { removed, ..Self::split(set) })
    }

    /// `-b`: a `-H` line of cookies stands instead of it, as in curl.
    pub fn add_cookies(&mut self, line: Option<HeaderValue>) {
        if let Some(mut line) = line.filter(|_| !self.names_cookies()) {
            line.set_sensitive(true);
            self.credentials.push((COOKIE, line));
        }
    }

    fn names_cookies(&self) -> bool {
        self.removed.contains(&COOKIE) || self.credentials.iter().any(|(name, _)| *name == COOKIE)
    }

    fn split(all: Vec<(HeaderName, HeaderValue)>) -> Self {
        let mut headers = Self::default();
        for (name, mut value) in all {
            // `User-Agent;` sends it empty, like any header.
            if name == USER_AGENT && !value.is_empty() {
                headers.user_agent = String::from_utf8_lossy(value.as_bytes()).into_owned();
            } else if is_credential(name.as_str()) {
                value.set_sensitive(true);
                headers.credentials.push((name, value));
            } else {
                headers.plain.push((name, value));
            }
        }
        headers
    }
}

/// Whether a request can be sent without this header.
fn removable(name: &HeaderName, flags: &RequestFlags) -> Result<(), Bad> {
    let has_body = !(flags.data.is_empty() && flags.json.is_empty());
    if *name == ACCEPT || *name == HOST || (*name == CONTENT_LENGTH && has_body) {
        return Err(Bad::new(format!("'{name}:' cannot be removed: every request has one")));
    }
    Ok(())
}

impl Line {
    fn name(&self) -> &HeaderName {
        match self {
            Self::Set(name, _) | Self::Remove(name) => name,
        }
    }

    fn parse(line: &str) -> Result<Self, Bad> {
        let colon = line.find(':');
        let (name, value) = match (colon, line.find(';')) {
            // "Name;" sends it empty; a colon before it makes it an ordinary line.
            (None, Some(end)) if line[end + 1..].trim().is_empty() => (&line[..end], Some("")),
            (Some(colon), _) => {
                let value = line[colon + 1..].trim();
                (&line[..colon], Some(value).filter(|value| !value.is_empty()))
            }
            _ => {
                let start = line.split_whitespace().next().unwrap_or_default();
                let bad = Bad::new(format!("the line that starts with '{start}' is not 'Name: value'"));
                return Err(bad);
            }
        };
        let name: HeaderName =
            name.trim().parse().map_err(|_| Bad::new(format!("'{}' is not the name of a header", name.trim())))?;
        match value {
            None => Ok(Self::Remove(name)),
            Some(value) => HeaderValue::from_bytes(value.as_bytes())
                .map(|value| Self::Set(name.clone(), value))
                .map_err(|_| Bad::new(format!("the value of '{name}' has control characters"))),
        }
    }
}

fn header_lines(entries: &[String]) -> Result<Vec<Line>, Bad> {
    let mut lines = Vec::new();
    for entry in entries {
        if entry.starts_with('@') {
            let text = part("-H", entry)?;
            let text = String::from_utf8_lossy(&text);
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                lines.push(Line::parse(line)?);
            }
        } else {
            lines.push(Line::parse(entry)?);
        }
    }
    Ok(lines)
}

fn basic(user: &str) -> Result<HeaderValue, Bad> {
    if !user.contains(':') {
        return Err(Bad::new("no password: write NAME:PASSWORD ('NAME:' for an empty one)"));
    }
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user));
    HeaderValue::from_str(&text).map_err(|_| Bad::new("cannot be sent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(lines: &[&str], flags: &RequestFlags) -> Headers {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Headers::compose("lycosa/1", None, None, &lines, flags).unwrap()
    }

    fn shown(headers: &[(HeaderName, HeaderValue)]) -> Vec<String> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect()
    }

    #[test]
    fn headers_as_in_curl() {
        let form = RequestFlags { data: vec!["a=1".into()], ..RequestFlags::default() };
        let type_of = "content-type: application/x-www-form-urlencoded";
        assert_eq!(shown(&compose(&[], &form).plain), [type_of]);
        assert_eq!(shown(&compose(&["Content-Type: text/plain"], &form).plain), ["content-type: text/plain"]);
        assert!(compose(&["content-type:"], &form).plain.is_empty());
        assert_eq!(
            shown(&compose(&["X-Empty;", "X: a;b", "X: c"], &RequestFlags::default()).plain),
            ["x-empty: ", "x: a;b", "x: c"]
        );
        assert_eq!(compose(&["User-Agent: me/2"], &form).user_agent, "me/2");
        assert_eq!(compose(&["User-Agent:"], &form).user_agent, "");
        let empty = compose(&["User-Agent;"], &RequestFlags::default());
        assert_eq!((empty.user_agent.as_str(), shown(&empty.plain)), ("", vec!["user-agent: ".to_owned()]));
    }

    #[test]
    fn what_is_always_sent_cannot_be_removed() {
        let form = RequestFlags { data: vec!["a=1".into()], ..RequestFlags::default() };
        let compose_of = |line: &str, flags: &RequestFlags| {
            Headers::compose("a", None, None, &[line.to_owned()], flags).map_err(|(_, bad)| bad.message)
        };
        for line in ["Accept:", "host:", "Content-Length: "] {
            let told = compose_of(line, &form).expect_err(line);
            assert!(told.contains("cannot be removed"), "{told}");
        }
        let none = RequestFlags::default();
        assert_eq!(compose_of("Accept-Encoding:", &none).unwrap().removed, [http::header::ACCEPT_ENCODING]);
        assert!(compose_of("Content-Length:", &none).is_ok() && compose_of("Accept;", &none).is_ok());
        assert!(compose(&["Accept-Encoding:", "Accept-Encoding: br"], &none).removed.is_empty());
    }

    #[test]
    fn credentials_are_kept_apart_and_marked() {
        let lines = ["Authorization: Bearer x", "Cookie: a=b", "X-Api-Key: k", "X-Auth-Token: t", "X-Keys: public"];
        let headers = compose(&lines, &RequestFlags::default());
        assert_eq!(shown(&headers.plain), ["x-keys: public"]);
        assert_eq!(headers.credentials.len(), 4);
        assert!(headers.credentials.iter().all(|(_, value)| value.is_sensitive()));
        let headers = Headers::compose("a", Some("r"), Some("al:pw"), &[], &RequestFlags::default()).unwrap();
        assert_eq!(shown(&headers.credentials), ["authorization: Basic YWw6cHc="]);
        assert_eq!(shown(&headers.plain), ["referer: r"]);
    }

    #[test]
    fn an_error_does_not_repeat_a_secret() {
        for line in ["Authorization Bearer s3cret", "Au thorization: s3cret", "Authorization: s3cret\u{7}"] {
            let bad = Line::parse(line).expect_err(line);
            assert!(!bad.message.contains("s3cret"), "{}", bad.message);
        }
        assert!(basic("s3cret").expect_err("no password").message.contains("NAME:PASSWORD"));
    }

    #[test]
    fn bodies_and_methods_as_in_curl() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "b=2\r\n").unwrap();
        let at = format!("@{}", file.path().display());
        let form = RequestFlags { data: vec!["a=1".into(), at.clone()], ..RequestFlags::default() };
        assert_eq!(form.method_and_body().unwrap(), (Method::POST, Some(Bytes::from("a=1&b=2"))));
        let json = RequestFlags { json: vec![at], method: Some("put".into()), ..RequestFlags::default() };
        assert_eq!(json.method_and_body().unwrap(), (Method::PUT, Some(Bytes::from("b=2\r\n"))));
        assert_eq!(shown(&compose(&[], &json).plain), ["content-type: application/json", "accept: application/json"]);
        let head = RequestFlags { head: true, ..RequestFlags::default() };
        assert_eq!(head.method_and_body().unwrap(), (Method::HEAD, None));
        assert_eq!(RequestFlags::default().method_and_body().unwrap(), (Method::GET, None));
        let missing = RequestFlags { data: vec!["@/no/such".into()], ..RequestFlags::default() };
        assert!(missing.method_and_body().expect_err("missing").message.starts_with("-d: cannot read /no/such"));
        let unnamed = RequestFlags { data: vec!["@".into()], ..RequestFlags::default() };
        assert_eq!(unnamed.method_and_body().expect_err("no name").message, "-d: '@' without the name of a file");
        let bad = RequestFlags { method: Some("G T".into()), ..RequestFlags::default() };
        assert_eq!(bad.method_and_body().expect_err("space").message, "-X: 'G T' is not a method");
        let tunnel = RequestFlags { method: Some("connect".into()), ..RequestFlags::default() };
        assert!(tunnel.method_and_body().expect_err("a tunnel").message.starts_with("-X: CONNECT"));
    }
}
