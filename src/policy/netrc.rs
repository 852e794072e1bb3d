//! netrc: the user's file of logins by machine.
//!
//! Decides which login a host has. Never reads a file, and never says what stands in one: errors name a line. Called by
//! `fetch::client`, which decides when a login may go along. Sources: netrc(5); curl's `.netrc` (quotes since 7.84, the
//! first fitting entry counts, a login that is already known must be the entry's).

use std::fmt;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

/// Logins by machine, in the order of the file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Netrc {
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    /// Lower case; None: `default`, for every machine.
    machine: Option<Box<str>>,
    /// As the file has them, which may be no UTF-8.
    login: Option<Box<[u8]>>,
    password: Option<Box<[u8]>>,
}

/// Without what it holds.
impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netrc of {} entries", self.entries.len())
    }
}

/// A netrc that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetrcError {
    #[error("line {0}: a quote that does not end")]
    Quote(usize),
    #[error("line {0}: '{1}' without a value")]
    Value(usize, &'static str),
    #[error("line {0}: a login or password of no machine")]
    NoMachine(usize),
}

impl Netrc {
    /// Reads what a file holds, of which a byte order mark is no part.
    ///
    /// # Errors
    /// The first line that cannot be read. A word that means nothing is passed over, as in curl.
    pub fn parse(text: &[u8]) -> Result<Self, NetrcError> {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let mut words = Words { text, at: 0, line: 1 };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.next()? {
            let line = words.line;
            let mut value = |what| words.next().and_then(|word| word.ok_or(NetrcError::Value(line, what)));
            match word.to_ascii_lowercase().as_slice() {
                b"machine" => {
                    let machine = String::from_utf8_lossy(&value("machine")?).to_ascii_lowercase();
                    entries.push(Entry { machine: Some(machine.into()), login: None, password: None });
                }
                b"default" => entries.push(Entry { machine: None, login: None, password: None }),
                b"login" => {
                    let login = value("login")?;
                    entries.last_mut().ok_or(NetrcError::NoMachine(line))?.login = Some(login.into());
                }
                b"password" => {
                    let password = value("password")?;
                    entries.last_mut().ok_or(NetrcError::NoMachine(line))?.password = Some(password.into());
                }
                b"account" => drop(value("account")?),
                b"macdef" => words.skip_macro(),
                _ => {}
            }
        }
        Ok(Self { entries })
    }

    /// Login and password for a host (as in a URL, IPv6 in brackets); with `login` of that one. `named`: only of an entry
    /// that names the machine, not of `default`.
    #[must_use]
    pub fn login<'a>(&'a self, host: &str, login: Option<&'a [u8]>, named: bool) -> Option<(&'a [u8], &'a [u8])> {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let fits = |entry: &&Entry| {
            let is_here = match &entry.machine {
                Some(machine) => machine.trim_end_matches('.') == host,
                None => !named,
            };
            is_here && (login.is_none() || entry.login.as_deref().is_none_or(|own| Some(own) == login))
        };
        let entry = self.entries.iter().find(fits)?;
        let login = entry.login.as_deref().or(login).unwrap_or_default();
        let password = entry.password.as_deref().unwrap_or_default();
        (!(login.is_empty() && password.is_empty())).then_some((login, password))
    }
}

/// The words of a file: between white space, or in quotes; `#` where a word could start is a comment to the line's end.
struct Words<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Words<'_> {
    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, NetrcError> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(b'#') => while self.bump().is_some_and(|byte| byte != b'\n') {},
                Some(b'"') => return self.quoted().map(Some),
                Some(byte) if byte.is_ascii_whitespace() => drop(self.bump()),
                Some(_) => break,
            }
        }
        let mut word = Vec::new();
        while let Some(byte) = self.peek().filter(|byte| !byte.is_ascii_whitespace()) {
            word.push(byte);
            self.bump();
        }
        Ok(Some(word))
    }

    /// `\n \r \t` are what they are elsewhere, any other character after a backslash is itself.
    fn quoted(&mut self) -> Result<Vec<u8>, NetrcError> {
        let line = self.line;
        self.bump();
        let mut word = Vec::new();
        loop {
            let byte = match self.bump().ok_or(NetrcError::Quote(line))? {
                b'"' => return Ok(word),
                b'\n' => return Err(NetrcError::Quote(line)),
                b'\\' => match self.bump().ok_or(NetrcError::Quote(line))? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                },
                other => other,
            };
            word.push(byte);
        }
    }

    /// A macro ends at an empty line.
    fn skip_macro(&mut self) {
        let rest = &self.text[self.at..];
        let found = |end: &[u8]| memchr::memmem::find(rest, end);
        let end = found(b"\n\n").into_iter().chain(found(b"\n\r\n")).min().map_or(rest.len(), |at| at + 1);
        self.line += memchr::memchr_iter(b'\n', &rest[..end]).count();
        self.at += end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "# mine\nmachine a.example login al password pw\n\
        machine b.example\n\tlogin\n\"be n\"\npassword \"p \\\"q\\\\ \\t#\"\n\
        machine a.example login other password pw2 account x\n\
        macdef init\nmachine m.example login no password no\n\n\
        machine C.example. password only # a comment\nmachine [ login ? password ?\nmachine ::1 login six password 6\ndefault login anonymous password a@b";

    fn parse(text: &str) -> Result<Netrc, NetrcError> {
        Netrc::parse(text.as_bytes())
    }

    fn of<'a>(netrc: &'a Netrc, host: &str, login: Option<&'a str>, named: bool) -> Option<(&'a str, &'a str)> {
        let (login, password) = netrc.login(host, login.map(str::as_bytes), named)?;
        Some((std::str::from_utf8(login).unwrap(), std::str::from_utf8(password).unwrap()))
    }

    #[test]
    fn a_byte_order_mark_and_bytes_that_are_no_utf_8_are_no_hindrance() {
        let netrc = Netrc::parse(b"\xef\xbb\xbfmachine a login \xe9 password \"\xff\xa0\"").unwrap();
        assert_eq!(netrc.login("a", None, true), Some((&b"\xe9"[..], &b"\xff\xa0"[..])));
    }

    #[test]
    fn logins_by_machine() {
        let netrc = parse(FILE).unwrap();
        let of = |host, login| of(&netrc, host, login, false);
        assert_eq!(of("a.example", None), Some(("al", "pw")));
        assert_eq!(of("a.example", Some("other")), Some(("other", "pw2")));
        assert_eq!(of("b.example", None), Some(("be n", "p \"q\\ \t#")));
        assert_eq!(of("c.example", None), Some(("", "only")));
        assert_eq!(of("c.example", Some("me")), Some(("me", "only")));
        assert_eq!(of("[::1]", None), Some(("six", "6")));
        assert_eq!(of("m.example", None), Some(("anonymous", "a@b")), "a macro is no entry");
        assert_eq!(of("x.a.example", None), Some(("anonymous", "a@b")), "a machine is not those below it");
        assert_eq!(of("a.example", Some("nobody")), None);
        assert_eq!(self::of(&netrc, "z.example", None, true), None, "the default names nobody");
        assert_eq!(self::of(&netrc, "a.example", None, true), Some(("al", "pw")));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_alone() {
        for (text, error) in [
            ("machine a\nlogin \"s3cret", NetrcError::Quote(2)),
            ("machine a login \"s3cret\npassword x\"", NetrcError::Quote(1)),
            ("\n\nmachine", NetrcError::Value(3, "machine")),
            ("machine a password", NetrcError::Value(1, "password")),
            ("login s3cret", NetrcError::NoMachine(1)),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
        assert!(!format!("{:?}", parse(FILE)).contains("pw"));
        assert_eq!(parse("machine a macdef x").unwrap().login("a", None, false), None);
        assert_eq!(parse(""), Ok(Netrc::default()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(machine|login|password|default|macdef|account|[ \\n\\t\"\\\\#a\u{e9}])*") {
            if let Ok(netrc) = parse(&text) {
                let _ = netrc.login("a", None, false);
            }
        }
    }
}
