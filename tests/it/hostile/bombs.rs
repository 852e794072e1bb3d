//! Bodies that are small on the wire and large in memory, and codings that are not what they say.

use std::io::Write as _;

use super::heads::noise;
use super::table::*;
use crate::support::bomb;

const CAP: u64 = super::MAX_FILESIZE;

/// What is kept of a bomb: no less than a page that is not absurd, and nothing beyond the cap.
const FULL: std::ops::RangeInclusive<u64> = 1 << 20..=CAP;

/// Memory that a bomb may take: the cap twice (the body grows by doubling), a decoder's window, and some room.
const ROOM: u64 = 2 * (CAP >> 20) + 12;

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    let gigabyte = bomb(1024).body;
    let hello = gzip(b"hello");
    vec![
        row("a gzip bomb of 1 GiB", [coded("gzip", &gigabyte)], BOMB).decoded(FULL).wire(1..=1 << 20).memory(ROOM),
        row("a gzip bomb behind a redirect", [redirect("http://{self}/bomb")], BOMB).at("/bomb", [coded("gzip", &gigabyte)]).decoded(FULL).wire(1..=1 << 20).hits(2..=2),
        row("a gzip bomb in chunks", [head("200 OK\nContent-Encoding: gzip\nTransfer-Encoding: chunked"), send(chunks(&gigabyte)), Close], BOMB).decoded(FULL).wire(1..=1 << 20),
        row("a gzip bomb that is an error page", [answer("500 Oh no\nContent-Encoding: gzip", &gigabyte)], "failed 500 too_large/body truncated").decoded(FULL).wire(1..=1 << 20),
        row("a gzip bomb that is a redirect", [answer("302 Found\nLocation: /to\nContent-Encoding: gzip", &gigabyte)], "ok 200").at("/to", [page("hello")]).size(5).hits(2..=2),
        row("a gzip bomb in gzip", [coded("gzip, gzip", gzip(&gigabyte))], BOMB).decoded(FULL).wire(1..=1 << 16).memory(ROOM),
        row("a gzip bomb in gzip in gzip", [coded("gzip, gzip, gzip", gzip(&gzip(&gigabyte)))], BOMB).decoded(FULL).wire(1..=1 << 16).memory(ROOM),
        row("gzip of many members, each a bomb", [coded("gzip", gzip(&vec![0; 1 << 20]).repeat(256))], BOMB).decoded(FULL).wire(1..=1 << 20).memory(ROOM),
        row("gzip of 100,000 empty members", [coded("gzip", gzip(b"").repeat(100_000))], "failed 200 decode/decode truncated").wire(1..=2 << 20).memory(8),
        row("a gzip member whose name has no end", [coded("gzip", [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0xff][..], &vec![b'n'; 1 << 20]].concat())], "failed 200 decode/decode truncated").wire(1..=1 << 21).memory(8),
        row("a deflate bomb", [coded("deflate", &gigabyte[10..])], BOMB).decoded(FULL).wire(1..=1 << 20).memory(ROOM),
        row("a brotli bomb", [coded("br", brotli(64 << 20))], BOMB).decoded(FULL).wire(1..=1 << 20).memory(ROOM + 16),
        row("a brotli bomb in gzip", [coded("br, gzip", gzip(&brotli(64 << 20)))], BOMB).decoded(FULL).wire(1..=1 << 20).memory(ROOM + 16),
        row("a zstd bomb of 32 GiB", [coded("zstd", zstd_bomb())], BOMB).decoded(FULL).wire(1..=1 << 20).memory(ROOM + 8),
        row("a zstd bomb in zstd in gzip", [coded("zstd, zstd, gzip", gzip(&zstd(&zstd_bomb())))], BOMB).decoded(FULL).wire(1..=1 << 16).memory(ROOM + 16),
        row("zstd with a window of 2 GiB", [coded("zstd", [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 3, 0, 0, b'x'])], "failed 200 decode/decode truncated").wire(1..=10).memory(8),
        row("zstd frames that are skipped", [coded("zstd", [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(100_000))], "ok 200").wire(800_000..=800_000).memory(8),
        row("gzip that is cut off", [coded("gzip", &hello[..hello.len() - 4])], "failed 200 decode/decode truncated").decoded(5..=5).wire(1..=30),
        row("gzip whose connection is cut", [head("200 OK\nContent-Encoding: gzip\nContent-Length: 100"), send(&hello), Close], "failed 200 body/body truncated").decoded(5..=5).wire(1..=30),
        row("gzip with a wrong checksum", [coded("gzip", [&hello[..hello.len() - 8], &[0; 8]].concat())], "failed 200 decode/decode truncated").decoded(5..=5).wire(1..=30),
        row("gzip with rubbish behind it", [coded("gzip", [&hello[..], &noise(1000)].concat())], "ok 200").decoded(5..=5).wire(1000..=1030),
        row("noise that is called gzip", [coded("gzip", noise(4096))], "failed 200 decode/decode truncated").wire(1..=4096),
        row("noise that is called br", [coded("br", noise(4096))], "failed 200 decode/decode truncated").decoded(0..=CAP).wire(1..=4096),
        row("noise that is called zstd", [coded("zstd", noise(4096))], "failed 200 decode/decode truncated").wire(1..=4096),
        row("a page that is called gzip", [coded("gzip", "<title>plain</title>")], "failed 200 decode/decode truncated").wire(1..=30),
        row("gzip that is called br", [coded("br", &hello)], "failed 200 decode/decode truncated").decoded(0..=CAP).wire(1..=30),
        row("gzip that is not called so", [answer("200 OK\nContent-Type: text/html", &hello)], "ok 200").size(hello.len() as u64),
        row("a coding that nobody knows", [coded("hostile", "hello")], "ok 200").size(5),
        row("six codings", [coded("gzip, gzip, gzip, gzip, gzip, gzip", gzip(&gzip(&gzip(&gzip(&gzip(&hello))))))], "failed 200 decode/decode truncated"),
        row("a thousand codings", [coded(&"gzip, ".repeat(1000), &hello)], "failed 200 decode/decode truncated"),
        row("a coding and no body", [coded("gzip", "")], "ok 200"),
    ]
}

const BOMB: &str = "failed 200 too_large/body truncated";

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

/// So many zeros.
fn brotli(count: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut packed, 1 << 16, 1, 22);
    let zeros = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        writer.write_all(&zeros).unwrap();
    }
    drop(writer);
    packed
}

/// A frame with a window of 8 MiB, of blocks that repeat a zero 128 KiB times each (RFC 8878 3.1.1.2): 4 bytes of it
/// are 128 KiB of the body.
fn zstd_bomb() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3];
    frame.extend_from_slice(&[2, 0, 0x10, 0].repeat(1 << 18));
    frame
}

/// A body in chunks of 4 KiB.
fn chunks(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(4096) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
