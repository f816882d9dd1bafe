//! A pseudo-terminal's near end on the runtime: read, write, size. Must not know who sits at either end.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use minisvc_kernel::{open_pty, set_window_size};
use tokio::io::unix::AsyncFd;

/// EIO: what reading gives once nobody holds the far end.
const FAR_END_CLOSED: i32 = 5;

/// The near end.
#[derive(Debug)]
pub(crate) struct Terminal(AsyncFd<File>);

impl Terminal {
    /// Opens a terminal through `multiplexer`; answers it and the far end, which belongs to `owner` (user and group).
    pub(crate) fn open(multiplexer: &Path, owner: Option<(u32, u32)>) -> io::Result<(Terminal, OwnedFd)> {
        let pty = open_pty(multiplexer).map_err(io::Error::other)?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::fchown(&pty.slave, Some(user), Some(group))?;
        }
        Ok((Terminal(pty.master), pty.slave))
    }

    /// Reads what programs wrote; nothing once they are gone.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| fd.get_ref().read(buffer)) {
                Ok(Err(error)) if error.raw_os_error() == Some(FAR_END_CLOSED) => return Ok(0),
                Ok(read) => return read,
                Err(_) => {}
            }
        }
    }

    /// Writes as if typed.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            if let Ok(written) = ready.try_io(|fd| fd.get_ref().write(bytes)) {
                bytes = bytes.get(written?..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Sets the size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        if let Err(error) = set_window_size(&self.0, rows, columns) {
            tracing::debug!(%error, "resize");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_pass_until_the_far_end_closes() {
        let (near, far) = Terminal::open(Path::new("/dev/ptmx"), None).unwrap();
        let mut far = File::from(far);
        near.resize(24, 80);
        near.write_all(b"typed\n").await.unwrap();
        let mut line = [0; 6];
        far.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"typed\n");
        far.write_all(b"said\n").unwrap();
        let mut heard = Vec::new();
        drop(far);
        let mut buffer = [0; 64];
        while let read @ 1.. = near.read(&mut buffer).await.unwrap() {
            heard.extend_from_slice(&buffer[..read]);
        }
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.contains("typed") && heard.ends_with("said\r\n"), "{heard:?}");
    }
}
