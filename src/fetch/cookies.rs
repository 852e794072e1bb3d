//! The cookie engine of a run: one jar for all its requests, and the files it comes from and goes to.
//!
//! Decides when the jar is asked and told, and what a missing or unreadable file means; which cookies go where is
//! [`crate::policy::cookies`]. The lock is held for a look, never across an await. Called by `client`, and at the end of a
//! run by whoever started it. Sources: curl's `-b` and `-c`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::policy::cookies::Jar;

/// Cookies that one response may set, as in curl.
const MOST_OF_RESPONSE: usize = 50;
/// A jar is at most 3,000 cookies of 4 KiB; other files are none.
const MOST_OF_FILE: u64 = 64 << 20;

/// Where cookies come from and go to. The engine is on if there is such a thing at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CookieSettings {
    /// Read at the start, in order. One that is not there is an empty jar.
    pub files: Vec<PathBuf>,
    /// Written at the end.
    pub jar: Option<PathBuf>,
}

/// A file of cookies that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    #[error("cannot read the cookies of {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the cookie jar {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// All cookies of a run.
#[derive(Debug)]
pub struct Cookies {
    jar: Mutex<Jar>,
    path: Option<PathBuf>,
}

impl Cookies {
    /// Reads the files, and tries whether the jar can be written.
    ///
    /// # Errors
    /// A file is there and cannot be read, or the jar cannot be written.
    pub fn open(settings: &CookieSettings) -> Result<Self, CookieError> {
        let mut jar = Jar::default();
        for path in &settings.files {
            let text = match read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // The first of a row of runs that share a jar has none yet.
                    if settings.jar.as_ref() != Some(path) {
                        tracing::warn!(path = %path.display(), "there is no such file of cookies (a cookie is written as NAME=VALUE)");
                    }
                    continue;
                }
                Err(source) => return Err(CookieError::Read { path: path.clone(), source }),
            };
            let strange = jar.read(&text, unix_now());
            if strange > 0 {
                tracing::warn!(path = %path.display(), lines = strange, "lines of a file of cookies are none and were passed over");
            }
        }
        if let Some(path) = &settings.jar {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
                .map_err(|source| CookieError::Write { path: path.clone(), source })?;
        }
        Ok(Self { jar: Mutex::new(jar), path: settings.jar.clone() })
    }

    /// Puts the cookies for this URL into the headers of a request, before those that are there: a request has one `Cookie`
    /// line (RFC 6265 5.4).
    pub(super) fn add_to(&self, url: &Url, headers: &mut HeaderMap) {
        let Some(mut line) = self.locked().header(url, unix_now()) else { return };
        for given in headers.get_all(COOKIE) {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(given.as_bytes());
        }
        if let Ok(mut value) = HeaderValue::from_bytes(&line) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// Takes what a response sets.
    pub(super) fn take_from(&self, url: &Url, headers: &HeaderMap) {
        if headers.contains_key(SET_COOKIE) {
            let (mut jar, now) = (self.locked(), unix_now());
            for line in headers.get_all(SET_COOKIE).iter().take(MOST_OF_RESPONSE) {
                jar.take(url, line.as_bytes(), now);
            }
        }
    }

    /// Writes the jar, if it is to be kept: in one piece, readable by its owner alone.
    ///
    /// # Errors
    /// It cannot be written; what was there before stands.
    pub fn save(&self) -> Result<(), CookieError> {
        let Some(path) = &self.path else { return Ok(()) };
        let text = self.locked().to_file(unix_now());
        write(path, &text).map_err(|source| CookieError::Write { path: path.clone(), source })
    }

    fn locked(&self) -> MutexGuard<'_, Jar> {
        // A jar is whole after each of its calls.
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let size = fs::metadata(path)?.len();
    if size > MOST_OF_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{size} bytes are too many for one")));
    }
    fs::read(path)
}

/// A file is replaced as a whole; what is no file (`/dev/null`, a pipe) is written to. Behind a link stands the file.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = path.canonicalize()?;
    let before = fs::metadata(&path)?;
    if !before.is_file() {
        return OpenOptions::new().write(true).open(&path)?.write_all(text);
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".cookies").tempfile_in(directory)?;
    file.write_all(text)?;
    file.as_file().set_permissions(before.permissions())?;
    file.persist(&path)?;
    Ok(())
}

/// Cookies expire by the calendar, also while no run goes on.
#[expect(clippy::disallowed_methods, reason = "expiry dates are compared with the calendar, not with the run's clock")]
fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jar_goes_before_what_is_there() {
        let cookies = Cookies::open(&CookieSettings::default()).unwrap();
        let url = Url::parse("http://h.example/").unwrap();
        let set = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static("a=1"))]);
        cookies.take_from(&url, &set);
        let mut headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("k=v; l=w"))]);
        cookies.add_to(&url, &mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; k=v; l=w"]);
        assert!(headers[COOKIE].is_sensitive());
        let mut elsewhere = HeaderMap::new();
        cookies.add_to(&Url::parse("http://other.example/").unwrap(), &mut elsewhere);
        assert!(elsewhere.is_empty());
    }

    #[test]
    fn a_jar_is_replaced_as_a_whole_and_new_ones_are_the_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let jar = directory.path().join("jar");
        let settings = CookieSettings { files: vec![jar.clone()], jar: Some(jar.clone()) };
        let cookies = Cookies::open(&settings).unwrap();
        let url = Url::parse("http://h.example/").unwrap();
        cookies.take_from(&url, &HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static("a=1"))]));
        cookies.save().unwrap();
        assert_eq!(fs::metadata(&jar).unwrap().permissions().mode() & 0o077, 0);
        assert_eq!(Cookies::open(&settings).unwrap().locked().len(), 1);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&jar, &link).unwrap();
        Cookies::open(&CookieSettings { files: Vec::new(), jar: Some(link.clone()) }).unwrap().save().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Cookies::open(&settings).unwrap().locked().len(), 0, "written through the link");
        let nowhere = CookieSettings { files: Vec::new(), jar: Some(directory.path().join("no/jar")) };
        assert!(matches!(Cookies::open(&nowhere), Err(CookieError::Write { .. })));
    }
}
