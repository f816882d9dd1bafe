//! File systems in memory in the caller's own mount namespace. Must not touch a mount that the caller did not make.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Error, Result};

/// Mounts an empty file system in memory on the folder `target`, of at most `size` bytes (without one the kernel's
/// default, half of the memory), its top with `mode`.
///
/// # Errors
/// `NotFound` without the folder, `PermissionDenied` without CAP_SYS_ADMIN.
pub fn mount_tmpfs(target: &Path, size: Option<u64>, mode: u32) -> Result<()> {
    let mut options = format!("mode={mode:o}");
    if let Some(size) = size {
        options.push_str(&format!(",size={size}"));
    }
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
        .map_err(|errno| Error::new("mount tmpfs on", target.display(), errno))
}

/// Takes away what is mounted on `target`; nothing mounted there, or no such folder, is fine.
///
/// # Errors
/// `PermissionDenied` without CAP_SYS_ADMIN.
pub fn unmount(target: &Path) -> Result<()> {
    match umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::new("unmount", target.display(), errno)),
    }
}

/// Whether something is mounted on `target`, as the caller sees it.
///
/// # Errors
/// When the folder above or below cannot be looked at.
pub fn is_mount_point(target: &Path) -> Result<bool> {
    let device = |path: &Path| {
        nix::sys::stat::lstat(path).map(|found| found.st_dev).map_err(|e| Error::new("examine", path.display(), e))
    };
    let above = target.parent().unwrap_or(target);
    Ok(device(target)? != device(above)?)
}
