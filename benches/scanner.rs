//! Links and title of real pages: the scanner beside lol_html and scraper (html5ever's DOM), on one core, in one run, so
//! that the ratios mean something on any machine.
//!
//! Each gives the title and the canonical URLs of a page, repeats dropped, with `Url::join` spared for references that were
//! seen before. The others are not asked for what costs the scanner time besides: lol_html's values are taken as they are
//! written, and nobody else reads `rel` or what a page asks of robots. Pages come from the directories that are given, or
//! else from installed documentation: `$LYCOSA_BENCH_DIR/docs` (`benches/peers/setup`). Fails if the scanner is not ten
//! times as fast as scraper and three times as fast as lol_html.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lol_html::{HtmlRewriter, Settings, element, text};
use lycosa::model::page::Page;
use lycosa::model::url::{self, Url};
use lycosa::parse::html::Html;
use lycosa::parse::{Extract as _, Wants};
use scraper::Selector;

/// Bytes read of one directory: enough that no cache holds them, few enough for a DOM of each in a minute.
const MOST: usize = 64 << 20;
const ROUNDS: usize = 3;
/// What the ratios must not fall below.
const OVER_SCRAPER: f64 = 10.0;
const OVER_LOL_HTML: f64 = 3.0;

const LINKS: &str = "a[href], area[href], iframe[src], frame[src]";

/// Title and links of a page.
type Found = (String, usize);
type Reader<'a> = (&'static str, &'a dyn Fn(&[u8]) -> Found);

struct Canonical<'a> {
    at: &'a Url,
    written: HashSet<String>,
    found: HashSet<String>,
}

impl<'a> Canonical<'a> {
    fn new(at: &'a Url) -> Self {
        Self { at, written: HashSet::new(), found: HashSet::new() }
    }

    fn push(&mut self, reference: &str) {
        let reference = reference.trim_ascii();
        let reference = reference.split_once('#').map_or(reference, |(reference, _)| reference);
        if self.written.contains(reference) {
            return;
        }
        self.written.insert(reference.to_owned());
        if let Ok(url) = url::join(self.at, reference) {
            self.found.insert(url::canonical(&url));
        }
    }
}

fn by_scanner(at: &Url, body: &[u8]) -> Found {
    let page = Page { url: at, media_type: "text/html", header_charset: None, body, agent: "lycosa" };
    let found = Html.extract(&page, Wants { links: true, ..Wants::default() });
    (found.title.unwrap_or_default(), found.outlinks.len())
}

fn by_lol_html(at: &Url, body: &[u8]) -> Found {
    let links = RefCell::new(Canonical::new(at));
    let title = RefCell::new(String::new());
    let push = |value: Option<String>| {
        if let Some(value) = value {
            links.borrow_mut().push(&value);
        }
    };
    let settings = Settings::new()
        .append_element_content_handler(element!("a[href], area[href]", |element| {
            push(element.get_attribute("href"));
            Ok(())
        }))
        .append_element_content_handler(element!("iframe[src], frame[src]", |element| {
            push(element.get_attribute("src"));
            Ok(())
        }))
        .append_element_content_handler(text!("title", |piece| {
            title.borrow_mut().push_str(piece.as_str());
            Ok(())
        }));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    let read = rewriter.write(body).and_then(|()| rewriter.end());
    assert!(read.is_ok(), "lol_html cannot read a page");
    (title.into_inner(), links.into_inner().found.len())
}

fn by_scraper(at: &Url, selectors: &[Selector; 2], body: &[u8]) -> Found {
    let document = scraper::Html::parse_document(&String::from_utf8_lossy(body));
    let mut links = Canonical::new(at);
    for found in document.select(&selectors[0]) {
        if let Some(value) = found.attr("href").or(found.attr("src")) {
            links.push(value);
        }
    }
    let title = document.select(&selectors[1]).next().map(|title| title.text().collect()).unwrap_or_default();
    (title, links.found.len())
}

/// All HTML below a directory, in the order of its paths.
fn pages_below(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.path().extension().is_some_and(|e| e == "html") => {
                    paths.push(entry.path());
                }
                _ => {}
            }
        }
    }
    paths.sort();
    let mut left = MOST;
    let sized = paths.iter().filter_map(|path| std::fs::read(path).ok()).take_while(|page| {
        left = left.saturating_sub(page.len());
        left > 0
    });
    sized.collect()
}

/// The fastest of some rounds, in MB/s, and what was found.
fn measure(pages: &[Vec<u8>], readers: &[Reader<'_>]) -> Vec<(f64, usize)> {
    let bytes: usize = pages.iter().map(Vec::len).sum();
    let mut best = vec![(Duration::MAX, 0); readers.len()];
    for _ in 0..ROUNDS {
        for ((_, read), best) in readers.iter().zip(&mut best) {
            #[expect(clippy::disallowed_methods, reason = "a benchmark")]
            let start = Instant::now();
            let links = pages.iter().map(|page| black_box(read(black_box(page))).1).sum();
            *best = (start.elapsed().min(best.0), links);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure with three digits")]
    best.into_iter().map(|(time, links)| (bytes as f64 / 1e6 / time.as_secs_f64(), links)).collect()
}

#[expect(clippy::print_stdout, reason = "a benchmark")]
fn main() -> ExitCode {
    let given: Vec<PathBuf> = std::env::args_os().skip(1).filter(|arg| arg != "--bench").map(Into::into).collect();
    let directories = if given.is_empty() {
        let bench = std::env::var_os("LYCOSA_BENCH_DIR").map_or_else(|| "/tmp/lycosa-bench".into(), PathBuf::from);
        let docs = bench.join("docs/usr/share/doc");
        let installed = std::fs::read_dir(docs).into_iter().flatten().flatten();
        installed.map(|entry| entry.path()).collect()
    } else {
        given
    };
    let at = Url::parse("https://docs.example.org/manual/index.html").expect("a valid URL");
    let selectors = [LINKS, "title"].map(|text| Selector::parse(text).expect("a valid selector"));
    let readers: [Reader<'_>; 3] = [
        ("scanner", &|page| by_scanner(&at, page)),
        ("lol_html", &|page| by_lol_html(&at, page)),
        ("scraper", &|page| by_scraper(&at, &selectors, page)),
    ];
    let (mut measured, mut failed) = (0, false);
    for directory in directories {
        let pages = pages_below(&directory);
        if pages.len() < 100 {
            continue;
        }
        measured += 1;
        let bytes: usize = pages.iter().map(Vec::len).sum();
        println!("{}: {} pages, {} MB", directory.display(), pages.len(), bytes / 1_000_000);
        let found = measure(&pages, &readers);
        let (own, _) = found[0];
        for ((name, _), (speed, links)) in readers.iter().zip(&found) {
            println!("  {name:<9} {speed:>6.0} MB/s  {:>5.1} x  {links} links", own / speed);
        }
        failed |= own < OVER_LOL_HTML * found[1].0 || own < OVER_SCRAPER * found[2].0;
    }
    if measured == 0 {
        println!("no directory with 100 pages: name one, or run benches/peers/setup");
    }
    if failed {
        println!("FAILED: less than {OVER_SCRAPER} times scraper or {OVER_LOL_HTML} times lol_html");
    }
    if failed || measured == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
