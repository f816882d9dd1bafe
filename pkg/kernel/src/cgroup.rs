//! Control groups: what processes may take of cpu and memory. Both versions: the hierarchies `cpu` and `memory` of version
//! 1 where they are mounted, else version 2. Groups are folders of their file systems and stay until they are removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::rootfs::Mount;

/// The period over which cpu time is counted, in microseconds.
const PERIOD: u64 = 100_000;

/// Where the file systems are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// Version 1: a hierarchy each.
    Apart { cpu: PathBuf, memory: PathBuf },
    /// Version 2: one for all.
    Unified(PathBuf),
}

/// The machine's control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups(Layout);

/// One group, by its path below the file systems' roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    layout: Layout,
    path: PathBuf,
}

/// What the processes of a group may take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Weight against neighbours when all want more than there is: 2 to 262144, 1024 for one core (version 1's unit).
    pub cpu_shares: u64,
    /// Microseconds of cpu in every 100 ms; without one as many as there are.
    pub cpu_quota: Option<u64>,
    /// Bytes of memory; without them as many as there are.
    pub memory: Option<u64>,
}

impl Cgroups {
    /// Those of this machine; none where neither version has cpu and memory.
    pub fn of_machine() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let usable = |root: &Path| {
            let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            ["cpu", "memory"].iter().all(|name| controllers.split_whitespace().any(|word| word == *name))
        };
        layout(&mounts, usable).map(Self)
    }

    /// Names of the groups at the roots that begin with `prefix`, sorted.
    pub fn named(&self, prefix: &str) -> Vec<String> {
        let root = self.group("");
        let entries = root.roots().into_iter().flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(prefix)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The group at `path`, which need not exist.
    pub fn group(&self, path: impl Into<PathBuf>) -> Cgroup {
        Cgroup { layout: self.0.clone(), path: path.into() }
    }
}

impl Cgroup {
    /// The group of that name in this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { layout: self.layout.clone(), path: self.path.join(name) }
    }

    /// Makes it, and all above it.
    ///
    /// # Errors
    /// The kernel's refusal, for instance of a read-only file system.
    pub fn make(&self) -> Result<()> {
        for root in self.roots() {
            let folder = root.join(&self.path);
            fs::create_dir_all(&folder).map_err(|error| failed("make group", &folder, error))?;
            if matches!(self.layout, Layout::Unified(_)) {
                let mut above = root.to_owned();
                for part in &self.path {
                    let file = above.join("cgroup.subtree_control");
                    fs::write(&file, "+cpu +memory").map_err(|error| failed("share out", &file, error))?;
                    above.push(part);
                }
            }
        }
        Ok(())
    }

    /// Sets what its processes may take from now on.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn share(&self, share: &Share) -> Result<()> {
        for (file, text) in self.files(share) {
            fs::write(&file, text).map_err(|error| failed("write", &file, error))?;
        }
        Ok(())
    }

    /// The files that a process enters it by ([`Spawn::cgroups`](crate::Spawn)).
    pub fn doors(&self) -> Vec<PathBuf> {
        self.roots().into_iter().map(|root| root.join(&self.path).join("cgroup.procs")).collect()
    }

    /// What lays out `/sys/fs/cgroup` for a process that shall see this group alone, read-only.
    pub fn shown(&self) -> Vec<Mount> {
        let bind = |source: PathBuf, target: &str| Mount::Bind {
            source,
            target: target.into(),
            read_only: true,
            recursive: false,
        };
        match &self.layout {
            Layout::Unified(root) => vec![bind(root.join(&self.path), "/sys/fs/cgroup")],
            Layout::Apart { cpu, memory } => vec![
                Mount::Tmpfs { target: "/sys/fs/cgroup".into(), size: Some(4096), mode: 0o755 },
                bind(cpu.join(&self.path), "/sys/fs/cgroup/cpu"),
                bind(memory.join(&self.path), "/sys/fs/cgroup/memory"),
            ],
        }
    }

    /// How many of its processes the kernel killed because its memory was used up.
    pub fn out_of_memory_kills(&self) -> u64 {
        let (root, file) = match &self.layout {
            Layout::Apart { memory, .. } => (memory, "memory.oom_control"),
            Layout::Unified(root) => (root, "memory.events"),
        };
        let text = fs::read_to_string(root.join(&self.path).join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
    }

    /// Removes it and all groups in it; one that still holds processes stays, and is told.
    ///
    /// # Errors
    /// The first refusal.
    pub fn remove(&self) -> Result<()> {
        let mut outcome = Ok(());
        for root in self.roots() {
            let folder = root.join(&self.path);
            if let Err(error) = remove_tree(&folder)
                && outcome.is_ok()
            {
                outcome = Err(failed("remove group", &folder, error));
            }
        }
        outcome
    }

    fn roots(&self) -> Vec<&Path> {
        match &self.layout {
            Layout::Apart { cpu, memory } => vec![cpu, memory],
            Layout::Unified(root) => vec![root],
        }
    }

    fn files(&self, share: &Share) -> Vec<(PathBuf, String)> {
        let number = |limit: Option<u64>, none: &str| limit.map_or_else(|| none.to_owned(), |limit| limit.to_string());
        match &self.layout {
            Layout::Apart { cpu, memory } => {
                let (cpu, memory) = (cpu.join(&self.path), memory.join(&self.path));
                vec![
                    (cpu.join("cpu.shares"), share.cpu_shares.clamp(2, 262_144).to_string()),
                    (cpu.join("cpu.cfs_period_us"), PERIOD.to_string()),
                    (cpu.join("cpu.cfs_quota_us"), number(share.cpu_quota, "-1")),
                    (memory.join("memory.limit_in_bytes"), number(share.memory, "-1")),
                ]
            }
            Layout::Unified(root) => {
                let folder = root.join(&self.path);
                vec![
                    (folder.join("cpu.weight"), weight(share.cpu_shares).to_string()),
                    (folder.join("cpu.max"), format!("{} {PERIOD}", number(share.cpu_quota, "max"))),
                    (folder.join("memory.max"), number(share.memory, "max")),
                ]
            }
        }
    }
}

/// Version 2's weight, 1 to 10000, of version 1's shares (KEP-2254).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// Finds the file systems in `/proc/self/mountinfo`.
fn layout(mounts: &str, usable: impl Fn(&Path) -> bool) -> Option<Layout> {
    let mut unified = None;
    let (mut cpu, mut memory) = (None, None);
    for line in mounts.lines() {
        let Some((place, rest)) = line.split_once(" - ") else { continue };
        let Some(point) = place.split(' ').nth(4).map(PathBuf::from) else { continue };
        let mut words = rest.split(' ');
        let (kind, options) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        let has = |name: &str| options.split(',').any(|option| option == name);
        match kind {
            "cgroup2" if unified.is_none() => unified = Some(point),
            "cgroup" if has("cpu") && cpu.is_none() => cpu = Some(point),
            "cgroup" if has("memory") && memory.is_none() => memory = Some(point),
            _ => {}
        }
    }
    match (cpu, memory) {
        (Some(cpu), Some(memory)) => Some(Layout::Apart { cpu, memory }),
        _ => unified.filter(|root| usable(root)).map(Layout::Unified),
    }
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn failed(operation: &'static str, path: &Path, error: io::Error) -> Error {
    Error::new(operation, path.display().to_string(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                       32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                       33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn both_versions_are_found() {
        let apart = Layout::Apart { cpu: "/sys/fs/cgroup/cpu".into(), memory: "/sys/fs/cgroup/memory".into() };
        assert_eq!(layout(ONE, |_| true), Some(apart));
        let two = "33 30 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(layout(two, |_| true), Some(Layout::Unified("/sys/fs/cgroup".into())));
        assert_eq!(layout(two, |_| false), None);
    }

    #[test]
    fn shares_are_files() {
        let share = Share { cpu_shares: 1024, cpu_quota: Some(1000), memory: None };
        let texts = |layout: Layout| {
            let group = Cgroup { layout, path: "a/b".into() };
            group.files(&share).into_iter().map(|(file, text)| format!("{}={text}", file.display())).collect::<Vec<_>>()
        };
        let apart = Layout::Apart { cpu: "/c".into(), memory: "/m".into() };
        assert_eq!(
            texts(apart),
            [
                "/c/a/b/cpu.shares=1024",
                "/c/a/b/cpu.cfs_period_us=100000",
                "/c/a/b/cpu.cfs_quota_us=1000",
                "/m/a/b/memory.limit_in_bytes=-1"
            ]
        );
        let unified = ["/u/a/b/cpu.weight=39", "/u/a/b/cpu.max=1000 100000", "/u/a/b/memory.max=max"];
        assert_eq!(texts(Layout::Unified("/u".into())), unified);
        assert_eq!((weight(2), weight(262_144)), (1, 10_000));
    }

    #[test]
    fn groups_are_found_by_name() {
        let (cpu, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in
            [cpu.path().join("lab-b"), memory.path().join("lab-b"), memory.path().join("lab-a"), cpu.path().join("x")]
        {
            fs::create_dir(folder).unwrap();
        }
        fs::write(cpu.path().join("lab-c"), "no folder").unwrap();
        let groups = Cgroups(Layout::Apart { cpu: cpu.path().into(), memory: memory.path().into() });
        assert_eq!(groups.named("lab-"), ["lab-a", "lab-b"]);
    }

    #[test]
    fn a_tree_is_removed_and_one_that_is_not_there_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        remove_tree(&folder.path().join("a")).unwrap();
        assert!(!folder.path().join("a").exists());
        remove_tree(&folder.path().join("a")).unwrap();
    }
}
