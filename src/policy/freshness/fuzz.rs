//! Target of fuzzing for the rules of a cache: heads of any kind, at any time.

use http::header::{AGE, CONNECTION, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING};

use super::{
    Reuse, Stored, age, concerns, confirms, freshen, is_dated, may_store, nominated, reuse, selecting, storable,
};
use crate::fuzzing::target::{Target, byte};

/// Times and a status (in numbers), then three heads with an empty line between: a request, a stored answer, a 304.
pub(crate) const FRESHNESS: Target = Target { run: freshness, words: WORDS, seeds, runs: 20_000 };

const WORDS: &[&[u8]] = &[
    b"cache-control: ",
    b"max-age=",
    b"no-cache",
    b"no-store",
    b"must-revalidate",
    b"must-understand",
    b"public",
    b"private",
    b"max-stale",
    b"max-stale=",
    b"min-fresh=",
    b"s-maxage=1",
    b"immutable",
    b"no-cache=\"set-cookie\"",
    b"expires: ",
    b"date: ",
    b"age: ",
    b"vary: ",
    b"*",
    b"accept, accept-language",
    b"etag: ",
    b"W/\"a\"",
    b"\"a\"",
    b"last-modified: ",
    b"pragma: no-cache",
    b"connection: close, x",
    b"x: y",
    b"set-cookie: a=b",
    b"content-length: 5",
    b"Fri, 20 Nov 2026 12:00:00 GMT",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"99999999999999999999",
    b"60",
    b"0",
    b"-1",
    b"\"60\"",
    b",",
    b"=",
    b"\"",
    b"\n",
    b"\n\n",
    b"\xff",
    b"authorization: x",
    b"range: bytes=0-",
];

fn seeds() -> Vec<Vec<u8>> {
    let times =
        [&[0, 0, 0, 0, 0x6b, 0, 0, 0], &[0, 0, 0, 0, 0x6b, 0, 0, 2], &[0, 0, 0, 0, 0x6b, 0, 0x10, 0], &[0, 200][..]]
            .concat();
    [
        "accept: x\ncache-control: max-stale=60\n\ncache-control: max-age=60, public\ndate: Fri, 20 Nov 2026 12:00:00 GMT\nage: 5\nvary: Accept\netag: \"a\"\n\netag: W/\"a\"\ncache-control: max-age=5",
        "pragma: no-cache\n\nexpires: Sun, 06 Nov 1994 08:49:37 GMT\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\nconnection: x\nx: y\n\nx: z",
    ]
    .map(|heads| [&times[..], heads.as_bytes()].concat())
    .to_vec()
}

fn head(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// Takes eight bytes off the front: a time.
fn time(input: &mut &[u8]) -> u64 {
    (0..8).fold(0, |time, _| time << 8 | u64::from(byte(input)))
}

fn freshness(mut input: &[u8]) {
    let (requested, received, now) = (time(&mut input), time(&mut input), time(&mut input));
    let status = u16::from_be_bytes([byte(&mut input), byte(&mut input)]);
    let mut heads = Vec::new();
    for _ in 0..2 {
        let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
        heads.push(head(&input[..end]));
        input = input.get(end + 2..).unwrap_or_default();
    }
    let (request, answer, not_modified) = (&heads[0], storable(&heads[1]), head(input));
    for gone in [CONNECTION, SET_COOKIE, TRANSFER_ENCODING] {
        assert!(!answer.contains_key(gone));
    }
    assert_eq!(storable(&answer), answer);
    if may_store(status, &answer) {
        assert!((200..600).contains(&status) && nominated(&answer).is_some());
    }
    let _ = (concerns(request), is_dated(&answer), confirms(&answer, &not_modified));
    for name in nominated(&answer).unwrap_or_default() {
        assert_eq!(selecting(request, &name).is_some(), request.contains_key(&name));
    }
    let stored = Stored { headers: &answer, requested, received };
    // Nothing gets younger, and what was to be asked about before its time is so later.
    let later = now.saturating_add(60);
    assert!(age(stored, later) >= age(stored, now));
    let (first, second) = (reuse(stored, request, now), reuse(stored, request, later));
    assert!(first == second || second != Reuse::Fresh, "{first:?}, and later {second:?}");
    if first == Reuse::Fresh {
        assert!(is_dated(&answer), "nothing is fresh that does not say so");
    }
    let mut updated = answer.clone();
    freshen(&mut updated, &not_modified);
    let once = updated.clone();
    freshen(&mut updated, &not_modified);
    assert_eq!(updated, once);
    assert!(once.contains_key(AGE) <= not_modified.contains_key(AGE));
}
