//! Names: who is asked, what the answers mean, and the guard over them, with a name server of our own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::server::{Act, Server, ok};
use super::*;
use crate::fetch::client::Dns;
use crate::fetch::dial::Family;
use crate::fetch::overrides::Overrides;
use crate::fetch::resolve::STRAGGLER;
use crate::model::record::SkipReason;
use dns::{NameServer, Says};

#[path = "../../../tests/it/support/dns.rs"]
mod dns;

fn asking(server: &NameServer) -> Client {
    client_with(|settings| settings.dns = Dns::Server(server.address()))
}

async fn page() -> Server {
    Server::start(|_| vec![ok("", b"page")]).await
}

fn guarded(url: &str) -> Request {
    Request { guarded: true, ..get(url) }
}

/// A loopback address for each name, but for the names that a test is about.
fn loopback(name: &str, _: usize) -> Says {
    match name {
        "missing.test" => Says::NoSuchName,
        "broken.test" => Says::Failure,
        "silent.test" => Says::Silence,
        "empty.test" => Says::addresses(&[], 60),
        "alias.test" => Says::Alias("real.test", vec!["127.0.0.1".parse().unwrap()]),
        "both.test" => Says::addresses(&["::1", "127.0.0.1"], 60),
        "mixed.test" => Says::addresses(&["93.184.216.34", "127.0.0.1"], 60),
        _ => Says::addresses(&["127.0.0.1"], 60),
    }
}

#[tokio::test]
async fn a_name_is_asked_once_while_its_answer_holds() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let client = asking(&names);
    let url = format!("http://page.test:{}/", server.address.port());
    let all = futures_util::future::join_all((0..20).map(|_| client.fetch(get(&url)))).await;
    assert!(all.iter().all(|attempt| status(attempt) == Some(200)), "{:?}", all[0].error);
    // Another port is another connection, to the same name.
    client.fetch(get("http://page.test:1/")).await;
    assert_eq!(names.times_asked("page.test"), 1);
    assert_eq!(server.connections(), 20);
}

#[tokio::test]
async fn a_job_with_a_proxy_of_its_own_or_none_asks_for_no_name_again() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let client = asking(&names);
    let url = format!("http://page.test:{}/", server.address.port());
    for proxy in [None, Some(""), None, Some("")] {
        let attempt = client.fetch(Request { proxy: proxy.map(Into::into), ..get(&url) }).await;
        assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error);
    }
    assert_eq!((names.times_asked("page.test"), server.connections()), (1, 1));
    // The name of a proxy is one like any other.
    let through = format!("http://page.test:{}", server.address.port());
    let attempt = client.fetch(Request { proxy: Some(through.into()), ..get("http://other.test/") }).await;
    assert_eq!(attempt.proxy.as_deref(), Some(&*format!("http://page.test:{}", server.address.port())));
    assert_eq!((names.times_asked("page.test"), names.times_asked("other.test")), (1, 0));
}

#[tokio::test]
async fn aliases_and_both_families_lead_to_the_server() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let client = asking(&names);
    for name in ["alias.test", "both.test", "alias.test."] {
        let attempt = client.fetch(get(&format!("http://{name}:{}/", server.address.port()))).await;
        assert_eq!(status(&attempt), Some(200), "{name}: {:?}", attempt.error);
    }
    let asked = names.asked();
    assert!(asked.contains(&"A both.test".to_owned()) && asked.contains(&"AAAA both.test".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn only_a_name_that_is_known_to_be_missing_fails_for_good() {
    let names = NameServer::start(loopback);
    let client = asking(&names);
    for (name, retryable, text) in [
        ("missing.test", false, "the name does not resolve"),
        ("empty.test", false, "the name does not resolve"),
        ("bad..name", false, "the name does not resolve"),
        ("broken.test", true, "the name server says: Server Failure"),
    ] {
        let attempt = client.fetch(get(&format!("http://{name}/"))).await;
        assert_fails(&attempt, ErrorKind::Dns, Stage::Dns, retryable);
        assert!(failure(&attempt).message.starts_with(text), "{name}: {}", failure(&attempt).message);
    }
    // A denial is known for a while, and is nobody's business again.
    let before = names.asked().len();
    client.fetch(get("http://missing.test/")).await;
    assert_eq!(names.asked().len(), before);
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_a_connect_timeout() {
    let names = NameServer::start(loopback);
    let client = client_with(|settings| {
        settings.dns = Dns::Server(names.address());
        settings.connect_timeout = Some(SHORT);
    });
    assert_fails(&client.fetch(get("http://silent.test/")).await, ErrorKind::Timeout, Stage::Connect, true);
}

#[tokio::test]
async fn no_name_server_is_asked_for_localhost() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let client = asking(&names);
    for name in ["localhost", "localhost.", "a.localhost"] {
        let url = format!("http://{name}:{}/", server.address.port());
        assert_eq!(status(&client.fetch(get(&url)).await), Some(200), "{name}");
        assert_eq!(client.fetch(guarded(&url)).await.refusal, Some(SkipReason::PrivateAddress), "{name}");
    }
    assert!(names.asked().is_empty());
}

#[tokio::test]
async fn the_guard_judges_what_a_name_stands_for() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let client = asking(&names);
    let url = |name: &str| format!("http://{name}:{}/", server.address.port());
    for name in ["page.test", "alias.test", "both.test"] {
        let attempt = client.fetch(guarded(&url(name))).await;
        assert_eq!((attempt.refusal, attempt.error), (Some(SkipReason::PrivateAddress), None), "{name}");
    }
    assert_eq!(server.connections(), 0);
    assert_eq!(status(&client.fetch(get(&url("page.test"))).await), Some(200));
}

#[tokio::test]
async fn a_guarded_request_takes_no_connection_that_an_unguarded_one_has_left() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let client = asking(&names);
    let url = format!("http://page.test:{}/", server.address.port());
    assert_eq!(status(&client.fetch(get(&url)).await), Some(200));
    assert_eq!(client.fetch(guarded(&url)).await.refusal, Some(SkipReason::PrivateAddress));
    // The control: another unguarded one does.
    assert_eq!(status(&client.fetch(get(&url)).await), Some(200));
    assert_eq!((server.connections(), server.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_denied_network_is_denied_to_typed_hosts_too() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let deny = |net: &str| {
        let denied = vec![net.parse().unwrap()];
        client_with(|settings| (settings.dns, settings.denied) = (Dns::Server(names.address()), denied))
    };
    let url = |host: &str| format!("http://{host}:{}/", server.address.port());
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "page.test", "localhost"] {
        let attempt = deny("127.0.0.0/8").fetch(get(&url(host))).await;
        // localhost has another family, where nobody listens.
        let refused = attempt.refusal == Some(SkipReason::PrivateAddress);
        assert!(refused || (host == "localhost" && attempt.error.is_some()), "{host}");
    }
    assert_eq!(server.connections(), 0);
    assert_eq!(status(&deny("10.0.0.0/8").fetch(get(&url("page.test"))).await), Some(200));
}

#[tokio::test]
async fn what_was_typed_to_be_connected_to_passes_the_guard_and_no_denied_network() {
    let (names, server) = (NameServer::start(loopback), page().await);
    let port = server.address.port();
    let resolve = |addresses: &str| Overrides::default().resolve(&[format!("typed.test:{port}:{addresses}")]).unwrap();
    let connect_to = |host: &str| Overrides::default().connect_to(&[format!("typed.test::{host}:")]).unwrap();
    let client = |overrides: Overrides, denied: &str| {
        client_at_home(|settings| {
            settings.dns = Dns::Server(names.address());
            settings.denied = vec![denied.parse().unwrap()];
            settings.dial.overrides = overrides;
        })
    };
    let url = format!("http://typed.test:{port}/");
    for typed in [resolve("127.0.0.1"), connect_to("127.0.0.1"), connect_to("page.test")] {
        let control = client(typed.clone(), "10.0.0.0/8").fetch(guarded(&url)).await;
        assert_eq!(status(&control), Some(200), "{typed:?} {:?}", control.error);
        let before = server.connections();
        for request in [get(&url), guarded(&url)] {
            let attempt = client(typed.clone(), "127.0.0.0/8").fetch(request).await;
            assert_eq!(attempt.refusal, Some(SkipReason::PrivateAddress), "{typed:?}");
        }
        assert_eq!(server.connections(), before, "{typed:?}");
    }
    // Of several addresses those that are left, of a literal what it is led to.
    let several = client(resolve("127.9.9.9,127.0.0.1"), "127.9.0.0/16");
    assert_eq!(status(&several.fetch(get(&url)).await), Some(200));
    let led = Overrides::default().connect_to(&["10.0.0.1::127.0.0.1:".to_owned()]).unwrap();
    let attempt = client(led, "10.0.0.0/8").fetch(get(&format!("http://10.0.0.1:{port}/"))).await;
    assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error);
}

#[tokio::test]
async fn a_socks_proxy_is_not_told_a_typed_address_of_a_denied_network() {
    let (proxy, told, _tasks) = socks().await;
    let client = |denied: &str| {
        client_at_home(|settings| {
            settings.denied = vec![denied.parse().unwrap()];
            settings.proxy = Some(vec![format!("socks5h://{proxy}")]);
            settings.dial.overrides =
                Overrides::default().resolve(&["typed.test:80:93.184.216.34".to_owned()]).unwrap();
        })
    };
    let attempt = client("93.184.216.0/24").fetch(get("http://typed.test/")).await;
    assert_eq!(attempt.refusal, Some(SkipReason::PrivateAddress), "{:?}", attempt.error);
    assert!(told.lock().unwrap().is_empty());
    client("10.0.0.0/8").fetch(get("http://typed.test/")).await;
    assert_eq!(told.lock().unwrap().pop(), Some(vec![1, 93, 184, 216, 34, 0, 80]), "the control");
}

#[tokio::test]
async fn a_family_has_only_its_own_addresses_and_is_waited_for() {
    let asked = AtomicUsize::new(0);
    let names = NameServer::start(move |name, before| {
        // The second question, that for IPv6, is answered later than another family is waited for.
        if name == "slow.test" && asked.fetch_add(1, Ordering::Relaxed) == 1 {
            std::thread::sleep(2 * STRAGGLER);
        }
        if name == "slow.test" { loopback("both.test", before) } else { loopback(name, before) }
    });
    let (v4, v6) = (page().await, TcpListener::bind("[::1]:0").await.unwrap());
    let client = |family: Family| {
        client_with(|settings| {
            settings.dns = Dns::Server(names.address());
            settings.dial.family = Some(family);
        })
    };
    let url = |name: &str| format!("http://{name}:{}/", v4.address.port());
    for name in ["both.test", "page.test"] {
        assert_eq!(status(&client(Family::V4).fetch(get(&url(name))).await), Some(200), "{name}");
    }
    let attempt = client(Family::V6).fetch(get(&url("page.test"))).await;
    assert_fails(&attempt, ErrorKind::Dns, Stage::Dns, false);
    assert_eq!(&*failure(&attempt).message, "there is no address of IPv6");
    assert_eq!(v4.connections(), 2);
    // Somebody comes to where only IPv6 leads.
    let late = client(Family::V6);
    let url = format!("http://slow.test:{}/", v6.local_addr().unwrap().port());
    tokio::select! {
        came = v6.accept() => { came.unwrap(); }
        attempt = late.fetch(get(&url)) => panic!("{:?}", attempt.error),
    }
}

/// A name that is public when it is asked for the first time, and never again.
fn rebinding(name: &str, before: usize) -> Says {
    match (name, before) {
        ("mixed.test", _) => Says::addresses(&["127.0.0.1", "93.184.216.34", "::1"], 0),
        (_, 0) => Says::addresses(&["93.184.216.34"], 0),
        _ => Says::addresses(&["127.0.0.1"], 0),
    }
}

/// A SOCKS5 proxy that refuses everything, and returns the address types and addresses it was told.
async fn socks() -> (std::net::SocketAddr, Arc<std::sync::Mutex<Vec<Vec<u8>>>>, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut greeting = [0; 64];
            let _ = stream.read(&mut greeting).await;
            let _ = stream.write_all(&[5, 0]).await;
            let length = stream.read(&mut greeting).await.unwrap_or(0);
            log.lock().unwrap().push(greeting[..length].get(3..).unwrap_or_default().to_vec());
            let _ = stream.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
    });
    (address, told, tasks)
}

#[tokio::test]
async fn a_socks_proxy_gets_an_address_that_was_checked_and_no_name() {
    let names = NameServer::start(rebinding);
    let (proxy, told, _tasks) = socks().await;
    let client = client_at_home(|settings| {
        settings.dns = Dns::Server(names.address());
        settings.proxy = Some(vec![format!("socks5h://{proxy}")]);
    });
    client.fetch(guarded("http://rebinding.test/")).await;
    // Type 1 is an IPv4 address.
    assert_eq!(told.lock().unwrap().pop(), Some(vec![1, 93, 184, 216, 34, 0, 80]));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let attempt = client.fetch(guarded("https://rebinding.test/")).await;
    assert_eq!(attempt.refusal, Some(SkipReason::PrivateAddress));
    assert!(told.lock().unwrap().is_empty());
    // Of a name that has both, the public one is used, wherever it stands.
    client.fetch(guarded("http://mixed.test/")).await;
    assert_eq!(told.lock().unwrap().pop(), Some(vec![1, 93, 184, 216, 34, 0, 80]));
    assert!(told.lock().unwrap().is_empty());
    // The control: who is not guarded leaves the name to the proxy. Type 3 is a name.
    client.fetch(get("http://page.test/")).await;
    assert_eq!(told.lock().unwrap().pop().map(|told| told[0]), Some(3));
}

#[tokio::test]
async fn a_name_that_an_http_proxy_looks_up_is_checked_before() {
    let proxied = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&proxied);
    let proxy = Server::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        vec![ok("", b"from the proxy"), Act::Close]
    })
    .await;
    let names = NameServer::start(|name, before| match name {
        "public.test" => Says::addresses(&["93.184.216.34"], 60),
        name => loopback(name, before),
    });
    let client = client_at_home(|settings| {
        settings.dns = Dns::Server(names.address());
        settings.proxy = Some(vec![proxy.address.to_string()]);
    });
    // The proxy may take either address of a name that has both.
    for name in ["page.test", "mixed.test"] {
        for scheme in ["http", "https"] {
            let attempt = client.fetch(guarded(&format!("{scheme}://{name}/"))).await;
            assert_eq!(attempt.refusal, Some(SkipReason::PrivateAddress), "{scheme} {name}");
            assert!(attempt.proxy.is_some());
        }
    }
    let unknown = client.fetch(guarded("http://missing.test/")).await;
    assert_fails(&unknown, ErrorKind::Dns, Stage::Dns, false);
    assert!(failure(&unknown).message.contains("--allow-private"));
    assert_eq!(proxied.load(Ordering::Relaxed), 0);
    assert_eq!(status(&client.fetch(guarded("http://public.test/")).await), Some(200));
    // The control: without the guard nobody asks for the name here.
    let before = names.asked().len();
    assert_eq!(status(&client.fetch(get("http://page.test/")).await), Some(200));
    assert_eq!(names.asked().len(), before);
}
