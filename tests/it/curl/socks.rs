//! SOCKS proxies: who looks names up, and how one logs in.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::{Log, Watcher, both};

/// A SOCKS proxy that writes down what it is asked for, and leads all of it to one server.
struct Socks {
    address: SocketAddr,
    log: Log,
}

impl Socks {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let seen = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || relay(stream, to, &seen));
            }
        });
        Self { address, log }
    }
}

fn relay(mut visitor: TcpStream, to: SocketAddr, log: &Log) -> std::io::Result<()> {
    let [version] = bytes(&mut visitor)?;
    let asked = if version == 5 { socks_5(&mut visitor)? } else { socks_4(&mut visitor)? };
    log.lock().unwrap().push(format!("socks{version} {asked}"));
    let mut server = TcpStream::connect(to)?;
    let (mut from_visitor, mut to_server) = (visitor.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from_visitor, &mut to_server));
    std::io::copy(&mut server, &mut visitor)?;
    Ok(())
}

fn bytes<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(stream: &mut TcpStream, length: u8) -> std::io::Result<String> {
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn until_zero(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        match bytes(stream)? {
            [0] => return Ok(text),
            [byte] => text.push(byte.into()),
        }
    }
}

/// RFC 1928, with the passwords of RFC 1929 if they are offered.
fn socks_5(stream: &mut TcpStream) -> std::io::Result<String> {
    let [count] = bytes(stream)?;
    let methods = text(stream, count)?;
    let mut user = String::from("nobody");
    if methods.contains('\u{2}') {
        stream.write_all(&[5, 2])?;
        let [_, length] = bytes(stream)?;
        user = text(stream, length)?;
        let [length] = bytes(stream)?;
        user = format!("{user}:{}", text(stream, length)?);
        stream.write_all(&[1, 0])?;
    } else {
        stream.write_all(&[5, 0])?;
    }
    let [_, _, _, kind] = bytes(stream)?;
    let host = match kind {
        1 => Ipv4Addr::from(bytes(stream)?).to_string(),
        3 => {
            let [length] = bytes(stream)?;
            format!("name {}", text(stream, length)?)
        }
        _ => IpAddr::from(bytes::<16>(stream)?).to_string(),
    };
    let port = u16::from_be_bytes(bytes(stream)?);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("{user} to {host} {port}"))
}

fn socks_4(stream: &mut TcpStream) -> std::io::Result<String> {
    let [_] = bytes(stream)?;
    let port = u16::from_be_bytes(bytes(stream)?);
    let address = Ipv4Addr::from(bytes(stream)?);
    let user = until_zero(stream)?;
    let is_name = address.octets()[..3] == [0, 0, 0];
    let host = if is_name { format!("name {}", until_zero(stream)?) } else { address.to_string() };
    stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("{user} to {host} {port}"))
}

#[test]
fn socks_proxies() {
    let site = Watcher::plain();
    let proxy = Socks::start(site.address);
    let port = site.port();
    let entry = format!("name.invalid:{port}:127.0.0.1");
    let by_name = format!("http://name.invalid:{port}/");
    let by_address = format!("http://127.0.0.1:{port}/");
    let as_watcher = Watcher { address: proxy.address, log: Arc::clone(&proxy.log) };
    for (scheme, url) in [
        ("socks4", &by_address),
        ("socks4a", &by_name),
        ("socks5", &by_address),
        ("socks5h", &by_name),
        ("socks5h", &by_address),
        ("socks5", &by_name),
        ("socks4", &by_name),
    ] {
        let address = format!("{scheme}://{}", proxy.address);
        both(&[url, "-x", &address, "--resolve", &entry]).agree(&[&as_watcher, &site], 2);
    }
    let with_password = format!("socks5h://us%40er:pass@{}", proxy.address);
    let seen = both(&[&by_name, "-x", &with_password]).agree(&[&as_watcher, &site], 2);
    assert!(seen[0].starts_with("socks5 us@er:pass to name name.invalid"), "{seen:?}");
}
