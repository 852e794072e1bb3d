//! The time of one URL, with all its attempts and waits.

use std::time::Duration;

use serde_json::Value;

use crate::support::*;

fn is_late(record: &Value, stage: &str) -> bool {
    let error = &record["error"];
    field(record, "outcome") == "failed" && field(error, "kind") == "timeout" && field(error, "stage") == stage
}

#[test]
fn a_url_that_waits_too_long_in_its_queue_ends_there() {
    let _alone = measuring();
    let site = Site::start(|_| text(""));
    let urls: Vec<String> = (0..12).map(|n| site.url(&format!("/{n}"))).collect();
    let run =
        |more: &[&str]| lycosa(["fetch", "--host-rate", "5/s", "--fail-on", "never"]).args(more).args(&urls).run();
    let limited = run(&["--url-deadline", "1s"]).exits(0).records();
    let (ok, late): (Vec<_>, Vec<_>) = limited.iter().partition(|record| field(record, "outcome") == "ok");
    assert!((3..=6).contains(&ok.len()), "five a second: {}", ok.len());
    assert!(late.iter().all(|record| is_late(record, "queue")), "{late:?}");
    assert!(late.iter().all(|record| requests_of(record).is_empty()));
    assert_eq!(site.hits(), ok.len(), "what has ended is not asked any more");
    assert_eq!(outcome_counts(&run(&[]).exits(0).records())["ok"], 12, "without it all are waited for");
}

#[test]
fn a_url_in_flight_ends_with_its_connection() {
    let (hanging, dripping) = (Site::start(|_| Answer::Hang), Site::start(|_| Answer::Drip(Duration::from_millis(10))));
    let mut run = lycosa(["fetch", "--url-deadline", "400ms", "--retries", "9", "-i", "-"]).open_stdin().spawn();
    run.write(&format!("{}\n{}\n", hanging.url("/head"), dripping.url("/body")));
    run.wait_for_lines(2);
    run.wait_until("both connections are closed", || {
        [&hanging, &dripping].iter().all(|site| site.log().iter().all(|hit| hit.ended.is_some()) && site.hits() == 1)
    });
    run.close_stdin();
    let records = run.finish().exits(1).records();
    assert!(is_late(with_path(&records, "/head"), "head"), "{records:?}");
    let body = with_path(&records, "/body");
    assert!(is_late(body, "body") && body["status"] == 200, "{body}");
    assert!(body["wire_size"].as_u64() > Some(0) && body["truncated"] == true, "{body}");
    for record in &records {
        assert_eq!((requests_of(record), record["attempts"].as_u64()), (vec!["page"], Some(1)));
        assert!(record_schema().is_valid(record), "{record}");
    }
}

#[test]
fn the_waits_between_attempts_count() {
    let site = Site::start(|_| status(503).header("Retry-After", "60"));
    let record = lycosa(["fetch", "--url-deadline", "1s", &site.url("/")]).run().exits(1).record();
    assert!(is_late(&record, "queue"), "{record}");
    assert_eq!((site.hits(), requests_of(&record).len()), (1, 1));
}
