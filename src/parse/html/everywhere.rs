//! Links that do not lead on: images, scripts, styles, forms, and what stands in documents inside this one.
//!
//! Goes by the tables of `places`. Asked for with `--with links`, and by a crawl that follows more than documents.

use std::borrow::Cow;

use super::attributes::decoded;
use super::places::{self, Rule, Shape, each_meta_url};
use super::scan::Tag;
use super::srcset::each_candidate;
use super::{Reader, key};
use crate::parse::css::{self, Use};
use crate::parse::references::{Extra, Place, References};
use crate::parse::script;

/// Documents in documents, each the content of an attribute of the one around it.
const MOST_WITHIN: u8 = 4;

const META: u128 = key(b"meta");
const PARAM: u128 = key(b"param");

impl<'a> Reader<'a> {
    /// All of a start tag beside what leads on.
    pub(super) fn everywhere(&mut self, tag: &Tag<'a>, key: u128, is_foreign: bool) {
        let rules: &'static [Rule] = if is_foreign { &places::FOREIGN } else { &places::HTML };
        let mut codebase = None;
        for rule in rules.iter().filter(|rule| rule.element == key) {
            let [Some(value)] = tag.attributes.find([rule.place.attribute]) else { continue };
            let base = match rule.shape {
                Shape::OfCodebase | Shape::SpacedOfCodebase | Shape::CommasOfCodebase => codebase
                    .get_or_insert_with(|| tag.attributes.find(["codebase"])[0].map(|base| decoded(base).into_owned()))
                    .as_deref(),
                _ => None,
            };
            self.shaped(decoded(value), rule, base);
        }
        match key {
            META if !is_foreign => self.meta_urls(tag),
            PARAM if !is_foreign => self.param(tag),
            _ => {}
        }
        if let [Some(style)] = tag.attributes.find(["style"]) {
            let style = decoded(style);
            css::each_url(&style, |_, url| self.part(Cow::Owned(url.into_owned()), &places::STYLE_ATTRIBUTE, None));
        }
    }

    /// The URLs of one value.
    fn shaped(&mut self, value: Cow<'a, str>, rule: &'static Rule, base: Option<&str>) {
        let place = &rule.place;
        // A map of the page itself, and what is drawn by reference to its own parts.
        let is_own = value.trim_ascii_start().starts_with('#');
        match rule.shape {
            Shape::One | Shape::OfCodebase if is_own => {}
            Shape::One | Shape::OfCodebase => self.part(value, place, base),
            Shape::Srcset => each_candidate(&value, |url| self.part(Cow::Owned(url.to_owned()), place, None)),
            Shape::Spaced | Shape::SpacedOfCodebase => {
                value.split_ascii_whitespace().for_each(|url| self.part(Cow::Owned(url.to_owned()), place, base));
            }
            Shape::CommasOfCodebase => {
                value.split(',').for_each(|url| self.part(Cow::Owned(url.trim_ascii().to_owned()), place, base));
            }
        }
    }

    /// Takes a URL of what belongs to the page.
    fn part(&mut self, text: Cow<'a, str>, place: &'static Place, base: Option<&str>) {
        if text.trim_ascii().is_empty() {
            return;
        }
        let extra = (base.is_some() || self.references.is_detailed())
            .then(|| Box::new(Extra { relative_to: base.map(Into::into), ..Extra::default() }));
        let _ = self.references.push(text, place, false, extra);
    }

    fn meta_urls(&mut self, tag: &Tag<'a>) {
        let [name, property, itemprop, content] = tag.attributes.find(["name", "property", "itemprop", "content"]);
        let Some(content) = content.map(decoded) else { return };
        for name in [name, property, itemprop].into_iter().flatten() {
            each_meta_url(&decoded(name), &content, |url| {
                self.part(Cow::Owned(url.to_owned()), &places::META_CONTENT, None);
            });
        }
    }

    /// `<param>` of an object: those that name what is shown, or say that their value is a URL.
    fn param(&mut self, tag: &Tag<'a>) {
        let [name, value, kind] = tag.attributes.find(["name", "value", "valuetype"]);
        let named = name.is_some_and(|name| {
            ["movie", "src", "url", "filename", "data", "href"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        });
        if let Some(value) = value.filter(|_| named || kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"ref"))) {
            self.part(decoded(value), &places::PARAM, None);
        }
    }

    /// The content of a `<style>`.
    pub(super) fn style(&mut self, text: &str) {
        css::each_url(text, |used, url| {
            let place = if used == Use::Import { &places::STYLE_IMPORT } else { &places::STYLE_URL };
            self.part(Cow::Owned(url.into_owned()), place, None);
        });
    }

    /// The content of a `<script>`.
    pub(super) fn script(&mut self, text: &str) {
        script::each_path(text, |path| self.part(Cow::Owned(path.to_owned()), &places::SCRIPT_TEXT, None));
    }

    /// Markup that only old browsers see.
    pub(super) fn conditional(&mut self, markup: &'a [u8]) {
        let mut inner = self.inner();
        inner.read(markup);
        self.references.adopt(inner.references, None);
    }

    /// The content of `srcdoc`, whose URLs are relative to its own `<base>`, or else to this page's.
    pub(super) fn inner_document(&mut self, document: &str) {
        if self.within == MOST_WITHIN {
            return;
        }
        let mut inner: Reader<'_> = self.inner();
        inner.read(document.as_bytes());
        self.references.adopt(inner.references, inner.base.as_deref());
    }

    fn inner<'b>(&self) -> Reader<'b> {
        Reader {
            wants: self.wants,
            references: References::new(self.wants),
            within: self.within + 1,
            ..Reader::default()
        }
    }
}
