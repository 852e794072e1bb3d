//! What a line or an argument means when it is a URL, and how a line is shown that means nothing.
//!
//! Decides between a URL and a bare host, and keeps passwords out of everything that is shown. Never touches files.
//! Called by [`super::Reader`], and for the `url` of JSON jobs by [`super::job_line`].
//! Sources: WHATWG URL (a scheme is a letter and letters, digits, `+ - .`), RFC 3986 3.1.

use std::borrow::Cow;

use crate::model::job::{Job, JobKind, JobSpec};
use crate::model::url::{self, Url};
use crate::policy::credentials::without_user_info as without_user_info_anywhere;

/// How much of a broken line is shown.
const SHOWN: usize = 4 * 1024;

/// Schemes without a host that stand in lists of links. Only these make `tel:5550100` no host with a port.
const NOT_WEB: [&str; 12] =
    ["mailto", "javascript", "data", "tel", "sms", "file", "ftp", "about", "blob", "callto", "urn", "ws"];

/// A URL that can be asked.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) job: Job,
    /// It was a bare host: `https://` was put before it.
    pub(super) bare: bool,
}

/// Reads a URL or a bare host. `text` has no white space around it.
pub(super) fn read_url(text: &str) -> Result<Typed, String> {
    match host_of_canonical(text) {
        Some(host) => Ok(Typed { job: Job::new(JobKind::Typed, text, host.into()), bare: false }),
        None => parse_url(text),
    }
}

fn parse_url(text: &str) -> Result<Typed, String> {
    refuse_blanks(text)?;
    let bare = scheme_of(text).is_none();
    let url = if bare { parse_bare(text)? } else { url::parse(text).map_err(|error| error.to_string())? };
    let user_info = user_info(&url);
    let canonical =
        if user_info.is_none() && url.fragment().is_none() { String::from(url) } else { url::canonical(&url) };
    let host = url::host_key_of(&canonical).into();
    let mut job = Job::new(JobKind::Typed, canonical, host);
    let shown = if user_info.is_some() { without_user_info(text) } else { Some(Cow::Borrowed(text)) };
    job.input = shown.filter(|shown| **shown != *job.url).map(|shown| Box::from(&*shown));
    if user_info.is_some() {
        job.spec = Some(Box::new(JobSpec { user_info, ..JobSpec::default() }));
    }
    Ok(Typed { job, bare })
}

/// The URL standard drops tabs and line ends, and encodes spaces: `URL<TAB>label` would ask for `URLlabel`, and
/// `URL # note` for `URL%20`. Neither was meant.
fn refuse_blanks(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '\u{feff}') {
        None => Ok(()),
        Some(c) if c.is_whitespace() => Err("white space in the URL; write %20".to_owned()),
        Some(_) => Err("a control character in the URL".to_owned()),
    }
}

/// The host key of a text that is certain to be its own canonical URL, as nearly every line of a list is: a name in plain
/// lower case or an address of IPv4, perhaps a port, and a path and query without anything that the URL standard would
/// change. None says nothing.
///
/// Parsing takes most of the time of reading a line; a property test holds this short way to it.
fn host_of_canonical(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let end = rest.bytes().position(|byte| byte == b'/').filter(|_| text.len() <= url::MAX_URL)?;
    let (host, path) = rest.split_at(end);
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_plain = is_plain_name(name.as_bytes()) || is_plain_address(name);
    (is_plain && port.is_none_or(is_plain_port)).then_some(())?;
    // A segment of one or two dots, which may be written in percents, goes away.
    let mut in_path = true;
    let mut last = [0; 2];
    for byte in path.bytes() {
        let starts_dots = in_path && matches!((last, byte), ([_, b'/'], b'.') | ([b'/', b'%'], b'2'));
        if starts_dots || !(PLAIN[usize::from(byte)] || (byte == b'?' && in_path)) {
            return None;
        }
        in_path &= byte != b'?';
        last = [last[1], byte];
    }
    Some(host)
}

/// Whether a host is a name that the URL standard leaves as it is.
fn is_plain_name(host: &[u8]) -> bool {
    let mut label = 0;
    let mut last = b'.';
    for (at, &byte) in host.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {}
            // Two hyphens in a row may belong to `xn--`, which may be no valid name.
            b'-' if last != b'-' => {}
            b'.' if last != b'.' => label = at + 1,
            _ => return false,
        }
        last = byte;
    }
    // A last label that starts with a digit may be an address.
    host.get(label).is_some_and(u8::is_ascii_lowercase)
}

/// Whether a host is an address of IPv4 as the URL standard writes it: four decimal numbers without zeros before them.
fn is_plain_address(host: &str) -> bool {
    let mut parts = host.split('.');
    let are_numbers = parts.by_ref().take(4).filter(|part| is_decimal(part) && part.parse::<u8>().is_ok()).count() == 4;
    are_numbers && parts.next().is_none()
}

/// Whether a port is written as the URL standard writes it, and is the default of neither scheme.
fn is_plain_port(port: &str) -> bool {
    is_decimal(port) && port.parse::<u16>().is_ok_and(|port| !matches!(port, 80 | 443))
}

/// Digits, and no zero before others.
fn is_decimal(text: &str) -> bool {
    !text.is_empty() && (text == "0" || !text.starts_with('0')) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Bytes that the URL standard leaves as they are in a path as in a query.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        plain[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~/+,:;=&@!$*()%";
    let mut at = 0;
    while at < others.len() {
        plain[others[at] as usize] = true;
        at += 1;
    }
    plain
};

fn parse_bare(text: &str) -> Result<Url, String> {
    let host = text.strip_prefix("//").unwrap_or(text);
    if host.is_empty() || host.starts_with(['/', '?', '#', '\\']) {
        return Err("not a URL: it has no host".to_owned());
    }
    // "https//example.org" would be asked as the path of a host named https.
    if let Some((scheme, _)) = host.split_once("//").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) {
        return Err(format!("not a URL: no colon after '{scheme}'"));
    }
    url::parse(&format!("https://{host}")).map_err(|error| error.to_string())
}

/// The scheme of a text; None if it starts with a host. `localhost:8080`, `example.org:80/x` and `user:word@host` are
/// hosts, though the URL standard reads a scheme there.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !valid {
        return None;
    }
    let is = |name: &&str| scheme.eq_ignore_ascii_case(name);
    if rest.starts_with("//") || ["http", "https"].iter().any(is) || NOT_WEB.iter().any(is) {
        return Some(scheme);
    }
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let is_port = !authority.is_empty() && authority.bytes().all(|byte| byte.is_ascii_digit());
    if is_port || authority.contains('@') { None } else { Some(scheme) }
}

/// User and password of a URL, percent-decoded as the authorization header wants them.
fn user_info(url: &Url) -> Option<(Box<str>, Box<str>)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    Some((percent_decoded(url.username()).into(), percent_decoded(url.password().unwrap_or_default()).into()))
}

fn percent_decoded(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            #[expect(clippy::cast_possible_truncation, reason = "two hex digits are at most 255")]
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The text with the user info of its authority cut out; None if it has none.
fn without_user_info(text: &str) -> Option<Cow<'_, str>> {
    let scheme = scheme_of(text);
    let after_scheme = scheme.map_or(0, |scheme| scheme.len() + 1);
    let slashes = text[after_scheme..].find(|c| !matches!(c, '/' | '\\')).unwrap_or(0);
    // `mailto:me@example.org` has an address, not a user.
    if slashes == 0
        && scheme.is_some_and(|scheme| !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)))
    {
        return None;
    }
    let start = after_scheme + slashes;
    let end = text[start..].find(['/', '?', '#', '\\']).map_or(text.len(), |end| start + end);
    let at = text[start..end].rfind('@')?;
    // What stood behind it may have one of its own: the line was not what it looks like.
    let rest = [&text[..start], &text[start + at + 1..]].concat();
    let cleaner = without_user_info(&rest).unwrap_or_else(|| without_user_info_anywhere(&rest)).into_owned();
    Some(Cow::Owned(cleaner))
}

/// A line that cannot be read, as its record shows it: at most 4 KiB, without what may be a password.
pub(super) fn shown(text: &str) -> Box<str> {
    let clean = if text.starts_with('{') { torn_job(text) } else { torn_url(text) };
    let mut end = clean.len().min(SHOWN);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean[..end].into()
}

/// A JSON job that cannot be taken apart: it ends where what follows may be a credential, however the key is spelled.
fn torn_job(text: &str) -> Cow<'_, str> {
    const SECRET: [&str; 8] = ["\"header", "\"user", "\"cookie", "\"proxy", "\"auth", "\"pass", "\"token", "\"api"];
    let lower = text.to_ascii_lowercase();
    let end = SECRET.iter().filter_map(|key| lower.find(key)).min().unwrap_or(text.len());
    without_user_info_anywhere(&text[..end])
}

fn torn_url(text: &str) -> Cow<'_, str> {
    if let Some(clean) = without_user_info(text) {
        return clean;
    }
    // A '/' in a password ends the authority early: what looks like a host with a port that is none may be a user.
    let port = text.split('/').nth(2).and_then(|authority| authority.rsplit_once(':')).map(|(_, port)| port);
    let is_torn = port.is_some_and(|port| port.bytes().any(|byte| !byte.is_ascii_digit()));
    match text.rfind('@').filter(|_| is_torn) {
        Some(at) => Cow::Borrowed(&text[at + 1..]),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which URLs are made, right and wrong ones.
    const PIECES: [&str; 66] = [
        "http://",
        "https://",
        "HTTP://",
        "//",
        "/",
        "/",
        "?",
        "#",
        ".",
        "..",
        "/.",
        "/..",
        "/./",
        "/../",
        "%2e",
        "%2E",
        "/%2e%2e",
        "/.%2e/",
        "%",
        "%4",
        "%41",
        "%zz",
        "example",
        ".org",
        ".com.",
        "xn--",
        "xn--bcher-kva",
        "a.b.c",
        "-",
        "_",
        "~",
        ":",
        ":80",
        ":443",
        ":8080",
        ":0",
        ":08",
        ":65536",
        "0.0.0.255",
        ".256",
        ".01",
        "@",
        "me:secret@",
        "1",
        "0x1",
        "127.0.0.1",
        "1.2",
        "2130706433",
        "[::1]",
        "A",
        "é",
        "ß",
        "\u{200d}",
        " ",
        "\t",
        "\\",
        "'",
        "\"",
        "<",
        "|",
        "^",
        "`",
        "{}",
        "*()!$&,;=+",
        "q=1&b=2",
        "a--b",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_short_way_says_what_the_parser_says(
            start in prop_oneof![Just("http://"), Just("https://"), Just("https://example.org/"), Just("")],
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..7),
        ) {
            let text = [&[start], &pieces[..]].concat().concat();
            if let Some(host) = host_of_canonical(&text) {
                let typed = parse_url(&text).map_err(TestCaseError::fail)?;
                prop_assert_eq!((&*typed.job.url, &*typed.job.host, typed.bare), (&*text, host, false));
                prop_assert_eq!((typed.job.input, typed.job.spec), (None, None));
            }
        }
    }

    #[test]
    fn usual_lines_take_the_short_way() {
        for (text, host) in [
            ("https://example.org/", Some("example.org")),
            ("http://www2.a-b.example/a/b.html?q=1&p=%20", Some("www2.a-b.example")),
            ("https://localhost/%41", Some("localhost")),
            ("https://example.org", None),
            ("http://example.org:8080/", Some("example.org:8080")),
            ("http://127.0.0.1:18/a?b", Some("127.0.0.1:18")),
            ("http://0.10.255.1/", Some("0.10.255.1")),
            ("https://example.org:80/", None),
            ("http://example.org:443/", None),
            ("http://example.org:08/", None),
            ("http://example.org:65536/", None),
            ("http://example.org:/", None),
            ("http://example.org:1:2/", None),
            ("http://me:1@example.org/", None),
            ("http://127.0.0.256/", None),
            ("http://127.0.0.01/", None),
            ("http://127.0.1/", None),
            ("http://1.2.3.4.5/", None),
            ("http://1.2.3.4./", None),
            ("http://a.0x7f/", None),
            ("http://a.b./", None),
            ("https://example.org/a/../b", None),
            ("https://example.org/a/%2e%2E/b", None),
            ("https://example.org/a?it's", None),
            ("https://example.org/a#b", None),
            ("https://xn--a/", None),
            ("https:///", None),
            ("https://.a/", None),
            ("https://a..b/", None),
        ] {
            assert_eq!(host_of_canonical(text), host, "{text}");
        }
    }

    #[test]
    fn urls_and_bare_hosts() {
        // text, canonical, host, bare, input
        let cases = [
            ("https://example.org/", "https://example.org/", "example.org", false, None),
            ("HTTPS://Example.ORG", "https://example.org/", "example.org", false, Some("HTTPS://Example.ORG")),
            ("http://a.example:8080/x?q#f", "http://a.example:8080/x?q", "a.example:8080", false, Some("…")),
            ("http://a.example:80/", "http://a.example/", "a.example", false, Some("…")),
            ("example.org", "https://example.org/", "example.org", true, Some("example.org")),
            ("example.org:8080", "https://example.org:8080/", "example.org:8080", true, Some("…")),
            ("localhost:8080/x", "https://localhost:8080/x", "localhost:8080", true, Some("…")),
            ("localhost", "https://localhost/", "localhost", true, Some("…")),
            ("localhost?a:b", "https://localhost/?a:b", "localhost", true, Some("…")),
            ("example.org/a:b", "https://example.org/a:b", "example.org", true, Some("…")),
            ("example.org/http://b.example", "https://example.org/http://b.example", "example.org", true, Some("…")),
            ("127.0.0.1:9", "https://127.0.0.1:9/", "127.0.0.1:9", true, Some("…")),
            ("[::1]:9/x", "https://[::1]:9/x", "[::1]:9", true, Some("…")),
            ("//example.org/x", "https://example.org/x", "example.org", true, Some("…")),
            ("bücher.example", "https://xn--bcher-kva.example/", "xn--bcher-kva.example", true, Some("…")),
            ("https://example.org/é", "https://example.org/%C3%A9", "example.org", false, Some("…")),
        ];
        for (text, canonical, host, bare, input) in cases {
            let typed = read_url(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((&*typed.job.url, &*typed.job.host, typed.bare), (canonical, host, bare), "{text}");
            assert_eq!(typed.job.input.as_deref(), input.map(|_| text), "{text}");
            assert_eq!(typed.job.spec, None, "{text}");
            assert_eq!(typed.job.kind, JobKind::Typed);
        }
    }

    #[test]
    fn what_is_no_web_address_says_why() {
        let cases = [
            ("mailto:x@example.org", "scheme 'mailto' is not http or https"),
            ("ftp://example.org/x", "scheme 'ftp' is not http or https"),
            ("javascript:alert(1)", "scheme 'javascript' is not http or https"),
            ("JavaScript:1", "scheme 'javascript' is not http or https"),
            ("tel:5550100", "scheme 'tel' is not http or https"),
            ("C:\\pages\\a.html", "scheme 'c' is not http or https"),
            ("htp://example.org", "scheme 'htp' is not http or https"),
            ("https//example.org/", "no colon after 'https'"),
            ("/path/only", "no host"),
            ("?q", "no host"),
            ("//", "no host"),
            ("", "no host"),
            ("https://", "empty host"),
            ("example.org:99999", "invalid port number"),
            ("https://exa mple.org/", "white space in the URL; write %20"),
            ("two words", "white space in the URL; write %20"),
            ("https://example.org/a b", "white space in the URL; write %20"),
            ("https://example.org/a\tb", "white space in the URL; write %20"),
            ("https://example.org/\0x", "a control character in the URL"),
            ("https://exa<mple.org/", "not a URL"),
            ("https://[::1/", "not a URL"),
        ];
        for (text, message) in cases {
            let error = read_url(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
        let long = format!("https://example.org/{}", "a".repeat(url::MAX_URL));
        assert!(read_url(&long).unwrap_err().contains("longer than 65536 bytes"));
    }

    #[test]
    fn user_info_is_decoded_and_never_shown() {
        let cases = [
            ("https://me:pa%3Ass@example.org/x", "me", "pa:ss", Some("https://example.org/x"), "https://example.org/x"),
            ("https://me@example.org", "me", "", Some("https://example.org"), "https://example.org/"),
            ("me:secret@example.org/x", "me", "secret", Some("example.org/x"), "https://example.org/x"),
            ("me:pw@http://u:p@h/@x", "me", "pw", Some("http://h/@x"), "https://http//u:p@h/@x"),
            ("me:pw@http:/u:p@h/@x", "me", "pw", Some("http:/h/@x"), "https://http/u:p@h/@x"),
            ("https:/\\me:p@ss@example.org", "me", "p@ss", Some("https:/\\example.org"), "https://example.org/"),
        ];
        for (text, user, password, input, canonical) in cases {
            let job = read_url(text).unwrap().job;
            assert_eq!(&*job.url, canonical);
            assert_eq!(job.input.as_deref(), input.filter(|input| *input != canonical), "{text}");
            let (got_user, got_password) = job.spec.unwrap().user_info.unwrap();
            assert_eq!((&*got_user, &*got_password), (user, password));
        }
    }

    #[test]
    fn broken_lines_are_shown_short_and_without_passwords() {
        for text in [
            "https://me:secret@exa mple.org/",
            "https://me:secret/x@example.org/",
            "ftp://me:secret@example.org/",
            "me:secret@exa mple.org",
            r#"{"url":"https://me:secret@example.org/""#,
            r#"{"headers":{"authorization":"secret"},"url":1"#,
            r#"{"url":"https://example.org/","user":"me:secret""#,
            r#"{"url":"https://example.org/","Cookies":{"a":"secret""#,
            r#"{"mirrors":["https://a.example/","https://me:secret@b.example/""#,
        ] {
            let shown = shown(text);
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert_eq!(&*shown("https://exa mple.org/@someone"), "https://exa mple.org/@someone");
        assert_eq!(&*shown(r#"{"url":"ftp://example.org/@x""#), r#"{"url":"ftp://example.org/@x""#);
        assert_eq!(shown(&"ä".repeat(9000)).len(), SHOWN);
    }
}
