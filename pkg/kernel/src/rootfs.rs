//! A private root directory as plain data: what a process shall see, and the steps that lay it out. Must not act
//! itself: the steps are prepared here, in the parent, and taken in the child (`spawn/inside.rs`).

mod steps;

use std::path::PathBuf;

pub(crate) use steps::{Grab, Place, Source, Steps, c_path, c_text};

/// What the mounts are laid over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// An empty tmpfs that becomes the root (pivot_root); nothing of the caller's tree stays reachable.
    Empty {
        /// Its size limit in bytes; without one the kernel's default, half of the memory.
        size: Option<u64>,
    },
    /// The caller's own tree, in a mount namespace of its own.
    Caller,
}

/// The root directory of a new process.
#[derive(Clone, Debug)]
pub struct RootFs {
    /// What the mounts are laid over.
    pub base: Base,
    /// What is laid out, in this order. Missing folders on the way are made, except in the caller's tree.
    pub mounts: Vec<Mount>,
    /// Whether an empty base is read-only in the end (mounts keep their own setting).
    pub read_only: bool,
}

impl RootFs {
    /// An empty root with these mounts.
    pub fn empty(mounts: Vec<Mount>) -> Self {
        Self { base: Base::Empty { size: None }, mounts, read_only: false }
    }

    /// The caller's tree with these mounts over it, for instance a `/proc` for a new pid namespace.
    pub fn of_caller(mounts: Vec<Mount>) -> Self {
        Self { base: Base::Caller, mounts, read_only: false }
    }
}

/// One thing laid out in a root. Targets are absolute paths in the new root, sources absolute paths of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// A file or folder of the caller.
    Bind {
        /// The caller's file or folder.
        source: PathBuf,
        /// Where it appears.
        target: PathBuf,
        /// Whether it, and all below when recursive, is read-only.
        read_only: bool,
        /// Whether what is mounted below the source comes along.
        recursive: bool,
    },
    /// An empty folder in memory.
    Tmpfs {
        /// Where it appears.
        target: PathBuf,
        /// Its size limit in bytes.
        size: Option<u64>,
        /// Its mode, for instance 0o1777.
        mode: u32,
    },
    /// The processes of the new pid namespace.
    Proc {
        /// Where it appears.
        target: PathBuf,
        /// Whether the parts that steer the whole machine (`sys`, `sysrq-trigger`, `irq`, `bus`, `fs`) are read-only.
        restricted: bool,
    },
    /// The kernel's devices, with the links of the process' network namespace.
    Sysfs {
        /// Where it appears.
        target: PathBuf,
        /// Whether it is read-only.
        read_only: bool,
    },
    /// A `/dev` with null, zero, full, random, urandom, tty, pts, ptmx, shm and the links to the own descriptors.
    DevMinimal {
        /// Where it appears, usually `/dev`.
        target: PathBuf,
    },
    /// A file with this content.
    File {
        /// Where it appears.
        target: PathBuf,
        /// Its content.
        content: Vec<u8>,
        /// Its mode.
        mode: u32,
    },
    /// A folder.
    Dir {
        /// Where it appears.
        target: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where it appears.
        target: PathBuf,
        /// What it points to.
        to: PathBuf,
    },
}
