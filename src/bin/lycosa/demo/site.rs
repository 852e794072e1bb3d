//! The sockets of the demonstration: seven listeners on loopback, on a thread of their own, and the log of what came.
//!
//! Decides nothing about answers: `script` does. A dead host keeps its port and resets every connection, as a machine
//! without a server does it; a port that was given back could be taken by anybody in the meantime, also as the near end
//! of one of our own connections. The thread ends when the site is dropped, or with the process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Role;
use super::script::{Act, Script};

/// Connections that one host serves at once; further ones wait in the system's queue.
const CONNECTIONS: usize = 64;
/// Entries of one log. The story needs far fewer; another program that found the port must not fill our memory.
const LOG: usize = 10_000;

/// One connection or request, as a host saw it. Times are since the start of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// None: a connection that was reset before it could ask.
    pub path: Option<String>,
    pub at: Duration,
    /// When the answer was ready, and its status; None if the connection was closed instead.
    pub answered: Option<(Duration, u16)>,
}

/// The site while it is being served.
pub struct Site {
    addresses: Vec<SocketAddr>,
    stage: Arc<Stage>,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What all connections share.
struct Stage {
    started: Instant,
    hosts: Vec<Mutex<Host>>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

struct Host {
    role: Role,
    address: SocketAddr,
    script: Script,
    log: Vec<Seen>,
}

impl Site {
    /// Listens at ports that the system chooses, and serves from now on. `tell` is called on the site's thread when a
    /// host dies, returns or refuses.
    ///
    /// # Errors
    /// The system gives no port or no thread.
    pub fn start(tell: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for _ in Role::ALL {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            listeners.push(listener);
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let hosts = Role::ALL.into_iter().zip(&addresses).map(|(role, &address)| {
            Mutex::new(Host { role, address, script: Script::new(role, &addresses), log: Vec::new() })
        });
        #[expect(clippy::disallowed_methods, reason = "the servers of the demonstration have a clock of their own")]
        let started = Instant::now();
        let stage = Arc::new(Stage { started, hosts: hosts.collect(), tell: Box::new(tell) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let end = CancellationToken::new();
        let (served, ended) = (Arc::clone(&stage), end.clone());
        let thread = std::thread::Builder::new().name("lycosa-demo".to_owned()).spawn(move || {
            runtime.block_on(async {
                let hosts = listeners.into_iter().enumerate().map(|(host, listener)| serve(&served, host, listener));
                tokio::select! {
                    () = ended.cancelled() => {}
                    results = futures_util::future::join_all(hosts) => {
                        for error in results.into_iter().filter_map(Result::err) {
                            (served.tell)(&format!("demo: cannot serve: {error}"));
                        }
                    }
                }
            });
        })?;
        Ok(Self { addresses, stage, end, thread: Some(thread) })
    }

    pub fn address(&self, role: Role) -> SocketAddr {
        self.addresses[place(role)]
    }

    /// The page from which all hosts are found.
    pub fn start_url(&self) -> String {
        format!("http://{}/", self.address(Role::Healthy))
    }

    /// What a host has seen so far, in order of arrival.
    pub fn log(&self, role: Role) -> Vec<Seen> {
        self.stage.with(place(role), |host| host.log.clone())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where a role stands in the lists of hosts.
fn place(role: Role) -> usize {
    Role::ALL.iter().position(|known| *known == role).expect("ALL has every role")
}

/// Takes the connections of one host, for ever.
async fn serve(stage: &Arc<Stage>, host: usize, listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            connection = listener.accept(), if open.len() < CONNECTIONS => match connection {
                Ok((stream, _)) if stage.takes_connection(host) => {
                    open.spawn(attend(Arc::clone(stage), host, stream));
                }
                // Without the lingering it is a reset, where an orderly close would look like a server that hangs up.
                Ok((stream, _)) => drop(stream.set_zero_linger()),
                // No descriptor left, or the other side has gone already: neither ends the host.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

/// Serves one connection to its end.
async fn attend(stage: Arc<Stage>, host: usize, stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| {
        let stage = Arc::clone(&stage);
        async move { stage.answer(host, request.uri().path()).await }
    });
    // Errors are those of the other side, and those of the script: a connection that is to be dropped.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

impl Stage {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets a host act, then tells its news, with the host free again.
    fn with<T>(&self, host: usize, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut host = self.hosts[host].lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut host);
        let news = host.script.take_news().map(|news| format!("{} ({}) {news}", host.role.name(), host.address));
        drop(host);
        if let Some(news) = news {
            (self.tell)(&news);
        }
        result
    }

    fn takes_connection(&self, host: usize) -> bool {
        self.with(host, |host| {
            let now = self.now();
            let takes = host.script.takes_connection(now);
            if !takes {
                host.note(Seen { path: None, at: now, answered: None });
            }
            takes
        })
    }

    async fn answer(&self, host: usize, path: &str) -> io::Result<Response<Full<Bytes>>> {
        let arrived = self.now();
        #[expect(clippy::disallowed_methods, reason = "a server dates its answers")]
        let wall = SystemTime::now();
        let (act, entry) = self.with(host, |host| {
            let act = host.script.act(path, arrived, wall);
            let answered = match &act {
                Act::Answer(answer) => Some((arrived, answer.status)),
                Act::Drop => None,
            };
            (act, host.note(Seen { path: Some(path.to_owned()), at: arrived, answered }))
        });
        let Act::Answer(answer) = act else { return Err(io::Error::other("the script drops this connection")) };
        if !answer.after.is_zero() {
            tokio::time::sleep(answer.after).await;
            self.with(host, |host| {
                if let Some(Seen { answered: Some((at, _)), .. }) = host.log.get_mut(entry) {
                    *at = self.now();
                }
            });
        }
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        response.body(Full::from(answer.body)).map_err(io::Error::other)
    }
}

impl Host {
    /// Writes down what came. Returns its place in the log; beyond the end if the log is full.
    fn note(&mut self, seen: Seen) -> usize {
        let place = self.log.len();
        if place < LOG {
            self.log.push(seen);
        }
        place
    }
}
