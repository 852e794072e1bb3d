//! The scanner against html5ever.
//!
//! The oracle is html5ever's tokenizer under html5ever's own tree builder, with a spy in between: the tree builder
//! decides about raw text, CDATA and foreign content as a browser does, and the spy sees every tag before the tree may
//! drop or move it. So a difference is an error of the scanner, not one of taste about misplaced tags. The title and the
//! base come from the finished tree.
//!
//! Left out of the generated pages, because there the scanner differs on purpose: `<frameset>`, in which a tree builder
//! drops even raw text elements; foreign content around unmatched tags (see [`super::foreign`]); and `annotation-xml` that
//! holds HTML, which scraper's tree does not know.

use std::cell::RefCell;
use std::path::Path;

use html5ever::TokenizerResult;
use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink as _};
use scraper::{ElementRef, HtmlTreeSink, Selector};

use super::{Html, meta};
use crate::model::page::Page;
use crate::model::url::{self, Url};
use crate::parse::{Extract as _, Wants};

mod everywhere;

type Tree = TreeBuilder<<HtmlTreeSink as html5ever::tree_builder::TreeSink>::Handle, HtmlTreeSink>;

/// A start tag.
struct Start {
    name: String,
    attributes: Vec<(String, String)>,
    /// Of SVG or MathML.
    is_foreign: bool,
    closes_itself: bool,
}

impl Start {
    fn find(&self, wanted: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

/// What the spy has seen.
enum Event {
    Start(Start),
    End,
    Text(String),
    Comment(String),
}

struct Spy {
    tree: Tree,
    events: RefCell<Vec<Event>>,
}

impl TokenSink for Spy {
    type Handle = <Tree as TokenSink>::Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Self::Handle> {
        let was_foreign = self.tree.adjusted_current_node_present_but_not_in_html_namespace();
        let event = match &token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => Event::Start(Start {
                name: tag.name.to_string(),
                attributes: tag.attrs.iter().map(|a| (a.name.local.to_string(), a.value.to_string())).collect(),
                is_foreign: false,
                closes_itself: tag.self_closing,
            }),
            Token::TagToken(_) => Event::End,
            Token::CharacterTokens(text) => Event::Text(text.to_string()),
            Token::NullCharacterToken => Event::Text("\0".to_owned()),
            Token::CommentToken(text) => Event::Comment(text.to_string()),
            _ => return self.tree.process_token(token, line),
        };
        self.see(event);
        let result = self.tree.process_token(token, line);
        if let Some(Event::Start(start)) = self.events.borrow_mut().last_mut() {
            // What opens in foreign content is foreign, unless it has left it; what has no content left it open.
            start.is_foreign = matches!(&*start.name, "svg" | "math")
                || (was_foreign && self.tree.adjusted_current_node_present_but_not_in_html_namespace());
        }
        result
    }

    fn end(&self) {
        self.tree.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.tree.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

impl Spy {
    fn see(&self, event: Event) {
        let mut events = self.events.borrow_mut();
        match (events.last_mut(), event) {
            (Some(Event::Text(text)), Event::Text(more)) => text.push_str(&more),
            (_, event) => events.push(event),
        }
    }
}

/// A link: tag, URL, fragment, rel.
type Link = (String, String, Option<String>, Option<String>);

/// The tree of a page, and all that it was made of.
fn read(page: &str) -> (scraper::Html, Vec<Event>) {
    let options = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
    let tree = TreeBuilder::new(HtmlTreeSink::new(scraper::Html::new_document()), options);
    let tokenizer = Tokenizer::new(Spy { tree, events: RefCell::default() }, TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(page));
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    let Spy { tree, events } = tokenizer.sink;
    (tree.sink.finish(), events.into_inner())
}

fn is_html(element: &ElementRef<'_>) -> bool {
    &*element.value().name.ns == "http://www.w3.org/1999/xhtml"
}

fn all(selector: &str) -> Selector {
    Selector::parse(selector).unwrap()
}

fn base_of(tree: &scraper::Html, at: &Url) -> Url {
    let base = tree.select(&all("base[href]")).find(is_html);
    base.and_then(|base| url::join(at, base.attr("href")?).ok()).unwrap_or_else(|| at.clone())
}

fn expected(page: &str, at: &Url) -> (Option<String>, Vec<Link>) {
    let (tree, events) = read(page);
    let base = base_of(&tree, at);
    let in_drawing = |element: &ElementRef<'_>| {
        element.ancestors().filter_map(ElementRef::wrap).any(|above| matches!(above.value().name(), "svg" | "math"))
    };
    let title = tree.select(&all("title")).find(|title| is_html(title) && !in_drawing(title));
    let title = title.map(|title| title.text().collect::<String>());
    let title = title.map(|title| title.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    let title = title
        .map(|title| title.chars().take(1000).collect::<String>().trim_end_matches(' ').to_owned())
        .filter(|title| !title.is_empty());
    let mut links = Vec::new();
    for event in events {
        let Event::Start(start) = event else { continue };
        links.extend(link(&start, &base));
        if let ("iframe", Some(document)) = (start.name.as_str(), start.find("srcdoc")) {
            links.extend(expected(document, &base).1);
        }
    }
    (title, links)
}

fn link(start: &Start, base: &Url) -> Option<Link> {
    let find = |wanted| start.find(wanted);
    let mut rel = None;
    let reference = match start.name.as_str() {
        "a" | "area" => {
            rel = find("rel");
            find("href")?
        }
        "link" => {
            rel = Some(find("rel").filter(|rel| meta::leads_on(rel))?);
            find("href")?
        }
        "frame" | "iframe" => find("src")?,
        "meta" if find("http-equiv")?.eq_ignore_ascii_case("refresh") => meta::refresh_target(find("content")?)?,
        _ => return None,
    };
    let joined = url::join(base, reference).ok()?;
    Some((start.name.clone(), url::canonical(&joined), joined.fragment().map(str::to_owned), rel.map(str::to_owned)))
}

/// Compares one page; the message shows it on a difference.
pub(super) fn compare(page: &str, name: &str) {
    let at = Url::parse("https://h.example/dir/page.html?q").unwrap();
    let (title, links) = expected(page, &at);
    let read = |links, link_details, everywhere| {
        let page = Page {
            url: &at,
            media_type: "text/html",
            header_charset: Some("utf-8"),
            body: page.as_bytes(),
            agent: "lycosa",
        };
        Html.extract(&page, Wants { links, link_details, everywhere, ..Wants::default() })
    };
    let all = read(true, true, false);
    let found: Vec<Link> = all
        .outlinks
        .into_iter()
        .map(|link| (link.tag.into_owned(), link.url.into(), link.fragment.map(Into::into), link.rel.map(Into::into)))
        .collect();
    assert_eq!(found, links, "links of {name}: {page:?}");
    assert_eq!(all.title, title, "title of {name}: {page:?}");
    let brief: Vec<_> = read(true, false, false).outlinks.into_iter().map(|link| String::from(link.url)).collect();
    let mut once: Vec<_> = Vec::new();
    for (_, url, _, _) in &links {
        if !once.contains(url) {
            once.push(url.clone());
        }
    }
    assert_eq!(brief, once, "links without details of {name}: {page:?}");
    let mut found: Vec<everywhere::Found> = read(true, true, true)
        .outlinks
        .into_iter()
        .map(|link| {
            (link.tag.into_owned(), link.attribute.into_owned(), link.url.into(), link.fragment.map(Into::into))
        })
        .collect();
    found.sort();
    assert_eq!(found, everywhere::expected(page, &at), "links everywhere of {name}: {page:?}");
}

/// Compares every `.html` and `.htm` file below a directory. Returns how many there were, and their bytes.
fn compare_directory(directory: &Path) -> (usize, usize) {
    let (mut seen, mut bytes) = (0, 0);
    let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.is_symlink() {
            let (pages, size) = compare_directory(&path);
            (seen, bytes) = (seen + pages, bytes + size);
        } else if path.extension().is_some_and(|ending| ending == "html" || ending == "htm") {
            let Ok(body) = std::fs::read(&path) else { continue };
            compare(&String::from_utf8_lossy(&body), &path.display().to_string());
            (seen, bytes) = (seen + 1, bytes + body.len());
        }
    }
    (seen, bytes)
}

#[test]
fn written_traps_agree() {
    let (seen, _) = compare_directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/html"));
    assert!(seen >= 10, "only {seen} fixtures");
}

/// Real pages: `LYCOSA_HTML_CORPUS` names a directory of installed documentation.
#[test]
fn installed_documentation_agrees() {
    if let Some(corpus) = std::env::var_os("LYCOSA_HTML_CORPUS") {
        let (seen, bytes) = compare_directory(Path::new(&corpus));
        assert!(seen > 0, "no page below {}", corpus.display());
        eprintln!("{seen} pages agree, of {} MB", bytes / 1_000_000);
    }
}

#[test]
fn all_character_references_agree() {
    for (name, _) in super::entity_table::NAMED {
        let page =
            format!("<title>&{name}; &{name} &{name}x</title><a href='x?&{name};&{name}&{name}x&{name}=#&{name};'>");
        compare(&page, name);
    }
    for code in (0..0x400).chain([0xd7ff, 0xd800, 0xdfff, 0xe000, 0xfffe, 0xffff, 0x10_ffff, 0x11_0000, u32::MAX]) {
        compare(&format!("<title>a&#{code};b&#x{code:x}</title><a href='x?&#{code};#&#X{code:X}g'>"), "numeric");
    }
}

pub(super) const PIECES: &[&str] = &[
    "<a href=1>",
    "<a href='2&amp;b'>",
    "<a href=\"/3?x=&copy=4\"",
    "<a href=5",
    "</a>",
    "</a href='>'>",
    "<A\nHREF\t=\r\n'6' ",
    "<area href=7/>",
    "<iframe src=8>",
    "</iframe>",
    "<frame src=9>",
    "<link rel=next href=10>",
    "<link href=11 rel='x CANONICAL'>",
    "<meta http-equiv=refresh content='0;url=12'>",
    "<base href=/b/>",
    "<base href=//other/>",
    "<title>",
    "</title>",
    "</TITLE >",
    "<script>",
    "</script>",
    "</script ",
    "<script><!--<script>",
    "</script></script>",
    "<script/>",
    "<!--",
    "-->",
    "--!>",
    "->",
    "--",
    "<!-->",
    "<!--->",
    "<!",
    "<!-",
    "!>",
    "<style>",
    "</style>",
    "<textarea>",
    "</textarea>",
    "<xmp>",
    "</xmp>",
    "<noembed>",
    "</noembed>",
    "<noframes>",
    "</noframes>",
    "<noscript>",
    "</noscript>",
    "<plaintext",
    "<template>",
    "</template>",
    "<select>",
    "</select>",
    "<option>",
    "<table>",
    "<tr>",
    "<td>",
    "</table>",
    "<p>",
    "</p>",
    "<div title='",
    "<div title=\"",
    "<img alt=",
    "'",
    "\"",
    "=",
    ">",
    "<",
    "/",
    " ",
    "\n",
    "&",
    "&#x3",
    "&amp",
    "&lt;",
    "&notit;",
    ";",
    "x",
    "href",
    "href=13",
    "HREF='14'",
    "<![CDATA[",
    "]]>",
    "<?php ",
    "?>",
    "</",
    "</ ",
    "</>",
    "<!doctype html>",
    "<!DOCTYPE x PUBLIC 'a>",
    "\0",
    "\r",
    "\t",
    "\u{c}",
    "é",
    "<b",
    "<b/",
    "<a/href=15/>",
    "<a a='b'href=16>",
    "<a href=17 href=18>",
    "<a =href=19>",
    "<a href==20>",
    "<a href= >",
    "<a href=''>",
    "<a href='#f'>",
    "<a href=' 21 '>",
    "<a href=mailto:x>",
    "<a href='22\n'>",
    "<body>",
    "<head>",
    "</head>",
    "</body>",
    "<html>",
    "</html>",
    "<br>",
    "<input>",
];

/// Whole pieces of foreign content: what is inside is nasty, but each is closed as it was opened.
const FOREIGN: &[&str] = &[
    "<svg><title>s</title></svg>",
    "<svg><style><a href=f1></style></svg>",
    "<svg><script><a href=f2></script></svg>",
    "<svg><![CDATA[<a href=f3>]]></svg>",
    "<svg/>",
    "<svg><path/><a href=f4></a></svg>",
    "<svg><g><g></g></svg>",
    "<svg><foreignObject><style><a href=f5></style></foreignObject><style><a href=f6></style></svg>",
    "<svg><desc><title>x</title></desc></svg>",
    "<svg><g></SVG>",
    "<svg><p><style><a href=f7></style>",
    "<math><mi><style><a href=f8></style></mi><style><a href=f9></style></math>",
    "<math><![CDATA[>]]><mtext></mtext></math>",
    "<math><annotation-xml><svg><title>y</title></svg><style><a href=f11></style></annotation-xml></math>",
    "<svg><font><style><a href=f12></style></font></svg>",
    "<svg><font color=red><style><a href=f13></style></font>",
    "<svg><textarea><a href=f14></textarea></svg>",
    "<svg><g/></g><title/></svg>",
    "<svg><title/><style><a href=f15></style></svg>",
    "<div><svg><g></div><style><a href=f16></style>",
    "<svg><base href=/no/></svg>",
    "<svg><iframe><a href=f17></iframe></svg>",
    "<svg></p><style><a href=f18></style>",
    "<svg><br><style><a href=f19></style>",
    "<svg><plaintext></plaintext></svg>",
    "<math><mi><mglyph><style><a href=f20></style></mglyph></mi></math>",
    "<svg><xmp><a href=f21></xmp></svg>",
];

fn pick<'a>(random: &mut fastrand::Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}

#[test]
fn thousands_of_nasty_pages_agree() {
    let mut random = fastrand::Rng::with_seed(20_261_120);
    for number in 0..20_000 {
        let page: String = (0..random.usize(1..24)).map(|_| pick(&mut random, PIECES)).collect();
        compare(&page, &format!("page {number}"));
    }
}

#[test]
fn nasty_pages_with_a_byte_changed_agree() {
    let mut random = fastrand::Rng::with_seed(7);
    let bytes = b"<>/!-='\"& \n\0;#ax[]?";
    for number in 0..20_000 {
        let mut page: Vec<u8> = (0..random.usize(1..12)).flat_map(|_| pick(&mut random, PIECES).bytes()).collect();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..page.len());
            let byte = bytes[random.usize(..bytes.len())];
            match random.u8(..3) {
                0 => page[at] = byte,
                1 => page.insert(at, byte),
                _ if page.len() > 1 => drop(page.remove(at)),
                _ => {}
            }
        }
        compare(&String::from_utf8_lossy(&page), &format!("page {number}"));
    }
}

/// Where URLs hide, to stand between the nasty pieces.
pub(super) const HIDDEN: &[&str] = &[
    "<img src=i1>",
    "<img srcset='i2 1x, i3,i4 2x'>",
    "<source srcset=\"i5(,), i6\" src=i7>",
    "<object data=i8 codebase=/c/ archive='i9 i10'>",
    "<applet archive='i11, i12' code=i13>",
    "<embed src=i14 codebase=i15>",
    "<form action=i16>",
    "<button formaction=i17>",
    "<body background=i18>",
    "<td background=i19>",
    "<q cite=i20>",
    "<a ping='i21 i22' href=i23>",
    "<link rel=stylesheet href=i24 imagesrcset=i25>",
    "<script src=i26>",
    "<video poster=i27 src=i28>",
    "<meta property=og:image content=i29>",
    "<meta name=msapplication-task content='a=b;icon-uri=i30'>",
    "<param name=movie value=i31>",
    "<p style='a:url(i32)' ",
    "<style>a{b:url(i33)}@import 'i34';",
    "<style>@import url(i35);/*",
    "*/a{b:url( 'i36' )}</style>",
    "<style>a{b:image-set('i37' 1x, url(i38) type('i39'))}</style>",
    "<iframe srcdoc='<img src=i40><base href=/d/><a href=i41>'>",
    "<!--[if IE]><img src=i42><![endif]-->",
    "<!--[if IE]>",
    "<![endif]-->",
    "<svg><image href=i43 /><use xlink:href='i44#x' /></svg>",
    "<svg><style>a{b:url(i45)}</style></svg>",
    "<svg><style><![CDATA[a{b:url(i46&amp;)}]]></style></svg>",
    "<svg><a xlink:href=i47></a></svg>",
    "<math><mi href=i48></mi></math>",
    "url(i49)",
    "<img src='#f' usemap=#m longdesc=' i50 '>",
    "<img src=i51&amp;x",
    " src=i52 ",
    " style=\"x:url('i53\\27 ')\"",
];

/// Foreign content around unmatched tags is left out, as above.
pub(super) fn is_comparable(page: &str) -> bool {
    let drawings = page.matches("<svg").count() + page.matches("<math").count();
    drawings == 0 || page.matches("</").count() == page.matches("<svg").count()
}

#[test]
fn places_between_nasty_pieces_agree() {
    let mut random = fastrand::Rng::with_seed(11);
    for number in 0..20_000 {
        let piece = |random: &mut fastrand::Rng| match random.u8(..3) {
            0 => pick(random, PIECES),
            _ => pick(random, HIDDEN),
        };
        let page: String = (0..random.usize(1..16)).map(|_| piece(&mut random)).collect();
        if is_comparable(&page) {
            compare(&page, &format!("page {number}"));
        }
    }
}

#[test]
fn drawings_between_plain_markup_agree() {
    let plain = [
        "<a href=1>x</a>",
        "<style><a href=2></style>",
        "<title>t</title>",
        "<div>",
        "</div>",
        "<p>",
        "text",
        "<b>",
        "<![CDATA[<a href=3>]]>",
        "<script>'<a href=4>'</script>",
    ];
    let mut random = fastrand::Rng::with_seed(3);
    for number in 0..5_000 {
        let mut page = String::from("<!doctype html><body>");
        for _ in 0..random.usize(1..8) {
            let from = if random.bool() { FOREIGN } else { &plain };
            page.push_str(pick(&mut random, from));
        }
        compare(&page, &format!("page {number}"));
    }
}
