//! From text to canonical URL and host key, beside `url::Url` alone on the same texts in one run, so that the ratios mean
//! something on any machine. Three kinds of text: absolute URLs that are canonical already, as lists mostly hold them;
//! absolute URLs that are not; and references of a page.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lycosa::model::page::Page;
use lycosa::model::url::{self, Url};
use lycosa::parse::html::Html;
use lycosa::parse::{Extract as _, Wants};

const COUNT: usize = 1000;

/// Canonical as they stand.
fn clean() -> Vec<String> {
    let line = |n: usize| match n % 4 {
        0 => format!("https://www.example.org/articles/2026/{n}/some-title-of-usual-length"),
        1 => format!("http://cdn{}.example.net:8080/assets/image_{n}.png", n % 50),
        2 => format!("https://shop.example.com/search?q=word+{n}&page={}", n % 9),
        _ => format!("https://h{n}.example/"),
    };
    (0..COUNT).map(line).collect()
}

/// Upper case, default ports, dots, spaces, fragments, user info, names beyond ASCII.
fn unclean() -> Vec<String> {
    let line = |n: usize| match n % 6 {
        0 => format!("HTTPS://WWW.Example.ORG/Articles/{n}"),
        1 => format!("http://example.net:80/a/./b/../c/{n}"),
        2 => format!("https://example.com/words with spaces/{n}?q=a b"),
        3 => format!("https://example.org/page/{n}#section-{n}"),
        4 => format!("https://me:secret@example.org/private/{n}"),
        _ => format!("https://bücher.example/straße/{n}"),
    };
    (0..COUNT).map(line).collect()
}

fn references() -> Vec<String> {
    let line = |n: usize| match n % 6 {
        0 => format!("/docs/manual/section-{n}.html"),
        1 => format!("https://docs.example.org/reference/{n}/"),
        2 => format!("https://elsewhere.example/{n}"),
        3 => format!("../up/{n}.html"),
        4 => format!("section-{n}.html#part"),
        _ => format!("chapter/section_{n}.html?lang=en"),
    };
    (0..COUNT).map(line).collect()
}

fn absolute(criterion: &mut Criterion) {
    for (name, texts) in [("clean URLs", clean()), ("unclean URLs", unclean())] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(COUNT as u64));
        group.bench_function("url::Url alone", |bencher| {
            bencher.iter(|| texts.iter().filter(|text| Url::parse(black_box(text)).is_ok()).count());
        });
        group.bench_function("canonical and host key", |bencher| {
            bencher.iter(|| {
                for text in &texts {
                    if let Ok(url) = url::parse(black_box(text)) {
                        black_box((url::canonical(&url), url::host_key(&url)));
                    }
                }
            });
        });
        group.finish();
    }
}

fn links(criterion: &mut Criterion) {
    let base = Url::parse("https://docs.example.org/docs/manual/index.html").expect("a valid URL");
    let references = references();
    let body = references.iter().fold(String::new(), |mut body, reference| {
        let _ = writeln!(body, "<a href=\"{reference}\">x</a>");
        body
    });
    let mut group = criterion.benchmark_group("references");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("url::Url alone", |bencher| {
        bencher.iter(|| references.iter().filter(|reference| base.join(black_box(reference)).is_ok()).count());
    });
    group.bench_function("join, canonical and host key", |bencher| {
        bencher.iter(|| {
            for reference in &references {
                if let Ok(url) = url::join(&base, black_box(reference)) {
                    let canonical = url::canonical(&url);
                    black_box(url::host_key_of(&canonical));
                }
            }
        });
    });
    // With the scanner before it and the dropping of repeats behind it: what a crawl pays for a link.
    group.bench_function("links of a page", |bencher| {
        let page =
            Page { url: &base, media_type: "text/html", header_charset: None, body: body.as_bytes(), agent: "lycosa" };
        bencher.iter(|| black_box(Html.extract(black_box(&page), Wants { links: true, ..Wants::default() })));
    });
    group.finish();
}

criterion_group!(benches, absolute, links);
criterion_main!(benches);
