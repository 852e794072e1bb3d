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
        let page = |name: &str| html(fixture(&format!("pages/{name}.html")));
        match request.target.as_str() {
            "/shop/list" => page("list"),
            "/shop/list?page=2" => page("list-2"),
            "/shop/stock.json" => {
                status(200).header("Content-Type", "application/json").bytes(fixture("pages/stock.json"))
            }
            _ => match request.path().strip_prefix("/shop/product/") {
                Some(name) => page(name),
                None => status(404),
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
    // However small a page is, its tree is built on the parse pool: there and back.
    let control = lycosa(["fetch", "--summary", "summary.json"]).lines(&urls).run().exits(0);
    let crossings = |run: &Run| run.summary().number("crossings");
    assert!(crossings(&run) >= crossings(&control) + 7, "{} and {}", crossings(&run), crossings(&control));
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
        "/deep" => html(&deep),
        _ => html("<h1>fine</h1>"),
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

type Encoded = (&'static str, Option<&'static str>, Vec<u8>, &'static str, &'static str);

/// Ten encodings, each with a title and a paragraph: its label, that of the header if there is one, the bytes, the
/// title, the text.
fn encoded() -> Vec<Encoded> {
    let japanese = ("日本語の見出し", "これは文字コードの検査に使う、日本語の文章です。");
    let chinese = ("中文标题", "这是一个用来检查字符编码的网页，请不要在意内容。");
    let taiwan = ("繁體中文標題", "這是一個用來檢查字元編碼的網頁，請不要在意內容。");
    let russian = ("Русский заголовок", "Съешь ещё этих мягких французских булок, да выпей чаю.");
    let german = ("Überschrift", "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.");
    let korean = ("한국어 제목", "이것은 문자 인코딩을 검사하기 위한 한국어 문장입니다.");
    let page = |declared: &str, (title, text): (&str, &str)| {
        let meta = if declared.is_empty() { String::new() } else { format!("<meta charset={declared}>") };
        format!("<!doctype html>{meta}<title>{title}</title><p class=field>{text}")
    };
    let coded = |label: &str, page: &str| {
        encoding_rs::Encoding::for_label(label.as_bytes()).unwrap().encode(page).0.into_owned()
    };
    let wide = |page: &str, unit: fn(u16) -> [u8; 2]| {
        let units = std::iter::once(0xFEFF).chain(page.encode_utf16());
        units.flat_map(unit).collect::<Vec<u8>>()
    };
    vec![
        ("utf-16le", None, wide(&page("", russian), u16::to_le_bytes), russian.0, russian.1),
        ("utf-16be", None, wide(&page("", chinese), u16::to_be_bytes), chinese.0, chinese.1),
        ("shift_jis", Some("Shift_JIS"), coded("shift_jis", &page("", japanese)), japanese.0, japanese.1),
        ("gb18030", None, coded("gb18030", &page("gb18030", chinese)), chinese.0, chinese.1),
        ("windows-1251", Some("windows-1251"), coded("windows-1251", &page("", russian)), russian.0, russian.1),
        ("windows-1252", None, coded("windows-1252", &page("iso-8859-1", german)), german.0, german.1),
        ("euc-kr", None, coded("euc-kr", &page("euc-kr", korean)), korean.0, korean.1),
        ("big5", Some("big5"), coded("big5", &page("", taiwan)), taiwan.0, taiwan.1),
        // No declaration at all.
        ("euc-jp", None, coded("euc-jp", &page("", japanese)), japanese.0, japanese.1),
        ("windows-1251", None, coded("windows-1251", &page("", russian)), russian.0, russian.1),
        ("utf-8", None, page("", korean).into_bytes(), korean.0, korean.1),
        // The page lies, the header does not; and a byte order mark is believed before either.
        ("utf-8", Some("utf-8"), page("windows-1252", japanese).into_bytes(), japanese.0, japanese.1),
        (
            "utf-8",
            Some("iso-8859-1"),
            [&b"\xef\xbb\xbf"[..], page("koi8-r", german).as_bytes()].concat(),
            german.0,
            german.1,
        ),
    ]
}

#[test]
fn titles_and_fields_are_right_in_every_encoding() {
    let site = Site::start(|request| {
        let number: usize = request.path().trim_start_matches('/').parse().unwrap();
        let (_, header, body, ..) = encoded().swap_remove(number);
        let content_type = header.map_or("text/html".to_owned(), |label| format!("text/html; charset={label}"));
        status(200).header("Content-Type", content_type).bytes(body)
    });
    let pages = encoded();
    let urls: Vec<String> = (0..pages.len()).map(|number| site.url(&format!("/{number}"))).collect();
    let records = lycosa(["fetch", "--extract", "field=.field"]).lines(&urls).run().exits(0).records();
    for (number, (label, _, _, title, text)) in pages.into_iter().enumerate() {
        let record = with_path(&records, &format!("/{number}"));
        assert_eq!(
            (field(record, "charset"), field(record, "title"), &record["data"]),
            (label, title, &json!({ "field": text })),
            "{number}"
        );
    }
}

/// What `extract` writes: no records.
fn lines(run: &Run) -> Vec<Value> {
    run.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pages_on_disk_give_what_they_give_when_fetched() {
    let site = shop();
    let rules = format!("{SHOP}/rules.toml");
    let base = site.url("/shop/");
    let urls = ["/shop/list", "/shop/product/lamp", "/shop/product/chair"].map(|path| site.url(path));
    let fetched =
        lycosa(["fetch", "--rules", &rules, "--with", "body", "-o", "pages.jsonl"]).lines(&urls).run().exits(0);
    let records = fetched.records_of("pages.jsonl");
    let by_url = |lines: &[Value], key: &str| -> BTreeMap<String, Value> {
        lines.iter().map(|line| (field(line, key).to_owned(), line["data"].clone())).collect()
    };
    let again = lycosa(["extract", "--rules", &rules]).arg(fetched.path("pages.jsonl")).run().exits(0);
    assert_eq!(by_url(&lines(&again), "url"), by_url(&records, "final_url"));
    // The same as an archive, and as a file of its own.
    let mut archive = String::new();
    for record in &records {
        let block =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{}", field(record, "body"));
        let url = field(record, "final_url");
        let head = format!(
            "WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Length: {}\r\n\r\n",
            block.len()
        );
        archive.extend([&*head, &*block, "\r\n\r\n"]);
    }
    let packed = lycosa(["extract", "--rules", &rules, "a.warc"]).file("a.warc", &archive).run().exits(0);
    assert_eq!(by_url(&lines(&packed), "url"), by_url(&records, "final_url"));
    let saved = format!("{SHOP}/pages/lamp.html");
    let page = lycosa(["extract", "--rules", &rules, "--base", &format!("{base}product/lamp"), &saved]).run().exits(0);
    assert_eq!(lines(&page)[0]["data"], by_url(&records, "final_url")[&site.url("/shop/product/lamp")]);
    assert_eq!(site.hits(), 3, "nothing was fetched again");
}

#[test]
fn rules_run_over_whatever_a_run_has_written() {
    let site = Site::start(|request: &Request| match request.path() {
        "/raw" => status(200).header("Content-Type", "text/html").bytes(b"<h1>raw</h1>\0".to_vec()),
        "/same" | "/again" => html("<h1>same</h1>"),
        "/gone" => status(404).header("Content-Type", "text/html").bytes(b"<h1>gone</h1>".to_vec()),
        _ => status(200).header("Content-Type", "image/png").bytes(b"\x89PNG".to_vec()),
    });
    let urls = ["/gone", "/raw", "/same", "/again", "/p.png"].map(|path| site.url(path));
    // The archive knows the second of two equal pages as a revisit of the first: one after the other.
    let outputs = ["a.jsonl", "b.json.zst", "c.warc.gz", "d.warc", "e.sqlite"].map(|name| ["-o", name]).concat();
    let fetch = |more: &[&str]| {
        let run = lycosa(["fetch", "-j", "1", "--ordered"]).args(more.iter().copied());
        run.lines(&urls).run().exits(1)
    };
    let run = fetch(&[&["--with", "body", "--save-bodies", "bodies"][..], &outputs].concat());
    let headings = |run: &Run| -> Vec<String> {
        let mut all: Vec<_> =
            lines(run).iter().filter_map(|line| line["data"]["h"].as_str().map(str::to_owned)).collect();
        all.sort();
        all
    };
    let expected = ["raw", "same", "same"];
    for name in ["a.jsonl", "b.json.zst", "c.warc.gz", "d.warc"] {
        let read = lycosa(["extract", "--extract", "h=h1"]).arg(run.path(name)).run().exits(0);
        assert_eq!(headings(&read), expected, "{name}");
        assert!(read.stderr.contains("passed over: 1 whose URL did not end well"), "{name}: {}", read.stderr);
    }
    let saved = lycosa(["extract", "--extract", "h=h1"]).arg(run.path("bodies")).run().exits(0);
    // What was answered with 404 is a file, too.
    assert_eq!(headings(&saved), ["gone", "raw", "same", "same"]);
    assert!(saved.stderr.contains("1 that are neither HTML nor JSON"), "{}", saved.stderr);
    let table = lycosa(["extract", "--extract", "h=h1"]).arg(run.path("e.sqlite")).run().exits(2);
    assert!(table.stderr.contains("it is an SQLite database"), "{}", table.stderr);
    // Records without bodies lead to the files that they name.
    let files = fetch(&["--save-bodies", "bodies", "-o", "a.jsonl"]);
    let read = lycosa(["extract"]).arg(files.path("a.jsonl")).env("LYCOSA_EXTRACT", "h=h1").run().exits(0);
    assert_eq!(headings(&read), expected);
    let none = fetch(&["-o", "a.jsonl"]);
    let read = lycosa(["extract", "--extract", "h=h1"]).arg(none.path("a.jsonl")).run().exits(0);
    assert_eq!(lines(&read).len(), 0);
    assert!(read.stderr.contains("4 without a body (--with body"), "{}", read.stderr);
}

#[test]
fn a_trial_of_rules_tells_what_each_has_matched() {
    let saved = format!("{SHOP}/pages/lamp.html");
    let run =
        lycosa(["extract", "--extract", "h=h1", "--extract", "none=.nowhere", "--explain", &saved]).run().exits(0);
    assert!(run.text().contains("h: 1 x <h1> gives \"Desk lamp\""), "{}", run.text());
    assert!(run.text().contains("none: nothing matches"), "{}", run.text());
    lycosa(["extract", "--extract", "h=h1", "/no/such/file"]).run().exits(2);
    assert!(!run.text().contains("set of rules"), "there are none: {}", run.text());
    let sets = lycosa(["extract", "--rules", &format!("{SHOP}/rules.toml"), "--explain", &saved]).run().exits(0);
    assert!(sets.text().contains("no set of rules is for this URL"), "{}", sets.text());
    let nothing = lycosa(["extract", &saved]).run().exits(2);
    assert!(nothing.stderr.contains("nothing to extract"), "{}", nothing.stderr);
    let broken = lycosa(["extract", "--extract", "h=h1[", &saved]).run().exits(2);
    assert!(broken.stderr.contains("--extract: column 6: rule 'h': 'h1[' is no selector"), "{}", broken.stderr);
}

#[test]
fn pages_say_what_they_are_without_rules() {
    let paragraph =
        "This is the story of a crawler, with commas, and many words <a href=more>to follow</a>. ".repeat(8);
    let story = format!(
        "<html lang=en><title>Story</title><meta name=description content=Short><nav><a href=/>Home</a></nav>\
         <article><h2>Part one</h2><p>{paragraph}<p>{paragraph}</article><footer>Imprint</footer>"
    );
    let site = Site::start(move |_: &Request| html(&story));
    let run = lycosa(["fetch", "--metadata", "--text", "--markdown", &site.url("/a/")]).run().exits(0);
    let data = run.record()["data"].clone();
    assert_eq!((&data["metadata"]["description"], &data["metadata"]["language"]), (&json!("Short"), &json!("en")));
    let (text, markdown) = (field(&data, "text"), field(&data, "markdown"));
    assert!(text.contains("story of a crawler") && !text.contains("Imprint") && !text.contains("Home"), "{text}");
    assert!(markdown.contains(&format!("[to follow]({})", site.url("/a/more"))), "{markdown}");
    assert!(markdown.contains("Part one") && !markdown.contains("Imprint"), "{markdown}");
}
