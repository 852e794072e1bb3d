//! Crawls of sites with traps, and of sites that only look like one.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use super::fake::{Reply, World, record, run_world, seed};
use crate::engine::settings::EngineSettings;
use crate::engine::stats::Summary;
use crate::model::record::{Outcome, RecordBody, SkipReason};
use crate::policy::traps::Trap;

fn crawl() -> EngineSettings {
    EngineSettings { follow: true, host_concurrency: 4, ..EngineSettings::default() }
}

fn page(text: &str, links: impl IntoIterator<Item = String>) -> Reply {
    let links = links.into_iter().map(|link| format!("<a href=\"{link}\">more</a> "));
    Reply::page(format!("<title>A site</title><p>Home, news, imprint.</p><p>{text}</p>{}", links.collect::<String>()))
}

fn last_number(path: &str) -> u64 {
    path[path.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1)..].parse().unwrap_or(0)
}

/// The honest part: a tree of pages without words of their own.
fn honest(number: u64, pages: u64) -> Reply {
    let below = (1..=3).map(|n| number * 3 + n).filter(|to| *to < pages);
    page(&format!("Page {number} of {pages}"), below.map(|to| format!("/page/{to}")).chain(["/".to_owned()]))
}

/// Whatever is not honest leads on for ever.
fn trap(path: &str, query: Option<&str>) -> Reply {
    let hash = |n: u64| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    if path.starts_with("/calendar/") {
        let day = last_number(path);
        let to = |day: u64| format!("/calendar/2026/{day}");
        return page("Nothing on this day.", [to(day + 1), to(day.saturating_sub(1)), "/".to_owned()]);
    }
    if path.starts_with("/echo/") {
        return page("You are here.", [format!("{path}again/"), "/".to_owned()]);
    }
    if path.starts_with("/forum/") {
        let session = query.map_or(7, |query| xxh3_64(query.as_bytes()) >> 8);
        let threads = (0..5).map(|n| format!("/forum/{n}?sid={}", hash(session * 10 + n)));
        return page(&format!("Thread {}.", word(last_number(path))), threads);
    }
    let number = u64::from_str_radix(&path["/tarpit/".len()..], 16).unwrap_or(1);
    page("Words and words.", (0..3).map(|n| format!("/tarpit/{}", hash(number.wrapping_add(n)))))
}

async fn crawl_site(settings: EngineSettings, pages: u64) -> (Summary, Vec<RecordBody>, Vec<String>) {
    let world = World::new(move |request, _| {
        let path = request.url.path();
        match path {
            "/" => {
                page("Welcome.", ["/page/0", "/calendar/2026/500", "/echo/", "/forum/0", "/tarpit/"].map(str::to_owned))
            }
            _ if path.starts_with("/page/") => honest(last_number(path), pages),
            _ => trap(path, request.url.query()),
        }
    });
    let (summary, records) = run_world(&world, settings, [seed("http://site.test/")]).await;
    (summary, records, world.urls())
}

#[tokio::test(start_paused = true)]
async fn a_site_with_traps_is_crawled_whole_and_the_crawl_ends() {
    let (summary, records, urls) = crawl_site(EngineSettings { max_pages: Some(9000), ..crawl() }, 3000).await;
    let asked: BTreeSet<&str> = urls.iter().map(String::as_str).filter(|url| url.contains("/page/")).collect();
    assert_eq!(asked.len(), 3000);
    let in_traps = urls.len() - 3001;
    assert!(in_traps * 5 <= urls.len(), "{in_traps} of {} requests went into traps", urls.len());
    assert_eq!(summary.requests, urls.len() as u64);

    let refused = records.iter().filter(|record| record.skip_reason == Some(SkipReason::Trap));
    assert!(refused.clone().all(|record| record.outcome == Outcome::Skipped && record.requests.is_empty()));
    assert_eq!(refused.count() as u64, summary.skips[&SkipReason::Trap]);
    assert_eq!(summary.traps.values().sum::<u64>(), summary.skips[&SkipReason::Trap]);
    assert!(summary.traps[&Trap::RepeatedSegments] == 1 && summary.traps[&Trap::RepeatingPattern] > 3);
    assert_eq!(records.len() as u64, summary.records);
    let forum: BTreeSet<_> =
        urls.iter().filter(|url| url.contains("/forum/")).filter_map(|url| url.split('?').next()).collect();
    assert_eq!(forum.len(), 5, "each thread was asked under some session");
    // What is doubted goes behind everything else.
    let last_page = urls.iter().rposition(|url| url.contains("/page/")).unwrap();
    let calendar = urls[..last_page].iter().filter(|url| url.contains("/calendar/")).count();
    assert!(calendar <= 30, "{calendar} days were asked before the last page");
}

#[tokio::test(start_paused = true)]
async fn with_none_traps_are_followed() {
    let settings = EngineSettings { max_per_pattern: None, max_pages: Some(4000), ..crawl() };
    let (summary, _, urls) = crawl_site(settings, 300).await;
    assert!(urls.len() >= 4000 && summary.traps.is_empty() && summary.work_left);
}

/// A word of letters alone.
fn word(number: u64) -> String {
    format!("{number:04x}").bytes().map(|digit| char::from(b'a' + digit % 26)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_shop_whose_items_are_a_chain_loses_none() {
    let world = World::new(move |request, _| {
        let path = request.url.path().to_owned();
        let number = last_number(&path);
        if path.starts_with("/category/") {
            return page("A category.", ["/".to_owned()]);
        }
        // As many words as a short description has, of a few thousand that there are.
        let words = (0..12).map(|n| word(xxh3_64(&(number * 100 + n).to_le_bytes()) % 4096));
        let text = format!("Item {number}: {}", words.collect::<Vec<_>>().join(" "));
        let near = [number.saturating_sub(1), (number + 1).min(1999)].map(|to| format!("/item/{to}"));
        page(&text, near.into_iter().chain([format!("/category/{}", number % 9), "/".to_owned()]))
    });
    let (summary, records) = run_world(&world, crawl(), [seed("http://shop.test/item/0")]).await;
    assert_eq!((summary.traps.len(), records.len()), (0, 2000 + 9 + 1));
}

/// A list over 300 pages, each with twenty items that have a number and nothing else: only their numbers are new.
#[tokio::test(start_paused = true)]
async fn a_long_list_of_numbered_items_loses_none() {
    let world = World::new(move |request, _| {
        let number = last_number(request.url.as_str());
        if request.url.path() == "/item" {
            return page(&format!("Item {number}"), ["/list?page=0".to_owned()]);
        }
        let items = (0..20)
            .map(|n| format!("<a href=\"/item?n={0}\">Item {0}</a>", number * 20 + n))
            .collect::<Vec<_>>()
            .concat();
        page(&items, (number < 299).then(|| format!("/list?page={}", number + 1)))
    });
    let (summary, records) = run_world(&world, crawl(), [seed("http://shop.test/list?page=0")]).await;
    assert_eq!((summary.traps.len(), records.len()), (0, 300 + 6000));
}

#[tokio::test(start_paused = true)]
async fn what_was_typed_is_asked_however_it_looks() {
    let world = World::new(|_, _| page("Nothing.", []));
    let typed: Vec<String> = (0..200).map(|n| format!("http://h.test/a/a/a/a/a/a/{n}?sid={n:016x}")).collect();
    let (summary, records) = run_world(&world, crawl(), typed.iter().map(|url| seed(url)).collect::<Vec<_>>()).await;
    assert_eq!((records.len(), summary.traps.len()), (200, 0));
    assert_eq!(record(&records, &typed[9]).outcome, Outcome::Ok);
}
