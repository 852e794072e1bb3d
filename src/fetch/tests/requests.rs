//! What is sent, where to, and over how many connections.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};

use super::server::{Act, Server, ok, send};
use super::*;
use crate::fetch::client::ClientError;
use crate::fetch::client::HostHeaders;
use crate::model::record::SkipReason;
use crate::policy::host_rules::HostPattern;

async fn echo() -> Server {
    Server::start(|_| vec![ok("", b"")]).await
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// The values of a header in the last request.
fn sent(server: &Server, name: &str) -> Vec<String> {
    let request = server.requests().pop().expect("a request");
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

#[tokio::test]
async fn a_plain_request_has_our_headers_once() {
    let server = echo().await;
    client().fetch(get(&server.url("/a?b=c%20d"))).await;
    assert!(server.requests()[0].starts_with("GET /a?b=c%20d HTTP/1.1\r\n"));
    assert_eq!(sent(&server, "accept"), ["*/*"]);
    assert_eq!(sent(&server, "accept-encoding"), ["gzip, deflate, br, zstd"]);
    assert_eq!(sent(&server, "host"), [server.address.to_string()]);
    assert!(sent(&server, "user-agent")[0].starts_with("lycosa/0"));
    assert!(sent(&server, "referer").is_empty() && sent(&server, "cookie").is_empty());
}

#[tokio::test]
async fn headers_of_the_run_replace_ours_and_those_of_the_job_replace_both() {
    let server = echo().await;
    let many = HeaderName::from_static("x-many");
    let client = client_with(|settings| {
        settings.headers = vec![
            (USER_AGENT, value("mine/1")),
            (ACCEPT_ENCODING, value("identity")),
            (many.clone(), value("run 1")),
            (many.clone(), value("run 2")),
        ];
    });
    client.fetch(get(&server.url("/"))).await;
    assert_eq!(sent(&server, "user-agent"), ["mine/1"]);
    assert_eq!(sent(&server, "accept-encoding"), ["identity"]);
    assert_eq!(sent(&server, "x-many"), ["run 1", "run 2"]);

    let headers = vec![(many.clone(), value("job 1")), (many, value("job 2"))];
    client.fetch(Request { headers, ..get(&server.url("/")) }).await;
    assert_eq!(sent(&server, "x-many"), ["job 1", "job 2"]);
    assert_eq!(sent(&server, "user-agent"), ["mine/1"]);
}

#[tokio::test]
async fn an_empty_user_agent_is_not_sent_and_a_bad_one_is_an_error() {
    let server = echo().await;
    client_with(|settings| settings.user_agent.clear()).fetch(get(&server.url("/"))).await;
    assert!(sent(&server, "user-agent").is_empty());
    let settings = ClientSettings { user_agent: "a\nb".to_owned(), ..ClientSettings::default() };
    let error = Client::with_variables(&settings, &ProxyVariables::default()).unwrap_err();
    assert!(matches!(error, ClientError::UserAgent(_)) && !error.to_string().contains('\n'));
}

#[tokio::test]
async fn credentials_go_only_where_they_may() {
    let server = echo().await;
    let key = HeaderName::from_static("x-api-key");
    let client = client_with(|settings| {
        settings.credentials = vec![(AUTHORIZATION, value("Basic cnVu")), (COOKIE, value("a=b")), (key, value("k"))];
    });
    client.fetch(get(&server.url("/"))).await;
    for name in ["authorization", "cookie", "x-api-key"] {
        assert!(sent(&server, name).is_empty(), "{name}");
    }
    client.fetch(Request { credentials: true, ..get(&server.url("/")) }).await;
    assert_eq!(sent(&server, "authorization"), ["Basic cnVu"]);
    assert_eq!((sent(&server, "cookie"), sent(&server, "x-api-key")), (vec!["a=b".into()], vec!["k".into()]));

    // As in curl, what was typed of its own stands over what stood in the URL; what the job says stands over both.
    let user_info = Some(("us@er".into(), "p:w".into()));
    let with_user = Request { credentials: true, user_info, ..get(&server.url("/")) };
    client.fetch(with_user.clone()).await;
    assert_eq!(sent(&server, "authorization"), ["Basic cnVu"]);
    client.fetch(Request { credentials: false, ..with_user.clone() }).await;
    assert_eq!(sent(&server, "authorization"), ["Basic dXNAZXI6cDp3"]);
    let without = client_with(|settings| settings.removed = vec![AUTHORIZATION]);
    without.fetch(with_user.clone()).await;
    assert!(sent(&server, "authorization").is_empty());
    client.fetch(Request { headers: vec![(AUTHORIZATION, value("job"))], ..with_user }).await;
    assert_eq!(sent(&server, "authorization"), ["job"]);
}

#[tokio::test]
async fn a_body_is_sent_with_its_method_and_length() {
    let server = echo().await;
    let request = Request { method: Method::POST, body: Some("a=b".into()), ..get(&server.url("/")) };
    let attempt = client().fetch(request).await;
    assert_eq!((status(&attempt), sent(&server, "content-length")), (Some(200), vec!["3".to_owned()]));
    assert!(server.requests()[0].starts_with("POST / ") && server.requests()[0].ends_with("\r\n\r\na=b"));
}

#[tokio::test]
async fn no_body_where_one_is_usual_is_told_as_length_0() {
    let server = echo().await;
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        for body in [None, Some(bytes::Bytes::new())] {
            let attempt = client().fetch(Request { method: method.clone(), body, ..get(&server.url("/")) }).await;
            assert_eq!((status(&attempt), sent(&server, "content-length")), (Some(200), vec!["0".to_owned()]));
        }
    }
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        client().fetch(Request { method, ..get(&server.url("/")) }).await;
        assert!(sent(&server, "content-length").is_empty());
    }
}

#[tokio::test]
async fn a_header_of_ours_can_be_left_out() {
    let server = echo().await;
    let client = client_with(|settings| settings.removed = vec![ACCEPT_ENCODING, USER_AGENT]);
    client.fetch(get(&server.url("/"))).await;
    assert!(sent(&server, "accept-encoding").is_empty() && sent(&server, "user-agent").is_empty());
    assert_eq!(sent(&server, "accept"), ["*/*"]);
    // What a job says itself stands.
    let headers = vec![(ACCEPT_ENCODING, value("gzip"))];
    client.fetch(Request { headers, ..get(&server.url("/")) }).await;
    assert_eq!(sent(&server, "accept-encoding"), ["gzip"]);
}

#[tokio::test]
async fn a_host_of_the_users_own_goes_where_credentials_may() {
    let server = echo().await;
    let client = client_with(|settings| settings.headers = vec![(HOST, value("run.example"))]);
    let of_job = vec![(HOST, value("job.example"))];
    for (credentials, headers, host) in [
        (true, vec![], "run.example".to_owned()),
        (true, of_job.clone(), "job.example".to_owned()),
        (false, vec![], server.address.to_string()),
        (false, of_job, server.address.to_string()),
    ] {
        client.fetch(Request { headers, credentials, ..get(&server.url("/")) }).await;
        assert_eq!(sent(&server, "host"), [host], "{credentials}");
    }
}

#[tokio::test]
async fn an_attempt_names_its_proxy_and_only_if_it_went_there() {
    let server = echo().await;
    let proxy = echo().await;
    let settings =
        ClientSettings { proxy: Some(vec![format!("me:secret@{}", proxy.address)]), ..ClientSettings::default() };
    for no in ["*", "127.0.0.0/8"] {
        let client = Client::with_variables(&settings, &ProxyVariables::without(no)).unwrap();
        let attempt = client.fetch(get(&server.url("/"))).await;
        assert_eq!((status(&attempt), attempt.proxy), (Some(200), None), "{no}");
    }
    assert_eq!((server.requests().len(), proxy.requests().len()), (2, 0));
    let client = Client::with_variables(&settings, &ProxyVariables::without("127.0.0.2")).unwrap();
    let attempt = client.fetch(get(&server.url("/"))).await;
    assert_eq!(attempt.proxy.as_deref(), Some(&*format!("http://{}", proxy.address)));
    assert_eq!((server.requests().len(), proxy.requests().len()), (2, 1));
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = Server::start(|_| vec![send("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")]).await;
    let attempt = fetch(&server.url("/a")).await;
    assert_eq!((status(&attempt), server.requests().len()), (Some(302), 1));
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let server = Server::start(|_| vec![ok("", b"some body")]).await;
    let client = client();
    for _ in 0..50 {
        let attempt = client.fetch(get(&server.url("/"))).await;
        assert_eq!(attempt.head.unwrap().remote_addr, Some(server.address));
    }
    assert_eq!((server.requests().len(), server.connections()), (50, 1));
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_connected_to_again() {
    let server = Server::start(|_| vec![ok("", b"some body"), Act::Close]).await;
    let client = client();
    for _ in 0..5 {
        assert_eq!(status(&client.fetch(get(&server.url("/"))).await), Some(200));
        // Lets the end of the connection arrive.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn the_guard_refuses_private_addresses_in_every_spelling() {
    let server = echo().await;
    let port = server.address.port();
    let client = client();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "a.localhost"] {
        let url = format!("http://{host}:{port}/");
        let attempt = client.fetch(Request { guarded: true, ..get(&url) }).await;
        assert_eq!(attempt.refusal, Some(SkipReason::PrivateAddress), "{host}");
        assert!(attempt.error.is_none() && attempt.head.is_none());
    }
    assert_eq!(server.connections(), 0);
    // The control: without the guard the same server is reached.
    assert_eq!(status(&client.fetch(get(&format!("http://localhost:{port}/"))).await), Some(200));
}

#[tokio::test]
async fn a_proxy_gets_the_whole_url_and_the_password_in_its_own_header() {
    let proxy = Server::start(|_| vec![ok("", b"from the proxy")]).await;
    let client = client_with(|settings| settings.proxy = Some(vec![format!("user:pass@{}", proxy.address)]));
    let attempt = client.fetch(get("http://example.test/page")).await;
    assert_eq!(&attempt.body.bytes[..], b"from the proxy", "{:?}", attempt.error);
    assert!(proxy.requests()[0].starts_with("GET http://example.test/page HTTP/1.1\r\n"));
    assert_eq!(sent(&proxy, "proxy-authorization"), ["Basic dXNlcjpwYXNz"]);
}

#[tokio::test]
async fn a_table_takes_a_header_out_behind_a_proxy_too() {
    let (server, proxy) = (echo().await, echo().await);
    for through in [None, Some(vec![proxy.address.to_string()])] {
        let last = if through.is_some() { &proxy } else { &server };
        let client = client_with(|settings| {
            settings.proxy = through;
            settings.hosts = vec![HostHeaders {
                patterns: vec![HostPattern::parse("127.0.0.1:*").unwrap()],
                removed: vec![http::header::USER_AGENT],
                ..HostHeaders::default()
            }];
        });
        assert_eq!(status(&client.fetch(get(&server.url("/"))).await), Some(200));
        assert!(sent(last, "user-agent").is_empty(), "{:?}", last.requests());
    }
}

#[tokio::test]
async fn a_proxy_tunnels_tls() {
    let server = Server::start_tls(|_| vec![ok("", b"through the tunnel")]).await;
    let address = server.address;
    let proxy = Server::start(move |_| vec![send("HTTP/1.1 200 Connected\r\n\r\n"), Act::Relay(address)]).await;
    let client = client_with(|settings| {
        settings.proxy = Some(vec![proxy.address.to_string()]);
        settings.tls.insecure = true;
    });
    let attempt = client.fetch(get("https://example.test/")).await;
    assert_eq!(&attempt.body.bytes[..], b"through the tunnel", "{:?}", attempt.error);
    assert!(proxy.requests()[0].starts_with("CONNECT example.test:443 HTTP/1.1\r\n"));
    assert!(sent(&proxy, "user-agent")[0].starts_with("lycosa/"));

    // A certificate that is refused is the server's failure, not the proxy's.
    let strict = client_with(|settings| settings.proxy = Some(vec![proxy.address.to_string()]));
    assert_fails(&strict.fetch(get("https://example.test/")).await, ErrorKind::Tls, Stage::Tls, false);
}

#[tokio::test]
async fn a_guarded_request_may_use_a_private_proxy_but_not_aim_at_it() {
    let proxy = Server::start(|_| vec![ok("", b"from the proxy")]).await;
    let client = client_at_home(|settings| settings.proxy = Some(vec![format!("localhost:{}", proxy.address.port())]));
    let attempt = client.fetch(Request { guarded: true, ..get("http://93.184.216.34/") }).await;
    assert_eq!(&attempt.body.bytes[..], b"from the proxy", "{:?}", attempt.error);
    for url in ["http://localhost/", "http://10.0.0.1/"] {
        let attempt = client.fetch(Request { guarded: true, ..get(url) }).await;
        assert_eq!(attempt.refusal, Some(SkipReason::PrivateAddress), "{url}");
    }
    assert_eq!(proxy.requests().len(), 1);
}
