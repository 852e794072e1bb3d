//! SVG and MathML inside a page: there `<style>` and `<script>` hold markup, `<![CDATA[` is known, and a `<title>` is
//! not the page's.
//!
//! [`Foreign`] is the part of a tree builder's stack that lies in foreign content, and nothing else of a tree. Two
//! simplifications: the HTML elements inside an integration point (`foreignObject`, `mi` …) are not tracked, so the end
//! tag of the point always leaves it; and an end tag that fits no open element, and is not one of SVG's own, is taken to close an HTML element
//! around the foreign content (an `<svg>` that was never closed must not swallow the page).
//!
//! Source: WHATWG HTML 13.2.6.5, and 13.2.6 for the integration points.

use super::scan::Tag;

/// Deeper elements are not tracked. A drawing is far flatter, and the walk for an end tag must stay bounded.
const DEPTH: usize = 64;

/// How the content of a foreign element is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Foreign,
    /// An integration point: its content is HTML again. `entered` once an HTML element was opened in it.
    Html {
        entered: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    name: &'a [u8],
    content: Content,
}

/// The open elements of foreign content, outermost first.
#[derive(Debug, Default)]
pub(super) struct Foreign<'a> {
    open: Vec<Element<'a>>,
}

impl<'a> Foreign<'a> {
    /// Whether anything stands inside SVG or MathML here, be it HTML in an integration point.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether `<![CDATA[` opens a CDATA section here.
    pub(super) fn knows_cdata(&self) -> bool {
        self.open.last().is_some_and(|top| top.content != Content::Html { entered: true })
    }

    /// The name of the innermost foreign element, as written, if its content is foreign too.
    pub(super) fn innermost(&self) -> Option<&'a [u8]> {
        self.open.last().filter(|top| top.content == Content::Foreign).map(|top| top.name)
    }

    /// Takes a start tag; whether it opens a foreign element, so that nothing of HTML holds for it.
    pub(super) fn start(&mut self, tag: &Tag<'a>) -> bool {
        match self.open.last_mut() {
            None => {}
            // These two stay MathML directly inside `mi` and the like.
            Some(Element { content: Content::Html { entered: false }, name })
                if is_one_of(tag.name, &["mglyph", "malignmark"]) && is_one_of(name, MATHML_TEXT) =>
            {
                self.push(tag);
                return true;
            }
            Some(Element { content: Content::Html { entered }, .. }) => {
                *entered |= !is_one_of(tag.name, &["svg", "math"]) && !is_one_of(tag.name, VOID);
            }
            Some(_) if leaves(tag) => self.leave(),
            Some(_) => {
                self.push(tag);
                return true;
            }
        }
        let is_root = is_one_of(tag.name, &["svg", "math"]);
        if is_root {
            self.push(tag);
        }
        is_root
    }

    fn push(&mut self, tag: &Tag<'a>) {
        if !tag.self_closing && self.open.len() < DEPTH {
            self.open.push(Element { name: tag.name, content: content_of(tag) });
        }
    }

    /// Takes an end tag.
    pub(super) fn end(&mut self, name: &[u8]) {
        let Some(top) = self.open.last() else { return };
        if let Content::Html { .. } = top.content {
            // `</p>` or `</a>` in an integration point belongs to HTML inside it.
            if top.name.eq_ignore_ascii_case(name) || is_one_of(name, &["svg", "math"]) {
                self.close(name);
            }
            return;
        }
        if self.open.iter().any(|element| element.name.eq_ignore_ascii_case(name)) {
            self.close(name);
        } else if !is_one_of(name, DRAWN) {
            self.leave();
        }
    }

    /// Closes the innermost element of this name and all inside it.
    fn close(&mut self, name: &[u8]) {
        if let Some(index) = self.open.iter().rposition(|element| element.name.eq_ignore_ascii_case(name)) {
            self.open.truncate(index);
        }
    }

    /// Back to the innermost integration point, or out of foreign content.
    fn leave(&mut self) {
        while self.open.last().is_some_and(|top| top.content == Content::Foreign) {
            self.open.pop();
        }
    }
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

fn content_of(tag: &Tag<'_>) -> Content {
    // `title` and `desc` are points in SVG only, but MathML has no elements of these names.
    let is_point = is_one_of(tag.name, &["foreignobject", "desc", "title"])
        || is_one_of(tag.name, MATHML_TEXT)
        || (is_one_of(tag.name, &["annotation-xml"])
            && tag.attributes.find(["encoding"])[0]
                .is_some_and(|encoding| is_one_of(encoding, &["text/html", "application/xhtml+xml"])));
    if is_point { Content::Html { entered: false } } else { Content::Foreign }
}

/// Whether a start tag can only be HTML, and ends the foreign content around it.
fn leaves(tag: &Tag<'_>) -> bool {
    is_one_of(tag.name, BREAKOUT)
        || (is_one_of(tag.name, &["font"])
            && tag.attributes.find(["color", "face", "size"]).iter().any(Option::is_some))
}

/// The integration points of MathML that hold text.
const MATHML_TEXT: &[&str] = &["mi", "mo", "mn", "ms", "mtext"];

/// Elements of SVG that pages close twice: `<path/></path>`.
const DRAWN: &[&str] = &[
    "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "use", "defs", "symbol",
    "stop", "image",
];

const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

const BREAKOUT: &[&str] = &[
    "b",
    "big",
    "blockquote",
    "body",
    "br",
    "center",
    "code",
    "dd",
    "div",
    "dl",
    "dt",
    "em",
    "embed",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "hr",
    "i",
    "img",
    "li",
    "listing",
    "menu",
    "meta",
    "nobr",
    "ol",
    "p",
    "pre",
    "ruby",
    "s",
    "small",
    "span",
    "strong",
    "strike",
    "sub",
    "sup",
    "table",
    "tt",
    "u",
    "ul",
    "var",
];
