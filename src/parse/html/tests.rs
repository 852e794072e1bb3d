//! What a page means to a crawler, rule by rule. `oracle` holds the scanner to html5ever.

use crate::model::page::{Extraction, Outlink, Page};
use crate::model::url::Url;
use crate::parse::{Extract as _, Wants};

use super::Html;

const ALL: Wants = Wants { links: true, link_details: true, everywhere: false, scripts: false, words: false };
const BRIEF: Wants = Wants { links: true, link_details: false, everywhere: false, scripts: false, words: false };

fn extract_bytes(body: &[u8], header_charset: Option<&str>, wants: Wants) -> Extraction {
    let url = Url::parse("http://h.example/dir/page?q").unwrap();
    Html.extract(&Page { url: &url, media_type: "text/html", header_charset, body, agent: "lycosa" }, wants)
}

fn extract(body: &str) -> Extraction {
    extract_bytes(body.as_bytes(), None, ALL)
}

/// The links of a page, short: `tag path`.
fn links(body: &str) -> Vec<String> {
    let short = |link: Outlink| format!("{} {}", link.tag, link.url.replacen("http://h.example", "", 1));
    extract(body).outlinks.into_iter().map(short).collect()
}

fn title(body: &str) -> Option<String> {
    extract(body).title
}

#[test]
fn every_kind_of_link_is_found_in_document_order() {
    let page = "<html><head><link rel='Canonical' href=c><link rel=stylesheet href=no><link href=no><meta
        http-equiv=REFRESH content='1; URL=/r'></head><body><A HREF='a'>x</A><map><area href=/m></map>
        <iframe src=i></iframe><frame src=f><img src=no><form action=no><link rel='x next' href=n>
        <link rel=alternate href=alt><a name=no>";
    assert_eq!(
        links(page),
        [
            "link /dir/c",
            "meta /r",
            "a /dir/a",
            "area /m",
            "iframe /dir/i",
            "frame /dir/f",
            "link /dir/n",
            "link /dir/alt"
        ]
    );
}

#[test]
fn what_is_not_markup_holds_no_links() {
    for hidden in [
        "<!-- # -->",
        "<!--> --># -->",
        "<script>#</script>",
        "<script><!-- <script>#</script> # --></script>",
        "<style>#</style>",
        "<textarea>#</textarea>",
        "<title>#</title>",
        "<iframe>#</iframe>",
        "<xmp>#</xmp>",
        "<noembed>#</noembed>",
        "<noframes>#</noframes>",
        "<b title='#'>",
        "<b title=\"#\">",
        "<plaintext>#",
    ] {
        // `-->` in second place would make a link of the rest of the comment.
        let expected: &[&str] = if hidden.starts_with("<!-->") { &["a /dir/hidden"] } else { &[] };
        assert_eq!(links(&hidden.replace('#', "<a href=hidden>")), expected, "{hidden}");
    }
}

#[test]
fn what_scripts_would_hide_counts() {
    for shown in
        ["<noscript>#</noscript>", "<head><noscript>#", "<template>#</template>", "<select>#</select>", "<svg>#</svg>"]
    {
        assert_eq!(links(&shown.replace('#', "<a href=shown>")), ["a /dir/shown"], "{shown}");
    }
}

#[test]
fn a_tag_cut_off_by_the_end_of_the_page_is_no_link() {
    assert_eq!(links("<a href=1><a href=2"), ["a /dir/1"]);
    assert_eq!(links("<a href=1><a href='2>"), ["a /dir/1"]);
}

#[test]
fn references_are_trimmed_decoded_and_resolved() {
    assert_eq!(links("<a href='  ../x\n/y '>"), ["a /x/y"]);
    assert_eq!(links("<a href='?a=1&amp;b=2&copy=3&#38;c'>"), ["a /dir/page?a=1&b=2&copy=3&c"]);
    assert_eq!(links("<a href=1 href=2>"), ["a /dir/1"]);
    assert_eq!(links("<a href=''><a href='#x'>"), ["a /dir/page?q", "a /dir/page?q"]);
    assert_eq!(
        links("<a href=javascript:x><a href=mailto:a@b><a href='data:,x'><a href=ftp://h/><a href=http://>"),
        [""; 0]
    );
    assert_eq!(links("<a href=//user:pw@h.example/x>"), ["a /x"]);
    assert_eq!(links("<a href=ä>"), ["a /dir/%C3%A4"]);
}

#[test]
fn the_first_base_counts_even_if_it_comes_late() {
    assert_eq!(links("<a href=x><base target=_top><base href=/b/><base href=/c/><a href=y>"), ["a /b/x", "a /b/y"]);
    assert_eq!(links("<svg><base href=/s/></svg><base href=/b/><a href=x>"), ["a /b/x"]);
    assert_eq!(links("<base href=data:,x><a href=x>"), ["a /dir/x"]);
    assert_eq!(links("<!--<base href=/no/>--><a href=x>"), ["a /dir/x"]);
}

#[test]
fn details_are_text_rel_and_fragment_of_every_link() {
    let page =
        "<a href='x#F ü' rel='noFollow  me'> one\n <b>t&amp;w</b>o <!-- - --> </a> out <area href=x alt=' A &lt; '>
        <a href=y>un<a href=z>closed<br>text";
    let found: Vec<_> = extract(page)
        .outlinks
        .into_iter()
        .map(|link| {
            (link.fragment.unwrap_or("-".into()), link.text.unwrap_or("-".into()), link.rel.unwrap_or("-".into()))
        })
        .map(|(fragment, text, rel)| format!("{fragment}|{text}|{rel}"))
        .collect();
    assert_eq!(found, ["F%20%C3%BC|one t&wo|noFollow  me", "-|A <|-", "-|un|-", "-|closedtext|-"]);
    let long = extract(&format!("<a href=x>{}", "é ".repeat(9000)));
    assert_eq!(long.outlinks[0].text.as_ref().unwrap().chars().count(), 511, "no space where the cap falls");
    assert_eq!(extract("<a href=x><b> </b></a>").outlinks[0].text, None);
}

#[test]
fn without_details_each_url_comes_once_and_bare() {
    let page = b"<a href=x#1 rel=r>text</a><a href='x#2'><area href=./x><a href=/dir/x><a href=y><a href=X>";
    let found = extract_bytes(page, None, BRIEF).outlinks;
    let urls: Vec<&str> = found.iter().map(|link| &*link.url).collect();
    assert_eq!(urls, ["http://h.example/dir/x", "http://h.example/dir/y", "http://h.example/dir/X"]);
    assert!(found.iter().all(|link| link.text.is_none() && link.rel.is_none() && link.fragment.is_none()));
    assert_eq!(extract(std::str::from_utf8(page).unwrap()).outlinks.len(), 6);
    let nothing = extract_bytes(b"<title>t</title><a href=x>", None, Wants::default());
    assert_eq!((nothing.title.as_deref(), nothing.outlinks.len()), (Some("t"), 0));
}

#[test]
fn the_title_is_the_first_of_the_page_itself() {
    assert_eq!(title("<title lang=x> A &amp;\n B&copy </title><title>C</title>").as_deref(), Some("A & B©"));
    assert_eq!(title("<svg><title>no</title></svg><title>yes</title>").as_deref(), Some("yes"));
    assert_eq!(title("<svg><g><title>no</title></g><p><title>yes</title>").as_deref(), Some("yes"), "p ends the svg");
    assert_eq!(title("<math><mi><title>no</title></mi></math><body><title>yes</title>").as_deref(), Some("yes"));
    assert_eq!(title("<title><b>x</b><!--y--></title>").as_deref(), Some("<b>x</b><!--y-->"));
    assert_eq!(title("<title> </title><title>x</title>"), None);
    assert_eq!(title("<p>x"), None);
    assert_eq!(title("<title>cut off").as_deref(), Some("cut off"));
    assert_eq!(title(&format!("<title>{}</title>", "é".repeat(5000))).unwrap().chars().count(), 1000);
}

#[test]
fn robots_meta_asks_not_to_be_indexed_or_followed() {
    let asks = |page: &str| {
        let directives = extract(page).directives;
        (directives.noindex, directives.nofollow)
    };
    assert_eq!(asks("<META NAME=Robots CONTENT='follow, NOINDEX'>"), (true, false));
    assert_eq!(asks("<meta name=Lycosa content=none>"), (true, true));
    assert_eq!(asks("<meta name=otherbot content=noindex><meta name=robots content=nofollow>"), (false, true));
    assert_eq!(asks("<!--<meta name=robots content=noindex>-->"), (false, false));
    let page = extract("<a href=x>x</a><a rel=next href=y>y</a><meta name=robots content=nofollow>");
    assert!(page.outlinks.len() == 2 && page.outlinks.iter().all(|link| link.nofollow));
}

#[test]
fn a_link_is_followed_if_one_of_its_places_allows_it() {
    let page = "<a rel='ugc NOFOLLOW' href=a>1</a> <a href=b rel=nofollow>2</a> <a href=b>3</a> <area rel=nofollow href=c> \
        <link rel='next nofollow' href=d> <a href=../dir/e rel=nofollow>5</a> <a href=e>6</a> <a href=f>7</a><a rel=nofollow href=f>8</a>";
    let found = |wants| {
        let page = extract_bytes(page.as_bytes(), None, wants);
        let short = |link: &Outlink| {
            format!("{}{}", link.url.rsplit('/').next().unwrap(), if link.nofollow { "-" } else { "+" })
        };
        page.outlinks.iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(found(BRIEF), ["a-", "b+", "c-", "d-", "e+", "f+"]);
    assert_eq!(found(ALL), ["a-", "b-", "b+", "c-", "d-", "e-", "e+", "f+", "f-"]);
}

#[test]
fn drawings_and_formulas_follow_their_own_rules() {
    assert_eq!(links("<svg><style><a href=x></style></svg>"), ["a /dir/x"], "style is markup in SVG");
    assert_eq!(links("<svg><![CDATA[<a href=x>]]></svg><![CDATA[<a href=y>]]>"), [""; 0]);
    assert_eq!(links("<svg><![CDATA[>]]><a href=x></svg>"), ["a /dir/x"]);
    assert_eq!(
        links("<svg><foreignObject><style><a href=x></style></foreignObject><style><a href=y></style>"),
        ["a /dir/y"]
    );
    assert_eq!(links("<div><svg><path></div><style><a href=x></style>"), [""; 0], "an svg that was never closed");
    assert_eq!(
        links("<math><annotation-xml encoding='Text/HTML'><style><a href=x></style></annotation-xml></math>"),
        [""; 0]
    );
    assert_eq!(links("<math><annotation-xml><style><a href=x></style></annotation-xml></math>"), ["a /dir/x"]);
    assert_eq!(links("<svg><path/></path><style><a href=x></style></svg>"), ["a /dir/x"], "closed twice");
    assert_eq!(links("<svg/><style><a href=x></style>"), [""; 0]);
    assert_eq!(extract("<svg><a href=x><![CDATA[a&amp;b]]> c</a>").outlinks[0].text.as_deref(), Some("a&amp;b c"));
}

#[test]
fn pages_in_other_encodings_give_the_same_text() {
    let page = b"<meta charset=windows-1251><title>\xcf\xf0\xe8</title><a href='\xcf?\xcf'>";
    let found = extract_bytes(page, None, ALL);
    assert_eq!((found.title.as_deref(), found.charset), (Some("При"), Some("windows-1251")));
    assert_eq!(&*found.outlinks[0].url, "http://h.example/dir/%D0%9F?%CF");
    let found = extract_bytes(page, Some("utf-8"), ALL);
    assert_eq!(found.title.as_deref(), Some("\u{fffd}\u{fffd}\u{fffd}"));
    let wide: Vec<u8> = "\u{feff}<title>ö</title><a href=x>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let found = extract_bytes(&wide, None, ALL);
    assert_eq!((found.title.as_deref(), found.charset, found.outlinks.len()), (Some("ö"), Some("utf-16be"), 1));
    assert_eq!(extract_bytes(b"\xef\xbb\xbf<title>x", None, ALL).title.as_deref(), Some("x"));
    assert_eq!(extract("").charset, Some("utf-8"));
}

#[test]
fn a_page_cannot_make_us_hold_much_more_than_itself() {
    let base = format!("<base href='/{}/'>", "b".repeat(60_000));
    let many = (0..20_000).map(|n| format!("<a href={n}>")).collect::<Vec<_>>().concat();
    let page = base + &many;
    for wants in [ALL, BRIEF] {
        let bytes: usize = extract_bytes(page.as_bytes(), None, wants).outlinks.iter().map(|link| link.url.len()).sum();
        assert!(bytes > page.len() && bytes <= 16 * page.len() + (1 << 20), "{bytes}");
    }
    let many = (0..crate::parse::MAX_LINKS + 10).map(|n| format!("<a href={n}>")).collect::<Vec<_>>().concat();
    for wants in [ALL, BRIEF] {
        assert_eq!(extract_bytes(many.as_bytes(), None, wants).outlinks.len(), crate::parse::MAX_LINKS);
    }
}

/// Work grows with the page, not with its square. Shapes on which a scanner that looks ahead, or a stack that is walked,
/// would be quadratic.
#[test]
fn hostile_pages_take_linear_time() {
    let shapes = [
        "<",
        "</",
        "<!--",
        "<a",
        "<a href='",
        "<a href=x ",
        "<title>",
        "<script><!--<script>",
        "</script",
        "<svg>",
        "<svg><g>",
        "</x>",
        "<svg></y><g>",
        "&",
        "&#",
        "&amp",
        "-->",
        "<![CDATA[",
        "<svg><![CDATA[",
        "<a href=x>",
        "\"'=<a ",
        "<math><mi>",
        "<textarea></textare",
        "<a href=a#&amp;>\0\r",
        "<meta content=",
    ];
    for shape in shapes {
        // 16 times the bytes take 16 times as long, or 256 times if the work is quadratic. Time of this thread on the
        // processor counts, and of several tries the least: other processes share its caches.
        let (mut small, mut large) = (u128::MAX, u128::MAX);
        let is_linear = (0..40).any(|_| {
            small = small.min(time_of(shape, 1 << 15));
            large = large.min(time_of(shape, 1 << 19));
            large < small.max(50_000) * 64
        });
        assert!(is_linear, "{shape:?}: {small} ns for 32 KiB, {large} ns for 512 KiB");
    }
}

/// Nanoseconds of the processor for a page of this size.
fn time_of(shape: &str, size: usize) -> u128 {
    let page = shape.repeat(size / shape.len());
    let start = processor_time();
    extract(&page);
    processor_time().saturating_sub(start).as_nanos()
}

fn processor_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).unwrap()
}
