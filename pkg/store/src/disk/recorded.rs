//! The highest acknowledged revision, in a file of our own beside the database: if the database comes back with less,
//! something was lost. Two checksummed slots written in turn, so that a torn write leaves the other; one write of 32
//! bytes and one data sync per group commit.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::files::sync_dir;

/// Slots lie in different pages and sectors.
const SLOT_BYTES: u64 = 4096;
const MAGIC: &[u8; 8] = b"minisvc1";

/// The open file.
#[derive(Debug)]
pub(crate) struct Recorded {
    file: File,
    revision: u64,
    next_slot: u64,
}

// === impl Recorded ===

impl Recorded {
    /// Opens or makes it. A new or unreadable file says 0: it guards from the next commit on.
    pub(crate) fn open(path: &Path) -> io::Result<Recorded> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() != 2 * SLOT_BYTES {
            file.set_len(2 * SLOT_BYTES)?;
            file.sync_all()?;
            if let Some(dir) = path.parent() {
                sync_dir(dir)?;
            }
        }
        let slots = [read_slot(&file, 0)?, read_slot(&file, 1)?];
        let newest = u64::from(slots[1] > slots[0]);
        Ok(Recorded { file, revision: slots[0].max(slots[1]).unwrap_or(0), next_slot: 1 - newest })
    }

    /// The highest revision on record.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Records `revision`, durable when this returns. A lower one than before is not recorded.
    pub(crate) fn write(&mut self, revision: u64) -> io::Result<()> {
        if revision <= self.revision {
            return Ok(());
        }
        self.file.write_all_at(&slot(revision), self.next_slot * SLOT_BYTES)?;
        self.file.sync_data()?;
        self.revision = revision;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

fn slot(revision: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&revision.to_be_bytes());
    let digest = Sha256::digest(&bytes[..16]);
    bytes[16..].copy_from_slice(&digest[..16]);
    bytes
}

fn read_slot(file: &File, index: u64) -> io::Result<Option<u64>> {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, index * SLOT_BYTES)?;
    let revision = u64::from_be_bytes(bytes[8..16].try_into().expect("eight bytes"));
    Ok((bytes == slot(revision)).then_some(revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revision");
        let mut recorded = Recorded::open(&path).unwrap();
        assert_eq!(recorded.revision(), 0);
        for revision in [5, 9, 7] {
            recorded.write(revision).unwrap();
        }
        assert_eq!(Recorded::open(&path).unwrap().revision(), 9);
        for (slot, left) in [(0, 5), (1, 9)] {
            let torn = dir.path().join(format!("torn{slot}"));
            std::fs::copy(&path, &torn).unwrap();
            File::options().write(true).open(&torn).unwrap().write_all_at(b"x", slot * SLOT_BYTES + 12).unwrap();
            let mut reopened = Recorded::open(&torn).unwrap();
            assert_eq!(reopened.revision(), left);
            reopened.write(20).unwrap();
            assert_eq!(Recorded::open(&torn).unwrap().revision(), 20);
        }
    }
}
