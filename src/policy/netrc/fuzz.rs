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
    let text = String::from_utf8_lossy(input);
    let lines = text.matches('\n').count() + 1;
    let netrc = match Netrc::parse(&text) {
        Ok(netrc) => netrc,
        Err(NetrcError::Quote(line) | NetrcError::Value(line, _) | NetrcError::NoMachine(line)) => {
            return assert!((1..=lines).contains(&line), "line {line} of {lines}");
        }
    };
    for host in ["a.example", "[::1]", "c.example", ""] {
        for (login, password) in [true, false].into_iter().filter_map(|named| netrc.login(host, None, named)) {
            assert!(!(login.is_empty() && password.is_empty()));
            // Each is a word of the file; one in quotes may have had backslashes.
            let is_said = |word: &str| text.contains(word) || text.contains('\\');
            assert!(is_said(login) && is_said(password));
        }
        assert!(netrc.login(host, Some("nobody-in-there"), false).is_none_or(|(login, _)| login == "nobody-in-there"));
    }
    // A further line says nothing about machines that were found before it.
    if !text.contains("macdef") && !text.contains('#') {
        let more = Netrc::parse(&format!("{text}\nmachine z.example login z password z"));
        let more = more.expect("a file that was read, and a machine");
        assert_eq!(more.login("a.example", None, true), netrc.login("a.example", None, true));
    }
}
