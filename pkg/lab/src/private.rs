//! Files that only their owner may read, written so that a reader sees the old text or the new one. Must not know what is
//! in them.

use std::io::{Result, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes the file with mode 0600, by way of a file beside it that ends in `.part`.
///
/// # Errors
/// As the file system has them.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("part");
    // What an earlier crash, or somebody else, left there is not written into.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    std::fs::rename(&beside, path)
}

/// Makes the folder with mode 0700, or gives it that mode.
///
/// # Errors
/// As the file system has them.
pub(crate) fn folder(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_reads() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("note.json");
        std::fs::write(&path, "old").unwrap();
        std::fs::write(path.with_extension("part"), "of a crash, readable by all").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!path.with_extension("part").exists());
        let open = scratch.path().join("open");
        std::fs::create_dir(&open).unwrap();
        folder(&open).unwrap();
        assert_eq!(std::fs::metadata(&open).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
