//! Runs a test body alone in fresh network and mount namespaces, by re-executing the test binary under `unshare`.
//!
//! Must not skip: a machine that refuses namespaces fails the test with the reason.

use std::process::Command;

const MARK: &str = "MINISVC_ISOLATED_TEST";

/// Runs `body` in a process of its own whose network namespace holds nothing but a loopback that is up, and whose
/// mount namespace is private. `name` is the full path of the test as the harness prints it, which
/// `isolated!()`-style callers get from the current thread's name, so it needs no argument.
///
/// Call it as the only statement of a `#[test]` function:
///
/// ```no_run
/// // #[test]
/// fn links_round_trip() {
///     minisvc_testkit::isolated(|| { /* touches the kernel freely */ });
/// }
/// ```
///
/// # Panics
/// When the namespace cannot be made, when it holds links other than `lo`, or when `body` panics.
pub fn isolated(body: impl FnOnce()) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    assert!(
        !name.is_empty() && name != "main",
        "isolated() needs the harness' thread name; run without --test-threads=1"
    );
    if std::env::var(MARK).as_deref() == Ok(name.as_str()) {
        assert_only_loopback();
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("run ip from iproute2");
        assert!(up.success(), "cannot bring the private loopback up");
        return body();
    }
    let me = std::env::current_exe().expect("path of the test binary");
    let mut unshare = Command::new("unshare");
    if !running_as_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = unshare
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(me)
        .args(["--exact", &name, "--nocapture", "--test-threads=2"])
        .env(MARK, &name)
        .output()
        .expect("run unshare from util-linux");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "test {name} failed in its private namespace:\n{text}");
    assert!(text.contains("1 passed"), "test {name} did not run in its private namespace:\n{text}");
    println!("{text}");
}

fn running_as_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("read /proc/self/status");
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1))
        .is_some_and(|effective| effective == "0")
}

fn assert_only_loopback() {
    let table = std::fs::read_to_string("/proc/self/net/dev").expect("read /proc/self/net/dev");
    for line in table.lines().skip(2) {
        let link = line.split(':').next().unwrap_or_default().trim();
        assert_eq!(link, "lo", "the namespace is not private: it holds {link}");
    }
}
