//! What is sent and what is read: curl's flags, credentials, proxies, encodings, charsets and limits.

use std::io::Write as _;

use serde_json::json;

use crate::support::*;

fn plain() -> Site {
    Site::start(|_: &Request| html("hello"))
}

/// The only request of a fetch of `/` with these options.
#[track_caller]
fn sent(options: &[&str]) -> Hit {
    let site = plain();
    lycosa(["fetch"]).args(options.iter().copied()).arg(site.url("/")).run().exits(0);
    let mut log = site.log();
    assert_eq!(log.len(), 1);
    log.remove(0)
}

#[test]
fn the_default_request() {
    let hit = sent(&[]);
    assert_eq!((hit.method.as_str(), hit.target.as_str()), ("GET", "/"));
    let agent = hit.header("user-agent").unwrap();
    assert!(agent.starts_with(concat!("lycosa/", env!("CARGO_PKG_VERSION"), " (+http")), "{agent}");
    assert!(agent.ends_with(')'));
    let encodings = hit.header("accept-encoding").unwrap();
    for coding in ["gzip", "br", "zstd", "deflate"] {
        assert!(encodings.contains(coding), "{encodings}");
    }
    assert!(hit.header("accept").is_some());
    assert!(hit.header("authorization").is_none() && hit.header("referer").is_none());
}

#[test]
fn headers_agents_and_referers() {
    let hit =
        sent(&["-H", "X-One: 1", "--header", "X-Two:2", "-A", "me/1.0", "-e", "http://from.example/", "-L", "-s"]);
    assert_eq!((hit.header("x-one"), hit.header("x-two")), (Some("1"), Some("2")));
    assert_eq!((hit.header("user-agent"), hit.header("referer")), (Some("me/1.0"), Some("http://from.example/")));

    let site = plain();
    let run = lycosa(["fetch", "-H", "@headers.txt", &site.url("/")]).file("headers.txt", "X-A: 1\nX-B: 2\n").run();
    run.exits(0);
    assert_eq!((site.log()[0].header("x-a"), site.log()[0].header("x-b")), (Some("1"), Some("2")));
}

#[test]
fn methods_and_bodies() {
    assert_eq!(sent(&["-X", "DELETE"]).method, "DELETE");
    let hit = sent(&["-d", "a=1", "-d", "b=2"]);
    assert_eq!((hit.method.as_str(), hit.body.as_slice()), ("POST", b"a=1&b=2".as_slice()));
    assert_eq!(hit.header("content-type"), Some("application/x-www-form-urlencoded"));
    let hit = sent(&["-X", "PUT", "-d", "x", "-H", "Content-Type: text/plain"]);
    assert_eq!((hit.method.as_str(), hit.header("content-type")), ("PUT", Some("text/plain")));
    let hit = sent(&["--json", "{\"a\":1}"]);
    assert_eq!((hit.method.as_str(), hit.body.as_slice()), ("POST", b"{\"a\":1}".as_slice()));
    assert_eq!(
        (hit.header("content-type"), hit.header("accept")),
        (Some("application/json"), Some("application/json"))
    );

    let site = plain();
    lycosa(["fetch", "-d", "@body.txt", &site.url("/")]).file("body.txt", "from a\nfile").run().exits(0);
    assert_eq!(site.log()[0].body, b"from afile", "as curl: line ends are left out");
}

#[test]
fn head_asks_for_the_head_only() {
    let site = plain();
    let record = lycosa(["fetch", "-I", &site.url("/")]).run().exits(0).record();
    assert_eq!((field(&record, "method"), record["size"].as_u64()), ("HEAD", Some(0)));
    assert_eq!(site.log()[0].method, "HEAD");
}

#[test]
fn basic_authorization_by_flag_and_by_url() {
    assert_eq!(sent(&["-u", "user:pass"]).header("authorization"), Some("Basic dXNlcjpwYXNz"));
    let site = plain();
    let url = site.url("/").replace("http://", "http://user:p%40ss@");
    let run = lycosa(["fetch", "--with", "headers", &url]).run().exits(0);
    assert_eq!(site.log()[0].header("authorization"), Some("Basic dXNlcjpwQHNz"));
    assert_eq!(field(&run.record(), "url"), site.url("/"), "user info is not part of it");
    assert_eq!(field(&run.record(), "final_url"), site.url("/"));
}

const SECRETS: [&str; 10] =
    ["-u", "user:pass", "-H", "X-Api-Key: k1", "-H", "X-Session-Token: t1", "-H", "Cookie: c=1", "-H", "X-Plain: p"];
const NAMES: [&str; 4] = ["authorization", "x-api-key", "x-session-token", "cookie"];

fn bears(hit: &Hit) -> usize {
    NAMES.iter().filter(|name| hit.header(name).is_some()).count()
}

#[test]
fn credentials_never_cross_an_origin_in_a_redirect() {
    let other = plain();
    let to = other.url("/there");
    let site = Site::start(move |request| match request.path() {
        "/across" => redirect(302, &to),
        "/inside" => redirect(302, "/landing"),
        _ => html(""),
    });
    lycosa(["fetch", "--allow-private"]).args(SECRETS).args([site.url("/across"), site.url("/inside")]).run().exits(0);
    for hit in site.log() {
        assert_eq!(bears(&hit), 4, "{}: the host was typed", hit.target);
    }
    assert_eq!(site.hits(), 3);
    let log = other.log();
    assert_eq!((log.len(), bears(&log[0]), log[0].header("x-plain")), (1, 0, Some("p")));
}

#[test]
fn credentials_go_only_to_hosts_that_were_typed() {
    let other = plain();
    let link = other.url("/");
    let site = Site::start(move |_: &Request| html(index([link.as_str(), "/in"])));
    lycosa(["crawl", "--scope", "any", "--allow-private"]).args(SECRETS).arg(site.url("/")).run().exits(0);
    assert!(site.pages().iter().all(|hit| bears(hit) == 4));
    assert_eq!(site.pages().len(), 2);
    assert!(other.log().iter().all(|hit| bears(hit) == 0 && hit.header("x-plain") == Some("p")));
    assert_eq!(other.pages().len(), 1);
}

#[test]
fn a_redirect_changes_the_method_as_browsers_do() {
    let site = Site::start(|request| match request.path().trim_start_matches('/').parse() {
        Ok(code) => redirect(code, format!("/to/{code}")),
        Err(_) => html(""),
    });
    for (code, method) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        lycosa(["fetch", "-d", "a=1", &site.url(&format!("/{code}"))]).run().exits(0);
        let log = site.log();
        let hit = log.iter().find(|hit| hit.target == format!("/to/{code}")).unwrap();
        assert_eq!(hit.method, method, "{code}");
        assert_eq!(hit.body.is_empty(), method == "GET", "{code}");
        assert_eq!(hit.header("content-type").is_none(), method == "GET", "{code}");
    }
}

#[test]
fn a_proxy_is_asked_for_the_whole_url() {
    let proxy = plain();
    let with_name = proxy.url("").replace("http://", "http://who:secret@");
    let run = lycosa(["fetch", "-x", &with_name, "http://name.invalid/a?b"]).run().exits(0);
    let log = proxy.log();
    assert_eq!((log[0].target.as_str(), log[0].header("host")), ("http://name.invalid/a?b", Some("name.invalid")));
    assert_eq!(log[0].header("proxy-authorization"), Some("Basic d2hvOnNlY3JldA=="));
    let record = run.record();
    assert!(field(&record, "proxy").contains(proxy.host()), "{}", record["proxy"]);
    assert!(!run.text().contains("secret"));
    assert_eq!(field(&record, "host_key"), "name.invalid");
}

#[test]
fn proxies_of_the_environment_as_in_curl() {
    let proxy = plain();
    let direct = plain();
    let fetch = |url: &str| lycosa(["fetch", url]).env("http_proxy", proxy.url(""));
    fetch("http://name.invalid/").run().exits(0);
    assert_eq!(proxy.hits(), 1);
    let address = direct.host().split(':').next().unwrap().to_owned();
    let record = fetch(&direct.url("/")).env("no_proxy", format!("x.example,{address}")).run().exits(0).record();
    assert_eq!((proxy.hits(), direct.hits()), (1, 1));
    assert!(record["proxy"].is_null());
    let other = plain();
    fetch("http://name.invalid/").args(["-x", &other.url("")]).run().exits(0);
    assert_eq!((proxy.hits(), other.hits()), (1, 1), "the flag stands over the environment");
}

#[test]
fn certificates_are_checked_unless_told_otherwise() {
    let site = Site::start_tls(|_: &Request| html("<title>safe</title>"));
    let record = lycosa(["fetch", "--retries", "0", &site.url("/")]).run().exits(1).record();
    assert_eq!((record["error"]["kind"].clone(), record["error"]["stage"].clone()), (json!("tls"), json!("tls")));
    assert_eq!(record["error"]["retryable"], false, "a bad certificate will not go away");
    assert_eq!(site.hits(), 0);
    let record = lycosa(["fetch", "-k", &site.url("/")]).run().exits(0).record();
    assert_eq!((field(&record, "title"), field(&record, "outcome")), ("safe", "ok"));
}

#[test]
fn the_parts_of_a_connection_stand_with_the_request_that_opened_it() {
    let parts = ["dns_ms", "connect_ms", "tls_ms"];
    for (site, tls) in [(plain(), false), (Site::start_tls(|_: &Request| html("")), true)] {
        let resolve = site.host().replacen(':', " ", 1);
        let (address, port) = resolve.split_once(' ').unwrap();
        let url = |path| format!("{}://localhost:{port}{path}", if tls { "https" } else { "http" });
        let run = lycosa(["fetch", "-k", "--ordered", "--host-concurrency", "1"]);
        let run = run.args(["--connect-to", &format!("::{address}:{port}"), &url("/a"), &url("/b")]).run().exits(0);
        let timed = |record: &serde_json::Value| parts.map(|part| record[part].is_f64());
        let records = run.records();
        assert_eq!(timed(&records[0]), [false, true, tls], "{}", records[0]);
        assert_eq!(timed(&records[1]), [false; 3], "it is used again: {}", records[1]);
        assert_eq!(site.connections(), 1);
    }
}

fn encoded(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "raw deflate" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(body).unwrap();
            out
        }
        "zstd" => zstd::encode_all(body, 3).unwrap(),
        _ => body.to_vec(),
    }
}

#[test]
fn every_coding_is_undone() {
    let body = format!("<title>coded</title>{}", "Grüße, ".repeat(20_000));
    let codings = ["gzip", "deflate", "raw deflate", "br", "zstd", "identity"];
    let source = body.clone();
    let site = Site::start(move |request| {
        let coding = codings.into_iter().find(|coding| request.path()[1..] == coding.replace(' ', "-")).unwrap();
        let reply = html("").bytes(encoded(coding, source.as_bytes()));
        reply.header("Content-Encoding", coding.trim_start_matches("raw "))
    });
    let urls = codings.map(|coding| site.url(&format!("/{}", coding.replace(' ', "-"))));
    let records = lycosa(["fetch", "--with", "body"]).args(urls).run().exits(0).records();
    for (coding, path) in codings.iter().zip(codings.map(|coding| format!("/{}", coding.replace(' ', "-")))) {
        let record = records.iter().find(|record| field(record, "url").ends_with(&path)).unwrap();
        assert!(record["body"] == body.as_str(), "{coding}");
        assert_eq!(record["size"], body.len(), "{coding}");
        assert_eq!(record["wire_size"], encoded(coding, body.as_bytes()).len(), "{coding}");
        assert_eq!(field(record, "title"), "coded");
    }
}

#[test]
fn charsets_by_mark_header_and_meta() {
    let site = Site::start(|request| {
        let typed = |kind: &str, body: &[u8]| status(200).header("Content-Type", kind).bytes(body);
        match request.path() {
            "/header" => typed("text/html; Charset=\"ISO-8859-2\"", b"<title>\xb1</title>"),
            "/meta" => typed("text/html", b"<meta charset=windows-1251><title>\xc6</title>"),
            "/mark" => typed("text/html; charset=iso-8859-1", b"\xef\xbb\xbf<title>\xc4\x85</title>"),
            "/header-wins" => {
                typed("text/html; charset=utf-8", "<meta charset=windows-1251><title>ą</title>".as_bytes())
            }
            _ => typed("text/html", "<title>ą</title>".as_bytes()),
        }
    });
    let urls = ["/header", "/meta", "/mark", "/header-wins", "/none"].map(|path| site.url(path));
    let records = lycosa(["fetch"]).args(urls).run().exits(0).records();
    for (path, charset, title) in [
        ("/header", "iso-8859-2", "ą"),
        ("/meta", "windows-1251", "Ж"),
        ("/mark", "utf-8", "ą"),
        ("/header-wins", "utf-8", "ą"),
    ] {
        let record = with_path(&records, path);
        assert_eq!((field(record, "charset"), field(record, "title")), (charset, title), "{path}");
    }
}

#[test]
fn max_filesize_counts_decoded_bytes_and_lets_the_limit_itself_pass() {
    let site = Site::start(|request| {
        let body = vec![b'x'; if request.path() == "/fits" { 2048 } else { 2049 }];
        if request.target.ends_with("gzip") {
            text("").header("Content-Encoding", "gzip").bytes(encoded("gzip", &body))
        } else {
            text("").bytes(body)
        }
    });
    let urls = ["/fits", "/over", "/over?gzip"].map(|path| site.url(path));
    let records = lycosa(["fetch", "--max-filesize", "2k"]).args(urls).run().exits(1).records();
    assert_eq!(
        (field(with_path(&records, "/fits"), "outcome"), &with_path(&records, "/fits")["size"]),
        ("ok", &json!(2048))
    );
    for path in ["/over", "/over?gzip"] {
        let record = with_path(&records, path);
        assert_eq!((field(record, "outcome"), &record["error"]["kind"]), ("failed", &json!("too_large")), "{path}");
        assert_eq!(record["status"], 200);
    }
}

#[test]
fn accept_decides_which_statuses_are_ok() {
    let site = Site::start(|request| status(request.path()[1..].parse().unwrap()));
    let urls = ["/200", "/204", "/304", "/404", "/500"].map(|path| site.url(path));
    let outcomes = |options: &[&str]| {
        let run = lycosa(["fetch", "--retries", "0", "--fail-on", "never"]).args(options.iter().copied()).args(&urls);
        let records = run.run().exits(0).records();
        let ok = records.iter().filter(|record| record["outcome"] == "ok");
        let mut ok: Vec<_> = ok.map(|record| record["status"].as_u64().unwrap()).collect();
        ok.sort_unstable();
        ok
    };
    assert_eq!(outcomes(&[]), [200, 204, 304]);
    assert_eq!(outcomes(&["--accept", "200..299,404"]), [200, 204, 404]);
    assert_eq!(outcomes(&["--accept", "500"]), [500]);
}

#[test]
fn max_redirs_bounds_the_hops() {
    let site = Site::start(|request| match request.path() {
        "/0" => html(""),
        path => redirect(302, format!("/{}", path[1..].parse::<u32>().unwrap() - 1)),
    });
    lycosa(["fetch", "--max-redirs", "2", &site.url("/2")]).run().exits(0);
    let record = lycosa(["fetch", "--max-redirs", "2", &site.url("/3")]).run().exits(1).record();
    assert_eq!((field(&record, "outcome"), &record["error"]["kind"]), ("failed", &json!("redirect")));
}

#[test]
fn max_time_is_the_timeout_of_one_request() {
    let site = Site::start(|request| if request.nth == 0 { Answer::Hang } else { html("").into() });
    let record = lycosa(["fetch", "-m", "0.5", &site.url("/")]).run().exits(0).record();
    assert_eq!(requests_of(&record), ["page", "retry"], "each has the time for itself");
}

#[test]
fn a_request_goes_out_exactly_as_it_was_written() {
    let site = plain();
    let targets = ["/a%2Fb?x=%20&&y=;&utm_source=1", "/a//b/?", "/%c3%bc?q=a+b"];
    lycosa(["fetch"]).args(targets.map(|target| site.url(target))).run().exits(0);
    let mut expected = targets.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(site.targets(), expected);
}

#[test]
fn redirects_are_followed_as_curl_follows_them() {
    let site = Site::start(|request| match request.path().trim_start_matches('/').parse() {
        Ok(code) => redirect(code, format!("/to/{code}")),
        Err(_) => html(""),
    });
    let cases: [&[&str]; 3] = [&[], &["-d", "a=1"], &["-I"]];
    for code in [300, 301, 302, 303, 307, 308] {
        for options in cases {
            let url = site.url(&format!("/{code}"));
            program("curl", ["-s", "-L", "-o", "body", &url]).args(options.iter().copied()).run().exits(0);
            let curl = site.log().pop().unwrap();
            lycosa(["fetch", &url]).args(options.iter().copied()).run().exits(0);
            let ours = site.log().pop().unwrap();
            let told = |hit: &Hit| (hit.method.clone(), hit.target.clone(), hit.body.clone());
            assert_eq!(told(&ours), told(&curl), "{code} {options:?}");
            assert_eq!(ours.target, format!("/to/{code}"));
        }
    }
    for code in [304, 305, 306] {
        let record = lycosa(["fetch", "--fail-on", "never", &site.url(&format!("/{code}"))]).run().exits(0).record();
        assert_eq!((record["status"].as_u64(), requests_of(&record).len()), (Some(code), 1), "no redirect any more");
    }
}

#[test]
fn no_redirect_leads_out_of_the_web() {
    let site = Site::start(|request| {
        let target = request.target.split_once('?').map_or("", |(_, target)| target).to_owned();
        redirect(302, target)
    });
    for target in
        ["file:///etc/passwd", "ftp://h/x", "data:text/html,x", "javascript:1", "gopher://h/", "http://", "http://[::/"]
    {
        let record = lycosa(["fetch", &site.url(&format!("/?{target}"))]).run().exits(1).record();
        assert_eq!(
            (&record["error"]["kind"], &record["error"]["stage"]),
            (&json!("redirect"), &json!("head")),
            "{target}"
        );
        assert_eq!((record["status"].as_u64(), requests_of(&record).len()), (Some(302), 1), "{target}");
    }
}

#[test]
fn a_way_down_to_http_is_followed_without_credentials() {
    let plain = plain();
    let machine = plain.host().split(':').next().unwrap().to_owned();
    let to = plain.url("/landed");
    let site = Site::start_tls(move |_: &Request| redirect(302, &to).header("Set-Cookie", "s=1; Secure"));
    let command = lycosa(["fetch", "-k", "-n", "--allow-private", "-b", "", &site.url("/")]).args(SECRETS);
    let netrc = format!("machine {machine} login me password pw\n");
    command.env("NETRC", "logins").file("logins", netrc).run().exits(0);
    assert_eq!((bears(&site.log()[0]), plain.hits()), (4, 1));
    assert_eq!(bears(&plain.log()[0]), 0, "nor does netrc log in where others can listen");
}
