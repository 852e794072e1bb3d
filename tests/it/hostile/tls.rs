//! Certificates that are not good, and TLS that is none.

use super::table::Certificate::*;
use super::table::Time::Silence as Silent;
use super::table::*;

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    let shown = |name, certificate| row(name, [page("hello")], "failed tls/tls").door(Door::Tls(certificate)).hits(0..=0);
    // A record of TLS 1.2 with a ServerHello that says it is of 16 KiB.
    let half_hello = [&[0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc, 3, 3][..], &[7; 500]].concat();
    vec![
        row("a good certificate, for comparison", [page("hello")], "ok 200").door(Door::Tls(Good)).size(5),
        shown("an expired certificate", Expired),
        shown("a certificate that is not valid yet", NotYetValid),
        shown("a certificate for another name", WrongName),
        shown("a certificate that vouches for itself", SelfSigned),
        shown("a certificate of an authority that nobody knows", UnknownAuthority),
        row("a TLS handshake that is never answered", [Silence], "failed timeout/connect").door(Door::NoTls).takes(Silent),
        row("a TLS handshake that stops in the middle", [send(&half_hello), Silence], "failed timeout/connect").door(Door::NoTls).takes(Silent),
        row("a TLS handshake that is cut off", [send(&half_hello), Close], "failed tls/tls").door(Door::NoTls),
        row("a TLS handshake that is reset", [Reset], "failed tls/tls").door(Door::NoTls),
        row("a TLS handshake byte by byte", [drip(&half_hello, 100)], "failed timeout/connect").door(Door::NoTls).takes(Silent),
        row("a port of https that speaks plain text", [page("hello"), Close], "failed tls/tls").door(Door::NoTls),
        row("a TLS handshake of noise", [send(super::heads::noise(64 * 1024)), Close], "failed tls/tls").door(Door::NoTls),
        row("TLS records without end", [endless([0x16, 3, 3, 0, 4, 0, 0, 0, 0])], "failed tls/tls").door(Door::NoTls).memory(8),
        row("TLS warnings without end", [endless([0x15, 3, 3, 0, 2, 1, 0])], "failed tls/tls").door(Door::NoTls).memory(8),
        row("a TLS alert", [send([0x15, 3, 3, 0, 2, 2, 40]), Close], "failed tls/tls").door(Door::NoTls),
        row("TLS that is closed instead of an answer", [Close], "failed protocol/head").door(Door::Tls(Good)),
        row("TLS that is reset instead of an answer", [Reset], "failed protocol/head").door(Door::Tls(Good)),
        row("TLS that is reset in the body", [head("200 OK\nContent-Length: 100"), send("hello"), Reset], "failed 200 body/body truncated").door(Door::Tls(Good)).decoded(0..=5).wire(0..=5),
        row("a gzip bomb over TLS", [coded("gzip", crate::support::bomb(1024).body)], "failed 200 too_large/body truncated").door(Door::Tls(Good)).decoded(1 << 20..=super::MAX_FILESIZE).wire(1..=1 << 20),
        row("100,000 headers over TLS", [send("HTTP/1.1 200 OK\r\n"), times(100_000, "X-Many: of them\r\n"), send("\r\n"), Close], "failed protocol/head").door(Door::Tls(Good)).memory(8),
        row("a redirect from https to file:", [redirect("file:///etc/passwd")], "failed 302 redirect/head").door(Door::Tls(Good)),
        row("nobody listens", [Close], "failed connect/robots").door(Door::Closed).hits(0..=0),
        row("a name that does not exist", [Close], "failed dns/robots").door(Door::Nowhere("http://no-such-name.invalid/")).hits(0..=0),
    ]
}
