//! Fields without code: users' rules, compiled once for a run, and what they find on a page.
//!
//! Decides which rules a page gets (those of `--extract`, and of the first set in `--rules` whose pattern its URL
//! matches), what a page may cost, and what is counted. HTML is read by selectors in a tree of scraper's, JSON by
//! pointers; of other media types there is nothing. Pure: the time comes in as a question. Called by the engine on the
//! parse pool, and by `lycosa extract`.

use regex::Regex;
use serde_json::{Map, Value};

use super::charset;
use crate::model::url::Url;

mod article;
mod dom;
mod file;
mod fill;
mod metadata;
mod rule;
mod table;
#[cfg(test)]
mod tests;
mod value;

use fill::{Filling, Scope};
use rule::Field;

pub use fill::Seen;

/// What a run looks for on its pages.
#[derive(Debug, Default)]
pub struct Fields {
    /// Of every page.
    everywhere: Vec<Field>,
    pages: Vec<PageRules>,
    /// The path of each field by its number.
    names: Vec<String>,
    ready: Ready,
}

/// What every page of HTML gives without rules, under these names in `data`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// What it says of itself.
    pub metadata: bool,
    /// Its main text, without menus and footers.
    pub text: bool,
    /// The same as Markdown.
    pub markdown: bool,
}

impl Ready {
    fn keys(self) -> impl Iterator<Item = &'static str> {
        let keys = [("metadata", self.metadata), ("text", self.text), ("markdown", self.markdown)];
        keys.into_iter().filter(|(_, wanted)| *wanted).map(|(key, _)| key)
    }
}

/// Rules for the pages of some URLs.
#[derive(Debug)]
struct PageRules {
    name: String,
    /// Any of them; empty: every page.
    urls: Vec<Regex>,
    fields: Vec<Field>,
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if rule.is_empty() { String::new() } else { format!("rule '{rule}': ") })]
pub struct BadRule {
    /// Where in the text that it was read from, in bytes.
    pub at: usize,
    /// Its path (`product.offers.price`); empty if it is the whole file.
    pub rule: String,
    pub reason: String,
}

/// Why a page was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// More elements within one another than browsers have.
    TooDeep,
    /// Its tree, or what the rules took of it, grew out of all proportion.
    TooLarge,
    /// Its time was over.
    TooSlow,
}

impl GivenUp {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooDeep => "nested too deep",
            Self::TooLarge => "too large as a tree",
            Self::TooSlow => "took too long",
        }
    }
}

/// A page, as the rules see it.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// References are resolved against it, unless the page names another base; rules for pages look at it.
    pub url: &'a Url,
    /// type/subtype in lower case.
    pub media_type: &'a str,
    /// As the server wrote it.
    pub header_charset: Option<&'a str>,
    pub body: &'a [u8],
    /// Whether the time of this page is over. Asked often.
    pub is_over: &'a dyn Fn() -> bool,
}

/// What was found on a page.
#[derive(Debug, Default)]
pub struct Found {
    /// None if no rule is for this page, it lacks a required field, or it was given up.
    pub data: Option<Map<String, Value>>,
    pub tally: Tally,
    pub given_up: Option<GivenUp>,
    /// What each rule has matched, if that was asked for.
    pub seen: Vec<Seen>,
}

/// What became of rules, by the number of their field; on a page each counts once for each value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values found.
    pub matched: Vec<u32>,
    /// Texts that were not of the field's type.
    pub unlike: Vec<u32>,
    /// Objects that were left out for want of it.
    pub lacking: Vec<u32>,
}

impl Tally {
    fn matched(&mut self, number: usize) {
        count(&mut self.matched, number, 1);
    }

    fn unlike(&mut self, number: usize) {
        count(&mut self.unlike, number, 1);
    }

    fn lacking(&mut self, number: usize) {
        count(&mut self.lacking, number, 1);
    }

    /// Adds what another page gave.
    pub fn add(&mut self, other: &Self) {
        let sides = [
            (&mut self.matched, &other.matched),
            (&mut self.unlike, &other.unlike),
            (&mut self.lacking, &other.lacking),
        ];
        for (mine, theirs) in sides {
            for (number, by) in theirs.iter().enumerate() {
                count(mine, number, *by);
            }
        }
    }
}

fn count(counts: &mut Vec<u32>, number: usize, by: u32) {
    if counts.len() <= number {
        counts.resize(number + 1, 0);
    }
    counts[number] = counts[number].saturating_add(by);
}

/// How a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Html,
    Json,
}

/// Bytes of values for each byte of a page, beyond the first ones.
const GROWTH: usize = 8;
const FEW_BYTES: usize = 64 << 10;

impl Fields {
    /// Adds a field of every page: `NAME=SELECTOR`.
    ///
    /// # Errors
    /// It cannot be used; places are those in `text`.
    pub fn add(&mut self, text: &str) -> Result<(), BadRule> {
        let bad = |at, rule: &str, reason: String| BadRule { at, rule: rule.to_owned(), reason };
        let (name, short) = text.split_once('=').ok_or_else(|| bad(0, "", format!("'{text}' is not NAME=SELECTOR")))?;
        let behind = name.len() + 1;
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
            return Err(bad(0, "", format!("'{name}' is no name of a field: letters, digits, - and _")));
        }
        if short.trim().is_empty() {
            return Err(bad(behind, name, "it has no selector".to_owned()));
        }
        if self.everywhere.iter().any(|field| field.name == name) {
            return Err(bad(0, name, "this name stands there twice".to_owned()));
        }
        let number = self.names.len();
        let indent = short.len() - short.trim_start().len();
        let field = file::short_field(name, number, short.trim_start())
            .map_err(|wrong| bad(behind + indent + wrong.at, name, wrong.reason))?;
        self.names.push(name.to_owned());
        self.everywhere.push(field);
        Ok(())
    }

    /// Adds the rules of a file; see `file` for what it may hold.
    ///
    /// # Errors
    /// The first thing in it that cannot be used; places are those in `text`.
    pub fn add_file(&mut self, text: &str) -> Result<(), BadRule> {
        let pages = file::read(text, &mut self.names)?;
        self.pages.extend(pages);
        Ok(())
    }

    /// Adds what every page gives without rules.
    ///
    /// # Errors
    /// A rule has taken one of its names.
    pub fn add_ready(&mut self, ready: Ready) -> Result<(), BadRule> {
        self.ready = ready;
        let of_pages = self.pages.iter().flat_map(|page| &page.fields);
        let taken = of_pages.chain(&self.everywhere).find(|field| ready.keys().any(|key| key == field.name));
        taken.map_or(Ok(()), |field| {
            let reason = format!("the name is taken by --{}", field.name);
            Err(BadRule { at: 0, rule: self.names[field.number].clone(), reason })
        })
    }

    /// Whether there is anything to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.ready == Ready::default()
    }

    /// The path of each field by its number.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether pages of this media type are read at all.
    #[must_use]
    pub fn reads(&self, media_type: &str) -> bool {
        !self.is_empty() && reading(media_type).is_some()
    }

    /// Whether there are rules for the pages of some URLs.
    #[must_use]
    pub fn has_sets(&self) -> bool {
        !self.pages.is_empty()
    }

    /// The set of rules for a URL, by its name.
    #[must_use]
    pub fn set_for(&self, url: &Url) -> Option<&str> {
        self.page_rules(url).map(|page| &*page.name)
    }

    fn page_rules(&self, url: &Url) -> Option<&PageRules> {
        self.pages
            .iter()
            .find(|page| page.urls.is_empty() || page.urls.iter().any(|pattern| pattern.is_match(url.as_str())))
    }

    /// Runs the rules over a page. `explain`: also tells what each has matched.
    #[must_use]
    pub fn find(&self, source: &Source<'_>, explain: bool) -> Found {
        let page = self.page_rules(source.url);
        let has_rules = page.is_some() || !self.everywhere.is_empty();
        let is_asked = |reading: &Reading| has_rules || (*reading == Reading::Html && self.ready != Ready::default());
        let Some(reading) = reading(source.media_type).filter(is_asked) else { return Found::default() };
        let kind = if reading == Reading::Html { charset::Kind::Html } else { charset::Kind::Text };
        let (text, _) = charset::decode(kind, source.header_charset, source.body);
        match reading {
            Reading::Html => match dom::tree(&text, source.is_over) {
                Err(why) => Found { given_up: Some(why), ..Found::default() },
                Ok(html) => {
                    let base = base_of(&html, source.url);
                    let mut found = self.fill(page, source, &base, Scope::Html(html.root_element()), explain);
                    if let Some(data) = &mut found.data
                        && let Err(why) = self.add_ready_data(data, &html, &base, source)
                    {
                        (found.data, found.given_up) = (None, Some(why));
                    }
                    found
                }
            },
            // serde_json refuses what is nested deeper than 128.
            Reading::Json => match serde_json::from_str::<Value>(&text) {
                Err(_) => Found::default(),
                Ok(json) => self.fill(page, source, source.url, Scope::Json(&json), explain),
            },
        }
    }

    fn add_ready_data(
        &self,
        data: &mut Map<String, Value>,
        html: &scraper::Html,
        base: &Url,
        source: &Source<'_>,
    ) -> Result<(), GivenUp> {
        let Ready { metadata, text: wants_text, markdown } = self.ready;
        if metadata {
            let mut left = FEW_BYTES + GROWTH * source.body.len();
            let mut spend = |bytes: usize| {
                left = left.saturating_sub(bytes);
                left > 0 && !(source.is_over)()
            };
            data.insert("metadata".to_owned(), metadata::of(html, base, &mut spend));
        }
        if wants_text || markdown {
            let page = article::bounded(html).ok_or(GivenUp::TooLarge)?;
            // Written anew, a page may be another tree; it has the same limits.
            drop(dom::tree(&page, source.is_over)?);
            let main = article::main_of(&page, source.url, wants_text, markdown);
            if wants_text {
                data.insert("text".to_owned(), Value::from(main.text));
            }
            if markdown {
                data.insert("markdown".to_owned(), Value::from(main.markdown));
            }
        }
        Ok(())
    }

    fn fill(
        &self,
        page: Option<&PageRules>,
        source: &Source<'_>,
        base: &Url,
        scope: Scope<'_>,
        explain: bool,
    ) -> Found {
        let mut filling = Filling {
            base,
            is_over: source.is_over,
            left: FEW_BYTES + GROWTH * source.body.len(),
            tally: Tally::default(),
            seen: explain.then(Vec::new),
            given_up: None,
        };
        let of_page = page.map_or(&[][..], |page| &page.fields[..]);
        let data = filling.object(of_page, scope).and_then(|mut data| {
            // What was typed for this run wins over what stands in a file.
            data.extend(filling.object(&self.everywhere, scope)?);
            Some(data)
        });
        let Filling { tally, seen, given_up, .. } = filling;
        Found { data: data.filter(|_| given_up.is_none()), tally, given_up, seen: seen.unwrap_or_default() }
    }
}

fn reading(media_type: &str) -> Option<Reading> {
    match media_type {
        "text/html" | "application/xhtml+xml" => Some(Reading::Html),
        "application/json" | "text/json" => Some(Reading::Json),
        _ if media_type.ends_with("+json") => Some(Reading::Json),
        _ => None,
    }
}

/// The first `<base href>` decides (WHATWG HTML 4.2.3).
fn base_of(html: &scraper::Html, url: &Url) -> Url {
    let mut elements = html.tree.nodes().filter_map(|node| node.value().as_element());
    let href = elements.find_map(|element| element.attr("href").filter(|_| element.name() == "base"));
    href.and_then(|href| url.join(href.trim()).ok()).unwrap_or_else(|| url.clone())
}

/// A pattern of whole URLs: `re:` a regular expression, found anywhere; else a glob, in which `*` is any text and `?`
/// any character.
fn url_pattern(text: &str) -> Result<Regex, String> {
    let pattern = if let Some(pattern) = text.strip_prefix("re:") {
        pattern.to_owned()
    } else {
        // Escaped, the signs of a glob have a backslash in front of them.
        format!("^{}$", regex::escape(text).replace("\\*", ".*").replace("\\?", "."))
    };
    Regex::new(&pattern).map_err(|_| format!("'{text}' is no pattern"))
}
