//! HTML: title, links and what is asked of robots, found in one pass over the bytes and without a DOM.
//!
//! Here stands which elements matter and what they mean; where tags begin and end is `scan`'s business. A page is
//! read as by a browser without scripting: what is inside `<noscript>` counts, what is inside `<script>`, comments,
//! `<iframe>`, `<noframes>` and the other raw text elements does not.
//!
//! Where a tree would lose or move a tag, the tag still counts, because a crawler had better find the link: inside
//! `<template>`, `<select>` and `<frameset>`, in SVG and MathML, or misplaced in a table. A `<base>` or `<title>` in SVG
//! or MathML does not count.
//!
//! Sources: WHATWG HTML 13.2.5 (tokenizer), 13.2.6 (which elements hold raw text), 4.2.3 (base).

use std::borrow::Cow;

use encoding_rs::UTF_8;

use super::{Extract, Wants, charset};
use crate::model::page::{Directives, Extraction, Page};
use crate::model::url::Url;
use crate::parse::references::{Extra, Place as At, References, Resolver};

pub(crate) mod attributes;
mod entity;
mod entity_table;
mod everywhere;
mod fold;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod marks;
mod meta;
mod near;
mod places;
mod scan;
mod srcset;
mod words;

pub(super) use meta::{is_nofollow, leads_on, refresh_target};

use attributes::decoded;
use entity::{Place, decode};
use fold::Folded;
use foreign::Foreign;
use scan::{Names, Scanner, Shown, Tag, Token};
use words::Text;

/// Characters of a title; the rest is dropped.
const MAX_TITLE: usize = 1000;
/// Characters of a link's text.
const MAX_TEXT: usize = 512;

/// HTML and XHTML, and drawings of SVG for their links.
pub struct Html;

impl Extract for Html {
    fn reads(&self, media_type: &str, _: &Url) -> bool {
        matches!(media_type, "text/html" | "application/xhtml+xml" | "image/svg+xml")
    }

    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction {
        let encoding = charset::decide(charset::Kind::Html, page.header_charset, page.body);
        // UTF-8 is scanned as it is: only the few strings that come out are checked.
        let text = if encoding == UTF_8 {
            Cow::Borrowed(page.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(page.body))
        } else {
            match encoding.decode(page.body).0 {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }
        };
        let words = wants.words.then(Text::default);
        let references = References::new(wants);
        let mut reader = Reader { wants, words, references, agent: page.agent, ..Reader::default() };
        reader.read(&text);
        let mut outlinks = if reader.references.is_empty() {
            Vec::new()
        } else {
            let mut resolver = Resolver::new(page.url, reader.base.as_deref(), encoding);
            reader.references.resolve(&mut resolver, page.body.len())
        };
        let directives = reader.directives;
        if directives.nofollow {
            for link in &mut outlinks {
                link.nofollow = true;
            }
        }
        let words = reader.words.and_then(|words| words.fingerprint());
        let charset = Some(charset::label(encoding));
        Extraction { title: reader.title, outlinks, directives, words, charset }
    }
}

/// What was found on a page so far.
#[derive(Debug, Default)]
struct Reader<'a> {
    wants: Wants,
    agent: &'a str,
    foreign: Foreign<'a>,
    references: References<'a>,
    /// The first `<base href>`.
    base: Option<Cow<'a, str>>,
    /// The text of the first `<title>`, None if it is empty; no other counts.
    title: Option<String>,
    saw_title: bool,
    directives: Directives,
    /// The `<a>` that is open, with its place among the references and its text so far.
    anchor: Option<(usize, Folded)>,
    words: Option<Text>,
    /// Documents around this one, which is the content of an attribute or a comment.
    within: u8,
}

/// How the content of an element goes on.
enum Content {
    Markup,
    /// Up to the end tag of this name.
    RawText(&'static str),
    Title,
    Script,
    /// To the end of the page.
    Plain,
}

impl<'a> Reader<'a> {
    fn read(&mut self, page: &'a [u8]) {
        let mut scanner = Scanner::new(page);
        loop {
            let token = match self.shown() {
                None => match &mut self.words {
                    Some(words) => scanner.next_of(&READ, |start, end| words.push(page, start, end)),
                    None => scanner.next_of(&READ, |_, _| {}),
                }
                .map(Token::Start),
                Some(shown) => scanner.next(shown),
            };
            let Some(token) = token else { break };
            match token {
                Token::Conditional(markup) => self.conditional(markup),
                Token::Text(text) => self.text(text, decode),
                Token::Verbatim(text) => self.text(text, |text, _| String::from_utf8_lossy(text)),
                Token::End(tag) => {
                    if tag.name.eq_ignore_ascii_case(b"a") {
                        self.close_anchor();
                    }
                    self.foreign.end(tag.name);
                    if self.has_all(tag.name) {
                        scanner.stop();
                    }
                }
                Token::Start(tag) => match self.start(&tag) {
                    Content::Markup => {}
                    Content::RawText(name) => {
                        let text = scanner.raw_text(name);
                        if self.wants.everywhere && name == "style" {
                            self.style(&String::from_utf8_lossy(text));
                        }
                    }
                    Content::Script => {
                        let text = scanner.script();
                        if self.wants.scripts {
                            self.script(&String::from_utf8_lossy(text));
                        }
                    }
                    Content::Title => self.title(scanner.raw_text("title")),
                    Content::Plain => scanner.stop(),
                },
            }
        }
        self.close_anchor();
    }

    /// None if nothing is wanted but the tags that lead on, and words.
    fn shown(&self) -> Option<Shown> {
        let is_foreign = self.foreign.is_open();
        // In SVG every tag counts for where it ends, and without links the end of the head is looked for.
        if self.wants.links && !self.wants.everywhere && self.anchor.is_none() && !is_foreign {
            return None;
        }
        let text = self.anchor.is_some() || self.words.is_some() || (self.wants.everywhere && is_foreign);
        let conditionals = self.wants.everywhere && self.within == 0;
        Some(Shown { text, cdata: self.foreign.knows_cdata(), conditionals })
    }

    /// Whether the rest of the page holds nothing that is wanted: where no links are, it ends with the head that has the
    /// title (two thirds of the time of a batch fetch's page is saved). A robots meta belongs into the head.
    fn has_all(&self, end_tag: &[u8]) -> bool {
        !self.wants.links && self.saw_title && end_tag.eq_ignore_ascii_case(b"head")
    }

    fn start(&mut self, tag: &Tag<'a>) -> Content {
        let is_foreign = self.foreign.start(tag);
        let key = key(tag.name);
        match key {
            A => self.anchor(tag, is_foreign),
            AREA => self.area(tag),
            LINK => self.link(tag),
            META => self.meta(tag),
            FRAME => self.frame(tag, &places::FRAME),
            IFRAME => self.frame(tag, &places::IFRAME),
            BASE if !is_foreign && self.base.is_none() => {
                self.base = tag.attributes.find(["href"])[0].map(decoded);
            }
            _ => {}
        }
        if self.wants.everywhere {
            self.everywhere(tag, key, is_foreign);
        }
        if is_foreign { Content::Markup } else { content_of(key) }
    }

    fn anchor(&mut self, tag: &Tag<'a>, is_foreign: bool) {
        self.close_anchor();
        if !self.wants.links {
            return;
        }
        let [href, xlink, rel] = tag.attributes.find(["href", "xlink:href", "rel"]);
        let (href, place) = match (href, xlink.filter(|_| is_foreign)) {
            (Some(href), _) => (href, &places::A),
            (None, Some(href)) => (href, &places::A_XLINK),
            (None, None) => return,
        };
        if self.references.is_known(href, place) {
            return;
        }
        let at = self.reference(decoded(href), place, rel, None);
        self.anchor = at.map(|at| (at, Folded::new(MAX_TEXT)));
    }

    fn close_anchor(&mut self) {
        if let Some((place, text)) = self.anchor.take() {
            self.references.set_text(place, text.finish());
        }
    }

    fn text(&mut self, raw: &'a [u8], decode: impl Fn(&'a [u8], Place) -> Cow<'a, str>) {
        if let Some(words) = &mut self.words {
            words.push(raw, 0, raw.len());
        }
        if self.wants.everywhere && self.foreign.innermost().is_some_and(|name| name.eq_ignore_ascii_case(b"style")) {
            let text = decode(raw, Place::Text);
            self.style(&text);
        }
        if let Some((_, text)) = &mut self.anchor
            && !text.is_full()
        {
            text.push(&decode(raw, Place::Text));
        }
    }

    fn area(&mut self, tag: &Tag<'a>) {
        let [href, rel, alt] = tag.attributes.find(["href", "rel", "alt"]);
        if let Some(href) = href {
            let _ = self.reference(decoded(href), &places::AREA, rel, alt);
        }
    }

    fn link(&mut self, tag: &Tag<'a>) {
        let [href, rel] = tag.attributes.find(["href", "rel"]);
        let Some(href) = href else { return };
        if rel.is_some_and(|rel| meta::leads_on(&decoded(rel))) {
            let _ = self.reference(decoded(href), &places::LINK_ON, rel, None);
        } else if self.wants.everywhere {
            let _ = self.reference(decoded(href), &places::LINK, rel, None);
        }
    }

    fn frame(&mut self, tag: &Tag<'a>, place: &'static At) {
        let [source, document] = tag.attributes.find(["src", "srcdoc"]);
        if let Some(source) = source {
            let _ = self.reference(decoded(source), place, None, None);
        }
        if let Some(document) = document.filter(|_| self.wants.links && place.tag == "iframe") {
            self.inner_document(&decoded(document));
        }
    }

    fn meta(&mut self, tag: &Tag<'a>) {
        let [http_equiv, name, content] = tag.attributes.find(["http-equiv", "name", "content"]);
        let Some(content) = content.map(decoded) else { return };
        if http_equiv.is_some_and(|pragma| decoded(pragma).eq_ignore_ascii_case("refresh")) {
            let target = match &content {
                Cow::Borrowed(content) => meta::refresh_target(content).map(Cow::Borrowed),
                Cow::Owned(content) => meta::refresh_target(content).map(|target| Cow::Owned(target.to_owned())),
            };
            if let Some(target) = target {
                let _ = self.reference(target, &places::REFRESH, None, None);
            }
        }
        if let Some(name) = name.map(decoded)
            && ["robots", self.agent].iter().any(|known| name.trim_ascii().eq_ignore_ascii_case(known))
        {
            meta::read_directives(&content, &mut self.directives);
        }
    }

    /// Takes a link. Returns its place if its text is still to come.
    fn reference(
        &mut self,
        text: Cow<'a, str>,
        place: &'static At,
        rel: Option<&'a [u8]>,
        alt: Option<&'a [u8]>,
    ) -> Option<usize> {
        if !self.wants.links {
            return None;
        }
        let nofollow = rel.is_some_and(|rel| meta::is_nofollow(&decoded(rel)));
        if !self.wants.link_details {
            return self.references.push(text, place, nofollow, None);
        }
        let text_of = |alt: &'a [u8]| {
            let mut folded = Folded::new(MAX_TEXT);
            folded.push(&decoded(alt));
            folded.finish().map(String::into_boxed_str)
        };
        let rel = rel.map(|rel| decoded(rel).into());
        let extra = Extra { rel, text: alt.and_then(text_of), relative_to: None };
        self.references.push(text, place, nofollow, Some(Box::new(extra)))
    }

    fn title(&mut self, raw: &'a [u8]) {
        // In an integration point of SVG it is the title of a drawing, whatever its namespace.
        if !self.saw_title && !self.foreign.is_open() {
            self.saw_title = true;
            let mut title = Folded::new(MAX_TITLE);
            title.push(&decode(raw, Place::Text));
            self.title = title.finish();
        }
    }
}

/// An element name as a number, in which case does not matter; 0 for a name of more than 16 bytes, and none that matters
/// is so long. Every tag of a page is asked for its name, so this must be cheap.
pub(super) const fn key(name: &[u8]) -> u128 {
    if name.len() > 16 {
        return 0;
    }
    let mut key = 0;
    let mut at = 0;
    while at < name.len() {
        // Sets the bit that tells `a` from `A`. No byte but a letter becomes a letter by it.
        key = key << 8 | (name[at] | 0x20) as u128;
        at += 1;
    }
    key
}

const A: u128 = key(b"a");
const AREA: u128 = key(b"area");
const LINK: u128 = key(b"link");
const META: u128 = key(b"meta");
const FRAME: u128 = key(b"frame");
const IFRAME: u128 = key(b"iframe");
const BASE: u128 = key(b"base");
const SCRIPT: u128 = key(b"script");
const STYLE: u128 = key(b"style");
const TITLE: u128 = key(b"title");
const TEXTAREA: u128 = key(b"textarea");
const XMP: u128 = key(b"xmp");
const NOEMBED: u128 = key(b"noembed");
const NOFRAMES: u128 = key(b"noframes");
const PLAINTEXT: u128 = key(b"plaintext");

/// The elements that [`Reader::start`] does something about, when links are wanted that lead on.
static READ: Names = Names::new(&[
    "a",
    "area",
    "link",
    "meta",
    "frame",
    "iframe",
    "base",
    "script",
    "style",
    "title",
    "textarea",
    "xmp",
    "noembed",
    "noframes",
    "plaintext",
    "svg",
    "math",
]);

/// How the content of an HTML element is read, with scripting off (WHATWG HTML 13.2.6.4).
const fn content_of(key: u128) -> Content {
    match key {
        SCRIPT => Content::Script,
        TITLE => Content::Title,
        STYLE => Content::RawText("style"),
        TEXTAREA => Content::RawText("textarea"),
        IFRAME => Content::RawText("iframe"),
        XMP => Content::RawText("xmp"),
        NOEMBED => Content::RawText("noembed"),
        NOFRAMES => Content::RawText("noframes"),
        PLAINTEXT => Content::Plain,
        _ => Content::Markup,
    }
}

#[cfg(test)]
mod oracle;
#[cfg(all(fuzzing, not(test)))]
#[expect(dead_code, reason = "fuzzing brings its own pages")]
mod oracle;
#[cfg(test)]
mod places_tests;
#[cfg(test)]
mod tests;
