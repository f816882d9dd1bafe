//! The names in a store's directory and the few file operations that must survive a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::store::OpenError;

/// How long a holder that was killed may take to end.
const DYING: Duration = Duration::from_secs(5);

/// A store's directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
    /// One export at a time: the exporter's and a rebuild's would write the same draft.
    pub(crate) exporting: Arc<Mutex<()>>,
}

/// Held while the store is open; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
}

// === impl Layout ===

impl Layout {
    pub(crate) fn new(dir: &Path) -> Layout {
        Layout { dir: dir.into(), exporting: Arc::default() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("db")
    }

    /// A database being built. Incomplete while `db` is there; complete when `db` is not.
    pub(crate) fn next(&self) -> PathBuf {
        self.dir.join("db.new")
    }

    /// A copy that is only tried out.
    pub(crate) fn trial(&self) -> PathBuf {
        self.dir.join("db.trial")
    }

    /// What a rebuild replaced, until the new one has been read.
    pub(crate) fn replaced(&self) -> PathBuf {
        self.dir.join("db.old")
    }

    /// The highest revision ever acknowledged.
    pub(crate) fn recorded(&self) -> PathBuf {
        self.dir.join("revision")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The newest export and the one before it.
    pub(crate) fn exports(&self) -> [PathBuf; 2] {
        [self.dir.join("export.jsonl"), self.dir.join("export.previous.jsonl")]
    }

    /// Where a damaged database goes; a name that is not taken.
    pub(crate) fn damaged(&self) -> PathBuf {
        let names = (1u32..).map(|number| self.dir.join(format!("damaged-{number}")));
        names.into_iter().find(|path| !path.exists()).expect("numbers do not end")
    }

    /// Makes sure that nobody else has this store. One that was killed a moment ago may still be on its way out, behind
    /// a write to the disk; it is waited for.
    pub(crate) fn hold(&self) -> Result<Hold, OpenError> {
        let path = self.lock();
        let failed = |source| OpenError::Io { operation: "lock", path: path.clone(), source };
        let options = &mut OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let deadline = Instant::now() + DYING;
        while let Err(refused) = file.try_lock() {
            match refused {
                fs::TryLockError::WouldBlock if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                fs::TryLockError::WouldBlock => {
                    return Err(OpenError::Held { dir: self.dir.clone(), pid: holder(&mut file).map_err(failed)? });
                }
                fs::TryLockError::Error(source) => return Err(failed(source)),
            }
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(failed)?;
        Ok(Hold { _file: file })
    }
}

/// Who holds the lock. It may be just about to write its number.
fn holder(file: &mut File) -> io::Result<u32> {
    let deadline = Instant::now() + Duration::from_millis(500);
    loop {
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        match text.trim().parse() {
            Ok(pid) => return Ok(pid),
            Err(_) if Instant::now() > deadline => return Ok(0),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes every file below a directory durable, and the names too.
pub(crate) fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

/// Copies the files of a directory for which `wanted` holds (directories: always).
pub(crate) fn copy_tree(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to.join(&name), wanted)?;
        } else if wanted(&name.to_string_lossy()) {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

/// Removes a directory tree; one that is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
