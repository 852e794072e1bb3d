//! The main text of a page without its menus and footers, as plain text and as Markdown: `--text` and `--markdown`.
//!
//! What the main text is, is the business of dom_smoothie (a port of Mozilla's Readability); how it looks in Markdown
//! that of htmd. Both build trees of their own, and walk them by recursion: they only get pages that `dom` has found not
//! too deep, too large or too slow. Pure, called by [`super::Fields`].

use dom_smoothie::{Article, Config, Readability, TextMode};
use htmd::HtmlToMarkdown;
use scraper::Html;
use scraper::node::Node;

use crate::model::url::Url;

/// Elements of a page that is looked at. What dom_smoothie takes grows with their number times their depth: 40,000 of them
/// 450 deep took 6.8 s (built without optimisation), 49,000 side by side 1 to 4 s.
const MAX_ELEMENTS: usize = 30_000;

/// Attributes of one element, and of all. html5ever compares each attribute of a tag with those before it: 60,000 on one tag
/// took a minute.
const MAX_ATTRIBUTES: usize = 256;
const MAX_ALL_ATTRIBUTES: usize = 200_000;
/// Bytes of text, each counted once for each element around it, and of attributes.
const MAX_WEIGHT: usize = 64 << 20;

/// A page as the crates get it: written anew from our own tree, so that nothing is in it that was not counted. None if it
/// would cost them too much.
pub fn bounded(html: &Html) -> Option<String> {
    let (mut elements, mut attributes, mut weight) = (0, 0, 0_usize);
    for node in html.tree.nodes() {
        match node.value() {
            Node::Element(element) => {
                let own = element.attrs().count();
                elements += 1;
                attributes += own;
                weight += element.attrs().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                if own > MAX_ATTRIBUTES {
                    return None;
                }
            }
            Node::Text(text) => weight = weight.saturating_add(text.len().saturating_mul(node.ancestors().count())),
            Node::Comment(comment) => weight += comment.len(),
            _ => {}
        }
        if elements > MAX_ELEMENTS || attributes > MAX_ALL_ATTRIBUTES || weight > MAX_WEIGHT {
            return None;
        }
    }
    Some(html.html())
}

/// The two forms; None if the page has no main text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Main {
    pub text: Option<String>,
    pub markdown: Option<String>,
}

/// Finds the main text. Links come out absolute.
pub fn main_of(page: &str, url: &Url, text: bool, markdown: bool) -> Main {
    let config = Config {
        max_elements_to_parse: MAX_ELEMENTS,
        // Only titles and authors would be read from it.
        disable_json_ld: true,
        text_mode: TextMode::Formatted,
        ..Config::default()
    };
    let article = Readability::new(page, Some(url.as_str()), Some(config)).and_then(|mut found| found.parse());
    let Ok(Article { content, text_content, .. }) = article else { return Main::default() };
    let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    Main {
        text: text.then(|| said(&text_content)).flatten(),
        markdown: markdown.then(|| as_markdown(&content).as_deref().and_then(said)).flatten(),
    }
}

fn as_markdown(html: &str) -> Option<String> {
    HtmlToMarkdown::builder().skip_tags(vec!["script", "style"]).build().convert(html).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_cost_the_crates_too_much_is_not_handed_to_them() {
        let bounded = |page: &str| super::bounded(&super::super::dom::tree(page, &|| false).unwrap());
        let many = |count: usize| (0..count).map(|n| format!(" a{n}")).collect::<Vec<_>>().concat();
        assert!(bounded(&format!("<p{}>x", many(200))).is_some());
        assert_eq!(bounded(&format!("<p{}>x", many(300))), None);
        // What an end tag had is not in the tree, and so not in what is handed on.
        assert_eq!(bounded(&format!("<p>x</p{}>", many(300))).map(|page| page.contains("a299")), Some(false));
        assert_eq!(bounded(&"<i></i>".repeat(MAX_ELEMENTS)), None);
        assert_eq!(bounded(&format!("{}{}", "<div>".repeat(400), "x".repeat(200_000))), None);
    }

    #[test]
    fn the_main_text_is_without_menus_and_links_are_absolute() {
        let paragraph =
            "This is the story, and it has many words, commas, and <a href='../more'>a link</a> to more. ".repeat(6);
        let page = format!(
            "<!doctype html><title>Story</title><nav><ul><li><a href=/>Home</a><li><a href=/shop>Shop</a></ul></nav>\
             <article><h1>Story</h1><h2>First part</h2><p>{paragraph}</p><ul><li>one<li>two</ul><pre><code>x = 1</code></pre>\
             <p>{paragraph}</p></article><footer>Imprint and <a href=/terms>terms</a></footer>"
        );
        let url = Url::parse("https://news.test/a/b").unwrap();
        let Main { text, markdown } = main_of(&page, &url, true, true);
        let (text, markdown) = (text.unwrap(), markdown.unwrap());
        assert!(text.contains("This is the story") && !text.contains("Imprint") && !text.contains("Home"), "{text}");
        assert!(markdown.contains("## First part"), "{markdown}");
        assert!(markdown.contains("[a link](https://news.test/more)"), "{markdown}");
        assert!(!markdown.contains("Imprint") && !markdown.contains("<p"), "{markdown}");
        assert_eq!(main_of("", &url, true, true), Main::default());
        assert_eq!(main_of(&page, &url, true, false).markdown, None);
    }

    #[test]
    fn pages_as_deep_as_they_may_be_are_borne() {
        let url = Url::parse("https://news.test/").unwrap();
        for tag in ["div", "blockquote", "b", "ul><li", "span"] {
            let open = format!("<{tag}>").repeat(if tag.contains('>') { 250 } else { 500 });
            let page = format!("<article>{open}{}", "Some words, and more of them. ".repeat(40));
            assert!(super::super::dom::tree(&page, &|| false).is_ok());
            let _ = main_of(&page, &url, true, true);
        }
    }
}
