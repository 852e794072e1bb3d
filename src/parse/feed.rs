//! XML that lists links: feeds (RSS 0.9 to 2.0, Atom), sitemaps met as pages, OPML, and XHTML served as XML.
//!
//! One pass over events, without a tree. Never fails: what was read before a file broke the rules of XML is kept.
//!
//! Sources: RSS 2.0, RSS 1.0, RFC 4287 (Atom), the sitemap protocol with its image, video and hreflang extensions, Media
//! RSS, OPML 2.0.

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use super::html::Html;
use super::references::{Extra, Place, References, Resolver};
use super::{Extract, Wants, charset};
use crate::model::page::{Extraction, Page};
use crate::model::url::Url;

/// Characters of a title.
const MAX_TITLE: usize = 1000;
/// Bytes of an element's text that is kept.
const MAX_TEXT: usize = 16 * 1024;

/// Any XML.
pub struct Feed;

const fn leading(attribute: &'static str) -> Place {
    Place { tag: "feed", attribute, leads: true }
}

const fn part(attribute: &'static str) -> Place {
    Place { tag: "feed", attribute, leads: false }
}

/// Elements whose text is a URL, by local name and the elements around them.
static TEXTS: [(&str, Place); 12] = [
    ("link", leading("link")),
    ("guid", leading("guid")),
    ("comments", leading("comments")),
    ("loc", leading("loc")),
    ("url", part("url")),
    ("icon", part("icon")),
    ("logo", part("logo")),
    ("uri", part("uri")),
    ("docs", part("docs")),
    ("thumbnail_loc", part("thumbnail_loc")),
    ("content_loc", part("content_loc")),
    ("player_loc", part("player_loc")),
];

/// Elements and the attribute of theirs that is a URL.
static ATTRIBUTES: [(&str, &str, Place); 8] = [
    ("enclosure", "url", part("enclosure")),
    ("source", "url", leading("source")),
    ("content", "url", part("content")),
    ("content", "src", part("content")),
    ("thumbnail", "url", part("thumbnail")),
    ("player", "url", part("player")),
    ("outline", "xmlUrl", leading("outline")),
    ("outline", "htmlUrl", leading("outline")),
];

static LINK: Place = leading("link");
static LINK_PART: Place = part("link");
/// `<image:loc>` names a picture, and not a page.
static IMAGE: Place = part("image");

impl Extract for Feed {
    fn reads(&self, media_type: &str, _: &Url) -> bool {
        matches!(
            media_type,
            "application/rss+xml"
                | "application/atom+xml"
                | "application/rdf+xml"
                | "application/xml"
                | "text/xml"
                | "text/x-opml"
        )
    }

    fn extract(&self, page: &Page<'_>, wants: Wants) -> Extraction {
        let (text, label) = charset::decode(charset::Kind::Xml, page.header_charset, page.body);
        let mut walk = Walk { wants, references: References::new(wants), ..Walk::default() };
        walk.read(text.trim_start());
        if walk.root.as_deref() == Some("html") {
            return Html.extract(page, wants);
        }
        let mut resolver = Resolver::new(page.url, walk.base.as_deref(), encoding_rs::UTF_8);
        let outlinks = walk.references.resolve(&mut resolver, page.body.len());
        Extraction { title: walk.title, outlinks, charset: Some(label), ..Extraction::default() }
    }
}

/// Where in the document the reader stands, and what it has found.
#[derive(Default)]
struct Walk {
    wants: Wants,
    references: References<'static>,
    root: Option<String>,
    base: Option<String>,
    title: Option<String>,
    /// Open elements, by local name; only the innermost few matter.
    open: Vec<String>,
    /// The text of the innermost element whose text matters.
    text: Option<(&'static Place, String)>,
    /// The text of the open title.
    titled: Option<String>,
    /// The open `<guid>` is no link.
    is_no_link: bool,
}

impl Walk {
    fn read(&mut self, text: &str) {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        loop {
            match reader.read_event() {
                Ok(Event::Start(tag)) => {
                    self.start(&tag);
                    if self.root.as_deref() == Some("html") {
                        return;
                    }
                }
                Ok(Event::Empty(tag)) => {
                    self.start(&tag);
                    self.end(tag.local_name().into_inner());
                }
                Ok(Event::End(tag)) => self.end(tag.local_name().into_inner()),
                Ok(Event::Text(text)) => self.push(&text),
                Ok(Event::CData(text)) => self.push(&text),
                Ok(Event::GeneralRef(reference)) => {
                    if let Ok(Some(character)) = reference.resolve_char_ref() {
                        self.push(character.encode_utf8(&mut [0; 4]));
                    } else if let Some(characters) = resolve_predefined_entity(&reference) {
                        self.push(characters);
                    } else {
                        self.push(&format!("&{};", &*reference));
                    }
                }
                Ok(Event::Eof) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>) {
        let name = tag.local_name().into_inner().to_owned();
        if self.root.is_none() {
            self.root = Some(name.to_ascii_lowercase());
            self.base = attribute(tag, "xml:base");
        }
        // Markup inside a URL: it was none.
        self.text = None;
        if name == "title" && self.title.is_none() && self.open.len() <= 2 {
            self.titled = Some(String::new());
        }
        if self.wants.links {
            self.links_of(tag, &name);
        }
        // Deeper than any feed: what is inside counts no more.
        if self.open.len() < 64 {
            self.open.push(name);
        }
    }

    fn links_of(&mut self, tag: &BytesStart<'_>, name: &str) {
        if name == "link"
            && let Some(href) = attribute(tag, "href")
        {
            let rel = attribute(tag, "rel");
            let is_part = rel.as_deref().is_some_and(|rel| {
                matches!(rel, "enclosure" | "icon" | "shortcut icon" | "stylesheet" | "hub" | "license")
            });
            self.take(href, if is_part { &LINK_PART } else { &LINK }, rel);
            return;
        }
        for (_, key, place) in ATTRIBUTES.iter().filter(|(element, ..)| *element == name) {
            if let Some(url) = attribute(tag, key) {
                self.take(url, place, None);
            }
        }
        self.is_no_link = name == "guid" && attribute(tag, "isPermaLink").is_some_and(|value| value == "false");
        let is_picture = name == "loc" && self.open.last().is_some_and(|parent| parent == "image");
        let place = TEXTS.iter().find(|(element, _)| *element == name).map(|(_, place)| place);
        self.text = place.map(|place| (if is_picture { &IMAGE } else { place }, String::new()));
    }

    fn end(&mut self, name: &str) {
        if let Some((place, text)) = self.text.take() {
            // A `guid` of old is any text.
            let is_link =
                place.attribute != "guid" || (!self.is_no_link && text.trim_ascii_start().starts_with("http"));
            if is_link {
                self.take(text, place, None);
            }
        }
        if name == "title"
            && let Some(title) = self.titled.take()
        {
            let folded = title.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            self.title = (!folded.is_empty()).then(|| folded.chars().take(MAX_TITLE).collect());
        }
        if let Some(at) = self.open.iter().rposition(|open| open == name) {
            self.open.truncate(at);
        }
    }

    fn push(&mut self, piece: &str) {
        for text in self.text.iter_mut().map(|(_, text)| text).chain(self.titled.as_mut()) {
            if text.len() + piece.len() <= MAX_TEXT {
                text.push_str(piece);
            }
        }
    }

    fn take(&mut self, url: String, place: &'static Place, rel: Option<String>) {
        if url.trim_ascii().is_empty() || !(place.leads || self.wants.everywhere) {
            return;
        }
        let extra =
            self.references.is_detailed().then(|| Box::new(Extra { rel: rel.map(Into::into), ..Extra::default() }));
        let _ = self.references.push(url.into(), place, false, extra);
    }
}

/// The value of an attribute, references undone where they can be.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.attributes().with_checks(false).flatten().find(|found| found.key.as_ref() == name)?;
    Some(unescape(&attribute.value).map_or_else(|_| attribute.value.to_string(), std::borrow::Cow::into_owned))
}
