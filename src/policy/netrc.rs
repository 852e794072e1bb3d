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
    login: Option<Box<str>>,
    password: Option<Box<str>>,
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
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first line that cannot be read. A word that means nothing is passed over, as in curl.
    pub fn parse(text: &str) -> Result<Self, NetrcError> {
        let mut words = Words { text, at: 0, line: 1 };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.next()? {
            let line = words.line;
            let mut value = |what| words.next().and_then(|word| word.ok_or(NetrcError::Value(line, what)));
            match word.to_ascii_lowercase().as_str() {
                "machine" => {
                    let machine = value("machine")?.to_ascii_lowercase();
                    entries.push(Entry { machine: Some(machine.into()), login: None, password: None });
                }
                "default" => entries.push(Entry { machine: None, login: None, password: None }),
                "login" => {
                    let login = value("login")?;
                    entries.last_mut().ok_or(NetrcError::NoMachine(line))?.login = Some(login.into());
                }
                "password" => {
                    let password = value("password")?;
                    entries.last_mut().ok_or(NetrcError::NoMachine(line))?.password = Some(password.into());
                }
                "account" => drop(value("account")?),
                "macdef" => words.skip_macro(),
                _ => {}
            }
        }
        Ok(Self { entries })
    }

    /// Login and password for a host (as in a URL, IPv6 in brackets); with `login` of that one. `named`: only of an entry
    /// that names the machine, not of `default`.
    #[must_use]
    pub fn login<'a>(&'a self, host: &str, login: Option<&'a str>, named: bool) -> Option<(&'a str, &'a str)> {
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
    text: &'a str,
    at: usize,
    line: usize,
}

impl Words<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.text[self.at..].chars().next()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Result<Option<String>, NetrcError> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some('#') => while self.bump().is_some_and(|c| c != '\n') {},
                Some('"') => return self.quoted().map(Some),
                Some(c) if c.is_whitespace() => drop(self.bump()),
                Some(_) => break,
            }
        }
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace()) {
            word.push(c);
            self.bump();
        }
        Ok(Some(word))
    }

    /// `\n \r \t` are what they are elsewhere, any other character after a backslash is itself.
    fn quoted(&mut self) -> Result<String, NetrcError> {
        let line = self.line;
        self.bump();
        let mut word = String::new();
        loop {
            let c = match self.bump().ok_or(NetrcError::Quote(line))? {
                '"' => return Ok(word),
                '\n' => return Err(NetrcError::Quote(line)),
                '\\' => match self.bump().ok_or(NetrcError::Quote(line))? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                },
                other => other,
            };
            word.push(c);
        }
    }

    /// A macro ends at an empty line.
    fn skip_macro(&mut self) {
        let rest = &self.text[self.at..];
        let end = rest.find("\n\n").into_iter().chain(rest.find("\n\r\n")).min().map_or(rest.len(), |at| at + 1);
        self.line += memchr::memchr_iter(b'\n', &rest.as_bytes()[..end]).count();
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

    #[test]
    fn logins_by_machine() {
        let netrc = Netrc::parse(FILE).unwrap();
        let of = |host, login| netrc.login(host, login, false);
        assert_eq!(of("a.example", None), Some(("al", "pw")));
        assert_eq!(of("a.example", Some("other")), Some(("other", "pw2")));
        assert_eq!(of("b.example", None), Some(("be n", "p \"q\\ \t#")));
        assert_eq!(of("c.example", None), Some(("", "only")));
        assert_eq!(of("c.example", Some("me")), Some(("me", "only")));
        assert_eq!(of("[::1]", None), Some(("six", "6")));
        assert_eq!(of("m.example", None), Some(("anonymous", "a@b")), "a macro is no entry");
        assert_eq!(of("x.a.example", None), Some(("anonymous", "a@b")), "a machine is not those below it");
        assert_eq!(of("a.example", Some("nobody")), None);
        assert_eq!(netrc.login("z.example", None, true), None, "the default names nobody");
        assert_eq!(netrc.login("a.example", None, true), Some(("al", "pw")));
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
            assert_eq!(Netrc::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
        assert!(!format!("{:?}", Netrc::parse(FILE)).contains("pw"));
        assert_eq!(Netrc::parse("machine a macdef x").unwrap().login("a", None, false), None);
        assert_eq!(Netrc::parse(""), Ok(Netrc::default()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(machine|login|password|default|macdef|account|[ \\n\\t\"\\\\#a\u{e9}])*") {
            if let Ok(netrc) = Netrc::parse(&text) {
                let _ = netrc.login("a", None, false);
            }
        }
    }
}
