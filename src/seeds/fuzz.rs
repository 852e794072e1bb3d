//! Targets of fuzzing for lines of input and JSON jobs.

use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::str::FromStr as _;

use http::{HeaderName, HeaderValue, Method};
use serde_json::value::RawValue;

use super::line::read_url;
use super::lines::Lines;
use super::{Content, Opened, Reader, Seed};
use crate::fuzzing::target::{Target, byte};
use crate::model::job::Job;
use crate::model::url;

/// With mirrors or not, how many bytes come at once, and lines.
pub(crate) const JOBS: Target = Target { run: jobs, words: WORDS, seeds, runs: 40_000 };

const WORDS: &[&[u8]] = &[
    b"{\"url\":\"https://example.org/\"}",
    b"{\"url\":\"",
    b"\"mirrors\":[\"",
    b"\"id\":",
    b"\"method\":\"",
    b"\"headers\":{",
    b"\"headers\":[\"",
    b"\"body\":\"",
    b"\"body_base64\":\"",
    b"\"json\":",
    b"\"timeout\":",
    b"\"priority\":",
    b"\"meta\":",
    b"\"user\":\"n:p\"",
    b"\"cookies\":",
    b"\"retries\":",
    b"\"accept\":",
    b"\"proxy\":\"",
    b"socks5h://u:p@h:1",
    b"200..299,304",
    b"null",
    b"\"",
    b",",
    b"]",
    b"}",
    b"{",
    b"[",
    b"\\ud800",
    b"\\u0000",
    b"\\n",
    b"-0",
    b"1e999",
    b"99999999999999999999",
    b"\"1ns\"",
    b"\"none\"",
    b"-9",
    b"CONNECT",
    b"POST",
    b"Authorization: x",
    b"\n",
    b"\r\n",
    b"#",
    b" ",
    b"\t",
    b"\xef\xbb\xbf",
    b"\xff",
    b"https://",
    b"user:pass@",
    b"@",
    b":",
    b"//",
    b"?",
    b"localhost:80",
    b"%40",
    b"example.org",
    b"\xc3\xbc",
    b"\xe2\x80\xa8",
    b"\0",
];

fn seeds() -> Vec<Vec<u8>> {
    [
        "\0\0https://example.org/a\n# no\n\n  Example.org/b#c \r\nuser:pw@example.org:81/x?y\nmailto:me@example.org\nhttp://u:p@h/@x\n",
        "\0\u{1}{\"url\":\"https://u:p@example.org/\",\"id\":1.50,\"method\":\"PUT\",\"headers\":{\"A\":[\"b\",\"c\"],\"D\":\"e\"},\"body\":\"x\",\"timeout\":\"5s\",\"priority\":-3,\"meta\":{\"a\":[1,2]}}\n",
        "\0\u{2}{\"mirrors\":[\"https://a.example/\",\"//b.example/x\"],\"json\":null,\"headers\":[\"X: y\"]}\n{\"url\":\"x\",\"body_base64\":\"AAA=\"}\n",
        "\0\0{\"url\":\"https://h/\",\"user\":\"n:p\",\"cookies\":{\"k\":\"v\"},\"retries\":3,\"accept\":\"200,404\",\"proxy\":\"http://u:p@proxy:3128\"}\n{\"url\":\"h\",\"cookies\":\"k=v; l=w\",\"proxy\":\"none\"}\n",
        "\u{1}\0https://a.example/ b.example/x https://a.example/#y\n{\"url\":\"https://u:p@h/\",\"headers\":{\"Authorization\":\"z\"},\"tiemout\":1}\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}

/// So many bytes of a text at once.
struct Pieces(Cursor<Vec<u8>>, usize);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(self.1);
        self.0.read(&mut into[..most])
    }
}

fn read(input: &[u8], mirrors: bool, piece: usize) -> Vec<Seed> {
    let lines = Lines::new(Box::new(Pieces(Cursor::new(input.to_vec()), piece)));
    let opened = Opened { name: "fuzz".into(), content: Content::Lines { lines, is_ours: false } };
    let mut reader = Reader { sources: VecDeque::from([opened]), ..Reader::empty(mirrors) };
    let mut seeds = Vec::new();
    while let Some(batch) = reader.next_batch(3).expect("a text can be read") {
        assert!(!batch.is_empty() && batch.iter().filter(|seed| seed.is_entry()).count() <= 3);
        seeds.extend(batch);
    }
    assert_eq!(reader.taken(), seeds.iter().filter(|seed| seed.is_entry()).count() as u64);
    seeds
}

fn jobs(mut input: &[u8]) {
    let mirrors = byte(&mut input) % 2 == 1;
    let piece = [1 << 20, 1, 5, 64][usize::from(byte(&mut input)) % 4];
    let found = read(input, mirrors, piece);
    if piece < 1 << 20 {
        assert_eq!(found, read(input, mirrors, 1 << 20), "however it arrives");
    }
    // A byte order mark is no part of the first line.
    let text = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let lines = text.split(|byte| *byte == b'\n').map(|line| {
        let line = String::from_utf8_lossy(line);
        let line = super::trimmed(&line);
        !line.is_empty() && !line.starts_with('#')
    });
    let entries: Vec<_> = found.iter().filter(|seed| seed.is_entry()).collect();
    assert_eq!(entries.len(), lines.filter(|counts| *counts).count(), "an entry for each line that says something");
    for entry in entries {
        match entry {
            Seed::Job(job) => can_be_asked(job),
            Seed::Broken { input, meta, message, .. } => {
                assert!(input.len() <= 4096, "{}", input.len());
                assert!(!message.is_empty() && !message.chars().any(char::is_control), "{message:?}");
                is_json(meta.as_deref());
            }
            Seed::Notice(_) => {}
        }
    }
}

fn is_json(text: Option<&str>) {
    let wrong = text.filter(|text| serde_json::from_str::<&RawValue>(text).is_err());
    assert_eq!(wrong, None);
}

/// A job that was read makes a request, and gives no password away.
fn can_be_asked(job: &Job) {
    let mirrors = job.mirrors().iter().map(|mirror| &*mirror.url);
    for address in std::iter::once(&*job.url).chain(mirrors) {
        let parsed = url::parse(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(url::canonical(&parsed), *address);
    }
    assert_eq!(url::host_key_of(&job.url), &*job.host);
    assert!((-9..=9).contains(&job.priority));
    if job.mirrors().is_empty()
        && let Some(input) = &job.input
        // It may mean something else: `m:` of `user@m:`, `http:/o` of `user@http:/o`.
        && let Ok(again) = read_url(input)
    {
        assert!(again.job.spec.is_none_or(|spec| spec.user_info.is_none()), "{input:?} shows a password");
    }
    let Some(spec) = &job.spec else { return };
    assert!(spec.method.as_ref().is_none_or(|method| Method::from_str(method).is_ok_and(|it| it != Method::CONNECT)));
    for (name, value) in &spec.headers {
        assert!(
            HeaderName::from_str(name).is_ok() && HeaderValue::from_bytes(value.as_bytes()).is_ok(),
            "{name}: {value}"
        );
    }
    is_json(spec.meta.as_deref());
    assert!(spec.mirrors.len() <= 64);
    let encoded = postcard::to_allocvec(job).expect("jobs are made of types that postcard knows");
    assert_eq!(postcard::from_bytes::<Job>(&encoded).as_ref(), Ok(job), "as it is kept in a journal");
}
