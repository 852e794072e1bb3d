//! Jobs with mirrors: the first to answer makes the record, and the others are let go at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

/// How long the fast mirror takes.
const FAST: u64 = 150;

fn fast() -> Site {
    Site::start(|_| text("it is here").after_ms(FAST))
}

fn hanging() -> Site {
    Site::start(|_| Answer::Hang)
}

/// A mirror that refuses connections.
fn dead() -> Site {
    let site = Site::start(|_| status(200));
    site.die();
    site
}

fn line(mirrors: &[&Site]) -> String {
    mirrors.iter().map(|site| site.url("/f")).collect::<Vec<_>>().join(" ")
}

/// Outcome of each mirror, and whether it was asked.
fn costs(record: &Value) -> Vec<(String, bool)> {
    let mirrors = record["mirrors"].as_array().expect("a job with mirrors");
    mirrors.iter().map(|mirror| (field(mirror, "outcome").to_owned(), !mirror["total_ms"].is_null())).collect()
}

fn cost(outcome: &str, asked: bool) -> (String, bool) {
    (outcome.to_owned(), asked)
}

#[test]
fn the_record_comes_at_the_speed_of_the_fast_one() {
    let _alone = measuring();
    let (slow, dead, fast) = (hanging(), dead(), fast());
    let took = |run: &Run| run.record()["total_ms"].as_f64().unwrap();
    let alone = took(&lycosa(["fetch", &fast.url("/f")]).run().exits(0));
    let mirrors = line(&[&slow, &dead, &fast]);
    let race = |more: &[&str]| lycosa(["fetch", "--mirrors", "-i", "-"]).args(more).lines([&mirrors]).run();
    let all = race(&["--race", "all"]).exits(0);
    assert_eq!(field(&all.record(), "url"), fast.url("/f"));
    assert_eq!(costs(&all.record()), [cost("skipped", true), cost("skipped", true), cost("ok", true)]);
    assert!(took(&all) < 3.0 * alone, "{} ms, and {alone} alone", took(&all));
    // Without the race the slow one is waited for until its time is up.
    let waited = race(&["--hedge-after", "none", "--timeout", "2s", "--retries", "0"]).exits(0);
    assert_eq!(costs(&waited.record()), [cost("failed", true), cost("failed", true), cost("ok", true)]);
    assert!(took(&waited) > 3.0 * took(&all), "{} ms, and {} in a race", took(&waited), took(&all));
    let hedged = race(&["--hedge-after", "100ms"]).exits(0);
    assert!(took(&hedged) < took(&waited) / 2.0, "{} ms, and {} without", took(&hedged), took(&waited));
}

#[test]
fn the_losers_connections_are_closed_at_once() {
    let (slow, drip, fast) = (hanging(), Site::start(|_| Answer::Drip(Duration::from_millis(20))), fast());
    let mut run =
        lycosa(["fetch", "--mirrors", "--race", "all", "--summary", "summary.json", "-i", "-"]).open_stdin().spawn();
    run.write(&format!("{}\n", line(&[&slow, &drip, &fast])));
    let told = run.wait_for_lines(1);
    let record: Value = serde_json::from_str(&told[0]).unwrap();
    // The run goes on, since its input does: it is not its end that closes them.
    run.wait_until("both losers are let go", || {
        [&slow, &drip].iter().all(|site| site.log().iter().all(|hit| hit.ended.is_some()) && site.hits() == 1)
    });
    assert!(run.is_running());
    assert_eq!(costs(&record), [cost("skipped", true), cost("skipped", true), cost("ok", true)]);
    let wire: Vec<u64> =
        record["mirrors"].as_array().unwrap().iter().map(|m| m["wire_size"].as_u64().unwrap()).collect();
    assert_eq!((wire[0], wire[2]), (0, 10));
    assert!(wire[1] > 0 && wire[1] < 1000, "what has dripped until then: {}", wire[1]);
    // Their places are free again: as many races as there are places, one after the other.
    for _ in 0..3 {
        run.write(&format!("{}\n", line(&[&slow, &drip, &fast])));
    }
    assert_eq!(run.wait_for_lines(4).len(), 4);
    run.close_stdin();
    let run = run.finish().exits(0);
    assert_eq!((run.summary().records(), run.summary().number("left")), (4, 0));
    assert_eq!(fast.hits(), 4);
    assert_eq!(
        urls_asked(&run.records()).len(),
        slow.hits() + drip.hits() + fast.hits(),
        "losers stand in the records"
    );
}

#[test]
fn a_mirror_that_answers_in_time_is_the_only_one_asked() {
    let (first, second) = (Site::start(|_| text("")), fast());
    let lines = (0..20).map(|n| format!("{} {}", first.url(&format!("/{n}")), second.url(&format!("/{n}"))));
    let run = lycosa(["fetch", "--mirrors", "--hedge-after", "30s", "-i", "-"]).lines(lines).run().exits(0);
    assert!(run.records().iter().all(|record| costs(record) == [cost("ok", true), cost("skipped", false)]));
    assert_eq!((first.hits(), second.hits()), (20, 0));
}

#[test]
fn jobs_lines_and_arguments_name_mirrors() {
    let (dead, fast) = (dead(), fast());
    let (one, two) = (dead.url("/f"), fast.url("/f"));
    let quick = ["--retries", "0"];
    let check = |record: &Value| {
        all_keys_present(record, &[]);
        let errors: Vec<_> = record_schema().iter_errors(record).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0]);
        assert_eq!((field(record, "url"), field(record, "host_key")), (&*two, fast.host()));
        assert_eq!(field(record, "input"), format!("{one} {two}"));
        let urls: Vec<_> = record["mirrors"].as_array().unwrap().iter().map(|mirror| field(mirror, "url")).collect();
        assert_eq!(urls, [&one, &two]);
        assert_eq!(requests_of(record), ["race", "race"]);
    };
    let job = json!({ "mirrors": [one, two], "id": 7, "meta": { "a": 1 } }).to_string();
    let run = lycosa(["fetch", "-i", "-"]).args(quick).lines([&job]).run().exits(0);
    check(&run.record());
    assert_eq!((field(&run.record(), "id"), &run.record()["meta"]), ("7", &json!({ "a": 1 })));
    let run = lycosa(["fetch", "--mirrors", "-i", "-"]).args(quick).lines(["# x", &format!("{one}\t {two}")]).run();
    check(&run.exits(0).record());
    check(&lycosa(["fetch", "--mirrors", &one, &two]).args(quick).run().exits(0).record());
    // Without the flag they are two URLs, and a line of two is none.
    assert_eq!(lycosa(["fetch", &one, &two]).args(quick).run().exits(1).records().len(), 2);
    let run = lycosa(["fetch", "-i", "-"]).lines([format!("{one} {two}")]).run().exits(1);
    assert_eq!(run.record()["error"]["kind"], "invalid_input");
    assert!(run.record()["mirrors"].is_null());
}

#[test]
fn what_is_wrong_with_mirrors_is_told() {
    for (job, message) in [
        (r#"{"url":"http://h/","mirrors":["http://i/"]}"#, "both 'url' and 'mirrors'"),
        (r#"{"mirrors":[]}"#, "'mirrors' is empty"),
        (r#"{"mirrors":["ftp://h/"]}"#, "scheme 'ftp'"),
        (r#"{"mirror":["http://h/"]}"#, "did you mean 'mirrors'?"),
    ] {
        let record = lycosa(["fetch", "-i", "-"]).lines([job]).run().exits(1).record();
        assert_eq!(record["error"]["kind"], "invalid_input");
        assert!(field(&record["error"], "message").contains(message), "{record}");
    }
    let run = lycosa(["fetch", "--race", "both", "http://h/"]).run().exits(2);
    assert!(run.stderr.contains("--race: 'both' is not one of hedge, all"), "{}", run.stderr);
    let run = lycosa(["fetch", "--hedge-after", "p96", "http://h/"]).run().exits(2);
    assert!(run.stderr.contains("did you mean 'p95'?"), "{}", run.stderr);
}

/// Every loser stands in the record, and if all lose, the first speaks for them.
#[test]
fn if_all_mirrors_fail_the_first_is_the_record() {
    let (missing, broken) = (Site::start(|_| status(404)), Site::start(|_| status(500)));
    let run = lycosa(["fetch", "--mirrors", "--retries", "1", "-i", "-"]).lines([line(&[&missing, &broken])]).run();
    let record = run.exits(1).record();
    assert_eq!((field(&record, "url"), record["status"].as_u64()), (&*missing.url("/f"), Some(404)));
    assert_eq!(costs(&record), [cost("http_error", true), cost("http_error", true)]);
    assert_eq!(requests_of(&record), ["race", "race", "retry"]);
    assert_eq!((missing.hits(), broken.hits()), (1, 2));
}

#[test]
fn a_signal_in_the_middle_of_a_race() {
    let (slow, other) = (hanging(), hanging());
    for (signals, left) in [(1, 1), (2, 1)] {
        let mut run = lycosa(["fetch", "--mirrors", "--race", "all", "--grace", "300ms", "--summary", "summary.json"])
            .args([&slow.url("/f"), &other.url("/f")])
            .spawn();
        let before = slow.hits().max(other.hits());
        run.wait_until("both are asked", || slow.hits() > before && other.hits() > before);
        for _ in 0..signals {
            run.signal("INT");
        }
        let run = run.finish().exits(130);
        assert_eq!((run.records().len(), run.summary().number("left")), (0, left));
    }
}
