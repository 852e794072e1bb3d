//! What records and bodies are handed to: commands (`--exec`, `--pipe`), and files (`--save-bodies`, `--media-type`).

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::*;

/// A site of so many pages behind its root.
fn pages(count: usize) -> Site {
    Site::start(move |request| match request.path() {
        "/" => html(index((1..count).map(|page| format!("/{page}")))),
        "/robots.txt" => status(404),
        _ => html("<title>t</title>"),
    })
}

/// A program that runs this text of a shell, in a file that the run's own directory has.
fn script(command: Command, name: &str, text: &str) -> Command {
    command.file(name, format!("#!/bin/sh\n{text}\n"))
}

/// The words that run it: a file that a test has just written may not be started by its name while others fork.
fn sh(name: &str) -> String {
    format!("/bin/sh {name}")
}

fn counts(run: &Run, name: &str) -> (Value, Value) {
    let summary = &run.summary().0["commands"][name];
    (summary["records"].clone(), summary["failed"].clone())
}

fn with_summary(arguments: &[&str]) -> Command {
    lycosa(arguments.iter().copied()).args(["--summary", "summary.json"])
}

#[test]
fn a_command_is_run_for_each_record_with_the_record_on_its_input() {
    let site = pages(20);
    let command =
        script(with_summary(&["crawl", &site.url("/")]), "x.sh", "cat >> got.jsonl; echo \"$1|$2|$3\" >> words");
    let exec = format!("{} {{url}} '{{status}} $(touch evil);' {{body_file}}", sh("x.sh"));
    let run = command.args(["--exec", &exec]).run().exits(0);
    let given = run.records_of("got.jsonl");
    assert_eq!(given, run.records(), "the same records, in the same order");
    let words = std::fs::read_to_string(run.path("words")).unwrap();
    let expected: Vec<String> =
        given.iter().map(|record| format!("{}|200 $(touch evil);|", field(record, "url"))).collect();
    assert_eq!(words.lines().collect::<Vec<_>>(), expected);
    assert!(!run.path("evil").exists(), "no shell");
    assert_eq!(counts(&run, "exec"), (json!(20), json!(0)));
}

#[test]
fn commands_that_fail_are_counted_and_the_run_goes_on() {
    let site = pages(12);
    let command = script(
        with_summary(&["crawl", &site.url("/")]),
        "x.sh",
        "case \"$1\" in */[0-4]) exit 3;; esac; cat >/dev/null",
    );
    let run = command.args(["--exec", &format!("{} {{url}}", sh("x.sh"))]).run().exits(0);
    assert_eq!(run.records().len(), 12);
    assert_eq!(counts(&run, "exec"), (json!(12), json!(4)));
    assert_eq!(run.stderr.matches("exit status: 3").count(), 4, "{}", run.stderr);
    assert!(run.stderr.contains("exec: 12 records, 4 failed"), "{}", run.stderr);
}

#[test]
fn what_commands_print_goes_to_standard_error_line_by_line() {
    let site = pages(3);
    let text = "cat >/dev/null; echo out; echo err >&2; seq 1 3000; printf 'no end \\033[31m'";
    for flag in ["--exec", "--pipe"] {
        let command = script(with_summary(&["crawl", &site.url("/")]), "x.sh", text);
        let run = command.args([flag, &sh("x.sh")]).run().exits(0);
        assert_eq!(run.records().len(), 3, "standard output holds records and nothing else");
        let (name, times) = if flag == "--exec" { ("exec", 3) } else { ("pipe", 1) };
        for line in ["out", "err", "1", "3000", "no end \\u{1b}[31m"] {
            let line = format!("{name}: {line}");
            assert_eq!(run.stderr.lines().filter(|said| **said == line).count(), times, "{line}");
        }
        assert_eq!(counts(&run, name), (json!(3), json!(0)));
    }
}

#[test]
fn commands_that_read_nothing_lose_nothing() {
    let site = pages(30);
    for (flag, name) in [("--exec", "exec"), ("--pipe", "pipe")] {
        let run = with_summary(&["crawl", &site.url("/"), flag, "true"]).run().exits(0);
        assert_eq!(run.records().len(), 30, "{flag}");
        let (records, failed) = counts(&run, name);
        assert_eq!(records.as_u64().unwrap() + failed.as_u64().unwrap() * u64::from(name == "pipe"), 30, "{flag}");
        if name == "exec" {
            assert_eq!(failed, json!(0), "not to read is no failure");
        }
    }
}

#[test]
fn commands_that_never_end_are_ended() {
    let site = pages(2);
    let command = script(with_summary(&["crawl", &site.url("/")]), "x.sh", "echo $$ >> pids; sleep 1000");
    let run = command.args(["--exec-timeout", "300ms", "--exec", &sh("x.sh")]).run().exits(0);
    assert_eq!((run.records().len(), counts(&run, "exec")), (2, (json!(2), json!(2))));
    assert_all_gone(&run);
    // One that does not let itself be ended either.
    let command = script(
        with_summary(&["crawl", &site.url("/")]),
        "x.sh",
        "trap '' TERM; echo $$ >> pids; while :; do sleep 1; done",
    );
    let run = command.args(["--grace", "300ms", "--pipe", &sh("x.sh")]).run().exits(0);
    assert_eq!((run.records().len(), counts(&run, "pipe")), (2, (json!(2), json!(1))));
    assert_all_gone(&run);
}

fn assert_all_gone(run: &Run) {
    let pids = std::fs::read_to_string(run.path("pids")).unwrap();
    assert!(!pids.is_empty());
    for pid in pids.lines() {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{pid} lives: {state}");
    }
}

#[test]
fn a_pipe_gets_all_records_and_a_slow_one_slows_the_run() {
    let site = pages(60);
    let command = script(
        with_summary(&["crawl", &site.url("/"), "-o", "out.jsonl"]),
        "x.sh",
        "cat > piped.jsonl; sleep 1; echo done",
    );
    let run = command.args(["--pipe", &sh("x.sh")]).run().exits(0);
    assert_eq!(run.records_of("piped.jsonl"), run.records_of("out.jsonl"));
    assert_eq!(counts(&run, "pipe"), (json!(60), json!(0)));
    assert!(run.stderr.contains("pipe: done"), "its end is waited for");
    // A reader that stops holds the run, as one of standard output does, until its time is over.
    let big = Site::start(|request| match request.path() {
        "/" => html(index((0..400).map(|page| format!("/{page}")))),
        "/robots.txt" => status(404),
        _ => html("x".repeat(100_000)),
    });
    let arguments = ["crawl", "--with", "body", "-q", &big.url("/"), "--exec-timeout", "2s", "--grace", "300ms"];
    let run = with_summary(&arguments).args(["-o", "out.jsonl", "--pipe", "sleep 1000"]).run().exits(0);
    assert_eq!(run.records_of("out.jsonl").len(), 401, "the other output has all");
    let (records, failed) = counts(&run, "pipe");
    assert!(failed.as_u64().unwrap() >= 300 && records.as_u64().unwrap() < 100, "{records} {failed}");
}

#[test]
fn a_signal_ends_commands_too() {
    let site = pages(400);
    let command = script(
        with_summary(&["crawl", "--grace", "500ms", "--host-rate", "50/s", &site.url("/")]),
        "x.sh",
        "echo $$ >> pids; cat > /dev/null; sleep 1000",
    );
    let mut running = command.args(["--exec", &sh("x.sh"), "-o", "out.jsonl"]).spawn();
    let began = site.hits();
    running.wait_until("some pages are asked", || site.hits() > began + 5);
    running.signal("INT");
    let run = running.finish().exits(130);
    assert_all_gone(&run);
    assert!(!run.records_of("out.jsonl").is_empty());
}

#[test]
fn what_cannot_be_started_ends_with_2_and_a_strange_directory_names_no_commands() {
    let site = pages(1);
    for (arguments, told) in [
        (["--exec", "no-such-program-here {url}"], "there is no program 'no-such-program-here'"),
        (["--pipe", "sh 'open"], "a quote is not closed"),
        (["--media-type", "html"], "'html' is not a media type"),
    ] {
        let run = lycosa(["crawl", &site.url("/")]).args(arguments).run().exits(2);
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
    for line in ["exec = \"true\"", "pipe = \"true\"", "save-bodies = \"d\""] {
        lycosa(["crawl", &site.url("/")]).file("lycosa.toml", line).run().exits(2);
    }
    assert_eq!(site.hits(), 0);
    lycosa(["crawl", &site.url("/"), "--save-bodies", "no/such"]).run().exits(3);
}

#[test]
fn bodies_are_saved_where_their_records_say() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/a/Page", "/a/page", "/..%2f..%2fetc", "/picture.png", "/404", "/empty"])),
        "/robots.txt" => status(404),
        "/picture.png" => status(200).header("content-type", "image/png").bytes([0, 1, 2]),
        "/404" => status(404).header("content-type", "text/html").bytes("gone"),
        "/empty" => html(""),
        path => html(path),
    });
    let command = script(
        with_summary(&["crawl", &site.url("/"), "--save-bodies", "bodies"]),
        "x.sh",
        "test -z \"$1\" || cat \"$1\" > /dev/null",
    );
    let run = command.args(["--exec", &format!("{} {{body_file}}", sh("x.sh"))]).run().exits(0);
    assert_eq!(counts(&run, "exec"), (json!(7), json!(0)), "the file is there before its record");
    let records = run.records();
    let mut files = Vec::new();
    for record in &records {
        let Some(file) = record["body_file"].as_str() else {
            assert_eq!(with_path(&records, "/empty"), record, "only an empty body has no file");
            continue;
        };
        assert!(file.starts_with("bodies/127.") || file.starts_with("bodies/"), "{file}");
        assert!(!file.contains("..") && file.to_ascii_lowercase() == file, "{file}");
        assert_eq!(std::fs::metadata(run.path(file)).unwrap().len(), record["size"].as_u64().unwrap(), "{file}");
        files.push(file.to_owned());
    }
    files.sort();
    files.dedup();
    assert_eq!(files.len(), 6, "one for each, also where only case differs");
    let picture = field(with_path(&records, "/picture.png"), "body_file");
    assert_eq!(std::fs::read(run.path(picture)).unwrap(), [0, 1, 2]);
    assert_eq!(std::fs::metadata(run.path(picture)).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn media_types_choose_what_is_kept_and_not_what_is_followed() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/picture", "/text"])),
        "/robots.txt" => status(404),
        "/picture" => status(200).header("content-type", "image/png").bytes([0, 1, 2]),
        _ => text("t"),
    });
    let flags = ["--media-type", "image/*,text/plain", "--with", "body", "--save-bodies", "bodies"];
    let run = lycosa(["crawl", &site.url("/")]).args(flags).run().exits(0);
    let records = run.records();
    assert_eq!(records.len(), 3, "links of a page that is not kept are followed");
    let page = with_path(&records, "/");
    assert_eq!((&page["body"], &page["body_file"], &page["outcome"]), (&Value::Null, &Value::Null, &json!("ok")));
    assert!(with_path(&records, "/picture")["body_file"].is_string());
    assert_eq!(with_path(&records, "/picture")["body_base64"], "AAEC");
    assert_eq!(with_path(&records, "/text")["body"], "t");
}
