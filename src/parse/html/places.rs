//! The places of HTML, SVG and MathML where a URL can stand, beside the links that lead on and are read in `mod.rs`.
//!
//! A table: element, attribute, and how its value holds URLs. Decides nothing about what is followed. Read only where
//! links are wanted everywhere.
//!
//! Sources: WHATWG HTML, index of attributes; its obsolete features (16.2); HTML 4.01 (codebase, archive, classid);
//! SVG 2 and XLink 1.1; the Open Graph protocol; App Links; Microsoft's browser configuration.

use super::key;
use crate::parse::references::Place;

/// How a value holds URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    /// Between white space.
    Spaced,
    Srcset,
    /// One, relative to the element's `codebase`.
    OfCodebase,
    SpacedOfCodebase,
    /// Between commas.
    CommasOfCodebase,
}

/// One attribute of one element.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) element: u128,
    pub(super) place: Place,
    pub(super) shape: Shape,
}

const fn rule(tag: &'static str, attribute: &'static str, shape: Shape) -> Rule {
    Rule { element: key(tag.as_bytes()), place: Place { tag, attribute, leads: false }, shape }
}

const fn one(tag: &'static str, attribute: &'static str) -> Rule {
    rule(tag, attribute, Shape::One)
}

/// Elements of HTML.
#[rustfmt::skip]
pub(super) static HTML: [Rule; 66] = [
    rule("a", "ping", Shape::Spaced),
    rule("area", "ping", Shape::Spaced),
    rule("link", "imagesrcset", Shape::Srcset),
    one("base", "href"),
    one("form", "action"),
    one("button", "formaction"),
    one("input", "formaction"),
    one("input", "src"),
    one("img", "src"),
    rule("img", "srcset", Shape::Srcset),
    one("img", "longdesc"),
    one("img", "lowsrc"),
    one("img", "dynsrc"),
    one("img", "usemap"),
    one("source", "src"),
    rule("source", "srcset", Shape::Srcset),
    one("audio", "src"),
    one("video", "src"),
    one("video", "poster"),
    one("track", "src"),
    one("iframe", "longdesc"),
    one("frame", "longdesc"),
    rule("object", "data", Shape::OfCodebase),
    rule("object", "classid", Shape::OfCodebase),
    rule("object", "archive", Shape::SpacedOfCodebase),
    one("object", "codebase"),
    one("object", "usemap"),
    one("embed", "src"),
    one("embed", "pluginspage"),
    one("embed", "codebase"),
    rule("applet", "archive", Shape::CommasOfCodebase),
    rule("applet", "code", Shape::OfCodebase),
    rule("applet", "object", Shape::OfCodebase),
    one("applet", "codebase"),
    one("script", "src"),
    one("blockquote", "cite"),
    one("q", "cite"),
    one("ins", "cite"),
    one("del", "cite"),
    one("html", "manifest"),
    one("head", "profile"),
    one("body", "background"),
    one("table", "background"),
    one("thead", "background"),
    one("tbody", "background"),
    one("tfoot", "background"),
    one("tr", "background"),
    one("td", "background"),
    one("th", "background"),
    one("bgsound", "src"),
    one("image", "src"),
    one("layer", "src"),
    one("layer", "background"),
    one("ilayer", "src"),
    one("isindex", "action"),
    one("command", "icon"),
    one("menuitem", "icon"),
    one("portal", "src"),
    one("fencedframe", "src"),
    one("model", "src"),
    rule("a", "attributionsrc", Shape::Spaced),
    rule("img", "attributionsrc", Shape::Spaced),
    rule("script", "attributionsrc", Shape::Spaced),
    one("amp-img", "src"),
    one("amp-video", "src"),
    one("amp-iframe", "src"),
];

/// Elements of SVG and MathML: `href`, and `xlink:href` of old. What is drawn belongs to the page; an `a` leads on.
macro_rules! drawn {
    ($($tag:literal)*) => {
        [$(
            Rule { element: key($tag.as_bytes()), place: Place { tag: $tag, attribute: "href", leads: false }, shape: Shape::One },
            Rule { element: key($tag.as_bytes()), place: Place { tag: $tag, attribute: "xlink:href", leads: false }, shape: Shape::One },
        )*]
    };
}

pub(super) static FOREIGN: [Rule; 42] = drawn!(
    "image" "use" "script" "feimage" "pattern" "filter" "textpath" "mpath" "animate" "animatemotion" "animatetransform"
    "set" "cursor" "tref" "lineargradient" "radialgradient" "font-face-uri" "color-profile" "math" "mi" "mo"
);

pub(super) static STYLE_ATTRIBUTE: Place = Place { tag: "style", attribute: "style", leads: false };
pub(super) static STYLE_URL: Place = Place { tag: "style", attribute: "url", leads: false };
pub(super) static STYLE_IMPORT: Place = Place { tag: "style", attribute: "@import", leads: false };
pub(super) static PARAM: Place = Place { tag: "param", attribute: "value", leads: false };
pub(super) static META_CONTENT: Place = Place { tag: "meta", attribute: "content", leads: false };
pub(super) static SCRIPT_TEXT: Place = Place { tag: "script", attribute: "text", leads: false };
/// A `<link>` to what belongs to the page.
pub(super) static LINK: Place = Place { tag: "link", attribute: "href", leads: false };

pub(super) static A: Place = Place { tag: "a", attribute: "href", leads: true };
pub(super) static A_XLINK: Place = Place { tag: "a", attribute: "xlink:href", leads: true };
pub(super) static AREA: Place = Place { tag: "area", attribute: "href", leads: true };
pub(super) static LINK_ON: Place = Place { tag: "link", attribute: "href", leads: true };
pub(super) static FRAME: Place = Place { tag: "frame", attribute: "src", leads: true };
pub(super) static IFRAME: Place = Place { tag: "iframe", attribute: "src", leads: true };
pub(super) static REFRESH: Place = Place { tag: "meta", attribute: "refresh", leads: true };

/// Names of `<meta>` whose content is one URL, however it is written.
const URL_METAS: &[&str] = &[
    "og:url",
    "og:image",
    "og:image:url",
    "og:image:secure_url",
    "og:video",
    "og:video:url",
    "og:video:secure_url",
    "og:audio",
    "og:audio:url",
    "og:audio:secure_url",
    "og:see_also",
    "article:author",
    "article:publisher",
    "al:web:url",
    "al:ios:url",
    "al:iphone:url",
    "al:ipad:url",
    "al:android:url",
    "al:windows:url",
    "al:windows_phone:url",
    "twitter:url",
    "twitter:image",
    "twitter:image:src",
    "twitter:player",
    "twitter:player:stream",
    "msapplication-tileimage",
    "msapplication-config",
    "msapplication-starturl",
    "msapplication-square70x70logo",
    "msapplication-square150x150logo",
    "msapplication-square310x310logo",
    "msapplication-wide310x150logo",
    "thumbnail",
    "thumbnailurl",
    "image",
    "url",
    "logo",
    "contenturl",
    "embedurl",
    "sameas",
    "parsely-link",
    "parsely-image-url",
    "identifier-url",
    "itemid",
];

/// Names whose content is a list of `key=value;`, some of whose values are URLs.
const LIST_METAS: &[&str] = &["msapplication-task", "msapplication-notification", "msapplication-badge"];

/// Calls `found` for the URLs of a `<meta>` that has this `name`, `property` or `itemprop`.
pub(super) fn each_meta_url<'t>(name: &str, content: &'t str, mut found: impl FnMut(&'t str)) {
    let is = |known: &&str| name.trim_ascii().eq_ignore_ascii_case(known);
    if URL_METAS.iter().any(is) {
        found(content);
    } else if LIST_METAS.iter().any(is) {
        for (key, value) in content.split(';').filter_map(|part| part.split_once('=')) {
            let key = key.trim_ascii().to_ascii_lowercase();
            if key.ends_with("-uri") || key.starts_with("polling-uri") {
                found(value.trim_ascii());
            }
        }
    }
}
