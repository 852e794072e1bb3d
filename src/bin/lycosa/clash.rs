//! Whether an output is a file that the same run reads, or lies where the run is kept: creating it would destroy the
//! input before a line is read, or the journal.
//!
//! Decided by device and inode where both exist, so that neither links nor spellings of a path hide it. Only regular
//! files are compared: a terminal or `/dev/null` may well be both. Never creates or changes a file. Called by the
//! commands that run, before anything is opened.

use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::settings::UsageError;

/// Links that lead to links, as many as Linux follows.
const MOST_LINKS: u32 = 40;

/// A file, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// Device and inode.
    Exists(u64, u64),
    /// One that does not exist yet: its name in a directory that does.
    New(PathBuf),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        Self::behind(path, MOST_LINKS)
    }

    fn behind(path: &Path, links: u32) -> Option<Self> {
        if let Ok(metadata) = std::fs::metadata(path) {
            return Self::of_metadata(&metadata);
        }
        // A link to what does not exist yet: the file is made where it leads.
        if let Ok(target) = std::fs::read_link(path) {
            let target = path.parent().unwrap_or(Path::new("")).join(target);
            return if links == 0 { None } else { Self::behind(&target, links - 1) };
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(Self::New(directory.canonicalize().ok()?.join(path.file_name()?)))
    }

    fn of_stream(stream: impl AsFd) -> Option<Self> {
        let file = File::from(stream.as_fd().try_clone_to_owned().ok()?);
        Self::of_metadata(&file.metadata().ok()?)
    }

    fn of_metadata(metadata: &Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self::Exists(metadata.dev(), metadata.ino()))
    }
}

/// Where a file is or would be made.
fn place(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| match Identity::of(path) {
        Some(Identity::New(place)) => Some(place),
        _ => None,
    })
}

/// The files of one run.
#[derive(Debug, Default)]
pub struct Files {
    /// With the words for messages.
    inputs: Vec<(String, Identity)>,
    outputs: Vec<(String, Identity)>,
    /// Where the run is kept: its path with links resolved.
    state: Option<PathBuf>,
    /// Outputs, with links resolved as far as they exist.
    places: Vec<(String, PathBuf)>,
}

impl Files {
    /// A file that is read. `what` is its flag.
    pub fn reads(&mut self, what: &str, path: &Path) {
        self.inputs.extend(Identity::of(path).map(|id| (format!("{what} {}", path.display()), id)));
    }

    /// Standard input is read.
    pub fn reads_stdin(&mut self) {
        self.inputs.extend(Identity::of_stream(std::io::stdin()).map(|id| ("standard input".to_owned(), id)));
    }

    /// A file that is created or truncated. `what` is its flag.
    pub fn writes(&mut self, what: &str, path: &Path) {
        self.places.extend(place(path).map(|place| (format!("{what} {}", path.display()), place)));
        self.outputs.extend(Identity::of(path).map(|id| (format!("{what} {}", path.display()), id)));
    }

    /// The run is kept in this directory, and all files in it are its own.
    pub fn keeps(&mut self, dir: &Path) {
        self.state = dir.canonicalize().ok();
        let own = std::fs::read_dir(dir).into_iter().flatten().flatten();
        own.for_each(|entry| self.reads("the state's own", &entry.path()));
    }

    /// Standard output is written: a file that grows while it is read has no end.
    pub fn writes_stdout(&mut self) {
        self.outputs.extend(Identity::of_stream(std::io::stdout()).map(|id| ("standard output".to_owned(), id)));
    }

    /// # Errors
    /// An output is an input, two outputs are one file, or one lies in the state directory.
    pub fn check(&self) -> Result<(), UsageError> {
        if let Some(state) = &self.state
            && let Some((output, _)) = self.places.iter().find(|(_, place)| place.starts_with(state))
        {
            let message = format!("{output} lies in the state directory, whose files are the run's own");
            return Err(UsageError::new(message).with_hint("write it elsewhere"));
        }
        for (at, (output, file)) in self.outputs.iter().enumerate() {
            if let Some((input, _)) = self.inputs.iter().find(|(_, other)| other == file) {
                return Err(UsageError::new(format!("{output} would overwrite {input}: they are the same file")));
            }
            if let Some((other, _)) = self.outputs[..at].iter().find(|(_, other)| other == file) {
                return Err(UsageError::new(format!("{output} would overwrite {other}: they are the same file")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &Path, outputs: &[&Path]) -> Result<(), String> {
        let mut files = Files::default();
        files.reads("-i", input);
        for output in outputs {
            files.writes("-o", output);
        }
        files.check().map_err(|error| error.message)
    }

    #[test]
    fn an_input_is_found_behind_every_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("urls"), "http://h/\n").unwrap();
        std::fs::create_dir(path("d")).unwrap();
        std::os::unix::fs::symlink(path("urls"), path("soft")).unwrap();
        std::fs::hard_link(path("urls"), path("hard")).unwrap();
        for name in ["urls", "soft", "hard", "d/../urls"] {
            let told = check(&path("urls"), &[&path(name)]).expect_err(name);
            assert!(told.contains("same file") && told.contains(name), "{told}");
        }
        assert_eq!(check(&path("urls"), &[&path("new"), &path("d/new"), &path("no/dir")]), Ok(()));
        assert!(check(&path("urls"), &[&path("new"), &path("d/../new")]).is_err());
        std::os::unix::fs::symlink("new", path("dangling")).unwrap();
        assert!(check(&path("urls"), &[&path("new"), &path("dangling")]).is_err());
        std::os::unix::fs::symlink("round", path("round")).unwrap();
        assert_eq!(check(&path("urls"), &[&path("round"), &path("new")]), Ok(()));
    }

    #[test]
    fn devices_may_be_both() {
        let null = Path::new("/dev/null");
        assert_eq!(check(null, &[null, null]), Ok(()));
    }
}
