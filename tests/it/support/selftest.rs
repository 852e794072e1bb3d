//! The server and the yardsticks, tested without the command: a broken ruler would let everything pass.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

fn connect(site: &Site) -> TcpStream {
    let stream = TcpStream::connect(site.host()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nX-Probe: a b\r\n\r\n").unwrap();
}

/// Reads exactly one response that has a length.
fn read_response(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

fn hit(start: Instant, from_ms: u64, to_ms: u64) -> Hit {
    Hit {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        arrived: start + Duration::from_millis(from_ms),
        ended: Some(start + Duration::from_millis(to_ms)),
    }
}

#[test]
fn a_site_answers_on_one_connection_and_logs_each_request() {
    let site = Site::start(|request| text(format!("{} {}", request.nth, request.target)).after_ms(20));
    let mut stream = connect(&site);
    for expected in ["0 /a?b=1", "1 /a?b=1"] {
        ask(&mut stream, "/a?b=1");
        assert_eq!(read_response(&mut stream).1, expected.as_bytes());
    }
    let log = site.log();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0].header("x-probe"), Some("a b"));
    assert_eq!(site.connections(), 1);
    assert!(log[0].ended.unwrap() - log[0].arrived >= Duration::from_millis(20));
    assert!(log[1].arrived >= log[0].ended.unwrap());
}

#[test]
fn a_body_of_a_request_arrives_whole() {
    let site = Site::start(|request| text(format!("{}", request.body.len())));
    let mut stream = connect(&site);
    let body = vec![b'x'; 200_000];
    write!(stream, "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body).unwrap();
    assert_eq!(read_response(&mut stream).1, b"200000");
    assert_eq!(site.log()[0].body, body);
}

#[test]
fn a_reset_is_a_reset_and_a_close_is_a_close() {
    let site = Site::start(|request| if request.target == "/reset" { Answer::Reset } else { Answer::Close });
    let mut stream = connect(&site);
    ask(&mut stream, "/reset");
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut stream = connect(&site);
    ask(&mut stream, "/close");
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
}

#[test]
fn hanging_dripping_endless_and_cut_bodies() {
    let site = Site::start(|request| match request.target.as_str() {
        "/hang" => Answer::Hang,
        "/drip" => Answer::Drip(Duration::from_millis(50)),
        "/endless" => Answer::Endless,
        "/raw" => Answer::Raw(b"hello".to_vec()),
        _ => Answer::CloseMidBody,
    });
    let mut stream = connect(&site);
    ask(&mut stream, "/hang");
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(stream.read(&mut [0; 10]).is_err(), "no byte comes, and no end");

    let mut stream = connect(&site);
    ask(&mut stream, "/drip");
    let start = Instant::now();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nxxx") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    assert!(start.elapsed() >= Duration::from_millis(150));

    let mut stream = connect(&site);
    ask(&mut stream, "/endless");
    stream.read_exact(&mut vec![0; 3_000_000]).unwrap();

    let mut all = Vec::new();
    let mut stream = connect(&site);
    ask(&mut stream, "/raw");
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"hello");

    let mut all = Vec::new();
    let mut stream = connect(&site);
    ask(&mut stream, "/cut");
    stream.read_to_end(&mut all).unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200") && all.ends_with(b"xxx") && all.len() < 6000);
}

#[test]
fn a_site_can_die_and_return_on_its_port() {
    let site = Site::start(|_: &Request| text("alive"));
    let mut stream = connect(&site);
    ask(&mut stream, "/");
    read_response(&mut stream);
    site.die();
    assert_eq!(TcpStream::connect(site.host()).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0, "open connections are cut");
    site.revive();
    let mut stream = connect(&site);
    ask(&mut stream, "/");
    assert_eq!(read_response(&mut stream).1, b"alive");
}

#[test]
fn a_bomb_is_small_and_inflates_to_what_it_says() {
    let reply = bomb(3);
    assert!(reply.body.len() < 10_000);
    let mut inflated = Vec::new();
    let error = flate2::read::GzDecoder::new(reply.body.as_slice()).read_to_end(&mut inflated);
    assert!(error.is_err(), "only its checksum is wrong");
    assert_eq!(inflated.len(), 3 << 20);
}

#[test]
fn a_tree_reaches_every_page_from_its_root() {
    let tree = Tree::new(100, 5, 7, 42);
    let expected = tree.paths();
    assert_eq!(expected.len(), 100 + 5 + 14);
    let mut found = std::collections::BTreeSet::from(["/page/0".to_owned()]);
    let mut waiting = vec!["/page/0".to_owned()];
    while let Some(path) = waiting.pop() {
        let request = Request { method: "GET".into(), target: path, body: vec![], nth: 0, total: 0 };
        let Answer::Reply(reply) = tree.answer(&request) else { panic!("trees only reply") };
        let body = String::from_utf8(reply.body).unwrap();
        let links = body.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        let moved = reply.headers.iter().filter(|(name, _)| name == "Location").map(|(_, to)| to.clone());
        for link in links.chain(moved).collect::<Vec<_>>() {
            if found.insert(link.clone()) {
                waiting.push(link);
            }
        }
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn the_rate_is_judged_in_every_window() {
    let start = Instant::now();
    let even: Vec<_> = (0..40).map(|n| hit(start, n * 50, n * 50 + 10)).collect();
    assert_eq!(rate_broken(&even, 20.0), None);
    assert!((starts_per_second(&even) - 20.0).abs() < 0.1);
    let burst: Vec<_> = (0..40).map(|n| hit(start, n / 23 * 1000, n / 23 * 1000 + 10)).collect();
    assert!(rate_broken(&burst, 20.0).is_some(), "23 at once are above 20 × 1.0 + 1");
    let fast: Vec<_> = (0..80).map(|n| hit(start, n * 45, n * 45 + 10)).collect();
    assert!(rate_broken(&fast, 20.0).is_some());
}

#[test]
fn gaps_and_places_in_flight_are_measured() {
    let start = Instant::now();
    let one_by_one: Vec<_> = (0..10).map(|n| hit(start, n * 300, n * 300 + 100)).collect();
    assert!(gaps(&one_by_one).iter().all(|gap| *gap == Duration::from_millis(200)));
    assert_eq!(most_in_flight(&one_by_one), 1);
    assert!((mean_in_flight(&one_by_one, Duration::ZERO) - 1000.0 / 2800.0).abs() < 0.01);
    let pairs: Vec<_> = (0..60).map(|n| hit(start, n / 2 * 100, n / 2 * 100 + 100)).collect();
    assert_eq!(most_in_flight(&pairs), 2);
    assert!((mean_in_flight(&pairs, Duration::from_secs(1)) - 2.0).abs() < 0.01);
    assert!(gaps(&pairs).contains(&Duration::ZERO));
}

#[test]
fn many_requests_at_once_are_each_logged() {
    let site = Site::start(|_: &Request| text("x").after_ms(100));
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut stream = connect(&site);
                ask(&mut stream, "/");
                read_response(&mut stream);
            });
        }
    });
    assert_eq!(site.hits(), 20);
    assert_eq!(site.connections(), 20);
    assert!(most_in_flight(&site.log()) > 4);
}

#[test]
fn a_site_speaks_tls_with_a_certificate_nobody_vouches_for() {
    let site = Site::start_tls(|_: &Request| text("safe"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |check: bool| {
        runtime.block_on(async {
            let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(!check).build().unwrap();
            client.get(site.url("/")).send().await?.text().await
        })
    };
    assert_eq!(ask(false).unwrap(), "safe");
    assert!(ask(true).is_err());
    assert_eq!(site.hits(), 1);
}

fn shell(script: &str) -> Command {
    program("/bin/sh", ["-c", script])
}

#[test]
fn a_run_shows_code_streams_and_files() {
    let run = shell("cat; cat file; echo oops >&2; echo $HOME; exit 3").file("file", "F").stdin("in ").run().exits(3);
    assert_eq!(run.text(), format!("in F{}\n", run.path("home").display()));
    assert_eq!(run.stderr, "oops\n");
    assert_eq!(shell("kill -TERM $$").run().code, 143, "as a shell sees it");
    assert_eq!(shell("cat").run().text(), "", "without input there is none");
}

#[test]
fn a_running_command_can_be_written_to_read_and_signalled() {
    let mut running = shell("trap 'echo caught; exit 5' INT; while read x; do echo got $x; done").open_stdin().spawn();
    running.write("a\nb\n");
    assert_eq!(running.wait_for_lines(2), ["got a", "got b"]);
    assert!(running.is_running());
    running.signal("INT");
    running.close_stdin();
    assert!(running.finish().exits(5).text().ends_with("caught\n"));
}

#[test]
fn a_stopped_reader_holds_the_writer_back() {
    let mut running = shell("head -c 300000 /dev/zero; echo done >&2").stopped_reader().spawn();
    thread::sleep(Duration::from_millis(300));
    assert!(running.is_running(), "the pipe is full");
    running.read();
    let run = running.finish().exits(0);
    assert_eq!(run.stdout.len(), 300_000);

    let mut running = shell("yes; echo over >&2").stopped_reader().spawn();
    running.read_some(10);
    running.close_stdout();
    assert!(running.finish_without_output().exits(0).stderr.contains("over"));
}

#[test]
fn peak_memory_is_seen() {
    let small = shell("sleep 0.2").run().peak_kib;
    let large = shell("x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 0.2").run().peak_kib;
    assert!(small > 0 && large > small + 20_000, "{small} KiB, {large} KiB");
}
