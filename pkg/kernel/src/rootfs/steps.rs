//! From a [`RootFs`] to steps that need no memory, no lock and no decision in the child. Must not touch the kernel,
//! beyond looking at what sources are.

use std::{
    cell::Cell,
    collections::BTreeSet,
    ffi::{CString, OsStr},
    io,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::{Component, Path, PathBuf},
};

use super::{Base, Mount, RootFs};
use crate::error::{Error, Result};

const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;

/// A detached mount to make while the caller's tree is still visible; the child keeps its descriptor in `fd`.
#[derive(Debug)]
pub(crate) struct Grab {
    pub(crate) what: Source,
    pub(crate) attributes: u64,
    pub(crate) fd: Cell<i32>,
}

#[derive(Debug)]
pub(crate) enum Source {
    /// A part of the caller's tree.
    Tree { path: CString, recursive: bool },
    /// A new file system.
    Filesystem { kind: CString, options: Vec<(CString, CString)> },
}

/// What to do in the new root, in order.
#[derive(Debug)]
pub(crate) enum Place {
    /// Make a folder; one that exists is fine.
    Dir {
        path: CString,
        mode: u32,
    },
    /// Make a folder and give it exactly this mode.
    DirWithMode {
        path: CString,
        mode: u32,
    },
    /// Make or replace a file.
    File {
        path: CString,
        content: Vec<u8>,
        mode: u32,
    },
    /// Make an empty file to mount on; one that exists is fine.
    Touch {
        path: CString,
    },
    Symlink {
        path: CString,
        to: CString,
    },
    Device {
        path: CString,
        mode: u32,
        device: u64,
    },
    /// Attach the detached mount of this number.
    Attach {
        grab: usize,
        path: CString,
    },
    /// Make a part of the new root read-only; one that does not exist is fine.
    Protect {
        path: CString,
    },
}

impl Place {
    /// The path, for an error's text.
    pub(crate) fn path(&self) -> &CString {
        match self {
            Self::Dir { path, .. }
            | Self::DirWithMode { path, .. }
            | Self::File { path, .. }
            | Self::Touch { path }
            | Self::Symlink { path, .. }
            | Self::Device { path, .. }
            | Self::Attach { path, .. }
            | Self::Protect { path } => path,
        }
    }
}

/// Everything that the child needs to lay out its root.
#[derive(Debug)]
pub(crate) struct Steps {
    /// For an empty base: the tmpfs, and the folder of the caller's tree on which it is attached before the pivot.
    pub(crate) root: Option<(Grab, CString)>,
    pub(crate) grabs: Vec<Grab>,
    pub(crate) places: Vec<Place>,
    pub(crate) read_only: bool,
}

impl Steps {
    /// Prepares the steps; `nodes` tells whether device nodes can be made (not in a new user namespace).
    pub(crate) fn new(root: &RootFs, nodes: bool) -> Result<Self> {
        let base = match root.base {
            Base::Caller => None,
            Base::Empty { size } => Some((tmpfs(size, 0o755, 0), staging()?)),
        };
        let mut layout = Layout {
            ours: base.is_some().then(|| PathBuf::from("/")).into_iter().collect(),
            made: BTreeSet::new(),
            grabs: Vec::new(),
            places: Vec::new(),
        };
        for mount in &root.mounts {
            layout.lay(mount, nodes)?;
        }
        let read_only = root.read_only && base.is_some();
        Ok(Self { root: base, grabs: layout.grabs, places: layout.places, read_only })
    }
}

struct Layout {
    /// Trees that are this root's own, in which folders may be made.
    ours: Vec<PathBuf>,
    made: BTreeSet<PathBuf>,
    grabs: Vec<Grab>,
    places: Vec<Place>,
}

impl Layout {
    fn lay(&mut self, mount: &Mount, nodes: bool) -> Result<()> {
        match mount {
            Mount::Bind { source, target, read_only, recursive } => {
                let kind = std::fs::metadata(source).map_err(|e| Error::new("bind", source.display(), e))?.file_type();
                let tree = Source::Tree { path: c_path(source)?, recursive: *recursive };
                let attributes = if *read_only { RDONLY } else { 0 };
                if kind.is_dir() {
                    self.mount_folder(tree, attributes, target)?;
                } else {
                    debug_assert!(kind.is_file() || kind.is_char_device() || kind.is_socket() || kind.is_fifo());
                    self.parents(target)?;
                    if self.is_ours(target) {
                        self.places.push(Place::Touch { path: c_path(target)? });
                    }
                    self.attach(Grab { what: tree, attributes, fd: Cell::new(-1) }, target)?;
                }
            }
            Mount::Tmpfs { target, size, mode } => {
                self.mount_grab(tmpfs(*size, *mode, NOSUID | NODEV), target)?;
                self.ours.push(target.clone());
            }
            Mount::Proc { target, restricted } => {
                self.mount_folder(filesystem("proc", &[]), NOSUID | NODEV | NOEXEC, target)?;
                if *restricted {
                    for part in ["sys", "sysrq-trigger", "irq", "bus", "fs"] {
                        self.places.push(Place::Protect { path: c_path(&target.join(part))? });
                    }
                }
            }
            Mount::Sysfs { target, read_only } => {
                let attributes = NOSUID | NODEV | NOEXEC | if *read_only { RDONLY } else { 0 };
                self.mount_folder(filesystem("sysfs", &[]), attributes, target)?;
            }
            Mount::DevMinimal { target } => self.devices(target, nodes)?,
            Mount::File { target, content, mode } => {
                self.own(target)?;
                self.parents(target)?;
                self.places.push(Place::File { path: c_path(target)?, content: content.clone(), mode: *mode });
            }
            Mount::Dir { target, mode } => {
                self.own(target)?;
                self.parents(target)?;
                self.made.insert(target.clone());
                self.places.push(Place::DirWithMode { path: c_path(target)?, mode: *mode });
            }
            Mount::Symlink { target, to } => {
                self.own(target)?;
                self.parents(target)?;
                self.places.push(Place::Symlink { path: c_path(target)?, to: c_path(to)? });
            }
        }
        Ok(())
    }

    fn devices(&mut self, target: &Path, nodes: bool) -> Result<()> {
        self.mount_grab(tmpfs(Some(64 * 1024), 0o755, NOSUID | NOEXEC), target)?;
        self.ours.push(target.to_owned());
        for (name, major, minor) in
            [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
        {
            if nodes {
                let device = libc::makedev(major, minor);
                self.places.push(Place::Device { path: c_path(&target.join(name))?, mode: 0o666, device });
            } else {
                let (source, target) = (Path::new("/dev").join(name), target.join(name));
                self.lay(&Mount::Bind { source, target, read_only: false, recursive: false }, nodes)?;
            }
        }
        let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
        self.mount_folder(filesystem("devpts", &options), NOSUID | NOEXEC, &target.join("pts"))?;
        self.places.push(Place::DirWithMode { path: c_path(&target.join("shm"))?, mode: 0o1777 });
        for (name, to) in [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            self.places.push(Place::Symlink { path: c_path(&target.join(name))?, to: c_path(Path::new(to))? });
        }
        Ok(())
    }

    fn mount_folder(&mut self, what: Source, attributes: u64, target: &Path) -> Result<()> {
        self.mount_grab(Grab { what, attributes, fd: Cell::new(-1) }, target)
    }

    fn mount_grab(&mut self, grab: Grab, target: &Path) -> Result<()> {
        self.folder(target)?;
        self.attach(grab, target)
    }

    fn attach(&mut self, grab: Grab, target: &Path) -> Result<()> {
        self.places.push(Place::Attach { grab: self.grabs.len(), path: c_path(target)? });
        self.grabs.push(grab);
        Ok(())
    }

    fn parents(&mut self, target: &Path) -> Result<()> {
        target.parent().map_or(Ok(()), |parent| self.folder(parent))
    }

    /// Makes a folder and those above it, once each, where the tree is ours.
    fn folder(&mut self, path: &Path) -> Result<()> {
        checked(path)?;
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| folder.parent().is_some() && self.is_ours(folder))
            .filter(|folder| !self.made.contains(*folder))
            .map(Path::to_owned)
            .collect();
        for folder in missing.into_iter().rev() {
            self.places.push(Place::Dir { path: c_path(&folder)?, mode: 0o755 });
            self.made.insert(folder);
        }
        Ok(())
    }

    fn is_ours(&self, path: &Path) -> bool {
        self.ours.iter().any(|tree| path.starts_with(tree) && path != tree)
    }

    fn own(&self, target: &Path) -> Result<()> {
        checked(target)?;
        if self.is_ours(target) {
            return Ok(());
        }
        let reason = io::Error::new(io::ErrorKind::InvalidInput, "would write to the caller's own tree");
        Err(Error::new("lay out", target.display(), reason))
    }
}

fn checked(path: &Path) -> Result<()> {
    let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    if plain {
        return Ok(());
    }
    let reason = io::Error::new(io::ErrorKind::InvalidInput, "must be absolute and without '..'");
    Err(Error::new("lay out", path.display(), reason))
}

fn tmpfs(size: Option<u64>, mode: u32, attributes: u64) -> Grab {
    let mut options = vec![("mode", format!("{mode:o}"))];
    options.extend(size.map(|size| ("size", size.to_string())));
    let options: Vec<(&str, &str)> = options.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Grab { what: filesystem("tmpfs", &options), attributes, fd: Cell::new(-1) }
}

fn filesystem(kind: &str, options: &[(&str, &str)]) -> Source {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    Source::Filesystem {
        kind: text(kind),
        options: options.iter().map(|(key, value)| (text(key), text(value))).collect(),
    }
}

/// A folder that every Linux has, to hold the new root for the moment before it becomes the root.
fn staging() -> Result<CString> {
    for folder in ["/tmp", "/run", "/var", "/usr", "/proc"] {
        if std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
            return c_path(Path::new(folder));
        }
    }
    Err(Error::new(
        "lay out",
        "a root",
        io::Error::new(io::ErrorKind::NotFound, "none of /tmp, /run, /var, /usr, /proc"),
    ))
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    c_text(path.as_os_str())
}

pub(crate) fn c_text(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|error| Error::new("pass", text.display(), io::Error::from(error)))
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tree { path: name, .. } | Self::Filesystem { kind: name, .. } => f.write_str(&name.to_string_lossy()),
        }
    }
}
