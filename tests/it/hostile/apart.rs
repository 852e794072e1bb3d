//! What takes more than one server, or none: many bodies at once, proxies that are gone, words that must not come out.

use serde_json::Value;

use super::longest_request;
use super::pages::links;
use super::server::Cast;
use super::table::{Silence, endless, head, row, verdict_of};
use crate::support::*;

const QUICK: [&str; 5] = ["fetch", "--retries", "0", "--breaker-failures", "0"];

#[track_caller]
fn failure(record: &Value) -> (&str, &str) {
    assert_eq!(record["outcome"], "failed", "{record}");
    (field(&record["error"], "kind"), field(&record["error"], "stage"))
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

    let record = lycosa(QUICK).args(["-x", &gone.url(""), "http://name.invalid/"]).run().exits(1).record();
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
fn a_body_in_tiny_chunks_holds_nobody_up_and_ends_in_time() {
    const HEALTHY: usize = 200;
    let tiny = [head("200 OK\nTransfer-Encoding: chunked"), endless("1\r\nz\r\n")];
    let rows =
        [row("tiny chunks without end", tiny, "failed 200 too_large/body truncated"), row("silence", [Silence], "")];
    let cast = Cast::start(rows.to_vec(), false);
    let urls: Vec<_> = cast.hosts.iter().map(|host| host.url()).collect();

    let site = Site::start(|_: &Request| text("well"));
    let others = (0..HEALTHY).map(|n| site.url(&format!("/{n}")));
    let arguments = ["fetch", "--max-filesize", "1MiB", "--timeout", "60s", "--fail-on", "never"];
    let run = lycosa(arguments).lines(std::iter::once(urls[0].clone()).chain(others)).run().exits(0);
    let records = run.records();
    assert_eq!(records.len(), HEALTHY + 1);
    assert!(records[..HEALTHY].iter().all(|record| verdict_of(record) == "ok 200"), "all others end before it");
    let last = &records[HEALTHY];
    assert_eq!((verdict_of(last).as_str(), last["size"].as_u64()), (cast.hosts[0].row.want.verdict, Some(1 << 20)));

    let records =
        lycosa(QUICK).args(["--timeout", "1s", "--max-filesize", "1GiB"]).args(&urls).run().exits(1).records();
    let of = |url: &str| records.iter().find(|record| field(record, "url") == url).unwrap();
    let (busy, silent) = (of(&urls[0]), of(&urls[1]));
    assert_eq!(verdict_of(busy), "failed 200 timeout/body truncated");
    let (took, control) = (longest_request(busy), longest_request(silent));
    assert!(took < 2.0 * control, "{took} ms, and a silent server takes {control} ms");
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

#[test]
fn a_page_with_a_million_links() {
    let page = format!("<base href='http://elsewhere.example/'>{}", links(1_000_000));
    let (size, site) = (page.len(), Site::start(move |_: &Request| html(&page)));
    let run = lycosa(["crawl", "--robots", "ignore", "--summary", "summary.json", &site.url("/")]).run().exits(0);
    assert_eq!((run.record()["size"].as_u64(), site.hits()), (Some(size as u64), 1));
    assert!(run.peak_kib < 200 * 1024, "{} KiB", run.peak_kib);
    let refused = run.summary().0["refused"]["scope"].as_u64();
    assert_eq!(refused, Some(100_000), "as many links as are read of one page: {}", run.summary().0);
}
