//! A SOCKS5 proxy on loopback (RFC 1928, no authentication), that logs what it is told to connect to.
//!
//! It takes names for `start.test`, which it leads to one server, and for loopback otherwise: what would happen behind a
//! proxy that looks names up by itself.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The proxy. Its threads end with the test process.
pub struct Socks {
    address: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
}

impl Socks {
    pub fn start(start_test: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let accept = move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                thread::Builder::new().spawn(move || serve(stream, &log, start_test)).expect("a thread for a test");
            }
        };
        thread::Builder::new().spawn(accept).expect("a thread for a test");
        Self { address, told }
    }

    pub fn url(&self) -> String {
        format!("socks5h://{}", self.address)
    }

    /// Hosts, as it was told them.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, log: &Mutex<Vec<String>>, start_test: SocketAddr) -> io::Result<()> {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting)?;
    client.read_exact(&mut vec![0; greeting[1].into()])?;
    client.write_all(&[5, 0])?;
    let mut head = [0; 4];
    client.read_exact(&mut head)?;
    let (host, address) = match head[3] {
        1 => {
            let mut octets = [0; 4];
            client.read_exact(&mut octets)?;
            (Ipv4Addr::from(octets).to_string(), Ipv4Addr::from(octets).into())
        }
        4 => {
            let mut octets = [0; 16];
            client.read_exact(&mut octets)?;
            (Ipv6Addr::from(octets).to_string(), Ipv6Addr::from(octets).into())
        }
        _ => {
            let mut length = [0];
            client.read_exact(&mut length)?;
            let mut name = vec![0; length[0].into()];
            client.read_exact(&mut name)?;
            let name = String::from_utf8_lossy(&name).into_owned();
            // The one name of the tests that has no other family.
            let is_v6 = name == "aaaa.test";
            (name, if is_v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() })
        }
    };
    let mut port = [0; 2];
    client.read_exact(&mut port)?;
    log.lock().unwrap().push(host.clone());
    let to = if host == "start.test" { start_test } else { SocketAddr::new(address, u16::from_be_bytes(port)) };
    // Nothing leaves loopback: that would be a proxy's own guard.
    if !to.ip().to_canonical().is_loopback() && !to.ip().is_unspecified() {
        return client.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let server = TcpStream::connect(to)?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let (mut from, mut into) = (client.try_clone()?, server.try_clone()?);
    let up = thread::Builder::new().spawn(move || {
        let _ = io::copy(&mut from, &mut into);
        let _ = into.shutdown(Shutdown::Write);
    })?;
    let (mut from, mut into) = (server, client);
    let _ = io::copy(&mut from, &mut into);
    let _ = into.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}
