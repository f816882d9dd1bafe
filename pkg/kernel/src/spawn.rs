//! Starting processes in namespaces of their own, with a private root, few privileges and an exact environment.
//!
//! The child shares the caller's memory until it executes (as posix_spawn does), so a large, threaded caller pays
//! nothing for its size; in exchange the child may do nothing but system calls, and everything that it needs is laid
//! ready here, in the parent. Must not allocate, lock or panic in `inside.rs`.

mod inside;
mod keeper;
mod prepared;

use std::{
    ffi::OsString,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use nix::sched::{CloneFlags, setns};

use crate::{
    capability::Capability,
    child::Child,
    error::{Error, Result},
    namespace::{Netns, namespace_type, on_short_thread},
    rootfs::RootFs,
};
use prepared::Prepared;

/// What to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A path in the new root; a name without a slash is looked for along PATH of the new environment, or along
    /// `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin` without one.
    Path(PathBuf),
    /// The running program itself, wherever the new root is.
    Myself,
}

/// One of the three standard descriptors.
#[derive(Debug, Default)]
pub enum Stdio {
    /// `/dev/null`.
    #[default]
    Null,
    /// The caller's.
    Inherit,
    /// This one.
    Fd(OwnedFd),
}

/// Which namespaces are made new for the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Links, addresses, routes; its loopback is up.
    pub net: bool,
    /// Process numbers: the process is PID 1, and all others in the namespace end with it.
    pub pid: bool,
    /// Mounts; made private, so nothing shows at the caller's. Implied by a root.
    pub mount: bool,
    /// Host name.
    pub uts: bool,
    /// System V IPC, message queues.
    pub ipc: bool,
    /// Users: the caller's user becomes root of the namespace.
    pub user: bool,
}

impl Namespaces {
    /// Those of a container within a pod: all but net (joined) and user.
    pub const CONTAINER: Self = Self { net: false, pid: true, mount: true, uts: true, ipc: true, user: false };
    /// Those of a machine: as a container's, and the network.
    pub const MACHINE: Self = Self { net: true, ..Self::CONTAINER };
}

/// A process to start. Fill in the fields, then [`spawn`](Self::spawn).
#[derive(Debug)]
pub struct Spawn {
    /// What to execute.
    pub program: Program,
    /// The arguments, the program's own name (argv 0) first.
    pub args: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The folder to start in, in the new root; without one the new root's `/`, or the caller's folder where the
    /// root is the caller's.
    pub cwd: Option<PathBuf>,
    /// Files by which it enters control groups ([`Cgroup::doors`](crate::Cgroup::doors)), before all else.
    pub cgroups: Vec<PathBuf>,
    /// Namespaces to make.
    pub new: Namespaces,
    /// A network namespace to enter.
    pub join_net: Option<Netns>,
    /// Other namespaces to enter ([`open_namespace`](crate::open_namespace)), for instance a container's. Wait for a
    /// child that joined a pid namespace: that namespace's PID 1 cannot end before all others in it were collected.
    pub join: Vec<OwnedFd>,
    /// A folder to use as root after namespaces are entered (chroot), for instance `/proc/PID/root` opened before.
    pub chroot: Option<OwnedFd>,
    /// The new host name; needs a uts namespace of its own.
    pub hostname: Option<String>,
    /// The root directory.
    pub root: Option<RootFs>,
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
    /// Further descriptors, each with the number (3 and up) that the process shall find it at.
    pub pass_fds: Vec<(OwnedFd, i32)>,
    /// Whether the process leads a session of its own, detached from the caller's terminal.
    pub new_session: bool,
    /// Whether standard input becomes the controlling terminal of the new session.
    pub controlling_terminal: bool,
    /// Whether children that end are collected by the kernel (SIGCHLD ignored): for a first process that only holds a
    /// pid namespace.
    pub disown_children: bool,
    /// The signal that the process gets when the caller's process ends. Without one it outlives the caller.
    pub death_signal: Option<i32>,
    /// The capabilities to keep (bounding set; also the effective set for user 0). Without a list, all of the caller's.
    pub capabilities: Option<Vec<Capability>>,
    /// Whether set-user-id programs and file capabilities give nothing (prctl PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    /// Whether the calls that reach the whole machine are filtered: mounting, namespaces, modules, reboot, bpf, ….
    pub seccomp: bool,
    /// User and group number.
    pub user: Option<(u32, u32)>,
    /// Supplementary groups; used together with `user`.
    pub groups: Vec<u32>,
}

impl Spawn {
    /// `program` with its name as only argument, an empty environment, no namespaces, all three descriptors at
    /// `/dev/null`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let args = vec![program.clone().into_os_string()];
        Self { program: Program::Path(program), args, ..Self::nothing() }
    }

    /// The running program itself, with `name` as argv 0.
    pub fn myself(name: impl Into<OsString>) -> Self {
        Self { program: Program::Myself, args: vec![name.into()], ..Self::nothing() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts the process. Returns when it executes its program, so a failure on the way is an error here.
    ///
    /// # Errors
    /// Names the step that failed (mount, enter, execute, …), what it was done to, and the kernel's reason: `NotFound`
    /// or `PermissionDenied` with the program's name when it cannot be executed.
    pub fn spawn(self) -> Result<Child> {
        let prepared = Prepared::new(&self)?;
        match (self.pid_namespace_to_join()?, self.death_signal) {
            (None, None) => prepared.launch(),
            (None, Some(_)) => keeper::on_lasting_thread(|| prepared.launch())?,
            (Some(fd), None) => on_short_thread(|| {
                setns(fd.as_fd(), CloneFlags::CLONE_NEWPID)
                    .map_err(|errno| Error::new("enter", "pid namespace", errno))?;
                prepared.launch()
            })?,
            // The signal would come when the thread that entered the namespace ends.
            (Some(_), Some(_)) => Err(Error::new(
                "spawn",
                self.args.first().map(|name| name.display().to_string()).unwrap_or_default(),
                std::io::Error::new(
                    std::io::ErrorKind::InvalidInput,
                    "a death signal cannot go with a joined pid namespace",
                ),
            )),
        }
    }

    /// As [`spawn`](Self::spawn), but enters a pid namespace for all later children of the calling thread; the death
    /// signal is bound to this thread.
    pub(crate) fn spawn_from_this_thread(self) -> Result<Child> {
        let prepared = Prepared::new(&self)?;
        if let Some(fd) = self.pid_namespace_to_join()? {
            setns(fd.as_fd(), CloneFlags::CLONE_NEWPID).map_err(|errno| Error::new("enter", "pid namespace", errno))?;
        }
        prepared.launch()
    }

    fn pid_namespace_to_join(&self) -> Result<Option<&OwnedFd>> {
        for fd in &self.join {
            let kind = namespace_type(fd.as_fd()).map_err(|error| Error::new("join", "namespace", error))?;
            if kind == libc::CLONE_NEWPID {
                return Ok(Some(fd));
            }
        }
        Ok(None)
    }

    fn nothing() -> Self {
        Self {
            program: Program::Myself,
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            cgroups: Vec::new(),
            new: Namespaces::default(),
            join_net: None,
            join: Vec::new(),
            chroot: None,
            hostname: None,
            root: None,
            stdin: Stdio::Null,
            stdout: Stdio::Null,
            stderr: Stdio::Null,
            pass_fds: Vec::new(),
            new_session: false,
            controlling_terminal: false,
            disown_children: false,
            death_signal: None,
            capabilities: None,
            no_new_privileges: false,
            seccomp: false,
            user: None,
            groups: Vec::new(),
        }
    }
}
