//! Fields without code: rules over a shop of fixtures, what is told of rules that cannot be used or find nothing, and pages
//! in encodings of the whole world.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::*;

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/shop");

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{SHOP}/{name}")).unwrap()
}

fn shop() -> Site {
    Site::start(|request| {
        let page = |name: &str| html(fixture(&format!("pages/{name}.html"))).into();
        match request.target.as_str() {
            "/shop/list" => page("list"),
            "/shop/list?page=2" => page("list-2"),
            "/shop/stock.json" => {
                status(200).header("Content-Type", "application/json").bytes(fixture("pages/stock.json")).into()
            }
            _ => match request.path().strip_prefix("/shop/product/") {
                Some(name) => page(name),
                None => status(404).into(),
            },
        }
    })
}

/// What each page of the shop must give, by its path.
fn expected(base: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(&fixture("expected.json").replace("BASE", base)).unwrap()
}

#[test]
fn the_shop_gives_what_its_rules_promise() {
    let site = shop();
    let rules = format!("{SHOP}/rules.toml");
    let expected = expected(site.url("/").trim_end_matches('/'));
    let urls: Vec<String> = expected.keys().map(|path| site.url(path)).collect();
    let run = lycosa(["fetch", "--rules", &rules, "--summary", "summary.json"]).lines(&urls).run().exits(0);
    let records = run.records();
    assert_eq!(records.len(), expected.len());
    for (path, data) in &expected {
        let record = records.iter().find(|record| record["url"] == site.url(path)).unwrap();
        assert_eq!((&record["data"], field(record, "outcome")), (data, "ok"), "{path}");
    }
    let told: Value = serde_json::from_str(&std::fs::read_to_string(run.path("summary.json")).unwrap()).unwrap();
    assert_eq!(
        told["fields"],
        json!({
            "pages": 7, "unmatched": [], "given_up": {},
            "lacking": { "product.price": 1, "product.offers.seller": 1 },
            "unlike": { "product.offers.price": 1, "product.published": 1 },
        })
    );
    // Without rules the key is null.
    let plain = lycosa(["fetch", &site.url("/shop/list")]).run().exits(0).record();
    assert_eq!(plain["data"], Value::Null);
}

#[test]
fn a_crawl_finds_the_same_and_follows_links_as_without_rules() {
    let site = shop();
    let rules = format!("{SHOP}/rules.toml");
    let seed = site.url("/shop/list");
    let crawl = |more: &[&str]| {
        let run = lycosa(["crawl", "--robots", "ignore", &seed]).args(more.iter().copied()).run().exits(0);
        run.records().into_iter().map(|record| (field(&record, "url").to_owned(), record["data"].clone())).collect()
    };
    let (with, without): (BTreeMap<_, _>, BTreeMap<String, Value>) = (crawl(&["--rules", &rules]), crawl(&[]));
    assert_eq!(with.keys().collect::<Vec<_>>(), without.keys().collect::<Vec<_>>());
    let expected = expected(site.url("/").trim_end_matches('/'));
    for path in ["/shop/list", "/shop/product/lamp", "/shop/stock.json"] {
        assert_eq!(with[&site.url(path)], expected[path]);
    }
    assert!(without.values().all(Value::is_null));
}

#[test]
fn fields_are_typed_on_the_command_line() {
    let site = shop();
    let run =
        lycosa(["fetch", "--extract", "name=h1", "--extract", "photos=img@src::all", "--extract", "none=.nowhere"])
            .arg(site.url("/shop/product/lamp"))
            .run()
            .exits(0);
    let base = site.url("/shop/");
    let photos = [
        format!("{base}img/lamp-1.jpg"),
        "http://cdn.shop.test/lamp-2.jpg".to_owned(),
        format!("{base}product/logo.png"),
    ];
    assert_eq!(run.record()["data"], json!({ "name": "Desk lamp", "photos": photos, "none": null }));
    assert!(run.stderr.contains("the rule none has matched nothing on 1 page"), "{}", run.stderr);
    assert!(!run.stderr.contains("the rule name"), "{}", run.stderr);
}

#[test]
fn a_rule_that_cannot_be_used_ends_the_run_before_it_begins() {
    let site = shop();
    let broken = fixture("rules.toml").replace("select = \".offer\"", "select = \".offer > > b\"");
    let line = broken.lines().position(|line| line.contains("> > b")).unwrap() + 1;
    let run = lycosa(["fetch", "--rules", "rules.toml", &site.url("/")]).file("rules.toml", &broken).run().exits(2);
    let told = format!("rules.toml:{line}:20: rule 'product.offers': '.offer > > b' is no selector: ");
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    let typed = lycosa(["fetch", "--extract", "price=.price:nth-chlid(2)", &site.url("/")]).run().exits(2);
    assert!(typed.stderr.contains("--extract: column 13: rule 'price': "), "{}", typed.stderr);
    assert!(typed.stderr.contains("nth-chlid"), "{}", typed.stderr);
    let misspelt = fixture("rules.toml").replace("type = \"date\"", "tpye = \"date\"");
    let run = lycosa(["fetch", "--rules", "rules.toml", &site.url("/")]).file("rules.toml", misspelt).run().exits(2);
    assert!(run.stderr.contains("unknown key 'tpye'; did you mean 'type'?"), "{}", run.stderr);
    assert_eq!(site.hits(), 0);
}

#[test]
fn a_page_that_would_take_minutes_is_given_up_and_holds_nothing_up() {
    let deep = "<div>".repeat(200_000);
    let site = Site::start(move |request| match request.path() {
        "/deep" => html(&deep).into(),
        _ => html("<h1>fine</h1>").into(),
    });
    let urls = [site.url("/deep"), site.url("/a"), site.url("/b")];
    let run = lycosa(["fetch", "--extract", "h=h1", "--summary", "s.json"]).lines(&urls).run().exits(0);
    let records = run.records();
    for (path, data) in [("/deep", Value::Null), ("/a", json!({ "h": "fine" })), ("/b", json!({ "h": "fine" }))] {
        let record = with_path(&records, path);
        assert_eq!((&record["data"], field(record, "outcome")), (&data, "ok"), "{path}");
    }
    let told: Value = serde_json::from_str(&std::fs::read_to_string(run.path("s.json")).unwrap()).unwrap();
    assert_eq!(told["fields"]["given_up"], json!({ "nested too deep": 1 }));
}
