//! The bundled demonstration: it needs nothing but the binary, and explains what was seen.

use std::collections::BTreeSet;

use crate::support::*;

#[test]
fn the_demo_shows_every_kind_of_host_and_exits_0() {
    assert!(lycosa(["demo", "--help"]).run().exits(0).text().contains("lycosa"));
    let run = lycosa(["demo"]).run().exits(0);
    let records = run.records();
    assert!(records.len() > 30, "{} records", records.len());
    for record in &records {
        let errors: Vec<_> = record_schema().iter_errors(record).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{record}");
    }
    let hosts: BTreeSet<_> = records.iter().map(|record| field(record, "host_key")).collect();
    assert!(hosts.len() >= 7, "{hosts:?}");
    let counts = outcome_counts(&records);
    for kind in ["ok", "failed", "skipped: robots", "skipped: breaker_open"] {
        assert!(counts.contains_key(kind), "{kind} in {counts:?}");
    }
    let kinds: BTreeSet<_> = records.iter().flat_map(requests_of).collect();
    for kind in ["page", "retry", "probe", "robots"] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
    assert!(run.stderr.contains("breaker"), "{}", run.stderr);
    for host in hosts {
        assert!(run.stderr.contains(host), "the summary says what was seen at {host}: {}", run.stderr);
    }
}

#[test]
fn the_demo_is_polite_by_its_own_records() {
    let records = lycosa(["demo"]).run().exits(0).records();
    // No host saw more at once than the default of a crawl allows.
    let mut steps: Vec<(String, String, i32)> = Vec::new();
    for request in records.iter().flat_map(|record| record["requests"].as_array().unwrap()) {
        let noted: jiff::Timestamp = field(request, "started_at").parse().unwrap();
        let micros = (request["ms"].as_f64().unwrap() * 1000.0).floor();
        #[expect(clippy::cast_possible_truncation, reason = "a request of the demo takes seconds at most")]
        let end = noted + jiff::SignedDuration::from_micros(micros as i64);
        // Starts are cut to a millisecond: only what lies after the next one was certainly under way.
        let start = noted + jiff::SignedDuration::from_millis(1);
        if start >= end {
            continue;
        }
        let host = field(request, "host_key").to_owned();
        steps.push((host.clone(), format!("{start:.6}"), 1));
        steps.push((host, format!("{end:.6}"), -1));
    }
    steps.sort();
    let mut now = std::collections::BTreeMap::new();
    for (host, at, step) in steps {
        let count = now.entry(host.clone()).or_insert(0);
        *count += step;
        assert!(*count <= 4, "{count} at once at {host}, {at}");
    }
}
