//! How fast and how much at once a host and all hosts are asked, judged by the servers' own logs. Each limit has a
//! control run without it, which shows that the judge can say no.
//!
//! Windows and gaps have 20 ms of tolerance: what is measured is the arrival at the server. At least 95 % of what is
//! allowed must be used.

use std::time::Duration;

use crate::support::*;

const USED: f64 = 0.95;
const TOLERANCE: Duration = Duration::from_millis(20);

fn answering_after(milliseconds: u64) -> Site {
    Site::start(move |_: &Request| html("").after_ms(milliseconds))
}

fn urls(site: &Site, count: usize) -> Vec<String> {
    (0..count).map(|number| site.url(&format!("/{number}"))).collect()
}

fn all(sites: &[Site]) -> Vec<Hit> {
    sites.iter().flat_map(Site::log).collect()
}

fn fetch(options: &[&str], lines: &[String]) {
    let run = lycosa(["fetch"]).args(options.iter().copied()).lines(lines).run().exits(0);
    assert_eq!(run.records().len(), lines.len());
}

#[test]
fn host_rate_spaces_the_starts_at_one_host() {
    let _alone = measuring();
    let limited = answering_after(5);
    fetch(&["--host-rate", "20/s"], &urls(&limited, 70));
    assert_eq!(rate_broken(&limited.log(), 20.0), None);
    let used = starts_per_second(&limited.log());
    assert!(used >= 20.0 * USED, "{used}/s of 20/s were used");

    let control = answering_after(5);
    fetch(&[], &urls(&control, 70));
    assert!(rate_broken(&control.log(), 20.0).is_some(), "without the flag the rate is exceeded");
}

#[test]
fn rate_spaces_the_starts_of_the_whole_run() {
    let _alone = measuring();
    let lines =
        |sites: &[Site]| (0..40).flat_map(|n| sites.iter().map(move |site| site.url(&format!("/{n}")))).collect();
    let limited: Vec<_> = (0..4).map(|_| answering_after(5)).collect();
    let list: Vec<_> = lines(&limited);
    fetch(&["--rate", "50/s"], &list);
    assert_eq!(rate_broken(&all(&limited), 50.0), None);
    let used = starts_per_second(&all(&limited));
    assert!(used >= 50.0 * USED, "{used}/s of 50/s were used");

    let control: Vec<_> = (0..4).map(|_| answering_after(5)).collect();
    let list: Vec<_> = lines(&control);
    fetch(&[], &list);
    assert!(rate_broken(&all(&control), 50.0).is_some(), "without the flag the rate is exceeded");
}

#[test]
fn both_rates_hold_at_once_and_neither_wastes_the_other() {
    let _alone = measuring();
    let sites: Vec<_> = (0..3).map(|_| answering_after(5)).collect();
    let list: Vec<_> = (0..25).flat_map(|n| sites.iter().map(move |site| site.url(&format!("/{n}")))).collect();
    fetch(&["--rate", "30/s", "--host-rate", "10/s"], &list);
    assert_eq!(rate_broken(&all(&sites), 30.0), None);
    for site in &sites {
        assert_eq!(rate_broken(&site.log(), 10.0), None);
    }
    let used = starts_per_second(&all(&sites));
    assert!(used >= 30.0 * USED, "{used}/s of 30/s were used");
}

#[test]
fn retries_hops_and_robots_requests_count() {
    let _alone = measuring();
    let script = |request: &Request| match request.path() {
        "/robots.txt" => text("User-agent: *\nDisallow: /nothing\n"),
        "/" => html(index((0..15).flat_map(|n| [format!("/moved/{n}"), format!("/refused/{n}")]))),
        path if path.starts_with("/moved") => redirect(302, format!("/to{path}")),
        path if path.starts_with("/refused") && request.nth == 0 => status(429).header("Retry-After", "0"),
        _ => html(""),
    };
    let limited = Site::start(script);
    lycosa(["crawl", "--host-rate", "20/s", &limited.url("/")]).run().exits(0);
    assert_eq!(limited.hits(), 2 + 60);
    assert_eq!(rate_broken(&limited.log(), 20.0), None);
    let used = starts_per_second(&limited.log());
    assert!(used >= 20.0 * USED, "{used}/s of 20/s were used");

    let control = Site::start(script);
    lycosa(["crawl", &control.url("/")]).run().exits(0);
    assert!(rate_broken(&control.log(), 20.0).is_some(), "without the flag the rate is exceeded");
}

#[test]
fn delay_is_kept_from_the_end_of_one_request_to_the_start_of_the_next() {
    let _alone = measuring();
    let delay = Duration::from_millis(200);
    let limited = answering_after(50);
    fetch(&["--delay", "200ms"], &urls(&limited, 16));
    let log = limited.log();
    assert_eq!(most_in_flight(&log), 1);
    let found = gaps(&log);
    assert!(found.iter().all(|gap| *gap + TOLERANCE >= delay), "{found:?}");
    let mean = found.iter().sum::<Duration>() / u32::try_from(found.len()).unwrap();
    assert!(mean.mul_f64(USED) <= delay, "a mean gap of {mean:?} wastes the host's time");

    let control = answering_after(50);
    fetch(&[], &urls(&control, 16));
    assert!(gaps(&control.log()).iter().any(|gap| *gap + TOLERANCE < delay));
}

#[test]
fn host_concurrency_bounds_what_is_in_flight_at_one_host() {
    let _alone = measuring();
    let limited = answering_after(100);
    fetch(&["--host-concurrency", "2"], &urls(&limited, 90));
    assert_eq!(most_in_flight(&limited.log()), 2);
    let mean = mean_in_flight(&limited.log(), Duration::from_secs(1));
    assert!(mean >= 2.0 * USED, "{mean} in flight of 2");

    let control = answering_after(100);
    fetch(&[], &urls(&control, 90));
    assert_eq!(most_in_flight(&control.log()), 8, "the default of fetch");
}

#[test]
fn hosts_of_one_address_share_its_places() {
    let _alone = measuring();
    let run = |flags: &[&str]| {
        let sites: Vec<_> = (0..6).map(|_| Site::start_beside_others(|_: &Request| html("").after_ms(100))).collect();
        let list: Vec<_> = (0..30).flat_map(|n| sites.iter().map(move |site| site.url(&format!("/{n}")))).collect();
        fetch(flags, &list);
        // The server notes the end of an answer when it comes to it: the next request may be there before.
        let earlier = |hit: Hit| Hit { ended: hit.ended.and_then(|ended| ended.checked_sub(TOLERANCE)), ..hit };
        all(&sites).into_iter().map(earlier).collect::<Vec<_>>()
    };
    let log = run(&["--ip-concurrency", "4"]);
    assert_eq!(most_in_flight(&log), 4);
    let mean = mean_in_flight(&log, Duration::from_secs(1));
    assert!(mean >= 4.0 * USED * 0.8, "{mean} in flight of 4, an answer's fifth not counted");
    assert!(most_in_flight(&run(&["--ip-concurrency", "none"])) > 4);
    assert!(most_in_flight(&run(&[])) > 16, "loopback is exempt by default");
    // Hosts at other addresses have nothing to do with it.
    let sites: Vec<_> = (0..6).map(|_| answering_after(100)).collect();
    let list: Vec<_> = (0..20).flat_map(|n| sites.iter().map(move |site| site.url(&format!("/{n}")))).collect();
    fetch(&["--ip-concurrency", "4"], &list);
    assert!(most_in_flight(&all(&sites)) > 16);
}

#[test]
fn ports_of_one_name_share_its_address_from_the_first_request_on() {
    let _alone = measuring();
    for (limit, most, verdict) in [("2", 1..=2, 0), ("none", 10..=40, 1)] {
        let sites: Vec<_> = (0..40).map(|_| Site::start_beside_others(|_: &Request| html("").after_ms(100))).collect();
        let list: Vec<_> = sites.iter().map(|site| site.url("/").replace("127.0.0.1", "localhost")).collect();
        let run = lycosa(["fetch", "--ip-concurrency", limit]).lines(&list).run().exits(0);
        let log: Vec<_> = all(&sites)
            .into_iter()
            .map(|hit| Hit { ended: hit.ended.and_then(|ended| ended.checked_sub(TOLERANCE)), ..hit })
            .collect();
        assert_eq!(log.len(), 40);
        assert!(most.contains(&most_in_flight(&log)), "--ip-concurrency {limit}: {}", most_in_flight(&log));
        lycosa(["audit", "-", "--ip-concurrency", "2"]).stdin(run.stdout.clone()).run().exits(verdict);
    }
}

#[test]
fn concurrency_bounds_what_is_in_flight_in_the_whole_run() {
    let _alone = measuring();
    let lines =
        |sites: &[Site]| (0..25).flat_map(|n| sites.iter().map(move |site| site.url(&format!("/{n}")))).collect();
    let limited: Vec<_> = (0..8).map(|_| answering_after(100)).collect();
    let list: Vec<_> = lines(&limited);
    fetch(&["-j", "5"], &list);
    let most = most_in_flight(&all(&limited));
    assert_eq!(most, 5);
    let mean = mean_in_flight(&all(&limited), Duration::from_secs(1));
    assert!(mean >= 5.0 * USED, "{mean} in flight of 5");

    let control: Vec<_> = (0..8).map(|_| answering_after(100)).collect();
    let list: Vec<_> = lines(&control);
    fetch(&[], &list);
    assert!(most_in_flight(&all(&control)) > 5);
}

#[test]
fn crawl_delay_of_robots_is_kept() {
    let _alone = measuring();
    let script = |request: &Request| match request.path() {
        "/robots.txt" => text("User-agent: *\nCrawl-delay: 1\n"),
        "/" => html(index((0..4).map(|n| format!("/{n}")))),
        _ => html(""),
    };
    let site = Site::start(script);
    lycosa(["crawl", &site.url("/")]).run().exits(0);
    let found = gaps(&site.log());
    assert_eq!(found.len(), 5, "robots.txt counts too");
    assert!(found.iter().all(|gap| *gap + TOLERANCE >= Duration::from_secs(1)), "{found:?}");
    let mean = found.iter().sum::<Duration>() / 5;
    assert!(mean.mul_f64(USED) <= Duration::from_secs(1), "a mean gap of {mean:?} wastes the host's time");

    let control = Site::start(script);
    lycosa(["crawl", "--robots", "ignore", &control.url("/")]).run().exits(0);
    assert!(gaps(&control.log()).iter().any(|gap| *gap + TOLERANCE < Duration::from_secs(1)));
}

#[test]
fn the_longer_of_two_delays_is_in_force() {
    let _alone = measuring();
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => text("User-agent: *\nCrawl-delay: 0.1\n"),
        "/" => html(index((0..4).map(|n| format!("/{n}")))),
        _ => html(""),
    });
    lycosa(["crawl", "--delay", "300ms", &site.url("/")]).run().exits(0);
    let found = gaps(&site.log());
    assert!(found[1..].iter().all(|gap| *gap + TOLERANCE >= Duration::from_millis(300)), "{found:?}");
}

#[test]
fn robots_is_asked_first_and_alone() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => status(404).after_ms(400),
        "/a" => html(index((0..20).map(|n| format!("/{n}")))),
        _ => html(""),
    });
    lycosa(["crawl", &site.url("/a"), &site.url("/b"), &site.url("/c")]).run().exits(0);
    let log = site.log();
    assert_eq!(log[0].target, "/robots.txt");
    assert!(log[1..].iter().all(|hit| hit.arrived >= log[0].ended.unwrap()), "nothing is asked before its answer");
    assert_eq!(log.iter().filter(|hit| hit.target == "/robots.txt").count(), 1);
}

#[test]
fn a_host_starts_with_one_request_and_doubles_with_each_answer() {
    let _alone = measuring();
    let site = answering_after(250);
    fetch(&[], &urls(&site, 40));
    let log = site.log();
    for (number, hit) in log.iter().enumerate() {
        let answers = log.iter().filter(|other| other.ended.is_some_and(|ended| ended <= hit.arrived)).count();
        let in_flight = number + 1 - answers;
        let places = 8.min(1 << answers.min(3));
        assert!(in_flight <= places, "{in_flight} in flight after {answers} answers");
    }
    assert_eq!(most_in_flight(&log), 8);
    assert!(log[1].arrived >= log[0].ended.unwrap());
}

#[test]
fn one_host_does_not_take_the_places_that_others_could_use() {
    let _alone = measuring();
    let greedy = answering_after(50);
    let others: Vec<_> = (0..3).map(|_| answering_after(50)).collect();
    let mut list = urls(&greedy, 120);
    list.extend((0..30).flat_map(|n| others.iter().map(move |site| site.url(&format!("/{n}")))));
    lycosa(["fetch", "-j", "8", "--host-concurrency", "8", "-i", "list"]).file("list", list.join("\n")).run().exits(0);
    // While the others have pages left each of the four has a quarter: 2 of the 8 places.
    let others_done = others.iter().map(|site| site.log().last().unwrap().arrived).min().unwrap();
    let others_earned = others.iter().map(|site| site.log()[2].arrived).max().unwrap();
    let greedy_then: Vec<_> =
        greedy.log().into_iter().filter(|hit| hit.arrived > others_earned && hit.arrived < others_done).collect();
    assert!(greedy_then.len() > 8, "they were asked at the same time");
    // What was in flight when the last of them became ready may end above the quarter.
    assert!(most_in_flight(&greedy_then[6..]) <= 2, "{}", most_in_flight(&greedy_then[6..]));
    let after: Vec<_> = greedy.log().into_iter().filter(|hit| hit.arrived > others_done).collect();
    assert!(most_in_flight(&after) > 2, "alone it may have more");
}

#[test]
fn connections_are_kept_and_used_again() {
    let site = answering_after(2);
    fetch(&["--host-concurrency", "4"], &urls(&site, 200));
    assert!(site.connections() <= 6, "{} connections for 200 requests", site.connections());
}
