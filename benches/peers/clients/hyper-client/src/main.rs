//! The floor of the comparison: asks every URL of a list over a fixed number of connections and drops the bodies.
//!
//! It decides nothing a crawler decides. No link is read, no record is written, no limit is kept; what it costs is what HTTP on one thread costs
//! with hyper and nothing else. Each connection is kept for as long as the next URL is of the same host and replaced when it is not, because a
//! pool is already a decision. The list can be asked several times in one process: a run of 20 ms is mostly process start.
//!
//! Usage: `hyper-client LIST [ROUNDS] [CONNECTIONS]`, one plain-HTTP URL with an IP address for a host on each line. Prints one line of JSON
//! with its counts; exit code 1 if an answer was missing or not 200.

use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

type Failure = Box<dyn Error>;

/// One URL, parsed before the first request.
struct Target {
    address: SocketAddr,
    host: HeaderValue,
    path: Uri,
}

/// What all connections share: the next place in the list, and what came of it.
struct Progress {
    next: Cell<usize>,
    requests: Cell<u64>,
    body_bytes: Cell<u64>,
    failures: Cell<u64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("hyper-client: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Returns the number of requests without a complete 200.
fn run() -> Result<u64, Failure> {
    let mut arguments = std::env::args().skip(1);
    let list = arguments.next().ok_or("usage: hyper-client LIST [ROUNDS] [CONNECTIONS]")?;
    let rounds: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let connections: usize = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let targets: Rc<[Target]> = std::fs::read_to_string(&list)?.lines().map(parse).collect::<Result<_, _>>()?;
    let progress = Rc::new(Progress {
        next: Cell::new(0),
        requests: Cell::new(0),
        body_bytes: Cell::new(0),
        failures: Cell::new(0),
    });

    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = LocalSet::new();
    for _ in 0..connections {
        local.spawn_local(ask(Rc::clone(&targets), targets.len() * rounds, Rc::clone(&progress)));
    }
    runtime.block_on(local);

    let (requests, failures) = (progress.requests.get(), progress.failures.get());
    println!("{{\"requests\":{requests},\"failures\":{failures},\"body_bytes\":{}}}", progress.body_bytes.get());
    Ok(failures)
}

fn parse(url: &str) -> Result<Target, Failure> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("not a plain-HTTP URL: {url}"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let address = if host.contains(':') { host.parse()? } else { format!("{host}:80").parse()? };
    let path = if path.is_empty() { "/" } else { path };
    Ok(Target { address, host: host.parse()?, path: path.parse()? })
}

/// One connection: takes the next URL until the list has been asked `total` times over.
async fn ask(targets: Rc<[Target]>, total: usize, progress: Rc<Progress>) {
    let mut open: Option<(SocketAddr, SendRequest<Empty<Bytes>>)> = None;
    loop {
        let place = progress.next.get();
        if place >= total {
            return;
        }
        progress.next.set(place + 1);
        let target = &targets[place % targets.len()];
        let kept = open.take().filter(|(address, _)| *address == target.address).map(|(_, sender)| sender);
        match exchange(target, kept).await {
            Ok((sender, body_bytes)) => {
                open = Some((target.address, sender));
                progress.body_bytes.set(progress.body_bytes.get() + body_bytes);
            }
            Err(failure) => {
                eprintln!("hyper-client: {}{}: {failure}", target.address, target.path);
                progress.failures.set(progress.failures.get() + 1);
            }
        }
        progress.requests.set(progress.requests.get() + 1);
    }
}

/// One request on the connection that is already open, or on a new one. Returns the connection and the length of the body.
async fn exchange(
    target: &Target,
    kept: Option<SendRequest<Empty<Bytes>>>,
) -> Result<(SendRequest<Empty<Bytes>>, u64), Failure> {
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(target.address).await?,
    };
    sender.ready().await?;
    let request = Request::get(target.path.clone()).header(HOST, target.host.clone()).body(Empty::new())?;
    let mut response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status()).into());
    }
    let mut body_bytes = 0;
    while let Some(frame) = response.frame().await {
        body_bytes += frame?.data_ref().map_or(0, |part| part.len() as u64);
    }
    Ok((sender, body_bytes))
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends when its sender is dropped; what went wrong is told to the sender as well.
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    Ok(sender)
}
