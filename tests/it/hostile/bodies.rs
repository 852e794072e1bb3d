//! Bodies that are not what their heads say, come too slowly, or have no end.

use super::table::Time::{Silence as Silent, Whole};
use super::table::*;

const CHUNKED: &str = "200 OK\nTransfer-Encoding: chunked";

/// The length beyond which no body is read.
const CAP: u64 = super::MAX_FILESIZE;

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        row("a body shorter than said", [head("200 OK\nContent-Length: 100"), send("hello"), Close], "failed 200 body/body truncated").size(5),
        row("a body longer than said", [head("200 OK\nContent-Length: 5"), send("hello, world"), Close], "ok 200").size(5),
        row("two lengths that differ", [head("200 OK\nContent-Length: 5\nContent-Length: 6"), send("hello!"), Close], "failed protocol/head"),
        row("two lengths in one line that differ", [head("200 OK\nContent-Length: 5, 6"), send("hello!"), Close], "failed protocol/head"),
        row("two lengths that agree", [head("200 OK\nContent-Length: 5\nContent-Length: 5"), send("hello")], "ok 200").size(5),
        row("a negative length", [head("200 OK\nContent-Length: -1"), send("hello"), Close], "failed protocol/head"),
        row("a length with a sign", [head("200 OK\nContent-Length: +5"), send("hello"), Close], "failed protocol/head"),
        row("a length beyond 64 bits", [head("200 OK\nContent-Length: 99999999999999999999999"), send("hello"), Close], "failed protocol/head"),
        row("a length of 16 EiB", [head("200 OK\nContent-Length: 18446744073709551614"), send("hello"), Close], "failed protocol/head").memory(8),
        row("a length of 8 EiB", [head("200 OK\nContent-Length: 9223372036854775807"), send("hello"), Close], "failed 200 too_large/body truncated").memory(8),
        row("a length that is no number", [head("200 OK\nContent-Length: five"), send("hello"), Close], "failed protocol/head"),
        row("a length and chunks", [head("200 OK\nContent-Length: 3\nTransfer-Encoding: chunked"), send("5\r\nhello\r\n0\r\n\r\n"), Close], "ok 200").size(5),
        row("chunks in HTTP/1.0", [send("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Close], "failed protocol/head"),
        row("a transfer coding of its own", [head("200 OK\nTransfer-Encoding: hostile"), send("hello"), Close], "ok 200").size(5),
        row("a negative chunk", [head(CHUNKED), send("-5\r\nhello\r\n0\r\n\r\n"), Close], "failed 200 protocol/body truncated"),
        row("a chunk size that is none", [head(CHUNKED), send("zz\r\nhello\r\n0\r\n\r\n"), Close], "failed 200 protocol/body truncated"),
        row("an empty chunk size", [head(CHUNKED), send("\r\nhello\r\n0\r\n\r\n"), Close], "failed 200 protocol/body truncated"),
        row("a chunk size beyond 64 bits", [head(CHUNKED), send("11111111111111111\r\nhello\r\n0\r\n\r\n"), Close], "failed 200 protocol/body truncated"),
        row("a chunk of 16 EiB", [head(CHUNKED), send("ffffffffffffffff\r\nhello"), Close], "failed 200 body/body truncated").size(5).memory(8),
        row("a chunk size with a million zeros", [head(CHUNKED), times(1_000_000, "0"), send("5\r\nhello\r\n0\r\n\r\n"), Close], "ok 200").size(5),
        row("a chunk size of zeros without end", [head(CHUNKED), flood("0")], "failed 200 timeout/body truncated").takes(Silent).memory(8),
        row("a chunk without its line end", [head(CHUNKED), send("5\r\nhello5\r\nworld\r\n0\r\n\r\n"), Close], "failed 200 protocol/body truncated").size(5),
        row("half a chunk, then the end", [head(CHUNKED), send("a\r\nhello"), Close], "failed 200 body/body truncated").size(5),
        row("chunks without the last one", [head(CHUNKED), send("5\r\nhello\r\n"), Close], "failed 200 body/body truncated").size(5),
        row("a chunk extension without end", [head(CHUNKED), send("5;"), endless("x=y;")], "failed 200 protocol/body truncated").memory(8),
        row("many chunk extensions", [head(CHUNKED), times(100_000, format!("1;{}\r\nz\r\n", "e".repeat(100))), send("0\r\n\r\n"), Close], "failed 200 protocol/body truncated").decoded(0..=1_000).wire(0..=1_000),
        row("trailers without end", [head(CHUNKED), send("5\r\nhello\r\n0\r\n"), endless("X-Trail: er\r\n")], "failed 200 protocol/body truncated").size(5).memory(8),
        row("a trailer line without end", [head(CHUNKED), send("5\r\nhello\r\n0\r\nX-Trail: "), endless("er")], "failed 200 protocol/body truncated").size(5).memory(8),
        row("trailers that are none", [head(CHUNKED), send("5\r\nhello\r\n0\r\nno trailer at all\r\n\r\n"), Close], "failed 200 protocol/body truncated").size(5),
        row("chunks of one byte", [head(CHUNKED), times(300_000, "1\r\nz\r\n"), send("0\r\n\r\n")], "ok 200").size(300_000),
        row("chunks without end", [head(CHUNKED), endless("1000\r\n".to_owned() + &"z".repeat(4096) + "\r\n")], "failed 200 too_large/body truncated").decoded(CAP..=CAP).wire(CAP..=2 * CAP).memory(40),
        row("a body without end", [head("200 OK"), endless("without end ")], "failed 200 too_large/body truncated").decoded(CAP..=CAP).wire(CAP..=2 * CAP).memory(40),
        row("a body byte by byte", [head("200 OK\nContent-Length: 100"), drip("z".repeat(100), 500)], "failed 200 too_slow/body truncated").decoded(1..=50).wire(1..=50).takes(Silent),
        row("a body that is just not too slow", [head("200 OK\nContent-Length: 1000000"), Step::Drip(vec![vec![b'z'; 1000]; 1000], 100)], "failed 200 timeout/body truncated").decoded(1000..=300_000).wire(1000..=300_000).takes(Whole),
        row("silence in the body", [head("200 OK\nContent-Length: 100"), send("hello"), Silence], "failed 200 timeout/body truncated").size(5).takes(Silent),
        row("silence after the head", [head("200 OK"), Silence], "failed 200 timeout/body truncated").takes(Silent),
        row("silence before the last chunk", [head(CHUNKED), send("5\r\nhello\r\n"), Silence], "failed 200 timeout/body truncated").size(5).takes(Silent),
        row("a reset after the head", [head("200 OK\nContent-Length: 100"), Reset], "failed 200 body/body truncated"),
        row("a reset in the body", [head("200 OK\nContent-Length: 100"), send("hello"), Reset], "failed 200 body/body truncated").decoded(0..=5).wire(0..=5),
        row("a reset instead of the end of a body without length", [head("200 OK"), send("hello"), Reset], "failed 200 body/body truncated").decoded(0..=5).wire(0..=5),
        row("the end after the head", [head("200 OK\nContent-Length: 100"), Close], "failed 200 body/body truncated"),
        row("204 with a body", [head("204 No Content\nContent-Length: 5"), send("hello"), Close], "ok 204"),
        row("304 with a body", [head("304 Not Modified\nContent-Length: 5"), send("hello"), Close], "ok 304"),
        row("206 that nobody asked for", [answer("206 Partial Content\nContent-Range: bytes 0-4/5", "hello")], "ok 206").size(5),
        row("a part that nobody asked for", [answer("206 Partial Content\nContent-Range: bytes 0-4/10", "hello")], "ok 206 truncated").size(5),
        // What follows an answer is there before the next request is sent, and must not become its answer.
        waits(row("two answers to one request", [send(TWO_ANSWERS)], "ok 200")),
        waits(row("bytes on an idle connection", [page(NEXT), Pause(100), page("an answer to nothing")], "ok 200")),
        waits(row("an answer that says it stays, and goes", [page(NEXT), Close], "ok 200")),
    ]
}

/// A page with a link.
const NEXT: &str = "<a href=/next>";

const TWO_ANSWERS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<a href=/next>HTTP/1.1 200 OK\r\n\
    Content-Length: 20\r\n\r\nan answer to nothing";

/// A page that links to another one, which is asked for a second later.
fn waits(row: Row) -> Row {
    let delay = answer("200 OK\nContent-Type: text/plain", "User-agent: *\nCrawl-delay: 1\n");
    row.size(14).robots([delay]).at("/next", [page("next")]).and("/next", "ok 200", 4).hits(2..=2)
}
