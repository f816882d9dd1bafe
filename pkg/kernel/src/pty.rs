//! Pseudo-terminals: opening a pair, also in another process' `/dev/pts`, and its window size. Must not copy bytes.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use tokio::io::unix::AsyncFd;

use crate::error::{Error, Result, last};

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end of whoever plays the terminal, watched by the runtime.
    pub master: AsyncFd<File>,
    /// The end that programs use as their terminal.
    pub slave: OwnedFd,
}

/// Opens a pseudo-terminal through `multiplexer`: `/dev/ptmx`, or `/proc/PID/root/dev/pts/ptmx` for one that the
/// processes beside PID can name.
///
/// To be called on a runtime with IO.
///
/// # Errors
/// When there is no such file or no terminal left.
pub fn open_pty(multiplexer: &Path) -> Result<Pty> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let name = || multiplexer.display().to_string();
    let master: OwnedFd = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(multiplexer)
        .map_err(|error| Error::new("open", name(), error))?
        .into();
    let unlocked: libc::c_int = 0;
    // SAFETY: this ioctl reads one int, which lives until it returns.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &unlocked) } < 0 {
        return Err(last("unlock", name()));
    }
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: this ioctl takes a number; the new descriptor is checked and owned at once.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    if slave < 0 {
        return Err(last("open the other end of", name()));
    }
    // SAFETY: as above.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    // SAFETY: the descriptor is open, owned by the watcher alone and does not change.
    let master = unsafe { AsyncFd::register(File::from(master)) };
    Ok(Pty { master: master.map_err(|error| Error::new("watch", name(), std::io::Error::from(error)))?, slave })
}

/// Sets the size that programs at this terminal see; those in its foreground hear SIGWINCH.
///
/// # Errors
/// When the descriptor is no terminal.
pub fn set_window_size(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: this ioctl reads one winsize, which lives until it returns.
    let done = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &size) };
    if done < 0 { Err(last("set the size of", "a terminal")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn a_pair_carries_bytes_and_a_size() {
        let pty = open_pty(Path::new("/dev/ptmx")).unwrap();
        set_window_size(&pty.master, 33, 121).unwrap();
        let mut slave = File::from(pty.slave);
        pty.master.get_ref().write_all(b"word\n").unwrap();
        let mut line = [0; 5];
        slave.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"word\n");
        // SAFETY: all zeroes is a valid winsize, and the ioctl writes only there.
        let size = unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            assert_eq!(libc::ioctl(slave.as_raw_fd(), libc::TIOCGWINSZ, &mut size), 0);
            size
        };
        assert_eq!((size.ws_row, size.ws_col), (33, 121));
        assert!(open_pty(Path::new("/dev/null")).is_err());
    }
}
