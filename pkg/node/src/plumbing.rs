//! The standard descriptors of a process in a container: its ends, and ours on the runtime. Must not copy bytes anywhere.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;

use minisvc_kernel::{Mount, Stdio};
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::attach::Source;
use crate::terminal::Terminal;

/// What a read of the kernel brings at most.
const READ: usize = 8192;

/// A process' standard descriptors.
pub(crate) struct Theirs {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

/// The other ends.
pub(crate) struct Ours {
    /// None where there is no input, or where it is the terminal.
    pub(crate) stdin: Option<Sender>,
    pub(crate) terminal: Option<Arc<Terminal>>,
    pub(crate) sources: Vec<(Tap, Source)>,
}

/// Where output is read from.
pub(crate) enum Tap {
    Pipe(Receiver),
    Terminal(Arc<Terminal>),
}

impl Ours {
    /// Pipes; without `stdin` the process reads from `/dev/null`.
    pub(crate) fn pipes(stdin: bool) -> io::Result<(Ours, Theirs)> {
        let (stdout, stdout_end) = io::pipe()?;
        let (stderr, stderr_end) = io::pipe()?;
        let (input, sender) = match stdin {
            true => {
                let (read, write) = io::pipe()?;
                (Stdio::Fd(read.into()), Some(Sender::from_owned_fd(write.into())?))
            }
            false => (Stdio::Null, None),
        };
        let tap = |pipe: io::PipeReader| Receiver::from_owned_fd(pipe.into()).map(Tap::Pipe);
        let sources = vec![(tap(stdout)?, Source::Stdout), (tap(stderr)?, Source::Stderr)];
        let theirs =
            Theirs { stdin: input, stdout: Stdio::Fd(stdout_end.into()), stderr: Stdio::Fd(stderr_end.into()) };
        Ok((Ours { stdin: sender, terminal: None, sources }, theirs))
    }

    /// A terminal through `multiplexer` that belongs to `owner`, for all three.
    pub(crate) fn terminal(multiplexer: &Path, owner: Option<(u32, u32)>) -> io::Result<(Ours, Theirs)> {
        let (near, far) = Terminal::open(multiplexer, owner)?;
        let near = Arc::new(near);
        let (second, third) = (far.try_clone()?, far.try_clone()?);
        let sources = vec![(Tap::Terminal(near.clone()), Source::Stdout)];
        let theirs = Theirs { stdin: Stdio::Fd(far), stdout: Stdio::Fd(second), stderr: Stdio::Fd(third) };
        Ok((Ours { stdin: None, terminal: Some(near), sources }, theirs))
    }
}

impl Theirs {
    /// The terminal under a name that the container's programs find (`tty`): it is of the node's `/dev/pts`.
    pub(crate) fn as_console(&self) -> io::Result<Option<Mount>> {
        let Stdio::Fd(terminal) = &self.stdin else { return Ok(None) };
        let source = std::fs::read_link(format!("/proc/self/fd/{}", terminal.as_raw_fd()))?;
        Ok(Some(Mount::Bind { source, target: "/dev/console".into(), read_only: false, recursive: false }))
    }
}

impl Tap {
    /// Reads some bytes to the end of `buffer`; answers how many (perhaps none yet), or nothing at the end.
    pub(crate) async fn read_into(&self, buffer: &mut Vec<u8>) -> Option<usize> {
        match self {
            Tap::Pipe(pipe) => {
                pipe.readable().await.ok()?;
                let mut chunk = [0; READ];
                match pipe.try_read(&mut chunk) {
                    Ok(0) => None,
                    Ok(read) => {
                        buffer.extend_from_slice(&chunk[..read]);
                        Some(read)
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
                    Err(_) => None,
                }
            }
            Tap::Terminal(terminal) => {
                let mut chunk = vec![0; READ];
                let read = terminal.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
                buffer.extend_from_slice(&chunk[..read]);
                Some(read)
            }
        }
    }
}
