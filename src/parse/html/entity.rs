//! Character references: `&amp;`, `&#38;`, `&#x26;` and what is left of them in real pages.
//!
//! Also where bytes become text: invalid UTF-8 and NUL become U+FFFD, a carriage return becomes a newline.
//!
//! Source: WHATWG HTML 13.2.5.72 to 13.2.5.80.

use std::borrow::Cow;

use memchr::memchr3;

use super::entity_table::{NAMED, WITHOUT_SEMICOLON};

/// Where a reference stands. In an attribute, `&copy=1` and `&copy2` stay as they are, for the sake of query strings
/// written without escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Attribute,
    Text,
}

/// The text of raw bytes.
pub(super) fn decode(raw: &[u8], place: Place) -> Cow<'_, str> {
    let Some(first) = memchr3(b'&', b'\0', b'\r', raw) else {
        // The check alone is faster than the lossy walk, and nearly all text passes it.
        return std::str::from_utf8(raw).map_or_else(|_| String::from_utf8_lossy(raw), Cow::Borrowed);
    };
    let mut out = String::with_capacity(raw.len());
    out.push_str(&String::from_utf8_lossy(&raw[..first]));
    let mut rest = &raw[first..];
    while let Some(&byte) = rest.first() {
        let used = match byte {
            b'&' => reference(rest, place, &mut out),
            b'\0' => {
                out.push(char::REPLACEMENT_CHARACTER);
                1
            }
            // `\r\n` is one newline.
            b'\r' => {
                if rest.get(1) != Some(&b'\n') {
                    out.push('\n');
                }
                1
            }
            _ => 0,
        };
        rest = &rest[used..];
        let plain = memchr3(b'&', b'\0', b'\r', rest).unwrap_or(rest.len());
        out.push_str(&String::from_utf8_lossy(&rest[..plain]));
        rest = &rest[plain..];
    }
    Cow::Owned(out)
}

/// Decodes the reference at the start of `text`, which begins with `&`. Returns how many bytes it took; what is no
/// reference gives the `&` itself.
fn reference(text: &[u8], place: Place, out: &mut String) -> usize {
    let found = match text.get(1) {
        Some(b'#') => numeric(text, out),
        Some(byte) if byte.is_ascii_alphanumeric() => named(text, place, out),
        _ => None,
    };
    found.unwrap_or_else(|| {
        out.push('&');
        1
    })
}

fn numeric(text: &[u8], out: &mut String) -> Option<usize> {
    let (radix, start) = if matches!(text.get(2), Some(b'x' | b'X')) { (16, 3) } else { (10, 2) };
    let mut at = start;
    let mut code = 0_u32;
    while let Some(digit) = text.get(at).and_then(|&byte| char::from(byte).to_digit(radix)) {
        // Saturates above every code point, however many digits follow.
        code = code.saturating_mul(radix).saturating_add(digit);
        at += 1;
    }
    if at == start {
        return None;
    }
    if text.get(at) == Some(&b';') {
        at += 1;
    }
    out.push(code_point(code));
    Some(at)
}

/// The character of a numeric reference: 0x80 to 0x9F are read as windows-1252, what is no character is U+FFFD.
fn code_point(code: u32) -> char {
    const WINDOWS_1252: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match code {
        0 => char::REPLACEMENT_CHARACTER,
        0x80..=0x9f => WINDOWS_1252[(code - 0x80) as usize],
        _ => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

fn named(text: &[u8], place: Place, out: &mut String) -> Option<usize> {
    /// One more than the longest name, so that a longer run is seen to be longer.
    const LONGEST: usize = 32;
    let run = text[1..].iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = &text[1..=run];
    if text.get(run + 1) == Some(&b';')
        && let Some(characters) = look_up(name)
    {
        out.push_str(characters);
        return Some(run + 2);
    }
    let prefix = (2..=run.min(6)).rev().map(|length| &name[..length]).find(|prefix| is_legacy(prefix))?;
    let next = text.get(prefix.len() + 1);
    if place == Place::Attribute && next.is_some_and(|&byte| byte == b'=' || byte.is_ascii_alphanumeric()) {
        return None;
    }
    out.push_str(look_up(prefix)?);
    Some(prefix.len() + 1)
}

fn look_up(name: &[u8]) -> Option<&'static str> {
    NAMED.binary_search_by(|(known, _)| known.as_bytes().cmp(name)).ok().map(|index| NAMED[index].1)
}

fn is_legacy(name: &[u8]) -> bool {
    WITHOUT_SEMICOLON.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(raw: &str) -> String {
        decode(raw.as_bytes(), Place::Attribute).into_owned()
    }

    fn text(raw: &str) -> String {
        decode(raw.as_bytes(), Place::Text).into_owned()
    }

    #[test]
    fn tables_are_sorted_and_every_short_name_is_a_name() {
        assert!(NAMED.is_sorted_by(|a, b| a.0 < b.0));
        assert!(WITHOUT_SEMICOLON.is_sorted_by(|a, b| a < b));
        for name in WITHOUT_SEMICOLON {
            assert!(look_up(name.as_bytes()).is_some(), "{name}");
            assert!((2..=6).contains(&name.len()), "{name}");
        }
        assert!(NAMED.iter().all(|(name, _)| name.len() < 32));
    }

    #[test]
    fn named_references_decode_with_their_semicolon() {
        assert_eq!(text("a&amp;b &notin; &CounterClockwiseContourIntegral; &NotEqualTilde;"), "a&b ∉ ∳ ≂\u{338}");
        assert_eq!(text("&bogus; &; & &a &"), "&bogus; &; & &a &");
    }

    #[test]
    fn without_a_semicolon_the_longest_old_name_counts_in_text_but_not_before_a_letter_in_an_attribute() {
        assert_eq!(text("&ampx &notit; &copy"), "&x ¬it; ©");
        assert_eq!(attribute("?a=1&copy=2&lt3&amp"), "?a=1&copy=2&lt3&");
        assert_eq!(attribute("?a&amp;b&copy;&notit;&reg "), "?a&b©&notit;® ");
    }

    #[test]
    fn numeric_references_decode_in_both_bases_and_never_overflow() {
        assert_eq!(attribute("&#38;&#x26;&#X26;&#38x&#x26g"), "&&&&x&g");
        assert_eq!(text("&#0;&#xD800;&#x110000;&#99999999999999999999;"), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(text("&#128;&#x9F;&#x81;"), "€Ÿ\u{81}");
        assert_eq!(text("&#;&#x;&#xg"), "&#;&#x;&#xg");
    }

    #[test]
    fn bytes_that_are_no_text_become_the_replacement_character() {
        assert_eq!(decode(b"a\xff&amp;\xc3", Place::Text), "a\u{fffd}&\u{fffd}");
        assert_eq!(text("a\0b\r\nc\rd"), "a\u{fffd}b\nc\nd");
    }
}
