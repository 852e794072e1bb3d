//! Target of fuzzing for records that are judged.

use std::fs;
use std::time::Duration;

use lycosa::model::units::parse_rate;
use lycosa::policy::audit::{Limits, judge};
use tempfile::TempDir;

use super::read::Ledger;
use super::sentence;
use crate::fuzzing::target::{Target, contents};

/// Records, as lines or as an array.
pub const AUDIT: Target = Target { run: audit, words: WORDS, seeds, runs: 1_500 };

const WORDS: &[&[u8]] = &[
    b"{\"requests\":[",
    b"{\"url\":\"http://a/\",",
    b"\"host_key\":\"a\",",
    b"\"kind\":\"page\",",
    b"\"started_at\":\"",
    b"\"ms\":",
    b"\"status\":200}",
    b"]}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"2026-11-20T12:00:00.000Z",
    b"-009999-01-01T00:00:00Z",
    b"9999-12-30T22:00:00Z",
    b"1e300",
    b"-1",
    b"null",
    b"0.5",
    b"18446744073709551615",
    b"\"run\":\"r\",",
    b"\"seq\":1,",
    b"\"remote_addr\":\"[::1]:80\",",
    b"\"proxy\":null,",
    b"\\u0000",
    b"\xff",
];

fn seeds() -> Vec<Vec<u8>> {
    let request = |host: &str, at: &str, ms: &str| {
        format!(
            r#"{{"url":"http://{host}/","host_key":"{host}","kind":"page","started_at":"2026-11-20T12:00:{at}Z","ms":{ms},"status":200}}"#
        )
    };
    let record = |requests: &[String]| {
        format!(
            r#"{{"run":"r","seq":1,"host_key":"a","remote_addr":"127.0.0.1:80","requests":[{}]}}"#,
            requests.join(",")
        )
    };
    let (one, two) = (request("a", "00.000", "5.5"), request("a", "00.003", "1e3"));
    let (three, four) = (request("b", "01", "0"), request("a", "00.004", "700"));
    let mut seeds = vec![
        [record(&[one.clone(), two.clone()]), record(std::slice::from_ref(&three)), record(std::slice::from_ref(&four))].join("\n").into_bytes(),
        format!(" [{},\n{}]", record(&[one, three]), record(&[two, four])).into_bytes(),
        br#"{"requests":[{"url":"http://a/","host_key":"a","kind":"page","started_at":"-009999-01-02T01:59:59Z","ms":1e300,"status":null}]}"#.to_vec(),
    ];
    seeds.extend(contents("fixtures/sites/manual").into_iter().filter(|file| file.starts_with(b"{")));
    seeds
}

thread_local! {
    /// Made once: the file in it is another one each time.
    static PLACE: TempDir = tempfile::tempdir().expect("a directory for temporary files");
}

fn audit(input: &[u8]) {
    let path = PLACE.with(|folder| folder.path().join("records.jsonl"));
    fs::write(&path, input).expect("a file can be written");
    let Ok(mut ledger) = Ledger::read(std::slice::from_ref(&path)) else { return };
    let mut requests = std::mem::take(&mut ledger.requests);
    for request in &requests {
        let told = ledger.told(request).expect("what was written is read");
        assert!(told.file.ends_with("records.jsonl"));
        assert!(told.line > 0 && told.line <= ledger.records.max(input.len() as u64));
    }
    let limits = Limits {
        concurrency: Some(1),
        host_concurrency: Some(1),
        ip_concurrency: Some(1),
        rate: parse_rate("1/s").ok(),
        host_rate: parse_rate("1/m").ok(),
        delay: Duration::from_millis(100),
        host_delays: vec![(0, Duration::from_secs(1))],
        tolerance: Duration::ZERO,
    };
    let before = requests.len();
    let found = judge(&mut requests, &limits);
    assert_eq!(requests.len(), before, "nothing is repeated within one file");
    for violation in &found {
        assert!(violation.first.started <= violation.second.started, "{violation:?}");
        assert!(!sentence(violation, &ledger).is_empty());
    }
}
