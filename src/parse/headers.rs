//! Response headers that hold URLs: `Link`, `Location` of an answer that is no redirect, `Content-Location`, `Refresh`.
//!
//! Never fails: a header that breaks its rules is read as far as it goes. Called by the engine beside the extractor of
//! the body, since they come with bodies of any type, and with none.
//!
//! Sources: RFC 8288 (Link), RFC 9110 8.7 and 10.2.2, WHATWG HTML 7.5.1 (Refresh).

use http::HeaderMap;
use http::header::{CONTENT_LOCATION, LINK, LOCATION, REFRESH};

use super::Wants;
use super::html::{is_nofollow, leads_on, refresh_target};
use super::references::{Extra, Place, References, Resolver};
use crate::model::page::Outlink;
use crate::model::url::Url;

/// Bytes of headers that are looked at, of each name.
const MOST_BYTES: usize = 64 * 1024;

const LINK_ON: &Place = &Place { tag: "header", attribute: "link", leads: true };
const LINK_PART: &Place = &Place { tag: "header", attribute: "link", leads: false };
const LOCATION_PLACE: &Place = &Place { tag: "header", attribute: "location", leads: true };
const CONTENT_LOCATION_PLACE: &Place = &Place { tag: "header", attribute: "content-location", leads: false };
const REFRESH_PLACE: &Place = &Place { tag: "header", attribute: "refresh", leads: true };

/// The links of a response head. `url` is where it came from.
#[must_use]
pub fn outlinks(url: &Url, headers: &HeaderMap, wants: Wants) -> Vec<Outlink> {
    let mut references = References::new(wants);
    let mut push = |text: &str, place: &'static Place, rel: Option<&str>, title: Option<&str>| {
        if !text.is_empty() && (place.leads || wants.everywhere) {
            let nofollow = rel.is_some_and(is_nofollow);
            let extra = Extra { rel: rel.map(Into::into), text: title.map(Into::into), relative_to: None };
            let extra = wants.link_details.then(|| Box::new(extra));
            let _ = references.push(text.to_owned().into(), place, nofollow, extra);
        }
    };
    for text in texts(headers, &LINK) {
        each_link(&text, |link| {
            let place = if link.rel.as_deref().is_some_and(leads_on) { LINK_ON } else { LINK_PART };
            push(&link.url, place, link.rel.as_deref(), link.title.as_deref());
        });
    }
    for (name, place) in [(&LOCATION, LOCATION_PLACE), (&CONTENT_LOCATION, CONTENT_LOCATION_PLACE)] {
        texts(headers, name).for_each(|text| push(text.trim_ascii(), place, None, None));
    }
    for text in texts(headers, &REFRESH) {
        if let Some(target) = refresh_target(&text) {
            push(target, REFRESH_PLACE, None, None);
        }
    }
    if references.is_empty() {
        return Vec::new();
    }
    references.resolve(&mut Resolver::new(url, None, encoding_rs::UTF_8), MOST_BYTES)
}

/// The values of a header, up to the cap.
fn texts<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = std::borrow::Cow<'h, str>> {
    let mut room = MOST_BYTES;
    headers.get_all(name).iter().map_while(move |value| {
        room = room.checked_sub(value.len())?;
        Some(String::from_utf8_lossy(value.as_bytes()))
    })
}

/// One link of a `Link` header.
#[derive(Debug, Default, PartialEq, Eq)]
struct Link {
    url: String,
    rel: Option<String>,
    title: Option<String>,
}

/// RFC 8288, appendix B.2, leniently: what is no `<…>` is passed over up to the next comma.
fn each_link(header: &str, mut found: impl FnMut(Link)) {
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let Some(length) = rest[open + 1..].find('>') else { return };
        let mut link = Link { url: rest[open + 1..=open + length].trim_ascii().to_owned(), ..Link::default() };
        rest = &rest[open + length + 2..];
        while let Some(parameter) = rest.trim_ascii_start().strip_prefix(';') {
            let length = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
            let name = parameter[..length].trim_ascii().to_ascii_lowercase();
            rest = &parameter[length..];
            let value = match rest.strip_prefix('=') {
                Some(text) => {
                    let (value, behind) = parameter_value(text.trim_ascii_start());
                    rest = behind;
                    value
                }
                None => String::new(),
            };
            match name.as_str() {
                "rel" if link.rel.is_none() => link.rel = Some(value),
                "title" if link.title.is_none() => link.title = Some(value),
                _ => {}
            }
        }
        found(link);
        // The next link begins behind a comma; anything before it is rubbish.
        rest = rest.find(',').map_or("", |comma| &rest[comma + 1..]);
    }
}

/// A token or a quoted string, and what stands behind it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let length = text.find([';', ',']).unwrap_or(text.len());
        return (text[..length].trim_ascii().to_owned(), &text[length..]);
    };
    let (mut value, mut characters) = (String::new(), quoted.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            _ => value.push(character),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[(&'static str, &str)], everywhere: bool) -> Vec<(String, String, Option<String>)> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let url = Url::parse("http://h.example/a/b").unwrap();
        let wants = Wants { links: true, link_details: everywhere, everywhere, ..Wants::default() };
        let links = outlinks(&url, &headers, wants).into_iter();
        links.map(|link| (link.attribute.into_owned(), link.url.into(), link.rel.map(Into::into))).collect()
    }

    #[test]
    fn every_header_with_a_url_is_read() {
        let lines = [
            ("link", "<next.html>; rel=\"next\"; title=\"a, \\\"b\\\"\", <style.css>; rel=stylesheet"),
            ("link", "<https://o.example/>; REL = alternate ; hreflang=de"),
            ("link", "rubbish, <x>;;rel=prev;rel=next, <open"),
            ("location", "/made"),
            ("content-location", "this.en.html"),
            ("refresh", "5; url=/later"),
        ];
        let all = found(&lines, true);
        let urls: Vec<_> = all.iter().map(|(name, url, _)| (name.as_str(), url.as_str())).collect();
        assert_eq!(
            urls,
            [
                ("link", "http://h.example/a/next.html"),
                ("link", "http://h.example/a/style.css"),
                ("link", "https://o.example/"),
                ("link", "http://h.example/a/x"),
                ("location", "http://h.example/made"),
                ("content-location", "http://h.example/a/this.en.html"),
                ("refresh", "http://h.example/later"),
            ]
        );
        assert_eq!(all[0].2.as_deref(), Some("next"));
        assert_eq!(all[3].2.as_deref(), Some("prev"), "the first of repeats counts");
        let leading: Vec<_> = found(&lines, false).into_iter().map(|(_, url, _)| url).collect();
        assert_eq!(
            leading,
            ["http://h.example/a/next.html", "https://o.example/", "http://h.example/made", "http://h.example/later"]
        );
    }

    #[test]
    fn a_flood_of_links_is_cut() {
        let flood = |count| (0..count).map(|n| format!("<{n}>;rel=next,")).collect::<Vec<_>>().concat();
        let many = flood(20_000);
        assert_eq!(found(&[("link", many.as_str())], true).len(), 0, "one value above the cap");
        let some = flood(3_000);
        assert_eq!(found(&[("link", some.as_str()), ("link", some.as_str())], true).len(), 3_000);
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_to_its_end(text in "([<>;=,\"\\\\ ]|rel|title|x){0,40}") {
            let mut links = 0;
            each_link(&text, |_| links += 1);
            assert!(links <= text.len());
        }
    }
}
