//! Targets of fuzzing for what comes off the wire.

use std::io::Write as _;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

use super::coding::{Fault, Pipeline};
use crate::fuzzing::input::byte;
use crate::fuzzing::target::Target;

/// Codings, the size of pieces and of the room, and bytes as they come off the wire.
pub(crate) const BODIES: Target = Target { run: bodies, words: WORDS, seeds, runs: 6_000 };

const WORDS: &[&[u8]] = &[
    b"\x1f\x8b\x08\0",
    b"\x1f",
    b"\x8b",
    b"\x78\x9c",
    b"\x78\x01",
    b"\x03\0",
    b"\x28\xb5\x2f\xfd",
    b"\x50\x2a\x4d\x18",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\0\0\xff\xff",
    b"\x01\0\0\xff\xff",
    b"\x06",
    b"\x3b",
    b"\x0b\x02\x80",
    b"\x1f\x8b\x08\x04\0\0\0\0\0\x03",
];

/// In the order of the header; the first byte of an input chooses.
const CODINGS: [&str; 10] = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, br",
    "zstd, deflate",
    "deflate, gzip, zstd",
    "gzip,gzip",
    "br, zstd",
    "gzip, x-gzip, deflate, br, zstd",
];

/// What is decoded of one input: bombs are not to take all the time.
const MOST: usize = 1 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let text = b"line 1 of the text\nline 2 of the text\nline 3 of the text, which ends here\n".repeat(3);
    let blank = vec![b' '; 100_000];
    let mut seeds = Vec::new();
    for (choice, codings) in (0..).zip(CODINGS) {
        for (piece, text) in [(0, &text[..]), (3, &blank), (1, b"")] {
            let wire = codings.split(',').fold(text.to_vec(), |wire, coding| coded(coding.trim(), &wire));
            seeds.push([&[choice, piece, 200][..], &wire].concat());
        }
    }
    let gzip = coded("gzip", &text);
    seeds.push([b"\0\0\x10", &gzip[..], &gzip, &[0; 20]].concat());
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    let raw = raw.write_all(&text).and_then(|()| raw.finish()).expect("a vector takes all");
    seeds.push([b"\x01\x01\x40", &raw[..]].concat());
    seeds
}

fn coded(coding: &str, text: &[u8]) -> Vec<u8> {
    let best = flate2::Compression::best();
    let coded = match coding {
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), best);
            encoder.write_all(text).and_then(|()| encoder.finish())
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            encoder.write_all(text).map(|()| encoder.into_inner())
        }
        "zstd" => zstd::encode_all(text, 3),
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), best);
            encoder.write_all(text).and_then(|()| encoder.finish())
        }
    };
    coded.expect("a vector takes all")
}

/// The text as far as it was decoded, and how it ended; None if that is more than [`MOST`].
type Decoded = (Vec<u8>, Option<Result<(), Fault>>);

fn decode(codings: &'static str, wire: &[u8], piece: usize, room: usize) -> Decoded {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(codings));
    let mut pipeline = Pipeline::of(&headers, true).expect("few codings").expect("known codings");
    pipeline.limit(8 << 20);
    let mut all = Vec::new();
    let mut out = vec![0; room + 1];
    // A turn is a mebibyte between two codings: so many come before the limit, and each call but these fills its room or
    // uses up its input.
    let mut calls = 32 + 2 * (wire.len() / piece + 1) + MOST / room;
    for mut input in wire.chunks(piece) {
        loop {
            calls = calls.checked_sub(1).expect("no progress");
            out[room] = 0xa5;
            let (before, mut written) = (input.len(), 0);
            let result = pipeline.decode(&mut input, &mut out[..room], &mut written);
            assert!(written <= room && out[room] == 0xa5 && input.len() <= before, "more than the room");
            all.extend_from_slice(&out[..written]);
            match result {
                Err(fault) => return (all, Some(Err(fault))),
                Ok(_) if all.len() > MOST => return (all, None),
                Ok(true) => {}
                Ok(false) if written == room => {}
                Ok(false) => {
                    assert!(input.is_empty(), "input is left, and room");
                    break;
                }
            }
        }
    }
    (all, Some(pipeline.finish()))
}

fn bodies(mut input: &[u8]) {
    let codings = CODINGS[usize::from(byte(&mut input)) % CODINGS.len()];
    let piece = [1, 2, 7, 1000, 1 << 20][usize::from(byte(&mut input)) % 5];
    let room = [1, 33, 4096, 65536][usize::from(byte(&mut input)) % 4];
    // Byte by byte a bomb takes too long.
    let (piece, room) = if input.len() > 2048 { (piece.max(7), room.max(33)) } else { (piece, room) };
    let (text, end) = decode(codings, input, piece, room.max(33));
    let (whole, whole_end) = decode(codings, input, 1 << 20, 65536);
    let (Some(end), Some(whole_end)) = (end, whole_end) else { return };
    // libzstd holds a frame to its stated size where it gets all of it at once, and if its last block is not empty.
    let is_strict = !codings.contains("zstd");
    assert!(end.is_ok() == whole_end.is_ok() || !is_strict, "{codings}: {end:?} in pieces, {whole_end:?} whole");
    if end.is_ok() && whole_end.is_ok() {
        assert!(text == whole, "{codings}: however the wire cuts it");
    } else {
        let common = text.len().min(whole.len());
        assert!(text[..common] == whole[..common], "{codings}: what came before the break");
    }
}
