//! Scripts: string literals that look like paths, for `--js-links`. A guess by nature, so it is never made unasked.
//!
//! Knows comments, the three kinds of strings and regular expressions well enough not to lose its way; it does not run
//! or parse anything. A template with `${…}` in it is no literal. JSON is read alike.
//!
//! Source: ECMA-262 12 (lexical grammar). What looks like a path is ours: see `is_path`.

use memchr::memmem;

use super::references::{Place, References, Resolver};
use super::{Extract, Wants, charset};
use crate::model::page::{Extraction, Page};
use crate::model::url::Url;

/// Bytes of a string that is looked at; longer ones hold data.
const LONGEST: usize = 2048;

/// Calls `found` for each string literal that looks like a path or a URL.
pub(super) fn each_path<'t>(script: &'t str, mut found: impl FnMut(&'t str)) {
    let bytes = script.as_bytes();
    let mut at = 0;
    // Whether a slash here divides: behind a value it does, else it opens a regular expression.
    let mut behind_value = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' | b'`' => {
                let end = string_end(bytes, at);
                let literal = &script[at + 1..end.content];
                if end.closed && is_path(literal) {
                    found(literal);
                }
                at = end.next;
                behind_value = true;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |length| at + length);
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = memmem::find(&bytes[at + 2..], b"*/").map_or(bytes.len(), |length| at + length + 4);
            }
            b'/' if !behind_value => {
                at = expression_end(bytes, at);
                behind_value = true;
            }
            _ if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') => {
                let length = bytes[at..].iter().position(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'_' | b'$'));
                let word = &bytes[at..length.map_or(bytes.len(), |length| at + length)];
                behind_value =
                    !matches!(word, b"return" | b"typeof" | b"case" | b"in" | b"of" | b"else" | b"do" | b"void");
                at += word.len();
            }
            _ => {
                if !byte.is_ascii_whitespace() {
                    behind_value = matches!(byte, b')' | b']' | b'}');
                }
                at += 1;
            }
        }
    }
}

struct End {
    /// Behind the last byte of the content.
    content: usize,
    next: usize,
    closed: bool,
}

/// Where the string that opens at `open` ends: at its quote, or (but for a template) at the end of its line.
fn string_end(bytes: &[u8], open: usize) -> End {
    let quote = bytes[open];
    let mut at = open + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' | b'\r' if quote != b'`' => return End { content: at, next: at, closed: false },
            _ if byte == quote => return End { content: at, next: at + 1, closed: true },
            _ => {}
        }
        at += 1;
    }
    End { content: bytes.len(), next: bytes.len(), closed: false }
}

/// Behind the regular expression that opens here; one that its line does not close was none.
fn expression_end(bytes: &[u8], open: usize) -> usize {
    let (mut at, mut in_class) = (open + 1, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => return at + 1,
            b'\n' | b'\r' => break,
            _ => {}
        }
        at += 1;
    }
    open + 1
}

/// Endings of what is asked for over the web, by which a path without a leading slash or dot is told from other words.
const ENDINGS: &[&str] = &[
    "html", "htm", "xhtml", "php", "asp", "aspx", "jsp", "do", "json", "xml", "txt", "js", "mjs", "css", "svg", "png",
    "jpg", "jpeg", "gif", "webp", "avif", "pdf", "woff", "woff2", "wasm", "rss", "atom",
];

/// Whether a literal looks like a path: an absolute URL, or one that begins with a slash or dots, or has a slash inside
/// and a well-known ending; without white space, escapes or what only patterns and markup have.
fn is_path(literal: &str) -> bool {
    let is_plain = |byte: u8| byte > b' ' && byte != 0x7f && !b"\\<>{}|^`\"'*()[]".contains(&byte);
    if literal.len() < 2 || literal.len() > LONGEST || !literal.bytes().all(is_plain) {
        return false;
    }
    let begins = |start: &str| literal.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    if let Some(rest) =
        ["http://", "https://", "//"].iter().find_map(|start| begins(start).then(|| &literal[start.len()..]))
    {
        // A host, at the least: the start alone is what programs put together.
        return rest
            .split(['/', '?', '#'])
            .next()
            .is_some_and(|host| host.contains('.') || host.starts_with("localhost"));
    }
    let dotted = literal.strip_prefix("../").or_else(|| literal.strip_prefix("./"));
    if let Some(rest) = dotted.or_else(|| literal.strip_prefix('/')) {
        return rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '%'))
            && rest.contains(|c: char| c.is_alphanumeric());
    }
    let path = literal.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    path.contains('/')
        && path.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        && !path.contains(':')
        && ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Scripts and JSON, read only for `--js-links`.
pub struct Script;

const LITERAL: &Place = &Place { tag: "script", attribute: "text", leads: false };

impl Extract for Script {
    fn reads(&self, media_type: &str, _: &Url) -> bool {
        matches!(
            media_type,
            "text/javascript"
                | "application/javascript"
                | "application/x-javascript"
                | "application/ecmascript"
                | "application/json"
        )
    }

    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction {
        if !wants.scripts {
            return Extraction::default();
        }
        let (text, label) = charset::decode(charset::Kind::Text, page.header_charset, page.body);
        let mut references = References::new(wants);
        each_path(&text, |path| {
            let _ = references.push(path.into(), LITERAL, false, None);
        });
        let mut resolver = Resolver::new(page.url, None, encoding_rs::UTF_8);
        let outlinks = references.resolve(&mut resolver, page.body.len());
        Extraction { outlinks, charset: Some(label), ..Extraction::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(script: &str) -> Vec<&str> {
        let mut all = Vec::new();
        each_path(script, |path| all.push(path));
        all
    }

    #[test]
    fn literals_that_look_like_paths_are_found() {
        for (script, expected) in [
            ("fetch('/api/v1/items?x=1')", &["/api/v1/items?x=1"][..]),
            (
                "a=\"https://h.example/x\"; b='//cdn.example/y.js'; c=`./z`",
                &["https://h.example/x", "//cdn.example/y.js", "./z"],
            ),
            ("import x from '../mod.js'; load('img/a.png'); load('a.png')", &["../mod.js", "img/a.png"]),
            ("// '/no'\n/* '/no' */ a('/yes')", &["/yes"]),
            ("a = /'[/]/.test(b) ? '/yes' : x / 2 / '/also'", &["/yes", "/also"]),
            ("x = a / b; y = '/c'; z = d / e", &["/c"]),
            ("return /['\"]/g, '/a'", &["/a"]),
            ("'/a b' + '/' + '//' + '/*' + '</a>' + '\\/x' + `/t/${id}` + 'http://' + '/[a-z]+/'", &[]),
            ("'text/html' + 'application/json' + 'a/b' + 'and/or.' + 'M/d/yyyy'", &[]),
            ("'pages/next.php?p=2' + 'data/x.JSON#f'", &["pages/next.php?p=2", "data/x.JSON#f"]),
            ("'open\n'/a'", &["/a"]),
            ("{\"@type\": \"Thing\", \"url\": \"https://h.example/thing\"}", &["https://h.example/thing"]),
            ("'/é/ü'", &["/é/ü"]),
            ("`/a", &[]),
            ("'\\", &[]),
        ] {
            assert_eq!(paths(script), expected, "{script}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_script_is_read_to_its_end(script in "([\"'`/\\\\*\n()]|/a|//|return |x|é){0,40}") {
            each_path(&script, |path| assert!(script.contains(path)));
        }
    }
}
