//! What a pod's sandbox is made of beside its network: memory mounts, a shared ipc namespace, shared process numbers.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use minisvc_kernel::{
    Child, Exit, Mount, NamespaceKind, Namespaces, RootFs, Spawn, Stdio, is_mount_point, kill_session, mount_tmpfs,
    new_ipc_namespace, open_namespace, unmount,
};
use minisvc_testkit::isolated;

fn shell(script: &str) -> Spawn {
    Spawn::new("sh").args(["-c", script]).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
}

fn output(mut spawn: Spawn) -> (Exit, String) {
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let also = writer.try_clone().expect("clone");
    spawn.stdout = Stdio::Fd(OwnedFd::from(writer));
    spawn.stderr = Stdio::Fd(OwnedFd::from(also));
    let child = spawn.spawn().expect("spawn");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).expect("read");
    (child.wait_blocking().expect("wait"), text)
}

#[test]
fn memory_mounts_have_their_mode_and_limit_and_go() {
    isolated(|| {
        let folder = tempfile::tempdir().expect("folder");
        let target = folder.path().join("v");
        std::fs::create_dir(&target).expect("make");
        assert!(!is_mount_point(&target).expect("look"));
        mount_tmpfs(&target, Some(1 << 20), 0o777).expect("mount");
        assert!(is_mount_point(&target).expect("look"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&target).expect("look").permissions());
        assert_eq!(mode & 0o7777, 0o777);
        std::fs::write(target.join("small"), vec![0; 64 << 10]).expect("fits");
        let error = std::fs::write(target.join("large"), vec![0; 2 << 20]).expect_err("too large");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        unmount(&target).expect("unmount");
        assert!(!target.join("small").exists() && !is_mount_point(&target).expect("look"));
        unmount(&target).expect("nothing there");
        unmount(Path::new("/no/such/folder")).expect("no folder");
        assert!(mount_tmpfs(Path::new("/no/such/folder"), None, 0o755).is_err());
    });
}

#[test]
fn an_ipc_namespace_has_settings_of_its_own_and_is_shared() {
    isolated(|| {
        let before = std::fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").expect("read");
        let ipc = new_ipc_namespace(&[("kernel.shm_rmid_forced", "1"), ("kernel.msgmax", "4242")]).expect("make");
        let inside = |script: &str| {
            let mut spawn = shell(script);
            spawn.join = vec![ipc.try_clone().expect("clone")];
            output(spawn).1
        };
        assert_eq!(inside("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax"), "1\n4242\n");
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").expect("read"), before);
        assert_eq!(inside("readlink /proc/self/ns/ipc"), inside("readlink /proc/self/ns/ipc"));
        for foreign in ["kernel.hostname", "vm.swappiness", "net.ipv4.ip_forward", "kernel.shm/../hostname"] {
            assert!(new_ipc_namespace(&[(foreign, "1")]).is_err(), "{foreign}");
        }
    });
}

#[test]
fn processes_can_share_their_numbers_with_a_first_one() {
    isolated(|| {
        let mut first = Spawn::new("sleep").arg("1000").env("PATH", "/usr/bin:/bin");
        first.new = Namespaces { pid: true, ..Namespaces::default() };
        first.disown_children = true;
        let first: Child = first.spawn().expect("spawn");
        let mut spawn = shell("echo $$; cat /proc/1/comm");
        spawn.join = vec![open_namespace(first.pid, NamespaceKind::Pid).expect("open")];
        spawn.root = Some(RootFs::of_caller(vec![Mount::Proc { target: "/proc".into(), restricted: false }]));
        let (exit, text) = output(spawn);
        assert_eq!((exit, text.as_str()), (Exit::Code(0), "2\nsleep\n"));
        // An orphan falls to the first process, which lets the kernel collect it.
        let mut spawn = shell("(sleep 0.1 &) ; sleep 0.4; grep -c '^State:.Z' /proc/[0-9]*/status | grep -c :1");
        spawn.join = vec![open_namespace(first.pid, NamespaceKind::Pid).expect("open")];
        spawn.root = Some(RootFs::of_caller(vec![Mount::Proc { target: "/proc".into(), restricted: false }]));
        assert_eq!(output(spawn).1, "0\n");
        first.signal(9).expect("kill");
        assert_eq!(first.wait_blocking().expect("wait"), Exit::Signal(9));
    });
}

#[test]
fn what_a_session_leaves_behind_is_killed() {
    isolated(|| {
        let mut spawn = shell("sleep 1000 & sleep 1000 & exit 0");
        spawn.new_session = true;
        let leader = spawn.spawn().expect("spawn");
        assert_eq!(leader.wait_blocking().expect("wait"), Exit::Code(0));
        assert_eq!(kill_session(leader.pid), 2);
        for _ in 0..100 {
            if kill_session(leader.pid) == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("they are still there");
    });
}
