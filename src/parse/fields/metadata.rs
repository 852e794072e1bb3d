//! What a page says of itself: `--metadata`.
//!
//! Title, description, canonical URL, language, dates, Open Graph and Twitter cards, JSON-LD, microdata, feeds and
//! translations. Every key is there, null or empty where the page says nothing. URLs come out absolute. JSON-LD that is no
//! JSON is kept as the text it is. Pure, called by [`super::Fields`].
//!
//! Sources: WHATWG HTML 4.2.5 (meta), 4.6.6 (link types) and 5 (microdata); ogp.me; JSON-LD 1.1, 7 (in HTML).

use scraper::{ElementRef, Html};
use serde_json::{Map, Value, json};

use super::{dom, value};
use crate::model::url::Url;

/// Items, or JSON-LD objects, within one another.
const MAX_NESTING: usize = 16;

/// What was read so far. The first of its kind counts.
#[derive(Default)]
struct Said {
    title: Option<String>,
    description: Option<String>,
    canonical: Option<String>,
    language: Option<String>,
    published: Option<String>,
    modified: Option<String>,
    og: Map<String, Value>,
    twitter: Map<String, Value>,
    json_ld: Vec<Value>,
    microdata: Vec<Value>,
    feeds: Vec<Value>,
    hreflang: Vec<Value>,
}

/// Reads it. `spend` is told of the bytes of values, and says whether there may be more.
pub fn of(html: &Html, base: &Url, spend: &mut dyn FnMut(usize) -> bool) -> Value {
    let mut said = Said::default();
    for element in html.tree.nodes().filter_map(ElementRef::wrap) {
        match element.value().name() {
            "html" => said.language = said.language.take().or_else(|| attribute(element, "lang")),
            "title" if said.title.is_none() && !is_foreign(element) => said.title = filled(dom::folded_text(element)),
            "meta" if spend(256) => said.meta(element, base),
            "link" if spend(256) => said.link(element, base),
            "script" => said.script(element, spend),
            "time" if said.published.is_none() && element.attr("pubdate").is_some() => {
                said.published = element.attr("datetime").and_then(|text| value::date(text.trim(), None));
            }
            _ => {}
        }
        if element.attr("itemscope").is_some() && element.attr("itemprop").is_none() {
            said.microdata.push(item(element, base, spend, 0));
        }
    }
    said.finish()
}

impl Said {
    fn meta(&mut self, element: ElementRef<'_>, base: &Url) {
        let Some(content) = attribute(element, "content") else { return };
        let name = ["property", "name", "itemprop", "http-equiv"].into_iter().find_map(|key| attribute(element, key));
        let name = name.unwrap_or_default().to_ascii_lowercase();
        let date = || value::date(&content, None);
        match name.as_str() {
            "description" => self.description = self.description.take().or(Some(content)),
            "content-language" => self.language = self.language.take().or(Some(content)),
            "article:published_time" | "datepublished" | "date" | "dc.date" | "dcterms.created" | "pubdate" => {
                self.published = self.published.take().or_else(date);
            }
            "article:modified_time" | "og:updated_time" | "datemodified" | "last-modified" | "dcterms.modified" => {
                self.modified = self.modified.take().or_else(date);
            }
            _ => {}
        }
        let content = attribute(element, "content").unwrap_or_default();
        for (start, card) in [("og:", &mut self.og), ("twitter:", &mut self.twitter)] {
            if let Some(key) = name.strip_prefix(start).filter(|key| !key.is_empty()) {
                add(card, key, Value::from(absolute_if_url(key, &content, base)));
            }
        }
    }

    fn link(&mut self, element: ElementRef<'_>, base: &Url) {
        let Some(href) = attribute(element, "href") else { return };
        let rel = element.attr("rel").unwrap_or_default();
        let has = |word: &str| rel.split_ascii_whitespace().any(|known| known.eq_ignore_ascii_case(word));
        let url = absolute(&href, base);
        if has("canonical") {
            self.canonical.get_or_insert(url);
        } else if has("alternate") {
            let kind = attribute(element, "type").unwrap_or_default().to_ascii_lowercase();
            if let Some(language) = attribute(element, "hreflang") {
                self.hreflang.push(json!({ "lang": language, "url": url }));
            } else if matches!(&*kind, "application/rss+xml" | "application/atom+xml" | "application/feed+json") {
                self.feeds.push(json!({ "type": kind, "title": attribute(element, "title"), "url": url }));
            }
        }
    }

    fn script(&mut self, element: ElementRef<'_>, spend: &mut dyn FnMut(usize) -> bool) {
        let kind = element.attr("type").unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/ld+json") {
            return;
        }
        let text: String = element.text().collect();
        if text.trim().is_empty() || !spend(text.len()) {
            return;
        }
        match serde_json::from_str::<Value>(&text) {
            Ok(json) => {
                for (key, slot) in [("datePublished", &mut self.published), ("dateModified", &mut self.modified)] {
                    *slot = slot.take().or_else(|| date_in(&json, key, 0));
                }
                self.json_ld.push(json);
            }
            Err(_) => self.json_ld.push(Value::from(text.trim())),
        }
    }

    fn finish(self) -> Value {
        json!({
            "title": self.title,
            "description": self.description,
            "canonical": self.canonical,
            "language": self.language,
            "published": self.published,
            "modified": self.modified,
            "og": self.og,
            "twitter": self.twitter,
            "json_ld": self.json_ld,
            "microdata": self.microdata,
            "feeds": self.feeds,
            "hreflang": self.hreflang,
        })
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn attribute(element: ElementRef<'_>, name: &str) -> Option<String> {
    filled(dom::folded(element.attr(name)?))
}

/// A `<title>` of SVG is that of a drawing.
fn is_foreign(element: ElementRef<'_>) -> bool {
    &*element.value().name.ns != "http://www.w3.org/1999/xhtml"
}

fn absolute(url: &str, base: &Url) -> String {
    base.join(url).map_or_else(|_| url.to_owned(), String::from)
}

/// Values of cards that are URLs: `url`, `image`, `image:secure_url`, `player` …
fn absolute_if_url(key: &str, content: &str, base: &Url) -> String {
    let last = key.rsplit(':').next().unwrap_or_default();
    if matches!(last, "url" | "secure_url" | "image" | "video" | "audio" | "player" | "src") {
        absolute(content, base)
    } else {
        content.to_owned()
    }
}

/// A key that stands there more than once becomes a list.
fn add(map: &mut Map<String, Value>, key: &str, value: Value) {
    match map.get_mut(key) {
        None => {
            map.insert(key.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn date_in(json: &Value, key: &str, nesting: usize) -> Option<String> {
    match json {
        _ if nesting > MAX_NESTING => None,
        Value::Object(map) => {
            let own = map.get(key).and_then(Value::as_str).and_then(|text| value::date(text.trim(), None));
            own.or_else(|| map.values().find_map(|inner| date_in(inner, key, nesting + 1)))
        }
        Value::Array(values) => values.iter().find_map(|inner| date_in(inner, key, nesting + 1)),
        _ => None,
    }
}

/// An item of microdata: its type, and its properties as lists of values.
fn item(element: ElementRef<'_>, base: &Url, spend: &mut dyn FnMut(usize) -> bool, nesting: usize) -> Value {
    let mut properties = Map::new();
    let mut waiting: Vec<ElementRef<'_>> = element.child_elements().collect();
    waiting.reverse();
    while let Some(inner) = waiting.pop() {
        let is_item = inner.attr("itemscope").is_some();
        if let Some(names) = inner.attr("itemprop") {
            let value = match is_item {
                true if nesting >= MAX_NESTING => Value::Null,
                true => item(inner, base, spend, nesting + 1),
                false => property(inner, base),
            };
            for name in names.split_ascii_whitespace() {
                if !spend(name.len() + 8 + value.as_str().map_or(0, str::len)) {
                    return Value::Null;
                }
                let values = properties.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(values) = values {
                    values.push(value.clone());
                }
            }
        }
        if !is_item {
            let inside = waiting.len();
            waiting.extend(inner.child_elements());
            waiting[inside..].reverse();
        }
    }
    json!({ "type": attribute(element, "itemtype"), "properties": properties })
}

/// The value of a property, by the element that it stands on (WHATWG HTML 5.2.4).
fn property(element: ElementRef<'_>, base: &Url) -> Value {
    let url = |name| element.attr(name).map_or(String::new(), |url| absolute(url.trim(), base));
    let text = |name| element.attr(name).map(dom::folded);
    Value::from(match element.value().name() {
        "meta" => text("content").unwrap_or_default(),
        "a" | "area" | "link" => url("href"),
        "audio" | "embed" | "iframe" | "img" | "source" | "track" | "video" => url("src"),
        "object" => url("data"),
        "data" | "meter" => text("value").unwrap_or_default(),
        "time" => text("datetime").unwrap_or_else(|| dom::folded_text(element)),
        _ => dom::folded_text(element),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(page: &str) -> Value {
        let html = dom::tree(page, &|| false).unwrap();
        of(&html, &Url::parse("https://news.test/a/").unwrap(), &mut |_| true)
    }

    #[test]
    fn a_page_says_what_it_is() {
        let said = read(
            r#"<html lang=en-GB><head><title> A  story </title><svg><title>no</title></svg>
            <meta name=description content=" Short  text "><link rel=canonical href=../story>
            <meta property=og:image content=/1.png><meta property=og:image content=/2.png><meta property=og:type content=article>
            <meta name=twitter:card content=summary><meta property=article:published_time content=2024-03-12>
            <link rel=alternate type=application/rss+xml title=News href=/feed><link rel="alternate" hreflang=de href=/de/>
            <script type=application/ld+json>{"@graph": [{"dateModified": "2024-04-01T10:00:00Z"}]}</script>
            <script type=application/ld+json>{broken</script></head>
            <body><div itemscope itemtype=https://schema.org/Person><b itemprop=name>Ada</b><a itemprop=url href=ada>x</a>
            <div itemprop=address itemscope><i itemprop=city>London</i></div></div>"#,
        );
        assert_eq!(
            said,
            json!({
                "title": "A story", "description": "Short text", "canonical": "https://news.test/story",
                "language": "en-GB", "published": "2024-03-12", "modified": "2024-04-01T10:00:00Z",
                "og": { "image": ["https://news.test/1.png", "https://news.test/2.png"], "type": "article" },
                "twitter": { "card": "summary" },
                "json_ld": [{ "@graph": [{ "dateModified": "2024-04-01T10:00:00Z" }] }, "{broken"],
                "microdata": [{
                    "type": "https://schema.org/Person",
                    "properties": {
                        "name": ["Ada"], "url": ["https://news.test/a/ada"],
                        "address": [{ "type": null, "properties": { "city": ["London"] } }],
                    },
                }],
                "feeds": [{ "type": "application/rss+xml", "title": "News", "url": "https://news.test/feed" }],
                "hreflang": [{ "lang": "de", "url": "https://news.test/de/" }],
            })
        );
    }

    #[test]
    fn a_page_that_says_nothing_has_every_key() {
        let said = read("<p>x");
        let keys = said.as_object().unwrap();
        assert_eq!(keys.len(), 12);
        assert!(keys.values().all(|value| value.is_null() || *value == json!([]) || *value == json!({})));
    }
}
