//! The file of rules (`--rules`), in TOML: sets of rules for pages by their URL.
//!
//! ```toml
//! [[page]]
//! name = "product"
//! url = "*/product/*"            # a glob, "re:…" a regular expression, or a list of either; without it every page
//! [page.fields]
//! name = "h1"
//! price = { select = ".price", type = "float", required = true }
//! images = "img.photo@src::all"
//! specs = { table = "table.specs" }
//! [page.fields.offers]
//! select = ".offer"
//! all = true
//! fields = { seller = ".seller", price = { select = ".price", type = "float" } }
//! ```
//!
//! Decides which keys there are, and names rule and place of whatever cannot be used. Called by [`super::Fields`].

use std::borrow::Cow;

use regex::Regex;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rule::{self, BadText, Content, Field, Take, meant};
use super::value::Type;
use super::{BadRule, PageRules};

/// Groups within groups.
const MAX_NESTING: usize = 16;

const PAGE_KEYS: [&str; 3] = ["name", "url", "fields"];
#[rustfmt::skip]
const FIELD_KEYS: [&str; 12] = [
    "select", "pointer", "table", "fields", "type", "all", "required", "regex", "default", "trim", "decimal", "format",
];

type Key<'a> = Spanned<Cow<'a, str>>;
type Entry<'a> = Spanned<DeValue<'a>>;

/// Reads a file. Fields are numbered on from the length of `names`, which gets the path of each.
///
/// # Errors
/// The first thing that cannot be used.
pub fn read(text: &str, names: &mut Vec<String>) -> Result<Vec<PageRules>, BadRule> {
    let table = DeTable::parse(text).map_err(|error| BadRule {
        at: error.span().map_or(0, |span| span.start),
        rule: String::new(),
        reason: error.message().to_owned(),
    })?;
    let mut pages = Vec::new();
    for (key, value) in by_place(table.get_ref()) {
        let name = key.get_ref();
        if name != "page" {
            let reason = format!("'{name}' is no table of a rules file{}", meant(name, &["page"]));
            return Err(BadRule { at: key.span().start, rule: String::new(), reason });
        }
        let not_tables = |at| bad(at, "", "page is a list of tables: write [[page]] on a line of its own");
        let DeValue::Array(tables) = value.get_ref() else { return Err(not_tables(key.span().start)) };
        for table in tables {
            let DeValue::Table(entries) = table.get_ref() else { return Err(not_tables(table.span().start)) };
            let number = pages.len() + 1;
            pages.push(Reader { text, names }.page(table.span().start, entries, number)?);
        }
    }
    if pages.is_empty() {
        return Err(bad(0, "", "no rules: a file of rules has at least one [[page]] with [page.fields]"));
    }
    Ok(pages)
}

fn bad(at: usize, rule: &str, reason: impl Into<String>) -> BadRule {
    BadRule { at, rule: rule.to_owned(), reason: reason.into() }
}

/// Entries in the order of the file: that of the keys in records, and of what is wrong.
fn by_place<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Key<'i>, &'t Entry<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

struct Reader<'a> {
    text: &'a str,
    names: &'a mut Vec<String>,
}

/// The entries of one field.
struct Given<'t, 'i> {
    /// Where it begins.
    at: usize,
    path: &'t str,
    entries: Vec<(&'t Key<'i>, &'t Entry<'i>)>,
}

impl<'t, 'i> Given<'t, 'i> {
    fn get(&self, name: &str) -> Option<&'t Entry<'i>> {
        self.entries.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| *value)
    }

    fn error(&self, value: &Entry<'_>, reason: impl Into<String>) -> BadRule {
        bad(value.span().start, self.path, reason)
    }

    fn string(&self, name: &str) -> Result<Option<(&'t Entry<'i>, &'t str)>, BadRule> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.get_ref() {
                DeValue::String(text) => Ok(Some((value, text.as_ref()))),
                _ => Err(self.error(value, format!("{name} is a string"))),
            },
        }
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, BadRule> {
        match self.get(name).map(|value| (value, value.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::Boolean(switch))) => Ok(Some(*switch)),
            Some((value, _)) => Err(self.error(value, format!("{name} is true or false"))),
        }
    }
}

impl Reader<'_> {
    fn page(&mut self, at: usize, entries: &DeTable<'_>, number: usize) -> Result<PageRules, BadRule> {
        let entries = by_place(entries);
        let title = format!("page {number}");
        let given = Given { at, path: &title, entries };
        if let Some((key, _)) = given.entries.iter().find(|(key, _)| !PAGE_KEYS.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let reason = format!("unknown key '{name}'{}", or_all(name, &PAGE_KEYS));
            return Err(bad(key.span().start, &title, reason));
        }
        let name = given.string("name")?.map_or(title.clone(), |(_, name)| name.to_owned());
        let urls = match given.get("url") {
            None => Vec::new(),
            Some(value) => patterns(value, &name)?,
        };
        let fields =
            given.get("fields").ok_or_else(|| bad(given.at, &name, "it has no fields: write [page.fields]"))?;
        let DeValue::Table(table) = fields.get_ref() else {
            return Err(bad(fields.span().start, &name, "fields is a table: write [page.fields]"));
        };
        let fields = self.fields(table, &name, 1)?;
        Ok(PageRules { name, urls, fields })
    }

    fn fields(&mut self, table: &DeTable<'_>, path: &str, nesting: usize) -> Result<Vec<Field>, BadRule> {
        by_place(table)
            .into_iter()
            .map(|(key, value)| {
                let name = key.get_ref();
                let path = format!("{path}.{name}");
                if nesting > MAX_NESTING {
                    return Err(bad(key.span().start, &path, "groups are nested too deep"));
                }
                let number = self.names.len();
                self.names.push(path.clone());
                match value.get_ref() {
                    DeValue::String(text) => {
                        short_field(name, number, text).map_err(|wrong| self.inside(value, text, &path, wrong))
                    }
                    DeValue::Table(entries) => {
                        let given = Given { at: key.span().start, path: &path, entries: by_place(entries) };
                        self.field(name, number, &given, nesting)
                    }
                    _ => Err(bad(value.span().start, &path, "a rule is a string (a selector) or a table")),
                }
            })
            .collect()
    }

    fn field(&mut self, name: &str, number: usize, given: &Given<'_, '_>, nesting: usize) -> Result<Field, BadRule> {
        if let Some((key, _)) = given.entries.iter().find(|(key, _)| !FIELD_KEYS.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let reason = format!("unknown key '{name}'{}", or_all(name, &FIELD_KEYS));
            return Err(bad(key.span().start, given.path, reason));
        }
        let table = given.string("table")?;
        let select = given.string("select")?;
        if let (Some((value, _)), true) = (select, table.is_some()) {
            return Err(given.error(value, "a field has select or table, not both"));
        }
        let mut field = match select.or(table) {
            Some((value, text)) => {
                short_field(name, number, text).map_err(|wrong| self.inside(value, text, given.path, wrong))?
            }
            None => short_field(name, number, "").expect("no selector is the element itself"),
        };
        field.pointer = pointer(given)?.or(field.pointer);
        if let (Some((_, value)), true) =
            (given.entries.iter().find(|(key, _)| key.get_ref() == "fields"), table.is_some())
        {
            return Err(given.error(value, "a table has no fields: its rows have those of its head"));
        }
        if let Some(value) = given.get("fields") {
            let DeValue::Table(entries) = value.get_ref() else { return Err(given.error(value, "fields is a table")) };
            field.content = Content::Group(self.fields(entries, given.path, nesting + 1)?);
        } else if table.is_some() {
            field.content = Content::Table;
        } else if select.is_none() && field.pointer.is_none() {
            return Err(bad(given.at, given.path, "it has none of select, pointer, table and fields"));
        }
        field.all |= given.switch("all")?.unwrap_or(false);
        field.required = given.switch("required")?.unwrap_or(false);
        field.trim = given.switch("trim")?.unwrap_or(true);
        field.kind = kind(given)?;
        field.regex = regex(given)?;
        field.default = given.get("default").map(|value| plain(value.get_ref()));
        let of_a_value = ["type", "regex", "trim"].into_iter().filter(|_| !matches!(field.content, Content::Value));
        for key in of_a_value {
            if let Some(value) = given.get(key) {
                return Err(given.error(value, format!("{key} is of a single value, not of a group or table")));
            }
        }
        Ok(field)
    }

    /// What is wrong inside a string of the file, at its own place if the string stands there as it is.
    fn inside(&self, value: &Entry<'_>, text: &str, path: &str, wrong: BadText) -> BadRule {
        let start = value.span().start;
        let quotes =
            if self.text[start..].starts_with("\"\"\"") || self.text[start..].starts_with("'''") { 3 } else { 1 };
        let is_plain = self.text.get(start + quotes..).is_some_and(|rest| rest.starts_with(text));
        bad(if is_plain { start + quotes + wrong.at } else { start }, path, wrong.reason)
    }
}

fn patterns(value: &Entry<'_>, rule: &str) -> Result<Vec<Regex>, BadRule> {
    let one = |value: &Entry<'_>| match value.get_ref() {
        DeValue::String(text) => {
            super::url_pattern(text).map_err(|reason| bad(value.span().start, rule, format!("url: {reason}")))
        }
        _ => Err(bad(value.span().start, rule, "url is a string, or a list of strings")),
    };
    match value.get_ref() {
        DeValue::Array(values) => values.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}

fn kind(given: &Given<'_, '_>) -> Result<Option<Type>, BadRule> {
    let decimal = match given.string("decimal")? {
        None => None,
        Some((_, ",")) => Some(','),
        Some((_, ".")) => Some('.'),
        Some((value, _)) => return Err(given.error(value, "decimal is \",\" or \".\"")),
    };
    let format = given.string("format")?.map(|(_, text)| text.to_owned());
    let Some((value, name)) = given.string("type")? else { return Ok(None) };
    Ok(Some(match name {
        "text" => Type::Text,
        "int" => Type::Int { decimal },
        "float" => Type::Float { decimal },
        "bool" => Type::Bool,
        "date" => Type::Date { format },
        "url" => Type::Url,
        "json" => Type::Json,
        _ => {
            let reason = format!("unknown type '{name}'{}", or_all(name, &Type::NAMES));
            return Err(given.error(value, reason));
        }
    }))
}

fn pointer(given: &Given<'_, '_>) -> Result<Option<String>, BadRule> {
    match given.string("pointer")? {
        Some((value, text)) if !(text.is_empty() || text.starts_with('/')) => {
            Err(given.error(value, "a JSON Pointer begins with '/'"))
        }
        pointer => Ok(pointer.map(|(_, text)| text.to_owned())),
    }
}

fn regex(given: &Given<'_, '_>) -> Result<Option<Regex>, BadRule> {
    let Some((value, text)) = given.string("regex")? else { return Ok(None) };
    Regex::new(text).map(Some).map_err(|error| {
        given.error(value, format!("'{text}' is no regular expression: {}", last_line(&error.to_string())))
    })
}

/// A field of the short form.
pub fn short_field(name: &str, number: usize, text: &str) -> Result<Field, BadText> {
    let short = rule::short(text)?;
    let lower = short.selector.to_ascii_lowercase();
    let has_insides = lower.contains(":has(");
    Ok(Field {
        name: name.to_owned(),
        number,
        selector: rule::selector(short.selector)?,
        is_dear: short.selector.contains('~') || has_insides,
        is_squared: short.selector.contains('~') && (has_insides || lower.contains(":nth-")),
        pointer: short.pointer.map(str::to_owned),
        take: short.take.unwrap_or(Take::Text),
        content: Content::Value,
        kind: None,
        all: short.all,
        required: false,
        regex: None,
        default: None,
        trim: true,
    })
}

/// What was meant, or what there is.
fn or_all(wrong: &str, known: &[&str]) -> String {
    match meant(wrong, known) {
        meant if meant.is_empty() => format!("; there are {}", known.join(", ")),
        meant => meant,
    }
}

/// The last line of an error of regex is its reason; those above draw the place.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ")
}

/// A value of TOML in JSON; dates are text.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(values) => values.iter().map(|value| plain(value.get_ref())).collect(),
        DeValue::Table(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())))
                .collect::<Map<_, _>>(),
        ),
    }
}
