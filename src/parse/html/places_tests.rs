//! A page for each place in which a URL can hide, and what is found there: element, attribute and URL.

use crate::model::page::{Outlink, Page};
use crate::model::url::Url;
use crate::parse::{Extract as _, Wants};

use super::Html;

const EVERYWHERE: Wants = Wants { links: true, link_details: true, everywhere: true, scripts: true, words: false };

fn outlinks(markup: &str, wants: Wants) -> Vec<Outlink> {
    let url = Url::parse("http://h.example/dir/page?q").unwrap();
    let page = Page {
        url: &url,
        media_type: "text/html",
        header_charset: Some("utf-8"),
        body: markup.as_bytes(),
        agent: "lycosa",
    };
    Html.extract(&page, wants).outlinks
}

/// `tag attribute path`, with a `+` in front of what leads to another document.
fn short(link: &Outlink) -> String {
    let url = link.url.strip_prefix("http://h.example").unwrap_or(&link.url);
    let fragment = link.fragment.as_deref().map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{}{} {} {url}{fragment}", if link.leads { "+" } else { "" }, link.tag, link.attribute)
}

/// Markup, and its links. Each is a page of its own.
#[rustfmt::skip]
const PLACES: &[(&str, &[&str])] = &[
    // What leads on.
    ("<a href=x>", &["+a href /dir/x"]),
    ("<A HREF='/x?a=1&amp;b=2#f'>", &["+a href /x?a=1&b=2#f"]),
    ("<a href=x ping='p1  p2'>", &["+a href /dir/x", "a ping /dir/p1", "a ping /dir/p2"]),
    ("<a attributionsrc='r1 r2'>", &["a attributionsrc /dir/r1", "a attributionsrc /dir/r2"]),
    ("<map><area href=x ping=p></map>", &["+area href /dir/x", "area ping /dir/p"]),
    ("<link rel=next href=x>", &["+link href /dir/x"]),
    ("<link rel='alternate stylesheet' href=x>", &["+link href /dir/x"]),
    ("<link rel=CANONICAL href=x>", &["+link href /dir/x"]),
    ("<frameset><frame src=x longdesc=l></frameset>", &["+frame src /dir/x", "frame longdesc /dir/l"]),
    ("<iframe src=x longdesc=l></iframe>", &["+iframe src /dir/x", "iframe longdesc /dir/l"]),
    ("<meta http-equiv=Refresh content='5; URL=\"x\"'>", &["+meta refresh /dir/x"]),
    ("<noscript><a href=x></a><img src=y></noscript>", &["+a href /dir/x", "img src /dir/y"]),
    ("<template><a href=x></a><img src=y></template>", &["+a href /dir/x", "img src /dir/y"]),
    // Documents in the document.
    ("<iframe srcdoc='<a href=x><img src=y>'></iframe>", &["+a href /dir/x", "img src /dir/y"]),
    ("<iframe srcdoc='<base href=/b/><a href=x>'></iframe><a href=y>", &["base href /b/", "+a href /b/x", "+a href /dir/y"]),
    ("<base href=o/><iframe srcdoc='<a href=x>'></iframe>", &["base href /dir/o/", "+a href /dir/o/x"]),
    ("<base href=/o/><iframe srcdoc='<base href=i/><a href=x>'></iframe>", &["base href /o/", "base href /o/i/", "+a href /o/i/x"]),
    ("<iframe srcdoc='<iframe srcdoc=\"&lt;a href=x>\">'></iframe>", &["+a href /dir/x"]),
    ("<!--[if IE]><a href=x></a><![endif]-->", &["+a href /dir/x"]),
    ("<!--[if lt IE 9]><script src=x></script><![endif]-->", &["script src /dir/x"]),
    ("<!--[if !IE]><!--><img src=x><!--<![endif]-->", &["img src /dir/x"]),
    ("<!--[if gte mso 9]><v:x><a href='x'></a></v:x><![endif]--><a href=y>", &["+a href /dir/x", "+a href /dir/y"]),
    // Parts of the page.
    ("<link rel=stylesheet href=x.css>", &["link href /dir/x.css"]),
    ("<link rel='shortcut icon' href=x.ico>", &["link href /dir/x.ico"]),
    ("<link rel=manifest href=x>", &["link href /dir/x"]),
    ("<link rel=preload as=font href=x>", &["link href /dir/x"]),
    ("<link rel=modulepreload href=x.js>", &["link href /dir/x.js"]),
    ("<link rel=dns-prefetch href=//o.example>", &["link href http://o.example/"]),
    ("<link href=x>", &["link href /dir/x"]),
    ("<link rel=preload as=image imagesrcset='a 1x, b 2x'>", &["link imagesrcset /dir/a", "link imagesrcset /dir/b"]),
    ("<base href=o/>", &["base href /dir/o/"]),
    ("<base href=o/><base href=p/><img src=x>", &["base href /dir/o/", "base href /dir/p/", "img src /dir/o/x"]),
    ("<form action=x></form>", &["form action /dir/x"]),
    ("<form action=''></form>", &[]),
    ("<button formaction=x></button>", &["button formaction /dir/x"]),
    ("<input formaction=x>", &["input formaction /dir/x"]),
    ("<input type=image src=x>", &["input src /dir/x"]),
    ("<img src=x>", &["img src /dir/x"]),
    ("<img src='#f'>", &[]),
    ("<img src=data:image/png;base64,AAAA>", &[]),
    ("<img srcset='a 1x, b.png 2x,c,d 3x'>", &["img srcset /dir/a", "img srcset /dir/b.png", "img srcset /dir/c,d"]),
    ("<img longdesc=x>", &["img longdesc /dir/x"]),
    ("<img lowsrc=x dynsrc=y>", &["img lowsrc /dir/x", "img dynsrc /dir/y"]),
    ("<img usemap=other.html#m>", &["img usemap /dir/other.html#m"]),
    ("<img usemap='#m'>", &[]),
    ("<img attributionsrc=x>", &["img attributionsrc /dir/x"]),
    ("<image src=x>", &["image src /dir/x"]),
    ("<picture><source srcset='a 480w, b 800w'><img src=c></picture>",
        &["source srcset /dir/a", "source srcset /dir/b", "img src /dir/c"]),
    ("<audio src=x></audio>", &["audio src /dir/x"]),
    ("<audio><source src=x></audio>", &["source src /dir/x"]),
    ("<video src=x poster=y></video>", &["video src /dir/x", "video poster /dir/y"]),
    ("<video><source src=x><track src=y></video>", &["source src /dir/x", "track src /dir/y"]),
    ("<bgsound src=x>", &["bgsound src /dir/x"]),
    ("<object data=x></object>", &["object data /dir/x"]),
    ("<object data=x codebase=/c/></object>", &["object data /c/x", "object codebase /c/"]),
    ("<object archive='a b' codebase=/c/></object>", &["object archive /c/a", "object archive /c/b", "object codebase /c/"]),
    ("<object classid=x></object>", &["object classid /dir/x"]),
    ("<object classid=clsid:D27CDB6E></object>", &[]),
    ("<object usemap=m.html#n></object>", &["object usemap /dir/m.html#n"]),
    ("<object><param name=movie value=x></object>", &["param value /dir/x"]),
    ("<object><param name=any valuetype=REF value=x></object>", &["param value /dir/x"]),
    ("<object><param name=any value=x></object>", &[]),
    ("<embed src=x>", &["embed src /dir/x"]),
    ("<embed pluginspage=x>", &["embed pluginspage /dir/x"]),
    ("<applet code=x archive='a.jar, b.jar' codebase=/c></applet>",
        &["applet archive /a.jar", "applet archive /b.jar", "applet code /x", "applet codebase /c"]),
    ("<applet object=x></applet>", &["applet object /dir/x"]),
    ("<script src=x></script>", &["script src /dir/x"]),
    ("<script attributionsrc=x></script>", &["script attributionsrc /dir/x"]),
    ("<script>fetch('/api/x')</script>", &["script text /api/x"]),
    ("<script type=application/json>{\"next\":\"/page/2\"}</script>", &["script text /page/2"]),
    ("<blockquote cite=x></blockquote>", &["blockquote cite /dir/x"]),
    ("<q cite=x></q>", &["q cite /dir/x"]),
    ("<ins cite=x></ins>", &["ins cite /dir/x"]),
    ("<del cite=x></del>", &["del cite /dir/x"]),
    ("<html manifest=x>", &["html manifest /dir/x"]),
    ("<head profile=x>", &["head profile /dir/x"]),
    ("<body background=x>", &["body background /dir/x"]),
    ("<table background=x></table>", &["table background /dir/x"]),
    ("<table><thead background=x></table>", &["thead background /dir/x"]),
    ("<table><tbody background=x></table>", &["tbody background /dir/x"]),
    ("<table><tfoot background=x></table>", &["tfoot background /dir/x"]),
    ("<table><tr background=x></table>", &["tr background /dir/x"]),
    ("<table><td background=x></table>", &["td background /dir/x"]),
    ("<table><th background=x></table>", &["th background /dir/x"]),
    ("<layer src=x background=y></layer>", &["layer src /dir/x", "layer background /dir/y"]),
    ("<ilayer src=x></ilayer>", &["ilayer src /dir/x"]),
    ("<isindex action=x>", &["isindex action /dir/x"]),
    ("<menuitem icon=x>", &["menuitem icon /dir/x"]),
    ("<command icon=x>", &["command icon /dir/x"]),
    ("<portal src=x></portal>", &["portal src /dir/x"]),
    ("<fencedframe src=x></fencedframe>", &["fencedframe src /dir/x"]),
    ("<model src=x></model>", &["model src /dir/x"]),
    ("<amp-img src=x></amp-img>", &["amp-img src /dir/x"]),
    ("<amp-video src=x></amp-video>", &["amp-video src /dir/x"]),
    ("<amp-iframe src=x></amp-iframe>", &["amp-iframe src /dir/x"]),
    // What is said of the page.
    ("<meta property=og:url content=x>", &["meta content /dir/x"]),
    ("<meta property='og:image' content='x y.png'>", &["meta content /dir/x%20y.png"]),
    ("<meta property=og:image:secure_url content=https://o.example/i>", &["meta content https://o.example/i"]),
    ("<meta property=og:video content=x>", &["meta content /dir/x"]),
    ("<meta property=og:audio content=x>", &["meta content /dir/x"]),
    ("<meta property=og:title content=x>", &[]),
    ("<meta property=al:web:url content=x>", &["meta content /dir/x"]),
    ("<meta property=al:ios:url content=app://x>", &[]),
    ("<meta name=twitter:image content=x>", &["meta content /dir/x"]),
    ("<meta name=twitter:player content=x>", &["meta content /dir/x"]),
    ("<meta name=twitter:card content=summary>", &[]),
    ("<meta name=msapplication-TileImage content=x>", &["meta content /dir/x"]),
    ("<meta name=msapplication-config content=x.xml>", &["meta content /dir/x.xml"]),
    ("<meta name=msapplication-starturl content=x>", &["meta content /dir/x"]),
    ("<meta name=msapplication-square150x150logo content=x>", &["meta content /dir/x"]),
    ("<meta name=msapplication-task content='name=T;action-uri=x;icon-uri=y'>",
        &["meta content /dir/x", "meta content /dir/y"]),
    ("<meta name=msapplication-notification content='frequency=30;polling-uri=x;polling-uri2=y'>",
        &["meta content /dir/x", "meta content /dir/y"]),
    ("<meta itemprop=image content=x>", &["meta content /dir/x"]),
    ("<meta name=description content=x>", &[]),
    // Styles.
    ("<p style='background: url(x)'>", &["style style /dir/x"]),
    ("<p style='background: url(&quot;x&quot;), url(&#39;y&#39;)'>", &["style style /dir/x", "style style /dir/y"]),
    ("<style>@import 'a.css'; p { background: url(x) }</style>", &["style @import /dir/a.css", "style url /dir/x"]),
    ("<style>p { background: image-set('a' 1x, 'b' 2x) }</style>", &["style url /dir/a", "style url /dir/b"]),
    ("<style>/* url(x) */ p { content: 'url(y)' }</style>", &[]),
    ("<style><!-- p { background: url(x) } --></style>", &["style url /dir/x"]),
    // Drawings and formulas.
    ("<svg><a href=x></a></svg>", &["+a href /dir/x"]),
    ("<svg><a xlink:href=x></a></svg>", &["+a xlink:href /dir/x"]),
    ("<svg><a href=x xlink:href=y></a></svg>", &["+a href /dir/x"]),
    ("<svg><image href=x></svg>", &["image href /dir/x"]),
    ("<svg><image xlink:href=x /></svg>", &["image xlink:href /dir/x"]),
    ("<svg><use href='s.svg#i' /></svg>", &["use href /dir/s.svg#i"]),
    ("<svg><use xlink:href='#i' /></svg>", &[]),
    ("<svg><script href=x></script></svg>", &["script href /dir/x"]),
    ("<svg><feImage href=x /></svg>", &["feimage href /dir/x"]),
    ("<svg><pattern href=x></pattern></svg>", &["pattern href /dir/x"]),
    ("<svg><textPath href=x></textPath></svg>", &["textpath href /dir/x"]),
    ("<svg><linearGradient xlink:href=x /></svg>", &["lineargradient xlink:href /dir/x"]),
    ("<svg><animate href=x /></svg>", &["animate href /dir/x"]),
    ("<svg><font-face-uri xlink:href=x /></svg>", &["font-face-uri xlink:href /dir/x"]),
    ("<svg><style>g { fill: url(x) }</style></svg>", &["style url /dir/x"]),
    ("<svg><style><![CDATA[g { fill: url(x) }]]></style></svg>", &["style url /dir/x"]),
    ("<svg><g style='fill:url(x)'></g></svg>", &["style style /dir/x"]),
    ("<math><mi href=x>i</mi></math>", &["mi href /dir/x"]),
    ("<math xlink:href=x></math>", &["math xlink:href /dir/x"]),
    ("<svg><foreignObject><img src=x></foreignObject></svg>", &["img src /dir/x"]),
    // Where no URL stands.
    ("<textarea><img src=x></textarea>", &[]),
    ("<!-- <img src=x> -->", &[]),
    ("<script>'<img src=x>'</script>", &[]),
    ("<img alt='<img src=x>'>", &[]),
    ("<img data-src=x>", &[]),
    ("<a href=javascript:x() ping=mailto:x>", &[]),
    ("<a href='http://['>", &[]),
];

#[test]
fn a_url_is_found_in_every_place_where_it_can_hide() {
    assert!(PLACES.iter().filter(|(_, links)| !links.is_empty()).count() >= 90);
    let wrong: Vec<String> = PLACES
        .iter()
        .filter_map(|(markup, expected)| {
            let found: Vec<String> = outlinks(markup, EVERYWHERE).iter().map(short).collect();
            (found != *expected).then(|| format!("{markup}\n  found    {found:?}\n  expected {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A crawl that follows pages reads no more than that, whatever else the markup holds.
#[test]
fn unasked_only_what_leads_to_documents_is_found() {
    let plain = Wants { everywhere: false, scripts: false, ..EVERYWHERE };
    for (markup, expected) in PLACES.iter().filter(|(markup, _)| !markup.starts_with("<!--[if")) {
        let found: Vec<String> = outlinks(markup, plain).iter().map(short).collect();
        let leading: Vec<&str> = expected.iter().copied().filter(|link| link.starts_with('+')).collect();
        assert_eq!(found, leading, "{markup}");
    }
}

/// Paths in scripts are a guess, so they must be asked for.
#[test]
fn scripts_are_read_only_if_that_is_asked_for() {
    let quiet = Wants { scripts: false, ..EVERYWHERE };
    for (markup, expected) in PLACES {
        let found: Vec<String> = outlinks(markup, quiet).iter().map(short).collect();
        let sure: Vec<&str> = expected.iter().copied().filter(|link| !link.starts_with("script text")).collect();
        assert_eq!(found, sure, "{markup}");
    }
}

/// All pages in one: nothing that stands in one place keeps another from being found. Without those that change what
/// the rest of a page means.
#[test]
fn places_do_not_hide_each_other() {
    let alone = |markup: &str| {
        !["<base", "<frameset", "<!--[if", "http://["].iter().any(|word| markup.contains(word)) && markup.contains('<')
    };
    let chosen: Vec<_> = PLACES.iter().filter(|(markup, _)| alone(markup)).collect();
    let page: String = chosen.iter().map(|(markup, _)| *markup).collect();
    let found: Vec<String> = outlinks(&page, EVERYWHERE).iter().map(short).collect();
    let expected: Vec<&str> = chosen.iter().flat_map(|(_, links)| links.iter().copied()).collect();
    assert_eq!(found, expected);
}

/// Without details each URL comes once for each element it stands in, in the order of the page.
#[test]
fn a_repeat_in_another_element_is_none() {
    let page = "<a href=x><img src=x><a href=x><img src=x><a href='x#f'><script src=./x></script>";
    let found: Vec<String> = outlinks(page, Wants { link_details: false, ..EVERYWHERE }).iter().map(short).collect();
    assert_eq!(found, ["+a href /dir/x", "img src /dir/x", "script src /dir/x"]);
}

/// Documents nest in attributes only so deep.
#[test]
fn documents_in_documents_end() {
    let mut page = String::from("<a href=inmost>");
    for level in 0..6 {
        let inner = page.replace('&', "&amp;").replace('"', "&quot;");
        page = format!("<a href=level{level}><iframe srcdoc=\"{inner}\"></iframe>");
    }
    let found: Vec<String> = outlinks(&page, EVERYWHERE).iter().map(short).collect();
    assert_eq!(found, [5, 4, 3, 2, 1].map(|level| format!("+a href /dir/level{level}")));
}
