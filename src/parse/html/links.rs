//! The references of a page, from the tag they stand in to the list of outlinks.
//!
//! References are collected as written and resolved at the end, because a `<base href>` may come late. Unless all
//! links were asked for, repeats are dropped twice: as written, before the dear step of resolving, and as canonical URLs.
//! What a page can make us hold is capped in number ([`MAX_LINKS`]) and in bytes (a multiple of the page).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;

use super::resolve::Resolver;
use crate::model::page::Outlink;

/// Links of one page; more are not read. A sitemap, which is made to be a list, may hold half as many.
pub const MAX_LINKS: usize = 100_000;

/// Outlinks take at most this many times the bytes of the page, and [`ROOM`] more: otherwise a base of 64 kB and a
/// million short references would make terabytes.
const GROWTH: usize = 16;
const ROOM: usize = 1 << 20;

/// A link as it stands on the page.
#[derive(Debug)]
struct Reference<'a> {
    /// Decoded and trimmed; its fragment is cut off unless details were asked for.
    text: Cow<'a, str>,
    tag: &'static str,
    nofollow: bool,
    details: Option<Box<Details>>,
}

/// What only `--with links` shows.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) rel: Option<Box<str>>,
    pub(super) text: Option<Box<str>>,
}

/// The references of one page, in document order.
#[derive(Debug, Default)]
pub(super) struct References<'a> {
    all: Vec<Reference<'a>>,
    written: Repeats,
    /// By hash of their text: those not to be followed, until the page has the same link without that wish.
    unfollowed: HashMap<u64, usize>,
}

impl<'a> References<'a> {
    /// Takes a reference of which only the URL is wanted, if it is not a repeat.
    pub(super) fn push(&mut self, text: Cow<'a, str>, tag: &'static str, nofollow: bool) {
        if self.all.len() >= MAX_LINKS {
            return;
        }
        let text = part(text, |text| without_fragment(text.trim_ascii()));
        let hash = xxh3_64(text.as_bytes());
        if self.written.is_first(hash) {
            if nofollow {
                self.unfollowed.insert(hash, self.all.len());
            }
            self.all.push(Reference { text, tag, nofollow, details: None });
        } else if !nofollow && let Some(place) = self.unfollowed.remove(&hash) {
            self.all[place].nofollow = false;
        }
    }

    /// Takes a reference with its details. Returns its place, for a text that is known later.
    pub(super) fn push_detailed(
        &mut self,
        text: Cow<'a, str>,
        tag: &'static str,
        nofollow: bool,
        details: Details,
    ) -> Option<usize> {
        if self.all.len() >= MAX_LINKS {
            return None;
        }
        let text = part(text, str::trim_ascii);
        self.all.push(Reference { text, tag, nofollow, details: Some(Box::new(details)) });
        Some(self.all.len() - 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Sets the text of a link that came with details.
    pub(super) fn set_text(&mut self, place: usize, text: Option<String>) {
        if let Some(details) = self.all.get_mut(place).and_then(|reference| reference.details.as_mut()) {
            details.text = text.map(String::into_boxed_str);
        }
    }

    /// All links that lead to http or https. `page_size` in bytes.
    pub(super) fn resolve(self, resolver: &mut Resolver, page_size: usize) -> Vec<Outlink> {
        let mut room = page_size.saturating_mul(GROWTH).saturating_add(ROOM);
        let mut canonicals = Repeats::default();
        let mut unfollowed: HashMap<u64, usize> = HashMap::new();
        let mut outlinks: Vec<Outlink> = Vec::with_capacity(self.all.len());
        for Reference { text, tag, nofollow, details } in self.all {
            let resolved = match &details {
                Some(_) => resolver.with_fragment(&text),
                None => resolver.canonical(&text).map(|url| (url, None)),
            };
            let Some((url, fragment)) = resolved else { continue };
            let hash = if details.is_none() { xxh3_64(url.as_bytes()) } else { 0 };
            if details.is_none() && !canonicals.is_first(hash) {
                if !nofollow && let Some(place) = unfollowed.remove(&hash) {
                    outlinks[place].nofollow = false;
                }
                continue;
            }
            let Some(left) = room.checked_sub(url.len()) else { break };
            room = left;
            if nofollow && details.is_none() {
                unfollowed.insert(hash, outlinks.len());
            }
            let Details { rel, text } = details.map(|details| *details).unwrap_or_default();
            outlinks.push(Outlink { url: url.into(), fragment, text, rel, tag: Cow::Borrowed(tag), nofollow });
        }
        outlinks
    }
}

/// A reference up to its fragment. The `#` stays if white space or a control character stands before it: at the end of
/// a reference these are stripped, before a fragment they are not.
fn without_fragment(text: &str) -> &str {
    match memchr::memchr(b'#', text.as_bytes()) {
        None => text,
        Some(at) if at > 0 && text.as_bytes()[at - 1] <= b' ' => &text[..=at],
        Some(at) => &text[..at],
    }
}

/// A part of a text, borrowed if the whole is.
fn part(text: Cow<'_, str>, of: impl Fn(&str) -> &str) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(of(text)),
        Cow::Owned(text) => {
            let kept = of(&text);
            if kept.len() == text.len() { Cow::Owned(text) } else { Cow::Owned(kept.to_owned()) }
        }
    }
}

/// Texts seen, by 64-bit hash: two texts of one page that clash by chance are less likely than a broken disk, and by
/// intent they cost a page one of its own links.
#[derive(Debug, Default)]
struct Repeats {
    /// Most pages have few links, and a walk over a few cache lines is faster than any table.
    few: Vec<u64>,
    many: HashSet<u64>,
}

impl Repeats {
    const FEW: usize = 128;

    fn is_first(&mut self, hash: u64) -> bool {
        if self.few.contains(&hash) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(hash);
            return true;
        }
        self.many.insert(hash)
    }
}
