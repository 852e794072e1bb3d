//! robots.txt over days, over hosts and over pages, in paused time.

use std::time::Duration;

use super::fake::{Reply, World, record, run_world, seed, seeds};
use crate::engine::settings::EngineSettings;
use crate::model::record::{Outcome, RequestKind, SkipReason};
use crate::policy::scope::{Rule, ScopeSettings};

const HOUR: Duration = Duration::from_hours(1);

fn obeying() -> EngineSettings {
    EngineSettings { obey_robots: true, ..EngineSettings::default() }
}

fn is_robots(request: &crate::fetch::Request) -> bool {
    request.url.path() == "/robots.txt"
}

/// Pages `/x…` and `/y…` in turn, an hour between requests.
fn hourly() -> (EngineSettings, impl Iterator<Item = String>) {
    let settings = EngineSettings { delay: HOUR, ..obeying() };
    (settings, (0..80).map(|n| format!("http://h.test/{}{n}", if n % 2 == 0 { "x" } else { "y" })))
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_used_for_a_day() {
    let world = World::new(|request, tries| match (is_robots(request), tries) {
        (true, 0) => Reply::page("User-agent: *\nDisallow: /x"),
        (true, _) => Reply::page("User-agent: *\nDisallow: /y"),
        _ => Reply::status(200),
    });
    let (settings, urls) = hourly();
    let (_, records) = run_world(&world, settings, seeds(urls)).await;
    let asked = world.requests();
    let robots: Vec<_> = asked.iter().filter(|seen| seen.url.ends_with("/robots.txt")).collect();
    assert_eq!(robots.len(), 2);
    let age = robots[1].start - robots[0].end.unwrap();
    assert!((24 * HOUR..25 * HOUR).contains(&age), "{age:?}");
    for page in asked.iter().filter(|seen| !seen.url.ends_with("/robots.txt")) {
        let allowed = if page.start < robots[1].start { "/y" } else { "/x" };
        assert!(page.url.contains(allowed), "{} with the other copy", page.url);
    }
    assert!(asked.iter().any(|seen| seen.url.contains("/x")), "the new copy was used");
    let skipped = records.iter().filter(|record| record.skip_reason == Some(SkipReason::Robots)).count();
    assert_eq!(skipped + asked.len() - 2, 80);
}

#[tokio::test(start_paused = true)]
async fn while_it_cannot_be_asked_again_the_copy_is_used_on() {
    let failures: [fn() -> Reply; 4] = [
        || Reply::status(500),
        || Reply::status(429).header("retry-after", "1"),
        Reply::refused,
        || Reply::status(200).after(Duration::from_mins(10)),
    ];
    for failure in failures {
        let start = tokio::time::Instant::now();
        let world = World::new(move |request, tries| match (is_robots(request), start.elapsed() > 30 * HOUR) {
            (true, _) if tries == 0 => Reply::page("User-agent: *\nDisallow: /x"),
            (true, false) => failure(),
            (true, true) => Reply::status(404),
            _ => Reply::status(200),
        });
        let (settings, urls) = hourly();
        let (_, records) = run_world(&world, settings, seeds(urls)).await;
        assert!(records.iter().all(|record| record.outcome != Outcome::Failed), "no URL suffers from it");
        let asked = world.requests();
        let robots: Vec<_> = asked.iter().filter(|seen| seen.url.ends_with("/robots.txt")).collect();
        let late = |seen: &super::fake::Seen| seen.start > robots[0].end.unwrap() + 24 * HOUR;
        let first_x = asked.iter().find(|seen| seen.url.contains("/x")).map(|seen| seen.start);
        let renewed = robots.iter().map(|seen| seen.start).find(|at| *at > start + 30 * HOUR);
        assert!(first_x > renewed, "the old copy forbids /x until there is a new one");
        assert!(asked.iter().any(|seen| seen.url.contains("/y") && late(seen) && Some(seen.start) < renewed));
        assert!(robots.len() > 2 && robots[1..].iter().all(|seen| late(seen)), "{} times", robots.len());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_copy_each_cooldown_has_one_more_question() {
    let world = World::new(|request, _| if is_robots(request) { Reply::status(503) } else { Reply::status(200) });
    let slow = (0..4).flat_map(|n| [format!("http://broken.test/{n}"), format!("http://well.test/{n}")]);
    let (_, records) = run_world(&world, obeying(), seeds(slow)).await;
    let skipped = records.iter().filter(|record| record.skip_reason == Some(SkipReason::Robots)).count();
    assert_eq!(skipped, 8, "nothing is fetched where robots.txt answers 5xx");
    assert_eq!(world.requests().len(), 6, "three attempts for each origin, however many URLs wait");
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_a_private_address_is_no_permission() {
    for (allow_private, typed, pages) in [(false, false, 0), (true, false, 1), (false, true, 1)] {
        let world = World::new(|request, _| match (request.url.host_str().unwrap_or_default(), request.url.path()) {
            ("a.test", "/robots.txt") => Reply::redirect(301, "http://192.168.0.1/rules"),
            (_, "/rules") => Reply::page("User-agent: *\nDisallow: /private"),
            _ => Reply::status(200),
        });
        let settings = EngineSettings { allow_private, ..obeying() };
        let mut urls = vec![seed("http://a.test/private/"), seed("http://a.test/open")];
        urls.extend(typed.then(|| seed("http://192.168.0.1/")));
        let (_, records) = run_world(&world, settings, urls).await;
        assert_eq!(record(&records, "http://a.test/private/").skip_reason, Some(SkipReason::Robots));
        let asked = world.urls().iter().filter(|url| *url == "http://a.test/open").count();
        assert_eq!(asked, pages, "allowed: {allow_private}, typed: {typed}");
    }
    // The origin's own address is another matter: the guard says the same of its pages.
    let world = World::new(|_, _| Reply::page("<a href='http://10.0.0.1/x'>"));
    let scope = ScopeSettings { rule: Rule::Any, ..ScopeSettings::default() };
    let settings = EngineSettings { follow: true, scope, ..obeying() };
    let (_, records) = run_world(&world, settings, vec![seed("http://a.test/")]).await;
    assert_eq!(record(&records, "http://10.0.0.1/x").skip_reason, Some(SkipReason::PrivateAddress));
}

#[tokio::test(start_paused = true)]
async fn each_hop_is_admitted_at_its_host() {
    let world = World::new(|request, _| match (request.url.host_str().unwrap_or_default(), request.url.path()) {
        ("a.test", "/robots.txt") => Reply::redirect(301, "http://b.test/1"),
        ("b.test", "/1") => Reply::redirect(302, "http://b.test/2"),
        ("b.test", "/2") => Reply::page("User-agent: lycosa\nDisallow: /no"),
        ("b.test", "/robots.txt") => Reply::page("User-agent: *\nDisallow: /2\nCrawl-delay: 5"),
        _ => Reply::status(200),
    });
    world.log.lock().unwrap().gap = Some(|_| Duration::from_secs(2));
    let settings = EngineSettings { delay: Duration::from_secs(2), allow_private: true, ..obeying() };
    let urls = ["http://b.test/x", "http://b.test/y", "http://a.test/no", "http://a.test/yes"];
    let (_, records) = run_world(&world, settings, urls.map(seed)).await;
    // The rules are those of the origin that was asked for, and the rules of the hosts on the way have no say.
    assert_eq!(record(&records, urls[2]).skip_reason, Some(SkipReason::Robots));
    assert_eq!(record(&records, urls[3]).outcome, Outcome::Ok);
    let of_a = record(&records, urls[2]).requests.iter().chain(&record(&records, urls[3]).requests);
    let kinds: Vec<_> = of_a.map(|request| (&*request.host_key, request.kind)).collect();
    let robots = RequestKind::Robots;
    assert_eq!(kinds, [("a.test", robots), ("b.test", robots), ("b.test", robots), ("a.test", RequestKind::Page)]);
}

#[tokio::test(start_paused = true)]
async fn a_crawl_delay_is_kept_however_long_and_never_lowers_ours() {
    for (crawl_delay, own, gap) in [("120", 1, 120), ("0.5", 3, 3), ("0", 0, 0)] {
        let robots =
            format!("User-agent: *\nCrawl-delay: 999\n\nUser-agent: lycosa\nCrawl-delay: {crawl_delay}\nDisallow: /no");
        let world =
            World::new(move |request, _| if is_robots(request) { Reply::page(&*robots) } else { Reply::status(200) });
        let settings = EngineSettings { delay: Duration::from_secs(own), ..obeying() };
        run_world(&world, settings, seeds((0..5).map(|n| format!("http://h.test/{n}")))).await;
        let asked = world.requests();
        let gaps = asked.windows(2).map(|pair| pair[1].start - pair[0].end.unwrap_or(pair[0].start));
        if gap > 0 {
            let gaps: Vec<_> = gaps.collect();
            assert!(gaps.iter().all(|found| *found == Duration::from_secs(gap)), "{gaps:?}");
        } else {
            assert_eq!(asked.len(), 6);
        }
    }
}

/// Where each page's only link to the next stands, and whether the next was asked.
#[tokio::test(start_paused = true)]
async fn links_that_are_not_to_be_followed_are_not() {
    const CASES: [(&str, Option<&str>, &str, bool); 13] = [
        ("plain", None, "<a href=LINK>", true),
        ("rel", None, "<a rel='noopener nofollow' href=LINK>", false),
        ("rel-of-one", None, "<a rel=nofollow href=LINK></a><a href=LINK>", true),
        ("meta", None, "<meta name=robots content='index, NoFollow'><a href=LINK>", false),
        ("meta-none", None, "<meta name=robots content=none><a href=LINK>", false),
        ("meta-ours", None, "<meta name=LYCOSA content=nofollow><a href=LINK>", false),
        ("meta-other", None, "<meta name=otherbot content=nofollow><a href=LINK>", true),
        ("meta-noindex", None, "<meta name=robots content=noindex><a href=LINK>", true),
        ("head", Some("nofollow"), "<a href=LINK>", false),
        ("head-ours", Some("otherbot: noindex, lycosa: nofollow"), "<a href=LINK>", false),
        ("head-lines", Some("otherbot: noindex; nofollow"), "<a href=LINK>", false),
        ("head-other", Some("otherbot: nofollow"), "<a href=LINK>", true),
        ("head-noindex", Some("noindex"), "<a href=LINK>", true),
    ];
    for obey in [true, false] {
        let world = World::new(|request, _| {
            let name = request.url.path().trim_start_matches('/');
            let Some((name, head, page, _)) = CASES.iter().find(|case| case.0 == name) else { return Reply::page("") };
            let page = Reply::page(page.replace("LINK", &format!("/{name}/next")));
            match head {
                // Each directive in a line of its own.
                Some(head) => head.split("; ").fold(page, |page, line| page.header("x-robots-tag", line)),
                None => page,
            }
        });
        let settings = EngineSettings { follow: true, ..obeying() };
        let settings = EngineSettings { obey_robots: obey, ..settings };
        let urls = CASES.map(|case| format!("http://h.test/{}", case.0));
        let (summary, records) = run_world(&world, settings, seeds(urls)).await;
        let asked = world.urls();
        for (name, _, _, followed) in CASES {
            let next = asked.iter().any(|url| url.ends_with(&format!("/{name}/next")));
            assert_eq!(next, followed || !obey, "{name}, obey: {obey}");
            let noindex = record(&records, &format!("http://h.test/{name}")).noindex;
            assert_eq!(noindex, ["meta-none", "meta-noindex", "head-noindex"].contains(&name), "{name}");
        }
        assert_eq!(summary.refused.get(&SkipReason::Robots).copied(), obey.then_some(7), "they are counted");
    }
}
