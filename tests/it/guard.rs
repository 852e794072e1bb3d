//! The ways from a page to 127.0.0.1 and to the metadata services of clouds, and that none of them leads there.
//!
//! Each way is a link (or a redirect, a sitemap, a base) with a path of its own. What listens at its end says whether anybody
//! came, and the record says why not. The same ways are tried once more with `--allow-private`, where those that can lead to
//! a listener do: so these tests can fail. What is not loopback is never asked, also not by a control; and these tests run in a
//! network where nothing else is, so that a guard that breaks does no harm either. Without such a network the ways that lead
//! off loopback are left out.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{
    NameServer, Network, Request, Says, Site, Socks, alone, field, html, index, lycosa, redirect, status, text,
};

/// What stands in the record of a way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    /// `skipped: private_address`; with `--allow-private` the listener is reached.
    Guarded,
    /// The same, but nobody listens there.
    Unheard,
    /// It is no way there at all: the name that it really leads to does not exist.
    Elsewhere,
}
use Ends::{Elsewhere, Guarded, Unheard};

/// Links as they stand in a page: `{4}` and `{6}` are the ports of the listeners of either family, `{w}` is the way's own
/// path.
const LINKS: &[(&str, Ends)] = &[
    // One address in the spellings that the URL standard knows.
    ("http://127.0.0.1:{4}/{w}", Guarded),
    ("http://127.1:{4}/{w}", Guarded),
    ("http://127.0.1:{4}/{w}", Guarded),
    ("http://2130706433:{4}/{w}", Guarded),
    ("http://0x7f000001:{4}/{w}", Guarded),
    ("http://0x7F.0x0.0x0.0x1:{4}/{w}", Guarded),
    ("http://0177.0.0.01:{4}/{w}", Guarded),
    ("http://017700000001:{4}/{w}", Guarded),
    ("http://0177.0.0x1:{4}/{w}", Guarded),
    ("http://127.0.0.1.:{4}/{w}", Guarded),
    ("http://0:{4}/{w}", Guarded),
    ("http://0.0.0.0:{4}/{w}", Guarded),
    ("http://\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}:{4}/{w}", Guarded),
    ("http://127\u{3002}0\u{3002}0\u{3002}1:{4}/{w}", Guarded),
    ("http://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}:{4}/{w}", Guarded),
    ("http://%31%32%37.0.0.1:{4}/{w}", Guarded),
    ("http://127.0.0.1:0{4}/{w}", Guarded),
    ("https://127.0.0.1:{4}/{w}", Unheard),
    // The user before the host, and hosts that only look like one.
    ("http://example.org@127.0.0.1:{4}/{w}", Guarded),
    ("http://example.org:80@127.0.0.1:{4}/{w}", Guarded),
    ("http:\\\\127.0.0.1:{4}\\{w}", Guarded),
    ("//127.0.0.1:{4}/{w}", Guarded),
    ("http:////127.0.0.1:{4}/{w}", Guarded),
    ("http://127.0.0.1:{4}\\@example.org/{w}", Guarded),
    ("http://127.0.0.1:{4}/{w}#@example.org/", Guarded),
    ("http://example.org\\@127.0.0.1:{4}/{w}", Elsewhere),
    ("http://127.0.0.1.example.org:{4}/{w}", Elsewhere),
    // Names that are loopback by definition.
    ("http://localhost:{4}/{w}", Guarded),
    ("http://LOCALHOST:{4}/{w}", Guarded),
    ("http://localhost.:{4}/{w}", Guarded),
    ("http://a.localhost:{4}/{w}", Guarded),
    ("http://a.b.localhost.:{4}/{w}", Guarded),
    ("http://\u{24db}\u{24de}\u{24d2}\u{24d0}\u{24db}\u{24d7}\u{24de}\u{24e2}\u{24e3}:{4}/{w}", Guarded),
    // IPv6, and the IPv4 addresses in it.
    ("http://[::1]:{6}/{w}", Guarded),
    ("http://[0:0:0:0:0:0:0:1]:{6}/{w}", Guarded),
    ("http://[::]:{6}/{w}", Guarded),
    ("http://[::ffff:127.0.0.1]:{4}/{w}", Guarded),
    ("http://[::ffff:7f00:1]:{4}/{w}", Guarded),
    ("http://[::127.0.0.1]:{4}/{w}", Unheard),
    ("http://[64:ff9b::7f00:1]:{4}/{w}", Unheard),
    ("http://[64:ff9b:1::7f00:1]:{4}/{w}", Unheard),
    ("http://[2002:7f00:1::]:{4}/{w}", Unheard),
    ("http://[2001:0:7f00:1::80ff:fffe]:{4}/{w}", Unheard),
    ("http://[::ffff:0:127.0.0.1]:{4}/{w}", Unheard),
    ("http://[fe80::1]:{4}/{w}", Unheard),
    // Metadata services.
    ("http://169.254.169.254:{4}/{w}", Unheard),
    ("http://2852039166:{4}/{w}", Unheard),
    ("http://0xa9fea9fe:{4}/{w}", Unheard),
    ("http://0251.0376.0251.0376:{4}/{w}", Unheard),
    ("http://169.254.43518:{4}/{w}", Unheard),
    ("http://[::ffff:a9fe:a9fe]:{4}/{w}", Unheard),
    ("http://[64:ff9b::a9fe:a9fe]:{4}/{w}", Unheard),
    ("http://[fd00:ec2::254]:{4}/{w}", Unheard),
    ("http://100.100.100.200:{4}/{w}", Unheard),
    ("http://168.63.129.16:{4}/{w}", Unheard),
    ("http://192.0.0.192:{4}/{w}", Unheard),
    ("http://metadata.google.internal:{4}/{w}", Unheard),
    // What name servers answer.
    ("http://a.test:{4}/{w}", Guarded),
    ("http://me:secret@a.test.:{4}/{w}", Guarded),
    ("http://aaaa.test:{6}/{w}", Guarded),
    ("http://mapped.test:{4}/{w}", Guarded),
    ("http://nat64.test:{4}/{w}", Unheard),
    ("http://alias.test:{4}/{w}", Guarded),
    ("http://dangling.test:{4}/{w}", Guarded),
    ("http://both.test:{4}/{w}", Guarded),
    ("http://bücher.test:{4}/{w}", Guarded),
    ("http://missing.test:{4}/{w}", Elsewhere),
];

/// Redirects of the page's own host: code and target.
const REDIRECTS: &[(u16, &str, Ends)] = &[
    (301, "http://127.0.0.1:{4}/{w}", Guarded),
    (302, "http://0x7f.1:{4}/{w}", Guarded),
    (303, "http://localhost:{4}/{w}", Guarded),
    (307, "http://a.test:{4}/{w}", Guarded),
    (308, "http://[::1]:{6}/{w}", Guarded),
    (302, "//127.0.0.1:{4}/{w}", Guarded),
    (302, "/hop/{4}/{w}", Guarded),
    (301, "http://169.254.169.254:{4}/{w}", Unheard),
];

/// What the name server of these tests knows; the page's host is `start.test`, which a proxy may be asked for.
fn names(name: &str, _: usize) -> Says {
    match name {
        "a.test" | "xn--bcher-kva.test" | "start.test" => Says::addresses(&["127.0.0.1"], 60),
        "aaaa.test" => Says::addresses(&["::1"], 60),
        "both.test" => Says::addresses(&["::1", "127.0.0.1"], 60),
        "mapped.test" => Says::addresses(&["::ffff:127.0.0.1"], 60),
        "nat64.test" => Says::addresses(&["64:ff9b::7f00:1"], 60),
        "alias.test" => Says::Alias("localhost", vec![Ipv4Addr::LOCALHOST.into()]),
        "dangling.test" => Says::Alias("localhost", Vec::new()),
        "metadata.google.internal" => Says::addresses(&["169.254.169.254"], 60),
        _ => Says::NoSuchName,
    }
}

/// Which of the ways are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Which {
    All,
    /// Those that lead nowhere else, guard or no guard.
    OnLoopback,
    /// Those that end at a listener, for a control.
    Heard,
}

impl Which {
    fn new(network: Network, guarded: bool) -> Self {
        match (network, guarded) {
            (_, false) => Self::Heard,
            (Network::Own, true) => Self::All,
            (Network::Shared, true) => Self::OnLoopback,
        }
    }

    fn has(self, ends: Ends) -> bool {
        match self {
            Self::All => true,
            Self::OnLoopback => ends != Unheard,
            Self::Heard => ends == Guarded,
        }
    }
}

/// One way: the path that only it has, and how it ends.
struct Way {
    path: String,
    shown: String,
    ends: Ends,
}

/// The ways with their ports, and the page and the redirects that they start from.
struct Ways {
    all: Vec<Way>,
    hrefs: Vec<String>,
    targets: Vec<(u16, String)>,
    port: u16,
    /// Where the page is, without a path.
    origin: OnceLock<String>,
}

impl Ways {
    fn new(v4: u16, v6: u16, which: Which) -> Self {
        let (mut all, mut hrefs, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let fill = |template: &str, path: &str| {
            template.replace("{4}", &v4.to_string()).replace("{6}", &v6.to_string()).replace("{w}", path)
        };
        let links = LINKS.iter().map(|(link, ends)| (None, *link, *ends));
        let redirects = REDIRECTS.iter().map(|(code, target, ends)| (Some(*code), *target, *ends));
        for (number, (code, template, ends)) in links.chain(redirects).enumerate() {
            if !which.has(ends) {
                continue;
            }
            let path = format!("way-{number:03}");
            let link = fill(template, &path);
            match code {
                None => hrefs.push(link),
                Some(code) => {
                    hrefs.push(format!("/from/{}/{path}", targets.len()));
                    targets.push((code, link));
                }
            }
            all.push(Way { path, shown: template.to_owned(), ends });
        }
        for path in ["way-base", "way-refresh", "way-sitemap"] {
            all.push(Way { path: path.to_owned(), shown: path.to_owned(), ends: Guarded });
        }
        hrefs.extend(["/base".to_owned(), "/refresh".to_owned()]);
        Self { all, hrefs, targets, port: v4, origin: OnceLock::new() }
    }

    /// The site that the ways start from. `target` may be a whole URL, as proxies get it.
    fn page(&self, target: &str) -> crate::support::Reply {
        let path = target.strip_prefix("http://start.test").unwrap_or(target);
        let port = self.port;
        let parts: Vec<&str> = path.split('/').collect();
        match parts[1..] {
            [""] => html(index(self.hrefs.iter().map(String::as_str))),
            ["base"] => html(format!("<base href='http://127.0.0.1:{port}/'><a href='way-base'>x</a>")),
            ["refresh"] => {
                html(format!("<meta http-equiv=refresh content='0; url=http://127.0.0.1:{port}/way-refresh'>"))
            }
            ["robots.txt"] => text(format!("Sitemap: {}/sitemap.xml", self.origin.get().unwrap())),
            ["sitemap.xml"] => text(format!(
                "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><url>\
                 <loc>http://127.0.0.1:{port}/way-sitemap</loc></url></urlset>"
            )),
            ["from", number, ..] => {
                let (code, target) = &self.targets[number.parse::<usize>().unwrap()];
                redirect(*code, target)
            }
            ["hop", port, path] => redirect(307, format!("http://127.0.0.1:{port}/{path}")),
            _ => status(404),
        }
    }

    /// Each way has its record, which says why it ended.
    #[track_caller]
    fn assert_refused(&self, records: &[Value]) {
        let mut wrong = Vec::new();
        for way in &self.all {
            let of_way = |record: &&Value| field(record, "url").contains(&way.path);
            let Some(record) = records.iter().find(of_way) else {
                wrong.push(format!("{}: no record", way.shown));
                continue;
            };
            let end = (field(record, "outcome"), field(record, "skip_reason"), field(&record["error"], "kind"));
            let right = match way.ends {
                Guarded | Unheard => end == ("skipped", "private_address", ""),
                Elsewhere => end == ("failed", "", "dns"),
            };
            if !right {
                wrong.push(format!("{}: {end:?} {record}", way.shown));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// The ways whose path a listener was asked for.
    fn taken(&self, asked: impl IntoIterator<Item = String>) -> BTreeSet<&str> {
        let asked: Vec<_> = asked.into_iter().collect();
        let paths = self.all.iter().map(|way| way.path.as_str());
        paths.filter(|path| asked.iter().any(|target| target.ends_with(path))).collect()
    }

    fn paths(&self) -> BTreeSet<&str> {
        self.all.iter().map(|way| way.path.as_str()).collect()
    }
}

/// What listens at the ends of the ways, and logs.
struct Ends4And6 {
    v4: Site,
    v6: Site,
}

impl Ends4And6 {
    fn start() -> Self {
        let answer = |request: &Request| if request.target == "/robots.txt" { status(404) } else { html("") };
        Self {
            v4: Site::start_at(Ipv4Addr::LOCALHOST.into(), answer),
            v6: Site::start_at(Ipv6Addr::LOCALHOST.into(), answer),
        }
    }

    fn ways(&self, network: Network, guarded: bool) -> Ways {
        Ways::new(self.v4.port(), self.v6.port(), Which::new(network, guarded))
    }

    fn asked(&self) -> Vec<String> {
        [&self.v4, &self.v6].iter().flat_map(|site| site.targets()).collect()
    }

    fn connections(&self) -> u64 {
        self.v4.connections() + self.v6.connections()
    }
}

const CRAWL: [&str; 8] = ["crawl", "--scope", "any", "--sitemaps", "--retries", "0", "--ip-concurrency", "none"];

#[test]
fn no_way_leads_from_a_page_to_loopback_or_metadata() {
    alone("guard::no_way_leads_from_a_page_to_loopback_or_metadata", from_a_page);
}

fn from_a_page(network: Network) {
    let (ends, server) = (Ends4And6::start(), NameServer::start(names));
    let dns = server.address().to_string();
    for guarded in [true, false] {
        let ways = std::sync::Arc::new(ends.ways(network, guarded));
        assert!(ways.all.len() > 40, "{}", ways.all.len());
        let pages = std::sync::Arc::clone(&ways);
        let site = Site::start(move |request| pages.page(&request.target));
        ways.origin.set(site.url("")).unwrap();
        let flags = (!guarded).then_some("--allow-private");
        let run = lycosa(CRAWL).args(["--dns", &dns, &site.url("/")]).args(flags).run();
        if guarded {
            ways.assert_refused(&run.records());
            assert_eq!(ends.connections(), 0, "{:?}", ends.asked());
        } else {
            assert_eq!(ways.taken(ends.asked()), ways.paths(), "the control takes every way");
        }
    }
}

#[test]
fn no_way_leads_there_through_an_http_proxy() {
    alone("guard::no_way_leads_there_through_an_http_proxy", through_an_http_proxy);
}

fn through_an_http_proxy(network: Network) {
    let (ends, server) = (Ends4And6::start(), NameServer::start(names));
    let dns = server.address().to_string();
    for guarded in [true, false] {
        let ways = std::sync::Arc::new(ends.ways(network, guarded));
        let pages = std::sync::Arc::clone(&ways);
        let proxy = Site::start(move |request| {
            if request.target.starts_with("http://start.test") { pages.page(&request.target) } else { html("") }
        });
        ways.origin.set("http://start.test".to_owned()).unwrap();
        let flags = (!guarded).then_some("--allow-private");
        let run = lycosa(CRAWL).args(["--dns", &dns, "-x", &proxy.url(""), "http://start.test/"]).args(flags).run();
        let asked = proxy.targets().into_iter().filter(|target| !target.starts_with("http://start.test"));
        if guarded {
            ways.assert_refused(&run.records());
            assert_eq!(asked.collect::<Vec<_>>(), Vec::<String>::new());
            assert_eq!(server.times_asked("start.test"), 0, "the proxy knows where the typed host is");
        } else {
            assert_eq!(ways.taken(asked), ways.paths(), "the control takes every way");
        }
        assert_eq!(ends.connections(), 0, "the proxy of this test leads nowhere");
    }
}

#[test]
fn no_way_leads_there_through_a_socks_proxy() {
    alone("guard::no_way_leads_there_through_a_socks_proxy", through_a_socks_proxy);
}

fn through_a_socks_proxy(network: Network) {
    let (ends, server) = (Ends4And6::start(), NameServer::start(names));
    let dns = server.address().to_string();
    for guarded in [true, false] {
        let ways = std::sync::Arc::new(ends.ways(network, guarded));
        let pages = std::sync::Arc::clone(&ways);
        let site = Site::start(move |request| pages.page(&request.target));
        ways.origin.set("http://start.test".to_owned()).unwrap();
        let proxy = Socks::start(site.address());
        let flags = (!guarded).then_some("--allow-private");
        let run = lycosa(CRAWL).args(["--dns", &dns, "-x", &proxy.url(), "http://start.test/"]).args(flags).run();
        let elsewhere = proxy.told().into_iter().filter(|host| host != "start.test").count();
        if guarded {
            ways.assert_refused(&run.records());
            assert_eq!((elsewhere, ends.connections()), (0, 0), "{:?}", proxy.told());
        } else {
            assert_eq!(ways.taken(ends.asked()), ways.paths(), "the control takes every way");
            assert!(proxy.told().contains(&"a.test".to_owned()), "the proxy gets names: {:?}", proxy.told());
        }
    }
}

#[test]
fn a_name_that_changes_between_two_look_ups_is_judged_by_the_second_too() {
    alone("guard::a_name_that_changes_between_two_look_ups_is_judged_by_the_second_too", |_| a_name_that_changes());
}

fn a_name_that_changes() {
    let ends = Ends4And6::start();
    let site = {
        let link = |path: &str| format!("http://changing.test:{}/{path}", ends.v4.port());
        let links = [link("first"), link("second")];
        Site::start(move |_: &Request| html(index(&links)))
    };
    for guarded in [true, false] {
        // Public at first, and to be forgotten at once. The proxy goes there for nobody.
        let server = NameServer::start(|name, before| match (name, before) {
            ("changing.test", 0) => Says::addresses(&["93.184.216.34"], 0),
            ("changing.test", _) => Says::addresses(&["127.0.0.1"], 0),
            _ => Says::NoSuchName,
        });
        let (proxy, dns) = (Socks::start(site.address()), server.address().to_string());
        let flags = ["crawl", "--scope", "any", "--robots", "ignore", "--retries", "0", "--delay", "1500ms"];
        let run = lycosa(flags).args(["--dns", &dns, "-x", &proxy.url(), "http://start.test/"]);
        let records = run.args((!guarded).then_some("--allow-private")).run().records();
        let of = |path: &str| records.iter().find(|record| field(record, "url").ends_with(path)).expect("a record");
        if guarded {
            assert_eq!(field(&of("/first")["error"], "kind"), "proxy", "{}", of("/first"));
            assert_eq!(field(of("/second"), "skip_reason"), "private_address", "{}", of("/second"));
            assert_eq!(proxy.told(), ["start.test", "93.184.216.34"]);
            assert_eq!(ends.connections(), 0);
        } else {
            assert!(["/first", "/second"].iter().all(|path| field(of(path), "outcome") == "ok"));
            assert!(ends.connections() > 0, "the control gets there, by its name");
        }
    }
}

#[test]
fn a_denied_network_is_closed_to_typed_hosts_and_to_allow_private() {
    let open = Site::start(|_: &Request| html(""));
    let network = format!("{}/32", open.host().split(':').next().unwrap());
    let flags = ["fetch", "--allow-private", "--deny-cidr"];
    let record = lycosa(flags).args([&network, &open.url("/")]).run().exits(0).record();
    assert_eq!((field(&record, "outcome"), field(&record, "skip_reason")), ("skipped", "private_address"));
    assert_eq!(open.connections(), 0);
    // The control: another network.
    lycosa(flags).args(["192.0.2.0/24", &open.url("/")]).run().exits(0);
    let told = lycosa(flags).args(["192.0.2.0/33", &open.url("/")]).run().exits(2).stderr;
    assert!(told.contains("--deny-cidr: '192.0.2.0/33' is not a network"), "{told}");
}

#[test]
fn names_are_asked_once_for_a_host_and_by_whom_the_flag_says() {
    let server = NameServer::start(|name, _| match name {
        "flaky.test" => Says::Failure,
        "silent.test" => Says::Silence,
        name => names(name, 0),
    });
    let dns = server.address().to_string();
    let site = Site::start_at(Ipv4Addr::LOCALHOST.into(), |_: &Request| html(""));
    let urls = (0..50).map(|number| format!("http://a.test:{}/{number}", site.port()));
    let run =
        lycosa(["fetch", "--dns", &dns, "-j", "50", "--host-concurrency", "50"]).lines(urls).arg("-i").arg("-").run();
    assert_eq!(run.exits(0).records().len(), 50);
    assert_eq!(server.times_asked("a.test"), 1);

    let fetch = ["fetch", "--dns", &dns, "--retries", "1"];
    let records = lycosa(fetch).args(["http://missing.test/", "http://flaky.test/"]).run().exits(1).records();
    let of = |name: &str| records.iter().find(|record| field(record, "url").contains(name)).expect("a record");
    for (name, retryable, requests) in [("missing.test", false, 1), ("flaky.test", true, 2)] {
        let record = of(name);
        assert_eq!(field(&record["error"], "kind"), "dns", "{record}");
        assert_eq!(record["error"]["retryable"], retryable, "{record}");
        assert_eq!(record["requests"].as_array().map(Vec::len), Some(requests), "{record}");
    }
    let silent = ["fetch", "--dns", &dns, "--retries", "0", "--connect-timeout", "200ms", "http://silent.test/"];
    let record = lycosa(silent).run().exits(1).record();
    assert_eq!((field(&record["error"], "kind"), field(&record["error"], "stage")), ("timeout", "connect"));
    // The system has never heard of this name server.
    let asked = server.asked().len();
    lycosa(["fetch", "--dns", "system", "--retries", "0", "http://localhost:1/"]).run().exits(1);
    assert_eq!(server.asked().len(), asked);
    let told = lycosa(["fetch", "--dns", "sytem", "http://h/"]).run().exits(2).stderr;
    assert!(told.contains("did you mean 'system'?"), "{told}");
}
