//! Each way to fail, with its kind and stage.

use std::time::Duration;

use http::Method;
use tokio::net::TcpListener;

use super::server::{Act, Server, ok, send};
use super::*;

#[tokio::test]
async fn a_closed_port_is_connect_and_nothing_was_sent() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let attempt = fetch(&format!("http://{address}/")).await;
    assert_fails(&attempt, ErrorKind::Connect, Stage::Connect, true);
    assert!(!failure(&attempt).sent);
    assert!(attempt.head.is_none() && attempt.refusal.is_none() && attempt.first_byte.is_none());
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_dns() {
    let attempt = fetch("http://name.invalid/").await;
    let error = failure(&attempt);
    // A machine without any name server cannot tell that the name does not exist.
    assert_eq!((error.kind, error.stage, error.sent), (ErrorKind::Dns, Stage::Dns, false), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_takes_the_handshake_is_a_connect_timeout() {
    // The kernel accepts; nobody ever answers the TLS hello.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_with(|settings| settings.connect_timeout = Some(SHORT));
    let attempt = client.fetch(get(&format!("https://{}/", listener.local_addr().unwrap()))).await;
    assert_fails(&attempt, ErrorKind::Timeout, Stage::Connect, true);
    assert!(!failure(&attempt).sent);
}

#[tokio::test]
async fn a_whole_timeout_within_the_handshake_is_of_the_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_with(|settings| settings.connect_timeout = Some(LONG));
    let request = Request { timeout: Some(SHORT), ..get(&format!("https://{}/", listener.local_addr().unwrap())) };
    let attempt = client.fetch(request).await;
    assert_fails(&attempt, ErrorKind::Timeout, Stage::Connect, true);
    assert!(failure(&attempt).message.starts_with("not complete within"));
}

#[tokio::test]
async fn silence_is_a_timeout_of_the_head() {
    let server = Server::start(|_| vec![Act::Hang]).await;
    let request = Request { timeout: Some(SHORT), ..get(&server.url("/")) };
    let attempt = client().fetch(request).await;
    assert_fails(&attempt, ErrorKind::Timeout, Stage::Head, true);
    assert!(failure(&attempt).sent && attempt.elapsed >= SHORT);
}

#[tokio::test]
async fn silence_in_a_body_is_a_timeout_of_the_body() {
    let server = Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart"), Act::Hang]).await;
    let client = client_with(|settings| settings.read_timeout = Some(SHORT));
    let attempt = client.fetch(get(&server.url("/"))).await;
    assert_fails(&attempt, ErrorKind::Timeout, Stage::Body, true);
    assert_eq!((status(&attempt), &attempt.body.bytes[..], attempt.body.truncated), (Some(200), &b"start"[..], true));
    assert!(attempt.first_byte.unwrap() <= attempt.elapsed);
}

#[tokio::test]
async fn a_drip_escapes_the_read_timeout_but_not_the_whole_one() {
    let server = Server::start(|_| {
        vec![
            send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
            Act::Drip(vec![b'x'], 100_000, Duration::from_millis(10)),
        ]
    })
    .await;
    let client = client_with(|settings| settings.read_timeout = Some(LONG));
    let request = Request { timeout: Some(Duration::from_millis(400)), ..get(&server.url("/")) };
    let attempt = client.fetch(request).await;
    assert_fails(&attempt, ErrorKind::Timeout, Stage::Body, true);
    assert!(attempt.body.bytes.len() > 1, "it dripped: {}", attempt.body.bytes.len());
}

#[tokio::test]
async fn a_body_below_the_lowest_speed_is_too_slow_and_one_above_it_is_not() {
    let drip = |bytes: usize| {
        move |_: &str| {
            let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 100 * bytes);
            vec![send(length), Act::Drip(vec![b'x'; bytes], 100, Duration::from_millis(10))]
        }
    };
    let speed = LowestSpeed { bytes: 2000, time: Duration::from_millis(500) };
    let client = client_with(|settings| settings.lowest_speed = Some(speed));
    // At most 100 bytes a second.
    let slow = Server::start(drip(1)).await;
    let attempt = client.fetch(get(&slow.url("/"))).await;
    assert_fails(&attempt, ErrorKind::TooSlow, Stage::Body, true);
    assert!(attempt.body.truncated && attempt.body.bytes.len() < 100);
    // A thousand times as many.
    let fast = Server::start(drip(1000)).await;
    let attempt = client.fetch(get(&fast.url("/"))).await;
    assert_eq!((attempt.error.as_ref(), attempt.body.bytes.len()), (None, 100_000));
}

#[tokio::test]
async fn a_connection_closed_or_reset_without_an_answer_is_protocol_and_may_pass() {
    for acts in [
        vec![Act::Close],
        vec![Act::Reset],
        vec![send("HTTP/1.1 200 OK\r\nContent-Le"), Act::Close],
        vec![send("HTTP/1.1 200 OK\r\nContent-Le"), Act::Reset],
    ] {
        let server = Server::start({
            let acts = acts.clone();
            move |_| acts.clone()
        })
        .await;
        let attempt = fetch(&server.url("/")).await;
        let error = failure(&attempt);
        assert_eq!(
            (error.kind, error.stage, error.retryable),
            (ErrorKind::Protocol, Stage::Head, true),
            "{acts:?} {error:?}"
        );
        assert!(error.sent && attempt.head.is_none());
        assert_eq!(server.requests().len(), 1, "no hidden retry");
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_instead_of_an_answer_has_died_idle() {
    for end in [Act::Close, Act::Reset] {
        let answer =
            move |request: &str| if request.contains("/first") { vec![ok("", b"one")] } else { vec![end.clone()] };
        let server = Server::start(answer).await;
        let client = client();
        let mut died_idle = Vec::new();
        for idle in [600, 0] {
            assert!(client.fetch(get(&server.url("/first"))).await.error.is_none());
            tokio::time::sleep(Duration::from_millis(idle)).await;
            died_idle.push(failure(&client.fetch(get(&server.url("/kept"))).await).idle_death);
        }
        died_idle.push(failure(&client.fetch(get(&server.url("/new"))).await).idle_death);
        assert_eq!(died_idle, [true, false, false]);
        assert_eq!((server.connections(), server.requests().len()), (3, 5), "no hidden retry");
    }
}

#[tokio::test]
async fn what_is_no_http_is_protocol_for_good() {
    for answer in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n"] {
        let server = Server::start(move |_| vec![send(answer), Act::Close]).await;
        assert_fails(&fetch(&server.url("/")).await, ErrorKind::Protocol, Stage::Head, false);
    }
}

#[tokio::test]
async fn an_endless_head_ends() {
    let server = Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nX: "), Act::Flood(vec![b'x'; 65536])]).await;
    assert_fails(&fetch(&server.url("/")).await, ErrorKind::Protocol, Stage::Head, false);
}

#[tokio::test]
async fn a_body_cut_in_the_middle_is_body_and_keeps_what_came() {
    for (head, act) in [
        ("Content-Length: 100\r\n\r\nstart", Act::Close),
        ("Content-Length: 100\r\n\r\nstart", Act::Reset),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nstart\r\n", Act::Close),
        ("Transfer-Encoding: chunked\r\n\r\nff\r\nstart", Act::Close),
    ] {
        let server = Server::start({
            let act = act.clone();
            // The pause lets the start arrive before the reset takes the buffers away.
            move |_| {
                vec![send(format!("HTTP/1.1 200 OK\r\n{head}")), Act::Pause(Duration::from_millis(50)), act.clone()]
            }
        })
        .await;
        let attempt = fetch(&server.url("/")).await;
        assert_fails(&attempt, ErrorKind::Body, Stage::Body, true);
        assert_eq!((&attempt.body.bytes[..], attempt.body.truncated), (&b"start"[..], true), "{head} {act:?}");
        assert_eq!((status(&attempt), attempt.body.wire_size), (Some(200), 5));
    }
}

#[tokio::test]
async fn a_bad_chunk_size_is_protocol() {
    for chunks in
        ["zz\r\nstart\r\n0\r\n\r\n", "5\r\nstart\r\n-1\r\n\r\n", "5\r\nstartXX0\r\n\r\n", "ffffffffffffffffff\r\n"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let server = Server::start(move |_| vec![send(&answer)]).await;
        let attempt = fetch(&server.url("/")).await;
        assert_fails(&attempt, ErrorKind::Protocol, Stage::Body, false);
        assert!(attempt.body.truncated);
    }
}

#[tokio::test]
async fn an_unsigned_certificate_is_tls_unless_insecure() {
    let server = Server::start_tls(|_| vec![ok("", b"secret")]).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let attempt = fetch(&url).await;
    assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, false);
    assert!(!failure(&attempt).sent);
    let unknown = "the certificate is not trusted: it is self-signed, or its issuer is not known";
    assert_eq!(&*failure(&attempt).message, unknown);
    assert!(server.requests().is_empty());

    let attempt = client_with(|settings| settings.tls.insecure = true).fetch(get(&url)).await;
    assert_eq!((status(&attempt), &attempt.body.bytes[..]), (Some(200), &b"secret"[..]), "{:?}", attempt.error);
}

#[tokio::test]
async fn plain_text_where_tls_was_expected_is_tls() {
    // A whole TLS record header is needed for rustls to see that it is none.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let answer = async {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (attempt, _stream) = tokio::join!(fetch(&url), answer);
    assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, false);
}

#[tokio::test]
async fn a_handshake_cut_off_may_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (attempt, ()) = tokio::join!(fetch(&url), async { drop(listener.accept().await.unwrap()) });
    assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, true);
    assert!(!failure(&attempt).sent);
}

#[tokio::test]
async fn a_body_that_the_server_hangs_up_on_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let request = Request { method: Method::POST, body: Some(vec![b'x'; 8 << 20].into()), ..get(&url) };
    let client = client();
    let hang_up = async {
        use tokio::io::AsyncReadExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
    };
    let (attempt, ()) = tokio::join!(client.fetch(request), hang_up);
    let error = failure(&attempt);
    assert!(error.kind == ErrorKind::Protocol && error.retryable && error.sent, "{error:?}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_proxy() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in ["http://example.test/", "https://example.test/"] {
        for scheme in ["http", "socks5h"] {
            let client =
                client_with(|settings| settings.proxy = Some(vec![format!("{scheme}://user:hunter2@{address}")]));
            let attempt = client.fetch(get(url)).await;
            let error = failure(&attempt);
            assert_eq!((error.kind, error.stage), (ErrorKind::Proxy, Stage::Connect), "{scheme} {url} {error:?}");
            assert!(!error.sent && !error.message.contains("hunter2"));
        }
    }
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_is_proxy_for_good() {
    let proxy = Server::start(|_| vec![send("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), Act::Close]).await;
    let client = client_with(|settings| settings.proxy = Some(vec![proxy.address.to_string()]));
    assert_fails(&client.fetch(get("https://example.test/")).await, ErrorKind::Proxy, Stage::Connect, false);
}

#[tokio::test]
async fn an_authority_that_serves_itself_is_told_in_plain_words() {
    let server = Server::start_tls_of_authority(|_| vec![ok("", b"")]).await;
    let attempt = fetch(&format!("https://localhost:{}/", server.address.port())).await;
    assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, false);
    let text = "the certificate is not trusted: it is self-signed: an authority's own";
    assert_eq!(&*failure(&attempt).message, text, "the verifier words its cause otherwise");
}

#[tokio::test]
async fn a_name_that_no_certificate_can_be_for_is_tls_for_good() {
    let proxy = Server::start(|_| vec![send("HTTP/1.1 200 Connected\r\n\r\n"), Act::Hang]).await;
    for proxied in [false, true] {
        let client = client_with(|settings| settings.proxy = proxied.then(|| vec![proxy.address.to_string()]));
        for url in ["https://-/", "https://bad..host/"] {
            let attempt = client.fetch(get(url)).await;
            assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, false);
            assert!(!failure(&attempt).sent, "{url}");
        }
    }
}

/// Each text that tells a proxy's handshake from the server's own, against the stack in use.
#[tokio::test]
async fn a_proxy_that_breaks_off_is_proxy_and_a_server_behind_it_is_not() {
    let closing = Server::start(|_| vec![Act::Close]).await;
    let refusing = Server::start(|_| vec![send("HTTP/1.1 502 Bad Gateway\r\n\r\n"), Act::Close]).await;
    for proxy in [&closing, &refusing] {
        let client = client_with(|settings| settings.proxy = Some(vec![proxy.address.to_string()]));
        assert_fails(&client.fetch(get("https://example.test/")).await, ErrorKind::Proxy, Stage::Connect, true);
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = client_with(|settings| settings.proxy = Some(vec![format!("socks5h://{address}")]));
    let (attempt, ()) = tokio::join!(client.fetch(get("https://example.test/")), async {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"this is no SOCKS proxy at all").await.unwrap();
    });
    assert_fails(&attempt, ErrorKind::Proxy, Stage::Connect, true);

    // The control: the tunnel stands, and the handshake within it is cut.
    let open = Server::start(|_| vec![send("HTTP/1.1 200 Connected\r\n\r\n"), Act::Close]).await;
    let client = client_with(|settings| settings.proxy = Some(vec![open.address.to_string()]));
    assert_fails(&client.fetch(get("https://example.test/")).await, ErrorKind::Tls, Stage::Tls, true);
}

/// In a process of its own: the limit holds for all tests of one.
#[cfg(unix)]
#[tokio::test]
async fn without_a_descriptor_it_is_our_own_limit() {
    const CHILD: &str = "TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let name = "fetch::tests::failures::without_a_descriptor_it_is_our_own_limit";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}{output:?}");
        return;
    }
    let server = Server::start(|_| vec![ok("", b"")]).await;
    let client = client();
    let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
    rlimit::Resource::NOFILE.set(64.min(hard), hard).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    for url in [
        server.url("/"),
        "http://name.invalid/".to_owned(),
        "http://localhost/".to_owned(),
        "https://a.invalid/".to_owned(),
    ] {
        let attempt = client.fetch(get(&url)).await;
        assert_fails(&attempt, ErrorKind::Connect, Stage::Connect, true);
        let error = failure(&attempt);
        assert!(error.ours && !error.sent, "{url} {error:?}");
    }
    // The control: with descriptors the same client reaches the same server.
    held.truncate(held.len() / 2);
    assert_eq!(status(&client.fetch(get(&server.url("/"))).await), Some(200));
}
