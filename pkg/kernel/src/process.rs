//! Processes by number and by descriptor. Must not trust a number alone: numbers are used again.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

use crate::error::{Error, Result, last};

/// When process `pid` was started, in clock ticks since boot (field 22 of `/proc/PID/stat`); with the number it names
/// one process for ever. Nothing when there is no such process.
pub fn start_time(pid: i32) -> Option<u64> {
    stat_fields(pid)?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Whether the process that had number `pid` and that start time is still there and no zombie.
pub fn alive(pid: i32, started: u64) -> bool {
    let Some(fields) = stat_fields(pid) else { return false };
    let mut fields = fields.split_ascii_whitespace();
    let running = !matches!(fields.next(), None | Some("Z" | "X"));
    running && fields.nth(18).and_then(|field| field.parse().ok()) == Some(started)
}

/// The fields of `/proc/PID/stat` after the name, which may itself hold blanks and brackets.
fn stat_fields(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.to_owned())
}

/// Sends a signal to a process by number.
///
/// # Errors
/// ESRCH when there is no such process.
pub fn signal(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: kill(2) touches no memory of ours.
    if unsafe { libc::kill(pid, signal) } < 0 { Err(last("signal", format!("process {pid}"))) } else { Ok(()) }
}

/// Kills every process whose session is led by `leader`, which may have ended, as the caller's `/proc` shows them: what
/// a container leaves behind where its process numbers are not its own. Answers how many were told to end.
pub fn kill_session(leader: i32) -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_session = |pid: &i32| {
        let fields = stat_fields(*pid).unwrap_or_default();
        fields.split_ascii_whitespace().nth(3).and_then(|session| session.parse().ok()) == Some(leader)
    };
    pids.filter(|pid| *pid != leader && *pid != 1)
        .filter(of_session)
        .filter(|pid| signal(*pid, libc::SIGKILL).is_ok())
        .count()
}

/// Lets this process open as many files as the machine allows it; answers how many that are.
///
/// # Errors
/// When the kernel refuses.
pub fn raise_file_limit() -> Result<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let failed = |errno: nix::Error| Error::new("raise the limit of open files", "this process", errno);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(failed)?;
    }
    Ok(hard)
}

/// Makes the calling process the one that inherits its descendants' orphans.
///
/// # Errors
/// When the kernel refuses.
pub fn set_child_subreaper() -> Result<()> {
    // SAFETY: this prctl takes plain numbers.
    let done = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    if done < 0 { Err(last("become", "child subreaper")) } else { Ok(()) }
}

/// A descriptor that means one process for ever, also when its number is used again.
#[derive(Debug)]
pub struct PidFd {
    pid: i32,
    fd: OwnedFd,
}

impl PidFd {
    /// Opens process `pid`.
    ///
    /// # Errors
    /// ESRCH when there is no such process.
    pub fn open(pid: i32) -> Result<Self> {
        // SAFETY: pidfd_open(2) takes two numbers; the new descriptor is checked and owned at once.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
        if fd < 0 {
            return Err(last("open", format!("process {pid}")));
        }
        // SAFETY: as above.
        Ok(Self { pid, fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    pub(crate) fn from_fd(pid: i32, fd: OwnedFd) -> Self {
        Self { pid, fd }
    }

    /// The number that the process had when it was opened.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the process has ended, whoever its parent is.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub async fn wait_exit(&self) -> Result<()> {
        let wrap = |error: std::io::Error| Error::new("wait for", format!("process {}", self.pid), error);
        // A descriptor of its own, so that several can wait: one descriptor is watched at most once.
        let own = self.fd.try_clone().map_err(wrap)?;
        // SAFETY: the descriptor is open, owned by the watcher alone and does not change.
        let watched = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        watched.map_err(|error| wrap(error.into()))?.readable().await.map_err(wrap)?.retain_ready();
        Ok(())
    }

    /// Sends a signal to exactly this process.
    ///
    /// # Errors
    /// ESRCH when it has ended.
    pub fn signal(&self, signal: i32) -> Result<()> {
        // SAFETY: pidfd_send_signal(2) with no siginfo takes numbers and a null pointer.
        let done = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if done < 0 { Err(last("signal", format!("process {}", self.pid))) } else { Ok(()) }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
