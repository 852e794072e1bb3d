//! What `<meta>` and `rel` say: refresh, robots, and which `<link>` is a link.
//!
//! Sources: WHATWG HTML 4.2.5.3 ("shared declarative refresh steps"), 4.6.6 (link types).

use crate::model::page::Directives;

/// The URL of `<meta http-equiv=refresh content=…>`. None if it only reloads the page, or is no refresh at all.
pub(in crate::parse) fn refresh_target(content: &str) -> Option<&str> {
    let text = content.trim_ascii_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 && !text.starts_with('.') {
        return None;
    }
    let text = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !text.starts_with(|c: char| c == ';' || c == ',' || c.is_ascii_whitespace()) {
        return None;
    }
    let text = text.trim_ascii_start();
    let text = text.strip_prefix([';', ',']).unwrap_or(text).trim_ascii_start();
    if text.is_empty() {
        return None;
    }
    let target = match behind_url_equals(text) {
        Some(target) => target,
        // `0; 'x'` too may be quoted, but what begins with u, r or l and is not `url=` may not.
        None if text.starts_with(['u', 'U']) => return Some(text),
        None => text,
    };
    Some(match target.chars().next() {
        Some(quote @ ('"' | '\'')) => target[1..].split(quote).next().unwrap_or_default(),
        _ => target,
    })
}

/// What follows `url =`.
fn behind_url_equals(text: &str) -> Option<&str> {
    let (word, rest) = text.split_at_checked(3)?;
    if !word.eq_ignore_ascii_case("url") {
        return None;
    }
    Some(rest.trim_ascii_start().strip_prefix('=')?.trim_ascii_start())
}

/// Takes what the content of `<meta name=robots>` asks.
pub(super) fn read_directives(content: &str, directives: &mut Directives) {
    content.split(|c: char| c == ',' || c.is_ascii_whitespace()).for_each(|word| directives.take(word));
}

/// Whether the `rel` of a link asks not to follow it.
pub(in crate::parse) fn is_nofollow(rel: &str) -> bool {
    rel.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("nofollow"))
}

/// Whether the `rel` of a `<link>` leads to another page rather than to a part of this one.
pub(in crate::parse) fn leads_on(rel: &str) -> bool {
    rel.split_ascii_whitespace()
        .any(|word| ["next", "alternate", "canonical"].iter().any(|known| word.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_is_read_as_browsers_read_it() {
        for (content, target) in [
            ("0; url=a b", Some("a b")),
            (" 5 , URL = 'a' x", Some("a")),
            ("0;url=\"a", Some("a")),
            ("0 a", Some("a")),
            ("0;'a'b", Some("a")),
            ("1.5;a", Some("a")),
            (".;a", Some("a")),
            ("0;urla", Some("urla")),
            ("0;ur", Some("ur")),
            ("0;url", Some("url")),
            ("0;url'a'", Some("url'a'")),
            ("0;url=", Some("")),
            ("5", None),
            ("5;", None),
            ("5x;url=a", None),
            ("x;url=a", None),
            ("url=a", None),
            ("", None),
            ("0;é", Some("é")),
        ] {
            assert_eq!(refresh_target(content), target, "{content}");
        }
    }

    #[test]
    fn words_of_robots_and_rel_are_told_apart() {
        let directives = |content| {
            let mut directives = Directives::default();
            read_directives(content, &mut directives);
            (directives.noindex, directives.nofollow)
        };
        assert_eq!(directives("follow, NoIndex"), (true, false));
        assert_eq!(directives("NOFOLLOW noarchive"), (false, true));
        assert_eq!(directives("none"), (true, true));
        assert_eq!(directives("index,noindexing,all"), (false, false));
        assert!(is_nofollow("ugc NoFollow") && !is_nofollow("nofollows no follow"));
        assert!(leads_on("prefetch NEXT"));
        assert!(leads_on("alternate"));
        assert!(!leads_on("stylesheet nexte"));
        assert!(!leads_on(""));
    }
}
