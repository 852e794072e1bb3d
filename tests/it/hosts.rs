//! Tables `[[host]]` in files: what is otherwise for some hosts.

use crate::support::*;

fn plain() -> Site {
    Site::start(|_: &Request| html(""))
}

fn machine(site: &Site) -> &str {
    site.host().split(':').next().unwrap()
}

#[test]
fn headers_and_logins_go_to_their_hosts() {
    let (one, two) = (plain(), plain());
    let config = format!(
        "user = \"run:pw\"\nheader = [\"X-A: run\", \"X-B: run\"]\n\
         [[host]]\nmatch = \"{0}\"\nuser = \"one:pw\"\nheader = [\"X-A: one\", \"Accept-Encoding:\", \"User-Agent: me/1\"]\n\
         [[host]]\nmatch = [\"*\", \"other.example\"]\nheader = [\"X-A: all\", \"X-C: all\"]\n",
        one.host()
    );
    let fetch = |options: &[&str]| {
        let command =
            lycosa(["fetch", "--config", "c.toml", &one.url("/"), &two.url("/")]).args(options.iter().copied());
        command.file("c.toml", &config).run().exits(0);
        [&one, &two].map(|site| site.log().pop().unwrap())
    };
    let names = ["authorization", "x-a", "x-b", "x-c"];
    let of = |hit: &Hit| names.map(|name| hit.header(name).unwrap_or("-").to_owned());
    let [first, second] = fetch(&[]);
    assert_eq!(of(&first), ["Basic b25lOnB3", "one", "run", "all"], "each from the first table that has it");
    assert_eq!(of(&second), ["Basic cnVuOnB3", "all", "run", "all"]);
    assert_eq!((first.header("accept-encoding"), first.header("user-agent")), (None, Some("me/1")));
    assert!(second.header("accept-encoding").is_some());
    let [first, second] = fetch(&["-H", "X-A: flag", "-u", "flag:pw"]);
    assert_eq!(of(&first), ["Basic ZmxhZzpwdw==", "flag", "-", "all"], "a flag stands over tables");
    assert_eq!(of(&second), ["Basic ZmxhZzpwdw==", "flag", "-", "all"]);
}

#[test]
fn a_typed_login_stands_over_a_table_however_either_is_said() {
    let site = plain();
    let sent = |table: &str, flags: &[&str]| {
        let config = format!("[[host]]\nmatch = \"{}\"\n{table}\n", site.host());
        let command = lycosa(["fetch", "--config", "c.toml", &site.url("/")]).args(flags.iter().copied());
        command.file("c.toml", &config).run().exits(0);
        site.log().pop().unwrap().header("authorization").map(str::to_owned)
    };
    let (header, user) = ("header = [\"Authorization: Bearer table\"]", "user = \"table:pw\"");
    assert_eq!(sent(header, &[]).as_deref(), Some("Bearer table"), "the control");
    assert_eq!(sent(header, &["-u", "flag:pw"]).as_deref(), Some("Basic ZmxhZzpwdw=="));
    assert_eq!(sent(user, &["-H", "Authorization: Bearer flag"]).as_deref(), Some("Bearer flag"));
    assert_eq!(sent(user, &["-H", "X-A: b"]).as_deref(), Some("Basic dGFibGU6cHc="), "another header is another thing");
}

#[test]
fn a_login_of_a_table_is_not_for_links_nor_for_a_star() {
    let (named, other) = (plain(), plain());
    let targets = [named.url("/there"), other.url("/there")];
    let site = Site::start(move |request| match request.path() {
        "/named" => redirect(302, &targets[0]),
        "/other" => redirect(302, &targets[1]),
        _ => html(index([targets[0].as_str(), &targets[1]])),
    });
    let config = format!(
        "[[host]]\nmatch = \"{}:*\"\nuser = \"n:pw\"\n[[host]]\nmatch = \"*\"\nuser = \"all:pw\"\n",
        machine(&named)
    );
    let run = |arguments: &[&str]| {
        let command = lycosa(arguments.iter().copied()).args(["--config", "c.toml", "--allow-private"]);
        command.file("c.toml", &config).run().exits(0);
        [&named, &other].map(|site| site.pages().pop().unwrap().header("authorization").map(str::to_owned))
    };
    assert_eq!(run(&["fetch", &site.url("/named"), &site.url("/other")]), [Some("Basic bjpwdw==".to_owned()), None]);
    assert!(site.log().iter().all(|hit| hit.header("authorization") == Some("Basic YWxsOnB3")));
    assert_eq!(run(&["crawl", "--scope", "any", &site.url("/")]), [None, None]);
}

#[test]
fn proxies_of_tables() {
    let (proxy, other, direct) = (plain(), plain(), plain());
    let config = format!(
        "[[host]]\nmatch = \"*.inner.example\"\nproxy = \"{}\"\n[[host]]\nmatch = \"127.0.0.0:*\"\nproxy = \"none\"\n\
         [[host]]\nmatch = \"{}\"\nproxy = \"none\"\n",
        proxy.url("").replace("://", "://p:s3cret@"),
        direct.host()
    );
    let urls = ["http://a.inner.example/".to_owned(), "http://outer.example/".to_owned(), direct.url("/")];
    let fetch = |options: &[&str]| {
        let command = lycosa(["fetch", "--config", "c.toml"]).args(&urls).args(options.iter().copied());
        command.file("c.toml", &config).env("http_proxy", other.url("")).run().exits(0)
    };
    fetch(&[]);
    assert_eq!(proxy.targets(), ["http://a.inner.example/"]);
    assert_eq!(proxy.log()[0].header("proxy-authorization"), Some("Basic cDpzM2NyZXQ="));
    assert_eq!((other.targets(), direct.targets()), (vec!["http://outer.example/".to_owned()], vec!["/".to_owned()]));
    let run = fetch(&["-x", &other.url("")]);
    assert_eq!((proxy.hits(), other.hits(), direct.hits()), (1, 4, 1), "a flag stands over tables: {}", run.stderr);
}

#[test]
fn limits_hold_for_their_hosts() {
    let site = || {
        Site::start(|request| match request.path() {
            "/big" => html("x".repeat(5000)),
            "/500" => status(500),
            _ => html("").after_ms(30),
        })
    };
    let (one, two) = (site(), site());
    let config = format!(
        "[[host]]\nmatch = \"{}\"\nhost-concurrency = 1\nretries = 1\nmax-filesize = 4000\ntimeout = 20\n",
        one.host()
    );
    let urls = |site: &Site| {
        (0..24)
            .map(|n| site.url(&format!("/{n}")))
            .chain(["/big", "/500"].map(|path| site.url(path)))
            .collect::<Vec<_>>()
    };
    let command = lycosa(["fetch", "--config", "c.toml", "--retries", "0", "--fail-on", "never"]);
    // The flag stands over the table: nothing is asked again.
    let run = command.args(urls(&one)).file("c.toml", &config).run().exits(0);
    assert_eq!(requests_of(with_path(&run.records(), "/500")), ["page"]);
    let command = lycosa(["fetch", "--config", "c.toml", "--fail-on", "never"]);
    let run = command.args(urls(&one)).args(urls(&two)).file("c.toml", format!("retries = 0\n{config}")).run().exits(0);
    let records = run.records();
    let of = |site: &Site, path: &str| records.iter().find(|record| field(record, "url") == site.url(path)).unwrap();
    assert_eq!(requests_of(of(&one, "/500")), ["page", "retry"]);
    assert_eq!(requests_of(of(&two, "/500")), ["page"]);
    assert_eq!(of(&one, "/big")["error"]["kind"], "too_large");
    assert_eq!(field(of(&two, "/big"), "outcome"), "ok");
    assert_eq!(most_in_flight(&one.log()), 1);
    assert!(most_in_flight(&two.log()) > 1, "the control");
}

#[test]
fn mistakes_in_tables_are_told_with_their_place() {
    for (text, told) in [
        ("[[host]]\ndelay = 1\n", "c.toml:1: a host without 'match'"),
        ("[host]\nmatch = \"h\"\n", "c.toml:1: host is a list of tables"),
        ("[[host]]\nmatch = \"h\"\ndelya = 1\n", "c.toml:3: unknown key 'delya' of a host\n  did you mean 'delay'?"),
        ("[[host]]\nmatch = \"h\"\nscope = \"any\"\n", "c.toml:3: scope is the same for all hosts"),
        ("[[host]]\nmatch = \"http://h/\"\n", "c.toml:2: match: 'http://h/': a host has no scheme"),
        ("[[host]]\nmatch = \"h\"\nhost-rate = \"5\"\n", "c.toml:3: host-rate: "),
        ("[[host]]\nmatch = \"h\"\nuser = \"s3cret\"\n", "c.toml:3: user: no password"),
        ("hosts = 1\n", "did you mean 'host'?"),
    ] {
        let run = lycosa(["fetch", "--config", "c.toml", "http://127.0.0.1:9/"]).file("c.toml", text).run().exits(2);
        assert!(run.stderr.contains(told) && !run.stderr.contains("s3cret"), "{text}: {}", run.stderr);
    }
    for key in ["proxy = \"http://p\"", "user = \"a:b\"", "header = [\"A: b\"]"] {
        let local = format!("[[host]]\nmatch = \"h\"\n{key}\n");
        let run = lycosa(["fetch", "http://127.0.0.1:9/"]).file("lycosa.toml", local).run().exits(2);
        assert!(run.stderr.contains("lycosa.toml:3: ") && run.stderr.contains("may not be set"), "{}", run.stderr);
    }
}

#[test]
fn tables_are_shown_without_secrets_and_kept_over_a_resume() {
    let site = Site::start(|request| if request.nth == 0 { Answer::Hang } else { html("").into() });
    let config = format!("[[host]]\nmatch = \"{}\"\nuser = \"n:s3cret\"\nretries = 0\ntimeout = \"1h\"\n", site.host());
    let shown = lycosa(["config", "show", "--config", "c.toml"]).file("c.toml", &config).run().exits(0);
    assert!(
        shown.text().contains("[[host]]  # c.toml:1") && shown.text().contains("user = \"n:***\""),
        "{}",
        shown.text()
    );
    let json =
        lycosa(["config", "show", "--config", "c.toml", "--format", "json"]).file("c.toml", &config).run().exits(0);
    assert!(json.text().contains("\"n:***\"") && !json.text().contains("s3cret"), "{}", json.text());

    let mut run = lycosa(["fetch", "--config", "c.toml", "--state", "st", "-o", "out.jsonl", &site.url("/")])
        .file("c.toml", &config)
        .spawn();
    run.wait_until("it hangs", || site.hits() == 1);
    run.signal("TERM");
    run.signal("TERM");
    let run = run.finish().exits(143);
    let state = run.path("st").display().to_string();
    let journal: Vec<u8> =
        std::fs::read_dir(run.path("st")).unwrap().flat_map(|e| std::fs::read(e.unwrap().path()).unwrap()).collect();
    assert!(!String::from_utf8_lossy(&journal).contains("s3cret"));
    std::fs::rename(run.path("c.toml"), run.path("away.toml")).unwrap();
    let told = lycosa(["resume", &state]).run().exits(2);
    assert!(told.stderr.contains("c.toml"), "{}", told.stderr);
    std::fs::write(run.path("c.toml"), format!("[[host]]\nmatch = \"{}\"\nretries = 0\n", site.host())).unwrap();
    let told = lycosa(["resume", &state]).run().exits(2);
    assert!(told.stderr.contains("user of [[host]]"), "{}", told.stderr);
    std::fs::rename(run.path("away.toml"), run.path("c.toml")).unwrap();
    lycosa(["resume", &state]).run().exits(0);
    assert_eq!(site.log().pop().unwrap().header("authorization"), Some("Basic bjpzM2NyZXQ="));
}
