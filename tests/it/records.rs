//! The record: its keys and their types, its order, and that it tells everything that was asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::*;

/// A site on which a URL can end in every way.
fn varied(elsewhere: String) -> Site {
    let robots_done = html(
        "<!doctype html><title> A  title </title><meta name=robots content=noindex><a href=/b#f rel=x> to <b>b</b></a>",
    );
    Site::start(move |request| match request.path() {
        "/robots.txt" => text("User-agent: *\nDisallow: /private\n").into(),
        "/" => {
            html(index(["/page", "/missing", "/moved", "/private", "/hang", "/out", "/picture", "/page#again"])).into()
        }
        "/page" => Answer::Reply(robots_done.clone()),
        "/moved" => redirect(301, "/moved2").into(),
        "/moved2" => redirect(302, "/landing").into(),
        "/landing" | "/b" => html("<p>landed").into(),
        "/hang" => Answer::Hang,
        "/out" => redirect(302, &elsewhere).into(),
        "/picture" => status(200).header("Content-Type", "image/png").bytes([0x89, 0, 255]).into(),
        _ => status(404).into(),
    })
}

const CRAWL: [&str; 6] = ["crawl", "--retries", "0", "--timeout", "1s", "--fail-on=never"];

#[test]
fn every_shape_of_record_keeps_the_schema() {
    let elsewhere = Site::start(|_: &Request| html(""));
    let site = varied(elsewhere.url("/"));
    let refused = format!("http://{}/", { Site::start(|_: &Request| html("")).host().to_owned() });
    let seeds = [site.url("/"), site.url("/"), "http://".to_owned(), refused];
    let mut shapes = BTreeSet::new();
    for extra in [&[][..], &["--with", "body,links,headers,digest"], &["--refused", "-l", "0"]] {
        let run = lycosa(CRAWL).args(extra.iter().copied()).lines(&seeds).run().exits(0);
        for record in run.records() {
            let errors: Vec<_> = record_schema().iter_errors(&record).map(|error| error.to_string()).collect();
            assert_eq!(errors, [""; 0], "{record}");
            shapes.insert((field(&record, "outcome").to_owned(), field(&record, "skip_reason").to_owned()));
        }
    }
    for shape in [
        ("ok", ""),
        ("http_error", ""),
        ("failed", ""),
        ("skipped", "robots"),
        ("skipped", "duplicate"),
        ("skipped", "scope"),
        ("skipped", "depth"),
    ] {
        assert!(shapes.contains(&(shape.0.to_owned(), shape.1.to_owned())), "{shape:?} was not seen in {shapes:?}");
    }
}

#[test]
fn the_schema_refuses_what_is_no_record() {
    let site = varied(String::new());
    let good = lycosa(["fetch", &site.url("/page")]).run().exits(0).record();
    assert!(record_schema().is_valid(&good));
    for key in KEYS {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(key);
        assert!(!record_schema().is_valid(&bad), "a record without {key}");
    }
    for (key, value) in [
        ("seq", json!("0")),
        ("outcome", json!("fine")),
        ("status", json!("200")),
        ("skip_reason", json!("boredom")),
        ("error", json!({"kind": "bad luck", "stage": "head", "message": "", "retryable": true})),
        ("requests", json!([{"url": "x"}])),
        ("truncated", json!(0)),
        ("size", json!(null)),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(!record_schema().is_valid(&bad), "{key}: {}", bad[key]);
    }
}

#[test]
fn the_keys_are_exactly_those_of_the_contract() {
    let site = varied(String::new());
    let records =
        lycosa(["fetch", "--fail-on", "never", "--retries", "0"]).lines([&site.url("/page"), "http://"]).run();
    for record in records.exits(0).records() {
        all_keys_present(&record, &[]);
    }
    let with = lycosa(["fetch", "--with", "body,links,headers,digest", &site.url("/page")]).run().exits(0).record();
    all_keys_present(&with, &["body", "links", "headers"]);
    let one = lycosa(["fetch", "--with", "links", &site.url("/page")]).run().exits(0).record();
    all_keys_present(&one, &["links"]);
}

#[test]
fn a_plain_page_tells_all_there_is_to_tell() {
    let site = varied(String::new());
    let url = site.url("/page");
    let record = lycosa(["fetch", &url]).run().exits(0).record();
    for (key, value) in [
        ("schema", json!(1)),
        ("seq", json!(0)),
        ("url", json!(url)),
        ("input", json!(url)),
        ("final_url", json!(url)),
        ("outcome", json!("ok")),
        ("status", json!(200)),
        ("error", json!(null)),
        ("skip_reason", json!(null)),
        ("method", json!("GET")),
        ("depth", json!(0)),
        ("source", json!(null)),
        ("attempts", json!(1)),
        ("http_version", json!("HTTP/1.1")),
        ("remote_addr", json!(site.host())),
        ("host_key", json!(site.host())),
        ("proxy", json!(null)),
        ("content_type", json!("text/html")),
        ("charset", json!("utf-8")),
        ("truncated", json!(false)),
        ("digest", json!(null)),
        ("title", json!("A title")),
        ("noindex", json!(true)),
        ("from_cache", json!(false)),
        ("stale", json!(false)),
        ("meta", json!(null)),
        ("tls_ms", json!(null)),
    ] {
        assert_eq!(record[key], value, "{key}");
    }
    assert_eq!(record["size"], record["wire_size"]);
    assert!(record["size"].as_u64().unwrap() > 50);
    assert!(field(&record, "run").len() > 3);
    let times = ["queued_ms", "first_byte_ms", "total_ms"].map(|key| record[key].as_f64().unwrap());
    assert!(times[0] >= 0.0 && times[1] > 0.0 && times[2] >= times[1], "{times:?}");
}

#[test]
fn times_have_a_decimal_point_and_instants_three_decimals() {
    let site = varied(String::new());
    let run = lycosa(["fetch", &site.url("/page"), &site.url("/moved")]).run().exits(0);
    let number = regex::Regex::new(r#""([a-z_]*ms)":([^,}]+)"#).unwrap();
    let decimal = regex::Regex::new(r"^[0-9]+\.[0-9]{1,3}$").unwrap();
    let mut seen = BTreeSet::new();
    for found in number.captures_iter(run.text()) {
        assert!(&found[2] == "null" || decimal.is_match(&found[2]), "{}", &found[0]);
        if &found[2] != "null" {
            seen.insert(found[1].to_owned());
        }
    }
    for key in ["ms", "queued_ms", "first_byte_ms", "total_ms"] {
        assert!(seen.contains(key), "{key} of {seen:?}");
    }
    let instant = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$").unwrap();
    for record in run.records() {
        assert!(instant.is_match(field(&record, "started_at")), "{}", record["started_at"]);
        for request in record["requests"].as_array().unwrap() {
            assert!(instant.is_match(field(request, "started_at")), "{request}");
        }
    }
}

#[test]
fn a_chain_of_redirects_stands_in_one_record() {
    let site = varied(String::new());
    let record = lycosa(["fetch", &site.url("/moved")]).run().exits(0).record();
    assert_eq!(field(&record, "url"), site.url("/moved"));
    assert_eq!(field(&record, "final_url"), site.url("/landing"));
    assert_eq!((record["status"].as_u64(), record["attempts"].as_u64()), (Some(200), Some(1)));
    assert_eq!(requests_of(&record), ["page", "redirect", "redirect"]);
    let seen: Vec<_> = record["requests"].as_array().unwrap().iter().map(|entry| entry["status"].clone()).collect();
    assert_eq!(seen, [301, 302, 200]);
    for (request, path) in record["requests"].as_array().unwrap().iter().zip(["/moved", "/moved2", "/landing"]) {
        assert_eq!(field(request, "url"), site.url(path));
        assert_eq!(field(request, "host_key"), site.host());
    }
}

#[test]
fn the_records_name_every_request_that_the_server_saw() {
    let tree = Tree::new(60, 4, 4, 3);
    let site = Site::start(move |request| match (request.path(), request.nth) {
        ("/page/7" | "/page/9", 0) => status(503).header("Retry-After", "0").into(),
        ("/page/11", 0) => status(500).into(),
        _ => tree.answer(request),
    });
    let records = lycosa(["crawl", &site.url("/page/0")]).run().exits(0).records();
    let mut seen: Vec<_> = site.log().iter().map(|hit| site.url(&hit.target)).collect();
    seen.sort_unstable();
    assert_eq!(urls_asked(&records), seen, "robots.txt, redirects and retries included");
    assert!(seen.contains(&site.url("/robots.txt")));
    assert_eq!(requests_of(with_path(&records, "/page/7")), ["page", "retry"]);
    let runs: BTreeSet<_> = records.iter().map(|record| field(record, "run")).collect();
    let ids: BTreeSet<_> = records.iter().map(|record| field(record, "id")).collect();
    assert_eq!((runs.len(), ids.len()), (1, records.len()));
}

#[test]
fn a_link_names_its_source_and_depth() {
    let site = Site::start(|request| match request.path() {
        "/" => html(index(["/a"])),
        "/a" => html(index(["/moved", "/"])),
        "/moved" => redirect(302, "/b"),
        "/b" => html(index(["/c"])),
        "/c" => html(""),
        _ => status(404),
    });
    let records = lycosa(["crawl", &site.url("/")]).run().exits(0).records();
    let of = |path: &str| {
        let record = with_path(&records, path);
        (record["depth"].as_u64().unwrap(), record["source"].clone(), record["line"].clone())
    };
    assert_eq!(of("/"), (0, json!(null), json!(1)));
    assert_eq!(of("/a"), (1, json!(site.url("/")), json!(null)));
    assert_eq!(of("/moved"), (2, json!(site.url("/a")), json!(null)));
    let (depth, source, _) = of("/c");
    assert_eq!(depth, 3, "a redirect does not count");
    assert!(source == json!(site.url("/b")) || source == json!(site.url("/moved")), "{source}");
}

#[test]
fn bodies_come_as_text_or_as_base64() {
    let site = Site::start(|request| match request.path() {
        "/latin" => {
            status(200).header("Content-Type", "text/plain; charset=iso-8859-1").bytes(b"gr\xfc\xdfe".as_slice())
        }
        "/empty" => text(""),
        _ => status(200).header("Content-Type", "image/png").bytes([0x89, 0, 255]),
    });
    let urls = ["/latin", "/empty", "/picture"].map(|path| site.url(path));
    let records = lycosa(["fetch", "--with", "body"]).lines(urls).run().exits(0).records();
    assert_eq!(with_path(&records, "/latin")["body"], "grüße");
    assert_eq!(with_path(&records, "/latin")["size"], 5);
    assert_eq!(with_path(&records, "/empty")["body"], "");
    let picture = with_path(&records, "/picture");
    assert_eq!(picture["body_base64"], "iQD/");
    assert!(picture["body"].is_null());
}

#[test]
fn the_digest_is_that_of_the_decoded_body() {
    let body = "zip me ".repeat(1000);
    let plain = body.clone();
    let site = Site::start(move |_: &Request| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, body.as_bytes()).unwrap();
        text("").header("Content-Encoding", "gzip").bytes(encoder.finish().unwrap())
    });
    let record = lycosa(["fetch", "--with", "digest", &site.url("/")]).run().exits(0).record();
    let digest: Vec<_> = Sha256::digest(&plain).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(record["digest"], format!("sha256:{}", digest.concat()));
    assert_eq!(record["size"], plain.len());
    assert!(record["wire_size"].as_u64().unwrap() < 1000);
}

#[test]
fn headers_are_arrays_by_lower_case_name() {
    let site = Site::start(|_: &Request| {
        text("x").header("Set-Cookie", "a=1; Path=/").header("Set-Cookie", "b=2").header("X-Up", "Y")
    });
    let record = lycosa(["fetch", "--with", "headers", &site.url("/")]).run().exits(0).record();
    assert_eq!(record["headers"]["set-cookie"], json!(["a=***; Path=/", "b=***"]), "secrets of servers too");
    assert_eq!(record["headers"]["x-up"], json!(["Y"]));
}

#[test]
fn links_tell_where_they_stood() {
    let page = "<a href='b#f' rel='nofollow x'> to <b>b</b> </a><img src=i.png><iframe src=/frame></iframe>\
                <link rel=next href=/next><link rel=stylesheet href=/s.css><area href=/area alt=' an area '>\
                <a name=x>no link</a>";
    let site = Site::start(move |_: &Request| html(page));
    let record = lycosa(["fetch", "--with", "links", &site.url("/dir/")]).run().exits(0).record();
    let links = record["links"].as_array().unwrap();
    assert_eq!(
        links[0],
        json!({
            "url": site.url("/dir/b"), "fragment": "f", "text": "to b", "rel": "nofollow x", "tag": "a", "attribute": "href",
        })
    );
    let place = |link| (field(link, "tag"), field(link, "attribute"), field(link, "url").to_owned());
    let rest: Vec<_> = links[1..].iter().map(place).collect();
    assert_eq!(
        rest,
        [
            ("img", "src", site.url("/dir/i.png")),
            ("iframe", "src", site.url("/frame")),
            ("link", "href", site.url("/next")),
            ("link", "href", site.url("/s.css")),
            ("area", "href", site.url("/area")),
        ]
    );
    assert_eq!(site.hits(), 1, "fetch follows none");
}

#[test]
fn json_is_one_array_with_a_record_in_each_line() {
    let site = varied(String::new());
    let urls = ["/page", "/landing", "/b"].map(|path| site.url(path));
    let run = lycosa(["fetch", "--format", "json"]).args(&urls).run().exits(0);
    let array: Vec<Value> = serde_json::from_str(run.text()).unwrap();
    assert_eq!(array.len(), 3);
    let alone: Vec<_> = run.text().lines().filter(|line| line.contains("\"schema\"")).collect();
    assert_eq!(alone.len(), 3, "{}", run.text());
    for line in alone {
        let line = line.trim_start_matches(['[', ',']).trim_end_matches([']', ',']);
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn output_files_take_the_place_of_standard_output() {
    let site = varied(String::new());
    let url = site.url("/page");
    let run =
        lycosa(["fetch", "-o", "a.jsonl", "-o", "b.json", "-o", "jsonl:plain", "-o", "none", &url]).run().exits(0);
    assert_eq!(run.stdout, b"");
    for name in ["a.jsonl", "plain", "none"] {
        assert_eq!(run.records_of(name).len(), 1, "{name}");
    }
    let array: Value = serde_json::from_slice(&std::fs::read(run.path("b.json")).unwrap()).unwrap();
    assert_eq!(array[0]["url"], url);

    let run = lycosa(["fetch", "-o", "a.jsonl", "-o", "-", &url]).file("a.jsonl", "old").run().exits(0);
    assert_eq!(run.records(), run.records_of("a.jsonl"), "the file was truncated, standard output added");

    lycosa(["fetch", "-o", "a.xyz", &url]).run().exits(2);
    let before = site.hits();
    let run = lycosa(["fetch", "-o", "no/such/folder.jsonl", &url]).run().exits(3);
    assert!(run.stderr.contains("no/such/folder.jsonl"), "{}", run.stderr);
    assert_eq!(site.hits(), before, "files are opened before the first request");
}

#[test]
fn ordered_is_input_order_even_with_a_slow_first_line() {
    let site = Site::start(|request| match request.path() {
        "/0" if request.nth < 1 => status(500).after_ms(200),
        path => text(path),
    });
    let urls: Vec<_> = (0..50).map(|n| site.url(&format!("/{n}"))).collect();
    let order = |run: Run| run.records().iter().map(|record| field(record, "url").to_owned()).collect::<Vec<_>>();
    assert_eq!(order(lycosa(["fetch", "--ordered"]).lines(&urls).run().exits(0)), urls);
}

#[test]
fn without_ordered_records_come_as_they_are_done() {
    let site = Site::start(|request| text("").after_ms(if request.path() == "/0" { 600 } else { 0 }));
    let other = Site::start(|_: &Request| text(""));
    let urls: Vec<_> = std::iter::once(site.url("/0")).chain((1..20).map(|n| other.url(&format!("/{n}")))).collect();
    let records = lycosa(["fetch"]).lines(&urls).run().exits(0).records();
    assert!(field(&records[19], "url").ends_with("/0"), "the slow one is last");
}

#[test]
fn ordered_waits_for_three_retries_without_a_deadlock() {
    let site = Site::start(|request| match request.path() {
        "/0" if request.nth < 3 => status(503).header("Retry-After", "1").into(),
        "/0" => text("at last").into(),
        _ => Answer::from(text("x".repeat(100_000))),
    });
    let other = Site::start(|_: &Request| text("x".repeat(100_000)));
    let urls: Vec<_> = std::iter::once(site.url("/0")).chain((1..1500).map(|n| other.url(&format!("/{n}")))).collect();
    let run = lycosa(["fetch", "--ordered", "--with", "body", "-j", "16"]).lines(&urls).run().exits(0);
    let found: Vec<_> = run.records().iter().map(|record| field(record, "url").to_owned()).collect();
    assert!(found == urls, "right order");
}
