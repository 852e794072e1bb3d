//! Cookies as curl has them: typed ones, the engine, and files that both programs read.

use crate::support::*;

/// Sets cookies of every kind, and answers anything else with a page.
fn baker() -> Site {
    // At 127.0.0.1, the one address that curl takes to be as good as https.
    Site::start_beside_others(|request| match request.path() {
        "/set" => html("")
            .header("Set-Cookie", "plain=1")
            .header("Set-Cookie", "deep=2; Path=/x")
            .header("Set-Cookie", "hidden=3; HttpOnly")
            .header("Set-Cookie", "safe=4; Secure")
            .header("Set-Cookie", "lasting=5; Max-Age=1000")
            .header("Set-Cookie", "quoted=\"q q\"")
            .header("Set-Cookie", "empty=")
            .header("Set-Cookie", "=nameless")
            .header("Set-Cookie", "equal=x=y; Domain=127.0.0.1")
            .header("Set-Cookie", "foreign=6; Domain=example.org")
            .header("Set-Cookie", "__Host-own=7; Secure; Path=/")
            .header("Set-Cookie", "__Host-other=8; Path=/")
            .header("Set-Cookie", "gone=9; Max-Age=0"),
        "/login" => redirect(302, "/inside").header("Set-Cookie", "session=s1"),
        "/logout" => redirect(302, "/inside").header("Set-Cookie", "session=; Max-Age=0"),
        _ => html(""),
    })
}

/// The pairs of a `Cookie` line, sorted: their order is each program's own among paths of one length.
fn pairs(hit: &Hit) -> Vec<String> {
    let mut pairs: Vec<String> =
        hit.header("cookie").unwrap_or_default().split(';').map(|pair| pair.trim().to_owned()).collect();
    pairs.retain(|pair| !pair.is_empty());
    pairs.sort_unstable();
    pairs
}

fn last(site: &Site) -> Hit {
    site.log().pop().unwrap()
}

#[test]
fn typed_cookies_are_those_of_curl() {
    let site = baker();
    let cases: [&[&str]; 6] = [
        &["-b", "k=v"],
        &["-b", "k=v; k2=v2"],
        &["-b", "a=1", "-b", "b=2"],
        &["-b", "k=v", "-H", "Cookie: m=1"],
        &["-b", ""],
        &["-b", "k=\"a b\"; empty="],
    ];
    for case in cases {
        let url = site.url("/page");
        program("curl", ["-s", &url]).args(case.iter().copied()).run().exits(0);
        let curl = last(&site);
        lycosa(["fetch", &url]).args(case.iter().copied()).run().exits(0);
        assert_eq!(pairs(&last(&site)), pairs(&curl), "{case:?}");
    }
    lycosa(["fetch", &site.url("/login"), "-b", "k=v"]).run().exits(0);
    assert_eq!(pairs(&last(&site)), ["k=v"], "the engine is off: nothing is kept of the redirect");
}

#[test]
fn each_program_reads_the_other_s_jar() {
    let site = baker();
    let (set, page, deep) = (site.url("/set"), site.url("/page"), site.url("/x/y"));
    let curl = program("curl", ["-s", "-c", "jar", &set]).run().exits(0);
    let ours = lycosa(["fetch", "-c", "jar", &set]).run().exits(0);
    let jar = |run: &Run| std::fs::read_to_string(run.path("jar")).unwrap();
    let lines = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty());
        // A second may lie between the two runs.
        let mut lines: Vec<String> = lines
            .map(|line| {
                line.split('\t').enumerate().filter(|(at, text)| *at != 4 || *text == "0").map(|(_, text)| text)
            })
            .map(|fields| fields.collect::<Vec<_>>().join("\t"))
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(lines(&jar(&ours)), lines(&jar(&curl)));
    assert!(lines(&jar(&ours)).len() >= 8 && jar(&ours).contains("#HttpOnly_127.0.0.1\t"));

    let sent = |by: &dyn Fn(&str, &str), jar: &str| -> Vec<Vec<String>> {
        [&page, &deep].map(|url| (by(url, jar), pairs(&last(&site))).1).into()
    };
    let by_curl =
        |url: &str, jar: &str| drop(program("curl", ["-s", "-b", "jar", url]).file("jar", jar).run().exits(0));
    let by_us = |url: &str, jar: &str| drop(lycosa(["fetch", "-b", "jar", url]).file("jar", jar).run().exits(0));
    let expected = sent(&by_curl, &jar(&curl));
    assert_eq!(expected[0].len() + 1, expected[1].len());
    assert_eq!(sent(&by_us, &jar(&curl)), expected);
    assert_eq!(sent(&by_curl, &jar(&ours)), expected);
    assert_eq!(sent(&by_us, &jar(&ours)), expected);
}

#[test]
fn a_session_goes_through_redirects_and_over_runs() {
    let site = baker();
    let first = lycosa(["fetch", "-b", "jar", "-c", "jar", &site.url("/login")]).run().exits(0);
    assert_eq!(pairs(&last(&site)), ["session=s1"], "from the redirect to its target");
    let jar = std::fs::read(first.path("jar")).unwrap();
    let second = lycosa(["fetch", "-b", "jar", "-c", "jar", "-b", "k=v", &site.url("/again")]).file("jar", &jar).run();
    second.exits(0);
    assert_eq!(pairs(&last(&site)), ["k=v", "session=s1"]);
    let third = lycosa(["fetch", "-b", "jar", "-c", "jar", &site.url("/logout")]).file("jar", &jar).run().exits(0);
    assert_eq!(pairs(&last(&site)), [""; 0]);
    assert!(!std::fs::read_to_string(third.path("jar")).unwrap().contains("session"));
}

#[test]
fn a_jar_belongs_to_its_hosts_and_not_to_robots() {
    let other = baker();
    let to = other.url("/there");
    let site = Site::start(move |request| match request.path() {
        "/robots.txt" => text("").header("Set-Cookie", "r=1"),
        "/" => html(format!("<a href=/in>x</a><a href={to}>y</a>")).header("Set-Cookie", "a=1"),
        _ => html(""),
    });
    let crawl = ["crawl", "--scope", "any", "--allow-private", "-b", "", "-b", "typed=1"];
    lycosa(crawl).arg(site.url("/")).run().exits(0);
    let hit = |site: &Site, path: &str| site.log().into_iter().find(|hit| hit.target == path).unwrap();
    assert_eq!(pairs(&hit(&site, "/in")), ["a=1", "typed=1"]);
    assert_eq!(pairs(&hit(&site, "/robots.txt")), ["typed=1"]);
    assert_eq!(pairs(&hit(&other, "/there")), [""; 0], "another host has no part in either");
}

#[test]
fn files_that_cannot_be_used_are_told() {
    let site = baker();
    let url = site.url("/");
    for (options, code, told) in [
        (["-c", "-"], 2, "standard output carries records"),
        (["-b", "-"], 2, "not read from standard input"),
        (["-c", "no/jar"], 3, "cannot write the cookie jar no/jar"),
        (["-b", "."], 2, "cannot read the cookies of ."),
    ] {
        let run = lycosa(["fetch", &url]).args(options).run().exits(code);
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
    assert_eq!(site.hits(), 0);
    let run = lycosa(["fetch", "-b", "typo", &url]).run().exits(0);
    assert!(run.stderr.contains("no such file of cookies"), "{}", run.stderr);
    let run = lycosa(["fetch", "-c", "out.jsonl", "-o", "out.jsonl", &url]).run().exits(2);
    assert!(run.stderr.contains("same file"), "{}", run.stderr);
}

#[test]
fn cookies_without_end_find_a_jar_with_a_bottom() {
    let site = Site::start(|request| {
        let first = request.total * 60;
        (first..first + 60).fold(html(""), |reply, n| reply.header("Set-Cookie", format!("n{n}={}", "x".repeat(2000))))
    });
    let urls: Vec<String> = (0..20).map(|n| site.url(&format!("/{n}"))).collect();
    let run = lycosa(["fetch", "-c", "jar"]).args(urls).run().exits(0);
    let jar = std::fs::read_to_string(run.path("jar")).unwrap();
    assert_eq!(jar.lines().filter(|line| line.contains('\t')).count(), 50);
    assert!(site.log().iter().all(|hit| hit.header("cookie").unwrap_or_default().len() <= 8190));
}

#[test]
fn netrc_is_curls() {
    let (named, other) = (plain(), plain());
    let machine = machine(&named);
    let netrc = format!(
        "# mine\nmachine {machine} login me password \"p \\\"w\"\nmachine {machine} login two password 2\n\
         macdef init\nmachine {machine} login no\n\ndefault login anonymous password a@b\n"
    );
    let with_user = |user: &str| named.url("/").replace("://", &format!("://{user}@"));
    let cases: [(&Site, String, &[&str]); 7] = [
        (&named, named.url("/"), &[]),
        (&named, with_user("me"), &[]),
        (&named, with_user("two"), &["-X", "DELETE"]),
        (&named, named.url("/"), &["-u", "flag:pw"]),
        (&named, named.url("/"), &["-H", "Authorization: Bearer x"]),
        (&other, other.url("/"), &[]),
        (&other, other.url("/"), &["-u", "flag:pw"]),
    ];
    for (site, url, options) in cases {
        let curl = program("curl", ["-s", "--netrc-file", "logins", &url]).args(options.iter().copied());
        curl.file("logins", &netrc).run().exits(0);
        let curl = last(site);
        let ours = lycosa(["fetch", "-n", &url]).args(options.iter().copied());
        ours.file("logins", &netrc).env("NETRC", "logins").run().exits(0);
        assert_eq!(last(site).header("authorization"), curl.header("authorization"), "{options:?} {url}");
    }
}

/// The host of a site, without its port.
fn machine(site: &Site) -> String {
    site.host().split(':').next().unwrap().to_owned()
}

#[test]
fn a_login_goes_to_the_machine_it_names_and_to_no_other() {
    let auth = |hit: &Hit| hit.header("authorization").map(str::to_owned);
    let (login, stranger) = (plain(), plain());
    let targets = [login.url("/there"), stranger.url("/there")];
    let site = Site::start(move |request| match request.path() {
        "/login" => redirect(302, &targets[0]),
        "/stranger" => redirect(302, &targets[1]),
        _ => html(index([targets[0].as_str(), &targets[1]])),
    });
    let netrc = format!("machine {} login l password lp\ndefault login anonymous password a@b\n", machine(&login));
    let run = |arguments: &[&str]| {
        let command = lycosa(arguments.iter().copied()).args(["-n", "--allow-private"]).env("NETRC", "logins");
        command.file("logins", &netrc).run().exits(0);
        let last_page = |site: &Site| auth(site.pages().last().unwrap());
        (last_page(&login), last_page(&stranger))
    };
    let (there, strange) = run(&["fetch", &site.url("/login"), &site.url("/stranger")]);
    assert_eq!(there.as_deref(), Some("Basic bDpscA=="), "a redirect led to the machine of an entry");
    assert_eq!(strange, None, "the default is for hosts that were typed");
    assert!(site.log().iter().all(|hit| auth(hit).is_some()));
    let linked = run(&["crawl", "--scope", "any", &site.url("/")]);
    assert_eq!((login.pages().len(), stranger.pages().len()), (2, 2));
    assert_eq!(linked, (None, None), "a link must not make us log in");
}

#[test]
fn a_netrc_that_is_not_there_is_a_warning_and_one_that_cannot_be_read_an_error() {
    let site = plain();
    let run = lycosa(["fetch", "-n", &site.url("/")]).run().exits(0);
    assert!(run.stderr.contains("there is no ") && run.stderr.contains(".netrc"), "{}", run.stderr);
    let run = lycosa(["fetch", "-n", &site.url("/")]).file("home/.netrc", "machine a password \"s3cret").run().exits(2);
    assert!(run.stderr.contains(".netrc: line 1: a quote") && !run.stderr.contains("s3cret"), "{}", run.stderr);
}

#[test]
fn jobs_differ_from_their_run() {
    let site = Site::start(|request| match request.path() {
        "/404" => status(404),
        "/500" => status(500),
        _ => html(""),
    });
    let lines = [
        format!(r#"{{"url":"{}","user":"al:pw","cookies":"a=1; b=2"}}"#, site.url("/user")),
        format!(r#"{{"url":"{}","cookies":{{"c":"3"}}}}"#, site.url("/object")),
        format!(r#"{{"url":"{}","accept":"404"}}"#, site.url("/404")),
        format!(r#"{{"url":"{}","retries":1}}"#, site.url("/500")),
        site.url("/run"),
    ];
    let options = ["fetch", "-u", "run:pw", "-b", "r=1", "--retries", "0"];
    let records = lycosa(options).lines(lines).run().exits(1).records();
    let hit = |path: &str| site.log().into_iter().find(|hit| hit.target == path).unwrap();
    assert_eq!(
        (hit("/user").header("authorization"), hit("/user").header("cookie")),
        (Some("Basic YWw6cHc="), Some("a=1; b=2"))
    );
    assert_eq!(
        (hit("/object").header("authorization"), hit("/object").header("cookie")),
        (Some("Basic cnVuOnB3"), Some("c=3"))
    );
    assert_eq!(hit("/run").header("cookie"), Some("r=1"));
    assert_eq!(field(with_path(&records, "/404"), "outcome"), "ok");
    assert_eq!(requests_of(with_path(&records, "/500")), ["page", "retry"]);
}

#[test]
fn a_job_has_its_own_proxy() {
    let (of_run, of_job, direct) = (plain(), plain(), plain());
    let with_user = of_job.url("").replace("://", "://p:s3cr3t@");
    let lines = [
        r#"{"url":"http://run.example/"}"#.to_owned(),
        format!(r#"{{"url":"http://job.example/","proxy":"{with_user}"}}"#),
        format!(r#"{{"url":"http://job.example/2","proxy":"{with_user}"}}"#),
        format!(r#"{{"url":"{}","proxy":"none"}}"#, direct.url("/")),
        r#"{"url":"http://dead.example/","proxy":"http://127.0.0.1:1"}"#.to_owned(),
    ];
    let command = lycosa(["fetch", "-vv", "--retries", "0", "--fail-on", "never", "-x", &of_run.url("")]).lines(lines);
    let run = command.run().exits(0);
    assert_eq!(of_run.targets(), ["http://run.example/"]);
    assert_eq!(of_job.targets(), ["http://job.example/", "http://job.example/2"]);
    assert_eq!(direct.targets(), ["/"]);
    assert!(of_job.log().iter().all(|hit| hit.header("proxy-authorization") == Some("Basic cDpzM2NyM3Q=")));
    let records = run.records();
    let of = |url: &str| records.iter().find(|record| field(record, "url").starts_with(url)).unwrap();
    assert!(field(of("http://job.example/"), "proxy").contains(of_job.host()));
    assert!(of(&direct.url("/"))["proxy"].is_null());
    assert_eq!(of("http://dead.example/")["error"]["kind"], "proxy");
    assert!(!run.text().contains("s3cr3t") && !run.stderr.contains("s3cr3t"));
}

fn plain() -> Site {
    Site::start(|_: &Request| html(""))
}

#[test]
fn a_session_goes_on_in_a_resumed_run() {
    let site = Site::start(|request| match request.path() {
        "/login" => html("").header("Set-Cookie", "session=s1").into(),
        _ if request.nth == 0 => Answer::Hang,
        _ => html("").into(),
    });
    let options = ["fetch", "-j", "1", "--state", "st", "-o", "out.jsonl", "-c", "jar", "-b", "k=s3cret"];
    let mut run = lycosa(options).args([site.url("/login"), site.url("/page")]).spawn();
    run.wait_until("it hangs", || site.hits() == 2);
    run.signal("TERM");
    run.signal("TERM");
    let run = run.finish().exits(143);
    let state = run.path("st").display().to_string();
    let told = lycosa(["resume", &state]).run().exits(2);
    assert!(told.stderr.contains("-b 'NAME=VALUE'"), "{}", told.stderr);
    lycosa(["resume", &state, "-b", "other.jar", "-b", "k=s3cret"]).run().exits(2);
    lycosa(["resume", &state, "-b", "k=s3cret"]).run().exits(0);
    assert_eq!(pairs(&last(&site)), ["k=s3cret", "session=s1"]);
    assert!(std::fs::read_to_string(run.path("jar")).unwrap().contains("s1"));
}
