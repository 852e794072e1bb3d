//! Targets of fuzzing for HTML.

use encoding_rs::{Encoding, UTF_8};

use super::oracle::{PIECES, compare};
use super::{Html, MAX_TEXT, MAX_TITLE};
use crate::fuzzing::target::{Target, byte, contents};
use crate::model::page::{Extraction, Page};
use crate::model::url::{self, Url};
use crate::parse::MAX_LINKS;
use crate::parse::references::Resolver;
use crate::parse::{Extract as _, Wants};

/// The header's charset (by number), and a page.
pub(crate) const HTML: Target = Target { run: html, words: WORDS, seeds: html_seeds, runs: 20_000 };

/// Nearly a page, byte by byte from pieces, for html5ever beside our scanner.
pub(crate) const HTML_TWICE: Target =
    Target { run: html_twice, words: &[], seeds: || vec![(0..=255).collect(), vec![0, 16, 20, 33, 90]], runs: 10_000 };

/// Which base and which encoding, and references, on a line each.
pub(crate) const REFERENCES: Target =
    Target { run: references, words: REFERENCE_WORDS, seeds: reference_seeds, runs: 60_000 };

const WORDS: &[&[u8]] = &[
    b"<a href=",
    b"<A HREF='",
    b"</a>",
    b"<area href=",
    b"<link rel=next href=",
    b"<base href=",
    b"<iframe src=",
    b"</iframe>",
    b"<meta http-equiv=refresh content='0;url=",
    b"<meta name=robots content=nofollow>",
    b"<meta charset=",
    b"<title>",
    b"</title>",
    b"<script>",
    b"</script>",
    b"<!--",
    b"-->",
    b"--!>",
    b"<![CDATA[",
    b"]]>",
    b"<svg>",
    b"</svg>",
    b"<math>",
    b"<mi>",
    b"<foreignObject>",
    b"<desc>",
    b"<annotation-xml encoding=text/html>",
    b"<style>",
    b"</style>",
    b"<textarea>",
    b"<plaintext>",
    b"<noscript>",
    b"<template>",
    b"<frameset>",
    b"&amp;",
    b"&#x",
    b"&#99999999999;",
    b"&notit;",
    b"'",
    b"\"",
    b">",
    b"<",
    b"/",
    b"=",
    b" rel=nofollow",
    b"\0",
    b"\r",
    b"\n",
    b"#",
    b"?",
    b"http://x/",
    b"//y",
    b"../",
    b"\xc3\xa9",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
];

fn html_seeds() -> Vec<Vec<u8>> {
    contents("fixtures/html").into_iter().map(|page| [b"\0", &page[..]].concat()).collect()
}

fn extract(url: &Url, header_charset: Option<&str>, body: &[u8], wants: Wants) -> Extraction {
    Html.extract(&Page { url, media_type: "text/html", header_charset, body, agent: "lycosa" }, wants)
}

fn html(mut input: &[u8]) {
    let header = [None, Some("utf-8"), Some("utf-16le"), Some("shift_jis")];
    let header = header[usize::from(byte(&mut input)) % header.len()];
    let at = Url::parse("http://h.example/dir/page?q").expect("a URL");
    let all = extract(&at, header, input, Wants { links: true, link_details: true, words: true, ..Wants::default() });
    let brief = extract(&at, header, input, Wants { links: true, ..Wants::default() });
    let none = extract(&at, header, input, Wants::default());
    assert_eq!((&all.title, all.directives, all.charset), (&brief.title, brief.directives, brief.charset));
    assert_eq!((&all.title, none.outlinks.len()), (&none.title, 0));
    if let Some(title) = &all.title {
        assert!(!title.is_empty() && title.chars().count() <= MAX_TITLE);
        assert!(title.split_ascii_whitespace().collect::<Vec<_>>().join(" ") == *title, "{title:?}");
    }
    assert!(all.charset.is_some_and(|label| Encoding::for_label(label.as_bytes()).is_some()));
    assert!(all.outlinks.len() <= MAX_LINKS);
    let bytes: usize = all.outlinks.iter().map(|link| link.url.len()).sum();
    assert!(bytes <= 16 * input.len() + (1 << 20), "{bytes} of {}", input.len());
    for link in all.outlinks.iter().chain(&brief.outlinks) {
        let read = url::parse(&link.url).unwrap_or_else(|error| panic!("{}: {error}", link.url));
        assert_eq!(url::canonical(&read), *link.url);
        let text = link.text.as_deref().unwrap_or("x");
        assert!(!text.is_empty() && text.chars().count() <= MAX_TEXT, "{text:?}");
    }
    let mut once: Vec<&str> = Vec::new();
    for link in &all.outlinks {
        if !once.contains(&&*link.url) {
            once.push(&link.url);
        }
    }
    let brief: Vec<&str> = brief.outlinks.iter().map(|link| &*link.url).collect();
    assert_eq!(brief, once, "each URL once, in order");
}

/// What holds pieces together, or breaks them. Without letters that would make names which the two take differently.
const GLUE: &[u8] = b"<>/!-='\"& \n\0;#ax[]?";

fn html_twice(input: &[u8]) {
    let mut page = String::new();
    for byte in input.iter().take(64).map(|byte| usize::from(*byte)) {
        match PIECES.get(byte) {
            Some(piece) => page.push_str(piece),
            None => page.push(char::from(GLUE[byte % GLUE.len()])),
        }
    }
    compare(&page, "a page of pieces");
}

const REFERENCE_WORDS: &[&[u8]] = &[
    b"http://h.example",
    b"https://h.example:8080",
    b"http://o.example/",
    b"//",
    b"/",
    b"../",
    b"./",
    b"..",
    b"/..",
    b"%2e",
    b"%2E",
    b"?",
    b"#",
    b":",
    b"@",
    b"\\",
    b"\t",
    b" ",
    b"%",
    b"|",
    b"^",
    b"'",
    b"\"",
    b"<",
    b"{",
    b"\xc3\xa9",
    b"javascript:",
    b"HTTP:",
    b"h",
    b"http:",
    b"\n",
];

fn reference_seeds() -> Vec<Vec<u8>> {
    [
        &b"\0a/b_c~d?e=%20\n../../x\nhttp://o.example/a b\nhttp://o.example/c"[..],
        b"\x02/a?\xc3\xa9\n\xc3\xa9?\xc3\xa9#\xc3\xa9",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

/// The short way to a canonical URL gives what the long one does, whatever came before.
fn references(mut input: &[u8]) {
    let bases = [
        "http://h.example/",
        "https://h.example:8080/a/b.html",
        "http://user:pass@h.example/a/b/?q=/x/y",
        "http://[::1]/a//b//",
        "https://h.example/%7Eu/a;v=1/x",
        "http://h.example?q=1/2",
        "http://h.example/a#b/c",
    ];
    let base = Url::parse(bases[usize::from(byte(&mut input)) % bases.len()]).expect("a URL");
    let mut resolver = Resolver::new(&base, None, UTF_8);
    let text = String::from_utf8_lossy(input);
    for reference in text.split('\n') {
        let joined = url::join(&base, reference).ok();
        let canonical = joined.as_ref().map(url::canonical);
        assert_eq!(resolver.canonical(reference), canonical, "{reference:?} on {base}");
        let fragment = joined.as_ref().and_then(|url| url.fragment().map(Into::into));
        assert_eq!(resolver.with_fragment(reference), canonical.map(|url| (url, fragment)), "{reference:?} on {base}");
    }
}
