//! Opening what lies in a directory of the cache, which somebody else may have put there. Called by `entry` and `seal`.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file to be read; nothing else: whoever opens a pipe waits for its other end, for ever if there is none.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let is_file = file.metadata()?.is_file();
    is_file.then_some(file).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a file"))
}
