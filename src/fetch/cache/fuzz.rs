//! Target of fuzzing for stored answers: bytes of any kind, or an answer that is stored and damaged.

use std::fs;

use http::{HeaderMap, HeaderName, HeaderValue};
use tempfile::TempDir;

use super::entry::{Entry, Opened};
use crate::fuzzing::input::byte;
use crate::fuzzing::target::Target;
use crate::model::units::WallTime;

/// How to read the rest, where the damage is and which (4 bytes), then a file; or a header and a body, on a line each.
pub(crate) const CACHE: Target = Target { run: cache, words: WORDS, seeds, runs: 2_000 };

const URL: &str = "http://a.example/";

const WORDS: &[&[u8]] = &[
    b"lycosaC2",
    b"http://a.example/",
    b"\x11http://a.example/",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xc8\x01",
    b"etag:\"a\"\n",
    b"\x0b",
    b"\0",
    b"\x01",
];

fn seeds() -> Vec<Vec<u8>> {
    let mut file = Vec::new();
    let _ = answer(b"etag:\"a\"\nx:y").write(b"body", &mut file);
    vec![
        [&[0, 0, 0, 0][..], &file].concat(),
        b"\x01\0\0\0etag:\"a\"\nbody".to_vec(),
        b"\x01\x30\0\x01etag:\"a\"\nbody".to_vec(),
    ]
}

fn answer(lines: &[u8]) -> Entry {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    Entry::new(URL, 200, 11, &headers, 1_795_176_000, 1_795_176_001)
}

thread_local! {
    /// Made once: the file in it is another one each time.
    static PLACE: TempDir = tempfile::tempdir().expect("a directory for temporary files");
}

fn read(file: &[u8]) -> Option<(Entry, Vec<u8>)> {
    let path = PLACE.with(|place| place.path().join("answer"));
    fs::write(&path, file).expect("a file can be written");
    let opened = Opened::open(&path, URL, WallTime(0))?;
    assert!(opened.size() <= file.len() as u64);
    let _ = opened.entry.headers();
    opened.read()
}

fn cache(mut input: &[u8]) {
    let how = byte(&mut input);
    let (place, other) = (usize::from(u16::from_le_bytes([byte(&mut input), byte(&mut input)])), byte(&mut input));
    if how.is_multiple_of(2) {
        if let Some((entry, body)) = read(input) {
            assert_eq!(&*entry.url, URL);
            assert!(body.len() < input.len());
        }
        return;
    }
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (stored, body) = (answer(&input[..end]), input.get(end + 1..).unwrap_or_default());
    let mut file = Vec::new();
    let written = stored.write(body, &mut file).expect("a vector takes all");
    assert_eq!(written, Some(file.len() as u64));
    let place = place % file.len();
    file[place] ^= other;
    match read(&file) {
        Some((entry, found)) => {
            assert_eq!((&entry, &found[..], other), (&stored, body, 0), "damage is no answer");
            assert_eq!(entry.headers(), stored.headers());
        }
        None => assert!(other != 0, "what was stored is found"),
    }
    file.truncate(place);
    assert!(read(&file).is_none(), "cut off is no answer");
}
