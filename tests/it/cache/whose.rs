//! Whose an answer of the cache is, and what else of a request decides whether it may be given: runs of several people in
//! one directory, heads, limits.

use serde_json::json;

use crate::support::*;

use super::{dir, fetch};

/// One of a visitor, on a server that asks nobody for it: what is shown is the same.
fn visitor() -> String {
    let issued = rcgen::generate_simple_self_signed(["visitor".to_owned()]).unwrap();
    format!("{}{}", issued.cert.pem(), issued.signing_key.serialize_pem())
}

#[test]
fn a_client_certificate_is_a_user() {
    let site = Site::start_tls(|request| {
        text(format!("page {}", request.total)).header("Cache-Control", "private, max-age=1000")
    });
    let (cache, url) = (dir(), site.url("/me"));
    let (alice, bob) = (visitor(), visitor());
    let asked = |who: Option<&str>| {
        let mut run = lycosa(["fetch", "-k", "--with", "body", "--cache", cache.path().to_str().unwrap(), &url]);
        if let Some(certificate) = who {
            run = run.file("me.pem", certificate).args(["--cert", "me.pem"]);
        }
        let record = run.run().exits(0).record();
        (field(&record, "body").to_owned(), record["from_cache"] == true)
    };
    let page = |n: usize, from_cache: bool| (format!("page {n}"), from_cache);
    assert_eq!([asked(Some(&alice)), asked(Some(&alice))], [page(0, false), page(0, true)]);
    assert_eq!([asked(Some(&bob)), asked(Some(&bob))], [page(1, false), page(1, true)]);
    assert_eq!([asked(None), asked(None)], [page(2, false), page(2, true)]);
    assert_eq!(asked(Some(&alice)), page(3, false));
}

#[test]
fn cookies_of_a_jar_are_a_user() {
    let site = Site::start(|request| {
        let answer = text(format!("page {}", request.total)).header("Cache-Control", "max-age=1000");
        if request.path() == "/login" { answer.header("Set-Cookie", "session=1") } else { answer }
    });
    let (cache, jars) = (dir(), dir());
    let jar = jars.path().join("jar");
    let jar = jar.to_str().unwrap();
    let page = site.url("/page");
    fetch(cache.path(), &["-c", jar, "-j", "1", &site.url("/login"), &page]);
    assert_eq!((site.hits(), site.log()[1].header("cookie")), (2, Some("session=1")));
    assert_eq!(fetch(cache.path(), &["-b", jar, &page])[0]["from_cache"], true, "the next run with this jar");
    assert_eq!(fetch(cache.path(), &["-b", jar, "--offline", &page])[0]["outcome"], "ok");
    let record = &fetch(cache.path(), &["--offline", &page])[0];
    assert_eq!(record["error"]["message"], "--offline: the cache has no answer", "a run without it");
    assert_eq!(fetch(cache.path(), &[&page])[0]["from_cache"], false);
}

#[test]
fn a_stored_page_has_a_head() {
    let site = Site::start(|request| {
        let path = request.path().to_owned();
        text("page")
            .header("Cache-Control", if path == "/fresh" { "max-age=1000" } else { "max-age=0" })
            .header("ETag", "\"1\"")
    });
    let (cache, fresh, past) = (dir(), site.url("/fresh"), site.url("/past"));
    fetch(cache.path(), &[&fresh, &past]);
    let heads = fetch(cache.path(), &["-I", &fresh, &past]);
    let (fresh_head, past_head) = (with_path(&heads, "/fresh"), with_path(&heads, "/past"));
    assert_eq!(
        (&fresh_head["from_cache"], &fresh_head["status"], &fresh_head["size"], &fresh_head["headers"]["etag"]),
        (&json!(true), &json!(200), &json!(0), &json!(["\"1\""]))
    );
    assert_eq!((&past_head["from_cache"], &past_head["status"]), (&json!(false), &json!(200)));
    let asked: Vec<_> = site.log().split_off(2);
    assert_eq!((asked.len(), &*asked[0].method, asked[0].header("if-none-match")), (1, "HEAD", None));
    assert_eq!(fetch(cache.path(), &["--offline", "-I", &past])[0]["stale"], true);
    // Neither a head of the cache nor one of the server has taken the place of a page.
    let pages = fetch(cache.path(), &["--offline", &fresh, &past]);
    assert!(pages.iter().all(|page| page["body"] == "page"), "{pages:?}");
}

/// A limit of one run says nothing about the answer, and one of a host holds for what the cache gives too.
#[test]
fn a_limit_of_the_size_holds_and_drops_nothing() {
    let site = Site::start(|request| match (request.nth, request.path()) {
        (0, "/checked") => text("a long page").header("ETag", "\"1\""),
        (0, _) => text("a long page").header("Cache-Control", "max-age=1000"),
        (_, "/checked") => status(304),
        _ => text("another page"),
    });
    let cache = dir();
    let (fresh, checked) = (site.url("/fresh"), site.url("/checked"));
    fetch(cache.path(), &[&fresh, &checked]);
    let table = format!("[[host]]\nmatch = [\"{}\"]\nmax-filesize = \"5\"\n", site.host());
    for flags in [&["--max-filesize", "5"][..], &["--config", "limit.toml"]] {
        let run = lycosa(["fetch", "--fail-on", "never", "--with", "body", "--cache", cache.path().to_str().unwrap()]);
        let records =
            run.file("limit.toml", &table).args(flags.to_vec()).args([&fresh, &checked]).run().exits(0).records();
        for record in &records {
            assert_eq!(record["error"]["kind"], "too_large", "{flags:?}: {record}");
            assert_eq!(
                (&record["truncated"], &record["size"], &record["status"]),
                (&json!(true), &json!(0), &json!(200))
            );
        }
    }
    let before = site.hits();
    let records = fetch(cache.path(), &[&fresh, &checked]);
    assert!(
        records.iter().all(|record| record["body"] == "a long page" && record["from_cache"] == true),
        "{records:?}"
    );
    assert_eq!(site.hits(), before + 1, "the 304 alone");
}

#[test]
fn a_limit_holds_for_what_is_given_after_a_failure() {
    let site = Site::start(|request| if request.nth == 0 { text("a long page") } else { status(500) });
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let flags = ["--fallback", "stale", "--retries", "0"];
    let small = &fetch(cache.path(), &[&flags[..], &["--max-filesize", "5", &url]].concat())[0];
    assert_eq!((&small["outcome"], &small["status"]), (&json!("http_error"), &json!(500)));
    let whole = &fetch(cache.path(), &[&flags[..], &[&url]].concat())[0];
    assert_eq!((&whole["stale"], &whole["body"]), (&json!(true), &json!("a long page")), "the control");
}

#[test]
fn a_304_may_forbid_to_keep_what_it_confirms() {
    let site = Site::start(|request| match request.nth {
        0 => text("page").header("ETag", "\"1\""),
        1 => status(304).header("Cache-Control", "no-store"),
        _ => text("new"),
    });
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    assert_eq!(fetch(cache.path(), &[&url])[0]["body"], "page");
    assert_eq!(fetch(cache.path(), &["--offline", &url])[0]["error"]["message"], "--offline: the cache has no answer");
    assert_eq!(fetch(cache.path(), &[&url])[0]["body"], "new");
    assert_eq!(site.log()[2].header("if-none-match"), None);
}

#[test]
fn what_may_not_be_used_unasked_is_not_called_missing() {
    let site = Site::start(|_| text("page").header("Cache-Control", "no-cache"));
    let (cache, url) = (dir(), site.url("/"));
    fetch(cache.path(), &[&url]);
    let message = |url: &str| fetch(cache.path(), &["--offline", url])[0]["error"]["message"].clone();
    assert_eq!(message(&url), "--offline: the stored answer may not be used without asking its server");
    assert_eq!(message(&site.url("/other")), "--offline: the cache has no answer");
}
