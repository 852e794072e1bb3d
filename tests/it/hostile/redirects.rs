//! Redirects that lead nowhere, in circles, or where nobody should be led.

use super::table::*;

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    let to = |location: &str| [redirect(location)];
    vec![
        row(RELAY, [page("hello")], "ok 200").size(5).hits(1..=100),
        row("a redirect to itself", to("/"), "failed 302 redirect/head"),
        row("two redirects to each other", to("/b"), "failed 302 redirect/head").at("/b", to("/")).hits(2..=2),
        row("a redirect to itself, by another spelling", to("http://{self}:/./x/..#again"), "failed 302 redirect/head").hits(1..=2),
        row("a circle of two hosts", to("http://{relay}/to/{self}/"), "failed 302 redirect/head").hits(1..=1),
        row("a redirect without Location", [answer("302 Found", "")], "http_error 302"),
        row("a redirect with an empty Location", [answer("302 Found\nLocation:", "")], "http_error 302").hits(1..=1),
        row("a Location of 300 KB", to(&format!("/{}", "l".repeat(300_000))), "failed 302 redirect/head"),
        row("a Location of garbage", to("http://[::g]:99999/%zz"), "failed 302 redirect/head"),
        row("a Location of escape codes and NULs", [send(b"HTTP/1.1 302 Found\r\nLocation: http://\x1b[31m/\xff\xfe\r\nContent-Length: 0\r\n\r\n")], "http_error 302"),
        row("two Locations", [answer("302 Found\nLocation: /a\nLocation: http://169.254.169.254/", "")], "ok 200").at("/a", [page("a")]).size(1).hits(2..=2).leads_away(),
        row("a Location without a host", to("http://"), "failed 302 redirect/head"),
        row("a Location relative to nothing", to("//"), "failed 302 redirect/head"),
        row("a Location with a port that is none", to("http://{relay}:0x50/"), "failed 302 redirect/head"),
        row("a Location of backslashes", to("\\\\{self}\\page"), "ok 200").at("/page", [page("page")]).size(4).hits(2..=2),
        row("a Location that climbs out of the root", to("/../../../../page"), "ok 200").at("/page", [page("page")]).size(4).hits(2..=2),
        row("a Location that is not ASCII", to("/p\u{e4}ge?\u{1f577}"), "ok 200").at("/p%C3%A4ge?", [page("page")]).size(4).hits(2..=2),
        row("a redirect to ftp:", to("ftp://name.invalid/"), "failed 302 redirect/head"),
        row("a redirect to file:", to("file:///etc/passwd"), "failed 302 redirect/head"),
        row("a redirect to javascript:", to("javascript:alert(1)"), "failed 302 redirect/head"),
        row("a redirect to data:", to("data:text/html,hello"), "failed 302 redirect/head"),
        row("a redirect to a private address", to("http://10.0.0.1/"), "skipped 302 private_address").leads_away(),
        row("a redirect to cloud metadata", to("http://169.254.169.254/latest/meta-data/"), "skipped 302 private_address").leads_away(),
        row("a redirect to cloud metadata, in one number", to("http://2852039166/"), "skipped 302 private_address").leads_away(),
        row("a redirect to loopback, mapped into IPv6", to("http://[::ffff:127.0.0.1]/"), "skipped 302 private_address"),
        row("a redirect to a name of loopback", to("http://localhost:1/"), "skipped 302 private_address"),
        row("a redirect with a body without end", [send("HTTP/1.1 302 Found\r\nLocation: /to\r\n\r\n"), endless("without end ")], "ok 200").at("/to", [page("to")]).size(2).hits(2..=2),
        row("a redirect whose body never comes", [head("302 Found\nLocation: /to\nContent-Length: 5"), Silence], "ok 200").at("/to", [page("to")]).size(2).hits(2..=2),
        row("300 with a Location", [answer("300 Multiple Choices\nLocation: /to", "")], "ok 200").at("/to", [page("to")]).size(2).hits(2..=2),
        row("304 with a Location", [answer("304 Not Modified\nLocation: /to", "")], "ok 304").at("/to", [page("to")]).and("/to", "ok 200", 2).hits(2..=2),
        row("201 with a Location", [answer("201 Created\nLocation: /to", "")], "ok 201").at("/to", [page("to")]).and("/to", "ok 200", 2).hits(2..=2),
        row("a Refresh of a number too large", [answer("200 OK\nRefresh: 99999999999999999999; url=file:///etc/passwd", "hello")], "ok 200").size(5),
        row("ten thousand links in a Link header", [answer(&format!("200 OK\nLink: {}", "</x>; rel=next, ".repeat(10_000)), "hello")], "ok 200").size(5),
    ]
}

/// A chain of redirects, each to a URL that was not seen before.
pub fn chains() -> Vec<Row> {
    let hop = |n: usize| (format!("/hop-{n}-"), [redirect(&format!("/hop-{}-", n + 1))]);
    let along = |row: Row, last: usize| {
        (0..last).fold(row, |row, n| {
            let (path, steps) = hop(n);
            row.at(path.leak(), steps)
        })
    };
    let across = (0..30).fold(
        row(
            "a chain of redirects between two hosts",
            [redirect("http://{relay}/to/{self}/0-")],
            "failed 302 redirect/head",
        ),
        |row, n| {
            let path = format!("/{n}-").leak();
            row.at(path, [redirect(&format!("http://{{relay}}/to/{{self}}/{}-", n + 1))])
        },
    );
    vec![
        along(row("a chain of 19 redirects", [redirect("/hop-0-")], "ok 200").size(3), 18)
            .at("/hop-18-", [page("end")])
            .hits(20..=20),
        along(row("a chain of 40 redirects", [redirect("/hop-0-")], "failed 302 redirect/head"), 40).hits(21..=21),
        across.hits(11..=11),
    ]
}
