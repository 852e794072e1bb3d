//! The index of an archive: where the answer for each URL stands, in lines that are sorted when the archive is closed.
//!
//! Decides the bytes of a line and its key. Lines are appended while the archive grows, before what they name, so that
//! after a kill there may be lines too many, never too few: those behind the end of the archive are dropped when it is
//! opened again or closed. Called by [`super::warc`].
//!
//! Sources: "CDXJ" as pywb reads it; SURT as in the Internet Archive's tools (host reversed, `www.` left out, lower case).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SinkError;
use crate::model::units::WallTime;

/// One answer in the archive.
#[derive(Debug)]
pub(super) struct Entry {
    pub url: Box<str>,
    pub date: WallTime,
    pub media_type: Box<str>,
    pub status: u16,
    pub digest: String,
    pub offset: u64,
    pub length: u64,
}

/// The index of one archive.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    /// Of the archive.
    name: String,
    file: File,
}

/// The values of a line; numbers are texts there.
#[derive(Serialize)]
struct Values<'a> {
    url: &'a str,
    mime: &'a str,
    status: String,
    digest: &'a str,
    length: String,
    offset: String,
    filename: &'a str,
}

/// What of a line tells where its record stands.
#[derive(Deserialize)]
struct Place {
    offset: String,
}

impl Index {
    /// Opens the index beside an archive that ends at `end`: what it says of places behind that is dropped.
    pub(super) fn open(archive: &Path, end: u64) -> io::Result<Self> {
        let mut path = archive.as_os_str().to_owned();
        path.push(".cdxj");
        let path = PathBuf::from(path);
        let known = if end == 0 { String::new() } else { lines_before(&path, end)?.concat() };
        let mut file = File::create(&path)?;
        file.write_all(known.as_bytes())?;
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path, name, file })
    }

    pub(super) fn add(&mut self, entries: &[Entry]) -> Result<(), SinkError> {
        let lines: String = entries.iter().map(|entry| self.line(entry)).collect();
        self.file.write_all(lines.as_bytes()).map_err(|source| self.failed(source))
    }

    /// Sorts it; the archive ends at `end`.
    pub(super) fn sort(&mut self, end: u64) -> Result<(), SinkError> {
        let sorted = || {
            let mut lines = lines_before(&self.path, end)?;
            lines.sort_unstable();
            // A reader never sees half of it.
            let beside = self.path.with_extension("cdxj.sorted");
            std::fs::write(&beside, lines.concat())?;
            std::fs::rename(&beside, &self.path)
        };
        sorted().map_err(|source| self.failed(source))
    }

    fn line(&self, entry: &Entry) -> String {
        let values = Values {
            url: &entry.url,
            mime: &entry.media_type,
            status: entry.status.to_string(),
            digest: &entry.digest,
            length: entry.length.to_string(),
            offset: entry.offset.to_string(),
            filename: &self.name,
        };
        let digits: String = entry.date.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        let json = serde_json::to_string(&values).expect("texts are always serialisable");
        format!("{} {digits} {json}\n", surt(&entry.url))
    }

    fn failed(&self, source: io::Error) -> SinkError {
        SinkError { target: self.path.display().to_string(), written: 0, source }
    }
}

/// Whole lines of an index that name a place before the end of its archive.
fn lines_before(path: &Path, end: u64) -> io::Result<Vec<String>> {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let stands = |line: &&str| {
        let values = line.ends_with('\n').then(|| line.splitn(3, ' ').nth(2)).flatten();
        let place = values.and_then(|values| serde_json::from_str::<Place>(values).ok());
        place.and_then(|place| place.offset.parse::<u64>().ok()).is_some_and(|offset| offset < end)
    };
    Ok(text.split_inclusive('\n').filter(stands).map(str::to_owned).collect())
}

/// A URL so that what belongs together stands together: `https://www.example.org/A?b` is `org,example)/a?b`.
fn surt(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return url.to_lowercase() };
    let host = match url.host() {
        Some(url::Host::Domain(name)) => {
            let name = name.strip_prefix("www.").unwrap_or(name);
            name.rsplit('.').collect::<Vec<_>>().join(",")
        }
        Some(address) => address.to_string(),
        None => String::new(),
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let rest = url[url::Position::BeforePath..url::Position::AfterQuery].to_lowercase();
    format!("{host}{port}){rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_begin_with_the_top_of_the_name() {
        for (url, key) in [
            ("https://www.example.org/A/b?C=d", "org,example)/a/b?c=d"),
            ("http://a.b.example.org:8080/", "org,example,b,a:8080)/"),
            ("http://127.0.0.1:9/x", "127.0.0.1:9)/x"),
            ("http://[::1]/", "[::1])/"),
        ] {
            assert_eq!(surt(url), key);
        }
    }

    #[test]
    fn lines_behind_the_end_and_torn_ones_are_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("a.warc");
        let entry = |url: &str, offset| Entry {
            url: url.into(),
            date: WallTime(0),
            media_type: "text/html".into(),
            status: 200,
            digest: "sha1:X".to_owned(),
            offset,
            length: 5,
        };
        let path = directory.path().join("a.warc.cdxj");
        std::fs::write(&path, "of an earlier run").unwrap();
        let mut index = Index::open(&archive, 0).unwrap();
        index.add(&[entry("http://b/", 0), entry("http://a/", 10)]).unwrap();
        index.add(&[entry("http://c/", 20)]).unwrap();
        std::fs::write(&path, [&std::fs::read(&path).unwrap()[..], b"d)/ 1970"].concat()).unwrap();
        let mut index = Index::open(&archive, 20).unwrap();
        index.add(&[entry("http://0/", 20), entry("http://9/", 30)]).unwrap();
        index.sort(30).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let keys: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(keys, ["0.0.0.0)/", "a)/", "b)/"]);
        assert!(text.contains(r#"a)/ 19700101000000 {"url":"http://a/","mime":"text/html","status":"200","digest":"sha1:X","length":"5","offset":"10","filename":"a.warc"}"#), "{text}");
    }
}
