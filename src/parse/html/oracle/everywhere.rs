//! Links wherever they can stand, as html5ever's tokens have them: a second reading of the same sources.
//!
//! Attributes stand here with their elements, as in the index of the standard, and not elements with their attributes;
//! CSS is read by cssparser's tokenizer, `srcset` character by character as the standard tells it. Order does not count.
//!
//! Left out, because there the two differ on purpose: HTML elements without content directly inside an integration
//! point of SVG, whose namespace a tokenizer cannot tell, and styles of drawings with markup inside.

use cssparser::{Parser, Token};

use super::{Event, Start, meta};
use crate::model::url::{self, Url};
use crate::parse::html::places::each_meta_url;

/// Tag, attribute, URL, fragment.
pub(super) type Found = (String, String, String, Option<String>);

/// Attributes that are one URL, and the elements of HTML that have them.
const ONE: &[(&str, &str)] = &[
    ("action", "form isindex"),
    ("background", "body layer table tbody td tfoot th thead tr"),
    ("cite", "blockquote del ins q"),
    ("codebase", "applet embed object"),
    ("dynsrc", "img"),
    ("formaction", "button input"),
    ("icon", "command menuitem"),
    ("longdesc", "frame iframe img"),
    ("lowsrc", "img"),
    ("manifest", "html"),
    ("pluginspage", "embed"),
    ("poster", "video"),
    ("profile", "head"),
    (
        "src",
        "amp-iframe amp-img amp-video audio bgsound embed fencedframe frame iframe ilayer image img input layer model \
         portal script source track video",
    ),
    ("usemap", "img object"),
];

/// Attributes that are URLs between white space.
const SPACED: &[(&str, &str)] = &[("ping", "a area"), ("attributionsrc", "a img script")];

/// Elements of SVG and MathML that have `href` and `xlink:href`.
const DRAWN: &str = "image use script feimage pattern filter textpath mpath animate animatemotion animatetransform set \
                     cursor tref lineargradient radialgradient font-face-uri color-profile math mi mo";

/// How deep documents stand in documents.
const DEEPEST: usize = 4;

fn has(elements: &str, name: &str) -> bool {
    elements.split_ascii_whitespace().any(|element| element == name)
}

/// All links of a page, sorted.
pub(super) fn expected(page: &str, at: &Url) -> Vec<Found> {
    let (tree, events) = super::read(page);
    let mut all = Vec::new();
    walk(events, Spot { at, base: &super::base_of(&tree, at), depth: 0 }, &mut all);
    all.sort();
    all
}

/// A document at this URL, or markup in one, whose URLs are relative to `base`.
#[derive(Clone, Copy)]
struct Spot<'a> {
    at: &'a Url,
    base: &'a Url,
    depth: usize,
}

fn walk(events: Vec<Event>, spot: Spot<'_>, all: &mut Vec<Found>) {
    let Spot { at, base, depth } = spot;
    let mut in_style = false;
    for event in events {
        match event {
            Event::Text(text) if in_style => css(&text, base, "style", "url", "@import", all),
            Event::Start(start) => {
                in_style = start.name == "style" && !(start.is_foreign && start.closes_itself);
                of_tag(&start, spot, all);
            }
            Event::End => in_style = false,
            Event::Comment(comment) if depth == 0 => {
                let content = comment.strip_prefix("[if").and_then(|condition| condition.split_once("]>"));
                if let Some((_, content)) = content {
                    let markup = content.split("<![endif]").next().unwrap_or_default();
                    walk(super::read(markup).1, Spot { at, base, depth: 1 }, all);
                }
            }
            Event::Text(_) | Event::Comment(_) => {}
        }
    }
}

fn of_tag(start: &Start, Spot { at, base, depth }: Spot<'_>, all: &mut Vec<Found>) {
    let mut take = |attribute: &str, reference: &str| {
        all.extend(found(&start.name, attribute, reference, base));
    };
    if start.is_foreign {
        drawn(start, &mut take);
    } else {
        html(start, &mut take);
    }
    leading(start, &mut take);
    if !start.is_foreign && start.name == "base" {
        let href = start.find("href").filter(|href| !href.trim_ascii_start().starts_with('#'));
        all.extend(href.and_then(|href| found("base", "href", href, at)));
    }
    with_codebase(start, base, all);
    if let Some(text) = start.find("style") {
        css(text, base, "style", "style", "style", all);
    }
    if start.name == "iframe"
        && depth < DEEPEST
        && let Some(document) = start.find("srcdoc")
    {
        let (tree, events) = super::read(document);
        walk(events, Spot { at: base, base: &super::base_of(&tree, base), depth: depth + 1 }, all);
    }
}

fn found(tag: &str, attribute: &str, reference: &str, base: &Url) -> Option<Found> {
    let reference = reference.trim_ascii();
    let leads = matches!(
        (tag, attribute),
        ("a" | "area" | "link", "href") | ("a", "xlink:href") | ("frame" | "iframe", "src") | ("meta", "refresh")
    );
    if reference.is_empty() && !leads {
        return None;
    }
    let joined = url::join(base, reference).ok()?;
    Some((tag.into(), attribute.into(), url::canonical(&joined), joined.fragment().map(str::to_owned)))
}

/// What leads to documents, and `<link>` of either kind.
fn leading(start: &Start, take: &mut impl FnMut(&str, &str)) {
    match (start.name.as_str(), start.find("href")) {
        ("a" | "area" | "link", Some(href)) => take("href", href),
        ("a", None) if start.is_foreign => {
            if let Some(href) = start.find("xlink:href") {
                take("xlink:href", href);
            }
        }
        ("frame" | "iframe", _) if start.is_foreign => {
            if let Some(source) = start.find("src") {
                take("src", source);
            }
        }
        ("meta", _) => {
            let refreshes = start.find("http-equiv").is_some_and(|pragma| pragma.eq_ignore_ascii_case("refresh"));
            let target = start.find("content").filter(|_| refreshes).and_then(meta::refresh_target);
            if let Some(target) = target {
                take("refresh", target);
            }
        }
        _ => {}
    }
}

fn drawn(start: &Start, take: &mut impl FnMut(&str, &str)) {
    for attribute in ["href", "xlink:href"].into_iter().filter(|_| has(DRAWN, &start.name)) {
        if let Some(value) = start.find(attribute).filter(|value| !value.trim_ascii_start().starts_with('#')) {
            take(attribute, value);
        }
    }
}

fn html(start: &Start, take: &mut impl FnMut(&str, &str)) {
    let name = &*start.name;
    for (attribute, value) in &start.attributes {
        let attribute = attribute.as_str();
        let is_frame = matches!(name, "frame" | "iframe") && attribute == "src";
        if ONE.iter().any(|(known, elements)| *known == attribute && has(elements, name))
            && (is_frame || !value.trim_ascii_start().starts_with('#'))
        {
            take(attribute, value);
        }
        if SPACED.iter().any(|(known, elements)| *known == attribute && has(elements, name)) {
            value.split_ascii_whitespace().for_each(|one| take(attribute, one));
        }
        if (attribute == "srcset" && has("img source", name)) || (attribute == "imagesrcset" && name == "link") {
            for one in candidates(value) {
                take(attribute, &one);
            }
        }
    }
    if name == "meta"
        && let Some(content) = start.find("content")
    {
        for key in ["name", "property", "itemprop"].into_iter().filter_map(|key| start.find(key)) {
            each_meta_url(key, content, |one| take("content", one));
        }
    }
    let is_url = start.find("name").is_some_and(|name| {
        ["movie", "src", "url", "filename", "data", "href"].iter().any(|known| name.eq_ignore_ascii_case(known))
    }) || start.find("valuetype").is_some_and(|kind| kind.eq_ignore_ascii_case("ref"));
    if name == "param"
        && is_url
        && let Some(value) = start.find("value")
    {
        take("value", value);
    }
}

/// HTML 4.01 13.3: these are relative to `codebase`, which is relative to the base.
fn with_codebase(start: &Start, base: &Url, all: &mut Vec<Found>) {
    let (one, list): (&[&str], fn(char) -> bool) = match &*start.name {
        "object" => (&["data", "classid"], |c| c.is_ascii_whitespace()),
        "applet" => (&["code", "object"], |c| c == ','),
        _ => return,
    };
    if start.is_foreign {
        return;
    }
    let below = start.find("codebase").and_then(|codebase| url::join(base, codebase).ok());
    let below = below.as_ref().unwrap_or(base);
    for attribute in one {
        let value = start.find(attribute).filter(|value| !value.trim_ascii_start().starts_with('#'));
        all.extend(value.and_then(|value| found(&start.name, attribute, value, below)));
    }
    for archive in start.find("archive").into_iter().flat_map(|value| value.split(list)) {
        all.extend(found(&start.name, "archive", archive, below));
    }
}

/// WHATWG HTML 4.8.4.3.10, state by state.
fn candidates(srcset: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut input = srcset.chars().peekable();
    loop {
        while input.next_if(|c| c.is_ascii_whitespace() || *c == ',').is_some() {}
        let mut one = String::new();
        while let Some(c) = input.next_if(|c| !c.is_ascii_whitespace()) {
            one.push(c);
        }
        if one.is_empty() {
            return all;
        }
        let bare = one.trim_end_matches(',').to_owned();
        let ended = bare.len() < one.len();
        all.push(bare);
        let mut in_parens = false;
        while !ended && let Some(c) = input.next() {
            match c {
                '(' => in_parens = true,
                ')' => in_parens = false,
                ',' if !in_parens => break,
                _ => {}
            }
        }
    }
}

fn css(text: &str, base: &Url, tag: &str, plain: &str, import: &str, all: &mut Vec<Found>) {
    let mut take =
        |is_import: bool, one: &str| all.extend(found(tag, if is_import { import } else { plain }, one, base));
    block(&mut Parser::new(text), false, &mut take);
}

/// The tokens of a block; `strings` are URLs in some functions.
fn block(parser: &mut Parser<'_>, strings: bool, take: &mut dyn FnMut(bool, &str)) {
    let mut import = false;
    while let Ok(token) = parser.next().cloned() {
        match &token {
            Token::AtKeyword(word) => {
                import = word.eq_ignore_ascii_case("import");
                continue;
            }
            Token::UnquotedUrl(one) => take(import, one),
            Token::QuotedString(one) if import || strings => take(import, one),
            Token::Function(name) => {
                let is = |known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known));
                let inner_strings =
                    is(&["url", "src", "image-set", "-webkit-image-set"]) || (strings && !is(&["type"]));
                let inner_import = import && is(&["url"]);
                let _ = parser.parse_nested_block(|inner| {
                    block(inner, inner_strings, &mut |_, one| take(inner_import, one));
                    Ok::<_, cssparser::ParseError<()>>(())
                });
            }
            Token::ParenthesisBlock | Token::SquareBracketBlock | Token::CurlyBracketBlock => {
                let _ = parser.parse_nested_block(|inner| {
                    block(inner, false, take);
                    Ok::<_, cssparser::ParseError<()>>(())
                });
            }
            _ => {}
        }
        import = false;
    }
}
