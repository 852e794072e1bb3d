//! Proxies of others: an HTTP proxy with a password, and a SOCKS5 proxy with one.

use super::curl::both;
use super::programs::{Program, free_port, microsocks, nginx, tinyproxy};
use crate::support::*;

fn origin() -> Program {
    let port = free_port();
    let http = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 'from $request_uri\\n'; }} }}");
    nginx(port, &[], &http, |_| ())
}

/// Both go through the proxy and see the same, over plain http and over TLS.
fn agree(proxy: &str) {
    let plain = origin();
    let secure = Site::start_tls(|_: &Request| html("over tls"));
    for url in [plain.url("/a?b=c"), secure.url("/")] {
        // The proxy variables of the environment count for neither, and loopback is proxied when it is asked for.
        let arguments = ["-x", proxy, "-k", "-A", "both/1.0", "-H", "Accept-Encoding: identity"];
        let (curl, lycosa, record) = both(&arguments, &url);
        assert_eq!(curl.status, 200, "{proxy} {url}");
        assert_eq!(curl, lycosa, "{proxy} {url}");
        let named = field(&record, "proxy");
        assert!(!named.is_empty() && !named.contains("secret"), "{named}");
    }
}

/// Both fail, or get the same refusal.
fn refuse(proxy: &str) {
    let plain = origin();
    let secure = Site::start_tls(|_: &Request| html("over tls"));
    for url in [plain.url("/"), secure.url("/")] {
        let (curl, lycosa, record) = both(&["-x", proxy, "-k", "-H", "Accept-Encoding: identity"], &url);
        assert_ne!(curl.status, 200, "{proxy} {url}");
        assert_eq!(curl.failed, lycosa.failed, "{proxy} {url} {record}");
        assert_eq!(curl.status, lycosa.status, "{proxy} {url} {record}");
        if lycosa.failed {
            assert_eq!(record["error"]["kind"].as_str(), Some("proxy"), "{record}");
        }
        assert!(!record.to_string().contains("wrong"), "{record}");
    }
    assert_eq!(secure.hits(), 0);
}

#[test]
fn an_http_proxy_with_a_password() {
    let proxy = tinyproxy();
    agree(&format!("http://user:secret@127.0.0.1:{}", proxy.port));
    refuse(&format!("http://user:wrong@127.0.0.1:{}", proxy.port));
    refuse(&format!("http://127.0.0.1:{}", proxy.port));
}

#[test]
fn a_socks_proxy_with_a_password() {
    let proxy = microsocks();
    for scheme in ["socks5", "socks5h"] {
        agree(&format!("{scheme}://user:secret@127.0.0.1:{}", proxy.port));
        refuse(&format!("{scheme}://user:wrong@127.0.0.1:{}", proxy.port));
    }
    refuse(&format!("socks5://127.0.0.1:{}", proxy.port));
}
