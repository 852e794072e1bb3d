//! Servers that mean harm, or behave as if: each ends in time with the right kind and stage, and memory has a bound.

use std::time::Duration;

use serde_json::Value;

use crate::support::*;

const QUICK: [&str; 11] = [
    "fetch",
    "--retries",
    "0",
    "--timeout",
    "10s",
    "--read-timeout",
    "500ms",
    "--connect-timeout",
    "3s",
    "--breaker-failures",
    "0",
];

#[track_caller]
fn failure(record: &Value) -> (&str, &str) {
    assert_eq!(record["outcome"], "failed", "{record}");
    assert!(!field(&record["error"], "message").is_empty(), "{record}");
    (field(&record["error"], "kind"), field(&record["error"], "stage"))
}

#[track_caller]
fn one(answer: impl Fn() -> Answer + Send + Sync + 'static, more: &[&str]) -> Value {
    let site = Site::start(move |_: &Request| answer());
    lycosa(QUICK).args(more.iter().copied()).arg(site.url("/x")).run().exits(1).record()
}

#[test]
fn a_server_that_never_answers_runs_into_the_timeout() {
    let record = one(|| Answer::Hang, &["--timeout", "500ms"]);
    assert_eq!(failure(&record), ("timeout", "head"));
    assert!(record["status"].is_null() && record["error"]["retryable"] == true, "{record}");
}

#[test]
fn a_body_that_drips_runs_into_the_read_timeout() {
    let record = one(|| Answer::Drip(Duration::from_secs(3)), &[]);
    assert_eq!(failure(&record), ("timeout", "body"));
    assert_eq!(record["status"], 200, "the head stands");
    let record = one(|| Answer::Drip(Duration::from_millis(50)), &["--timeout", "1s"]);
    assert_eq!(failure(&record), ("timeout", "body"));
}

#[test]
fn a_reset_and_a_close_without_an_answer() {
    assert_eq!(failure(&one(|| Answer::Reset, &[])).0, "protocol");
    assert_eq!(failure(&one(|| Answer::Close, &[])).0, "protocol");
}

#[test]
fn a_body_that_is_cut_short() {
    let record = one(|| Answer::CloseMidBody, &[]);
    assert_eq!(failure(&record), ("body", "body"));
    assert_eq!((record["status"].as_u64(), record["truncated"].as_bool()), (Some(200), Some(true)));
}

#[test]
fn an_endless_body_is_cut_at_the_limit() {
    let record = one(|| Answer::Endless, &["--max-filesize", "1MiB"]);
    assert_eq!(failure(&record), ("too_large", "body"));
    assert_eq!((record["truncated"].as_bool(), record["status"].as_u64()), (Some(true), Some(200)));
    assert!(record["error"]["retryable"] == false, "{record}");
}

#[test]
fn a_gzip_bomb_costs_no_memory() {
    let bomb = bomb(1024);
    let site = Site::start(move |_: &Request| bomb.clone());
    let run = lycosa(QUICK).arg(site.url("/")).run().exits(1);
    assert_eq!(failure(&run.record()).0, "too_large");
    assert!(run.peak_kib < 200 * 1024, "{} KiB", run.peak_kib);
}

#[test]
fn broken_encodings_and_heads() {
    let broken = || html("").header("Content-Encoding", "gzip").bytes("this is no gzip").into();
    assert_eq!(failure(&one(broken, &[])), ("decode", "decode"));
    let no_http = || Answer::Raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec());
    assert_eq!(failure(&one(no_http, &[])), ("protocol", "head"));
    let long_head = || {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        for number in 0..5000 {
            head.extend_from_slice(format!("X-Header-{number}: {}\r\n", "y".repeat(500)).as_bytes());
        }
        head.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Answer::Raw(head)
    };
    assert_eq!(failure(&one(long_head, &[])).0, "protocol");
    let bad_chunks =
        || Answer::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n".to_vec());
    assert!(["body", "protocol"].contains(&failure(&one(bad_chunks, &[])).0));
}

#[test]
fn nobody_there() {
    let gone = Site::start(|_: &Request| html(""));
    gone.die();
    let record = lycosa(QUICK).arg(gone.url("/")).run().exits(1).record();
    assert_eq!(failure(&record), ("connect", "connect"));
    assert!(record["final_url"].is_null() && record["remote_addr"].is_null(), "no answer came: {record}");

    let record = lycosa(QUICK).arg("http://no-such-name.invalid/").run().exits(1).record();
    assert_eq!(failure(&record), ("dns", "dns"));

    let plain = Site::start(|_: &Request| html(""));
    let record = lycosa(QUICK).arg(format!("https://{}/", plain.host())).run().exits(1).record();
    assert_eq!(failure(&record), ("tls", "tls"));

    let record = lycosa(QUICK).args(["-x", &gone.url(""), "http://example.org/"]).run().exits(1).record();
    assert_eq!(failure(&record).0, "proxy");
}

fn countdown() -> Site {
    Site::start(|request| match request.path()[1..].parse::<usize>() {
        Ok(0) => html("<title>there</title>"),
        Ok(number) => redirect(302, format!("/{}", number - 1)),
        Err(_) => redirect(301, request.target.clone()),
    })
}

#[test]
fn redirects_have_an_end() {
    let site = countdown();
    let record = lycosa(QUICK).arg(site.url("/5")).run().exits(0).record();
    assert_eq!((field(&record, "title"), requests_of(&record).len()), ("there", 6));

    let site = countdown();
    let record = lycosa(QUICK).arg(site.url("/50")).run().exits(1).record();
    assert_eq!(failure(&record).0, "redirect");
    assert_eq!((record["status"].as_u64(), site.hits()), (Some(302), 21), "twenty are followed");

    let site = countdown();
    let record = lycosa(QUICK).arg(site.url("/loop")).run().exits(1).record();
    assert_eq!(failure(&record).0, "redirect");
    assert!(site.hits() <= 21, "{} requests", site.hits());
}

#[test]
fn a_redirect_to_nowhere() {
    for location in ["ftp://example.org/", "http://", "javascript:alert(1)"] {
        let record = one(move || redirect(302, location).into(), &[]);
        assert_eq!(failure(&record).0, "redirect", "{location}");
        assert_eq!(record["status"], 302);
    }
}

#[test]
fn a_crawl_of_a_redirect_loop_ends() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/a"])),
        "/a" => redirect(302, "/b"),
        "/b" => redirect(302, "/a"),
        _ => status(404),
    });
    let records = lycosa(["crawl", &site.url("/")]).run().exits(0).records();
    assert_eq!(records.len(), 2);
    assert!(site.hits() <= 2 + 21, "{} requests", site.hits());
    assert_eq!(failure(with_path(&records, "/a")).0, "redirect");
}

#[test]
fn a_robots_file_that_redirects_for_ever_does_not_hold_the_host() {
    let site = Site::start(|request| match request.path() {
        "/page" => html(""),
        _ => redirect(302, "/robots.txt"),
    });
    lycosa(["crawl", &site.url("/page")]).run().exits(0);
    assert!(site.hits() <= 21 + 1, "{} requests", site.hits());
}

#[test]
fn many_large_bodies_at_once_keep_to_the_memory_pool() {
    let body: std::sync::Arc<[u8]> = vec![b'x'; 16 << 20].into();
    let site = Site::start(move |_: &Request| text("").bytes(&*body));
    let urls: Vec<_> = (0..24).map(|n| site.url(&format!("/{n}"))).collect();
    let arguments = ["fetch", "--host-concurrency", "24", "--timeout", "60s"];
    let run = lycosa(arguments).lines(urls).run().exits(0);
    assert!(run.records().iter().all(|record| record["size"] == 16 << 20));
    assert!(run.peak_kib < 200 * 1024, "{} KiB", run.peak_kib);
}

#[test]
fn a_page_of_nothing_but_tags_ends_in_time() {
    let page: String = "<a href='".repeat(300_000) + &"<div>".repeat(300_000);
    let site = Site::start(move |request| if request.path() == "/" { html(&page) } else { html("") });
    let run = lycosa(["crawl", "-l", "0", &site.url("/")]).run().exits(0);
    assert_eq!(run.records().len(), 1);
    assert!(run.peak_kib < 200 * 1024, "{} KiB", run.peak_kib);
}

#[test]
fn secrets_and_control_characters_stay_out_of_messages() {
    let gone = Site::start(|_: &Request| html(""));
    gone.die();
    let url = gone.url("/").replace("http://", "http://user:s3cret@");
    let run = lycosa(QUICK).args(["-vv", &url]).run().exits(1);
    let record = run.record();
    assert_eq!(field(&record, "url"), gone.url("/"));
    assert!(!field(&record["error"], "message").contains("s3cret"));
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);

    let site = Site::start(|_: &Request| html("<title>\u{1b}[31mred</title>"));
    let run = lycosa(["fetch", "-vv", &site.url("/%1b[31m")]).run().exits(0);
    assert!(!run.stderr.contains('\u{1b}'));
}
