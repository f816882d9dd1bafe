//! After `down` the machine is what it was: links, addresses, routes, rules, nftables, sysctls, mounts, namespaces,
//! processes and files, over random rounds of starting, working, killing and stopping. The seed is printed;
//! MINISVC_ROUNDS and MINISVC_SEED repeat a run.

mod lab;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use lab::Lab;

type Snapshot = BTreeMap<String, String>;

fn snapshot(lab: &Lab) -> Snapshot {
    let mut found = Snapshot::new();
    for (what, script) in [
        ("links", "ip -d link | sed 's/ qdisc [a-z]*//'"),
        ("addresses", "ip addr"),
        ("routes", "ip route show table all; ip -6 route show table all"),
        ("rules", "ip rule; ip -6 rule"),
        ("nftables", "nft list ruleset"),
        ("mounts", "cat /proc/self/mountinfo"),
        ("resolv.conf", "cat /etc/resolv.conf"),
        ("names", "ls -la --time-style=+ /run/netns 2>&1 | tail -n +2"),
    ] {
        found.insert(what.to_owned(), lab.ok(script));
    }
    let mut sysctls = Vec::new();
    read_settings(Path::new("/proc/sys/net"), &mut sysctls);
    sysctls.sort();
    found.insert("sysctls".to_owned(), sysctls.join("\n"));
    found.insert("namespaces".to_owned(), format!("{:#?}", namespaces()));
    found.insert(
        "files".to_owned(),
        lab.ok("cd ..; find . -not -path './bin*' -not -path './home/.kube/cache*' | sort"),
    );
    found
}

fn read_settings(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // What the kernel counts or draws at random is no setting.
        let moving = ["nf_conntrack_count", "stable_secret", "flush"].iter().any(|word| path.ends_with(word));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => read_settings(&path, into),
            Ok(_) if !moving => {
                if let Ok(text) = std::fs::read_to_string(&path) {
                    into.push(format!("{}={}", path.display(), text.trim()));
                }
            }
            _ => {}
        }
    }
}

/// The network namespaces that processes of this test's tree live in: only those whose command line names the scratch
/// folder or that are our own children; other tests run beside this one.
fn namespaces() -> BTreeSet<String> {
    let mine = std::fs::read_link("/proc/self/ns/mnt").expect("own mount namespace");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let base = entry.path();
        let same_mounts = std::fs::read_link(base.join("ns/mnt")).is_ok_and(|ns| ns == mine);
        if same_mounts && let Ok(net) = std::fs::read_link(base.join("ns/net")) {
            found.insert(net.display().to_string());
        }
    }
    found
}

fn assert_same(before: &Snapshot, after: &Snapshot, story: &str) {
    for (what, old) in before {
        let new = &after[what];
        if old != new {
            let gone: Vec<&str> = old.lines().filter(|line| !new.contains(line)).collect();
            let came: Vec<&str> = new.lines().filter(|line| !old.contains(line)).collect();
            panic!("{what} differ after {story}\n gone: {gone:#?}\n came: {came:#?}");
        }
    }
}

/// Command lines of processes that belong to this lab: its parts, and whatever they started.
fn processes_left(lab: &Lab) -> Vec<String> {
    let run = lab.folder().join("run").display().to_string();
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.starts_with("minisvc ") && line.contains(&run))
        .collect()
}

/// A small generator (xorshift64*): random enough to vary rounds, and repeatable.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

#[test]
fn s_down_leaves_the_machine_as_it_was() {
    minisvc_testkit::isolated(|| {
        let number =
            |name: &str, default: u64| std::env::var(name).ok().and_then(|t| t.parse().ok()).unwrap_or(default);
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock").subsec_nanos();
        let seed = number("MINISVC_SEED", u64::from(clock) | 1);
        println!("MINISVC_SEED={seed}");
        let mut dice = Dice(seed);
        let lab = Lab::new("1.37");
        lab.ok("mkdir -p ~/.kube && printf '# mine\\napiVersion: v1\\nkind: Config\\n' > ~/.kube/config");
        let kubeconfig = lab.ok("cat ~/.kube/config");
        let before = snapshot(&lab);
        for round in 0..number("MINISVC_ROUNDS", 50) {
            let story = one_round(&lab, &mut dice, round);
            assert_eq!(processes_left(&lab), Vec::<String>::new(), "processes are left after {story}");
            assert_same(&before, &snapshot(&lab), &story);
            assert_eq!(lab.ok("cat ~/.kube/config"), kubeconfig, "kubeconfig after {story}");
        }
    });
}

/// Starts the lab (sometimes killing `up` on its way), works a little, kills something, and stops it.
fn one_round(lab: &Lab, dice: &mut Dice, round: u64) -> String {
    let mut story = format!("round {round}:");
    let nodes = 1 + dice.below(3);
    let up = format!("minisvc up --nodes {nodes}");
    if dice.below(4) == 0 {
        let wait = dice.below(900);
        story += &format!(" up killed after {wait} ms;");
        let mut child = lab.command(&format!("exec {up}")).spawn().expect("up");
        std::thread::sleep(Duration::from_millis(wait));
        let _ = child.kill();
        let _ = child.wait();
    } else {
        lab.ok(&up);
        if dice.below(2) == 0 {
            story += " deployment;";
            lab.ok("kubectl create deployment blue --image=jpetazzo/color --replicas=3");
            lab.ok("kubectl expose deployment blue --port=80 --type=LoadBalancer");
            std::thread::sleep(Duration::from_millis(dice.below(600)));
        }
        let victim = ["", "serve", "edge", "node", ""][usize::try_from(dice.below(5)).expect("small")];
        if !victim.is_empty() {
            story += &format!(" kill -9 {victim};");
            kill(lab, victim);
        } else if dice.below(2) == 0 {
            story += " kill -9 all;";
            kill(lab, "(serve|edge|node)");
        }
        if !victim.is_empty() && dice.below(2) == 0 {
            story += " up again;";
            lab.ok("minisvc up");
        }
    }
    lab.ok("minisvc down");
    story
}

fn kill(lab: &Lab, role: &str) {
    let run = lab.folder().join("run");
    let script = format!(
        "for p in $(grep -lsaE 'minisvc.{role}' /proc/[0-9]*/cmdline | cut -d/ -f3); do if tr '\\0' ' ' < /proc/$p/cmdline 2>/dev/null | grep -q '^minisvc .*{} '; then kill -9 $p; fi; done; true",
        run.display()
    );
    lab.ok(&script);
}
