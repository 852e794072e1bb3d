//! Which links a crawl follows, by what they stand in: documents, everything, or the elements that were named.
//!
//! Says nothing of scope, depth or robots: those come after. Called by the engine for each link of a page.

use crate::model::page::Outlink;

/// What `--follow` chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Follow {
    /// What leads to documents.
    #[default]
    Pages,
    All,
    /// Links that stand in these elements, and, if so said, what leads to documents beside them.
    Tags {
        tags: Vec<Box<str>>,
        pages: bool,
    },
}

impl Follow {
    /// Of the entries of a list: `pages`, `all`, and names of elements.
    pub fn of<'t>(entries: impl IntoIterator<Item = &'t str>) -> Self {
        let (mut tags, mut pages, mut all) = (Vec::new(), false, false);
        for entry in entries {
            match entry {
                "all" => all = true,
                "pages" => pages = true,
                tag => tags.push(tag.into()),
            }
        }
        match (all, tags.is_empty()) {
            (true, _) => Self::All,
            (false, true) => Self::Pages,
            (false, false) => Self::Tags { tags, pages },
        }
    }

    /// Whether links that do not lead on must be looked for at all.
    #[must_use]
    pub fn everywhere(&self) -> bool {
        *self != Self::Pages
    }

    /// Whether a crawl follows this link. Never where a browser would report to and not read from (`ping`).
    #[must_use]
    pub fn wants(&self, link: &Outlink) -> bool {
        match self {
            _ if matches!(&*link.attribute, "ping" | "attributionsrc") => false,
            Self::Pages => link.leads,
            Self::All => true,
            Self::Tags { tags, pages } => (*pages && link.leads) || tags.iter().any(|tag| **tag == *link.tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(tag: &'static str, attribute: &'static str, leads: bool) -> Outlink {
        let (tag, attribute) = (tag.into(), attribute.into());
        Outlink {
            url: "http://h/".into(),
            fragment: None,
            text: None,
            rel: None,
            tag,
            attribute,
            leads,
            nofollow: false,
        }
    }

    #[test]
    fn links_are_chosen_by_where_they_stand() {
        let (a, img, ping) = (link("a", "href", true), link("img", "src", false), link("a", "ping", false));
        let chosen = |list: &str| {
            let follow = Follow::of(list.split_terminator(','));
            [&a, &img, &ping].map(|link| follow.wants(link))
        };
        assert_eq!(chosen(""), [true, false, false]);
        assert_eq!(chosen("pages"), [true, false, false]);
        assert_eq!(chosen("all"), [true, true, false]);
        assert_eq!(chosen("img"), [false, true, false]);
        assert_eq!(chosen("a"), [true, false, false]);
        assert_eq!(chosen("pages,img"), [true, true, false]);
        assert_eq!(chosen("script,all"), [true, true, false]);
        assert!(!Follow::Pages.everywhere() && Follow::of(["a"]).everywhere() && Follow::All.everywhere());
    }
}
