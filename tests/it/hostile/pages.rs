//! Pages, robots.txt and sitemaps that are made to be read for ever, or to be read wrongly.

use std::fmt::Write as _;

use super::bombs::gzip;
use super::heads::noise;
use super::table::Time::{Silence as Silent, Whole};
use super::table::*;

const CAP: u64 = super::MAX_FILESIZE;

fn of_type(content_type: &str, body: impl AsRef<[u8]>) -> Step {
    answer(&format!("200 OK\nContent-Type: {content_type}"), body)
}

fn sized(name: &'static str, body: impl AsRef<[u8]>) -> Row {
    let body = body.as_ref();
    row(name, [page(body)], "ok 200").size(body.len() as u64)
}

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    let many = links(290_000);
    vec![
        sized("1 MiB of unclosed tags", "<a class=x ".repeat(70_000) + &"<div".repeat(60_000)).memory(16),
        sized("1 MiB of nested tags", "<div>".repeat(200_000)).memory(16),
        sized("1 MiB of attributes in one tag", format!("<a {}>", "x=y ".repeat(250_000))).memory(16),
        sized("1 MiB of comments that never end", "<!-- ".repeat(200_000)).memory(16),
        sized("1 MiB of references", "&amp;&notin;&#x1f577;&#99999999999;".repeat(30_000)).memory(16),
        sized("290,000 links", format!("<base href='http://elsewhere.example/'>{many}")).memory(48),
        sized("400,000 links to one page", format!("<base href='http://elsewhere.example/'>{}", "<a href=x>".repeat(400_000))).memory(32),
        sized("a link of 1 MB", format!("<a href='/{}'>", "u".repeat(1_000_000))).memory(16),
        sized("a million-character title", format!("<title>{}</title>", "t".repeat(1_000_000))).memory(16).title("t".repeat(1000).leak()),
        sized("a title with escape codes", "<title>\u{1b}[31mred\u{1b}]0;owned\u{7}\u{9b}2J</title>").title("\u{1b}[31mred\u{1b}]0;owned\u{7}\u{9b}2J"),
        sized("a title of bytes that are no UTF-8", b"<title>\xff\xfe\xc3\x28</title>").title("ÿþÃ("),
        row("no UTF-8 in what is called so", [of_type("text/html; charset=utf-8", b"<title>\xff\xc3\x28\xed\xa0\x80</title>")], "ok 200").size(21).title("\u{fffd}\u{fffd}(\u{fffd}\u{fffd}\u{fffd}"),
        row("no UTF-16 in what is called so", [of_type("text/html; charset=utf-16le", [b"<\0t\0i\0t\0l\0e\0>\0"[..].to_vec(), vec![0x00, 0xd8, 0x00, 0xd8, 0x41]].concat())], "ok 200").size(19),
        sized("a byte order mark and half a character", b"\xff\xfe<").title(""),
        sized("a page of NULs", vec![0; 100_000]),
        sized("NULs in tags", "<ti\0tle>x</title><a hr\0ef=/y\0z><title>a\0b</title>"),
        sized("a base that is none", "<base href='http://[/'><base href='javascript:'><title>x</title>").title("x"),
        row("a charset that does not exist", [of_type("text/html; charset=klingon", "<title>x</title>")], "ok 200").size(16).title("x"),
        row("a charset of 100 KB", [of_type(&format!("text/html; charset={}", "c".repeat(100_000)), "<title>x</title>")], "ok 200").size(16).title("x"),
        row("a content type of 100 KB", [of_type(&"t".repeat(100_000), "hello")], "ok 200").size(5),
        row("a content type of bytes that are no UTF-8", [send(b"HTTP/1.1 200 OK\r\nContent-Type: \xff\xfe/\xc3\x28\r\nContent-Length: 5\r\n\r\nhello")], "ok 200").size(5),
        row("an image that is called HTML", [of_type("text/html", [b"\x89PNG\r\n\x1a\n", &noise(50_000)[..]].concat())], "ok 200").size(50_008),
        row("gzip that is called HTML", [of_type("text/html", gzip(b"<a href=/x>"))], "ok 200").size(gzip(b"<a href=/x>").len() as u64),
        row("HTML that is called bytes", [of_type("application/octet-stream", "<a href=/x>")], "ok 200").size(11),
        row("HTML that is called nothing", [answer("200 OK", "<a href=/x>")], "ok 200").size(11),
        row("a frame of itself", [page("<iframe src=/></iframe><a href=/>")], "ok 200").size(33),
        row("links to other schemes", [page("<a href=file:///etc/passwd><a href=javascript:0><a href=data:,x><a href=ftp://x/>")], "ok 200").size(81),
        row("links to private addresses", [page("<a href=http://10.0.0.1/><a href=http://169.254.169.254/><a href=http://127.0.0.1:1/>")], "ok 200").size(85).leads_away(),
        robots("a robots.txt without end", [head("200 OK\nContent-Type: text/plain"), endless("Disallow: /no\n")], "ok 200").memory(8),
        robots("a robots.txt of noise", [of_type("text/plain", noise(100_000))], "ok 200"),
        robots("a robots.txt of one line of 400 KB", [of_type("text/plain", format!("User-agent: *\nDisallow: /{}", "*a".repeat(200_000)))], "ok 200"),
        robots("a robots.txt of stars", [of_type("text/plain", format!("User-agent: *\n{}", "Disallow: /*a*b*c*d*e*f*g*h*$\n".repeat(15_000)))], "ok 200"),
        robots("a robots.txt that is a gzip bomb", [coded("gzip", crate::support::bomb(256).body)], "ok 200").memory(8),
        robots("a robots.txt that redirects to itself", [redirect("/robots.txt")], "ok 200"),
        robots("a robots.txt whose Crawl-delay is no time", [of_type("text/plain", "User-agent: *\nCrawl-delay: -1\nCrawl-delay: NaN\nCrawl-delay: 1e999\n")], "ok 200"),
        robots("a robots.txt that never answers", [Silence], "failed timeout/robots").takes(Whole),
        robots("a robots.txt that stops in the body", [head("200 OK\nContent-Length: 100"), Silence], "failed timeout/robots").takes(Silent),
        robots("a robots.txt that is no HTTP", [send("hello\r\n\r\n"), Close], "failed protocol/robots"),
        robots("a robots.txt that fails", [answer("500 Oh no", "")], "skipped robots"),
        sitemap("a sitemap that is an XML bomb", [of_type("application/xml", laughs())]).memory(16),
        sitemap("a sitemap that includes a file", [of_type("application/xml", "<!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><urlset><url><loc>&f;</loc></url></urlset>")]),
        sitemap("a sitemap index of itself", [of_type("application/xml", "<sitemapindex><sitemap><loc>http://{self}/sitemap.xml</loc></sitemap></sitemapindex>")]),
        sitemap("a sitemap that is a gzip bomb", [of_type("application/gzip", crate::support::bomb(256).body)]).memory(120),
        sitemap("a sitemap of nested tags", [of_type("application/xml", "<urlset>".repeat(500_000))]).memory(24),
        sitemap("a sitemap that never answers", [Silence]),
        sitemap("a sitemap without end", [head("200 OK"), endless("<url><loc>ftp://x/</loc></url>")]).memory(120),
        sitemap("a sitemap of noise", [of_type("application/xml", noise(1 << 20))]),
        sitemap("a sitemap of a million URLs elsewhere", [of_type("text/plain", "http://elsewhere.example/\n".repeat(1_000_000))]).memory(120),
    ].into_iter().chain([sized("a page as long as may be", vec![b'x'; usize::try_from(CAP).unwrap()])]).collect()
}

/// So many links, each to another page.
pub fn links(count: usize) -> String {
    let mut page = String::new();
    for number in 0..count {
        write!(page, "<a href={number:x}>").unwrap();
    }
    page
}

/// A host whose page is as it should be, and whose robots.txt is not.
fn robots(name: &'static str, steps: impl Into<Vec<Step>>, verdict: &'static str) -> Row {
    let asked = verdict == "ok 200";
    let row = row(name, [page("hello")], verdict).robots(steps);
    if asked { row.size(5) } else { row.hits(0..=0) }
}

/// A host whose page is as it should be, and whose sitemap is not.
fn sitemap(name: &'static str, steps: impl Into<Vec<Step>>) -> Row {
    let names = answer("200 OK\nContent-Type: text/plain", "Sitemap: http://{self}/sitemap.xml\n");
    row(name, [page("hello")], "ok 200").robots([names]).at("/sitemap.xml", steps).size(5).hits(2..=2)
}

/// Entities of entities: a billion laughs.
fn laughs() -> String {
    let mut text = "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol0 'lol'>".to_owned();
    for level in 1..10 {
        write!(text, "<!ENTITY lol{level} '{}'>", format!("&lol{};", level - 1).repeat(10)).unwrap();
    }
    text + "]><urlset><url><loc>http://h/&lol9;</loc></url></urlset>"
}
