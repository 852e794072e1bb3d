//! What must not be seen: secrets in anything that is written, and control characters of servers on a terminal.

use std::path::Path;

use crate::support::*;

/// In every secret of these tests, also as base64 at each of its three places in a group.
const SECRET: &str = "s3cr3t";
const ENCODED: [&str; 3] = ["czNjcjN0", "MzY3Izd", "zM2NyM3"];

/// Every secret of a run has this form: the place it was planted at is told when it is found.
fn secret(place: &str) -> String {
    format!("{SECRET}-{place}")
}

/// Complains of every place where a secret is found.
fn complaints(what: &str, bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let found = std::iter::once(SECRET).chain(ENCODED).flat_map(|needle| text.match_indices(needle));
    found
        .map(|(at, _)| {
            let around = text[at..].chars().take(40).collect::<String>();
            let before: String = text[..at].chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
            format!("{what}: {before}>>>{around}")
        })
        .collect()
}

fn complaints_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| complaints(&path.display().to_string(), &std::fs::read(&path).unwrap())).collect()
}

/// A server that says secrets in its heads.
fn teller() -> Site {
    Site::start(|request| {
        let answer: Answer = match request.path() {
            "/cookie" => html("").header("Set-Cookie", format!("sid={}; Path=/", secret("set-cookie"))).into(),
            "/token" => html("").header("X-Auth-Token", secret("token")).header("X-Other", "seen").into(),
            "/redirect" => redirect(302, format!("http://u:{}@127.0.0.2:1/x", secret("location"))).into(),
            "/inside" => redirect(302, format!("//u:{}@{}/landed", secret("location"), "127.0.0.3:1")).into(),
            "/nowhere" => redirect(302, format!("http://u:{}@[bad/", secret("location"))).into(),
            "/ftp" => redirect(302, format!("ftp://u:{}@h/", secret("location"))).into(),
            "/reset" => Answer::Reset,
            "/garbage" => Answer::Raw(b"no http\r\n\r\n".to_vec()),
            "/refused" => status(503).into(),
            _ => html("<title>t</title>").into(),
        };
        answer
    })
}

/// Lines in which everything that can be secret is.
fn lines(site: &Site) -> Vec<String> {
    let with_user = |path: &str| site.url(path).replace("://", &format!("://u:{}@", secret("url")));
    let paths =
        ["/cookie", "/token", "/redirect", "/inside", "/nowhere", "/ftp", "/reset", "/garbage", "/refused", "/plain"];
    let mut lines: Vec<String> = paths.map(&with_user).into();
    let s = |place: &str| secret(place);
    lines.extend([
        format!(r#"{{"url":"{}","user":"al:{}"}}"#, site.url("/user"), s("job-user")),
        format!(r#"{{"url":"{}","cookies":"a={}"}}"#, site.url("/cookies"), s("job-cookies")),
        format!(r#"{{"url":"{}","cookies":{{"a":"{}"}}}}"#, site.url("/object"), s("job-cookies")),
        format!(r#"{{"url":"{}","proxy":"http://p:{}@127.0.0.1:1"}}"#, site.url("/proxied"), s("job-proxy")),
        format!(r#"{{"url":"{}","headers":{{"Authorization":"Bearer {}"}}}}"#, site.url("/header"), s("job-header")),
        format!(r#"{{"mirrors":["{}","{}"]}}"#, with_user("/reset"), with_user("/mirror")),
        format!(r#"{{"url":"{}","user":"{}"}}"#, site.url("/"), s("no-colon")),
        format!(r#"{{"url":"{}","cookies":"{}"}}"#, site.url("/"), s("no-equals")),
        format!(r#"{{"url":"{}","headers":["{}"]}}"#, with_user("/"), s("no-colon")),
        format!(r#"{{"url":"{}","timeout":true}}"#, with_user("/")),
        format!(r#"{{"url":"{}","user":"al:{}","headers":{{"X-Api-Key":"{}"}}"#, with_user("/"), s("torn"), s("torn")),
        format!("http://u:{}@[bad/", s("bad-url")),
        format!("ftp://u:{}@h/", s("bad-url")),
        format!("http://u:{}@h h/", s("bad-url")),
        format!("u:{}@", s("bad-url")),
    ]);
    lines
}

/// A run with secrets from every place that they come from.
fn full_run(site: &Site, log: &str, state: bool) -> Command {
    let machine = site.host().split(':').next().unwrap().to_owned();
    let jar = format!("{machine}\tFALSE\t/\tFALSE\t0\tj\t{}\n", secret("jar"));
    let netrc = format!("machine {machine} login n password {}\n", secret("netrc"));
    let state = if state { &["--state", "st"][..] } else { &[] };
    lycosa(["fetch", "-vv", "--log-format", log, "--with", "headers,body,links", "--retries", "0", "-n"])
        .args([
            "--fail-on",
            "never",
            "--allow-private",
            "--summary",
            "summary.json",
            "-o",
            "out.jsonl",
            "-o",
            "out.json",
            "-o",
            "out.warc",
            "-o",
            "out.csv",
            "-o",
            "out.db",
        ])
        .args(["-u".to_owned(), format!("run:{}", secret("flag-user"))])
        .args(["-H".to_owned(), format!("X-Api-Key: {}", secret("flag-header"))])
        .args(["-H".to_owned(), format!("Proxy-Authorization: {}", secret("flag-header"))])
        .args(["-b".to_owned(), format!("k={}", secret("flag-cookie"))])
        .args(["-b", "jar.in", "-c", "jar.out", "-i", "urls"])
        .args(state.iter().copied())
        .env("NETRC", "logins")
        .file("jar.in", jar)
        .file("logins", netrc)
        .file("urls", lines(site).join("\n"))
}

#[track_caller]
fn is_clean(run: &Run) {
    let mut found = complaints("standard output", &run.stdout);
    found.extend(complaints("standard error", run.stderr.as_bytes()));
    for name in ["summary.json", "out.jsonl", "out.json", "out.warc", "out.warc.cdxj", "out.csv", "out.db"] {
        if run.path(name).exists() {
            found.extend(complaints(name, &std::fs::read(run.path(name)).unwrap()));
        }
    }
    if run.path("st").exists() {
        found.extend(complaints_in(&run.path("st")));
    }
    assert!(found.is_empty(), "{} places, among them:\n{}", found.len(), found[..found.len().min(8)].join("\n"));
}

#[test]
fn a_run_full_of_secrets_tells_none() {
    let site = teller();
    for (log, state) in [("text", true), ("json", false)] {
        let run = full_run(&site, log, state).run().exits(0);
        is_clean(&run);
        assert_eq!(run.records_of("out.jsonl").len(), lines(&site).len());
        let archive = String::from_utf8_lossy(&std::fs::read(run.path("out.warc")).unwrap()).into_owned();
        for line in [
            "authorization: ***\r\n",
            "cookie: ***\r\n",
            "x-api-key: ***\r\n",
            "set-cookie: sid=***; Path=/\r\n",
            "x-other: seen\r\n",
        ] {
            assert!(archive.contains(line), "{line}");
        }
        // The secrets were there: they went to the server, and into the jar.
        let jar = std::fs::read_to_string(run.path("jar.out")).unwrap();
        assert!(jar.contains(&secret("set-cookie")) && jar.contains(&secret("jar")));
        let records = run.records_of("out.jsonl");
        let headers = |path: &str| with_path(&records, path)["headers"].clone();
        assert_eq!(headers("/cookie")["set-cookie"][0], "sid=***; Path=/");
        assert_eq!(
            (&headers("/token")["x-auth-token"][0], &headers("/token")["x-other"][0]),
            (&"***".into(), &"seen".into())
        );
    }
    let sent: Vec<String> =
        site.log().into_iter().flat_map(|hit| hit.headers).map(|(name, value)| format!("{name}: {value}")).collect();
    for place in ["flag-header", "flag-cookie", "jar", "job-cookies", "job-header"] {
        assert!(sent.iter().any(|line| line.contains(&secret(place))), "{place} was sent");
    }
    assert!(sent.iter().filter(|line| ENCODED.iter().any(|encoded| line.contains(encoded))).count() > 9);
}

#[test]
fn neither_do_a_stopped_run_its_snapshot_and_its_status() {
    let site = Site::start(|request| if request.path() == "/hang" { Answer::Hang } else { html("").into() });
    let hang = site.url("/hang").replace("://", &format!("://u:{}@", secret("url")));
    let mut run = full_run(&site, "text", true).arg(hang).spawn();
    run.wait_until("the page hangs", || site.log().iter().any(|hit| hit.target == "/hang"));
    run.signal("USR1");
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.signal("TERM");
    run.signal("TERM");
    let run = run.finish();
    assert_eq!(run.code, 143, "{}", run.stderr);
    assert!(run.stderr.contains("in flight") || run.stderr.contains("snapshot"), "{}", run.stderr);
    is_clean(&run);
    let st = run.path("st").display().to_string();
    for format in ["text", "json"] {
        is_clean(&lycosa(["status", &st, "--format", format]).run().exits(0));
    }
    let again = lycosa(["resume", &st]).run().exits(2);
    assert!(again.stderr.contains("-b 'NAME=VALUE'") && again.stderr.contains("--user"), "{}", again.stderr);
}

#[test]
fn proxies_and_settings_tell_none() {
    let proxy = Site::start(|_: &Request| html(""));
    let with_user = |url: String| url.replace("://", &format!("://p:{}@", secret("proxy")));
    for address in [proxy.url(""), "http://127.0.0.1:1".to_owned(), "socks5h://127.0.0.1:1".to_owned()] {
        let run = lycosa(["fetch", "-vv", "--retries", "0", "--fail-on", "never", "-x", &with_user(address)]);
        is_clean(&run.args(["http://name.invalid/", "https://name.invalid/"]).run().exits(0));
    }
    for bad in ["ftp://p:PW@h", "http://p:PW@[bad", "http://p:PW@"] {
        is_clean(&lycosa(["fetch", "-x", &bad.replace("PW", SECRET), "http://h/"]).run().exits(2));
    }
    let s = |place: &str| secret(place);
    let show = |arguments: &[&str]| {
        lycosa(["config", "show"])
            .args(arguments.iter().copied())
            .env("LYCOSA_USER", format!("al:{}", s("user")))
            .env("LYCOSA_COOKIE", format!("a={}; b={}", s("cookie"), s("cookie")))
            .env("LYCOSA_HEADER", format!("Authorization: {}\nX-Api-Key: {}", s("header"), s("header")))
            .env("LYCOSA_PROXY", with_user("http://h:1".to_owned()))
            .run()
            .exits(0)
    };
    for arguments in [&["fetch"][..], &["--format", "json"]] {
        let run = show(arguments);
        is_clean(&run);
        assert!(run.text().contains("al:***") && run.text().contains("a=***; b=***"), "{}", run.text());
    }
    for (flag, value) in
        [("-u", SECRET.to_owned()), ("-H", format!("no colon {SECRET}")), ("-b", format!("a={SECRET}\u{7}"))]
    {
        is_clean(&lycosa(["fetch", flag, &value, "http://h/"]).run().exits(2));
    }
    is_clean(&lycosa(["fetch", &format!("http://u:{SECRET}@[bad/")]).run().exits(2));
}

#[test]
fn control_characters_of_servers_steer_no_terminal() {
    const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}31m";
    let site = Site::start(|request| {
        let answer: Answer = match request.path() {
            "/title" => html(format!("<title>a{ESCAPES}b</title>")).into(),
            "/raw" => Answer::Raw(format!("HTTP/1.1 200 {ESCAPES}\r\nX: {ESCAPES}\r\n\r\n").into_bytes()),
            "/type" => status(200).header("Content-Type", "text/\u{9b}31m").into(),
            "/location" => redirect(302, "/t/\u{9b}31m\u{85}").into(),
            "/scheme" => redirect(302, "x\u{9b}y:z").into(),
            "/robots.txt" => text(format!("User-agent: {ESCAPES}\nCrawl-delay: {ESCAPES}\n{ESCAPES}\n")).into(),
            "/" => {
                html(format!("<a href='/title'>{ESCAPES}</a><a href='/raw'>x</a><a href='/x{ESCAPES}'>x</a>")).into()
            }
            _ => html("").into(),
        };
        answer
    });
    let urls = ["/title", "/raw", "/type", "/location", "/scheme"].map(|path| site.url(path));
    let lines = [format!("{}{ESCAPES}", site.url("/line")), format!("{{\"url\":\"x\",\"{ESCAPES}\":1}}")].join("\n");
    for log in ["text", "json"] {
        let options = ["-vv", "--log-format", log, "--retries", "0", "--with", "headers,links", "--color", "never"];
        let fetched =
            lycosa(["fetch", "--fail-on", "never", "-i", "l"]).args(options).args(&urls).file("l", &lines).run();
        let crawled = lycosa(["crawl", "--fail-on", "never", &site.url("/")]).args(options).run();
        for run in [fetched.exits(0), crawled.exits(0)] {
            // Records are JSON for programs, which escapes what JSON asks for; all else is read by people.
            let is_bad =
                |c: char, c1: bool| (c.is_ascii_control() && c != '\u{7f}' || c1 && c.is_control()) && c != '\n';
            for (what, text, c1) in [("standard error", run.stderr.as_str(), true), ("records", run.text(), false)] {
                let line = text.lines().find(|line| line.contains(|c| is_bad(c, c1)));
                assert_eq!(line, None, "{what}");
            }
        }
    }
}
