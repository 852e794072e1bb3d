//! One rule: where a field's value stands on a page, and what becomes of it. Compiled once, and shared by all pages.
//!
//! Decides how the short form reads (`SELECTOR@attr::all`) and what is wrong with a rule that cannot be used, down to the
//! place inside its text. Reads no page: that is `fill`'s business. Called by `file` for rules in TOML, and by
//! [`super::Fields`] for `--extract`.
//!
//! Source: Selectors Level 4, as far as the crate scraper knows it; RFC 6901 (JSON Pointer).

use regex::Regex;
use scraper::Selector;
use scraper::error::SelectorErrorKind;
use serde_json::Value;

use super::value::Type;

/// What of an element is its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    Text,
    /// The markup inside it.
    Html,
    Attribute(String),
}

/// What a field is made of.
#[derive(Debug)]
pub enum Content {
    Value,
    /// An object with these fields, found inside the element or JSON value.
    Group(Vec<Field>),
    /// The rows of a `<table>`, as objects by its header cells.
    Table,
}

/// A field of an object. See the module.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// Its place among all fields, for what is counted.
    pub number: usize,
    /// None: the element it stands in itself (of a page: its root).
    pub selector: Option<Selector>,
    /// Its selector looks at siblings or insides again for each element (`~`, `:has()`).
    pub is_dear: bool,
    /// It does one for each of the other.
    pub is_squared: bool,
    /// In a JSON response; with a selector: in the JSON text that was selected.
    pub pointer: Option<String>,
    pub take: Take,
    pub content: Content,
    /// None: text, with URLs of attributes made absolute; in JSON whatever stands there.
    pub kind: Option<Type>,
    /// A list of all matches, not the first alone.
    pub all: bool,
    pub required: bool,
    /// Its first group is the value, without a group the whole match.
    pub regex: Option<Regex>,
    pub default: Option<Value>,
    /// White space folded and cut off at both ends.
    pub trim: bool,
}

/// The short form of a rule, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short<'a> {
    /// Empty if there is none.
    pub selector: &'a str,
    pub pointer: Option<&'a str>,
    pub take: Option<Take>,
    pub all: bool,
}

/// What is wrong inside the text of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadText {
    /// Bytes from its start.
    pub at: usize,
    pub reason: String,
}

/// Reads `SELECTOR`, `SELECTOR@attribute`, each perhaps with `::text`, `::html` and `::all` behind it, or a JSON Pointer
/// (`/a/b`, also with `::all`).
///
/// # Errors
/// A suffix that is not known, or two that exclude each other.
pub fn short(text: &str) -> Result<Short<'_>, BadText> {
    let mut rest = text.trim_end();
    let (mut take, mut all) = (None, false);
    while let Some(at) = suffix_at(rest) {
        let given = match &rest[at + 2..] {
            "all" => {
                all = true;
                None
            }
            "text" => Some(Take::Text),
            "html" => Some(Take::Html),
            other => {
                let reason = format!(
                    "'::{other}' is none of ::text, ::html and ::all{}",
                    meant(other, &["text", "html", "all"])
                );
                return Err(BadText { at, reason });
            }
        };
        if given.is_some() && take.is_some() {
            return Err(BadText { at, reason: "a value is either ::text or ::html".to_owned() });
        }
        take = take.or(given);
        rest = rest[..at].trim_end();
    }
    if rest.starts_with('/') {
        if take.is_some() {
            return Err(BadText { at: rest.len(), reason: "a JSON Pointer has no ::text or ::html".to_owned() });
        }
        return Ok(Short { selector: "", pointer: Some(rest), take: None, all });
    }
    if let Some(at) = attribute_at(rest) {
        if take.is_some() {
            return Err(BadText { at: rest.len(), reason: "an attribute has no ::text or ::html".to_owned() });
        }
        take = Some(Take::Attribute(rest[at + 1..].to_ascii_lowercase()));
        rest = rest[..at].trim_end();
    }
    Ok(Short { selector: rest, pointer: None, take, all })
}

/// Where the last `::word` begins, if the text ends with one.
fn suffix_at(text: &str) -> Option<usize> {
    let at = text.rfind("::")?;
    text[at + 2..].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-').then_some(at)
}

/// Where `@attribute` begins, if the text ends with one.
fn attribute_at(text: &str) -> Option<usize> {
    let at = text.rfind('@')?;
    let name = &text[at + 1..];
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.');
    (!name.is_empty() && name.bytes().all(of_name)).then_some(at)
}

/// Compiles a selector; None if the text is empty.
///
/// # Errors
/// It is none. The place is where the longest beginning ends that could still become one.
pub fn selector(text: &str) -> Result<Option<Selector>, BadText> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let kind = match Selector::parse(text) {
        Ok(selector) => return Ok(Some(selector)),
        Err(kind) => kind,
    };
    let could_be =
        |start: &str| ["", "x", "x]", "x)"].iter().any(|end| Selector::parse(&format!("{start}{end}")).is_ok());
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]).take(1024).collect::<Vec<_>>();
    let at = ends.into_iter().rev().find(|&end| could_be(&text[..end])).unwrap_or(0);
    // What stands behind white space, not the white space.
    let at = at + text[at..].len() - text[at..].trim_start().len();
    Err(BadText { at, reason: format!("'{text}' is no selector: {}", why(&kind)) })
}

fn why(kind: &SelectorErrorKind) -> String {
    match kind {
        SelectorErrorKind::UnexpectedToken => "this cannot stand here".to_owned(),
        SelectorErrorKind::EndOfLine => "it ends too soon".to_owned(),
        SelectorErrorKind::UnexpectedSelectorParseError(kind) => words(&format!("{kind:?}")),
        other => words(&format!("{other:?}")),
    }
}

/// `UnsupportedPseudoClassOrElement("foo")` as words.
fn words(name: &str) -> String {
    let (kind, detail) = name.split_at(name.find(['(', '{', ' ']).unwrap_or(name.len()));
    let mut out = String::new();
    for c in kind.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    match detail.split('"').nth(1) {
        Some(detail) => format!("{out} '{detail}'"),
        None => out,
    }
}

/// `; did you mean 'x'?` if a known word is like a wrong one.
pub fn meant(wrong: &str, known: &[&str]) -> String {
    let likeness = |name: &&&str| strsim::jaro_winkler(wrong, name);
    match known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(name) if likeness(&name) > 0.7 => format!("; did you mean '{name}'?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_a_selector_with_suffixes_or_a_pointer() {
        let attribute = |name: &str| Some(Take::Attribute(name.to_owned()));
        for (text, selector, take, all) in [
            ("h1", "h1", None, false),
            (".price::text", ".price", Some(Take::Text), false),
            ("a@href::all", "a", attribute("href"), true),
            ("div > p ::html ::all", "div > p", Some(Take::Html), true),
            ("a[href='x@y.org']", "a[href='x@y.org']", None, false),
            ("@data-id", "", attribute("data-id"), false),
            ("a:not(.x)@HREF", "a:not(.x)", attribute("href"), false),
            ("::text", "", Some(Take::Text), false),
        ] {
            assert_eq!(short(text), Ok(Short { selector, pointer: None, take, all }), "{text}");
        }
        let pointer = Short { selector: "", pointer: Some("/a/0"), take: None, all: true };
        assert_eq!(short("/a/0::all"), Ok(pointer));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let told = |text: &str| match short(text) {
            Err(bad) => (bad.at, bad.reason),
            Ok(short) => {
                let bad = selector(short.selector).expect_err("no selector");
                (bad.at, bad.reason)
            }
        };
        assert_eq!(told("p::txt"), (1, "'::txt' is none of ::text, ::html and ::all; did you mean 'text'?".to_owned()));
        assert_eq!(told("a::html::text").0, 1);
        assert_eq!(told("a@href::text").0, 6);
        assert_eq!(told("div > > p").0, 6);
        assert_eq!(told(".price[").0, 7);
        let (at, reason) = told("p:foo");
        assert_eq!((at, reason.contains("foo")), (1, true), "{reason}");
    }
}
