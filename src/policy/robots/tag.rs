//! `X-Robots-Tag`: what a response's head asks of robots.
//!
//! A line may be for all (`noindex, nofollow`) or begin with the name it is for (`FooBot: nofollow`). Servers and proxies
//! join several lines with commas, so a name may also stand further on, and is for what follows it. Source: the
//! specification of search engines (no RFC has one); RFC 9110 5.3 (joined lines).

use crate::model::page::Directives;

/// Directives with a value, whose colon is not that of a name.
const WITH_VALUE: [&str; 4] = ["unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"];

/// What all lines of `X-Robots-Tag` together ask of the agent with this product token.
#[must_use]
pub fn tagged<'a>(lines: impl IntoIterator<Item = &'a [u8]>, product_token: &str) -> Directives {
    let mut asked = Directives::default();
    for line in lines {
        let text = String::from_utf8_lossy(line);
        let mut is_for_us = true;
        for part in text.split(',') {
            let directive = match part.split_once(':') {
                Some((name, rest)) if !WITH_VALUE.iter().any(|known| name.trim().eq_ignore_ascii_case(known)) => {
                    let name = name.trim();
                    is_for_us = name == "*" || super::product_token(name).eq_ignore_ascii_case(product_token);
                    rest
                }
                _ => part,
            };
            if is_for_us {
                asked.take(directive);
            }
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_all_or_for_one() {
        let asked = |lines: &[&str]| {
            let Directives { noindex, nofollow } = tagged(lines.iter().map(|line| line.as_bytes()), "lycosa");
            (noindex, nofollow)
        };
        for (lines, expected) in [
            (&["noindex"][..], (true, false)),
            (&["NoFollow"], (false, true)),
            (&["none"], (true, true)),
            (&["all"], (false, false)),
            (&["noarchive, nofollow ,noindex"], (true, true)),
            (&["noarchive", "nofollow"], (false, true)),
            (&["lycosa: nofollow"], (false, true)),
            (&["Lycosa/1.0: nofollow, noindex"], (true, true)),
            (&["otherbot: noindex, nofollow"], (false, false)),
            (&["lycosabot: nofollow"], (false, false)),
            (&["otherbot: nofollow", "noindex"], (true, false)),
            (&["otherbot: nofollow", "lycosa: noindex"], (true, false)),
            (&["otherbot: nofollow, lycosa: noindex"], (true, false)),
            (&["lycosa: noindex, otherbot: nofollow"], (true, false)),
            (&["*: nofollow"], (false, true)),
            (&["unavailable_after: 25 Jun 2010 15:00:00 PST, nofollow"], (false, true)),
            (&["otherbot: max-snippet: 20, nofollow"], (false, false)),
            (&["max-snippet:-1, max-image-preview:large, noindex"], (true, false)),
            (&["nofollows", "no follow", "", ",,:,", "\u{fc}"], (false, false)),
        ] {
            assert_eq!(asked(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn octets_that_are_no_text_hide_nothing() {
        assert!(tagged([&b"\xff\xfe, nofollow"[..]], "lycosa").nofollow);
    }
}
