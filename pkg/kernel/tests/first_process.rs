//! The room used by PID 1 of a pid namespace, as a node is: it reaps strangers and loses no child's status.

use std::{io::Read, path::Path};

use minisvc_kernel::{
    Exit, Links, Mount, Namespaces, Netns, RootFs, Spawn, Stdio, missing, reap_orphans, set_sysctl, start_time,
};
use minisvc_testkit::isolated;

const MARK: &str = "MINISVC_TEST_AS_PID_1";

/// Runs this test's body again as PID 1 of a machine, and says what it printed when it fails.
fn as_first_process(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        assert_eq!(std::process::id(), 1);
        return body();
    }
    isolated(|| {
        let mut spawn = Spawn::myself("machine").args(["--exact", test, "--nocapture"]).env(MARK, "1");
        spawn = spawn.env("PATH", "/usr/bin:/bin").env("RUST_BACKTRACE", "0");
        spawn.new = Namespaces::MACHINE;
        spawn.new_session = true;
        spawn.root = Some(RootFs::of_caller(vec![
            Mount::Proc { target: "/proc".into(), restricted: false },
            Mount::Sysfs { target: "/sys".into(), read_only: false },
        ]));
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        spawn.stdout = Stdio::Fd(writer.try_clone().expect("clone").into());
        spawn.stderr = Stdio::Fd(writer.into());
        let child = spawn.spawn().expect("spawn");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(child.wait_blocking().expect("wait"), Exit::Code(0), "{text}");
        assert!(text.contains("1 passed"), "{text}");
    });
}

#[test]
fn orphans_are_reaped_and_no_status_is_lost() {
    as_first_process("orphans_are_reaped_and_no_status_is_lost", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("runtime").block_on(async {
            reap_orphans().expect("reaper");
            let children: Vec<_> = (0..40)
                .map(|number| {
                    // Each leaves an orphan that ends a moment later.
                    let script = format!("(sleep 0.1; exit 9) & exit {number}");
                    Spawn::new("sh").args(["-c", &script]).env("PATH", "/usr/bin:/bin").spawn().expect("spawn")
                })
                .collect();
            for (number, child) in (0..).zip(&children) {
                assert_eq!(child.wait().await.expect("wait"), Exit::Code(number));
            }
            // Until only this process is left.
            let others = || {
                std::fs::read_dir("/proc").expect("proc").flatten().filter(|entry| {
                    let name = entry.file_name();
                    name.to_string_lossy().parse::<i32>().is_ok_and(|pid| pid != 1)
                })
            };
            while others().count() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
    });
}

#[test]
fn containers_and_links_work_from_there() {
    as_first_process("containers_and_links_work_from_there", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("runtime").block_on(async {
            reap_orphans().expect("reaper");
            assert!(start_time(1).is_some());
            let (here, pod) = (Netns::current().expect("here"), Netns::create().expect("pod"));
            assert_eq!(here, Netns::of_process(1).expect("own"));
            set_sysctl(&here, "net.ipv4.ip_forward", "1").expect("set");
            let links = Links::open(&here).await.expect("links");
            links.create_veth("v0", "eth0", &pod).await.expect("veth");
            assert!(Path::new("/sys/class/net/v0").exists());
            // It stays until this end of the pipe is closed: one that has ended has no namespace to be asked for.
            let (held, hold) = std::io::pipe().expect("pipe");
            let mut spawn = Spawn::new("/usr/bin/sh").args(["-c", "read _; test -e /sys/class/net/eth0"]);
            spawn.stdin = Stdio::Fd(held.into());
            spawn.new = Namespaces::CONTAINER;
            spawn.join_net = Some(pod.clone());
            let bind =
                |path: &str| Mount::Bind { source: path.into(), target: path.into(), read_only: true, recursive: true };
            let mut mounts = vec![bind("/usr"), bind("/lib"), Mount::Sysfs { target: "/sys".into(), read_only: true }];
            mounts.extend(Path::new("/lib64").exists().then(|| bind("/lib64")));
            spawn.root = Some(RootFs::empty(mounts));
            let child = spawn.spawn().expect("spawn");
            assert_eq!(Netns::of_process(child.pid).expect("net"), pod);
            drop(hold);
            assert_eq!(child.wait().await.expect("wait"), Exit::Code(0));
        });
    });
}

#[test]
fn a_child_with_a_death_signal_ends_with_its_parent_and_others_do_not() {
    isolated(|| {
        // The parent is a copy of this program, so that its end can be watched from here.
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        let mut spawn = Spawn::myself("parent").args(["--exact", "parent_of_two", "--nocapture", "--ignored"]);
        spawn = spawn.env("PATH", "/usr/bin:/bin").env(MARK, "parent");
        spawn.stdout = Stdio::Fd(writer.into());
        let parent = spawn.spawn().expect("spawn");
        let mut text = String::new();
        let numbers = loop {
            let mut byte = [0];
            reader.read_exact(&mut byte).expect("read");
            text.push(char::from(byte[0]));
            if let Some(line) = text.split_once("children ").and_then(|(_, rest)| rest.split_once('\n')) {
                break line.0.to_owned();
            }
        };
        let pids: Vec<i32> = numbers.split(' ').map(|pid| pid.parse().expect("pid")).collect();
        let [mortal, lasting] = pids[..] else { panic!("{numbers}") };
        let started = start_time(lasting).expect("running");
        let watched = minisvc_kernel::PidFd::open(mortal).expect("open");
        parent.signal(9).expect("kill");
        parent.wait_blocking().expect("wait");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
            .block_on(watched.wait_exit())
            .expect("ends");
        assert!(minisvc_kernel::alive(lasting, started));
        minisvc_kernel::signal(lasting, 9).expect("kill");
    });
}

#[test]
#[ignore = "the parent's part of a_child_with_a_death_signal_ends_with_its_parent_and_others_do_not"]
fn parent_of_two() {
    assert!(std::env::var_os(MARK).is_some(), "run by the other test only");
    let sleeper = || Spawn::new("sleep").args(["1000"]).env("PATH", "/usr/bin:/bin");
    let mut mortal = sleeper();
    mortal.death_signal = Some(9);
    // From a thread that ends at once: the signal must wait for the process.
    let mortal = std::thread::spawn(|| mortal.spawn().expect("spawn")).join().expect("thread");
    let lasting = sleeper().spawn().expect("spawn");
    println!("children {} {}", mortal.pid, lasting.pid);
    lasting.wait_blocking().expect("wait");
}

#[test]
fn nothing_is_missing_where_namespaces_work() {
    isolated(|| {
        let before = std::fs::read_to_string("/proc/self/net/dev").expect("links");
        assert_eq!(missing(), []);
        let names =
            |text: &str| text.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect::<Vec<_>>();
        assert_eq!(names(&before), names(&std::fs::read_to_string("/proc/self/net/dev").expect("links")));
    });
}

#[test]
fn without_privilege_the_first_thing_missing_is_privilege() {
    isolated(|| {
        let mut spawn = Spawn::myself("nobody").args(["--exact", "as_nobody", "--nocapture", "--ignored"]);
        spawn = spawn.env(MARK, "nobody");
        spawn.capabilities = Some(vec![]);
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        spawn.stdout = Stdio::Fd(writer.into());
        let child = spawn.spawn().expect("spawn");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(child.wait_blocking().expect("wait"), Exit::Code(0), "{text}");
        assert!(text.contains("CAP_SYS_ADMIN and CAP_NET_ADMIN") && text.contains("sudo"), "{text}");
    });
}

#[test]
#[ignore = "the unprivileged part of without_privilege_the_first_thing_missing_is_privilege"]
fn as_nobody() {
    assert!(std::env::var_os(MARK).is_some(), "run by the other test only");
    let missing = missing();
    assert_eq!(missing.len(), 1);
    println!("{missing:?}");
}
