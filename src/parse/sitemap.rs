//! Sitemaps: the URLs of a `urlset`, a `sitemapindex`, a feed (RSS, Atom) or a plain list, packed or not.
//!
//! Never fails: what was read before a file broke off, or broke the rules of XML, is kept. The URLs are as written,
//! trimmed and with references decoded; whether they may be asked is for others to say.
//!
//! Source: sitemaps.org, protocol 0.9 (50,000 URLs, 50 MB unpacked; feeds may stand for sitemaps); the `xhtml:link` of
//! Google's documentation of localised versions; RSS 2.0, RFC 4287; gzip is known by its first bytes, because servers
//! send `.gz` files with and without a content coding.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use super::charset::{self, Kind};

/// How much of a sitemap is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Entries, sitemaps of an index included.
    pub urls: usize,
    /// Bytes after unpacking.
    pub unpacked: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { urls: 50_000, unpacked: 50 << 20 }
    }
}

/// What a sitemap names, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sitemap {
    /// Pages.
    pub urls: Vec<String>,
    /// The same pages in other languages.
    pub alternates: Vec<String>,
    /// Further sitemaps.
    pub sitemaps: Vec<String>,
}

impl Sitemap {
    fn len(&self) -> usize {
        self.urls.len() + self.alternates.len() + self.sitemaps.len()
    }
}

/// Reads a sitemap of any form.
#[must_use]
pub fn parse(body: &[u8], caps: Caps) -> Sitemap {
    let unpacked = unpack(body, caps.unpacked);
    let (text, _) = charset::decode(Kind::Xml, None, &unpacked);
    if text.trim_start().starts_with('<') { read_xml(&text, caps) } else { read_lines(&text, caps) }
}

fn unpack(body: &[u8], cap: usize) -> Cow<'_, [u8]> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Cow::Borrowed(&body[..body.len().min(cap)]);
    }
    let mut unpacked = Vec::new();
    // What came out before an error stays in the buffer.
    let _ = MultiGzDecoder::new(body).take(cap as u64).read_to_end(&mut unpacked);
    Cow::Owned(unpacked)
}

fn read_lines(text: &str, caps: Caps) -> Sitemap {
    let is_url = |line: &&str| {
        let scheme = line.split("://").next().unwrap_or_default();
        scheme.len() < line.len() && (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
    };
    let urls = text.lines().map(str::trim).filter(is_url).take(caps.urls).map(str::to_owned).collect();
    Sitemap { urls, ..Sitemap::default() }
}

/// Whose `<loc>` it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Url,
    Sitemap,
    /// Of RSS: its `<link>` holds the URL.
    Item,
    /// An entry of Atom: its `<link>` has the URL as an attribute.
    Atom,
}

impl Entry {
    /// The element whose text is its URL.
    fn location(self) -> &'static str {
        match self {
            Self::Url | Self::Sitemap => "loc",
            Self::Item => "link",
            Self::Atom => "",
        }
    }
}

/// Where in the document the reader stands.
#[derive(Debug, Default)]
struct Place {
    /// The open `<url>`, `<sitemap>`, `<item>` or `<entry>`, and how many elements are open inside it.
    entry: Option<(Entry, usize)>,
    /// The text of the open `<loc>`.
    location: Option<String>,
}

impl Place {
    fn start(&mut self, name: &str) {
        // An element inside `<loc>` is no part of the protocol: what stood before it is dropped.
        self.location = None;
        match (&mut self.entry, name) {
            // A new entry closes one that was never closed.
            (_, "url") => self.entry = Some((Entry::Url, 0)),
            (_, "sitemap") => self.entry = Some((Entry::Sitemap, 0)),
            (_, "item") => self.entry = Some((Entry::Item, 0)),
            (_, "entry") => self.entry = Some((Entry::Atom, 0)),
            // `<image:loc>` stands a level deeper, in `<image:image>`.
            (Some((entry, inside)), name) => {
                if name == entry.location() && *inside == 0 {
                    self.location = Some(String::new());
                }
                *inside += 1;
            }
            (None, _) => {}
        }
    }

    fn end(&mut self, name: &str, found: &mut Sitemap) {
        match &mut self.entry {
            Some(_) if matches!(name, "url" | "sitemap" | "item" | "entry") => self.entry = None,
            Some((entry, inside)) => {
                *inside = inside.saturating_sub(1);
                if let Some(location) = self.location.take().filter(|_| name == entry.location()) {
                    let location = location.trim();
                    if !location.is_empty() {
                        let list = if *entry == Entry::Sitemap { &mut found.sitemaps } else { &mut found.urls };
                        list.push(location.to_owned());
                    }
                }
            }
            None => {}
        }
    }

    /// The `href` of a `<link>`: `<xhtml:link>` of a page, or the link of an entry of Atom.
    fn link(&self, tag: &BytesStart<'_>, found: &mut Sitemap) {
        let attribute = |name: &str| {
            let attribute = tag.attributes().with_checks(false).flatten().find(|found| found.key.as_ref() == name)?;
            Some(unescape(&attribute.value).map_or_else(|_| attribute.value.to_string(), Cow::into_owned))
        };
        let Some((entry, 0)) = self.entry else { return };
        let list = match entry {
            Entry::Url => &mut found.alternates,
            Entry::Atom => &mut found.urls,
            Entry::Sitemap | Entry::Item => return,
        };
        let leads = attribute("rel").is_none_or(|rel| rel.split_ascii_whitespace().any(|word| word == "alternate"));
        list.extend(attribute("href").map(|href| href.trim().to_owned()).filter(|href| leads && !href.is_empty()));
    }

    fn text(&mut self, text: &str) {
        if let Some(location) = &mut self.location {
            location.push_str(text);
        }
    }
}

fn read_xml(text: &str, caps: Caps) -> Sitemap {
    let mut reader = Reader::from_str(text.trim_start());
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    // `&` in a query without its `amp;` is the commonest fault of sitemaps.
    config.allow_dangling_amp = true;
    let mut found = Sitemap::default();
    let mut place = Place::default();
    while found.len() < caps.urls {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                if tag.local_name().into_inner() == "link" {
                    place.link(&tag, &mut found);
                }
                place.start(tag.local_name().into_inner());
            }
            Ok(Event::Empty(tag)) if tag.local_name().into_inner() == "link" => place.link(&tag, &mut found),
            Ok(Event::End(tag)) => place.end(tag.local_name().into_inner(), &mut found),
            Ok(Event::Text(text)) => place.text(&text),
            Ok(Event::CData(text)) => place.text(&text),
            Ok(Event::GeneralRef(reference)) => {
                if let Ok(Some(character)) = reference.resolve_char_ref() {
                    place.text(character.encode_utf8(&mut [0; 4]));
                } else if let Some(characters) = resolve_predefined_entity(&reference) {
                    place.text(characters);
                } else {
                    // Not a reference at all: `?a=1&b;c`.
                    place.text(&format!("&{};", &*reference));
                }
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn urls(text: &str) -> Vec<String> {
        parse(text.as_bytes(), Caps::default()).urls
    }

    const SET: &str =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">
        <url><loc> http://h/a?x=1&amp;y=2 </loc><lastmod>2026</lastmod></url>
        <url><image:image><image:loc>http://h/i.png</image:loc></image:image><loc><![CDATA[http://h/b?x&y]]></loc></url>
        <url/><url><loc/></url><url><loc>http://h/&#99;</loc><xhtml:link href='http://h/de'/></url></urlset>";

    #[test]
    fn a_set_gives_its_pages_trimmed_and_decoded() {
        let found = parse(SET.as_bytes(), Caps::default());
        assert_eq!(found.urls, ["http://h/a?x=1&y=2", "http://h/b?x&y", "http://h/c"]);
        assert!(found.sitemaps.is_empty());
    }

    #[test]
    fn an_index_gives_sitemaps_and_prefixes_do_not_matter() {
        let index = "<s:sitemapindex><s:sitemap><s:loc>http://h/1.xml</s:loc></s:sitemap></s:sitemapindex>";
        let found = parse(index.as_bytes(), Caps::default());
        assert_eq!(found.sitemaps, ["http://h/1.xml"]);
        assert!(found.urls.is_empty());
    }

    #[test]
    fn feeds_and_other_languages_are_read() {
        let rss = "<rss><channel><link>http://h/</link><item><title>t</title><link> http://h/1 </link></item>
            <item><link>http://h/2?a=1&amp;b</link><guid>http://h/no</guid></item></channel></rss>";
        assert_eq!(urls(rss), ["http://h/1", "http://h/2?a=1&b"]);
        let atom = "<feed><link href='http://h/'/><entry><link rel='self' href='http://h/no'/><link href='http://h/1'/>
            <link rel='alternate' href='http://h/2?a=1&amp;b'></link></entry></feed>";
        assert_eq!(urls(atom), ["http://h/1", "http://h/2?a=1&b"]);
        let set = "<urlset><xhtml:link href='http://h/no'/><url><loc>http://h/a</loc>
            <xhtml:link rel='alternate' hreflang='de' href='http://h/de?x&amp;y'/>
            <xhtml:link rel='icon' href='http://h/no'/></url></urlset>";
        let found = parse(set.as_bytes(), Caps::default());
        assert_eq!((found.urls, found.alternates), (vec!["http://h/a".into()], vec!["http://h/de?x&y".to_owned()]));
    }

    #[test]
    fn a_list_gives_its_lines() {
        assert_eq!(urls("\u{feff}http://h/a\r\n\n# no\n  HTTPS://h/b\nhttp\n"), ["http://h/a", "HTTPS://h/b"]);
        assert!(urls("").is_empty());
    }

    #[test]
    fn a_broken_file_gives_what_stood_before_the_break() {
        assert_eq!(urls("<urlset><url><loc>http://h/a</loc></url><url><loc>http://h/b</l"), ["http://h/a"]);
        assert_eq!(urls("<urlset><url><loc>http://h/a</loc></url><!-- <url><loc>http://h/b</loc>"), ["http://h/a"]);
        assert_eq!(
            urls("<urlset><url><loc>http://h/a</loc><url><loc>http://h/b</loc></urlset>"),
            ["http://h/a", "http://h/b"]
        );
        assert_eq!(urls("<urlset><url><loc>http://h/?a=1&b=2&c;d&amp;e</loc></url>"), ["http://h/?a=1&b=2&c;d&e"]);
        assert_eq!(urls("</x></y><url><loc>http://h/a</loc>"), ["http://h/a"]);
    }

    #[test]
    fn other_encodings_are_read() {
        let latin = b"<?xml version='1.0' encoding='iso-8859-1'?><url><loc>http://h/\xe9</loc></url>";
        assert_eq!(parse(latin, Caps::default()).urls, ["http://h/é"]);
        let wide: Vec<u8> =
            "\u{feff}<url><loc>http://h/é</loc></url>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(parse(&wide, Caps::default()).urls, ["http://h/é"]);
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_known_by_its_bytes_and_may_be_cut_off() {
        let mut body = packed(SET.as_bytes());
        assert_eq!(parse(&body, Caps::default()).urls.len(), 3);
        body.extend(packed(b"<url><loc>http://h/z</loc></url>"));
        assert_eq!(parse(&body, Caps::default()).urls.len(), 4, "members follow each other");
        let long = (0..5000).map(|n| format!("<url><loc>http://h/{n}</loc></url>")).collect::<Vec<_>>().concat();
        let body = packed(long.as_bytes());
        let cut = parse(&body[..body.len() / 2], Caps::default()).urls.len();
        assert!((1000..4999).contains(&cut), "{cut}");
    }

    #[test]
    fn both_caps_hold() {
        let long = (0..100).map(|n| format!("<url><loc>http://h/{n}</loc></url>")).collect::<Vec<_>>().concat();
        assert_eq!(parse(long.as_bytes(), Caps { urls: 7, ..Caps::default() }).urls.len(), 7);
        let bomb = packed(&[b"<url><loc>http://h/a</loc></url>".as_slice(), &vec![b' '; 10 << 20]].concat());
        assert!(bomb.len() < 20_000);
        assert_eq!(unpack(&bomb, 1000).len(), 1000);
        assert_eq!(parse(&bomb, Caps { unpacked: 1000, ..Caps::default() }).urls, ["http://h/a"]);
        let lines = "http://h/a\n".repeat(100);
        assert_eq!(parse(lines.as_bytes(), Caps { urls: 7, ..Caps::default() }).urls.len(), 7);
    }
}
