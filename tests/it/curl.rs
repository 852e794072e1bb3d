//! curl and `lycosa fetch` side by side: with the same flags the same server, or proxy, sees the same.
//!
//! The servers here write down what a visitor shows: where it comes from, what it asks a proxy for, the name and the
//! certificate in its handshake, the version, and the request without the headers that name the program.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::support::*;

mod files;
mod flags;
mod limits;
mod redirects;
mod requests;
mod socks;

/// What was written down, one entry for each request.
type Log = Arc<Mutex<Vec<String>>>;

/// A server that writes down what it sees. It ends with the process.
struct Watcher {
    address: SocketAddr,
    log: Log,
}

impl Watcher {
    fn plain() -> Self {
        Self::start(None)
    }

    fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let seen = Arc::clone(&log);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { serve(tokio::net::TcpListener::from_std(listener).unwrap(), tls, seen).await });
        });
        Self { address, log }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    /// What has been seen since the last look.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

async fn serve(listener: tokio::net::TcpListener, tls: Option<TlsAcceptor>, log: Log) {
    while let Ok((stream, peer)) = listener.accept().await {
        let (tls, log) = (tls.clone(), Arc::clone(&log));
        tokio::spawn(async move {
            let Some(tls) = tls else {
                return converse(TokioIo::new(stream), false, format!("from {}", peer.ip()), log).await;
            };
            let Ok(stream) = tls.accept(stream).await else { return };
            let session = stream.get_ref().1;
            let name = session.server_name().unwrap_or("no name").to_owned();
            let shown = if session.peer_certificates().is_some() { "certificate" } else { "no certificate" };
            let is_2 = session.alpn_protocol() == Some(b"h2");
            converse(TokioIo::new(stream), is_2, format!("from {} for {name} with {shown}", peer.ip()), log).await;
        });
    }
}

async fn converse(
    stream: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    is_2: bool,
    visitor: String,
    log: Log,
) {
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (log, visitor) = (Arc::clone(&log), visitor.clone());
        async move {
            if request.method() == http::Method::CONNECT {
                let to = request.uri().to_string();
                write_down(&log, &visitor, &request.into_parts().0, &[]);
                // Nothing is behind this proxy: what it was asked for is all there is to see.
                let mut refusal = http::Response::new(Full::new(Bytes::from(to)));
                *refusal.status_mut() = http::StatusCode::FORBIDDEN;
                return Ok::<_, Infallible>(refusal);
            }
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            write_down(&log, &visitor, &head, &body);
            let path = head.uri.path();
            if path == "/slow" {
                tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            }
            Ok(answer(path))
        }
    });
    if is_2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
    }
}

/// Cookies by name: among those of one path each program has an order of its own, and curl joins several `-b` by ';' alone.
fn in_order(cookies: &str) -> String {
    let mut cookies: Vec<_> = cookies.split(';').map(str::trim).collect();
    cookies.sort_unstable();
    cookies.join("; ")
}

/// 30,000 bytes; `/to/CODE` leads to `/landed` and sets a cookie, `/chain/N` to `/chain/N-1` until that is 0.
fn answer(path: &str) -> http::Response<Full<Bytes>> {
    let length = if path == "/large" { 8_000_000 } else { 30_000 };
    let answer = http::Response::builder().header("content-type", "text/plain");
    let answer = match path.split('/').skip(1).collect::<Vec<_>>()[..] {
        ["to", code] => answer
            .status(code.parse::<u16>().unwrap())
            .header("location", "/landed")
            .header("set-cookie", "met=1; Path=/"),
        ["chain", left] if left != "0" => {
            let next = left.parse::<u32>().unwrap() - 1;
            answer.status(302).header("location", format!("/chain/{next}"))
        }
        _ => answer,
    };
    answer.body(Full::new(Bytes::from(vec![b'x'; length]))).unwrap()
}

fn write_down(log: &Log, visitor: &str, head: &http::request::Parts, body: &[u8]) {
    // What names the program, and what differs between the two by default and is judged elsewhere.
    const OWN: [&str; 2] = ["proxy-connection", "connection"];
    let is_own = |name: &str, value: &str| match name {
        "user-agent" => value.starts_with("curl/7") || value.starts_with("lycosa/0"),
        // All codings that the program knows; what a flag says is one of them, or none.
        "accept-encoding" => value.contains("zstd"),
        _ => OWN.contains(&name),
    };
    let mut headers: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, value)| !is_own(name.as_str(), &String::from_utf8_lossy(value.as_bytes())))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = if name == "cookie" { in_order(&value) } else { value.into_owned() };
            format!("{name}: {value}")
        })
        .collect();
    headers.sort();
    let codings = if head.headers.contains_key("accept-encoding") { "coded" } else { "plain" };
    let text = format!(
        "{visitor}: {:?} {} {} {headers:?} {codings} {}",
        head.version,
        head.method,
        head.uri,
        String::from_utf8_lossy(body)
    );
    log.lock().unwrap().push(text);
}

/// An authority, with what it has signed.
struct Authority {
    certificate: rcgen::Certificate,
    key: KeyPair,
    params: CertificateParams,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key, params }
    }

    /// Certificate and key for a name.
    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap(), key)
    }

    /// A server with a certificate for `site.example`, which asks for a certificate but does not insist.
    fn server(&self) -> Watcher {
        let (certificate, key) = self.sign("site.example");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Watcher::start(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Both programs with the same arguments, environment and files.
struct Both {
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    files: Vec<(&'static str, String)>,
    input: Option<&'static str>,
}

fn both(arguments: &[&str]) -> Both {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    Both { arguments, environment: Vec::new(), files: Vec::new(), input: None }
}

impl Both {
    fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn file(mut self, name: &'static str, content: impl Into<String>) -> Self {
        self.files.push((name, content.into()));
        self
    }

    /// What stands on standard input.
    fn input(mut self, input: &'static str) -> Self {
        self.input = Some(input);
        self
    }

    fn run(&self, mut command: Command) -> i32 {
        command = command.args(self.arguments.clone());
        for (name, value) in &self.environment {
            command = command.env(name, value.clone());
        }
        for (name, content) in &self.files {
            command = command.file(name, content);
        }
        if let Some(input) = self.input {
            command = command.stdin(input);
        }
        command.run().code
    }

    /// Runs curl, then lycosa, and gives what each has shown.
    #[track_caller]
    fn shown_to(&self, watchers: &[&Watcher]) -> [Vec<String>; 2] {
        let look = || watchers.iter().flat_map(|watcher| watcher.seen()).collect::<Vec<_>>();
        look();
        let curl = program("curl", ["-s", "--max-time", "20", "-o", "/dev/null"]);
        let curl = (self.run(curl) == 0, look());
        let own = (self.run(lycosa(["fetch", "--retries", "0"])) == 0, look());
        assert_eq!(curl.0, own.0, "{:?}: one succeeds, the other does not: {curl:?} {own:?}", self.arguments);
        [curl.1, own.1]
    }

    /// Both show these servers the same, in so many requests.
    #[track_caller]
    fn agree(&self, watchers: &[&Watcher], requests: usize) -> Vec<String> {
        let [curl, own] = self.shown_to(watchers);
        let agents = |seen: &[String]| seen.iter().map(|text| text.replace("] coded", "] plain")).collect::<Vec<_>>();
        assert_eq!(agents(&curl), agents(&own), "{:?}", self.arguments);
        assert_eq!(own.len(), requests, "{:?} {own:?}", self.arguments);
        own
    }
}

#[test]
fn resolve() {
    let site = Watcher::plain();
    let port = site.port();
    let url = format!("http://name.invalid:{port}/a?b");
    for entries in [
        vec![format!("name.invalid:{port}:127.0.0.1")],
        vec![format!("+NAME.invalid:{port}:127.0.0.1")],
        vec![format!("*:{port}:127.0.0.1")],
        vec![format!("name.invalid:{port}:[::1],127.0.0.1")],
        vec![format!("name.invalid:{port}:127.9.9.9"), format!("name.invalid:{port}:127.0.0.1")],
        vec![format!("other.invalid:{port}:127.9.9.9"), format!("*:{port}:127.0.0.1")],
    ] {
        let mut arguments = vec![url.as_str()];
        arguments.extend(entries.iter().flat_map(|entry| ["--resolve", entry.as_str()]));
        both(&arguments).agree(&[&site], 1);
    }
    // Taken back, for another port, and not at all.
    let (entry, back) = (format!("name.invalid:{port}:127.0.0.1"), format!("-name.invalid:{port}"));
    both(&[&url, "--resolve", &entry, "--resolve", &back]).agree(&[&site], 0);
    both(&[&url, "--resolve", "name.invalid:1:127.0.0.1"]).agree(&[&site], 0);
    for wrong in ["name.invalid", "name.invalid:x:127.0.0.1", "name.invalid:80:nowhere"] {
        lycosa(["fetch", "--resolve", wrong, &url]).run().exits(2);
    }
}

#[test]
fn connect_to() {
    let site = Watcher::plain();
    let port = site.port();
    for (url, entries) in [
        ("http://name.invalid/a", vec![format!("name.invalid:80:127.0.0.1:{port}")]),
        ("http://name.invalid/a", vec![format!("::localhost:{port}")]),
        ("http://127.0.0.1/a", vec![format!(":80::{port}")]),
        (
            "http://name.invalid:7/a",
            vec![format!("other.invalid:7:127.9.9.9:9"), format!("NAME.invalid::127.0.0.1:{port}")],
        ),
        ("http://name.invalid/a", vec![format!("::b.invalid:{port}"), format!("::127.9.9.9:9")]),
    ] {
        let mut arguments = vec![url];
        arguments.extend(entries.iter().flat_map(|entry| ["--connect-to", entry.as_str()]));
        let resolve = format!("b.invalid:{port}:127.0.0.1");
        arguments.extend(["--resolve", &resolve]);
        both(&arguments).agree(&[&site], 1);
    }
}

#[test]
fn interface_and_families() {
    let site = Watcher::plain();
    let port = site.port();
    let url = format!("http://127.0.0.1:{port}/");
    for interface in ["127.0.0.7", "lo", "if!lo", "host!127.0.0.8"] {
        both(&[&url, "--interface", interface]).agree(&[&site], 1);
    }
    both(&[&url, "--interface", "192.0.2.77"]).agree(&[&site], 0);
    both(&[&url, "--interface", "no-such-one"]).agree(&[&site], 0);

    let name = format!("http://name.invalid:{port}/");
    let (four, six, mixed) = ("name.invalid:P:127.0.0.1", "name.invalid:P:[::1]", "name.invalid:P:[::1],127.0.0.1");
    for (flag, entry, requests) in [
        ("-4", four, 1),
        ("-6", four, 0),
        ("-4", six, 0),
        ("-4", mixed, 1),
        ("--ipv4", mixed, 1),
        ("-6", mixed, 0),
        ("--ipv6", mixed, 0),
    ] {
        let entry = entry.replace('P', &port.to_string());
        both(&[&name, flag, "--resolve", &entry]).agree(&[&site], requests);
    }
    both(&[&name, "-6", "-4", "--resolve", &four.replace('P', &port.to_string())]).agree(&[&site], 1);
}

#[test]
fn certificates() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let site = trusted.server();
    let connect = format!("::127.0.0.1:{}", site.port());
    let to_site = ["https://site.example/", "--connect-to", &connect];
    let with = |more: &[&'static str]| {
        let arguments: Vec<&str> = to_site.iter().copied().chain(more.iter().copied()).collect();
        let (visitor, key) = trusted.sign("a visitor");
        both(&arguments)
            .file("ca.pem", trusted.certificate.pem())
            .file("other.pem", other.certificate.pem())
            .file("both.pem", format!("{}{}", visitor.pem(), key.serialize_pem()))
            .file("visitor.pem", visitor.pem())
            .file("visitor.key", key.serialize_pem())
    };
    with(&[]).agree(&[&site], 0);
    with(&["--cacert", "ca.pem"]).agree(&[&site], 1);
    with(&["--cacert", "other.pem"]).agree(&[&site], 0);
    with(&["--cacert", "missing.pem"]).agree(&[&site], 0);
    with(&["--cacert", "other.pem", "-k"]).agree(&[&site], 1);
    with(&["-k"]).agree(&[&site], 1);
    with(&["--insecure"]).agree(&[&site], 1);
    with(&[]).env("SSL_CERT_FILE", "ca.pem").agree(&[&site], 1);
    with(&[]).env("SSL_CERT_FILE", "other.pem").agree(&[&site], 0);
    for files in [
        &["--cert", "both.pem"][..],
        &["--cert", "both.pem:unused"],
        &["--cert", "visitor.pem", "--key", "visitor.key"],
    ] {
        let seen = with(&[&["--cacert", "ca.pem"], files].concat()).agree(&[&site], 1);
        assert!(seen[0].contains("for site.example with certificate"), "{seen:?}");
    }
    with(&["--cacert", "ca.pem", "--cert", "visitor.pem"]).agree(&[&site], 0);
    with(&["--cacert", "ca.pem", "--cert", "missing.pem"]).agree(&[&site], 0);
}

#[test]
fn versions() {
    let authority = Authority::new();
    let (site, plain) = (authority.server(), Watcher::plain());
    let connect = format!("::127.0.0.1:{}", site.port());
    for (flags, version) in [
        (&["--http1.1"][..], "HTTP/1.1"),
        (&["--http2"], "HTTP/2.0"),
        (&[], "HTTP/2.0"),
        (&["--http1.1", "--http2"], "HTTP/2.0"),
    ] {
        let mut arguments = vec!["https://site.example/a?b", "-k", "--connect-to", &connect, "-d", "body"];
        arguments.extend(flags);
        let seen = both(&arguments).agree(&[&site], 1);
        assert!(seen[0].contains(version), "{flags:?} {seen:?}");
    }
    // Over plain http curl offers an upgrade; lycosa asks for 1.1 and nothing else.
    let [curl, own] = both(&[&format!("http://{}/", plain.address), "--http2"]).shown_to(&[&plain]);
    assert!(curl[0].contains("upgrade: h2c") && !own[0].contains("upgrade") && own[0].contains("HTTP/1.1"), "{own:?}");
}

#[test]
fn codings_and_pace() {
    let site = Watcher::plain();
    let url = format!("http://{}/", site.address);
    // What curl does without a flag is ours with --no-compressed, and the other way round.
    let [curl, own] = both(&[&url, "--compressed"]).shown_to(&[&site]);
    assert!(curl[0].contains("] coded") && own[0].contains("] coded"), "{curl:?} {own:?}");
    let [curl, own] = both(&[&url, "--no-compressed"]).shown_to(&[&site]);
    assert_eq!(curl, own);
    assert!(own[0].contains("] plain"), "{own:?}");

    // 30,000 bytes at 10,000 a second: not before three seconds are over. The control has no limit.
    let record = lycosa(["fetch", "--limit-rate", "10000", &url]).run().exits(0).record();
    assert!(record["total_ms"].as_f64().unwrap() >= 2999.0, "{record}");
    let short = ["fetch", "--timeout", "2500ms", "--retries", "0"];
    lycosa(short).args(["--limit-rate", "10000", &url]).run().exits(1);
    lycosa(short).arg(&url).run().exits(0);
}

#[test]
fn proxies_with_and_without_exceptions() {
    let (proxy, site) = (Watcher::plain(), Watcher::plain());
    let direct = format!("http://{}/", site.address);
    let with_password = format!("http://us%40er:pa%3Ass@{}", proxy.address);
    let no_scheme = proxy.address.to_string();
    let watchers = [&proxy, &site];
    both(&["http://name.invalid/a?b", "--proxy", &with_password, "-d", "x"]).agree(&watchers, 1);
    both(&["http://name.invalid:8080/a?b", "-x", &no_scheme]).agree(&watchers, 1);
    both(&["https://name.invalid/", "-x", &with_password]).agree(&watchers, 1);
    for list in ["127.0.0.1", "*", "127.0.0.0/8", "x.example, 127.0.0.1", "10.0.0.0/8", ""] {
        both(&[&direct, "-x", &no_scheme, "--noproxy", list]).agree(&watchers, 1);
    }
    for list in ["name.invalid", ".invalid", "invalid", "NAME.INVALID", "other.invalid", "ame.invalid"] {
        let entry = format!("a.name.invalid:{}:127.0.0.1", site.port());
        let url = format!("http://a.name.invalid:{}/", site.port());
        both(&[&url, "-x", &no_scheme, "--noproxy", list, "--resolve", &entry]).agree(&watchers, 1);
    }
}

#[test]
fn proxies_of_the_environment() {
    let (proxy, other, site) = (Watcher::plain(), Watcher::plain(), Watcher::plain());
    let direct = format!("http://{}/", site.address);
    let watchers = [&proxy, &other, &site];
    let (first, second) = (proxy.address.to_string(), format!("http://u:p@{}", other.address));
    let environments: [&[(&'static str, &str)]; 9] = [
        &[("http_proxy", &first)],
        &[("HTTP_PROXY", &first)],
        &[("all_proxy", &second)],
        &[("ALL_PROXY", &second)],
        &[("http_proxy", &first), ("all_proxy", &second)],
        &[("http_proxy", ""), ("all_proxy", &second)],
        &[("http_proxy", &first), ("no_proxy", "127.0.0.0/8")],
        &[("http_proxy", &first), ("no_proxy", ""), ("NO_PROXY", "127.0.0.1")],
        &[("https_proxy", &first), ("HTTPS_PROXY", &second)],
    ];
    for url in [&direct, "https://name.invalid/"] {
        for environment in environments {
            let run = environment.iter().fold(both(&[url]), |run, (name, value)| run.env(name, *value));
            let [curl, own] = run.shown_to(&watchers);
            assert_eq!(curl.len(), own.len(), "{url} {environment:?}");
            let plain =
                |seen: &[String]| seen.iter().map(|text| text.replace("] coded", "] plain")).collect::<Vec<_>>();
            assert_eq!(plain(&curl), plain(&own), "{url} {environment:?}");
        }
        let run = both(&[url, "--noproxy", "x"]).env("all_proxy", first.clone()).env("no_proxy", "*");
        run.agree(&watchers, 1);
    }
}

/// curl takes the last of several; lycosa gives each host one of them.
#[test]
fn several_proxies_share_the_hosts() {
    let proxies = [Watcher::plain(), Watcher::plain()];
    let mut used = Vec::new();
    for _ in 0..2 {
        let urls = (0..8).map(|host| format!("http://h{host}.invalid/"));
        let run = lycosa(["fetch", "-x", &proxies[0].address.to_string(), "-x", &proxies[1].address.to_string()]);
        let records = run.args(urls).run().exits(0).records();
        let mut shares: Vec<_> =
            records.iter().map(|record| (field(record, "url").to_owned(), field(record, "proxy").to_owned())).collect();
        shares.sort();
        used.push(shares);
    }
    assert_eq!(used[0], used[1], "a host has the same one in every run");
    assert!(proxies.iter().all(|proxy| proxy.seen().len() >= 2));
}
