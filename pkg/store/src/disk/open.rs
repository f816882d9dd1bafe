//! Opening a store directory: the ladder from "all is well" over "sled's snapshot is damaged" to "restore or refuse".
//! Never serves less than was acknowledged, and never throws away what it could not read.

use std::fs;
use std::io;
use std::path::Path;

use super::Disk;
use super::codec::FORMAT;
use super::database::{self, Content, Loaded, Unusable};
use super::export::{self, Export};
use super::files::{self, Layout, copy_tree, remove_tree, sync_dir, sync_tree};
use super::recorded::Recorded;
use crate::memory::Memory;
use crate::store::{OpenError, Options};

/// What a database turned out to be.
enum Found {
    Whole(Loaded),
    /// Reads well, but lacks acknowledged writes.
    Behind(Loaded),
    Damaged(String),
}

impl Disk {
    /// Opens or makes the store in `dir` and reads it into memory.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<(Disk, Memory), OpenError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent).map_err(io_error("sync", parent))?;
        }
        let layout = Layout::new(dir);
        let hold = layout.hold()?;
        settle(&layout).map_err(io_error("settle", dir))?;
        let path = layout.recorded();
        let mut recorded = Recorded::open(&path).map_err(io_error("open", &path))?;
        let floor = recorded.revision().max(export::newest_revision(&layout));
        if floor == 0 && !layout.database().exists() {
            install(&layout, &Content { objects: &[], log: &[], oldest: 1, revision: 1 })?;
        }
        let loaded = match find(&layout, floor)? {
            Found::Whole(loaded) => loaded,
            found => restore(&layout, found, floor, options)?,
        };
        remove_tree(&layout.replaced()).map_err(io_error("remove", &layout.replaced()))?;
        let Loaded { database, objects, log } = loaded;
        recorded.write(database.revision()).map_err(io_error("write", &path))?;
        let memory = Memory::new(objects, log, database.oldest(), database.revision());
        Ok((Disk { database: Some(database), recorded, layout, _hold: hold }, memory))
    }
}

/// Finishes or forgets a swap that was cut short: `db.new` counts only when `db` was already moved away for it.
fn settle(layout: &Layout) -> io::Result<()> {
    remove_tree(&layout.trial())?;
    if layout.next().exists() {
        if layout.database().exists() {
            remove_tree(&layout.next())?;
        } else {
            fs::rename(layout.next(), layout.database())?;
        }
    }
    sync_dir(layout.dir())
}

/// Reads the database; where that fails, tries a copy without sled's snapshots, which it can do without.
fn find(layout: &Layout, floor: u64) -> Result<Found, OpenError> {
    let path = layout.database();
    if !path.exists() {
        return Ok(Found::Damaged("the database is missing".into()));
    }
    let first = read(layout, &path, floor)?;
    if matches!(first, Found::Whole(_)) || !database::has_snapshots(&path) {
        return Ok(first);
    }
    if let Found::Damaged(cause) = &first {
        tracing::warn!(cause, "trying the database without its snapshots");
    }
    // On a copy: a panic inside sled may have left the file locked, and the original stays as it is.
    let trial = layout.trial();
    copy_tree(&path, &trial, &|name| !database::is_snapshot(name)).map_err(io_error("copy", &path))?;
    let second = read(layout, &trial, floor)?;
    let whole = matches!(second, Found::Whole(_));
    drop(second);
    if !whole {
        remove_tree(&trial).map_err(io_error("remove", &trial))?;
        return Ok(first);
    }
    drop(first);
    sync_tree(&trial).map_err(io_error("sync", &trial))?;
    fs::rename(&trial, layout.next()).map_err(io_error("rename", &trial))?;
    swap(layout)?;
    read(layout, &path, floor)
}

fn read(layout: &Layout, path: &Path, floor: u64) -> Result<Found, OpenError> {
    match Loaded::open(path) {
        Ok(loaded) if loaded.database.revision() >= floor => Ok(Found::Whole(loaded)),
        Ok(loaded) => Ok(Found::Behind(loaded)),
        Err(Unusable::Damaged(cause)) => Ok(Found::Damaged(cause)),
        Err(Unusable::Version(found)) => Err(OpenError::Version { dir: layout.dir().into(), found, known: FORMAT }),
    }
}

/// Goes on with the export, or with what can be read where the loss is accepted; refuses otherwise.
fn restore(layout: &Layout, found: Found, floor: u64, options: &Options) -> Result<Loaded, OpenError> {
    let export = export::best(layout);
    let readable = match &found {
        Found::Behind(loaded) => loaded.database.revision(),
        _ => 0,
    };
    let exported = export.as_ref().map_or(0, |export| export.revision);
    let lossless = exported >= floor && exported > 0;
    if !lossless && (!options.restore_lossy || readable.max(exported) == 0) {
        return Err(refusal(layout, found, floor, export.as_ref()));
    }
    // A lossy restore takes a revision that nobody has seen: what was lost must not be taken for what comes now.
    let revision = if lossless { exported } else { floor + 1 };
    let objects = match (export, found) {
        (Some(export), found) if exported >= readable => {
            drop(found);
            tracing::warn!(path = %export.path.display(), revision, lossless, "restoring the store from its export");
            export.objects
        }
        (_, Found::Behind(loaded)) => {
            tracing::warn!(from = readable, revision, "going on with what the store still has");
            loaded.objects
        }
        (_, found) => return Err(refusal(layout, found, floor, None)),
    };
    install(layout, &Content { objects: &objects, log: &[], oldest: revision, revision })?;
    match read(layout, &layout.database(), revision)? {
        Found::Whole(loaded) => Ok(loaded),
        found => Err(refusal(layout, found, revision, None)),
    }
}

fn refusal(layout: &Layout, found: Found, floor: u64, export: Option<&Export>) -> OpenError {
    let next = match export {
        Some(Export { path, revision, .. }) => format!(
            "{} holds revision {revision}: bring back a copy of the directory, or accept the loss of what came after with `minisvc up --restore-export`",
            path.display()
        ),
        None => "there is no export to restore from: bring back a copy of the directory, or move it away to begin anew"
            .into(),
    };
    let dir = layout.dir().into();
    match found {
        Found::Damaged(cause) => OpenError::Damaged { dir, cause, next },
        Found::Whole(loaded) | Found::Behind(loaded) => {
            OpenError::BelowRecorded { dir, found: loaded.database.revision(), recorded: floor, next }
        }
    }
}

/// Builds a database beside and puts it in place; what was there is kept as damaged.
fn install(layout: &Layout, content: &Content<'_>) -> Result<(), OpenError> {
    let next = layout.next();
    remove_tree(&next).map_err(io_error("remove", &next))?;
    database::build(&next, content).map_err(|cause| OpenError::Io {
        operation: "build",
        path: next,
        source: io::Error::other(cause),
    })?;
    swap(layout)
}

/// `db.new` becomes `db`; a `db` that was there is moved aside first (see [`settle`] for a crash in between).
fn swap(layout: &Layout) -> Result<(), OpenError> {
    let (current, next) = (layout.database(), layout.next());
    if current.exists() {
        let aside = layout.damaged();
        tracing::warn!(path = %aside.display(), "keeping the damaged database");
        fs::rename(&current, &aside).map_err(io_error("rename", &current))?;
    }
    fs::rename(&next, &current).map_err(io_error("rename", &next))?;
    files::sync_dir(layout.dir()).map_err(io_error("sync", layout.dir()))
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { operation, path, source }
}
