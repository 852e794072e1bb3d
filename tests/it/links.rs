//! Where links are found beside `<a href>`, which of them a crawl follows, and what `lycosa sitemap` prints.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::support::*;

fn typed(media_type: &str, body: impl Into<String>) -> Reply {
    status(200).header("content-type", media_type).bytes(body.into().into_bytes())
}

/// A page with everything around it; each part says what else it uses.
fn shop() -> Site {
    Site::start(|request| match request.path() {
        "/" => html(
            "<link rel=stylesheet href=/style.css><link rel=manifest href=/app.webmanifest>
            <link rel=alternate type=application/atom+xml href=/feed>
            <a href=/page ping=/ping>p</a><img src=/picture.png srcset='/big.png 2x'><script src=/code.js></script>
            <form action=/search></form><div style='background: url(/inline.png)'></div>
            <script>load('/inside/script')</script>",
        )
        .header("link", "</next>; rel=next, </preload.js>; rel=preload"),
        "/style.css" => typed("text/css", "@import 'more.css'; a { background: url(bg.png) }"),
        "/code.js" => typed("text/javascript", "fetch('/api/items?x=1'); // '/not/this'\n"),
        "/app.webmanifest" => {
            typed("application/manifest+json", "{\"start_url\": \"/start\", \"icons\": [{\"src\": \"/icon.png\"}]}")
        }
        "/feed" => typed(
            "application/atom+xml",
            "<feed xmlns='http://www.w3.org/2005/Atom'><entry><link href='/entry'/></entry><icon>/feed.ico</icon></feed>",
        ),
        "/llms.txt" => typed("text/plain", "# T\n- [Doc](/doc.md)\n![i](/drawing.png)\n"),
        "/picture.png" | "/big.png" | "/bg.png" | "/icon.png" | "/inline.png" | "/drawing.png" => {
            typed("image/png", "\u{1}")
        }
        "/robots.txt" => status(404),
        _ => html(""),
    })
}

fn crawled(flags: &[&str]) -> Vec<String> {
    let site = shop();
    lycosa(["crawl"]).args(flags.iter().copied()).args([site.url("/"), site.url("/llms.txt")]).run().exits(0);
    site.targets()
}

#[test]
fn by_default_what_leads_to_documents_is_followed() {
    let expected = ["/", "/doc.md", "/entry", "/feed", "/llms.txt", "/next", "/page"];
    assert_eq!(crawled(&[]), expected);
    assert_eq!(crawled(&["--follow", "pages"]), expected);
}

#[test]
fn all_links_are_followed_if_that_is_asked_for_and_those_in_scripts_apart() {
    let mut all = vec![
        "/",
        "/app.webmanifest",
        "/bg.png",
        "/big.png",
        "/code.js",
        "/doc.md",
        "/drawing.png",
        "/entry",
        "/feed",
        "/feed.ico",
        "/icon.png",
        "/inline.png",
        "/llms.txt",
        "/more.css",
        "/next",
        "/page",
        "/picture.png",
        "/preload.js",
        "/search",
        "/start",
        "/style.css",
    ];
    assert_eq!(crawled(&["--follow", "all"]), all, "never a ping");
    all.extend(["/api/items?x=1", "/inside/script"]);
    all.sort_unstable();
    assert_eq!(crawled(&["--follow", "all", "--js-links"]), all);
}

#[test]
fn elements_choose_what_is_followed() {
    assert_eq!(crawled(&["--follow", "img"]), ["/", "/big.png", "/llms.txt", "/picture.png"]);
    assert_eq!(
        crawled(&["--follow", "pages,img"]),
        ["/", "/big.png", "/doc.md", "/entry", "/feed", "/llms.txt", "/next", "/page", "/picture.png"]
    );
    let with_scripts = crawled(&["--follow", "script", "--js-links"]);
    assert_eq!(with_scripts, ["/", "/api/items?x=1", "/code.js", "/inside/script", "/llms.txt"]);
    let told = lycosa(["crawl", "--follow", "imgs", "http://h/"]).run().exits(2);
    assert!(told.stderr.contains("did you mean 'img'?"), "{}", told.stderr);
}

#[test]
fn records_show_every_link_with_its_place() {
    let site = shop();
    let record = lycosa(["fetch", "--with", "links", &site.url("/")]).run().exits(0).record();
    let links: Vec<(String, String, String)> = record["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| (field(link, "tag").into(), field(link, "attribute").into(), field(link, "url").into()))
        .collect();
    for (tag, attribute, path) in [
        ("header", "link", "/next"),
        ("header", "link", "/preload.js"),
        ("link", "href", "/style.css"),
        ("a", "href", "/page"),
        ("a", "ping", "/ping"),
        ("img", "srcset", "/big.png"),
        ("form", "action", "/search"),
        ("style", "style", "/inline.png"),
    ] {
        assert!(links.contains(&(tag.into(), attribute.into(), site.url(path))), "{tag} {attribute} in {links:?}");
    }
}

#[test]
fn a_refresh_in_the_head_of_an_answer_is_followed() {
    let site = Site::start(|request| match request.path() {
        "/" => html("").header("refresh", "0; url=/later"),
        "/robots.txt" => status(404),
        _ => html(""),
    });
    lycosa(["crawl", &site.url("/")]).run().exits(0);
    assert_eq!(site.targets(), ["/", "/later"]);
}

/// A site whose robots.txt names an index and a feed.
fn mapped() -> Site {
    let known = Arc::new(OnceLock::<String>::new());
    let host = Arc::clone(&known);
    let site = Site::start(move |request| {
        let base = host.get().unwrap();
        match request.path() {
            "/robots.txt" => text(format!(
                "User-agent: *\nCrawl-delay: 0.2\nDisallow: /private\nSitemap: {base}/index.xml\nSitemap: {base}/rss\n"
            )),
            "/index.xml" => typed(
                "application/xml",
                format!(
                    "<sitemapindex><sitemap><loc>{base}/one.xml.gz</loc></sitemap>\
                     <sitemap><loc>{base}/two.txt</loc></sitemap><sitemap><loc>{base}/index.xml</loc></sitemap>\
                     </sitemapindex>"
                ),
            ),
            "/one.xml.gz" => {
                let set = format!(
                    "<urlset><url><loc>{base}/a?x=1&amp;y</loc>\
                     <xhtml:link rel='alternate' hreflang='de' href='{base}/de/a'/></url></urlset>"
                );
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(set.as_bytes()).unwrap();
                status(200).header("content-type", "application/gzip").bytes(encoder.finish().unwrap())
            }
            "/two.txt" => text(format!("{base}/b\n{base}/a?x=1&y\n")),
            "/rss" => typed(
                "application/rss+xml",
                format!("<rss><channel><item><link>{base}/news</link></item></channel></rss>"),
            ),
            _ => status(404),
        }
    });
    known.set(site.url("")).unwrap();
    site
}

#[test]
fn the_sitemaps_of_a_site_are_printed() {
    let site = mapped();
    let run = lycosa(["sitemap", &site.url("/")]).run().exits(0);
    let urls: Vec<&str> = run.text().lines().collect();
    assert_eq!(urls, ["/news", "/a?x=1&y", "/de/a", "/b"].map(|path| site.url(path)));
    assert_eq!(site.targets(), ["/index.xml", "/one.xml.gz", "/rss", "/two.txt"], "each once, and no page");
    assert!(site.log().iter().all(|hit| hit.header("user-agent").is_some_and(|name| name.starts_with("lycosa/"))));
    let run = lycosa(["sitemap", "--format", "json", &site.url("/one.xml.gz")]).run().exits(0);
    let entries: Value = serde_json::from_str(run.text()).unwrap();
    let sitemap = site.url("/one.xml.gz");
    assert_eq!(
        entries,
        json!([
            { "url": site.url("/a?x=1&y"), "sitemap": sitemap, "alternate": false },
            { "url": site.url("/de/a"), "sitemap": sitemap, "alternate": true },
        ])
    );
}

#[test]
fn sitemaps_are_asked_at_the_pace_that_robots_txt_states() {
    let _measuring = measuring();
    let gap = |flags: &[&str]| {
        let site = mapped();
        lycosa(["sitemap"]).args(flags.iter().copied()).arg(site.url("/")).run().exits(0);
        gaps(&site.log()).into_iter().min().unwrap()
    };
    assert!(gap(&[]).as_secs_f64() >= 0.195);
    assert!(gap(&["--robots", "ignore"]).as_secs_f64() < 0.195, "without its delay");
    assert!(gap(&["--delay", "300ms"]).as_secs_f64() >= 0.295);
}

#[test]
fn what_cannot_be_read_is_told() {
    let site = mapped();
    let run = lycosa(["sitemap", &site.url("/private/map.xml")]).run().exits(1);
    assert!(run.stderr.contains("robots.txt disallows it") && run.text().is_empty(), "{}", run.stderr);
    let run = lycosa(["sitemap", "--format", "json", &site.url("/none.xml")]).run().exits(1);
    assert_eq!(run.text(), "[]\n");
    assert!(run.stderr.contains("status 404"), "{}", run.stderr);
    let bare = Site::start(|request| match request.path() {
        "/sitemap.xml" => text("http://h.example/x\n"),
        _ => status(404),
    });
    assert_eq!(lycosa(["sitemap", &bare.url("/")]).run().exits(0).text(), "http://h.example/x\n");
    lycosa(["sitemap"]).run().exits(2);
    lycosa(["sitemap", "--robots-file", "x", &site.url("/")]).run().exits(2);
}

/// A site with links to another, and that one.
fn outside() -> (Site, Site) {
    let known = Arc::new(OnceLock::<String>::new());
    let home = Arc::clone(&known);
    let other = Site::start(move |request| match (request.method.as_str(), request.path()) {
        (_, "/robots.txt") => text("User-agent: *\nDisallow: /private\n"),
        (_, "/gone") | ("HEAD", "/head-404") => status(404),
        ("HEAD", "/get-only") => status(405),
        ("HEAD", "/not-implemented") => status(501),
        ("GET", "/not-implemented") => html("x".repeat(1 << 20)),
        (_, "/home") => redirect(302, format!("{}/hidden", home.get().unwrap())),
        (_, "/moved") => redirect(301, "/found"),
        _ => html("<a href=/further>x</a>"),
    });
    let links: Vec<String> =
        ["/", "/gone", "/get-only", "/head-404", "/not-implemented", "/home", "/moved", "/private/x", "/excluded"]
            .iter()
            .map(|path| other.url(path))
            .collect();
    let site = Site::start(move |request| match request.path() {
        "/" => html(index(links.iter().map(String::as_str).chain(["/again"]))),
        "/again" => html(index(&links)),
        "/hidden" => html(index(["/behind"])),
        "/robots.txt" => status(404),
        _ => html(""),
    });
    known.set(site.url("")).unwrap();
    (site, other)
}

#[test]
fn links_out_of_scope_are_checked_once_and_followed_no_further() {
    let (site, other) = outside();
    let run = lycosa(["crawl", "--allow-private", "--outside", "check", "--exclude", "excluded"])
        .args(["--summary", "summary.json", &site.url("/")])
        .run()
        .exits(0);
    let mut asked: Vec<(String, String)> = other.pages().into_iter().map(|hit| (hit.method, hit.target)).collect();
    asked.sort();
    let expected = [
        ("GET", "/get-only"),
        ("GET", "/gone"),
        ("GET", "/head-404"),
        ("GET", "/not-implemented"),
        ("HEAD", "/"),
        ("HEAD", "/found"),
        ("HEAD", "/get-only"),
        ("HEAD", "/gone"),
        ("HEAD", "/head-404"),
        ("HEAD", "/home"),
        ("HEAD", "/moved"),
        ("HEAD", "/not-implemented"),
    ];
    assert_eq!(asked, expected.map(|(method, path)| (method.to_owned(), path.to_owned())));
    assert_eq!(site.targets(), ["/", "/again", "/behind", "/hidden"], "what leads into the scope is a page");
    let records = run.records();
    let of = |path: &str| records.iter().find(|record| field(record, "url") == other.url(path)).unwrap();
    for (path, outcome, method) in [
        ("/", "ok", "HEAD"),
        ("/gone", "http_error", "GET"),
        ("/head-404", "ok", "GET"),
        ("/get-only", "ok", "GET"),
        ("/not-implemented", "ok", "GET"),
        ("/moved", "ok", "HEAD"),
        ("/home", "ok", "GET"),
    ] {
        let record = of(path);
        assert_eq!((field(record, "outcome"), field(record, "method")), (outcome, method), "{path}");
        assert_eq!((record["depth"].clone(), field(record, "source")), (json!(1), &*site.url("/")), "{path}");
    }
    assert_eq!(field(of("/private/x"), "skip_reason"), "robots");
    assert!(of("/not-implemented")["truncated"].as_bool().unwrap(), "its status is enough");
    assert_eq!(records.len(), 3 + 8, "the page found over /home has its record there");
    assert_eq!(run.summary().0["refused"]["scope"], json!(2), "{}", run.summary().0);
}

#[test]
fn links_out_of_scope_are_left_alone_unasked_and_count_as_pages() {
    let (site, other) = outside();
    lycosa(["crawl", "--allow-private", &site.url("/")]).run().exits(0);
    assert_eq!(other.hits(), 0);
    let (site, other) = outside();
    let run =
        lycosa(["crawl", "--allow-private", "--outside", "check", "--max-pages", "3", &site.url("/")]).run().exits(4);
    assert_eq!(run.records().iter().filter(|record| record["outcome"] != "skipped").count(), 3);
    assert!(other.pages().len() + site.pages().len() <= 5, "pages, one GET after a HEAD and a redirect at most");
}
