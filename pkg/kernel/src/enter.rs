//! A shell or a command inside the namespaces of a running process. Must not outlive its caller, and leaves the
//! terminal's signals to the command.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    process::ExitCode,
};

use crate::{
    error::{Error, Result},
    namespace::{NamespaceKind, open_namespace},
    spawn::{Spawn, Stdio},
};

/// Runs `command` in the namespaces `kinds` of process `pid`, with the caller's environment and descriptors, and gives
/// its exit code (128 plus the signal when it was killed). With `root_of_pid` the command sees that process' root
/// directory; joining [`NamespaceKind::Mount`] alone shows the root of the mount namespace.
///
/// Meant for a program's last act: from here on the calling thread ignores SIGINT and SIGQUIT, which the terminal
/// sends to the command too, and the command is killed when the calling thread ends.
///
/// # Errors
/// `NotFound` when there is no such process or command, `PermissionDenied` without privilege.
pub fn enter_and_exec(pid: i32, kinds: &[NamespaceKind], command: &[OsString], root_of_pid: bool) -> Result<ExitCode> {
    let Some(program) = command.first() else {
        return Err(Error::from_errno("execute", "an empty command", libc::EINVAL));
    };
    let mut spawn = Spawn::new(program).args(command.iter().skip(1));
    for kind in NamespaceKind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
        spawn.join.push(open_namespace(pid, kind)?);
    }
    if root_of_pid {
        let path = format!("/proc/{pid}/root");
        spawn.chroot = Some(File::open(&path).map_err(|error| Error::new("open", path, error))?.into());
    }
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    spawn.env = std::env::vars_os().map(|(name, value)| (text(&name), text(&value))).collect();
    (spawn.stdin, spawn.stdout, spawn.stderr) = (Stdio::Inherit, Stdio::Inherit, Stdio::Inherit);
    spawn.death_signal = Some(libc::SIGKILL);
    if root_of_pid {
        spawn.cwd = Some("/".into());
    }
    let child = spawn.spawn_from_this_thread()?;
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: installs no handler, only "ignore".
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    Ok(ExitCode::from(child.wait_blocking()?.code() as u8))
}
