//! Runs that are kept on disk: killed at random moments and resumed until they are done, their records are those of a
//! run that nobody killed: none twice, none missing, `seq` without a gap.
//!
//! The long form, with 20,000 pages and 120 runs: `LYCOSA_KILLS=long cargo test --release --test it state::kills --
//! --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::*;

/// A place for a state and its outputs, over several processes.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A run that is kept here, with an output.
    fn begin(&self, command: &str, output: &str) -> Command {
        lycosa([command, "--state", &self.text("state"), "-o", &self.text(output)])
    }

    fn resume(&self) -> Command {
        lycosa(["resume", &self.text("state")])
    }

    fn status(&self) -> Value {
        let run = lycosa(["status", &self.text("state"), "--format", "json"]).run().exits(0);
        serde_json::from_slice(&run.stdout).unwrap()
    }

    fn lines(&self, output: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(output)).unwrap();
        if self.path(output).extension().is_some_and(|ending| ending == "json") {
            return serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        }
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The records of an output, each checked for its place and for belonging to one run.
    fn records(&self, output: &str) -> Vec<Value> {
        let records = self.lines(output);
        for (place, record) in records.iter().enumerate() {
            assert_eq!(record["seq"], place, "seq without a gap");
            assert_eq!(record["run"], records[0]["run"], "one run over all its processes");
        }
        records
    }
}

/// What a record says that does not depend on time and order.
fn essence(record: &Value) -> (String, String, String, String) {
    let text = |key: &str| record[key].to_string();
    (text("url"), text("line"), text("outcome"), text("status") + &text("final_url") + &text("skip_reason"))
}

fn essences(records: &[Value]) -> BTreeMap<(String, String, String, String), usize> {
    let mut all = BTreeMap::new();
    for record in records {
        *all.entry(essence(record)).or_default() += 1;
    }
    all
}

/// Requests that stand in records.
fn requests_told(records: &[Value]) -> u64 {
    records.iter().map(|record| record["requests"].as_array().unwrap().len() as u64).sum()
}

struct Kills {
    kills: usize,
    /// Signals that stop cleanly, among them.
    stops: usize,
}

/// Runs a command and kills it at random moments, until a process ends by itself.
fn kill_until_done(place: &Place, mut next: Command, signals: &[&str], seed: u64, input: Option<&str>) -> Kills {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut seen = Kills { kills: 0, stops: 0 };
    loop {
        if let Some(input) = input {
            next = next.stdin(input);
        }
        let mut running = next.spawn();
        // Later and later, so that slow machines come to an end too.
        let wait = random.u64(5..100 + 4 * seen.kills as u64);
        let until = std::time::Instant::now() + Duration::from_millis(wait);
        while running.is_running() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if running.is_running() {
            let signal = signals[random.usize(..signals.len())];
            running.signal(signal);
            seen.kills += 1;
            seen.stops += usize::from(signal != "KILL");
        }
        let run = running.finish();
        match run.code {
            0 | 1 => return seen,
            // Killed, or before its handlers were there; or stopped, and it says how to go on.
            137 | 130 | 143 => {}
            // It was killed before there was a run.
            2 if run.stderr.contains("holds no run") => {}
            code => panic!("exit code {code}: {}", run.stderr),
        }
        let stopped = seen.stops > 0 && matches!(run.code, 130 | 143) && run.stderr.contains("records in");
        // One that comes when everything is done leaves nothing to go on with.
        if stopped && place.status()["state"] != "finished" {
            let resume = format!("lycosa resume {}", place.path("state").display());
            assert!(run.stderr.contains(&resume), "a stop tells how to go on: {}", run.stderr);
        }
        assert!(seen.kills < 400, "it never comes to its end");
        let begun = std::fs::metadata(place.path("state/journal")).is_ok_and(|journal| journal.len() > 200);
        next = if begun { place.resume() } else { lycosa(seeds_again(place)) };
    }
}

/// The first command line again, when it was killed before its run had begun.
fn seeds_again(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.path("command")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn remember(place: &Place, words: &[&str]) -> Vec<String> {
    std::fs::write(place.path("command"), words.join("\n")).unwrap();
    seeds_again(place)
}

fn long() -> bool {
    std::env::var("LYCOSA_KILLS").is_ok_and(|form| form == "long")
}

#[test]
fn kills_leave_no_trace_in_a_crawl() {
    let (pages, runs) = if long() { (20_000, 120) } else { (1500, 3) };
    for seed in 0..runs {
        let tree = Tree::new(pages, pages / 20, pages / 30, 7 + seed);
        let paths = tree.paths().len();
        let site = Site::start(move |request| tree.answer(request));
        let place = Place::new();
        let whole = lycosa(["crawl", "-o", &place.text("whole.jsonl"), &site.url("/page/0")]).run().exits(0);
        drop(whole);
        let before = site.pages().len();
        assert_eq!(before, paths);
        let (state, first, second) = (place.text("state"), place.text("out.jsonl"), place.text("out.json"));
        let words = ["crawl", "--state", &state, "-o", &first, "-o", &second, &site.url("/page/0")];
        let words = remember(&place, &words);
        let signals: &[&str] = if seed % 6 == 1 { &["KILL", "INT", "TERM"] } else { &["KILL"] };
        let Kills { kills, .. } = kill_until_done(&place, lycosa(words), signals, 31 * seed, None);
        let expected = essences(&place.lines("whole.jsonl"));
        assert_eq!(essences(&place.records("out.jsonl")), expected, "seed {seed}, {kills} kills");
        assert_eq!(essences(&place.records("out.json")), expected, "seed {seed}, {kills} kills");
        let more = site.pages().len() - before - paths;
        assert!(more <= 400 * kills, "{more} requests more than pages after {kills} kills");
        assert!(kills > 1, "it was never killed");
        let status = place.status();
        assert_eq!((&status["state"], &status["left"]), (&"finished".into(), &0.into()), "{status}");
        let told = requests_told(&place.records("out.jsonl"));
        let (requests, seen) = (status["requests"].as_u64().unwrap(), told + more as u64);
        assert!((told..=seen).contains(&requests), "{told} <= {requests} <= {seen}");
        let host = &status["hosts"][0];
        assert_eq!((&host["requests"], &host["ok"]), (&status["requests"], &status["outcomes"]["ok"]), "{status}");
        place.resume().run().exits(0);
        assert_eq!(site.pages().len() - before - paths, more, "of a finished run nothing is asked");
        if long() {
            eprintln!("seed {seed}: {kills} kills, {more} requests more than {paths} pages");
        }
    }
}

/// A list with all kinds of lines.
fn list(site: &Site, lines: usize) -> String {
    let mut text = String::new();
    for line in 0..lines {
        match line % 10 {
            3 => text += "http://not a url/\n",
            5 => writeln!(text, "{{\"url\": \"{}\", \"id\": {line}, \"meta\": [1.50]}}", site.url("/same")).unwrap(),
            7 => text += "# a comment\n",
            _ => writeln!(text, "{}", site.url(&format!("/line/{line}"))).unwrap(),
        }
    }
    text
}

fn kills_in_a_list(extra: &[&str], stdin: bool, seed: u64) {
    let lines = if long() { 50_000 } else { 3000 };
    let site = Site::start(|_| text("x"));
    let input = list(&site, lines);
    let place = Place::new();
    std::fs::write(place.path("urls"), &input).unwrap();
    let (state, output, urls) = (place.text("state"), place.text("out.jsonl"), place.text("urls"));
    let source = if stdin { "-" } else { &urls };
    let whole = place.text("whole.jsonl");
    let settings = ["--fail-on", "never", "-i"];
    lycosa([&["fetch", "-o", &whole], extra, &settings, &[&urls]].concat()).run().exits(0);
    let words = [&["fetch", "--state", &state, "-o", &output], extra, &settings, &[source]].concat();
    let words = remember(&place, &words);
    let given = stdin.then_some(&*input);
    let Kills { kills, .. } = kill_until_done(&place, lycosa(words), &["KILL", "KILL", "INT"], seed, given);
    let (expected, records) = (place.lines("whole.jsonl"), place.records("out.jsonl"));
    assert_eq!(essences(&records), essences(&expected), "{kills} kills");
    if extra.contains(&"--ordered") {
        let lines: Vec<u64> = records.iter().map(|record| record["line"].as_u64().unwrap()).collect();
        assert!(lines.is_sorted(), "input order over all processes");
    }
}

#[test]
fn kills_leave_no_trace_in_a_list_from_a_file() {
    kills_in_a_list(&[], false, 1);
}

#[test]
fn kills_leave_no_trace_in_a_list_from_standard_input() {
    kills_in_a_list(&["--unique"], true, 2);
}

#[test]
fn kills_leave_no_trace_in_an_ordered_list() {
    kills_in_a_list(&["--ordered", "--durability", "each"], false, 3);
}

/// A crawl that was stopped after some pages.
fn stopped(place: &Place, site: &Site, pages: &str) {
    place.begin("crawl", "out.jsonl").args(["--max-pages", pages, &site.url("/page/0")]).run().exits(4);
}

#[test]
fn a_journal_that_is_not_whole_is_told() {
    let site = tree_site(30);
    let place = Place::new();
    stopped(&place, &site, "10");
    let journal = place.path("state").join("journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    *bytes.last_mut().unwrap() ^= 4;
    std::fs::write(&journal, bytes).unwrap();
    let run = place.resume().args(["--max-pages", "none"]).run().exits(0);
    let told = format!("lycosa: {} is not whole from offset ", journal.display());
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    assert_eq!(place.records("out.jsonl").len(), 30);
    // One that is whole.
    let whole = Place::new();
    stopped(&whole, &site, "10");
    let run = whole.resume().args(["--max-pages", "none"]).run().exits(0);
    assert!(!run.stderr.contains("offset"), "{}", run.stderr);
}

fn tree_site(pages: usize) -> Site {
    let tree = Tree::new(pages, 0, 0, 3);
    Site::start(move |request| tree.answer(request))
}

#[test]
fn a_stop_tells_how_to_go_on_and_the_rest_is_done_once() {
    let site = tree_site(60);
    let place = Place::new();
    let run = place.begin("crawl", "out.jsonl").args(["--max-pages", "20", &site.url("/page/0")]).run().exits(4);
    let line = format!("lycosa resume {}", place.text("state"));
    assert!(run.stderr.contains(&line), "{}", run.stderr);
    let status = place.status();
    assert_eq!((&status["state"], &status["records"]), (&"stopped".into(), &20.into()), "{status}");
    assert_eq!(status["resume"], line);
    // The limit holds for the whole run.
    assert!(place.resume().run().exits(4).stderr.contains(&line));
    assert_eq!(place.records("out.jsonl").len(), 20);
    place.resume().args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 60);
    assert_eq!(site.pages().len(), 60);
}

#[test]
fn one_cron_line_starts_goes_on_and_rests() {
    let site = tree_site(50);
    let place = Place::new();
    let url = site.url("/page/0");
    let line = |more: &[&str]| place.begin("crawl", "out.jsonl").arg("--continue").args(more.to_vec()).arg(&*url);
    line(&["--max-pages", "20"]).run().exits(4);
    let told = place.begin("crawl", "out.jsonl").arg(&*url).run().exits(2).stderr;
    assert!(told.contains("unfinished run") && told.contains("lycosa resume "), "{told}");
    assert_eq!(place.records("out.jsonl").len(), 20, "and nothing was touched");
    let told = line(&["--scope", "any"]).run().exits(2).stderr;
    assert!(told.contains("--scope is not what the run in the state began with"), "{told}");
    line(&["--max-pages", "none", "-j", "3"]).run().exits(0);
    let hits = site.hits();
    line(&[]).run().exits(0);
    assert_eq!((place.records("out.jsonl").len(), site.hits()), (50, hits));
    assert!(place.begin("crawl", "out.jsonl").arg(&*url).run().exits(2).stderr.contains("finished run"));
}

#[test]
fn the_cron_line_of_another_run_is_refused() {
    let site = Site::start(|_| text("x"));
    let place = Place::new();
    std::fs::write(place.path("urls"), site.url("/b")).unwrap();
    std::fs::write(place.path("others"), site.url("/c")).unwrap();
    let (urls, others) = (place.text("urls"), place.text("others"));
    let [a, b] = ["/a", "/b"].map(|path| site.url(path));
    let line = |output: &str, words: &[&str]| place.begin("fetch", output).arg("--continue").args(words.to_vec());
    let first = [&*a, "-i", &urls];
    line("out.jsonl", &[&["--max-pages", "1"], &first[..]].concat()).run().exits(4);
    for finished in [false, true] {
        for (output, words, what) in [
            ("out.jsonl", &[&*b, "-i", &urls][..], "the URL http"),
            ("out.jsonl", &[&*a, "-i", &others], "-i /"),
            ("out.jsonl", &[&*a, &*a, "-i", &urls], "the URLs are"),
            ("out.jsonl", &[&*a, "-i", &urls, "-X", "DELETE"], "-X is"),
            ("other.jsonl", &first, "--output is"),
            ("out.json", &first, "--output is"),
        ] {
            let told = line(output, words).run().exits(2).stderr;
            assert!(told.contains(what) && told.contains("not what the run in the state began with"), "{told}");
        }
        if !finished {
            line("out.jsonl", &[&["--max-pages", "none"], &first[..]].concat()).run().exits(0);
        }
        line("out.jsonl", &first).run().exits(0);
        assert_eq!(place.records("out.jsonl").len(), 2);
    }
    assert_eq!(site.hits(), 2);
}

#[test]
fn each_process_writes_an_array_of_its_own_to_standard_output() {
    let site = tree_site(30);
    let place = Place::new();
    let begin = lycosa(["crawl", "--format", "json", "--state", &place.text("state"), "--max-pages", "10"]);
    let first = begin.arg(site.url("/page/0")).run().exits(4);
    let second = place.resume().args(["--max-pages", "none"]).run().exits(0);
    let array = |text: &str| serde_json::from_str::<Vec<Value>>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let all = [array(first.text()), array(second.text())].concat();
    assert!(all.iter().enumerate().all(|(place, record)| record["seq"] == place), "one sequence over both");
    assert_eq!(all.len(), 30);
    assert_eq!(place.resume().run().exits(0).text(), "");
}

#[test]
fn a_stop_tells_the_command_in_its_one_line_and_what_was_typed_for_it() {
    let site = tree_site(40);
    let place = Place::new();
    let begin = |place: &Place, quiet: &str| {
        place.begin("crawl", "out.jsonl").args(["--max-pages", "10", quiet, &site.url("/page/0")]).run().exits(4).stderr
    };
    let resume = format!("lycosa resume {}", place.text("state"));
    let told = begin(&place, "-q");
    assert!(told.lines().count() == 1 && told.trim_end().ends_with(&format!("{resume} --max-pages=none")), "{told}");
    assert_eq!(begin(&Place::new(), "-qq"), "");
    // How the first process looked is no business of the next one; what it was told is.
    let words = ["--max-pages", "20", "-j", "3", "--no-fail-early", "-H", "X-Api-Key: hunter2"];
    let told = place.resume().args(&words[..5]).run().exits(4).stderr;
    // With the limit that it has reached it would go on nowhere.
    let overrides = ["--max-pages=none", "--concurrency=3", "--no-fail-early"];
    let line = told.lines().find(|line| line.contains(&resume)).unwrap();
    assert!(told.lines().count() > 1 && overrides.iter().all(|word| line.contains(word)), "{told}");
    let (_, typed) = line.split_once("lycosa ").unwrap();
    lycosa(typed.split(' ')).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 40);
}

#[test]
fn what_a_stop_has_cut_off_is_told_alike_by_the_summary_and_by_status() {
    let site = Site::start(|request: &Request| match request.path() {
        "/quick" => text("x"),
        _ => text("x").after(Duration::from_mins(1)),
    });
    let place = Place::new();
    let urls = ["/quick", "/1", "/2", "/3"].map(|path| site.url(path));
    let summary = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(place.path(name)).unwrap()).unwrap() };
    let limits = ["--deadline", "500ms", "--summary", &place.text("1.json")];
    place.begin("fetch", "out.jsonl").args(limits).args(urls).run().exits(4);
    let (first, status) = (summary("1.json"), place.status());
    assert_eq!((&status["requests"], &status["hosts"][0]["requests"]), (&first["requests"], &first["requests"]));
    assert_eq!((first["requests"].as_u64(), first["left"].as_u64()), (Some(site.hits() as u64), Some(3)));
    place.resume().args(["--summary", &place.text("2.json")]).run().exits(4);
    let (second, status) = (summary("2.json"), place.status());
    assert_eq!((&status["requests"], status["left"].as_u64()), (&second["requests"], Some(3)));
    assert_eq!(second["requests"].as_u64(), Some(site.hits() as u64), "of both");
    assert_eq!((&second["hosts"][0]["requests"], &second["hosts"][0]["ok"]), (&second["requests"], &1.into()));
}

#[test]
fn a_refused_start_leaves_no_directory() {
    let place = Place::new();
    for words in [&["not a url"][..], &["http://a.test/", "-o", "/no/such/dir/out.jsonl"], &["-i", "/no/such/list"]] {
        let run = lycosa(["fetch", "--state", &place.text("state")]).args(words.to_vec()).run();
        assert!(matches!(run.code, 2 | 3), "{}", run.stderr);
        assert!(!place.path("state").exists(), "{words:?}");
    }
    // One that was there stays.
    std::fs::create_dir(place.path("state")).unwrap();
    lycosa(["fetch", "--state", &place.text("state"), "not a url"]).run().exits(2);
    assert!(place.path("state").is_dir());
}

#[test]
fn damage_is_named_by_whoever_looks() {
    let site = tree_site(60);
    let place = Place::new();
    place.begin("crawl", "out.jsonl").args(["--durability", "each", &site.url("/page/0")]).run().exits(0);
    let journal = place.path("state/journal");
    let whole = std::fs::read(&journal).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&journal, &flipped).unwrap();
    for command in ["status", "resume"] {
        let told = lycosa([command, &place.text("state")]).run().exits(2).stderr;
        assert!(told.contains("journal is damaged at byte ") && told.lines().count() == 1, "{command}: {told}");
    }
    // Its first block too: the cron line must not begin such a run anew and cut its output.
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    std::fs::write(&journal, &flipped).unwrap();
    let line = place.begin("crawl", "out.jsonl").args(["--continue", &site.url("/page/0")]);
    for command in [place.resume(), line, lycosa(["status", &place.text("state")])] {
        let told = command.run().exits(2).stderr;
        assert!(told.contains("journal is damaged at byte 20"), "{told}");
    }
    assert_eq!((place.records("out.jsonl").len(), site.pages().len()), (60, 60));
    for bytes in [1, 19, 60] {
        std::fs::write(&journal, &whole[..bytes]).unwrap();
        for command in ["status", "resume"] {
            let told = lycosa([command, &place.text("state")]).run().exits(2).stderr;
            assert!(told.contains(&format!("ends at byte {bytes}, within its first block")), "{command}: {told}");
        }
        assert_eq!(std::fs::metadata(&journal).unwrap().len(), bytes as u64, "nothing was altered");
    }
}

#[test]
fn a_run_that_is_copied_with_its_outputs_goes_on_there() {
    let site = tree_site(40);
    let (place, copy) = (Place::new(), Place::new());
    let words = format!("crawl --state run/state -o out.jsonl --max-pages 20 {}", site.url("/page/0"));
    let (binary, directory) = (env!("CARGO_BIN_EXE_lycosa"), place.directory.path().display());
    std::fs::create_dir(place.path("run")).unwrap();
    program("sh", ["-c", &format!("cd {directory} && exec {binary} {words}")]).run().exits(4);
    std::fs::create_dir_all(copy.path("run/state")).unwrap();
    for file in ["run/state/journal", "out.jsonl"] {
        std::fs::copy(place.path(file), copy.path(file)).unwrap();
    }
    lycosa(["resume", &copy.text("run/state"), "--max-pages", "none"]).run().exits(0);
    assert_eq!((place.records("out.jsonl").len(), copy.records("out.jsonl").len()), (20, 40));
    // The old one goes on in its own place, also if the state alone has moved.
    std::fs::rename(place.path("run/state"), copy.path("moved")).unwrap();
    lycosa(["resume", &copy.text("moved"), "--max-pages", "none"]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 40);
}

#[test]
fn a_living_run_keeps_others_out_and_can_be_looked_at() {
    let site = Site::start(|_| text("x").after_ms(300));
    let place = Place::new();
    let mut running = place.begin("fetch", "out.jsonl").args(["-i", "-"]).open_stdin().spawn();
    running.write(&format!("{}\n", site.url("/1")));
    running.wait_until("a record", || std::fs::read(place.path("out.jsonl")).is_ok_and(|text| !text.is_empty()));
    let told = place.resume().run().exits(2).stderr;
    assert!(told.contains(&format!("in use by process {}", running.id())), "{told}");
    running.wait_until("a commit", || place.status()["records"] == 1);
    assert_eq!(place.status()["state"], "running");
    running.signal("KILL");
    drop(running.finish());
    assert_eq!(place.status()["state"], "stopped");
    // Its input had not ended and is not given again: what was accepted is finished, and that is all.
    place.resume().run().exits(4);
    let told = place.resume().lines(["http://other/"]).run().exits(2).stderr;
    assert!(told.contains("input"), "{told}");
    place.resume().lines([site.url("/1"), site.url("/2")]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 2);
    assert_eq!(site.hits(), 2);
}

#[test]
fn settings_that_would_make_two_runs_of_one_are_refused() {
    let site = tree_site(30);
    let place = Place::new();
    stopped(&place, &site, "10");
    for (flag, why) in [
        (&["--scope", "any"][..], "accepted so far"),
        (&["-o", "other.jsonl"], "records that are written"),
        (&["--robots", "ignore"], "answers that are written"),
        (&["--accept", "200"], "answers that are written"),
        (&["-A", "other"], "answers that are written"),
    ] {
        let told = place.resume().args(flag.to_vec()).run().exits(2).stderr;
        assert!(told.contains("cannot be changed on resume") && told.contains(why), "{told}");
    }
    place.resume().args(["--max-pages", "none", "--delay", "1ms", "-q"]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 30);
    assert!(lycosa(["resume", &place.text("nothing")]).run().exits(2).stderr.contains("holds no run"));
    assert!(lycosa(["status", &place.text("nothing")]).run().exits(2).stderr.contains("holds no run"));
}

#[test]
fn credentials_are_not_kept_and_asked_for_again() {
    let site = tree_site(30);
    let place = Place::new();
    let secret = ["-u", "me:hunter2", "-H", "X-Api-Key: hunter2", "-H", "X-Open: yes"];
    let run = place.begin("crawl", "out.jsonl").args(secret).args(["--max-pages", "10", &site.url("/page/0")]);
    run.run().exits(4);
    let journal = std::fs::read(place.path("state/journal")).unwrap();
    assert!(memchr::memmem::find(&journal, b"hunter2").is_none());
    let told = place.resume().run().exits(2).stderr;
    assert!(told.contains("--user") && told.contains("X-Api-Key") && !told.contains("X-Open"), "{told}");
    let again = place.resume().env("LYCOSA_USER", "me:hunter2").args(["-H", "x-api-key: hunter2"]);
    again.args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 30);
    let sent = |hit: &Hit| ["authorization", "x-api-key", "x-open"].iter().all(|name| hit.header(name).is_some());
    assert!(site.pages().iter().all(sent), "what is no secret is kept");
}

#[test]
fn credentials_of_jobs_come_from_the_input_that_is_given_again() {
    let site = Site::start(|_| text("x"));
    let place = Place::new();
    let with_user = |path: &str| site.url(path).replace("http://", "http://me:hunter2@");
    let lines: Vec<String> = (0..6).map(|n| with_user(&format!("/{n}"))).collect();
    let urls = lines.join("\n");
    let begin = place.begin("fetch", "out.jsonl").args(["-j", "1", "--max-pages", "2", "-i", "-"]);
    begin.stdin(&*urls).run().exits(4);
    let journal = std::fs::read(place.path("state/journal")).unwrap();
    assert!(memchr::memmem::find(&journal, b"hunter2").is_none());
    let told = place.resume().args(["--max-pages", "none"]).run().exits(2).stderr;
    assert!(told.contains("credentials are not kept") && told.contains("give the input again"), "{told}");
    place.resume().args(["--max-pages", "none"]).stdin(&*urls).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 6);
    assert!(site.pages().iter().all(|hit| hit.header("authorization").is_some()));
}

#[test]
fn failures_get_another_chance_when_asked_for() {
    let tries = AtomicUsize::new(0);
    let site = Site::start(move |request: &Request| match request.path() {
        "/bad" if tries.fetch_add(1, Ordering::SeqCst) == 0 => status(500),
        _ => text("x"),
    });
    let place = Place::new();
    let urls = ["/good", "/bad"].map(|path| site.url(path));
    place.begin("fetch", "out.jsonl").args(["--retries", "0"]).args(urls.clone()).run().exits(1);
    place.resume().run().exits(0);
    assert_eq!(place.status()["outcomes"], serde_json::json!({"ok": 1, "http_error": 1}));
    let told = place.resume().arg("--retry-failed").run().exits(0).stderr;
    assert!(told.contains("2 records in"), "{told}");
    let records = place.records("out.jsonl");
    assert_eq!(records.len(), 3);
    let status = place.status();
    let counts = ["accepted", "records", "left", "superseded", "requests"].map(|key| status[key].as_u64().unwrap());
    assert_eq!((counts, &status["outcomes"]), ([2, 2, 0, 1, 3], &serde_json::json!({"ok": 2})), "{status}");
    let failed = records.iter().find(|record| record["outcome"] == "http_error").unwrap();
    assert_eq!((&records[2]["url"], &records[2]["outcome"]), (&urls[1].clone().into(), &"ok".into()));
    assert_eq!(records[2]["retry_of"], failed["seq"]);
    assert!(records[..2].iter().all(|record| record["retry_of"].is_null()));
    place.resume().arg("--retry-failed").run();
    assert_eq!(place.records("out.jsonl").len(), 3, "it has had its chance");
}

#[test]
fn a_failure_is_not_asked_again_without_its_own_credentials() {
    let tries = AtomicUsize::new(0);
    let site = Site::start(move |_| if tries.fetch_add(1, Ordering::SeqCst) == 0 { status(500) } else { text("x") });
    let url = site.url("/secret").replace("http://", "http://me:hunter2@");
    let place = Place::new();
    place.begin("fetch", "out.jsonl").args(["--retries", "0", "-i", "-"]).stdin(&*url).run().exits(1);
    let told = place.resume().arg("--retry-failed").run().exits(2).stderr;
    assert!(told.contains("credentials are not kept") && told.contains("/secret"), "{told}");
    assert_eq!((site.hits(), place.status()["state"].clone()), (1, "finished".into()));
    place.resume().arg("--retry-failed").stdin(&*url).run().exits(0);
    assert_eq!(place.records("out.jsonl")[1]["retry_of"], 0);
    assert!(site.pages().iter().all(|hit| hit.header("authorization").is_some()));
}

#[test]
fn what_may_not_be_sent_twice_is_not() {
    for again in [false, true] {
        let site = Site::start(|_| text("x").after(Duration::from_mins(1)));
        let place = Place::new();
        let mut running = place.begin("fetch", "out.jsonl").args(["-d", "a=1", &site.url("/order")]).spawn();
        running.wait_until("a request", || site.hits() == 1);
        running.signal("KILL");
        running.finish().exits(137);
        let resume = if again { place.resume().arg("--retry-all") } else { place.resume() };
        let run = resume.args(["--timeout", "300ms", "--retries", "0"]).run().exits(1);
        let records = place.records("out.jsonl");
        assert_eq!(records.len(), 1, "{}", run.stderr);
        if !again {
            let message = records[0]["error"]["message"].as_str().unwrap();
            assert!(message.contains("resume DIR --retry-failed --retry-all"), "{message}");
            place.resume().args(["--retry-failed", "--timeout", "300ms", "--retries", "0"]).run();
            assert_eq!((place.records("out.jsonl").len(), site.hits()), (1, 1), "not without --retry-all");
            let all = ["--retry-failed", "--retry-all", "--timeout", "300ms", "--retries", "0"];
            place.resume().args(all).run().exits(1);
            assert_eq!((place.records("out.jsonl").len(), site.hits()), (2, 2), "and it does what was advised");
            continue;
        }
        let kind = "timeout";
        assert_eq!((&records[0]["outcome"], &records[0]["error"]["kind"]), (&"failed".into(), &kind.into()));
        assert_eq!(site.hits(), 1 + usize::from(again));
    }
}

/// A loss of power takes the end of both the journal and the output.
#[test]
fn a_run_is_finished_when_its_outputs_hold_what_it_wrote() {
    let site = tree_site(60);
    let place = Place::new();
    let url = site.url("/page/0");
    place.begin("crawl", "out.jsonl").arg(&*url).run().exits(0);
    assert!(place.resume().run().exits(0).stderr.contains("is finished"));
    let output = place.path("out.jsonl");
    let whole = std::fs::read(&output).unwrap();
    std::fs::write(&output, &whole[..whole.len() / 2]).unwrap();
    let line = place.begin("crawl", "out.jsonl").args(["--continue", &*url]);
    for command in [place.resume(), line] {
        let told = command.run().exits(2).stderr;
        assert!(told.contains("out.jsonl does not hold what this run has written"), "{told}");
    }
    // Its reader took it away.
    std::fs::remove_file(&output).unwrap();
    assert!(place.resume().run().exits(0).stderr.contains("is finished"));
}

#[test]
fn a_finished_run_asks_for_no_credentials() {
    let site = tree_site(10);
    let place = Place::new();
    let secret = ["-u", "me:hunter2", "-H", "X-Api-Key: hunter2", "-b", "a=hunter2", &*site.url("/page/0")];
    place.begin("crawl", "out.jsonl").args(secret).run().exits(0);
    assert!(place.resume().run().exits(0).stderr.contains("is finished"));
    let told = place.resume().arg("--retry-failed").run().exits(2).stderr;
    assert!(told.contains("credentials are not kept"), "{told}");
}

#[test]
fn whoever_goes_on_without_cookies_says_so() {
    for (words, told) in [(&["-b", ""][..], true), (&["-b", "", "-c", "jar"], false), (&[], false)] {
        let site = Site::start(|_| text("x").header("set-cookie", "sid=1"));
        let place = Place::new();
        let words: Vec<String> =
            words.iter().map(|word| if *word == "jar" { place.text("jar") } else { (*word).to_owned() }).collect();
        let urls = ["/1", "/2"].map(|path| site.url(path));
        let begin = place.begin("fetch", "out.jsonl").args(["-j", "1", "--max-pages", "1"]).args(words.clone());
        begin.args(urls).run().exits(4);
        let run = place.resume().args(["--max-pages", "none"]).run().exits(0);
        assert_eq!(
            run.stderr.contains("cookies that servers set before are not kept"),
            told,
            "{words:?}: {}",
            run.stderr
        );
        let sent = site.pages().last().unwrap().header("cookie").map(str::to_owned);
        assert_eq!(sent.is_some(), words.len() == 4, "{words:?}");
    }
}

#[test]
#[cfg(unix)]
fn files_of_a_state_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = tree_site(3);
    let place = Place::new();
    place.begin("crawl", "out.jsonl").arg(site.url("/page/0")).run().exits(0);
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("state/journal"), mode("state/lock")], [0o600; 2]);
}

#[test]
fn an_output_that_was_changed_is_found() {
    let site = tree_site(40);
    let place = Place::new();
    stopped(&place, &site, "20");
    let path = place.path("out.jsonl");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let told = place.resume().run().exits(2).stderr;
    assert!(told.contains("out.jsonl does not hold what this run has written"), "{told}");
    // Of the same length, and changed in the middle: found, named, and nothing is altered.
    let mut edited = whole.clone();
    let at = whole.len() / 3;
    edited[at] ^= 2;
    std::fs::write(&path, &edited).unwrap();
    let told = place.resume().args(["--max-pages", "none"]).run().exits(2).stderr;
    let (_, range) = told.split_once("between bytes ").unwrap_or_else(|| panic!("{told}"));
    let words: Vec<&str> = range.split(' ').collect();
    let (start, end): (usize, usize) = (words[0].parse().unwrap(), words[2].parse().unwrap());
    assert!((start..end).contains(&at) && end <= whole.len(), "{told}");
    assert!(edited == std::fs::read(&path).unwrap() && !told.contains("lost its end"), "{told}");
    // What somebody added behind is cut off; what was written stands.
    std::fs::write(&path, [&whole[..], b"{\"torn\":"].concat()).unwrap();
    place.resume().args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 40);
}

/// `ulimit -f` is the full disk that every machine has: here it is met by the output, and by the journal.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_loses_nothing() {
    let tree = Tree::new(400, 0, 0, 3);
    let site = Site::start(move |request| tree.answer(request));
    for (output, blocks) in [("out.jsonl", 100), ("/dev/stdout", 12)] {
        let place = Place::new();
        let output = if output.starts_with('/') { output.to_owned() } else { place.text(output) };
        let words = ["crawl", "--state", &place.text("state"), "-o", &output, &site.url("/page/0")].join(" ");
        let script = format!("ulimit -f {blocks}; exec {} {words}", env!("CARGO_BIN_EXE_lycosa"));
        let run = program("sh", ["-c", &script]).run();
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains("File too large") || run.stderr.contains("os error 27"), "{}", run.stderr);
        let first = String::from_utf8(run.stdout).unwrap();
        let run = place.resume().run().exits(0);
        let all = first + run.text() + &std::fs::read_to_string(place.path("out.jsonl")).unwrap_or_default();
        let urls: Vec<String> =
            all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["url"].to_string()).collect();
        let distinct: BTreeSet<&String> = urls.iter().collect();
        assert_eq!(distinct.len(), 400);
        assert!(
            !output.ends_with("out.jsonl") || urls.len() == 400,
            "on standard output at least once, in a file once"
        );
    }
}

#[test]
fn a_state_that_was_moved_goes_on() {
    let site = tree_site(40);
    let place = Place::new();
    stopped(&place, &site, "20");
    let moved = Place::new();
    std::fs::rename(place.path("state"), moved.path("state")).unwrap();
    moved.resume().args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 40);
}

/// Three hundred thousand links: those seen and waiting go to disk, and the crawl comes to its end all the same.
#[test]
#[cfg(target_os = "linux")]
fn a_limit_of_memory_is_kept_by_the_disk() {
    let site = Site::start(|request: &Request| match request.path().trim_start_matches('/').parse::<u64>() {
        Ok(0) => html(index((1..100).map(|page| format!("/{page}")))),
        Ok(page) => html(index((0..5000).map(|link| format!("/a-leaf-with-a-name/{page}/{link}")))),
        Err(_) => text("x"),
    });
    let peak = |limit: &str| {
        let place = Place::new();
        let run = place.begin("crawl", "out.jsonl");
        let run = run.args(["--max-pages", "60", "--max-memory", limit, "-j", "2", &site.url("/0")]).run().exits(4);
        assert_eq!(place.records("out.jsonl").len(), 60);
        run.peak_kib
    };
    let (free, bound) = (peak("none"), peak("32MiB"));
    assert!(bound + 8 * 1024 < free, "{bound} KiB within the limit, {free} KiB without");
}

#[test]
fn a_finished_run_is_visited_again_and_says_what_has_changed() {
    use std::sync::Arc;
    let round = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&round);
    let site = Site::start(move |request: &Request| {
        let round = now.load(Ordering::SeqCst);
        match request.path() {
            "/" if round == 0 => html(index(["/same", "/tagged", "/edited", "/lost", "/unlinked", "/moved", "/flaky"])),
            "/" => html(index(["/same", "/tagged", "/edited", "/lost", "/moved", "/fresh", "/flaky"])),
            "/tagged" if round > 0 => status(304),
            "/tagged" => html("x").header("etag", "\"1\"").header("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT"),
            "/edited" => html(format!("edited {round}")).header("etag", format!("\"{round}\"")),
            "/lost" if round > 0 => status(404),
            "/moved" => redirect(302, "/target"),
            "/flaky" if round == 1 => status(500),
            "/fresh" if round == 0 => status(404),
            _ => html("x"),
        }
    });
    let place = Place::new();
    place.begin("crawl", "0.jsonl").arg(site.url("/")).run().exits(0);
    assert!(place.records("0.jsonl").iter().all(|record| record["change"].is_null()));
    let again = |output: &str| {
        let words = ["crawl", "--again", "--retries", "0", "--state", &place.text("state"), "-o", &place.text(output)];
        lycosa(words)
    };
    let told = again("1.jsonl").arg("http://other.test/").run().exits(2).stderr;
    assert!(told.contains("its seeds cannot be changed"), "{told}");
    let changes = |output: &str| {
        let records = place.records(output);
        let word = |record: &Value| record["change"].as_str().unwrap_or("-").to_owned();
        let path = |record: &Value| record["url"].as_str().unwrap().replace(&site.url(""), "");
        records.iter().map(|record| format!("{} {}", path(record), word(record))).collect::<BTreeSet<_>>()
    };
    round.store(1, Ordering::SeqCst);
    again("1.jsonl").run().exits(0);
    let expected = "/ changed,/edited changed,/flaky -,/fresh new,/lost gone,/moved unchanged,/same unchanged,\
        /tagged unchanged,/unlinked unchanged";
    assert_eq!(changes("1.jsonl"), expected.split(',').map(str::to_owned).collect());
    let hits: Vec<Hit> = site.log().into_iter().filter(|hit| hit.target == "/tagged").collect();
    let conditions = |hit: &Hit| ["if-none-match", "if-modified-since"].map(|name| hit.header(name).map(str::to_owned));
    assert_eq!(conditions(&hits[0]), [None, None]);
    assert_eq!(conditions(&hits[1]), [Some("\"1\"".into()), Some("Fri, 20 Nov 2026 10:00:00 GMT".into())]);
    let runs = ["0.jsonl", "1.jsonl"].map(|output| place.records(output)[0]["run"].clone());
    assert_ne!(runs[0], runs[1], "a run of its own");
    // Another chance within the visit: what was known before is known still.
    round.store(2, Ordering::SeqCst);
    place.resume().arg("--retry-failed").run();
    let records = place.records("1.jsonl");
    let flaky = records.iter().rfind(|record| record["url"] == site.url("/flaky")).unwrap();
    assert!(flaky["retry_of"].is_u64() && flaky["change"] == "unchanged", "{flaky}");
    // Killed in the middle, it goes on like any other.
    round.store(2, Ordering::SeqCst);
    again("2.jsonl").args(["--max-pages", "3"]).run().exits(4);
    place.resume().args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(place.records("2.jsonl").len(), 9);
    let expected = "/ unchanged,/edited changed,/flaky unchanged,/fresh unchanged,/lost unchanged,/moved unchanged,\
        /same unchanged,/tagged unchanged,/unlinked unchanged";
    assert_eq!(changes("2.jsonl"), expected.split(',').map(str::to_owned).collect());
}

#[test]
fn the_limit_of_a_visit_is_its_own_and_the_first_finds_all_new() {
    let visits = AtomicUsize::new(0);
    // Three pages at first, six later; one of them is gone for a visit.
    let site = Site::start(move |request: &Request| match request.path() {
        "/" => {
            let visit = visits.fetch_add(1, Ordering::SeqCst);
            html(index((1..if visit == 0 { 4 } else { 7 }).map(|page| format!("/{page}"))))
        }
        "/3" if visits.load(Ordering::SeqCst) == 2 => status(410),
        _ => html("x"),
    });
    let place = Place::new();
    let visit = |output: &str, limits: &[&str]| {
        place.begin("crawl", output).args(["--again", &site.url("/")]).args(limits.to_vec()).run().exits(0);
        let mut changes = BTreeMap::<String, usize>::new();
        for record in place.records(output) {
            *changes.entry(record["change"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        changes
    };
    let words = |words: &[(&str, usize)]| words.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
    assert_eq!(visit("0.jsonl", &["--max-pages", "5", "--deadline", "1h"]), words(&[("new", 4)]));
    let expected = words(&[("changed", 1), ("gone", 1), ("new", 3), ("unchanged", 2)]);
    assert_eq!(visit("1.jsonl", &[]), expected, "and no limit");
    assert_eq!(visit("2.jsonl", &["--max-pages", "9"]), words(&[("new", 1), ("unchanged", 6)]), "it is back");
}

#[test]
fn an_output_in_the_state_directory_is_refused() {
    let site = tree_site(30);
    let place = Place::new();
    for (flag, name) in [("-o", "state/journal"), ("-o", "state/new"), ("--summary", "state/lock")] {
        let words = ["crawl", "--state", &place.text("state"), flag, &place.text(name), &site.url("/page/0")];
        let told = lycosa(words).run().exits(2).stderr;
        assert!(told.contains(&place.text(name)) && told.contains("state directory"), "{told}");
    }
    assert!(site.log().is_empty(), "nothing was asked");
    stopped(&place, &site, "10");
    std::os::unix::fs::symlink(place.path("state/journal"), place.path("link")).unwrap();
    for name in ["state/journal", "link"] {
        place.resume().args(["--summary", &place.text(name)]).run().exits(2);
    }
    place.resume().args(["--max-pages", "none", "--summary", &place.text("s.json")]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 30);
}

#[test]
fn a_list_is_not_visited_again_as_a_crawl() {
    let site = tree_site(3);
    let place = Place::new();
    place.begin("fetch", "out.jsonl").arg(site.url("/page/0")).run().exits(0);
    let told = place.begin("crawl", "again.jsonl").arg("--again").run().exits(2).stderr;
    assert!(told.contains("the run there is one of lycosa fetch"), "{told}");
    assert_eq!(place.status()["state"], "finished");
}

#[test]
fn a_visit_that_cannot_write_leaves_the_finished_run() {
    let site = tree_site(3);
    let place = Place::new();
    place.begin("crawl", "out.jsonl").arg(site.url("/page/0")).run().exits(0);
    let journal = std::fs::read(place.path("state/journal")).unwrap();
    place.begin("crawl", "no/such/out.jsonl").arg("--again").run().exits(3);
    place.begin("crawl", "again.jsonl").args(["--again", "--summary", &place.text("no/such/s")]).run().exits(3);
    assert!(journal == std::fs::read(place.path("state/journal")).unwrap(), "the old run stands");
    place.begin("crawl", "again.jsonl").arg("--again").run().exits(0);
    assert!(place.records("again.jsonl").iter().all(|record| record["change"] == "unchanged"));
}

#[test]
fn credentials_of_typed_urls_are_asked_for_again() {
    let site = Site::start(|_| text("x"));
    let with_user = |path: &str| site.url(path).replace("http://", "http://me:hunter2@");
    let stopped = |place: &Place| {
        let begin = place.begin("fetch", "out.jsonl").args(["-j", "1", "--max-pages", "1"]);
        begin.args([with_user("/x"), with_user("/y")]).run().exits(4);
    };
    let rest = ["--max-pages", "none"];
    let place = Place::new();
    stopped(&place);
    let told = place.resume().args(rest).run().exits(2).stderr;
    assert!(told.contains("credentials are not kept") && told.contains("-u") && !told.contains("hunter2"), "{told}");
    place.resume().args(rest).args(["-u", "me:hunter2"]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 2);
    let place = Place::new();
    stopped(&place);
    let again = place.begin("fetch", "out.jsonl").args(rest).arg("--continue");
    again.args([with_user("/x"), with_user("/y")]).run().exits(0);
    assert_eq!(place.records("out.jsonl").len(), 2);
    assert_eq!(site.pages().len(), 4);
    let sent = |hit: &Hit| hit.header("authorization") == Some("Basic bWU6aHVudGVyMg==");
    assert!(site.pages().iter().all(sent), "none goes out without");
}

#[test]
fn a_visit_does_not_ask_typed_urls_without_their_credentials() {
    let site = tree_site(3);
    let place = Place::new();
    let url = site.url("/page/0").replace("http://", "http://me:hunter2@");
    place.begin("crawl", "out.jsonl").arg(&url).run().exits(0);
    let asked = site.pages().len();
    let told = place.begin("crawl", "again.jsonl").arg("--again").run().exits(2).stderr;
    assert!(told.contains("credentials are not kept") && !told.contains("hunter2"), "{told}");
    assert_eq!((site.pages().len(), place.status()["state"].clone()), (asked, "finished".into()));
    place.begin("crawl", "again.jsonl").args(["--again", "-u", "me:hunter2"]).run().exits(0);
    let hits = site.pages();
    let seeds: Vec<&Hit> = hits.iter().filter(|hit| hit.target == "/page/0").collect();
    assert_eq!(seeds.len(), 2);
    assert!(seeds.iter().all(|hit| hit.header("authorization").is_some()));
}

#[test]
fn credentials_that_the_run_began_without_are_refused() {
    let site = tree_site(30);
    let place = Place::new();
    stopped(&place, &site, "10");
    for (flag, value) in [("-u", "me:hunter2"), ("-x", "http://127.0.0.1:1"), ("-H", "X-Api-Key: hunter2")] {
        let told = place.resume().args(["--max-pages", "none", flag, value]).run().exits(2).stderr;
        assert!(told.contains("is not what the run began with") && !told.contains("hunter2"), "{told}");
    }
    place.resume().args(["--max-pages", "none"]).run().exits(0);
}
