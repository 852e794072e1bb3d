//! A scripted name server on loopback (UDP), that logs what it is asked.
//!
//! It knows as much of RFC 1035 as a stub resolver makes use of: one question, answers with addresses and aliases, codes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What the server says about a name.
#[derive(Debug, Clone)]
pub enum Says {
    /// These, to whoever asks for their family, to be kept for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// It is another name, with these addresses; to be kept for a minute.
    Alias(&'static str, Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    Silence,
}

impl Says {
    pub fn addresses(addresses: &[&str], seconds: u32) -> Self {
        Self::Addresses(addresses.iter().map(|address| address.parse().expect("an address")).collect(), seconds)
    }
}

/// The name server. It stops when dropped.
pub struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    alive: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
}

impl NameServer {
    /// `script` gets a name in lower case, without a dot behind it, and how often it was asked for before in this family.
    pub fn start(script: impl Fn(&str, usize) -> Says + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
        let address = socket.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let alive = Arc::new(AtomicBool::new(true));
        let (log, going) = (Arc::clone(&asked), Arc::clone(&alive));
        let answering = thread::Builder::new()
            .spawn(move || {
                while going.load(Ordering::Relaxed) {
                    let _ = answer(&socket, &log, &script);
                }
            })
            .expect("a thread for a test");
        Self { address, asked, alive, answering: Some(answering) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every question so far: `A name` or `AAAA name`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test has failed in there").clone()
    }

    /// How often it was asked for addresses of a name, in the family that was asked for most.
    pub fn times_asked(&self, name: &str) -> usize {
        let asked = self.asked();
        let of = |family: &str| asked.iter().filter(|line| **line == format!("{family} {name}")).count();
        of("A").max(of("AAAA"))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
        if let Some(thread) = self.answering.take() {
            let _ = thread.join();
        }
    }
}

fn answer(socket: &UdpSocket, log: &Mutex<Vec<String>>, script: &dyn Fn(&str, usize) -> Says) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let (length, from) = socket.recv_from(&mut buffer)?;
    let Some((name, kind, end)) = question(&buffer[..length]) else { return Ok(()) };
    let line = format!("{} {name}", if kind == AAAA { "AAAA" } else { "A" });
    let before = {
        let mut log = log.lock().expect("no test has failed in there");
        let before = log.iter().filter(|asked| **asked == line).count();
        log.push(line);
        before
    };
    let of_family = |address: &IpAddr| address.is_ipv4() == (kind == A);
    let (code, alias, addresses, seconds) = match script(&name, before) {
        Says::Addresses(addresses, seconds) => (0, None, addresses, seconds),
        Says::Alias(target, addresses) => (0, Some(target), addresses, 60),
        Says::Failure => (2, None, Vec::new(), 0),
        Says::NoSuchName => (3, None, Vec::new(), 0),
        Says::Silence => return Ok(()),
    };
    let addresses: Vec<_> = addresses.into_iter().filter(of_family).collect();
    let count = u8::try_from(addresses.len() + usize::from(alias.is_some())).expect("few answers");
    // Head: the question's number; a response, recursion asked for and available; one question.
    let mut out = vec![buffer[0], buffer[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    out.extend_from_slice(&buffer[12..end]);
    // The name of the question, as a pointer to it.
    let mut owner = vec![0xc0, 12];
    if let Some(target) = alias {
        let target = encoded(target);
        record(&mut out, &owner, CNAME, seconds, &target);
        owner = target;
    }
    for address in addresses {
        match address {
            IpAddr::V4(address) => record(&mut out, &owner, A, seconds, &address.octets()),
            IpAddr::V6(address) => record(&mut out, &owner, AAAA, seconds, &address.octets()),
        }
    }
    socket.send_to(&out, from).map(drop)
}

/// Name and type of the first question, and where it ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

fn encoded(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("a short label"));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn record(out: &mut Vec<u8>, owner: &[u8], kind: u16, seconds: u32, data: &[u8]) {
    out.extend_from_slice(owner);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&seconds.to_be_bytes());
    out.extend_from_slice(&u16::try_from(data.len()).expect("short data").to_be_bytes());
    out.extend_from_slice(data);
}
