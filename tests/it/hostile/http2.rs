//! HTTP/2 that floods, stalls, or breaks its rules: frames by hand (RFC 9113).

use super::table::Time::{Silence as Silent, Whole};
use super::table::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// `:status: 200` of the static table (RFC 7541, Appendix A).
const OK: &[u8] = &[0x88];
/// `:status: 204`.
const NO_CONTENT: &[u8] = &[0x89];

/// The connection broke before or after the request was on its way.
const EARLY: &str = "failed protocol/send | failed protocol/head";

const MAX: u64 = super::MAX_FILESIZE;

fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that is not kept in any table, of at most 126 bytes each.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)][..], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// A setting and its value.
fn setting(number: u16, value: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    let settings = || frame(SETTINGS, 0, 0, []);
    let ok = || frame(HEADERS, END_HEADERS, 1, OK);
    let h2 = |name, steps: Vec<Step>, verdict| row(name, steps, verdict).door(Door::Http2).greets([send(settings())]);
    let hello = || frame(DATA, END_STREAM, 1, b"hello");
    let window = |stream, n: u32| frame(WINDOW_UPDATE, 0, stream, n.to_be_bytes());
    vec![
        h2("HTTP/2 as it should be, for comparison", vec![send(ok()), send(hello())], "ok 200").size(5),
        h2("HTTP/2: no answer", vec![Silence], "failed timeout/head").takes(Whole),
        h2("HTTP/2: a flood of SETTINGS", vec![endless(frame(SETTINGS, 0, 0, setting(3, 100)))], "failed protocol/head").memory(16),
        h2("HTTP/2: a flood of empty SETTINGS", vec![endless(settings())], "failed protocol/head").memory(16),
        h2("HTTP/2: a flood of PING", vec![endless(frame(PING, 0, 0, [7; 8]))], "failed protocol/head").memory(16),
        h2("HTTP/2: a flood of PING acknowledgements", vec![endless(frame(PING, ACK, 0, [7; 8]))], "failed protocol/head").memory(16),
        h2("HTTP/2: a flood of RST_STREAM", vec![flood(frame(RST_STREAM, 0, 1, 8_u32.to_be_bytes()))], "failed protocol/head").memory(16),
        h2("HTTP/2: a stream that is reset", vec![send(frame(RST_STREAM, 0, 1, 8_u32.to_be_bytes()))], "failed protocol/head"),
        h2("HTTP/2: a stream that is reset in the body", vec![send(ok()), send(frame(DATA, 0, 1, b"hello")), Pause(50), send(frame(RST_STREAM, 0, 1, 2_u32.to_be_bytes()))], "failed 200 body/body truncated").decoded(0..=5).wire(0..=5),
        h2("HTTP/2: a stream that was refused", vec![send(frame(RST_STREAM, 0, 1, 7_u32.to_be_bytes()))], "failed protocol/head"),
        h2("HTTP/2: a flood of CONTINUATION", vec![send(frame(HEADERS, 0, 1, OK)), flood(frame(CONTINUATION, 0, 1, field("x", "y").repeat(100)))], "failed protocol/head").memory(16),
        h2("HTTP/2: a flood of empty CONTINUATION", vec![send(frame(HEADERS, 0, 1, OK)), flood(frame(CONTINUATION, 0, 1, []))], "failed protocol/head").memory(16),
        h2("HTTP/2: a flood of empty DATA", vec![send(ok()), flood(frame(DATA, 0, 1, []))], "failed 200 body/body truncated").memory(16),
        h2("HTTP/2: a flood of padding", vec![send(ok()), flood(frame(DATA, PADDED, 1, [&[255][..], &[0; 255]].concat()))], "failed 200 body/body truncated").memory(16),
        h2("HTTP/2: a flood of WINDOW_UPDATE", vec![endless(window(1, 1))], "failed protocol/head").memory(16),
        h2("HTTP/2: windows beyond 2^31", vec![send(window(0, 0x7fff_ffff)), send(window(0, 0x7fff_ffff)), Silence], "failed protocol/head"),
        h2("HTTP/2: a window update of nothing", vec![send(window(1, 0)), Silence], "failed protocol/head"),
        h2("HTTP/2: frames of a kind that nobody knows", vec![endless(frame(0xba, 0, 1, [7; 100]))], "failed protocol/head").memory(16),
        h2("HTTP/2: a frame of 16 MiB", vec![send([0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]), flood("z")], "failed protocol/head").memory(24),
        h2("HTTP/2: a header list of 1 MiB", vec![send(frame(HEADERS, 0, 1, OK)), Step::Times(1000, frame(CONTINUATION, 0, 1, field("x-fat", &"z".repeat(100)).repeat(10)).into()), send(frame(CONTINUATION, END_HEADERS, 1, [])), send(hello())], "failed protocol/head").memory(16),
        h2("HTTP/2: a header list that unpacks to 100 MiB", vec![send(frame(HEADERS, END_HEADERS, 1, [OK, &hpack_bomb()].concat())), send(hello())], "failed protocol/head").memory(16),
        h2("HTTP/2: headers that no table knows", vec![send(frame(HEADERS, END_HEADERS, 1, [0xff, 0xff, 0xff, 0xff, 0x0f])), send(hello())], "failed protocol/head"),
        h2("HTTP/2: no status", vec![send(frame(HEADERS, END_HEADERS, 1, field("server", "none"))), send(hello())], "failed protocol/head"),
        h2("HTTP/2: GOAWAY at once", vec![send(frame(GOAWAY, 0, 0, [0; 8])), Silence], "failed protocol/head"),
        h2("HTTP/2: GOAWAY with an error and a text", vec![send(frame(GOAWAY, 0, 0, [&[0, 0, 0, 0, 0, 0, 0, 11][..], b"\x1b[31menhance your calm"].concat())), Silence], "failed protocol/head"),
        h2("HTTP/2: the end after the head", vec![send(ok()), Close], "failed 200 body/body truncated"),
        h2("HTTP/2: the end instead of an answer", vec![Close], "failed protocol/head"),
        h2("HTTP/2: data before headers", vec![send(hello()), Silence], "failed protocol/head"),
        h2("HTTP/2: data on a stream that nobody opened", vec![send(frame(DATA, 0, 7, b"hello")), Silence], "failed protocol/head"),
        h2("HTTP/2: an answer on a stream that nobody opened", vec![send(frame(HEADERS, END_HEADERS | END_STREAM, 7, OK)), Silence], "failed protocol/head"),
        h2("HTTP/2: a push that nobody wants", vec![send(frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &[0x82, 0x84, 0x86]].concat())), Silence], "failed protocol/head"),
        h2("HTTP/2: two heads", vec![send(ok()), send(ok()), send(hello())], "failed 200 body/body truncated"),
        h2("HTTP/2: a body shorter than said", vec![send(frame(HEADERS, END_HEADERS, 1, [OK, &field("content-length", "100")].concat())), send(hello())], "failed 200 body/body truncated").decoded(0..=5).wire(0..=5),
        h2("HTTP/2: a body longer than said", vec![send(frame(HEADERS, END_HEADERS, 1, [OK, &field("content-length", "2")].concat())), send(hello())], "failed 200 body/body truncated").decoded(0..=5).wire(0..=5),
        h2("HTTP/2: a body of 204", vec![send(frame(HEADERS, END_HEADERS, 1, NO_CONTENT)), send(hello())], "ok 204").decoded(0..=5).wire(0..=5),
        h2("HTTP/2: a body without end, beyond the window", vec![send(ok()), endless(frame(DATA, 0, 1, [b'z'; 16_000]))], "failed 200 body/body truncated").decoded(0..=MAX).wire(0..=2 * MAX).memory(40),
        h2("HTTP/2: silence in the body", vec![send(ok()), send(frame(DATA, 0, 1, b"hello")), Silence], "failed 200 timeout/body truncated").size(5).takes(Silent),
        h2("HTTP/2: informational heads without end", vec![endless(frame(HEADERS, END_HEADERS, 1, field(":status", "103")))], "failed protocol/head").memory(16),
        h2("HTTP/2: trailers without end", vec![send(ok()), send(frame(HEADERS, END_STREAM, 1, field("x", "y"))), flood(frame(CONTINUATION, 0, 1, field("x", "y").repeat(100)))], "failed 200 body/body truncated").memory(16),
        h2("HTTP/2: HTTP/1.1 instead", vec![page("hello"), Silence], "failed protocol/head"),
        h2("HTTP/2: a window of nothing", vec![send(ok()), send(hello())], "ok 200").greets([send(frame(SETTINGS, 0, 0, setting(4, 0)))]).size(5),
        h2("HTTP/2: a window that is too large", vec![Silence], EARLY).greets([send(frame(SETTINGS, 0, 0, setting(4, u32::MAX)))]).hits(0..=1),
        h2("HTTP/2: no streams at all", vec![Silence], "failed timeout/head").greets([send(frame(SETTINGS, 0, 0, setting(3, 0)))]).takes(Whole).hits(0..=1),
        h2("HTTP/2: HTTP/1.1 from the start", vec![Silence], EARLY).greets([page("early"), Silence]).hits(0..=1),
    ]
}

/// One header of 4,000 bytes, kept in the table, and then named by a byte 16,000 times less what fits into a frame.
fn hpack_bomb() -> Vec<u8> {
    // Literal with indexing, a new name of one byte, and a length in the 7-bit prefix form (RFC 7541 5.1): 4000 = 127 + 3873.
    // Each byte behind it names entry 62, the first that is not of the static table.
    let mut block = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    block.extend_from_slice(&[b'z'; 4000]);
    block.extend_from_slice(&[0xbe; 12_000]);
    block
}

/// A server that takes no byte of a request's body.
pub fn closed_window() -> Row {
    row("HTTP/2: a body that may not be sent", [Silence], "failed timeout/head")
        .door(Door::Http2)
        .greets([send(frame(SETTINGS, 0, 0, setting(4, 0)))])
}
