//! The inside of a tag: attribute after attribute up to the closing `>`.
//!
//! One function, [`step`], is the single statement of where an attribute and a tag end; finding the end of a tag,
//! reading its attributes and the charset prescan all go through it. It works on bytes and decodes nothing.
//!
//! Source: WHATWG HTML 13.2.5.32 to 13.2.5.40 (before attribute name … self-closing start tag), with the newline
//! normalisation of 13.2.3.5 folded in: a carriage return is white space.

use std::borrow::Cow;

use super::{entity, near};

pub(crate) use near::is_space;

/// What stands next inside a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// An attribute, as written; `value` is empty if there is none. `next` is where to go on.
    Attribute { name: &'a [u8], value: &'a [u8], next: usize },
    /// The tag ended; `next` is the place behind its `>`.
    End { next: usize, self_closing: bool },
    /// The input ended inside the tag, so there is no tag.
    Cut,
}

/// Reads on from `at`, which lies behind the tag's name or behind an attribute.
#[expect(clippy::inline_always, reason = "half of a page's time: where only the end is wanted, no name is kept")]
#[inline(always)]
pub(crate) fn step(input: &[u8], mut at: usize) -> Step<'_> {
    loop {
        match input.get(at) {
            None => return Step::Cut,
            Some(b'>') => return Step::End { next: at + 1, self_closing: false },
            Some(b'/') if input.get(at + 1) == Some(&b'>') => return Step::End { next: at + 2, self_closing: true },
            Some(&byte) if byte == b'/' || is_space(byte) => at += 1,
            Some(_) => break,
        }
    }
    let start = at;
    // A `=` in first place belongs to the name.
    at += 1;
    at += near::name(&input[at..], *b"/>=");
    let name = &input[start..at];
    at = skip_space(input, at);
    match input.get(at) {
        None => Step::Cut,
        Some(b'=') => value(input, name, skip_space(input, at + 1)),
        Some(_) => Step::Attribute { name, value: &[], next: at },
    }
}

#[expect(clippy::inline_always, reason = "as `step`")]
#[inline(always)]
fn value<'a>(input: &'a [u8], name: &'a [u8], start: usize) -> Step<'a> {
    match input.get(start) {
        None => Step::Cut,
        Some(&quote @ (b'"' | b'\'')) => match near::find(quote, &input[start + 1..]) {
            None => Step::Cut,
            Some(length) => {
                let end = start + 1 + length;
                Step::Attribute { name, value: &input[start + 1..end], next: end + 1 }
            }
        },
        Some(_) => {
            let rest = &input[start..];
            // Neither a quote nor a slash ends a value without quotes.
            match rest.iter().position(|&byte| is_space(byte) || byte == b'>') {
                None => Step::Cut,
                Some(length) => Step::Attribute { name, value: &rest[..length], next: start + length },
            }
        }
    }
}

#[inline]
fn skip_space(input: &[u8], mut at: usize) -> usize {
    while input.get(at).copied().is_some_and(is_space) {
        at += 1;
    }
    at
}

/// Looks for the end of a tag from behind its name: the place behind `>` and whether the tag closes itself.
/// `None` if the input ends first.
#[expect(clippy::inline_always, reason = "as `step`")]
#[inline(always)]
pub(super) fn tag_end(input: &[u8], mut at: usize) -> Option<(usize, bool)> {
    // Most tags have no attributes.
    if input.get(at) == Some(&b'>') {
        return Some((at + 1, false));
    }
    loop {
        match step(input, at) {
            Step::Attribute { next, .. } => at = next,
            Step::End { next, self_closing } => return Some((next, self_closing)),
            Step::Cut => return None,
        }
    }
}

/// An attribute with quotes, as written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quoted<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// The attributes of a tag, if looking for its end has shown them: most tags have few, and all of them in quotes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known<'a> {
    all: [Quoted<'a>; 4],
    /// More than there is room for if they are not all known.
    len: usize,
}

impl<'a> Known<'a> {
    pub(super) const NOTHING: Self = Self { all: [Quoted { name: &[], value: &[] }; 4], len: usize::MAX };

    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    #[inline]
    pub(super) fn push(&mut self, attribute: Quoted<'a>) {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = attribute;
        }
        self.len += 1;
    }

    fn get(&self) -> Option<&[Quoted<'a>]> {
        self.all.get(..self.len)
    }
}

/// The attributes of one whole tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    /// From behind the name up to and with the `>`.
    pub(super) raw: &'a [u8],
    pub(super) known: Known<'a>,
}

impl<'a> Attributes<'a> {
    /// The values of the named attributes (lower case), not decoded. Of repeats the first counts.
    pub(super) fn find<const N: usize>(&self, names: [&str; N]) -> [Option<&'a [u8]>; N] {
        let mut found = [None; N];
        let mut take = |name: &[u8], value| {
            for (slot, wanted) in found.iter_mut().zip(names) {
                if slot.is_none() && name.eq_ignore_ascii_case(wanted.as_bytes()) {
                    *slot = Some(value);
                }
            }
        };
        if let Some(known) = self.known.get() {
            for attribute in known {
                take(attribute.name, attribute.value);
            }
            return found;
        }
        let mut at = 0;
        while let Step::Attribute { name, value, next } = step(self.raw, at) {
            take(name, value);
            at = next;
        }
        found
    }
}

/// The text of an attribute value: character references decoded.
pub(super) fn decoded(value: &[u8]) -> Cow<'_, str> {
    entity::decode(value, entity::Place::Attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(raw: &str, name: &str) -> Option<String> {
        Attributes { raw: raw.as_bytes(), known: Known::NOTHING }.find([name])[0]
            .map(|value| decoded(value).into_owned())
    }

    #[test]
    fn values_are_quoted_both_ways_or_bare_and_the_first_of_repeats_counts() {
        assert_eq!(find(" href=\"a b\">", "href").as_deref(), Some("a b"));
        assert_eq!(find("\thref = 'a\"b'>", "href").as_deref(), Some("a\"b"));
        assert_eq!(find("/HREF=a/>", "href").as_deref(), Some("a/"), "a slash belongs to a bare value");
        assert_eq!(find(" x='1'href=2 href=3>", "href").as_deref(), Some("2"), "no space needed behind a quote");
        assert_eq!(find(" href=>", "href").as_deref(), Some(""));
        assert_eq!(find(" href>", "href").as_deref(), Some(""));
        assert_eq!(find(" =href=1>", "href"), None, "the name is `=href`");
        assert_eq!(find(" href=a'b\"c>", "href").as_deref(), Some("a'b\"c"));
        assert_eq!(find(" data-href=1 xhref=2>", "href"), None);
    }

    #[test]
    fn a_tag_ends_at_the_first_bracket_outside_quotes() {
        let end = |tag: &str| tag_end(tag.as_bytes(), 0);
        assert_eq!(end(">x"), Some((1, false)));
        assert_eq!(end(" a='>' b>x"), Some((9, false)));
        assert_eq!(end(" a=b/>"), Some((6, false)), "the slash is part of the value");
        assert_eq!(end(" a/>"), Some((4, true)));
        assert_eq!(end(" a=\"b\"/>"), Some((8, true)));
        assert_eq!(end(" a\"b>c\">"), Some((5, false)), "a quote inside a name quotes nothing");
        assert_eq!(end(" a='>"), None, "cut off in a value");
        assert_eq!(end(" a"), None);
    }
}
