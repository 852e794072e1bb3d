//! What may stand on the command line, in a list and on standard input, and what becomes of each line.

use serde_json::{Value, json};

use crate::support::*;

fn plain() -> Site {
    Site::start(|_: &Request| html("<title>x</title>"))
}

fn of_line(records: &[Value], line: u64) -> &Value {
    let mut found = records.iter().filter(|record| record["line"] == line);
    let first = found.next().unwrap_or_else(|| panic!("no record of line {line}"));
    assert!(found.next().is_none(), "two records of line {line}");
    first
}

#[test]
fn every_line_of_a_list_ends_as_it_should() {
    let site = plain();
    let (a, host) = (site.url("/a"), site.host());
    let job = json!({"url": site.url("/job"), "id": "j1", "meta": {"k": [1, 2.50, null]}});
    let list = format!(
        "\u{feff}{a}\r\n# a comment\r\n\r\n{a}\r\n{host}/bare\n{job}\n{{\"url\": \n{{\"url\":\"{a}\",\"colour\":1}}\n\
         http://\nftp://example.org/\n   \n{a}#part"
    );
    let run = lycosa(["fetch", "--retries", "0", "-i", "list"]).file("list", list).run().exits(1);
    let records = run.records();
    assert_eq!(records.len(), 9);
    for line in [1, 4, 12] {
        let record = of_line(&records, line);
        assert_eq!((field(record, "outcome"), field(record, "url")), ("ok", a.as_str()));
    }
    assert_eq!(field(of_line(&records, 1), "input"), a, "neither the mark nor the line's end belongs to it");
    assert_eq!(field(of_line(&records, 12), "input"), format!("{a}#part"));

    let bare = of_line(&records, 5);
    assert_eq!(field(bare, "url"), format!("https://{host}/bare"));
    assert_eq!(field(bare, "input"), format!("{host}/bare"));
    assert_eq!(field(bare, "outcome"), "failed", "the server does not speak TLS");
    assert!(run.stderr.contains("https://"), "a notice names what was made of the bare host: {}", run.stderr);

    let job = of_line(&records, 6);
    assert_eq!((field(job, "outcome"), field(job, "id")), ("ok", "j1"));
    assert_eq!(job["meta"], json!({"k": [1, 2.50, null]}));
    assert!(run.text().contains(r#""meta":{"k":[1,2.5"#), "meta comes back unchanged");

    for line in [7, 8, 9, 10] {
        let record = of_line(&records, line);
        assert_eq!(field(record, "outcome"), "failed", "line {line}");
        assert_eq!(record["error"]["kind"], "invalid_input", "line {line}");
        assert_eq!(record["error"]["stage"], "input", "line {line}");
        assert_eq!(record["requests"], json!([]), "line {line}");
    }
    let asked = site.targets();
    assert_eq!(asked, ["/a", "/a", "/a", "/job"], "a repeated line is asked again, without --unique");
}

#[test]
fn a_job_without_an_id_gets_one_and_a_number_comes_back_as_text() {
    let site = plain();
    let lines = [json!({"url": site.url("/1"), "id": 17}).to_string(), site.url("/2"), site.url("/3")];
    let records = lycosa(["fetch"]).lines(lines).run().exits(0).records();
    assert_eq!(with_path(&records, "/1")["id"], "17");
    let (two, three) = (field(with_path(&records, "/2"), "id"), field(with_path(&records, "/3"), "id"));
    assert!(two.starts_with("r-") && three.starts_with("r-") && two != three, "{two} {three}");
}

#[test]
fn a_job_shapes_its_request() {
    let site = plain();
    let lines = [
        json!({"url": site.url("/put"), "method": "PUT", "body": "grüße", "headers": {"X-A": "1", "Content-Type": "text/x"}}),
        json!({"url": site.url("/json"), "json": {"a": [1]}}),
        json!({"url": site.url("/bytes"), "method": "POST", "body_base64": "AAH/"}),
        json!({"url": site.url("/delete"), "method": "DELETE"}),
    ];
    let lines = lines.map(|line| line.to_string());
    let records = lycosa(["fetch", "-H", "X-A: run", "-H", "X-B: run"]).lines(lines).run().exits(0).records();
    let log = site.log();
    let hit = |path: &str| log.iter().find(|hit| hit.target == path).unwrap();

    let put = hit("/put");
    assert_eq!((put.method.as_str(), put.body.as_slice()), ("PUT", "grüße".as_bytes()));
    assert_eq!(put.header("x-a"), Some("1"), "a job's header replaces the run's");
    assert_eq!(put.header("x-b"), Some("run"));
    assert_eq!(put.header("content-type"), Some("text/x"));
    assert_eq!(field(with_path(&records, "/put"), "method"), "PUT");

    let with_json = hit("/json");
    assert_eq!(with_json.method, "POST", "as with --json");
    assert_eq!(serde_json::from_slice::<Value>(&with_json.body).unwrap(), json!({"a": [1]}));
    assert_eq!(with_json.header("content-type"), Some("application/json"));

    assert_eq!(hit("/bytes").body, [0, 1, 255]);
    assert_eq!(hit("/delete").method, "DELETE");
}

#[test]
fn a_job_has_its_own_time() {
    let site = Site::start(|_: &Request| Answer::Hang);
    let line = json!({"url": site.url("/"), "timeout": "300ms"}).to_string();
    let record = lycosa(["fetch", "--retries", "0"]).lines([line]).run().exits(1).record();
    assert_eq!(record["error"]["kind"], "timeout");
}

#[test]
fn a_bad_key_of_a_job_names_the_key_and_keeps_id_and_meta() {
    let site = plain();
    let bad = json!({"url": site.url("/"), "id": "x", "meta": "m", "methd": "GET"}).to_string();
    let record = lycosa(["fetch"]).lines([bad]).run().exits(1).record();
    assert_eq!(record["error"]["kind"], "invalid_input");
    assert!(field(&record["error"], "message").contains("methd"), "{}", record["error"]);
    assert_eq!((field(&record, "id"), field(&record, "meta")), ("x", "m"));
    assert_eq!(site.hits(), 0);
}

#[test]
fn priority_goes_first_among_what_waits() {
    let site = Site::start(|_: &Request| html("").after_ms(30));
    let mut lines: Vec<_> = (0..60).map(|n| json!({"url": site.url(&format!("/low/{n}")), "priority": -1})).collect();
    lines.push(json!({"url": site.url("/high"), "priority": 9}));
    let list: Vec<_> = lines.iter().map(ToString::to_string).collect();
    lycosa(["fetch", "--host-concurrency", "1", "-i", "list"]).file("list", list.join("\n")).run().exits(0);
    let log = site.log();
    let place = log.iter().position(|hit| hit.target == "/high").unwrap();
    // Best effort: the host's next few were taken from the queue before the last line was read.
    assert!(place <= 20, "asked at place {place} of {}", log.len());
}

#[test]
fn bytes_that_are_no_text_are_a_broken_line() {
    let site = plain();
    let mut input = b"http://example.org/\xff\xfe\n".to_vec();
    input.extend(format!("{}\n", site.url("/ok")).bytes());
    let records = lycosa(["fetch"]).stdin(input).run().exits(1).records();
    assert_eq!(records.len(), 2);
    assert_eq!(of_line(&records, 1)["error"]["kind"], "invalid_input");
    assert_eq!(of_line(&records, 2)["outcome"], "ok");
}

#[test]
fn an_explicit_list_without_lines_is_an_empty_result() {
    for (format, expected) in [("jsonl", ""), ("json", "[]")] {
        for input in ["", "# nothing\n\n"] {
            let arguments = ["fetch", "--format", format, "-i", "empty"];
            let run = lycosa(arguments).file("empty", input).run().exits(0);
            assert_eq!(run.text().trim_end(), expected, "{format} {input:?}");
        }
    }
    let run = lycosa(["fetch", "-i", "-"]).stdin("").run().exits(0);
    assert_eq!(run.stdout, b"", "standard input may be named");
}

#[test]
fn no_url_at_all_is_a_usage_error() {
    for command in ["crawl", "fetch"] {
        for input in ["", "\n# nothing\r\n"] {
            let run = lycosa([command]).stdin(input).run().exits(2);
            assert!(run.stderr.contains("no URL given"), "{}", run.stderr);
            assert_eq!(run.stdout, b"");
        }
    }
}

#[test]
fn a_bad_argument_fetches_nothing() {
    let site = plain();
    for bad in ["http://", "ftp://example.org/", "http://[::1"] {
        let run = lycosa(["fetch", &site.url("/"), bad]).run().exits(2);
        assert!(run.stderr.contains(bad), "it names the argument: {}", run.stderr);
        assert_eq!(run.stdout, b"");
    }
    assert_eq!(site.hits(), 0);
}

#[test]
fn all_lists_are_opened_before_the_first_request() {
    let site = plain();
    let list = site.url("/");
    let run = lycosa(["fetch", "-i", "list", "-i", "missing.txt"]).file("list", list).run().exits(2);
    assert!(run.stderr.contains("missing.txt"), "{}", run.stderr);
    assert_eq!(site.hits(), 0);
}

#[test]
fn arguments_files_and_standard_input_add_up() {
    let site = plain();
    let arguments = ["fetch", &site.url("/argument"), "-i", "one", "-i", "-", "-i", "two"];
    let run = lycosa(arguments).file("one", site.url("/one")).file("two", site.url("/two")).lines([site.url("/in")]);
    assert_eq!(run.run().exits(0).records().len(), 4);
    assert_eq!(site.targets(), ["/argument", "/in", "/one", "/two"]);
}

#[test]
fn standard_input_is_left_alone_when_there_are_arguments() {
    let site = plain();
    lycosa(["fetch", &site.url("/argument")]).lines([site.url("/in")]).run().exits(0);
    assert_eq!(site.targets(), ["/argument"]);
}

#[test]
fn strict_input_checks_everything_first() {
    let site = plain();
    let good = [site.url("/1"), site.url("/2")];
    let run = lycosa(["fetch", "--strict-input"]).lines([&good[0], "http://", &good[1]]).run().exits(2);
    assert_eq!((run.stdout.as_slice(), site.hits()), (b"".as_slice(), 0));
    assert!(run.stderr.contains('2'), "it names the line: {}", run.stderr);
    let run = lycosa(["fetch", "--strict-input"]).lines(&good).run().exits(0);
    assert_eq!((run.records().len(), site.hits()), (2, 2));
}

#[test]
fn unique_asks_each_canonical_url_once() {
    let site = plain();
    let lines = ["/a", "/a#x", "/b?x=1&y=2", "/b?y=2&x=1", "/a"].map(|path| site.url(path));
    let records = lycosa(["fetch", "--unique"]).lines(&lines).run().exits(0).records();
    assert_eq!(site.targets(), ["/a", "/b?x=1&y=2", "/b?y=2&x=1"], "the query is not touched");
    assert_eq!(records.len(), 5);
    for line in [2, 5] {
        let record = of_line(&records, line);
        assert_eq!((field(record, "outcome"), field(record, "skip_reason")), ("skipped", "duplicate"));
        assert_eq!(record["requests"], json!([]));
    }
}

#[test]
fn a_repeated_seed_of_a_crawl_is_a_duplicate() {
    let site = plain();
    let records = lycosa(["crawl"]).lines([site.url("/"), site.url("/#again")]).run().exits(0).records();
    let counts = outcome_counts(&records);
    assert_eq!((counts["ok"], counts["skipped: duplicate"]), (1, 1));
    assert_eq!(site.targets(), ["/"]);
}

#[test]
fn records_come_before_the_input_ends() {
    let site = plain();
    let mut running = lycosa(["fetch"]).open_stdin().spawn();
    running.write(&format!("{}\n", site.url("/first")));
    assert!(running.wait_for_lines(1)[0].contains("/first"));
    running.write(&site.url("/second"));
    running.close_stdin();
    let records = running.finish().exits(0).records();
    assert_eq!(records.len(), 2, "the last line needs no end");
}

#[test]
fn an_endless_input_is_read_lazily() {
    let site = plain();
    let url = site.url("/x");
    let lines: Vec<_> = (0..300_000).map(|n| format!("{url}?{n}")).collect();
    let run = lycosa(["fetch", "--max-pages", "500"]).lines(lines).run().exits(4);
    assert_eq!(run.records().len(), 500);
    assert_eq!(site.hits(), 500, "no more is asked than is needed");
    assert!(run.peak_kib < 60 * 1024, "{} KiB", run.peak_kib);
}
