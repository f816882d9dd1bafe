//! The committed seeds: small inputs that get past the first checks, and every input that once crashed.

use std::path::{Path, PathBuf};

/// Where a target's seeds lie.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/fuzz").join(target)
}

/// A target's seeds, by name of file.
///
/// # Panics
/// When there are none.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let folder = folder(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| std::fs::read(path).expect("read a seed")).collect()
}
