//! Which links are followed, and that each page is asked once.

use serde_json::json;

use crate::support::*;

/// A web of several names behind one proxy: it answers by the whole URL.
fn proxied(pages: &'static [(&'static str, &'static [&'static str])]) -> Site {
    Site::start(move |request| match pages.iter().find(|(url, _)| *url == request.target) {
        Some((_, links)) => html(index(*links)),
        None if request.target.ends_with("/robots.txt") => status(404),
        None => html(""),
    })
}

fn asked(proxy: &Site) -> Vec<String> {
    proxy.targets().into_iter().filter(|target| !target.ends_with("/robots.txt")).collect()
}

fn links_to(links: &'static [&'static str]) -> Site {
    Site::start(move |request| if request.path() == "/" { html(index(links)) } else { html("") })
}

#[test]
fn every_page_of_a_site_is_asked_exactly_once() {
    let tree = Tree::new(400, 20, 20, 1);
    let mut expected = tree.paths();
    let site = Site::start(move |request| tree.answer(request));
    let run = lycosa(["crawl", &site.url("/page/0")]).run().exits(0);
    assert_eq!(site.targets(), expected);
    let counts = outcome_counts(&run.records());
    assert_eq!((counts["ok"], counts["http_error"]), (420, 20));
    assert_eq!(counts.len(), 2);
    let mut found: Vec<_> = run.records().iter().map(|record| field(record, "url").to_owned()).collect();
    found.sort_unstable();
    expected.retain(|path| !path.starts_with("/landing/"));
    let expected: Vec<_> = expected.iter().map(|path| site.url(path)).collect();
    assert_eq!(found, expected, "a record for each link, none for the inner hops");
}

#[test]
fn records_stream_while_the_crawl_goes_on() {
    let tree = Tree::new(300, 0, 0, 5);
    let site = Site::start(move |request| tree.answer(request));
    let running = lycosa(["crawl", "--rate", "100/s", &site.url("/page/0")]).spawn();
    running.wait_for_lines(1);
    let asked = site.hits();
    let run = running.finish().exits(0);
    assert_eq!(run.records().len(), 300);
    assert!(asked < 60, "{asked} pages were asked before the first record was out");
}

#[test]
fn the_scope_is_the_seeds_host_key() {
    let other = Site::start(|_: &Request| html(""));
    let link = other.url("/");
    let site = Site::start(move |request| match request.path() {
        "/" => html(index(["/in", &link])),
        _ => html(""),
    });
    let records = lycosa(["crawl", "--allow-private", &site.url("/")]).run().exits(0).records();
    assert_eq!((records.len(), other.hits()), (2, 0), "another port is another host");
    let records = lycosa(["crawl", "--allow-private", "--scope", "any", &site.url("/")]).run().exits(0).records();
    assert_eq!((records.len(), other.pages().len()), (3, 1));
}

#[test]
fn a_discovered_link_to_a_private_address_is_not_followed() {
    let other = Site::start(|_: &Request| html(""));
    let link = other.url("/");
    let site = Site::start(move |_: &Request| html(index([&link])));
    let records = lycosa(["crawl", "--scope", "any", &site.url("/")]).run().exits(0).records();
    assert_eq!(records.len(), 2);
    let refused = records.iter().find(|record| field(record, "url") == other.url("/")).unwrap();
    assert_eq!((field(refused, "outcome"), field(refused, "skip_reason")), ("skipped", "private_address"));
    assert_eq!(other.hits(), 0);
    let seeds = [site.url("/"), other.url("/x")];
    let records = lycosa(["crawl", "--scope", "any"]).args(seeds).run().exits(0).records();
    assert_eq!(outcome_counts(&records)["ok"], 3, "a host that was typed is always allowed");
}

#[test]
fn scope_by_registrable_domain_host_and_everything() {
    let pages: &[(&str, &[&str])] = &[(
        "http://www.example.co.uk/",
        &[
            "http://shop.example.co.uk/",
            "http://example.co.uk/",
            "http://www.example.co.uk:8080/",
            "http://other.co.uk/",
            "http://www.example.co.uk/in",
        ],
    )];
    let base = ["http://www.example.co.uk/", "http://www.example.co.uk/in"];
    let domain = ["http://example.co.uk/", "http://shop.example.co.uk/", "http://www.example.co.uk:8080/"];
    for (scope, more) in
        [("host", &[][..]), ("domain", &domain), ("any", &[&domain[..], &["http://other.co.uk/"]].concat())]
    {
        let proxy = proxied(pages);
        // Links are given to a proxy when their names are known to be public; nobody connects there.
        let names = NameServer::start(|_, _| Says::addresses(&["93.184.216.34"], 60));
        let dns = names.address().to_string();
        lycosa(["crawl", "-x", &proxy.url(""), "--dns", &dns, "--scope", scope, "http://www.example.co.uk/"])
            .run()
            .exits(0);
        let mut expected: Vec<_> = base.iter().chain(more).map(|url| (*url).to_owned()).collect();
        expected.sort_unstable();
        assert_eq!(asked(&proxy), expected, "--scope {scope}");
    }
}

#[test]
fn scope_by_prefix_is_the_seeds_directory() {
    let site = Site::start(|request| match request.path() {
        "/docs/guide/index.html" => {
            html(index(["one", "sub/two", "../other", "/docs/guide", "/docs/guide/", "/docs/guidebook", "/"]))
        }
        _ => html(""),
    });
    lycosa(["crawl", "--scope", "prefix", &site.url("/docs/guide/index.html")]).run().exits(0);
    assert_eq!(site.targets(), ["/docs/guide/", "/docs/guide/index.html", "/docs/guide/one", "/docs/guide/sub/two"]);
}

#[test]
fn include_and_exclude_are_searched_in_the_whole_url() {
    let site = links_to(&["/a/1", "/a/2#no", "/b/1", "/a/1?no=1", "/c/1"]);
    let host = site.host().to_owned();
    let arguments = ["crawl", "--include", "/a/", "--include", &format!("{host}/b"), "--exclude", "no"];
    lycosa(arguments).arg(site.url("/")).run().exits(0);
    assert_eq!(site.targets(), ["/", "/a/1", "/a/2", "/b/1"], "the seed needs no match, fragments do not count");
    lycosa(["crawl", "--include", "(", &site.url("/")]).run().exits(2);
}

#[test]
fn depth_counts_links_from_the_seed() {
    let chain = || {
        Site::start(|request| {
            let number: usize = request.path()[1..].parse().unwrap_or(0);
            html(index([format!("/{}", number + 1)]))
        })
    };
    for (depth, expected) in [("0", 1), ("1", 2), ("3", 4)] {
        let site = chain();
        let records = lycosa(["crawl", "-l", depth, &site.url("/0")]).run().exits(0).records();
        assert_eq!((records.len(), site.pages().len()), (expected, expected), "-l {depth}");
    }
    let site = chain();
    assert_eq!(lycosa(["crawl", "--max-pages", "9", &site.url("/0")]).run().exits(4).records().len(), 9, "no limit");
}

/// The deep path to `/x` is found first; the seed links to it directly as well, a little later.
#[test]
fn a_shorter_path_is_not_lost_to_a_longer_one() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/a", "/slow"])),
        "/a" => html(index(["/b"])),
        "/b" => html(index(["/x"])),
        "/slow" => html(index(["/x"])).after_ms(300),
        _ => html(""),
    });
    let records = lycosa(["crawl", "-l", "2", &site.url("/")]).run().exits(0).records();
    assert_eq!(with_path(&records, "/x")["depth"], 2, "it is marked as seen after the depth is checked");
}

#[test]
fn links_are_found_where_the_contract_says() {
    let page = "<head><base href=/base/><link rel='next' href=next><link rel=alternate href=alternate>\
                <link rel='x canonical' href=canonical><link rel=stylesheet href=style.css>\
                <meta http-equiv=refresh content='5; url=refresh'></head>\
                <a href=a>a</a><area href=area><iframe src=iframe></iframe><frame src=frame>\
                <img src=img><script src=script></script><!-- <a href=comment> --><a href='mailto:x@y.z'>\
                <a href='javascript:x()'><a href=' s&amp;t '><script>'<a href=in-script>'</script>";
    let site = Site::start(move |request| if request.path() == "/" { html(page) } else { html("") });
    lycosa(["crawl", &site.url("/")]).run().exits(0);
    let expected = [
        "/",
        "/base/a",
        "/base/alternate",
        "/base/area",
        "/base/canonical",
        "/base/iframe",
        "/base/next",
        "/base/refresh",
        "/base/s&t",
    ];
    let mut found = site.targets();
    // A frame outside of a frameset is not there for a parser that builds a tree; either reading is right.
    found.retain(|path| path != "/base/frame");
    assert_eq!(found, expected);
}

#[test]
fn a_frameset_is_followed() {
    let site = Site::start(|request| match request.path() {
        "/" => html("<frameset><frame src=left><frame src=right></frameset>"),
        _ => html(""),
    });
    lycosa(["crawl", &site.url("/")]).run().exits(0);
    assert_eq!(site.targets(), ["/", "/left", "/right"]);
}

#[test]
fn fragments_are_one_page_and_queries_are_not_touched() {
    let site = links_to(&["/p#a", "/p#b", "/p?", "/p?a=1&b=2", "/p?b=2&a=1", "/p/", "/P", "/%7euser", "/~user"]);
    lycosa(["crawl", &site.url("/")]).run().exits(0);
    let expected = ["/", "/%7euser", "/P", "/p", "/p/", "/p?", "/p?a=1&b=2", "/p?b=2&a=1", "/~user"];
    assert_eq!(site.targets(), expected);
}

#[test]
fn a_redirect_to_a_page_that_is_known_is_a_duplicate() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/a", "/moved"])),
        "/moved" => redirect(302, "/a"),
        _ => html(""),
    });
    let records = lycosa(["crawl", &site.url("/")]).run().exits(0).records();
    let moved = with_path(&records, "/moved");
    assert_eq!((field(moved, "outcome"), field(moved, "skip_reason")), ("skipped", "duplicate"));
    assert_eq!((moved["status"].as_u64(), field(moved, "final_url")), (Some(302), site.url("/a").as_str()));
    assert_eq!(requests_of(moved), ["page"]);
    assert_eq!(site.targets(), ["/", "/a", "/moved"]);
}

#[test]
fn a_redirect_claims_its_target() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/moved"])),
        "/moved" => redirect(302, "/target"),
        "/target" => html(index(["/target", "/later"])),
        "/later" => html(index(["/target"])),
        _ => status(404),
    });
    let records = lycosa(["crawl", &site.url("/")]).run().exits(0).records();
    assert_eq!(site.targets(), ["/", "/later", "/moved", "/target"]);
    assert_eq!(outcome_counts(&records)["ok"], 3);
    assert_eq!(field(with_path(&records, "/moved"), "final_url"), site.url("/target"));
}

#[test]
fn a_redirect_out_of_scope_is_refused() {
    let other = Site::start(|_: &Request| html(""));
    let target = other.url("/x");
    let site = Site::start(move |request| match request.path() {
        "/" => html(index(["/out"])),
        "/out" => redirect(301, &target),
        _ => status(404),
    });
    let records = lycosa(["crawl", "--allow-private", &site.url("/")]).run().exits(0).records();
    let out = with_path(&records, "/out");
    assert_eq!((field(out, "outcome"), field(out, "skip_reason")), ("skipped", "scope"));
    assert_eq!(out["status"], 301);
    assert_eq!(other.hits(), 0);
}

#[test]
fn where_a_seed_redirects_to_is_in_scope_too() {
    let target = Site::start(|request| if request.path() == "/home" { html(index(["/more"])) } else { html("") });
    let leading_to =
        |to: String| Site::start(move |request| if request.path() == "/" { redirect(301, &to) } else { status(404) });
    let middle = leading_to(target.url("/home"));
    let site = leading_to(middle.url("/"));
    let run = lycosa(["crawl", "--allow-private", &site.url("/")]).run().exits(0);
    let records = run.records();
    assert_eq!(target.targets(), ["/home", "/more"]);
    assert_eq!(records.len(), 2);
    assert_eq!(field(&records[0], "final_url"), target.url("/home"));
    assert_eq!(requests_of(&records[0]).iter().filter(|kind| **kind == "redirect").count(), 2);
    assert!(run.stderr.contains(target.host()), "a notice says so: {}", run.stderr);
}

#[test]
fn refused_links_get_records_only_on_request() {
    let site = links_to(&["http://name.invalid/out", "/deep"]);
    let plain = lycosa(["crawl", "-l", "0", &site.url("/")]).run().exits(0);
    assert_eq!(plain.records().len(), 1);
    let run = lycosa(["crawl", "-l", "0", "--refused", "--summary", "summary.json", &site.url("/")]).run().exits(0);
    let records = run.records();
    assert_eq!(records.len(), 3);
    assert_eq!(with_path(&records, "/deep")["skip_reason"], "depth");
    let out = with_path(&records, "/out");
    assert_eq!((field(out, "outcome"), field(out, "skip_reason")), ("skipped", "scope"));
    assert_eq!((out["source"].clone(), out["depth"].clone()), (json!(site.url("/")), json!(1)));
    assert_eq!(run.summary().outcome("skipped"), 2);
    assert_eq!(site.targets(), ["/", "/"]);
}

#[test]
fn sitemaps_named_by_robots_are_more_seeds() {
    let make = || {
        let host = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
        let known = std::sync::Arc::clone(&host);
        let site = Site::start(move |request| {
            let base = known.get().unwrap();
            match request.path() {
                "/robots.txt" => text(format!("Sitemap: {base}/index.xml\n")),
                "/index.xml" => text(format!(
                    "<?xml version='1.0'?><sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>\
                     <sitemap><loc>{base}/map.xml</loc></sitemap></sitemapindex>"
                )),
                "/map.xml" => text(format!(
                    "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><url><loc>{base}/hidden?a=1&amp;b=2</loc></url>\
                     <url><loc>http://name.invalid/out</loc></url><url><loc> {base}/ </loc></url></urlset>"
                )),
                _ => html(""),
            }
        });
        host.set(site.url("")).unwrap();
        site
    };
    let site = make();
    let records = lycosa(["crawl", "--sitemaps", &site.url("/")]).run().exits(0).records();
    assert_eq!(site.targets(), ["/", "/hidden?a=1&b=2", "/index.xml", "/map.xml"]);
    assert_eq!(records.len(), 2, "what the run fetches for its own use has no record");
    let site = make();
    lycosa(["crawl", &site.url("/")]).run().exits(0);
    assert_eq!(site.targets(), ["/"], "only with --sitemaps");
}

#[test]
fn robots_rules_keep_pages_from_being_asked() {
    let rules = "User-agent: other\nDisallow: /\n\nUser-agent: lycosa\nDisallow: /private\nAllow: /private/open\n";
    let site = Site::start(move |request| match request.path() {
        "/robots.txt" => text(rules),
        "/" => html(index(["/private", "/private/open", "/public", "/private?x"])),
        _ => html(""),
    });
    let records = lycosa(["crawl", &site.url("/")]).run().exits(0).records();
    assert_eq!(site.targets(), ["/", "/private/open", "/public"]);
    for path in ["/private", "/private?x"] {
        let record = with_path(&records, path);
        assert_eq!((field(record, "outcome"), field(record, "skip_reason")), ("skipped", "robots"));
    }
    lycosa(["crawl", "--robots", "ignore", &site.url("/")]).run().exits(0);
    assert_eq!(site.pages().len(), 3 + 5);
    assert_eq!(site.hits() - site.pages().len(), 1, "robots.txt is not asked when it is ignored");
    lycosa(["crawl", "-A", "other/1.0", &site.url("/")]).run().exits(1);
    assert_eq!(site.pages().len(), 3 + 5, "-A names us to robots.txt too");
}

#[test]
fn a_crawl_refuses_bodies_and_methods() {
    for arguments in [["-X", "POST"], ["-d", "a=1"]] {
        let run = lycosa(["crawl", "http://127.0.0.1:9/"]).args(arguments).run().exits(2);
        assert!(!run.stderr.is_empty());
    }
}

/// The pages of `fixtures/sites/manual`, as a web server would give them out, against what is expected of each.
#[test]
fn a_static_site_gives_the_expected_records() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sites/manual");
    let expected = std::fs::read_to_string(root.join("expected.jsonl")).unwrap();
    let site = Site::start(move |request| {
        let path = request.path().trim_start_matches('/');
        let path = if path.is_empty() || path.ends_with('/') { format!("{path}index.html") } else { path.to_owned() };
        match std::fs::read(root.join(&path)) {
            Ok(body) => {
                let is_page = path.rsplit('.').next() == Some("html");
                status(200).header("Content-Type", if is_page { "text/html" } else { "text/plain" }).bytes(body)
            }
            Err(_) => status(404),
        }
    });
    let records = lycosa(["crawl", &site.url("/")]).run().exits(0).records();
    assert_eq!(records.len(), expected.lines().count());
    for line in expected.lines() {
        let mut line: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
        let url = site.url(line.remove("path").unwrap().as_str().unwrap());
        let record = records.iter().find(|record| field(record, "url") == url).unwrap_or_else(|| panic!("no {url}"));
        for (key, value) in line {
            assert_eq!(record[&key], value, "{key} of {url}");
        }
    }
}
