//! Link extraction: the scanner beside scraper (html5ever's DOM and a compiled selector) on the same pages, in one run,
//! so that the ratio means something on any machine. Both give the canonical URLs of the page, repeats dropped.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lycosa::model::page::Page;
use lycosa::model::url::{self, Url};
use lycosa::parse::html::Html;
use lycosa::parse::{Extract as _, Wants};
use scraper::Selector;

/// A page of documentation in shape: a head, a navigation of relative links, and paragraphs with markup. About 10 kB
/// and 30 links for 30 sections.
fn page(sections: usize) -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Chapter &amp; verse</title>\
         <link rel=\"stylesheet\" href=\"style.css\"><script>if (a < b) { c(\"</p>\"); }</script></head>\n<body>\n",
    );
    for section in 0..sections {
        let link = match section % 6 {
            0 => format!("/docs/manual/section-{section}.html"),
            1 => format!("https://docs.example.org/reference/{section}/"),
            2 => format!("https://elsewhere.example/{section}"),
            3 => format!("../up/{section}.html"),
            4 => format!("section-{section}.html#part"),
            _ => format!("chapter/section_{section}.html?lang=en"),
        };
        let _ = writeln!(
            page,
            "<div class=\"section\" id=\"s{section}\"><h2>Section {section}</h2>\n<p>Some words of text with \
             <em>emphasis</em>, <code class=\"literal\">code</code> and a <a class=\"xref\" href=\"{link}\" \
             title=\"Section\">link to it</a>. More words follow, as they do in documentation, so that text is most of \
             the page.</p></div>",
        );
    }
    page.push_str("</body></html>\n");
    page
}

fn links(criterion: &mut Criterion) {
    let at = Url::parse("https://docs.example.org/docs/manual/index.html").expect("a valid URL");
    let selector = Selector::parse("a[href], area[href], iframe[src], frame[src]").expect("a valid selector");
    let mut group = criterion.benchmark_group("links");
    for sections in [30, 300] {
        let body = page(sections);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("scanner", body.len()), &body, |bencher, body| {
            let page = Page {
                url: &at,
                media_type: "text/html",
                header_charset: None,
                body: body.as_bytes(),
                agent: "lycosa",
            };
            let wants = Wants { links: true, ..Wants::default() };
            bencher.iter(|| black_box(Html.extract(black_box(&page), wants)));
        });
        // As it reads a page that may be part of a trap.
        group.bench_with_input(BenchmarkId::new("scanner with words", body.len()), &body, |bencher, body| {
            let page = Page {
                url: &at,
                media_type: "text/html",
                header_charset: None,
                body: body.as_bytes(),
                agent: "lycosa",
            };
            let wants = Wants { links: true, words: true, ..Wants::default() };
            bencher.iter(|| black_box(Html.extract(black_box(&page), wants)));
        });
        group.bench_with_input(BenchmarkId::new("scraper", body.len()), &body, |bencher, body| {
            bencher.iter(|| {
                let document = scraper::Html::parse_document(black_box(body));
                let mut seen = HashSet::new();
                let references =
                    document.select(&selector).filter_map(|found| found.attr("href").or(found.attr("src")));
                let resolved = references.filter_map(|reference| url::join(&at, reference).ok());
                black_box(resolved.map(|url| url::canonical(&url)).filter(|url| seen.insert(url.clone())).count())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, links);
criterion_main!(benches);
