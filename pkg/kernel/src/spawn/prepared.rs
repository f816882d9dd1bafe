//! The parent's half of a spawn: every word as a C string, every pointer set, then one clone(2). Must leave nothing
//! for the child to compute.

use std::{
    cell::Cell,
    ffi::{CString, OsStr},
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    path::Path,
    ptr,
};

use super::{Program, Spawn, Stdio, inside};
use crate::{
    capability,
    child::{Child, MAKING},
    error::{Error, Result, last},
    namespace::{NamespaceKind, namespace_type},
    rootfs::{Steps, c_path, c_text},
    seccomp,
};

/// Where the child stopped, written by the child into the memory that it shares.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) stage: Cell<Option<Stage>>,
    pub(super) errno: Cell<i32>,
}

/// The steps that can fail, with the number of the thing in its list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Cgroup(usize),
    Join,
    UserMap,
    Loopback,
    Session,
    Stdio,
    Pass,
    Terminal,
    Hostname,
    Private,
    Grab(usize),
    Pivot,
    Place(usize),
    ReadOnly,
    Chroot,
    Cwd,
    NoNewPrivileges,
    Seccomp,
    Bounding,
    User,
    Capabilities,
    DeathSignal,
    Execute,
}

/// What becomes descriptor 0, 1 or 2: this one, or nothing changed.
pub(super) type Source = Option<i32>;

#[derive(Debug)]
pub(super) struct Prepared {
    flags: i32,
    pub(super) cgroups: Vec<CString>,
    pub(super) joins: Vec<i32>,
    pub(super) user_map: Option<[(CString, CString); 3]>,
    pub(super) new_net: bool,
    pub(super) session: bool,
    pub(super) terminal: bool,
    pub(super) disown_children: bool,
    pub(super) stdio: [Source; 3],
    pub(super) pass: Vec<(Cell<i32>, i32)>,
    pub(super) hostname: Option<CString>,
    pub(super) private: bool,
    pub(super) root: Option<Steps>,
    pub(super) chroot: Option<i32>,
    pub(super) cwd: Option<CString>,
    pub(super) no_new_privileges: bool,
    pub(super) filters: Vec<libc::sock_fprog>,
    pub(super) bounding_drop: Vec<u8>,
    pub(super) capabilities: Option<u64>,
    pub(super) user: Option<(u32, u32)>,
    pub(super) groups: Vec<u32>,
    pub(super) death_signal: Option<i32>,
    /// Paths to try in turn; empty when `myself` is set.
    pub(super) programs: Vec<CString>,
    pub(super) myself: Option<OwnedFd>,
    pub(super) argv: Vec<*const libc::c_char>,
    pub(super) envp: Vec<*const libc::c_char>,
    pub(super) failure: Failure,
    name: String,
    _words: Vec<CString>,
    _null: Option<OwnedFd>,
}

// SAFETY: the pointers lead to heap memory that `_words` and the compiled filters own and nobody changes; the cells
// are used by one side at a time, since the parent sleeps while the child runs.
unsafe impl Send for Prepared {}
// SAFETY: as above; a `&Prepared` is only handed to the one thread that launches it.
unsafe impl Sync for Prepared {}

impl Prepared {
    pub(super) fn new(spawn: &Spawn) -> Result<Self> {
        let mount = spawn.new.mount || spawn.root.is_some();
        let flags = [
            (spawn.new.net, NamespaceKind::Net),
            (spawn.new.pid, NamespaceKind::Pid),
            (mount, NamespaceKind::Mount),
            (spawn.new.uts, NamespaceKind::Uts),
            (spawn.new.ipc, NamespaceKind::Ipc),
            (spawn.new.user, NamespaceKind::User),
        ];
        let flags = flags.iter().filter(|(new, _)| *new).fold(0, |all, (_, kind)| all | kind.flag().bits());
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        let null: OwnedFd = null.map_err(|error| Error::new("open", "/dev/null", error))?.into();
        let source = |stdio: &Stdio| match stdio {
            Stdio::Null => Some(null.as_raw_fd()),
            Stdio::Inherit => None,
            Stdio::Fd(fd) => Some(fd.as_raw_fd()),
        };
        let stdio = [source(&spawn.stdin), source(&spawn.stdout), source(&spawn.stderr)];
        let (programs, myself) = programs(spawn)?;
        let mut words = Vec::new();
        let argv = pointers(spawn.args.iter().map(|arg| c_text(arg)), &mut words)?;
        let env = spawn.env.iter().map(|(name, value)| c_text(OsStr::new(&format!("{name}={value}"))));
        let envp = pointers(env, &mut words)?;
        let kept = spawn.capabilities.as_deref().map(capability::bits);
        Ok(Self {
            flags,
            cgroups: spawn.cgroups.iter().map(|door| c_path(door)).collect::<Result<_>>()?,
            joins: joins(spawn)?,
            user_map: spawn.new.user.then(user_map).transpose()?,
            new_net: spawn.new.net,
            session: spawn.new_session || spawn.controlling_terminal,
            terminal: spawn.controlling_terminal,
            disown_children: spawn.disown_children,
            stdio,
            pass: spawn.pass_fds.iter().map(|(fd, number)| (Cell::new(fd.as_raw_fd()), *number)).collect(),
            hostname: spawn.hostname.as_ref().map(|name| c_text(OsStr::new(name))).transpose()?,
            private: mount,
            root: spawn.root.as_ref().map(|root| Steps::new(root, !spawn.new.user)).transpose()?,
            chroot: spawn.chroot.as_ref().map(AsRawFd::as_raw_fd),
            cwd: spawn.cwd.as_deref().map(c_path).transpose()?,
            no_new_privileges: spawn.no_new_privileges,
            filters: if spawn.seccomp { filters()? } else { Vec::new() },
            bounding_drop: kept.map_or_else(Vec::new, |kept| {
                let every = capability::every_capability();
                every.iter().filter(|one| kept & one.bitmask() == 0).map(capability::Capability::index).collect()
            }),
            capabilities: kept,
            user: spawn.user,
            groups: spawn.groups.clone(),
            death_signal: spawn.death_signal,
            programs,
            myself,
            argv,
            envp,
            failure: Failure::default(),
            name: name(spawn),
            _words: words,
            _null: Some(null),
        })
    }

    /// Makes the child and waits until it executes its program or reports why not.
    pub(super) fn launch(&self) -> Result<Child> {
        const STACK: usize = 128 * 1024;
        let mut stack: Vec<u128> = Vec::with_capacity(STACK / 16);
        let mut pidfd: libc::c_int = -1;
        let flags = self.flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let making = MAKING.read();
        // SAFETY: the child runs `inside::main` on a stack of its own while this thread sleeps (CLONE_VFORK), so
        // stack, `self` and `pidfd` outlive its use of them; all signals are blocked, so no handler of ours runs in
        // it; it makes system calls only. `set` and `old` are plain data that sigprocmask reads and writes.
        let pid = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut old: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
            let top = stack.as_mut_ptr().add(STACK / 16);
            let pid = libc::clone(
                inside::main,
                top.cast(),
                flags,
                ptr::from_ref(self).cast_mut().cast(),
                &mut pidfd as *mut libc::c_int,
            );
            let error = *libc::__errno_location();
            libc::pthread_sigmask(libc::SIG_SETMASK, &old, ptr::null_mut());
            *libc::__errno_location() = error;
            pid
        };
        if pid < 0 {
            return Err(last("make process for", self.name()));
        }
        // SAFETY: the kernel stored a new descriptor there for us alone.
        let child = Child::enter(pid, unsafe { OwnedFd::from_raw_fd(pidfd) });
        drop(making);
        match self.failure.stage.get() {
            None => Ok(child),
            Some(stage) => {
                child.wait_blocking()?;
                let (operation, target) = self.describe(stage);
                Err(Error::from_errno(operation, target, self.failure.errno.get()))
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self, stage: Stage) -> (&'static str, String) {
        let of = |thing: &str| format!("{thing} of {}", self.name());
        match stage {
            Stage::Cgroup(number) => ("enter", lossy(self.cgroups.get(number))),
            Stage::Join => ("enter", of("namespace")),
            Stage::UserMap => ("map", of("users")),
            Stage::Loopback => ("bring up", of("loopback")),
            Stage::Session => ("make", of("session")),
            Stage::Stdio => ("set", of("standard descriptors")),
            Stage::Pass => ("pass", of("descriptors")),
            Stage::Terminal => ("set", of("controlling terminal")),
            Stage::Hostname => ("set", of("host name")),
            Stage::Private => ("make private", of("mounts")),
            Stage::Grab(number) => ("mount", self.grab_name(number)),
            Stage::Pivot => ("change", of("root")),
            Stage::Place(number) => ("lay out", self.place_name(number)),
            Stage::ReadOnly => ("make read-only", of("root")),
            Stage::Chroot => ("change", of("root")),
            Stage::Cwd => ("change folder to", lossy(self.cwd.as_ref())),
            Stage::NoNewPrivileges => ("forbid new privileges", of("process")),
            Stage::Seccomp => ("filter", of("system calls")),
            Stage::Bounding | Stage::Capabilities => ("drop", of("capabilities")),
            Stage::User => ("set", of("user")),
            Stage::DeathSignal => ("set", of("death signal")),
            Stage::Execute => ("execute", self.name.clone()),
        }
    }

    fn grab_name(&self, number: usize) -> String {
        let grab = self.root.as_ref().and_then(|root| root.grabs.get(number));
        grab.map_or_else(String::new, |grab| grab.what.to_string())
    }

    fn place_name(&self, number: usize) -> String {
        let place = self.root.as_ref().and_then(|root| root.places.get(number));
        lossy(place.map(crate::rootfs::Place::path))
    }
}

fn name(spawn: &Spawn) -> String {
    match &spawn.program {
        Program::Path(path) => path.display().to_string(),
        Program::Myself => "/proc/self/exe".into(),
    }
}

fn lossy(text: Option<&CString>) -> String {
    text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The namespaces to enter in the child, user first and mount last; a pid namespace is entered by the parent's thread.
fn joins(spawn: &Spawn) -> Result<Vec<i32>> {
    let mut joins = Vec::new();
    for fd in spawn.join.iter().map(AsFd::as_fd).chain(spawn.join_net.as_ref().map(|ns| ns.fd())) {
        let kind = namespace_type(fd).map_err(|error| Error::new("join", "namespace", error))?;
        let order = match kind {
            libc::CLONE_NEWPID => continue,
            libc::CLONE_NEWUSER => 0,
            libc::CLONE_NEWNS => 2,
            _ => 1,
        };
        joins.push((order, fd.as_raw_fd()));
    }
    joins.sort_by_key(|(order, _)| *order);
    Ok(joins.into_iter().map(|(_, fd)| fd).collect())
}

/// The caller's user and group as root of the new user namespace (user_namespaces(7)).
fn user_map() -> Result<[(CString, CString); 3]> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let file = |path: &str, text: String| Ok((c_path(Path::new(path))?, c_text(OsStr::new(&text))?));
    Ok([
        file("/proc/self/setgroups", "deny".into())?,
        file("/proc/self/uid_map", format!("0 {uid} 1"))?,
        file("/proc/self/gid_map", format!("0 {gid} 1"))?,
    ])
}

fn programs(spawn: &Spawn) -> Result<(Vec<CString>, Option<OwnedFd>)> {
    const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    match &spawn.program {
        Program::Myself => {
            let file = std::fs::File::open("/proc/self/exe").map_err(|e| Error::new("open", "/proc/self/exe", e))?;
            Ok((Vec::new(), Some(file.into())))
        }
        Program::Path(path) if path.as_os_str().as_encoded_bytes().contains(&b'/') => Ok((vec![c_path(path)?], None)),
        Program::Path(name) => {
            let path = spawn.env.iter().rfind(|(key, _)| key == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
            let mut all = Vec::new();
            for folder in path.split(':') {
                all.push(c_path(&Path::new(if folder.is_empty() { "." } else { folder }).join(name))?);
            }
            Ok((all, None))
        }
    }
}

fn pointers(
    texts: impl Iterator<Item = Result<CString>>,
    words: &mut Vec<CString>,
) -> Result<Vec<*const libc::c_char>> {
    let mut pointers = Vec::new();
    for text in texts {
        let text = text?;
        pointers.push(text.as_ptr());
        words.push(text);
    }
    pointers.push(ptr::null());
    Ok(pointers)
}

fn filters() -> Result<Vec<libc::sock_fprog>> {
    Ok(seccomp::filters()?
        .iter()
        .map(|program| libc::sock_fprog {
            len: program.len() as u16,
            // The kernel only reads it; both structures are `struct sock_filter` of linux/filter.h.
            filter: program.as_ptr().cast_mut().cast(),
        })
        .collect())
}
