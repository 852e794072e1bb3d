//! Markdown, and the `llms.txt` of a site: inline links, reference definitions and `<…>` links.
//!
//! Leaves out code, in which nothing is a link. Never fails.
//!
//! Source: CommonMark 0.31 (6.3 links, 4.7 link reference definitions, 6.5 autolinks), read leniently; llmstxt.org.

use super::references::{Extra, Place, References, Resolver};
use super::{Extract, Wants, charset};
use crate::model::page::{Extraction, Page};
use crate::model::url::Url;

/// `text/markdown`, and plain text that is called `llms.txt`.
pub struct Markdown;

static LINK: Place = Place { tag: "markdown", attribute: "link", leads: true };
static IMAGE: Place = Place { tag: "markdown", attribute: "image", leads: false };

impl Extract for Markdown {
    fn reads(&self, media_type: &str, url: &Url) -> bool {
        media_type == "text/markdown"
            || (matches!(media_type, "text/plain" | "")
                && ["/llms.txt", "/llms-full.txt"].iter().any(|end| url.path().ends_with(end)))
    }

    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction {
        let (text, label) = charset::decode(charset::Kind::Text, page.header_charset, page.body);
        let mut references = References::new(wants);
        if wants.links {
            each_link(&text, |link| {
                let place = if link.image { &IMAGE } else { &LINK };
                if place.leads || wants.everywhere {
                    let extra = Extra { text: link.text.map(Into::into), ..Extra::default() };
                    let extra = wants.link_details.then(|| Box::new(extra));
                    let _ = references.push(link.url.to_owned().into(), place, false, extra);
                }
            });
        }
        let title =
            text.lines().find_map(|line| line.strip_prefix("# ")).map(|line| line.trim().chars().take(1000).collect());
        let mut resolver = Resolver::new(page.url, None, encoding_rs::UTF_8);
        let outlinks = references.resolve(&mut resolver, page.body.len());
        Extraction { title, outlinks, charset: Some(label), ..Extraction::default() }
    }
}

#[derive(Debug, PartialEq)]
struct Link<'t> {
    url: &'t str,
    text: Option<&'t str>,
    image: bool,
}

fn each_link<'t>(text: &'t str, mut found: impl FnMut(Link<'t>)) {
    let mut fenced = false;
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            fenced = !fenced;
        } else if !fenced {
            definition(start).into_iter().for_each(&mut found);
            inline(line, &mut found);
        }
    }
}

/// `[label]: url`
fn definition(line: &str) -> Option<Link<'_>> {
    let (label, rest) = line.strip_prefix('[')?.split_once("]:")?;
    let url = rest.split_ascii_whitespace().next()?;
    let url = url.strip_prefix('<').and_then(|url| url.strip_suffix('>')).unwrap_or(url);
    (!label.contains(['[', ']'])).then_some(Link { url, text: None, image: false })
}

fn inline<'t>(line: &'t str, found: &mut impl FnMut(Link<'t>)) {
    let mut at = 0;
    // Where the texts of links that end here would begin, innermost last.
    let mut open: Vec<usize> = Vec::new();
    while let Some(byte) = line.as_bytes().get(at) {
        match byte {
            b'\\' => at += 1,
            b'`' => {
                // Code up to the next run of the same length.
                let run = line[at..].len() - line[at..].trim_start_matches('`').len();
                let behind = at + run;
                at = line[behind..].find(&line[at..behind]).map_or(behind, |length| behind + length + run) - 1;
            }
            b'[' => open.push(at),
            b']' if let Some(start) = open.pop() => {
                if let Some(rest) = line[at + 1..].strip_prefix('(')
                    && let Some((url, length)) = destination(rest)
                {
                    let image = start > 0 && line.as_bytes()[start - 1] == b'!';
                    let text = Some(line[start + 1..at].trim()).filter(|text| !text.is_empty());
                    found(Link { url, text, image });
                    at += 1 + length;
                }
            }
            b'<' => {
                let rest = &line[at + 1..];
                if let Some(url) = rest.split(['>', ' ', '<']).next()
                    && rest[url.len()..].starts_with('>')
                    && (url.starts_with("http://") || url.starts_with("https://"))
                {
                    found(Link { url, text: None, image: false });
                    at += url.len() + 1;
                }
            }
            _ => {}
        }
        at += 1;
        while !line.is_char_boundary(at.min(line.len())) {
            at += 1;
        }
    }
}

/// The destination behind `](`, and how many bytes it takes up to its bracket.
fn destination(text: &str) -> Option<(&str, usize)> {
    if let Some(rest) = text.strip_prefix('<') {
        let length = rest.find('>')?;
        return Some((&rest[..length], length + 2));
    }
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b')' | b' ' | b'\t' => return (at > 0).then_some((&text[..at], at)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        each_link(text, |link| all.push(format!("{}{}", if link.image { "!" } else { "" }, link.url)));
        all
    }

    #[test]
    fn links_are_found_and_code_is_left_alone() {
        for (text, expected) in [
            ("# T\n- [Docs](https://h/docs.md): about\n- [More](/more \"t\")", &["https://h/docs.md", "/more"][..]),
            ("![i](a.png) [![b](b.png)](c)", &["!a.png", "!b.png", "c"]),
            ("[a](x_(y)) <https://h/z> <b>", &["x_(y)", "https://h/z"]),
            ("`[no](no)` ``[no](no) ` `` [yes](yes)\n```\n[no](no)\n```\n[also](also)", &["yes", "also"]),
            ("[ref]: https://h/r 'T'\n[x]: <y>", &["https://h/r", "y"]),
            ("\\[no](\\) [é](ü)", &["ü"]),
            ("[a](<b c>) []() [x]( y)", &["b c"]),
            ("`open [yes](yes)", &["yes"]),
        ] {
            assert_eq!(urls(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "([\\[\\]()`<>!\\\\\n ]|\\]\\(|http://a|é){0,40}") {
            each_link(&text, |link| assert!(text.contains(link.url)));
        }
    }
}
