//! `lycosa audit`: finds every kind of violation that is planted in records, and none in what a run did.

use serde_json::{Value, json};

use crate::support::*;

/// A record with requests: (host, milliseconds of its start, how long it took).
fn planted(run: &str, seq: u64, requests: &[(&str, i64, f64)]) -> String {
    let requests: Vec<_> = requests
        .iter()
        .map(|(host, start, ms)| {
            let started_at =
                format!("2026-11-20T10:{:02}:{:02}.{:03}Z", start / 60_000, start / 1000 % 60, start % 1000);
            json!({ "url": format!("http://{host}/{start}"), "host_key": host, "kind": "page", "started_at": started_at,
                "ms": ms, "status": 200 })
        })
        .collect();
    let host = requests[0]["host_key"].clone();
    let record = json!({ "schema": 1, "seq": seq, "run": run, "host_key": host, "remote_addr": "192.0.2.7:80",
        "proxy": null, "requests": requests, "body": "x".repeat(100) });
    record.to_string()
}

fn audit(files: &[(&str, String)], limits: &[&str]) -> Run {
    let command = lycosa(["audit", "--format", "json"]).args(limits.iter().copied());
    files.iter().fold(command, |command, (name, text)| command.file(name, text).arg(*name)).run()
}

fn violations(run: &Run) -> Vec<Value> {
    let told: Value = serde_json::from_str(run.text()).unwrap();
    told["violations"].as_array().unwrap().clone()
}

/// Two files: the first as lines, the second as an array. Together they break what each alone keeps.
fn two_workers() -> [(&'static str, String); 2] {
    let first: Vec<_> = (0..6_i64).map(|n| planted("one", n.cast_unsigned(), &[("h.test", n * 1000, 200.0)])).collect();
    let second: Vec<_> =
        (0..2_i64).map(|n| planted("two", n.cast_unsigned(), &[("h.test", 4500 + n * 1000, 100.0)])).collect();
    [("a.jsonl", first.join("\n") + "\n"), ("b.json", format!("[\n{}\n]\n", second.join(",\n")))]
}

#[test]
fn a_delay_of_a_host_without_a_record_is_told() {
    let both = two_workers();
    let run = audit(&both, &["--crawl-delay", "h.tset=1ms"]).exits(0);
    assert!(run.stderr.contains("'h.tset'") && run.stderr.contains("'h.test'"), "{}", run.stderr);
    assert!(run.text().contains("\"hosts\": 1,"), "{}", run.text());
    assert_eq!(audit(&both, &["--crawl-delay", "H.test=1ms"]).exits(0).stderr, "");
    for (typed, meant) in [
        ("http://h.test/=1s", "'h.test'"),
        ("https://h.test:8443=1s", "'h.test:8443'"),
        ("h.test:80=1s", "'h.test'"),
        ("h.test:443=1s", "'h.test'"),
        ("h.test/x=1s", "'h.test'"),
    ] {
        let run = audit(&both, &["--crawl-delay", typed]).exits(2);
        assert!(run.stderr.contains(&format!("did you mean {meant}?")), "{typed}: {}", run.stderr);
    }
    // The one place where such a port belongs to the key.
    let strange = [("a.jsonl", planted("one", 0, &[("h.test:80", 0, 1.0)]) + "\n")];
    assert_eq!(audit(&strange, &["--crawl-delay", "h.test:80=1s"]).exits(0).stderr, "");
}

#[test]
fn a_file_without_a_record_is_told() {
    let full = two_workers();
    for empty in ["", "\n", "[]"] {
        let files = [full[0].clone(), ("nothing.jsonl", empty.to_owned())];
        let run = audit(&files, &["-j", "9"]).exits(0);
        assert!(run.stderr.contains("no record in nothing.jsonl"), "{}", run.stderr);
    }
    assert_eq!(audit(&full, &["-j", "9"]).exits(0).stderr, "");
}

#[test]
fn each_limit_that_two_workers_break_together_is_found() {
    let both = two_workers();
    for (limit, subject, starts) in [
        (["--host-rate", "1/s"], "h.test", ("10:00:03.000Z", "10:00:04.500Z")),
        (["--delay", "750ms"], "h.test", ("10:00:04.000Z", "10:00:04.500Z")),
    ] {
        for alone in &both {
            audit(std::slice::from_ref(alone), &limit).exits(0);
        }
        let run = audit(&both, &limit).exits(1);
        let found = violations(&run);
        assert_eq!((found[0]["limit"].as_str(), field(&found[0], "subject")), (Some(&limit[0][2..]), subject));
        assert!(field(&found[0]["first"], "started_at").ends_with(starts.0), "{found:#?}");
        assert!(field(&found[0]["second"], "started_at").ends_with(starts.1), "{found:#?}");
    }
    let found = violations(&audit(&both, &["--delay", "750ms"]).exits(1));
    assert_eq!((field(&found[0]["first"], "file"), &found[0]["first"]["line"]), ("a.jsonl", &json!(5)));
    assert_eq!((field(&found[0]["second"], "file"), &found[0]["second"]["line"]), ("b.json", &json!(1)));
    assert_eq!(field(&found[0]["second"], "url"), "http://h.test/4500");
    // A limit of runs is judged for each run.
    audit(&both, &["--rate", "1/s", "-j", "1"]).exits(0);
}

#[test]
fn each_limit_of_concurrency_is_found() {
    let line = |requests: &[_]| [("a.jsonl", planted("one", 0, requests))];
    let overlap = line(&[("h.test", 0, 500.0), ("h.test", 400, 10.0)]);
    let hosts = line(&[("h.test", 0, 500.0), ("g.test", 400, 10.0)]);
    for (files, limit, code) in [
        (&overlap, ["--host-concurrency", "1"], 1),
        (&hosts, ["--host-concurrency", "1"], 0),
        (&hosts, ["--concurrency", "1"], 1),
        (&hosts, ["--concurrency", "2"], 0),
        (&overlap, ["--ip-concurrency", "1"], 1),
        (&overlap, ["--crawl-delay", "h.test=100ms"], 1),
        (&overlap, ["--crawl-delay", "g.test=100ms"], 0),
    ] {
        let run = audit(files, &limit).exits(code);
        assert_eq!(violations(&run).len(), usize::try_from(code).unwrap(), "{limit:?}");
    }
    // The address of a host is known from any of its records.
    let known =
        [planted("one", 0, &[("h.test", 0, 500.0), ("g.test", 400, 10.0)]), planted("one", 1, &[("g.test", 900, 1.0)])];
    let run = audit(&[("a", known.join("\n"))], &["--ip-concurrency", "1"]).exits(1);
    assert_eq!(violations(&run)[0]["subject"], "192.0.2.7");
}

#[test]
fn what_was_found_is_told_in_words() {
    let [(_, lines), _] = two_workers();
    let run = lycosa(["audit", "-", "--host-rate", "30/m"]).stdin(lines).run().exits(1);
    let text = run.text();
    assert!(
        text.starts_with("host-rate: h.test was asked 2 times within 1.000 s\n  standard input:1 seq 0: 2026-"),
        "{text}"
    );
    assert!(text.ends_with("6 requests of 6 records, 1 host and 1 run: 5 violations of --host-rate 30/m\n"), "{text}");
}

#[test]
fn what_cannot_be_judged_is_exit_code_2() {
    let [(_, lines), (_, array)] = two_workers();
    let broken = |text: &str| lycosa(["audit", "a", "--delay", "1s"]).file("a", text).run();
    for text in ["{\"a\":1}\n", "not JSON\n", "[1]", "[{\"requests\":[]}] 2"] {
        let run = broken(text).exits(2);
        assert!(run.stderr.contains("a:1: not a record") || run.stderr.contains("a:2: not a record"), "{}", run.stderr);
    }
    lycosa(["audit", "missing", "--delay", "1s"]).run().exits(2);
    lycosa(["audit", "--delay", "1s"]).run().exits(2);
    let run = lycosa(["audit", "a"]).file("a", &lines).run().exits(2);
    assert!(run.stderr.contains("no limit is stated"), "{}", run.stderr);
    let run = lycosa(["audit", "a", "--host-rate", "5"]).file("a", &lines).run().exits(2);
    assert!(run.stderr.contains("--host-rate: '5' is not a rate"), "{}", run.stderr);
    // What a killed run leaves is judged as far as it goes.
    for (torn, code) in [(&lines[..lines.len() - 30], 1), (&array[..array.len() - 30], 0)] {
        let run = broken(torn).exits(code);
        assert!(run.stderr.contains("ends in the middle of a record"), "{}", run.stderr);
    }
    assert!(broken("").exits(0).text().starts_with("0 requests"));
}

#[test]
fn runs_under_mixed_limits_keep_them() {
    let _alone = measuring();
    let sites: Vec<_> = (0..30)
        .map(|number| {
            Site::start(move |request: &Request| match request.nth {
                // Refusals and failures make further requests, which count too.
                0 if request.total % 11 == 3 => status(429).header("Retry-After", "0"),
                0 if request.total % 13 == 5 => redirect(302, "/elsewhere"),
                _ => html("").after_ms(number % 4),
            })
        })
        .collect();
    let list = |each: usize| -> Vec<_> {
        (0..each).flat_map(|page| sites.iter().map(move |site| site.url(&format!("/{page}")))).collect()
    };
    let mut control = Vec::new();
    for (limits, each) in [
        (&["--host-rate", "20/s", "-j", "16"][..], 25),
        (&["--rate", "300/s", "--host-concurrency", "2"], 20),
        (&["--delay", "20ms", "-j", "40"], 20),
    ] {
        let fetched = lycosa(["fetch"]).args(limits.iter().copied()).lines(list(each)).run().exits(0);
        assert_eq!(fetched.records().len(), 30 * each);
        let judged = lycosa(["audit", "-"]).args(limits.iter().copied()).stdin(fetched.stdout.clone()).run();
        assert!(judged.text().contains("no violation of"), "{}", judged.text());
        judged.exits(0);
        control = fetched.stdout;
    }
    for broken in [["--host-rate", "5/s"], ["--delay", "40ms"], ["-j", "1"], ["--rate", "50/s"]] {
        lycosa(["audit", "-"]).args(broken).stdin(control.clone()).run().exits(1);
    }
}
