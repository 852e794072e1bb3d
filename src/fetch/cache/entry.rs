//! One stored answer as bytes: a fixed preamble, the head, the body, and a checksum of each.
//!
//! ```text
//! magic 8 · length of the head 4 · length of the body 8 · XXH3 of the head 8 · XXH3 of the body 8 · head (postcard) · body
//! ```
//!
//! Numbers are little-endian. The head has a checksum of its own, so that a look at it does not cost reading the body.
//! What was torn, cut, flipped or written by another version is no answer; lengths are checked against the file before
//! anything is allocated.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::file::open_file;
use super::seal::Seal;
use crate::model::units::WallTime;

const MAGIC: [u8; 8] = *b"lycosaC2";
const PREAMBLE: usize = 36;

/// No head is longer: the stack takes at most 400 KiB of one.
const LONGEST_HEAD: u32 = 1 << 20;

/// Name and value of a request header.
type Selecting = (Box<str>, Option<Box<[u8]>>);

/// A stored answer without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Canonical.
    pub url: Box<str>,
    pub status: u16,
    /// It came with HTTP/1.0, 1.1 or 2: 10, 11 or 20.
    pub version: u8,
    headers: Vec<(Box<str>, Box<[u8]>)>,
    /// The request headers it varies by, as they were sent, credentials sealed; None: not sent.
    pub selecting: Vec<Selecting>,
    /// With which credentials it was asked for; None: without any.
    pub owner: Option<Seal>,
    /// The `Host` it was asked with, if that was not its URL's.
    pub host: Option<Box<[u8]>>,
    /// It came from an address that no discovered link may lead to.
    pub private: bool,
    /// When it was asked for and when its head came, in seconds since 1970.
    pub requested: u64,
    pub received: u64,
}

impl Entry {
    /// An entry of this head; what it varies by, whose it is, and whether it is private, is added by
    /// the caller.
    #[must_use]
    pub fn new(url: &str, status: u16, version: u8, headers: &HeaderMap, requested: u64, received: u64) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect();
        Self {
            url: url.into(),
            status,
            version,
            headers,
            selecting: Vec::new(),
            owner: None,
            host: None,
            private: false,
            requested,
            received,
        }
    }

    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }

    pub(super) fn heap_size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        size_of::<Self>() + self.url.len() + headers
    }

    /// Writes it with its body; gives the number of bytes. None: its head is too long to be read again.
    pub(super) fn write(&self, body: &[u8], file: &mut impl Write) -> io::Result<Option<u64>> {
        let head = postcard::to_allocvec(self).map_err(io::Error::other)?;
        let Some(head_size) = u32::try_from(head.len()).ok().filter(|size| *size <= LONGEST_HEAD) else {
            return Ok(None);
        };
        let body_size = body.len() as u64;
        let mut preamble = Vec::with_capacity(PREAMBLE + head.len());
        preamble.extend(MAGIC);
        preamble.extend(head_size.to_le_bytes());
        preamble.extend(body_size.to_le_bytes());
        preamble.extend(xxh3_64(&head).to_le_bytes());
        preamble.extend(xxh3_64(body).to_le_bytes());
        preamble.extend(&head);
        file.write_all(&preamble)?;
        file.write_all(body)?;
        Ok(Some(preamble.len() as u64 + body_size))
    }
}

/// A stored answer whose head was read.
#[derive(Debug)]
pub struct Opened {
    pub entry: Entry,
    body: File,
    size: u64,
    checksum: u64,
}

impl Opened {
    /// Opens the file of a URL. Its time of change is set to `now`: it is when it was last used.
    pub(super) fn open(path: &Path, url: &str, now: WallTime) -> Option<Self> {
        let mut file = open_file(path).ok()?;
        let length = file.metadata().ok()?.len();
        let mut preamble = [0; PREAMBLE];
        file.read_exact(&mut preamble).ok()?;
        let number = |from: usize| u64::from_le_bytes(preamble[from..from + 8].try_into().expect("eight bytes"));
        let head_size = u32::from_le_bytes(preamble[8..12].try_into().expect("four bytes"));
        let (size, head_checksum, checksum) = (number(12), number(20), number(28));
        let whole = (PREAMBLE as u64 + u64::from(head_size)).checked_add(size);
        if preamble[..8] != MAGIC || head_size > LONGEST_HEAD || whole != Some(length) {
            return None;
        }
        let mut head = vec![0; head_size as usize];
        file.read_exact(&mut head).ok()?;
        if xxh3_64(&head) != head_checksum {
            return None;
        }
        let entry: Entry = postcard::from_bytes(&head).ok()?;
        if *entry.url != *url {
            return None;
        }
        // Not being able to say so only makes it go earlier.
        let _ = file.set_modified(system_time(now));
        Some(Self { entry, body: file, size, checksum })
    }

    /// Bytes of its body.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn read(self) -> Option<(Entry, Vec<u8>)> {
        let mut body = Vec::with_capacity(usize::try_from(self.size).ok()?);
        (&self.body).take(self.size).read_to_end(&mut body).ok()?;
        (body.len() as u64 == self.size && xxh3_64(&body) == self.checksum).then_some((self.entry, body))
    }
}

pub(super) fn system_time(now: WallTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0))
}
