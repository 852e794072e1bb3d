//! The references of a page, from the place they stand in to the list of outlinks.
//!
//! Called by the extractors, which know where references stand. References are collected as written and resolved at the end, because a `<base href>` may come late. Unless all
//! links were asked for, repeats are dropped twice: as written, before the dear step of resolving, and as canonical URLs.
//! What a page can make us hold is capped in number ([`MAX_LINKS`]) and in bytes (a multiple of the page).

use std::borrow::Cow;

use foldhash::{HashMap, HashSet};
use memchr::memchr2;
use xxhash_rust::xxh3::xxh3_64;

use super::Wants;
use crate::model::page::Outlink;

mod resolve;

pub(super) use resolve::Resolver;

/// Links of one page; more are not read. A sitemap, which is made to be a list, may hold half as many.
pub const MAX_LINKS: usize = 100_000;

/// Outlinks take at most this many times the bytes of the page, and [`ROOM`] more: otherwise a base of 64 kB and a
/// million short references would make terabytes.
const GROWTH: usize = 16;
const ROOM: usize = 1 << 20;

/// The element whose URL the others are relative to.
const BASE: &str = "base";

/// Where a URL stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub tag: &'static str,
    pub attribute: &'static str,
    /// It leads to another document, rather than to a part of this one or to what belongs to it.
    pub leads: bool,
}

/// A link as it stands on the page.
#[derive(Debug)]
struct Reference<'a> {
    /// Decoded and trimmed; its fragment is cut off unless details were asked for.
    text: Cow<'a, str>,
    place: &'static Place,
    nofollow: bool,
    extra: Option<Box<Extra>>,
}

/// What few links have, or only `--with links` shows.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) rel: Option<Box<str>>,
    pub(super) text: Option<Box<str>>,
    /// It is relative to this, which is itself a reference: the `codebase` of an object, the base of an inner document.
    pub(super) relative_to: Option<Box<str>>,
}

/// The references of one page, in document order.
#[derive(Debug, Default)]
pub(super) struct References<'a> {
    all: Vec<Reference<'a>>,
    /// Repeats, texts and fragments are wanted too.
    detailed: bool,
    /// A repeat in another element is none: `--follow` may want the one and not the other.
    by_tag: bool,
    written: Repeats,
    /// By hash of their text: those not to be followed, until the page has the same link without that wish.
    unfollowed: HashMap<u64, usize>,
}

impl<'a> References<'a> {
    pub(super) fn new(wants: Wants) -> Self {
        Self { detailed: wants.link_details, by_tag: wants.everywhere, ..Self::default() }
    }

    fn salt(by_tag: bool, place: &Place) -> u64 {
        if by_tag { xxh3_64(place.tag.as_bytes()) } else { 0 }
    }

    /// Whether a reference, not yet decoded, is certain to change nothing: most links of a page stand there before, and
    /// this is known sooner than what their text is.
    pub(super) fn is_known(&self, raw: &[u8], place: &Place) -> bool {
        if self.detailed || !self.unfollowed.is_empty() {
            return false;
        }
        // Up to its fragment it is its own text, unless it has character references.
        let text = match memchr2(b'#', b'&', raw) {
            None => raw,
            Some(at) if raw[at] == b'#' && raw[..at].last().is_none_or(|&byte| byte > b' ') => &raw[..at],
            Some(_) => return false,
        };
        self.written.has(xxh3_64(text) ^ Self::salt(self.by_tag, place))
    }

    /// Takes a reference; without details, only if it is no repeat. Returns its place, for a text that is known later.
    pub(super) fn push(
        &mut self,
        text: Cow<'a, str>,
        place: &'static Place,
        nofollow: bool,
        extra: Option<Box<Extra>>,
    ) -> Option<usize> {
        if self.all.len() >= MAX_LINKS {
            return None;
        }
        if self.detailed {
            let text = part(text, str::trim_ascii);
            self.all.push(Reference { text, place, nofollow, extra });
            return Some(self.all.len() - 1);
        }
        let text = part(text, |text| without_fragment(text.trim_ascii()));
        let mut hash = xxh3_64(text.as_bytes()) ^ Self::salt(self.by_tag, place);
        if let Some(base) = extra.as_ref().and_then(|extra| extra.relative_to.as_ref()) {
            hash ^= xxh3_64(base.as_bytes()).rotate_left(1);
        }
        if self.written.is_first(hash) {
            if nofollow {
                self.unfollowed.insert(hash, self.all.len());
            }
            self.all.push(Reference { text, place, nofollow, extra });
        } else if !nofollow
            && !self.unfollowed.is_empty()
            && let Some(at) = self.unfollowed.remove(&hash)
        {
            self.all[at].nofollow = false;
        }
        None
    }

    /// Takes all references of a document inside this one, whose own base is `base`.
    pub(super) fn adopt(&mut self, inner: References<'_>, base: Option<&str>) {
        for Reference { text, place, nofollow, extra } in inner.all {
            let mut extra = extra.unwrap_or_default();
            if extra.relative_to.is_none() {
                // The inner base is itself relative to the outer one.
                extra.relative_to = base.map(|base| if place.tag == BASE { "".into() } else { base.into() });
            }
            let extra = (extra.relative_to.is_some() || self.detailed).then_some(extra);
            let _ = self.push(Cow::Owned(text.into_owned()), place, nofollow, extra);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn is_detailed(&self) -> bool {
        self.detailed
    }

    /// Sets the text of a link that came with details.
    pub(super) fn set_text(&mut self, at: usize, text: Option<String>) {
        if let Some(extra) = self.all.get_mut(at).and_then(|reference| reference.extra.as_mut()) {
            extra.text = text.map(String::into_boxed_str);
        }
    }

    /// All links that lead to http or https. `page_size` in bytes.
    pub(super) fn resolve(self, resolver: &mut Resolver, page_size: usize) -> Vec<Outlink> {
        let (detailed, by_tag) = (self.detailed, self.by_tag);
        let mut room = page_size.saturating_mul(GROWTH).saturating_add(ROOM);
        let mut canonicals = Repeats::default();
        let mut unfollowed: HashMap<u64, usize> = HashMap::default();
        let mut outlinks: Vec<Outlink> = Vec::with_capacity(self.all.len());
        for Reference { text, place, nofollow, extra } in self.all {
            let Extra { rel, text: shown, relative_to } = extra.map(|extra| *extra).unwrap_or_default();
            let mut inner = relative_to.map(|base| resolver.below(&base));
            let resolver = inner.as_mut().unwrap_or(resolver);
            let resolved = match detailed {
                _ if place.tag == BASE => resolver.of_base(&text),
                true => resolver.with_fragment(&text),
                false => resolver.canonical(&text).map(|url| (url, None)),
            };
            let Some((url, fragment)) = resolved else { continue };
            if !detailed {
                let hash = xxh3_64(url.as_bytes()) ^ Self::salt(by_tag, place);
                if !canonicals.is_first(hash) {
                    if !nofollow
                        && !unfollowed.is_empty()
                        && let Some(at) = unfollowed.remove(&hash)
                    {
                        outlinks[at].nofollow = false;
                    }
                    continue;
                }
                if nofollow {
                    unfollowed.insert(hash, outlinks.len());
                }
            }
            let Some(left) = room.checked_sub(url.len()) else { break };
            room = left;
            let &Place { tag, attribute, leads } = place;
            let (tag, attribute) = (Cow::Borrowed(tag), Cow::Borrowed(attribute));
            outlinks.push(Outlink { url: url.into(), fragment, text: shown, rel, tag, attribute, leads, nofollow });
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
    /// The first of them, in a table that is searched from the place a hash names on; 0 is a free place. At most half of
    /// its places are taken.
    few: Vec<u64>,
    len: usize,
    /// All others: a page cannot choose their places.
    many: HashSet<u64>,
}

impl Repeats {
    /// Places of the table, at first and at most: a page that makes its hashes clash gains little.
    const FIRST: usize = 64;
    const MOST: usize = 1024;

    fn has(&self, hash: u64) -> bool {
        let hash = hash.max(1);
        !self.few.is_empty() && (self.few[self.place(hash)] == hash || self.many.contains(&hash))
    }

    fn is_first(&mut self, hash: u64) -> bool {
        let hash = hash.max(1);
        if self.len * 2 >= self.few.len() && self.few.len() < Self::MOST {
            self.grow();
        }
        let place = self.place(hash);
        if self.few[place] == hash {
            return false;
        }
        if self.len * 2 >= self.few.len() {
            return self.many.insert(hash);
        }
        self.few[place] = hash;
        self.len += 1;
        true
    }

    /// Where a hash stands in the table, or would stand.
    fn place(&self, hash: u64) -> usize {
        let last = self.few.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "its lowest bits are what is wanted")]
        let mut place = hash as usize & last;
        while self.few[place] != 0 && self.few[place] != hash {
            place = (place + 1) & last;
        }
        place
    }

    fn grow(&mut self) {
        let places = (self.few.len() * 2).max(Self::FIRST);
        let old = std::mem::replace(&mut self.few, vec![0; places]);
        for hash in old.into_iter().filter(|&hash| hash != 0) {
            let place = self.place(hash);
            self.few[place] = hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_told_from_what_is_new_however_hashes_clash() {
        for step in [1, 256, 1 << 32, 0x9e37_79b9_7f4a_7c15_u64] {
            let mut seen = Repeats::default();
            let hashes: Vec<u64> = (1..2000_u64).map(|n| n.wrapping_mul(step)).collect();
            for hash in &hashes {
                assert!(!seen.has(*hash), "{step}");
                assert!(seen.is_first(*hash), "{step}");
                assert!(seen.has(*hash), "{step}");
            }
            assert!(hashes.iter().all(|hash| seen.has(*hash) && !seen.is_first(*hash)), "{step}");
        }
    }

    #[test]
    fn what_stood_there_before_is_known_before_it_is_decoded() {
        static PLACE: Place = Place { tag: "a", attribute: "href", leads: true };
        let wants = Wants { links: true, ..Wants::default() };
        let mut references = References::new(wants);
        let _ = references.push(Cow::Borrowed("a b?c#d"), &PLACE, false, None);
        for (raw, known) in [
            ("a b?c", true),
            ("a b?c#", true),
            ("a b?c#x&amp;y", true),
            ("a b", false),
            ("a b?c ", false),
            ("a b?c #d", false),
            ("a b?c&#35;", false),
            ("a&#32;b?c", false),
            ("", false),
        ] {
            assert_eq!(references.is_known(raw.as_bytes(), &PLACE), known, "{raw}");
        }
        // It may be the one without `nofollow`.
        let _ = references.push(Cow::Borrowed("e"), &PLACE, true, None);
        assert!(!references.is_known(b"e", &PLACE));
        let _ = references.push(Cow::Borrowed("e"), &PLACE, false, None);
        assert!(references.is_known(b"e", &PLACE));
        assert!(!References::new(Wants { link_details: true, ..wants }).is_known(b"e", &PLACE));
    }
}
