//! Target of fuzzing for netrc.

use super::{Netrc, NetrcError};
use crate::fuzzing::target::Target;

/// A netrc.
pub(crate) const NETRC: Target = Target { run: netrc, words: WORDS, seeds, runs: 60_000 };

const WORDS: &[&[u8]] = &[
    b"machine ",
    b"default ",
    b"login ",
    b"password ",
    b"account ",
    b"macdef ",
    b"a.example",
    b"[::1]",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\n",
    b"#",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\xc2\xa0",
    b"\xc3\xa9",
    b"\xff",
    b"\0",
];

fn seeds() -> Vec<Vec<u8>> {
    [
        "# mine\nmachine a.example login al password pw\nmachine b.example\n\tlogin\n\"be n\"\npassword \"p \\\"q\\\\ \\t#\"\n",
        "macdef init\nmachine m.example login no password no\n\nmachine C.example. password only\ndefault login anonymous password a@b",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}

fn netrc(input: &[u8]) {
    let lines = memchr::memchr_iter(b'\n', input).count() + 1;
    let netrc = match Netrc::parse(input) {
        Ok(netrc) => netrc,
        Err(NetrcError::Quote(line) | NetrcError::Value(line, _) | NetrcError::NoMachine(line)) => {
            return assert!((1..=lines).contains(&line), "line {line} of {lines}");
        }
    };
    for host in ["a.example", "[::1]", "c.example", ""] {
        for (login, password) in [true, false].into_iter().filter_map(|named| netrc.login(host, None, named)) {
            assert!(!(login.is_empty() && password.is_empty()));
            // Each is a word of the file; one in quotes may have had backslashes.
            let holds = |word: &[u8]| memchr::memmem::find(input, word).is_some();
            let is_said = |word: &[u8]| holds(word) || holds(b"\\");
            assert!(is_said(login) && is_said(password));
        }
        assert!(
            netrc.login(host, Some(b"nobody-in-there"), false).is_none_or(|(login, _)| login == b"nobody-in-there")
        );
    }
    // A further line says nothing about machines that were found before it.
    let has = |word: &[u8]| memchr::memmem::find(&input.to_ascii_lowercase(), word).is_some();
    if !has(b"macdef") && !has(b"#") {
        let more = Netrc::parse(&[input, b"\nmachine z.example login z password z"].concat());
        let more = more.expect("a file that was read, and a machine");
        assert_eq!(more.login("a.example", None, true), netrc.login("a.example", None, true));
    }
}
