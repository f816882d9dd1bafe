//! One `up`, `down` or `reset` at a time for each lab: a lock beside the run directory.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::places::Places;

/// Held while it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

// === impl Lock ===

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// When another `up`, `down` or `reset` holds it, or the file cannot be made.
    pub(crate) fn take(places: &Places) -> Result<Lock> {
        let path = places.lock();
        loop {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
            }
            // Who can open it can hold it.
            let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
            let file = file.with_context(|| format!("open {} (root is needed)", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    bail!("another `minisvc up`, `down` or `reset` of this lab is at work")
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("lock {}", path.display()));
                }
            }
            // The last holder may have removed the file between our opening and our locking it.
            if same_file(&file, &path) {
                return Ok(Lock { file, path });
            }
        }
    }

    /// Releases the lock and leaves no file behind.
    pub(crate) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
        drop(self.file);
    }
}

fn same_file(file: &File, path: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_do_not_meet_and_nothing_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let places = Places::new(&scratch.path().join("s"), &scratch.path().join("run")).unwrap();
        let lock = Lock::take(&places).unwrap();
        assert!(Lock::take(&places).unwrap_err().to_string().contains("is at work"));
        lock.remove();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        Lock::take(&places).unwrap().remove();
    }
}
