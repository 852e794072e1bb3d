//! What a target of fuzzing is, and what targets are made with. The lowest of the three: every `fuzz.rs` stands on it.

use std::path::{Path, PathBuf};

/// Something that takes any bytes, and must keep its promises on all of them.
#[derive(Clone, Copy)]
pub struct Target {
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
    /// What the format is made of.
    pub words: &'static [&'static [u8]],
    /// Inputs to begin with, beside the files of `fixtures/fuzz/NAME/`.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Executions in the ordinary tests: a second or two without optimisation.
    pub runs: u64,
}

/// The folder of the project, also where this is built by the package in `fuzz/`.
pub fn project() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().filter(|_| package.ends_with("fuzz")).unwrap_or(package)
}

/// The files of a folder of the project, in order of their names.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let folder = project().join(folder);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort_unstable();
    paths
}

/// Their contents.
#[must_use]
pub fn contents(folder: &str) -> Vec<Vec<u8>> {
    files(folder).into_iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// Takes a number for decisions off the front of an input; 0 at its end.
pub fn byte(input: &mut &[u8]) -> u8 {
    match input.split_first() {
        Some((first, rest)) => {
            *input = rest;
            *first
        }
        None => 0,
    }
}
