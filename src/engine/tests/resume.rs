//! Runs that are cut off at any moment, under the paused clock, and taken up by another: with the journal and the outputs
//! of a real one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::fake::{Fake, Reply, World, mirrored, seeds};
use crate::engine::settings::EngineSettings;
use crate::engine::standing::{HostStanding, Standing};
use crate::engine::stats::Summary;
use crate::engine::{Controls, Parts, input, ledger, run};
use crate::frontier::journal::{
    Durability, DurableFrontier, Journal, JournalSettings, LoadSettings, Opened, Replay, StateDir, glance,
    longest_block,
};
use crate::frontier::memory::{MemoryFrontier, MemorySettings};
use crate::model::record::{Outcome, SkipReason};
use crate::seeds::Seed;
use crate::sinks::{OutputSettings, Target, check, open, reopen};

/// Runs in a directory until `cut`, or to the end. None if it was cut off.
pub(super) async fn run_kept(
    world: &Arc<World>,
    directory: &Path,
    settings: &EngineSettings,
    given: Vec<Seed>,
    cut: Duration,
) -> Option<Summary> {
    let wants = LoadSettings { retry_interrupted: true, ..LoadSettings::default() };
    run_kept_so(world, directory, settings, given, cut, (wants, false)).await
}

/// The same, with what is to be loaded; and whether the disk is behind when it begins.
async fn run_kept_so(
    world: &Arc<World>,
    directory: &Path,
    settings: &EngineSettings,
    mut given: Vec<Seed>,
    cut: Duration,
    (wants, behind): (LoadSettings, bool),
) -> Option<Summary> {
    let output = OutputSettings { target: Target::File(directory.join("out.jsonl")), format: "jsonl" };
    let memory_settings = MemorySettings { heap_limit: 4096, ..MemorySettings::default() };
    let mut memory = MemoryFrontier::new(memory_settings);
    let journal_settings = || JournalSettings { durability: Durability::Commit, outputs: Vec::new() };
    let dir = StateDir::lock(&directory.join("state")).unwrap();
    let (journal, past, sink) = match dir.open().unwrap() {
        Opened::New(file) => {
            let begun = ledger::begun("test", String::new(), settings);
            let sink = open(&output).unwrap();
            (Journal::begin(&dir, file, begun, journal_settings()).unwrap(), None, sink)
        }
        Opened::Run(file) => {
            let replay = Replay::scan(&dir, file).unwrap().unwrap();
            let mark = replay.marks().first().copied().flatten();
            let checked = check(&output, mark, replay.next_seq()).unwrap().unwrap();
            let seen = settings.seen_limit.clone();
            let past = replay.load(&mut memory, LoadSettings { seen, ..wants }).unwrap();
            if !past.input_ended {
                given.drain(..usize::try_from(past.input.taken).unwrap());
            }
            let sink = reopen(&output, mark, replay.next_seq(), checked).unwrap();
            (replay.resume(journal_settings()).unwrap(), Some(Box::new(past)), sink)
        }
    };
    if behind {
        journal.fall_behind();
    }
    let ended = past.as_ref().is_some_and(|past| past.input_ended);
    let parts = Parts {
        run: "test".into(),
        settings: settings.clone(),
        fetcher: Fake(world.clone()),
        cache: None,
        bodies: None,
        frontier: Box::new(DurableFrontier::new(memory, journal, dir)),
        input: if ended { input::Input::Ended } else { input::Input::Inline(Box::new(given.into_iter())) },
        past,
        input_missing: false,
        sinks: vec![("out".to_owned(), sink)],
        controls: Controls::default(),
        inline: true,
    };
    tokio::time::timeout(cut, run(parts)).await.ok()
}

pub(super) fn records(directory: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(directory.join("out.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (place, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], place);
    }
    records
}

fn crawl() -> EngineSettings {
    EngineSettings { follow: true, obey_robots: true, concurrency: 8, ..EngineSettings::default() }
}

/// Two hundred pages that link to each other, some missing, some that redirect, two to the same place.
fn answer(path: &str, tries: usize) -> Reply {
    let number: usize = path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    match path {
        "/robots.txt" => Reply::page("User-agent: *\nDisallow: /private\nSitemap: http://a.test/sitemap.xml"),
        "/sitemap.xml" => Reply::page(
            "<urlset><url><loc>http://a.test/150</loc></url><url><loc>http://a.test/only-here</loc></url></urlset>",
        )
        .after(Duration::from_millis(300)),
        _ if number % 17 == 3 && tries == 0 => Reply::status(503),
        _ if number % 19 == 5 => Reply::status(404),
        _ if number % 11 == 7 => Reply::redirect(302, &format!("/to-{}", number / 22)),
        _ => {
            let links = [2 * number + 1, 2 * number + 2, number * 7 % 200, number * 13 % 200];
            let links = links.map(|to| format!("<a href=/{}>x</a>", to % 200));
            Reply::page(links.concat() + "<a href=/private>x</a><a href=//b.test/>x</a>")
        }
    }
}

fn essence(records: &[serde_json::Value]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for record in records {
        // Which of two URLs that lead to one place is asked first is chance.
        let url = if record["final_url"].as_str().is_some_and(|url| url.contains("/to-")) {
            "redirected".to_owned()
        } else {
            // Nor which mirror is first.
            let url = if record["mirrors"].is_null() { &record["url"] } else { &record["input"] };
            format!("{url} {} {}", record["outcome"], record["status"])
        };
        *all.entry(url).or_default() += 1;
    }
    all
}

fn standing(directory: &Path) -> Standing {
    Standing::seen(&glance(&directory.join("state")).unwrap())
}

/// Wherever a run was cut off, what it says of itself is what its records say, and what the servers saw.
fn judge_what_was_spent(world: &World, directory: &Path) {
    let standing = standing(directory);
    // Behind them there may be some whose writing was not committed.
    let text = std::fs::read_to_string(directory.join("out.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = text
        .lines()
        .take(usize::try_from(standing.records).unwrap())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: usize = records.iter().map(|record| record["requests"].as_array().unwrap().len()).sum();
    let (told, seen) = (told as u64, world.requests().len() as u64);
    assert!((told..=seen).contains(&standing.requests), "{told} <= {} <= {seen}", standing.requests);
    assert_eq!(standing.hosts.iter().map(|host| host.requests).sum::<u64>(), standing.requests);
    // Each page has one link out of scope.
    let pages = records.iter().filter(|record| record["status"] == 200).count() as u64;
    assert_eq!(standing.refused.get(&SkipReason::Scope).copied().unwrap_or(0), pages);
    let by_host = |count: fn(&HostStanding) -> u64| standing.hosts.iter().map(count).sum::<u64>();
    let counts = [
        (Outcome::Ok, by_host(|host| host.ok)),
        (Outcome::HttpError, by_host(|host| host.http_error)),
        (Outcome::Failed, by_host(|host| host.failed)),
    ];
    for (outcome, at_hosts) in counts {
        let count = records.iter().filter(|record| record["outcome"] == outcome.as_str()).count() as u64;
        let all = standing.outcomes.get(&outcome).copied().unwrap_or(0);
        assert_eq!((all, at_hosts), (count, count), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_it_is_cut_off_the_records_are_the_same() {
    let world = || World::new(|request, tries| answer(request.url.path(), tries));
    let given = || seeds(["http://a.test/", "http://a.test/", "http://a.test/9"].map(str::to_owned));
    for settings in [
        crawl(),
        EngineSettings { sitemaps: true, ..crawl() },
        EngineSettings { refused: true, concurrency: 2, ..crawl() },
    ] {
        let whole = tempfile::tempdir().unwrap();
        let of_whole = run_kept(&world(), whole.path(), &settings, given(), Duration::MAX).await.unwrap();
        let expected = essence(&records(whole.path()));
        assert!(of_whole.records > 150 && expected.contains_key("redirected"));
        assert_eq!(expected.contains_key("\"http://a.test/only-here\" \"ok\" 200"), settings.sitemaps);
        for seed in 0..25 {
            let directory = tempfile::tempdir().unwrap();
            let mut random = fastrand::Rng::with_seed(seed);
            let (world, mut cuts) = (world(), 0);
            loop {
                let cut = Duration::from_millis(random.u64(1..400 + 100 * cuts));
                let ended = run_kept(&world, directory.path(), &settings, given(), cut).await;
                judge_what_was_spent(&world, directory.path());
                match ended {
                    None => cuts += 1,
                    Some(summary) => {
                        let standing = standing(directory.path());
                        assert_eq!((summary.requests, &summary.refused), (standing.requests, &standing.refused));
                        assert_eq!(summary.refused, of_whole.refused);
                        assert_eq!(summary.hosts.iter().map(|host| host.requests).sum::<u64>(), summary.requests);
                        assert_eq!(
                            summary.hosts.iter().map(|host| host.ok).sum::<u64>(),
                            summary.outcomes[&Outcome::Ok]
                        );
                        assert_eq!((summary.records, summary.left), (records(directory.path()).len() as u64, 0));
                        break;
                    }
                }
                assert!(cuts < 500, "it never comes to its end");
            }
            assert!(cuts > 0, "it was never cut off");
            assert_eq!(essence(&records(directory.path())), expected, "seed {seed}, {cuts} cuts");
        }
    }
}

/// Lists of jobs of all kinds, in any order and in theirs.
#[tokio::test(start_paused = true)]
async fn a_list_with_mirrors_and_repeats_is_done_once_too() {
    let world = || {
        World::new(|request, tries| match request.url.host_str() {
            Some("dead.test") => Reply::refused(),
            Some("slow.test") => Reply::page("slow").after(Duration::from_millis(900)),
            _ if request.url.path().ends_with('7') && tries == 0 => Reply::status(429).header("retry-after", "1"),
            _ => Reply::page("x"),
        })
    };
    let given = || -> Vec<Seed> {
        let one = |n: u32| match n % 6 {
            0 => mirrored(&[&format!("http://dead.test/{n}"), &format!("http://b.test/{n}")]),
            1 => mirrored(&[&format!("http://slow.test/{n}"), &format!("http://b.test/{n}"), "http://dead.test/"]),
            2 => seeds(["http://a.test/same".to_owned()]).remove(0),
            3 => Seed::Broken { input: "x".into(), line: 1, id: None, meta: None, message: "no".into() },
            _ => seeds([format!("http://a.test/{n}")]).remove(0),
        };
        (0..60).map(one).collect()
    };
    let fetch = EngineSettings { concurrency: 8, ..EngineSettings::default() };
    for settings in
        [EngineSettings { unique: true, ..fetch.clone() }, EngineSettings { ordered: true, ..fetch.clone() }, fetch]
    {
        let whole = tempfile::tempdir().unwrap();
        run_kept(&world(), whole.path(), &settings, given(), Duration::MAX).await.unwrap();
        let expected = essence(&records(whole.path()));
        for seed in 0..15 {
            let directory = tempfile::tempdir().unwrap();
            let mut random = fastrand::Rng::with_seed(seed);
            let (world, mut cuts) = (world(), 0);
            while run_kept(
                &world,
                directory.path(),
                &settings,
                given(),
                Duration::from_millis(random.u64(1..600 + 200 * cuts)),
            )
            .await
            .is_none()
            {
                cuts += 1;
                assert!(cuts < 500, "it never comes to its end");
            }
            let found = records(directory.path());
            assert_eq!(essence(&found), expected, "seed {seed}, {cuts} cuts");
            if settings.ordered {
                let places = |records: &[serde_json::Value]| {
                    records.iter().map(|record| record["input"].to_string()).collect::<Vec<_>>()
                };
                assert_eq!(places(&found), places(&records(whole.path())), "seed {seed}, {cuts} cuts");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_is_left_alone_over_the_end_of_a_process() {
    let world = World::new(|request, tries| match request.url.path() {
        "/robots.txt" => Reply::page("User-agent: *\nCrawl-delay: 7"),
        _ if tries == 0 => Reply::status(429).header("retry-after", "100"),
        _ => Reply::page("x"),
    });
    let directory = tempfile::tempdir().unwrap();
    let settings = crawl();
    let given = || seeds(["http://a.test/".to_owned()]);
    let first = run_kept(&world, directory.path(), &settings, given(), Duration::from_secs(20)).await;
    assert!(first.is_none());
    let resumed = tokio::time::Instant::now();
    run_kept(&world, directory.path(), &settings, given(), Duration::MAX).await.unwrap();
    let requests = world.requests();
    assert_eq!(world.urls(), ["http://a.test/robots.txt", "http://a.test/", "http://a.test/"], "robots.txt is kept");
    let waited = requests[2].start - resumed;
    // Wall time goes on by itself while the test runs.
    assert!((Duration::from_mins(1)..Duration::from_secs(106)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_stays_open_over_the_end_of_a_process() {
    let world = World::new(|_, _| Reply::refused());
    let directory = tempfile::tempdir().unwrap();
    let settings = EngineSettings { unique: true, ..EngineSettings::default() };
    let given = || seeds((0..10).map(|n| format!("http://dead.test/{n}")));
    run_kept(&world, directory.path(), &settings, given(), Duration::from_secs(25)).await;
    let before = world.requests().len();
    let resumed = tokio::time::Instant::now();
    let summary = run_kept(&world, directory.path(), &settings, given(), Duration::MAX).await.unwrap();
    assert_eq!(summary.records, 10);
    let requests = world.requests();
    let first = requests[before].start - resumed;
    assert!(first > Duration::from_secs(1), "{first:?} after the start");
    assert!(requests.len() - before < 10, "only probes");
}

/// Whoever goes on knows who has asked to be left alone for longer than anybody waits.
#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_for_long_is_not_asked_by_the_next_process_either() {
    for (stated, asked, refused) in [("3600", 1, 2), ("120", 3, 0)] {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(move |request, tries| match request.url.host_str() {
            Some("h.test") if request.url.path() == "/" && tries == 0 => {
                Reply::status(429).header("retry-after", stated)
            }
            Some("w.test") => Reply::redirect(302, "http://h.test/led").after(Duration::from_mins(10)),
            _ => Reply::status(200),
        });
        let settings = EngineSettings { timeout: None, ..EngineSettings::default() };
        let list = || seeds(["http://h.test/".to_owned(), "http://w.test/".to_owned()]);
        let cut = Duration::from_mins(5);
        assert!(run_kept(&world, directory.path(), &settings, list(), cut).await.is_none());
        assert!(run_kept(&world, directory.path(), &settings, list(), Duration::MAX).await.is_some());
        let at_host = world.urls().iter().filter(|url| url.starts_with("http://h.test/")).count();
        assert_eq!(at_host, asked, "{stated}");
        let limited = records(directory.path()).iter().filter(|r| r["skip_reason"] == "rate_limited").count();
        assert_eq!(limited, refused, "{stated}");
    }
}

/// However many failures are asked again, whoever comes next can read what was noted of them.
#[tokio::test(start_paused = true)]
async fn many_failures_are_asked_again_in_blocks_of_the_usual_size() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(|_, tries| if tries == 0 { Reply::status(404) } else { Reply::page("x") });
    let settings = EngineSettings { concurrency: 8, ..EngineSettings::default() };
    let given = || seeds((0..4000).map(|n| format!("http://a{}.test/{}{n}", n % 40, "x".repeat(300))));
    run_kept(&world, directory.path(), &settings, given(), Duration::MAX).await.unwrap();
    let again = || (LoadSettings { failures: true, ..LoadSettings::default() }, false);
    // Cut off before anything is asked, and then gone on with: what was not committed has not had its chance.
    let cut = run_kept_so(&world, directory.path(), &settings, Vec::new(), Duration::ZERO, again()).await;
    assert!(cut.is_none());
    let summary = run_kept_so(&world, directory.path(), &settings, Vec::new(), Duration::MAX, again()).await.unwrap();
    assert_eq!((summary.left, summary.outcomes[&Outcome::Ok]), (0, 4000));
    let records = records(directory.path());
    assert_eq!(records.len(), 8000);
    assert!(records[4000..].iter().all(|record| record["retry_of"].is_u64()));
    let longest = longest_block(&directory.path().join("state/journal"));
    assert!((200 << 10..600 << 10).contains(&longest), "{longest} bytes in one block, of more than a mebibyte noted");
}

/// With nothing in flight nobody but the run itself finds out that the disk has caught up.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_behind_holds_a_run_up_and_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(|_, _| Reply::page("x"));
    let settings = EngineSettings { concurrency: 8, ..EngineSettings::default() };
    let given = seeds((0..20).map(|n| format!("http://a.test/{n}")));
    let wants = (LoadSettings::default(), true);
    let year = Duration::from_hours(365 * 24);
    let summary = run_kept_so(&world, directory.path(), &settings, given, year, wants).await;
    assert_eq!(summary.expect("it waits for ever").outcomes[&Outcome::Ok], 20);
    assert_eq!(records(directory.path()).len(), 20);
}
