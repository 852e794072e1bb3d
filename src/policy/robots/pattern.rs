//! One pattern of an `Allow` or `Disallow` line, and whether a path matches it.
//!
//! Patterns and paths are brought into one spelling first, and then compared octet by octet. Never allocates for a path
//! that is in that spelling already, as nearly all are. Takes time linear in pattern and path, also for `/*a*a*a…`.
//! Sources: RFC 9309 2.2.2 (comparing), 2.2.3 (`*` and `$`); RFC 3986 2.2, 2.3 (reserved and unreserved), 3.4 (query).

use std::borrow::Cow;

/// A pattern in the spelling of [`spelled`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Begins with `/`; without the `$` at its end.
    text: Box<str>,
    /// A `$` stood at its end.
    anchored: bool,
    has_star: bool,
}

impl Pattern {
    /// Reads the value of a line; None if it is empty, which matches nothing.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        // Only at the end it has a meaning (2.2.3); elsewhere it is itself.
        let (value, anchored) = value.strip_suffix(b"$").map_or((value, false), |value| (value, true));
        let mut text = spell(value, |byte| byte == b'*');
        if !text.starts_with('/') {
            // `*.gif` and `private/`: 2.2 wants a slash, and whoever wrote this meant one.
            text.insert(0, '/');
        }
        Some(Self { has_star: text.contains('*'), text: text.into(), anchored })
    }

    /// Its octets: of several patterns that match the longest decides.
    pub(super) fn len(&self) -> usize {
        self.text.len() + usize::from(self.anchored)
    }

    /// Whether comparing takes as long as the path is.
    pub(super) fn has_star(&self) -> bool {
        self.has_star
    }

    /// Whether it matches a path in the spelling of [`spelled`].
    ///
    /// The part before the first `*` must begin the path. What stands between two stars is taken where it first comes:
    /// a later place leaves less to the parts behind it, so no other choice has to be tried.
    pub(super) fn matches(&self, path: &str) -> bool {
        let Some((head, mut tail)) = self.text.split_once('*') else {
            return if self.anchored { path == &*self.text } else { path.starts_with(&*self.text) };
        };
        let Some(mut rest) = path.strip_prefix(head) else { return false };
        while let Some((part, behind)) = tail.split_once('*') {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
            tail = behind;
        }
        if self.anchored { rest.ends_with(tail) } else { rest.contains(tail) }
    }
}

/// Path and query of a URL in the spelling in which they are compared: a `*` or `$` of a URL is what a pattern writes as
/// `%2A` or `%24` (2.2.3).
pub(super) fn spelled(path: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| is_unreserved(byte) || (is_reserved(byte) && !matches!(byte, b'*' | b'$'));
    if path.bytes().all(is_plain) { Cow::Borrowed(path) } else { Cow::Owned(spell(path.as_bytes(), |_| false)) }
}

/// One spelling for all that means the same: unreserved octets stand for themselves, what is neither reserved nor
/// unreserved is escaped, hexadecimal digits are upper case, and a reserved octet stays as it was written, since
/// `/a%2Fb` is not `/a/b`. A `*` or `$` that `is_special` does not know is escaped too.
///
/// `:`, `/`, `?` and `@` separate nothing within a query (RFC 3986 3.4), so `?u=https%3A%2F%2Fa` and `?u=https://a` are
/// one (the second example of 2.2.2), and there both become the second: to encode them, as the RFC has it, would lose the
/// `/` of patterns such as `/*/print` that reach into queries.
fn spell(text: &[u8], is_special: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let mut in_query = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'%'
            && let Some(octet) = escaped(&text[at + 1..])
        {
            at += 3;
            let is_plain = is_unreserved(octet) || (in_query && matches!(octet, b':' | b'/' | b'?' | b'@'));
            put(octet, is_plain, &mut out);
            continue;
        }
        at += 1;
        in_query |= byte == b'?';
        let is_plain = match byte {
            b'*' | b'$' => is_special(byte),
            // One that escapes nothing is itself.
            b'%' => true,
            _ => is_unreserved(byte) || is_reserved(byte),
        };
        put(byte, is_plain, &mut out);
    }
    out
}

/// The octet of two hexadecimal digits.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// As it is, or escaped.
fn put(octet: u8, is_plain: bool, out: &mut String) {
    if is_plain {
        return out.push(char::from(octet));
    }
    out.push('%');
    for digit in [octet >> 4, octet & 0xf] {
        out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_reserved(byte: u8) -> bool {
    b":/?#[]@!$&'()*+,;=".contains(&byte)
}
