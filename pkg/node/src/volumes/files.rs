//! Files of a volume on the disk, swapped all at once as kubelet's AtomicWriter does it, and to whom they belong.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    /// Its user; none: root.
    pub(crate) owner: Option<u32>,
}

impl File {
    /// Root's file; the API keeps `mode` within 0 to 0777.
    pub(crate) fn new(content: Vec<u8>, mode: i32) -> File {
        File { content, mode: mode as u32 & 0o777, owner: None }
    }
}

/// Files of a volume by their path below its folder.
pub(crate) type Files = BTreeMap<String, File>;

/// Writes `files` into `folder` so that a reader sees all of the old or all of the new: `..data` is a link that is
/// swapped. Does nothing where nothing changed. `group` gets the right to read (`fsGroup`).
pub(crate) fn write(folder: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let data = folder.join("..data");
    let same = |path: &String, file: &File| fs::read(data.join(path)).is_ok_and(|old| old == file.content);
    let unchanged =
        files.iter().all(|(path, file)| same(path, file)) && data.exists() && visible(folder)? == tops(files);
    if unchanged {
        return Ok(());
    }
    let version = format!("..{:016x}", fastrand::u64(..));
    let home = folder.join(&version);
    fs::create_dir(&home)?;
    for (path, file) in files {
        let target = inside(&home, path)?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.content)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
        if let Some(owner) = file.owner {
            chown(&target, Some(owner), None)?;
        }
    }
    if let Some(group) = group {
        give_to_group(&home, group, true)?;
    }
    let old = fs::read_link(&data).ok();
    let _ = fs::remove_file(folder.join("..data_tmp"));
    let next = folder.join("..data_tmp");
    symlink(&version, &next)?;
    fs::rename(&next, &data)?;
    let wanted = tops(files);
    for name in &wanted {
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link)?;
        }
    }
    for name in visible(folder)?.into_iter().filter(|name| !wanted.contains(name)) {
        fs::remove_file(folder.join(name))?;
    }
    match old {
        Some(old) => fs::remove_dir_all(folder.join(old)),
        None => Ok(()),
    }
}

/// The first parts of the files' paths.
fn tops(files: &Files) -> Vec<String> {
    let mut all: Vec<String> = files.keys().filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
    all.dedup();
    all
}

fn visible(folder: &Path) -> io::Result<Vec<String>> {
    let mut all: Vec<String> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with(".."))
        .collect();
    all.sort();
    Ok(all)
}

pub(super) fn inside(folder: &Path, path: &str) -> io::Result<PathBuf> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("path {path} leaves the volume")));
    }
    Ok(folder.join(path))
}

/// Gives a tree to `group`: readable, and writable unless `read_only`; what is made in its folders stays the group's
/// (volume_linux.go `changeFilePermission`).
pub(crate) fn give_to_group(path: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if found.is_symlink() {
        return Ok(());
    }
    let rights = match (read_only, found.is_dir()) {
        (true, false) => 0o440,
        (false, false) => 0o660,
        (true, true) => 0o2550,
        (false, true) => 0o2770,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(found.permissions().mode() & 0o7777 | rights))?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to_group(&entry?.path(), group, read_only)?;
        }
    }
    Ok(())
}
