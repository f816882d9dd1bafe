//! The room's one error: operation, target, cause. Must not know what the operation was for.

use std::{fmt, io};

/// Why a request to the kernel failed: which operation, on what, and the kernel's own reason.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {target}: {cause}")]
pub struct Error {
    operation: &'static str,
    target: String,
    #[source]
    cause: io::Error,
}

/// The room's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `operation` ("create veth") on `target` ("veth0"), caused by `cause`.
    pub fn new(operation: &'static str, target: impl fmt::Display, cause: impl Into<io::Error>) -> Self {
        Self { operation, target: target.to_string(), cause: cause.into() }
    }

    /// An error whose cause is the number that a system call left.
    pub fn from_errno(operation: &'static str, target: impl fmt::Display, errno: i32) -> Self {
        Self::new(operation, target, io::Error::from_raw_os_error(errno))
    }

    /// The cause's kind, for callers that treat `AlreadyExists` or `NotFound` as fine.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// The kernel's error number, where the cause came from the kernel.
    pub fn errno(&self) -> Option<i32> {
        self.cause.raw_os_error()
    }

    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it was done to.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// Names the last system call's error.
pub(crate) fn last(operation: &'static str, target: impl fmt::Display) -> Error {
    Error::new(operation, target, io::Error::last_os_error())
}
