//! Targets of fuzzing for charsets and sitemaps.

use std::io::Write as _;

use encoding_rs::Encoding;

use super::charset::{Kind, decide, decode, decode_text, label};
use super::sitemap::{self, Caps};
use crate::fuzzing::{Target, byte, contents};

/// What the header says (by number), and a body.
pub(crate) const CHARSET: Target = Target { run: charset, words: CHARSET_WORDS, seeds: charset_seeds, runs: 60_000 };

/// A sitemap of any form, packed or not.
pub(crate) const SITEMAP: Target = Target { run: sitemap, words: SITEMAP_WORDS, seeds: sitemap_seeds, runs: 10_000 };

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
    // A declaration has to stand within the first bytes; behind them only the guess depends on what comes.
    let padded = [input, &[b' '; 1024][..]].concat();
    let late = [&padded[..], b"\xff<meta charset=big5>"].concat();
    let (before, after) = (decide(kind, header, &padded), decide(kind, header, &late));
    let is_guess = before == encoding_rs::UTF_8 && after == encoding_rs::WINDOWS_1252;
    assert!(before == after || is_guess, "{before:?}, and with more behind it {after:?}");
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
