//! The child's half of a spawn. It runs in the parent's memory while the parent's thread sleeps, so it must only make
//! system calls: no allocation, no lock, no panic, no library call that remembers anything (the C library's `setuid`
//! would change all threads of the parent). Every word was prepared by `prepared.rs`.

use std::{ffi::CStr, ptr};

use super::prepared::{Prepared, Stage};
use crate::{
    namespace::raise_loopback,
    rootfs::{Grab, Place, Source, Steps},
};

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const OPEN_TREE_CLONE: u32 = 1;
const CLOEXEC: u32 = libc::O_CLOEXEC as u32;
const MOUNT_ATTR_RDONLY: u64 = 1;
/// Above the standard descriptors, where they are parked before they take their numbers.
const PARKING: i32 = 64;
/// linux/capability.h, _LINUX_CAPABILITY_VERSION_3.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// linux/mount.h, struct mount_attr.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Where and why it stopped.
type Stopped = (Stage, i32);

/// What clone(2) calls; never returns when all is well.
pub(super) extern "C" fn main(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `launch` passes a pointer to its `Prepared`, which it keeps until this child has executed or ended.
    let prepared = unsafe { &*argument.cast::<Prepared>() };
    if let Err((stage, errno)) = run(prepared) {
        prepared.failure.errno.set(errno);
        prepared.failure.stage.set(Some(stage));
    }
    // SAFETY: ends this process at once, without the parent's exit handlers.
    unsafe { libc::_exit(127) }
}

fn run(prepared: &Prepared) -> Result<(), Stopped> {
    default_signals(prepared.disown_children);
    for (number, door) in prepared.cgroups.iter().enumerate() {
        write_file(door, b"0", None).map_err(|errno| (Stage::Cgroup(number), errno))?;
    }
    for fd in &prepared.joins {
        // SAFETY: setns(2) takes numbers.
        check(Stage::Join, unsafe { libc::setns(*fd, 0) })?;
    }
    if let Some(files) = &prepared.user_map {
        for (path, text) in files {
            write_file(path, text.to_bytes(), None).map_err(|errno| (Stage::UserMap, errno))?;
        }
    }
    if prepared.new_net {
        raise_loopback().map_err(|errno| (Stage::Loopback, errno))?;
    }
    if prepared.session {
        // SAFETY: takes nothing.
        check(Stage::Session, unsafe { libc::setsid() })?;
    }
    descriptors(prepared)?;
    if let Some(name) = &prepared.hostname {
        // SAFETY: a valid string and its length.
        check(Stage::Hostname, unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) })?;
    }
    if prepared.private {
        make_private()?;
    }
    if let Some(root) = &prepared.root {
        lay_out(root)?;
    }
    if let Some(fd) = prepared.chroot {
        // SAFETY: takes a number; a constant string.
        check(Stage::Chroot, unsafe { libc::fchdir(fd) })?;
        // SAFETY: as above.
        check(Stage::Chroot, unsafe { libc::chroot(c".".as_ptr()) })?;
    }
    if let Some(cwd) = &prepared.cwd {
        // SAFETY: a valid string.
        check(Stage::Cwd, unsafe { libc::chdir(cwd.as_ptr()) })?;
    }
    privileges(prepared)?;
    if let Some(signal) = prepared.death_signal {
        // SAFETY: plain numbers.
        check(Stage::DeathSignal, unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })?;
    }
    execute(prepared)
}

/// Every signal at its default, so that the program starts with none ignored but, where asked, SIGCHLD. SIGKILL and
/// SIGSTOP refuse; fine.
fn default_signals(disown_children: bool) {
    for signal in 1..=64 {
        let ignored = disown_children && signal == libc::SIGCHLD;
        // SAFETY: a kernel sigaction of handler (default or ignore), no flags and an empty mask; 32 bytes hold it on all
        // architectures. The C library's wrapper is avoided because it guards its own two signals.
        unsafe {
            let action = [if ignored { libc::SIG_IGN as u64 } else { 0 }, 0, 0, 0];
            libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), ptr::null_mut::<u64>(), 8);
        }
    }
}

fn descriptors(prepared: &Prepared) -> Result<(), Stopped> {
    let park = |stage, fd| {
        // SAFETY: fcntl with numbers.
        check(stage, unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, PARKING) })
    };
    let mut parked = [-1; 3];
    for (place, source) in parked.iter_mut().zip(prepared.stdio) {
        if let Some(fd) = source {
            *place = park(Stage::Stdio, fd)?;
        }
    }
    for (source, _) in &prepared.pass {
        source.set(park(Stage::Pass, source.get())?);
    }
    // SAFETY: close_range(2) with numbers: all others close when the program is executed.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    for (number, fd) in (0..).zip(parked) {
        if fd >= 0 {
            // SAFETY: dup2 with numbers.
            check(Stage::Stdio, unsafe { libc::dup2(fd, number) })?;
        }
    }
    for (source, number) in &prepared.pass {
        // SAFETY: dup2 with numbers.
        check(Stage::Pass, unsafe { libc::dup2(source.get(), *number) })?;
    }
    if prepared.terminal {
        // SAFETY: the ioctl takes a number.
        check(Stage::Terminal, unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) })?;
    }
    Ok(())
}

fn make_private() -> Result<(), Stopped> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: a constant string; the null pointers are allowed for this kind of call.
    check(Stage::Private, unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null()) })?;
    Ok(())
}

fn lay_out(steps: &Steps) -> Result<(), Stopped> {
    // SAFETY: a number.
    unsafe { libc::umask(0) };
    for (number, one) in steps.grabs.iter().enumerate() {
        grab(one).map_err(|errno| (Stage::Grab(number), errno))?;
    }
    if let Some((root, staging)) = &steps.root {
        grab(root).map_err(|errno| (Stage::Pivot, errno))?;
        attach(root.fd.get(), staging).map_err(|errno| (Stage::Pivot, errno))?;
        // SAFETY: constant or prepared strings and numbers. After the pivot the old root lies over the new one and is
        // taken away (pivot_root(2), "pivot_root(".", ".")").
        unsafe {
            check(Stage::Pivot, libc::chdir(staging.as_ptr()))?;
            check(Stage::Pivot, libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) as i32)?;
            check(Stage::Pivot, libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
            check(Stage::Pivot, libc::chdir(c"/".as_ptr()))?;
        }
    }
    for (number, step) in steps.places.iter().enumerate() {
        place(step, &steps.grabs).map_err(|errno| (Stage::Place(number), errno))?;
    }
    if steps.read_only {
        set_read_only(libc::AT_FDCWD, c"/", 0).map_err(|errno| (Stage::ReadOnly, errno))?;
    }
    // SAFETY: a number.
    unsafe { libc::umask(0o022) };
    Ok(())
}

/// Makes the detached mount and keeps its descriptor.
fn grab(grab: &Grab) -> Result<(), i32> {
    let fd = match &grab.what {
        Source::Tree { path, recursive } => {
            let recursive = if *recursive { libc::AT_RECURSIVE as u32 } else { 0 };
            let fd = open_tree(path, OPEN_TREE_CLONE | CLOEXEC | recursive)?;
            if grab.attributes != 0 {
                set_attributes(fd, c"", libc::AT_EMPTY_PATH as u32 | recursive, grab.attributes)?;
            }
            fd
        }
        // SAFETY: prepared strings, null pointers where the calls allow them, and numbers.
        Source::Filesystem { kind, options } => unsafe {
            let context = system(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1))?;
            for (key, value) in options {
                let (command, value) = if value.is_empty() {
                    (FSCONFIG_SET_FLAG, ptr::null())
                } else {
                    (FSCONFIG_SET_STRING, value.as_ptr())
                };
                system(libc::syscall(libc::SYS_fsconfig, context, command, key.as_ptr(), value, 0))?;
            }
            let nothing = ptr::null::<libc::c_char>();
            system(libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nothing, nothing, 0))?;
            let fd = system(libc::syscall(libc::SYS_fsmount, context, 1, grab.attributes as u32))?;
            libc::close(context);
            fd
        },
    };
    grab.fd.set(fd);
    Ok(())
}

fn place(step: &Place, grabs: &[Grab]) -> Result<(), i32> {
    // SAFETY: all strings were prepared; the calls take them and numbers.
    unsafe {
        match step {
            Place::Dir { path, mode } => match system(libc::mkdir(path.as_ptr(), *mode).into()) {
                Err(libc::EEXIST) => Ok(()),
                result => result.map(drop),
            },
            Place::DirWithMode { path, mode } => {
                match system(libc::mkdir(path.as_ptr(), *mode).into()) {
                    Err(libc::EEXIST) => {}
                    result => drop(result?),
                }
                system(libc::chmod(path.as_ptr(), *mode).into()).map(drop)
            }
            Place::File { path, content, mode } => write_file(path, content, Some(*mode)),
            Place::Touch { path } => match system(libc::mknod(path.as_ptr(), libc::S_IFREG | 0o644, 0).into()) {
                Err(libc::EEXIST) => Ok(()),
                result => result.map(drop),
            },
            Place::Symlink { path, to } => system(libc::symlink(to.as_ptr(), path.as_ptr()).into()).map(drop),
            Place::Device { path, mode, device } => {
                system(libc::mknod(path.as_ptr(), libc::S_IFCHR | mode, *device).into()).map(drop)
            }
            Place::Attach { grab, path } => grabs.get(*grab).map_or(Ok(()), |grab| attach(grab.fd.get(), path)),
            Place::Protect { path } => match open_tree(path, OPEN_TREE_CLONE | CLOEXEC | libc::AT_RECURSIVE as u32) {
                Err(libc::ENOENT) => Ok(()),
                Err(errno) => Err(errno),
                Ok(fd) => {
                    set_read_only(fd, c"", libc::AT_EMPTY_PATH as u32)?;
                    attach(fd, path)
                }
            },
        }
    }
}

fn open_tree(path: &CStr, flags: u32) -> Result<i32, i32> {
    // SAFETY: a prepared string and numbers.
    system(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

fn attach(fd: i32, path: &CStr) -> Result<(), i32> {
    // SAFETY: prepared strings and numbers.
    system(unsafe {
        libc::syscall(libc::SYS_move_mount, fd, c"".as_ptr(), libc::AT_FDCWD, path.as_ptr(), MOVE_MOUNT_F_EMPTY_PATH)
    })?;
    // SAFETY: a number; the mount stays.
    unsafe { libc::close(fd) };
    Ok(())
}

fn set_read_only(fd: i32, path: &CStr, flags: u32) -> Result<(), i32> {
    set_attributes(fd, path, flags, MOUNT_ATTR_RDONLY)
}

fn set_attributes(fd: i32, path: &CStr, flags: u32, attributes: u64) -> Result<(), i32> {
    let wanted = MountAttributes { set: attributes, clear: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: a prepared string, numbers, and a structure of the size given.
    system(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            path.as_ptr(),
            flags,
            &wanted as *const MountAttributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Writes a whole file; with a mode it is made new.
fn write_file(path: &CStr, content: &[u8], mode: Option<u32>) -> Result<(), i32> {
    let create = if mode.is_some() { libc::O_CREAT | libc::O_TRUNC } else { 0 };
    // SAFETY: a prepared string, a valid slice and its length, numbers.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CLOEXEC | create;
        let fd = system(libc::open(path.as_ptr(), flags, mode.unwrap_or(0)).into())?;
        let mut rest = content;
        while !rest.is_empty() {
            let written = libc::write(fd, rest.as_ptr().cast(), rest.len());
            if written <= 0 {
                let error = errno();
                libc::close(fd);
                return Err(error);
            }
            rest = rest.get(written as usize..).unwrap_or_default();
        }
        libc::close(fd);
    }
    Ok(())
}

/// Order matters: filters need a capability or no_new_privs, dropping from the bounding set needs a capability, and a
/// user other than 0 loses all of them.
fn privileges(prepared: &Prepared) -> Result<(), Stopped> {
    // SAFETY: prctl, seccomp, capset and the raw calls for users take numbers and prepared structures that outlive
    // the call.
    unsafe {
        if prepared.no_new_privileges {
            check(Stage::NoNewPrivileges, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        }
        for program in &prepared.filters {
            let mode = libc::SECCOMP_SET_MODE_FILTER;
            let done = libc::syscall(libc::SYS_seccomp, mode, 0, program as *const libc::sock_fprog);
            check(Stage::Seccomp, done as i32)?;
        }
        for number in &prepared.bounding_drop {
            match check(Stage::Bounding, libc::prctl(libc::PR_CAPBSET_DROP, i32::from(*number), 0, 0, 0)) {
                // A capability that this kernel does not know.
                Err((_, libc::EINVAL)) => {}
                result => drop(result?),
            }
        }
        if let Some((user, group)) = prepared.user {
            let groups = libc::syscall(libc::SYS_setgroups, prepared.groups.len(), prepared.groups.as_ptr());
            check(Stage::User, groups as i32)?;
            check(Stage::User, libc::syscall(libc::SYS_setresgid, group, group, group) as i32)?;
            check(Stage::User, libc::syscall(libc::SYS_setresuid, user, user, user) as i32)?;
        }
        if let Some(kept) = prepared.capabilities
            && prepared.user.is_none_or(|(user, _)| user == 0)
        {
            let mut header = [CAPABILITY_VERSION, 0];
            let mut now = [0u32; 6];
            check(Stage::Capabilities, libc::syscall(libc::SYS_capget, header.as_mut_ptr(), now.as_mut_ptr()) as i32)?;
            // Effective, permitted, inheritable; low half first. Nothing can be kept that is not there.
            let [_, low, _, _, high, _] = now;
            let (low, high) = (low & kept as u32, high & (kept >> 32) as u32);
            let wanted = [low, low, 0, high, high, 0];
            let done = libc::syscall(libc::SYS_capset, header.as_ptr(), wanted.as_ptr());
            check(Stage::Capabilities, done as i32)?;
        }
    }
    Ok(())
}

fn execute(prepared: &Prepared) -> Result<(), Stopped> {
    // SAFETY: an empty mask of the kernel's size; argv and envp are prepared, null-terminated lists of strings.
    unsafe {
        let nothing = 0u64;
        let empty: *const u64 = &nothing;
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, empty, ptr::null_mut::<u64>(), 8);
        let (argv, envp) = (prepared.argv.as_ptr(), prepared.envp.as_ptr());
        if let Some(fd) = &prepared.myself {
            let fd = std::os::fd::AsRawFd::as_raw_fd(fd);
            libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH);
            return Err((Stage::Execute, errno()));
        }
        let mut worst = libc::ENOENT;
        for program in &prepared.programs {
            libc::execve(program.as_ptr(), argv, envp);
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => worst = libc::EACCES,
                other => return Err((Stage::Execute, other)),
            }
        }
        Err((Stage::Execute, worst))
    }
}

fn check(stage: Stage, result: i32) -> Result<i32, Stopped> {
    if result < 0 { Err((stage, errno())) } else { Ok(result) }
}

fn system(result: libc::c_long) -> Result<i32, i32> {
    if result < 0 { Err(errno()) } else { Ok(result as i32) }
}

fn errno() -> i32 {
    // SAFETY: the C library's pointer to this thread's number, which parent and child share while the parent sleeps.
    unsafe { *libc::__errno_location() }
}
