//! What a crawl makes of robots.txt, however it comes: a table of fetches, and what was crawled in each; nofollow; and the
//! commands that only tell.
//!
//! Each row is a server and a crawl of its own. Its page `/` links to `/open` and `/closed`, of which the usual rules forbid
//! the second. The server's log is the judge, with the outcomes of the records beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::*;

const RULES: &str = "User-agent: *\nDisallow: /closed\n";

/// What the crawl of a row may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crawled {
    /// All three pages.
    All,
    /// All but `/closed`.
    Open,
    /// No page; the seed ends so.
    Nothing(&'static str),
}
use Crawled::{All, Nothing, Open};

/// One situation: its name, what the server answers for robots.txt (and paths it redirects to), what was crawled, how
/// often robots.txt was asked, and flags.
struct Row {
    name: &'static str,
    answer: Box<dyn Fn(&Request) -> Answer + Send + Sync>,
    crawled: Crawled,
    asked: usize,
    flags: &'static [&'static str],
}

fn row<A: Into<Answer>>(
    name: &'static str,
    crawled: Crawled,
    asked: usize,
    answer: impl Fn(&Request) -> A + Send + Sync + 'static,
) -> Row {
    Row { name, answer: Box::new(move |request| answer(request).into()), crawled, asked, flags: &[] }
}

impl Row {
    fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
}

/// A file of rules with filling in front, so that the last rule begins at this byte.
fn rule_at(byte: usize) -> String {
    let mut file = "User-agent: *\n".to_owned();
    while file.len() + 100 < byte {
        file = format!("{file}# {:0>97}\n", file.len());
    }
    let left = byte - file.len() - 1;
    file.push_str(&"#".repeat(left));
    format!("{file}\nDisallow: /closed\n")
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn utf_16(text: &str) -> Vec<u8> {
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

/// Answers by the number of times that robots.txt was asked before.
fn flapping(answers: &'static [fn() -> Answer]) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    move |request| answers[request.nth.min(answers.len() - 1)]()
}

fn statuses() -> Vec<Row> {
    let plain = |name, code: u16, crawled, asked| row(name, crawled, asked, move |_: &Request| status(code));
    vec![
        row("200 with rules", Open, 1, |_: &Request| text(RULES)),
        row("200 without a byte", All, 1, |_: &Request| text("")),
        row("200 of nothing but comments", All, 1, |_: &Request| text("# none\n#Disallow: /\n")),
        row("200 that forbids everything", Nothing("skipped: robots"), 1, |_: &Request| {
            text("User-agent: *\nDisallow: /")
        }),
        row("200 for another agent", All, 1, |_: &Request| text("User-agent: lycosabot\nDisallow: /")),
        row("200 for us, as sites write it", Open, 1, |_: &Request| {
            text("User-agent: *\nDisallow: /\nUser-agent: LYCOSA/2.1 (news)\nDisallow: /closed")
        }),
        row("200 with rules of type HTML", Open, 1, |_: &Request| text(RULES).header("Content-Type", "text/html")),
        row("200 with rules of no type", Open, 1, |_: &Request| status(200).bytes(RULES)),
        row("200 with a page", All, 1, |_: &Request| {
            html("<!DOCTYPE html>\n<pre>\nUser-agent: *\nDisallow: /\n</pre>")
        }),
        row("200 with a page behind a comment", All, 1, |_: &Request| {
            html("<!-- start -->\n<html>\nUser-agent: *\nDisallow: /\n</html>")
        }),
        row("200 with bytes of an image", All, 1, |_: &Request| {
            status(200).bytes([0x89, b'P', b'N', b'G', 0, 1, 2, 0xff])
        }),
        plain("204", 204, All, 1),
        plain("400", 400, All, 1),
        plain("401", 401, All, 1),
        plain("403", 403, All, 1),
        plain("404", 404, All, 1),
        plain("410", 410, All, 1),
        plain("451", 451, All, 1),
        row("404 with rules as its body", All, 1, |_: &Request| status(404).bytes("User-agent: *\nDisallow: /")),
        plain("500", 500, Nothing("skipped: robots"), 2),
        plain("501, which is not tried again", 501, Nothing("skipped: robots"), 1),
        plain("503", 503, Nothing("skipped: robots"), 2),
        row("503 with Retry-After, for ever", Nothing("skipped: robots"), 10, |_: &Request| {
            status(503).header("Retry-After", "0")
        }),
        row("503 with a Retry-After of a day", Nothing("skipped: robots"), 1, |_: &Request| {
            status(503).header("Retry-After", "86400")
        }),
        row("429 with Retry-After, for ever", Nothing("skipped: robots"), 10, |_: &Request| {
            status(429).header("Retry-After", "0")
        }),
        row("429 with a Retry-After of a day", Nothing("skipped: robots"), 1, |_: &Request| {
            status(429).header("Retry-After", "86400")
        }),
    ]
}

fn redirects() -> Vec<Row> {
    let chain = |hops: u32| {
        move |request: &Request| {
            let at = request.path().strip_prefix("/hop/").map_or(0, |number| number.parse::<u32>().unwrap());
            if at < hops { redirect(302, format!("/hop/{}", at + 1)) } else { text(RULES) }
        }
    };
    let to = |name, code: u16, target: &'static str, crawled| {
        row(name, crawled, 1, move |request: &Request| match request.path() {
            "/robots.txt" => redirect(code, target),
            "/rules" => text(RULES),
            _ => status(404),
        })
    };
    vec![
        to("301 to rules", 301, "/rules", Open),
        to("303 to rules", 303, "/rules", Open),
        to("307 to rules", 307, "/rules", Open),
        to("308 to rules", 308, "rules", Open),
        to("302 to what is not there", 302, "/gone", All),
        to("302 to another scheme", 302, "ftp://files.test/robots.txt", All),
        to("302 to an address that does not resolve", 302, "http://nowhere.invalid/robots.txt", Nothing("failed")),
        row("302 without a target", All, 1, |_: &Request| status(302)),
        row("304, though nothing was cached", All, 1, |_: &Request| status(304)),
        row("five redirects", Open, 1, chain(5)),
        row("six redirects", All, 1, chain(6)),
        row("a redirect to itself", All, 6, |_: &Request| redirect(302, "/robots.txt")),
    ]
}

fn bodies() -> Vec<Row> {
    let rules_as = |name, body: Vec<u8>| row(name, Open, 1, move |_: &Request| text("").bytes(&*body));
    let limit = 500 * 1024;
    vec![
        rules_as("a byte order mark", [b"\xef\xbb\xbf", RULES.as_bytes()].concat()),
        rules_as("CR alone", RULES.replace('\n', "\r").into_bytes()),
        rules_as("CRLF", RULES.replace('\n', "\r\n").into_bytes()),
        rules_as("UTF-16 with its mark", utf_16(RULES)),
        rules_as("Latin-1 beside the rules", [b"# gr\xfc\xdfe\n", RULES.as_bytes()].concat()),
        rules_as("lines without a colon", b"hello\nUser-agent *\n:\nDisallow /closed".to_vec()),
        rules_as("a rule that ends at 500 KiB", rule_at(limit - 18).into_bytes()),
        row("a rule that 500 KiB cut", All, 1, move |_: &Request| text(rule_at(limit - 11))),
        row("a rule behind 500 KiB", All, 1, move |_: &Request| text(rule_at(limit + 10))),
        row("rules in front of 10 MiB", Open, 1, |_: &Request| text(format!("{RULES}{}", "# x\n".repeat(10 << 18)))),
        row("rules in front of no end", Open, 1, |_: &Request| {
            Answer::Raw([b"HTTP/1.1 200 OK\r\n\r\n", RULES.as_bytes(), "# x\n".repeat(1 << 18).as_bytes()].concat())
        }),
        row("gzip", Open, 1, |_: &Request| text("").header("Content-Encoding", "gzip").bytes(gzip(RULES))),
        row("gzip that is none", Nothing("failed"), 1, |_: &Request| {
            text("").header("Content-Encoding", "gzip").bytes("User-agent")
        }),
        row("a bomb of 100 MiB", All, 1, |_: &Request| bomb(100)),
    ]
}

fn silences() -> Vec<Row> {
    let dead = |name, answer: fn() -> Answer, asked| row(name, Nothing("failed"), asked, move |_: &Request| answer());
    vec![
        dead("a reset", || Answer::Reset, 2),
        dead("a connection that is closed", || Answer::Close, 2),
        dead("a body that ends too soon", || Answer::CloseMidBody, 2),
        dead("what is not HTTP", || Answer::Raw(b"SSH-2.0-server\r\n".to_vec()), 1),
        dead("no answer", || Answer::Hang, 1).flags(&["--timeout", "300ms", "--retries", "0"]),
        dead("a byte now and then", || Answer::Drip(std::time::Duration::from_millis(100)), 1).flags(&[
            "--timeout",
            "500ms",
            "--retries",
            "0",
        ]),
        row("no robots.txt is asked for", All, 0, |_: &Request| Answer::Reset).flags(&["--robots", "ignore"]),
        row("500, then rules", Open, 2, flapping(&[|| status(500).into(), || text(RULES).into()])),
        row("reset, then rules", Open, 2, flapping(&[|| Answer::Reset, || text(RULES).into()])),
        row(
            "429, then rules",
            Open,
            2,
            flapping(&[|| status(429).header("Retry-After", "0").into(), || text(RULES).into()]),
        ),
        row(
            "503 and Retry-After twice, then none",
            All,
            3,
            flapping(&[
                || status(503).header("Retry-After", "0").into(),
                || status(503).header("Retry-After", "0").into(),
                || status(404).into(),
            ]),
        ),
        // Over a kept connection the reset might be taken for its end, and robots.txt asked once more for free.
        row(
            "500, then reset",
            Nothing("failed"),
            2,
            flapping(&[|| status(500).header("Connection", "close").into(), || Answer::Reset]),
        ),
        row("reset, then 500", Nothing("skipped: robots"), 2, flapping(&[|| Answer::Reset, || status(500).into()])),
        row("rules, then 500", Open, 1, flapping(&[|| text(RULES).into(), || status(500).into()])),
    ]
}

/// Crawls a row's site; says what is wrong.
fn judge(row: Row) -> Vec<String> {
    let Row { name, answer, crawled, asked, flags } = row;
    let site = Site::start(move |request: &Request| match request.path() {
        "/" => html(index(["/open", "/closed"])).into(),
        "/open" | "/closed" => html("").into(),
        _ => answer(request),
    });
    let run =
        lycosa(["crawl", "--retries", "1", "--deadline", "30s", &site.url("/")]).args(flags.iter().copied()).run();
    let targets: Vec<_> = site.log().into_iter().map(|hit| hit.target).collect();
    let mut pages: Vec<_> = targets.iter().filter(|path| ["/", "/open", "/closed"].contains(&&***path)).collect();
    pages.sort_unstable();
    let (expected, end): (&[&str], _) = match crawled {
        All => (&["/", "/closed", "/open"], "ok"),
        Open => (&["/", "/open"], "ok"),
        Nothing(end) => (&[], end),
    };
    let mut wrong = Vec::new();
    if pages != expected {
        wrong.push(format!("{name}: crawled {pages:?}; it said:\n{}", run.stderr));
    }
    let times = targets.iter().filter(|path| *path == "/robots.txt").count();
    if times != asked {
        wrong.push(format!("{name}: robots.txt was asked {times} times, not {asked}"));
    }
    let records = run.records();
    let seed = records.iter().find(|record| record["depth"] == 0);
    let ended = seed.map(|seed| outcome_counts(std::slice::from_ref(seed)).into_keys().next().unwrap());
    let at_robots = end != "failed" || seed.is_some_and(|seed| seed["error"]["stage"] == "robots");
    if ended.as_deref() != Some(end) || !at_robots {
        wrong.push(format!("{name}: the seed ended {ended:?}: {:?}", seed.map(|seed| &seed["error"])));
    }
    wrong
}

#[test]
fn what_is_crawled_in_each_situation() {
    let rows: Vec<_> = [statuses(), redirects(), bodies(), silences()].into_iter().flatten().collect();
    assert!(rows.len() >= 60, "{} situations", rows.len());
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    let (rows, wrong) = (Mutex::new(rows), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(row) = { rows.lock().unwrap().pop() } {
                    let found = judge(row);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn redirects_to_another_host_are_followed_and_never_into_private_networks() {
    for (allowed, pages) in [(true, vec!["/"]), (false, vec![])] {
        let other = Site::start(|request| match request.path() {
            "/shared-rules" => redirect(302, "/rules"),
            "/rules" => text(RULES),
            _ => text("User-agent: *\nDisallow: /"),
        });
        let target = other.url("/shared-rules");
        let site = Site::start(move |request| match request.path() {
            "/robots.txt" => redirect(301, &*target),
            "/" => html(index(["/closed"])),
            _ => html(""),
        });
        let flags = allowed.then_some("--allow-private");
        let run = lycosa(["crawl", &site.url("/")]).args(flags).run().exits(i32::from(!allowed));
        assert_eq!(site.targets(), pages);
        // Loopback, and nobody typed its name: what its rules allow is not known.
        let warned = run.stderr.contains("--allow-private") && run.stderr.contains(&other.url("/shared-rules"));
        assert_eq!(warned, !allowed, "{}", run.stderr);
        let asked: Vec<_> = other.log().into_iter().map(|hit| hit.target).collect();
        assert_eq!(asked, if allowed { vec!["/shared-rules", "/rules"] } else { vec![] });
        let requests = requests_of(with_path(&run.records(), "/")).len();
        assert_eq!(requests, if allowed { 4 } else { 1 }, "every hop stands in the record");
        let (code, answers) = told(lycosa(["robots", &site.url("/")]).args(flags));
        let answer = &answers[&site.url("/")];
        let reason = if allowed { "no_rule" } else { "private_address" };
        assert_eq!((code, field(answer, "reason")), (i32::from(!allowed), reason), "{answer}");
        if !allowed {
            assert_eq!(field(with_path(&run.records(), "/"), "skip_reason"), "robots");
            let run = lycosa(["explain", &site.url("/")]).run().exits(0);
            assert!(
                run.text().contains(&format!("disallowed: robots.txt redirects to {}", other.url("/"))),
                "{}",
                run.text()
            );
        }
    }
}

#[test]
fn one_fetch_for_each_origin_however_many_urls_wait() {
    let answer = |request: &Request| match request.path() {
        "/robots.txt" => text(RULES).after_ms(300),
        _ => html(""),
    };
    let (first, second) = (Site::start(answer), Site::start(answer));
    let urls = (0..400).map(|n| if n % 2 == 0 { first.url(&format!("/{n}")) } else { second.url(&format!("/{n}")) });
    let run = lycosa(["fetch", "--robots", "obey"]).lines(urls).run().exits(0);
    assert_eq!(run.records().len(), 400);
    for site in [&first, &second] {
        assert_eq!((site.hits() - site.pages().len(), site.pages().len()), (1, 200));
    }
}

#[test]
fn a_long_crawl_delay_is_kept_and_told() {
    let _alone = measuring();
    let site = || {
        Site::start(|request| match request.path() {
            "/robots.txt" => text("User-agent: other\nCrawl-delay: 90\n\nUser-agent: lycosa\nCrawl-delay: 1\n"),
            _ => html(index(["/1", "/2"])),
        })
    };
    let (told, control) = (site(), site());
    let run = lycosa(["crawl", "--max-crawl-delay", "500ms", &told.url("/")]).run().exits(0);
    assert!(run.stderr.contains("max-crawl-delay") && run.stderr.contains("86400 pages a day"), "{}", run.stderr);
    let run = lycosa(["crawl", &control.url("/")]).run().exits(0);
    assert!(!run.stderr.contains("max-crawl-delay"), "a second is below the default: {}", run.stderr);
    for site in [told, control] {
        let gaps = gaps(&site.log());
        assert!(gaps.len() == 3 && gaps.iter().all(|gap| gap.as_millis() >= 980), "it is kept: {gaps:?}");
    }
}

#[test]
fn nofollow_is_obeyed_with_robots_and_noindex_is_noted() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => status(404),
        "/" => html(format!("{}<a href=/of-one rel='nofollow ugc'>x</a>", index(["/meta", "/head", "/other"]))),
        "/meta" => html("<meta name=robots content='noindex,nofollow'><a href=/of-meta>x</a>"),
        "/head" => html("<a href=/of-head>x</a>").header("X-Robots-Tag", "otherbot: noindex, lycosa: nofollow"),
        "/other" => html("<a href=/of-other>x</a>").header("X-Robots-Tag", "otherbot: nofollow"),
        _ => html(""),
    });
    let flags = ["crawl", "--with", "links", "--summary", "summary.json"];
    let run = lycosa(flags).arg(site.url("/")).run().exits(0);
    assert_eq!(site.targets(), ["/", "/head", "/meta", "/of-other", "/other"]);
    assert_eq!(run.summary().0["refused"], json!({ "robots": 3 }), "what was not followed is counted");
    let records = run.records();
    for record in &records {
        assert_eq!(record["noindex"], field(record, "url").ends_with("/meta"), "{record}");
    }
    assert_eq!(with_path(&records, "/")["links"].as_array().map(Vec::len), Some(4), "records list all links");
    lycosa(["crawl", "--robots", "ignore", &site.url("/")]).run().exits(0);
    let targets = site.targets();
    for path in ["/of-one", "/of-meta", "/of-head"] {
        assert!(targets.iter().any(|target| target == path), "{path} is followed with --robots ignore");
    }
}

/// Runs a command that only tells; returns its exit code and its answers by URL.
fn told(command: Command) -> (i32, BTreeMap<String, Value>) {
    let run = command.args(["--format", "json"]).run();
    let answers: Vec<Value> =
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stderr));
    (run.code, answers.into_iter().map(|answer| (field(&answer, "url").to_owned(), answer)).collect())
}

#[test]
fn the_command_robots_tells_the_line_that_decides() {
    let rules = "# ours\r\nUser-agent: *\r\nDisallow: /closed\r\nAllow: /closed/not # so\r\n\r\nUser-agent: Friend/3\r\nCrawl-delay: 2\r\n";
    let site = Site::start(move |request| if request.path() == "/robots.txt" { text(rules) } else { html("") });
    let broken = Site::start(|_| status(404));
    let [open, closed, not] = ["/", "/closed/x", "/closed/not/x"].map(|path| site.url(path));
    let (code, answers) = told(lycosa(["robots", &open, &closed, &not, &broken.url("/x")]));
    assert_eq!(code, 1, "one may not be fetched");
    let told_of =
        |url: &str| (answers[url]["allowed"].clone(), field(&answers[url], "reason"), answers[url]["rule"].clone());
    assert_eq!(told_of(&open), (json!(true), "no_rule", Value::Null));
    assert_eq!(told_of(&closed), (json!(false), "rule", json!({ "line": 3, "text": "Disallow: /closed" })));
    assert_eq!(told_of(&not), (json!(true), "rule", json!({ "line": 4, "text": "Allow: /closed/not # so" })));
    assert_eq!(told_of(&broken.url("/x")), (json!(true), "no_robots", Value::Null));
    assert_eq!(answers[&closed]["group"], json!({ "line": 2, "agent": "*" }));
    assert_eq!((site.hits(), broken.hits()), (1, 1), "robots.txt once, and no page");

    let (code, answers) = told(lycosa(["robots", "-A", "FRIEND/4.0 (me)", &closed]));
    assert_eq!((code, &answers[&closed]["crawl_delay_s"]), (0, &json!(2.0)));
    assert_eq!(answers[&closed]["group"], json!({ "line": 6, "agent": "FRIEND" }));

    let run = lycosa(["robots", &closed, &open]).run().exits(1);
    let lines: Vec<_> = run.text().lines().collect();
    assert!(lines[0].starts_with("disallowed") && lines[0].contains("line 3 \"Disallow: /closed\""), "{}", lines[0]);
    assert!(lines[1].starts_with("allowed") && lines[1].contains(&open), "{}", lines[1]);
}

#[test]
fn the_command_robots_needs_no_network_with_a_file() {
    let command = |words: &[&str]| lycosa(["robots"]).args(words.iter().copied()).file("rules", RULES);
    command(&["--robots-file", "rules", "http://h.test/open"]).run().exits(0);
    command(&["--robots-file", "rules", "http://h.test/open", "http://other.test/closed"]).run().exits(1);
    lycosa(["robots", "--robots-file", "-", "http://h.test/closed"]).stdin(RULES).run().exits(1);
    for wrong in
        [&[][..], &["--robots-file", "rules"], &["ftp://h.test/"], &["--robots-file", "none", "http://h.test/"]]
    {
        let run = command(wrong).run().exits(2);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("lycosa: "), "{wrong:?}: {}", run.stderr);
    }
}

#[test]
fn the_command_robots_means_what_a_crawl_does() {
    type Case = (&'static str, fn(&Request) -> Answer, bool, &'static str);
    let cases: [Case; 6] = [
        ("5xx", |_| status(503).into(), false, "server_error"),
        ("429", |_| status(429).header("Retry-After", "9999").into(), false, "server_error"),
        ("reset", |_| Answer::Reset, false, "unreachable"),
        ("html", |_| html("<html>User-agent: *\nDisallow: /").into(), true, "html"),
        ("loop", |_| redirect(302, "/robots.txt").into(), true, "no_robots"),
        ("other group", |_| text("User-agent: x\nDisallow: /").into(), true, "no_group"),
    ];
    for (name, answer, allowed, reason) in cases {
        let site = Site::start(answer);
        let (code, answers) = told(lycosa(["robots", "--retries", "0", &site.url("/")]));
        let answer = &answers[&site.url("/")];
        assert_eq!((code, field(answer, "reason")), (i32::from(!allowed), reason), "{name}");
        assert!(site.pages().is_empty(), "{name}");
    }
}

#[test]
fn the_command_explain_asks_for_no_page() {
    let site = Site::start(|request| match request.path() {
        "/robots.txt" => text("User-agent: *\nCrawl-delay: 7\nDisallow: /docs/closed\n"),
        _ => html(""),
    });
    let seed = site.url("/docs/start");
    let closed = site.url("/docs/./closed?x#part");
    let away = site.url("/blog/");
    let flags = ["explain", "--scope", "prefix", "--host-rate", "2/s"];
    let (code, answers) = told(lycosa(flags).args([&seed, &closed, &away]));
    assert_eq!(code, 0);
    assert_eq!(answers[&seed]["seed"], true);
    let told_of = &answers[&site.url("/docs/closed?x")];
    assert_eq!(field(told_of, "input"), closed);
    assert_eq!((field(told_of, "host_key"), &told_of["scope"]["in_scope"]), (site.host(), &json!(true)));
    assert_eq!((&told_of["robots"]["allowed"], &told_of["robots"]["rule"]["line"]), (&json!(false), &json!(3)));
    assert_eq!((&told_of["delay_s"], field(told_of, "delay_from")), (&json!(7.0), "crawl_delay"));
    assert_eq!((&told_of["host_concurrency"], field(told_of, "host_rate")), (&json!(1), "2/s"));
    assert_eq!(answers[&away]["scope"]["in_scope"], false);
    assert_eq!((site.hits(), site.pages().len()), (1, 0));

    let run = lycosa(["explain", "--robots", "ignore", "--delay", "1s", "--seed", &seed, &away]).run().exits(0);
    assert!(run.text().contains("in scope: host") && run.text().contains("1s, of --delay"), "{}", run.text());
    assert_eq!(site.hits(), 1, "nothing is asked");
    lycosa(["explain", "--exclude", "(", &seed]).run().exits(2);
}

#[test]
fn the_command_explain_knows_private_addresses() {
    alone("robots::the_command_explain_knows_private_addresses", |_| private_addresses_explained());
}

/// Nothing is asked of these hosts; if it were, then in a network of its own.
fn private_addresses_explained() {
    let explain = |urls: &[&str], flags: &[&str]| {
        let flags = ["explain", "--robots", "ignore", "--scope", "any"].iter().chain(flags).copied();
        let (code, answers) = told(lycosa(flags).args(urls.iter().copied()));
        assert_eq!(code, 0);
        urls.iter().map(|url| answers[*url]["private_address"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    let links = ["http://192.168.1.1/", "http://[::1]:8080/", "http://www.localhost/", "http://name.invalid/"];
    let seed = ["--seed", "http://seed.invalid/"];
    assert_eq!(explain(&links, &seed), [true, true, true, false]);
    assert_eq!(explain(&links, &["--seed", "http://192.168.1.1:81/x"]), [false, true, true, false], "typed");
    assert_eq!(explain(&links, &["--allow-private", seed[0], seed[1]]), [false; 4]);
    assert_eq!(explain(&["http://127.0.0.1/"], &[]), [false], "a seed");
    assert_eq!(explain(&["http://127.0.0.1/"], &["--deny-cidr", "127.0.0.0/8"]), [true], "denied to seeds too");
    // What is led elsewhere is judged by where, and counts as typed.
    let led = ["--resolve", "name.invalid:80:127.0.0.1", "--connect-to", "192.168.1.1:80:[::1]:81"];
    assert_eq!(explain(&links, &[&seed[..], &led].concat()), [false, true, true, false]);
    let denied = [&seed[..], &led, &["--deny-cidr", "127.0.0.0/8", "--deny-cidr", "::1/128"]].concat();
    assert_eq!(explain(&links, &denied), [true; 4]);
    let run = lycosa(["explain", "--robots", "ignore"]).args(led).args([links[0], links[3]]).run().exits(0);
    for told in ["[::1]:81, by --resolve or --connect-to", "name.invalid:80 at 127.0.0.1, by"] {
        assert!(run.text().contains(told), "{}", run.text());
    }
    let run = lycosa(["explain", "--robots", "ignore", "--scope", "any"]).args(seed).arg(links[0]).run().exits(0);
    assert!(run.text().contains("without --allow-private"), "{}", run.text());
}
