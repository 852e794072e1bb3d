//! The healthy site beside the table, and what it may notice.
//!
//! It is compared with itself beside as many hosts that do no harm and take as much time: each holds its place in the run
//! for as long as the row of the table that it stands for. So what differs is harm alone, and not that 280 seeds go before
//! the pages of one site, nor that places are taken by hosts that are slow.
//!
//! One thread turns for everybody. If it is fair, then what a healthy request needs of it is done within one turn of all the
//! others, however much they want; so a request may wait as long again as its server thinks, and not longer: **twice** is
//! the bound, of the median, of nine in ten requests, and of the time for all pages. (A thread that serves one host to its
//! end misses it by far: one page of 4 MiB that is read, or one body that is unpacked, in one go takes a build without
//! optimisation ten times as long as the site thinks.) The machine can only make it look worse than it is, so the best of
//! some tries counts.

use serde_json::Value;

use super::table::{Row, Step, Time, head, page, row, verdict_of};
use crate::support::*;

/// Pages of the site, and how long it takes for each: so the crawl of it has a length that can be compared.
pub const PAGES: usize = 300;
const THINKING_MS: u64 = 20;

/// How much longer than beside harmless hosts anything may take.
///
/// That is for the program as it is used. A debug build takes several times as long for what a hostile page costs, and no
/// longer for what the network costs, so that this bound would judge the compiler: there it is only to be no other kind
/// of slowness (3.3 was seen on a quiet machine).
const DISTURBED: f64 = if cfg!(debug_assertions) { 6.0 } else { 2.0 };

pub fn site() -> Site {
    Site::start(|request| match request.path() {
        "/" => html(index((0..PAGES).map(|n| format!("/page-{n}")))),
        "/robots.txt" => status(404),
        _ => html("<title>well</title>").after_ms(THINKING_MS),
    })
}

/// A host that does no harm, in the place of one that does.
pub fn harmless(of: &Row) -> Row {
    const PIECE_MS: u64 = 500;
    // Somewhat less than the deadline, so that it ends well; and faster than what is too slow.
    let pieces = match of.time {
        Time::AtOnce => return row(of.name, [page("well")], "ok 200"),
        Time::Silence => 6,
        Time::Whole => 19,
    };
    let body = Step::Drip(vec![vec![b'z'; 400]; pieces], PIECE_MS);
    row(of.name, [head(&format!("200 OK\nContent-Length: {}", 400 * pieces)), body], "ok 200")
}

/// How the site was crawled, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    median: f64,
    ninth_tenth: f64,
    /// From its first page behind the seed to its last, by its own log.
    pages: f64,
}

impl Course {
    #[track_caller]
    pub fn of(site: &Site, records: &[Value]) -> Self {
        let its_own = records.iter().filter(|record| field(record, "host_key") == site.host());
        let mut requests: Vec<f64> = its_own
            .flat_map(|record| record["requests"].as_array().expect("requests"))
            .filter(|request| field(request, "url").contains("/page-"))
            .map(|request| request["ms"].as_f64().expect("a time"))
            .collect();
        requests.sort_by(f64::total_cmp);
        let log = site.log();
        let pages: Vec<_> = log.iter().filter(|hit| hit.target.starts_with("/page-")).collect();
        let (Some(first), Some(last)) = (pages.first(), pages.last()) else { panic!("no page of the site was asked") };
        Self {
            median: requests[requests.len() / 2],
            ninth_tenth: requests[requests.len() * 9 / 10],
            pages: last.arrived.duration_since(first.arrived).as_secs_f64() * 1000.0,
        }
    }

    /// What takes too long, beside what it takes otherwise.
    pub fn disturbed(&self, control: &Self) -> Option<String> {
        let pairs =
            [(self.median, control.median), (self.ninth_tenth, control.ninth_tenth), (self.pages, control.pages)];
        let is_disturbed = pairs.iter().any(|(beside, control)| *beside > DISTURBED * control);
        is_disturbed.then(|| format!("the healthy site is disturbed: {self:.1?}; beside harmless hosts {control:.1?}"))
    }
}

/// The pages of the site: all of them well, and asked once each.
pub fn judge(site: &Site, records: &[Value], faults: &mut Vec<String>) {
    let its_own = |record: &&Value| field(record, "host_key") == site.host();
    let well = records.iter().filter(its_own).filter(|record| verdict_of(record) == "ok 200").count();
    if well != PAGES + 1 || site.pages().len() != PAGES + 1 {
        faults.push(format!("the healthy site: {well} pages well, {} asked", site.pages().len()));
    }
}
