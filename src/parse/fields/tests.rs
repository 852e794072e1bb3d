//! Rules over whole pages.

use serde_json::json;

use super::*;

fn page<'a>(url: &'a Url, media_type: &'a str, body: &'a str) -> Source<'a> {
    Source { url, media_type, header_charset: None, body: body.as_bytes(), is_over: &|| false }
}

fn url() -> Url {
    Url::parse("https://shop.test/product/1").unwrap()
}

fn rules(text: &str) -> Fields {
    let mut fields = Fields::default();
    fields.add_file(text).unwrap();
    fields
}

fn data(fields: &Fields, body: &str) -> Value {
    fields.find(&page(&url(), "text/html", body), false).data.map_or(Value::Null, Value::Object)
}

#[test]
fn fields_of_the_command_line_are_of_every_page() {
    let mut fields = Fields::default();
    for text in ["title=h1", "links=a@href::all", "first=p::html", "none=.none", "nones=.none::all", "code=h1@data-c"] {
        fields.add(text).unwrap();
    }
    let body = "<base href=/x/><h1 data-c=' 7 '> A  <b>b</b></h1><a href=y>1</a><a href='//z.test'>2</a><p> c<i>d</i>";
    let expected = json!({
        "title": "A b", "links": ["https://shop.test/x/y", "https://z.test/"], "first": "c<i>d</i>",
        "none": null, "nones": [], "code": "7",
    });
    assert_eq!(data(&fields, body), expected);
    assert_eq!(fields.add("no selector").unwrap_err().reason, "'no selector' is not NAME=SELECTOR");
    assert_eq!(fields.add("x=").unwrap_err().rule, "x");
    assert_eq!(fields.add("title=h2").unwrap_err().reason, "this name stands there twice");
    assert_eq!(fields.add("y= div > > p").unwrap_err().at, 9);
}

const RULES: &str = r#"
[[page]]
name = "product"
url = ["*/product/*", 're:/p/\d+$']
[page.fields]
name = { select = "h1", required = true }
price = { select = ".price", type = "float" }
sku = { select = "body", regex = 'SKU (\w+)' }
stock = { select = ".stock", type = "bool", default = false }
raw = { select = "pre", trim = false }
[page.fields.offers]
select = ".offer"
all = true
[page.fields.offers.fields]
seller = { select = "b", required = true }
id = "@data-id"
price = { select = "i", type = "float", decimal = "," }
[page.fields.maker]
fields = { name = ".maker" }

[[page]]
name = "rest"
[page.fields]
heading = "h1"
"#;

#[test]
fn the_first_set_of_rules_that_fits_the_url_takes_the_page() {
    let fields = rules(RULES);
    let body = "<h1>Lamp</h1><p class=price>1.299,00 €<p>SKU A77 in stock<pre> x </pre><p class=maker>Lux\
        <div class=offer data-id=1><b>A</b><i>1.234</i></div><div class=offer><i>5</i></div><div class=offer><b>C</b></div>";
    let expected = json!({
        "name": "Lamp", "price": 1299.0, "sku": "A77", "stock": false, "raw": " x ",
        "offers": [{ "seller": "A", "id": "1", "price": 1234.0 }, { "seller": "C", "id": null, "price": null }],
        "maker": { "name": "Lux" },
    });
    assert_eq!(data(&fields, body), expected);
    let other = Url::parse("https://shop.test/about").unwrap();
    let found = fields.find(&page(&other, "text/html", "<h1>Us"), false);
    assert_eq!(found.data.map(Value::Object), Some(json!({ "heading": "Us" })));
    assert_eq!((fields.set_for(&url()), fields.set_for(&other)), (Some("product"), Some("rest")));
}

#[test]
fn what_a_required_field_lacks_is_counted() {
    let fields = rules(RULES);
    let found = fields.find(&page(&url(), "text/html", "<p class=price>no idea"), false);
    assert_eq!(found.data, None);
    let number = |name: &str| fields.names().iter().position(|known| known == name).unwrap();
    assert_eq!(found.tally.lacking[number("product.name")], 1);
    let found = fields.find(&page(&url(), "text/html", "<h1>x</h1><p class=price>no idea"), false);
    assert_eq!(found.tally.unlike[number("product.price")], 1);
    assert_eq!(found.tally.matched[number("product.name")], 1);
    assert_eq!(found.tally.matched.get(number("product.price")).copied().unwrap_or(0), 0);
}

#[test]
fn json_is_read_by_pointers_also_inside_a_page() {
    let fields = rules(
        r#"
[[page]]
[page.fields]
total = { pointer = "/total", type = "int" }
day = { pointer = "/day", type = "date" }
tags = "/tags::all"
[page.fields.items]
pointer = "/items"
all = true
fields = { name = "/n", link = { pointer = "/u", type = "url" } }
[page.fields.inside]
select = "script[type='application/json']"
pointer = "/a/0"
"#,
    );
    let body = r#"{"total": "12 of 20", "day": 1710237600, "tags": ["x", 2], "items": [{"n": "a", "u": "../q"}, {"n": null}]}"#;
    let found = fields.find(&page(&url(), "application/json", body), false);
    let expected = json!({
        "total": 12, "day": "2024-03-12T10:00:00Z", "tags": ["x", 2],
        "items": [{ "name": "a", "link": "https://shop.test/q" }, { "name": null, "link": null }], "inside": null,
    });
    assert_eq!(found.data.map(Value::Object), Some(expected));
    let html = data(&fields, r#"<script type="application/json">{"a": [{"b": 1}]}</script>"#);
    assert_eq!(html["inside"], json!({ "b": 1 }));
    assert_eq!(html["total"], Value::Null);
    assert_eq!(fields.find(&page(&url(), "application/json", "{"), false).data, None);
    assert_eq!(fields.find(&page(&url(), "image/png", "x"), false).data, None);
}

#[test]
fn a_file_that_cannot_be_used_names_rule_place_and_reason() {
    let told = |text: &str| {
        let bad = Fields::default().add_file(text).expect_err(text);
        (text[bad.at..].chars().take(6).collect::<String>(), bad.to_string())
    };
    for (text, at, expected) in [
        ("[[page]]\nfields = { a = \"p[\" }", "\" }", "rule 'page 1.a': 'p[' is no selector"),
        (
            "[[page]]\nname = 'x'\nfields = { a = { select = 'p', tpye = 'int' } }",
            "tpye =",
            "rule 'x.a': unknown key 'tpye'; did you mean 'type'?",
        ),
        (
            "[[page]]\nfields = { a = { select = 'p', type = 'flaot' } }",
            "'flaot",
            "unknown type 'flaot'; did you mean 'float'?",
        ),
        (
            "[[page]]\nfields = { a = { select = 'p', regex = '(' } }",
            "'(' } ",
            "rule 'page 1.a': '(' is no regular expression: unclosed group",
        ),
        ("[[pages]]", "pages]", "'pages' is no table of a rules file; did you mean 'page'?"),
        ("[[page]]\nurls = 'x'", "urls =", "rule 'page 1': unknown key 'urls'; did you mean 'url'?"),
        ("[[page]]\nurl = 'x'", "[[page", "rule 'page 1': it has no fields: write [page.fields]"),
        ("[[page]]\nfields = { a = 1 }", "1 }", "a rule is a string (a selector) or a table"),
        ("[[page]]\nfields = { a = { all = true } }", "a = { ", "it has none of select, pointer, table and fields"),
        ("[[page]]\nfields = { a = { pointer = 'b' } }", "'b' } ", "a JSON Pointer begins with '/'"),
        ("[[page]]\nfields = { a = { select = 'b', all = 1 } }", "1 } }", "all is true or false"),
        ("[[page]]\nurl = 're:('\nfields = {}", "'re:('", "url: 're:(' is no pattern"),
        ("[[page]", "", ""),
        ("", "", "no rules"),
    ] {
        let (place, message) = told(text);
        assert!(place.starts_with(at) && message.contains(expected), "{text}: {place} {message}");
    }
}

#[test]
fn what_rules_take_of_a_page_is_bounded() {
    let mut fields = Fields::default();
    fields.add("all=div::all").unwrap();
    let body = format!("{}{}", "<div>".repeat(400), "x".repeat(20_000));
    let found = fields.find(&page(&url(), "text/html", &body), false);
    assert_eq!((found.data, found.given_up), (None, Some(GivenUp::TooLarge)));
    let deep = "<div>".repeat(200_000);
    let found = fields.find(&page(&url(), "text/html", &deep), false);
    assert_eq!((found.data, found.given_up), (None, Some(GivenUp::TooDeep)));
    let url = url();
    let slow = Source { is_over: &|| true, ..page(&url, "text/html", "<div>") };
    assert_eq!(fields.find(&slow, false).given_up, Some(GivenUp::TooSlow));
}

#[test]
fn a_trial_tells_what_each_rule_has_matched() {
    let mut fields = Fields::default();
    fields.add("p=p").unwrap();
    fields.add("q=q").unwrap();
    let seen = fields.find(&page(&url(), "text/html", "<p class=a>1<p>2"), true).seen;
    let first = Seen { field: 0, count: 2, first: Some("<p class=\"a\">".to_owned()), value: Some("\"1\"".to_owned()) };
    assert_eq!(seen, [first, Seen { field: 1, count: 0, first: None, value: None }]);
}
