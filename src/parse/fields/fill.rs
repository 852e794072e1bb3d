//! Runs rules over a page: from its tree, or its JSON, to the object that stands in the record.
//!
//! Decides what a field is when nothing matches (its default, else null; a list is empty), and what a missing `required`
//! value takes with it: the object it belongs to. Of a list that object is left out; a group is null; of a page, all of
//! its data. Everything a page can make grow is counted against a limit. Called by [`super::Fields`].

use std::fmt::Write as _;

use scraper::ElementRef;
use serde_json::{Map, Value};

use super::rule::{Content, Field, Take};
use super::value::Type;
use super::{GivenUp, Tally, dom, table};
use crate::model::url::Url;

/// Attributes that hold one URL each: they come out absolute.
const URLS: [&str; 9] = ["href", "src", "action", "formaction", "poster", "cite", "background", "longdesc", "manifest"];

/// Nodes of a page for selectors of which a single match may cost their square (`~` along with `:has()`).
const MAX_SQUARED: usize = 10_000;

/// An element, or a value of JSON.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    Html(ElementRef<'a>),
    Json(&'a Value),
}

/// A `required` value is missing.
struct Lacking;

/// The work on one page.
pub struct Filling<'a> {
    pub base: &'a Url,
    /// Whether the time of the page is over.
    pub is_over: &'a dyn Fn() -> bool,
    /// Bytes that values may have.
    pub left: usize,
    pub tally: Tally,
    /// Only the rules are tried out: what each has matched is kept.
    pub seen: Option<Vec<Seen>>,
    pub given_up: Option<GivenUp>,
}

/// What a rule has matched: a line of `--explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub field: usize,
    /// Elements or values of JSON.
    pub count: usize,
    /// The first, by its start tag.
    pub first: Option<String>,
    pub value: Option<String>,
}

impl Filling<'_> {
    /// The object of these fields; None if it lacks a required one.
    pub fn object(&mut self, fields: &[Field], scope: Scope<'_>) -> Option<Map<String, Value>> {
        let mut object = Map::new();
        for field in fields {
            match self.field(field, scope) {
                Ok(value) => object.insert(field.name.clone(), value),
                Err(Lacking) => return None,
            };
        }
        Some(object)
    }

    fn field(&mut self, field: &Field, scope: Scope<'_>) -> Result<Value, Lacking> {
        let found = match scope {
            Scope::Html(element) => self.in_html(field, element),
            Scope::Json(value) => self.in_json(field, value),
        };
        let is_missing = found.as_ref().is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
        if !is_missing {
            self.tally.matched(field.number);
        }
        match found.filter(|_| !is_missing).or_else(|| field.default.clone()) {
            Some(value) => Ok(value),
            None if field.required => {
                self.tally.lacking(field.number);
                Err(Lacking)
            }
            None if field.all || matches!(field.content, Content::Table) => Ok(Value::Array(Vec::new())),
            None => Ok(Value::Null),
        }
    }

    fn in_html(&mut self, field: &Field, scope: ElementRef<'_>) -> Option<Value> {
        // A rule for JSON alone has nothing to look for here.
        if field.selector.is_none() && field.pointer.is_some() {
            return None;
        }
        let elements: Box<dyn Iterator<Item = Option<ElementRef<'_>>>> = match &field.selector {
            // Siblings are looked at again for each element: the time is asked between elements, matching or not.
            Some(selector) if field.is_dear => {
                if field.is_squared && scope.tree().values().len() > MAX_SQUARED {
                    self.given_up = self.given_up.or(Some(GivenUp::TooLarge));
                    return None;
                }
                let inside = scope.descendent_elements().skip_while(move |element| element.id() == scope.id());
                Box::new(inside.map(move |element| {
                    Some(element).filter(|element| selector.matches_with_scope(element, Some(scope)))
                }))
            }
            Some(selector) => Box::new(scope.select(selector).map(Some)),
            None => Box::new(std::iter::once(Some(scope))),
        };
        let mut values = Vec::new();
        let (mut count, mut first) = (0, None);
        for element in elements {
            let Some(element) = element else {
                if (self.is_over)() {
                    self.given_up = self.given_up.or(Some(GivenUp::TooSlow));
                    return None;
                }
                continue;
            };
            count += 1;
            first.get_or_insert(element);
            if !self.goes_on() {
                return None;
            }
            values.extend(self.of_element(field, element));
            // Only a trial counts all that match.
            if !field.all && !values.is_empty() && self.seen.is_none() {
                break;
            }
        }
        self.note(field, count, first.map(start_tag), &values);
        one_or_all(field, values)
    }

    fn of_element(&mut self, field: &Field, element: ElementRef<'_>) -> Option<Value> {
        match &field.content {
            Content::Group(fields) => self.object(fields, Scope::Html(element)).map(Value::Object),
            Content::Table => {
                let rows = table::rows(element, &mut |bytes| {
                    self.spend(bytes);
                    self.given_up.is_none()
                });
                Some(Value::Array(rows)).filter(|rows| rows.as_array().is_some_and(|rows| !rows.is_empty()))
            }
            Content::Value => {
                let text = self.text_of(field, element)?;
                if field.pointer.is_some() {
                    let json: Value = serde_json::from_str(&text).ok()?;
                    return self.in_json(field, &json);
                }
                self.value(field, &text)
            }
        }
    }

    /// The text that a rule takes of an element.
    fn text_of(&mut self, field: &Field, element: ElementRef<'_>) -> Option<String> {
        let text = match &field.take {
            Take::Attribute(name) => {
                let text = element.attr(name)?;
                if field.kind.is_none() && field.regex.is_none() && URLS.contains(&name.as_str()) {
                    self.base.join(text.trim()).map_or_else(|_| text.to_owned(), String::from)
                } else {
                    text.to_owned()
                }
            }
            Take::Html => element.inner_html(),
            Take::Text if field.kind == Some(Type::Json) || field.pointer.is_some() || !field.trim => {
                element.text().collect()
            }
            Take::Text => dom::folded_text(element),
        };
        self.spend(text.len() + field.name.len());
        let text = match (&field.take, field.trim) {
            (_, false) | (Take::Text, true) => text,
            (Take::Html, true) => text.trim().to_owned(),
            (Take::Attribute(_), true) => dom::folded(&text),
        };
        // An attribute without text is there; an element without text says nothing.
        let is_flag = field.kind == Some(Type::Bool);
        (is_flag || !text.is_empty()).then_some(text)
    }

    /// The value of a text: what the regular expression leaves of it, as the field's type.
    fn value(&mut self, field: &Field, text: &str) -> Option<Value> {
        let text = match &field.regex {
            None => text,
            Some(regex) => {
                let groups = regex.captures(text)?;
                let found = groups.get(1).or_else(|| groups.get(0).filter(|_| groups.len() == 1))?.as_str();
                if field.trim { found.trim() } else { found }
            }
        };
        let value = match &field.kind {
            None => Some(Value::from(text)),
            Some(kind) => kind.of_text(text, self.base),
        };
        if value.is_none() {
            self.tally.unlike(field.number);
        }
        value
    }

    fn in_json(&mut self, field: &Field, scope: &Value) -> Option<Value> {
        let pointer = match (&field.pointer, &field.content) {
            (Some(pointer), _) => pointer.as_str(),
            // A group without a pointer is a part of the object it stands in.
            (None, Content::Group(_)) if field.selector.is_none() => "",
            (None, _) => return None,
        };
        let target = scope.pointer(pointer).filter(|target| !target.is_null());
        let items = match target {
            None => &[],
            Some(Value::Array(items)) if field.all => items.as_slice(),
            Some(target) => std::slice::from_ref(target),
        };
        let mut values = Vec::new();
        for item in items {
            if !self.goes_on() {
                return None;
            }
            values.extend(self.of_json(field, item));
        }
        self.note(field, items.len(), target.map(kind_of), &values);
        one_or_all(field, values)
    }

    fn of_json(&mut self, field: &Field, item: &Value) -> Option<Value> {
        if let Content::Group(fields) = &field.content {
            return self.object(fields, Scope::Json(item)).map(Value::Object);
        }
        self.spend(size_of_json(item));
        if let (Some(_), Value::String(text)) = (&field.regex, item) {
            return self.value(field, text);
        }
        let value = match &field.kind {
            None => Some(item.clone()),
            Some(kind) => kind.of_json(item, self.base),
        };
        if value.is_none() {
            self.tally.unlike(field.number);
        }
        value
    }

    fn spend(&mut self, bytes: usize) {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => self.given_up = self.given_up.or(Some(GivenUp::TooLarge)),
        }
    }

    fn goes_on(&mut self) -> bool {
        self.spend(8);
        if self.given_up.is_none() && (self.is_over)() {
            self.given_up = Some(GivenUp::TooSlow);
        }
        self.given_up.is_none()
    }

    fn note(&mut self, field: &Field, count: usize, first: Option<String>, values: &[Value]) {
        if let Some(seen) = &mut self.seen {
            let value = if field.all { Value::from(values) } else { values.first().cloned().unwrap_or(Value::Null) };
            seen.push(Seen { field: field.number, count, first, value: Some(value.to_string()).filter(|_| count > 0) });
        }
    }
}

fn one_or_all(field: &Field, mut values: Vec<Value>) -> Option<Value> {
    if field.all { Some(Value::Array(values)) } else { (!values.is_empty()).then(|| values.swap_remove(0)) }
}

fn start_tag(element: ElementRef<'_>) -> String {
    let mut tag = format!("<{}", element.value().name());
    for (name, value) in element.value().attrs() {
        let _ = write!(tag, " {name}=\"{value}\"");
    }
    tag.push('>');
    tag
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
    .to_owned()
}

/// About as many bytes as it is in JSON.
fn size_of_json(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(values) => values.iter().map(size_of_json).sum::<usize>() + 2,
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| key.len() + 4 + size_of_json(value)).sum::<usize>() + 2
        }
        _ => 8,
    }
}

#[cfg(test)]
mod cost {
    use std::cell::Cell;

    use super::super::{Fields, GivenUp, Source};
    use super::Url;

    #[test]
    fn a_selector_that_matches_nothing_is_interrupted() {
        let page = "<div></div>".repeat(500);
        let given_up = |selector: &str, page: &str, after: usize| {
            let mut fields = Fields::default();
            fields.add(&format!("x={selector}")).unwrap();
            let asked = Cell::new(0);
            let is_over = || {
                asked.set(asked.get() + 1);
                asked.get() > after
            };
            let url = Url::parse("https://shop.test/").unwrap();
            let source = Source {
                url: &url,
                media_type: "text/html",
                header_charset: None,
                body: page.as_bytes(),
                is_over: &is_over,
            };
            fields.find(&source, false).given_up
        };
        for selector in ["div ~ div ~ p ~ div", "div:has(~ p)", "p:has(a)"] {
            assert_eq!(given_up(selector, &page, 100), Some(GivenUp::TooSlow), "{selector}");
            assert_eq!(given_up(selector, &page, usize::MAX), None, "{selector}");
        }
        let large = "<div></div>".repeat(super::MAX_SQUARED + 1);
        assert_eq!(given_up("a:has(~ p) ~ div", &large, usize::MAX), Some(GivenUp::TooLarge));
    }
}
