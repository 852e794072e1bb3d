//! Targets of fuzzing for charsets, sitemaps, and links of all kinds of documents. Those of HTML have their own.

use std::collections::BTreeSet;
use std::io::Write as _;

use encoding_rs::Encoding;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::charset::{Kind, decide, decode, decode_text, label};
use super::headers::outlinks;
use super::sitemap::{self, Caps};
use super::{MAX_LINKS, Wants, extractor_for};
use crate::fuzzing::input::byte;
use crate::fuzzing::target::{Target, contents};
use crate::model::page::{Outlink, Page};
use crate::model::url::{self, Url};

/// What the header says (by number), and a body.
pub(crate) const CHARSET: Target = Target { run: charset, words: CHARSET_WORDS, seeds: charset_seeds, runs: 60_000 };

/// A sitemap of any form, packed or not.
pub(crate) const SITEMAP: Target = Target { run: sitemap, words: SITEMAP_WORDS, seeds: sitemap_seeds, runs: 10_000 };

/// Which kind and what is wanted (by number), and a document that is no plain page.
pub(crate) const DOCUMENTS: Target =
    Target { run: documents, words: DOCUMENT_WORDS, seeds: document_seeds, runs: 20_000 };

/// What is wanted (by number), and header fields with URLs, on a line each.
pub(crate) const LINK_HEADERS: Target =
    Target { run: link_headers, words: HEADER_WORDS, seeds: header_seeds, runs: 30_000 };

const CHARSET_WORDS: &[&[u8]] = &[
    b"<meta",
    b" charset=",
    b"http-equiv=",
    b"content-type",
    b"content=",
    b"text/html; charset=",
    b"'",
    b"\"",
    b">",
    b"/",
    b"<!--",
    b"-->",
    b"<!-->",
    b"<?xml",
    b" encoding=",
    b"?>",
    b"</",
    b"<a ",
    b"=",
    b"koi8-r",
    b"gbk",
    b"utf-16",
    b"utf-16le",
    b"x-user-defined",
    b"iso-2022-kr",
    b"iso-2022-jp",
    b"utf-8",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xe9",
    b"\xc3\xa9",
    b"\0",
    b"\x1b$B",
    b" ",
    b"\n",
];

fn charset_seeds() -> Vec<Vec<u8>> {
    let mut seeds = [
        &b"\0<meta charset=koi8-r><title>\xcf"[..],
        b"\0<META/http-equiv=Content-Type content='text/html; charset = \"gbk\"'>",
        b"\0<!-- <meta charset=gbk> --><a x='<meta charset=gbk>'><? x><meta charset=big5>",
        b"\x01<?xml version='1.0' encoding='iso-8859-1'?><a>\xe9",
        b"\x02\xff\xfea\0b\0",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    seeds.extend(contents("fixtures/html").into_iter().map(|page| [b"\0", &page[..]].concat()));
    seeds
}

fn charset(mut input: &[u8]) {
    let choice = byte(&mut input);
    let kind = [Kind::Html, Kind::Xml, Kind::Text][usize::from(choice) % 3];
    let header = [None, Some("iso-8859-2"), Some("nonsense"), Some("'UTF-8'"), Some("utf-16be")];
    let header = header[usize::from(choice) / 3 % header.len()];
    let encoding = decide(kind, header, input);
    assert_eq!(Encoding::for_label(label(encoding).as_bytes()), Some(encoding));
    let (text, used) = decode(kind, header, input);
    assert_eq!(used, label(encoding));
    assert!(!input.starts_with(b"\xef\xbb\xbf") || text.len() <= input.len() * 3);
    // A declaration has to stand within the first bytes: behind them it is bytes like any others, for the guess.
    let padded = [input, &[b' '; 1024][..]].concat();
    let with_late = |tail: &[u8]| decide(kind, header, &[&padded[..], tail].concat());
    assert_eq!(with_late(b"\xff<meta charset=big5>"), with_late(b"\xff<meta charset=none>"));
    for media_type in ["text/html", "application/xml", "text/plain", "", "image/png"] {
        if let Some((text, label)) = decode_text(media_type, header, input) {
            assert!(!text.contains('\0') && Encoding::for_label(label.as_bytes()).is_some());
            assert_ne!(media_type, "image/png");
        }
    }
}

const SITEMAP_WORDS: &[&[u8]] = &[
    b"<urlset>",
    b"<sitemapindex>",
    b"<sitemap>",
    b"</sitemap>",
    b"<url>",
    b"</url>",
    b"<loc>",
    b"</loc>",
    b"<s:loc>",
    b"<loc/>",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?xml version='1.0' encoding='",
    b"'?>",
    b"<!DOCTYPE x [<!ENTITY a \"b\">]>",
    b"&amp;",
    b"&a;",
    b"&#x10ffff;",
    b"&#xd800;",
    b"&#0;",
    b"&",
    b";",
    b"http://h/",
    b"https://",
    b"\n",
    b"utf-16",
    b"\xff\xfe",
    b"\x1f\x8b\x08",
    b"<image:loc>",
    b"x='",
    b"\"",
    b">",
    b"<",
    b"</",
];

fn sitemap_seeds() -> Vec<Vec<u8>> {
    let set = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\"><url><loc> http://h/a?x=1&amp;y=2 </loc><lastmod>2026</lastmod></url><url><image:image><image:loc>http://h/i.png</image:loc></image:image><loc><![CDATA[http://h/b?x&y]]></loc></url><url/><url><loc>http://h/&#99;</loc></url></urlset>";
    vec![
        set.to_vec(),
        packed(set),
        b"<s:sitemapindex><s:sitemap><s:loc>http://h/1.xml</s:loc></s:sitemap></s:sitemapindex>".to_vec(),
        b"http://h/a\r\n\n# no\n  HTTPS://h/b\n".to_vec(),
        "\u{feff}<url><loc>http://h/\u{e9}</loc></url>".encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ]
}

/// As gzip, not made smaller: that takes the least time.
fn packed(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("a vector takes all")
}

fn sitemap(input: &[u8]) {
    let caps = Caps { urls: 20, unpacked: 1 << 16 };
    let found = sitemap::parse(input, caps);
    assert!(found.urls.len() + found.sitemaps.len() <= caps.urls);
    for url in found.urls.iter().chain(&found.sitemaps) {
        assert!(!url.is_empty() && url.trim() == url, "{url:?}");
    }
    let all = sitemap::parse(input, Caps { urls: usize::MAX, ..caps });
    let first = |few: &[String], all: &[String]| all.starts_with(few);
    assert!(first(&found.urls, &all.urls) && first(&found.sitemaps, &all.sitemaps), "a cap takes off the end");
    let gzip = packed(input);
    if input.len() <= caps.unpacked && !input.starts_with(b"\x1f\x8b") {
        assert_eq!(sitemap::parse(&gzip, caps), found, "packed is the same");
    }
}

const DOCUMENT_WORDS: &[&[u8]] = &[
    b"url(",
    b"@import ",
    b"image-set(",
    b"/*",
    b"*/",
    b"//",
    b"'",
    b"\"",
    b"`",
    b"${",
    b"}",
    b"\\",
    b"\\2f ",
    b"\\u002f",
    b"import(",
    b"from '",
    b"new Worker(",
    b"//# sourceMappingURL=",
    b"<link href='",
    b"<link>",
    b"</link>",
    b"<item>",
    b"<entry>",
    b"<enclosure url=\"",
    b"<guid>",
    b"xml:base='",
    b"<![CDATA[",
    b"]]>",
    b"<?xml?>",
    b"&amp;",
    b"&#47;",
    b"{\"start_url\":\"",
    b"\"icons\":[{\"src\":\"",
    b"[",
    b"]",
    b"](",
    b"![",
    b"[a]: ",
    b"<http://x/>",
    b"```",
    b"\n\n    ",
    b"<img srcset='",
    b" 2x, ",
    b"<source ",
    b"<object codebase=",
    b"<iframe srcdoc=\"",
    b"<a ping='",
    b"<svg><use xlink:href=",
    b"style='",
    b"<form action=",
    b"<base href=",
    b"http://y.example/a",
    b"../b.html",
    b"?q",
    b"#f",
    b"\n",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b")",
    b"(",
    b"<",
    b">",
    b"{",
    b"data:,",
];

/// A kind of document: its media type, and where it lies.
const KINDS: [(&str, &str); 6] = [
    ("text/css", "http://h.example/dir/a.css"),
    ("text/javascript", "http://h.example/dir/a.js"),
    ("application/manifest+json", "http://h.example/dir/a.webmanifest"),
    ("application/rss+xml", "http://h.example/dir/a.xml"),
    ("text/markdown", "http://h.example/dir/a.md"),
    ("text/html", "http://h.example/dir/a.html"),
];

fn document_seeds() -> Vec<Vec<u8>> {
    let documents: [&[u8]; 6] = [
        b"@import 'a.css' screen;\nb{background:url( \"c.png\" )}/* url(no) */ d{src:image-set('e.png' 1x, url(f\\2f g) 2x)}",
        b"import x from './a.js'; fetch(\"/api/b?c\"); const d = `/e/${f}/g`; // '/no'\nvar r = /'/; \"\\u002fh\" //# sourceMappingURL=i.map",
        b"{\"start_url\":\"/a\",\"icons\":[{\"src\":\"b.png\"}],\"shortcuts\":[{\"url\":\"c\"}],\"scope\":\"./\"}",
        b"<?xml version='1.0'?><rss><channel><link>http://h.example/</link><item><link> a </link><guid>b</guid><enclosure url='c.mp3'/></item></channel></rss><feed xml:base='x/'><entry><link href='d'/></entry></feed>",
        b"[a](b \"t\") ![c](<d e>) <http://f/> [g][h]\n\n[h]: i 'j'\n```\n[no](no)\n```\n<a href=k>",
        b"<base href=x/><img src=a srcset='b 1x, c 2x'><object data=d codebase=e/></object><iframe srcdoc='<a href=f>'></iframe><a style='background:url(g)' ping='h i'><form action=j><script>\"/k\"</script><style>@import 'l'</style><video poster=m><meta property=og:image content=n>",
    ];
    (0..).zip(documents).map(|(kind, document)| [&[kind, 7][..], document].concat()).collect()
}

/// By number, so that each is met.
fn wants(choice: u8) -> Wants {
    let is = |bit: u8| choice & bit != 0;
    Wants { links: true, link_details: is(1), everywhere: is(2), scripts: is(4), words: is(8) }
}

/// What holds of the links of all documents.
fn are_links(links: &[Outlink], bytes: usize) {
    assert!(links.len() <= MAX_LINKS);
    let held: usize = links.iter().map(|link| link.url.len()).sum();
    assert!(held <= 16 * bytes + (1 << 20), "{held} of {bytes}");
    for link in links {
        let read = url::parse(&link.url).unwrap_or_else(|error| panic!("{}: {error}", link.url));
        assert_eq!(url::canonical(&read), *link.url);
    }
}

fn documents(mut input: &[u8]) {
    let (media_type, place) = KINDS[usize::from(byte(&mut input)) % KINDS.len()];
    let wants = wants(byte(&mut input));
    let at = Url::parse(place).expect("a URL");
    let extractor = extractor_for(media_type, &at).expect("a kind that is read");
    let page = Page { url: &at, media_type, header_charset: None, body: input, agent: "lycosa" };
    let found = extractor.extract(&page, wants);
    are_links(&found.outlinks, input.len());
    if wants.link_details {
        // Without details each URL is there too, or once for each kind of element.
        let brief = extractor.extract(&page, Wants { link_details: false, ..wants });
        let urls = |links: &[Outlink]| links.iter().map(|link| link.url.to_string()).collect::<BTreeSet<_>>();
        assert_eq!(urls(&brief.outlinks), urls(&found.outlinks));
    }
    if wants.everywhere {
        let fewer = extractor.extract(&page, Wants { everywhere: false, scripts: false, ..wants });
        assert!(fewer.outlinks.len() <= found.outlinks.len());
    }
}

const HEADER_WORDS: &[&[u8]] = &[
    b"link:",
    b"location:",
    b"content-location:",
    b"refresh:",
    b"<",
    b">",
    b"<a>",
    b"; rel=next",
    b"; rel=\"preload next\"",
    b";rel=",
    b"; title=",
    b"\"",
    b"\\",
    b",",
    b";",
    b"=",
    b"0;url=",
    b"5, ",
    b"'",
    b"\n",
    b" ",
    b"\t",
    b"http://x/",
    b"../y",
    b"\xff",
    b"\xc3\xa9",
    b"; rel=nofollow",
];

fn header_seeds() -> Vec<Vec<u8>> {
    [
        &b"\x03link:<a>; rel=next; title=\"b, c\", </d>;rel=\"x nofollow\", rubbish, <e\nlink:<f>\nlocation:g\ncontent-location:h\nrefresh:0;url='i'"[..],
        b"\0link: <http://x/>; rel=canonical;;a=\"b\\\"c\"; rel=late",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

fn link_headers(mut input: &[u8]) {
    let wants = wants(byte(&mut input));
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let at = Url::parse("http://h.example/dir/page?q").expect("a URL");
    are_links(&outlinks(&at, &headers, wants), input.len());
}
