//! Generated sites.

use std::fmt::Write as _;

use super::answer::{Answer, Request, html, redirect, status};

/// A small generator with a seed, so that a site is the same in each run (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % end
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A page with nothing but links.
pub fn index(links: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut page = String::from("<!doctype html><title>index</title>\n");
    for link in links {
        let link = link.as_ref();
        writeln!(page, "<a href=\"{link}\">{link}</a>").unwrap();
    }
    page
}

/// A site of pages `/page/0` (also `/`) to `/page/{pages-1}`: each links to the four below it and, in random order, to
/// some anywhere. Beside them `/missing/k` that answer 404, and `/moved/k` that lead to `/landing/k`.
pub struct Tree {
    pages: Vec<String>,
    redirects: usize,
    broken: usize,
}

impl Tree {
    pub fn new(pages: usize, broken: usize, redirects: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut links: Vec<Vec<String>> = (0..pages)
            .map(|page| {
                let below = (page * 4 + 1..=page * 4 + 4).filter(|child| *child < pages);
                let anywhere: Vec<_> = (0..3).map(|_| random.below(pages)).collect();
                below.chain(anywhere).map(|to| format!("/page/{to}")).collect()
            })
            .collect();
        for number in 0..broken {
            links[random.below(pages)].push(format!("/missing/{number}"));
        }
        for number in 0..redirects {
            links[random.below(pages)].push(format!("/moved/{number}"));
        }
        let pages = links
            .into_iter()
            .map(|mut links| {
                random.shuffle(&mut links);
                index(links)
            })
            .collect();
        Self { pages, redirects, broken }
    }

    /// Every path that a crawl from `/page/0` asks, each once; robots.txt left out.
    pub fn paths(&self) -> Vec<String> {
        let pages = (0..self.pages.len()).map(|number| format!("/page/{number}"));
        let missing = (0..self.broken).map(|number| format!("/missing/{number}"));
        let moved = (0..self.redirects).flat_map(|number| [format!("/moved/{number}"), format!("/landing/{number}")]);
        let mut paths: Vec<_> = pages.chain(missing).chain(moved).collect();
        paths.sort_unstable();
        paths
    }

    pub fn answer(&self, request: &Request) -> Answer {
        let path = request.path();
        let (folder, number) = path[1..].split_once('/').unwrap_or((path, ""));
        match (folder, number.parse::<usize>()) {
            ("page", Ok(number)) if number < self.pages.len() => html(&self.pages[number]).into(),
            ("moved", Ok(number)) => redirect(302, format!("/landing/{number}")).into(),
            ("landing", Ok(_)) => html("<title>landing</title>").into(),
            _ if path == "/" => html(&self.pages[0]).into(),
            _ => status(404).into(),
        }
    }
}
