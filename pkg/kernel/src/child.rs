//! Children started by [`Spawn`](crate::Spawn) and how they end, also for a process that is PID 1 and must reap
//! strangers. Must never lose a child's status to the reaper.

use std::{
    collections::HashMap,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};

use crate::{
    error::{Error, Result, last},
    process::PidFd,
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

impl Exit {
    /// The number that a shell and Kubernetes give: the code, or 128 plus the signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Held for reading while a child is made and entered in [`CHILDREN`], for writing while strangers are reaped: so no
/// child of ours is ever taken for a stranger.
pub(crate) static MAKING: RwLock<()> = RwLock::new(());

static CHILDREN: Mutex<Option<HashMap<i32, Arc<State>>>> = Mutex::new(None);

#[derive(Debug)]
struct State {
    pid: PidFd,
    exit: Mutex<Option<Exit>>,
}

/// A child process. Dropping it neither kills nor waits: its status is kept until the process ends or the reaper of
/// [`reap_orphans`] collects it.
#[derive(Debug)]
pub struct Child {
    /// Its number in the namespace of the caller.
    pub pid: i32,
    state: Arc<State>,
}

impl Child {
    /// Enters a child just made. The caller holds [`MAKING`].
    pub(crate) fn enter(pid: i32, pidfd: OwnedFd) -> Self {
        let state = Arc::new(State { pid: PidFd::from_fd(pid, pidfd), exit: Mutex::new(None) });
        CHILDREN.lock().get_or_insert_default().insert(pid, Arc::clone(&state));
        Self { pid, state }
    }

    /// Waits until the child has ended; may be called again and by several.
    ///
    /// # Errors
    /// When somebody else took the status, or the runtime cannot watch the descriptor.
    pub async fn wait(&self) -> Result<Exit> {
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            self.state.pid.wait_exit().await?;
        }
    }

    /// As [`wait`](Self::wait), on the calling thread.
    ///
    /// # Errors
    /// When somebody else took the status.
    pub fn wait_blocking(&self) -> Result<Exit> {
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            let mut poll = [nix::poll::PollFd::new(self.pidfd(), nix::poll::PollFlags::POLLIN)];
            match nix::poll::poll(&mut poll, nix::poll::PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(errno) => return Err(Error::new("wait for", format!("process {}", self.pid), errno)),
            }
        }
    }

    /// How the child ended, if it has.
    ///
    /// # Errors
    /// When somebody else took the status.
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.state.collect()
    }

    /// Sends a signal to exactly this child.
    ///
    /// # Errors
    /// ESRCH when it has ended.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.state.pid.signal(signal)
    }

    /// Sends a signal to every process of the group that the child leads (it was spawned with a session of its own),
    /// unless its end was told already: then the number may mean another group.
    ///
    /// # Errors
    /// ESRCH when the group has no process any more.
    pub fn signal_group(&self, signal: i32) -> Result<()> {
        let told = self.state.exit.lock();
        if told.is_some() {
            return Ok(());
        }
        crate::process::signal(-self.pid, signal)
    }

    /// The descriptor that means this child; readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.state.pid.as_fd()
    }
}

impl State {
    fn collect(&self) -> Result<Option<Exit>> {
        let mut exit = self.exit.lock();
        if exit.is_none() {
            let fd = self.pid.as_fd().as_raw_fd();
            *exit = wait_id(libc::P_PIDFD, fd as libc::id_t, libc::WNOHANG, self.pid.pid())?.map(|(_, exit)| exit);
            if exit.is_some() {
                forget(self.pid.pid());
            }
        }
        Ok(*exit)
    }
}

fn forget(pid: i32) {
    if let Some(children) = CHILDREN.lock().as_mut() {
        children.remove(&pid);
    }
}

fn wait_id(kind: libc::idtype_t, id: libc::id_t, options: i32, name: i32) -> Result<Option<(i32, Exit)>> {
    loop {
        // SAFETY: `siginfo_t` is plain data for which all zeroes is valid, and waitid(2) writes only there; the
        // fields read are those that waitid fills.
        let (done, pid, how, status) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let done = libc::waitid(kind, id, &mut info, libc::WEXITED | options);
            (done, info.si_pid(), info.si_code, info.si_status())
        };
        if done == 0 {
            let exit = if how == libc::CLD_EXITED { Exit::Code(status) } else { Exit::Signal(status) };
            return Ok((pid != 0).then_some((pid, exit)));
        }
        let error = last("wait for", format!("process {name}"));
        if error.errno() != Some(libc::EINTR) {
            return Err(error);
        }
    }
}

/// Starts a task that reaps every child that ends and was not made by [`Spawn`](crate::Spawn): the duty of PID 1, to
/// whom orphans are handed. Statuses of our own children are kept for [`Child::wait`]. A process that calls this must
/// start its children only through [`Spawn`](crate::Spawn).
///
/// # Errors
/// When the runtime cannot listen for SIGCHLD.
pub fn reap_orphans() -> Result<()> {
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())
        .map_err(|error| Error::new("listen for", "SIGCHLD", error))?;
    tokio::spawn(async move {
        loop {
            reap_once();
            if ended.recv().await.is_none() {
                return;
            }
        }
    });
    Ok(())
}

fn reap_once() {
    let _nobody_is_made = MAKING.write();
    while let Ok(Some((pid, _))) = wait_id(libc::P_ALL, 0, libc::WNOHANG | libc::WNOWAIT, -1) {
        let ours = CHILDREN.lock().as_ref().and_then(|children| children.get(&pid).cloned());
        let collected = match ours {
            Some(state) => state.collect().map(drop),
            None => wait_id(libc::P_PID, pid as libc::id_t, libc::WNOHANG, pid).map(drop),
        };
        if let Err(error) = collected {
            tracing::debug!(%error, "reap");
            return;
        }
    }
}
