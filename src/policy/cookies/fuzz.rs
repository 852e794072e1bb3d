//! Targets of fuzzing for cookies: as servers set them, and as files keep them.

use http::HeaderValue;

use super::{Jar, MOST, MOST_OF_DOMAIN, MOST_SENT_BYTES};
use crate::fuzzing::target::Target;
use crate::model::url::{self, Url};

/// A URL, and lines of `Set-Cookie`.
pub(crate) const COOKIES: Target = Target { run: cookies, words: WORDS, seeds, runs: 20_000 };

/// A file of cookies.
pub(crate) const COOKIE_FILE: Target = Target { run: file, words: FILE_WORDS, seeds: files, runs: 20_000 };

/// 2026-11-20T12:00:00Z.
const NOW: i64 = 1_795_176_000;

const WORDS: &[&[u8]] = &[
    b"a=b",
    b"; ",
    b";",
    b"=",
    b"Secure",
    b"HttpOnly",
    b"Domain=",
    b"Path=",
    b"Expires=",
    b"Max-Age=",
    b"SameSite=Lax",
    b"__Host-",
    b"__Secure-",
    b"example.org",
    b".example.org",
    b"co.uk",
    b"com",
    b"127.0.0.1",
    b"[::1]",
    b"localhost",
    b"/",
    b"/a",
    b"..",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Fri, 31-Dec-9999 23:59:59 GMT",
    b"1:2:3",
    b"jan",
    b"29 Feb",
    b"99",
    b"\t",
    b"\n",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b"\"",
    b",",
    b"http://",
    b"https://",
    b"xn--",
    b"\xc3\xbc",
];

fn seeds() -> Vec<Vec<u8>> {
    [
        "https://www.example.org/a/b\nsid=1; Path=/; Secure; HttpOnly\nx=y; Domain=example.org; Max-Age=3600\n__Host-a=b; Secure; Path=/\nold=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT",
        "http://a.co.uk/\na=b; Domain=co.uk\nc=d; Domain=.a.co.uk; Path=/x\ne=\nf=g=h; Expires=Fri, 31-Dec-9999 23:59:59 GMT",
        "http://[::1]:8080/x\na=b; Domain=[::1]\nc=\"d e\"; Path=",
        "http://127.0.0.1/x/y/z\na=b; Secure\na=c\n=x\nnothing\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}

fn cookies(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let at = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let Ok(at) = url::parse(&at) else { return };
    let mut jar = Jar::default();
    for (count, line) in (1..).zip(lines) {
        jar.take(&at, line, NOW);
        assert!(jar.len() <= count && jar.len() <= MOST);
    }
    let line = jar.header(&at, NOW);
    if let Some(line) = &line {
        assert!(!line.is_empty() && line.len() <= MOST_SENT_BYTES && HeaderValue::from_bytes(line).is_ok(), "{line:?}");
    }
    // What one server sets, another one that has nothing to do with it does not get.
    for other in ["https://unrelated.example/", "http://10.0.0.1/"] {
        let other = Url::parse(other).expect("a URL");
        let own = at.host_str() == other.host_str() || at.host_str().is_some_and(|host| host.ends_with(".example"));
        assert!(own || jar.header(&other, NOW).is_none());
    }
    comes_back(&jar, &at);
}

/// A jar that is written and read is the same.
fn comes_back(jar: &Jar, at: &Url) {
    let kept = jar.to_file(NOW);
    let mut again = Jar::default();
    assert_eq!(again.read(&kept, NOW), 0, "{}", kept.escape_ascii());
    assert_eq!(again.to_file(NOW).escape_ascii().to_string(), kept.escape_ascii().to_string());
    assert_eq!(again.header(at, NOW), jar.header(at, NOW), "{}", kept.escape_ascii());
}

const FILE_WORDS: &[&[u8]] = &[
    b"\t",
    b"TRUE",
    b"FALSE",
    b"#HttpOnly_",
    b"# ",
    b"\n",
    b"\r\n",
    b".example.org",
    b"a.example.org",
    b"localhost",
    b"::1",
    b"[::1]",
    b"127.0.0.1",
    b"/",
    b"0",
    b"-1",
    b"1795176001",
    b"99999999999999999999",
    b"a",
    b"__Host-a",
    b"co.uk",
    b".",
    b"\xff",
    b"\xc3\xa9",
    b"\0",
    b"=",
    b";",
    b".example.org\tTRUE\t/\tFALSE\t0\ta\tb\n",
];

fn files() -> Vec<Vec<u8>> {
    vec![
        b"# Netscape HTTP Cookie File\n\n#HttpOnly_.example.org\tTRUE\t/\tTRUE\t1900000000\tsid\tx y\nlocalhost\tFALSE\t/a\tFALSE\t0\tb\t\n::1\tFALSE\t/\tFALSE\t0\tc\n".to_vec(),
        b"example.org\tTRUE\t/\tFALSE\t1\told\tx\r\nrubbish\n.co.uk\tTRUE\t/\tFALSE\t0\ta\tb\n".to_vec(),
    ]
}

fn file(input: &[u8]) {
    let mut jar = Jar::default();
    let lines = input.split(|byte| *byte == b'\n').count();
    let strange = jar.read(input, NOW);
    assert!(strange + jar.len() <= lines && (jar.len() <= MOST_OF_DOMAIN || lines > MOST_OF_DOMAIN));
    for at in ["https://a.example.org/a/b", "http://localhost/", "http://[::1]/", "http://127.0.0.1/"] {
        let at = Url::parse(at).expect("a URL");
        let line = jar.header(&at, NOW);
        assert!(line.is_none_or(|line| line.len() <= MOST_SENT_BYTES && HeaderValue::from_bytes(&line).is_ok()));
        comes_back(&jar, &at);
    }
}
