use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;

fn pattern(path: &str) -> (String, Class) {
    let Masked { pattern, class } = mask(&format!("http://h.test{path}"));
    (pattern.strip_prefix("h.test").unwrap().to_owned(), class)
}

#[test]
fn variable_parts_of_urls_are_masked() {
    use Class::{Hashes, LongNumbers, Numbers, Words};
    for (path, masked, class) in [
        ("/", "/", Words),
        ("/item/17", "/item/#", Numbers(1)),
        ("/item/red-shoe-17.html", "/item/#", Numbers(1)),
        ("/calendar/2026/11/20", "/calendar/#/#/#", Numbers(3)),
        ("/calendar?date=2026-11-20", "/w?date=###", Numbers(3)),
        ("/t/4815162/2", "/t/#/#", LongNumbers(2)),
        ("/docs/guide/intro.html", "/docs/w/w", Words),
        ("/docs/", "/docs/", Words),
        ("/a/b//c", "/a/w//w", Words),
        ("/list?page=3&sort=name&q", "/w?page=#&sort=w&q", Numbers(1)),
        ("/commit/4f5e6d7c8b9a0f1e2d3c", "/commit/*", Hashes),
        ("/x/9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "/x/*", Hashes),
        ("/x/1732100000000123", "/x/*", Hashes),
        ("/x?sid=17", "/w?sid=*", Hashes),
        ("/x;jsessionid=abc?a=1", "/w;*?a=#", Hashes),
        ("/x?token=Zm9vYmFyYmF6cXV4MTIz", "/w?token=*", Hashes),
        ("/decade/added", "/decade/w", Words),
        ("/gr%C3%BC%C3%9Fe", "/w", Words),
        ("/gr%C3%BC17", "/#", Numbers(1)),
        ("/java.base/java/util/List.html", "/java.base/w/w/w", Words),
    ] {
        assert_eq!(pattern(path), (masked.to_owned(), class), "{path}");
    }
    assert_eq!(mask("https://h.test/a/1").pattern, mask("http://h.test/a/2").pattern);
    assert_ne!(mask("https://h.test/a/1").pattern, mask("http://g.test/a/1").pattern);
}

#[test]
fn a_skeleton_is_the_page_without_its_session() {
    let same = |a: &str, b: &str| skeleton(&format!("http://h.test{a}")) == skeleton(&format!("http://h.test{b}"));
    assert!(same("/a/1?sid=1", "/a/1?sid=2"));
    assert!(same("/a/1;jsessionid=77x", "/a/1;jsessionid=y"));
    assert!(same("/a/4f5e6d7c8b/1", "/a/4f5e6d7c8c/1"));
    assert!(!same("/a/1?sid=1", "/a/2?sid=1"));
    assert!(!same("/a/1?sid=1", "/a/1?page=1"));
}

fn grows(url: &str, source: &str) -> Option<Trap> {
    growth(&format!("http://h.test{url}"), &format!("http://h.test{source}"))
}

#[test]
fn urls_that_grow_from_page_to_page_are_refused() {
    let long = |length: usize| format!("/{}", "x".repeat(length));
    let deep = |depth: usize| (0..depth).fold(String::new(), |path, segment| path + "/s" + &segment.to_string());
    let query = |pairs: usize| (0..pairs).fold("/f?".to_owned(), |query, pair| query + &format!("&k{pair}={pair}"));
    for (url, source, trap) in [
        (long(2100), long(1100), Some(Trap::LongUrl)),
        (long(2100), long(900), None),
        (deep(25), deep(24), Some(Trap::ManySegments)),
        (deep(30), deep(3), None),
        (deep(20), deep(19), None),
        ("/e/a/a/a/a".into(), "/e/a/a/a/".into(), Some(Trap::RepeatedSegments)),
        ("/e/a/a/a/a".into(), "/e/a/".into(), None),
        ("/e/a/a/a".into(), "/e/a/a".into(), None),
        ("/a/b/a/b/a/b".into(), "/a/b/a/b/".into(), Some(Trap::RepeatedSegments)),
        ("/a/b/a/b/c".into(), "/a/b/a/b/".into(), None),
        ("/x/a/b/c/a/b/c/a/b/c".into(), "/x/a/b/c/a/b/c".into(), Some(Trap::RepeatedSegments)),
        ("/tiles/0/0/0/0/0.png".into(), "/tiles/0/0/0/".into(), None),
        (query(17), query(13), Some(Trap::GrowingQuery)),
        (query(17), query(3), None),
        ("/f?t=a&t=a&t=a".into(), "/f?t=a&t=a".into(), Some(Trap::GrowingQuery)),
        ("/f?t=a&t=b&t=c&t=d".into(), "/f?t=a&t=b&t=c".into(), None),
    ] {
        assert_eq!(grows(&url, &source), trap, "{url} on {source}");
    }
}

/// A page of a walk: what it says, and where it leads.
type Page = (Option<Fingerprint>, Vec<String>);

/// What a crawl asked, in order, and what it refused.
#[derive(Default)]
struct Walk {
    asked: Vec<String>,
    refused: usize,
}

/// A crawl without an engine: best first by priority, depth and number, as the engine asks.
fn walk(limit: u32, starts: &[&str], most: usize, site: impl FnMut(&str) -> Page) -> Walk {
    slow_walk(limit, starts, most, Duration::ZERO, site)
}

/// As [`walk`], where each page takes so long.
fn slow_walk(limit: u32, starts: &[&str], most: usize, took: Duration, mut site: impl FnMut(&str) -> Page) -> Walk {
    let mut traps = Traps::new(limit);
    let mut queue: BTreeMap<(bool, u32, usize), (String, u16)> = BTreeMap::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut walk = Walk::default();
    for start in starts {
        let url = format!("http://h.test{start}");
        seen.insert(url.clone());
        queue.insert((false, 0, seen.len()), (url, 0));
    }
    while let Some(((deferred, depth, number), (url, strand))) = queue.pop_first() {
        match traps.turn(&url, Standing { strand, deferred }) {
            Turn::Ask if deferred => traps.asked(&url, strand),
            Turn::Ask => {}
            Turn::Defer => {
                queue.insert((true, depth, number), (url, strand));
                continue;
            }
            Turn::Refuse => {
                walk.refused += 1;
                continue;
            }
        }
        let (words, links) = site(url.strip_prefix("http://h.test").unwrap());
        let words = words.filter(|_| wants_words(&url, strand));
        let links: BTreeSet<String> = links.into_iter().map(|link| format!("http://h.test{link}")).collect();
        let count = links.len();
        let new: Vec<String> = links.into_iter().filter(|link| seen.insert(link.clone())).collect();
        let grown = |link: &String| growth(link, &url).is_some();
        walk.refused += new.iter().filter(|link| grown(link)).count();
        let new: Vec<String> = new.into_iter().filter(|link| !grown(link)).collect();
        let child = traps.page(&url, strand, Evidence { words, took }, count, new.iter().map(String::as_str));
        for link in new {
            let standing = traps.link(&link, child);
            queue.insert(
                (standing.deferred, depth + 1, seen.len() + walk.asked.len() * 1000 + queue.len()),
                (link, standing.strand),
            );
        }
        walk.asked.push(url);
        assert!(walk.asked.len() <= most, "more than {most} pages: {:?}", &walk.asked[most - 20..]);
    }
    walk
}

/// Words that are like no others.
#[expect(clippy::unnecessary_wraps, reason = "the words of a page, which may have none")]
fn saying(text: &str) -> Option<Fingerprint> {
    Some(Fingerprint { words: xxh3_64(text.as_bytes()), all: xxh3_64(text.as_bytes()) })
}

const SAME: Option<Fingerprint> = Some(Fingerprint { words: 0x1234_5678_9abc_def0, all: 0x1234_5678_9abc_def0 });

fn numbers<const N: usize>(path: &str) -> [i64; N] {
    let mut found = path.split(|c: char| !c.is_ascii_digit()).filter_map(|run| run.parse().ok());
    std::array::from_fn(|_| found.next().unwrap_or(0))
}

fn hex(seed: u64) -> String {
    format!("{:016x}", xxh3_64(&seed.to_le_bytes()))
}

#[test]
fn a_chain_without_end_ends() {
    for start in ["/calendar/2026/11/20", "/tarpit/1", "/calendar?m=11", "/x/week17"] {
        for words in [SAME, None] {
            let walk = walk(50, &[start], 200, |path| {
                if path == "/" {
                    return (words, Vec::new());
                }
                let last = path.rfind(|c: char| !c.is_ascii_digit()).unwrap() + 1;
                let day: i64 = path[last..].parse().unwrap();
                (
                    words,
                    vec![
                        format!("{}{}", &path[..last], day + 1),
                        format!("{}{}", &path[..last], (day - 1).max(0)),
                        "/".into(),
                    ],
                )
            });
            assert!((56..=100).contains(&walk.asked.len()), "{start}: {}", walk.asked.len());
        }
    }
}

/// Whatever a page takes, as long as it is no failure yet: the whole of it costs minutes.
#[test]
fn a_tarpit_that_drips_costs_minutes() {
    for seconds in [1, 10, 20, 29] {
        let took = Duration::from_secs(seconds);
        let walk = slow_walk(50, &["/tarpit/1"], 200, took, |path| {
            let [page] = numbers(path);
            (None, vec![format!("/tarpit/{}", page + 1)])
        });
        assert!(walk.refused > 0 && walk.asked.len() as u64 * seconds < 300, "{seconds}: {}", walk.asked.len());
    }
    // A shop that is as slow loses nothing.
    let slow = slow_walk(1, &["/item/0"], 1000, Duration::from_secs(25), |path| {
        let [item] = numbers(path);
        (
            saying(path),
            [item - 1, item + 1]
                .into_iter()
                .filter(|to| (0..1000).contains(to))
                .map(|to| format!("/item/{to}"))
                .collect(),
        )
    });
    assert_eq!((slow.asked.len(), slow.refused), (1000, 0));
}

#[test]
fn a_calendar_that_names_days_and_months_ends() {
    let walk = walk(50, &["/calendar/2026/1"], 400, |path| {
        let [year, day] = numbers(path);
        let words = saying(&format!("{} {}", day % 7, day / 30 % 12));
        (words, vec![format!("/calendar/{year}/{}", day + 1), "/".into(), "/about".into()])
    });
    assert!(walk.refused > 0 && walk.asked.len() < 250, "{}", walk.asked.len());
}

#[test]
fn calendars_of_several_dimensions_end() {
    let two = walk(50, &["/c/2026/100"], 500, |path| {
        let [year, day] = numbers(path);
        (SAME, [(0, 1), (0, -1), (1, 0), (-1, 0)].map(|(y, d)| format!("/c/{}/{}", year + y, day + d)).into())
    });
    assert!(two.asked.len() < 350, "{}", two.asked.len());
    // Months lead to their days, and days to their months.
    let crossed = walk(50, &["/c/1"], 500, |path| {
        let [month, day] = numbers(path);
        if path.matches('/').count() == 2 {
            let days = (1..=5).map(|day| format!("/c/{month}/{day}"));
            (SAME, days.chain([format!("/c/{}", month + 1)]).collect())
        } else {
            (SAME, vec![format!("/c/{month}"), format!("/c/{month}/{}", day % 5 + 1)])
        }
    });
    assert!(crossed.asked.len() < 300, "{}", crossed.asked.len());
}

#[test]
fn sessions_end_and_each_page_is_asked() {
    for (fan, most) in [(1, 150), (5, 270), (10, 420)] {
        let mut session = 0;
        let walk = walk(50, &["/"], 1000, |path| {
            let [page] = numbers(path);
            let links = (0..fan).map(|next| {
                session += 1;
                format!("/forum/{}?sid={}", (page * 3 + next) % 30, hex(session))
            });
            (saying(&page.to_string()), links.collect())
        });
        let pages: BTreeSet<_> = walk.asked.iter().filter_map(|url| url.split('?').next()).collect();
        assert!(walk.asked.len() < most, "{fan}: {}", walk.asked.len());
        assert!(pages.len() == 31 || fan == 1, "{fan}: {}", pages.len());
    }
}

#[test]
fn a_whole_site_under_sessions_is_asked_once() {
    let mut session = 0;
    let walk = walk(50, &["/"], 5000, |path| {
        let [page] = numbers(path);
        let mut link = |to: i64| {
            session += 1;
            format!("/page/{to}?PHPSESSID={}", hex(session))
        };
        let mut links: Vec<_> = (1..=4).map(|n| page * 4 + n).filter(|to| *to < 1000).map(&mut link).collect();
        links.push(link(0));
        links.push(link(page / 2));
        (saying(&page.to_string()), links)
    });
    let pages: BTreeSet<_> = walk.asked.iter().map(|url| numbers::<1>(&url[13..])[0]).collect();
    assert_eq!(pages.len(), 1000);
    assert!(walk.asked.len() < 1250, "{}", walk.asked.len());
}

#[test]
fn tarpits_that_fan_out_end() {
    for fan in [2, 5] {
        let mut made = 0;
        let hashes = walk(50, &["/tarpit/"], 1000, |_| {
            made += 1;
            (saying(&hex(made)), (0..fan).map(|n| format!("/tarpit/{}", hex(made * 100 + n))).collect())
        });
        assert!(hashes.asked.len() < 250, "{fan}: {}", hashes.asked.len());
        let mut made = 0;
        let numbers = walk(50, &["/tarpit/"], 1000, |_| {
            made += 1;
            (
                SAME,
                (0..fan).map(|n| format!("/tarpit/{}", 100_000 + (made * 7919 + n) * 104_729 % 900_000_000)).collect(),
            )
        });
        assert!(numbers.asked.len() < 400, "{fan}: {}", numbers.asked.len());
        let word = |n: u64| hex(n).replace(|c: char| c.is_ascii_digit(), "x");
        let mut made = 0;
        let words = walk(50, &["/maze/start"], 1000, |_| {
            made += 1;
            (SAME, (0..fan).map(|n| format!("/maze/{}", word(made * 100 + n))).chain(["/".into()]).collect())
        });
        assert!(words.asked.len() < 400, "{fan}: {}", words.asked.len());
    }
}

#[test]
fn a_path_that_echoes_itself_ends_at_once() {
    for (start, more) in [("/echo/", "x/"), ("/echo/a/b/", "a/b/"), ("/echo/", "x/y/z/")] {
        let walk = walk(50, &[start], 100, |path| (SAME, vec![format!("{path}{more}")]));
        assert!(walk.asked.len() <= 6 && walk.refused == 1, "{start}: {:?}", walk.asked);
    }
    let mut segment = 0;
    let walk = walk(50, &["/echo/"], 200, |path| {
        segment += 1;
        (saying(path), vec![format!("{path}s{segment}/"), "/".into()])
    });
    assert!(walk.asked.len() < 60, "{}", walk.asked.len());
}

fn loses_nothing(starts: &[&str], expected: usize, site: impl FnMut(&str) -> Page) {
    let walk = walk(1, starts, expected, site);
    assert_eq!((walk.asked.len(), walk.refused), (expected, 0));
}

/// Even with a limit of one page, and pages that say nothing.
#[test]
fn an_honest_site_of_pages_without_words_loses_nothing() {
    // A tree of two branches each, numbered through.
    loses_nothing(&["/page/0"], 3000, |path| {
        let [page] = numbers(path);
        (
            None,
            [1, 2].map(|n| page * 2 + n).into_iter().filter(|to| *to < 3000).map(|to| format!("/page/{to}")).collect(),
        )
    });
    // Links anywhere.
    loses_nothing(&["/page/0"], 3000, |path| {
        let [page] = numbers(path);
        let below = (1..=4).map(|n| page * 4 + n).filter(|to| *to < 3000);
        let anywhere = (1..=3).map(|n| (page * 7919 + n * 104_729) % 3000);
        (SAME, below.chain(anywhere).map(|to| format!("/page/{to}")).collect())
    });
    // Sections with pages.
    loses_nothing(&["/"], 1 + 50 + 2500, |path| match (path, numbers(path)) {
        ("/", _) => (SAME, (0..50).map(|section| format!("/section/{section}")).collect()),
        (_, [section, _]) if path.matches('/').count() == 2 => {
            (SAME, (0..50).map(|page| format!("/section/{section}/page/{page}")).collect())
        }
        (_, [section, page]) => {
            let next = (page < 49).then(|| format!("/section/{section}/page/{}", page + 1));
            (SAME, next.into_iter().chain([format!("/section/{section}"), "/".into()]).collect())
        }
    });
}

#[test]
fn a_shop_loses_nothing() {
    // Each item says what it is; nothing leads to it but the item before.
    loses_nothing(&["/item/0"], 5000 + 20, |path| match numbers(path) {
        [item] if path.starts_with("/item") => {
            let near = [item - 1, item + 1].into_iter().filter(|to| (0..5000).contains(to));
            let links = near.map(|to| format!("/item/{to}")).chain([format!("/category/{}", item % 20)]);
            (saying(path), links.collect())
        }
        _ => (SAME, vec!["/item/0".into()]),
    });
    // Items say nothing of their own, but categories list them.
    loses_nothing(&["/"], 1 + 200 + 20_000, |path| match numbers(path) {
        [item] if path.starts_with("/item") => {
            let near = [item - 1, item + 1].into_iter().filter(|to| (0..20_000).contains(to));
            (
                SAME,
                near.map(|to| format!("/item/{to}")).chain([format!("/category/{}", item / 100), "/".into()]).collect(),
            )
        }
        [category] if path != "/" => (SAME, (0..100).map(|n| format!("/item/{}", category * 100 + n)).collect()),
        _ => (SAME, (0..200).map(|n| format!("/category/{n}")).collect()),
    });
}

/// Nothing tells one photograph from the other, but its album lists them all.
#[test]
fn an_album_loses_nothing() {
    loses_nothing(&["/"], 1 + 1 + 20 + 20 * 200, |path| match (path, numbers(path)) {
        ("/", _) => (None, vec!["/albums/".into()]),
        ("/albums/", _) => (None, (0..20).map(|album| format!("/album/{album}")).collect()),
        (_, [album]) if path.starts_with("/album/") => {
            (None, (0..200).map(|n| format!("/photo/{}", hex(album.cast_unsigned() * 1000 + n))).collect())
        }
        _ => (None, vec!["/albums/".into(), "/".into()]),
    });
}

#[test]
fn lists_histories_and_books_lose_nothing() {
    // A list over 300 pages, each of which leads only to the next one and to ten articles.
    loses_nothing(&["/list?page=1"], 300 + 3000, |path| match numbers(path) {
        [page] if path.starts_with("/list") => {
            let next = (page < 300).then(|| format!("/list?page={}", page + 1));
            (saying(path), next.into_iter().chain((0..10).map(|n| format!("/article/{}", page * 10 + n))).collect())
        }
        _ => (saying(path), vec!["/".to_owned()].into_iter().filter(|_| false).collect()),
    });
    // Commits lead to their parents, and each says what it did.
    loses_nothing(&["/log"], 2001, |path| {
        let number = if path == "/log" { 0 } else { u64::from_str_radix(&path[24..], 16).unwrap() };
        let parent = (number < 2000).then(|| format!("/commit/{}{:08x}", hex(number), number + 1));
        (saying(path), parent.into_iter().chain(["/log".into()]).collect())
    });
    // A book without contents, page after page, back and forth.
    loses_nothing(&["/book/1.html"], 800, |path| {
        let [page] = numbers(path);
        (
            saying(path),
            [page - 1, page + 1]
                .into_iter()
                .filter(|to| (1..=800).contains(to))
                .map(|to| format!("/book/{to}.html"))
                .collect(),
        )
    });
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut traps = Traps::new(1);
    for host in 0..200 {
        for page in 0..400 {
            let (url, next) =
                (format!("http://h{host}.test/d{page}x/a/4f5e6d7c8b"), format!("http://h{host}.test/n{page}"));
            let evidence = Evidence { words: saying(&page.to_string()), took: Duration::ZERO };
            traps.page(&url, 5, evidence, 1, [next.as_str()].into_iter());
            traps.link(&url, 5);
        }
    }
    assert_eq!(traps.sites.len(), HOSTS);
    assert!(traps.sites.values().all(|site| site.patterns.len() <= PATTERNS));
    assert!(traps.skeletons.len() <= SKELETONS);
}

proptest! {
    #[test]
    fn any_url_is_masked(path in "[a-z0-9/;?&=.-]{0,80}", source in "[a-z0-9/;?&=]{0,40}") {
        let url = crate::model::url::canonical(&crate::model::url::parse(&format!("http://h.test/{path}")).unwrap());
        let masked = mask(&url);
        prop_assert!(masked.pattern.starts_with("h.test/"));
        prop_assert!(!masked.pattern["h.test/".len()..].bytes().any(|byte| byte.is_ascii_digit()), "{}", masked.pattern);
        skeleton(&url);
        let _ = growth(&url, &format!("http://h.test/{source}"));
    }
}
