//! Bodies: codings, caps, memory.

use std::io::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use super::server::{Act, Server, ok, send};
use super::*;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_comes_whole_however_it_is_framed() {
    let text = "0123456789".repeat(20_000);
    for framing in ["length", "chunked", "close"] {
        let body = text.clone();
        let server = Server::start(move |_| match framing {
            "length" => vec![ok("", body.as_bytes())],
            "chunked" => {
                let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                for piece in body.as_bytes().chunks(7777) {
                    write!(answer, "{:x}\r\n", piece.len()).unwrap();
                    answer.extend(piece);
                    answer.extend(b"\r\n");
                }
                answer.extend(b"0\r\n\r\n");
                vec![Act::Send(answer)]
            }
            _ => vec![send(format!("HTTP/1.0 200 OK\r\n\r\n{body}")), Act::Close],
        })
        .await;
        let attempt = fetch(&server.url("/")).await;
        assert_eq!(attempt.error, None);
        assert!(attempt.body.bytes == text, "{framing}");
        assert_eq!((attempt.body.wire_size, attempt.body.truncated), (200_000, false));
        assert_eq!(attempt.head.unwrap().version, if framing == "close" { "HTTP/1.0" } else { "HTTP/1.1" });
        assert!(attempt.body.memory.is_none());
    }
}

#[tokio::test]
async fn a_coded_body_is_decoded_and_both_sizes_are_told() {
    let text = "some text ".repeat(10_000);
    let wire = gzip(text.as_bytes());
    let sent = wire.len() as u64;
    let server = Server::start(move |_| vec![ok("Content-Encoding: gzip\r\n", &wire)]).await;
    let attempt = fetch(&server.url("/")).await;
    assert_eq!(attempt.error, None);
    assert!(attempt.body.bytes == text);
    assert_eq!(attempt.body.wire_size, sent);
    assert_eq!(attempt.head.unwrap().headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_folded_header_has_spaces_where_it_was_folded() {
    let server = Server::start(|_| vec![ok("X-A: one\r\n two\r\n\tthree\r\n", b"")]).await;
    let attempt = fetch(&server.url("/")).await;
    assert_eq!(attempt.head.unwrap().headers["x-a"], "one two three");
}

#[tokio::test]
async fn transfer_codings_are_undone_whether_contents_are_or_not() {
    let text = "some text ".repeat(1000);
    let once = gzip(text.as_bytes());
    let twice = gzip(&once);
    let chunked = |head: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{:x}\r\n", body.len());
        vec![Act::Send([head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat())]
    };
    for (head, wire, whole, as_it_came) in [
        ("Transfer-Encoding: gzip, chunked", &once, text.as_bytes(), text.as_bytes()),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", &once, text.as_bytes(), text.as_bytes()),
        ("Content-Encoding: gzip\r\nTransfer-Encoding: x-gzip, chunked", &twice, text.as_bytes(), &once),
        ("Transfer-Encoding: of-our-own, chunked", &once, &once, &once),
    ] {
        let answer = chunked(head, wire);
        let server = Server::start(move |_| answer.clone()).await;
        for (compressed, expected) in [(true, whole), (false, as_it_came)] {
            let client = client_with(|settings| settings.compressed = compressed);
            let attempt = client.fetch(get(&server.url("/"))).await;
            assert_eq!(attempt.error, None, "{head}");
            assert!(attempt.body.bytes == expected, "{head} {compressed}");
            assert_eq!(attempt.body.wire_size, wire.len() as u64);
        }
    }
}

#[tokio::test]
async fn a_broken_or_cut_coding_is_decode_and_keeps_what_came() {
    let text: Vec<u8> = (0..50_000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let wire = gzip(&text);
    let mut broken = wire.clone();
    broken[wire.len() / 2..][..1000].fill(0xff);
    for body in [wire[..wire.len() / 2].to_vec(), broken] {
        let server = Server::start(move |_| vec![ok("Content-Encoding: gzip\r\n", &body)]).await;
        let attempt = fetch(&server.url("/")).await;
        assert_fails(&attempt, ErrorKind::Decode, Stage::Decode, false);
        assert!(attempt.body.truncated && attempt.body.bytes.len() > 1000);
        assert!(text.starts_with(&attempt.body.bytes[..1000]));
    }
}

#[tokio::test]
async fn six_codings_in_a_row_are_refused() {
    let server = Server::start(|_| vec![ok("Content-Encoding: gzip,gzip,gzip,gzip,gzip,gzip\r\n", b"x")]).await;
    let attempt = fetch(&server.url("/")).await;
    assert_fails(&attempt, ErrorKind::Decode, Stage::Decode, false);
    assert_eq!(status(&attempt), Some(200));
}

#[tokio::test]
async fn an_unknown_coding_is_left_as_it_is() {
    let server = Server::start(|_| vec![ok("Content-Encoding: aes128gcm\r\n", b"\x01\x02")]).await;
    let attempt = fetch(&server.url("/")).await;
    assert_eq!((attempt.error, &attempt.body.bytes[..]), (None, &b"\x01\x02"[..]));
}

#[tokio::test]
async fn a_bomb_stops_at_the_cap() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&zeros).unwrap();
    }
    let wire = encoder.finish().unwrap();
    let server = Server::start(move |_| vec![ok("Content-Encoding: gzip\r\n", &wire)]).await;
    let cap = 3 << 20;
    let attempt = client().fetch(Request { max_body: Some(cap), ..get(&server.url("/")) }).await;
    assert_fails(&attempt, ErrorKind::TooLarge, Stage::Body, false);
    assert_eq!((attempt.body.bytes.len() as u64, attempt.body.truncated), (cap, true));
    assert!(attempt.body.memory.unwrap().bytes() <= cap);
}

#[tokio::test]
async fn an_endless_body_stops_at_the_cap() {
    for framing in ["", "Transfer-Encoding: chunked\r\n"] {
        let flood =
            if framing.is_empty() { vec![b'x'; 65536] } else { format!("8000\r\n{}\r\n", "x".repeat(0x8000)).into() };
        let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n");
        let server = Server::start(move |_| vec![send(&head), Act::Flood(flood.clone())]).await;
        let attempt = client().fetch(Request { max_body: Some(1_000_000), ..get(&server.url("/")) }).await;
        assert_fails(&attempt, ErrorKind::TooLarge, Stage::Body, false);
        assert_eq!(attempt.body.bytes.len(), 1_000_000);
    }
}

#[tokio::test]
async fn an_endless_stream_that_decodes_to_nothing_stops() {
    // zstd frames without content: each a magic number, a header and an empty last block.
    let nothing = zstd::encode_all(&b""[..], 1).unwrap().repeat(5000);
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\n";
    let server = Server::start(move |_| vec![send(head), Act::Flood(nothing.clone())]).await;
    let attempt = client().fetch(Request { max_body: Some(100_000), ..get(&server.url("/")) }).await;
    assert_fails(&attempt, ErrorKind::TooLarge, Stage::Body, false);
    assert!(attempt.body.bytes.is_empty());
}

#[tokio::test]
async fn exactly_the_cap_is_not_too_large() {
    for coded in [false, true] {
        let body = vec![b'x'; 500_000];
        let answer = if coded { ok("Content-Encoding: gzip\r\n", &gzip(&body)) } else { ok("", &body) };
        let server = Server::start(move |_| vec![answer.clone()]).await;
        let whole = client().fetch(Request { max_body: Some(500_000), ..get(&server.url("/")) }).await;
        assert_eq!((whole.error, whole.body.bytes.len()), (None, 500_000), "{coded}");
        let less = client().fetch(Request { max_body: Some(499_999), ..get(&server.url("/")) }).await;
        assert_fails(&less, ErrorKind::TooLarge, Stage::Body, false);
        assert_eq!(less.body.bytes.len(), 499_999, "{coded}");
    }
}

#[tokio::test]
async fn a_length_over_a_large_cap_is_not_read_at_all() {
    let server =
        Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nstart"), Act::Hang]).await;
    let attempt = client().fetch(Request { max_body: Some(2 << 20), ..get(&server.url("/")) }).await;
    assert_fails(&attempt, ErrorKind::TooLarge, Stage::Body, false);
    assert_eq!((status(&attempt), attempt.body.bytes.len(), attempt.body.truncated), (Some(200), 0, true));
}

#[tokio::test]
async fn answers_without_a_body_end_at_their_head() {
    let server = Server::start(|request| {
        if request.starts_with("HEAD") {
            return vec![send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999999\r\n\r\n")];
        }
        let status =
            if request.contains("/204") { "204 No Content" } else { "304 Not Modified\r\nContent-Length: 1000" };
        vec![send(format!("HTTP/1.1 {status}\r\n\r\n"))]
    })
    .await;
    let client = client();
    for (method, path) in [(Method::HEAD, "/"), (Method::GET, "/204"), (Method::GET, "/304")] {
        let request = Request { method, max_body: Some(2 << 20), ..get(&server.url(path)) };
        let attempt = client.fetch(request).await;
        assert_eq!((&attempt.error, attempt.body.bytes.len(), attempt.body.truncated), (&None, 0, false), "{path}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn many_large_bodies_share_a_small_pool_and_all_finish() {
    let body: Vec<u8> = vec![b'x'; 1 << 20];
    let coded = gzip(&body);
    let server = Server::start(move |request| match request.split(' ').nth(1).unwrap() {
        "/length" => vec![ok("", &body)],
        "/gzip" => vec![ok("Content-Encoding: gzip\r\n", &coded)],
        _ => vec![send("HTTP/1.1 200 OK\r\n\r\n"), send(&body), Act::Close],
    })
    .await;
    let client = client_with(|settings| settings.body_pool = 1 << 20);
    let requests = (0..48).map(|n| {
        let request = get(&server.url(["/length", "/gzip", "/close"][n % 3]));
        // With the cap over the pool, and with no cap, each takes all of it.
        let max_body = [Some(1 << 20), Some(16 << 20), None][n / 3 % 3];
        let client = &client;
        async move { client.fetch(Request { max_body, ..request }).await.body.bytes.len() }
    });
    let sizes = join_all(requests).await;
    assert_eq!(sizes, vec![1 << 20; 48]);
    assert_eq!(client.body_pool().available(), 1 << 20);
}

#[tokio::test]
async fn a_body_that_waits_for_memory_is_not_late_and_one_beside_the_pool_does_not_wait() {
    let body = vec![b'x'; 1 << 20];
    let server = Server::start(move |_| vec![ok("", &body)]).await;
    let client = client_with(|settings| {
        settings.body_pool = 1 << 20;
        settings.read_timeout = Some(SHORT * 2);
    });
    let request = || Request { timeout: Some(SHORT * 2), ..get(&server.url("/")) };
    let first = client.fetch(request()).await;
    assert!(first.body.memory.is_some() && client.body_pool().available() < 1 << 19);

    let beside = client.fetch(Request { beside_pool: true, ..request() }).await;
    assert_eq!((beside.error, beside.body.bytes.len()), (None, 1 << 20));
    assert!(beside.body.memory.is_none());

    let (second, ()) = tokio::join!(client.fetch(request()), async {
        tokio::time::sleep(SHORT * 4).await;
        drop(first);
    });
    assert_eq!((second.error, second.body.bytes.len()), (None, 1 << 20));
    assert!(second.elapsed >= SHORT * 4, "it did wait");
}

#[tokio::test]
async fn a_dropped_request_gives_its_memory_back() {
    let server =
        Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nstart"), Act::Hang]).await;
    let client = client_with(|settings| settings.body_pool = 1 << 20);
    let cut = tokio::time::timeout(Duration::from_millis(200), client.fetch(get(&server.url("/")))).await;
    assert!(cut.is_err());
    assert_eq!(client.body_pool().available(), 1 << 20);
}

/// A body in a coding that inflates by more than a thousand.
fn dense(coding: &str, zeros: usize) -> Vec<u8> {
    let body = vec![0; zeros];
    match coding {
        "zstd" => zstd::encode_all(&body[..], 19).unwrap(),
        "br" => {
            let mut out = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            brotli::BrotliCompress(&mut &body[..], &mut out, &parameters).unwrap();
            out
        }
        "gzip" => gzip(&body),
        // Each by itself stays within what gzip can do.
        "gzip, gzip" => gzip(&gzip(&body)),
        _ => unreachable!("{coding}"),
    }
}

#[tokio::test]
async fn a_body_that_inflates_too_much_is_given_up() {
    for (coding, ratio, whole) in [
        ("zstd", Some(1000), false),
        ("br", Some(1000), false),
        ("gzip, gzip", Some(1000), false),
        ("gzip", Some(500), false),
        ("gzip", Some(2000), true),
        ("zstd", None, true),
    ] {
        let wire = dense(coding, 8 << 20);
        let on_the_wire = wire.len() as u64;
        let header = format!("Content-Encoding: {coding}\r\n");
        let server = Server::start(move |_| vec![ok(&header, &wire)]).await;
        let client = client_with(|settings| settings.max_ratio = ratio);
        let attempt = client.fetch(Request { max_body: Some(16 << 20), ..get(&server.url("/")) }).await;
        if whole {
            assert_eq!((&attempt.error, attempt.body.bytes.len()), (&None, 8 << 20), "{coding} {ratio:?}");
            continue;
        }
        assert_fails(&attempt, ErrorKind::TooLarge, Stage::Body, false);
        assert!(failure(&attempt).message.contains("times its size on the wire"), "{coding}");
        assert!(attempt.body.wire_size <= on_the_wire && attempt.body.bytes.len() <= 6 << 20, "{coding}");
    }
}

#[tokio::test]
async fn a_small_body_may_be_as_dense_as_it_likes() {
    let wire = dense("br", 1 << 20);
    assert!(wire.len() * 2000 < 1 << 20);
    let server = Server::start(move |_| vec![ok("Content-Encoding: br\r\n", &wire)]).await;
    let attempt = client_with(|settings| settings.max_ratio = Some(10)).fetch(get(&server.url("/"))).await;
    assert_eq!((attempt.error, attempt.body.bytes.len()), (None, 1 << 20));
}

type Failure = Option<(ErrorKind, Stage)>;

/// What a server may do with the frame of a body, and what comes of it: its bytes, and whether it is whole.
#[tokio::test]
async fn frames_right_and_wrong() {
    let chunks = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n{rest}");
    let length = |headers: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}");
    let cases: Vec<(&str, String, Failure, &str)> = vec![
        ("no length", length("X: y", "hello"), None, "hello"),
        ("its length", length("Content-Length: 5", "hello"), None, "hello"),
        ("the same length twice", length("Content-Length: 5\r\nContent-Length: 5", "hello"), None, "hello"),
        ("longer than said", length("Content-Length: 5", "hello, you"), None, "hello"),
        ("shorter than said", length("Content-Length: 9", "hello"), Some((ErrorKind::Body, Stage::Body)), "hello"),
        (
            "two lengths",
            length("Content-Length: 5\r\nContent-Length: 6", "hello!"),
            Some((ErrorKind::Protocol, Stage::Head)),
            "",
        ),
        ("no number", length("Content-Length: five", "hello"), Some((ErrorKind::Protocol, Stage::Head)), ""),
        ("negative", length("Content-Length: -5", "hello"), Some((ErrorKind::Protocol, Stage::Head)), ""),
        (
            "length and chunks",
            length("Content-Length: 3\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            None,
            "hello",
        ),
        ("trailers", chunks("0\r\nX-Sum: 1\r\n\r\n"), None, "hello"),
        ("an extension", length("Transfer-Encoding: chunked", "5;a=b\r\nhello\r\n0\r\n\r\n"), None, "hello"),
        ("no last chunk", chunks(""), Some((ErrorKind::Body, Stage::Body)), "hello"),
        ("a cut chunk", chunks("5\r\nwor"), Some((ErrorKind::Body, Stage::Body)), "hellowor"),
        (
            "early hints",
            format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", length("Content-Length: 5", "hello")),
            None,
            "hello",
        ),
        (
            "continue, twice",
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{}",
                length("Content-Length: 5", "hello")
            ),
            None,
            "hello",
        ),
        (
            "a part that is all",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
            None,
            "hello",
        ),
        // Heads as curl and browsers read them.
        ("a folded line", length("X-A: a\r\n b\r\nContent-Length: 5", "hello, you"), None, "hello"),
        ("a length on a line of its own", length("Content-Length:\r\n 5", "hello, you"), None, "hello"),
        ("a space before the colon", length("Content-Length : 5", "hello, you"), None, "hello"),
        ("a line without a colon", length("no header\r\nContent-Length: 5", "hello, you"), None, "hello"),
        ("a control character", length("X-A: \u{7}\r\nContent-Length: 5", "hello, you"), None, "hello"),
        ("a NUL", length("X-A: \0\r\nContent-Length: 5", "hello"), Some((ErrorKind::Protocol, Stage::Head)), ""),
        ("an empty coded one", length("Content-Encoding: gzip\r\nContent-Length: 0", ""), None, ""),
        ("reset content", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n".to_owned(), None, ""),
    ];
    for (name, answer, failure, body) in cases {
        let server = Server::start(move |_| vec![send(&answer), Act::Close]).await;
        let attempt = fetch(&server.url("/")).await;
        assert_eq!(attempt.error.as_ref().map(|error| (error.kind, error.stage)), failure, "{name}");
        assert_eq!(String::from_utf8_lossy(&attempt.body.bytes), body, "{name}");
        let cut = failure.is_some_and(|(_, stage)| stage == Stage::Body);
        assert_eq!((attempt.body.truncated, attempt.body.wire_size), (cut, body.len() as u64), "{name}");
    }
}

#[tokio::test]
async fn a_part_is_told_where_the_whole_was_asked_for() {
    for (range, is_all) in [
        ("Content-Range: bytes 0-4/5\r\n", true),
        ("Content-Range: bytes 0-4/10\r\n", false),
        ("Content-Range: bytes 5-9/10\r\n", false),
        ("Content-Range: bytes 0-4/*\r\n", false),
        ("", false),
    ] {
        let answer = format!("HTTP/1.1 206 Partial Content\r\n{range}Content-Length: 5\r\n\r\nhello");
        let server = Server::start(move |_| vec![send(&answer)]).await;
        let attempt = fetch(&server.url("/")).await;
        assert_eq!((attempt.error, attempt.body.truncated, attempt.body.bytes.len()), (None, !is_all, 5), "{range}");
        let headers = vec![(http::header::RANGE, http::HeaderValue::from_static("bytes=0-4"))];
        let attempt = client().fetch(Request { headers, ..get(&server.url("/")) }).await;
        assert!(!attempt.body.truncated, "what was asked for");
    }
}

#[tokio::test]
async fn heads_may_have_500_lines_and_not_100000() {
    for (lines, whole) in [(99, true), (500, true), (600, false), (100_000, false)] {
        let headers: Vec<String> = (0..lines).map(|n| format!("x-{n}: y\r\n")).collect();
        let headers = headers.concat();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{headers}\r\nok");
        let server = Server::start(move |_| vec![send(&answer), Act::Close]).await;
        let attempt = fetch(&server.url("/")).await;
        if whole {
            assert_eq!((&attempt.error, attempt.head.unwrap().headers.len()), (&None, lines + 1));
        } else {
            assert_fails(&attempt, ErrorKind::Protocol, Stage::Head, false);
        }
    }
}
