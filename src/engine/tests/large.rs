//! The short form of `benches/large.rs`: many links, in a frontier and a seen set that hold few of them in memory, cut off in
//! their middle and taken up again. What they take in memory and time is measured there.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::fake::{Reply, World, seeds};
use super::resume::{records, run_kept};
use crate::engine::settings::EngineSettings;
use crate::frontier::seen::SeenLimit;
use crate::policy::scope::{Rule, ScopeSettings};

const PAGES: u64 = if cfg!(debug_assertions) { 30_000 } else { 300_000 };
const HOSTS: u64 = 100;
/// New links of each page that has any, and those that were seen before.
const NEW: u64 = 1000;
const OLD: u64 = 100;

fn url(number: u64) -> String {
    format!("http://h{}.test/section-{}/page-{number}.html", number % HOSTS, number / HOSTS % 97)
}

fn page(number: u64) -> Reply {
    let mut body = format!("<title>Page {number}</title>");
    let first = number * NEW + 1;
    if first < PAGES {
        let mut random = fastrand::Rng::with_seed(number);
        let old = (0..OLD).map(|_| random.u64(0..=first));
        for to in (first..(first + NEW).min(PAGES)).chain(old) {
            let _ = write!(body, "<a href=\"{}\">x</a>", url(to));
        }
    }
    Reply::page(body)
}

#[tokio::test(start_paused = true)]
async fn links_beyond_what_memory_may_hold_are_each_asked_once() {
    let world = World::new(|request, _| {
        let path = request.url.path();
        page(
            path.trim_start_matches(|c| c != '-')
                .rsplit_once('-')
                .unwrap()
                .1
                .trim_end_matches(".html")
                .parse()
                .unwrap(),
        )
    });
    world.log.lock().unwrap().keep_requests = false;
    let directory = tempfile::tempdir().unwrap();
    let settings = EngineSettings {
        follow: true,
        concurrency: 64,
        scope: ScopeSettings { rule: Rule::Any, ..ScopeSettings::default() },
        // A tenth of what they would take.
        seen_limit: SeenLimit { bytes: Some(usize::try_from(PAGES).unwrap()), dir: Some(directory.path().into()) },
        ..EngineSettings::default()
    };
    let (mut processes, mut asked) = (0, 0);
    loop {
        processes += 1;
        // A request takes 10 ms there, and 64 go at once: the first two are cut off.
        let cut = if processes < 3 { Duration::from_millis(10 * PAGES / 64 / 3) } else { Duration::MAX };
        let ended = run_kept(&world, directory.path(), &settings, seeds([url(0)]), cut).await;
        let now = world.log.lock().unwrap().count;
        assert!(now > asked, "each process does some of it");
        asked = now;
        if let Some(summary) = ended {
            assert_eq!((summary.records, summary.left), (PAGES, 0));
            break;
        }
    }
    assert_eq!(processes, 3);
    let records = records(directory.path());
    let urls: HashSet<&str> = records.iter().map(|record| record["url"].as_str().unwrap()).collect();
    assert_eq!((records.len() as u64, urls.len() as u64), (PAGES, PAGES), "one record for each");
    assert!(asked <= PAGES + 2 * 400, "{asked} requests for {PAGES} pages after two cuts");
    assert_eq!(world.log.lock().unwrap().violations, Vec::<String>::new());
}
