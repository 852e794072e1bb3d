//! What a request says: headers, methods, bodies, credentials and cookies, as curl says them.

use super::{Watcher, both};
use crate::support::*;

/// A file of headers, with what people leave in such files.
const HEADERS: &str = "X-One: 1\r\nX-Two:2\n\nX-Empty;\nAccept: text/*\n";

#[test]
fn headers() {
    let site = Watcher::plain();
    let url = format!("http://{}/a%2Fb?q=x%20y&&", site.address);
    for flags in [
        &["-H", "X-One: 1"][..],
        &["--header", "X-One:1"],
        &["-H", "X-One:   1   "],
        &["-H", "X-One: a:b; c"],
        &["-H", "X-One: a", "-H", "X-One: b", "-H", "x-one: c"],
        &["-H", "X-Empty;"],
        &["-H", "X-Nothing:"],
        &["-H", "X-Nothing:   "],
        &["-H", "Host: other.example"],
        &["-H", "User-Agent: me/1"],
        &["-H", "User-Agent:"],
        &["-H", "User-Agent;"],
        &["-H", "Accept: text/html"],
        &["-H", "Accept;"],
        &["-H", "Accept-Encoding: br"],
        &["-H", "Referer: http://r.example/"],
        &["-H", "Referer:", "-e", "http://r.example/"],
        &["-H", "X-One: gr\u{fc}n"],
        &["-H", "Range: bytes=0-9"],
        &["-H", "TE: trailers"],
        &["-H", "@headers"],
        &["-H", "@headers", "-H", "X-One: 3"],
        &["-A", "me/1.0 (x)"],
        &["--user-agent", "me/1.0"],
        &["-A", ""],
        &["-A", "one", "-A", "two"],
        &["-A", "one", "-H", "User-Agent: two"],
        &["-e", "http://r.example/a?b#c"],
        &["--referer", "not a url"],
        &["-e", ""],
        &["-e", "one", "--referer", "two"],
    ] {
        let arguments = [&[url.as_str()], flags].concat();
        both(&arguments).file("headers", HEADERS).agree(&[&site], 1);
    }
    both(&[&url, "-H", "@-"]).input(HEADERS).agree(&[&site], 1);
}

#[test]
fn methods_and_bodies() {
    let site = Watcher::plain();
    let url = format!("http://{}/a?b", site.address);
    let kind = "Content-Type: text/plain";
    for flags in [
        &["-X", "DELETE"][..],
        &["--request", "PATCH", "-d", ""],
        &["-X", "OPTIONS"],
        &["-X", "PROPFIND"],
        &["-X", "GET", "-X", "DELETE"],
        &["-X", "PUT", "-d", "x"],
        &["-X", "GET", "-d", "x"],
        &["-X", "DELETE", "-d", "x"],
        &["-d", "a=1"],
        &["--data", "a=1&b=\u{fc} %"],
        &["-d", ""],
        &["-d", "a=1", "-d", "b=2", "-d", ""],
        &["-d", "-x"],
        &["-d", "@body"],
        &["-d", "a=1", "-d", "@body", "--data", "b=2"],
        &["-d", "@empty"],
        &["-d", "a=1", "-H", kind],
        &["-d", "a=1", "-H", "Content-Type:"],
        &["-d", "a=1", "-H", "content-type;"],
        &["-d", "a=1", "-H", "Accept: x/y"],
        &["-d", "a=1", "-H", "Transfer-Encoding: chunked"],
        &["-d", "@large"],
        &["--json", "{\"a\":1}"],
        &["--json", ""],
        &["--json", "{\"a\":", "--json", "1}"],
        &["--json", "@body"],
        &["--json", "@body", "--json", "x"],
        &["--json", "{}", "-X", "PUT"],
        &["--json", "{}", "-H", kind],
        &["--json", "{}", "-H", "Accept: x/y"],
        &["--json", "{}", "-H", "Accept: x/y", "-H", kind],
        &["-I"],
        &["--head"],
        &["-I", "-H", "X-One: 1"],
    ] {
        let arguments = [&[url.as_str()], flags].concat();
        let run = both(&arguments).file("body", "one=1\r\n&two=2\n").file("empty", "");
        run.file("large", "0123456789\n".repeat(60_000)).agree(&[&site], 1);
    }
    both(&[&url, "-d", "@-"]).input("from standard\ninput").agree(&[&site], 1);
    both(&[&url, "--json", "@-"]).input("{\n}\n").agree(&[&site], 1);
}

#[test]
fn credentials() {
    let site = Watcher::plain();
    let (plain, with_both) = (format!("http://{}/", site.address), format!("http://url%40u:ur%3Al@{}/", site.address));
    let (with_user, empty) = (format!("http://url@{}/", site.address), format!("http://:only@{}/", site.address));
    for url in [&plain, &with_both, &with_user, &empty] {
        for flags in [
            &[][..],
            &["-u", "me:secret"],
            &["--user", "me:"],
            &["-u", ":secret"],
            &["-u", ":"],
            &["-u", "me:a:b"],
            &["-u", "m\u{fc}:\u{fc}"],
            &["-u", "one:1", "-u", "two:2"],
            &["-u", "me:secret", "-H", "Authorization: Bearer x"],
            &["-H", "Authorization: Bearer x"],
            &["-H", "Authorization:"],
            &["-u", "me:secret", "-H", "Authorization:"],
            &["-n"],
            &["--netrc", "-u", "me:secret"],
            &["-n", "-H", "Authorization: Bearer x"],
        ] {
            // A login of the URL is another one than that of netrc: judged below.
            if *flags == ["-n"] && url != &plain {
                continue;
            }
            let netrc = "machine 127.0.0.1 login net password rc";
            both(&[&[url.as_str()], flags].concat()).file("home/.netrc", netrc).agree(&[&site], 1);
        }
    }
}

#[test]
fn logins_of_netrc() {
    let site = Watcher::plain();
    for (user, netrc) in [
        ("", "machine 127.0.0.1 login net password rc"),
        ("", "machine other login no password no\ndefault login def password ault"),
        ("", "machine other login no password no"),
        ("", "machine 127.0.0.1\n  login \"net\"\n  password \"r c\"\nmachine 127.0.0.1 login second password no"),
        ("url@", "machine 127.0.0.1 login other password no\nmachine 127.0.0.1 login url password found"),
        ("url@", "machine other login no password no"),
    ] {
        for flag in ["-n", "--netrc"] {
            both(&[&format!("http://{user}{}/", site.address), flag]).file("home/.netrc", netrc).agree(&[&site], 1);
        }
    }
    // The password of one login is never sent with the name of another.
    let netrc = "machine 127.0.0.1 login net password rc";
    for (user, sent) in [("url@", "dXJsOg=="), ("url:pw@", "dXJsOnB3")] {
        let url = format!("http://{user}{}/", site.address);
        let [curl, own] = both(&[&url, "-n"]).file("home/.netrc", netrc).shown_to(&[&site]);
        assert!(curl[0].contains("dXJsOnJj") && own[0].contains(sent), "{curl:?} {own:?}");
    }
}

/// One cookie for the server, one for another, one that is over, one of another path, one that needs https.
const JAR: &str = "# Netscape HTTP Cookie File\n\
    127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t1\n\
    #HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t4000000000\thidden\t2\n\
    other.example\tFALSE\t/\tFALSE\t0\tforeign\t3\n\
    127.0.0.1\tFALSE\t/\tFALSE\t1000000000\tover\t4\n\
    127.0.0.1\tFALSE\t/x\tFALSE\t0\tdeep\t5\n";

#[test]
fn cookies() {
    let site = Watcher::plain();
    let (plain, moved) = (format!("http://{}/a", site.address), format!("http://{}/to/302", site.address));
    for (url, requests) in [(&plain, 1), (&moved, 2)] {
        for flags in [
            &["-b", "k=v"][..],
            &["--cookie", "k=v; k2=\"v 2\""],
            &["-b", "k=v", "-b", "l=w"],
            &["-b", ""],
            &["-b", "none-such"],
            &["-b", "jar"],
            &["--cookie", "jar", "-b", "k=v"],
            &["-b", "lines"],
            &["-b", "jar", "-b", "lines"],
            &["-c", "new"],
            &["--cookie-jar", "new", "-b", "k=v"],
            &["-c", "jar", "-b", "jar"],
            &["-b", "k=v", "-H", "Cookie: mine=1"],
            &["-b", "k=v", "-H", "Cookie:"],
        ] {
            let arguments = [&["-L", url.as_str()], flags].concat();
            let lines =
                format!("Set-Cookie: said=1; Domain={}\nSet-Cookie: other=2; Domain=example.org\n", "127.0.0.1");
            both(&arguments).file("jar", JAR).file("lines", lines).agree(&[&site], requests);
        }
    }
}

/// What is another here, each for the reason that the README gives.
#[test]
fn on_purpose_another_way() {
    let site = Watcher::plain();
    let url = format!("http://{}/", site.address);
    // Mistakes end with 2 before anything is asked, where curl asks all the same.
    for flags in [
        &["-H", "no colon"][..],
        &["-H", "Accept:"],
        &["-H", "Host:"],
        &["-d", "x", "-H", "Content-Length:"],
        &["-e", "http://r.example/;auto"],
        &["-d", "x", "--json", "{}"],
        &["-X", "CONNECT"],
        &["-I", "-X", "DELETE"],
        &["-u", "no-password"],
        &["-H", "@missing"],
        &["-d", "@missing"],
        &["--max-redirs", "-1"],
    ] {
        lycosa(["fetch", &url]).args(flags.iter().copied()).run().exits(2);
        assert!(site.seen().is_empty(), "{flags:?}");
    }
    // RFC 9110 8.6: what could have a body says that it has none.
    for method in ["POST", "PUT", "PATCH"] {
        let [curl, own] = both(&[&url, "-X", method]).shown_to(&[&site]);
        assert!(!curl[0].contains("content-length") && own[0].contains("content-length: 0"), "{curl:?} {own:?}");
    }
    // RFC 6265 5.4: one line of cookies.
    let [curl, own] = both(&[&url, "-b", "jar", "-H", "Cookie: mine=1"]).file("jar", JAR).shown_to(&[&site]);
    assert_eq!((curl[0].matches("cookie: ").count(), own[0].matches("cookie: ").count()), (2, 1));
    assert!(own[0].contains("cookie: hidden=2; mine=1; session=1"), "{own:?}");
    // NUL is dropped from forms, where curl drops the rest of the line with it.
    let [curl, own] = both(&[&url, "-d", "@body"]).file("body", "a\0b\nc").shown_to(&[&site]);
    assert!(curl[0].ends_with(" ac") && own[0].ends_with(" abc"), "{curl:?} {own:?}");
    // Methods are upper case.
    let [curl, own] = both(&[&url, "-X", "patch"]).shown_to(&[&site]);
    assert!(curl[0].contains(" patch ") && own[0].contains(" PATCH "), "{curl:?} {own:?}");
}
