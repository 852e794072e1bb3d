//! How servers are reached: addresses, certificates, versions and pace, as the user has said.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use rcgen::IsCa;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::server::{Act, Identity, Server, ok, send};
use super::*;
use crate::fetch::client::ClientError;
use crate::fetch::dial::{Family, Interface};
use crate::fetch::overrides::Overrides;
use crate::model::record::SkipReason;

fn resolve(entries: &[String]) -> impl FnOnce(&mut ClientSettings) {
    let overrides = Overrides::default().resolve(entries).unwrap();
    |settings| settings.dial.overrides = overrides
}

pub(super) fn connect_to(entry: &str) -> Overrides {
    Overrides::default().connect_to(&[entry.to_owned()]).unwrap()
}

async fn plain() -> Server {
    Server::start(|_| vec![ok("", b"here")]).await
}

/// A file with this text, and the directory that holds it.
pub(super) fn file(text: &str) -> (PathBuf, TempDir) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file.pem");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    (path, directory)
}

#[tokio::test]
async fn resolve_leads_a_name_to_its_typed_address() {
    let server = plain().await;
    let port = server.address.port();
    let client = client_with(resolve(&[format!("name.invalid:{port}:127.0.0.1")]));
    let attempt = client.fetch(get(&format!("http://name.invalid:{port}/a"))).await;
    assert_eq!((status(&attempt), attempt.head.unwrap().remote_addr), (Some(200), Some(server.address)));
    assert!(server.requests()[0].contains(&format!("\r\nhost: name.invalid:{port}\r\n")), "{:?}", server.requests());
    // Another port of that name is looked up.
    let attempt = client.fetch(get(&format!("http://name.invalid:{}/", port ^ 1))).await;
    assert_eq!(failure(&attempt).kind, ErrorKind::Dns);
}

#[tokio::test]
async fn what_was_typed_passes_the_guard_and_nothing_else_does() {
    let server = plain().await;
    let port = server.address.port();
    let client = client_with(resolve(&[format!("name.invalid:{port}:127.0.0.1")]));
    let guarded = |url: &str| Request { guarded: true, ..get(url) };
    let attempt = client.fetch(guarded(&format!("http://name.invalid:{port}/"))).await;
    assert_eq!((status(&attempt), attempt.refusal), (Some(200), None));
    let attempt = client.fetch(guarded(&server.url("/"))).await;
    assert_eq!(attempt.refusal, Some(SkipReason::PrivateAddress));

    // The host that is connected to was typed.
    let overrides = connect_to(&format!("public.invalid:80:localhost:{port}"));
    let client = client_with(|settings| settings.dial.overrides = overrides);
    assert_eq!(status(&client.fetch(guarded("http://public.invalid/")).await), Some(200));
    // Only its port was.
    let overrides = connect_to(&format!("::  :{port}").replace(' ', ""));
    let client = client_with(|settings| settings.dial.overrides = overrides);
    for url in ["http://127.0.0.1/", "http://localhost/", "http://[::ffff:127.0.0.1]/"] {
        assert_eq!(client.fetch(guarded(url)).await.refusal, Some(SkipReason::PrivateAddress), "{url}");
    }
    assert_eq!(status(&client.fetch(get("http://127.0.0.1/")).await), Some(200), "the control");
}

#[tokio::test]
async fn connect_to_changes_neither_the_host_nor_the_name_of_the_certificate() {
    let identity = Identity::new(IsCa::NoCa);
    let server = Server::start_tls_as(|_| vec![ok("", b"")], &identity, None).await;
    let (authorities, _directory) = file(&identity.certificate());
    let client = client_with(|settings| {
        settings.dial.overrides = connect_to(&format!("::127.0.0.1:{}", server.address.port()));
        settings.tls.authorities = Some(authorities);
    });
    let attempt = client.fetch(get("https://localhost/")).await;
    assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error);
    assert!(server.requests()[0].contains("\r\nhost: localhost\r\n"), "{:?}", server.requests());
    let attempt = client.fetch(get("https://other.example/")).await;
    assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, false);
    assert!(failure(&attempt).message.ends_with("it is for another name"), "{:?}", attempt.error);
}

#[tokio::test]
async fn connect_to_does_not_lead_through_a_proxy() {
    let (proxy, server) = (plain().await, plain().await);
    let client = client_with(|settings| {
        settings.proxy = Some(vec![proxy.url("")]);
        settings.noproxy = Some("free.invalid".to_owned());
        settings.dial.overrides = connect_to(&format!(":80:127.0.0.1:{}", server.address.port()));
    });
    let attempt = client.fetch(get("http://led.invalid/")).await;
    assert_fails(&attempt, ErrorKind::Proxy, Stage::Connect, false);
    assert!(failure(&attempt).message.ends_with("--noproxy led.invalid"), "{:?}", attempt.error);
    assert!(attempt.proxy.is_some() && proxy.requests().is_empty());
    assert_eq!(status(&client.fetch(get("http://free.invalid/")).await), Some(200));
    assert_eq!((proxy.requests().len(), server.requests().len()), (0, 1));
    // Of another port, so it is led nowhere else.
    assert_eq!(status(&client.fetch(get("http://other.invalid:81/")).await), Some(200));
    assert_eq!((proxy.requests().len(), server.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_dead_address_does_not_keep_from_a_living_one() {
    let server = plain().await;
    let port = server.address.port();
    // The discard prefix (RFC 6666), and a closed port's own answer in the other order.
    for addresses in ["100::1,127.0.0.1", "127.0.0.1,100::1", "127.9.9.9,127.0.0.1"] {
        let client = client_with(resolve(&[format!("name.invalid:{port}:{addresses}")]));
        let attempt = client.fetch(get(&format!("http://name.invalid:{port}/"))).await;
        assert_eq!(status(&attempt), Some(200), "{addresses}: {:?}", attempt.error);
    }
}

#[tokio::test]
async fn only_addresses_of_the_family_are_connected_to() {
    let server = plain().await;
    let port = server.address.port();
    let name = format!("http://name.invalid:{port}/");
    for (family, addresses, reached) in
        [(Family::V4, "::1,127.0.0.1", true), (Family::V6, "127.0.0.1", false), (Family::V4, "::1", false)]
    {
        let client = client_with(|settings| {
            resolve(&[format!("name.invalid:{port}:{addresses}")])(settings);
            settings.dial.family = Some(family);
        });
        let attempt = client.fetch(get(&name)).await;
        assert_eq!(status(&attempt).is_some(), reached, "{family:?} {addresses} {:?}", attempt.error);
        if !reached {
            assert_fails(&attempt, ErrorKind::Dns, Stage::Dns, false);
            assert!(failure(&attempt).message.starts_with("there is no address of IPv"));
        }
    }
    // Names of a proxy too.
    let client = client_with(|settings| {
        settings.proxy = Some(vec![format!("proxy.invalid:{port}")]);
        resolve(&[format!("proxy.invalid:{port}:127.0.0.1")])(settings);
        settings.dial.family = Some(Family::V6);
    });
    assert!(client.fetch(get("http://a.invalid/")).await.error.is_some());
    let client = client_with(|settings| {
        settings.proxy = Some(vec![format!("proxy.invalid:{port}")]);
        resolve(&[format!("proxy.invalid:{port}:127.0.0.1")])(settings);
        settings.dial.family = Some(Family::V4);
    });
    assert_eq!(status(&client.fetch(get("http://a.invalid/")).await), Some(200));
}

#[tokio::test]
async fn connections_start_from_the_interface() {
    let identity = Identity::new(IsCa::NoCa);
    let from: IpAddr = "127.0.0.3".parse().unwrap();
    for tls in [false, true] {
        let server =
            if tls { Server::start_tls_as(|_| vec![ok("", b"")], &identity, None).await } else { plain().await };
        let client = client_with(|settings| {
            settings.dial.interface = Some(Interface::Address(from));
            settings.tls.insecure = true;
        });
        let scheme = if tls { "https" } else { "http" };
        let attempt = client.fetch(get(&format!("{scheme}://{}/", server.address))).await;
        assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error);
        assert_eq!(server.peers()[0].ip(), from);
    }
    // To a proxy, too.
    let proxy = plain().await;
    let client = client_with(|settings| {
        settings.dial.interface = Some(Interface::Address(from));
        settings.proxy = Some(vec![proxy.address.to_string()]);
    });
    client.fetch(get("http://a.invalid/")).await;
    assert_eq!(proxy.peers()[0].ip(), from);

    for interface in ["192.0.2.77", "if!no-such-interface"] {
        let mut settings = ClientSettings::default();
        settings.dial.interface = Some(Interface::parse(interface));
        let made = Client::with_variables(&settings, &ProxyVariables::default());
        assert!(matches!(made, Err(ClientError::Interface(_))), "{interface}");
    }
}

#[tokio::test]
async fn files_are_read_once_whatever_proxy_a_job_has() {
    let identity = Identity::new(IsCa::NoCa);
    let server = Server::start_tls_as(|_| vec![ok("", b"")], &identity, None).await;
    let (authorities, directory) = file(&identity.certificate());
    let client = client_with(|settings| settings.tls.authorities = Some(authorities));
    drop(directory);
    let request = get(&format!("https://localhost:{}/", server.address.port()));
    let attempt = client.fetch(Request { proxy: Some("".into()), ..request }).await;
    assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error);
}

#[tokio::test]
async fn the_given_authorities_are_the_only_ones() {
    let (leaf, authority) = (Identity::new(IsCa::NoCa), Identity::of_authority());
    for identity in [&leaf, &authority] {
        let server = Server::start_tls_as(|_| vec![ok("", b"")], identity, None).await;
        let url = format!("https://localhost:{}/", server.address.port());
        for (given, trusted) in [
            (&leaf, std::ptr::eq(identity, &raw const leaf)),
            (&authority, std::ptr::eq(identity, &raw const authority)),
        ] {
            let (authorities, _directory) = file(&given.certificate());
            let client = client_with(|settings| settings.tls.authorities = Some(authorities));
            let attempt = client.fetch(get(&url)).await;
            if trusted {
                assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error);
            } else {
                assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, false);
            }
        }
    }
    // One that is trusted as it is has to be for the host all the same.
    let server = Server::start_tls_as(|_| vec![ok("", b"")], &authority, None).await;
    let (authorities, _directory) = file(&authority.certificate());
    let client = client_with(|settings| {
        settings.tls.authorities = Some(authorities);
        settings.dial.overrides = connect_to(&format!("::127.0.0.1:{}", server.address.port()));
    });
    let attempt = client.fetch(get("https://other.example/")).await;
    assert!(failure(&attempt).message.ends_with("it is for another name"), "{:?}", attempt.error);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_credentials_may_go_and_nowhere_else() {
    let (identity, visitor) = (Identity::new(IsCa::NoCa), Identity::new(IsCa::NoCa));
    let server = Server::start_tls_as(|_| vec![ok("", b"welcome")], &identity, Some(&visitor)).await;
    let proxy = {
        let address = server.address;
        Server::start(move |_| vec![send("HTTP/1.1 200 Connected\r\n\r\n"), Act::Relay(address)]).await
    };
    let (both, _directory) = file(&format!("{}{}", visitor.certificate(), visitor.key()));
    let (certificate, _directory) = file(&visitor.certificate());
    let (key, _directory_of_key) = file(&visitor.key());
    let url = format!("https://localhost:{}/", server.address.port());
    for (certificate, key, proxied) in
        [(both.clone(), None, false), (certificate, Some(key), false), (both, None, true)]
    {
        let client = client_with(|settings| {
            settings.tls.certificate = Some(certificate);
            settings.tls.key = key;
            settings.tls.insecure = true;
            settings.proxy = proxied.then(|| vec![proxy.address.to_string()]);
        });
        let attempt = client.fetch(Request { credentials: true, ..get(&url) }).await;
        assert_eq!(&attempt.body.bytes[..], b"welcome", "{proxied} {:?}", attempt.error);
        let before = server.requests().len();
        let attempt = client.fetch(get(&url)).await;
        assert_eq!(
            (failure(&attempt).kind, server.requests().len()),
            (ErrorKind::Tls, before),
            "{proxied} {attempt:?}"
        );
    }
}

#[test]
fn files_that_are_no_use_are_told() {
    let (one, other) = (Identity::of_authority(), Identity::of_authority());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let cases = [
        (one.certificate(), Some(encrypted.to_owned()), "the key is encrypted"),
        (format!("{}{encrypted}", one.certificate()), None, "the key is encrypted"),
        (one.certificate(), Some(old.to_owned()), "the key is encrypted"),
        (one.certificate(), None, "--key names its file"),
        (one.certificate(), Some("nothing".to_owned()), "no private key in it"),
        (one.certificate(), Some(other.key()), "not that of the certificate"),
        (include_str!("version_1.pem").to_owned(), Some(other.key()), "not that of the certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            Some(one.key()),
            "not that of the certificate",
        ),
        ("0\u{2}\u{1}\u{3}".to_owned(), None, "PKCS#12"),
        ("nothing".to_owned(), None, "no PEM certificate"),
    ];
    for (certificate, key, expected) in cases {
        let (certificate, _directory) = file(&certificate);
        let key = key.map(|key| file(&key));
        let mut settings = ClientSettings::default();
        settings.tls.certificate = Some(certificate);
        settings.tls.key = key.as_ref().map(|(path, _)| path.clone());
        let error = Client::with_variables(&settings, &ProxyVariables::default()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with("--"), "{expected}: {error}");
    }
    let mut settings = ClientSettings::default();
    settings.tls.authorities = Some("/nonexistent/authorities.pem".into());
    let error = Client::with_variables(&settings, &ProxyVariables::default()).unwrap_err().to_string();
    assert!(error.starts_with("--cacert: /nonexistent/authorities.pem: "), "{error}");
}

/// A server that speaks both versions; the answer's body is the version.
async fn both_versions() -> (std::net::SocketAddr, JoinSet<()>) {
    use http_body_util::Full;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let acceptor = Identity::new(IsCa::NoCa).acceptor(None, &[b"h2", b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let stream = acceptor.accept(stream).await.unwrap();
            let is_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let version = format!("{:?}", request.version());
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::<bytes::Bytes>::from(version)))
            });
            open.spawn(async move {
                if is_2 {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    });
    (address, serving)
}

#[tokio::test]
async fn http_2_is_agreed_on_unless_1_is_asked_for() {
    let (address, _serving) = both_versions().await;
    let proxy = Server::start(move |_| vec![send("HTTP/1.1 200 Connected\r\n\r\n"), Act::Relay(address)]).await;
    for proxied in [false, true] {
        for (http1, version) in [(false, "HTTP/2"), (true, "HTTP/1.1")] {
            let client = client_with(|settings| {
                settings.tls.insecure = true;
                settings.tls.http1 = http1;
                settings.proxy = proxied.then(|| vec![proxy.address.to_string()]);
            });
            let attempt = client.fetch(get(&format!("https://localhost:{}/", address.port()))).await;
            let head = attempt.head.as_ref().unwrap_or_else(|| panic!("{:?}", attempt.error));
            assert_eq!(head.version, version, "{proxied}");
            assert_eq!(attempt.body.bytes.starts_with(b"HTTP/2"), !http1);
            assert!(proxied || head.remote_addr == Some(address));
        }
    }
}

#[tokio::test]
async fn many_requests_share_one_connection_of_http_2() {
    let (address, _serving) = both_versions().await;
    let client = client_with(|settings| settings.tls.insecure = true);
    let url = format!("https://127.0.0.1:{}/", address.port());
    // The first one tells that the server speaks it.
    assert!(client.fetch(get(&url)).await.timings.is_some());
    let attempts = futures_util::future::join_all((0..20).map(|_| client.fetch(get(&url)))).await;
    assert!(attempts.iter().all(|attempt| status(attempt) == Some(200) && attempt.timings.is_none()));
}

#[tokio::test]
async fn the_parts_of_a_connection_are_timed_once() {
    let server = plain().await;
    let port = server.address.port();
    let client = client();
    let url = format!("http://localhost:{port}/");
    let timings = client.fetch(get(&url)).await.timings.expect("a new connection");
    assert!(timings.dns.is_some() && timings.connect.is_some() && timings.tls.is_none(), "{timings:?}");
    assert!(client.fetch(get(&url)).await.timings.is_none(), "it is used again");
    // Another key of the pool, and nothing to look up.
    let timings = client.fetch(get(&server.url("/"))).await.timings.expect("a new connection");
    assert!(timings.dns.is_none() && timings.connect.is_some());

    let server = Server::start_tls(|_| vec![ok("", b"")]).await;
    let client = client_with(|settings| settings.tls.insecure = true);
    let url = format!("https://localhost:{}/", server.address.port());
    let attempt = client.fetch(get(&url)).await;
    let timings = attempt.timings.expect("a new connection");
    let all = timings.dns.unwrap() + timings.connect.unwrap() + timings.tls.unwrap();
    assert!(all <= attempt.first_byte.unwrap(), "{timings:?}");
    assert!(client.fetch(get(&url)).await.timings.is_none(), "it is used again");
}

#[tokio::test]
async fn of_a_connection_through_a_proxy_is_timed_what_the_stack_tells() {
    let server = Server::start_tls(|_| vec![ok("", b"")]).await;
    let target = server.address;
    let proxy = Server::start(move |request| {
        let tunnel = request.starts_with("CONNECT");
        if tunnel { vec![send("HTTP/1.1 200 Connected\r\n\r\n"), Act::Relay(target)] } else { vec![ok("", b"")] }
    })
    .await;
    let port = proxy.address.port();
    let through = |proxy: String| {
        client_with(|settings| {
            settings.proxy = Some(vec![proxy]);
            settings.tls.insecure = true;
        })
    };
    let named = through(format!("localhost:{port}"));
    let attempt = named.fetch(get("http://a.invalid/")).await;
    let timings = attempt.timings.expect("a new connection");
    assert!(timings.tls.is_none(), "{timings:?}");
    assert!(timings.dns.unwrap() + timings.connect.unwrap() <= attempt.first_byte.unwrap(), "{timings:?}");
    assert!(named.fetch(get("http://a.invalid/")).await.timings.is_none(), "it is used again");
    // Nothing to look up.
    let timings = through(proxy.address.to_string()).fetch(get("http://a.invalid/")).await.timings.expect("a new one");
    assert!(timings.dns.is_none() && timings.connect.is_some(), "{timings:?}");
    // TCP, the tunnel and TLS are one to the stack.
    let attempt = named.fetch(get("https://a.invalid/")).await;
    let timings = attempt.timings.expect("a new connection");
    assert!(timings.dns.is_some() && timings.connect.is_none() && timings.tls.is_none(), "{timings:?}");
}

/// The names of the fields of each request, in order.
fn fields(server: &Server) -> Vec<Vec<String>> {
    let names = |request: &String| {
        let lines = request.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.map(|(name, _)| name.to_ascii_lowercase()).collect()
    };
    server.requests().iter().map(names).collect()
}

#[tokio::test]
async fn the_host_is_named_first() {
    let ours = ["user-agent", "accept", "accept-encoding"];
    let first = [&["host"], &ours[..]].concat();
    // Plain, through a proxy, and over TLS where nothing but HTTP/1 is offered.
    let (plain, proxy) = (plain().await, plain().await);
    client().fetch(get(&plain.url("/"))).await;
    client_with(|settings| settings.proxy = Some(vec![proxy.address.to_string()]))
        .fetch(get("http://a.invalid/"))
        .await;
    let secure = Server::start_tls(|_| vec![ok("", b"")]).await;
    let url = format!("https://{}/", secure.address);
    let offering = |http1| client_with(move |settings| (settings.tls.insecure, settings.tls.http1) = (true, http1));
    offering(true).fetch(get(&url)).await;
    assert_eq!([fields(&plain), fields(&proxy), fields(&secure)].concat(), [&first[..]; 3]);
    // Else from the second request on: the first could have gone over HTTP/2, which has no such field.
    let client = offering(false);
    for _ in 0..3 {
        assert_eq!(status(&client.fetch(get(&url)).await), Some(200));
    }
    let last = [&ours[..], &["host"]].concat();
    assert_eq!(fields(&secure)[1..], [&last[..], &first, &first]);
}

#[tokio::test]
async fn a_limited_transfer_takes_its_time_and_is_neither_silent_nor_slow() {
    let body = vec![b'x'; 100_000];
    let server = Server::start(move |_| vec![ok("", &body)]).await;
    let limited = client_with(|settings| {
        settings.limit_rate = Some(200_000);
        settings.read_timeout = Some(SHORT);
        settings.lowest_speed = Some(LowestSpeed { bytes: 1_000_000, time: SHORT });
    });
    let attempt = limited.fetch(get(&server.url("/"))).await;
    assert_eq!((attempt.error.as_ref(), attempt.body.bytes.len()), (None, 100_000));
    assert!(attempt.elapsed >= Duration::from_millis(499), "{:?}", attempt.elapsed);
    // The whole time goes on.
    let request = Request { timeout: Some(SHORT), ..get(&server.url("/")) };
    assert_fails(&limited.fetch(request).await, ErrorKind::Timeout, Stage::Body, true);
    // The control: without the limit the whole body comes within that time.
    let request = Request { timeout: Some(Duration::from_millis(499)), ..get(&server.url("/")) };
    assert!(client().fetch(request).await.error.is_none());
}

/// The wait for the pace is over before the server goes on: what was waited is not held against it.
#[tokio::test]
async fn a_wait_for_the_pace_is_no_part_of_the_measure_of_speed() {
    let server = Server::start(|_| {
        let burst = Act::Drip(vec![b'x'; 8000], 2, Duration::from_millis(850));
        vec![send("HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n"), burst]
    })
    .await;
    let client = client_with(|settings| {
        settings.limit_rate = Some(10_000);
        settings.lowest_speed = Some(LowestSpeed { bytes: 1, time: Duration::from_millis(300) });
    });
    let attempt = client.fetch(get(&server.url("/"))).await;
    assert_eq!((attempt.error.as_ref(), attempt.body.bytes.len()), (None, 16_000));
}

#[tokio::test]
async fn bodies_stay_as_they_come_if_none_are_to_be_decoded() {
    let mut coded = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    coded.write_all(b"plain text").unwrap();
    let coded = coded.finish().unwrap();
    let body = coded.clone();
    let server = Server::start(move |_| vec![ok("Content-Encoding: gzip\r\n", &body)]).await;
    assert_eq!(&client().fetch(get(&server.url("/"))).await.body.bytes[..], b"plain text");
    assert!(server.requests()[0].contains("accept-encoding"));

    let client = client_with(|settings| settings.compressed = false);
    assert_eq!(&client.fetch(get(&server.url("/"))).await.body.bytes[..], &coded[..]);
    assert!(!server.requests()[1].to_lowercase().contains("accept-encoding"), "{:?}", server.requests());
    // A header of the user's own goes out, and changes nothing else.
    let headers = vec![(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))];
    assert_eq!(&client.fetch(Request { headers, ..get(&server.url("/")) }).await.body.bytes[..], &coded[..]);
    assert!(server.requests()[2].contains("accept-encoding: gzip"));
}

#[tokio::test]
async fn several_proxies_share_the_hosts() {
    let proxies = [plain().await, plain().await, plain().await];
    let client = client_with(|settings| {
        settings.proxy = Some(proxies.iter().map(|proxy| proxy.address.to_string()).collect());
    });
    let mut used = Vec::new();
    for _ in 0..2 {
        for host in 0..12 {
            let attempt = client.fetch(get(&format!("http://h{host}.invalid/"))).await;
            used.push(attempt.proxy.expect("a proxy"));
        }
    }
    assert_eq!(used[..12], used[12..], "a host stays with one");
    assert!(proxies.iter().all(|proxy| !proxy.requests().is_empty()), "{used:?}");
}
