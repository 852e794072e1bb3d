//! The workspace of fuzzing builds the command from its sources, so it has to name the crates that these use: nothing of
//! the ordinary build would tell that one is missing.

use std::fs;
use std::path::Path;

use crate::layering::rust_files;

fn dependencies(manifest: &str) -> toml::Table {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest)).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().clone()
}

#[test]
fn it_has_every_crate_that_the_command_uses() {
    let (ours, theirs) = (dependencies("Cargo.toml"), dependencies("fuzz/Cargo.toml"));
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin"), &mut files);
    let sources: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_used = |name: &&String| {
        let path = format!("{}::", name.replace('-', "_"));
        sources
            .match_indices(&path)
            .any(|(at, _)| !sources[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)))
    };
    let used: Vec<_> = ours.keys().filter(is_used).collect();
    assert!(used.len() > 15, "{used:?}");
    let missing: Vec<_> = used.into_iter().filter(|name| !theirs.contains_key(*name)).collect();
    assert!(missing.is_empty(), "fuzz/Cargo.toml lacks {missing:?}");
}
