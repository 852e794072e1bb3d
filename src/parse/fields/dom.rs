//! A page as a tree, for users' rules: built in pieces, so that a hostile page is given up before it costs much.
//!
//! html5ever is quadratic in the depth of nesting (the standard's scans of open elements): 1 MiB of `<div>` that are
//! never closed would take a minute and a half. And it repeats formatting elements that were left open in each
//! paragraph, so that a page of some kilobytes becomes a tree of gigabytes. Here a page is fed in pieces of 1 KiB, and
//! given up as soon as its tree is too deep, has more nodes than the page has bytes or than are good for memory, or its time
//! is over. Deep
//! nesting is also what recursive readers of a tree cannot bear.
//!
//! Called by `fill`. Links and titles have no tree: see `parse::html`.

use html5ever::driver::{self, ParseOpts};
use html5ever::tendril::{StrTendril, TendrilSink as _};
use html5ever::tree_builder::TreeBuilderOpts;
use scraper::node::Node;
use scraper::{ElementRef, Html, HtmlTreeSink};

use super::GivenUp;

/// Elements within one another: browsers stop at 512.
pub const MAX_DEPTH: usize = 512;
/// Bytes that are fed at once. What they can add to depth and nodes is bounded by this.
const PIECE: usize = 1024;
/// Nodes that even a small page may have.
const FEW_NODES: usize = 4096;
/// Nodes that no page may have: each is 100 to 200 bytes of memory. The whole standard of HTML on one page has about as many.
const MAX_NODES: usize = 500_000;

/// Builds the tree of a page. `is_over` tells when its time is over.
///
/// # Errors
/// The page was given up.
pub fn tree(text: &str, is_over: &dyn Fn() -> bool) -> Result<Html, GivenUp> {
    // As by a browser without scripting: what is inside `<noscript>` counts.
    let tree_builder = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
    let options = ParseOpts { tree_builder, ..ParseOpts::default() };
    let mut parser = driver::parse_document(HtmlTreeSink::new(Html::new_document()), options);
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(PIECE.min(rest.len())));
        rest = behind;
        parser.process(StrTendril::from_slice(piece));
        let mut html = parser.tokenizer.sink.sink.0.borrow_mut();
        html.errors.clear();
        let (nodes, newest) = (html.tree.values().len(), html.tree.nodes().next_back());
        if newest.is_some_and(|node| node.ancestors().count() > MAX_DEPTH) {
            return Err(GivenUp::TooDeep);
        }
        if nodes > (text.len() + FEW_NODES).min(MAX_NODES) {
            return Err(GivenUp::TooLarge);
        }
        if is_over() {
            return Err(GivenUp::TooSlow);
        }
    }
    let html = parser.finish();
    let deepest = html.tree.nodes().next_back().map_or(0, |node| node.ancestors().count());
    if deepest > MAX_DEPTH { Err(GivenUp::TooDeep) } else { Ok(html) }
}

/// Elements in front of and behind which a reader sees a gap.
#[rustfmt::skip]
const BLOCKS: &[&str] = &[
    "address", "article", "aside", "blockquote", "br", "button", "caption", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "legend",
    "li", "main", "nav", "ol", "option", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "ul",
];

/// Elements whose text nobody reads.
const UNREAD: &[&str] = &["script", "style", "template"];

/// The text of an element, white space folded, with a space between blocks: `<p>a</p><p>b</p>` is `a b`. Scripts and
/// styles inside it are left out; of a script itself the text is what it is.
pub fn folded_text(element: ElementRef<'_>) -> String {
    let mut out = String::new();
    let mut is_gap = false;
    let itself = element.id();
    let mut unread = 0_u32;
    for edge in element.traverse() {
        let (node, opens) = match edge {
            ego_tree::iter::Edge::Open(node) => (node, true),
            ego_tree::iter::Edge::Close(node) => (node, false),
        };
        match node.value() {
            Node::Text(text) if opens && unread == 0 => push_folded(&mut out, text, &mut is_gap),
            Node::Element(_) if node.id() == itself => {}
            Node::Element(inner) => {
                is_gap |= BLOCKS.contains(&inner.name());
                if UNREAD.contains(&inner.name()) {
                    unread = if opens { unread + 1 } else { unread - 1 };
                }
            }
            _ => {}
        }
    }
    out
}

/// White space of the text folded, cut off at both ends.
pub fn folded(text: &str) -> String {
    let mut out = String::new();
    push_folded(&mut out, text, &mut false);
    out
}

/// A no-break space is white space to a reader of data.
fn push_folded(out: &mut String, text: &str, is_gap: &mut bool) {
    for c in text.chars() {
        if c.is_whitespace() {
            *is_gap = true;
        } else {
            if *is_gap && !out.is_empty() {
                out.push(' ');
            }
            *is_gap = false;
            out.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> bool {
        false
    }

    #[test]
    fn text_is_folded_with_gaps_between_blocks() {
        let html = tree("<div> a\n <b>b</b>c<p>d</p><p>e<script>x</script>f<td>g</div>", &never).unwrap();
        assert_eq!(folded_text(html.root_element()), "a bc d efg");
        assert_eq!(folded("  a \n\u{a0} b "), "a b");
    }

    #[test]
    fn hostile_pages_are_given_up() {
        let many = (0..400).map(|n| format!("<b x={n}>")).collect::<Vec<_>>().concat();
        for (page, why) in [
            ("<div>".repeat(200_000), GivenUp::TooDeep),
            (format!("{}{}", "<b>".repeat(3), "<i><a>".repeat(100_000)), GivenUp::TooDeep),
            (
                // Formatting that was left open is opened again in each paragraph.
                format!("<div>{}</div>{}", many, "<p>x".repeat(20_000)),
                GivenUp::TooLarge,
            ),
            ("<table><td>".repeat(50_000), GivenUp::TooDeep),
            ("<p>x".repeat(1 << 20), GivenUp::TooLarge),
        ] {
            assert_eq!(tree(&page, &never).err(), Some(why), "{}", &page[..40]);
        }
        assert_eq!(tree("<p>x", &|| true).err(), Some(GivenUp::TooSlow));
        let deep = format!("{}x", "<div>".repeat(500));
        assert!(tree(&deep, &never).is_ok());
    }
}
