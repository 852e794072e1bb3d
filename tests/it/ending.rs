//! How a run ends: exit codes, limits, signals, readers that stop or go away, and a summary that adds up.

use std::time::{Duration, Instant};

use crate::support::*;

fn urls(site: &Site, count: usize) -> Vec<String> {
    (0..count).map(|number| site.url(&format!("/{number}"))).collect()
}

fn answering_after(milliseconds: u64) -> Site {
    Site::start(move |_: &Request| html("").after_ms(milliseconds))
}

fn with_failures() -> Site {
    Site::start(|request| if request.path().starts_with("/bad") { status(404) } else { html("") })
}

/// A summary, the records and the exit code of one run say the same.
#[track_caller]
fn adds_up(run: &Run, accepted: Option<u64>) -> Summary {
    let summary = run.summary();
    let records = run.records();
    let counts = outcome_counts(&records);
    let of = |outcome: &str| {
        let found = counts.iter().filter(|(key, _)| key.split(':').next() == Some(outcome));
        found.map(|(_, count)| *count as u64).sum::<u64>()
    };
    for outcome in ["ok", "http_error", "failed", "skipped"] {
        assert_eq!(summary.outcome(outcome), of(outcome), "{outcome} in {}", summary.0);
    }
    assert_eq!(summary.records(), records.len() as u64);
    assert_eq!(summary.0["exit_code"], run.code);
    if let Some(record) = records.first() {
        assert_eq!(summary.text("run"), field(record, "run"));
    }
    if let Some(accepted) = accepted {
        assert_eq!(summary.records() + summary.number("left"), accepted, "{}", summary.0);
    }
    summary
}

const SUMMARY: [&str; 2] = ["--summary", "summary.json"];

#[test]
fn a_run_that_is_done_exits_0_and_says_so() {
    let site = with_failures();
    let run = lycosa(["fetch"]).args(SUMMARY).lines(urls(&site, 12)).run().exits(0);
    let summary = adds_up(&run, Some(12));
    assert_eq!((summary.text("stopped_by"), summary.number("left")), ("done", 0));
    assert!(!run.stderr.contains('\u{1b}'), "no escape codes where there is no terminal");
}

#[test]
fn fail_on_decides_what_counts_as_failed() {
    let site = with_failures();
    let lines: Vec<_> =
        (0..7).map(|n| site.url(&format!("/{n}"))).chain((0..3).map(|n| site.url(&format!("/bad/{n}")))).collect();
    for (policy, code) in [("any", 1), ("seeds", 1), ("never", 0), ("2", 1), ("5", 0), ("10%", 1), ("50%", 0)] {
        lycosa(["fetch", "--fail-on", policy]).lines(&lines).run().exits(code);
    }
    lycosa(["fetch"]).lines(&lines).run().exits(1);
    lycosa(["fetch", "--fail-on", "sometimes"]).lines(&lines).run().exits(2);
}

#[test]
fn a_crawl_fails_by_its_seeds() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/bad"])),
        _ => status(404),
    });
    lycosa(["crawl", &site.url("/")]).run().exits(0);
    lycosa(["crawl", "--fail-on", "any", &site.url("/")]).run().exits(1);
    lycosa(["crawl", &site.url("/"), &site.url("/missing")]).run().exits(1);
    lycosa(["crawl", &site.url("/"), &site.url("/#x")]).run().exits(0);
}

#[test]
fn max_pages_is_exact() {
    let tree = Tree::new(120, 0, 0, 9);
    let site = Site::start(move |request| tree.answer(request));
    let run = lycosa(["crawl", "--max-pages", "37"]).args(SUMMARY).arg(site.url("/page/0")).run().exits(4);
    assert_eq!((run.records().len(), site.pages().len()), (37, 37), "nothing is asked and thrown away");
    let summary = adds_up(&run, None);
    assert_eq!(summary.text("stopped_by"), "limit");
    assert!(summary.number("left") > 0);
    let run = lycosa(["crawl", "--max-pages", "120", &site.url("/page/0")]).run().exits(0);
    assert_eq!(run.records().len(), 120, "no work was left");
}

#[test]
fn max_pages_does_not_count_what_was_skipped() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => text("User-agent: *\nDisallow: /no\n"),
        _ => html(index((0..30).flat_map(|n| [format!("/no/{n}"), format!("/yes/{n}")]))),
    });
    let records = lycosa(["crawl", "--max-pages", "10", &site.url("/")]).run().exits(4).records();
    let not_skipped = records.iter().filter(|record| record["outcome"] != "skipped").count();
    assert_eq!((not_skipped, site.pages().len()), (10, 10));
}

#[test]
fn failures_before_a_limit_still_count() {
    let site = with_failures();
    let mut lines = vec![site.url("/bad")];
    lines.extend(urls(&site, 20));
    lycosa(["fetch", "--max-pages", "5", "-j", "1"]).lines(&lines).run().exits(1);
}

#[test]
fn a_deadline_cuts_off_what_hangs() {
    let site = Site::start(|request| if request.path() == "/0" { html("").into() } else { Answer::Hang });
    let run = lycosa(["fetch", "--deadline", "1s"]).args(SUMMARY).lines(urls(&site, 10)).run().exits(4);
    let summary = adds_up(&run, Some(10));
    assert_eq!(summary.text("stopped_by"), "deadline");
    assert_eq!(with_path(&run.records(), "/0")["outcome"], "ok");
}

#[test]
fn fail_early_stops_at_the_first_failure() {
    let site = Site::start(|request| match request.path() {
        "/bad" => status(404).after_ms(100),
        _ => html("").after_ms(50),
    });
    let mut lines = vec![site.url("/bad")];
    lines.extend(urls(&site, 200));
    let run = lycosa(["fetch", "--fail-early", "--fail-on", "never"]).args(SUMMARY).lines(&lines).run().exits(1);
    let summary = adds_up(&run, None);
    assert_eq!(summary.text("stopped_by"), "fail_early");
    assert!(summary.number("left") > 0 && site.hits() < 50, "{} requests", site.hits());
    assert_eq!(run.records().len(), site.hits(), "what was in flight has ended, with a record");
}

#[test]
fn fail_early_waits_for_the_retries() {
    let site = Site::start(|request| if request.nth == 0 { status(500) } else { html("") });
    lycosa(["fetch", "--fail-early", &site.url("/")]).run().exits(0);
    assert_eq!(site.hits(), 2);
}

#[test]
fn the_first_interrupt_lets_what_is_in_flight_end() {
    let site = answering_after(400);
    let running = lycosa(["fetch", "--host-concurrency", "4"]).args(SUMMARY).lines(urls(&site, 300)).spawn();
    running.wait_for_lines(6);
    running.signal("INT");
    let signalled = Instant::now();
    let run = running.finish().exits(130);
    let late = site.log().iter().filter(|hit| hit.arrived > signalled + Duration::from_millis(250)).count();
    assert_eq!(late, 0, "no new request after the signal");
    assert_eq!(run.records().len(), site.hits(), "every request that was sent has its record");
    assert!(run.records().iter().all(|record| record["outcome"] == "ok"), "none was cut off");
    let summary = adds_up(&run, None);
    assert_eq!(summary.text("stopped_by"), "signal");
    assert!(summary.number("left") > 0);
}

#[test]
fn sigterm_is_143() {
    let site = answering_after(50);
    let running = lycosa(["fetch"]).args(SUMMARY).lines(urls(&site, 2000)).spawn();
    running.wait_for_lines(3);
    running.signal("TERM");
    let run = running.finish().exits(143);
    assert_eq!(adds_up(&run, None).text("stopped_by"), "signal");
}

#[test]
fn an_interrupt_is_never_0_even_if_nothing_was_left() {
    let site = answering_after(700);
    let mut running = lycosa(["fetch"]).args([site.url("/")]).spawn();
    running.wait_until("the only page was asked", || site.hits() == 1);
    running.signal("INT");
    let run = running.finish().exits(130);
    assert_eq!(run.records().len(), 1);
}

#[test]
fn the_second_interrupt_cuts_off() {
    let site = Site::start(|request| if request.path() == "/0" { html("").into() } else { Answer::Hang });
    let arguments = ["fetch", "--grace", "80s", "--timeout", "none", "--read-timeout", "none"];
    let mut running = lycosa(arguments).args(SUMMARY).lines(urls(&site, 20)).spawn();
    running.wait_for_lines(1);
    running.wait_until("a page hangs", || site.hits() >= 2);
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(700));
    assert!(running.is_running(), "after the first it waits for what is in flight");
    running.signal("INT");
    let run = running.finish().exits(130);
    let cut = run.records().iter().filter(|record| record["outcome"] == "failed").count();
    for record in run.records().iter().filter(|record| record["outcome"] == "failed") {
        assert_eq!(record["error"]["kind"], "interrupted");
    }
    let summary = adds_up(&run, None);
    assert!(summary.number("left") + cut as u64 >= 1);
}

/// Requests that hang use up the whole grace: the outputs still get the time to write what they were given.
#[test]
fn an_array_is_closed_when_requests_have_used_up_the_grace() {
    let body = "x".repeat(1 << 20);
    let site = Site::start(move |request| if request.path() == "/29" { Answer::Hang } else { html(&body).into() });
    let arguments = ["fetch", "--grace", "300ms", "--with", "body", "-o", "all.json", "-o", "all.jsonl"];
    let mut running = lycosa(arguments).args(SUMMARY).lines(urls(&site, 30)).spawn();
    running.wait_until("all were asked", || site.hits() == 30);
    running.signal("INT");
    let run = running.finish().exits(130);
    let array: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(run.path("all.json")).unwrap()).unwrap();
    assert_eq!(array, run.records_of("all.jsonl"));
    let summary = run.summary();
    assert_eq!((array.len() as u64, summary.number("left")), (summary.records(), 30 - summary.records()));
    assert!(summary.number("left") >= 1, "what hangs");
}

#[test]
fn the_grace_time_ends_what_hangs() {
    let site = Site::start(|_: &Request| Answer::Hang);
    let mut running = lycosa(["fetch", "--grace", "300ms", "--timeout", "none"]).lines(urls(&site, 5)).spawn();
    running.wait_until("a page hangs", || site.hits() >= 1);
    running.signal("INT");
    running.finish().exits(130);
}

fn big_pages() -> Site {
    let body = "x".repeat(60_000);
    Site::start(move |_: &Request| text(&body))
}

/// Starts a run whose reader has stopped, and waits until nothing moves any more. Gives the number of requests.
fn stalled(running: &mut Running, site: &Site) -> usize {
    let mut before = 0;
    running.wait_until("fetching stops", || {
        let now = site.hits();
        let still = now > 0 && now == before;
        before = now;
        std::thread::sleep(Duration::from_millis(600));
        still && site.hits() == now
    });
    site.hits()
}

#[test]
fn a_stopped_reader_stops_fetching_and_nothing_is_lost() {
    let site = big_pages();
    let lines = urls(&site, 3000);
    let arguments = ["fetch", "--with", "body", "--timeout", "2s", "--read-timeout", "1s", "--retries", "0"];
    let mut running = lycosa(arguments).lines(&lines).stopped_reader().spawn();
    let asked = stalled(&mut running, &site);
    assert!(asked < 2500, "{asked} of 3000 pages of 60 kB were asked while nobody reads");
    let memory = running.memory();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(site.hits(), asked, "fetching has stopped");
    assert!(running.memory() <= memory + 2048, "memory is flat: {} KiB, {memory} KiB", running.memory());
    running.read();
    let run = running.finish().exits(0);
    let records = run.records();
    assert_eq!(outcome_counts(&records).get("ok"), Some(&3000), "nothing timed out because of the reader");
    assert!(run.peak_kib < 200 * 1024, "{} KiB", run.peak_kib);
}

#[test]
fn after_the_grace_a_run_ends_though_nobody_reads() {
    let site = big_pages();
    let arguments = ["fetch", "--with", "body", "--grace", "500ms"];
    let mut running = lycosa(arguments).args(SUMMARY).lines(urls(&site, 3000)).stopped_reader().spawn();
    stalled(&mut running, &site);
    running.signal("INT");
    running.wait_until("it ended", || true);
    let ended = Instant::now();
    while running.is_running() {
        assert!(ended.elapsed() < Duration::from_secs(30), "the grace time is over and it still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = running.finish().exits(130);
    // Only here the last line may be torn.
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let whole: Vec<_> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    assert!(whole.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn the_third_interrupt_exits_at_once() {
    let site = big_pages();
    let arguments = ["fetch", "--with", "body", "--grace", "80s"];
    let mut running = lycosa(arguments).lines(urls(&site, 3000)).stopped_reader().spawn();
    stalled(&mut running, &site);
    for _ in 0..3 {
        if running.is_running() {
            running.signal("INT");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let third = Instant::now();
    while running.is_running() {
        assert!(third.elapsed() < Duration::from_secs(30), "it still runs after the third");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.finish().exits(130);
}

#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    let tree = Tree::new(2000, 0, 0, 4);
    let site = Site::start(move |request| tree.answer(request));
    let mut running = lycosa(["crawl"]).args(SUMMARY).arg(site.url("/page/0")).stopped_reader().spawn();
    running.read_some(200);
    running.close_stdout();
    let run = running.finish_without_output().exits(0);
    assert!(!run.stderr.to_lowercase().contains("broken pipe"), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert_eq!(run.summary().text("stopped_by"), "pipe");
    assert!(site.hits() < 2000, "it ended early");
}

#[test]
fn head_takes_one_line_and_the_run_ends() {
    let tree = Tree::new(500, 0, 0, 4);
    let site = Site::start(move |request| tree.answer(request));
    let shell = std::process::Command::new("bash")
        .arg("-c")
        .arg("\"$0\" crawl -q \"$1\" | head -1; echo \"${PIPESTATUS[0]}\"")
        .args([env!("CARGO_BIN_EXE_lycosa"), &site.url("/page/0")])
        .output()
        .unwrap();
    let out = String::from_utf8(shell.stdout).unwrap();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(serde_json::from_str::<serde_json::Value>(lines[0]).is_ok());
    assert_eq!(lines[1], "0", "{}", String::from_utf8_lossy(&shell.stderr));
    assert_eq!(String::from_utf8_lossy(&shell.stderr), "", "quietly");
}

#[test]
fn with_another_output_a_closed_pipe_does_not_matter() {
    let site = answering_after(2);
    let arguments = ["fetch", "-o", "-", "-o", "all.jsonl"];
    let mut running = lycosa(arguments).args(SUMMARY).lines(urls(&site, 400)).stopped_reader().spawn();
    running.read_some(100);
    running.close_stdout();
    let run = running.finish_without_output().exits(0);
    assert_eq!(run.records_of("all.jsonl").len(), 400);
    assert_eq!(run.summary().text("stopped_by"), "done");
}

#[test]
fn a_full_disk_is_3_and_counts_as_left() {
    let site = answering_after(1);
    let run = lycosa(["fetch", "-o", "/dev/full"]).args(SUMMARY).lines(urls(&site, 3000)).run().exits(3);
    assert!(run.stderr.contains("/dev/full"), "it names the output: {}", run.stderr);
    let summary = run.summary();
    assert_eq!((summary.text("stopped_by"), summary.records()), ("error", 0));
    assert!(summary.number("left") > 0);
    lycosa(["fetch", "--format", "json", "-o", "json:/dev/full", &site.url("/")]).run().exits(3);
}

#[test]
fn json_is_closed_when_a_run_is_stopped() {
    let site = answering_after(100);
    let running = lycosa(["fetch", "--format", "json"]).lines(urls(&site, 500)).spawn();
    running.wait_for_lines(3);
    running.signal("INT");
    let run = running.finish().exits(130);
    let array: Vec<serde_json::Value> = serde_json::from_str(run.text()).unwrap();
    assert_eq!(array.len(), site.hits());
}

#[test]
fn quiet_is_quiet() {
    let site = with_failures();
    let run = lycosa(["fetch", "-q", &site.url("/")]).run().exits(0);
    assert_eq!(run.stderr, "");
    let run = lycosa(["fetch", "-q", &site.url("/bad")]).run().exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    let run = lycosa(["fetch", "-qq", &site.url("/bad")]).run().exits(1);
    assert_eq!(run.stderr, "");
}

#[test]
fn logs_name_the_request_they_belong_to() {
    let site = with_failures();
    let line = serde_json::json!({"url": site.url("/x"), "id": "job-17"}).to_string();
    let run = lycosa(["fetch", "-vv", "--log-format", "json"]).lines([line]).run().exits(0);
    let logged = run.stderr.lines().filter(|line| line.starts_with('{') && line.contains("job-17"));
    let mut count = 0;
    for line in logged {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line.to_string().contains(r#""request_id":"job-17""#), "{line}");
        count += 1;
    }
    assert!(count > 0, "{}", run.stderr);
}

#[test]
fn usr1_prints_a_snapshot_and_the_run_goes_on() {
    let site = answering_after(100);
    let running = lycosa(["fetch", "--no-progress"]).lines(urls(&site, 60)).spawn();
    running.wait_for_lines(4);
    running.signal("USR1");
    let run = running.finish().exits(0);
    assert_eq!(run.records().len(), 60);
    assert!(run.stderr.contains(site.host()), "{}", run.stderr);
}

/// Runs the command under a shell that changes what it starts with.
fn in_shell(script: &str) -> Command {
    program("/bin/sh", ["-c", script, env!("CARGO_BIN_EXE_lycosa")])
}

#[test]
fn a_closed_standard_output_is_an_output_that_cannot_be_written() {
    let site = Site::start(|_: &Request| html(""));
    let run = in_shell(&format!("exec \"$0\" fetch {} >&-", site.url("/"))).run().exits(3);
    assert!(run.stderr.contains("cannot write standard output"), "{}", run.stderr);
    assert_eq!(site.hits(), 0);
    // One that nobody wants is written as any other, however it was opened.
    in_shell(&format!("exec \"$0\" fetch {} 1<>/dev/null", site.url("/"))).run().exits(0);
    in_shell(&format!("exec \"$0\" fetch -o out {} >&-", site.url("/"))).run().exits(0);
    assert_eq!(site.hits(), 2);
}

#[test]
fn a_file_at_the_limit_of_its_size_is_an_output_that_cannot_be_written() {
    let site = Site::start(|_: &Request| html(""));
    let script = "ulimit -f 8; exec \"$0\" fetch -o out -i -";
    let run = in_shell(script).lines((0..40).map(|n| site.url(&format!("/{n}")))).run().exits(3);
    let kept = std::fs::read_to_string(run.path("out")).unwrap();
    assert!(kept.ends_with('\n') && kept.lines().count() < 40, "{}", kept.len());
}

#[test]
fn few_descriptors_mean_fewer_requests_at_once() {
    let site = Site::start(|_: &Request| html(""));
    let urls: Vec<String> = (0..100).map(|n| site.url(&format!("/{n}"))).collect();
    let script = "ulimit -n 64; exec \"$0\" fetch -j 200 --host-concurrency 200 -i -";
    let run = in_shell(script).lines(&urls).run().exits(0);
    assert!(run.stderr.contains("concurrency 16 instead of 200"), "{}", run.stderr);
    assert_eq!(run.records().len(), 100);
}
