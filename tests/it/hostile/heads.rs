//! Heads that never come, never end, or are none.

use super::table::Time::Whole;
use super::table::*;

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    let long_line = |bytes| times(bytes, "y");
    vec![
        row("no answer", [Silence], "failed timeout/head").takes(Whole),
        row("a connection that is closed instead of an answer", [Close], "failed protocol/head"),
        row("a connection that is reset instead of an answer", [Reset], "failed protocol/head"),
        row("half a head, then silence", [send("HTTP/1.1 200 OK\r\nContent-Le"), Silence], "failed timeout/head").takes(Whole),
        row("half a head, then the end", [send("HTTP/1.1 200 OK\r\nContent-Le"), Close], "failed protocol/head"),
        row("half a head, then a reset", [send("HTTP/1.1 200 OK\r\nContent-Le"), Reset], "failed protocol/head"),
        row("a head byte by byte", [drip("HTTP/1.1 200 OK\r\nServer: slow and steady\r\n\r\n", 500), Close], "failed timeout/head").takes(Whole),
        row("a header line of 10 MB", [send("HTTP/1.1 200 OK\r\nX-Long: "), long_line(10 << 20), send("\r\n\r\n"), Close], "failed protocol/head").memory(8),
        row("a header name of 1 MB", [send("HTTP/1.1 200 OK\r\n"), long_line(1 << 20), send(": x\r\n\r\n"), Close], "failed protocol/head"),
        row("a header line without end", [send("HTTP/1.1 200 OK\r\nX-Long: "), endless("y")], "failed protocol/head").memory(8),
        row("100,000 headers", [send("HTTP/1.1 200 OK\r\n"), times(100_000, "X-Many: of them\r\n"), send("\r\n"), Close], "failed protocol/head").memory(8),
        row("headers without end", [send("HTTP/1.1 200 OK\r\n"), endless("X-Many: of them\r\n")], "failed protocol/head").memory(8),
        row("99 headers of 10 KB", [send("HTTP/1.1 200 OK\r\n"), times(99, format!("X-Fat: {}\r\n", "z".repeat(10_000))), send("\r\n"), Close], "failed protocol/head"),
        row("10,000 cookies", [send("HTTP/1.1 200 OK\r\n"), times(10_000, "Set-Cookie: a=b; Path=/\r\n"), send("\r\n"), Close], "failed protocol/head"),
        row("a cookie of 300 KB", [answer(&format!("200 OK\nSet-Cookie: a={}", "c".repeat(300_000)), "hello")], "ok 200").size(5),
        row("a status line that is none", [send("hello there\r\n\r\n"), Close], "failed protocol/head"),
        row("an answer of NULs", [times(4096, "\0"), Close], "failed protocol/head"),
        row("an answer of line ends only", [endless("\r\n")], "failed protocol/head"),
        row("an answer of random bytes", [send(noise(64 * 1024)), Close], "failed protocol/head"),
        row("status 0", [head("000 Nothing\nContent-Length: 0")], "failed protocol/head"),
        row("status 99", [head("99 Too short\nContent-Length: 0")], "failed protocol/head"),
        row("status 1000", [head("1000 Too long\nContent-Length: 0")], "failed protocol/head"),
        row("status -200", [head("-200 Less than nothing\nContent-Length: 0")], "failed protocol/head"),
        row("status 999", [answer("999 Of nobody's making", "no")], "http_error 999").size(2),
        row("a reason of 100 KB", [answer(&format!("200 {}", "R".repeat(100_000)), "hello")], "ok 200").size(5),
        row("HTTP/0.9: a body and nothing else", [send("<html>hello</html>"), Close], "failed protocol/head"),
        row("HTTP/3.0 as the version", [send("HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"), Close], "failed protocol/head"),
        row("HTTP/1.0 that keeps talking", [send("HTTP/1.0 200 OK\r\n\r\nhello"), Close], "ok 200").size(5),
        row("ICY 200 OK", [send("ICY 200 OK\r\n\r\n"), Close], "failed protocol/head"),
        row("a space before the colon", [send("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"), Close], "ok 200").size(5),
        row("a folded header", [send("HTTP/1.1 200 OK\r\nX-Fold: a\r\n b\r\nContent-Length: 5\r\n\r\nhello")], "ok 200").size(5),
        row("a header that is folded without end", [send("HTTP/1.1 200 OK\r\nX-Fold: a\r\n"), endless(" b\r\n")], "failed protocol/head").memory(8),
        row("a line that is no header", [send("HTTP/1.1 200 OK\r\nno header at all\r\nContent-Length: 5\r\n\r\nhello")], "ok 200").size(5),
        row("lines without end that are no headers", [send("HTTP/1.1 200 OK\r\n"), endless("no header at all\r\n")], "failed protocol/head").memory(8),
        row("an escape code in a header", [send("HTTP/1.1 200 OK\r\nX-Red: \u{1b}[31m\r\nContent-Length: 5\r\n\r\nhello")], "ok 200").size(5),
        row("a NUL in a header", [send("HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\nContent-Length: 5\r\n\r\nhello")], "failed protocol/head"),
        row("a lone CR in a header", [send("HTTP/1.1 200 OK\r\nX-Cr: a\rSet-Cookie: b\r\nContent-Length: 5\r\n\r\nhello")], "failed protocol/head"),
        row("line ends without CR", [send("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello")], "ok 200").size(5),
        row("escape codes in the reason and the headers", [answer("200 \u{1b}[31mred\nServer: \u{9b}31m", "hello")], "failed protocol/head"),
        row("1xx without end", [endless("HTTP/1.1 100 Continue\r\n\r\n")], "failed protocol/head"),
        row("1xx without end, with headers", [endless("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")], "failed protocol/head").memory(8),
        row("a hundred 1xx, then an answer", [times(100, "HTTP/1.1 102 Processing\r\n\r\n"), page("hello")], "ok 200").size(5),
        row("101 that nobody asked for", [head("101 Switching Protocols\nConnection: upgrade\nUpgrade: hostile"), send("hello"), Silence], "http_error 101"),
        row("an answer before the request", [Silence], "failed protocol/send | failed protocol/head | ok 200").greets([page("early"), Silence]).hits(0..=1).decoded(0..=5).wire(0..=5),
        row("bytes before the answer", [send("\r\n\r\n"), page("hello")], "ok 200").size(5),
        row("304 that nobody asked for", [head("304 Not Modified\nETag: \"x\"")], "ok 304"),
        row("429 for ten thousand years", [answer("429 Too Many Requests\nRetry-After: 315360000000", "")], "skipped 429 rate_limited"),
        row("503 until a time that is no number", [answer("503 Later\nRetry-After: 99999999999999999999999999999", "")], "skipped 503 rate_limited"),
        row("503 until the past", [answer("503 Later\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT", "")], "skipped 503 rate_limited").hits(1..=11),
        row("a Retry-After of 64 KB", [answer(&format!("503 Later\nRetry-After: {}", "9".repeat(64 * 1024)), "")], "skipped 503 rate_limited"),
    ]
}

/// Bytes without sense, the same each time.
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(next).collect()
}
