//! Namespaces as descriptors with an identity. Must not move a thread that anyone else runs on: whoever enters a
//! network namespace does so on a short thread of its own.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Error, Result};

/// The ioctl that asks a socket for the namespace it lives in (linux/sockios.h).
const SIOCGSKNS: libc::c_ulong = 0x894c;

/// The kinds of namespace that a process can have of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamespaceKind {
    /// Links, addresses, routes, sockets, firewall.
    Net,
    /// The tree of mounts, and with it the root directory.
    Mount,
    /// Process numbers.
    Pid,
    /// Host name and domain name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// User and group numbers, and what privileges mean.
    User,
}

impl NamespaceKind {
    /// All kinds, in the order in which they are safely joined: user first, mount last.
    pub const ALL: [Self; 6] = [Self::User, Self::Ipc, Self::Uts, Self::Net, Self::Pid, Self::Mount];

    /// The file's name under `/proc/PID/ns`.
    pub fn file(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Mount => "mnt",
            Self::Pid => "pid",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
        }
    }

    pub(crate) fn flag(self) -> CloneFlags {
        match self {
            Self::Net => CloneFlags::CLONE_NEWNET,
            Self::Mount => CloneFlags::CLONE_NEWNS,
            Self::Pid => CloneFlags::CLONE_NEWPID,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::User => CloneFlags::CLONE_NEWUSER,
        }
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file())
    }
}

/// Opens the namespace of `kind` that process `pid` lives in; the descriptor keeps the namespace alive.
///
/// # Errors
/// `NotFound` when there is no such process, `PermissionDenied` without the privilege to look.
pub fn open_namespace(pid: i32, kind: NamespaceKind) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{}", kind.file());
    let file = std::fs::File::open(&path).map_err(|error| Error::new("open namespace", &path, error))?;
    Ok(file.into())
}

/// Makes an ipc namespace (System V IPC, message queues) with these of its settings (`kernel.shm_rmid_forced`,
/// `kernel.msgmax`, `fs.mqueue.…`). The descriptor keeps it alive.
///
/// # Errors
/// `PermissionDenied` without CAP_SYS_ADMIN; `InvalidInput` for a setting that belongs to no ipc namespace or is
/// refused by the kernel, `NotFound` for one that it does not have.
pub fn new_ipc_namespace(settings: &[(&str, &str)]) -> Result<OwnedFd> {
    on_short_thread(|| {
        unshare(CloneFlags::CLONE_NEWIPC).map_err(|errno| Error::new("create", "ipc namespace", errno))?;
        for (key, value) in settings {
            let path = crate::sysctl::ipc_path(key)?;
            std::fs::write(&path, value).map_err(|error| Error::new("set", format!("{key} to {value}"), error))?;
        }
        let path = "/proc/thread-self/ns/ipc";
        let file = std::fs::File::open(path).map_err(|error| Error::new("open namespace", path, error))?;
        Ok(file.into())
    })?
}

/// A network namespace: a descriptor that keeps it alive. Clones share the descriptor.
#[derive(Clone, Debug)]
pub struct Netns(Arc<OwnedFd>);

impl Netns {
    /// Makes a new network namespace with its loopback up.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_SYS_ADMIN; `OutOfMemory` or ENOSPC at the kernel's limits.
    pub fn create() -> Result<Self> {
        on_short_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Error::new("create", "network namespace", errno))?;
            let ns = Self::of_this_thread()?;
            loopback_up()?;
            Ok(ns)
        })?
    }

    /// The namespace of the calling process.
    ///
    /// # Errors
    /// When the kernel does not show it.
    pub fn current() -> Result<Self> {
        Self::of_this_thread()
    }

    /// The namespace that process `pid` lives in.
    ///
    /// # Errors
    /// `NotFound` when there is no such process.
    pub fn of_process(pid: i32) -> Result<Self> {
        Ok(Self(Arc::new(open_namespace(pid, NamespaceKind::Net)?)))
    }

    /// The namespace behind a file such as `/proc/PID/ns/net` or `/proc/PID/fd/N`.
    ///
    /// # Errors
    /// When the file cannot be opened or is no network namespace.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let wrap = |cause: io::Error| Error::new("open network namespace", path.display(), cause);
        let file = std::fs::File::open(path).map_err(wrap)?;
        if namespace_type(file.as_fd()).map_err(wrap)? != libc::CLONE_NEWNET {
            return Err(wrap(io::Error::from(io::ErrorKind::InvalidInput)));
        }
        Ok(Self(Arc::new(file.into())))
    }

    /// What tells this namespace from every other: device and inode of the namespace file.
    ///
    /// # Errors
    /// When the descriptor cannot be examined.
    pub fn identity(&self) -> Result<(u64, u64)> {
        let stat = nix::sys::stat::fstat(&*self.0).map_err(|errno| Error::new("identify", "namespace", errno))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Runs `f` inside the namespace, on a thread made for it that ends with it. Sockets opened there stay in the
    /// namespace wherever they are used later.
    ///
    /// # Errors
    /// When the namespace cannot be entered. A panic of `f` goes on in the caller.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        on_short_thread(|| {
            setns(self.fd(), CloneFlags::CLONE_NEWNET)
                .map_err(|errno| Error::new("enter", "network namespace", errno))?;
            Ok(f())
        })?
    }

    /// The descriptor, to hand to other calls.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Asks a socket for its namespace, which needs no `/proc` of the right pid namespace; falls back to `/proc`
    /// where privilege is missing.
    fn of_this_thread() -> Result<Self> {
        if let Ok(socket) = datagram_socket() {
            // SAFETY: the ioctl takes no argument and returns a new descriptor or -1.
            let fd = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS as _) };
            if fd >= 0 {
                // SAFETY: the kernel just made this descriptor for us alone.
                return Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })));
            }
        }
        Self::open("/proc/thread-self/ns/net")
    }
}

impl PartialEq for Netns {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.identity(), other.identity()), (Ok(one), Ok(two)) if one == two)
    }
}

/// Runs `f` on a scoped thread; a panic of `f` continues here.
pub(crate) fn on_short_thread<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("namespace".into())
            .stack_size(256 * 1024)
            .spawn_scoped(scope, f)
            .map_err(|error| Error::new("start", "namespace thread", error))?;
        thread.join().map_err(|panic| std::panic::resume_unwind(panic))
    })
}

/// The CLONE_NEW* number of a namespace descriptor.
pub(crate) fn namespace_type(fd: BorrowedFd<'_>) -> io::Result<i32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the ioctl takes no argument and returns a number or -1.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) };
    if kind < 0 { Err(io::Error::last_os_error()) } else { Ok(kind) }
}

fn datagram_socket() -> io::Result<OwnedFd> {
    // SAFETY: plain socket(2); the descriptor is checked and owned at once.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

fn loopback_up() -> Result<()> {
    raise_loopback().map_err(|errno| Error::from_errno("bring up", "lo", errno))
}

/// Sets the loopback of the calling thread's namespace up; system calls only, so that a child may use it before it
/// executes its program.
pub(crate) fn raise_loopback() -> std::result::Result<(), i32> {
    // SAFETY: plain socket(2), two ioctls and close(2). `ifreq` is plain data for which all zeroes is valid; the name
    // fits with its ending zero, and the ioctls read and write only this structure.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(*libc::__errno_location());
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        let mut done = libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &mut request);
        if done == 0 {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
            done = libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &request);
        }
        let errno = *libc::__errno_location();
        libc::close(fd);
        if done < 0 { Err(errno) } else { Ok(()) }
    }
}
