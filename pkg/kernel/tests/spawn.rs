//! Processes in namespaces of their own: what they see from inside, how they end, and why they cannot start.

use std::{
    io::{ErrorKind, Read},
    os::fd::OwnedFd,
    path::PathBuf,
};

use minisvc_kernel::{
    Base, CONTAINER_DEFAULT, Capability, Child, Exit, Mount, NamespaceKind, Namespaces, Netns, PidFd, Program, RootFs,
    Spawn, Stdio, alive, capability, enter_and_exec, open_namespace, signal, start_time,
};
use minisvc_testkit::isolated;

const ESRCH: i32 = 3;
const PATH: &str = "/usr/bin:/bin";

fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime").block_on(body)
}

fn shell(script: &str) -> Spawn {
    Spawn::new("sh").args(["-c", script]).env("PATH", PATH)
}

/// Everything that the process writes, and how it ended.
fn output(mut spawn: Spawn) -> (Exit, String) {
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let also = writer.try_clone().expect("clone");
    spawn.stdout = Stdio::Fd(OwnedFd::from(writer));
    spawn.stderr = Stdio::Fd(OwnedFd::from(also));
    let child = spawn.spawn().expect("spawn");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    (child.wait_blocking().expect("wait"), text)
}

/// The machine's own programs, read-only, as emulated images show them.
fn userland() -> Vec<Mount> {
    let mut mounts: Vec<Mount> = ["/usr", "/bin", "/lib", "/lib64", "/sbin"]
        .into_iter()
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .map(|path| match std::fs::read_link(&path) {
            Ok(to) => Mount::Symlink { target: path, to },
            Err(_) => Mount::Bind { source: path.clone(), target: path, read_only: true, recursive: true },
        })
        .collect();
    mounts.extend([
        Mount::Proc { target: "/proc".into(), restricted: true },
        Mount::Sysfs { target: "/sys".into(), read_only: true },
        Mount::DevMinimal { target: "/dev".into() },
        Mount::Tmpfs { target: "/tmp".into(), size: Some(1 << 20), mode: 0o1777 },
        Mount::File { target: "/etc/hostname".into(), content: b"blue\n".to_vec(), mode: 0o644 },
        Mount::Dir { target: "/root".into(), mode: 0o700 },
    ]);
    mounts
}

fn container(script: &str) -> Spawn {
    let mut spawn = shell(script);
    spawn.new = Namespaces::CONTAINER;
    spawn.hostname = Some("blue".into());
    spawn.root = Some(RootFs::empty(userland()));
    spawn.capabilities = Some(CONTAINER_DEFAULT.to_vec());
    spawn.no_new_privileges = true;
    spawn.seccomp = true;
    spawn
}

#[test]
fn exit_codes_and_signals_arrive() {
    run(async {
        let child = shell("exit 7").spawn().expect("spawn");
        assert_eq!(child.wait().await.expect("wait"), Exit::Code(7));
        assert_eq!(child.wait().await.expect("wait again"), Exit::Code(7));
        assert_eq!(child.signal(9).expect_err("ended").errno(), Some(ESRCH));

        let child = shell("exec sleep 1000").spawn().expect("spawn");
        assert_eq!(child.try_wait().expect("try"), None);
        let started = start_time(child.pid).expect("start time");
        assert!(alive(child.pid, started) && !alive(child.pid, started + 1));
        let watcher = PidFd::open(child.pid).expect("open");
        let (one, two, gone) = tokio::join!(child.wait(), child.wait(), async {
            signal(child.pid, 15).expect("signal");
            watcher.wait_exit().await
        });
        gone.expect("watched");
        assert_eq!((one.expect("one"), two.expect("two")), (Exit::Signal(15), Exit::Signal(15)));
        assert_eq!(Exit::Signal(15).code(), 143);
        assert!(!alive(child.pid, started));
    });
}

#[test]
fn what_cannot_be_executed_is_an_error_with_its_name() {
    let missing = Spawn::new("/nonexistent/program").spawn().expect_err("missing");
    assert_eq!(missing.to_string(), "execute /nonexistent/program: No such file or directory (os error 2)");
    let missing = Spawn::new("no-such-program").env("PATH", PATH).spawn().expect_err("missing");
    assert_eq!((missing.kind(), missing.target()), (ErrorKind::NotFound, "no-such-program"));
    let denied = Spawn::new("/etc/passwd").spawn().expect_err("not executable");
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
    let mut lost = shell("true");
    lost.cwd = Some("/nonexistent".into());
    assert_eq!(lost.spawn().expect_err("no folder").operation(), "change folder to");
    let mut bad = shell("true");
    bad.args.push("zero\0inside".into());
    assert_eq!(bad.spawn().expect_err("zero").kind(), ErrorKind::InvalidInput);
}

#[test]
fn environment_arguments_and_descriptors_are_exactly_those_given() {
    let spawn = Spawn::new("env").env("PATH", PATH).env("B", "two words").env("A", "");
    assert_eq!(output(spawn), (Exit::Code(0), format!("PATH={PATH}\nB=two words\nA=\n")));

    let (exit, text) = output(shell("ls /proc/self/fd | tr '\\n' ' '; umask; pwd; trap"));
    let here = std::env::current_dir().expect("folder");
    assert_eq!(exit, Exit::Code(0));
    // 3 is the folder that ls itself reads.
    assert_eq!(text, format!("0 1 2 3 0022\n{}\n", here.display()));

    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let mut spawn = shell("echo passed >&5");
    spawn.pass_fds.push((OwnedFd::from(writer), 5));
    let child = spawn.spawn().expect("spawn");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    assert_eq!((child.wait_blocking().expect("wait"), text.as_str()), (Exit::Code(0), "passed\n"));

    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let mut spawn = shell("cat /proc/self/status | grep Sig; kill -13 $$");
    spawn.stdout = Stdio::Fd(writer.into());
    let child = spawn.spawn().expect("spawn");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    assert_eq!(child.wait_blocking().expect("wait"), Exit::Signal(13), "no signal is ignored or blocked");
    let ignored = text.lines().find(|line| line.starts_with("SigIgn")).expect("SigIgn");
    assert_eq!(ignored, "SigIgn:\t0000000000000000");
    assert!(text.contains("SigBlk:\t0000000000000000"), "{text}");
}

#[test]
fn a_container_sees_only_its_own_world() {
    isolated(|| {
        let script = "echo pid $$; hostname 2>/dev/null || cat /proc/sys/kernel/hostname; cat /etc/hostname; \
            echo written > /tmp/file && cat /tmp/file; ls /proc | grep -c '^[0-9]'; ls /; pwd; \
            ls /home 2>&1; echo null > /dev/null && echo null works; test -c /dev/pts/ptmx && echo ptmx; \
            stat -c %a /root /tmp /dev/shm; ls /sys/class/net";
        let mut spawn = container(script);
        spawn.new.net = true;
        let (exit, text) = output(spawn);
        let expected = "pid 1\nblue\nblue\nwritten\n3\nbin\ndev\netc\n";
        assert!(text.starts_with(expected), "{text}");
        for line in ["null works", "ptmx", "700\n1777\n1777", "/home", "lo"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(exit, Exit::Code(0), "{text}");
    });
}

#[test]
fn a_container_may_not_change_the_machine() {
    isolated(|| {
        let tries = [
            "echo x > /usr/file",
            "echo 1 > /proc/sys/vm/drop_caches",
            "echo x > /proc/sys/kernel/core_pattern",
            "mount -t tmpfs tmpfs /tmp",
            "umount /tmp",
            "unshare -n true",
            "unshare -U true",
            "hostname red",
            "mkdir /sys/kernel/x",
        ];
        for attempt in tries {
            let (exit, text) = output(container(attempt));
            assert_ne!(exit, Exit::Code(0), "{attempt}: {text}");
            let refused = ["Read-only", "not permitted", "denied", "superuser", "must be root", "permission"];
            assert!(refused.iter().any(|word| text.to_lowercase().contains(&word.to_lowercase())), "{attempt}: {text}");
        }
        let (_, status) = output(container("cat /proc/self/status"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.trim().to_owned()
        };
        let kept = CONTAINER_DEFAULT.iter().fold(0u64, |bits, one| bits | one.bitmask());
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).expect("bits"), kept, "{set}");
        }
        assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
    });
}

#[test]
fn users_and_capabilities_are_what_was_asked() {
    isolated(|| {
        let mut spawn = container("id -u; id -g; id -G; grep CapEff /proc/self/status; echo x > /root/file");
        spawn.user = Some((1000, 1000));
        spawn.groups = vec![2000];
        let (exit, text) = output(spawn);
        assert!(text.starts_with("1000\n1000\n1000 2000\nCapEff:\t0000000000000000\n"), "{text}");
        assert_ne!(exit, Exit::Code(0), "{text}");

        let mut spawn = container("grep -e CapEff -e CapBnd /proc/self/status");
        spawn.capabilities = Some(vec![]);
        assert_eq!(output(spawn).1, "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n");
        assert_eq!(capability("net_admin"), Some(Capability::CAP_NET_ADMIN));
        assert_eq!(capability("CAP_SYS_TIME"), Some(Capability::CAP_SYS_TIME));
        assert_eq!(capability("FLY"), None);
    });
}

#[test]
fn a_read_only_root_and_bad_layouts() {
    isolated(|| {
        let mut spawn = container("echo x > /file; echo y > /tmp/file && cat /tmp/file");
        spawn.root = Some(RootFs { read_only: true, ..RootFs::empty(userland()) });
        let (exit, text) = output(spawn);
        assert!(text.contains("Read-only file system") && text.ends_with("y\n"), "{text}");
        assert_eq!(exit, Exit::Code(0));

        let broken = |mount: Mount, base: Base| {
            let mut spawn = container("true");
            spawn.root = Some(RootFs { base, mounts: vec![mount], read_only: false });
            spawn.spawn().expect_err("broken")
        };
        let empty = Base::Empty { size: None };
        let bind = |source: &str, target: &str| Mount::Bind {
            source: source.into(),
            target: target.into(),
            read_only: true,
            recursive: false,
        };
        let error = broken(bind("/nonexistent", "/x"), empty);
        assert_eq!(error.to_string(), "bind /nonexistent: No such file or directory (os error 2)");
        assert_eq!(broken(bind("/usr", "relative"), empty).kind(), ErrorKind::InvalidInput);
        assert_eq!(broken(bind("/usr", "/a/../../b"), empty).kind(), ErrorKind::InvalidInput);
        let file = Mount::File { target: "/etc/minisvc-test".into(), content: vec![], mode: 0o600 };
        assert_eq!(broken(file, Base::Caller).kind(), ErrorKind::InvalidInput);
        let error = broken(bind("/usr", "/nonexistent/target"), Base::Caller);
        assert_eq!((error.operation(), error.target()), ("lay out", "/nonexistent/target"));
    });
}

#[test]
fn a_machine_in_the_callers_tree_has_its_own_processes_and_network() {
    isolated(|| {
        let mut spawn = shell(
            "echo $$; ls /proc | grep -c '^[0-9]'; ls /sys/class/net; cat /sys/class/net/lo/flags; cat /run/note; echo end; exec sleep 1000",
        );
        spawn.new = Namespaces::MACHINE;
        spawn.new_session = true;
        spawn.root = Some(RootFs::of_caller(vec![
            Mount::Proc { target: "/proc".into(), restricted: false },
            Mount::Sysfs { target: "/sys".into(), read_only: false },
            Mount::Tmpfs { target: "/run".into(), size: None, mode: 0o755 },
            Mount::File { target: "/run/note".into(), content: b"mine\n".to_vec(), mode: 0o644 },
        ]));
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        spawn.stdout = Stdio::Fd(writer.into());
        let machine = spawn.spawn().expect("spawn");
        let mut text = Vec::new();
        while !text.ends_with(b"end\n") {
            let mut byte = [0];
            reader.read_exact(&mut byte).expect("read");
            text.extend(byte);
        }
        assert_eq!(String::from_utf8_lossy(&text), "1\n3\nlo\n0x9\nmine\nend\n");
        machine.signal(9).expect("kill");
        assert_eq!(machine.wait_blocking().expect("wait"), Exit::Signal(9));
    });
}

#[test]
fn a_container_can_be_entered_and_dies_as_one() {
    isolated(|| {
        let pod = Netns::create().expect("pod");
        let mut spawn = container("echo ready; exec sleep 1000");
        spawn.join_net = Some(pod.clone());
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        spawn.stdout = Stdio::Fd(writer.into());
        let main = spawn.spawn().expect("spawn");
        reader.read_exact(&mut [0; 6]).expect("ready");
        // The word is said a moment before the shell becomes the program.
        let comm = format!("/proc/{}/comm", main.pid);
        let became = |_: &u32| std::fs::read_to_string(&comm).is_ok_and(|name| name == "sleep\n");
        let pause = || std::thread::sleep(std::time::Duration::from_millis(10));
        assert!((0..500).inspect(|_| pause()).any(|turn| became(&turn)), "the shell never became sleep");
        assert_eq!(Netns::of_process(main.pid).expect("net").identity().expect("id"), pod.identity().expect("id"));

        let enter = |script: &str| {
            let mut exec = shell(script);
            exec.join = NamespaceKind::ALL
                .into_iter()
                .filter(|kind| *kind != NamespaceKind::User)
                .map(|kind| open_namespace(main.pid, kind).expect("namespace"))
                .collect();
            exec.cwd = Some("/".into());
            exec
        };
        let (exit, text) = output(enter("cat /proc/1/comm /etc/hostname; test $$ -gt 1 && echo other; exit 3"));
        assert_eq!((exit, text.as_str()), (Exit::Code(3), "sleep\nblue\nother\n"));

        let still_there = enter("sleep 1000").spawn().expect("spawn");
        main.signal(9).expect("kill");
        assert_eq!(still_there.wait_blocking().expect("wait"), Exit::Signal(9), "PID 1 takes all with it");
        assert_eq!(main.wait_blocking().expect("wait"), Exit::Signal(9));
    });
}

#[test]
fn enter_and_exec_passes_the_exit_code_through() {
    isolated(|| {
        let main = container("exec sleep 1000").spawn().expect("spawn");
        let words = |text: &str| text.split(' ').map(Into::into).collect::<Vec<_>>();
        let kinds = [NamespaceKind::Net, NamespaceKind::Mount, NamespaceKind::Pid, NamespaceKind::Uts];
        let code = |kinds: &[NamespaceKind], text: &str, root: bool| {
            format!("{:?}", enter_and_exec(main.pid, kinds, &words(text), root).expect("enter"))
        };
        let expect = |number: u8| format!("{:?}", std::process::ExitCode::from(number));
        assert_eq!(code(&[NamespaceKind::Net], "sh -c exit\t9", false), expect(9));
        assert_eq!(code(&kinds, "grep -q blue /etc/hostname", false), expect(0));
        assert_eq!(code(&[NamespaceKind::Uts], "grep -q blue /etc/hostname", true), expect(0));
        assert_eq!(code(&[NamespaceKind::Uts], "grep -q blue /etc/hostname", false), expect(1));
        assert_eq!(code(&kinds, "test -d /proc/2", false), expect(1), "the child counts from its own namespace");
        let missing = enter_and_exec(main.pid, &kinds, &words("no-such-program"), false).expect_err("missing");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let nobody = enter_and_exec(i32::MAX, &kinds, &words("true"), false).expect_err("nobody");
        assert_eq!(nobody.kind(), ErrorKind::NotFound);
        main.signal(9).expect("kill");
        main.wait_blocking().expect("wait");
    });
}

#[test]
fn many_children_at_once_from_a_threaded_runtime() {
    isolated(|| {
        run(async {
            let all = (0..50).map(|number| {
                tokio::task::spawn_blocking(move || container(&format!("exit {number}")).spawn().expect("spawn"))
            });
            let all: Vec<Child> =
                futures::future::join_all(all).await.into_iter().map(|child| child.expect("task")).collect();
            for (number, child) in (0..).zip(&all) {
                assert_eq!(child.wait().await.expect("wait"), Exit::Code(number));
            }
        });
    });
}

#[test]
fn the_own_program_can_be_run_again_elsewhere() {
    isolated(|| {
        let mut spawn = Spawn::myself("minisvc").args(["--list", "--format", "terse"]);
        assert_eq!(spawn.program, Program::Myself);
        spawn.new = Namespaces::CONTAINER;
        spawn.root = Some(RootFs::empty(userland()));
        let (exit, text) = output(spawn);
        assert_eq!(exit, Exit::Code(0), "{text}");
        assert!(text.contains("the_own_program_can_be_run_again_elsewhere: test"), "{text}");
    });
}
