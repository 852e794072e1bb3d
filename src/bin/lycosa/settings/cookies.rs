//! `-b` and `-c`: cookies that are typed, files they are read from, the file they go to.
//!
//! Follows curl: an entry with `=` is a line of cookies, any other names a file (perhaps after `@`), and an empty one only
//! switches the engine on. Without a file or a jar the engine is off: responses set nothing. Messages never repeat a line,
//! which is a secret.

use std::path::{Path, PathBuf};

use http::HeaderValue;
use lycosa::fetch::cookies::CookieSettings;

use super::check::Bad;

/// What `-b` and `-c` come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    /// The `Cookie` header: a credential.
    pub line: Option<HeaderValue>,
    pub engine: Option<CookieSettings>,
}

/// Whether an entry of `-b` is a line of cookies.
pub fn is_line(entry: &str) -> bool {
    !entry.starts_with('@') && entry.contains('=')
}

/// The file that an entry of `-b` names.
pub fn file_of(entry: &str) -> Option<&Path> {
    let path = entry.strip_prefix('@').unwrap_or(entry);
    (!is_line(entry) && !path.is_empty()).then(|| Path::new(path))
}

impl Cookies {
    /// # Errors
    /// The setting, and what is wrong with it.
    pub fn read(entries: &[String], jar: Option<&str>) -> Result<Self, (&'static str, Bad)> {
        let lines: Vec<&str> = entries.iter().filter(|entry| is_line(entry)).map(|entry| entry.trim()).collect();
        let line = (!lines.is_empty()).then(|| HeaderValue::from_bytes(lines.join("; ").as_bytes())).transpose();
        let line = line.map_err(|_| ("cookie", Bad::new("control characters cannot be sent")))?;
        let files: Vec<PathBuf> = entries.iter().filter_map(|entry| file_of(entry)).map(Path::to_owned).collect();
        if files.iter().any(|path| path.as_os_str() == "-") {
            let mut bad = Bad::new("cookies are not read from standard input");
            bad.hint = Some("write them into a file: -b FILE".to_owned());
            return Err(("cookie", bad));
        }
        if jar == Some("-") {
            let mut bad = Bad::new("standard output carries records and nothing else");
            bad.hint = Some("name a file: -c FILE".to_owned());
            return Err(("cookie-jar", bad));
        }
        let is_on = jar.is_some() || entries.iter().any(|entry| !is_line(entry));
        let engine = is_on.then(|| CookieSettings { files, jar: jar.map(PathBuf::from) });
        Ok(Self { line, engine })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[&str], jar: Option<&str>) -> Cookies {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Cookies::read(&entries, jar).unwrap()
    }

    #[test]
    fn an_entry_is_a_line_a_file_or_nothing() {
        assert_eq!(read(&[], None), Cookies::default());
        assert_eq!(read(&["a=1; b=2", "c=3"], None).line.unwrap(), "a=1; b=2; c=3");
        assert_eq!(read(&["a=1"], None).engine, None, "the engine is off without a file");
        let on = |files: &[&str], jar: Option<&str>| {
            Some(CookieSettings { files: files.iter().map(PathBuf::from).collect(), jar: jar.map(PathBuf::from) })
        };
        assert_eq!(read(&[""], None).engine, on(&[], None));
        assert_eq!(read(&["jar", "@a=b"], None).engine, on(&["jar", "a=b"], None));
        assert_eq!(read(&["a=1"], Some("jar")).engine, on(&[], Some("jar")));
    }

    #[test]
    fn standard_streams_are_refused_and_no_secret_is_told() {
        assert_eq!(Cookies::read(&["-".to_owned()], None).unwrap_err().0, "cookie");
        assert_eq!(Cookies::read(&[], Some("-")).unwrap_err().0, "cookie-jar");
        let (_, bad) = Cookies::read(&["a=s3cret\u{7}".to_owned()], None).unwrap_err();
        assert!(!bad.message.contains("s3cret"), "{}", bad.message);
    }
}
