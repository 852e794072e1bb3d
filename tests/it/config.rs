//! Flags, environment and files: which stands over which, and what a mistake is told.

use crate::support::*;

fn plain() -> Site {
    Site::start(|_: &Request| html(""))
}

fn agent(site: &Site) -> String {
    site.log().last().unwrap().header("user-agent").unwrap().to_owned()
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let site = plain();
    let url = site.url("/");
    let at = |levels: usize| {
        let mut command = lycosa(["fetch", &url]);
        if levels >= 1 {
            command = command.file("home/.config/lycosa/config.toml", "user-agent = \"from-home/1\"\n");
        }
        if levels >= 2 {
            command = command.file("lycosa.toml", "user-agent = \"from-here/1\"\n");
        }
        if levels >= 3 {
            command = command.file("x.toml", "user-agent = \"from-file/1\"\n").args(["--config", "x.toml"]);
        }
        if levels >= 4 {
            command = command.env("LYCOSA_USER_AGENT", "from-env/1");
        }
        if levels >= 5 {
            command = command.args(["-A", "from-flag/1"]);
        }
        command
    };
    for (levels, expected) in
        ["lycosa/", "from-home/1", "from-here/1", "from-file/1", "from-env/1", "from-flag/1"].iter().enumerate()
    {
        at(levels).run().exits(0);
        assert!(agent(&site).starts_with(expected), "{levels}: {}", agent(&site));
    }
    at(2).arg("--no-config").run().exits(0);
    assert!(agent(&site).starts_with("lycosa/"));
}

#[test]
fn lists_in_files_and_in_the_environment() {
    let site = plain();
    let headers = |command: Command| {
        command.arg(site.url("/")).run().exits(0);
        let log = site.log();
        let hit = log.last().unwrap();
        ["x-a", "x-b", "x-c"].map(|name| hit.header(name).map(str::to_owned))
    };
    let file = "header = [\"X-A: 1\", \"X-B: 2\"]\n";
    let both = [Some("1".to_owned()), Some("2".to_owned()), None];
    assert_eq!(headers(lycosa(["fetch", "--config", "x.toml"]).file("x.toml", file)), both);
    assert_eq!(headers(lycosa(["fetch"]).env("LYCOSA_HEADER", "X-A: 1\nX-B: 2")), both);
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_key() {
    for (name, arguments) in [("x.toml", &["--config", "x.toml"][..]), ("lycosa.toml", &[])] {
        let site = plain();
        let text = "# settings\n\nhost-rat = \"5/s\"\n";
        let run = lycosa(["fetch", &site.url("/")]).args(arguments.iter().copied()).file(name, text).run().exits(2);
        for part in [name, "3", "host-rat", "did you mean", "host-rate"] {
            assert!(run.stderr.contains(part), "{part:?} in {}", run.stderr);
        }
        assert_eq!(site.hits(), 0);
    }
}

#[test]
fn a_bad_value_names_where_it_stands() {
    let run = lycosa(["fetch", "--config", "x.toml", "http://127.0.0.1:9/"])
        .file("x.toml", "retries = 1\ndelay = \"5 parsecs\"\n")
        .run()
        .exits(2);
    for part in ["x.toml", "2", "delay", "5 parsecs"] {
        assert!(run.stderr.contains(part), "{part:?} in {}", run.stderr);
    }
    let run = lycosa(["fetch", "http://127.0.0.1:9/"]).env("LYCOSA_DELAY", "5 parsecs").run().exits(2);
    assert!(run.stderr.contains("LYCOSA_DELAY"), "{}", run.stderr);
    let run = lycosa(["fetch", "--config", "missing.toml", "http://127.0.0.1:9/"]).run().exits(2);
    assert!(run.stderr.contains("missing.toml"), "{}", run.stderr);
}

#[test]
fn an_unknown_variable_is_only_a_warning() {
    let site = plain();
    let run = lycosa(["fetch", &site.url("/")]).env("LYCOSA_HOST_RATEE", "5/s").run().exits(0);
    assert!(run.stderr.contains("LYCOSA_HOST_RATEE"), "{}", run.stderr);
}

/// URLs make addresses of numbers, and these are of somebody else: a port that was meant would be asked at 0.0.31.144.
#[test]
fn a_number_is_no_proxy_wherever_it_stands() {
    let site = plain();
    let files = ["proxy = 5\n", "proxy = \"8080\"\n", "[[host]]\nmatch = \"127.0.0.1\"\nproxy = \"0:3128\"\n"];
    for file in files {
        let run = lycosa(["fetch", "--config", "c.toml", &site.url("/")]).file("c.toml", file).run().exits(2);
        assert!(
            run.stderr.contains("is a number and no host") || run.stderr.contains("not a string"),
            "{}",
            run.stderr
        );
    }
    for (flags, variable) in [(&["-x", "5"][..], ""), (&["-x", "socks5h://me:s3cret@127.1"], ""), (&[], "0x7f000001:9")]
    {
        let run = lycosa(["fetch", &site.url("/")]).args(flags.to_vec()).env("http_proxy", variable).run().exits(2);
        assert!(run.stderr.contains("is a number and no host") && !run.stderr.contains("s3cret"), "{}", run.stderr);
    }
    let job = format!(r#"{{"url":"{}","proxy":"127.1:3128"}}"#, site.url("/"));
    let record = lycosa(["fetch", "-i", "-"]).lines([job]).run().exits(1).record();
    assert_eq!(
        field(&record["error"], "message"),
        "'proxy': '127.1' is a number and no host (a proxy is HOST:PORT or SCHEME://HOST:PORT)"
    );
    assert_eq!(site.hits(), 0);
}

#[test]
fn a_checkouts_file_may_not_send_things_elsewhere() {
    let site = plain();
    for line in [
        "output = [\"/tmp/x.jsonl\"]",
        "proxy = \"http://127.0.0.1:9\"",
        "header = [\"A: b\"]",
        "insecure = true",
        "user = \"a:b\"",
        "[fetch]\nallow-private = true",
    ] {
        let run = lycosa(["fetch", &site.url("/")]).file("lycosa.toml", line).run().exits(2);
        assert!(run.stderr.contains("lycosa.toml"), "{line}: {}", run.stderr);
    }
    assert_eq!(site.hits(), 0);
}

#[test]
fn a_misspelled_flag_is_told_the_right_one() {
    let run = lycosa(["fetch", "--headers", "A: b", "http://127.0.0.1:9/"]).run().exits(2);
    assert!(run.stderr.contains("did you mean") && run.stderr.contains("--header"), "{}", run.stderr);
    assert_eq!(run.stdout, b"");
}

#[test]
fn bad_values_of_flags() {
    for (flag, value) in [
        ("--delay", "5x"),
        ("--timeout", "soon"),
        ("--timeout", "-1"),
        ("--rate", "50"),
        ("--host-rate", "0/s"),
        ("--max-filesize", "2 stone"),
        ("--max-memory", "1k"),
        ("--concurrency", "0"),
        ("--concurrency", "many"),
        ("--retries", "-1"),
        ("--accept", "200..100"),
        ("--format", "xml"),
        ("--with", "everything"),
        ("--robots", "maybe"),
        ("--header", "no colon"),
    ] {
        let run = lycosa(["fetch", flag, value, "http://127.0.0.1:9/"]).run().exits(2);
        // A value that begins with a dash is taken for a flag.
        assert!(run.stderr.contains(flag) || run.stderr.contains(value), "{flag} {value}: {}", run.stderr);
    }
    let run = lycosa(["fetch", "--delay", "5x", "http://127.0.0.1:9/"]).run().exits(2);
    assert!(run.stderr.contains("did you mean") || run.stderr.contains("200ms"), "{}", run.stderr);
}

#[test]
fn units_as_they_are_documented() {
    let site = plain();
    for (flag, value) in [
        ("--delay", "0"),
        ("--delay", "none"),
        ("--timeout", "1.5"),
        ("--timeout", "2m"),
        ("--timeout", "1h"),
        ("--deadline", "1d"),
        ("--rate", "6000/m"),
        ("--rate", "none"),
        ("--host-rate", "720000/h"),
        ("--max-filesize", "1MiB"),
        ("--max-filesize", "2G"),
        ("--max-filesize", "none"),
        ("--max-memory", "64MiB"),
        ("--max-retry-after", "none"),
    ] {
        lycosa(["fetch", flag, value, &site.url("/")]).run().exits(0);
    }
}

#[test]
fn spellings_of_curl_and_wget_name_ours() {
    for (typed, ours) in [
        ("-f", "--fail-on"),
        ("-O", "-o"),
        ("-r", "crawl"),
        ("-w", "--delay"),
        ("-t", "--retries"),
        ("-T", "--timeout"),
        ("-Z", "--concurrency"),
        ("-np", "--scope"),
        ("--spider", "-I"),
        ("--retry", "--retries"),
        ("--level", "--max-depth"),
    ] {
        let run = lycosa(["fetch", typed, "3", "http://127.0.0.1:9/"]).run().exits(2);
        assert!(run.stderr.contains(ours), "{typed}: {}", run.stderr);
    }
    for typed in ["-P", "-nc"] {
        let run = lycosa(["fetch", typed, "3", "http://127.0.0.1:9/"]).run().exits(2);
        assert!(run.stderr.contains(typed), "{typed}: {}", run.stderr);
    }
}

#[test]
fn a_flag_that_is_not_built_yet_is_unknown() {
    for flag in ["--extract", "--report"] {
        for command in ["crawl", "fetch"] {
            let run = lycosa([command, "http://127.0.0.1:9/", flag, "x"]).run().exits(2);
            assert!(run.stderr.contains(flag), "{flag}: {}", run.stderr);
        }
    }
    for command in ["resume", "status", "audit", "report"] {
        lycosa([command, "x"]).run().exits(2);
    }
}

#[test]
fn flags_of_the_other_command_are_refused() {
    lycosa(["fetch", "--scope", "any", "http://127.0.0.1:9/"]).run().exits(2);
    lycosa(["crawl", "--ordered", "http://127.0.0.1:9/"]).run().exits(2);
    lycosa(["crawl", "--unique", "http://127.0.0.1:9/"]).run().exits(2);
}

#[test]
fn config_show_names_the_origin_of_each_setting() {
    let run =
        lycosa(["config", "show"]).file("lycosa.toml", "retries = 7\n").env("LYCOSA_HOST_RATE", "3/s").run().exits(0);
    let line = |name: &str| {
        let found = run.text().lines().find(|line| line.trim_start().starts_with(name) && !line.starts_with('#'));
        found.unwrap_or_else(|| panic!("no {name} in {}", run.text())).to_owned()
    };
    assert!(line("retries").contains('7') && line("retries").contains("lycosa.toml"), "{}", line("retries"));
    assert!(line("host-rate").contains("3/s") && line("host-rate").contains("LYCOSA_HOST_RATE"));
    assert!(line("grace").contains("10s") && line("grace").contains("default"), "{}", line("grace"));
}

#[test]
fn what_config_init_prints_changes_nothing() {
    let site = plain();
    let init = lycosa(["config", "init"]).run().exits(0);
    let text = init.text().to_owned();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#') || line.starts_with('[')), "{text}");
    for setting in ["host-rate", "user-agent", "retries", "breaker-cooldown"] {
        assert!(text.contains(setting), "{setting}");
    }
    lycosa(["fetch", "--config", "x.toml", &site.url("/")]).file("x.toml", text).run().exits(0);
}

#[test]
fn schemas_completions_and_the_man_page() {
    let schema = lycosa(["config", "schema"]).run().exits(0);
    let schema: serde_json::Value = serde_json::from_str(schema.text()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::json!({"retries": 3, "host-rate": "5/s"})));
    assert!(!validator.is_valid(&serde_json::json!({"retriez": 3})));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = lycosa(["generate", shell]).run().exits(0);
        assert!(text.text().contains("host-rate"), "{shell}");
    }
    let man = lycosa(["generate", "man"]).run().exits(0);
    assert!(man.text().contains(".TH") && man.text().contains("crawl"));
    lycosa(["generate", "cobol"]).run().exits(2);
}

#[test]
fn help_and_version() {
    for arguments in [&["--help"][..], &["-h"], &["crawl", "--help"], &["fetch", "-h"]] {
        let run = lycosa(arguments.iter().copied()).run().exits(0);
        assert!(run.text().contains("lycosa"), "{arguments:?}");
    }
    for flag in ["--host-concurrency", "--breaker-cooldown", "--max-retry-after", "--summary", "--refused"] {
        assert!(lycosa(["crawl", "--help"]).run().text().contains(flag), "{flag}");
    }
    assert!(lycosa(["--version"]).run().exits(0).text().contains(env!("CARGO_PKG_VERSION")));
    lycosa(["frobnicate"]).run().exits(2);
}

#[test]
fn an_output_that_is_an_input_is_refused_before_anything_is_opened() {
    let site = plain();
    let list = format!("{}\n", site.url("/"));
    for arguments in [
        &["fetch", "-i", "urls", "-o", "jsonl:urls"][..],
        &["crawl", "-i", "urls", "-o", "jsonl:./urls"],
        &["fetch", "-i", "urls", "--summary", "urls"],
        &["fetch", "-i", "new", "-i", "urls", "-o", "new", "-o", "./new"],
        &["fetch", "--config", "urls", "-i", "-", "-o", "jsonl:urls"],
        &["fetch", "-d", "@urls", "-o", "jsonl:urls", "http://127.0.0.1:9/"],
    ] {
        // As a configuration file the list would be refused for what it says.
        let text = if arguments.contains(&"--config") { "retries = 1\n" } else { &list };
        let run = lycosa(arguments.iter().copied()).file("urls", text).file("new", "").lines([&list]).run().exits(2);
        assert!(run.stderr.contains("same file"), "{arguments:?}: {}", run.stderr);
        assert_eq!(std::fs::read_to_string(run.path("urls")).unwrap(), text, "{arguments:?}");
    }
    assert_eq!(site.hits(), 0);
}

#[test]
fn quiet_twice_is_silent_about_mistakes_too() {
    for arguments in [&["fetch", "-qq", "-j", "0"][..], &["crawl", "-q", "--nix", "-q"], &["fetch", "-qq", "http://["]]
    {
        let run = lycosa(arguments.iter().copied()).run().exits(2);
        assert_eq!(run.stderr, "", "{arguments:?}");
    }
    let run = lycosa(["fetch", "-q", "--headers", "A: b"]).run().exits(2);
    assert_eq!(run.stderr, "lycosa: unknown flag '--headers'\n");
}

#[test]
fn config_show_names_its_command() {
    let show = |command: &[&str]| lycosa(["config", "show"].iter().chain(command)).run().exits(0).text().to_owned();
    assert!(show(&["fetch"]).starts_with("# lycosa fetch: "));
    let both = show(&[]);
    let (shared, apart) = both.split_once("\n[crawl]\n").unwrap();
    let (crawl, fetch) = apart.split_once("\n[fetch]\n").unwrap();
    assert!(shared.contains("\ntimeout = ") && !shared.contains("\nrobots = "), "{both}");
    assert!(crawl.contains("robots = \"obey\"") && fetch.contains("robots = \"ignore\""), "{both}");
}
