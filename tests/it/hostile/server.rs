//! The servers of the table: each does what its row says, byte by byte, over TCP or TLS.
//!
//! A row has an address of its own, and so a host of its own. The first connection of a host is honest, as long as
//! robots.txt is asked for before anything else: it says over a good certificate that there is none, and closes. So what
//! a record shows is what its page did, and not what happened to robots.txt; rows about robots.txt do without it.
//!
//! HTTP/2 is written by hand, frame by frame: no library would send what these rows send.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::table::{Certificate, Door, LENGTH, RELAY, Row, Step, redirect};

/// What nothing but a deadline ends comes at 800 kB a second, which are some 50,000 frames of HTTP/2: the command under
/// test is built without optimisation, and shares its processors with these servers.
const FLOOD: usize = 16 * 1024;
const FLOOD_PAUSE: Duration = Duration::from_millis(20);

/// The servers of some rows.
pub struct Cast {
    pub hosts: Vec<Arc<Host>>,
    directory: TempDir,
    runtime: Option<Runtime>,
}

/// The server of a row.
pub struct Host {
    pub row: Row,
    /// Address and port, as they stand in a URL.
    pub authority: String,
    /// Targets, in order of arrival; of HTTP/2 only that there was a request.
    asked: Mutex<Vec<String>>,
    connections: AtomicU64,
    /// Connections that do no harm, before the others.
    honest: u64,
    honest_tls: Option<TlsAcceptor>,
    tls: Option<TlsAcceptor>,
    names: Vec<(&'static str, String)>,
}

impl Host {
    pub fn url(&self) -> String {
        if let Door::Nowhere(url) = self.row.door {
            return url.to_owned();
        }
        let scheme = if matches!(self.row.door, Door::Tls(..) | Door::Http2 | Door::NoTls) { "https" } else { "http" };
        format!("{scheme}://{}/", self.authority)
    }

    /// What was asked beside robots.txt.
    pub fn pages(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().filter(|target| *target != "/robots.txt").cloned().collect()
    }
}

impl Cast {
    /// Servers for these rows; with `robots`, whoever comes is expected to ask for robots.txt first.
    pub fn start(rows: Vec<Row>, robots: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let authority = authority_of_certificates();
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("authority.pem"), authority.pem()).unwrap();
        let sockets: Vec<_> = rows
            .iter()
            .map(|_| {
                let listener = std::net::TcpListener::bind((own_address(), 0)).unwrap();
                listener.set_nonblocking(true).unwrap();
                (listener.local_addr().unwrap(), listener)
            })
            .collect();
        let at = |name: &str| {
            rows.iter().position(|row| row.name == name).map_or_else(String::new, |place| sockets[place].0.to_string())
        };
        let relay = at(RELAY);
        let mut hosts = Vec::new();
        for (row, (address, listener)) in rows.into_iter().zip(sockets) {
            let host = Arc::new(Host {
                authority: address.to_string(),
                asked: Mutex::default(),
                connections: AtomicU64::new(0),
                honest: u64::from(robots && !row.scripts_robots()),
                honest_tls: acceptor(&row.door, Some(Certificate::Good), address.ip(), &authority, false),
                tls: acceptor(&row.door, None, address.ip(), &authority, true),
                names: vec![("{self}", address.to_string()), ("{relay}", relay.clone())],
                row,
            });
            hosts.push(Arc::clone(&host));
            // Dropped: nobody listens there.
            if !matches!(host.row.door, Door::Closed | Door::Nowhere(_)) {
                runtime.spawn(listen(listener, host));
            }
        }
        Self { hosts, directory, runtime: Some(runtime) }
    }

    /// The certificate of the authority that vouches for the good ones.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        // Most of what runs in it never ends.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn own_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let fourth = u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 254).unwrap() + 1;
    let [.., high, low] = std::process::id().to_be_bytes();
    // Beside those of the scripted sites.
    Ipv4Addr::new(127, 251 + high % 4, low, fourth).into()
}

async fn listen(listener: std::net::TcpListener, host: Arc<Host>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let host = Arc::clone(&host);
        let honest = host.connections.fetch_add(1, Ordering::SeqCst) < host.honest;
        // An error is a client that has gone away.
        tokio::spawn(async move { drop(Box::pin(converse(stream, &host, honest)).await) });
    }
}

async fn converse(stream: TcpStream, host: &Host, honest: bool) -> std::io::Result<()> {
    let _ = stream.set_nodelay(true);
    if honest {
        return match &host.honest_tls {
            Some(tls) => honestly(tls.accept(stream).await?, host).await,
            None => honestly(stream, host).await,
        };
    }
    match (&host.row.door, &host.tls) {
        (Door::NoTls, _) => no_tls(stream, host).await,
        (Door::Http2, Some(tls)) => http2(tls.accept(stream).await?, host).await,
        (_, Some(tls)) => http1(tls.accept(stream).await?, host).await,
        (_, None) => http1(stream, host).await,
    }
}

/// There is no robots.txt.
async fn honestly(mut stream: impl Wire, host: &Host) -> std::io::Result<()> {
    if let Some(target) = request(&mut stream).await? {
        host.asked.lock().unwrap().push(target);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
        stream.shutdown().await?;
    }
    Ok(())
}

/// A port where https is expected: does its script after the first bytes.
async fn no_tls(mut stream: TcpStream, host: &Host) -> std::io::Result<()> {
    let mut hello = vec![0; 16 * 1024];
    let _ = stream.read(&mut hello).await?;
    host.asked.lock().unwrap().push("a handshake".to_owned());
    if act(&mut stream, host, host.row.script("/")).await? {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn http1(mut stream: impl Wire, host: &Host) -> std::io::Result<()> {
    if !act(&mut stream, host, &host.row.greeting).await? {
        return Ok(());
    }
    while let Some(target) = request(&mut stream).await? {
        host.asked.lock().unwrap().push(target.clone());
        if let (RELAY, Some(to)) = (host.row.name, target.strip_prefix("/to/")) {
            act(&mut stream, host, &[redirect(&format!("http://{to}"))]).await?;
        } else if !act(&mut stream, host, host.row.script(&target)).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// After the first request of a connection, does its script; what the client sends is read and dropped.
async fn http2(mut stream: TlsStream<TcpStream>, host: &Host) -> std::io::Result<()> {
    const HEADERS: u8 = 1;
    if !act(&mut stream, host, &host.row.greeting).await? {
        return Ok(());
    }
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        if head[3] == HEADERS {
            break;
        }
    }
    host.asked.lock().unwrap().push("/".to_owned());
    let (mut reading, mut writing) = tokio::io::split(stream);
    let reader = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    let go_on = act(&mut writing, host, host.row.script("/")).await?;
    if go_on {
        let _ = reader.await;
    }
    Ok(())
}

/// The target of the next request; None at the end of the connection. Nobody sends a body here.
async fn request(stream: &mut impl Wire) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    Ok(head.split(' ').nth(1).map(str::to_owned))
}

/// Does what a script says; false if that was the end of the connection.
async fn act(stream: &mut (impl AsyncWrite + Reset + Unpin), host: &Host, steps: &[Step]) -> std::io::Result<bool> {
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(&host.filled_in(bytes)).await?,
            Step::Times(times, bytes) => {
                // In large pieces: a write for each would be most of the work.
                let piece = bytes.repeat((64 * 1024 / bytes.len()).clamp(1, *times));
                let pieces = times * bytes.len() / piece.len();
                for _ in 0..pieces {
                    stream.write_all(&piece).await?;
                }
                let rest = times * bytes.len() - pieces * piece.len();
                stream.write_all(&piece[..rest]).await?;
            }
            Step::Endless(bytes) => {
                let piece = bytes.repeat((16 * 1024 / bytes.len()).max(1));
                loop {
                    stream.write_all(&piece).await?;
                    stream.flush().await?;
                }
            }
            Step::Flood(bytes) => {
                let piece = bytes.repeat((FLOOD / bytes.len()).max(1));
                loop {
                    stream.write_all(&piece).await?;
                    stream.flush().await?;
                    tokio::time::sleep(FLOOD_PAUSE).await;
                }
            }
            Step::Drip(bytes, pause) => {
                for piece in bytes {
                    stream.write_all(piece).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(*pause)).await;
                }
            }
            Step::Pause(time) => {
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(*time)).await;
            }
            Step::Silence => {
                stream.flush().await?;
                return std::future::pending().await;
            }
            Step::Close => {
                stream.shutdown().await?;
                return Ok(false);
            }
            Step::Reset => {
                stream.flush().await?;
                // What was sent should arrive before the reset does.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.reset();
                return Ok(false);
            }
        }
    }
    stream.flush().await?;
    Ok(true)
}

impl Host {
    /// A text with the names of hosts in it.
    fn filled_in<'a>(&self, bytes: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        const LONGEST: usize = 64 * 1024;
        match std::str::from_utf8(&bytes[..bytes.len().min(LONGEST)]) {
            Ok(text) if bytes.len() <= LONGEST && self.names.iter().any(|(name, _)| text.contains(name)) => {
                let text = self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
                let body = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
                let text = text.replace(LENGTH, &body.to_string());
                text.into_bytes().into()
            }
            _ => bytes.into(),
        }
    }
}

trait Reset {
    /// Closes with a reset instead of an end.
    fn reset(&self);
}

impl Reset for TcpStream {
    fn reset(&self) {
        self.set_zero_linger().unwrap();
    }
}

impl Reset for TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}

impl Reset for tokio::io::WriteHalf<TlsStream<TcpStream>> {
    fn reset(&self) {
        panic!("a row of HTTP/2 resets its stream, not the connection");
    }
}

trait Wire: AsyncRead + AsyncWrite + Reset + Unpin {}

impl<T: AsyncRead + AsyncWrite + Reset + Unpin> Wire for T {}

fn authority_of_certificates() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The TLS side of a row, with its own certificate or another one.
fn acceptor(
    door: &Door,
    other: Option<Certificate>,
    address: IpAddr,
    authority: &CertifiedIssuer<'static, KeyPair>,
    http2: bool,
) -> Option<TlsAcceptor> {
    let of_row = match door {
        Door::Tls(certificate) => *certificate,
        Door::Http2 | Door::NoTls => Certificate::Good,
        _ => return None,
    };
    let (chain, key) = issue(other.unwrap_or(of_row), address, authority);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    if http2 && matches!(door, Door::Http2) {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Some(TlsAcceptor::from(Arc::new(config)))
}

fn issue(
    kind: Certificate,
    address: IpAddr,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let name = if kind == Certificate::WrongName { "elsewhere.example".to_owned() } else { address.to_string() };
    let mut params = CertificateParams::new([name]).unwrap();
    if kind == Certificate::Expired {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    if kind == Certificate::NotYetValid {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match kind {
        Certificate::SelfSigned => params.self_signed(&key).unwrap(),
        Certificate::UnknownAuthority => params.signed_by(&key, &authority_of_certificates()).unwrap(),
        _ => params.signed_by(&key, authority).unwrap(),
    };
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}
