//! Bodies as files of their own (`--save-bodies`): a directory for each host, and in it a file for each body.
//!
//! Decides the names, and that a file is whole or not there. A name holds nothing but lower-case letters, digits, `.`, `_`
//! and `-`, never begins with a dot, and is short; so no URL leads out of the directory, and no file system takes two
//! names for one. The run and the job's number stand in it: a body is never overwritten by another, also of another run.
//! What cannot be written is told once, and fails the run in the end. Called by the engine, off its loop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Characters of what a name takes over from a URL's path, and of a host's name.
const MOST_OF_PATH: usize = 80;
const MOST_OF_HOST: usize = 120;

/// Endings by media type; the others keep the ending of their URL.
const ENDINGS: &[(&str, &str)] = &[
    ("text/html", "html"),
    ("application/xhtml+xml", "xhtml"),
    ("text/plain", "txt"),
    ("text/css", "css"),
    ("text/javascript", "js"),
    ("application/javascript", "js"),
    ("application/json", "json"),
    ("application/xml", "xml"),
    ("text/xml", "xml"),
    ("application/rss+xml", "rss"),
    ("application/atom+xml", "atom"),
    ("application/pdf", "pdf"),
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/svg+xml", "svg"),
];

/// Names that some systems keep for devices, whatever their ending.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul"];

/// Whose body it is.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub run: &'a str,
    /// Of the job.
    pub number: u64,
    /// Where it came from, canonical, with the host key of that.
    pub url: &'a str,
    pub host_key: &'a str,
    /// Type and subtype in lower case; empty if unknown.
    pub media_type: &'a str,
}

/// A directory of bodies.
#[derive(Debug)]
pub struct Bodies {
    dir: PathBuf,
    failure: Mutex<Option<String>>,
}

impl Bodies {
    /// Takes a directory, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or is none.
    pub fn open(dir: &Path) -> io::Result<Self> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => made?,
        }
        // Whether files can be made there is found out now, not after an hour.
        drop(tempfile::Builder::new().prefix("lycosa-").tempfile_in(dir)?);
        Ok(Self { dir: dir.to_owned(), failure: Mutex::default() })
    }

    /// Writes a body. Returns its path, which begins with that of the directory; None if it cannot be written.
    pub fn save(&self, owner: &Owner<'_>, body: &[u8]) -> Option<String> {
        let path = self.dir.join(host_part(owner.host_key)).join(file_part(owner));
        match write_whole(&path, body) {
            Ok(()) => Some(path.display().to_string()),
            Err(error) => {
                let message = format!("cannot write {}: {error}", path.display());
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                if failure.is_none() {
                    tracing::error!("{message}");
                    *failure = Some(message);
                }
                None
            }
        }
    }

    /// Why a body could not be written; the first of them.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A file is seen under its name when it is whole, and not before.
fn write_whole(path: &Path, body: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension("part");
    let written = match fs::write(&temporary, body) {
        // The first of its host.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(directory).and_then(|()| fs::write(&temporary, body))
        }
        written => written,
    };
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

fn host_part(host_key: &str) -> String {
    let name = clean(host_key, MOST_OF_HOST);
    let is_device = DEVICES.iter().any(|device| name.split('.').next() == Some(device));
    if is_device { format!("_{name}") } else { name }
}

/// What the path ends in, the run, the number, and the ending.
fn file_part(owner: &Owner<'_>) -> String {
    let path = owner.url.split_once("://").map_or(owner.url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let last = path.split_once('/').map(|(_, path)| path.trim_end_matches('/')).unwrap_or_default();
    let last = last.rsplit('/').next().unwrap_or_default();
    let (stem, own) = last.rsplit_once('.').unwrap_or((last, ""));
    let own = own.to_ascii_lowercase();
    let by_type = ENDINGS.iter().find(|(media_type, _)| *media_type == owner.media_type).map(|(_, ending)| *ending);
    let is_ending = !own.is_empty() && own.len() <= 8 && own.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // The ending under which a file is written until it is whole.
    let ending = by_type.unwrap_or(if is_ending && own != "part" { &own } else { "bin" });
    let stem = if stem.is_empty() { "index".to_owned() } else { clean(stem, MOST_OF_PATH) };
    format!("{stem}-{}-{}.{ending}", clean(owner.run, 16), owner.number)
}

/// Letters in lower case, digits, `.`, `_` and `-`; anything else is `_`. Never empty, and begins and ends with no dot.
fn clean(text: &str, most: usize) -> String {
    let safe =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c.to_ascii_lowercase() } else { '_' };
    let name: String = text.chars().map(safe).take(most).collect();
    let name = name.trim_matches('.');
    if name.is_empty() || name.starts_with('-') { format!("_{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner<'a>(url: &'a str, host_key: &'a str, media_type: &'a str) -> Owner<'a> {
        Owner { run: "0123456789ab", number: 7, url, host_key, media_type }
    }

    #[test]
    fn names_say_what_they_are() {
        for (url, media_type, name) in [
            ("https://h/", "text/html", "index-0123456789ab-7.html"),
            ("https://h/a/Page.html?x=/../y", "text/html", "page-0123456789ab-7.html"),
            ("https://h/a/b/", "text/html", "b-0123456789ab-7.html"),
            ("https://h/data.CSV", "text/csv", "data-0123456789ab-7.csv"),
            ("https://h/x.part", "", "x-0123456789ab-7.bin"),
            ("https://h/%2e%2e%2fetc", "", "_2e_2e_2fetc-0123456789ab-7.bin"),
            ("https://h/.htaccess", "", "index-0123456789ab-7.htaccess"),
            ("https://h/..;/x", "image/png", "x-0123456789ab-7.png"),
        ] {
            assert_eq!(file_part(&owner(url, "h", media_type)), name, "{url}");
        }
        assert_eq!(host_part("example.org:8080"), "example.org_8080");
        assert_eq!(host_part("[::1]:80"), "___1__80");
        assert_eq!(
            (host_part(".."), host_part("con.example"), host_part("-x")),
            ("_".into(), "_con.example".into(), "_-x".into())
        );
    }

    #[test]
    fn a_body_is_written_whole_and_failure_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Bodies::open(&dir.path().join("new")).unwrap();
        let path = bodies.save(&owner("http://h/a", "h:1", "text/plain"), b"text").unwrap();
        assert!(path.ends_with("new/h_1/a-0123456789ab-7.txt"), "{path}");
        assert_eq!(fs::read(&path).unwrap(), b"text");
        assert_eq!(fs::read_dir(dir.path().join("new/h_1")).unwrap().count(), 1);
        assert_eq!(bodies.failure(), None);
        fs::write(dir.path().join("new/blocked"), "").unwrap();
        assert_eq!(bodies.save(&owner("http://blocked/", "blocked", ""), b"x"), None);
        assert!(bodies.failure().unwrap().contains("blocked/index"));
        assert!(Bodies::open(&dir.path().join("new/blocked")).is_err());
        assert!(Bodies::open(&dir.path().join("no/such")).is_err());
    }

    proptest! {
        #[test]
        fn no_url_leads_out_of_the_directory(url in "https?://.{0,20}/.{0,300}", host in ".{0,300}", media_type in "[a-z/]{0,12}") {
            let owner = owner(&url, &host, &media_type);
            for name in [host_part(owner.host_key), file_part(&owner)] {
                prop_assert!(name.len() <= 140 && !name.starts_with(['.', '-']) && !name.ends_with('.'), "{}", name);
                prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)), "{}", name);
            }
        }
    }
}
