//! The whole demonstration in this process, without the command around it, and the same with a crawl that misbehaves.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use lycosa::crawl::{Crawl, Settings};
use lycosa::engine::stats::{HostSummary, Summary};
use lycosa::model::record::{Outcome, Record, RequestKind, SkipReason};

use super::site::Site;
use super::story::{self, Story};
use super::{Role, opening, script, settings};

struct Seen {
    site: Site,
    records: Vec<Record>,
    summary: Summary,
    story: Story,
}

impl Seen {
    fn host(&self, role: Role) -> &HostSummary {
        let key = self.site.address(role).to_string();
        self.summary.hosts.iter().find(|host| *host.host_key == *key).unwrap()
    }

    fn records_of(&self, role: Role) -> impl Iterator<Item = &Record> {
        let key = self.site.address(role).to_string();
        self.records.iter().filter(move |record| record.body_of.host_key.as_deref() == Some(&key))
    }
}

fn crawl(change: impl FnOnce(&mut Settings)) -> Seen {
    let site = Site::start(|_| {}).unwrap();
    let mut settings = settings(&site.start_url());
    change(&mut settings);
    let engine = settings.engine.clone();
    let mut run = Crawl::new(settings).unwrap().stream().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (records, summary) = runtime.block_on(async {
        let mut records = Vec::new();
        while let Some(record) = run.next().await {
            records.push(record);
        }
        (records, run.summary().await.unwrap())
    });
    let story = story::tell(&site, &engine, &summary);
    Seen { site, records, summary, story }
}

#[test]
fn every_host_ends_as_scripted() {
    let seen = crawl(|_| {});
    assert_eq!(seen.story.failures, Vec::<String>::new(), "{}", seen.story.text);

    let mut records: BTreeMap<String, u32> = BTreeMap::new();
    for record in &seen.records {
        *records.entry(record.body_of.url.as_deref().unwrap().to_owned()).or_default() += 1;
    }
    let expected = Role::ALL.into_iter().flat_map(|role| {
        let address = seen.site.address(role);
        script::paths(role).into_iter().map(move |path| (format!("http://{address}{path}"), 1))
    });
    assert_eq!(records, expected.collect());

    let host = seen.host(Role::Recovering);
    assert_eq!((host.opened, host.closed, host.given_up, host.failed, host.skipped), (1, 1, false, 0, 0));
    assert!(host.probes >= 2, "the first one fails");
    let probes = seen.records_of(Role::Recovering).flat_map(|record| &record.body_of.requests);
    assert!(probes.filter(|request| request.kind == RequestKind::Probe).count() >= 2);

    let host = seen.host(Role::Dead);
    assert!(host.opened == 1 && host.given_up && host.probes >= 3, "{host:?}");
    let ends = seen.records_of(Role::Dead).map(|record| (record.body_of.outcome, record.body_of.skip_reason));
    assert!(ends.filter(|end| *end == (Outcome::Skipped, Some(SkipReason::BreakerOpen))).count() >= 1);
}

/// The demonstration must be able to fail: each expectation that a flag stands for is missed without the flag.
#[test]
fn a_crawl_without_manners_is_found_out() {
    let seen = crawl(|settings| {
        settings.engine.obey_robots = false;
        settings.engine.breaker.failures = 0;
        settings.engine.retry.retries = 0;
    });
    let failures = seen.story.failures.join("\n");
    for expected in [
        "robots: 3 requests below /private/",
        "robots: asked 0.",
        "flaky: 9 pages came, 13 were expected",
        "recovering: its breaker never opened",
        "dead: it was not given up",
    ] {
        assert!(failures.contains(expected), "no '{expected}' in:\n{failures}");
    }
    assert!(!seen.story.text.contains("as scripted"), "{}", seen.story.text);
}

#[test]
fn the_opening_states_the_settings() {
    let site = Site::start(|_| {}).unwrap();
    let opening = opening(&site, &settings(&site.start_url()));
    assert!(opening.contains("--breaker-failures 5 --breaker-cooldown 1s"), "{opening}");
    for role in Role::ALL {
        assert!(opening.contains(&site.address(role).to_string()), "{opening}");
    }
}

#[test]
fn a_port_of_a_dead_host_resets_and_a_site_that_is_dropped_frees_its_ports() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    let ask = |address, path: &str| {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let site = Site::start(|_| {}).unwrap();
    let address = site.address(Role::Dead);
    assert!(ask(address, "/robots.txt").unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask(address, "/").unwrap().contains("/page-12"));
    for _ in 0..3 {
        assert!(ask(address, "/page-1").is_err());
    }
    let statuses: Vec<Option<u16>> =
        site.log(Role::Dead).iter().map(|seen| seen.answered.map(|(_, status)| status)).collect();
    assert_eq!(statuses, [Some(200), Some(200), None, None, None]);
    drop(site);
    assert!(TcpStream::connect(address).is_err());
}
