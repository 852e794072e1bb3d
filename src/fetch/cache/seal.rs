//! Secrets as the cache keeps them: as a keyed hash, from which they cannot be read back.
//!
//! Decides what lies on the disk in the place of credentials: whose an answer is has to be known again by another process,
//! and nothing else of it. The key is random, one for each directory, and lies beside the answers, readable by its owner
//! alone: without it a hash tells nothing. Who has both can try guesses, as they can read the pages themselves. Never
//! decides what is a credential. Called by `cache`.
//!
//! The hash is SHA-256 of key and parts, cut to half: with a key of fixed length before it and no way to go on from half a
//! state, that is a keyed hash.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use rustls::crypto::aws_lc_rs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::file::open_file;

const KEY: usize = 32;

/// A keyed hash of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal([u8; 16]);

impl Seal {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key of a directory.
pub(super) struct SealKey([u8; KEY]);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// The key that lies in a directory, made if there is none. One that is damaged is replaced: what it sealed is nobody's.
    ///
    /// # Errors
    /// It cannot be read or written, or there is something else in its place.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let path = dir.join("key");
        loop {
            match read(&path) {
                Ok(Some(key)) => return Ok(Self(key)),
                Ok(None) => std::fs::remove_file(&path)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let mut key = [0; KEY];
            let random = aws_lc_rs::default_provider().secure_random;
            random.fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
            // Whole or not at all, and never over that of another process.
            let mut file = tempfile::Builder::new().prefix(".key").tempfile_in(dir)?;
            file.write_all(&key)?;
            match file.persist_noclobber(&path) {
                Ok(_) => return Ok(Self(key)),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.error),
            }
        }
    }

    /// Names and values. Other names, other values, or the same in another order have another seal.
    pub(super) fn seal(&self, parts: &[(&[u8], &[u8])]) -> Seal {
        let mut hash = Sha256::new_with_prefix(self.0);
        for text in parts.iter().flat_map(|(name, value)| [name, value]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hash.finalize()[..16]);
        Seal(half)
    }
}

/// None: it is no key.
fn read(path: &Path) -> io::Result<Option<[u8; KEY]>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(KEY as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_known_again_in_its_directory_only() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let parts: &[(&[u8], &[u8])] = &[(b"cookie", b"a=1"), (b"x-key", b"s3cret")];
        let seal = SealKey::of(dir.path()).unwrap().seal(parts);
        assert_eq!(SealKey::of(dir.path()).unwrap().seal(parts), seal);
        assert_ne!(SealKey::of(other.path()).unwrap().seal(parts), seal);
        let key = SealKey::of(dir.path()).unwrap();
        let others: [&[(&[u8], &[u8])]; 4] = [
            &[(b"cookie", b"a=1")],
            &[(b"x-key", b"s3cret"), (b"cookie", b"a=1")],
            &[(b"cookie", b"a=1x-key"), (b"", b"s3cret")],
            &[],
        ];
        for other in others {
            assert_ne!(key.seal(other), seal, "{other:?}");
        }
    }

    #[test]
    fn the_key_is_its_owners_alone_and_replaced_when_it_is_damaged() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = SealKey::of(dir.path()).unwrap();
        let path = dir.path().join("key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        std::fs::write(&path, b"short").unwrap();
        let second = SealKey::of(dir.path()).unwrap();
        assert_ne!(first.seal(&[]), second.seal(&[]));
        assert_eq!(std::fs::read(&path).unwrap(), second.0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        assert_eq!(format!("{second:?}"), "SealKey");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(SealKey::of(dir.path()).is_err());
    }
}
