//! Compressed text: an output of whole members, each of which can be read by itself.
//!
//! Decides what an ending of a name means, and the bytes of a member (gzip) or frame (zstd). Readers take members one
//! after the other as one stream. A member is formed in memory and handed out when it is whole, so that an output never
//! ends in the middle of one but for a torn write. Called by [`super::output::Output`].
//!
//! Sources: RFC 1952 2.2 (a file is a series of members), RFC 8878 3 (frames can be concatenated).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

/// How an output is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

/// The compression that a file's last ending asks for, and its name without that ending.
pub(super) fn compression_of(path: &Path) -> Option<(Compression, PathBuf)> {
    let ending = path.extension()?.to_str()?;
    let compression = match () {
        () if ending.eq_ignore_ascii_case("gz") => Compression::Gzip,
        () if ending.eq_ignore_ascii_case("zst") => Compression::Zstd,
        () => return None,
    };
    Some((compression, path.with_extension("")))
}

/// The member at hand, and those before it counted.
pub(super) struct Members {
    compression: Compression,
    open: Option<Coder>,
    /// One was handed out.
    any: bool,
}

enum Coder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members")
            .field("compression", &self.compression)
            .field("any", &self.any)
            .finish_non_exhaustive()
    }
}

impl Members {
    /// `any`: there are members before it.
    pub(super) fn new(compression: Compression, any: bool) -> Self {
        Self { compression, open: None, any }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.begin()?);
        }
        match &mut self.open {
            Some(Coder::Gzip(coder)) => coder.write_all(bytes),
            Some(Coder::Zstd(coder)) => coder.write_all(bytes),
            None => Ok(()),
        }
    }

    /// Ends the member and hands it out; nothing if there is none. `last`: there is at least an empty one, since zero bytes
    /// are no compressed file.
    pub(super) fn end(&mut self, last: bool) -> io::Result<Vec<u8>> {
        if last && !self.any && self.open.is_none() {
            self.open = Some(self.begin()?);
        }
        let member = match self.open.take() {
            None => return Ok(Vec::new()),
            Some(Coder::Gzip(coder)) => coder.finish(),
            Some(Coder::Zstd(coder)) => coder.finish(),
        };
        self.any = true;
        member
    }

    fn begin(&self) -> io::Result<Coder> {
        match self.compression {
            Compression::Gzip => Ok(Coder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default()))),
            Compression::Zstd => {
                let mut coder = zstd::stream::write::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
                coder.include_checksum(true)?;
                Ok(Coder::Zstd(coder))
            }
        }
    }
}
