//! Sites that never end: the crawl does, and has every honest page; and sites that only look so.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::*;

/// Pages of the honest part of [`trapped`].
const HONEST: usize = 3000;

fn number(target: &str) -> usize {
    let digits = target.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    target[digits..].parse().unwrap_or(0)
}

/// A page in the dress of its site.
fn page(text: &str, links: &[String]) -> Answer {
    html(format!("<title>A site</title><p>Home, news, imprint.</p><h1>{text}</h1>\n{}", index(links))).into()
}

/// A calendar, a path that echoes itself, sessions, a tarpit that is slow and links to itself, and one that drips: each
/// linked from the first page, beside a tree of honest pages without words of their own.
fn trapped(request: &Request) -> Answer {
    let path = request.path();
    let made = request.total * 16;
    let hash = |n: usize| format!("{:016x}", (made + n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let folder = path[1..].split('/').next().unwrap_or_default();
    match folder {
        "" => {
            let traps = ["/calendar/2026/11/200", "/month?m=2026-11", "/echo/", "/forum/1", "/tarpit/", "/drip/1"];
            page("Welcome", &["/page/0"].iter().chain(&traps).map(|&link| link.to_owned()).collect::<Vec<_>>())
        }
        "page" => {
            let here = number(path);
            let below = (1..=5).map(|n| here * 5 + n).filter(|to| *to < HONEST);
            page(
                &format!("Page {here}"),
                &below.map(|to| format!("/page/{to}")).chain(["/".to_owned()]).collect::<Vec<_>>(),
            )
        }
        "calendar" => {
            let to = |day: usize| format!("/calendar/2026/11/{day}");
            page("Nothing on this day", &[to(number(path) + 1), to(number(path).saturating_sub(1)), "/".to_owned()])
        }
        "month" => {
            page("Nothing this month", &[format!("/month?m=2026-{}", number(&request.target) + 1), "/".to_owned()])
        }
        "echo" => html("<a href=\"again/\">on</a> <a href=/>home</a>").into(),
        "forum" => {
            let word = ["one", "two", "three", "four"][number(path) % 4];
            page(&format!("Thread {word}"), &(0..4).map(|n| format!("/forum/{n}?sid={}", hash(n))).collect::<Vec<_>>())
        }
        "tarpit" => match page("Slowly", &(0..3).map(|n| format!("/tarpit/{}", hash(n))).collect::<Vec<_>>()) {
            Answer::Reply(reply) => reply.after_ms(30).into(),
            other => other,
        },
        "drip" => Answer::Drip(Duration::from_secs(1)),
        _ => status(404).into(),
    }
}

#[test]
fn a_site_full_of_traps_is_crawled_whole_and_the_crawl_ends() {
    let site = Site::start(trapped);
    let run = lycosa(["crawl", &site.url("/"), "--timeout", "3s", "--retries", "0", "--summary", "summary.json"])
        .run()
        .exits(0);
    let targets = site.targets();
    let honest: BTreeSet<_> = targets.iter().filter(|target| target.starts_with("/page/")).collect();
    assert_eq!(honest.len(), HONEST);
    let in_traps = targets.len() - HONEST - 1;
    assert!(in_traps * 5 <= site.hits(), "{in_traps} of {} requests went into traps", site.hits());
    assert!(in_traps > 100, "the traps are there: {in_traps}");

    let records = run.records();
    let refused: Vec<_> = records.iter().filter(|record| field(record, "skip_reason") == "trap").collect();
    assert!(refused.iter().all(|record| record["requests"].as_array().unwrap().is_empty()));
    let summary = run.summary();
    assert_eq!(summary.0["skips"]["trap"], refused.len());
    let reasons: u64 = summary.0["traps"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(reasons, refused.len() as u64);
    assert!(run.stderr.contains("only repeat themselves and lead on: no more of"), "{}", run.stderr);
    assert!(run.stderr.contains("traps: repeated_segments 1, repeating_pattern"), "{}", run.stderr);

    // Without the limit the same site has no end.
    let control = Site::start(trapped);
    lycosa([
        "crawl",
        &control.url("/"),
        "--timeout",
        "3s",
        "--retries",
        "0",
        "--max-per-pattern",
        "none",
        "--max-pages",
        "4000",
        "-q",
    ])
    .run()
    .exits(4);
}

#[test]
fn a_shop_of_many_items_loses_none() {
    const ITEMS: usize = 4000;
    let words =
        ["oak", "steel", "linen", "glass", "brass", "wool", "clay", "silk", "cork", "jade", "slate", "amber", "tin"];
    let site = Site::start(move |request: &Request| {
        let here = number(request.path());
        let near = [here.saturating_sub(1), (here + 1).min(ITEMS - 1)].map(|to| format!("/item/{to}"));
        let links = match request.path().split('/').nth(1) {
            Some("item") => near.into_iter().chain([format!("/category/{}", here / 100)]).collect::<Vec<_>>(),
            // Each page of a category shows some, and leads to the next: what it does not show is found from item to item.
            Some("category") => (0..30).map(|n| format!("/item/{}", here * 100 + n)).collect(),
            _ => (0..ITEMS / 100).map(|category| format!("/category/{category}")).collect(),
        };
        let text = (0..9).map(|n| words[(here + 1).pow(2) / (n + 1) % words.len()]).collect::<Vec<_>>().join(" ");
        page(&format!("Item {here}: {text}"), &links)
    });
    let run = lycosa(["crawl", &site.url("/"), "-q"]).run().exits(0);
    assert_eq!(site.targets().len(), 1 + ITEMS / 100 + ITEMS);
    assert_eq!(outcome_counts(&run.records()), [("ok".to_owned(), 1 + ITEMS / 100 + ITEMS)].into());
}
