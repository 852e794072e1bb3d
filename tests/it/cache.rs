//! The cache as people use it: crawls that ask less, servers that are gone, runs that share it or are killed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::*;

mod rules;
mod whose;

use rules::dated;

fn dir() -> TempDir {
    TempDir::new().unwrap()
}

fn fetch(cache: &Path, more: &[&str]) -> Vec<Value> {
    lycosa(["fetch", "--fail-on", "never", "--with", "body,headers", "--cache", cache.to_str().unwrap()])
        .args(more.to_vec())
        .run()
        .exits(0)
        .records()
}

/// Every byte of every file below.
fn all_bytes(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        bytes.extend(if path.is_dir() { all_bytes(&path) } else { std::fs::read(path).unwrap() });
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_304_renews_what_is_stored() {
    let site = Site::start(|request| match request.nth {
        0 => text("page").header("ETag", "\"1\"").header("X-Seen", "first"),
        _ => status(304).header("ETag", "\"1\"").header("X-Seen", "second").header("Cache-Control", "max-age=1000"),
    });
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let checked = &fetch(cache.path(), &[&url])[0];
    assert_eq!((&checked["status"], &checked["body"]), (&json!(200), &json!("page")));
    assert_eq!(checked["requests"][0]["status"], 304);
    assert_eq!(checked["headers"]["x-seen"], json!(["second"]));
    let fresh = &fetch(cache.path(), &[&url])[0];
    assert_eq!((&fresh["headers"]["x-seen"], &fresh["body"]), (&json!(["second"]), &json!("page")));
    assert_eq!((site.hits(), fresh["requests"].as_array().unwrap().len()), (2, 0), "the 304 made it fresh");
}

#[test]
fn a_304_of_another_version_is_not_believed() {
    let site = Site::start(|request| match request.nth {
        0 => text("old").header("ETag", "\"1\""),
        1 => status(304).header("ETag", "\"2\""),
        _ => text("new").header("ETag", "\"2\""),
    });
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let record = &fetch(cache.path(), &[&url])[0];
    assert_eq!(
        (&record["body"], &record["from_cache"], &record["attempts"]),
        (&json!("new"), &json!(false), &json!(2))
    );
    let asked: Vec<_> = site.log().iter().map(|hit| hit.header("if-none-match").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("\"1\"".to_owned()), None]);
}

#[test]
fn an_unsafe_request_that_succeeds_forgets_what_is_stored() {
    let site = Site::start(|request| match (&*request.method, request.path()) {
        ("GET", _) => text(format!("{}", request.nth)).header("Cache-Control", "max-age=1000"),
        ("DELETE", _) => status(500),
        _ => status(201).header("Location", "/made").header("Content-Location", "http://elsewhere.test/"),
    });
    let cache = dir();
    let all: Vec<String> = ["/a", "/made", "/other", "/failed"].iter().map(|path| site.url(path)).collect();
    let urls: Vec<&str> = all.iter().map(String::as_str).collect();
    fetch(cache.path(), &urls);
    fetch(cache.path(), &["-X", "POST", "-d", "x", urls[0]]);
    fetch(cache.path(), &["-X", "DELETE", "--retries", "0", urls[3]]);
    let before = site.hits();
    fetch(cache.path(), &urls);
    let mut asked: Vec<String> = site.log().split_off(before).into_iter().map(|hit| hit.target).collect();
    asked.sort();
    assert_eq!(asked, ["/a", "/made"], "its own URL, and the one that it names");
}

#[test]
fn a_stored_redirect_is_followed_without_asking() {
    let site = Site::start(|request| match request.path() {
        "/old" => redirect(301, "/new").header("Cache-Control", "max-age=1000"),
        _ => text("here"),
    });
    let (cache, url) = (dir(), site.url("/old"));
    fetch(cache.path(), &[&url]);
    let record = &fetch(cache.path(), &[&url])[0];
    assert_eq!((field(record, "body"), requests_of(record)), ("here", vec!["redirect"]));
    assert_eq!(site.targets(), ["/new", "/new", "/old"]);
}

#[test]
fn secrets_are_not_on_the_disk() {
    let site = Site::start(|_| {
        text("page").header("Cache-Control", "public, max-age=1000").header("Set-Cookie", "session=geheim")
    });
    let cache = dir();
    fetch(cache.path(), &["-u", "me:geheim", &site.url("/authorized")]);
    fetch(cache.path(), &[&site.url("/").replace("http://", "http://me:geheim@")]);
    let first = &fetch(cache.path(), &[&site.url("/open")])[0];
    assert!(first["headers"]["set-cookie"].is_array());
    let bytes = all_bytes(cache.path());
    assert!(holds(&bytes, "/open") && holds(&bytes, "/authorized"));
    assert!(!holds(&bytes, "geheim"), "a cookie is a secret too");
    // By which an answer varies is kept as well.
    let varied =
        Site::start(|_| text("page").header("Cache-Control", "max-age=1000").header("Vary", "Cookie, X-Api-Key"));
    fetch(cache.path(), &["-b", "s=geheim", "-H", "X-Api-Key: geheim", &varied.url("/varied")]);
    let bytes = all_bytes(cache.path());
    assert!(holds(&bytes, "/varied") && holds(&bytes, "x-api-key") && !holds(&bytes, "geheim"));
    for (name, secret) in [("authorization", "Basic bWU6Z2VoZWlt"), ("cookie", "s=geheim"), ("x-api-key", "geheim")] {
        let hash = Sha256::digest(secret);
        assert!(!holds(&bytes, secret.trim_start_matches("Basic ")), "{name}");
        assert!(!bytes.windows(16).any(|window| window == &hash[..16]), "{name}: who knows no key can try no guess");
    }
}

/// 300 pages with links among them.
fn manual(request: &Request) -> Reply {
    let n: usize = request.path().trim_matches('/').parse().unwrap_or(0);
    let links = (1..=3).map(|k| format!("/{}", 3 * n + k)).filter(|path| path[1..].parse::<usize>().unwrap() < 300);
    let page = format!("{}{}", index(links), "words ".repeat(1000));
    if request.path() == "/robots.txt" {
        return status(404);
    }
    // As nginx serves files; the second time nothing has changed.
    let answer = if request.nth == 0 { html(page) } else { status(304) };
    answer.header("ETag", format!("\"{n}\"")).header("Last-Modified", dated("{-100000}"))
}

fn crawl(cache: &Path, more: &[&str]) -> Run {
    lycosa(["crawl", "--summary", "s.json", "--with", "digest", "--cache", cache.to_str().unwrap()])
        .args(more.to_vec())
        .run()
}

/// What does not depend on where an answer came from.
fn pages(records: &[Value]) -> Vec<String> {
    let page =
        |record: &Value| format!("{} {} {} {}", record["url"], record["size"], record["digest"], record["title"]);
    let mut pages: Vec<String> = records.iter().map(page).collect();
    pages.sort();
    pages
}

#[test]
fn a_second_crawl_sends_conditional_requests_only() {
    let site = Site::start(manual);
    let (cache, url) = (dir(), site.url("/"));
    let first = crawl(cache.path(), &[&url]).exits(0).records();
    assert_eq!(first.len(), 300);
    let before = site.hits();
    let second = crawl(cache.path(), &[&url]).exits(0).records();
    let log = site.log().split_off(before);
    let (robots, asked): (Vec<_>, Vec<_>) = log.iter().partition(|hit| hit.target == "/robots.txt");
    assert_eq!((robots.len(), asked.len()), (1, 300));
    assert!(asked.iter().all(|hit| hit.header("if-none-match").is_some() && hit.header("if-modified-since").is_some()));
    assert_eq!(pages(&second), pages(&first), "links are found on stored pages as well");
    let wire = |records: &[Value]| records.iter().map(|record| record["wire_size"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(wire(&second), 0);
    assert!(wire(&first) > 300 * 6000);
    let before = site.hits();
    let third = crawl(cache.path(), &["--offline", &url]).exits(0).records();
    assert_eq!((site.hits(), pages(&third)), (before, pages(&first)), "robots.txt is not asked either");
    assert!(third.iter().all(|record| record["stale"] == true && record["started_at"].is_null()));
}

#[test]
fn what_is_fresh_waits_for_no_politeness_and_counts_for_none() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => status(404),
        _ => text("x").header("Cache-Control", "max-age=10000"),
    });
    let cache = dir();
    let urls: Vec<String> = (0..40).map(|n| site.url(&format!("/{n}"))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    fetch(cache.path(), &urls);
    // With a request for each this would take 40 hours, and end by its deadline.
    let flags = ["--delay", "1h", "--rate", "1/h", "--deadline", "60s"];
    let records = fetch(cache.path(), &[&flags[..], &urls].concat());
    assert_eq!((records.len(), site.hits()), (40, 40));
    let exact = fetch(cache.path(), &[&["--max-pages", "7"], &urls[..7]].concat());
    assert_eq!(exact.len(), 7);
}

#[test]
fn a_dead_site_is_shown_as_it_was() {
    let site = Site::start(manual);
    let (cache, url) = (dir(), site.url("/"));
    let first = crawl(cache.path(), &[&url]).exits(0).records();
    site.die();
    let flags = ["--fallback", "stale", "--retries", "0", "--breaker-failures", "2", "--breaker-cooldown", "1h"];
    let shown = crawl(cache.path(), &[&flags[..], &[&url]].concat()).exits(0).records();
    assert_eq!(pages(&shown), pages(&first));
    assert!(shown.iter().all(|record| record["stale"] == true && record["from_cache"] == true));
    let without = crawl(cache.path(), &["--retries", "0", &url]).exits(1).records();
    assert_eq!((without.len(), field(&without[0], "outcome")), (1, "failed"), "that is what the flag is for");
}

#[test]
fn an_open_breaker_is_waited_for_by_nobody() {
    let site = Site::start(
        |request| if request.total < 20 { text("x").header("ETag", "\"1\"").into() } else { Answer::Reset },
    );
    let cache = dir();
    let urls: Vec<String> = (0..20).map(|n| site.url(&format!("/{n}"))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    fetch(cache.path(), &urls);
    let flags = ["--fallback", "stale", "--breaker-failures", "2", "--breaker-cooldown", "1h", "--deadline", "60s"];
    let records = fetch(cache.path(), &[&flags[..], &urls].concat());
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|record| record["stale"] == true && record["outcome"] == "ok"), "{records:?}");
    assert!(site.hits() < 30, "the breaker was open: {}", site.hits());
}

#[test]
fn a_torn_file_is_asked_for_anew() {
    let site = Site::start(|_| text("page").header("Cache-Control", "max-age=1000"));
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let files = || {
        let shards = std::fs::read_dir(cache.path().join("v1")).unwrap().flatten();
        shards
            .filter(|shard| shard.file_name() != "new")
            .flat_map(|shard| std::fs::read_dir(shard.path()).unwrap().flatten())
    };
    let file = files().next().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let record = &fetch(cache.path(), &[&url])[0];
    assert_eq!((field(record, "body"), &record["from_cache"]), ("page", &json!(false)));
    assert_eq!(fetch(cache.path(), &[&url])[0]["from_cache"], true, "and is whole again");
    assert_eq!((site.hits(), files().count()), (2, 1));
}

#[test]
fn two_runs_at_once_and_a_killed_one_leave_whole_answers() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => status(404),
        path => text(path.repeat(500)).header("Cache-Control", "max-age=1000"),
    });
    let cache = dir();
    let urls: Vec<String> = (0..400).map(|n| site.url(&format!("/{n}"))).collect();
    let start = || lycosa(["fetch", "--cache", cache.path().to_str().unwrap()]).args(&urls).spawn();
    let (one, two, killed) = (start(), start(), start());
    killed.wait_for_lines(100);
    killed.signal("KILL");
    for run in [one, two] {
        assert_eq!(outcome_counts(&run.finish().exits(0).records())["ok"], 400);
    }
    drop(killed);
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let before = site.hits();
    let records = fetch(cache.path(), &urls);
    assert_eq!(site.hits(), before, "all of them are there");
    for record in records {
        let path = field(&record, "url").rsplit_once('/').unwrap().1.to_owned();
        assert_eq!(field(&record, "body"), format!("/{path}").repeat(500));
    }
}

#[test]
fn the_limit_is_kept() {
    let site = Site::start(|_| text("x".repeat(20_000)).header("Cache-Control", "max-age=1000"));
    let cache = dir();
    let urls: Vec<String> = (0..50).map(|n| site.url(&format!("/{n}"))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    fetch(cache.path(), &[&["--cache-size", "200k", "-j", "1"], &urls[..]].concat());
    let size = all_bytes(cache.path()).len();
    assert!((100_000..=210_000).contains(&size), "{size}");
    let records = fetch(cache.path(), &urls);
    let kept = records.iter().filter(|record| record["from_cache"] == true).count();
    assert!((5..=10).contains(&kept), "{kept}");
    assert_eq!(with_path(&records, "/49")["from_cache"], true, "the last ones are");
}

#[test]
fn a_run_on_disk_and_its_next_visit_use_it_too() {
    let site = Site::start(manual);
    let (cache, state, url) = (dir(), dir(), site.url("/"));
    let kept = state.path().join("s");
    let kept = kept.to_str().unwrap();
    crawl(cache.path(), &["--state", kept, &url]).exits(0);
    let again = crawl(cache.path(), &["--state", kept, "--again", &url]).exits(0).records();
    assert_eq!(again.len(), 300);
    assert!(again.iter().all(|record| record["change"] == "unchanged" && record["status"] == 200), "{}", again[0]);
    assert!(again.iter().all(|record| record["from_cache"] == true));
}

#[test]
fn what_only_a_cache_can_do_needs_one() {
    for flags in [&["--offline"][..], &["--fallback", "stale"]] {
        let run = lycosa(["fetch", "http://a.test/"]).args(flags.to_vec()).run().exits(2);
        assert!(run.stderr.contains("there is no cache to answer"), "{}", run.stderr);
    }
    lycosa(["fetch", "--cache", "/dev/null/x", "http://a.test/"]).run().exits(3);
}

#[test]
fn what_is_stored_of_a_private_host_is_shown_to_no_link() {
    let private = Site::start(|_| text("internal").header("Cache-Control", "max-age=1000"));
    let target = private.url("/secret");
    let public = Site::start(move |request| match request.path() {
        "/robots.txt" => status(404),
        _ => html(index([&target])),
    });
    let cache = dir();
    fetch(cache.path(), &[&private.url("/secret")]);
    let run = |more: &[&str]| {
        let records =
            crawl(cache.path(), &[more, &["--scope", "any", "--robots", "ignore", &public.url("/")]].concat())
                .records();
        with_path(&records, "/secret").clone()
    };
    let record = run(&["--with", "body"]);
    assert_eq!((field(&record, "outcome"), field(&record, "skip_reason")), ("skipped", "private_address"), "{record}");
    assert!(!record.to_string().contains("internal"));
    let allowed = run(&["--allow-private"]);
    assert_eq!((&allowed["outcome"], &allowed["from_cache"]), (&json!("ok"), &json!(true)), "the control");
    assert_eq!(private.hits(), 1);
}

#[test]
fn a_site_whose_robots_txt_fails_is_shown_as_it_was_and_one_that_forbids_is_not() {
    // Phase 0: well. 1: everything is 503. 2: robots.txt forbids.
    let phase = Arc::new(AtomicUsize::new(0));
    let at = Arc::clone(&phase);
    let site = Site::start(move |request| match (at.load(Ordering::SeqCst), request.path()) {
        (1, _) => status(503),
        (2, "/robots.txt") => text("User-agent: *\nDisallow: /"),
        (_, "/robots.txt") => status(404),
        _ => html(index(["/a"])).header("Cache-Control", "max-age=1000"),
    });
    let (cache, url) = (dir(), site.url("/"));
    let outcomes = |more: &[&str]| {
        let flags = ["--fail-on", "never", "--retries", "0"];
        outcome_counts(&crawl(cache.path(), &[&flags[..], more, &[&url]].concat()).exits(0).records())
    };
    assert_eq!(outcomes(&[]).get("ok"), Some(&2));
    phase.store(1, Ordering::SeqCst);
    assert_eq!(outcomes(&["--fallback", "stale"]).get("ok"), Some(&2));
    assert_eq!(outcomes(&[]), [("skipped: robots".to_owned(), 1)].into(), "that is what the flag is for");
    phase.store(2, Ordering::SeqCst);
    assert_eq!(
        outcomes(&["--fallback", "stale"]).get("skipped: robots"),
        Some(&1),
        "what may not be fetched is not shown"
    );
    let asked: Vec<String> = site.pages().into_iter().map(|hit| hit.target).collect();
    assert_eq!(asked, ["/", "/a"], "what was fresh is not asked for again");
}

#[test]
fn a_killed_run_goes_on_with_its_cache() {
    let site = Site::start(manual);
    let (place, url) = (dir(), site.url("/"));
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let flags = ["crawl", "--cache", &path("cache"), "--host-concurrency", "1", "--delay", "3ms"].map(str::to_owned);
    lycosa(flags.clone()).arg(&url).run().exits(0);
    let before = site.hits();
    let mut run =
        lycosa(flags).args(["--state", &path("state"), "-o", &path("out.jsonl"), "--with", "digest", &url]).spawn();
    run.wait_until("a part of it is asked", || site.hits() > before + 80);
    run.signal("KILL");
    run.finish().exits(128 + 9);
    lycosa(["resume", &path("state")]).run().exits(0);
    let text = std::fs::read_to_string(path("out.jsonl")).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(pages(&records).iter().collect::<std::collections::BTreeSet<_>>().len(), 300);
    assert_eq!(records.len(), 300);
    assert!(records.iter().all(|record| record["from_cache"] == true && record["status"] == 200));
}
