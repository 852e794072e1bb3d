//! A server of the worst kind: raw TCP on loopback, doing exactly what a script says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// What the server does with a request, step by step. After the last step it waits for the next request.
#[derive(Debug, Clone)]
pub enum Act {
    Send(Vec<u8>),
    /// So many times, with a pause after each.
    Drip(Vec<u8>, usize, Duration),
    /// For as long as the other side takes it.
    Flood(Vec<u8>),
    Pause(Duration),
    Hang,
    Close,
    Reset,
    /// Hands the connection on, as a tunnel.
    Relay(SocketAddr),
}

/// Bytes to send.
pub fn send(text: impl AsRef<[u8]>) -> Act {
    Act::Send(text.as_ref().to_vec())
}

/// A complete answer with a length.
pub fn ok(headers: &str, body: &[u8]) -> Act {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    Act::Send(answer)
}

type Script = dyn Fn(&str) -> Vec<Act> + Send + Sync;

/// Runs until dropped.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers each request, whose whole text the script gets.
    pub async fn start(script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::listen(script, None).await
    }

    /// The same over TLS, as somebody in particular.
    pub async fn start_tls_as(
        script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static,
        identity: &Identity,
        clients: Option<&Identity>,
    ) -> Self {
        Self::listen(script, Some(identity.acceptor(clients, &[]))).await
    }

    /// The same over TLS, with a certificate that nobody has signed.
    pub async fn start_tls(script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::listen(script, Some(Identity::new(IsCa::NoCa).acceptor(None, &[]))).await
    }

    /// The same with the certificate of an authority itself, as `openssl req -x509` makes them.
    pub async fn start_tls_of_authority(script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::listen(script, Some(Identity::of_authority().acceptor(None, &[]))).await
    }

    async fn listen(script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let mut tasks = JoinSet::new();
        let peers = Arc::new(Mutex::new(Vec::new()));
        let (count, log, who) = (Arc::clone(&connections), Arc::clone(&requests), Arc::clone(&peers));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                who.lock().unwrap().push(peer);
                let (script, log, tls) = (Arc::clone(&script), Arc::clone(&log), tls.clone());
                open.spawn(async move {
                    let _ = match tls {
                        None => serve(stream, &*script, &log).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &*script, &log).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self { address, connections, requests, peers, _tasks: tasks }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Where its connections came from.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap().clone()
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A self-signed certificate with its key, for localhost and 127.0.0.1.
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    pub fn new(is_ca: IsCa) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// As `openssl req -x509` makes them.
    pub fn of_authority() -> Self {
        Self::new(IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// Signed by an authority that nobody knows; `past`: only until last year.
    pub fn signed(past: bool) -> Self {
        let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(of_authority, KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a server");
        if past {
            params.not_after = rcgen::date_time_ymd(2025, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.signed_by(&key, &issuer).unwrap(), key }
    }

    pub fn certificate(&self) -> String {
        self.certificate.pem()
    }

    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// With `clients` only those who show that certificate, or one signed by it, are served.
    pub fn acceptor(&self, clients: Option<&Self>, versions: &[&[u8]]) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let builder = match clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.certificate.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(vec![self.certificate.der().clone()], key).unwrap();
        config.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Closes with a reset instead of an end.
    fn reset(&self);
}

impl Socket for TcpStream {
    fn reset(&self) {
        self.set_zero_linger().unwrap();
    }
}

impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}

async fn serve(mut stream: impl Socket, script: &Script, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    while let Some(request) = next_request(&mut stream).await? {
        let acts = script(&request);
        log.lock().unwrap().push(request);
        for act in acts {
            match act {
                Act::Send(bytes) => stream.write_all(&bytes).await?,
                Act::Drip(bytes, times, pause) => {
                    for _ in 0..times {
                        stream.write_all(&bytes).await?;
                        stream.flush().await?;
                        tokio::time::sleep(pause).await;
                    }
                }
                Act::Flood(bytes) => loop {
                    stream.write_all(&bytes).await?;
                },
                Act::Pause(time) => {
                    stream.flush().await?;
                    tokio::time::sleep(time).await;
                }
                Act::Hang => std::future::pending().await,
                Act::Close => return stream.shutdown().await,
                Act::Reset => {
                    stream.flush().await?;
                    stream.reset();
                    return Ok(());
                }
                Act::Relay(to) => {
                    let mut other = TcpStream::connect(to).await?;
                    tokio::io::copy_bidirectional(&mut stream, &mut other).await?;
                    return Ok(());
                }
            }
        }
        stream.flush().await?;
    }
    Ok(())
}

/// Reads a request with its body; None at the end of the connection.
async fn next_request(stream: &mut impl Socket) -> std::io::Result<Option<String>> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let length = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok(Some(text + &String::from_utf8_lossy(&body)))
}
