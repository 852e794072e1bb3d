//! A scripted HTTP/1.1 server on loopback that logs what it is asked: one thread for each connection, keep-alive.
//!
//! Each server has an address of its own where the system allows it (Linux: all of 127/8), so that the port of a server
//! that died on purpose is not taken by another one, nor by an outgoing connection.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answer::{Answer, Reply, Request};
use super::log::Hit;

/// The first byte of a ClientHello; no method begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

type Script = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The server. It is closed, with all its connections, when dropped.
pub struct Site {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    script: Script,
    host: String,
    tls: Option<Arc<rustls::ServerConfig>>,
    hits: Mutex<Vec<Hit>>,
    asked: Mutex<HashMap<String, usize>>,
    open: Mutex<HashMap<u64, TcpStream>>,
    connections: AtomicU64,
    alive: AtomicBool,
}

fn own_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    // 254 servers at once have an address each; after that they share, with other ports.
    let fourth = u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 254).unwrap() + 1;
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 1 + high % 250, low, fourth).into()
}

fn spawn(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().spawn(work).expect("a thread for a test")
}

impl Site {
    /// A server that answers each request by this script.
    pub fn start<A: Into<Answer>>(script: impl Fn(&Request) -> A + Send + Sync + 'static) -> Self {
        Self::new(Box::new(move |request| script(request).into()), None, own_address())
    }

    /// The same over TLS, with a certificate that nobody vouches for. Only whole replies.
    pub fn start_tls<A: Into<Answer>>(script: impl Fn(&Request) -> A + Send + Sync + 'static) -> Self {
        Self::new(Box::new(move |request| script(request).into()), Some(self_signed()), own_address())
    }

    /// A server at a port of 127.0.0.1, which others have, too.
    pub fn start_beside_others<A: Into<Answer>>(script: impl Fn(&Request) -> A + Send + Sync + 'static) -> Self {
        Self::new(Box::new(move |request| script(request).into()), None, Ipv4Addr::LOCALHOST.into())
    }

    /// A server at a port of this address, which others have, too.
    pub fn start_at<A: Into<Answer>>(address: IpAddr, script: impl Fn(&Request) -> A + Send + Sync + 'static) -> Self {
        Self::new(Box::new(move |request| script(request).into()), None, address)
    }

    fn new(script: Script, tls: Option<Arc<rustls::ServerConfig>>, address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            script,
            host: address.to_string(),
            tls,
            hits: Mutex::default(),
            asked: Mutex::default(),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            alive: AtomicBool::new(true),
        });
        let listening = Mutex::new(Some(accept(listener, Arc::clone(&shared))));
        Self { address, scheme, shared, listening }
    }

    /// The URL of a path of this server.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its host key.
    pub fn host(&self) -> &str {
        &self.shared.host
    }

    /// From now on connections are refused; those that are open are cut.
    pub fn die(&self) {
        self.shared.alive.store(false, Ordering::SeqCst);
        // The accepting thread has to see it: one more connection wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.listening.lock().unwrap().take() {
            let _ = thread.join();
        }
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again on the same port.
    pub fn revive(&self) {
        let mut listening = self.listening.lock().unwrap();
        assert!(listening.is_none(), "the server is not dead");
        let listener = TcpListener::bind(self.address).unwrap();
        self.shared.alive.store(true, Ordering::SeqCst);
        *listening = Some(accept(listener, Arc::clone(&self.shared)));
    }

    /// Every request so far, in order of arrival.
    pub fn log(&self) -> Vec<Hit> {
        let mut hits = self.shared.hits.lock().unwrap().clone();
        hits.sort_by_key(|hit| hit.arrived);
        hits
    }

    /// Every request but those for robots.txt.
    pub fn pages(&self) -> Vec<Hit> {
        self.log().into_iter().filter(|hit| hit.target != "/robots.txt").collect()
    }

    /// Their targets, sorted.
    pub fn targets(&self) -> Vec<String> {
        let mut targets: Vec<_> = self.pages().into_iter().map(|hit| hit.target).collect();
        targets.sort_unstable();
        targets
    }

    pub fn hits(&self) -> usize {
        self.shared.hits.lock().unwrap().len()
    }

    /// Connections that were ever accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.die();
    }
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    spawn(move || {
        for stream in listener.incoming() {
            if !shared.alive.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let id = shared.connections.fetch_add(1, Ordering::SeqCst);
            let shared = Arc::clone(&shared);
            spawn(move || {
                let _ = stream.set_nodelay(true);
                if let Ok(clone) = stream.try_clone() {
                    shared.open.lock().unwrap().insert(id, clone);
                }
                // An error here is a client that has gone away: it stands in the log as an answer that ended.
                let _ = match shared.tls.clone() {
                    None => converse(stream, &shared),
                    Some(config) => converse_tls(stream, config, &shared),
                };
                shared.open.lock().unwrap().remove(&id);
            });
        }
    })
}

impl Shared {
    /// Writes the request into the log and asks the script. Returns the place in the log.
    fn begin(&self, head: &[u8], body: &[u8], arrived: Instant) -> (usize, Request, Answer) {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let target = first.next().unwrap_or_default().to_owned();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let nth = {
            let mut asked = self.asked.lock().unwrap();
            let count = asked.entry(target.clone()).or_insert(0);
            *count += 1;
            *count - 1
        };
        let total = {
            let mut hits = self.hits.lock().unwrap();
            hits.push(Hit {
                method: method.clone(),
                target: target.clone(),
                headers,
                body: body.to_vec(),
                arrived,
                ended: None,
            });
            hits.len() - 1
        };
        let request = Request { method, target, body: body.to_vec(), nth, total };
        let answer = (self.script)(&request);
        (total, request, answer)
    }

    fn end(&self, place: usize) {
        self.hits.lock().unwrap()[place].ended.get_or_insert_with(Instant::now);
    }
}

/// The end of a head in these bytes, if it is there: the index behind the empty line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn content_length(head: &[u8]) -> usize {
    String::from_utf8_lossy(head)
        .to_ascii_lowercase()
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0)
}

fn converse(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // The request is only looked at until its last byte: closing a socket with unread bytes is what sends a reset.
        let mut seen = 0;
        let mut arrived = None;
        let length = loop {
            let peeked = stream.peek(&mut buffer)?;
            if peeked == 0 {
                return Ok(());
            }
            arrived.get_or_insert_with(Instant::now);
            if buffer[0] == TLS_HANDSHAKE && shared.tls.is_none() {
                // As real servers do: whoever speaks TLS to a port of plain HTTP hears so at once.
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")?;
                return stream.shutdown(Shutdown::Both);
            }
            if let Some(length) = head_end(&buffer[..peeked]) {
                break length;
            }
            if peeked == seen {
                thread::sleep(Duration::from_millis(1));
            }
            seen = peeked;
        };
        let body_length = content_length(&buffer[..length]);
        let mut request = vec![0; length + body_length - 1];
        stream.read_exact(&mut request)?;
        let mut last = [0];
        if stream.peek(&mut last)? == 0 {
            return Ok(());
        }
        request.push(last[0]);
        let (place, asked, answer) =
            shared.begin(&request[..length], &request[length..], arrived.unwrap_or_else(Instant::now));
        if matches!(answer, Answer::Reset) {
            shared.end(place);
            return Ok(());
        }
        stream.read_exact(&mut last)?;
        let kept = give(&mut stream, &asked, answer, || shared.end(place));
        shared.end(place);
        if !kept? {
            return Ok(());
        }
    }
}

/// Answers up to this many bytes go into the socket's buffer at once.
const SHORT: usize = 16 * 1024;

/// Does what the script says; true if the connection goes on. `ends` is called when a short answer is about to be written:
/// once it is, the client may have it, and its next request may be here before this thread has a turn again.
fn give(stream: &mut TcpStream, request: &Request, answer: Answer, ends: impl Fn()) -> std::io::Result<bool> {
    const OPEN_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n";
    const LONG_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000000\r\n\r\n";
    match answer {
        Answer::Reply(reply) => {
            thread::sleep(reply.delay);
            let bytes = serialise(&reply, request);
            if bytes.len() <= SHORT {
                ends();
            }
            stream.write_all(&bytes)?;
            return Ok(true);
        }
        Answer::Hang => {
            // Until the client gives up, or the server dies.
            let mut rest = [0; 1024];
            while stream.read(&mut rest)? > 0 {}
        }
        Answer::Reset | Answer::Close => {}
        Answer::CloseMidBody => {
            stream.write_all(LONG_HEAD)?;
            stream.write_all(&[b'x'; 5000])?;
        }
        Answer::Drip(every) => {
            stream.write_all(LONG_HEAD)?;
            loop {
                thread::sleep(every);
                stream.write_all(b"x")?;
            }
        }
        Answer::Raw(bytes) => stream.write_all(&bytes)?,
        Answer::Endless => {
            stream.write_all(OPEN_HEAD)?;
            loop {
                stream.write_all(&[b'x'; 8 * 1024])?;
            }
        }
    }
    stream.shutdown(Shutdown::Both)?;
    Ok(false)
}

fn serialise(reply: &Reply, request: &Request) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {} Scripted\r\n", reply.status).into_bytes();
    for (name, value) in &reply.headers {
        // Header values may hold bytes that are not ASCII: each character is one byte (Latin-1).
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend(value.chars().map(|character| u8::try_from(character).unwrap_or(b'?')));
        out.extend_from_slice(b"\r\n");
    }
    let bodiless = matches!(reply.status, 204 | 304);
    if !bodiless {
        out.extend_from_slice(format!("Content-Length: {}\r\n", reply.body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    if !bodiless && request.method != "HEAD" {
        out.extend_from_slice(&reply.body);
    }
    out
}

fn self_signed() -> Arc<rustls::ServerConfig> {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

fn converse_tls(stream: TcpStream, config: Arc<rustls::ServerConfig>, shared: &Shared) -> std::io::Result<()> {
    let session = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(session, stream);
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while head_end(&head).is_none() {
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let arrived = Instant::now();
        let mut body = vec![0; content_length(&head)];
        stream.read_exact(&mut body)?;
        let (place, asked, answer) = shared.begin(&head, &body, arrived);
        let Answer::Reply(reply) = answer else { return Ok(()) };
        thread::sleep(reply.delay);
        let written = stream.write_all(&serialise(&reply, &asked)).and_then(|()| stream.flush());
        shared.end(place);
        written?;
    }
}
